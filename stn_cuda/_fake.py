"""What the operators return, without data: for torch.compile, torch.export and meta tensors."""
from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from . import _checks


def _fake(*names: str) -> Callable[[Callable], Callable]:
    def register(function: Callable) -> Callable:
        for name in names:
            torch.library.register_fake(f"stn_cuda::{name}", function)
        return function

    return register


@_fake("grid_sample", "_grid_sample")
def _grid_sample(
    input: Tensor, grid: Tensor, mode: int, padding: list[int], coordinates: int, fill_value: Tensor | None, float_output: bool
) -> Tensor:
    _checks.check_grid_sample(input, grid)
    return input.new_empty((input.shape[0], input.shape[1], *grid.shape[1:-1]))


@_fake("grid_sample_backward")
def _grid_sample_backward(
    grad_output: Tensor, input: Tensor, grid: Tensor, mode: int, padding: list[int], coordinates: int,
    fill_value: Tensor | None, float_output: bool, output_mask: Sequence[bool], deterministic: bool,
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    _checks.check_grid_sample(input, grid)
    _checks.check_same_device("grid_sample_backward", "grad_output", grad_output, "input", input)
    grad_input = input.new_empty(input.shape) if output_mask[0] else None
    grad_grid = grid.new_empty(grid.shape) if output_mask[1] else None
    return grad_input, grad_grid, None  # grad_fill: there is no fill_value yet


@_fake("affine_grid", "_affine_grid")
def _affine_grid(theta: Tensor, size: Sequence[int], align_corners: bool) -> Tensor:
    return theta.new_empty((size[0], *size[2:], len(size) - 2))


@_fake("affine_grid_backward")
def _affine_grid_backward(grad_grid: Tensor, size: Sequence[int], align_corners: bool) -> Tensor:
    dims = len(size) - 2
    return grad_grid.new_empty((size[0], dims, dims + 1))
