"""A spatial transformer on torch's own functions: the same module and parameters, to compare results and speed with."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from stn_cuda.modules import SpatialTransformer
from stn_cuda.transforms import Affine, Projective, ThinPlateSpline, Transform


class TorchSpatialTransformer(SpatialTransformer):
    """Samples with ``F.grid_sample`` at ``F.affine_grid``'s grid, or at what one would write with torch where it has none.

    For ``Affine`` and whatever else has an affine matrix, ``Projective`` and ``ThinPlateSpline``; it has no options.
    """

    def __init__(self, localization: nn.Module, transform: Transform, output_size: int | None = None) -> None:
        super().__init__(localization, transform, output_size)

    def warp(self, source: Tensor, theta: Tensor) -> Tensor:
        size = source.shape[2:] if self.output_size is None else self.output_size
        return F.grid_sample(source, self._grid(theta, torch.Size(size)), align_corners=False)

    def _grid(self, theta: Tensor, size: torch.Size) -> Tensor:
        shape = [theta.shape[0], 1, *size]
        transform = self.transform
        if isinstance(transform, ThinPlateSpline):  # linear in the points: one product with a constant
            points = transform.points(theta)
            return (self._spline_weights(transform, size, theta) @ points).view(-1, *size, 2)
        if isinstance(transform, Projective):
            moved = F.pad(pixel_centres(size, theta), (0, 1), value=1.0) @ transform.matrix(theta).mT
            return (moved[..., :2] / moved[..., 2:]).view(-1, *size, 2)
        if not transform.has_matrix:
            raise ValueError(f"torch has no grid for {transform.name}")
        matrix = theta.view(-1, 2, 3) if isinstance(transform, Affine) else transform.matrix(theta)
        return F.affine_grid(matrix, shape, align_corners=False)

    def _spline_weights(self, transform: ThinPlateSpline, size: torch.Size, like: Tensor) -> Tensor:
        """[H * W, K]: what each control point contributes to each pixel; made once for a size, device and dtype."""
        key = (transform, size, like.device, like.dtype)
        if getattr(self, "_weights_key", None) != key:
            # In float64, for networks in float64: a point at (1, 1), the others at 0
            alone = torch.eye(transform.basis.num_points, dtype=torch.float64).repeat_interleave(2, 1)
            self._weights = transform.apply_points(alone, pixel_centres(size, alone))[..., 0].T.contiguous().to(like)
            self._weights_key = key
        return self._weights


def pixel_centres(size: torch.Size, like: Tensor) -> Tensor:
    """``(1, H * W, 2)``, normalised, in the dtype and on the device of ``like``."""
    return F.affine_grid(torch.eye(2, 3).to(like)[None], [1, 1, *size], align_corners=False).flatten(1, 2)
