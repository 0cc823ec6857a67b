"""Digits for the tests of examples/distorted, and what canvases show of them, by scipy, in pixels and float64."""

from __future__ import annotations

from collections.abc import Callable

import digits as _digits  # noqa: F401  puts examples/ on the path
import numpy as np
import torch
from distorted.distortions import Digits, Distortion, Parameters
from torch import Tensor

SEED = 7
CORNERS = np.array([[-1.0, -1.0], [1.0, -1.0], [1.0, 1.0], [-1.0, 1.0]])  # of [-1, 1]^2, clockwise from the upper left


def some_digits(count: int, device: torch.device | str = "cpu") -> Digits:
    """Grey strokes at random places of the 20 x 20 pixels that MNIST's digits take. The labels are the digits' numbers."""
    random = np.random.default_rng(count)
    images = np.zeros((count, 28, 28), np.float32)
    for image in images:
        for y, x in random.integers(4, 19, (6, 2)):
            height, width = random.permutation([3, random.integers(3, 9)])
            image[y : min(y + height, 24), x : min(x + width, 24)] = random.uniform(0.2, 1)
    return Digits.of(torch.from_numpy(images), torch.arange(count), device)


def drawn(distortion: Distortion, digits: Digits, seed: int = SEED) -> Parameters:
    """For every digit once."""
    return distortion.draw(digits, torch.arange(len(digits)), np.random.default_rng(seed))


def canvases_of(distortion: Distortion, digits: Digits, seed: int = SEED) -> Tensor:
    return distortion.warp(digits, torch.arange(len(digits)), drawn(distortion, digits, seed))


def seen(image: Tensor, canvas: int, position: Callable[[np.ndarray], np.ndarray]) -> Tensor:
    """What a canvas ``(canvas, canvas)`` shows whose pixels at ``(n, 2)``, (x, y) from its middle, read at ``position`` of it.

    That is from the middle of ``image`` ``(S, S)``; both in pixels.
    """
    from scipy.ndimage import map_coordinates

    rows, columns = np.indices((canvas, canvas)) - (canvas - 1) / 2
    x, y = position(np.stack([columns.ravel(), rows.ravel()], 1)).T + (image.shape[-1] - 1) / 2
    padded = np.pad(image.cpu().numpy().astype(np.float64), 1)  # scipy's own zeros begin at once beyond a pixel's centre
    return torch.from_numpy(map_coordinates(padded, [y + 1, x + 1], order=1).reshape(canvas, canvas))


def homography(points: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """``(3, 3)`` that takes four points to four others: its eight equations, solved."""
    rows = []
    for (x, y), (u, v) in zip(points, targets):
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
    return np.append(np.linalg.solve(np.array(rows), targets.ravel()), 1).reshape(3, 3)


def applied(matrix: np.ndarray, points: np.ndarray) -> np.ndarray:
    moved = np.column_stack([points, np.ones(len(points))]) @ matrix.T
    return moved[:, :2] / moved[:, 2:]


def corners_of(theta: Tensor) -> Tensor:
    """``(B, 4, 2)``: where homographies (B, 8) of a canvas put the corners of the digit's image, normalised."""
    matrices = torch.cat([theta, torch.ones(len(theta), 1)], 1).view(-1, 3, 3).double().inverse()
    homogeneous = torch.from_numpy(np.column_stack([CORNERS, np.ones(4)]))
    moved = homogeneous @ matrices.mT
    return moved[..., :2] / moved[..., 2:]
