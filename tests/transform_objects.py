"""The transforms of the tests of stn_cuda.transforms, and parameters for them."""

from __future__ import annotations

import torch
from torch import Tensor

from stn_cuda import ThinPlateSplineBasis
from stn_cuda.transforms import (
    Affine,
    Affine3d,
    AffineExp,
    Attention,
    Chain,
    Constrained,
    Flow,
    Projective,
    Rigid,
    Rigid3d,
    Rotation,
    ScaleTranslation,
    Similarity,
    Similarity3d,
    ThinPlateSpline,
    Transform,
    Translation,
)

BASIS = ThinPlateSplineBasis([[-1, -1], [1, -1], [-1, 1], [1, 1], [0.1, 0.2]], regularization=0.1)
SIZES = {2: (5, 6), 3: (3, 4, 5)}
BOUNDED = ThinPlateSpline((3, 3), span=0.9, bounded=True)
UPRIGHT = Constrained(Affine(), (True, False, True, False, True, True))

FAMILIES: dict[Transform, int] = {  # and the number of parameters
    Translation(): 2, Rotation(): 1, Attention(): 3, ScaleTranslation(): 4, Rigid(): 3, Similarity(): 4, Affine(): 6,
    AffineExp(): 6, Projective(): 8, Affine3d(): 12, Rigid3d(): 6, Similarity3d(): 7,
}  # fmt: skip
CLOSED = [family for family in FAMILIES if family != AffineExp()]
WITHOUT_MATRIX: dict[Transform, int] = {
    ThinPlateSpline(): 32, ThinPlateSpline((2, 3), span=0.8): 12, BOUNDED: 18,
    ThinPlateSpline(BASIS): 10, Flow(SIZES[2]): 60, Flow(SIZES[3]): 180,
}  # fmt: skip
COMPOSITES: dict[Transform, int] = {
    UPRIGHT: 4,
    Constrained(Projective(), (False,) * 6 + (True, True)): 2,
    Constrained(ThinPlateSpline((2, 2)), [True] * 4 + [False] * 4): 4,
    Chain(Rotation(), Translation()): 3,
    Chain(Projective(), Affine()): 14,
    Chain(Similarity3d(), Affine3d()): 19,
    Chain(ThinPlateSpline((3, 3)), Similarity()): 22,
    Chain(Flow(SIZES[2]), Attention()): 63,
    Chain(Affine(), Flow(SIZES[2])): 66,
}  # fmt: skip
ALL = {**FAMILIES, **WITHOUT_MATRIX, **COMPOSITES}
FUSED = [transform for transform in ALL if transform.has_matrix or isinstance(transform, Flow)]


def name(transform: Transform) -> str:
    return f"{transform.name}-{transform.num_params}"


def some_theta(
    transform: Transform, device: torch.device, batch: int = 2, dtype: torch.dtype = torch.float64, seed: int = 0
) -> Tensor:
    """Parameters near the identity's, whose maps have inverses."""
    noise = torch.randn(batch, transform.num_params, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    theta = transform.identity(batch, torch.float64)
    return (theta + 0.15 * noise).to(device=device, dtype=dtype)


def some_points(transform: Transform, device: torch.device, batch: int = 2, count: int = 7) -> Tensor:
    points = torch.rand(batch, count, transform.dims, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    return (2 * points - 1).to(device)


def some_image(
    transform: Transform, device: torch.device, batch: int = 2, channels: int = 2, dtype: torch.dtype = torch.float64
) -> Tensor:
    shape = (batch, channels, *SIZES[transform.dims])
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(2)).to(device, dtype)


def output_size(transform: Transform) -> tuple[int, ...]:
    """Other than the input's where the transform lets it be."""
    holds_flow = "Flow" in transform.name
    return SIZES[transform.dims] if holds_flow else {2: (4, 7), 3: (3, 5, 3)}[transform.dims]
