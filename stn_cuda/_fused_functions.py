"""Sampling through transforms without a grid in memory: its autograd and its routes, as ``_autograd``'s.

A first backward in a plain or compiled call is a kernel that knows the transform. Whatever is differentiated further, or inside
one of torch.func's transforms, is the grid's Functions and grid_sample's, one after the other: kernels too, and the same
numbers, but the grid, in pixels, is in memory.
"""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function, forward_ad

from . import _autograd, _checks, _operators, _transforms
from ._grid_functions import TransformGridBackwardFunction, TransformGridFunction
from ._operators import FusedOptions, GridOptions

# ---- sampling -----------------------------------------------------------------------------------------------------------

class TransformSampleFunction(Function):
    """Old-style, for plain eager calls, as _autograd.GridSampleFunction."""

    @staticmethod
    def forward(ctx: Any, input: Tensor, parameters: Tensor, fill: Tensor | None, options: FusedOptions) -> Tensor:
        ctx.save_for_backward(input, parameters, fill)
        ctx.options = options
        return _operators.transform_sample(input, parameters, fill, options)

    @staticmethod
    def backward(ctx: Any, grad_output: Tensor) -> tuple[Tensor | None, ...]:  # [N, C, *size]
        function = _autograd.differentiable(
            _operators.transform_gradients, _recorded_gradients, _recorded_gradients, grad_output)
        return *function(grad_output, *ctx.saved_tensors, ctx.options, ctx.needs_input_grad[:3]), None  # options


def _recorded_gradients(
    grad_output: Tensor, input: Tensor, parameters: Tensor, fill: Tensor | None, options: FusedOptions, wanted: Sequence[bool]
) -> tuple[Tensor | None, ...]:
    """_operators.transform_gradients, differentiable itself: by the grid's Functions and grid_sample's."""
    of_grid, of_sampling = separate(options, input)
    given, parameters = parameters.dtype, in_computed_dtype(parameters)
    grid = TransformGridFunction.apply(parameters, of_grid)
    by_input, by_grid, by_fill = _transforms.GridSampleBackwardFunction.apply(
        grad_output, input, grid, fill, of_sampling, wanted)
    if by_grid is None:
        return by_input, None, by_fill
    return by_input, TransformGridBackwardFunction.apply(by_grid, parameters, of_grid).to(given), by_fill


def in_computed_dtype(parameters: Tensor) -> Tensor:
    """16 bits hold no pixels of a grid."""
    return parameters.to(_checks.accumulate_dtype(parameters.dtype))


def separate(options: FusedOptions, input: Tensor) -> tuple[GridOptions, _operators.Options]:
    """The options of the grid, in input's pixels, and of sampling at it."""
    transform, size, mode, padding, coordinates, float_output = options
    centres = coordinates == _operators.CENTRE_PIXELS
    return (transform, size, list(input.shape[2:]), True, centres), (mode, padding, coordinates, float_output)


# ---- routes -------------------------------------------------------------------------------------------------------------

def transform_sample(input: Tensor, parameters: Tensor, fill: Tensor | None, options: FusedOptions) -> Tensor:
    """The checked call: input [N, C, *in], parameters [N, ...] -> [N, C, *size]."""
    _autograd.refuse_compiled_duals()
    if torch.jit.is_tracing():
        return _traced_sample(input, in_computed_dtype(parameters), fill, options)
    if _autograd.in_transform():
        of_grid, of_sampling = separate(options, input)
        grid = _autograd.transform_grid(in_computed_dtype(parameters), of_grid)
        return _autograd.grid_sample(input, grid, fill, *of_sampling)
    if torch.compiler.is_compiling():
        transform, size, mode, padding, coordinates, float_output = options
        return torch.ops.stn_cuda.transform_sample.default(
            input, parameters, transform, size, mode, padding, coordinates, fill, float_output)
    return _eager_sample(input, parameters, fill, options)


def _traced_sample(input: Tensor, parameters: Tensor, fill: Tensor | None, options: FusedOptions) -> Tensor:
    """In a trace input's sizes may be any, and so theta's coordinates are normalised there; a flow's don't depend on them."""
    (transform, size, in_size, _, centres), (mode, padding, coordinates, float_output) = separate(options, input)
    is_flow = transform == _operators.FLOW
    grid = _operators.reference_grid(parameters, (transform, size, in_size, is_flow, centres))
    coordinates = coordinates if is_flow else _operators.CENTRES if centres else _operators.EDGES
    return _autograd.grid_sample(input, grid, fill, mode, padding, coordinates, float_output)


def _eager_sample(input: Tensor, parameters: Tensor, fill: Tensor | None, options: FusedOptions) -> Tensor:
    wants = torch.is_grad_enabled() and (
        input.requires_grad or parameters.requires_grad or (fill is not None and fill.requires_grad))
    return (TransformSampleFunction.apply if wants else _operators.transform_sample)(input, parameters, fill, options)


# ---- the public operators' own autograd, and under autocast -------------------------------------------------------------

def _transform_sample_autograd_key(
    input: Tensor, parameters: Tensor, transform: int, size: list[int], mode: int, padding: list[int], coordinates: int,
    fill_value: Tensor | None, float_output: bool,
) -> Tensor:
    _autograd.refuse_transforms("affine_sample")
    _autograd.refuse_compiled_duals()
    _checks.check_tensor("stn_cuda::transform_sample", "input", input)
    _checks.check_tensor("stn_cuda::transform_sample", "parameters", parameters)
    options = transform, size, mode, padding, coordinates, float_output
    if forward_ad._current_level >= 0:
        return transform_sample(input, parameters, fill_value, options)
    return _eager_sample(input, parameters, fill_value, options)


def _transform_sample_autocast_key(
    input: Tensor, parameters: Tensor, transform: int, size: list[int], mode: int, padding: list[int], coordinates: int,
    fill_value: Tensor | None, float_output: bool,
) -> Tensor:
    with torch.autocast(input.device.type, enabled=False):
        float_output = float_output or _autograd.autocast_is_wide(input, parameters)
        return torch.ops.stn_cuda.transform_sample.default(
            input, parameters, transform, size, mode, padding, coordinates, fill_value, float_output)


_library = torch.library.Library("stn_cuda", "IMPL")
for _key in ("AutocastCPU", "AutocastCUDA"):
    _library.impl("transform_sample", _transform_sample_autocast_key, _key)
_library.impl("transform_sample", _transform_sample_autograd_key, "Autograd")
