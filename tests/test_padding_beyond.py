"""Circular padding, a padding mode for each axis, pixel coordinates, any output axes: each from what it means."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from cases import MODES, Case, coordinates_anywhere, coordinates_between_kinks
from tolerances import BELOW_ZERO, EXACT, PARITY

import stn_cuda

DOUBLE = PARITY[torch.float64]
IN_SIZE, OUT_SIZE = (3, 4, 6), (2, 3, 5)
ONE_PADDING = ("zeros", "border", "reflection", "circular")


def tensors(dims, device, draw=coordinates_between_kinks):
    """input (2, 3, *in) and a grid (2, *out, dims) in pixels, an image and more beyond each end."""
    generator = torch.Generator().manual_seed(dims)
    input = torch.randn(2, 3, *IN_SIZE[-dims:], generator=generator, dtype=torch.float64)
    columns = [draw((2, *OUT_SIZE[-dims:]), size, generator) for size in reversed(IN_SIZE[-dims:])]
    return input.to(device), torch.stack(columns, -1).to(device)


def pixel_sample(input, grid, mode="bilinear", padding_mode="zeros", **options):
    return stn_cuda.grid_sample(input, grid, mode, padding_mode, coordinates="pixel", **options)


# ---- circular -----------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("dims", (1, 2, 3))
def test_circular_is_the_image_tiled(dims, mode, device):
    """Five copies of it along each axis, so that no tap leaves them."""
    input, grid = tensors(dims, device)
    tiled = input.repeat(1, 1, *[5] * dims)
    middle = torch.tensor([2.0 * size for size in reversed(IN_SIZE[-dims:])], dtype=grid.dtype, device=device)
    DOUBLE.assert_close(pixel_sample(input, grid, mode, "circular"), pixel_sample(tiled, grid + middle, mode))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("size", (1, 2, 3, 8))
def test_circular_has_the_period_size_exactly(size, mode, device):
    """At 0 and at size, half pixels before and behind them, and many turns away, values and gradients."""
    image = torch.randn(1, 2, size, dtype=torch.float64, generator=torch.Generator().manual_seed(size)).to(device)
    start = torch.tensor([-0.5, -0.25, 0.0, 0.5, size - 1.0, size - 0.75, size - 0.5, size - 0.25], dtype=torch.float64)

    def values_and_gradients(turns):
        leaves = image.clone().requires_grad_(), (start + turns * size).view(1, -1, 1).to(device).requires_grad_()
        output = pixel_sample(*leaves, mode, "circular")
        return output.detach(), *torch.autograd.grad(output.square().sum(), leaves)

    expected = values_and_gradients(0)
    for turns in (1, -1, 2, -7, 1000):
        if mode == "nearest" and turns * size % 2:
            continue  # a tie goes to the even pixel, another one after an odd shift
        for one, other in zip(values_and_gradients(turns), expected, strict=True):
            DOUBLE.assert_close(one, other)
    if mode == "bilinear":
        EXACT.assert_close(expected[0][..., 2], image[..., 0])
        DOUBLE.assert_close(expected[0][..., 6], (image[..., -1] + image[..., 0]) / 2)  # between the last and the first


@pytest.mark.parametrize("align_corners", (False, True), ids=("edges", "centres"))
def test_circular_wraps_with_the_period_size_for_both_align_corners(align_corners, device):
    """Also between centres, where -1 and 1 are a pixel less than a period apart: the two end pixels are neighbours."""
    image = torch.tensor([[[1.0, 2.0, 3.0, 4.0, 5.0]]], dtype=torch.float64, device=device)
    case = Case(1, "bilinear", "circular", align_corners)
    pixels = torch.tensor([[-2.0, -1.0, -0.5, 4.0, 4.5, 5.0, 6.0, 11.0]], dtype=torch.float64)
    output = case.bind(stn_cuda.grid_sample)(image, case.normalize([pixels], (5,)).to(device))
    DOUBLE.assert_close(output[0, 0].cpu(), torch.tensor([4.0, 5.0, 3.0, 5.0, 3.0, 1.0, 2.0, 2.0], dtype=torch.float64))


def test_circular_in_float32_stays_in_the_image_just_below_zero(device):
    """There x - size * floor(x / size) rounds to size itself."""
    image = torch.arange(1.0, 8.0, device=device).view(1, 1, 7)
    for x in (-1e-30, -1e-9, math.nextafter(0, -1), -7e-8):
        for mode in ("bilinear", "nearest"):
            output = pixel_sample(image, torch.tensor([[[x]]], device=device), mode, "circular")
            BELOW_ZERO.assert_close(output, torch.ones_like(output))


# ---- a mode an axis -----------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("paddings", list(itertools.product(ONE_PADDING, repeat=2)), ids="-".join)
def test_a_padding_an_axis_is_that_of_each_axis_alone(paddings, mode, device):
    """An image that is a product of a function of x and one of y is sampled as two signals."""
    generator = torch.Generator().manual_seed(1)
    along_x, along_y = (torch.randn(1, 1, size, generator=generator, dtype=torch.float64).to(device) for size in (6, 4))
    _, grid = tensors(2, device)
    points = grid[:1].flatten(1, 2)
    output = pixel_sample(along_y[..., :, None] * along_x[..., None, :], points, mode, paddings)
    by_x = pixel_sample(along_x, points[..., :1], mode, paddings[0])
    by_y = pixel_sample(along_y, points[..., 1:], mode, paddings[1])
    DOUBLE.assert_close(output, by_x * by_y)


@pytest.mark.parametrize("padding", ONE_PADDING)
@pytest.mark.parametrize("dims", (1, 2, 3))
def test_one_mode_and_the_same_mode_for_each_axis_are_the_same(dims, padding, device):
    input, grid = tensors(dims, device)
    expected = pixel_sample(input, grid, padding_mode=padding)
    for sequence in (tuple, list):
        EXACT.assert_close(pixel_sample(input, grid, padding_mode=sequence([padding] * dims)), expected)


def test_panorama_is_circular_in_x_and_border_in_y(device):
    image = torch.tensor([[[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]]], device=device)
    points = torch.tensor([[[3.0, 0.0], [-1.0, 9.0], [2.5, -9.0]]], device=device)
    assert pixel_sample(image, points, padding_mode=("circular", "border")).tolist() == [[[1.0, 6.0, 2.0]]]


@pytest.mark.parametrize("filled", ("zeros", "fill", "border"))
@pytest.mark.parametrize("other", ("circular", "reflection"))
@pytest.mark.parametrize("mode", ("bilinear", "nearest"))
def test_a_fill_value_acts_on_the_axes_that_take_one(mode, other, filled, device):
    """Far off along the axis that wraps or mirrors nothing is filled; along the other one all is."""
    image = torch.rand(1, 1, 4, 6, dtype=torch.float64, device=device) + 1
    points = torch.tensor([[[50.25, 1.25], [1.25, -50.25], [-50.25, 50.25]]], dtype=torch.float64, device=device)
    along_x = pixel_sample(image, points, mode, (other, filled), fill_value=-2.0)[0, 0]
    assert along_x[0] >= 1 and along_x[1:].tolist() == [-2.0, -2.0]
    along_y = pixel_sample(image, points, mode, (filled, other), fill_value=-2.0)[0, 0]
    assert along_y[1] >= 1 and along_y[[0, 2]].tolist() == [-2.0, -2.0]


# ---- pixels and output axes ---------------------------------------------------------------------------------------------

@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("padding", ONE_PADDING)
@pytest.mark.parametrize("dims", (1, 2, 3))
def test_pixel_coordinates_are_the_normalised_ones_of_the_same_pixels(dims, padding, mode, device):
    """With edges everywhere; with centres too, but for where reflection turns."""
    input, grid = tensors(dims, device)
    for align_corners in (False, True)[: 1 if padding == "reflection" else 2]:
        case = Case(dims, mode, padding, align_corners)
        normalised = case.normalize(grid.unbind(-1), input.shape[2:])
        DOUBLE.assert_close(pixel_sample(input, grid, mode, padding), case.bind(stn_cuda.grid_sample)(input, normalised))


@pytest.mark.parametrize("dtype", (torch.float16, torch.bfloat16, torch.float32, torch.float64), ids=str)
def test_a_grid_of_whole_pixels_reads_them_exactly(dtype, device):
    image = torch.randn(1, 2, 5, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(3)).to(device, dtype)
    x, y = torch.meshgrid(torch.arange(7.0), torch.arange(5.0), indexing="xy")
    grid = torch.stack([x, y], -1)[None].to(device, dtype)  # 16 bits hold these, too
    for mode in MODES:
        EXACT.assert_close(pixel_sample(image, grid, mode), image)
    EXACT.assert_close(pixel_sample(image, grid.flip(2)), image.flip(3))


def test_reflection_of_pixels_is_about_the_edges_of_the_end_pixels(device):
    image = torch.tensor([[[1.0, 2.0, 4.0]]], device=device)
    points = torch.tensor([[[-1.0], [-2.0], [3.0], [4.0], [-0.5], [2.5], [6.0]]], device=device)
    assert pixel_sample(image, points, padding_mode="reflection").tolist() == [[[1.0, 2.0, 4.0, 2.0, 1.0, 4.0, 1.0]]]


@pytest.mark.parametrize("shape", [(30,), (6, 5), (5, 2, 3), (1, 5, 3, 2), (5, 1, 2, 1, 3)], ids=str)
@pytest.mark.parametrize("padding", ("zeros", "circular"))
@pytest.mark.parametrize("dims", (1, 2, 3))
def test_output_axes_are_the_grids_whatever_their_number(dims, padding, shape, device):
    """Values and gradients of one list of points, in another shape."""
    input, grid = tensors(dims, device, coordinates_anywhere)
    points = grid.flatten(1, -2).repeat(1, 30, 1)[:, :30].contiguous()

    def run(shape):
        leaves = input.clone().requires_grad_(), points.view(2, *shape, dims).clone().requires_grad_()
        output = pixel_sample(*leaves, "bicubic", padding)
        assert output.shape == (2, 3, *shape) and output.is_contiguous()
        by_input, by_grid = torch.autograd.grad(output.square().sum(), leaves)
        return output.detach().flatten(2), by_input, by_grid.flatten(1, -2)

    for one, other in zip(run(shape), run((30,)), strict=True):
        DOUBLE.assert_close(one, other)


@pytest.mark.parametrize("dims", (1, 2, 3))
def test_empty_lists_of_points_have_empty_outputs_and_gradients_of_zeros(dims, device):
    input, _ = tensors(dims, device)
    for shape in ((0,), (4, 0), (0, 2, 3, 5)):
        leaves = input.clone().requires_grad_(), torch.zeros(2, *shape, dims, dtype=input.dtype, device=device).requires_grad_()
        output = pixel_sample(*leaves, padding_mode="circular")
        assert output.shape == (2, 3, *shape)
        by_input, by_grid = torch.autograd.grad(output.sum(), leaves)
        assert not by_input.any() and by_grid.shape == leaves[1].shape


@pytest.mark.parametrize("dims", (2, 3))
def test_points_of_channels_last_images_are_contiguous(dims, device):
    """A list of points has no such format; its images' gradient does."""
    memory_format = torch.channels_last if dims == 2 else torch.channels_last_3d
    input, grid = tensors(dims, device)
    last = input.contiguous(memory_format=memory_format).requires_grad_()
    output = pixel_sample(last, grid.flatten(1, -2))
    assert output.is_contiguous()
    DOUBLE.assert_close(output, pixel_sample(input, grid.flatten(1, -2)))
    output.sum().backward()
    assert last.grad.is_contiguous(memory_format=memory_format)
