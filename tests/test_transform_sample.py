"""affine_sample, projective_sample and flow_sample against grid_sample at the transform's grid: values and gradients."""

from __future__ import annotations

import pytest
import torch
from cases import ALIGN_CORNERS, MODES
from layouts import GRAD_OUTPUT_LAYOUTS, INPUT_LAYOUTS, layout_id
from routed import assert_same_in_scale, tangents
from seen_operators import SeenOperators
from tolerances import EXACT, parity
from torch.autograd import gradcheck, gradgradcheck
from warps import KINDS, PADDINGS, Warp, all_warps, maps

import stn_cuda
from benchmarks.timing import peak_extra_bytes

pytestmark = pytest.mark.usefixtures("sums_in_order")

MIXED = ("border", "zeros", "circular")


def derivatives(sample, tensors):
    """Output, gradients, and gradients of those."""
    leaves = [tensor.detach().requires_grad_() for tensor in tensors]
    output = sample(*leaves)
    cotangent = tangents([output.detach()])[0].requires_grad_()
    first = torch.autograd.grad(output, leaves, cotangent, create_graph=True, materialize_grads=True)
    return output, *first, *torch.autograd.grad(first, [cotangent, *leaves], tangents(first), materialize_grads=True)


def gradients(sample, tensors, grad_output=None):
    """Output and gradients, by the kernels that know the transform."""
    leaves = [tensor.detach().requires_grad_() for tensor in tensors]
    output = sample(*leaves)
    (cotangent,) = tangents([output.detach()]) if grad_output is None else (grad_output,)
    return output, *torch.autograd.grad(output, leaves, cotangent, materialize_grads=True)


@pytest.mark.parametrize("batches", ((2, 2), (1, 2), (2, 1)), ids=str)
@pytest.mark.parametrize("warp", all_warps(), ids=str)
def test_values_and_gradients_of_two_orders_are_the_definitions(warp: Warp, batches, device):
    input, parameters, size = warp.tensors(device, batch=batches[0], parameter_batch=batches[1])
    expected = derivatives(warp.judge(size), (input, parameters))
    assert_same_in_scale(gradients(warp.bind(size), (input, parameters)), expected[:3])
    assert_same_in_scale(derivatives(warp.bind(size), (input, parameters)), expected)


@pytest.mark.parametrize("padding_mode", ("zeros", "border", MIXED))
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dims", (2, 3))
def test_fill_value_and_its_gradient(dims, kind, mode, padding_mode, device):
    warp = Warp(kind, dims, mode, padding_mode if isinstance(padding_mode, str) else padding_mode[:dims])
    input, parameters, size = warp.tensors(device)
    fill = torch.tensor([0.7, -0.2, 1.3], dtype=torch.float64, device=device)
    expected = derivatives(warp.judge(size), (input, parameters, fill))
    assert_same_in_scale(gradients(warp.bind(size), (input, parameters, fill)), expected[:4])
    assert_same_in_scale(derivatives(warp.bind(size), (input, parameters, fill)), expected)


@pytest.mark.parametrize("align_corners", ALIGN_CORNERS, ids=("edges", "centres"))
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dims", (2, 3))
def test_equals_grid_sample_at_the_public_grid(dims, kind, align_corners, device):
    warp = Warp(kind, dims, "bilinear", "reflection", align_corners)

    def chain(input, parameters):
        if kind == "affine":
            grid = stn_cuda.affine_grid(parameters, (*input.shape[:2], *size), align_corners=align_corners)
        elif kind == "projective":
            grid = stn_cuda.projective_grid(parameters, size, align_corners)
        else:
            grid = stn_cuda.flow_grid(parameters, input.shape[2:], align_corners)
        return stn_cuda.grid_sample(input, grid, padding_mode="reflection", align_corners=align_corners)

    input, parameters, size = warp.tensors(device)
    assert_same_in_scale(gradients(warp.bind(size), (input, parameters)), gradients(chain, (input, parameters)))


@pytest.mark.parametrize("padding_mode, mode", [("zeros", "bilinear"), ("border", "bicubic"), ("reflection", "bilinear")])
@pytest.mark.parametrize("align_corners", ALIGN_CORNERS, ids=("edges", "centres"))
@pytest.mark.parametrize("kind", KINDS)
def test_gradcheck_in_both_orders(kind, align_corners, padding_mode, mode, device):
    warp = Warp(kind, 2, mode, padding_mode, align_corners)
    input, parameters, size = warp.tensors(device, channels=1, in_size=(3, 4), size=(2, 3))
    arguments = input.requires_grad_(), parameters.requires_grad_()
    assert gradcheck(warp.bind(size), arguments, check_forward_ad=True)
    assert gradgradcheck(warp.bind(size), arguments)


@pytest.mark.parametrize("kind", KINDS)
def test_gradcheck_in_3d(kind, device):
    warp = Warp(kind, 3)
    input, parameters, size = warp.tensors(device, batch=1, channels=1, in_size=(2, 3, 2), size=(1, 2, 2))
    arguments = input.requires_grad_(), parameters.requires_grad_()
    assert gradcheck(warp.bind(size), arguments)
    assert gradgradcheck(warp.bind(size), arguments)


# ---- what is read by which location -------------------------------------------------------------------------------------

@pytest.mark.parametrize("padding_mode", ("zeros", "border", "reflection"))
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("kind", ("affine", "projective"))
@pytest.mark.parametrize("dims", (2, 3))
def test_gradient_of_input_is_that_at_the_grid_for_any_map(dims, kind, mode, padding_mode, device):
    """Singular, magnifying, minifying, w of both signs, coordinates on kinks: at the same coordinates, by grid_sample."""
    in_size, size = ((9, 11), (12, 10)) if dims == 2 else ((4, 5, 6), (6, 4, 5))
    thetas = maps(kind, dims, in_size, count=20)
    theta = torch.cat([*thetas.values()]).to(device)
    generator = torch.Generator().manual_seed(3)
    input = torch.randn(len(theta), 2, *in_size, generator=generator, dtype=torch.float64).to(device)
    kind_value, pixels = stn_cuda._C.TRANSFORM_KINDS[kind], stn_cuda._C.COORDINATE_CONVENTIONS["pixels"]
    options = stn_cuda._C.INTERPOLATION_MODES[mode], [stn_cuda._C.PADDING_MODES[padding_mode]], pixels, None, False
    grid = torch.ops.stn_cuda._transform_grid(theta, None, kind_value, size, in_size, True, False)
    grad_output = torch.randn(len(theta), 2, *size, generator=generator, dtype=torch.float64).to(device)
    arguments = [True, False, False], False
    expected = torch.ops.stn_cuda.grid_sample_backward(grad_output, input, grid, *options, *arguments)[0]
    actual = torch.ops.stn_cuda.transform_sample_backward(
        grad_output, input, theta, kind_value, size, *options, *arguments)[0]
    assert expected.any()
    assert_same_in_scale([actual], [expected])


@pytest.mark.parametrize("padding_mode", PADDINGS)
@pytest.mark.parametrize("kind", ("affine", "projective"))
def test_theta_that_is_not_finite_is_what_its_grid_makes_of_it(kind, padding_mode, device):
    warp = Warp(kind, 2, "bilinear", padding_mode)
    input, theta, size = warp.tensors(device, batch=6)
    for image, value in enumerate((torch.nan, torch.inf, -torch.inf, 1e30, -1e38)):
        theta[image, image % 2, image % 3] = value
    (actual, by_input, _), (expected, by_input_expected, _) = (
        gradients(sample, (input, theta)) for sample in (warp.bind(size), warp.judge(size)))
    assert_same_in_scale([actual, by_input], [expected, by_input_expected])


@pytest.mark.parametrize("padding_mode", ("zeros", "border"))
def test_no_coordinate_where_w_is_0(padding_mode, device):
    """w = x / 2: 0 in the middle column of three."""
    theta = torch.tensor([[[0.3, 0.1, 0.2], [0.0, 0.4, 0.1], [0.5, 0.0, 0.0]]], dtype=torch.float64, device=device)
    input = torch.rand(1, 1, 4, 5, dtype=torch.float64, device=device) + 1
    output, by_input, by_theta = gradients(Warp("projective", 2, "bilinear", padding_mode).bind((3, 3)), (input, theta))
    middle = output[0, 0, :, 1]
    EXACT.assert_close(middle, torch.full_like(middle, float(input[0, 0, 0, 0]) if padding_mode == "border" else 0.0))
    assert by_theta.isfinite().all() and by_input.isfinite().all()


# ---- dtypes, layouts, memory --------------------------------------------------------------------------------------------

@pytest.mark.parametrize("dtype", (torch.float32, torch.float16, torch.bfloat16), ids=str)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("kind", KINDS)
def test_results_in_other_dtypes_are_those_of_float64_rounded(kind, mode, dtype, device):
    warp = Warp(kind, 2, mode, "border")
    input, parameters, size = warp.tensors(device)
    input = input.to(dtype)
    (grad_output,) = tangents([torch.empty(2, 3, *size, dtype=dtype, device=device)])
    wide = [tensor.float() for tensor in gradients(warp.bind(size), (input.double(), parameters), grad_output.double())]
    actual = gradients(warp.bind(size), (input, parameters.float()), grad_output)
    assert [tensor.dtype for tensor in actual] == [dtype, dtype, torch.float32]
    for one, other in zip(actual, wide, strict=True):
        scale = other.abs().max().clamp(min=1)
        parity(mode, one.dtype).assert_close(one.float() / scale, other / scale)


@pytest.mark.parametrize("grad_layout", GRAD_OUTPUT_LAYOUTS, ids=lambda f: f"grad_output_{layout_id(f)}")
@pytest.mark.parametrize("layout", INPUT_LAYOUTS, ids=layout_id)
@pytest.mark.parametrize("kind", KINDS)
def test_layouts_change_nothing(kind, layout, grad_layout, device):
    warp = Warp(kind, 2)
    input, parameters, size = warp.tensors(device)
    input = layout(input).detach()
    grad_output = grad_layout(torch.sin(torch.arange(210, dtype=torch.float64, device=device)).view(2, 3, *size))
    sample = warp.bind(size)
    assert_same_in_scale(
        gradients(sample, (input, parameters), grad_output),
        gradients(sample, (input.contiguous(), parameters), grad_output.contiguous()))


@pytest.mark.parametrize("kind", KINDS)
def test_first_gradients_have_no_grid_in_memory(kind, device):
    """Peak memory beside the arguments is what is returned, and partial sums: less than half a grid."""
    warp = Warp(kind, 2)
    input, parameters, size = warp.tensors(device, torch.float32, channels=1, in_size=(3, 3), size=(2, 2))
    size = (512, 512)
    if kind == "flow":
        parameters = torch.zeros(2, 2, *size, device=device)
    leaves = input.requires_grad_(), parameters.requires_grad_()
    grad_output = torch.ones(2, 1, *size, device=device)
    grid_bytes = 2 * 2 * size[0] * size[1] * 4

    def forward_and_backward():
        return torch.autograd.grad(warp.bind(size)(*leaves), leaves, grad_output)

    returned = grid_bytes // 2 + (grid_bytes if kind == "flow" else 0)  # output, and grad_flow
    assert peak_extra_bytes(forward_and_backward, device) < returned + grid_bytes // 2
    with SeenOperators() as seen:
        forward_and_backward()
    ours = [name for name in seen.names if name.startswith("stn_cuda.")]
    assert ours == ["stn_cuda._transform_sample.default", "stn_cuda.transform_sample_backward.default"]


@pytest.mark.parametrize("kind", KINDS)
def test_complex_image_is_two_real_ones(kind, device):
    warp = Warp(kind, 2)
    real, parameters, size = warp.tensors(device)
    image = torch.complex(real, real.flip(1))
    fill = torch.tensor(0.5 + 0.25j, dtype=image.dtype, device=device)
    sample = warp.bind(size)
    expected = torch.complex(sample(image.real, parameters, fill.real), sample(image.imag, parameters, fill.imag))
    EXACT.assert_close(sample(image, parameters, fill), expected)


@pytest.mark.parametrize("empty", ("batch", "channels"))
@pytest.mark.parametrize("kind", KINDS)
def test_empty_tensors_have_empty_results_and_gradients_of_zeros(kind, empty, device):
    input, parameters, size = Warp(kind, 2).tensors(device)
    if empty == "batch":
        input, parameters = input[:0], parameters[:0]
    else:
        input = input[:, :0]
    output, by_input, by_parameters = gradients(Warp(kind, 2).bind(size), (input, parameters))
    assert output.shape == (*input.shape[:2], *size)
    assert by_input.shape == input.shape and by_parameters.shape == parameters.shape and not by_parameters.any()
