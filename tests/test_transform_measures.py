"""TransformMonitor: what it measures is what the definitions give."""

from __future__ import annotations

import math

import pytest
import torch
from module_cases import images, spatial
from monitored import Given, blank_and_others, given, only
from tolerances import PARITY
from torch import Tensor, nn
from transform_objects import ALL, SIZES, name, output_size, some_theta

from stn_cuda.modules import InverseWarp, ParallelSpatialTransformer, RecurrentSpatialTransformer
from stn_cuda.transforms import Attention, Flow, Translation
from stn_cuda.visualize import TransformMonitor


def determinant(transform, theta: Tensor, grid: Tensor, base: Tensor) -> Tensor:
    """|det| of one theta [1, P]: by autograd at the output's centre, or by the areas between a grid's first neighbours."""
    dims = transform.dims
    if transform.has_matrix:
        def mapped(point):
            return transform.apply_points(theta, point[None, None])[0, 0]

        return torch.autograd.functional.jacobian(mapped, theta.new_zeros(dims)).det().abs()
    ratios = []
    for index in torch.cartesian_prod(*(torch.arange(extent - 1) for extent in grid.shape[:-1])).tolist():
        spans = []
        for positions in (grid, base):
            here = positions[tuple(index)]
            nexts = [positions[tuple(at + (axis == moved) for axis, at in enumerate(index))] for moved in range(dims)]
            spans.append(torch.stack([there - here for there in nexts]).det())
        ratios.append((spans[0] / spans[1]).abs())
    return torch.stack(ratios).mean()


@pytest.mark.parametrize("align_corners", (False, True), ids=("edges", "centres"))
@pytest.mark.parametrize("transform", ALL, ids=name)
def test_statistics_are_the_definitions(transform, align_corners, device):
    theta, size = some_theta(transform, device, 3, seed=5), output_size(transform)
    source = torch.ones(3, 1, *SIZES[transform.dims], dtype=torch.float64, device=device)
    grid = transform.grid(theta, size, align_corners)
    base = transform.grid(transform.identity(1, torch.float64, device), size, align_corners)[0]
    extent = grid.new_tensor(SIZES[transform.dims][::-1])
    pixels = (grid + 1) / 2 * (extent - 1) if align_corners else ((grid + 1) * extent - 1) / 2
    is_outside = ((pixels < -0.5) | (pixels > extent - 0.5)).any(-1)
    expected = [
        (theta - transform.identity(1, torch.float64, device)).abs().mean(),
        torch.stack([determinant(transform, theta[at : at + 1], grid[at], base) for at in range(3)]).mean(),
        is_outside.double().mean(),
    ]
    module = given(theta, transform, size, align_corners=align_corners)
    with TransformMonitor(module, collapse=0, divergence=1) as monitor:
        module(source)
        module(source)
        seen = only(monitor)
    assert (seen.calls, seen.thetas, seen.nonfinite) == (2, 6, 0)
    measured = torch.tensor([seen.deviation, seen.determinant, seen.outside], dtype=torch.float64)
    PARITY[torch.float64].assert_close(measured, torch.stack(expected).detach().cpu())
    assert math.isnan(seen.blank)  # there was no backward


def test_large_outputs_are_measured_on_a_lattice(device):
    """A shift by a quarter of the image: a quarter is outside, of 8 samples an axis as of 400."""
    module = given(torch.tensor([[0.5, 0.0]], device=device), Translation(), (400, 300))
    with TransformMonitor(module) as monitor:
        module(images(device))
    assert only(monitor).outside == 0.25


def test_nothing_is_outside_along_an_axis_of_one_pixel(device):
    """Between centres every coordinate on it is that pixel (tests/test_edges.py); it has no outer edges otherwise."""
    theta, source = torch.tensor([[0.0, 7.0]], device=device), torch.ones(1, 1, 1, 5, device=device)
    module = given(theta, Translation(), align_corners=True)
    with TransformMonitor(module) as monitor:
        assert torch.equal(module(source), source)
    assert only(monitor).outside == 0


def test_area_of_a_flow_in_one_line_is_not_known(device):
    flow = Flow((1, 5))
    module = given(flow.identity(1, device=device), flow)
    with TransformMonitor(module) as monitor:
        module(torch.ones(1, 1, 1, 5, device=device))
    assert math.isnan(only(monitor).determinant) and only(monitor).outside == 0


def test_blank_windows_are_counted(device):
    module, input = blank_and_others(device)
    with TransformMonitor(module) as monitor:
        loss = module(input).square().sum()
        loss.backward()
    assert (module.localization.given.grad == 0).all(1).tolist() == [True, True, False]
    assert only(monitor).blank == pytest.approx(2 / 3)


def test_gradient_is_the_sum_of_all_that_reaches_theta(device):
    """A regularizer's term leaves no window blank."""
    module, input = blank_and_others(device)
    with TransformMonitor(module) as monitor:
        seen = []
        module.register_theta_hook(lambda _, theta, source: seen.append(theta))
        output = module(input)
        (output.square().sum() + (seen[0] + 1).square().sum()).backward()
    assert only(monitor).blank == 0


def test_each_of_several_transformers_is_a_theta(device):
    thetas = [torch.tensor([[shift, 0.0]] * 3, device=device) for shift in (0.1, 6.0)]
    module = ParallelSpatialTransformer([Given(theta) for theta in thetas], Translation()).to(device)
    with TransformMonitor(module) as monitor:
        module(images(device)).square().sum().backward()
    seen = only(monitor)
    assert (seen.thetas, seen.blank) == (6, 0.5)
    assert seen.deviation == pytest.approx(6.1 / 4)


def test_last_step_of_a_recurrence_and_the_inverse_are_measured(device):
    step = torch.tensor([[0.25, 0.0]] * 3, device=device)
    recurrent = RecurrentSpatialTransformer(Given(step), Translation(), steps=3).to(device)
    back = InverseWarp(Attention())
    model = nn.ModuleDict({"align": recurrent, "back": back})
    with TransformMonitor(model) as monitor:
        recurrent(images(device))
        back(images(device), torch.tensor([[2.0, 0.0, 0.0]], device=device))
    align, inverse = monitor.summary()["align"], monitor.summary()["back"]
    assert align.calls == 1 and align.deviation == pytest.approx(0.375)
    assert inverse.determinant == pytest.approx(0.25)


def test_only_training_is_seen(device):
    module, input = spatial().to(device), images(device)
    with TransformMonitor(module) as monitor:
        module.eval()(input)
        module.train()
        with torch.inference_mode():
            module(input)
        module.theta(input)
        assert only(monitor).calls == 0
        with torch.no_grad():
            module(input)
    assert only(monitor)[:2] == (1, 3)


def test_reset_forgets_what_was_measured(device):
    module, input = spatial(0.3).to(device), images(device)
    with TransformMonitor(module, every=10) as monitor:
        module(input)
        monitor.reset()
        assert only(monitor).calls == 0
        module(input)
    assert only(monitor).calls == 1


def test_text_has_a_row_a_module(device):
    model = nn.Sequential(spatial(0.0), nn.Identity(), spatial(0.0)).to(device)
    with TransformMonitor(model) as monitor:
        model(images(device)).square().sum().backward()
    heading, first, second = str(monitor).splitlines()
    assert heading.split() == ["calls", "|theta", "-", "id|", "|det|", "outside", "blank", "module"]
    assert first.split() == ["1", "0.0000", "1.0000", "0.0%", "0.0%", "0"]
    assert second.split()[-1] == "2"
