"""Every tolerance of the tests, each with its reason. A looser one is a bug report."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Tolerance:
    rtol: float
    atol: float
    reason: str

    def assert_close(self, actual: Tensor, expected: Tensor, equal_nan: bool = False) -> None:
        torch.testing.assert_close(actual, expected, rtol=self.rtol, atol=self.atol, equal_nan=equal_nan)

    def close(self, actual: Tensor, expected: Tensor) -> bool:
        return torch.allclose(actual, expected, rtol=self.rtol, atol=self.atol)


EXACT = Tolerance(0, 0, "the same operations in the same order, or no arithmetic at all")

PARITY = {
    torch.float64: Tolerance(1e-9, 1e-9, "rounding is below 1e-12 on small images; a wrong formula is far above 1e-9"),
    torch.float32: Tolerance(1.3e-6, 1e-5, "torch.testing's own for float32, on images of a few pixels"),
    torch.float16: Tolerance(2**-11 + 1.3e-6, 1e-5, "float32's, rounded once to 11 bits"),
    torch.bfloat16: Tolerance(2**-8 + 1.3e-6, 1e-5, "float32's, rounded once to 8 bits"),
}

# Keys' weights have both signs, and a gradient sums 16 or 64 products some tens of times its own size: 64 * 40 * eps is 3e-4.
BICUBIC_FLOAT32 = Tolerance(1e-5, 3e-4, "rounding in sums that cancel, in float32; in float64 the row above holds")


def parity(mode: str, dtype: torch.dtype) -> Tolerance:
    if mode != "bicubic" or dtype == torch.float64:
        return PARITY[dtype]
    return Tolerance(max(BICUBIC_FLOAT32.rtol, PARITY[dtype].rtol), BICUBIC_FLOAT32.atol, BICUBIC_FLOAT32.reason)


# In float32 pixels up to 30 are sampled with an error of a few eps of them, 1e-5; over a reach of 0.3 pixels that is a slope of
# 3e-5, of which the gradient sums up to 120 with both signs, each times half the width, 6: 3e-5 * 6 * sqrt(120) is 2e-3.
LINEARIZED = {
    torch.float64: PARITY[torch.float64],
    torch.float32: Tolerance(3e-6, 2e-3, "the rounding of samples, divided by their distance; gradients are about 50 here"),
}

# The share by which such a gradient of pixels of about 1 changes when 1024 is added to them: float32's steps are 2**-13 there.
RAISED_BY_1024 = 2**-13

# Nearest reads a pixel for all locations within half a pixel: of the slope over a reach of 3 pixels that may be this share.
NEAREST_SLOPE = 0.05


def moved_by(distance: float) -> Tolerance:
    return Tolerance(0, distance + 1e-6, "coordinates moved by at most this; rounding them to float32 moves them by 1e-7")


# A grid is ``points`` at the control points. Positions to 1e-5 are 0.005 pixels at width 1024; the system is solved in float64.
AT_CONTROL_POINTS = {
    torch.float64: Tolerance(0, 1e-12, "the rounding of a well-spaced system's solution"),
    torch.float32: Tolerance(0, 1e-5, "what is promised; rounding the grid once is 5e-7 here"),
}

# theta is the identity and weights of 0.1 / sqrt(20) times 20 features, below 1 and each wrong by half a step of bfloat16,
# 2**-9: 0.1 * 2**-9 where errors are independent, 4.5 times that where they aren't. A bfloat16 theta is wrong by 2e-3.
BFLOAT16_FEATURES = Tolerance(0, 9e-4, "the features' rounding, weighed; theta itself is float32")

# Such a theta moves a sample by up to 9e-4 * 6 pixels, half of a width of 12, where noise has slopes of about 1 a pixel: 5e-3.
# Most of it is independent, and 2.2e-3 is the worst that was seen.
SAMPLED_UNDER_AUTOCAST = Tolerance(0, 5e-3, "theta of bfloat16 features, and what it moves samples by")

# Second differences of a spline at steps of 0.02, next to control points where its second derivatives have logarithms, on a
# square that leaves out a tail falling as 1 / extent^2: 0.24 % was seen, and 0.11 % with half the step.
BENDING_BY_DIFFERENCES = Tolerance(5e-3, 0, "an integral by sums of finite differences")

# Central differences at steps h of 1e-5: what is missed falls as h^2, 1e-10, and rounding is eps / h, 2e-11.
SPLINE_BY_DIFFERENCES = Tolerance(0, 1e-9, "central differences of r^2 log r^2 at r = 0")

# Linear interpolation misses h^2 / 8 times the second derivatives, 16 and 12 for this blob: 3.3e-3 with pixels of h = 2 / 65,
# and a quarter of that with half of h.
INTERPOLATED_TWICE = Tolerance(0, 5e-3, "3.3e-3 + 0.8e-3: linear interpolation of a smooth blob with 65 and with 129 pixels")

# Gradients of parts of a batch, averaged, and of the whole batch: sums in another order, as parts of the largest element.
DISTRIBUTED = Tolerance(1e-5, 1e-5, "what is promised of training on several processes")

# A circular coordinate a little below 0, at most 7e-8 pixels: the last pixel, of value 7, weighs that much.
BELOW_ZERO = Tolerance(0, 1e-6, "7e-8 of the step between the last pixel and the first, 6")

# scipy interpolates in float64, from coordinates that the test hands it in pixels
SCIPY = Tolerance(1e-9, 1e-9, "both in float64; normalising and back costs a few eps * size")

# OpenCV's remap in float32. It takes coordinates as fixed-point numbers with INTER_BITS = 5 bits behind the point (imgproc.hpp,
# InterpolationFlags; convertMaps has the format): a 32nd of a pixel, so that a rounded coordinate is half of that away at most.
OPENCV = Tolerance(1.3e-6, 1e-5, "float32's, where coordinates are whole 32nds")
OPENCV_PIXELS = 1 / 64

# float32 on images of any size: both libraries round the coordinate to eps * width, and so differ from float64 and
# from each other by that times the image's slope. This many times eps * width are granted beyond torch's own error.
FLOAT32_EPS_WIDTHS = 4.0

# A normalised float32 coordinate in pixels: adding 1, the product with the size, and taking 1 away each round by half an eps of
# the width at most.
COORDINATE_EPS_WIDTHS = 1.5

# 10,000 calls with gradients after a warm-up. One leaked tensor a call, of the smallest (560 bytes), would be 5.3 MiB
# beside its headers; an idle process of this size drifts by under 1 MiB.
MEMORY_GROWTH_BYTES = 4 * 2**20

# Of a double backward's allocations, its results among them, in float32: nothing of the results' size beside them.
DOUBLE_BACKWARD_MEMORY = 1.2

# At most held during forward and backward of a batch over one image or grid, in sizes of output and gradients.
BROADCAST_MEMORY = 1.2

# Pixels of a canvas of up to 60: a float32 position is wrong by an eps of 30 pixels for each of about four roundings, 1.4e-5,
# and a digit's slope is 1 a pixel at most, along both axes.
ON_CANVAS = Tolerance(1.3e-6, 3e-5, "float32 positions on canvases of up to 60 pixels, beside float64's")
