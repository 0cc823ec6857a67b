"""grid_sample against other libraries' samplers: scipy.ndimage.map_coordinates, and OpenCV's remap where it is installed."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from cases import Case, coordinates_anywhere, coordinates_between_kinks
from tolerances import OPENCV, OPENCV_PIXELS, SCIPY
from torch import Tensor

import stn_cuda

ndimage = pytest.importorskip("scipy.ndimage")
try:
    import cv2

    WITHOUT_OPENCV = ""
except ImportError as error:
    WITHOUT_OPENCV = f"OpenCV isn't there ({error}): pip install opencv-python-headless"

CVAL = -1.75
PADDINGS = ("zeros", "fill", "border", "reflection", "circular")
CONVENTIONS = ("pixel", "edges", "centres")
IN_SIZE, OUT_SIZE = (4, 5, 7), (3, 6, 11)
SCIPY_ORDER = {"bilinear": 1, "nearest": 0}
SCIPY_MODE = {"zeros": "grid-constant", "fill": "grid-constant", "border": "nearest", "circular": "grid-wrap"}


def sample(image: Tensor, pixels: list[Tensor], mode: str, padding: str, convention: str) -> Tensor:
    """Ours, at ``pixels``, one tensor (*out) an axis in the order (x, y[, z])."""
    fill = {"fill_value": CVAL} if padding == "fill" else {}
    columns = [column[None] for column in pixels]
    if convention == "pixel":
        grid, meaning = torch.stack(columns, -1), {"coordinates": "pixel"}
    else:
        centres = convention == "centres"
        grid = Case(image.dim() - 2, mode, padding, centres).normalize(columns, image.shape[2:])
        meaning = {"align_corners": centres}
    return stn_cuda.grid_sample(image, grid.to(image), mode, padding, **meaning, **fill)


def tensors(dims: int, draw, device, dtype=torch.float64) -> tuple[Tensor, list[Tensor]]:
    generator = torch.Generator().manual_seed(dims)
    image = torch.randn(1, 2, *IN_SIZE[-dims:], generator=generator, dtype=torch.float64)
    pixels = [draw(OUT_SIZE[-dims:], size, generator) for size in reversed(IN_SIZE[-dims:])]
    return image.to(device, dtype), [column.to(device) for column in pixels]


@pytest.mark.parametrize("convention", CONVENTIONS)
@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize("mode", SCIPY_ORDER)
@pytest.mark.parametrize("dims", (1, 2, 3))
def test_values_equal_scipys(dims, mode, padding, convention, device):
    """Random coordinates up to an image beyond each end; none of them is a tie, where roundings differ."""
    image, pixels = tensors(dims, coordinates_anywhere, device)
    actual = sample(image, pixels, mode, padding, convention)
    about_centres = convention == "centres"
    scipys = ("mirror" if about_centres else "reflect") if padding == "reflection" else SCIPY_MODE[padding]
    for channel, values in zip(image[0].cpu().numpy(), actual[0].cpu()):
        expected = ndimage.map_coordinates(
            channel, torch.stack(pixels[::-1]).cpu().numpy(), order=SCIPY_ORDER[mode], mode=scipys,
            cval=CVAL if padding == "fill" else 0.0)
        SCIPY.assert_close(values, torch.from_numpy(expected))


def opencvs(image: Tensor, pixels: list[Tensor], mode: str, padding: str, convention: str) -> Tensor:
    border = {"zeros": cv2.BORDER_CONSTANT, "fill": cv2.BORDER_CONSTANT, "border": cv2.BORDER_REPLICATE,
              "circular": cv2.BORDER_WRAP,
              "reflection": cv2.BORDER_REFLECT_101 if convention == "centres" else cv2.BORDER_REFLECT}[padding]  # fmt: skip
    maps = [column.cpu().numpy().astype(np.float32) for column in pixels]
    flag = {"bilinear": cv2.INTER_LINEAR, "nearest": cv2.INTER_NEAREST}[mode]
    value = CVAL if padding == "fill" else 0.0
    return torch.stack([
        torch.from_numpy(cv2.remap(channel, *maps, flag, borderMode=border, borderValue=value))
        for channel in image[0].cpu().numpy()
    ])  # fmt: skip


@pytest.mark.skipif(bool(WITHOUT_OPENCV), reason=WITHOUT_OPENCV)
@pytest.mark.parametrize("convention", CONVENTIONS)
@pytest.mark.parametrize("where", ("whole_32nds", "anywhere"))
@pytest.mark.parametrize("mode, padding", list(itertools.product(("bilinear", "nearest"), PADDINGS)))
def test_values_equal_opencvs(mode, padding, where, convention, device):
    """remap rounds coordinates to 32nds of a pixel: on those both agree as float32 does, else to that times the slope."""
    draw = coordinates_between_kinks if where == "whole_32nds" else coordinates_anywhere
    image, pixels = tensors(2, draw, device, torch.float32)
    actual = sample(image, pixels, mode, padding, convention)[0].cpu()
    expected = opencvs(image, pixels, mode, padding, convention)
    if where == "whole_32nds" or mode == "nearest":
        return OPENCV.assert_close(actual, expected)
    values = [*image.flatten().tolist(), 0.0, CVAL]
    steepest = 2 * (max(values) - min(values))  # of a pixel to its neighbour, on both axes
    assert (actual - expected).abs().max() <= OPENCV_PIXELS * steepest + OPENCV.atol
