"""The Functions that torch.func's transforms and forward mode understand: with setup_context, vmap and jvp.

Up to the second order they are closed under differentiation, each derivative a call of one of them and so of a kernel:

    ===========================  ==========================================  =================================
    Function                     backward                                    jvp
    ===========================  ==========================================  =================================
    GridSampleFunction           GridSampleBackwardFunction                  GridSampleJvpFunction
    GridSampleBackwardFunction   GridSampleSecondFunction                    itself + GridSampleSecondFunction
    GridSampleJvpFunction        GridSampleBackwardFunction, SecondFunction  the reference
    GridSampleSecondFunction     the reference                               the reference
    AffineGridFunction           AffineGridBackwardFunction                  itself
    AffineGridBackwardFunction   AffineGridFunction                          itself
    ===========================  ==========================================  =================================

They always call each other by ``apply``, never an operator: that would drop the tangents and batch axes of a transform around
the one at hand. A call costs several times an old-style Function's, most of it torch's binding of arguments, which is why
``_autograd`` has Functions of its own for plain calls.
"""
from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, func
from torch.autograd import Function, forward_ad

from . import _operators
from ._operators import Options, Pair, Triple

Gradients = tuple[Tensor | None, ...]


def _save(ctx: Any, *tensors: Tensor | None) -> None:
    ctx.save_for_backward(*tensors)
    ctx.save_for_forward(*tensors)
    ctx.set_materialize_grads(False)  # an absent cotangent or tangent is None: kernels skip it, zeros they would read


# ---- vmap: the new axis joins the batch ---------------------------------------------------------------------------------

def _join_batch(info: Any, in_dims: Sequence[int | None], tensors: Sequence[Tensor | None]) -> tuple[list[Tensor | None], int]:
    """Tensors whose vmapped axis, or a shared tensor's expanded one, is part of their batch; and a slice's batch size."""
    joined: list[Tensor | None] = []
    batch = 0
    for tensor, dim in zip(tensors, in_dims):
        if tensor is not None:
            tensor = tensor.expand(info.batch_size, *tensor.shape) if dim is None else tensor.movedim(dim, 0)
            batch = tensor.shape[1]
            tensor = tensor.flatten(0, 1)
        joined.append(tensor)
    return joined, batch


def _split_batch(info: Any, batch: int, output: Any) -> tuple[Any, Any]:
    """What a vmap rule returns: an output, or a tuple of them, with the vmapped axis first; and where that axis is."""
    if isinstance(output, tuple):
        split = [_split_batch(info, batch, one) for one in output]
        return tuple(one for one, _ in split), tuple(dim for _, dim in split)
    return (None, None) if output is None else (output.unflatten(0, (info.batch_size, batch)), 0)


def _vmap(function: Any, count: int, info: Any, in_dims: Sequence[Any], arguments: Sequence[Any]) -> tuple[Any, Any]:
    """The rule of a Function whose first ``count`` arguments are tensors with a batch axis and the others options."""
    joined, batch = _join_batch(info, in_dims[:count], arguments[:count])
    return _split_batch(info, batch, function.apply(*joined, *arguments[count:]))


# ---- what has no kernel: derivatives of the reference -------------------------------------------------------------------
# Here a "function" takes tensors, some of them None, and gives a tuple of tensors.

def _reference_tangent(options: Options, *tensors: Tensor | None) -> tuple[Tensor, ...]:
    """GridSampleJvpFunction's forward in plain operations."""
    t_input, t_grid, input, grid = tensors
    return _push_forward(partial(_reference_sample, options), (input, grid), (t_input, t_grid))


def _reference_second(options: Options, wanted: Sequence[bool], *tensors: Tensor | None) -> tuple[Tensor, ...]:
    """GridSampleSecondFunction's forward in plain operations, without the Nones."""
    t_input, t_grid, *primals = tensors

    def gradients(grad_output: Tensor, input: Tensor, grid: Tensor) -> tuple[Tensor, ...]:
        return _vjp(partial(_reference_sample, options), input, grid)[1]((grad_output,))

    outputs, pull = _vjp(gradients, *primals)
    return tuple(result for result, want in zip(pull(_given_or_zeros((t_input, t_grid), outputs)), wanted) if want)


def _reference_sample(options: Options, input: Tensor, grid: Tensor) -> tuple[Tensor]:
    return (_operators.reference_sample(input, grid, options),)


def _pull_back(
    function: Callable, tensors: Sequence[Tensor | None], wanted: Sequence[bool], cotangents: Sequence[Tensor | None]
) -> list[Tensor | None]:
    """The gradients by the wanted tensors, themselves differentiable."""
    outputs, pull = _vjp(_of_variables(function, tensors, wanted), *itertools.compress(tensors, wanted))
    found = iter(pull(_given_or_zeros(cotangents, outputs)))
    return [next(found) if want else None for want in wanted]


def _push_forward(
    function: Callable, tensors: Sequence[Tensor | None], tangents: Sequence[Tensor | None]
) -> tuple[Tensor, ...]:
    """The tangents of the outputs, themselves differentiable.

    By transposing the transpose: func.jvp would enter a dual level, and torch refuses that inside one of forward_ad's.
    """
    moving = [tangent is not None for tangent in tangents]
    outputs, pull = _vjp(_of_variables(function, tensors, moving), *itertools.compress(tensors, moving))
    zeros = tuple(torch.zeros_like(output) for output in outputs)  # pull is linear, its derivative is the same everywhere
    return _vjp(pull, zeros)[1](tuple(itertools.compress(tangents, moving)))[0]


def _vjp(function: Callable, *primals: Any) -> tuple[Any, Callable]:
    """func.vjp; and the same by plain autograd in a plain call, which may have hooks on saved tensors: func.vjp refuses those.

    To either, a primal that depends on another is as independent as the others. That path is the caller's to count.
    """
    if torch._C._are_functorch_transforms_active() or forward_ad._current_level >= 0:
        outputs, pull = func.vjp(function, *primals)  # type: ignore[misc]  # a union, with a third part for has_aux
        return outputs, pull
    with torch.enable_grad():
        leaves = [primal.view_as(primal) if primal.requires_grad else primal.detach().requires_grad_() for primal in primals]
        outputs = function(*leaves)

    def pull_plainly(cotangents: Sequence[Tensor]) -> tuple[Tensor, ...]:
        dependent = [output.requires_grad for output in outputs]
        if not any(dependent):
            return tuple(torch.zeros_like(leaf) for leaf in leaves)
        return torch.autograd.grad(
            list(itertools.compress(outputs, dependent)), leaves, list(itertools.compress(cotangents, dependent)),
            create_graph=torch.is_grad_enabled(), materialize_grads=True)

    return outputs, pull_plainly


def _of_variables(function: Callable, tensors: Sequence[Tensor | None], variable: Sequence[bool]) -> Callable:
    """``function`` of those of its tensors alone that are variable."""
    def of_variables(*values: Tensor) -> Any:
        remaining = iter(values)
        return function(*(next(remaining) if varies else tensor for tensor, varies in zip(tensors, variable)))

    return of_variables


def _given_or_zeros(given: Sequence[Tensor | None], like: Sequence[Tensor]) -> tuple[Tensor, ...]:
    return tuple(torch.zeros_like(other) if tensor is None else tensor for tensor, other in zip(given, like))


# ---- grid_sample --------------------------------------------------------------------------------------------------------

class GridSampleFunction(Function):
    @staticmethod
    def forward(input: Tensor, grid: Tensor, options: Options) -> Tensor:
        return _operators.sample(input, grid, options)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        input, grid, ctx.options = inputs
        _save(ctx, input, grid)

    @staticmethod
    def backward(ctx: Any, grad_output: Tensor | None) -> Gradients:  # [N, C, *out]
        if grad_output is None:
            return None, None, None
        return *GridSampleBackwardFunction.apply(
            grad_output, *ctx.saved_tensors, ctx.options, ctx.needs_input_grad[:2]), None  # options

    @staticmethod
    def jvp(ctx: Any, t_input: Tensor | None, t_grid: Tensor | None, _: None) -> Tensor:
        return GridSampleJvpFunction.apply(t_input, t_grid, *ctx.saved_tensors, ctx.options)

    @staticmethod
    def vmap(info: Any, in_dims: Any, *arguments: Any) -> tuple[Any, Any]:
        return _vmap(GridSampleFunction, 2, info, in_dims, arguments)


class GridSampleJvpFunction(Function):
    """The tangent of the output, for tangents of input and grid either of which may be None."""

    @staticmethod
    def forward(t_input: Tensor | None, t_grid: Tensor | None, input: Tensor, grid: Tensor, options: Options) -> Tensor | None:
        return _operators.second(t_input, t_grid, None, input, grid, options, (True, False, False))[0]

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        *tensors, ctx.options = inputs
        _save(ctx, *tensors)

    @staticmethod
    def backward(ctx: Any, grad_tangent: Tensor | None) -> Gradients:  # [N, C, *out]
        if grad_tangent is None:
            return (None,) * 5
        t_input, t_grid, input, grid = ctx.saved_tensors
        by_tangents, by_primals = ctx.needs_input_grad[:2], ctx.needs_input_grad[2:4]
        first: Pair = None, None
        second: Triple = None, None, None
        if any(by_tangents):
            first = GridSampleBackwardFunction.apply(grad_tangent, input, grid, ctx.options, by_tangents)
        if any(by_primals):
            second = GridSampleSecondFunction.apply(
                t_input, t_grid, grad_tangent, input, grid, ctx.options, (False, *by_primals))
        return *first, *second[1:], None  # options

    @staticmethod
    def jvp(ctx: Any, *tangents: Tensor | None) -> Tensor:
        return _push_forward(partial(_reference_tangent, ctx.options), ctx.saved_tensors, tangents[:4])[0]

    @staticmethod
    def vmap(info: Any, in_dims: Any, *arguments: Any) -> tuple[Any, Any]:
        return _vmap(GridSampleJvpFunction, 4, info, in_dims, arguments)


class GridSampleBackwardFunction(Function):
    """The gradients by input and grid, None for what isn't wanted."""

    @staticmethod
    def forward(grad_output: Tensor, input: Tensor, grid: Tensor, options: Options, wanted: Sequence[bool]) -> Pair:
        return _operators.gradients(grad_output, input, grid, options, wanted)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        *tensors, ctx.options, ctx.wanted = inputs
        _save(ctx, *tensors)

    @staticmethod
    def backward(ctx: Any, t_input: Tensor | None, t_grid: Tensor | None) -> Gradients:
        # t_input [N, C, *in], t_grid [N, *out, dims]: cotangents of the gradients, and so tangents of input and grid
        if t_input is None and t_grid is None:
            return (None,) * 5
        return *GridSampleSecondFunction.apply(
            t_input, t_grid, *ctx.saved_tensors, ctx.options, ctx.needs_input_grad[:3]), None, None  # options, wanted

    @staticmethod
    def jvp(ctx: Any, t_grad_output: Tensor | None, t_input: Tensor | None, t_grid: Tensor | None, *_: None) -> Gradients:
        grad_output, input, grid = ctx.saved_tensors
        first: Pair = None, None
        second: Triple = None, None, None
        if t_grad_output is not None:  # linear in it
            first = GridSampleBackwardFunction.apply(t_grad_output, input, grid, ctx.options, ctx.wanted)
        if t_input is not None or t_grid is not None:  # second derivatives are symmetric: the jvp is the vjp
            second = GridSampleSecondFunction.apply(
                t_input, t_grid, grad_output, input, grid, ctx.options, (False, *ctx.wanted))
        return tuple(b if a is None else a if b is None else a + b for a, b in zip(first, second[1:]))

    @staticmethod
    def vmap(info: Any, in_dims: Any, *arguments: Any) -> tuple[Any, Any]:
        return _vmap(GridSampleBackwardFunction, 3, info, in_dims, arguments)


class GridSampleSecondFunction(Function):
    """What GridSampleBackwardFunction's backward returns: by grad_output, input and grid, None for what isn't wanted."""

    @staticmethod
    def forward(
        t_input: Tensor | None, t_grid: Tensor | None, grad_output: Tensor, input: Tensor, grid: Tensor, options: Options,
        wanted: Sequence[bool],
    ) -> Triple:
        return _operators.second(t_input, t_grid, grad_output, input, grid, options, wanted)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        *tensors, ctx.options, ctx.wanted = inputs
        _save(ctx, *tensors)

    @staticmethod
    def backward(ctx: Any, *cotangents: Tensor | None) -> Gradients:
        if all(cotangent is None for cotangent in cotangents):
            return (None,) * 7
        function = partial(_reference_second, ctx.options, ctx.wanted)
        cotangents = tuple(itertools.compress(cotangents, ctx.wanted))
        return *_pull_back(function, ctx.saved_tensors, ctx.needs_input_grad[:5], cotangents), None, None  # options, wanted

    @staticmethod
    def jvp(ctx: Any, *tangents: Tensor | None) -> Gradients:
        function = partial(_reference_second, ctx.options, ctx.wanted)
        found = iter(_push_forward(function, ctx.saved_tensors, tangents[:5]))
        return tuple(next(found) if want else None for want in ctx.wanted)

    @staticmethod
    def vmap(info: Any, in_dims: Any, *arguments: Any) -> tuple[Any, Any]:
        return _vmap(GridSampleSecondFunction, 5, info, in_dims, arguments)


# ---- affine_grid --------------------------------------------------------------------------------------------------------

def _vmap_affine(
    function: Any, info: Any, in_dims: Any, tensor: Tensor, size: Sequence[int], align_corners: bool
) -> tuple[Any, Any]:
    (joined,), batch = _join_batch(info, in_dims[:1], (tensor,))
    size = [info.batch_size * batch, *size[1:]]
    return _split_batch(info, batch, function.apply(joined, size, align_corners))


class AffineGridFunction(Function):
    @staticmethod
    def forward(theta: Tensor, size: list[int], align_corners: bool) -> Tensor:
        return _operators.affine_grid(theta, size, align_corners)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        _, *ctx.options = inputs
        ctx.set_materialize_grads(False)

    @staticmethod
    def backward(ctx: Any, grad_grid: Tensor | None) -> Gradients:  # [N, *out, dims]
        grad_theta = None if grad_grid is None else AffineGridBackwardFunction.apply(grad_grid, *ctx.options)
        return grad_theta, None, None  # size, align_corners

    @staticmethod
    def jvp(ctx: Any, t_theta: Tensor, *_: None) -> Tensor:
        return AffineGridFunction.apply(t_theta, *ctx.options)

    @staticmethod
    def vmap(info: Any, in_dims: Any, *arguments: Any) -> tuple[Any, Any]:
        return _vmap_affine(AffineGridFunction, info, in_dims, *arguments)


class AffineGridBackwardFunction(Function):
    @staticmethod
    def forward(grad_grid: Tensor, size: list[int], align_corners: bool) -> Tensor:
        return _operators.affine_grid_backward(grad_grid, size, align_corners)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        _, *ctx.options = inputs
        ctx.set_materialize_grads(False)

    @staticmethod
    def backward(ctx: Any, t_theta: Tensor | None) -> Gradients:  # [N, dims, dims + 1]
        grad_grad_grid = None if t_theta is None else AffineGridFunction.apply(t_theta, *ctx.options)
        return grad_grad_grid, None, None  # size, align_corners

    @staticmethod
    def jvp(ctx: Any, t_grad_grid: Tensor, *_: None) -> Tensor:
        return AffineGridBackwardFunction.apply(t_grad_grid, *ctx.options)

    @staticmethod
    def vmap(info: Any, in_dims: Any, *arguments: Any) -> tuple[Any, Any]:
        return _vmap_affine(AffineGridBackwardFunction, info, in_dims, *arguments)


# ---- transforms inside torch.compile ------------------------------------------------------------------------------------

def _grid_sample_in_graph(input: Tensor, grid: Tensor, options: Options) -> Tensor:
    return GridSampleFunction.apply(input, grid, options)


def _affine_grid_in_graph(theta: Tensor, size: list[int], align_corners: bool) -> Tensor:
    return AffineGridFunction.apply(theta, size, align_corners)


def __getattr__(name: str) -> Any:
    """``grid_sample_in_graph`` and ``affine_grid_in_graph``: the Functions for Dynamo, which must not look into them.

    Traced inside a transform a Function gives zeros for gradients, silently. Made when they are first asked for, as importing
    torch._dynamo takes longer than all else here.
    """
    if name in ("grid_sample_in_graph", "affine_grid_in_graph"):
        return torch.compiler.allow_in_graph(globals()[f"_{name}"])
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
