"""stn_cuda.grid_sample against torch's, over the full product of what is built: output, grad_input, grad_grid."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from cases import DTYPES, Case, all_cases, torch_grid_sample
from layouts import GRAD_OUTPUT_LAYOUTS, GRID_LAYOUTS, INPUT_LAYOUTS, Layout, layout_id
from tolerances import FLOAT32_EPS_WIDTHS, parity
from torch import Tensor

import stn_cuda


def forward_and_gradients(
    sampler: Callable[..., Tensor], input: Tensor, grid: Tensor, grad_output: Tensor
) -> tuple[Tensor, ...]:
    """(output, grad_input, grad_grid), on leaves with the strides of ``input`` and ``grid``."""
    leaves = input.detach().requires_grad_(), grid.detach().requires_grad_()
    output = sampler(*leaves)
    return output, *torch.autograd.grad(output, leaves, grad_output)


def assert_parity(case: Case, input: Tensor, grid: Tensor, grad_output: Tensor) -> None:
    actual = forward_and_gradients(case.bind(stn_cuda.grid_sample), input, grid, grad_output)
    expected = forward_and_gradients(case.bind(torch_grid_sample), input, grid, grad_output)
    for one, other in zip(actual, expected, strict=True):
        parity(case.mode, input.dtype).assert_close(one, other)


def cotangent(case: Case, input: Tensor, grid: Tensor) -> Tensor:
    """A grad_output (N, C, *out) without structure."""
    shape = (*input.shape[:2], *grid.shape[1:-1])
    generator = torch.Generator().manual_seed(2)
    return torch.randn(shape, generator=generator, dtype=torch.float64).to(input)


@pytest.mark.parametrize("grad_output_layout", GRAD_OUTPUT_LAYOUTS, ids=lambda f: f"grad_output_{layout_id(f)}")
@pytest.mark.parametrize("grid_layout", GRID_LAYOUTS, ids=lambda f: f"grid_{layout_id(f)}")
@pytest.mark.parametrize("input_layout", INPUT_LAYOUTS, ids=lambda f: f"input_{layout_id(f)}")
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("case", all_cases(), ids=str)
def test_output_and_gradients_equal_torch(
    case: Case, dtype, input_layout: Layout, grid_layout: Layout, grad_output_layout: Layout, device
):
    input, grid = case.tensors(device, dtype, away_from_kinks=True)
    grad_output = cotangent(case, input, grid)
    assert_parity(case, input_layout(input), grid_layout(grid), grad_output_layout(grad_output))


@pytest.mark.parametrize("case", all_cases(), ids=str)
def test_output_and_gradients_equal_torch_on_kinks(case: Case, device):
    input, grid = case.tensors_on_kinks(device, torch.float64)
    assert_parity(case, input, grid, cotangent(case, input, grid))


@pytest.mark.parametrize("channels", (1, 2, 5, 33))
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("case", all_cases(), ids=str)
def test_output_and_gradients_equal_torch_for_many_locations_and_any_number_of_channels(
    case: Case, dtype, channels, device
):
    """Over a thousand locations: more than any block or tile, and no multiple of one."""
    in_size, out_size = ((9, 13), (33, 35)) if case.dims == 2 else ((5, 6, 7), (7, 11, 15))
    input, grid = case.tensors(
        device, dtype, away_from_kinks=True, batch=1, channels=channels, in_size=in_size, out_size=out_size
    )
    grad_output = cotangent(case, input, grid)
    if dtype == torch.float32:
        assert_no_less_accurate_than_torch(case, input, grid, grad_output)
    else:
        assert_parity(case, input, grid, grad_output)


@pytest.mark.parametrize("case", all_cases(), ids=str)
def test_float32_is_no_less_accurate_than_torch_on_larger_images(case: Case, device):
    in_size, out_size = ((90, 200), (60, 70)) if case.dims == 2 else ((20, 30, 40), (10, 20, 30))
    input, grid = case.tensors(
        device, torch.float32, away_from_kinks=True, batch=1, in_size=in_size, out_size=out_size
    )
    assert_no_less_accurate_than_torch(case, input, grid, cotangent(case, input, grid))


def assert_no_less_accurate_than_torch(case: Case, input: Tensor, grid: Tensor, grad_output: Tensor) -> None:
    """The largest error against float64 is torch's or a few eps * width more, relative to the result's size."""
    tensors = input, grid, grad_output
    exact = forward_and_gradients(case.bind(torch_grid_sample), *(tensor.double() for tensor in tensors))
    ours = forward_and_gradients(case.bind(stn_cuda.grid_sample), *tensors)
    torchs = forward_and_gradients(case.bind(torch_grid_sample), *tensors)
    granted = FLOAT32_EPS_WIDTHS * torch.finfo(torch.float32).eps * max(input.shape[2:])
    for one, other, truth in zip(ours, torchs, exact, strict=True):
        our_error, torch_error = ((result.double() - truth).abs().max() for result in (one, other))
        assert our_error <= torch_error + granted * truth.abs().max()
