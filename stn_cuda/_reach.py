"""The linearised gradient of a transform's parameters: Jiang et al., Linearized multi-sampling for differentiable image
transformation, ICCV 2019.

The derivative of a bilinear sample sees the pixels next to its location only. Here the slope of the image at a location x is
that of the plane that fits samples at x + o_k best, in the least-squares sense:

    slope_e = sum_k  B[e, k] * image(x + o_k),     B = (O O^T)^-1 O,     O[:, k] = o_k - mean of the offsets

with fixed offsets o_k in a disc (ball) of radius ``reach`` pixels of the input: a golden-angle spiral and its point
reflection, so that their mean is 0 and no random number is drawn. The gradient by theta is that by the coordinates, grad_output
times slope, taken through the map as always.
"""
from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from . import _autograd, _fused_functions, _operators
from ._extension import _C
from ._operators import FusedOptions


@dataclass(frozen=True)
class Offsets:
    """In pixels of the input: ``points[k][e]``, and the weights of their samples in the slope, ``weights[e][k]``."""

    points: tuple[tuple[float, ...], ...]
    weights: tuple[tuple[float, ...], ...]


def offsets(function: str, dims: int, reach: Any, samples: Any) -> Offsets:
    if isinstance(reach, bool) or not isinstance(reach, (int, float)) or not 0 < reach < math.inf:
        raise ValueError(f"{function}(): expected reach to be a positive number of pixels, got {reach!r}")
    if isinstance(samples, bool) or not isinstance(samples, int) or samples < 2 * dims or samples % 2:
        raise ValueError(f"{function}(): expected samples to be an even int of at least {2 * dims}, got {samples!r}")
    half = [[reach * x for x in point] for point in _half_of_ball(dims, samples // 2)]
    points = torch.tensor([*half, *([-x for x in point] for point in half)], dtype=torch.float64)
    weights = torch.linalg.pinv(points)  # their mean is 0
    return Offsets(tuple(map(tuple, points.tolist())), tuple(map(tuple, weights.tolist())))


def _half_of_ball(dims: int, count: int) -> list[tuple[float, ...]]:
    """Points of a spiral, of which there are equally many in equal areas (volumes), in half of the unit disc (ball)."""
    golden = (1 + math.sqrt(5)) / 2
    points: list[tuple[float, ...]] = []
    for k in range(count):
        angle = 2 * math.pi * k / golden**2
        radius = ((k + 0.5) / count) ** (1 / dims)
        if dims == 2:
            points.append((radius * math.cos(angle), radius * math.sin(angle)))
        else:  # z from 0 to 1 in another order than the radius, so that not all outer points are near one pole
            z = (k * golden) % 1
            ring = math.sqrt(1 - z * z)
            points.append((radius * ring * math.cos(angle), radius * ring * math.sin(angle), radius * z))
    return points


def sample(input: Tensor, theta: Tensor, fill: Tensor | None, options: FusedOptions, offsets: Offsets) -> Tensor:
    """The checked call: as ``_fused_functions.transform_sample``, with the linearised gradient of theta."""
    if _autograd.in_transform():
        raise NotImplementedError('stn_cuda: gradient="linearized" has no forward mode and no torch.func transform')
    if not (torch.is_grad_enabled() and theta.requires_grad):
        return _fused_functions.transform_sample(input, theta, fill, options)
    return LinearizedSampleFunction.apply(input, theta, fill, options, offsets)


class LinearizedSampleFunction(Function):
    @staticmethod
    def forward(
        ctx: Any, input: Tensor, theta: Tensor, fill: Tensor | None, options: FusedOptions, offsets: Offsets
    ) -> Tensor:
        ctx.save_for_backward(input, theta, fill)
        ctx.options, ctx.offsets = options, offsets
        return _operators.transform_sample(input, theta, fill, options)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad_output: Tensor) -> tuple[Tensor | None, ...]:  # [N, C, *size]
        input, theta, fill = ctx.saved_tensors
        by_input, by_theta, by_fill = ctx.needs_input_grad[:3]
        exact = _operators.transform_gradients(grad_output, input, theta, fill, ctx.options, (by_input, False, by_fill))
        gradient = _theta_gradient(grad_output, input, theta, fill, ctx.options, ctx.offsets) if by_theta else None
        return exact[0], gradient, exact[2], None, None  # options, offsets


def _theta_gradient(
    grad_output: Tensor, input: Tensor, theta: Tensor, fill: Tensor | None, options: FusedOptions, offsets: Offsets
) -> Tensor:
    of_grid, _ = _fused_functions.separate(options, input)
    given, theta = theta.dtype, _fused_functions.in_computed_dtype(theta)
    options = *options[:-1], True  # samples in the dtype that is computed in
    grad_output = grad_output.to(theta.dtype)
    batch, _, *size = grad_output.shape
    grad_grid = grad_output.new_zeros(batch, *size, len(size))
    for k, point in enumerate(offsets.points):
        moved = _moved(theta, point, of_grid)
        along = (_operators.transform_sample(input, moved, fill, options) * grad_output).sum(1)  # over channels
        for e, weights in enumerate(offsets.weights):
            grad_grid[..., e].add_(along, alpha=weights[k])
    if theta.shape[0] == 1:  # shared by all images
        grad_grid = grad_grid.sum(0, keepdim=True)
    return _operators.transform_grid_backward(grad_grid, theta, None, of_grid).to(given)


def _moved(theta: Tensor, point: tuple[float, ...], options: _operators.GridOptions) -> Tensor:
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
