"""Antialiasing: what the pixels of an output cover in the input, averaged by way of smaller copies of the input (mipmaps).

Level l of an image is level l - 1 at half its sizes, rounded up: means of 2 x 2 (x 2) pixels of the one below where its sizes
are even. The Jacobian J of the map, in pixels of the input a pixel of the output, says how far a step in the output reaches in
the input. With s the length of its longest column,

    lod = clamp(log2(s), 0, L),     output = sum over levels l of  max(0, 1 - |lod - l|) * sample(level l)

so that two levels are blended, and nothing changes where the map does not minify. All of it is differentiable by input and
theta, and nothing is read by the host: every level is sampled, whatever its weight. Williams, Pyramidal parametrics, SIGGRAPH
1983.
"""
from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from . import _checks, _fused_functions, reference
from ._extension import _C

MOST_LEVELS = 16  # above level 0
_AFFINE, _BILINEAR = _C.TRANSFORM_KINDS["affine"], _C.INTERPOLATION_MODES["bilinear"]
_BORDER, _PIXELS = [_C.PADDING_MODES["border"]], _C.COORDINATE_CONVENTIONS["pixels"]


def sample(
    sampler: Callable[..., Tensor], projective: bool, input: Tensor, theta: Tensor, size: list[int], mode: str,
    padding_mode: str | Sequence[str], align_corners: bool, *others: Any,
) -> Tensor:
    """``sampler(input, theta, size, mode, padding_mode, align_corners, *others)``, antialiased."""
    output = sampler(input, theta, size, mode, padding_mode, align_corners, *others)
    levels = _levels(input)
    if not levels:
        return output
    dtype, in_size = output.dtype, list(input.shape[2:])
    theta = theta.to(_checks.accumulate_dtype(theta.dtype))
    longest = _longest_column(theta, size, in_size, align_corners, projective)  # squared: [N] or [N, *size]
    lod = (longest.clamp(min=1).log2() / 2).clamp(max=len(levels))
    lod = lod.reshape(-1, 1, *(lod.shape[1:] or [1] * len(size)))
    on_edges = _between_edges(theta, size, in_size) if align_corners else theta  # a level's end pixels have other centres
    output = output * _weight(lod, 0)
    for number, level in enumerate(levels, 1):
        output = output + sampler(level, on_edges, size, mode, padding_mode, False, *others) * _weight(lod, number)
    return output.to(dtype)


def _levels(input: Tensor) -> list[Tensor]:
    """The smaller copies, sampled in the middle between pixels: level 1 and following. Of 16-bit images in 32 bits."""
    dims, level, levels = input.dim() - 2, input.to(_checks.accumulate_dtype(input.dtype)), []
    identity = torch.eye(dims, dims + 1, dtype=level.dtype, device=level.device)[None]
    for _ in range(MOST_LEVELS):
        size = [(length + 1) // 2 for length in level.shape[2:]]
        if max(level.shape[2:]) == 1:
            break
        options = _AFFINE, size, _BILINEAR, _BORDER, _PIXELS, False
        level = _fused_functions.transform_sample(level, identity, None, options)
        levels.append(level)
    return levels


def _weight(lod: Tensor, level: int) -> Tensor:
    return (1 - (lod - level).abs()).clamp(min=0)


def _longest_column(
    theta: Tensor, size: Sequence[int], in_size: Sequence[int], align_corners: bool, projective: bool
) -> Tensor:
    """The squared length of the longest column of the Jacobian, in pixels: [N], or [N, *size] where it varies."""
    def extents(lengths: Sequence[int]) -> Tensor:
        return theta.new_tensor([float(length - align_corners) for length in reversed(lengths)])

    dims = len(size)
    per_pixel = torch.where(extents(size) > 0, 2 / extents(size), 0.0)  # of normalised positions
    if projective:
        *rows, w = reference.homogeneous(theta, (theta.shape[0], *size), align_corners).unbind(-1)
        w = torch.where(w.abs() < 1e-8, 1.0, w)[..., None, None]
        coordinates = torch.stack(rows, -1)[..., None] / w
        theta = theta.reshape(theta.shape[0], *[1] * dims, dims + 1, dims + 1)
        normalized = (theta[..., :dims, :dims] - coordinates * theta[..., dims:, :dims]) / w
    else:
        normalized = theta[:, :, :dims]
    jacobian = normalized * per_pixel * (extents(in_size) / 2)[:, None]
    return jacobian.square().sum(-2).amax(-1)


def _between_edges(theta: Tensor, size: Sequence[int], in_size: Sequence[int]) -> Tensor:
    """The same map for align_corners=False of one for True."""
    rows = [(length - 1) / length for length in reversed(in_size)]
    columns = [length / max(1, length - 1) for length in reversed(size)]
    rows += [1.0] * (theta.shape[1] - len(rows))
    return theta * theta.new_tensor(rows)[:, None] * theta.new_tensor([*columns, 1.0])
