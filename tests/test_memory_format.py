"""Memory formats: channels_last in gives channels_last out and channels_last grad_input; all else gives contiguous ones.

Whether an input counts as channels_last is torch's own rule, ``suggest_memory_format``: its strides ascend in the order
C, W, H[, D], N, as those of channels_last do, dense or not; an expanded or empty tensor and (N, 1, 1, 1) count as contiguous.
So where strides fit both formats (one channel, or one pixel) it is those of the unit axes that decide: a tensor made contiguous
stays so, one made by ``to(memory_format=torch.channels_last)`` stays that. Results have the strides of a fresh tensor.
"""

from __future__ import annotations

import pytest
import torch
from cases import DTYPES, Case, all_cases
from layouts import GRID_LAYOUTS, INPUT_LAYOUTS, Layout, channels_last, layout_id, sliced
from tolerances import PARITY
from torch._prims_common import suggest_memory_format
from torch._subclasses.fake_tensor import FakeTensorMode

import stn_cuda

# One of each: the format is decided once for all modes and paddings
CASES = [Case(2, "bilinear", "zeros", False), Case(3, "bilinear", "border", True), Case(2, "nearest", "reflection", False)]


def last(dims):
    return torch.channels_last if dims == 2 else torch.channels_last_3d


def run(case: Case, input, grid, grad_output=None):
    """(output, grad_input, grad_grid)."""
    leaves = input.detach().requires_grad_(), grid.detach().requires_grad_()
    output = case.bind(stn_cuda.grid_sample)(*leaves)
    if grad_output is None:
        grad_output = torch.ones_like(output)
    return output.detach(), *torch.autograd.grad(output, leaves, grad_output)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("case", all_cases(), ids=str)
def test_channels_last_input_gives_channels_last_output_and_grad_input_with_the_same_values(case: Case, dtype, device):
    input, grid = case.tensors(device, dtype, away_from_kinks=True)
    expected = run(case, input, grid)
    actual = run(case, channels_last(input), grid)
    for one, other in zip(actual, expected, strict=True):
        PARITY[dtype].assert_close(one, other)
    output, grad_input, grad_grid = actual
    assert output.is_contiguous(memory_format=last(case.dims)) and not output.is_contiguous()
    assert grad_input.is_contiguous(memory_format=last(case.dims)) and not grad_input.is_contiguous()
    assert grad_grid.is_contiguous()


@pytest.mark.parametrize("channels", (2, 3, 4, 5))
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_few_channels_side_by_side_give_what_they_give_in_planes(case: Case, dtype, channels, device):
    """The CPU moves those of 3 and 4 as vectors: of more locations than it takes at a time, of results and cotangents."""
    out_size = (5, 11, 13)[-case.dims :]
    input, grid = case.tensors(device, dtype, away_from_kinks=True, channels=channels, out_size=out_size)
    generator = torch.Generator().manual_seed(1)
    grad_output, t_input, t_grid = (
        torch.randn(shape, generator=generator).to(device, dtype)
        for shape in ((*input.shape[:2], *out_size), input.shape, grid.shape))

    def results(layout: Layout) -> tuple[torch.Tensor, ...]:
        image, cotangent = layout(input), layout(grad_output)
        second = torch.ops.stn_cuda.grid_sample_double_backward(
            layout(t_input), t_grid, None, cotangent, image, grid, *case.operator_options(), [True, True, True, False], False)
        return *run(case, image, grid, cotangent), *second[:3]

    for one, other in zip(results(channels_last), results(torch.Tensor.contiguous), strict=True):
        PARITY[dtype].assert_close(one, other)


@pytest.mark.parametrize("requires_grad", (False, True), ids=("constant", "requires_grad"))
@pytest.mark.parametrize("case", CASES, ids=str)
def test_format_is_the_same_whether_gradients_are_wanted_or_not(case: Case, requires_grad, device):
    input, grid = case.tensors(device, torch.float32, away_from_kinks=True)
    output = case.bind(stn_cuda.grid_sample)(channels_last(input).requires_grad_(requires_grad), grid)
    assert output.is_contiguous(memory_format=last(case.dims))


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("cotangent", (channels_last, sliced, torch.Tensor.contiguous), ids=layout_id)
def test_format_of_grad_input_is_the_inputs_and_not_the_cotangents(case: Case, cotangent, device):
    input, grid = case.tensors(device, torch.float64, away_from_kinks=True)
    grad_output = cotangent(torch.ones(*input.shape[:2], *grid.shape[1:-1], dtype=torch.float64, device=device))
    assert run(case, channels_last(input), grid, grad_output)[1].is_contiguous(memory_format=last(case.dims))
    assert run(case, input, grid, grad_output)[1].is_contiguous()


@pytest.mark.parametrize("layout", GRID_LAYOUTS, ids=layout_id)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_grad_grid_is_contiguous_whatever_the_layouts(case: Case, layout, device):
    input, grid = case.tensors(device, torch.float64, away_from_kinks=True)
    for image in (input, channels_last(input)):
        assert run(case, image, layout(grid))[2].is_contiguous()


@pytest.mark.parametrize("empty", ("batch", "channels", "locations"))
@pytest.mark.parametrize("case", CASES, ids=str)
def test_channels_last_of_an_empty_batch_channels_or_output_has_the_right_shapes(case: Case, empty, device):
    input, grid = case.tensors(device, torch.float64, away_from_kinks=True)
    input = {"batch": input[:0], "channels": input[:, :0]}.get(empty, input)
    grid = {"batch": grid[:0], "locations": grid[:, :0]}.get(empty, grid)
    output, grad_input, grad_grid = run(case, channels_last(input), grid)
    assert output.shape == (*input.shape[:2], *grid.shape[1:-1])
    assert (grad_input.shape, grad_grid.shape) == (input.shape, grid.shape)
    assert not grad_input.any() and not grad_grid.any()


def one_pixel(tensor):
    return tensor[(..., *[slice(0, 1)] * (tensor.dim() - 2))]


def to_last(tensor):
    return tensor.contiguous().to(memory_format=last(tensor.dim() - 2))


FORMATS = {layout_id(layout): layout for layout in INPUT_LAYOUTS} | {
    "every_second_channel_of_channels_last": lambda t: channels_last(torch.cat([t, t], 1))[:, ::2],
    "one_batch_of_channels_last": lambda t: channels_last(t)[:1],
    "everything_expanded": lambda t: t[:1, :1, :1].expand_as(t),
    "one_channel": lambda t: t[:, :1].contiguous(),
    "one_channel_to_channels_last": lambda t: to_last(t[:, :1]),
    "one_channel_of_contiguous": lambda t: t[:, :1],
    "one_channel_of_channels_last": lambda t: channels_last(t)[:, :1],
    "one_pixel": lambda t: one_pixel(t).contiguous(),
    "one_pixel_to_channels_last": lambda t: to_last(one_pixel(t)),
    "one_pixel_of_channels_last": lambda t: one_pixel(channels_last(t)),
    "one_channel_and_pixel": lambda t: one_pixel(t[:, :1]).contiguous(),
    "one_channel_and_pixel_to_channels_last": lambda t: to_last(one_pixel(t[:, :1])),
    "one_row_of_channels_last": lambda t: channels_last(t)[:, :, :1],
    "permuted_to_channels_first_and_back": lambda t: t.movedim(1, -1).contiguous().movedim(-1, 1),
}


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_strides_are_those_of_a_fresh_tensor_in_the_format_that_torch_sees_in_the_input(case: Case, name, device):
    input, grid = case.tensors(device, torch.float64, away_from_kinks=True)
    input = FORMATS[name](input)
    output, grad_input, grad_grid = run(case, input, grid[: input.shape[0]])
    seen = suggest_memory_format(input)
    assert output.stride() == torch.empty(output.shape, memory_format=seen).stride()
    assert grad_input.stride() == torch.empty(input.shape, memory_format=seen).stride()
    assert grad_grid.is_contiguous()


def test_what_torch_sees_in_an_ambiguous_input_is_what_this_file_says():
    tensor = torch.zeros(2, 3, 4, 5)
    seen = {name: suggest_memory_format(make(tensor)) for name, make in FORMATS.items()}
    assert {name for name, memory_format in seen.items() if memory_format == torch.channels_last} == {
        "channels_last",
        "every_second_channel_of_channels_last",
        "one_batch_of_channels_last",
        "one_channel_to_channels_last",
        "one_channel_of_channels_last",
        "one_pixel_to_channels_last",
        "one_pixel_of_channels_last",
        "one_row_of_channels_last",
        "permuted_to_channels_first_and_back",
    }


@pytest.mark.parametrize("requires_grad", (False, True), ids=("constant", "requires_grad"))
@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_strides_of_fake_results_are_those_of_real_ones(case: Case, name, requires_grad, device):
    """Else a compiled program reads its intermediate tensors with the wrong strides."""
    input, grid = case.tensors(device, torch.float64, away_from_kinks=True)
    input = FORMATS[name](input)
    grid = grid[: input.shape[0]]

    def results(input, grid):
        if requires_grad:
            return run(case, input, grid)
        return (case.bind(stn_cuda.grid_sample)(input, grid),)

    with FakeTensorMode() as mode:
        fakes = results(mode.from_tensor(input), mode.from_tensor(grid))
    for real, fake in zip(results(input, grid), fakes, strict=True):
        assert (real.shape, real.stride(), real.dtype) == (fake.shape, fake.stride(), fake.dtype)


@pytest.mark.parametrize("name", FORMATS)
def test_compiled_results_have_the_values_and_strides_of_eager_ones(name, device):
    case = CASES[0]
    input, grid = case.tensors(device, torch.float64, away_from_kinks=True)
    input = FORMATS[name](input)
    grid = grid[: input.shape[0]]
    torch._dynamo.reset()
    compiled = torch.compile(case.bind(stn_cuda.grid_sample), fullgraph=True, backend="aot_eager")
    actual, expected = compiled(input, grid), case.bind(stn_cuda.grid_sample)(input, grid)
    assert torch.equal(actual, expected) and actual.stride() == expected.stride()
