"""The sampler in plain tensor operations, from its definition.

    output[n, c, p] = sum over taps k of  weight_k(x[n, p]) * input[n, c, position_k(x[n, p])]

x is where output location p samples the input, in pixels, one number an axis. A tap is one input element with its
weight: an axis has two of them for bilinear, four for bicubic, one for nearest, and a location's taps are all
combinations of its axes' taps. The steps below are the definition's: pixel coordinate, padding, taps, gather, sum.

Every step is a differentiable torch operation without control flow on data, so derivatives of any order, forward
mode and vmap are torch's own. It is slow and shares nothing with the kernels, which makes it their judge.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from functools import reduce

import torch
from torch import Tensor

INDEX_LIMIT = 2.0**31  # pixels; from here on a coordinate counts as infinite
OUTSIDE = -4.0  # pixels; no tap of this coordinate lies in any image
CUBIC = -0.75  # Keys' a, as torch has it


def grid_sample(
    input: Tensor,
    grid: Tensor,
    mode: str = "bilinear",
    padding_mode: str | Sequence[str] = "zeros",
    align_corners: bool | None = False,
    *,
    fill_value: float | Tensor | None = None,
    coordinates: str = "normalized",
) -> Tensor:
    """Samples ``input`` (N, C, *in) at ``grid`` (N, *out, dims), giving (N, C, *out).

    ``dims`` is the number of spatial axes of the input, at least 1. The grid's last axis is ordered (x, y[, z]), the
    reverse of the input's spatial axes, and -1 and 1 are the image's ends, or it holds pixels. 16-bit tensors are computed
    in float32, and the output is rounded once. Options as ``stn_cuda.grid_sample`` has them.
    """
    dtype = input.dtype
    input, grid = at_least_float32(input), at_least_float32(grid)
    batch = grid.shape[0] if input.shape[0] == 1 else input.shape[0]
    input, grid = input.expand(batch, *input.shape[1:]), grid.expand(batch, *grid.shape[1:])
    channels, in_size, out_size = input.shape[1], input.shape[2:], grid.shape[1:-1]
    locations = math.prod(out_size)
    fill = 0.0 if fill_value is None else fill_values(fill_value, input)
    paddings = [padding_mode] * len(in_size) if isinstance(padding_mode, str) else list(padding_mode)
    paddings = (paddings if len(paddings) > 1 else paddings * len(in_size))[::-1]  # in the input's order

    axes = []  # (positions, weights) of the taps of each spatial axis, in the input's order
    outside = torch.zeros((), dtype=torch.bool, device=grid.device)  # border with a fill: where the centre decides
    for size, padding, coordinate in zip(in_size, paddings, reversed(grid.unbind(-1)), strict=True):
        x = coordinate.reshape(batch, locations)
        if coordinates == "normalized":
            x = pixel_coordinate(x, size, bool(align_corners))
        elif align_corners and size == 1:
            x = constant(0.0, x)
        if fill_value is not None and padding == "border":
            outside = outside | ~((x >= -0.5) & (x < size - 0.5))
        x = sanitize(x, size, padding)
        if mode != "bicubic":
            x = pad(x, size, padding, bool(align_corners))
        positions, weights = taps(x, mode)
        if mode == "bicubic":  # the coordinate keeps its fraction out there, and each tap is padded by itself
            positions = [pad(at.to(x.dtype), size, padding, bool(align_corners)).to(torch.int64) for at in positions]
        if padding == "circular":  # the tap behind the last pixel is the first one
            positions = [at % size for at in positions]
        axes.append((positions, weights))

    pixels = input.reshape(batch, channels, math.prod(in_size))
    output = pixels.new_zeros(batch, channels, locations)
    for tap in itertools.product(*(range(len(weights)) for _, weights in axes)):
        at = [positions[k] for k, (positions, _) in zip(tap, axes, strict=True)]  # each (N, locations)
        weight = reduce(torch.mul, [weights[k] for k, (_, weights) in zip(tap, axes, strict=True)])
        output = output + weight.unsqueeze(1) * read(pixels, at, in_size, fill)
    if fill_value is not None:
        output = torch.where(outside.unsqueeze(-2) if outside.dim() else outside, fill, output)
    return output.reshape(batch, channels, *out_size).to(dtype)


def fill_values(fill_value: float | Tensor, input: Tensor) -> Tensor:
    """A number or a tensor (), (C,), (N, C) or (1, C) as (N or 1, C or 1, 1), in input's dtype."""
    fill = torch.as_tensor(fill_value, device=input.device).to(input.dtype)
    return fill.reshape(*[1] * (2 - fill.dim()), *fill.shape, 1)


def at_least_float32(tensor: Tensor) -> Tensor:
    return tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor


def pixel_coordinate(normalized: Tensor, size: int, align_corners: bool) -> Tensor:
    """Pixels, 0 being the centre of the first one. -1 and 1 are the centres of the end pixels, or their outer edges."""
    if not align_corners:
        return ((normalized + 1) * size - 1) / 2
    if size == 1:
        return constant(0.0, normalized)  # no extent between the centres: NaN too is pixel 0
    return (normalized + 1) / 2 * (size - 1)


def sanitize(x: Tensor, size: int, padding_mode: str) -> Tensor:
    """Replaces NaN, infinite and enormous coordinates before anything is computed from them.

    They are outside with zeros and fill padding; else they go to the nearest edge, NaN to the first pixel. torch.where gives
    the replaced ones a derivative of 0, and as no later operation sees a NaN, none can leak as NaN * 0.
    """
    usable = x.abs() < INDEX_LIMIT  # False for NaN
    if padding_mode in ("zeros", "fill"):
        return torch.where(usable, x, OUTSIDE)
    return torch.where(usable, x, (x > 0).to(x.dtype) * (size - 1))


def pad(x: Tensor, size: int, padding_mode: str, align_corners: bool) -> Tensor:
    """Where a coordinate outside the image goes. Zeros and fill move nothing: the taps outside read 0 or the fill."""
    if padding_mode in ("zeros", "fill"):
        return x
    if padding_mode == "border":
        return clamp(x, size)
    if padding_mode == "reflection":
        return clamp(reflect(x, size, align_corners), size)  # about outer edges leaves half a pixel on each side
    if padding_mode == "circular":
        return torch.remainder(x, size)
    raise ValueError(
        f"padding_mode: expected 'zeros', 'fill', 'border', 'reflection' or 'circular', got {padding_mode!r}")


def clamp(x: Tensor, size: int) -> Tensor:
    """Clamps to the centres of the end pixels. The derivative is 0 where clamped and, as in torch, exactly there."""
    return torch.where(x > 0, torch.where(x < size - 1, x, float(size - 1)), 0.0)


def reflect(x: Tensor, size: int, align_corners: bool) -> Tensor:
    """A triangular wave: x between the mirrors, then back with slope -1, with a period of twice their distance."""
    mirror, distance = (0.0, size - 1) if align_corners else (-0.5, size)
    if distance == 0:
        return x  # both mirrors in pixel 0, where every coordinate already is
    phase = torch.remainder(x - mirror, 2 * distance)
    return mirror + torch.where(phase < distance, phase, 2 * distance - phase)


def taps(x: Tensor, mode: str) -> tuple[list[Tensor], list[Tensor]]:
    """The position (int64) and the weight of each tap, all shaped as x.

    The derivative of floor() is 0, so that of a weight is taken inside the cell that floor() chooses: one-sided
    where x is an integer.
    """
    if mode == "nearest":  # half to even
        return [x.round().to(torch.int64)], [constant(1.0, x)]
    fraction = x - x.floor()
    first = x.floor().to(torch.int64)  # counted on in integers: a large float32 has no next pixel
    if mode == "bilinear":
        return [first, first + 1], [1 - fraction, fraction]
    if mode == "bicubic":
        weights = [cubic_far(1 + fraction), cubic_near(fraction), cubic_near(1 - fraction), cubic_far(2 - fraction)]
        return [first - 1, first, first + 1, first + 2], weights
    raise ValueError(f"mode: expected 'bilinear', 'nearest' or 'bicubic', got {mode!r}")


def cubic_near(distance: Tensor) -> Tensor:
    """Keys' cubic convolution kernel (1981) between 0 and 1."""
    return (CUBIC + 2) * distance**3 - (CUBIC + 3) * distance**2 + 1


def cubic_far(distance: Tensor) -> Tensor:
    """... between 1 and 2."""
    return CUBIC * (distance**3 - 5 * distance**2 + 8 * distance - 4)


def read(pixels: Tensor, positions: Sequence[Tensor], in_size: Sequence[int], fill: float | Tensor = 0.0) -> Tensor:
    """The elements of ``pixels`` (N, C, prod(in)) at ``positions``, one (N, locations) an axis; ``fill`` outside the image."""
    inside = torch.ones_like(positions[0], dtype=torch.bool)
    offset = torch.zeros_like(positions[0])
    for position, size in zip(positions, in_size, strict=True):
        inside = inside & (position >= 0) & (position < size)
        offset = offset * size + position.clamp(0, size - 1)
    index = offset.unsqueeze(1).expand(-1, pixels.shape[1], -1)
    # a choice, not a product with 0: an infinite pixel beside the stencil must not become NaN
    return torch.where(inside.unsqueeze(1), pixels.gather(2, index), fill)


def constant(value: float, x: Tensor) -> Tensor:
    """``value`` in the shape of x. It stays connected to x in the graph: the gradient is zeros rather than None."""
    return torch.where(torch.ones_like(x, dtype=torch.bool), value, x)


def affine_grid(theta: Tensor, size: Sequence[int], align_corners: bool = False) -> Tensor:
    """The grid of an affine map: ``theta`` (N, dims, dims + 1) and ``size`` (N, C, *out) give (N, *out, dims).

        grid[n, p, i] = sum over j of  theta[n, i, j] * base[p, j]

    base[p] is location p's own position (x, y[, z]), normalised as grid_sample's coordinates are, and a 1.
    """
    dtype, theta = theta.dtype, at_least_float32(theta)
    batch, _, *out_size = size
    return homogeneous(theta, (batch, *out_size), align_corners).to(dtype)


def base_coordinates(length: int, like: Tensor, align_corners: bool) -> Tensor:
    """The normalised positions of ``length`` pixels: from end to end, or the centres of equal parts of [-1, 1]."""
    index = torch.arange(length, dtype=like.dtype, device=like.device)
    if not align_corners:
        return (2 * index + 1 - length) / length
    if length == 1:
        return torch.zeros_like(index)  # no extent: the image's centre
    return (2 * index - (length - 1)) / (length - 1)


def transform_grid(
    parameters: Tensor, transform: str, size: Sequence[int], in_size: Sequence[int], pixels: bool, align_corners: bool
) -> Tensor:
    """The grid (N, *size, dims) of an "affine" or "projective" theta, or of a "flow"; in pixels of ``in_size``, or normalised.

    affine: (x', y') = theta (x, y, 1). projective: (u, v, w) = theta (x, y, 1), x' = u / w, y' = v / w; NaN where |w| < 1e-8.
    A flow (N, dims, *size) is in pixels, and added to the location's own pixel.
    """
    dtype, parameters = parameters.dtype, at_least_float32(parameters)
    batch, dims = parameters.shape[0], len(size)
    if transform == "flow":
        own = torch.meshgrid(*[torch.arange(n, device=parameters.device) for n in size], indexing="ij")
        at = [(flow + index) for flow, index in zip(parameters.unbind(1), reversed(own), strict=True)]
        if not pixels:
            at = [normalized_coordinate(x, n, align_corners) for x, n in zip(at, reversed(in_size), strict=True)]
        return torch.stack(at, -1).to(dtype)
    if transform == "affine":
        columns = list(affine_grid(parameters, (batch, 1, *size), align_corners).unbind(-1))
    else:
        *rows, w = homogeneous(parameters, (batch, *size), align_corners).unbind(-1)
        near = w.abs() < 1e-8
        columns = [torch.where(near, math.nan, row / torch.where(near, 1.0, w)) for row in rows]
    if pixels:
        columns = [pixel_coordinate(x, n, align_corners) for x, n in zip(columns, reversed(in_size), strict=True)]
    return torch.stack(columns, -1).reshape(batch, *size, dims).to(dtype)


def homogeneous(theta: Tensor, size: Sequence[int], align_corners: bool) -> Tensor:
    """theta (N, rows, dims + 1) times (position, 1): (N, *out, rows)."""
    batch, *out = size
    positions = [base_coordinates(length, theta, align_corners) for length in out]
    columns = [*reversed(torch.meshgrid(*positions, indexing="ij"))]
    base = torch.stack([*columns, torch.ones_like(columns[0])], dim=-1)
    return (theta.reshape(batch, *[1] * len(out), *theta.shape[1:]) * base.unsqueeze(-2)).sum(-1)


def normalized_coordinate(x: Tensor, size: int, align_corners: bool) -> Tensor:
    """The inverse of ``pixel_coordinate``."""
    if not align_corners:
        return (2 * x + 1) / size - 1
    if size == 1:
        return constant(0.0, x)
    return 2 * x / (size - 1) - 1
