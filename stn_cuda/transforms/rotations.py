"""The transforms of a plane that turn: with an angle, and so closed under composition as groups."""
from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from . import _matrices
from .linear import MatrixTransform


@dataclass(frozen=True)
class Rotation(MatrixTransform):
    """A turn about the centre. theta: the angle in radians, from the x axis to the y axis (clockwise, as y points down).

    It turns where the output reads, so the image appears turned the other way. It is a rotation of normalised coordinates: of
    an image that isn't square it is none in pixels. ``from_matrix`` takes the rotation nearest to the matrix' first two
    columns; angles come back in [-pi, pi].

    Example::

        >>> stn_cuda.transforms.Rotation().apply_points(torch.tensor([[0.5236]]), torch.tensor([[[1.0, 0.0]]]))  # 30 degrees
        tensor([[[0.8660, 0.5000]]])
    """

    num_params = 1

    def _matrix(self, theta: Tensor) -> Tensor:
        zero = torch.zeros_like(theta[:, 0])
        return _turned(theta[:, 0], zero, zero)

    def _from_matrix(self, matrix: Tensor) -> Tensor:
        return _angle(matrix)[:, None]


@dataclass(frozen=True)
class Rigid(MatrixTransform):
    """A turn about the centre, then a shift. theta: (angle, tx, ty), in radians and in halves of the input's extent.

    Angle and ``from_matrix`` as in :class:`Rotation`.

    Example::

        >>> stn_cuda.transforms.Rigid().matrix(torch.tensor([[0.0, 0.25, 0.5]]))
        tensor([[[1.0000, -0.0000, 0.2500],
                 [0.0000, 1.0000, 0.5000]]])
    """

    num_params = 3

    def _matrix(self, theta: Tensor) -> Tensor:
        return _turned(*theta.unbind(1))

    def _from_matrix(self, matrix: Tensor) -> Tensor:
        return torch.stack([_angle(matrix), matrix[:, 0, 2], matrix[:, 1, 2]], 1)


@dataclass(frozen=True)
class Similarity(MatrixTransform):
    """A turn and an isotropic scale, then a shift. theta: (angle, log_scale, tx, ty); the scale is exp(log_scale).

    So the scale is never 0 or negative, and all parameters are 0 in the identity. log_scale = -0.69 reads half of the input,
    and shows it twice as large. Angle as in :class:`Rotation`; ``from_matrix`` takes the nearest turned and scaled matrix.

    Example::

        >>> theta = torch.tensor([[0.0, 0.6931, 0.0, 0.0]])
        >>> stn_cuda.transforms.Similarity().apply_points(theta, torch.tensor([[[0.5, 0.25]]]))
        tensor([[[1.0000, 0.5000]]])
    """

    num_params = 4

    def _matrix(self, theta: Tensor) -> Tensor:
        angle, log_scale, tx, ty = theta.unbind(1)
        return _turned(angle, tx, ty, log_scale.exp())

    def _from_matrix(self, matrix: Tensor) -> Tensor:
        log_scale = torch.hypot(matrix[:, 0, 0] + matrix[:, 1, 1], matrix[:, 1, 0] - matrix[:, 0, 1]).div(2).log()
        return torch.stack([_angle(matrix), log_scale, matrix[:, 0, 2], matrix[:, 1, 2]], 1)


def _turned(angle: Tensor, tx: Tensor, ty: Tensor, scale: Tensor | None = None) -> Tensor:
    cos, sin = angle.cos(), angle.sin()
    if scale is not None:
        cos, sin = scale * cos, scale * sin
    return _matrices.stack([[cos, -sin, tx], [sin, cos, ty]])


def _angle(matrix: Tensor) -> Tensor:
    """Of the rotation nearest to the first two columns, in the sum of squared differences."""
    return torch.atan2(matrix[:, 1, 0] - matrix[:, 0, 1], matrix[:, 0, 0] + matrix[:, 1, 1])
