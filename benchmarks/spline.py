"""A thin plate spline from moved control points to samples: torch's ways, and stn_cuda's.

Programs make the grid of two products for each image, first coefficients and then coordinates. One could do it by a single
product for all images, of both constants multiplied out; that is what stn_cuda does too, but in float64.
"""
from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

import stn_cuda
from benchmarks.cases import Sampler, Way, Workload

BASIS = stn_cuda.ThinPlateSplineBasis.regular(4)
MOVED = 0.1  # the standard deviation of a control point's coordinates


def points(workload: Workload, generator: Generator) -> Tensor:
    """[N, K, 2]: where the control points read, others in each image."""
    still = BASIS.control_points.expand(workload.grid_batch, -1, -1)
    return still + MOVED * torch.randn(still.shape, generator=generator, dtype=torch.float64)


def _radial(locations: Tensor) -> Tensor:
    """[..., K]: U(r) = r^2 log r^2 of the distance to each control point (Bookstein 1989)."""
    squared = (locations[..., None, :] - BASIS.control_points).square().sum(-1)
    return torch.xlogy(squared, squared)


def _with_ones(locations: Tensor) -> Tensor:
    """[P, 3]: 1, x, y."""
    return torch.cat([torch.ones(len(locations), 1, dtype=locations.dtype), locations], 1)


@functools.lru_cache
def constants(out_size: tuple[int, int], align_corners: bool, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """What a program makes once: [K + 3, K] from points to coefficients, [P, K + 3] from these to coordinates."""
    control, zeros = _with_ones(BASIS.control_points), torch.zeros(3, 3, dtype=torch.float64)
    system = torch.cat([torch.cat([_radial(BASIS.control_points), control], 1), torch.cat([control.mT, zeros], 1)])
    identity = torch.eye(2, 3, dtype=torch.float64)[None]
    locations = F.affine_grid(identity, [1, 1, *out_size], align_corners=align_corners).reshape(-1, 2)
    to_coefficients = torch.linalg.inv(system)[:, :len(control)]
    return to_coefficients.to(dtype), torch.cat([_radial(locations), _with_ones(locations)], 1).to(dtype)


@functools.lru_cache
def product(out_size: tuple[int, int], align_corners: bool, dtype: torch.dtype) -> Tensor:
    """[K, P]: both in one."""
    to_coefficients, to_coordinates = constants(out_size, align_corners, torch.float64)
    return (to_coordinates @ to_coefficients).mT.to(dtype)


def _by_two_products(sampler: Sampler) -> Sampler:
    def spline(input: Tensor, points: Tensor, out_size: Sequence[int], *options: Any) -> Tensor:
        to_coefficients, to_coordinates = constants(tuple(out_size), options[-1], points.dtype)
        grid = to_coordinates @ (to_coefficients @ points)
        return sampler(input, grid.reshape(len(points), *out_size, 2), *options)

    return spline


def _by_one_product(sampler: Sampler) -> Sampler:
    def spline(input: Tensor, points: Tensor, out_size: Sequence[int], *options: Any) -> Tensor:
        planes = points.mT.reshape(-1, points.shape[1]) @ product(tuple(out_size), options[-1], points.dtype)
        return sampler(input, planes.reshape(len(points), 2, *out_size).permute(0, 2, 3, 1), *options)

    return spline


def _by_a_basis(sampler: Sampler) -> Sampler:
    def spline(input: Tensor, points: Tensor, out_size: Sequence[int], *options: Any) -> Tensor:
        return sampler(input, stn_cuda.thin_plate_spline_grid(points, out_size, BASIS, options[-1]), *options)

    return spline


TWO_PRODUCTS = Way("a grid of two matrix products, then grid_sample", _by_two_products, generates=True)
ONE_PRODUCT = Way("a grid of one matrix product, then grid_sample", _by_one_product, generates=True)
OURS = Way("thin_plate_spline_grid, then grid_sample", _by_a_basis, generates=True)


def bent(workload: Workload, torch_way: Way) -> Workload:
    """The workload with a spline's grid."""
    return replace(workload, pattern=points, torch_way=torch_way, our_way=OURS)
