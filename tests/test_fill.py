"""fill_value: what is read outside the image, with zeros and fill padding a tap, with border the location whole."""

from __future__ import annotations

import math
from functools import partial

import pytest
import torch
from cases import MODES, PADDING_MODES, Case, all_cases
from tolerances import EXACT, PARITY

import stn_cuda

pytestmark = pytest.mark.usefixtures("sums_in_order")

DOUBLE = PARITY[torch.float64]
SHAPES = {"scalar": (), "channels": (3,), "one_image": (1, 3), "images": (2, 3)}
ZEROS = [case for case in all_cases() if case.padding_mode == "zeros"]
NAN = math.nan


def pixel_sample(image, *locations, **options):
    """Of one image (H, W) at (x, y) in pixels: a value each."""
    grid = torch.tensor(locations, dtype=image.dtype, device=image.device)[None]
    return stn_cuda.grid_sample(image[None, None], grid, coordinates="pixel", **options)[0, 0]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("case", ZEROS, ids=str)
def test_fill_is_zeros_of_the_image_less_the_fill_and_the_fill_added(case: Case, shape, device):
    """From its definition, through torch's own padding: taps outside read v is I - v padded with zeros, plus v."""
    input, grid = case.tensors(device, torch.float64, away_from_kinks=True)
    fill = torch.linspace(-2, 3, math.prod(SHAPES[shape]), dtype=torch.float64, device=device).view(SHAPES[shape])
    offset = fill.reshape(*[1] * (2 - fill.dim()), *fill.shape, *[1] * case.dims)
    expected = case.bind(stn_cuda.grid_sample)(input - offset, grid) + offset
    for padding_mode in ("fill", "zeros"):
        sample = stn_cuda.grid_sample(input, grid, case.mode, padding_mode, case.align_corners, fill_value=fill)
        DOUBLE.assert_close(sample, expected)


@pytest.mark.parametrize("dtype", (torch.float16, torch.bfloat16, torch.float32, torch.float64), ids=str)
@pytest.mark.parametrize("mode", MODES)
def test_outside_is_exactly_the_fill_and_inside_exactly_the_plain_sample(mode, dtype, device):
    image = torch.linspace(-3, 5, 70, dtype=torch.float64).view(7, 10).to(device, dtype)
    inside = [(4.25, 3.5), (1.0, 1.0), (7.0, 4.0), (2.5, 3.125)]
    for value in (0.1, -7.0, math.inf, NAN):
        fill = torch.tensor(value, dtype=torch.float64).to(dtype)
        outside = pixel_sample(image, (-4.0, 2.0), (3.0, 20.0), (1e30, 2.0), (NAN, 2.0), mode=mode, fill_value=value)
        EXACT.assert_close(outside, fill.expand(4).to(device), equal_nan=True)
        EXACT.assert_close(pixel_sample(image, *inside, mode=mode, fill_value=value), pixel_sample(image, *inside, mode=mode))


EXACT_SIZES = {"pixel": (1, 2, 5, 33, 100), "edges": (1, 2, 8, 64), "centres": (1, 3, 9, 65)}  # where no coordinate is rounded


@pytest.mark.parametrize("dtype", (torch.float32, torch.float64, torch.bfloat16), ids=str)
@pytest.mark.parametrize("convention, size", [(name, size) for name, sizes in EXACT_SIZES.items() for size in sizes])
@pytest.mark.parametrize("padding_mode", ("zeros", "border"))
@pytest.mark.parametrize("mode", ("bilinear", "nearest"))
def test_a_nan_fill_leaves_every_pixel_of_the_image_as_it_is(mode, padding_mode, convention, size, dtype, device):
    """Also the last one, whose second tap is outside with a weight of 0."""
    image = torch.linspace(1, 2, size * size, dtype=torch.float64, device=device).view(1, 1, size, size).to(dtype)
    ticks = torch.arange(size, dtype=torch.float64)
    columns = [column[None] for column in torch.meshgrid(ticks, ticks, indexing="xy")]
    case = Case(2, mode, padding_mode, convention == "centres")
    if convention == "pixel":
        grid, meaning = torch.stack(columns, -1), {"coordinates": "pixel"}
    else:
        grid, meaning = case.normalize(columns, (size, size)), {"align_corners": case.align_corners}
    grid = grid.to(device, torch.float32 if dtype == torch.bfloat16 else dtype)
    EXACT.assert_close(stn_cuda.grid_sample(image, grid, mode, padding_mode, **meaning, fill_value=NAN), image)


@pytest.mark.parametrize("padding_mode", ("zeros", "border"))
@pytest.mark.parametrize("mode", MODES)
def test_a_nan_fill_reaches_no_gradient_of_a_location_that_does_not_read_it(mode, padding_mode, device):
    """grad_input everywhere, and grad_grid of locations inside, and wholly outside, where it is 0."""
    image = torch.randn(1, 1, 6, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(1)).to(device).requires_grad_()
    locations = [(3.25, 2.5), (2.0, 2.0), (5.0, 3.0), (-9.0, 2.0), (3.0, 77.0), (NAN, 1.0)]
    grid = torch.tensor([locations], dtype=torch.float64, device=device).requires_grad_()
    output = stn_cuda.grid_sample(image, grid, mode, padding_mode, coordinates="pixel", fill_value=NAN)
    assert output.isnan().tolist() == [[[False] * 3 + [True] * 3]]
    grad_input, grad_grid = torch.autograd.grad(output, (image, grid), torch.ones_like(output))
    assert grad_input.isfinite().all() and grad_grid.isfinite().all()
    assert not grad_grid[:, 3:].any()
    plain = stn_cuda.grid_sample(image, grid[:, :3], mode, padding_mode, coordinates="pixel")
    for one, other in zip((grad_input, grad_grid[:, :3]), torch.autograd.grad(plain.sum(), (image, grid))):
        DOUBLE.assert_close(one, other[:, :3] if other.shape == grid.shape else other)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("dims", (1, 2, 3))
def test_border_with_a_fill_cuts_exactly_at_the_area_of_the_pixels(dims, mode, device):
    """Inside is -0.5 <= x < size - 0.5, on every axis; each axis' ends in turn, the others in the middle."""
    sizes = (4, 6, 8)[-dims:]
    input = torch.rand(1, 2, *sizes, dtype=torch.float64, device=device) + 1
    below = math.nextafter
    for axis, size in enumerate(reversed(sizes)):
        for x, inside in ((-0.5, True), (below(-0.5, -1), False), (size - 0.5, False), (below(size - 0.5, 0), True),
                          (-0.25, True), (0.0, True), (size - 1.0, True), (NAN, False), (math.inf, False)):  # fmt: skip
            at = torch.full((1, 1, dims), 1.5, dtype=torch.float64, device=device)
            at[..., axis] = x
            output = stn_cuda.grid_sample(input, at, mode, "border", coordinates="pixel", fill_value=-5.0)
            plain = stn_cuda.grid_sample(input, at, mode, "border", coordinates="pixel")
            EXACT.assert_close(output, plain if inside else torch.full_like(plain, -5.0))


@pytest.mark.parametrize("align_corners", (False, True), ids=("edges", "centres"))
def test_border_with_a_fill_cuts_at_the_ends_of_a_normalised_grid(align_corners, device):
    """-1 belongs to the image's area with edges, 1 doesn't; between centres the area ends half a pixel further."""
    image = torch.tensor([[[1.0, 2.0, 3.0, 4.0]]], device=device)
    half = 1 / 3 if align_corners else 0.0  # of a pixel, on this grid
    grid = torch.tensor([[[-1 - half], [1 + half], [-1.1 - half], [0.0]]], device=device)
    output = stn_cuda.grid_sample(image, grid, padding_mode="border", align_corners=align_corners, fill_value=9.0)
    inside = [1.0, 9.0, 9.0, 2.5]
    if align_corners:  # 1 / 3 is rounded: only what lies apart from the ends is sure
        output, inside = output[..., 2:], inside[2:]
    assert output.tolist() == [[inside]]


@pytest.mark.parametrize("case", [case for case in all_cases() if case.padding_mode == "border"], ids=str)
def test_a_location_that_takes_the_fill_gives_all_gradient_to_it(case: Case, device):
    input, grid = case.tensors(device, torch.float64, away_from_kinks=True)
    fill = torch.randn(3, dtype=torch.float64, device=device)
    leaves = [tensor.requires_grad_() for tensor in (input, grid, fill)]
    output = stn_cuda.grid_sample(*leaves[:2], case.mode, "border", case.align_corners, fill_value=fill)
    taken = output == fill.view(3, *[1] * case.dims)
    by_input, by_grid, by_fill = torch.autograd.grad(output.sum(), leaves)
    assert 0 < taken.sum() < taken.numel()
    DOUBLE.assert_close(by_fill, taken.sum((0, *range(2, taken.dim()))).double())
    DOUBLE.assert_close(by_input.sum(), (~taken).sum().double())  # weights sum to 1
    assert not by_grid[taken.all(1)].any()


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", (torch.float16, torch.bfloat16, torch.float32, torch.float64), ids=str)
def test_the_gradient_of_a_fill_has_its_shape_and_dtype_whatever_inputs_is(dtype, shape, device):
    """A sum over what it was read for, in float32 at least: in bfloat16 one of ones would stop at 256."""
    image = torch.zeros(2, 3, 2, 2, dtype=torch.float32, device=device)
    grid = torch.full((2, 30, 30, 2), 7.0, device=device)
    fill = torch.ones(SHAPES[shape], dtype=dtype, device=device, requires_grad=True)
    stn_cuda.grid_sample(image, grid, align_corners=False, fill_value=fill).sum().backward()
    assert (fill.grad.shape, fill.grad.dtype) == (fill.shape, dtype)
    expected = torch.tensor(900.0 * 6 / max(1, fill.numel())).to(dtype)
    assert torch.equal(fill.grad, expected.expand_as(fill).to(device))


@pytest.mark.parametrize("padding_mode", PADDING_MODES)
def test_without_a_fill_value_nothing_is_filled(padding_mode, device):
    case = Case(2, "bilinear", padding_mode, False)
    input, grid = case.tensors(device, torch.float64, away_from_kinks=True)
    plain = case.bind(stn_cuda.grid_sample)(input, grid)
    EXACT.assert_close(case.bind(partial(stn_cuda.grid_sample, fill_value=None))(input, grid), plain)
    if padding_mode == "zeros":
        filled = stn_cuda.grid_sample(input, grid, align_corners=False, fill_value=0.0)
        DOUBLE.assert_close(filled, plain)
