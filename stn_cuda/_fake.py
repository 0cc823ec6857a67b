"""What the operators return, without data: for torch.compile, torch.export and meta tensors."""
from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch._prims_common import suggest_memory_format

from . import _checks, _grid_checks
from ._extension import _C


def _fake(*names: str) -> Callable[[Callable], Callable]:
    def register(function: Callable) -> Callable:
        for name in names:
            torch.library.register_fake(f"stn_cuda::{name}", function)
        return function

    return register


def _check(
    input: Tensor, grid: Tensor, mode: int, padding: Sequence[int], coordinates: int, fill_value: Tensor | None
) -> None:
    _checks.check_tensor("grid_sample", "input", input)  # the schema lets None pass
    _checks.check_tensor("grid_sample", "grid", grid)
    _checks.check_grid_sample(input, grid, any_mix=True)
    _checks.check_sample_options(input, grid, mode, padding, coordinates, fill_value)


def _output_shape(input: Tensor, grid: Tensor) -> tuple[int, ...]:
    return (_checks.joint_batch(input, grid), input.shape[1], *grid.shape[1:-1])


def _output_dtype(input: Tensor, float_output: bool) -> torch.dtype:
    return _checks.accumulate_dtype(input.dtype) if float_output else input.dtype


def _empty_as(input: Tensor, shape: Sequence[int], dtype: torch.dtype) -> Tensor:
    """In input's memory format, by the rule that csrc/ops follows too: channels_last in, channels_last out."""
    follows = suggest_memory_format(input) != torch.contiguous_format
    of_rank = {4: torch.channels_last, 5: torch.channels_last_3d}  # other ranks have none
    memory_format = of_rank.get(len(shape), torch.contiguous_format) if follows else torch.contiguous_format
    return torch.empty(shape, dtype=dtype, device=input.device, memory_format=memory_format)


@_fake("grid_sample", "_grid_sample")
def _grid_sample(
    input: Tensor, grid: Tensor, mode: int, padding: list[int], coordinates: int, fill_value: Tensor | None, float_output: bool
) -> Tensor:
    _check(input, grid, mode, padding, coordinates, fill_value)
    return _empty_as(input, _output_shape(input, grid), _output_dtype(input, float_output))


@_fake("grid_sample_backward")
def _grid_sample_backward(
    grad_output: Tensor, input: Tensor, grid: Tensor, mode: int, padding: list[int], coordinates: int,
    fill_value: Tensor | None, float_output: bool, output_mask: Sequence[bool], deterministic: bool,
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    _check(input, grid, mode, padding, coordinates, fill_value)
    shape, dtype = _output_shape(input, grid), _output_dtype(input, float_output)
    _checks.check_like("grid_sample_backward", "grad_output", grad_output, shape, dtype, input)
    if output_mask[2] and fill_value is None:
        raise ValueError("grid_sample_backward: expected output_mask[2] to be False without a fill_value")
    grad_input = _empty_as(input, input.shape, input.dtype) if output_mask[0] else None
    grad_grid = grid.new_empty(grid.shape) if output_mask[1] else None
    return grad_input, grad_grid, _dense_as(fill_value, output_mask[2])


@_fake("grid_sample_double_backward")
def _grid_sample_double_backward(
    t_input: Tensor | None, t_grid: Tensor | None, t_fill: Tensor | None, grad_output: Tensor | None,
    input: Tensor, grid: Tensor,
    mode: int, padding: list[int], coordinates: int, fill_value: Tensor | None, float_output: bool,
    output_mask: Sequence[bool], deterministic: bool,
) -> tuple[Tensor | None, Tensor | None, Tensor | None, Tensor | None]:
    function = "grid_sample_double_backward"
    _check(input, grid, mode, padding, coordinates, fill_value)
    shape, dtype = _output_shape(input, grid), _output_dtype(input, float_output)
    for name, tensor, expected_shape, expected_dtype in (
        ("t_input", t_input, input.shape, input.dtype), ("t_grid", t_grid, grid.shape, grid.dtype),
        ("grad_output", grad_output, shape, dtype),
    ):
        if tensor is not None:
            _checks.check_like(function, name, tensor, expected_shape, expected_dtype, input)
    if fill_value is not None and t_fill is not None:
        _checks.check_like(function, "t_fill", t_fill, fill_value.shape, fill_value.dtype, input)
    if fill_value is None and (output_mask[3] or t_fill is not None):
        raise ValueError(f"{function}: expected no t_fill and output_mask[3] to be False without a fill_value")
    if grad_output is None and any(output_mask[1:]):
        raise ValueError(f"{function}: expected grad_output for the gradients of input, grid and fill_value")
    grad_grad_output = _empty_as(input, shape, dtype) if output_mask[0] else None
    grad_input = _empty_as(input, input.shape, input.dtype) if output_mask[1] else None
    grad_grid = grid.new_empty(grid.shape) if output_mask[2] else None
    return grad_grad_output, grad_input, grad_grid, _dense_as(fill_value, output_mask[3])


def _dense_as(fill_value: Tensor | None, wanted: bool) -> Tensor | None:
    return fill_value.new_empty(fill_value.shape) if wanted and fill_value is not None else None


def _parameter_shape(transform: int, batch: int, size: Sequence[int]) -> tuple[int, ...]:
    if transform == _C.TRANSFORM_KINDS["flow"]:
        return (batch, len(size), *size)
    return (batch, len(size) + (transform == _C.TRANSFORM_KINDS["projective"]), len(size) + 1)


def _check_parameters(function: str, parameters: Tensor, transform: int, size: Sequence[int]) -> None:
    _checks.check_tensor(function, "parameters", parameters)
    if transform not in _C.TRANSFORM_KINDS.values():
        raise ValueError(f"{function}: expected transform to be one of {_C.TRANSFORM_KINDS}, got {transform}")
    if len(size) not in (2, 3):
        raise ValueError(f"{function}: expected size (H, W) or (D, H, W), got {list(size)}")
    shape = _parameter_shape(transform, parameters.shape[0] if parameters.dim() else 0, size)
    _checks.check_like(function, "parameters", parameters, shape, parameters.dtype, parameters)


@_fake("transform_grid")
def _transform_grid(
    parameters: Tensor, transform: int, size: Sequence[int], in_size: Sequence[int], pixels: bool, align_corners: bool
) -> Tensor:
    _check_parameters("transform_grid", parameters, transform, size)
    return parameters.new_empty((parameters.shape[0], *size, len(size)))


@_fake("_transform_grid")
def _transform_grid_or_tangent(parameters: Tensor, tangent: Tensor | None, *options: Any) -> Tensor:
    if tangent is not None:
        _checks.check_like("transform_grid", "tangent", tangent, parameters.shape, parameters.dtype, parameters)
    return _transform_grid(parameters, *options)


@_fake("transform_grid_backward")
def _transform_grid_backward(
    grad_grid: Tensor, parameters: Tensor | None, tangent: Tensor | None, transform: int, size: Sequence[int],
    in_size: Sequence[int], pixels: bool, align_corners: bool,
) -> Tensor:
    batch = grad_grid.shape[0]
    _checks.check_like(
        "transform_grid_backward", "grad_grid", grad_grid, (batch, *size, len(size)), grad_grid.dtype, grad_grid)
    return grad_grid.new_empty(_parameter_shape(transform, batch, size))


def _check_transform_sample(
    input: Tensor, parameters: Tensor, transform: int, size: Sequence[int], mode: int, padding: Sequence[int], coordinates: int,
    fill_value: Tensor | None,
) -> tuple[int, ...]:
    """The output's shape."""
    _checks.check_tensor("transform_sample", "input", input)
    _check_parameters("transform_sample", parameters, transform, size)
    _grid_checks.check_transform_sample("transform_sample", "parameters", input, parameters, size, any_mix=True)
    _checks.check_sample_options(input, parameters, mode, padding, coordinates, fill_value)
    return (_checks.joint_batch(input, parameters), input.shape[1], *size)


@_fake("transform_sample", "_transform_sample")
def _transform_sample(
    input: Tensor, parameters: Tensor, transform: int, size: Sequence[int], mode: int, padding: Sequence[int], coordinates: int,
    fill_value: Tensor | None, float_output: bool,
) -> Tensor:
    shape = _check_transform_sample(input, parameters, transform, size, mode, padding, coordinates, fill_value)
    return _empty_as(input, shape, _output_dtype(input, float_output))


@_fake("transform_sample_backward")
def _transform_sample_backward(
    grad_output: Tensor, input: Tensor, parameters: Tensor, transform: int, size: Sequence[int], mode: int,
    padding: Sequence[int], coordinates: int, fill_value: Tensor | None, float_output: bool, output_mask: Sequence[bool],
    deterministic: bool,
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    shape = _check_transform_sample(input, parameters, transform, size, mode, padding, coordinates, fill_value)
    function = "transform_sample_backward"
    _checks.check_like(function, "grad_output", grad_output, shape, _output_dtype(input, float_output), input)
    if output_mask[2] and fill_value is None:
        raise ValueError(f"{function}: expected output_mask[2] to be False without a fill_value")
    grad_input = _empty_as(input, input.shape, input.dtype) if output_mask[0] else None
    grad_parameters = parameters.new_empty(parameters.shape) if output_mask[1] else None
    return grad_input, grad_parameters, _dense_as(fill_value, output_mask[2])


@_fake("affine_grid")
def _affine_grid(theta: Tensor, size: Sequence[int], align_corners: bool) -> Tensor:
    _grid_checks.check_affine_operator(theta, size)
    return theta.new_empty((size[0], *size[2:], len(size) - 2))
