"""The Functions of transforms' grids, affine_grid's too, as those of ``_transforms``: closed up to the second order.

    =============================  =====================================  =================================
    Function                       backward                               jvp
    =============================  =====================================  =================================
    TransformGridFunction          TransformGridBackwardFunction          TransformGridJvpFunction
    TransformGridJvpFunction       TransformGridBackwardFunction, Second  the reference
    TransformGridBackwardFunction  TransformGridJvpFunction, Second       itself + Second
    TransformGridSecondFunction    the reference                          the reference
    =============================  =====================================  =================================

Second is TransformGridSecondFunction. Affine transforms and flows are linear in their parameters: no derivative depends on
them, so that they are not saved, and are None where they would be.
"""
from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor

from . import _operators
from ._higher_order import grid_second, grid_tangent, pull_back, push_forward
from ._operators import GridOptions
from ._transforms import Gradients, _SampleFunction, _save, refuse_older_batching


class _GridFunction(_SampleFunction):
    """Tensors with a batch axis, then options, which are saved."""

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        *tensors, ctx.options = inputs
        _save(ctx, *tensors)


class TransformGridFunction(_GridFunction):
    """parameters -> grid [N, *size, dims]"""

    tensors = 1

    @staticmethod
    def forward(parameters: Tensor, options: GridOptions) -> Tensor:
        return _operators.transform_grid(parameters, options)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        parameters, ctx.options = inputs
        _save(ctx, parameters if ctx.options[0] == _operators.PROJECTIVE else None)

    @staticmethod
    def backward(ctx: Any, grad_grid: Tensor | None) -> Gradients:
        if grad_grid is None:
            return None, None
        if torch.is_grad_enabled():
            refuse_older_batching(grad_grid)
        return TransformGridBackwardFunction.apply(grad_grid, *ctx.saved_tensors, ctx.options), None  # options

    @staticmethod
    def jvp(ctx: Any, tangent: Tensor, _: None) -> Tensor:
        return TransformGridJvpFunction.apply(tangent, *ctx.saved_tensors, ctx.options)


class _DerivativeFunction(_GridFunction):
    """A first derivative: linear in its first tensor, a tangent of parameters or a cotangent of the grid.

    So by that its backward is the ``transpose``; by parameters it is Second of the pair, whichever of both is given.
    """

    tensors = 2
    transpose: type[_GridFunction]

    @classmethod
    def backward(cls, ctx: Any, other: Tensor | None) -> Gradients:  # the cotangent of what forward returned
        if other is None:
            return None, None, None
        first, parameters = ctx.saved_tensors
        by_first = by_parameters = None
        if ctx.needs_input_grad[0]:
            by_first = cls.transpose.apply(other, parameters, ctx.options)
        if ctx.needs_input_grad[1]:
            grad_grid, tangent = cls._pair(first, other)
            by_parameters = TransformGridSecondFunction.apply(grad_grid, tangent, parameters, ctx.options)
        return by_first, by_parameters, None  # options

    @staticmethod
    def _pair(first: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
        """grad_grid and tangent: one is what the Function was given, the other its result's cotangent."""
        raise NotImplementedError


class TransformGridJvpFunction(_DerivativeFunction):
    """The tangent of the grid."""

    @staticmethod
    def forward(tangent: Tensor, parameters: Tensor | None, options: GridOptions) -> Tensor:
        return _operators.transform_grid(tangent if parameters is None else parameters, options, tangent)

    @staticmethod
    def _pair(first: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
        return other, first

    @staticmethod
    def jvp(ctx: Any, *tangents: Tensor | None) -> Tensor:
        return push_forward(partial(grid_tangent, ctx.options), ctx.saved_tensors, tangents[:2])[0]


class TransformGridBackwardFunction(_DerivativeFunction):
    """The gradient of the parameters."""

    transpose = TransformGridJvpFunction

    @staticmethod
    def forward(grad_grid: Tensor, parameters: Tensor | None, options: GridOptions) -> Tensor:
        return _operators.transform_grid_backward(grad_grid, parameters, options)

    @staticmethod
    def _pair(first: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
        return first, other

    @staticmethod
    def jvp(ctx: Any, t_grad_grid: Tensor | None, t_parameters: Tensor | None, _: None) -> Tensor:
        grad_grid, parameters = ctx.saved_tensors
        parts = []
        if t_grad_grid is not None:  # linear in it
            parts.append(TransformGridBackwardFunction.apply(t_grad_grid, parameters, ctx.options))
        if t_parameters is not None:  # second derivatives are symmetric
            parts.append(TransformGridSecondFunction.apply(grad_grid, t_parameters, parameters, ctx.options))
        return parts[0] if len(parts) == 1 else parts[0] + parts[1]


TransformGridJvpFunction.transpose = TransformGridBackwardFunction


class TransformGridSecondFunction(_GridFunction):
    """The derivative of TransformGridBackwardFunction along a tangent of the parameters: of projective ones."""

    tensors = 3

    @staticmethod
    def forward(grad_grid: Tensor, tangent: Tensor, parameters: Tensor, options: GridOptions) -> Tensor:
        return _operators.transform_grid_backward(grad_grid, parameters, options, tangent)

    @staticmethod
    def backward(ctx: Any, cotangent: Tensor | None) -> Gradients:
        if cotangent is None:
            return (None,) * 4
        function = partial(grid_second, ctx.options)
        return *pull_back(function, ctx.saved_tensors, ctx.needs_input_grad[:3], (cotangent,)), None  # options

    @staticmethod
    def jvp(ctx: Any, *tangents: Tensor | None) -> Tensor:
        return push_forward(partial(grid_second, ctx.options), ctx.saved_tensors, tangents[:3])[0]


def _grid_in_graph(parameters: Tensor, options: GridOptions) -> Tensor:
    return TransformGridFunction.apply(parameters, options)


def __getattr__(name: str) -> Any:
    """``grid_in_graph``: the Function for Dynamo, which must not look into it; see ``_transforms.__getattr__``."""
    if name == "grid_in_graph":
        return torch.compiler.allow_in_graph(_grid_in_graph)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
