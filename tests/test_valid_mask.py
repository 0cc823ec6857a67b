"""valid_mask: the share of a location's stencil inside an image."""

from __future__ import annotations

import math

import pytest
import torch
from cases import MODES, Case, all_cases, coordinates_anywhere
from tolerances import EXACT, PARITY, parity

import stn_cuda
from stn_cuda import reference

DOUBLE = PARITY[torch.float64]
ZEROS = [case for case in all_cases() if case.padding_mode == "zeros"]
ZEROS += [Case(1, mode, "zeros", align_corners) for mode in MODES for align_corners in (False, True)]


@pytest.mark.parametrize("dtype", (torch.float32, torch.float64), ids=str)
@pytest.mark.parametrize("case", ZEROS, ids=str)
def test_mask_is_a_sample_of_an_image_of_ones(case: Case, dtype, device):
    input, grid = case.tensors(device, dtype, away_from_kinks=True)
    mask = stn_cuda.valid_mask(grid, input.shape[2:], case.mode, case.align_corners)
    ones = case.bind(reference.grid_sample)(torch.ones_like(input[:, :1]), grid).squeeze(1)
    assert (mask.shape, mask.dtype) == (grid.shape[:-1], dtype)
    assert 0 < mask.count_nonzero() < mask.numel()
    parity(case.mode, dtype).assert_close(mask, ones)


@pytest.mark.parametrize("shape", [(9,), (3, 3), (1, 3, 3), (3, 1, 1, 3)], ids=str)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("dims", (1, 2, 3))
def test_mask_of_pixels_has_the_grids_axes(dims, mode, shape, device):
    size = (3, 4, 6)[-dims:]
    generator = torch.Generator().manual_seed(dims)
    columns = [coordinates_anywhere((2, *shape), length, generator) for length in reversed(size)]
    grid = torch.stack(columns, -1).to(device)
    mask = stn_cuda.valid_mask(grid, list(size), mode, coordinates="pixel")
    ones = torch.ones(2, 1, *size, dtype=torch.float64, device=device)
    DOUBLE.assert_close(mask, reference.grid_sample(ones, grid, mode, coordinates="pixel").squeeze(1))


def test_mask_is_1_on_all_pixels_and_falls_to_0_within_one_beyond(device):
    grid = torch.tensor([[[0.0], [2.5], [3.0], [3.25], [4.0], [-0.5], [-1.0], [-1.5]]], device=device)
    mask = stn_cuda.valid_mask(grid, (4,), coordinates="pixel")
    assert mask.tolist() == [[1.0, 1.0, 1.0, 0.75, 0.0, 0.5, 0.0, 0.0]]
    edges = stn_cuda.valid_mask(torch.tensor([[[-1.0], [1.0], [0.0]]], device=device), (4,))
    centres = stn_cuda.valid_mask(torch.tensor([[[-1.0], [1.0], [0.0]]], device=device), (4,), align_corners=True)
    assert (edges.tolist(), centres.tolist()) == ([[0.5, 0.5, 1.0]], [[1.0, 1.0, 1.0]])


@pytest.mark.parametrize("mode", MODES)
def test_mask_of_coordinates_that_are_not_finite_is_0(mode, device):
    values = [math.nan, math.inf, -math.inf, 3e38, 1e30]
    grid = torch.tensor([[[value, 1.0] for value in values] + [[1.0, value] for value in values]], device=device)
    assert not stn_cuda.valid_mask(grid, (4, 5), mode, coordinates="pixel").any()


@pytest.mark.parametrize("dtype", (torch.float16, torch.bfloat16), ids=str)
def test_mask_of_a_16_bit_grid_is_float32s_rounded_once(dtype, device):
    _, grid = Case(2, "bilinear", "zeros", False).tensors(device, dtype, away_from_kinks=False)
    mask = stn_cuda.valid_mask(grid, (4, 5))
    assert mask.dtype == dtype
    PARITY[dtype].assert_close(mask, stn_cuda.valid_mask(grid.float(), (4, 5)).to(dtype))


def test_mask_has_no_gradient_and_is_no_node_of_a_graph(device):
    grid = torch.zeros(1, 3, 2, device=device, requires_grad=True)
    assert not stn_cuda.valid_mask(grid, (4, 5)).requires_grad


@pytest.mark.usefixtures("fresh_dynamo")
def test_mask_under_vmap_and_torch_compile(device):
    _, grid = Case(2, "bilinear", "zeros", False).tensors(device, torch.float64, away_from_kinks=True)

    def mask(grid):
        return stn_cuda.valid_mask(grid, (5, 6))

    expected = mask(grid)
    DOUBLE.assert_close(torch.func.vmap(mask)(torch.stack([grid, grid])), torch.stack([expected, expected]))
    DOUBLE.assert_close(torch.compile(mask, fullgraph=True, backend="aot_eager")(grid), expected)


def test_mask_of_a_huge_image_costs_no_image(device):
    """2^40 pixels: nothing of their size is made."""
    grid = torch.tensor([[[5.0, 7.0], [2.0**20 - 1, 2.0**20 - 1], [2.0**20, 0.0]]], dtype=torch.float64, device=device)
    mask = stn_cuda.valid_mask(grid, (2**20, 2**20), coordinates="pixel")
    EXACT.assert_close(mask, torch.tensor([[1.0, 1.0, 0.0]], dtype=torch.float64, device=device))
