"""The reference sampler against torch, against scipy, and under torch.func."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from cases import ALIGN_CORNERS, DTYPES, IN_SIZE, Case, all_cases, needs_torch_double_backward, torch_cases
from scipy import ndimage
from tolerances import PARITY, SCIPY, parity

from stn_cuda import reference

SCIPY_ORDER = {"bilinear": 1, "nearest": 0}
# scipy's "mirror" turns at the centres of the end pixels, its "reflect" at their edges
SCIPY_MODE = {
    ("zeros", False): "grid-constant",
    ("zeros", True): "grid-constant",
    ("border", False): "nearest",
    ("border", True): "nearest",
    ("reflection", False): "reflect",
    ("reflection", True): "mirror",
}


ORDERS = (1, pytest.param(2, marks=needs_torch_double_backward))


def derivatives(sampler, input, grid, order):
    """Output, the gradients of its product with a fixed tensor, and for order 2 the gradients of those."""
    input, grid = input.clone().requires_grad_(), grid.clone().requires_grad_()
    output = sampler(input, grid)
    generator = torch.Generator().manual_seed(1)

    def cotangent(tensor):
        return torch.randn(tensor.shape, generator=generator, dtype=torch.float64).to(tensor).requires_grad_()

    grad_output = cotangent(output)
    first = torch.autograd.grad(output, (input, grid), grad_output, create_graph=order == 2)
    if order == 1:
        return output, *first
    second = torch.autograd.grad(
        first, (input, grid, grad_output), [cotangent(gradient) for gradient in first], materialize_grads=True
    )
    return output, *first, *second


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("case", torch_cases(), ids=str)
@pytest.mark.parametrize("order", ORDERS)
def test_values_and_gradients_equal_torch(case: Case, order, dtype, device):
    tensors = case.tensors(device, dtype, away_from_kinks=True)
    for actual, expected in zip(
        derivatives(case.bind(reference.grid_sample), *tensors, order),
        derivatives(case.bind(F.grid_sample), *tensors, order),
        strict=True,
    ):
        parity(case.mode, dtype).assert_close(actual, expected)


@pytest.mark.parametrize("case", torch_cases(), ids=str)
@pytest.mark.parametrize("order", ORDERS)
def test_values_and_gradients_equal_torch_on_kinks(case: Case, order, device):
    tensors = case.tensors_on_kinks(device, torch.float64)
    for actual, expected in zip(
        derivatives(case.bind(reference.grid_sample), *tensors, order),
        derivatives(case.bind(F.grid_sample), *tensors, order),
        strict=True,
    ):
        PARITY[torch.float64].assert_close(actual, expected)


def one_dimensional_cases() -> list[Case]:
    return [Case(1, case.mode, case.padding_mode, case.align_corners) for case in all_cases() if case.dims == 2]


SCIPY_CASES = [case for case in one_dimensional_cases() + all_cases() if case.mode != "bicubic"]  # scipy's is a spline


@pytest.mark.parametrize("case", SCIPY_CASES, ids=str)
def test_values_equal_scipy(case: Case, device):
    input, grid = case.tensors(device, torch.float64, away_from_kinks=True)
    actual = case.bind(reference.grid_sample)(input, grid)

    in_size = IN_SIZE[-case.dims :]
    columns = []  # pixel coordinates in the order of the input's axes
    for size, column in zip(in_size, reversed(grid.unbind(-1)), strict=True):
        columns.append((column + 1) / 2 * (size - 1) if case.align_corners else ((column + 1) * size - 1) / 2)
    coordinates = torch.stack(columns).cpu().numpy()  # (dims, N, *out)
    expected = np.empty(actual.shape)
    for n, c in np.ndindex(*actual.shape[:2]):
        expected[n, c] = ndimage.map_coordinates(
            input[n, c].cpu().numpy(),
            coordinates[:, n],
            order=SCIPY_ORDER[case.mode],
            mode=SCIPY_MODE[case.padding_mode, case.align_corners],
        )
    SCIPY.assert_close(actual.cpu(), torch.from_numpy(expected))


@pytest.mark.parametrize("case", all_cases(), ids=str)
def test_any_output_rank_gives_the_same_samples(case: Case, device):
    input, grid = case.tensors(device, torch.float64, away_from_kinks=True)
    sample = case.bind(reference.grid_sample)
    points = sample(input, grid.flatten(1, -2))
    assert torch.equal(points, sample(input, grid).flatten(2))


@pytest.mark.parametrize("case", all_cases(), ids=str)
def test_vmap_equals_a_loop(case: Case, device):
    input, grid = case.tensors(device, torch.float64, away_from_kinks=True)
    sample = case.bind(reference.grid_sample)
    inputs, grids = torch.stack([input, 2 * input, -input]), torch.stack([grid, 0.9 * grid, grid.flip(1)])
    actual = torch.func.vmap(sample)(inputs, grids)
    expected = torch.stack([sample(*pair) for pair in zip(inputs, grids, strict=True)])
    PARITY[torch.float64].assert_close(actual, expected)


@pytest.mark.parametrize("case", all_cases(), ids=str)
def test_jvp_is_the_transpose_of_the_gradient(case: Case, device):
    input, grid = case.tensors(device, torch.float64, away_from_kinks=True)
    sample = case.bind(reference.grid_sample)
    t_input, t_grid = torch.cos(7 * input), torch.sin(5 * grid)
    output, t_output = torch.func.jvp(sample, (input, grid), (t_input, t_grid))
    grad_input, grad_grid = torch.func.vjp(sample, input, grid)[1](output)
    assert t_output.abs().max() > 0
    PARITY[torch.float64].assert_close(
        (output * t_output).sum(), (grad_input * t_input).sum() + (grad_grid * t_grid).sum()
    )


@pytest.mark.parametrize("align_corners", ALIGN_CORNERS)
@pytest.mark.parametrize("size", [(2, 1, 4, 5), (2, 3, 1, 6), (2, 1, 3, 4, 5), (2, 1, 2, 1, 3)], ids=str)
@pytest.mark.filterwarnings("ignore:Since version 1.3.0, affine_grid")
def test_affine_grid_equals_torch(size, align_corners, device):
    dims = len(size) - 2
    theta = torch.linspace(-1.5, 1.1, 2 * dims * (dims + 1), dtype=torch.float64, device=device).view(2, dims, dims + 1)
    theta.requires_grad_()
    actual = reference.affine_grid(theta, size, align_corners)
    expected = F.affine_grid(theta, size, align_corners=align_corners)
    PARITY[torch.float64].assert_close(actual, expected)
    weights = torch.sin(torch.arange(actual.numel(), dtype=actual.dtype, device=device)).view_as(actual)
    (actual_gradient,) = torch.autograd.grad(actual, theta, weights)
    (expected_gradient,) = torch.autograd.grad(expected, theta, weights)
    PARITY[torch.float64].assert_close(actual_gradient, expected_gradient)


@pytest.mark.parametrize("case", [case for case in all_cases() if case.mode == "bicubic" and case.dims == 3], ids=str)
def test_tricubic_is_bicubic_where_the_volume_is_constant_along_z(case: Case, device):
    """torch's own 2-D bicubic judges the third axis, whose weights sum to 1 wherever its taps are inside."""
    _, grid = case.tensors(device, torch.float64, away_from_kinks=True, in_size=(9, 5, 6))
    image = torch.sin(torch.arange(60.0, dtype=torch.float64, device=device)).view(1, 2, 5, 6).expand(2, -1, -1, -1)
    grid[..., 2] *= 0.1  # all four taps inside
    actual = case.bind(reference.grid_sample)(image[:, :, None].expand(-1, -1, 9, -1, -1), grid)
    plane = Case(2, case.mode, case.padding_mode, case.align_corners)
    expected = plane.bind(F.grid_sample)(image, grid[..., :2].flatten(1, 2))
    PARITY[torch.float64].assert_close(actual.flatten(2, 3), expected)
