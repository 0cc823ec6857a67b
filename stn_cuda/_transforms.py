"""The Functions that torch.func's transforms and forward mode understand: with setup_context, vmap and jvp.

Up to the second order they are closed under differentiation, each derivative a call of one of them and so of a kernel:

    ===========================  ==========================================  =================================
    Function                     backward                                    jvp
    ===========================  ==========================================  =================================
    GridSampleFunction           GridSampleBackwardFunction                  GridSampleJvpFunction
    GridSampleBackwardFunction   GridSampleSecondFunction                    itself + GridSampleSecondFunction
    GridSampleJvpFunction        GridSampleBackwardFunction, SecondFunction  the reference
    GridSampleSecondFunction     the reference                               the reference
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
from ._operators import Options, Quadruple, Triple
from ._vmap import join_batch, joint_batch, split_batch

Gradients = tuple[Tensor | None, ...]


# ---- grid_sample --------------------------------------------------------------------------------------------------------

class _SampleFunction(Function):
    """Its first ``tensors`` arguments have a batch axis, which the one of vmap joins; the others are options.

    Its outputs are gradients of the tensors from the ``primals``-th on, or else one of the whole batch.
    """

    tensors: int
    primals: int | None = None

    @classmethod
    def vmap(cls, info: Any, in_dims: Sequence[Any], *arguments: Any) -> tuple[Any, Any]:
        joined, batches = join_batch(info, in_dims[:cls.tensors], arguments[:cls.tensors])
        joint = joint_batch(batches)
        outputs = cls.apply(*joined, *arguments[cls.tensors:])
        if cls.primals is None:
            return split_batch(info, joint, joint, outputs)
        split = [split_batch(info, joint, batch, output) for batch, output in zip(batches[cls.primals:], outputs)]
        return tuple(output for output, _ in split), tuple(dim for _, dim in split)


def refuse_older_batching(cotangent: Tensor) -> None:
    if torch._C._functorch.is_legacy_batchedtensor(cotangent):
        raise NotImplementedError(
            "stn_cuda: torch.autograd's is_grads_batched (vectorize=True in torch.autograd.functional) with create_graph=True "
            "loses the derivatives of the gradients, of every autograd.Function; use torch.func")


def _save(ctx: Any, *tensors: Tensor | None) -> None:
    ctx.save_for_backward(*tensors)
    ctx.save_for_forward(*tensors)
    ctx.set_materialize_grads(False)  # an absent cotangent or tangent is None: kernels skip it, zeros they would read


class GridSampleFunction(_SampleFunction):
    tensors = 3

    @staticmethod
    def forward(input: Tensor, grid: Tensor, fill: Tensor | None, options: Options) -> Tensor:
        return _operators.sample(input, grid, fill, options)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        *tensors, ctx.options = inputs
        _save(ctx, *tensors)

    @staticmethod
    def backward(ctx: Any, grad_output: Tensor | None) -> Gradients:  # [N, C, *out]
        if grad_output is None:
            return (None,) * 4
        return *GridSampleBackwardFunction.apply(
            grad_output, *ctx.saved_tensors, ctx.options, ctx.needs_input_grad[:3]), None  # options

    @staticmethod
    def jvp(ctx: Any, *tangents: Tensor | None) -> Tensor:
        return GridSampleJvpFunction.apply(*tangents[:3], *ctx.saved_tensors, ctx.options)

    @classmethod
    def vmap(cls, info: Any, in_dims: Sequence[Any], *arguments: Any) -> tuple[Any, Any]:
        in_input, in_grid, in_fill, _ = in_dims
        input, grid, fill, options = arguments
        if in_input is None and in_fill is None:  # grids alone: one more output axis, and the image is not repeated
            return cls.apply(input, grid.movedim(in_grid, 1), fill, options), 2
        if in_grid is None and grid.shape[0] == 1 and (fill is None or (in_fill is None and fill.shape[0] == 1)):
            images, batches = join_batch(info, (in_input,), (input,))  # images alone: they share the one grid as a batch does
            return split_batch(info, batches[0], batches[0], cls.apply(images[0], grid, fill, options))
        return super().vmap(info, in_dims, *arguments)


class GridSampleJvpFunction(_SampleFunction):
    """The tangent of the output, for tangents of input, grid and fill each of which may be None."""

    tensors = 6

    @staticmethod
    def forward(
        t_input: Tensor | None, t_grid: Tensor | None, t_fill: Tensor | None, input: Tensor, grid: Tensor, fill: Tensor | None,
        options: Options,
    ) -> Tensor | None:
        return _operators.second(
            t_input, t_grid, t_fill, None, input, grid, fill, options, (True, False, False, False))[0]

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        *tensors, ctx.options = inputs
        _save(ctx, *tensors)

    @staticmethod
    def backward(ctx: Any, grad_tangent: Tensor | None) -> Gradients:  # [N, C, *out]
        if grad_tangent is None:
            return (None,) * 7
        tangents, primals = ctx.saved_tensors[:3], ctx.saved_tensors[3:]
        by_tangents, by_primals = ctx.needs_input_grad[:3], ctx.needs_input_grad[3:6]
        first: Triple = None, None, None
        second: Quadruple = None, None, None, None
        if any(by_tangents):
            first = GridSampleBackwardFunction.apply(grad_tangent, *primals, ctx.options, by_tangents)
        if any(by_primals):
            second = GridSampleSecondFunction.apply(*tangents, grad_tangent, *primals, ctx.options, (False, *by_primals))
        return *first, *second[1:], None  # options

    @staticmethod
    def jvp(ctx: Any, *tangents: Tensor | None) -> Tensor:
        return push_forward(partial(reference_tangent, ctx.options), ctx.saved_tensors, tangents[:6])[0]


class GridSampleBackwardFunction(_SampleFunction):
    """The gradients by input, grid and fill, None for what isn't wanted."""

    tensors = 4
    primals = 1

    @staticmethod
    def forward(
        grad_output: Tensor, input: Tensor, grid: Tensor, fill: Tensor | None, options: Options, wanted: Sequence[bool]
    ) -> Triple:
        return _operators.gradients(grad_output, input, grid, fill, options, wanted)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        *tensors, ctx.options, ctx.wanted = inputs
        _save(ctx, *tensors)

    @staticmethod
    def backward(ctx: Any, *tangents: Tensor | None) -> Gradients:
        # cotangents of the gradients by input [N, C, *in], grid [N, *out, dims], fill [N or 1, C], and so tangents of those
        if all(tangent is None for tangent in tangents):
            return (None,) * 6
        return *GridSampleSecondFunction.apply(
            *tangents, *ctx.saved_tensors, ctx.options, ctx.needs_input_grad[:4]), None, None  # options, wanted

    @staticmethod
    def jvp(ctx: Any, t_grad_output: Tensor | None, *others: Tensor | None) -> Gradients:
        grad_output, *primals = ctx.saved_tensors
        tangents = others[:3]
        first: Triple = None, None, None
        second: Quadruple = None, None, None, None
        if t_grad_output is not None:  # linear in it
            first = GridSampleBackwardFunction.apply(t_grad_output, *primals, ctx.options, ctx.wanted)
        if any(tangent is not None for tangent in tangents):  # second derivatives are symmetric: the jvp is the vjp
            second = GridSampleSecondFunction.apply(*tangents, grad_output, *primals, ctx.options, (False, *ctx.wanted))
        return tuple(b if a is None else a if b is None else a + b for a, b in zip(first, second[1:]))


class GridSampleSecondFunction(_SampleFunction):
    """What GridSampleBackwardFunction's backward returns: by grad_output, input, grid and fill, None for what isn't wanted."""

    tensors = 7
    primals = 3

    @staticmethod
    def forward(
        t_input: Tensor | None, t_grid: Tensor | None, t_fill: Tensor | None, grad_output: Tensor,
        input: Tensor, grid: Tensor, fill: Tensor | None, options: Options, wanted: Sequence[bool],
    ) -> Quadruple:
        return _operators.second(t_input, t_grid, t_fill, grad_output, input, grid, fill, options, wanted)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        *tensors, ctx.options, ctx.wanted = inputs
        _save(ctx, *tensors)

    @staticmethod
    def backward(ctx: Any, *cotangents: Tensor | None) -> Gradients:
        if all(cotangent is None for cotangent in cotangents):
            return (None,) * 9
        function = partial(reference_second, ctx.options, ctx.wanted)
        cotangents = tuple(itertools.compress(cotangents, ctx.wanted))
        return *pull_back(function, ctx.saved_tensors, ctx.needs_input_grad[:7], cotangents), None, None  # options, wanted

    @staticmethod
    def jvp(ctx: Any, *tangents: Tensor | None) -> Gradients:
        function = partial(reference_second, ctx.options, ctx.wanted)
        found = iter(push_forward(function, ctx.saved_tensors, tangents[:7]))
        return tuple(next(found) if want else None for want in ctx.wanted)


# ---- transforms inside torch.compile ------------------------------------------------------------------------------------

def _grid_sample_in_graph(input: Tensor, grid: Tensor, fill: Tensor | None, options: Options) -> Tensor:
    return GridSampleFunction.apply(input, grid, fill, options)


def __getattr__(name: str) -> Any:
    """``grid_sample_in_graph``: the Function for Dynamo, which must not look into it.

    Traced inside a transform a Function gives zeros for gradients, silently. Marked only when they are asked for, as importing
    torch._dynamo takes longer than all else here.
    """
    if name == "grid_sample_in_graph":
        return torch.compiler.allow_in_graph(_grid_sample_in_graph)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
