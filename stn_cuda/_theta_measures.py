"""What can be said of theta without an image: how far from the identity, how large and how far outside its window is."""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from . import _checks
from ._outline import edges_of
from .transforms import Transform
from .transforms._matrices import adjugate

LATTICE = 8  # samples an axis, at most: an output of 224 x 224 would cost 800 times as many, and a grid in memory


@dataclass(frozen=True)
class Ruler:
    """Constants on theta's device, so that a measurement copies nothing there and waits for nothing."""

    transform: Transform
    align_corners: bool
    identity: Tensor  # [1, P]
    lattice: Tensor  # [1, N, d], in the output, normalised: the pixels' centres of a smaller output
    lattice_size: tuple[int, ...]  # spatial, product N
    edges: Tensor  # [d]: of the input, normalised

    @classmethod
    def of(
        cls, transform: Transform, align_corners: bool, source: Sequence[int], output: Sequence[int], theta: Tensor
    ) -> Ruler:
        """For an input and an output of these spatial sizes."""
        dtype, device = _checks.accumulate_dtype(theta.dtype), theta.device
        size = tuple(min(extent, LATTICE) for extent in output)
        axes = [_centres(extent, align_corners) for extent in size]
        lattice = torch.stack(torch.meshgrid(*axes, indexing="ij")[::-1], -1).flatten(0, -2)
        # With align_corners=True every coordinate on an axis of one pixel is that pixel
        edges = torch.tensor(edges_of(source, align_corners), device="cpu")
        edges = torch.where(edges == 0, torch.inf, edges)
        identity = transform.identity(1, dtype, device)
        return cls(transform, align_corners, identity, lattice[None].to(device, dtype), size, edges.to(device, dtype))

    @torch.no_grad()
    def measure(self, theta: Tensor) -> tuple[Tensor, Tensor]:
        """theta [B, P] -> [3, B]: mean |theta - identity|, |det|, the share of samples outside; and [B]: is theta finite?"""
        theta = theta.to(self.identity.dtype)
        positions = self.transform.apply_points(theta, self.lattice, self.align_corners)  # [B, N, d]
        is_inside = (positions.abs() <= self.edges).all(-1)  # NaN isn't
        deviation = (theta - self.identity).abs().mean(1)
        outside = 1 - is_inside.to(theta.dtype).mean(1)
        return torch.stack([deviation, self._determinant(theta, positions), outside]), theta.isfinite().all(1)

    def _determinant(self, theta: Tensor, positions: Tensor) -> Tensor:
        """[B]: |det| of the map's derivative: of a homography at the output's centre, without a matrix the lattice's mean."""
        if not self.transform.has_matrix:
            return self._mean_determinant(positions)
        matrix, dims = self.transform.matrix(theta), self.transform.dims
        block = matrix[:, :dims, :dims]
        if matrix.shape[1] > dims:  # d(p / w) = dp / w - p dw / w^2, at 0
            w = matrix[:, dims, dims, None, None]
            block = block / w - matrix[:, :dims, dims, None] * matrix[:, dims, None, :dims] / w.square()
        return adjugate(block)[1].abs()

    def _mean_determinant(self, positions: Tensor) -> Tensor:
        """By differences between neighbours; NaN where an axis has one sample."""
        image, preimage = (at.unflatten(1, self.lattice_size) for at in (positions, self.lattice))
        return (_cells(image) / _cells(preimage)).abs().flatten(1).mean(1)


def _centres(extent: int, align_corners: bool) -> Tensor:
    """[extent]: the pixels' centres, normalised."""
    index = torch.arange(extent, dtype=torch.float64, device="cpu")
    if align_corners:
        return 2 * index / (extent - 1) - 1 if extent > 1 else index
    return (2 * index + 1) / extent - 1


def _cells(positions: Tensor) -> Tensor:
    """[B, *size, d] -> [B, *(size - 1)]: the signed area, or volume, that the first corner's edges span."""
    dims = positions.shape[-1]
    corner = (slice(None), *(slice(-1),) * dims)
    # Where the lattice has one row no neighbour is left: an empty mean is NaN
    edges = [positions.diff(dim=axis)[tuple(slice(None) if at == axis else cut for at, cut in enumerate(corner))]
             for axis in range(1, 1 + dims)]
    return adjugate(torch.stack(edges[::-1], -1).flatten(0, -3))[1].unflatten(0, edges[0].shape[:-1])
