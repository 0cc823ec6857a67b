"""Complex images: the real and the imaginary part sampled as real images."""

from __future__ import annotations

import pytest
import torch
from cases import Case, all_cases, differentiable_cases
from layouts import channels_last, expanded_channels, sliced, transposed
from tolerances import EXACT, PARITY, parity
from torch.autograd import gradcheck, gradgradcheck

import stn_cuda

pytestmark = pytest.mark.usefixtures("sums_in_order")

DOUBLE = PARITY[torch.float64]
FILLS = {
    "number": 0.5, "complex_number": 0.5 - 2j, "scalar": torch.tensor(1.5 + 1j, dtype=torch.complex128),
    "channels": torch.tensor([1.0, 2j, -1 - 1j], dtype=torch.complex128),
    "images": torch.arange(6).view(2, 3) * (1 - 2j) + 1, "real_tensor": torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64),
}  # fmt: skip


def tensors(case: Case, device, dtype=torch.float64, **sizes):
    """A complex input and a real grid."""
    input, grid = case.tensors(device, dtype, away_from_kinks=True, **sizes)
    return torch.complex(input, input.flip(1).cos()), grid


def two_real_calls(case: Case, input, grid, fill=None, **options):
    parts = [None, None] if fill is None else [torch.as_tensor(fill).real.to(grid), (torch.as_tensor(fill) + 0j).imag.to(grid)]
    real, imag = (
        stn_cuda.grid_sample(part, grid, case.mode, case.padding_mode, case.align_corners, fill_value=value, **options)
        for part, value in zip((input.real, input.imag), parts)
    )
    return torch.complex(real, imag)


@pytest.mark.parametrize("dtype", (torch.float32, torch.float64), ids=str)
@pytest.mark.parametrize("case", all_cases(), ids=str)
def test_values_and_gradients_are_those_of_two_real_calls(case: Case, dtype, device):
    def run(sample):
        leaves = [tensor.clone().requires_grad_() for tensor in tensors(case, device, dtype)]
        output = sample(*leaves)
        angles = torch.arange(output.numel(), dtype=dtype, device=device).view_as(output)
        cotangent = torch.polar(torch.ones_like(angles), angles)
        return output.detach(), *torch.autograd.grad(output, leaves, cotangent)

    actual = run(case.bind(stn_cuda.grid_sample))
    assert actual[0].dtype == actual[1].dtype == torch.complex(torch.ones((), dtype=dtype), torch.ones((), dtype=dtype)).dtype
    assert actual[2].dtype == dtype
    for one, other in zip(actual, run(lambda input, grid: two_real_calls(case, input, grid)), strict=True):
        parity(case.mode, dtype).assert_close(one, other)


@pytest.mark.filterwarnings("ignore:ComplexHalf support is experimental")
def test_complex_half_is_complex(device):
    case = Case(2, "bilinear", "border", False)
    input, grid = case.tensors(device, torch.float16, away_from_kinks=False)
    output = case.bind(stn_cuda.grid_sample)(torch.complex(input, 2 * input), grid)
    real = case.bind(stn_cuda.grid_sample)(input, grid)
    assert output.dtype == torch.complex32
    EXACT.assert_close(output.real.clone(), real)


@pytest.mark.parametrize("fill", FILLS)
@pytest.mark.parametrize("padding_mode", ("zeros", "fill", "border"))
def test_a_fill_may_be_complex_or_real(padding_mode, fill, device):
    case = Case(2, "bilinear", padding_mode, False)
    value = FILLS[fill].to(device) if isinstance(FILLS[fill], torch.Tensor) else FILLS[fill]
    input, grid = tensors(case, device)
    actual = stn_cuda.grid_sample(input, grid, "bilinear", padding_mode, False, fill_value=value)
    DOUBLE.assert_close(actual, two_real_calls(case, input, grid, value))


@pytest.mark.parametrize("case", differentiable_cases(), ids=str)
def test_gradcheck(case: Case, device):
    """The definition of a gradient by a complex number is torch's; so is that of its second one."""
    sizes = {"channels": 1, "in_size": (2, 2, 2)[-case.dims :], "out_size": (1, 1, 2)[-case.dims :]}
    leaves = [tensor.requires_grad_() for tensor in tensors(case, device, **sizes)]
    assert gradcheck(case.bind(stn_cuda.grid_sample), leaves, check_forward_ad=True)
    assert gradgradcheck(case.bind(stn_cuda.grid_sample), leaves)


@pytest.mark.parametrize("fill", ("scalar", "channels", "images"))
@pytest.mark.parametrize("padding_mode", ("zeros", "border"))
def test_gradcheck_of_a_complex_fill(padding_mode, fill, device):
    case = Case(2, "bilinear", padding_mode, True)
    input, grid = tensors(case, device, in_size=(2, 3), out_size=(2, 2))
    leaves = [tensor.clone().requires_grad_() for tensor in (input, grid, FILLS[fill].to(device, torch.complex128))]

    def sample(input, grid, fill):
        return stn_cuda.grid_sample(input, grid, padding_mode=padding_mode, align_corners=True, fill_value=fill)

    assert gradcheck(sample, leaves)
    assert gradgradcheck(sample, leaves)


@pytest.mark.parametrize("case", [Case(2, "bilinear", "zeros", False), Case(3, "bicubic", "reflection", True)], ids=str)
def test_conjugate_views_are_conjugated(case: Case, device):
    """The conj bit, and the neg bit of a conjugate's imaginary part."""
    input, grid = tensors(case, device)
    assert input.conj().is_conj() and input.conj().imag.is_neg()
    plain = case.bind(stn_cuda.grid_sample)(input, grid)
    DOUBLE.assert_close(case.bind(stn_cuda.grid_sample)(input.conj(), grid), plain.conj().resolve_conj())
    leaf = input.clone().requires_grad_()
    case.bind(stn_cuda.grid_sample)(leaf.conj(), grid).real.sum().backward()
    expected = input.clone().requires_grad_()
    case.bind(stn_cuda.grid_sample)(expected.conj().resolve_conj(), grid).real.sum().backward()
    DOUBLE.assert_close(leaf.grad, expected.grad)


@pytest.mark.parametrize("layout", (channels_last, sliced, expanded_channels, transposed), ids=lambda layout: layout.__name__)
def test_layouts_of_complex_images_change_nothing(layout, device):
    case = Case(2, "bilinear", "border", False)
    input, grid = tensors(case, device)
    strided = layout(input)
    expected = case.bind(stn_cuda.grid_sample)(strided.contiguous(), grid)
    DOUBLE.assert_close(case.bind(stn_cuda.grid_sample)(strided, grid), expected)


def test_complex_images_broadcast_and_take_points_and_circular_padding(device):
    input, grid = tensors(Case(2, "bilinear", "", False), device)
    points = grid.flatten(1, 2)
    case = Case(2, "bilinear", ("circular", "border"), False)
    DOUBLE.assert_close(case.bind(stn_cuda.grid_sample)(input[:1], points), two_real_calls(case, input[:1], points))


@pytest.mark.parametrize("dims", (1, 2, 3))
def test_vmap_of_complex_images_equals_a_loop(dims, device):
    input, grid = tensors(Case(dims, "bilinear", "zeros", False), device)
    sample = Case(dims, "bilinear", "zeros", False).bind(stn_cuda.grid_sample)
    images = torch.stack([input, 1j * input])
    actual = torch.func.vmap(sample, in_dims=(0, None))(images, grid)
    DOUBLE.assert_close(actual, torch.stack([sample(image, grid) for image in images]))


@pytest.mark.usefixtures("fresh_dynamo")
def test_compiled_with_complex_images_equals_eager(device):
    sample = Case(2, "bilinear", "zeros", False).bind(stn_cuda.grid_sample)
    input, grid = tensors(Case(2, "bilinear", "zeros", False), device)
    DOUBLE.assert_close(torch.compile(sample, fullgraph=True, backend="aot_eager")(input, grid), sample(input, grid))
