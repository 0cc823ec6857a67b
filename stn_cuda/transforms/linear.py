"""The transforms of a plane that are matrices."""
from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from . import _matrices
from .protocol import Transform


class MatrixTransform(Transform):
    """A family of matrices. A class of your own fills in ``dims``, ``num_params``, ``_matrix`` and ``_from_matrix``.

    ``ones``: the parameters that are 1 in the identity, where all others are 0.
    """

    has_matrix: ClassVar[bool] = True
    dims: ClassVar[int] = 2
    num_params: ClassVar[int]
    ones: ClassVar[tuple[int, ...]] = ()

    def identity(
        self, batch: int = 1, dtype: torch.dtype | None = None, device: torch.device | str | None = None
    ) -> Tensor:
        theta = torch.zeros(batch, self.num_params, dtype=dtype, device=device)
        for index in self.ones:
            theta[:, index] = 1
        return theta

    def _compose(self, theta_a: Tensor, theta_b: Tensor) -> Tensor:
        return self._from_matrix(_matrices.product(self._matrix(theta_a), self._matrix(theta_b)))

    def _inverse(self, theta: Tensor) -> Tensor:
        return self._from_matrix(_matrices.inverse(self._matrix(theta)))

    def _regularizer(self, theta: Tensor) -> Tensor:
        matrix = self._matrix(theta)
        return (matrix - _matrices.identity_like(matrix)).square().mean((1, 2))

    def _grid(self, theta: Tensor, size: list[int], align_corners: bool) -> Tensor:
        return _matrices.grid(self._matrix(theta), size, align_corners)

    def _apply_points(self, theta: Tensor, points: Tensor, align_corners: bool) -> Tensor:
        return _matrices.apply(self._matrix(theta), points)

    def _sample(
        self, input: Tensor, theta: Tensor, size: list[int], common: dict[str, Any], fused: dict[str, Any]
    ) -> Tensor:
        return _matrices.sample(input, self._matrix(theta), size, **common, **fused)


@dataclass(frozen=True)
class Translation(MatrixTransform):
    """A shift. theta: (tx, ty), in halves of the input's extent; tx = 1 reads half an image further right.

    ``from_matrix`` takes the last column.

    Example::

        >>> stn_cuda.transforms.Translation().matrix(torch.tensor([[0.5, 0.0]]))
        tensor([[[1.0000, 0.0000, 0.5000],
                 [0.0000, 1.0000, 0.0000]]])
    """

    num_params = 2

    def _matrix(self, theta: Tensor) -> Tensor:
        tx, ty = theta.unbind(1)
        one, zero = torch.ones_like(tx), torch.zeros_like(tx)
        return _matrices.stack([[one, zero, tx], [zero, one, ty]])

    def _from_matrix(self, matrix: Tensor) -> Tensor:
        return matrix[:, :, 2]


@dataclass(frozen=True)
class Attention(MatrixTransform):
    """A crop: isotropic scale and shift. theta: (s, tx, ty), reads the square of half-width s around (tx, ty).

    Identity: (1, 0, 0). A negative s reads it turned by 180 degrees. ``from_matrix`` takes the mean of the diagonal for s.

    Source: Jaderberg et al., 2015, equation 2 (the attention model).

    Example::

        >>> stn_cuda.transforms.Attention().matrix(torch.tensor([[0.5, 0.0, 0.25]]))
        tensor([[[0.5000, 0.0000, 0.0000],
                 [0.0000, 0.5000, 0.2500]]])
    """

    num_params = 3
    ones = (0,)

    def _matrix(self, theta: Tensor) -> Tensor:
        s, tx, ty = theta.unbind(1)
        zero = torch.zeros_like(s)
        return _matrices.stack([[s, zero, tx], [zero, s, ty]])

    def _from_matrix(self, matrix: Tensor) -> Tensor:
        return torch.stack([(matrix[:, 0, 0] + matrix[:, 1, 1]) / 2, matrix[:, 0, 2], matrix[:, 1, 2]], 1)


@dataclass(frozen=True)
class ScaleTranslation(MatrixTransform):
    """A crop of any aspect ratio. theta: (sx, sy, tx, ty), reads the rectangle of half-widths sx and sy around (tx, ty).

    Identity: (1, 1, 0, 0). A negative scale mirrors. ``from_matrix`` takes the diagonal and the last column.

    Example::

        >>> stn_cuda.transforms.ScaleTranslation().matrix(torch.tensor([[0.5, 1.0, 0.0, 0.25]]))
        tensor([[[0.5000, 0.0000, 0.0000],
                 [0.0000, 1.0000, 0.2500]]])
    """

    num_params = 4
    ones = (0, 1)

    def _matrix(self, theta: Tensor) -> Tensor:
        sx, sy, tx, ty = theta.unbind(1)
        zero = torch.zeros_like(sx)
        return _matrices.stack([[sx, zero, tx], [zero, sy, ty]])

    def _from_matrix(self, matrix: Tensor) -> Tensor:
        return torch.stack([matrix[:, 0, 0], matrix[:, 1, 1], matrix[:, 0, 2], matrix[:, 1, 2]], 1)


@dataclass(frozen=True)
class Affine(MatrixTransform):
    """Any affine map. theta: the matrix itself, row after row: (a, b, tx, c, d, ty), reads (ax + by + tx, cx + dy + ty).

    Identity: (1, 0, 0, 0, 1, 0).

    Source: Jaderberg et al., 2015, equation 1.

    Example::

        >>> affine = stn_cuda.transforms.Affine()
        >>> affine.apply_points(torch.tensor([[0.5, 0.0, 0.25, 0.0, 0.5, 0.0]]), torch.tensor([[[1.0, 1.0]]]))
        tensor([[[0.7500, 0.5000]]])
    """

    num_params = 6
    ones = (0, 4)

    def _matrix(self, theta: Tensor) -> Tensor:
        return theta.reshape(-1, 2, 3)

    def _from_matrix(self, matrix: Tensor) -> Tensor:
        return matrix.reshape(-1, 6)


@dataclass(frozen=True)
class Projective(MatrixTransform):
    """A homography. theta: its matrix row after row, without the last entry, which is 1: (a, b, tx, c, d, ty, g, h).

    Reads (u / w, v / w), where (u, v, w) is the matrix times (x, y, 1). Where |w| < 1e-8 there is no coordinate: it is NaN, and
    outside of the image. Identity: (1, 0, 0, 0, 1, 0, 0, 0). ``from_matrix`` divides by the last entry; where that is 0, and so
    where a composition or inverse sends the centre to infinity, parameters are not finite.

    Source: Jaderberg et al., 2015, section 3.2 (a plane projective transformation, of 8 parameters).

    Example::

        >>> projective = stn_cuda.transforms.Projective()
        >>> theta = projective.identity()
        >>> theta[:, 6] = 0.5
        >>> projective.apply_points(theta, torch.tensor([[[1.0, 1.0]]]))
        tensor([[[0.6667, 0.6667]]])
    """

    num_params = 8
    ones = (0, 4)

    def _matrix(self, theta: Tensor) -> Tensor:
        return torch.cat([theta, torch.ones_like(theta[:, :1])], 1).reshape(-1, 3, 3)

    def _from_matrix(self, matrix: Tensor) -> Tensor:
        entries = matrix.reshape(-1, 9)
        return entries[:, :8] / entries[:, 8:]

    def _matrix_rows(self) -> int:
        return self.dims + 1
