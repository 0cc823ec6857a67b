"""Gradients of stn_cuda.grid_sample against finite differences, against the definition, and as autograd sees them."""

from __future__ import annotations

import pytest
import torch
from cases import ALIGN_CORNERS, DIMS, Case, all_cases, differentiable_cases
from tolerances import PARITY
from torch.autograd import gradcheck, gradgradcheck
from torch.utils._python_dispatch import TorchDispatchMode

import stn_cuda
from stn_cuda import reference

pytestmark = pytest.mark.usefixtures("sums_in_order")

SMALL_IN_SIZE, SMALL_OUT_SIZE = (2, 3, 4), (2, 2, 3)  # finite differences cost a call an element


def small_tensors(case: Case, device):
    return case.tensors(
        device,
        torch.float64,
        away_from_kinks=True,
        channels=2,
        in_size=SMALL_IN_SIZE[-case.dims :],
        out_size=SMALL_OUT_SIZE[-case.dims :],
    )


def wanted_gradients() -> list:
    """(case, which arguments take part); nearest has no derivative in the grid to compare."""
    rows = [(case, "input") for case in all_cases()]
    rows += [(case, wanted) for case in differentiable_cases() for wanted in ("grid", "both")]
    return [pytest.param(case, wanted, id=f"{case}-{wanted}") for case, wanted in rows]


def leaves_for(case: Case, wanted: str, device):
    input, grid = small_tensors(case, device)
    return input.requires_grad_(wanted in ("input", "both")), grid.requires_grad_(wanted in ("grid", "both"))


@pytest.mark.parametrize("case, wanted", wanted_gradients())
def test_gradcheck(case: Case, wanted, device):
    assert gradcheck(case.bind(stn_cuda.grid_sample), leaves_for(case, wanted, device))


@pytest.mark.parametrize("case, wanted", wanted_gradients())
def test_gradgradcheck(case: Case, wanted, device):
    assert gradgradcheck(case.bind(stn_cuda.grid_sample), leaves_for(case, wanted, device))


def gradients(case: Case, sampler, input, grid):
    leaves = input.detach().requires_grad_(), grid.detach().requires_grad_()
    output = case.bind(sampler)(*leaves)
    grad_output = torch.cos(torch.arange(output.numel(), dtype=output.dtype, device=output.device)).view_as(output)
    return torch.autograd.grad(output, leaves, grad_output)


@pytest.mark.parametrize("where", ("between_kinks", "anywhere", "on_kinks"))
@pytest.mark.parametrize("case", all_cases(), ids=str)
def test_gradients_follow_the_definition(case: Case, where, device):
    if where == "on_kinks":
        tensors = case.tensors_on_kinks(device, torch.float64)
    else:
        tensors = case.tensors(device, torch.float64, away_from_kinks=where == "between_kinks")
    actual = gradients(case, stn_cuda.grid_sample, *tensors)
    expected = gradients(case, reference.grid_sample, *tensors)
    for one, other in zip(actual, expected, strict=True):
        PARITY[torch.float64].assert_close(one, other)


@pytest.mark.parametrize("case", differentiable_cases(), ids=str)
def test_constant_image_has_zero_coordinate_gradient_on_integers(case: Case, device):
    """The case formula of the paper's equation 7, read literally, gives the pixel's value here."""
    in_size = (5, 5, 9)[-case.dims :] if case.align_corners else (4, 8, 16)[-case.dims :]
    outer = 1 if case.mode == "bicubic" else 0  # all taps inside: with zeros padding the image is not constant beyond
    pixels = [torch.arange(outer, size - 1 - outer, dtype=torch.float64) for size in in_size]
    columns = torch.meshgrid(*pixels, indexing="ij")
    grid = case.normalize([column[None] for column in reversed(columns)], in_size).to(device).requires_grad_()
    input = torch.full((1, 2, *in_size), 3.0, dtype=torch.float64, device=device)
    output = case.bind(stn_cuda.grid_sample)(input, grid)
    assert torch.equal(output, torch.full_like(output, 3.0))
    (gradient,) = torch.autograd.grad(output.sum(), grid)
    assert torch.equal(gradient, torch.zeros_like(grid))


@pytest.mark.parametrize("padding_mode", ("border", "reflection"))
@pytest.mark.parametrize("align_corners", ALIGN_CORNERS, ids=("edges", "centres"))
@pytest.mark.parametrize("dims", DIMS)
def test_coordinate_gradient_is_cut_exactly_on_the_clamp(dims, align_corners, padding_mode, device):
    case = Case(dims, "bilinear", padding_mode, align_corners)
    in_size = (3, 5, 9)[-dims:] if align_corners else (2, 4, 8)[-dims:]
    sizes = list(reversed(in_size))
    input = torch.randn(1, 2, *in_size, dtype=torch.float64, generator=torch.Generator().manual_seed(4)).to(device)
    for axis, size in enumerate(sizes):
        columns = [torch.full((1, *[2] * dims), 0.25, dtype=torch.float64) for _ in sizes]
        columns[axis][:, 0], columns[axis][:, 1] = 0.0, size - 1.0
        grid = case.normalize(columns, in_size).to(device).requires_grad_()
        (gradient,) = torch.autograd.grad(case.bind(stn_cuda.grid_sample)(input, grid).sum(), grid)
        cut = gradient[..., axis]
        assert torch.equal(cut, torch.zeros_like(cut))
        others = gradient[..., [other for other in range(dims) if other != axis]]
        assert (others != 0).all()


@pytest.mark.parametrize("case", [case for case in all_cases() if case.mode == "nearest"], ids=str)
def test_nearest_gives_the_grid_a_gradient_of_zeros(case: Case, device):
    input, grid = case.tensors(device, torch.float64, away_from_kinks=False)
    for leaf in (input, input.clone().requires_grad_()):
        grid.grad = None
        case.bind(stn_cuda.grid_sample)(leaf, grid.requires_grad_()).sum().backward()
        assert grid.grad is not None
        assert torch.equal(grid.grad, torch.zeros_like(grid))


class SeenBackwardMasks(TorchDispatchMode):
    """Notes the output mask of every call of the backward operator."""

    def __init__(self) -> None:
        super().__init__()
        self.masks: list[list[bool]] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func is torch.ops.stn_cuda.grid_sample_backward.default:
            names = [argument.name for argument in func._schema.arguments]
            self.masks.append(list({**dict(zip(names, args, strict=False)), **(kwargs or {})}["output_mask"]))
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("wanted", ("input", "grid", "both"))
@pytest.mark.parametrize("case", all_cases(), ids=str)
def test_only_gradients_that_are_needed_are_computed(case: Case, wanted, device):
    input, grid = leaves_for(case, wanted, device)
    output = case.bind(stn_cuda.grid_sample)(input, grid)
    with SeenBackwardMasks() as seen:
        output.sum().backward()
    assert (input.grad is not None) == (wanted != "grid")
    assert (grid.grad is not None) == (wanted != "input")
    # A backward of nearest for the grid alone need not call the operator: its result is zeros
    if seen.masks or case.mode != "nearest" or wanted != "grid":
        assert len(seen.masks) == 1
        assert seen.masks[0][0] == (wanted != "grid")
        assert not (seen.masks[0][1] and wanted == "input")
        assert not seen.masks[0][2]
