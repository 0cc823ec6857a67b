"""The choice of a route, the Functions of plain eager calls, and the public operators' own autograd.

===========================  ==============================================================================================
how a function is called     where it goes
===========================  ==============================================================================================
eager, no gradient wanted    the operator without Autograd key: the cheapest
eager, a gradient wanted     a Function; it saves input and grid only (coordinates cost less to form again than to keep)
compile, export, tracing     the public operator; its Autograd key is the Python kernel at the end of this file.
                             (torch.library.register_autograd would silently drop forward-mode tangents.)
torch.func, forward AD       the Functions of ``_transforms``, over the same kernels; inside torch.compile as one node each
===========================  ==============================================================================================

The reference, plain torch operations, gives third and higher derivatives. It also stands in for a transform inside torch.export
or torch.jit.trace, which can't record a Function there, and for affine_grid in a trace, which would take the operator's sizes
for constants.
"""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch._guards import TracingContext
from torch.autograd import Function, forward_ad

from . import _checks, _grid_checks, _grid_functions, _operators, _transforms
from ._operators import GridOptions, Options, Triple

_ops = torch.ops.stn_cuda


# ---- routes -------------------------------------------------------------------------------------------------------------

def grid_sample(
    input: Tensor, grid: Tensor, fill: Tensor | None, mode: int, padding: list[int], coordinates: int,
    float_output: bool = False,
) -> Tensor:
    """The checked call: input [N, C, *in], grid [N, *out, dims], fill [N or 1, C] -> [N, C, *out]."""
    refuse_compiled_duals()
    options = mode, padding, coordinates, float_output
    transform = in_transform()
    if transform and wants_plain_operations():
        return _operators.reference_sample(input, grid, fill, options)
    if transform:
        function = _transforms.grid_sample_in_graph if torch.compiler.is_compiling() else _transforms.GridSampleFunction.apply
        return function(input, grid, fill, options)
    if torch.compiler.is_compiling() or torch.jit.is_tracing():
        return _ops.grid_sample.default(input, grid, mode, padding, coordinates, fill, float_output)
    return _eager_sample(input, grid, fill, options)


def affine_grid(theta: Tensor, size: Sequence[int], align_corners: bool) -> Tensor:
    """The checked call: theta [N, dims, dims + 1], size (N, C, *out) -> [N, *out, dims]."""
    if torch.compiler.is_compiling() and not in_transform():  # programs name it by its own operator
        refuse_compiled_duals()
        return _ops.affine_grid.default(theta, size, align_corners)
    return transform_grid(theta, _affine_options(size, align_corners))


def transform_grid(parameters: Tensor, options: GridOptions) -> Tensor:
    """The checked call: parameters [N, ...] -> [N, *size, dims]."""
    refuse_compiled_duals()
    transform, compiling = in_transform(), torch.compiler.is_compiling()
    if torch.jit.is_tracing() or (transform and wants_plain_operations()):
        return _operators.reference_grid(parameters, options)
    if transform:
        function = _grid_functions.grid_in_graph if compiling else _grid_functions.TransformGridFunction.apply
        return function(parameters, options)
    if compiling:
        return _ops.transform_grid.default(parameters, *options)
    return _eager_grid(parameters, options)


def _affine_options(size: Sequence[int], align_corners: bool) -> GridOptions:
    out = list(size[2:])
    return _operators.AFFINE, out, out, False, align_corners


def autocast_is_wide(input: Tensor, grid: Tensor) -> bool:
    """Whether autocast gives 16-bit images a float32 output: torch's rule, always on CPU, to the wider of both on CUDA."""
    return input.device.type == "cpu" or grid.dtype != input.dtype


def in_transform() -> bool:
    return torch._C._are_functorch_transforms_active() or forward_ad._current_level >= 0


def wants_plain_operations() -> bool:
    """Inside a transform: a recorder that can't record a Function there, or functionalize, which has no rule for one."""
    if torch._C._are_functorch_transforms_active() and not torch.compiler.is_compiling():
        if torch._C._functorch.peek_interpreter_stack().key() == torch._C._functorch.TransformType.Functionalize:
            return True
    return torch.compiler._is_exporting_flag or torch.jit.is_tracing()  # is_exporting() is True in a compiler too on torch 2.11


def refuse_compiled_duals() -> None:
    """torch.compile (inductor) drops the tangents of dual numbers given to it, for every operator and without a word."""
    if forward_ad._current_level < 0 or torch._C._are_functorch_transforms_active():
        return
    if torch.compiler.is_compiling() or TracingContext.try_get() is not None:  # torch 2.11 lacks the first for operators
        raise NotImplementedError("stn_cuda: torch.compile loses forward-mode tangents; call torch.func.jvp inside it instead")


def _eager_sample(input: Tensor, grid: Tensor, fill: Tensor | None, options: Options) -> Tensor:
    wants = torch.is_grad_enabled() and (
        input.requires_grad or grid.requires_grad or (fill is not None and fill.requires_grad))
    return (GridSampleFunction.apply if wants else _operators.sample)(input, grid, fill, options)


def _eager_grid(parameters: Tensor, options: GridOptions) -> Tensor:
    wants = torch.is_grad_enabled() and parameters.requires_grad
    return (TransformGridFunction.apply if wants else _operators.transform_grid)(parameters, options)


# ---- Functions of plain eager calls -------------------------------------------------------------------------------------
# Old-style, which is what makes them cheap.

def differentiable(plain: Any, recorded: Any, transformed: Any, cotangent: Tensor | None) -> Any:
    """What a backward calls: the plain operator, or with create_graph=True one that is differentiable itself."""
    if in_transform():  # around this backward alone: a vmap over cotangents, a cotangent with a tangent
        return transformed
    if not torch.is_grad_enabled():
        return plain
    if cotangent is not None:
        _transforms.refuse_older_batching(cotangent)
    return recorded


class GridSampleFunction(Function):
    @staticmethod
    def forward(ctx: Any, input: Tensor, grid: Tensor, fill: Tensor | None, options: Options) -> Tensor:
        ctx.save_for_backward(input, grid, fill)
        ctx.options = options
        return _operators.sample(input, grid, fill, options)

    @staticmethod
    def backward(ctx: Any, grad_output: Tensor) -> tuple[Tensor | None, ...]:  # [N, C, *out]
        function = differentiable(
            _operators.gradients, GridSampleBackwardFunction.apply, _transforms.GridSampleBackwardFunction.apply, grad_output)
        return *function(grad_output, *ctx.saved_tensors, ctx.options, ctx.needs_input_grad[:3]), None  # options


class GridSampleBackwardFunction(Function):
    """The gradients as a function of grad_output, input, grid and fill."""

    @staticmethod
    def forward(
        ctx: Any, grad_output: Tensor, input: Tensor, grid: Tensor, fill: Tensor | None, options: Options,
        wanted: Sequence[bool],
    ) -> Triple:
        ctx.save_for_backward(grad_output, input, grid, fill)
        ctx.options = options
        ctx.set_materialize_grads(False)
        return _operators.gradients(grad_output, input, grid, fill, options, wanted)

    @staticmethod
    def backward(ctx: Any, *tangents: Tensor | None) -> tuple[Tensor | None, ...]:
        # cotangents of the gradients by input [N, C, *in], grid [N, *out, dims], fill [N or 1, C], and so tangents of those
        second = _transforms.GridSampleSecondFunction.apply
        given = next((tangent for tangent in tangents if tangent is not None), None)
        function = differentiable(_operators.second, second, second, given)
        return *function(
            *tangents, *ctx.saved_tensors, ctx.options, ctx.needs_input_grad[:4]), None, None  # options, wanted


class TransformGridFunction(Function):
    """Saves the parameters of a homography alone: the others are linear in them."""

    @staticmethod
    def forward(ctx: Any, parameters: Tensor, options: GridOptions) -> Tensor:
        ctx.save_for_backward(parameters if options[0] == _operators.PROJECTIVE else None)
        ctx.options = options
        return _operators.transform_grid(parameters, options)

    @staticmethod
    def backward(ctx: Any, grad_grid: Tensor) -> tuple[Tensor | None, ...]:  # [N, *size, dims]
        recorded = _grid_functions.TransformGridBackwardFunction.apply
        function = differentiable(_operators.transform_grid_backward, recorded, recorded, grad_grid)
        return function(grad_grid, *ctx.saved_tensors, ctx.options), None  # options


# ---- the public operators' own autograd ---------------------------------------------------------------------------------

def refuse_transforms(name: str) -> None:
    if torch._C._are_functorch_transforms_active():
        raise NotImplementedError(f"torch.func transforms need stn_cuda.{name}, not torch.ops.stn_cuda.{name}")


def _grid_sample_autograd_key(
    input: Tensor, grid: Tensor, mode: int, padding: list[int], coordinates: int, fill_value: Tensor | None, float_output: bool
) -> Tensor:
    refuse_transforms("grid_sample")
    refuse_compiled_duals()
    _checks.check_tensor("stn_cuda::grid_sample", "input", input)
    _checks.check_tensor("stn_cuda::grid_sample", "grid", grid)
    _checks.check_sample_options(input, grid, mode, padding, coordinates, fill_value)
    options = mode, padding, coordinates, float_output
    if forward_ad._current_level >= 0:
        return _transforms.GridSampleFunction.apply(input, grid, fill_value, options)
    return _eager_sample(input, grid, fill_value, options)


def _affine_grid_autograd_key(theta: Tensor, size: list[int], align_corners: bool) -> Tensor:
    _checks.check_tensor("stn_cuda::affine_grid", "theta", theta)
    _grid_checks.check_affine_operator(theta, size)
    return _grid_autograd("affine_grid", theta, _affine_options(size, align_corners))


def _transform_grid_autograd_key(
    parameters: Tensor, transform: int, size: list[int], in_size: list[int], pixels: bool, align_corners: bool
) -> Tensor:
    _checks.check_tensor("stn_cuda::transform_grid", "parameters", parameters)
    return _grid_autograd("transform_grid", parameters, (transform, size, in_size, pixels, align_corners))


def _grid_autograd(name: str, parameters: Tensor, options: GridOptions) -> Tensor:
    refuse_transforms(name)
    refuse_compiled_duals()
    if forward_ad._current_level >= 0:
        return _grid_functions.TransformGridFunction.apply(parameters, options)
    return _eager_grid(parameters, options)


# ---- the public operators under autocast: in scripts, and for direct callers --------------------------------------------

def _grid_sample_autocast_key(
    input: Tensor, grid: Tensor, mode: int, padding: list[int], coordinates: int, fill_value: Tensor | None, float_output: bool
) -> Tensor:
    with torch.autocast(input.device.type, enabled=False):
        float_output = float_output or autocast_is_wide(input, grid)
        return _ops.grid_sample.default(input, grid, mode, padding, coordinates, fill_value, float_output)


def _affine_grid_autocast_key(theta: Tensor, size: list[int], align_corners: bool) -> Tensor:
    with torch.autocast(theta.device.type, enabled=False):
        return _ops.affine_grid.default(theta.to(_checks.accumulate_dtype(theta.dtype)), size, align_corners)


_library = torch.library.Library("stn_cuda", "IMPL")
for _key in ("AutocastCPU", "AutocastCUDA"):
    _library.impl("grid_sample", _grid_sample_autocast_key, _key)
    _library.impl("affine_grid", _affine_grid_autocast_key, _key)
_library.impl("grid_sample", _grid_sample_autograd_key, "Autograd")
_library.impl("affine_grid", _affine_grid_autograd_key, "Autograd")
_library.impl("transform_grid", _transform_grid_autograd_key, "Autograd")
