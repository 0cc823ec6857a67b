"""The ends of the domain: nothing to sample, one pixel, infinite pixels, very many of something."""

from __future__ import annotations

import pytest
import torch
from cases import ALIGN_CORNERS, DIMS, DTYPES, PADDING_MODES, Case, all_cases, torch_grid_sample
from tolerances import EXACT, PARITY

import stn_cuda

ZERO_SIZES = {"batch": (0, 3, 2), "channels": (2, 0, 2), "output": (2, 3, 0), "all": (0, 0, 0)}


@pytest.mark.parametrize("what", ZERO_SIZES)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("case", all_cases(), ids=str)
def test_zero_size_gives_empty_results_and_zero_gradients(case: Case, dtype, what, device):
    batch, channels, rows = ZERO_SIZES[what]
    input = torch.ones(batch, channels, *(4, 5, 6)[-case.dims :], dtype=dtype, device=device, requires_grad=True)
    grid = torch.zeros(batch, *(rows, 2, 3)[: case.dims], case.dims, dtype=dtype, device=device, requires_grad=True)
    output = case.bind(stn_cuda.grid_sample)(input, grid)
    assert output.shape == (batch, channels, *grid.shape[1:-1])
    assert output.dtype == dtype and output.numel() == 0
    for gradient, leaf in zip(torch.autograd.grad(output.sum(), (input, grid)), (input, grid), strict=True):
        assert torch.equal(gradient, torch.zeros_like(leaf))


def assert_equals_torch(case: Case, input, grid):
    """Output and both gradients, in float64."""
    leaves = input.detach().requires_grad_(), grid.detach().requires_grad_()
    results = []
    for sampler in (stn_cuda.grid_sample, torch_grid_sample):
        output = case.bind(sampler)(*leaves)
        results.append((output, *torch.autograd.grad(output.square().sum(), leaves)))
    for actual, expected in zip(*results, strict=True):
        PARITY[torch.float64].assert_close(actual, expected)


@pytest.mark.parametrize("case", all_cases(), ids=str)
def test_any_stride_of_a_dim_of_size_one_equals_torch(case: Case, device):
    """torch lets it be any number, one that overflows an offset too."""
    input, grid = case.tensors(device, torch.float64, away_from_kinks=True, batch=1, channels=1, in_size=(1,) * case.dims)
    strides = [2**61 // (1 + dim) for dim in range(input.dim())]
    assert_equals_torch(case, input.as_strided(input.shape, strides), grid.as_strided(grid.shape, (2**61, *grid.stride()[1:])))


@pytest.mark.parametrize("case", all_cases(), ids=str)
def test_axes_of_size_one_equal_torch(case: Case, device):
    for axis in range(case.dims):
        in_size = [4, 5, 6][-case.dims :]
        in_size[axis] = 1
        tensors = case.tensors(device, torch.float64, away_from_kinks=True, in_size=in_size)
        assert_equals_torch(case, *tensors)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("case", [case for case in all_cases() if case.align_corners], ids=str)
def test_every_coordinate_on_an_axis_of_one_pixel_between_centres_is_that_pixel(case: Case, dtype, device):
    """It has no extent: padding never applies, and even NaN is pixel 0."""
    input = torch.full((1, 2, *[1] * case.dims), 7.0, dtype=dtype, device=device, requires_grad=True)
    values = torch.tensor([0.0, 1.0, -5.0, 3e38, torch.inf, -torch.inf, torch.nan], dtype=dtype, device=device)
    columns = torch.meshgrid(*[values] * case.dims, indexing="ij")
    grid = torch.stack(columns, dim=-1)[None].requires_grad_()
    output = case.bind(stn_cuda.grid_sample)(input, grid)
    assert torch.equal(output, torch.full_like(output, 7.0))
    grad_input, grad_grid = torch.autograd.grad(output.sum(), (input, grid))
    assert torch.equal(grad_input, torch.full_like(input, float(len(values) ** case.dims)))
    assert torch.equal(grad_grid, torch.zeros_like(grid))


# bicubic reflects each of its taps back into the image, beside the corner too
CORNER_CASES = [case for case in all_cases() if (case.mode, case.padding_mode) != ("bicubic", "reflection")]


@pytest.mark.parametrize("case", CORNER_CASES, ids=str)
def test_infinite_pixels_outside_the_stencil_change_nothing(case: Case, device):
    """Clamped to a corner pixel, or all but wholly outside, every other pixel is outside the image or the stencil."""
    in_size = (3, 3, 3)[-case.dims :]
    clean = torch.zeros(1, 1, *in_size, dtype=torch.float64, device=device)
    last = (..., *[-1] * case.dims)
    clean[last] = 2.0
    dirty = torch.full_like(clean, torch.inf)
    dirty[last] = 2.0
    inside = 2.25 if case.padding_mode == "zeros" else 2.0  # pixels; a share of zeros padding's taps is outside
    if case.mode == "bicubic":
        inside = 3.25  # its first tap is the pixel before the coordinate
    column = torch.full((1, *[1] * case.dims), inside, dtype=torch.float64)
    grid = case.normalize([column] * case.dims, in_size).to(device).requires_grad_()
    results = []
    for input in (clean.requires_grad_(), dirty.requires_grad_()):
        output = case.bind(stn_cuda.grid_sample)(input, grid)
        results.append((output, *torch.autograd.grad(output.sum(), (input, grid))))
    for from_clean, from_dirty in zip(*results, strict=True):
        assert from_dirty.isfinite().all()
        EXACT.assert_close(from_dirty, from_clean)


@pytest.mark.parametrize("mode", ("bilinear", "nearest"))
@pytest.mark.parametrize("batch, channels", [(70_000, 1), (1, 70_000), (300, 300)])
def test_huge_batch_times_channels_equals_torch(batch, channels, mode, device):
    case = Case(2, mode, "zeros", False)
    tensors = case.tensors(
        device, torch.float64, away_from_kinks=True, batch=batch, channels=channels, in_size=(2, 3), out_size=(1, 2)
    )
    assert_equals_torch(case, *tensors)


@pytest.mark.parametrize("align_corners", ALIGN_CORNERS, ids=("edges", "centres"))
@pytest.mark.parametrize("dims", DIMS)
def test_identity_on_more_than_32767_pixels_returns_the_image(dims, align_corners, device):
    """A 16-bit index would wrap here."""
    case = Case(dims, "nearest", "zeros", align_corners)
    in_size = (200, 300) if dims == 2 else (30, 40, 50)
    image = torch.arange(float(torch.Size(in_size).numel()), device=device).view(1, 1, *in_size)
    columns = torch.meshgrid(*(torch.arange(size, dtype=torch.float64) for size in in_size), indexing="ij")
    grid = case.normalize([column[None] for column in reversed(columns)], in_size).to(device, torch.float32)
    output = case.bind(stn_cuda.grid_sample)(image.expand(2, -1, *in_size), grid.expand(2, *grid.shape[1:]))
    assert torch.equal(output, image.expand_as(output))


@pytest.mark.parametrize("padding_mode", PADDING_MODES)
def test_float32_gradient_beyond_2_to_the_24_pixels_belongs_to_the_next_pixel(padding_mode, device):
    """A float32 position has no next pixel there, so taps have to be counted in integers."""
    width = 2**25 + 6
    row = torch.zeros(width, device=device)
    row[1::2] = 1.0
    input = row.expand(1, 1, 2, width)  # one row in memory
    x = 2.0**25 - 200 + torch.arange(0, 100, 4, dtype=torch.float64)  # whole pixels, even: the next one holds 1 more
    grid = torch.stack([(2 * x + 1) / width - 1, torch.zeros_like(x)], -1).float().view(1, 1, -1, 2).to(device)
    case = Case(2, "bilinear", padding_mode, False)
    gradients = []
    for sampler in (stn_cuda.grid_sample, torch_grid_sample):
        leaf = grid.clone().requires_grad_()
        gradients += torch.autograd.grad(case.bind(sampler)(input, leaf).sum(), leaf)
    assert gradients[0][..., 0].all()
    EXACT.assert_close(*gradients)


@pytest.mark.parametrize("case", [case for case in all_cases() if case.padding_mode == "zeros"], ids=str)
def test_infinite_cotangent_gives_a_location_outside_no_gradient(case: Case, device):
    """Zeros is the padding that has an outside."""
    input, grid = case.tensors(device, torch.float64, away_from_kinks=True)
    leaf = torch.full_like(grid, torch.nan).requires_grad_()
    output = case.bind(stn_cuda.grid_sample)(input, leaf)
    (gradient,) = torch.autograd.grad(output, leaf, torch.full_like(output, torch.inf))
    assert not gradient.any()
