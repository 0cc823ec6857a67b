"""Every autograd.Function, and the choice of a route.

===========================  ==============================================================================================
how a function is called     where it goes
===========================  ==============================================================================================
eager, no gradient wanted    the operator without Autograd key: the cheapest
eager, a gradient wanted     a Function; it saves input and grid only (coordinates cost less to form again than to keep)
compile, export, tracing     the public operator; its Autograd key is the Python kernel at the end of this file.
                             (torch.library.register_autograd would silently drop forward-mode tangents.)
torch.func, forward AD       the reference: plain torch operations, which every transform understands. Slow and right.
===========================  ==============================================================================================

The reference also gives third and higher derivatives, and what a device has no kernel for yet: on CUDA all but grid_sample's
forward.
"""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function, forward_ad

from . import _checks, _fake, reference  # noqa: F401  (the fakes are registered by their import)
from ._extension import _C

_ops = torch.ops.stn_cuda
_sample = _ops._grid_sample.default  # an overload is called faster than its packet
_sample_backward = _ops.grid_sample_backward.default
_sample_double_backward = _ops.grid_sample_double_backward.default
_grid = _ops._affine_grid.default
_grid_backward = _ops.affine_grid_backward.default

_MODE_NAMES = {value: name for name, value in _C.INTERPOLATION_MODES.items()}
_PADDING_NAMES = {value: name for name, value in _C.PADDING_MODES.items()}
_ALIGN_CORNERS = {_C.COORDINATE_CONVENTIONS["edges"]: False, _C.COORDINATE_CONVENTIONS["centres"]: True}


# ---- routes -------------------------------------------------------------------------------------------------------------

def grid_sample(input: Tensor, grid: Tensor, mode: int, padding: list[int], coordinates: int) -> Tensor:
    """The checked call: input [N, C, *in], grid [N, *out, dims] -> [N, C, *out]."""
    _refuse_compiled_duals()
    gradient = _needs_gradient(input, grid)
    if _in_transform() or (gradient and not _has_gradient_kernels(input)):
        return _reference_sample(input, grid, mode, padding, coordinates)
    if torch.compiler.is_compiling() or torch.jit.is_tracing():
        return _ops.grid_sample.default(input, grid, mode, padding, coordinates, None, False)
    if gradient:
        return GridSampleFunction.apply(input, grid, mode, padding, coordinates)
    return _sample(input, grid, mode, padding, coordinates, None, False)


def affine_grid(theta: Tensor, size: list[int], align_corners: bool) -> Tensor:
    """The checked call: theta [N, dims, dims + 1], size (N, C, *out) -> [N, *out, dims]."""
    _refuse_compiled_duals()
    if _in_transform() or torch.jit.is_tracing() or not _has_gradient_kernels(theta):
        # (Tracing records an operator's list of sizes as constants, a trace has to follow those of its inputs.)
        return reference.affine_grid(theta, size, align_corners)
    if torch.compiler.is_compiling():
        return _ops.affine_grid.default(theta, size, align_corners)
    return AffineGridFunction.apply(theta, size, align_corners) if _needs_gradient(theta) else _grid(theta, size, align_corners)


def _in_transform() -> bool:
    return torch._C._are_functorch_transforms_active() or forward_ad._current_level >= 0


def _refuse_compiled_duals() -> None:
    """torch.compile (inductor) drops the tangents of dual numbers given to it, for every operator and without a word."""
    if forward_ad._current_level >= 0 and torch.compiler.is_compiling() and not torch._C._are_functorch_transforms_active():
        raise NotImplementedError("stn_cuda: torch.compile loses forward-mode tangents; call torch.func.jvp inside it instead")


def _needs_gradient(*tensors: Tensor) -> bool:
    return torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors)


def _has_gradient_kernels(tensor: Tensor) -> bool:
    return tensor.device.type != "cuda"


def _reference_sample(input: Tensor, grid: Tensor, mode: int, padding: list[int], coordinates: int) -> Tensor:
    return reference.grid_sample(
        input, grid, _MODE_NAMES[mode], _PADDING_NAMES[padding[0]], _ALIGN_CORNERS[coordinates])


# ---- Functions ----------------------------------------------------------------------------------------------------------

class GridSampleFunction(Function):
    @staticmethod
    def forward(ctx: Any, input: Tensor, grid: Tensor, mode: int, padding: list[int], coordinates: int) -> Tensor:
        ctx.save_for_backward(input, grid)
        ctx.options = mode, padding, coordinates
        return _sample(input, grid, mode, padding, coordinates, None, False)

    @staticmethod
    def backward(ctx: Any, grad_output: Tensor) -> tuple[Tensor | None, ...]:  # [N, C, *out]
        # grad mode is on where create_graph=True: then the gradients have to be differentiable themselves
        apply = GridSampleBackwardFunction.apply if torch.is_grad_enabled() else _gradients
        return *apply(grad_output, *ctx.saved_tensors, *ctx.options, *ctx.needs_input_grad[:2]), None, None, None  # options


class GridSampleBackwardFunction(Function):
    """The gradients as a function of grad_output, input and grid. Third and higher derivatives go through the reference."""

    @staticmethod
    def forward(
        ctx: Any, grad_output: Tensor, input: Tensor, grid: Tensor, mode: int, padding: list[int], coordinates: int,
        want_input: bool, want_grid: bool,
    ) -> tuple[Tensor | None, Tensor | None]:
        ctx.save_for_backward(grad_output, input, grid)
        ctx.options, ctx.wanted = (mode, padding, coordinates), (want_input, want_grid)
        ctx.set_materialize_grads(False)
        return _gradients(grad_output, input, grid, *ctx.options, *ctx.wanted)

    @staticmethod
    def backward(ctx: Any, t_input: Tensor | None, t_grid: Tensor | None) -> tuple[Tensor | None, ...]:
        # t_input [N, C, *in], t_grid [N, *out, dims]: cotangents of the gradients, and so tangents of input and grid
        grad_output, input, grid = ctx.saved_tensors
        wanted = ctx.needs_input_grad[:3]
        if torch.is_grad_enabled():
            second = _reference_second((grad_output, input, grid), ctx.options, ctx.wanted, wanted, (t_input, t_grid))
        else:
            second = _sample_double_backward(
                t_input, t_grid, None, grad_output, input, grid, *ctx.options, None, False, [*wanted, False],
                torch.are_deterministic_algorithms_enabled())[:3]
        return *second, None, None, None, None, None  # mode, padding, coordinates, want_input, want_grid


def _gradients(
    grad_output: Tensor, input: Tensor, grid: Tensor, mode: int, padding: list[int], coordinates: int, *wanted: bool
) -> tuple[Tensor | None, Tensor | None]:
    deterministic = torch.are_deterministic_algorithms_enabled()
    return _sample_backward(
        grad_output, input, grid, mode, padding, coordinates, None, False, [*wanted, False], deterministic)[:2]


def _reference_second(
    tensors: Sequence[Tensor], options: tuple[int, list[int], int], wanted_first: Sequence[bool], wanted: Sequence[bool],
    cotangents: Sequence[Tensor | None],
) -> list[Tensor | None]:
    """What GridSampleBackwardFunction.backward returns, as part of a graph: by tensors = grad_output, input, grid.

    By views of the tensors: one of them may depend on another (a spatial transformer's grid does on its image), and that path
    is the outer backward's to count, not this one's.
    """
    grad_output, input, grid = tensors = [tensor.view_as(tensor) for tensor in tensors]
    sources = [tensor for tensor, want in zip((input, grid), wanted_first) if want]
    first = torch.autograd.grad(_reference_sample(input, grid, *options), sources, grad_output, create_graph=True)
    given = [cotangent for cotangent, want in zip(cotangents, wanted_first) if want]
    pairs = [(gradient, cotangent) for gradient, cotangent in zip(first, given) if cotangent is not None]
    selected = [tensor for tensor, want in zip(tensors, wanted) if want]
    second = iter(torch.autograd.grad(
        [gradient for gradient, _ in pairs], selected, [cotangent for _, cotangent in pairs], create_graph=True,
        materialize_grads=True))
    return [next(second) if want else None for want in wanted]


class AffineGridFunction(Function):
    """Linear in theta, so that its backward's derivative is itself."""

    @staticmethod
    def forward(ctx: Any, theta: Tensor, size: list[int], align_corners: bool) -> Tensor:
        ctx.options = size, align_corners
        return _grid(theta, size, align_corners)

    @staticmethod
    def backward(ctx: Any, grad_grid: Tensor) -> tuple[Tensor | None, ...]:  # [N, *out, dims]
        apply = AffineGridBackwardFunction.apply if torch.is_grad_enabled() else _grid_backward
        return apply(grad_grid, *ctx.options), None, None  # size, align_corners


class AffineGridBackwardFunction(Function):
    @staticmethod
    def forward(ctx: Any, grad_grid: Tensor, size: list[int], align_corners: bool) -> Tensor:
        ctx.options = size, align_corners
        return _grid_backward(grad_grid, size, align_corners)

    @staticmethod
    def backward(ctx: Any, grad_grad_theta: Tensor) -> tuple[Tensor | None, ...]:  # [N, dims, dims + 1]
        apply = AffineGridFunction.apply if torch.is_grad_enabled() else _grid
        return apply(grad_grad_theta, *ctx.options), None, None  # size, align_corners


# ---- the public operators' own autograd ---------------------------------------------------------------------------------

def _refuse_transforms(name: str) -> None:
    if torch._C._are_functorch_transforms_active():
        raise NotImplementedError(f"torch.func transforms need stn_cuda.{name}, not torch.ops.stn_cuda.{name}")


def _grid_sample_autograd_key(
    input: Tensor, grid: Tensor, mode: int, padding: list[int], coordinates: int, fill_value: Tensor | None, float_output: bool
) -> Tensor:
    _refuse_transforms("grid_sample")
    _refuse_compiled_duals()
    _checks.check_tensor("stn_cuda::grid_sample", "input", input)
    _checks.check_tensor("stn_cuda::grid_sample", "grid", grid)
    _checks.check_sample_options(mode, padding, coordinates, fill_value)
    gradient = _needs_gradient(input, grid)
    if forward_ad._current_level >= 0 or (gradient and not _has_gradient_kernels(input)):
        return _reference_sample(input, grid, mode, padding, coordinates)
    if gradient:
        return GridSampleFunction.apply(input, grid, mode, padding, coordinates)
    return _sample(input, grid, mode, padding, coordinates, fill_value, float_output)


def _affine_grid_autograd_key(theta: Tensor, size: list[int], align_corners: bool) -> Tensor:
    _refuse_transforms("affine_grid")
    _refuse_compiled_duals()
    _checks.check_tensor("stn_cuda::affine_grid", "theta", theta)
    if forward_ad._current_level >= 0 or not _has_gradient_kernels(theta):
        return reference.affine_grid(theta, size, align_corners)
    return AffineGridFunction.apply(theta, size, align_corners) if _needs_gradient(theta) else _grid(theta, size, align_corners)


_library = torch.library.Library("stn_cuda", "IMPL")
_library.impl("grid_sample", _grid_sample_autograd_key, "Autograd")
_library.impl("affine_grid", _affine_grid_autograd_key, "Autograd")
