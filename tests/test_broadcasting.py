"""One image for a batch of grids, and one grid for a batch of images: as if it were repeated, and without the repetition."""

from __future__ import annotations

import pytest
import torch
from beyond import Row
from cases import MODES, Case
from layouts import GRID_LAYOUTS, INPUT_LAYOUTS, layout_id
from routed import tangents
from tolerances import BROADCAST_MEMORY, EXACT, PARITY

import stn_cuda
from benchmarks.timing import peak_extra_bytes

pytestmark = pytest.mark.usefixtures("sums_in_order")

DOUBLE = PARITY[torch.float64]
PADDINGS = {1: ("circular",), 2: ("circular", "border"), 3: ("zeros", "reflection", "border")}


def derivatives(sample, tensors):
    """Output, gradients and second gradients."""
    leaves = [tensor.detach().requires_grad_() for tensor in tensors]
    output = sample(*leaves)
    cotangent = tangents([output.detach()])[0].requires_grad_()
    first = torch.autograd.grad(output, leaves, cotangent, create_graph=True)
    return output, *first, *torch.autograd.grad(first, [cotangent, *leaves], tangents(first), materialize_grads=True)


@pytest.mark.parametrize("one", ("input", "grid"))
@pytest.mark.parametrize("batch", (1, 2, 5))
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("dims", (1, 2, 3))
def test_results_are_those_of_repeated_tensors_and_gradients_their_sums(dims, mode, batch, one, device):
    row = Row(dims, dims, mode, PADDINGS[dims], "none", "edges", one, "contiguous", "float64")
    sample = row.bind(stn_cuda.grid_sample)

    def of_repeated(input, grid):
        return sample(*(tensor.repeat(batch // tensor.shape[0], *[1] * (tensor.dim() - 1)) for tensor in (input, grid)))

    tensors = row.tensors(device, batch=batch)
    for actual, wanted in zip(derivatives(sample, tensors), derivatives(of_repeated, tensors), strict=True):
        DOUBLE.assert_close(actual, wanted)


@pytest.mark.parametrize("layout", [layout for layout in INPUT_LAYOUTS if layout.__name__ != "expanded_batch"], ids=layout_id)
@pytest.mark.parametrize("grid_layout", GRID_LAYOUTS, ids=layout_id)
@pytest.mark.parametrize("one", ("input", "grid"))
def test_layouts_of_what_is_broadcast_change_nothing(one, grid_layout, layout, device):
    input, grid = Case(2, "bilinear", "border", False).tensors(device, torch.float64, away_from_kinks=True, batch=3)
    if one == "input":
        given = layout(input[:1]), grid_layout(grid)
    else:
        given = layout(input), (grid_layout(grid[:1]) if grid_layout.__name__ != "expanded_batch" else grid[:1])
    sample = Case(2, "bilinear", "border", False).bind(stn_cuda.grid_sample)
    plain = [tensor.contiguous() for tensor in given]
    for actual, wanted in zip(derivatives(sample, given), derivatives(sample, plain), strict=True):
        DOUBLE.assert_close(actual, wanted)


@pytest.mark.parametrize("batches", [(1, 0), (0, 1), (0, 0)], ids=str)
def test_one_of_an_empty_batch_has_a_gradient_of_zeros(batches, device):
    input = torch.ones(batches[0], 2, 3, 4, device=device, requires_grad=True)
    grid = torch.zeros(batches[1], 5, 2, device=device, requires_grad=True)
    output = stn_cuda.grid_sample(input, grid, align_corners=False)
    assert output.shape == (0, 2, 5)
    output.sum().backward()
    assert input.grad.shape == input.shape and not input.grad.any()
    assert grid.grad.shape == grid.shape and not grid.grad.any()


@pytest.mark.parametrize("dtype", (torch.float16, torch.bfloat16), ids=str)
def test_the_sum_over_a_batch_of_a_16_bit_gradient_is_float32s(dtype, device):
    """Of 4096 ones, where bfloat16 stops at 256 and float16 at 2048."""
    image = torch.zeros(1, 1, 3, 3, dtype=dtype, device=device, requires_grad=True)
    grid = torch.ones(4096, 1, 2, dtype=torch.float32, device=device)
    stn_cuda.grid_sample(image, grid, coordinates="pixel").sum().backward()
    assert image.grad[0, 0, 1, 1] == 4096

    images = torch.zeros(4096, 1, 1, 2, dtype=dtype, device=device)
    images[..., 1] = 1
    one = torch.full((1, 1, 2), 0.5, dtype=dtype, device=device)
    one[..., 1] = 0
    one.requires_grad_()
    stn_cuda.grid_sample(images, one, coordinates="pixel").sum().backward()
    assert one.grad[0, 0, 0] == 4096


def tensors_of_64(device):
    generator = torch.Generator().manual_seed(1)
    image = torch.randn(1, 3, 512, 512, generator=generator).to(device).requires_grad_()
    grids = (torch.rand(64, 96, 97, 2, generator=generator).to(device) * 2.2 - 1.1).requires_grad_()
    return image, grids


WAYS = {
    "batch": lambda sample, image, grids: sample(image, grids),
    "vmap": lambda sample, image, grids: torch.func.vmap(lambda grid: sample(image, grid[None]))(grids),
}


@pytest.mark.parametrize("options", [{}, {"padding_mode": ("circular", "border")}, {"fill_value": 2.0}], ids=str)
@pytest.mark.parametrize("way", WAYS)
def test_64_grids_over_one_image_hold_little_beside_output_and_gradients(way, options, device):
    """The image is 3 MiB; repeated, it would be 64 times that."""
    image, grids = tensors_of_64(device)

    def sample(image, grids):
        return stn_cuda.grid_sample(image, grids, align_corners=False, **options)

    cotangent = torch.ones_like(WAYS[way](sample, image, grids).detach())

    def forward_and_backward():
        output = WAYS[way](sample, image, grids)
        return output, torch.autograd.grad(output, (image, grids), cotangent)

    output, gradients = forward_and_backward()
    results = sum(tensor.nbytes for tensor in (output, *gradients))
    del output, gradients
    peak = peak_extra_bytes(forward_and_backward, device)
    assert results <= peak <= BROADCAST_MEMORY * results


def test_second_derivatives_of_64_grids_over_one_image_hold_little_beside_them(device):
    image, grids = tensors_of_64(device)
    cotangent = torch.ones(64, 3, 96, 97, device=device, requires_grad=True)
    output = stn_cuda.grid_sample(image, grids, align_corners=False)
    first = torch.autograd.grad(output, (image, grids), cotangent, create_graph=True)
    directions = [torch.ones_like(gradient) for gradient in first]

    def backward():
        return torch.autograd.grad(first, (image, grids, cotangent), directions, retain_graph=True)

    results = sum(tensor.nbytes for tensor in backward())
    assert results <= peak_extra_bytes(backward, device) <= BROADCAST_MEMORY * results


def test_64_images_under_one_grid_hold_little_beside_output_and_gradients(device):
    generator = torch.Generator().manual_seed(1)
    images = torch.randn(64, 1, 64, 64, generator=generator).to(device).requires_grad_()
    grid = (torch.rand(1, 300, 2, generator=generator).to(device) * 2 - 1).requires_grad_()
    cotangent = torch.ones(64, 1, 300, device=device)

    def forward_and_backward():
        output = stn_cuda.grid_sample(images, grid, align_corners=False)
        return output, *torch.autograd.grad(output, (images, grid), cotangent)

    results = sum(tensor.nbytes for tensor in forward_and_backward())
    assert results <= peak_extra_bytes(forward_and_backward, device) <= BROADCAST_MEMORY * results


def test_nothing_of_a_shared_image_is_written_by_a_call(device):
    image = torch.rand(1, 1, 3, 3, device=device)
    before = image.clone()
    stn_cuda.grid_sample(image, torch.zeros(7, 4, 2, device=device), align_corners=False)
    EXACT.assert_close(image, before)
