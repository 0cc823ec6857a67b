"""What transforms do with their matrices: [B, d, d + 1], or [B, d + 1, d + 1] for a homography.

By sums of elementwise products throughout: a matmul may be of 16 bits under autocast or of TF32 on CUDA, which misplaces
pixels, and a factorisation would wait for the device.
"""
from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from .. import fused, grids
from ..functional import affine_grid

NEAR_INFINITY = 1e-8  # |w| below it has no coordinate: the kernels' bound


def is_projective(matrix: Tensor) -> bool:
    return matrix.shape[1] == matrix.shape[2]


def stack(rows: Sequence[Sequence[Tensor]]) -> Tensor:
    """A matrix of its entries, each [B]."""
    return torch.stack([torch.stack(list(row), -1) for row in rows], -2)


def identity_like(matrix: Tensor) -> Tensor:
    return torch.eye(*matrix.shape[1:], dtype=matrix.dtype, device=matrix.device)


def homogeneous(matrix: Tensor) -> Tensor:
    """With the row (0, ..., 0, 1), unless it is there."""
    if is_projective(matrix):
        return matrix
    last = torch.zeros_like(matrix[:, :1])
    return torch.cat([matrix, torch.cat([last[..., :-1], torch.ones_like(last[..., :1])], -1)], 1)


def product(a: Tensor, b: Tensor) -> Tensor:
    """p -> a(b(p)), projective if one of them is."""
    rows = max(a.shape[1], b.shape[1])
    whole = homogeneous(a)[:, :rows], homogeneous(b)
    return (whole[0].unsqueeze(-1) * whole[1].unsqueeze(1)).sum(2)


def apply(matrix: Tensor, points: Tensor) -> Tensor:
    """points [B, N, d]; NaN where a homography has no coordinate."""
    dims = points.shape[2]
    rows = matrix[:, None, :, dims]
    for axis in range(dims):
        rows = rows + matrix[:, None, :, axis] * points[..., axis, None]
    if not is_projective(matrix):
        return rows
    w = rows[..., dims:]
    near = w.abs() < NEAR_INFINITY
    return torch.where(near, math.nan, rows[..., :dims] / torch.where(near, 1.0, w))


def adjugate(block: Tensor) -> tuple[Tensor, Tensor]:
    """[B, n, n] with n = 2 or 3: what is the inverse times the determinant, and the determinant [B]."""
    if block.shape[-1] == 2:
        (a, b), (c, d) = (row.unbind(-1) for row in block.unbind(-2))
        return stack([[d, -b], [-c, a]]), a * d - b * c
    first, second, third = block.unbind(-2)
    columns = [torch.linalg.cross(*pair) for pair in ((second, third), (third, first), (first, second))]
    return torch.stack(columns, -1), (first * columns[0]).sum(-1)


def inverse(matrix: Tensor) -> Tensor:
    """Not finite where there is none. A homography's is some multiple of it."""
    if is_projective(matrix):
        return adjugate(matrix)[0]
    adjoint, determinant = adjugate(matrix[..., :-1])
    block = adjoint / determinant[:, None, None]
    shift = -(block * matrix[:, None, :, -1]).sum(-1)
    return torch.cat([block, shift.unsqueeze(-1)], -1)


def grid(matrix: Tensor, size: list[int], align_corners: bool) -> Tensor:
    if is_projective(matrix):
        return grids.projective_grid(matrix, size, align_corners)
    return affine_grid(matrix, [matrix.shape[0], 1, *size], align_corners)


def sample(input: Tensor, matrix: Tensor, size: list[int], **options: object) -> Tensor:
    sampler = fused.projective_sample if is_projective(matrix) else fused.affine_sample
    return sampler(input, matrix, size, **options)  # type: ignore[arg-type]
