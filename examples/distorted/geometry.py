"""The maps of the distortions: from positions on a canvas to positions in a digit's image, normalised."""

from __future__ import annotations

import torch
from torch import Tensor

DIGIT = 28  # the side of a digit's image in pixels


def ink_radius(images: Tensor) -> Tensor:
    """[B, S, S] -> [B]: the distance from the image's centre, in pixels, that all ink keeps within."""
    offset = torch.arange(images.shape[-1], device=images.device) - (images.shape[-1] - 1) / 2
    distance = torch.hypot(offset[:, None], offset)  # of pixel centres; interpolation spreads their ink one pixel more
    return ((images > 0) * distance).amax(dim=(1, 2)) + 1


def placement(angle: Tensor, scale: Tensor, shift: Tensor, canvas: int) -> Tensor:
    """theta [B, 6] of the canvas on which the digit is turned [B], scaled [B] and then shifted [B, 2] by pixels."""
    # canvas = scale * rotation @ image + shift, solved for image; then from pixels to normalised coordinates.
    inverse = torch.stack([angle.cos(), angle.sin(), -angle.sin(), angle.cos()], dim=1).view(-1, 2, 2)
    inverse = inverse / scale[:, None, None]
    offset = -inverse @ shift[:, :, None]
    return torch.cat([inverse * (canvas / DIGIT), offset / (DIGIT / 2)], dim=2).flatten(1)


def window(corner: Tensor, side: int, image: int) -> Tensor:
    """theta [B, 3] of Attention for the window of ``side`` pixels whose upper left one is ``corner`` [B, 2] (x, y)."""
    middle = (2 * corner + side) / image - 1
    return torch.cat([torch.full_like(middle[:, :1], side / image), middle], 1)


def inverse_of_quadrilateral(corners: Tensor) -> Tensor:
    """[..., 4, 2] -> [..., 3, 3]: the homography that takes the corners, clockwise from the upper left, to those of [-1, 1]^2.

    It is 1 in its last entry. Heckbert, Fundamentals of Texture Mapping and Image Warping, 1989, section 2.2.3, has the map
    from the square in closed form; here that is inverted.
    """
    corners = corners.double()
    first, second, third, fourth = corners.unbind(-2)
    right, down, twist = second - third, fourth - third, first - second + third - fourth
    area = cross(right, down)
    g, h = cross(twist, down) / area, cross(right, twist) / area
    columns = [second - first + g[..., None] * second, fourth - first + h[..., None] * fourth, first]
    rows = torch.cat([torch.stack(columns, -1), torch.stack([g, h, torch.ones_like(g)], -1)[..., None, :]], -2)
    unit = torch.tensor([[0.5, 0, 0.5], [0, 0.5, 0.5], [0, 0, 1]], dtype=torch.float64)  # [-1, 1]^2 -> [0, 1]^2
    inverse = torch.linalg.inv_ex(rows @ unit).inverse
    return (inverse / inverse[..., 2:, 2:]).float()


def cross(a: Tensor, b: Tensor) -> Tensor:
    return a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]


def is_proper(corners: Tensor, theta: Tensor, min_w: float) -> Tensor:
    """[..., 4, 2], [..., 3, 3] -> [...]: whether it is convex, not mirrored, and w >= min_w on all of [-1, 1]^2."""
    edges = corners.roll(-1, -2) - corners
    convex = (cross(edges, edges.roll(-1, -2)) > 0).all(-1)
    smallest_w = theta[..., 2, 2] - theta[..., 2, :2].abs().sum(-1)  # w is linear: its least value is at a corner
    return convex & (smallest_w >= min_w) & theta.isfinite().all(-1).all(-1)
