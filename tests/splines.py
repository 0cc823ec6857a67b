"""Bases of thin plate splines for tests, and moved control points."""

from __future__ import annotations

import torch
from torch import nn

from stn_cuda import ThinPlateSplineBasis, thin_plate_spline_grid

BASES = {
    "square": ThinPlateSplineBasis.regular(4),
    "wide": ThinPlateSplineBasis.regular(2, 5),
    "three": ThinPlateSplineBasis([[-1, -1], [1, -0.5], [0, 1]]),
    "scattered": ThinPlateSplineBasis(torch.rand(9, 2, generator=torch.Generator().manual_seed(1)) * 2 - 1),
    "smoothing": ThinPlateSplineBasis.regular(3, regularization=0.5),
}


def moved(basis: ThinPlateSplineBasis, device, dtype=torch.float64, batch=2):
    """(batch, K, 2): the control points, moved."""
    noise = torch.randn(batch, basis.num_points, 2, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    return (basis.control_points + 0.2 * noise).to(device, dtype)


class Warp(nn.Module):
    def __init__(self, basis):
        super().__init__()
        self.basis = basis

    def forward(self, points, image):
        return thin_plate_spline_grid(points, image.shape[2:], self.basis)
