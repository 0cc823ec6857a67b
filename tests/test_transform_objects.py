"""stn_cuda.transforms: what the parameters mean, and that every method of a transform means the same."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from tolerances import BENDING_BY_DIFFERENCES, PARITY
from transform_objects import (
    ALL,
    BASIS,
    BOUNDED,
    CLOSED,
    FAMILIES,
    FUSED,
    SIZES,
    UPRIGHT,
    name,
    output_size,
    some_image,
    some_points,
    some_theta,
)

from stn_cuda import affine_sample, reference
from stn_cuda.transforms import (
    Affine,
    AffineExp,
    Attention,
    Chain,
    Flow,
    Projective,
    Rigid3d,
    Rotation,
    ScaleTranslation,
    Similarity,
    Similarity3d,
    ThinPlateSpline,
    Translation,
)

CLOSE = PARITY[torch.float64]


@pytest.mark.parametrize("transform", ALL, ids=name)
def test_theta_has_as_many_parameters_as_documented(transform, device):
    theta = transform.identity(3, torch.float64, device)
    assert transform.num_params == ALL[transform] and theta.shape == (3, transform.num_params)
    assert theta.dtype == torch.float64 and theta.device.type == device.type
    assert transform.identity().shape[0] == 1 and transform.identity().dtype == torch.float32


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize("transform", FUSED, ids=name)
def test_identity_returns_the_input_bit_for_bit(transform, align_corners, dtype, device):
    image = some_image(transform, device, dtype=dtype)
    theta = transform.identity(2, dtype, device)
    assert torch.equal(transform.sample(image, theta, align_corners=align_corners), image)


@pytest.mark.parametrize("transform", ALL, ids=name)
def test_identity_maps_points_to_themselves_and_has_no_penalty(transform, device):
    theta, points = transform.identity(2, torch.float64, device), some_points(transform, device)
    CLOSE.assert_close(transform.apply_points(theta, points), points)
    CLOSE.assert_close(transform.regularizer(theta), torch.zeros(2, dtype=torch.float64, device=device))


@pytest.mark.parametrize("transform", FAMILIES, ids=name)
def test_parameters_come_back_from_their_matrix(transform, device):
    theta = some_theta(transform, device)
    CLOSE.assert_close(transform.from_matrix(transform.matrix(theta)), theta)
    identity = transform.identity(1, torch.float64, device)
    CLOSE.assert_close(transform.from_matrix(transform.matrix(identity)), identity)


@pytest.mark.parametrize("transform", CLOSED, ids=name)
def test_composition_applies_b_then_a(transform, device):
    a, b, points = some_theta(transform, device), some_theta(transform, device, seed=5), some_points(transform, device)
    composed = transform.compose(a, b)
    expected = transform.apply_points(a, transform.apply_points(b, points))
    CLOSE.assert_close(transform.apply_points(composed, points), expected)
    one = transform.compose(a[:1], b)  # a batch of 1 is for all of the other's
    CLOSE.assert_close(transform.apply_points(one, points), transform.apply_points(a[:1], transform.apply_points(b, points)))


@pytest.mark.parametrize("transform", FAMILIES, ids=name)
def test_inverse_undoes_the_map(transform, device):
    theta, points = some_theta(transform, device), some_points(transform, device)
    CLOSE.assert_close(transform.apply_points(transform.inverse(theta), transform.apply_points(theta, points)), points)
    if transform in CLOSED:
        identity = transform.identity(2, torch.float64, device)
        CLOSE.assert_close(transform.compose(theta, transform.inverse(theta)), identity)


def positions(size, align_corners, device):
    """The normalised positions of an output's pixels: (1, N, d)."""
    like = torch.zeros((), dtype=torch.float64, device=device)
    axes = [reference.base_coordinates(length, like, align_corners) for length in size]
    return torch.stack([*reversed(torch.meshgrid(*axes, indexing="ij"))], -1).reshape(1, -1, len(size))


@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize("transform", ALL, ids=name)
def test_grid_is_where_points_of_the_output_go(transform, align_corners, device):
    theta, size = some_theta(transform, device), output_size(transform)
    grid = transform.grid(theta, size, align_corners)
    points = transform.apply_points(theta, positions(size, align_corners, device), align_corners)
    assert grid.shape == (2, *size, transform.dims)
    CLOSE.assert_close(grid.flatten(1, -2), points)


@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize("transform", ALL, ids=name)
def test_pixel_shows_up_where_points_say(transform, align_corners, device):
    """A single bright pixel, seen by bilinear weights from each location's distance to it."""
    theta, size, in_size = some_theta(transform, device), output_size(transform), SIZES[transform.dims]
    bright = [length // 2 for length in in_size]
    image = torch.zeros(1, 1, *in_size, dtype=torch.float64, device=device)
    image[(0, 0, *bright)] = 1
    points = transform.apply_points(theta, positions(size, align_corners, device), align_corners)
    expected = torch.ones_like(points[..., 0])
    for x, at, length in zip(points.unbind(-1), reversed(bright), reversed(in_size)):
        expected = expected * (1 - (reference.pixel_coordinate(x, length, align_corners) - at).abs()).clamp(min=0)
    actual = transform.sample(image, theta, size, align_corners=align_corners)
    assert expected.max() > 0.1
    CLOSE.assert_close(actual.flatten(1), expected)


@pytest.mark.parametrize("transform, theta, point, expected", [
    (Translation(), [0.5, -0.25], [0.1, 0.2], [0.6, -0.05]),
    (Rotation(), [torch.pi / 2], [1.0, 0.0], [0.0, 1.0]),
    (Attention(), [0.5, 0.1, 0.2], [1.0, -1.0], [0.6, -0.3]),
    (ScaleTranslation(), [0.5, 2.0, 0.1, 0.2], [1.0, -1.0], [0.6, -1.8]),
    (Similarity(), [torch.pi / 2, 0.6931471805599453, 0.0, 1.0], [1.0, 0.0], [0.0, 3.0]),
    (Rigid3d(), [0.0, 0.0, torch.pi / 2, 0.0, 0.0, 1.0], [1.0, 0.0, 0.0], [0.0, 1.0, 1.0]),
    (Rigid3d(), [torch.pi / 2, 0.0, 0.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]),
    (Chain(Rotation(), Translation()), [torch.pi / 2, 1.0, 0.0], [0.0, 0.0], [0.0, 1.0]),
    (Chain(Translation(), Rotation()), [1.0, 0.0, torch.pi / 2], [0.0, 0.0], [1.0, 0.0]),
], ids=str)  # fmt: skip
def test_parameters_mean_what_is_documented(transform, theta, point, expected, device):
    theta, point, expected = (torch.tensor([value], dtype=torch.float64, device=device) for value in (theta, point, expected))
    CLOSE.assert_close(transform.apply_points(theta, point[None])[0], expected)


@pytest.mark.parametrize("angle", [0.0, 1e-9, 1e-3, 0.1, 0.11, 2.0, 3.0, 3.14159])
@pytest.mark.parametrize("transform", [Rotation(), Rigid3d(), Similarity3d(), AffineExp()], ids=name)
def test_angles_come_back_from_small_ones_to_half_a_turn(transform, angle, device):
    axis = torch.tensor([2.0, -3.0, 6.0], dtype=torch.float64, device=device) / 7 * angle
    theta = transform.identity(1, torch.float64, device)
    if transform.dims == 3:
        theta[:, :3] = axis
    elif transform == AffineExp():
        theta[:, 1], theta[:, 3] = -angle, angle
    else:
        theta[:] = angle
    matrix = transform.matrix(theta)
    block = matrix[0, :, :-1]
    CLOSE.assert_close(block @ block.T, torch.eye(transform.dims, dtype=torch.float64, device=device))
    CLOSE.assert_close(transform.from_matrix(matrix), theta)
    cosine = torch.tensor(angle, dtype=torch.float64, device=device).cos()
    CLOSE.assert_close(block.trace(), transform.dims - 2 + 2 * cosine)


def test_matrix_without_a_logarithm_has_no_parameters(device):
    mirrored = torch.tensor([[[-1.0, 0.0, 0.0], [0.0, 1.0, 0.0]], [[-1.0, 0.0, 0.0], [0.0, -2.0, 0.0]]], device=device)
    assert not AffineExp().from_matrix(mirrored)[:, :2].isfinite().any()


def test_singular_maps_have_inverses_that_are_not_finite(device):
    assert not Affine().inverse(torch.zeros(1, 6, device=device)).isfinite().any()
    assert not Attention().inverse(torch.zeros(1, 3, device=device)).isfinite().any()


def test_homography_has_no_coordinate_at_infinity(device):
    theta = Projective().identity(1, torch.float64, device)
    theta[:, 6] = 1
    points = Projective().apply_points(theta, torch.tensor([[[-1.0, 0.5], [1.0, 0.5]]], dtype=torch.float64, device=device))
    assert points[0, 0].isnan().all() and points[0, 1].isfinite().all()


def test_bounded_spline_reads_inside_the_input(device):
    points = BOUNDED.points(100 * some_theta(BOUNDED, device))
    assert points.abs().max() <= 1 and points.shape == (2, 9, 2)


def test_bending_energy_is_the_integral_of_second_derivatives(device):
    """By finite differences over a square so wide that what is outside of it hardly counts."""
    spline = ThinPlateSpline((3, 3))
    theta = some_theta(spline, device, batch=1)
    count, extent = 1200, 12.0
    step = 2 * extent / count
    f = spline.apply_points(theta, positions((count, count), False, device) * extent).reshape(count, count, 2)
    xx, yy = f.diff(n=2, dim=1) / step**2, f.diff(n=2, dim=0) / step**2
    xy = f.diff(dim=0).diff(dim=1) / step**2
    energy = (xx.square().sum() + yy.square().sum() + 2 * xy.square().sum()) * step**2
    BENDING_BY_DIFFERENCES.assert_close(spline.regularizer(theta)[0], energy)
    affine = spline.identity(1, torch.float64, device).reshape(1, -1, 2) @ torch.tensor([[0.3, 0.1], [-0.2, 2.0]]).to(theta)
    CLOSE.assert_close(spline.regularizer(affine.flatten(1)), torch.zeros(1).to(theta))


def test_regularizers_are_what_is_documented(device):
    theta = torch.tensor([[1.0, 0.5, 0.0, 0.0, 3.0, 0.0]], dtype=torch.float64, device=device)
    penalty = torch.tensor([(0.25 + 4.0) / 6], dtype=torch.float64, device=device)
    CLOSE.assert_close(Affine().regularizer(theta), penalty)
    CLOSE.assert_close(Chain(Affine(), Affine()).regularizer(torch.cat([theta, theta], 1)), 2 * penalty)
    flow = torch.tensor([[0.0, 1.0, 3.0, 0.0, 0.0, 2.0]], device=device)  # (1, 3): x, then y
    assert Flow((1, 3)).regularizer(flow).tolist() == [(1.0 + 4.0 + 4.0) / 6]


def test_constrained_keeps_the_identity_s_entries(device):
    theta = torch.tensor([[0.5, 0.1, 2.0, 0.2]], device=device)
    whole = torch.tensor([[0.5, 0.0, 0.1, 0.0, 2.0, 0.2]], device=device)
    assert torch.equal(UPRIGHT.expand(theta), whole)
    assert torch.equal(UPRIGHT.matrix(theta), Affine().matrix(whole))
    assert torch.equal(UPRIGHT.from_matrix(Affine().matrix(whole)), theta)


def test_options_of_the_sampler_are_passed_on(device):
    image, theta = some_image(Affine(), device), some_theta(Affine(), device)
    options = dict(mode="bicubic", padding_mode="fill", align_corners=True, fill_value=0.5, antialias=True)
    assert torch.equal(
        Affine().sample(image, theta, (3, 4), **options), affine_sample(image, theta.reshape(2, 2, 3), (3, 4), **options))


@pytest.mark.parametrize("transform", ALL, ids=name)
def test_copies_and_pickles_are_equal(transform):
    for other in (copy.deepcopy(transform), pickle.loads(pickle.dumps(transform)), copy.copy(transform)):
        assert other == transform and hash(other) == hash(transform) and repr(other) == repr(transform)


def test_transforms_that_differ_are_not_equal():
    assert len(set(ALL)) == len(ALL)
    assert ThinPlateSpline() != ThinPlateSpline(span=0.9) and ThinPlateSpline(BASIS) == ThinPlateSpline(BASIS)
