"""stn_cuda.transforms: derivatives, and torch's features around them."""

from __future__ import annotations

import pytest
import torch
from tolerances import EXACT, PARITY, SPLINE_BY_DIFFERENCES
from torch.autograd import gradcheck, gradgradcheck
from transform_objects import (
    ALL,
    BOUNDED,
    CLOSED,
    FAMILIES,
    SIZES,
    UPRIGHT,
    name,
    output_size,
    some_image,
    some_points,
    some_theta,
)

from stn_cuda.transforms import (
    Affine,
    Affine3d,
    AffineExp,
    Chain,
    Flow,
    Projective,
    Rigid3d,
    Similarity,
    ThinPlateSpline,
)


@pytest.mark.parametrize("transform", ALL, ids=name)
def test_gradcheck_of_the_grid(transform, device):
    theta = some_theta(transform, device).requires_grad_()
    assert gradcheck(lambda theta: transform.grid(theta, output_size(transform)), theta)


@pytest.mark.parametrize("transform", ALL, ids=name)
def test_gradcheck_of_sampling(transform, device):
    theta = some_theta(transform, device).requires_grad_()
    image = some_image(transform, device).requires_grad_()
    size = output_size(transform)
    assert gradcheck(lambda image, theta: transform.sample(image, theta, size), (image, theta))


@pytest.mark.parametrize("transform", ALL, ids=name)
def test_gradcheck_of_points_and_regularizer(transform, device):
    theta = some_theta(transform, device).requires_grad_()
    points = some_points(transform, device, count=3).requires_grad_()
    assert gradcheck(transform.apply_points, (theta, points))
    assert gradcheck(transform.regularizer, theta)


@pytest.mark.parametrize("transform", FAMILIES, ids=name)
def test_gradcheck_of_parameters_and_their_matrix_and_inverse(transform, device):
    """At the identity too, where many formulas are 0 / 0."""
    for theta in some_theta(transform, device), transform.identity(1, torch.float64, device):
        theta = theta.requires_grad_()
        assert gradcheck(transform.matrix, theta) and gradgradcheck(transform.matrix, theta)
        assert gradcheck(transform.inverse, theta)
        assert gradcheck(transform.from_matrix, transform.matrix(theta.detach()).requires_grad_())


@pytest.mark.parametrize("transform", CLOSED, ids=name)
def test_gradcheck_of_composition(transform, device):
    pair = some_theta(transform, device).requires_grad_(), some_theta(transform, device, seed=5).requires_grad_()
    assert gradcheck(transform.compose, pair)


def test_spline_has_derivatives_on_its_control_points(device):
    spline = ThinPlateSpline((3, 3))
    theta, points = some_theta(spline, device), spline.basis.control_points[None].to(device)
    _, slope = torch.func.jvp(lambda points: spline.apply_points(theta, points), (points,), (torch.ones_like(points),))
    step = 1e-5
    beside = (spline.apply_points(theta, points + step) - spline.apply_points(theta, points - step)) / (2 * step)
    SPLINE_BY_DIFFERENCES.assert_close(slope, beside)


@pytest.mark.parametrize("transform", [
    Affine(), Similarity(), AffineExp(), Projective(), Rigid3d(), BOUNDED, Flow(SIZES[2]), UPRIGHT,
    Chain(Projective(), Affine()), Chain(ThinPlateSpline((3, 3)), Similarity()),
], ids=name)  # fmt: skip
def test_sampling_compiles_without_a_break(transform, device, fresh_dynamo):
    def loss(image, theta):
        return transform.sample(image, theta) + transform.regularizer(theta).mean()

    compiled = torch.compile(loss, fullgraph=True, backend="aot_eager")
    image = some_image(transform, device)
    results = []
    for function in loss, compiled:
        theta = some_theta(transform, device).requires_grad_()
        output = function(image, theta)
        output.square().sum().backward()
        results.append((output.detach(), theta.grad))
    for eager, whole in zip(*results):
        PARITY[torch.float64].assert_close(whole, eager)


@pytest.mark.parametrize("transform", FAMILIES, ids=name)
def test_vmap_of_matrix_and_back(transform, device):
    theta = torch.stack([some_theta(transform, device, seed=seed) for seed in range(3)])
    matrix = torch.func.vmap(transform.matrix)(theta)
    for one, single in zip(matrix, theta):
        PARITY[torch.float64].assert_close(one, transform.matrix(single))
    PARITY[torch.float64].assert_close(torch.func.vmap(transform.from_matrix)(matrix), theta)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("transform", ALL, ids=name)
def test_sixteen_bit_theta_counts_as_float32(transform, dtype, device):
    theta = some_theta(transform, device, dtype=dtype)
    points, image = some_points(transform, device).float(), some_image(transform, device, dtype=torch.float32)
    size = output_size(transform)
    EXACT.assert_close(transform.apply_points(theta, points), transform.apply_points(theta.float(), points))
    EXACT.assert_close(transform.sample(image, theta, size), transform.sample(image, theta.float(), size))
    EXACT.assert_close(transform.sample(image.to(dtype), theta, size), transform.sample(image.to(dtype), theta.float(), size))
    assert transform.grid(theta, size).dtype == torch.float32
    if transform.name in {family.name for family in CLOSED}:
        assert transform.compose(theta, theta).dtype == transform.matrix(theta).dtype == torch.float32


@pytest.mark.parametrize("transform", ALL, ids=name)
def test_autocast_rounds_no_coordinate(transform, device):
    theta, points = some_theta(transform, device, dtype=torch.float32), some_points(transform, device).float()
    size = output_size(transform)

    def results():
        yield transform.grid(theta, size)
        yield transform.apply_points(theta, points)
        if transform in CLOSED:
            yield transform.compose(theta, theta.flip(0))
        if transform in FAMILIES:
            yield transform.inverse(theta)

    expected = list(results())
    with torch.autocast(device.type, dtype=torch.bfloat16):
        for actual, value in zip(results(), expected, strict=True):
            EXACT.assert_close(actual, value)


def test_volumes_and_planes_take_a_batch_of_one_for_all(device):
    for transform in (Affine(), Affine3d(), ThinPlateSpline((2, 2)), Projective()):
        image, theta = some_image(transform, device), some_theta(transform, device)
        both = transform.sample(image[:1].expand_as(image), theta)
        EXACT.assert_close(transform.sample(image[:1], theta), both)
        EXACT.assert_close(transform.sample(image, theta[:1])[0], transform.sample(image[:1], theta[:1])[0])
