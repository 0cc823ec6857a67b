"""The transforms of volumes. Positions are (x, y, z), images (B, C, D, H, W): z is the first spatial axis."""
from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from . import _matrices
from .linear import MatrixTransform


@dataclass(frozen=True)
class Affine3d(MatrixTransform):
    """Any affine map of a volume. theta: the 3 x 4 matrix itself, row after row; identity (1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0).

    Example::

        >>> stn_cuda.transforms.Affine3d().matrix(stn_cuda.transforms.Affine3d().identity())
        tensor([[[1., 0., 0., 0.],
                 [0., 1., 0., 0.],
                 [0., 0., 1., 0.]]])
    """

    dims = 3
    num_params = 12
    ones = (0, 5, 10)

    def _matrix(self, theta: Tensor) -> Tensor:
        return theta.reshape(-1, 3, 4)

    def _from_matrix(self, matrix: Tensor) -> Tensor:
        return matrix.reshape(-1, 12)


@dataclass(frozen=True)
class Rigid3d(MatrixTransform):
    """A turn about the centre, then a shift. theta: (rx, ry, rz, tx, ty, tz), all 0 in the identity.

    (rx, ry, rz) is the rotation vector: the axis, times the angle in radians by the right-hand rule of (x, y, z). It is a
    rotation of normalised coordinates, as :class:`Rotation`'s. ``from_matrix`` takes a rotation matrix, of which it gives the
    vector of an angle in [0, pi]; of another matrix it is some vector. It has no derivative where the angle is pi.

    Source: Rodrigues' formula.

    Example::

        >>> theta = torch.tensor([[0.0, 0.0, 0.5236, 0.0, 0.0, 0.0]])  # 30 degrees, from x to y
        >>> stn_cuda.transforms.Rigid3d().apply_points(theta, torch.tensor([[[1.0, 0.0, 0.0]]]))
        tensor([[[0.8660, 0.5000, 0.0000]]])
    """

    dims = 3
    num_params = 6

    def _matrix(self, theta: Tensor) -> Tensor:
        return torch.cat([_rotation(theta[:, :3]), theta[:, 3:, None]], 2)

    def _from_matrix(self, matrix: Tensor) -> Tensor:
        return torch.cat([_rotation_vector(matrix[:, :, :3]), matrix[:, :, 3]], 1)


@dataclass(frozen=True)
class Similarity3d(MatrixTransform):
    """A turn and an isotropic scale, then a shift. theta: (rx, ry, rz, log_scale, tx, ty, tz), all 0 in the identity.

    Rotation vector and ``from_matrix`` as in :class:`Rigid3d`, the scale exp(log_scale) as in :class:`Similarity`.

    Example::

        >>> theta = torch.tensor([[0.0, 0.0, 0.0, 0.6931, 0.0, 0.0, 0.0]])
        >>> stn_cuda.transforms.Similarity3d().apply_points(theta, torch.tensor([[[0.5, 0.25, 0.0]]]))
        tensor([[[1.0000, 0.5000, 0.0000]]])
    """

    dims = 3
    num_params = 7

    def _matrix(self, theta: Tensor) -> Tensor:
        return torch.cat([_rotation(theta[:, :3]) * theta[:, 3].exp()[:, None, None], theta[:, 4:, None]], 2)

    def _from_matrix(self, matrix: Tensor) -> Tensor:
        block = matrix[:, :, :3]
        scale = block.square().sum((1, 2)).div(3).sqrt()
        vector = _rotation_vector(block / scale[:, None, None])
        return torch.cat([vector, scale.log()[:, None], matrix[:, :, 3]], 1)


def _rotation(vector: Tensor) -> Tensor:
    """[B, 3] -> [B, 3, 3]: 1 + sin(r) / r K + (1 - cos(r)) / r^2 K^2, where K is the cross product with the vector."""
    x, y, z = vector.unbind(1)
    zero, squared = torch.zeros_like(x), vector.square().sum(1)
    cross = _matrices.stack([[zero, -z, y], [z, zero, -x], [-y, x, zero]])
    one = _matrices.identity_like(cross)
    twice = vector.unsqueeze(2) * vector.unsqueeze(1) - squared[:, None, None] * one
    half = _sine_ratio(squared / 4).square() / 2
    return one + _sine_ratio(squared)[:, None, None] * cross + half[:, None, None] * twice


def _sine_ratio(squared: Tensor) -> Tensor:
    """sin(r) / r of r^2, with all its derivatives at 0."""
    near = squared < 1e-2
    series = 1 - squared / 6 * (1 - squared / 20 * (1 - squared / 42 * (1 - squared / 72)))
    r = torch.where(near, 1.0, squared).sqrt()
    return torch.where(near, series, r.sin() / r)


def _rotation_vector(matrix: Tensor) -> Tensor:
    """[B, 3, 3] -> [B, 3], by the quaternion."""
    quaternion = _quaternion(matrix)
    w, axis = quaternion[:, :1], quaternion[:, 1:]
    squared = axis.square().sum(1, keepdim=True)
    near = squared < 1e-5
    safe_w = torch.where(near, w, 1.0)  # 2 atan(n / w) / n
    series = 2 / safe_w * (1 - squared / safe_w.square() * (1 / 3 - squared / safe_w.square() / 5))
    sine = torch.where(near, 1.0, squared).sqrt()
    return torch.where(near, series, 2 * torch.atan2(sine, w) / sine) * axis


def _quaternion(matrix: Tensor) -> Tensor:
    """[B, 4], (w, x, y, z) with w >= 0. The rows below are it times 4w, 4x, 4y and 4z; the longest of them is exact."""
    (a, b, c), (d, e, f), (g, h, i) = (row.unbind(-1) for row in matrix.unbind(-2))
    rows = _matrices.stack([
        [1 + a + e + i, h - f, c - g, d - b],
        [h - f, 1 + a - e - i, b + d, c + g],
        [c - g, b + d, 1 - a + e - i, f + h],
        [d - b, c + g, f + h, 1 - a - e + i]])  # fmt: skip
    longest = rows.diagonal(dim1=1, dim2=2).argmax(1)[:, None, None].expand(-1, 1, 4)
    row = rows.gather(1, longest).squeeze(1)
    return row / row.norm(dim=1, keepdim=True) * torch.where(row[:, :1] < 0, -1.0, 1.0)
