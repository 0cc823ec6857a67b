"""float16 and bfloat16: computed as float32 is, and rounded once. So every result is within one rounding of what the same call
gives for the same numbers in float32; how near float32 is to the truth, the other files say."""

from __future__ import annotations

import pytest
import torch
from cases import Case, all_cases
from tolerances import EXACT, parity

import stn_cuda
from stn_cuda import reference

HALVES = (torch.float16, torch.bfloat16)
ops = torch.ops.stn_cuda


def names(value):
    return str(value).removeprefix("torch.")


def tensors(case: Case, dtype, grid_dtype, device, **sizes):
    input, grid = case.tensors(device, torch.float64, away_from_kinks=False, **sizes)
    return input.to(dtype), grid.to(grid_dtype)


def like(tensor, seed):
    """Another tensor of its shape and dtype."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(tensor.shape, generator=generator).to(tensor.device, tensor.dtype)


def assert_rounded(actual, wide, dtypes, mode="bilinear"):
    """Each of ``actual`` is its float32 counterpart, rounded to its dtype. (Not bit for bit: a compiler may fuse a product
    and a sum in one of two loops.)"""
    for one, other, dtype in zip(actual, wide, dtypes, strict=True):
        assert one.dtype == dtype and other.dtype == torch.float32
        parity(mode, dtype).assert_close(one.float(), other)


@pytest.mark.parametrize("wide_grid", (False, True), ids=("grid_of_16_bits", "grid_of_32_bits"))
@pytest.mark.parametrize("dtype", HALVES, ids=names)
@pytest.mark.parametrize("case", all_cases(), ids=str)
def test_output_and_gradients_are_float32s_rounded_once(case: Case, dtype, wide_grid, device):
    grid_dtype = torch.float32 if wide_grid else dtype
    leaves = [tensor.requires_grad_() for tensor in tensors(case, dtype, grid_dtype, device)]
    wide = [leaf.detach().float().requires_grad_() for leaf in leaves]
    output, wide_output = (case.bind(stn_cuda.grid_sample)(*arguments) for arguments in (leaves, wide))
    cotangent = like(output, 1)
    actual = output, *torch.autograd.grad(output, leaves, cotangent)
    expected = wide_output, *torch.autograd.grad(wide_output, wide, cotangent.float())
    assert_rounded(actual, expected, (dtype, dtype, grid_dtype), case.mode)


@pytest.mark.parametrize("float_output", (False, True), ids=("rounded", "float_output"))
@pytest.mark.parametrize("dtype", HALVES, ids=names)
@pytest.mark.parametrize("case", all_cases(), ids=str)
def test_operators_compute_as_float32s_with_and_without_float_output(case: Case, dtype, float_output, device):
    input, grid = tensors(case, dtype, dtype, device)
    wide = input.float(), grid.float()
    returned = torch.float32 if float_output else dtype
    narrow_options, wide_options = case.operator_options(float_output), case.operator_options()
    output = ops.grid_sample(input, grid, *narrow_options)
    assert_rounded([output], [ops.grid_sample(*wide, *wide_options)], [returned], case.mode)

    grad_output = like(output, 2)
    first = ops.grid_sample_backward(grad_output, input, grid, *narrow_options, [True, True, False], False)
    expected = ops.grid_sample_backward(grad_output.float(), *wide, *wide_options, [True, True, False], False)
    assert_rounded(first[:2], expected[:2], (dtype, dtype), case.mode)

    tangents = like(input, 3), like(grid, 4)
    second = ops.grid_sample_double_backward(
        *tangents, None, grad_output, input, grid, *narrow_options, [True, True, True, False], False)
    expected = ops.grid_sample_double_backward(
        *(tangent.float() for tangent in tangents), None, grad_output.float(), *wide, *wide_options,
        [True, True, True, False], False)
    assert_rounded(second[:3], expected[:3], (returned, dtype, dtype), case.mode)


@pytest.mark.parametrize("dtype", HALVES, ids=names)
def test_a_pixel_sums_its_gradient_in_float32(dtype, device):
    """In bfloat16 a sum of ones stops at 256, in float16 at 2048."""
    input = torch.zeros(1, 1, 3, 3, dtype=dtype, device=device, requires_grad=True)
    grid = torch.zeros(1, 64, 64, 2, dtype=dtype, device=device)
    stn_cuda.grid_sample(input, grid, align_corners=True).backward(torch.ones(1, 1, 64, 64, dtype=dtype, device=device))
    assert input.grad[0, 0, 1, 1] == 4096 and input.grad.sum() == 4096


@pytest.mark.parametrize("size", (182, 512, 1024))
@pytest.mark.parametrize("dtype", HALVES, ids=names)
def test_whole_pixels_of_large_images_are_read_exactly(dtype, size, device):
    """torch's CPU kernels return garbage from 182 x 182 on: their indices are 16-bit integers."""
    image = like(torch.empty(1, 2, size, size, dtype=dtype, device=device), 5)
    case = Case(2, "nearest", "zeros", False)
    pixels = torch.arange(size, dtype=torch.float64, device=device)
    y, x = torch.meshgrid(pixels, pixels, indexing="ij")
    grid = case.normalize((x[None], y[None]), (size, size)).float()
    EXACT.assert_close(case.bind(stn_cuda.grid_sample)(image, grid), image)


@pytest.mark.parametrize("dtype", HALVES, ids=names)
def test_channels_last_and_strides_are_followed(dtype, device):
    case = Case(2, "bilinear", "border", False)
    input, grid = tensors(case, dtype, dtype, device, channels=4)
    expected = case.bind(stn_cuda.grid_sample)(input, grid)
    last = input.contiguous(memory_format=torch.channels_last).requires_grad_()
    output = case.bind(stn_cuda.grid_sample)(last, grid.movedim(-1, 1).contiguous().movedim(1, -1))
    EXACT.assert_close(output.detach(), expected)
    assert output.is_contiguous(memory_format=torch.channels_last)
    output.backward(like(output, 6).expand_as(output))
    assert last.grad.is_contiguous(memory_format=torch.channels_last) and last.grad.dtype == dtype


@pytest.mark.parametrize("dtype", HALVES, ids=names)
def test_empty_batches_have_gradients_of_the_right_dtype(dtype, device):
    input = torch.zeros(2, 0, 3, 3, dtype=dtype, device=device, requires_grad=True)
    grid = torch.zeros(2, 3, 3, 2, dtype=torch.float32, device=device, requires_grad=True)
    stn_cuda.grid_sample(input, grid, align_corners=False).sum().backward()
    assert input.grad.dtype == dtype and input.grad.shape == input.shape
    assert grid.grad.dtype == torch.float32 and not grid.grad.any()


@pytest.mark.parametrize("align_corners", (False, True), ids=("edges", "centres"))
@pytest.mark.parametrize("size", [(2, 1, 3, 5), (2, 1, 3, 4, 5)], ids=str)
@pytest.mark.parametrize("dtype", HALVES, ids=names)
def test_affine_grid_and_its_gradient_are_float32s_rounded_once(dtype, size, align_corners, device):
    dims = len(size) - 2
    theta = like(torch.empty(2, dims, dims + 1, dtype=dtype, device=device), 7).requires_grad_()
    wide = theta.detach().float().requires_grad_()
    grid, wide_grid = (stn_cuda.affine_grid(leaf, size, align_corners) for leaf in (theta, wide))
    cotangent = like(grid, 8)
    assert_rounded(
        [grid, *torch.autograd.grad(grid, theta, cotangent)],
        [wide_grid, *torch.autograd.grad(wide_grid, wide, cotangent.float())], (dtype, dtype))


@pytest.mark.parametrize("dtype", HALVES, ids=names)
def test_reference_computes_in_float32_too(dtype, device):
    case = Case(2, "bicubic", "reflection", True)
    input, grid = tensors(case, dtype, torch.float32, device)
    wide = case.bind(reference.grid_sample)(input.float(), grid)
    assert_rounded([case.bind(reference.grid_sample)(input, grid)], [wide], [dtype], case.mode)


@pytest.mark.parametrize("dtypes", [
    (torch.float16, torch.bfloat16), (torch.bfloat16, torch.float16), (torch.float32, torch.float16),
    (torch.float16, torch.float64), (torch.float64, torch.float32), (torch.float32, torch.float64)], ids=names)
def test_other_mixes_of_dtypes_are_refused_by_name_outside_autocast(dtypes, device):
    input, grid = tensors(Case(2, "bilinear", "zeros", False), *dtypes, device)
    with pytest.raises(RuntimeError, match=rf"grid of the dtype of input, {dtypes[0]}.*got {dtypes[1]}"):
        stn_cuda.grid_sample(input, grid, align_corners=False)


OPCHECKS = ("test_schema", "test_faketensor", "test_aot_dispatch_dynamic")


@pytest.mark.parametrize("check", OPCHECKS)
@pytest.mark.parametrize("float_output", (False, True), ids=("rounded", "float_output"))
@pytest.mark.parametrize("dtypes", [(torch.float16, torch.float16), (torch.bfloat16, torch.float32)], ids=str)
def test_opcheck_of_every_operator(dtypes, float_output, check, device):
    """Fakes know the dtypes, too."""
    case = Case(2, "bilinear", "border", False)
    input, grid = tensors(case, *dtypes, device)
    chosen = case.operator_options(float_output)
    grad_output = like(ops.grid_sample(input, grid, *chosen), 9)
    for operator, arguments in (
        (ops.grid_sample, (input, grid, *chosen)),
        (ops.grid_sample, (input.clone().requires_grad_(), grid.clone().requires_grad_(), *chosen)),
        (ops.grid_sample_backward, (grad_output, input, grid, *chosen, [True, True, False], False)),
        (ops.grid_sample_double_backward,
         (input, grid, None, grad_output, input, grid, *chosen, [True, True, True, False], False)),
        (ops.affine_grid, (torch.ones(2, 2, 3, dtype=dtypes[0], device=device), [2, 1, 3, 4], False)),
    ):
        torch.library.opcheck(operator.default, arguments, test_utils=check)
