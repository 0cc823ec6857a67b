"""Antialiasing: a pixel of the output is the mean of what it covers in the input, by way of smaller copies of it (mipmaps).

The Jacobian J of the map, in pixels of the input a pixel of the output, says how far a step in the output reaches in the input.
With s the root of the mean of its columns' squared lengths, in d dimensions, and L halvings from the input to a single pixel,

    s = sqrt(sum over i, j of J[i, j]^2 / d)         lod = clamp(log2(s), 0, L)
    output = sum over l = 0 ... L of  max(0, 1 - |lod - l|) * level(l)

level(0) is the plain sample. level(l) is the mean of 2^d samples of the input halved l - 1 times, at the centres of the halves
of the output's pixel along each axis: of its quarters in 2-D. So two levels are blended, and nothing changes where the map does
not minify. s is the same for a map before or after any rotation, and smooth where J isn't 0.

Why several samples: one of the copy whose pixels are of the footprint's size is blurred over twice of that. These have the
footprint's shape, and half of the blur. benchmarks/antialias.py measures it.

All of it is differentiable by input and theta, and the host reads nothing: every level is sampled, whatever its weight.
Williams, Pyramidal parametrics, SIGGRAPH 1983.
"""
from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from . import _checks, _fused_functions, reference
from ._extension import _C

_AFFINE, _BILINEAR = _C.TRANSFORM_KINDS["affine"], _C.INTERPOLATION_MODES["bilinear"]
_BORDER, _PIXELS = [_C.PADDING_MODES["border"]], _C.COORDINATE_CONVENTIONS["pixels"]
_NO_COORDINATE = 1e-8  # of w, as in projective_grid
_FARTHEST = 2.0**30  # normalised: beyond any image
_LARGEST = 1e30  # of u and v, so that no product of theirs overflows in float32
_ROUNDING = 16  # eps of s squared: a rotation whose entries were rounded is one


def sample(
    sampler: Callable[..., Tensor], projective: bool, input: Tensor, theta: Tensor, size: list[int], mode: str,
    padding_mode: str | Sequence[str], align_corners: bool, *others: Any,
) -> Tensor:
    """``sampler(input, theta, size, mode, padding_mode, align_corners, *others)``, antialiased."""
    output = sampler(input, theta, size, mode, padding_mode, align_corners, *others)
    dtype, in_size, images = output.dtype, list(input.shape[2:]), _halvings(input)
    theta = theta.to(_checks.accumulate_dtype(theta.dtype))
    jacobian = _jacobian(theta, size, in_size, align_corners, projective)
    lod = _level_of_detail(jacobian, len(images))  # [N] or [N, *size]
    lod = lod.reshape(-1, 1, *(lod.shape[1:] or [1] * len(size)))
    on_edges = _between_edges(theta, size, in_size) if align_corners else theta  # halves have other centres
    twice = [2 * length for length in size]
    output = _weighed(output, lod, 0)
    for number, image in enumerate(images, 1):
        samples = sampler(image, on_edges, twice, mode, padding_mode, False, *others)
        output = output + _weighed(_mean_of_halves(samples), lod, number)
    return output.to(dtype)


# ---- levels -------------------------------------------------------------------------------------------------------------

def _halvings(input: Tensor) -> list[Tensor]:
    """The input, and its copies at half the sizes, rounded up, of the one before, while there is more than a pixel."""
    images, image = [], input
    while max(image.shape[2:]) > 1:
        images.append(image)
        image = _halved(image)
    return images


def _halved(image: Tensor) -> Tensor:
    """Means of 2 x 2 (x 2) pixels: a sample in the middle between them. Of 16-bit images in 32 bits.

    An odd size is brought to an even one first: between its pixels' centres one sample would be of a single pixel.
    """
    sizes, half = list(image.shape[2:]), [(length + 1) // 2 for length in image.shape[2:]]
    even = [2 * after if before > 1 else before for before, after in zip(sizes, half)]
    dtype = _checks.accumulate_dtype(image.dtype)
    identity = torch.eye(len(sizes), len(sizes) + 1, dtype=dtype, device=image.device)[None]
    for size in (half,) if even == sizes else (even, half):
        options = _AFFINE, size, _BILINEAR, _BORDER, _PIXELS, image.dtype != dtype
        image = _fused_functions.transform_sample(image, identity, None, options)
    return image


def _mean_of_halves(samples: Tensor) -> Tensor:
    """[N, C, *twice] -> [N, C, *size]"""
    for axis in range(2, samples.dim()):
        samples = samples.unflatten(axis, (-1, 2)).mean(axis + 1, dtype=_checks.accumulate_dtype(samples.dtype))
    return samples


def _weighed(level: Tensor, lod: Tensor, number: int) -> Tensor:
    weight = (1 - (lod - number).abs()).clamp(min=0)
    return torch.where(weight > 0, level, 0.0) * weight  # a level may have a NaN where it has no weight


# ---- the footprint ------------------------------------------------------------------------------------------------------

def _level_of_detail(jacobian: Tensor, most: int) -> Tensor:
    """[..., dims, dims] -> [...]. 0 where the Jacobian is not finite, as there is no coordinate there."""
    squared = jacobian.nan_to_num(0.0, 0.0, 0.0).square().sum((-2, -1)) / jacobian.shape[-1]
    slack = 1 - _ROUNDING * torch.finfo(squared.dtype).eps
    return ((squared * slack).clamp(min=1).log2() / 2).clamp(max=most)


def _jacobian(
    theta: Tensor, size: Sequence[int], in_size: Sequence[int], align_corners: bool, projective: bool
) -> Tensor:
    """Pixels of the input a pixel of the output, as (x, y[, z]): [N, dims, dims], or [N, *size, dims, dims] where it varies."""
    dims = len(size)
    normalized = _projective_jacobian(theta, size, align_corners) if projective else theta[..., :dims]
    extents = [[length - align_corners for length in reversed(lengths)] for lengths in (size, in_size)]
    columns = [2 / extent if extent else 0.0 for extent in extents[0]]
    return _scaled(normalized, [extent / 2 for extent in extents[1]], columns)


def _projective_jacobian(theta: Tensor, size: Sequence[int], align_corners: bool) -> Tensor:
    """d(u / w) = (du - (u / w) dw) / w, of normalised positions; 0 where there is no coordinate."""
    dims = len(size)
    homogeneous = reference.homogeneous(theta, (theta.shape[0], *size), align_corners)[..., None]  # [N, *size, dims + 1, 1]
    rows, w = homogeneous[..., :dims, :], homogeneous[..., dims:, :]
    near = rows.abs() <= (w.abs() * _FARTHEST).clamp(max=_LARGEST)  # False for NaN
    usable = near.all(-2, keepdim=True) & (w.abs() >= _NO_COORDINATE)
    w = torch.where(usable, w, 1.0)
    position = torch.where(usable, rows, 0.0) / w
    theta = theta.reshape(theta.shape[0], *[1] * dims, dims + 1, dims + 1)
    return torch.where(usable, (theta[..., :dims, :dims] - position * theta[..., dims:, :dims]) / w, 0.0)


def _between_edges(theta: Tensor, size: Sequence[int], in_size: Sequence[int]) -> Tensor:
    """The same map for align_corners=False of one for True. An output axis of one pixel has no extent, nor halves."""
    rows = [(length - 1) / length for length in reversed(in_size)]
    columns = [length / (length - 1) if length > 1 else 0.0 for length in reversed(size)]
    return _scaled(theta, [*rows, *[1.0] * (theta.shape[-2] - len(rows))], [*columns, 1.0])


def _scaled(matrix: Tensor, rows: Sequence[float], columns: Sequence[float]) -> Tensor:
    """Each row and column by a number of the host's: no tensor of them, whose copy to the device would be waited for."""
    scaled = [row * factor for row, factor in zip(matrix.unbind(-2), rows)]
    return torch.stack([column * factor for column, factor in zip(torch.stack(scaled, -2).unbind(-1), columns)], -1)
