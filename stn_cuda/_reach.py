"""The linearised gradient of a transform's parameters: Jiang et al., Linearized multi-sampling for differentiable image
transformation, ICCV 2019.

The derivative of a bilinear sample sees the pixels next to its location only. Here the slope of the image at a location x is
that of the plane that fits samples at x + o_k and x - o_k best, in the least-squares sense:

    slope_e = sum_k  B[e, k] * (image(x + o_k) - image(x - o_k)),     B = (2 O O^T)^-1 O,     O[:, k] = o_k

with fixed offsets o_k in half of a disc (ball) of radius ``reach`` pixels of the input: a golden-angle spiral. No random number
is drawn. A point and its reflection have the mean 0, so that the plane's height drops out. The gradient by theta is that by the
coordinates, grad_output times slope, taken through the map as always.
"""
from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

import torch
from torch import Tensor
from torch.autograd import Function

from . import _autograd, _fused_functions, _operators
from ._extension import _C
from ._operators import FusedOptions

_FARTHEST = 2**31  # pixels: beyond any image


@dataclass(frozen=True)
class Offsets:
    """In pixels of the input: half of the ``points[k][e]``, the others opposite, and their ``weights[k][e]`` in the slope."""

    points: tuple[tuple[float, ...], ...]
    weights: tuple[tuple[float, ...], ...]


def offsets(function: str, dims: int, reach: Any, samples: Any) -> Offsets:
    if isinstance(reach, bool) or not isinstance(reach, (int, float)) or not 0 < reach < _FARTHEST:
        raise ValueError(f"{function}(): expected reach to be a positive number of pixels, got {reach!r}")
    if isinstance(samples, bool) or not isinstance(samples, int) or samples < 2 * dims or samples % 2:
        raise ValueError(f"{function}(): expected samples to be an even int of at least {2 * dims}, got {samples!r}")
    points = _half_of_ball(dims, samples // 2)
    axes = range(dims)
    inverse = _inverse([[2 * sum(point[i] * point[j] for point in points) for j in axes] for i in axes])
    weights = [[sum(row[j] * point[j] for j in axes) for row in inverse] for point in points]
    return Offsets(
        tuple(tuple(x * reach for x in point) for point in points), tuple(tuple(x / reach for x in row) for row in weights))


def _inverse(matrix: list[list[float]]) -> list[list[float]]:
    """Of a positive definite matrix, by Gauss and Jordan: in plain numbers, which a compiler takes for constants."""
    rows = [[*row, *(float(i == j) for j in range(len(matrix)))] for i, row in enumerate(matrix)]
    for k in range(len(rows)):
        rows[k] = [x / rows[k][k] for x in rows[k]]
        rows = [row if i == k else [x - row[k] * y for x, y in zip(row, rows[k])] for i, row in enumerate(rows)]
    return [row[len(matrix):] for row in rows]


def _half_of_ball(dims: int, count: int) -> list[tuple[float, ...]]:
    """Points of a spiral, of which there are equally many in equal areas (volumes), in half of the unit disc (ball)."""
    golden = (1 + math.sqrt(5)) / 2
    points: list[tuple[float, ...]] = []
    for k in range(count):
        radius = ((k + 0.5) / count) ** (1 / dims)
        if dims == 2:  # with its reflection a point takes two angles: half a turn has all of them
            angle = math.radians(180 * k / golden)  # (a float of a module, such as math.pi, torch.compile can't guard)
            points.append((radius * math.cos(angle), radius * math.sin(angle)))
        else:  # z from 0 to 1 in another order than the radius, so that not all outer points are near one pole
            angle = math.radians(360 * k / golden**2)
            z = (k * golden) % 1
            ring = math.sqrt(1 - z * z)
            points.append((radius * ring * math.cos(angle), radius * ring * math.sin(angle), radius * z))
    return points


def sample(input: Tensor, theta: Tensor, fill: Tensor | None, options: FusedOptions, offsets: Offsets) -> Tensor:
    """The checked call: as ``_fused_functions.transform_sample``, with the linearised gradient of theta."""
    if _autograd.in_transform():
        _refuse_transform()
    if not (torch.is_grad_enabled() and theta.requires_grad):
        return _fused_functions.transform_sample(input, theta, fill, options)
    if torch.jit.is_tracing() or torch.compiler._is_exporting_flag:  # which would record forward's operator, not the Function
        raise NotImplementedError(
            'stn_cuda: gradient="linearized" is lost in an exported or traced program; export under torch.no_grad()')
    return LinearizedSampleFunction.apply(input, theta, fill, options, offsets)


def _refuse_transform(*_: Any) -> NoReturn:
    raise NotImplementedError('stn_cuda: gradient="linearized" has no forward mode and no torch.func transform')


class LinearizedSampleFunction(Function):
    @staticmethod
    def forward(
        ctx: Any, input: Tensor, theta: Tensor, fill: Tensor | None, options: FusedOptions, offsets: Offsets
    ) -> Tensor:
        ctx.save_for_backward(input, theta, fill)
        ctx.options, ctx.offsets = options, offsets
        return _operators.transform_sample(input, theta, fill, options)

    @staticmethod
    def backward(ctx: Any, grad_output: Tensor) -> tuple[Tensor | None, ...]:  # [N, C, *size]
        function = _autograd.differentiable(_gradients, OnceDifferentiableFunction.apply, _refuse_transform, grad_output)
        gradients = function(grad_output, *ctx.saved_tensors, ctx.options, ctx.offsets, ctx.needs_input_grad[:3])
        return *gradients, None, None  # options, offsets


class OnceDifferentiableFunction(Function):
    """The gradients with create_graph=True. torch's once_differentiable cuts them off the graph, and torch.autograd.grad would
    leave out their share of a second derivative without a word."""

    @staticmethod
    def forward(ctx: Any, *arguments: Any) -> tuple[Tensor | None, ...]:
        return _gradients(*arguments)

    @staticmethod
    def backward(ctx: Any, *_: Tensor) -> NoReturn:
        raise NotImplementedError('stn_cuda: gradient="linearized" is differentiable once; use gradient="exact"')


def _gradients(
    grad_output: Tensor, input: Tensor, theta: Tensor, fill: Tensor | None, options: FusedOptions, offsets: Offsets,
    wanted: Sequence[bool],
) -> tuple[Tensor | None, ...]:
    by_input, by_theta, by_fill = wanted
    exact = _operators.transform_gradients(grad_output, input, theta, fill, options, (by_input, False, by_fill))
    return exact[0], _theta_gradient(grad_output, input, theta, fill, options, offsets) if by_theta else None, exact[2]


def _theta_gradient(
    grad_output: Tensor, input: Tensor, theta: Tensor, fill: Tensor | None, options: FusedOptions, offsets: Offsets
) -> Tensor:
    of_grid, _ = _fused_functions.separate(options, input)
    given, theta = theta.dtype, _fused_functions.in_computed_dtype(theta)
    options = *options[:-1], True  # samples in the dtype that is computed in
    grad_output = grad_output.to(theta.dtype)
    batch, _, *size = grad_output.shape
    grad_grid = grad_output.new_zeros(batch, *size, len(size))
    for point, weights in zip(offsets.points, offsets.weights):
        ahead, behind = (
            _operators.transform_sample(input, _moved(theta, to, of_grid), fill, options)
            for to in (point, [-x for x in point]))
        along = (ahead.sub_(behind) * grad_output).sum(1)  # over channels; the difference first: a constant cancels in it
        for e, weight in enumerate(weights):
            grad_grid[..., e].add_(along, alpha=weight)
    if theta.shape[0] == 1:  # shared by all images
        grad_grid = grad_grid.sum(0, keepdim=True)
    return _operators.transform_grid_backward(grad_grid, theta, of_grid).to(given)


def _moved(theta: Tensor, point: Sequence[float], options: _operators.GridOptions) -> Tensor:
    """theta whose coordinates are ``point`` pixels further on."""
    transform, _, in_size, _, align_corners = options
    moved = theta.clone()
    for e, (offset, size) in enumerate(zip(point, reversed(in_size))):
        extent = size - 1 if align_corners else size
        normalized = 2 * offset / extent if extent else 0.0
        if transform == _C.TRANSFORM_KINDS["projective"]:
            moved[:, e] += normalized * theta[:, -1]
        else:
            moved[:, e, -1] += normalized
    return moved
