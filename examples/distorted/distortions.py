"""The distorted data sets of Jaderberg et al. 2015: MNIST digits warped onto a canvas, made on the fly on any device.

What is random is drawn with numpy on the CPU, from a seed; what has pixels is done on the digits' device by ``stn_cuda``. So a
seed means the same canvases on CPU and CUDA, to the rounding of a sample.

Every warp maps the canvas to the digit's image, both in normalised coordinates with ``align_corners=False``.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from stn_cuda.transforms import Affine, Attention, Projective, ThinPlateSpline, Transform

from .geometry import DIGIT, ink_radius, inverse_of_quadrilateral, is_proper, placement, window

Parameters = dict[str, Tensor]  # on the CPU; the first axis is the batch


@dataclass(frozen=True)
class Digits:
    """Undistorted: images ``(N, 1, 28, 28)`` and labels ``(N,)`` on one device, radii ``(N,)`` of their ink on the CPU."""

    images: Tensor
    labels: Tensor
    radii: Tensor

    @classmethod
    def of(cls, images: Tensor, labels: Tensor, device: torch.device | str = "cpu") -> Digits:
        """From images ``(N, 28, 28)`` and labels on the CPU."""
        return cls(images[:, None].to(device), labels.to(device), ink_radius(images))

    def __len__(self) -> int:
        return len(self.labels)


class Distortion(ABC):
    """A recipe: ``draw`` is all that is random, ``warp`` the pixels.

    Attributes: ``name``, the paper's; ``canvas``, the side of the square canvas in pixels.
    """

    name: str
    canvas: int

    @abstractmethod
    def draw(self, digits: Digits, chosen: Tensor, random: np.random.Generator) -> Parameters:
        """What is random about these digits, given by their indices ``(B,)``, on the CPU."""

    @abstractmethod
    def warp(self, digits: Digits, chosen: Tensor, parameters: Parameters) -> Tensor:
        """Canvases ``(B, 1, canvas, canvas)`` on the device of ``digits``."""

    def _sample(self, transform: Transform, digits: Digits, chosen: Tensor, theta: Tensor) -> Tensor:
        device = digits.images.device
        return transform.sample(digits.images[chosen.to(device)], theta.to(device), (self.canvas, self.canvas))


class Rotated(Distortion):
    """R: turned by up to 90 degrees either way."""

    name, canvas = "R", DIGIT
    max_rotation = math.radians(90)

    def draw(self, digits: Digits, chosen: Tensor, random: np.random.Generator) -> Parameters:
        angle = self.max_rotation * uniform(random, -1, 1, len(chosen))
        return {"theta": placement(angle, torch.ones_like(angle), torch.zeros(len(chosen), 2), self.canvas)}

    def warp(self, digits: Digits, chosen: Tensor, parameters: Parameters) -> Tensor:
        return self._sample(Affine(), digits, chosen, parameters["theta"])


class RotatedScaledTranslated(Rotated):
    """RTS: turned by up to 45 degrees, scaled by 0.7 to 1.2, and anywhere: uniformly where the disc around the ink fits."""

    name, canvas = "RTS", 42
    max_rotation = math.radians(45)
    scales = 0.7, 1.2

    def draw(self, digits: Digits, chosen: Tensor, random: np.random.Generator) -> Parameters:
        angle = self.max_rotation * uniform(random, -1, 1, len(chosen))
        scale = uniform(random, *self.scales, len(chosen))
        room = (self.canvas / 2 - scale * digits.radii[chosen]).clamp(min=0)
        shift = uniform(random, -1, 1, len(chosen), 2) * room[:, None]
        return {"theta": placement(angle, scale, shift, self.canvas)}


class Projected(Distortion):
    """P: scaled by 0.75 to 1, and each corner of the digit's image moved by N(0, 5 pixels).

    Of such quadrilaterals those are kept that are convex and keep all of the canvas in front of the horizon: a homography has
    w = 0 there, infinite coordinates, and shows the digit again behind it.
    """

    name, canvas = "P", 42
    scales = 0.75, 1.0
    deviation = 5.0
    tries = 16  # of which about three quarters succeed
    min_w = 0.05  # on the canvas, where w is 1 in the middle

    def draw(self, digits: Digits, chosen: Tensor, random: np.random.Generator) -> Parameters:
        scale = uniform(random, *self.scales, len(chosen))
        corners = torch.tensor([[-1.0, -1.0], [1.0, -1.0], [1.0, 1.0], [-1.0, 1.0]]) * (DIGIT / self.canvas)
        corners = corners * scale[:, None, None]  # [B, 4, 2], normalised on the canvas
        noise = normal(random, self.deviation * 2 / self.canvas, len(chosen), self.tries, 4, 2)
        noise[:, -1] = 0  # the last try succeeds
        theta = inverse_of_quadrilateral(corners[:, None] + noise)  # [B, tries, 3, 3]
        accepted = is_proper(corners[:, None] + noise, theta, self.min_w)
        first = accepted.int().argmax(1)
        return {"theta": theta[torch.arange(len(chosen)), first].flatten(1)[:, :8]}

    def warp(self, digits: Digits, chosen: Tensor, parameters: Parameters) -> Tensor:
        return self._sample(Projective(), digits, chosen, parameters["theta"])


class Elastic(Distortion):
    """E: scaled by 0.75 to 1, and bent by a thin plate spline whose 4 x 4 control points, over the digit, move by N(0, 1.5)."""

    name, canvas = "E", 42
    scales = 0.75, 1.0
    deviation = 1.5  # pixels
    spline = ThinPlateSpline((4, 4), span=DIGIT / 42)

    def draw(self, digits: Digits, chosen: Tensor, random: np.random.Generator) -> Parameters:
        scale = uniform(random, *self.scales, len(chosen))
        moved = self.spline.identity() + normal(random, self.deviation * 2 / self.canvas, len(chosen), 32)
        return {"theta": moved * (self.canvas / DIGIT) / scale[:, None]}

    def warp(self, digits: Digits, chosen: Tensor, parameters: Parameters) -> Tensor:
        return self._sample(self.spline, digits, chosen, parameters["theta"])


class TranslatedCluttered(Distortion):
    """TC: anywhere on a large canvas, among six 6 x 6 pieces of other digits."""

    name, canvas = "TC", 60
    pieces, piece = 6, 6

    def draw(self, digits: Digits, chosen: Tensor, random: np.random.Generator) -> Parameters:
        count = len(chosen)
        room = (self.canvas / 2 - digits.radii[chosen]).clamp(min=0)
        shift = uniform(random, -1, 1, count, 2) * room[:, None]
        zeros = torch.zeros(count)
        return {
            "theta": placement(zeros, zeros + 1, shift, self.canvas),
            "others": torch.from_numpy(random.integers(len(digits), size=(count, self.pieces))),
            "cut": pixels(random, DIGIT - self.piece + 1, count, self.pieces, 2),
            "put": pixels(random, self.canvas - self.piece + 1, count, self.pieces, 2),
        }

    def warp(self, digits: Digits, chosen: Tensor, parameters: Parameters) -> Tensor:
        canvases = self._sample(Affine(), digits, chosen, parameters["theta"])
        device, others = canvases.device, parameters["others"].flatten()
        cut = window(parameters["cut"].flatten(0, 1), self.piece, DIGIT).to(device)
        put = Attention().inverse(window(parameters["put"].flatten(0, 1), self.piece, self.canvas)).to(device)
        pieces = Attention().sample(digits.images[others.to(device)], cut, (self.piece, self.piece), mode="nearest")
        clutter = Attention().sample(pieces, put, (self.canvas, self.canvas), mode="nearest")
        return torch.maximum(canvases, clutter.view(-1, self.pieces, self.canvas, self.canvas).amax(1, keepdim=True))


DISTORTIONS: dict[str, Distortion] = {
    distortion.name: distortion
    for distortion in (Rotated(), RotatedScaledTranslated(), Projected(), Elastic(), TranslatedCluttered())
}


# Random numbers


def uniform(random: np.random.Generator, low: float, high: float, *shape: int) -> Tensor:
    return torch.from_numpy(random.uniform(low, high, shape)).float()


def normal(random: np.random.Generator, deviation: float, *shape: int) -> Tensor:
    return torch.from_numpy(random.normal(0, deviation, shape)).float()


def pixels(random: np.random.Generator, end: int, *shape: int) -> Tensor:
    return torch.from_numpy(random.integers(end, size=shape)).float()
