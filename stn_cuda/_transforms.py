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
from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from . import _operators
from ._higher_order import pull_back, push_forward, reference_second, reference_tangent
from ._operators import Options, Pair, Triple
from ._vmap import join_batch, split_batch

Gradients = tuple[Tensor | None, ...]


# ---- grid_sample --------------------------------------------------------------------------------------------------------

class _SampleFunction(Function):
    """Its first ``tensors`` arguments have a batch axis, which the one of vmap joins; the others are options."""

    tensors: int

    @classmethod
    def vmap(cls, info: Any, in_dims: Sequence[Any], *arguments: Any) -> tuple[Any, Any]:
        joined, batch = join_batch(info, in_dims[:cls.tensors], arguments[:cls.tensors])
        return split_batch(info, batch, cls.apply(*joined, *arguments[cls.tensors:]))


def _save(ctx: Any, *tensors: Tensor | None) -> None:
    ctx.save_for_backward(*tensors)
    ctx.save_for_forward(*tensors)
    ctx.set_materialize_grads(False)  # an absent cotangent or tangent is None: kernels skip it, zeros they would read


class GridSampleFunction(_SampleFunction):
    tensors = 2

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


class GridSampleJvpFunction(_SampleFunction):
    """The tangent of the output, for tangents of input and grid either of which may be None."""

    tensors = 4

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
        return push_forward(partial(reference_tangent, ctx.options), ctx.saved_tensors, tangents[:4])[0]


class GridSampleBackwardFunction(_SampleFunction):
    """The gradients by input and grid, None for what isn't wanted."""

    tensors = 3

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


class GridSampleSecondFunction(_SampleFunction):
    """What GridSampleBackwardFunction's backward returns: by grad_output, input and grid, None for what isn't wanted."""

    tensors = 5

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
        function = partial(reference_second, ctx.options, ctx.wanted)
        cotangents = tuple(itertools.compress(cotangents, ctx.wanted))
        return *pull_back(function, ctx.saved_tensors, ctx.needs_input_grad[:5], cotangents), None, None  # options, wanted

    @staticmethod
    def jvp(ctx: Any, *tangents: Tensor | None) -> Gradients:
        function = partial(reference_second, ctx.options, ctx.wanted)
        found = iter(push_forward(function, ctx.saved_tensors, tangents[:5]))
        return tuple(next(found) if want else None for want in ctx.wanted)


# ---- affine_grid --------------------------------------------------------------------------------------------------------

class _LinearFunction(Function):
    """Linear in its tensor: the jvp is itself, the backward its transpose."""

    transpose: type[Function]

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        _, *ctx.options = inputs
        ctx.set_materialize_grads(False)

    @classmethod
    def backward(cls, ctx: Any, cotangent: Tensor | None) -> Gradients:
        gradient = None if cotangent is None else cls.transpose.apply(cotangent, *ctx.options)
        return gradient, None, None  # size, align_corners

    @classmethod
    def jvp(cls, ctx: Any, tangent: Tensor, *_: None) -> Tensor:
        return cls.apply(tangent, *ctx.options)

    @classmethod
    def vmap(
        cls, info: Any, in_dims: Sequence[Any], tensor: Tensor, size: Sequence[int], align_corners: bool
    ) -> tuple[Any, Any]:
        (joined,), batch = join_batch(info, in_dims[:1], (tensor,))
        return split_batch(info, batch, cls.apply(joined, [info.batch_size * batch, *size[1:]], align_corners))


class AffineGridFunction(_LinearFunction):
    """theta [N, dims, dims + 1] -> [N, *out, dims]"""

    @staticmethod
    def forward(theta: Tensor, size: list[int], align_corners: bool) -> Tensor:
        return _operators.affine_grid(theta, size, align_corners)


class AffineGridBackwardFunction(_LinearFunction):
    """grad_grid [N, *out, dims] -> grad_theta [N, dims, dims + 1]"""

    transpose = AffineGridFunction

    @staticmethod
    def forward(grad_grid: Tensor, size: list[int], align_corners: bool) -> Tensor:
        return _operators.affine_grid_backward(grad_grid, size, align_corners)


AffineGridFunction.transpose = AffineGridBackwardFunction


# ---- transforms inside torch.compile ------------------------------------------------------------------------------------

def _grid_sample_in_graph(input: Tensor, grid: Tensor, options: Options) -> Tensor:
    return GridSampleFunction.apply(input, grid, options)


def _affine_grid_in_graph(theta: Tensor, size: list[int], align_corners: bool) -> Tensor:
    return AffineGridFunction.apply(theta, size, align_corners)


def __getattr__(name: str) -> Any:
    """``grid_sample_in_graph`` and ``affine_grid_in_graph``: the Functions for Dynamo, which must not look into them.

    Traced inside a transform a Function gives zeros for gradients, silently. Marked only when they are asked for, as importing
    torch._dynamo takes longer than all else here.
    """
    if name in ("grid_sample_in_graph", "affine_grid_in_graph"):
        return torch.compiler.allow_in_graph(globals()[f"_{name}"])
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
