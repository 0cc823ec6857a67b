"""gradient="linearized" of affine_sample and projective_sample: the gradient of theta from a plane through samples nearby."""

from __future__ import annotations

import itertools

import pytest
import torch
from cases import ALIGN_CORNERS, DIMS, DTYPES, MODES, Case, all_cases
from seen_operators import SeenOperators
from tolerances import EXACT, LINEARIZED, NEAREST_SLOPE, PARITY, RAISED_BY_1024
from warps import SAMPLERS

import stn_cuda
from stn_cuda import _reach

pytestmark = pytest.mark.usefixtures("sums_in_order")

DOUBLE = PARITY[torch.float64]
IN_SIZE, OUT_SIZE = (9, 11, 12), (3, 4, 5)  # (D, H, W); the last dims of them
BATCHES = [(2, 2), (1, 2), (2, 1)]  # of images and thetas
every_transform = pytest.mark.parametrize("transform", SAMPLERS)
every_dims = pytest.mark.parametrize("dims", DIMS)
both_corners = pytest.mark.parametrize("align_corners", ALIGN_CORNERS, ids=("edges", "centres"))


def normal(*shape, seed=0, dtype=torch.float64, device="cpu"):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(device, dtype)


def theta_near(scale, dims, transform, batch=1, **where):
    """scale times the identity and some of everything else; its last row, where it has one, is near (0, 0, 1)."""
    theta = scale * torch.eye(dims, dims + 1, dtype=torch.float64) + 0.06 * normal(batch, dims, dims + 1)
    if transform == "projective":
        last = torch.eye(dims + 1, dtype=torch.float64)[-1:] + 0.06 * normal(batch, 1, dims + 1, seed=1)
        theta = torch.cat([theta, last], 1)
    return theta.to(**where).requires_grad_()


def linear_image(dims, batch=1, **where):
    """Two channels whose slope is the same everywhere, another one on each axis."""
    size = IN_SIZE[-dims:]
    axes = torch.meshgrid(*(torch.arange(length, dtype=torch.float64) for length in size), indexing="ij")
    channels = [sum(slope * axis for slope, axis in zip(slopes, axes)) for slopes in ((1.0, -0.5, 2.0), (0.25, 3.0, -1.5))]
    return torch.stack(channels).expand(batch, -1, *size).to(**where)


def gradient_of(sampler, image, theta, gradient, seed=2, **options):
    """Of theta, for a random grad_output."""
    output = sampler(image, theta, OUT_SIZE[-(image.dim() - 2) :], gradient=gradient, **options)
    return torch.autograd.grad(output, theta, normal(*output.shape, seed=seed, dtype=output.dtype, device=output.device))[0]


def pixels(theta, in_size, out_size, align_corners):
    """Where theta reads, (N, *out, dims) in pixels, written out."""
    dims = len(in_size)
    ticks = [(2 * torch.arange(length, dtype=torch.float64) + 1 - length) / (length - align_corners) for length in out_size]
    position = torch.stack([*reversed(torch.meshgrid(*ticks, indexing="ij")), torch.ones(out_size, dtype=torch.float64)], -1)
    rows = torch.einsum("nij,...j->n...i", theta, position.to(theta.device))
    coordinates = rows[..., :dims] / rows[..., dims:] if theta.shape[1] > dims else rows
    size = torch.tensor(in_size[::-1], dtype=torch.float64, device=theta.device)
    return (coordinates + 1) / 2 * (size - 1) if align_corners else ((coordinates + 1) * size - 1) / 2


# ---- what stays as it is ------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("antialias", (False, True), ids=("plain", "antialias"))
@every_transform
@pytest.mark.parametrize("case", all_cases(), ids=str)
def test_output_and_the_gradients_of_image_and_fill_are_the_exact_ones_bit_for_bit(case: Case, transform, antialias, device):
    image = normal(2, 3, *IN_SIZE[-case.dims :], device=device).requires_grad_()
    theta = theta_near(1.7, case.dims, transform, 2, device=device)
    fill = None if case.padding_mode == "reflection" else torch.tensor(0.5, dtype=torch.float64, device=device).requires_grad_()
    leaves = [image] if fill is None else [image, fill]
    results, options = [], (OUT_SIZE[-case.dims :], case.mode, case.padding_mode, case.align_corners, fill)
    for gradient in ("exact", "linearized"):
        output = SAMPLERS[transform](image, theta, *options, gradient=gradient, antialias=antialias)
        results.append([output, *torch.autograd.grad(output.pow(2).sum(), leaves)])
    for exact, linearized in zip(*results):
        EXACT.assert_close(linearized, exact)


def test_without_a_gradient_of_theta_there_is_nothing_of_it(device):
    image, theta = normal(1, 1, 5, 6, device=device), theta_near(1.0, 2, "affine", device=device)
    with SeenOperators() as seen:
        output = stn_cuda.affine_sample(image.requires_grad_(), theta.detach(), gradient="linearized")
        output.sum().backward()
    assert "Linearized" not in type(output.grad_fn).__name__ and sum("transform_sample" in name for name in seen.names) == 2
    assert stn_cuda.affine_sample(image.detach(), theta.detach(), gradient="linearized").grad_fn is None
    with torch.no_grad():
        assert stn_cuda.affine_sample(image, theta, gradient="linearized").grad_fn is None


@pytest.mark.parametrize("samples", (4, 8, 16))
def test_a_backward_costs_a_forward_a_sample(samples, device):
    theta = theta_near(1.0, 2, "affine", device=device)
    output = stn_cuda.affine_sample(normal(1, 1, 5, 6, device=device), theta, gradient="linearized", samples=samples)
    with SeenOperators() as seen:
        output.sum().backward()
    assert sum("._transform_sample." in name for name in seen.names) == samples


# ---- the slope ----------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("batches", BATCHES, ids=str)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@both_corners
@every_dims
@every_transform
def test_on_a_linear_image_it_is_the_exact_gradient(transform, dims, align_corners, dtype, batches, device):
    """The samples around every location are inside."""
    sampler, options = SAMPLERS[transform], {"align_corners": align_corners}
    image = linear_image(dims, batches[0], dtype=dtype, device=device)
    theta = theta_near(0.3, dims, transform, batches[1], dtype=dtype, device=device)
    exact = gradient_of(sampler, image.double(), theta.detach().double().requires_grad_(), "exact", **options)
    assert exact.abs().min() > 0.01
    for reach, samples in itertools.product((0.3, 1.5), (2 * dims, 12)):
        actual = gradient_of(sampler, image, theta, "linearized", reach=reach, samples=samples, **options)
        assert actual.dtype == dtype
        LINEARIZED[dtype].assert_close(actual.double(), exact)


@pytest.mark.parametrize("padding_mode, fill", [("zeros", None), ("border", None), ("circular", None), ("fill", 3.0)])
@pytest.mark.parametrize("batches", BATCHES, ids=str)
@both_corners
@every_dims
@every_transform
def test_it_is_the_least_squares_slope_of_samples_at_shifted_pixels(
    transform, dims, align_corners, batches, padding_mode, fill, device
):
    """Of random images, also far outside, from a solver's own fit of height and slope to every location's samples."""
    reach, samples = 2.5, 10
    in_size, out_size = IN_SIZE[-dims:], OUT_SIZE[-dims:]
    image = normal(batches[0], 2, *in_size, device=device)
    theta = theta_near(1.5, dims, transform, batches[1], device=device)
    options = {"padding_mode": padding_mode, "fill_value": fill}
    actual = gradient_of(SAMPLERS[transform], image, theta, "linearized", align_corners=align_corners, reach=reach,
                         samples=samples, **options)  # fmt: skip

    half = torch.tensor(_reach.offsets("", dims, reach, samples).points, dtype=torch.float64, device=device)
    offsets = torch.cat([half, -half])
    assert offsets.shape == (samples, dims) and offsets.norm(dim=1).max() <= reach
    grid = pixels(theta, in_size, out_size, align_corners)
    values = torch.stack([stn_cuda.grid_sample(image, grid + offset, coordinates="pixel", **options) for offset in offsets])
    plane = torch.cat([torch.ones_like(offsets[:, :1]), offsets], 1)
    fit = torch.linalg.lstsq(plane, values.detach().flatten(1)).solution
    slope = fit[1:].reshape(dims, *values.shape[1:]).movedim(0, -1)  # (N, C, *out, dims)
    grad_output = normal(*values.shape[1:], seed=2, device=device)
    by_grid = (slope * grad_output[..., None]).sum(1)
    expected = torch.autograd.grad((grid * by_grid).sum(), theta)[0]
    DOUBLE.assert_close(actual, expected)


@pytest.mark.parametrize("mode", MODES)
def test_it_sees_what_is_within_reach_where_the_exact_gradient_is_0(mode, device):
    """Blank pixels are read, with a square 4 pixels to their right: a step towards it is downhill."""
    image = torch.zeros(1, 1, 16, 24, dtype=torch.float64, device=device)
    image[..., 14:22] = 1
    theta = torch.tensor([[[1 / 24, 0.0, -0.125], [0.0, 1 / 16, 0.0]]], dtype=torch.float64, device=device).requires_grad_()

    def by_theta(gradient, **options):
        output = stn_cuda.affine_sample(image, theta, (2, 2), mode, gradient=gradient, **options)
        return torch.autograd.grad((output - 1).pow(2).sum(), theta)[0]

    assert not by_theta("exact").any() and not by_theta("linearized", reach=1.5).any()
    for samples in (4, 8, 16):
        assert by_theta("linearized", reach=8.0, samples=samples)[0, 0, 2] < 0


def test_nearest_has_a_gradient(device):
    """Its exact one is 0. The slope of a linear image's pixels is that of the image, to their steps."""
    image, theta = linear_image(2, device=device), theta_near(0.3, 2, "affine", device=device)
    exact, bilinear, nearest = (
        torch.autograd.grad(stn_cuda.affine_sample(image, theta, (40, 50), mode, gradient=gradient, reach=3.0).sum(), theta)[0]
        for mode, gradient in (("nearest", "exact"), ("bilinear", "exact"), ("nearest", "linearized")))
    assert not exact.any() and (nearest - bilinear).abs().max() < NEAREST_SLOPE * bilinear.abs().max()


@every_transform
def test_a_constant_added_to_the_image_changes_nothing_but_rounding(transform, device):
    image = normal(1, 2, 9, 11, dtype=torch.float32, device=device).mul(64).round() / 64
    theta = theta_near(0.3, 2, transform, dtype=torch.float32, device=device)
    plain, raised = (gradient_of(SAMPLERS[transform], each, theta, "linearized") for each in (image, image + 1024))
    assert (plain - raised).abs().max() < RAISED_BY_1024 * plain.abs().max()


@both_corners
def test_an_axis_of_one_pixel(align_corners, device):
    """Between centres nothing moves along it: its row of the gradient is 0, as the exact one's is."""
    theta = theta_near(0.3, 2, "affine", device=device)
    gradient = gradient_of(stn_cuda.affine_sample, normal(1, 1, 1, 9, device=device), theta, "linearized",
                           align_corners=align_corners)  # fmt: skip
    assert gradient.isfinite().all() and gradient[0, 0].all() and bool(gradient[0, 1].any()) != align_corners


def test_where_a_homography_has_no_coordinate_the_gradient_is_finite(device):
    theta = torch.tensor([[[1.0, 0, 0], [0, 1, 0], [0, 0, 0]]], dtype=torch.float64, device=device).requires_grad_()
    for padding_mode in ("zeros", "border"):
        gradient = gradient_of(stn_cuda.projective_sample, normal(1, 1, 5, 6, device=device), theta, "linearized",
                               padding_mode=padding_mode)  # fmt: skip
        assert not gradient.any()


@every_transform
def test_it_is_the_same_bits_every_time(transform, device):
    image = normal(3, 2, 40, 50, dtype=torch.float32, device=device)
    theta = theta_near(1.2, 2, transform, dtype=torch.float32, device=device)
    first, again = (gradient_of(SAMPLERS[transform], image, theta, "linearized", reach=4.0) for _ in range(2))
    EXACT.assert_close(again, first)


# ---- dtypes -------------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("dtype", (torch.float16, torch.bfloat16), ids=str)
@every_transform
def test_a_16_bit_image_is_computed_in_float32(transform, dtype, device):
    """With a float32 theta; one of 16 bits has its gradient rounded once."""
    image = normal(2, 2, 9, 11, dtype=dtype, device=device)
    theta = theta_near(0.5, 2, transform, 2, dtype=dtype, device=device)
    wide = theta.detach().float().requires_grad_()
    sampler = SAMPLERS[transform]
    output = sampler(image, wide, gradient="linearized")
    cotangent = normal(*output.shape, dtype=dtype, device=device)
    actual = torch.autograd.grad(output, wide, cotangent)[0]
    expected = torch.autograd.grad(sampler(image.float(), wide, gradient="linearized"), wide, cotangent.float())[0]
    assert (output.dtype, actual.dtype) == (dtype, torch.float32)
    PARITY[torch.float32].assert_close(actual, expected)
    narrow = torch.autograd.grad(sampler(image, theta, gradient="linearized"), theta, cotangent)[0]
    PARITY[dtype].assert_close(narrow, expected.to(dtype))


def test_a_complex_image_has_the_gradient_of_its_parts(device):
    real, imag = normal(1, 2, 9, 11, device=device), normal(1, 2, 9, 11, seed=1, device=device)
    theta = theta_near(0.5, 2, "affine", device=device)
    output = stn_cuda.affine_sample(torch.complex(real, imag), theta, (4, 5), gradient="linearized")
    cotangent = torch.complex(normal(1, 2, 4, 5, seed=2, device=device), normal(1, 2, 4, 5, seed=3, device=device))
    parts = [gradient_of(stn_cuda.affine_sample, part, theta, "linearized", seed=seed) for part, seed in ((real, 2), (imag, 3))]
    DOUBLE.assert_close(torch.autograd.grad(output, theta, cotangent)[0], sum(parts))
