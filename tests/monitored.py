"""Modules for the tests of TransformMonitor, and what it has measured of the one that a model has."""

from __future__ import annotations

from module_cases import images
from torch import Tensor, nn

from stn_cuda.modules import SpatialTransformer
from stn_cuda.transforms import Translation
from stn_cuda.visualize import TransformMonitor, TransformStatistics


class Given(nn.Module):
    """Predicts what it was given, whatever the image."""

    def __init__(self, theta: Tensor):
        super().__init__()
        self.given = nn.Parameter(theta)

    def forward(self, input):
        return 1 * self.given


def given(theta: Tensor, transform, size=None, **options) -> SpatialTransformer:
    return SpatialTransformer(Given(theta), transform, size, **options).to(theta.device)


def only(monitor: TransformMonitor) -> TransformStatistics:
    (statistics,) = monitor.summary().values()
    return statistics


def blank_and_others(device) -> tuple[SpatialTransformer, Tensor]:
    """Three images: one beside its window, one of background alone, and one in whose window there is something to see."""
    theta = Translation().identity(3, device=device)
    theta[0, 0] = 5.0
    input = images(device)
    input[1] = 0
    return given(theta, Translation()), input
