"""antialias: a pixel of the output is the mean of what it covers in the input, where it covers more than a pixel."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from antialiasing import THETAS, antialiased, definition, randn, rotation, scaling, squared
from tolerances import EXACT, PARITY
from warps import SAMPLERS

import stn_cuda
from benchmarks.antialias import IMAGES, area_exact, errors, images

pytestmark = pytest.mark.usefixtures("sums_in_order")

DOUBLE = PARITY[torch.float64]


# ---- what it is for -----------------------------------------------------------------------------------------------------

def test_the_judge_is_the_mean_over_areas():
    image = randn(1, 2, 12, 24)
    DOUBLE.assert_close(area_exact(image, (1, 1), (0, 0), (3, 4)), F.avg_pool2d(image, (4, 6)))
    fine = image.repeat_interleave(10, 2).repeat_interleave(10, 3)  # every edge below is one of its pixels'
    moved = F.pad(fine, (0, 20, 0, 0))[..., 20:]
    DOUBLE.assert_close(area_exact(image, (1, 1), (2 * 2 / 24, 0), (8, 5)), F.avg_pool2d(moved, (15, 48)))
    DOUBLE.assert_close(area_exact(image, (0.5, 0.5), (0, 0), (4, 4)), F.avg_pool2d(fine[..., 30:90, 60:180], (15, 30)))


@pytest.mark.parametrize("zoom, shift", [(1.0, (0.0, 0.0)), (0.8, (0.0, 0.0)), (0.8, (0.11, -0.173)), (0.6, (0.0, 0.0)),
                                         (0.6, (-0.371, 0.29)), (0.47, (0.2, 0.1))])
def test_error_of_a_crop_from_1024_to_64_is_at_most_a_fifth_of_bilinears(zoom, shift, device):
    image = images(1024)
    theta = torch.tensor([[[zoom, 0, shift[0]], [0, zoom, shift[1]]]])
    exact = area_exact(image, (zoom, zoom), shift, (64, 64))
    given = image.float().to(device), theta.to(device), (64, 64)
    plain, ours = (errors(stn_cuda.affine_sample(*given, antialias=value).cpu(), exact) for value in (False, True))
    for name, bilinear, error in zip(IMAGES, plain, ours, strict=True):
        assert error <= bilinear / 5, (name, bilinear, error)


@pytest.mark.parametrize("sizes", [(1025, 1025), (641, 513)], ids=str)
def test_error_of_odd_sizes_is_at_most_a_tenth_of_bilinears_on_noise(sizes, device):
    """A fourth or fifth only, if an odd size were halved by one sample a pixel: in the middle it reads single pixels."""
    image = randn(1, 1, *sizes)
    exact = area_exact(image, (1, 1), (0, 0), (64, 64))
    given = image.float().to(device), scaling(1.0, 1.0).to(device), (64, 64)
    plain, ours = (errors(stn_cuda.affine_sample(*given, antialias=value).cpu(), exact)[0] for value in (False, True))
    assert ours <= plain / 10, (plain, ours)


@pytest.mark.parametrize("align_corners", (False, True), ids=("edges", "centres"))
@pytest.mark.parametrize(
    "sizes, out", [((7, 9), (2, 3)), ((1, 13), (1, 2)), ((13, 1), (1, 1)), ((5, 3, 7), (2, 1, 1))], ids=str)
def test_a_constant_image_stays_constant(sizes, out, align_corners, device):
    image = torch.full((1, 2, *sizes), 3.0, dtype=torch.float64, device=device)
    theta = scaling(*[0.9] * len(sizes), shift=0.3, dtype=torch.float64).to(device)
    output = antialiased(image, theta, out, padding_mode="border", align_corners=align_corners)
    DOUBLE.assert_close(output, torch.full((1, 2, *out), 3.0, dtype=torch.float64, device=device))


# ---- the definition -----------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("align_corners", (False, True), ids=("edges", "centres"))
@pytest.mark.parametrize("padding_mode", ("zeros", "border", "circular", ("border", "zeros")), ids=str)
@pytest.mark.parametrize("mode", ("bilinear", "nearest", "bicubic"))
@pytest.mark.parametrize("transform", SAMPLERS)
def test_equals_its_definition(transform, mode, padding_mode, align_corners, device):
    input, theta = randn(2, 2, 8, 16), torch.tensor(THETAS[2], dtype=torch.float64)
    if transform == "affine":
        theta = squared(theta[:, :2])
    expected = definition(input, theta, (3, 4), mode, padding_mode, align_corners)
    given = theta if transform == "projective" else theta[:, :2]
    output = SAMPLERS[transform](
        input.to(device), given.to(device), (3, 4), mode, padding_mode, align_corners, antialias=True)
    DOUBLE.assert_close(output.cpu(), expected)


@pytest.mark.parametrize("align_corners", (False, True), ids=("edges", "centres"))
@pytest.mark.parametrize("transform", SAMPLERS)
def test_equals_its_definition_in_volumes(transform, align_corners, device):
    input, theta = randn(1, 2, 4, 8, 16), torch.tensor(THETAS[3], dtype=torch.float64)
    if transform == "affine":
        theta = squared(theta[:, :3])
    expected = definition(input, theta, (2, 1, 3), "bilinear", "border", align_corners)
    given = theta if transform == "projective" else theta[:, :3]
    output = SAMPLERS[transform](
        input.to(device), given.to(device), (2, 1, 3), padding_mode="border", align_corners=align_corners, antialias=True)
    DOUBLE.assert_close(output.cpu(), expected)


UNCHANGED = {"identity": scaling(1.0, 1.0), "mirror": scaling(-1.0, 1.0, shift=0.1), "magnified": scaling(0.37, 0.6, shift=0.2),
             "zeros": scaling(0.0, 0.0), **{f"turned_{angle}": rotation(angle) for angle in (1, 30, 45, 77, 90, 137)}}


@pytest.mark.parametrize("transform", SAMPLERS)
@pytest.mark.parametrize("align_corners", (False, True), ids=("edges", "centres"))
@pytest.mark.parametrize("name", UNCHANGED)
def test_what_does_not_minify_is_the_plain_sample_bit_for_bit(name, align_corners, transform, device):
    """Gradients too. A rotation's rounding is within the formula's slack."""
    image, theta = randn(1, 2, 17, 17, dtype=torch.float32).to(device), UNCHANGED[name].to(device)
    theta = squared(theta) if transform == "projective" else theta
    results = []
    for antialias in (False, True):
        leaves = image.clone().requires_grad_(), theta.clone().requires_grad_()
        output = SAMPLERS[transform](*leaves, align_corners=align_corners, antialias=antialias)
        results.append([output, *torch.autograd.grad(output.square().sum(), leaves)])
    for plain, ours in zip(*results, strict=True):
        EXACT.assert_close(ours, plain)


@pytest.mark.parametrize("align_corners", (False, True), ids=("edges", "centres"))
def test_projective_of_an_affine_matrix_is_affine(align_corners, device):
    input = randn(2, 3, 21, 18).to(device)
    theta = torch.tensor(THETAS[2], dtype=torch.float64, device=device)[:, :2]
    options = {"size": (4, 5), "align_corners": align_corners, "antialias": True}
    affine = stn_cuda.affine_sample(input, theta, **options)
    DOUBLE.assert_close(stn_cuda.projective_sample(input, squared(theta), **options), affine)
    DOUBLE.assert_close(stn_cuda.projective_sample(input, -3 * squared(theta), **options), affine)


# ---- tensors ------------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("transform", SAMPLERS)
@pytest.mark.parametrize("shared", ("input", "theta"))
def test_one_input_or_theta_for_all_is_expanded(shared, transform, device):
    theta = torch.tensor(THETAS[2], dtype=torch.float64, device=device)
    theta = theta if transform == "projective" else theta[:, :2]
    given = {"input": randn(2, 2, 12, 9).to(device), "theta": theta}
    given[shared] = given[shared][:1]
    both = []
    for expand in (False, True):
        leaves = {name: tensor.clone().requires_grad_() for name, tensor in given.items()}
        tensors = [leaf.expand(2, *leaf.shape[1:]) if expand else leaf for leaf in leaves.values()]
        output = SAMPLERS[transform](*tensors, (3, 2), antialias=True)
        both.append([output, *torch.autograd.grad(output.square().sum(), [*leaves.values()])])
    for one, other in zip(*both, strict=True):
        DOUBLE.assert_close(one, other)


def test_complex_images_are_their_parts(device):
    image = torch.complex(randn(1, 2, 12, 9), randn(1, 2, 12, 9, seed=1)).to(device)
    theta = scaling(0.9, 0.8).double().to(device)
    output = antialiased(image, theta, (2, 3), fill_value=1 - 2j)
    parts = [antialiased(part, theta, (2, 3), fill_value=fill) for part, fill in ((image.real, 1.0), (image.imag, -2.0))]
    EXACT.assert_close(output, torch.complex(*parts))


@pytest.mark.parametrize("dtype", (torch.float16, torch.bfloat16), ids=str)
def test_16_bit_images_are_float32s_rounded_once(dtype, device):
    """From level 2 on: copies of the image are in float32."""
    image, theta = randn(1, 2, 64, 48).to(device, dtype), scaling(1.0, 0.9, shift=0.01).to(device)
    expected = antialiased(image.float(), theta, (9, 8)).to(dtype)
    PARITY[dtype].assert_close(antialiased(image, theta, (9, 8)), expected)
    assert antialiased(image, theta.to(dtype), (9, 8)).dtype == dtype
    leaf = image.clone().requires_grad_()
    antialiased(leaf, theta, (9, 8)).float().sum().backward()
    assert leaf.grad.dtype == dtype and leaf.grad.isfinite().all()


@pytest.mark.parametrize("padding_mode", ("zeros", "fill"))
@pytest.mark.parametrize("fill_shape", [(), (2,), (1, 2)], ids=str)
def test_fill_is_zeros_of_the_image_less_the_fill_and_the_fill_added(fill_shape, padding_mode, device):
    image, theta = randn(1, 2, 12, 9).to(device), scaling(1.7, 1.5, shift=0.3).double().to(device)
    fill = torch.linspace(-2, 3, math.prod(fill_shape), dtype=torch.float64, device=device).reshape(fill_shape).requires_grad_()
    offset = fill.reshape(*[1] * (2 - fill.dim()), *fill.shape, 1, 1)
    expected = antialiased(image - offset, theta, (3, 4)) + offset
    output = antialiased(image, theta, (3, 4), padding_mode=padding_mode, fill_value=fill)
    DOUBLE.assert_close(output, expected)
    DOUBLE.assert_close(*(torch.autograd.grad(result.square().sum(), fill)[0] for result in (output, expected)))


@pytest.mark.parametrize("dims, memory_format", [(2, torch.channels_last), (3, torch.channels_last_3d)], ids=str)
def test_channels_last_is_kept(dims, memory_format, device):
    image = randn(2, 3, *(9, 8, 10)[:dims], dtype=torch.float32).to(device)
    theta = scaling(*[1.0] * dims).to(device)
    results = []
    for given in (image, image.to(memory_format=memory_format)):
        leaf = given.clone().requires_grad_()
        output = antialiased(leaf, theta, [4] * dims)
        results.append((output, *torch.autograd.grad(output.square().sum(), leaf)))
    assert all(result.is_contiguous() for result in results[0])
    assert all(result.is_contiguous(memory_format=memory_format) for result in results[1])
    for one, other in zip(*results, strict=True):
        PARITY[torch.float32].assert_close(one, other)


@pytest.mark.parametrize(
    "in_shape, batch", [((0, 3, 8, 9), 0), ((0, 3, 8, 9), 1), ((1, 3, 8, 9), 0), ((2, 0, 8, 9), 2)], ids=str)
@pytest.mark.parametrize("transform", SAMPLERS)
def test_empty_batches_and_no_channels(transform, in_shape, batch, device):
    image = torch.zeros(in_shape, device=device, requires_grad=True)
    theta = torch.eye(3, device=device)[: 2 if transform == "affine" else 3].expand(batch, -1, -1).clone().requires_grad_()
    output = SAMPLERS[transform](image, theta, (3, 2), antialias=True)
    assert output.shape == (min(in_shape[0], batch), in_shape[1], 3, 2)
    grads = torch.autograd.grad(output.sum(), (image, theta))
    assert [grad.shape for grad in grads] == [image.shape, theta.shape] and not any(grad.any() for grad in grads)


def test_an_image_of_one_pixel_has_nothing_to_average(device):
    image, theta = randn(1, 2, 1, 1).to(device), scaling(3.0, 2.0, shift=0.2).double().to(device)
    for align_corners in (False, True):
        options = {"size": (2, 3), "align_corners": align_corners}
        EXACT.assert_close(antialiased(image, theta, **options), stn_cuda.affine_sample(image, theta, **options))


@pytest.mark.usefixtures("fresh_dynamo")
def test_under_vmap_forward_mode_and_compile(device):
    image, theta = randn(3, 1, 2, 9, 12).to(device), torch.tensor(THETAS[2], dtype=torch.float64, device=device)[:1, :2]
    thetas = torch.stack([theta, theta * 0.9, theta * 1.2])

    def sample(image, theta):
        return antialiased(image, theta, (2, 3))

    expected = torch.stack([sample(*one) for one in zip(image, thetas)])
    DOUBLE.assert_close(torch.func.vmap(sample)(image, thetas), expected)
    DOUBLE.assert_close(torch.compile(sample, fullgraph=True, backend="aot_eager")(image[0], theta), expected[0])
    _, tangent = torch.func.jvp(sample, (image[0], theta), (image[1], theta))
    by_hand = torch.func.jacrev(sample, (0, 1))(image[0], theta)
    parts = [jacobian.flatten(4).flatten(0, 3) @ v.flatten() for jacobian, v in zip(by_hand, (image[1], theta))]
    DOUBLE.assert_close(tangent.flatten(), sum(parts))


@pytest.mark.parametrize("transform", SAMPLERS)
@pytest.mark.parametrize("value", (1, None, "yes"), ids=str)
def test_antialias_that_is_no_bool_is_refused(value, transform):
    theta = torch.eye(3)[None, : 2 if transform == "affine" else 3]
    with pytest.raises(TypeError, match=f"{transform}_sample.*antialias.*bool.*{type(value).__name__}"):
        SAMPLERS[transform](torch.zeros(1, 1, 4, 4), theta, antialias=value)
