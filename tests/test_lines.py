"""Images with many channels, which the CPU samples by lines of channels: the same as few channels at a time, put together; and
few, some of which it reads at a time, the same as one by one."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from cases import MODES
from tolerances import Tolerance, parity
from torch import Tensor

import stn_cuda

FEW = 7  # channels that are too few for lines
CHANNELS = (8, 19, 70)  # a line and less, one and a part, several at once
PADDINGS = ("zeros", "border", "reflection", "circular", "fill")
IN_SIZE, OUT_SIZE = (5, 9, 11), (4, 9, 15)  # of no multiple of a vector; more than one tile of 512 locations in 3-D
LAYOUTS: dict[str, Callable[[Tensor], Tensor]] = {
    "contiguous": lambda image: image.contiguous(),
    "channels_last": lambda image: image.contiguous(
        memory_format=torch.channels_last if image.dim() == 4 else torch.channels_last_3d),
    "transposed": lambda image: image.transpose(-1, -2).contiguous().transpose(-1, -2),
}

Sampler = Callable[[Tensor, Tensor], Tensor]


def sampler(mode: str, padding: str) -> Sampler:
    fill = 0.5 if padding == "fill" else None
    return lambda image, grid: stn_cuda.grid_sample(image, grid, mode, padding, align_corners=False, fill_value=fill)


def tensors(
    dims: int, dtype: torch.dtype, channels: int, batch: int, layout: str = "contiguous",
) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)

    def random(*shape: int) -> Tensor:
        return torch.rand(shape, generator=generator, dtype=torch.float64)

    image = LAYOUTS[layout]((random(batch, channels, *IN_SIZE[-dims:]) - 0.5).to(dtype))
    wide = dtype if dtype.itemsize > 2 else torch.float32
    grid = (2.6 * random(batch, *OUT_SIZE[-dims:], dims) - 1.3).to(wide)
    grid[0, 0, 0] = torch.tensor([float("nan"), float("inf"), -3.0][:dims])
    cotangent = (random(batch, channels, *OUT_SIZE[-dims:]) - 0.5).to(dtype)
    return image, grid, cotangent


def results(sample: Sampler, image: Tensor, grid: Tensor, cotangent: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    image, grid = image.detach().requires_grad_(), grid.detach().requires_grad_()
    output = sample(image, grid)
    grad_image, grad_grid = torch.autograd.grad(output, (image, grid), cotangent)
    return output.detach(), grad_image, grad_grid


def results_of_few(
    sample: Sampler, image: Tensor, grid: Tensor, cotangent: Tensor, few: int = FEW
) -> tuple[Tensor, Tensor, Tensor]:
    """Not rounded to 16 bits, so that it is only the other side that is."""
    image, cotangent = (tensor.float() if tensor.dtype.itemsize == 2 else tensor for tensor in (image, cotangent))
    parts = [results(sample, *pair[:1], grid, pair[1]) for pair in zip(image.split(few, 1), cotangent.split(few, 1))]
    return torch.cat([part[0] for part in parts], 1), torch.cat([part[1] for part in parts], 1), sum(part[2] for part in parts)


def assert_alike(actual: tuple[Tensor, ...], expected: tuple[Tensor, ...], tolerance: Tolerance) -> None:
    for one, other in zip(actual, expected):
        scale = other.abs().max().clamp(min=1).double()
        tolerance.assert_close(one.double() / scale, other.double() / scale)


@pytest.mark.parametrize("channels", CHANNELS)
@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("dims", (2, 3))
@pytest.mark.parametrize("dtype", (torch.float32, torch.float64, torch.float16, torch.bfloat16), ids=str)
def test_many_channels_are_few_at_a_time(dims, mode, padding, dtype, channels):
    given = tensors(dims, dtype, channels, batch=2)
    sample = sampler(mode, padding)
    assert_alike(results(sample, *given), results_of_few(sample, *given), parity(mode, dtype))


@pytest.mark.parametrize("channels", range(2, FEW + 1))
@pytest.mark.parametrize("padding", ("zeros", "reflection", "fill"))
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("dims", (2, 3))
@pytest.mark.parametrize("dtype", (torch.float32, torch.float64, torch.bfloat16), ids=str)
def test_few_channels_are_one_at_a_time(dims, mode, padding, dtype, channels):
    given = tensors(dims, dtype, channels, batch=2)
    sample = sampler(mode, padding)
    assert_alike(results(sample, *given), results_of_few(sample, *given, few=1), parity(mode, dtype))


@pytest.mark.parametrize("cotangent_layout", ("contiguous", "channels_last"))
@pytest.mark.parametrize("channels", (16, 48, 112))  # whole lines: one, some, and more than are copied at a time
@pytest.mark.parametrize("padding", ("zeros", "reflection", "fill"))
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("dims", (2, 3))
@pytest.mark.parametrize("dtype", (torch.float32, torch.float64), ids=str)
def test_lines_in_place_are_few_channels_at_a_time(dims, mode, padding, dtype, channels, cotangent_layout):
    image, grid, cotangent = tensors(dims, dtype, channels, batch=3, layout="channels_last")
    given = image, grid, LAYOUTS[cotangent_layout](cotangent)
    sample = sampler(mode, padding)
    assert_alike(results(sample, *given), results_of_few(sample, *given), parity(mode, dtype))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("batch", (1, 3, 17))
@pytest.mark.parametrize("dims", (2, 3))
def test_layouts_and_batches(dims, batch, layout):
    given = tensors(dims, torch.float64, 37, batch, layout)
    sample = sampler("bilinear", "border")
    actual = results(sample, *given)
    assert_alike(actual, results_of_few(sample, *given), parity("bilinear", torch.float64))
    assert actual[0].stride() == sample(given[0], given[1]).stride()


@pytest.mark.parametrize("wanted", ("image", "grid"))
@pytest.mark.parametrize("mode", MODES)
def test_one_gradient_alone_is_that_of_both(mode, wanted):
    image, grid, cotangent = tensors(2, torch.float32, 40, 2)
    both = results(sampler(mode, "zeros"), image, grid, cotangent)
    one = (image if wanted == "image" else grid).requires_grad_()
    (alone,) = torch.autograd.grad(sampler(mode, "zeros")(image, grid), one, cotangent)
    assert torch.equal(alone, both[1 if wanted == "image" else 2])


@pytest.mark.parametrize("layout", ("contiguous", "channels_last"))
@pytest.mark.parametrize("channels", (70, 112))  # not lines in any layout; lines in place in the one
@pytest.mark.parametrize("batch", (1, 2, 20))
@pytest.mark.parametrize("mode", MODES)
def test_bits_do_not_depend_on_threads(mode, batch, channels, layout):
    image, grid, cotangent = tensors(2, torch.float32, channels, batch, layout)
    given = image, grid, LAYOUTS[layout](cotangent)
    threads = torch.get_num_threads()
    try:
        of_threads = []
        for count in (1, 2, 3, 8):
            torch.set_num_threads(count)
            of_threads.append(results(sampler(mode, "reflection"), *given))
    finally:
        torch.set_num_threads(threads)
    for other in of_threads[1:]:
        assert all(torch.equal(a, b) for a, b in zip(of_threads[0], other))


@pytest.mark.parametrize("channels", (7, 24))
@pytest.mark.parametrize("value", (float("inf"), float("nan")))
@pytest.mark.parametrize("mode", MODES)
def test_pixels_that_are_not_finite_reach_those_who_read_them(mode, value, channels):
    image, grid, cotangent = tensors(2, torch.float32, channels, 2)
    image[0, 3, 0, 0] = image[1, 5, -1, -1] = value
    given, sample = (image, grid, cotangent), sampler(mode, "zeros")
    for one, other in zip(results(sample, *given), results_of_few(sample, *given)):
        assert torch.equal(one.isnan(), other.isnan()) and torch.equal(one.isinf(), other.isinf())


@pytest.mark.parametrize("batch", (1, 20))
def test_transforms_sample_many_channels(batch):
    image, _, cotangent = tensors(2, torch.float64, 37, batch)
    theta = torch.tensor([[0.8, 0.2, 0.1], [-0.1, 0.9, 0.05]], dtype=torch.float64).repeat(batch, 1, 1)
    flow = 0.7 * torch.randn(batch, 2, *OUT_SIZE[-2:], dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    for parameters, sample in (
        (theta, lambda image, theta: stn_cuda.affine_sample(image, theta, OUT_SIZE[-2:])),
        (flow, lambda image, flow: stn_cuda.flow_sample(image, flow)),
    ):
        given = image, parameters, cotangent
        assert_alike(results(sample, *given), results_of_few(sample, *given), parity("bilinear", torch.float64))


@pytest.mark.parametrize("dtype", (torch.float32, torch.float64))
def test_a_second_derivative_without_grad_inputs_part_has_memory_for_lines(dtype):
    """Rows with gaps are lines for the grid's gradient, but not beside grad_input, which is dense, and left out where the grid
    has no tangent."""
    generator = torch.Generator().manual_seed(1)
    made = {"generator": generator, "dtype": dtype}
    image = torch.randn(2, 32, 40, 48, **made).contiguous(memory_format=torch.channels_last)[..., :40]
    tangent = torch.randn(2, 32, 40, 40, **made).contiguous(memory_format=torch.channels_last)
    grid = torch.rand(2, 3, 3, 2, **made) * 2 - 1
    cotangent = torch.randn(2, 32, 3, 3, **made) / 40  # the gradient is times half the width: of images of a few pixels it is 1

    def second(image: Tensor, tangent: Tensor) -> Tensor:
        options = (0, [0, 0], 0, None, False, [False, True, True, False], False)
        return torch.ops.stn_cuda.grid_sample_double_backward(tangent, None, None, cotangent, image, grid, *options)[2]

    expected = second(image.contiguous(), tangent.contiguous())
    parity("bilinear", dtype).assert_close(second(image, tangent), expected)


@pytest.mark.parametrize(
    ("in_size", "out_size"), (((9, 11), (530, 523)), ((530, 523), (90, 101))), ids=("output", "grad_input"))
@pytest.mark.parametrize("layout", ("contiguous", "channels_last"))
def test_what_is_written_past_the_caches_is_there(in_size, out_size, layout):
    """16 channels of float32 are 64 bytes a pixel or location, and these more than 16 MiB."""
    generator = torch.Generator().manual_seed(3)
    image = LAYOUTS[layout](torch.rand(1, 16, *in_size, generator=generator) - 0.5)
    grid = 2.2 * torch.rand(1, *out_size, 2, generator=generator) - 1.1
    cotangent = torch.rand(1, 16, *out_size, generator=generator) - 0.5
    assert 64 * max(in_size[0] * in_size[1], out_size[0] * out_size[1]) > 1 << 24
    sample = sampler("bilinear", "zeros")
    given = image, grid, cotangent
    assert_alike(results(sample, *given), results_of_few(sample, *given), parity("bilinear", torch.float32))
