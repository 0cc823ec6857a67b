"""The distorted digits of examples/distorted: recipes, and canvases beside scipy's. P has a file of its own."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from digits_on_canvases import SEED, canvases_of, drawn, seen, some_digits
from distorted.distortions import DISTORTIONS, Digits, Elastic, TranslatedCluttered
from distorted.geometry import ink_radius, placement
from tolerances import EXACT, ON_CANVAS
from torch import Tensor

EVERY = pytest.mark.parametrize("name", DISTORTIONS)
FEW = 8


@pytest.fixture
def scipy():
    return pytest.importorskip("scipy", reason="scipy judges the canvases")


def middle_of_canvas(theta: Tensor) -> Tensor:
    """[B, 6] -> [B, 2]: in the digit's pixels, from its middle."""
    return theta.view(-1, 2, 3)[:, :, 2] * 14


def scale_of(theta: Tensor, canvas: int) -> Tensor:
    return (canvas / 28) / torch.linalg.det(theta.view(-1, 2, 3)[:, :, :2]).sqrt()


def angle_of(theta: Tensor) -> Tensor:
    """In degrees."""
    return torch.rad2deg(torch.atan2(theta[:, 1], theta[:, 0]))


# All recipes


@EVERY
def test_canvases_are_squares_of_the_papers_size_in_the_range_of_the_digits(name, device):
    canvases = canvases_of(DISTORTIONS[name], some_digits(200, device))
    side = {"R": 28, "RTS": 42, "P": 42, "E": 42, "TC": 60}[name]
    assert canvases.shape == (200, 1, side, side) and canvases.dtype == torch.float32
    assert canvases.isfinite().all() and canvases.min() >= 0 and canvases.max() <= 1
    assert (canvases.sum(dim=(1, 2, 3)) > 5).all()


@EVERY
def test_same_seed_same_canvases_bit_for_bit_and_another_seed_others(name, device):
    digits = some_digits(FEW, device)
    canvases = canvases_of(DISTORTIONS[name], digits)
    assert torch.equal(canvases, canvases_of(DISTORTIONS[name], digits))
    others = canvases_of(DISTORTIONS[name], digits, SEED + 1)
    assert (canvases != others).flatten(1).any(1).all()
    assert (canvases[:-1] != canvases[1:]).flatten(1).any(1).all()


@EVERY
def test_what_is_random_is_drawn_on_the_cpu_alike_for_every_device(name, device):
    digits, there = some_digits(FEW), some_digits(FEW, device)
    of_cpu, of_device = drawn(DISTORTIONS[name], digits), drawn(DISTORTIONS[name], there)
    assert of_cpu.keys() == of_device.keys()
    assert all(torch.equal(of_cpu[key], of_device[key]) and of_device[key].device.type == "cpu" for key in of_cpu)
    ON_CANVAS.assert_close(canvases_of(DISTORTIONS[name], there).cpu(), canvases_of(DISTORTIONS[name], digits))


# R, RTS: turned, scaled and shifted


def test_placement_turns_scales_then_shifts(scipy, device):
    digits, random = some_digits(FEW, device), np.random.default_rng(SEED)
    angle, scale, shift = random.uniform(-3, 3, FEW), random.uniform(0.5, 1.5, FEW), random.uniform(-9, 9, (FEW, 2))
    theta = placement(*(torch.from_numpy(values).float() for values in (angle, scale, shift)), 42)
    canvases = DISTORTIONS["RTS"].warp(digits, torch.arange(FEW), {"theta": theta})
    for i in range(FEW):
        cos, sin = math.cos(angle[i]), math.sin(angle[i])
        turn = scale[i] * np.array([[cos, -sin], [sin, cos]])
        expected = seen(digits.images[i, 0], 42, lambda at, i=i, turn=turn: (at - shift[i]) @ np.linalg.inv(turn).T)
        ON_CANVAS.assert_close(canvases[i, 0].cpu().double(), expected)


def test_rotations_are_uniform_within_90_degrees_about_the_middle():
    theta = drawn(DISTORTIONS["R"], some_digits(2000))["theta"]
    assert (middle_of_canvas(theta) == 0).all()
    ON_CANVAS.assert_close(scale_of(theta, 28), torch.ones(2000))
    quarters = torch.histc(angle_of(theta), 4, -90, 90)
    assert quarters.sum() == 2000 and quarters.min() > 430  # of 500; three and a half standard deviations


def test_rts_keeps_the_ink_on_the_canvas_and_its_amount():
    digit = torch.zeros(28, 28)
    digit[4:24, 9:19] = 1  # as long as MNIST's digits get, off the middle
    digits = Digits.of(digit.expand(500, 28, 28), torch.zeros(500).long())
    theta, canvases = drawn(DISTORTIONS["RTS"], digits)["theta"], canvases_of(DISTORTIONS["RTS"], digits)
    scale = scale_of(theta, 42)
    assert 0.7 <= scale.min() < 0.72 and 1.18 < scale.max() <= 1.2
    ink = canvases.sum(dim=(1, 2, 3)) / (scale.square() * digit.sum())
    assert ink.min() > 0.95 and ink.max() < 1.05

    # The disc around the ink stays inside wherever it lands, and it lands at every side.
    centre = middle_of_canvas(theta)
    assert centre.amin(dim=0).max() < -3 and centre.amax(dim=0).min() > 3
    angle = angle_of(theta)
    assert -45 <= angle.min() < -43 and 43 < angle.max() <= 45


def test_rts_centres_ink_that_reaches_the_corners():
    digits = Digits.of(torch.ones(200, 28, 28), torch.zeros(200).long())
    theta = drawn(DISTORTIONS["RTS"], digits)["theta"]
    no_room = scale_of(theta, 42) * (13.5 * math.sqrt(2) + 1) > 21
    assert 0 < no_room.sum() < 200
    centre = middle_of_canvas(theta)
    assert (centre[no_room] == 0).all() and (centre[~no_room] != 0).all()


def test_ink_radius_is_that_of_the_outermost_pixel_and_one_more():
    images = torch.zeros(3, 28, 28)
    images[1, 13, 20] = 0.1
    images[2, 0, 0] = images[2, 14, 14] = 1
    ON_CANVAS.assert_close(ink_radius(images), torch.tensor([1, 1 + math.hypot(0.5, 6.5), 1 + math.hypot(13.5, 13.5)]))


# E: bent


def test_bent_canvases_equal_scipys_thin_plate_spline(scipy, device):
    from scipy.interpolate import RBFInterpolator

    digits = some_digits(FEW, device)
    theta = drawn(DISTORTIONS["E"], digits)["theta"]
    canvases = DISTORTIONS["E"].warp(digits, torch.arange(FEW), {"theta": theta})
    at = np.linspace(-14, 14, 4)  # pixels of the canvas, from its middle
    control = np.array([[x, y] for y in at for x in at])
    for i in range(FEW):
        reads = theta[i].view(16, 2).double().numpy() * 14  # pixels of the digit
        spline = RBFInterpolator(control, reads, kernel="thin_plate_spline", degree=1)
        ON_CANVAS.assert_close(canvases[i, 0].cpu().double(), seen(digits.images[i, 0], 42, spline))


def test_control_points_move_by_1_and_a_half_pixels_after_the_scale():
    class ElasticAtFullSize(Elastic):
        scales = 1.0, 1.0

    control = Elastic.spline.identity() * 1.5  # what they read in the digit where nothing is random
    moved = (drawn(ElasticAtFullSize(), some_digits(1000))["theta"] - control) * 14
    assert 1.45 < moved.std() < 1.55 and moved.mean().abs() < 0.05

    class Unbent(Elastic):
        deviation = 0.0

    scale = control / drawn(Unbent(), some_digits(1000))["theta"]
    assert 0.75 - 1e-6 <= scale.min() < 0.76 and 0.99 < scale.max() <= 1 + 1e-6
    assert (scale.amax(1) - scale.amin(1)).max() < 1e-6


# TC: anywhere, among pieces of others


def clutter_of(parameters: dict[str, Tensor], digits: Digits, i: int) -> Tensor:
    """By slices."""
    canvas, others = torch.zeros(60, 60), parameters["others"][i].tolist()
    for other, cut, put in zip(others, parameters["cut"][i].long().tolist(), parameters["put"][i].long().tolist()):
        (left, top), (x, y) = cut, put
        piece = digits.images[other, 0, top : top + 6, left : left + 6].cpu()
        canvas[y : y + 6, x : x + 6] = torch.maximum(canvas[y : y + 6, x : x + 6], piece)
    return canvas


def test_clutter_is_six_pieces_of_other_digits_bit_for_bit(device):
    digits, distortion = some_digits(50, device), TranslatedCluttered()
    parameters = drawn(distortion, digits)
    assert parameters["others"].shape == (50, 6) and parameters["cut"].shape == parameters["put"].shape == (50, 6, 2)
    away = {**parameters, "theta": torch.tensor([[1.0, 0, 9, 0, 1, 9]]).repeat(50, 1)}  # reads beyond the digit throughout
    canvases = distortion.warp(digits, torch.arange(50), away).cpu()
    for i in range(50):
        EXACT.assert_close(canvases[i, 0], clutter_of(parameters, digits, i))


def test_digit_is_shifted_whole_and_joined_to_the_clutter_by_the_maximum(scipy, device):
    digits, distortion = some_digits(FEW, device), TranslatedCluttered()
    parameters = drawn(distortion, digits)
    canvases = distortion.warp(digits, torch.arange(FEW), parameters).cpu()
    for i, middle in enumerate(middle_of_canvas(parameters["theta"]).double().numpy()):
        alone = seen(digits.images[i, 0], 60, lambda at, middle=middle: at + middle)
        assert abs(alone.sum() / digits.images[i].sum().item() - 1) < 1e-6  # nothing is cut off
        ON_CANVAS.assert_close(canvases[i, 0].double(), torch.maximum(alone, clutter_of(parameters, digits, i).double()))


def test_pieces_come_from_everywhere_and_go_everywhere():
    digits = some_digits(1000)
    parameters = drawn(DISTORTIONS["TC"], digits)
    for name, last in (("cut", 28 - 6), ("put", 60 - 6)):
        corner = parameters[name]
        assert torch.equal(corner, corner.round())
        assert corner.amin((0, 1)).tolist() == [0, 0] and corner.amax((0, 1)).tolist() == [last, last]
    assert parameters["others"].unique().numel() > 980  # 1000 * exp(-6) aren't drawn: 2 or 3
    middle = middle_of_canvas(parameters["theta"])
    room = 30 - digits.radii[:, None]
    assert (middle.abs() <= room + 1e-4).all() and (middle.abs() / room).mean() - 0.5 < 0.02
