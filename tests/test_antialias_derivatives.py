"""antialias: derivatives, and where there are none: kinks, horizons, what is not finite."""

from __future__ import annotations

import itertools
import math
from functools import partial

import pytest
import torch
from antialiasing import antialiased, position, randn, scaling, squared
from tolerances import EXACT, PARITY
from torch.autograd import gradcheck, gradgradcheck
from warps import SAMPLERS

import stn_cuda

pytestmark = pytest.mark.usefixtures("sums_in_order")

DOUBLE = PARITY[torch.float64]


# ---- derivatives --------------------------------------------------------------------------------------------------------

def smooth_tensors(transform, in_size, size, align_corners, device):
    """input and theta with no coordinate of any level, and no level of detail, within 0.002 of a kink."""
    dims = len(size)
    for seed in range(5000):
        theta = (torch.eye(dims, dims + 1, dtype=torch.float64) + 0.2 * randn(2, dims, dims + 1, seed=seed)) * 0.9
        last = torch.eye(dims + 1, dtype=torch.float64)[-1] + 0.1 * randn(2, 1, dims + 1, seed=seed + 10**6)
        whole = torch.cat([theta, last], 1) if transform == "projective" else squared(theta)
        if all(distance_from_kinks(matrix, in_size, size, align_corners) > 0.002 for matrix in whole):
            given = whole if transform == "projective" else theta
            return randn(2, 1, *in_size, seed=seed).to(device).requires_grad_(), given.to(device).requires_grad_()
    raise AssertionError("no theta found")


def distance_from_kinks(matrix, in_size, size, align_corners):
    to_input = partial(position, matrix, size=size, in_size=in_size, align_corners=align_corners)
    ticks = torch.meshgrid(*[torch.arange(n, dtype=torch.float64) for n in size], indexing="ij")
    pixels = torch.stack([*reversed(ticks)], -1).reshape(-1, len(size))
    jacobian = torch.vmap(torch.func.jacrev(to_input))(pixels)
    lod = (jacobian.square().sum((1, 2)) / len(size)).log2() / 2
    if not lod.min() > 0 or not lod.max() < math.ceil(math.log2(max(in_size))):
        return 0.0
    kinks, lengths = [lod, torch.vmap(to_input)(pixels)], list(in_size)
    while max(lengths) > 1:
        whole, reduced = (torch.tensor([*reversed(values)]) for values in (in_size, lengths))
        for half in itertools.product((-0.25, 0.25), repeat=len(size)):
            kinks.append((torch.vmap(to_input)(pixels + torch.tensor(half)) + 0.5) * reduced / whole - 0.5)
        lengths = [(n + 1) // 2 for n in lengths]
    return min((values - values.round()).abs().min().item() for values in kinks)


DERIVED = [("affine", (7, 6), (2, 2)), ("projective", (6, 8), (2, 2)), ("affine", (3, 4, 3), (1, 2, 1)),
           ("projective", (4, 3, 4), (1, 1, 2))]


@pytest.mark.parametrize("align_corners", (False, True), ids=("edges", "centres"))
@pytest.mark.parametrize("transform, in_size, size", DERIVED, ids=str)
def test_gradcheck(transform, in_size, size, align_corners, device):
    leaves = smooth_tensors(transform, in_size, size, align_corners, device)
    function = partial(SAMPLERS[transform], size=size, padding_mode="border", align_corners=align_corners, antialias=True)
    assert gradcheck(function, leaves)
    assert gradgradcheck(function, leaves)


def test_the_level_of_detail_has_a_gradient(device):
    """The mean around the centre of a bright square is less the more it covers, though no sample's position matters."""
    image = torch.zeros(1, 1, 64, 64, device=device)
    image[..., 24:40, 24:40] = 1.0
    theta = (3.1 * torch.eye(2, 3, device=device)[None]).requires_grad_()
    antialiased(image, theta, (5, 5))[..., 2, 2].sum().backward()
    assert theta.grad[0, 0, 0] < 0 and theta.grad[0, 1, 1] < 0


NOT_FINITE = {"zeros": 0.0, "nan": math.nan, "inf": math.inf, "largest": 3e38, "small": 1e-30}


@pytest.mark.parametrize("padding_mode", ("zeros", "border"))
@pytest.mark.parametrize("transform", SAMPLERS)
@pytest.mark.parametrize("name", NOT_FINITE)
def test_a_theta_without_coordinates_is_sampled_as_ever(name, transform, padding_mode, device):
    """And what the plain call has a finite gradient of has one."""
    rows = 2 if transform == "affine" else 3
    theta = torch.full((1, rows, 3), NOT_FINITE[name], device=device)
    image, results = randn(1, 1, 9, 9, dtype=torch.float32).to(device), []
    for antialias in (False, True):
        leaves = image.clone().requires_grad_(), theta.clone().requires_grad_()
        output = SAMPLERS[transform](*leaves, (5, 5), padding_mode=padding_mode, antialias=antialias)
        results.append([output, *torch.autograd.grad(output.sum(), leaves)])
    EXACT.assert_close(results[1][0], results[0][0])
    for plain, ours in zip(*results, strict=True):
        assert ours.isfinite().all() or not plain.isfinite().all()


@pytest.mark.parametrize("scale", (1.0, 1e-6, 1e20))
def test_gradients_are_finite_at_a_horizon(scale, device):
    """w is 0 at some pixels and near it at others."""
    theta = scale * torch.tensor([[[1.0, 0, 0], [0, 1, 0], [2, 1, 0.5]]], device=device)
    leaves = randn(1, 1, 16, 16, dtype=torch.float32).to(device).requires_grad_(), theta.requires_grad_()
    for size in ((4, 4), (5, 5), (8, 16)):
        output = stn_cuda.projective_sample(*leaves, size, antialias=True)
        for result in (output, *torch.autograd.grad(output.sum(), leaves)):
            assert result.isfinite().all()


def test_a_nan_pixel_reaches_only_the_pixels_that_cover_it(device):
    image = torch.zeros(1, 1, 16, 16, device=device)
    image[..., 3, 3] = math.nan
    identity = scaling(1.0, 1.0).to(device)
    EXACT.assert_close(antialiased(image, identity), stn_cuda.affine_sample(image, identity), equal_nan=True)
    reduced = antialiased(image, identity, (4, 4))
    assert reduced[..., 0, 0].isnan().all() and not reduced[..., 2:, :].isnan().any() and not reduced[..., 2:].isnan().any()
