"""The projected digits of examples/distorted, P: which quadrilaterals are accepted, and canvases beside scipy's."""

from __future__ import annotations

import math
from functools import partial

import pytest
import torch
from digits_on_canvases import CORNERS, applied, corners_of, drawn, homography, seen, some_digits
from distorted.distortions import DISTORTIONS, Projected
from distorted.geometry import inverse_of_quadrilateral, is_proper
from tolerances import ON_CANVAS

P = DISTORTIONS["P"]
FEW = 8
UNDISTURBED = torch.from_numpy(CORNERS) * (28 / 42)  # the digit's image, of its own size


class ProjectedAtFullSize(Projected):
    scales = 1.0, 1.0


def test_homography_takes_the_corners_to_those_of_the_digit():
    corners = torch.rand(50, 4, 2, generator=torch.Generator().manual_seed(0)) * 0.8 + torch.from_numpy(CORNERS).float()
    matrices = inverse_of_quadrilateral(corners)
    assert (matrices[:, 2, 2] == 1).all()
    for matrix, quadrilateral in zip(matrices.double().numpy(), corners.double().numpy()):
        ON_CANVAS.assert_close(torch.from_numpy(applied(matrix, quadrilateral)), torch.from_numpy(CORNERS))


def test_canvases_equal_scipys_by_the_homography_of_their_corners(device):
    pytest.importorskip("scipy", reason="scipy judges the canvases")
    digits = some_digits(FEW, device)
    theta = drawn(P, digits)["theta"]
    canvases = P.warp(digits, torch.arange(FEW), {"theta": theta})
    for i, corners in enumerate(corners_of(theta).numpy() * 21):  # in pixels from the canvas's middle
        matrix = homography(corners, CORNERS * 14)
        ON_CANVAS.assert_close(canvases[i, 0].cpu().double(), seen(digits.images[i, 0], 42, partial(applied, matrix)))


def test_accepted_quadrilaterals_are_convex_and_before_the_horizon():
    theta = drawn(P, some_digits(5000))["theta"]
    assert theta.isfinite().all()
    w = 1 + torch.from_numpy(CORNERS).float() @ theta[:, 6:].T  # at the canvas's corners: it is linear between them
    assert Projected.min_w - 1e-6 <= w.min() < Projected.min_w + 0.02
    corners = corners_of(theta)
    before, after = corners.roll(1, 1) - corners, corners.roll(-1, 1) - corners
    inner = torch.atan2(after[..., 0] * before[..., 1] - after[..., 1] * before[..., 0], (after * before).sum(-1))
    assert (inner > 0).all()  # clockwise, as y points down, and no corner of 180 degrees or more
    assert ((inner.sum(1) - 2 * math.pi).abs() < 1e-9).all()  # once around


def test_noise_of_corners_is_normal_of_5_pixels_less_what_is_rejected():
    theta = drawn(ProjectedAtFullSize(), some_digits(5000))["theta"]
    noise = (corners_of(theta) - UNDISTURBED) * 21
    assert noise.mean((0, 1)).abs().max() < 0.1
    assert 4.7 < noise.std() < 4.95  # 4.82 from 200,000: one try in eight is rejected, those with the most noise
    assert 9 < noise.abs().max() < 30
    scale = corners_of(drawn(P, some_digits(5000))["theta"]).abs().mean() * 42 / 28
    assert 0.85 < scale < 0.95  # U(0.75, 1) has 0.875; rejection favours the large


PLANTED = {  # corners, clockwise from the upper left, and whether they will do
    "square": ([[-0.6, -0.6], [0.6, -0.6], [0.6, 0.6], [-0.6, 0.6]], True),
    "trapezium": ([[-0.5, -0.6], [0.5, -0.6], [0.6, 0.6], [-0.6, 0.6]], True),
    "corner pulled in": ([[-0.6, -0.6], [0.6, -0.6], [-0.3, -0.3], [-0.6, 0.6]], False),
    "mirrored": ([[0.6, -0.6], [-0.6, -0.6], [-0.6, 0.6], [0.6, 0.6]], False),
    "bow tie": ([[-0.6, -0.6], [0.6, 0.6], [0.6, -0.6], [-0.6, 0.6]], False),
    "three on a line": ([[-0.6, -0.6], [0.6, -0.6], [0.6, 0.6], [0.0, 0.0]], False),
    "two in one place": ([[-0.6, -0.6], [-0.6, -0.6], [0.6, 0.6], [-0.6, 0.6]], False),
    "all in one place": ([[0.1, 0.1]] * 4, False),
    "horizon on the canvas": ([[-0.1, -0.6], [0.1, -0.6], [0.6, 0.6], [-0.6, 0.6]], False),
    "no number": ([[float("nan"), -0.6], [0.6, -0.6], [0.6, 0.6], [-0.6, 0.6]], False),
}


@pytest.mark.parametrize("name", PLANTED)
def test_degenerate_quadrilaterals_are_rejected(name):
    corners, is_good = PLANTED[name]
    placed = torch.tensor(corners)[None]
    assert is_proper(placed, inverse_of_quadrilateral(placed), Projected.min_w).tolist() == [is_good]


def test_horizon_is_rejected_for_its_w_alone():
    placed = torch.tensor(PLANTED["horizon on the canvas"][0])[None]
    theta = inverse_of_quadrilateral(placed)
    assert not is_proper(placed, theta, Projected.min_w) and is_proper(placed, theta, -10.0)
    assert theta[0, 2, 2] - theta[0, 2, :2].abs().sum() < 0


def test_last_try_is_the_quadrilateral_without_noise():
    class Hopeless(ProjectedAtFullSize):
        min_w = 0.9999  # no noise leaves that much

    corners = corners_of(drawn(Hopeless(), some_digits(100))["theta"])
    ON_CANVAS.assert_close(corners, UNDISTURBED.expand(100, 4, 2))
    assert is_proper(corners, inverse_of_quadrilateral(corners), Projected.min_w).all()
