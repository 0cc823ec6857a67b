"""Modules and their inputs, small ones, for the tests of modules."""

from __future__ import annotations

import torch
from torch import nn
from transform_objects import COMPOSITES, FAMILIES

from stn_cuda.localization import FullyConnectedLocalization, init_identity_
from stn_cuda.modules import (
    ParallelSpatialTransformer,
    PointLocalization,
    PointTransformer,
    RecurrentSpatialTransformer,
    SpatialTransformer,
)
from stn_cuda.transforms import Affine, Flow, ThinPlateSpline

SIZES = {2: (9, 12), 3: (5, 6, 7)}
FUSED = [*FAMILIES, *map(Flow, SIZES.values()), *(composite for composite in COMPOSITES if composite.has_matrix)]
AFFINE = Affine()


def images(device, dims=2, count=3, channels=2, dtype=torch.float32):
    generator = torch.Generator().manual_seed(0)
    return torch.randn(count, channels, *SIZES[dims], generator=generator).to(device, dtype)


def network(transform, perturbation=0.0, seed=0, **head):
    pooled = 4
    net = FullyConnectedLocalization(transform, (8,), 2 * pooled**transform.dims, pooled, **head)
    return init_identity_(net, transform, perturbation, torch.Generator().manual_seed(seed))


def spatial(perturbation=0.05, **options):
    return SpatialTransformer(network(AFFINE, perturbation), AFFINE, **options)


MODULES = {
    "spatial": lambda: spatial(output_size=(7, 8), mode="bicubic", fill_value=0.3),
    "fill by channel": lambda: spatial(fill_value=torch.tensor([0.5, -0.5])),
    "learnt fill": lambda: spatial(fill_value=nn.Parameter(torch.tensor([0.5, -0.5]))),
    "linearized": lambda: spatial(gradient="linearized", reach=1.5, samples=4),
    "antialias": lambda: spatial(output_size=4, antialias=True),
    "spline": lambda: SpatialTransformer(network(ThinPlateSpline(), 0.05), "ThinPlateSpline", 8),
    "parallel": lambda: ParallelSpatialTransformer([network(AFFINE, 0.05, seed) for seed in range(2)], AFFINE, (7, 8)),
    "recurrent": lambda: RecurrentSpatialTransformer(network(AFFINE, 0.05), AFFINE, (7, 8), steps=3),
    "points": lambda: PointTransformer(small_point_network(0.05), 12),
}


def small_point_network(perturbation=0.0, batch_norm=False):
    net = PointLocalization(12, (16,), (8,), batch_norm)
    noise = torch.empty(net.last.weight.shape).normal_(0, max(perturbation, 1e-30), generator=torch.Generator().manual_seed(0))
    net.last.weight.data += noise * (perturbation > 0)
    return net


def input_of(module, device, dtype=torch.float32):
    return images(device, dtype=dtype)[:, 0] if isinstance(module, PointTransformer) else images(device, dtype=dtype)
