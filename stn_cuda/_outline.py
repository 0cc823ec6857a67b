"""Where on the input the border of the output reads."""
from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from . import _checks
from ._average_pool import sizes_of
from ._transform_names import as_transform
from .transforms import Flow, Transform
from .transforms._matrices import NEAR_INFINITY

CURVE_SEGMENTS = 32  # of an edge that may be bent: a bow over half of 224 pixels is drawn to a tenth of a pixel

# Corners as (x, y[, z]). The first is the output's upper left one, and the edges of the plane go clockwise from there.
_SQUARE = ((-1, -1), (1, -1), (1, 1), (-1, 1))
_CUBE = tuple((x, y, z) for z in (-1, 1) for x, y in _SQUARE)
_EDGES_OF_CUBE = (
    *((corner, (corner + 1) % 4) for corner in range(4)),
    *((4 + corner, 4 + (corner + 1) % 4) for corner in range(4)),
    *((corner, corner + 4) for corner in range(4)),
)


@torch.no_grad()
def outline(
    theta: Tensor,
    transform: Transform | str,
    size: int | Sequence[int],
    align_corners: bool = False,
    *,
    output_size: int | Sequence[int] | None = None,
    segments: int | None = None,
) -> Tensor:
    """Where on the input the border of the output reads: what to draw over the input to see what a transformer looks at.

    Args:
        theta: ``(B, num_params)``, float16, bfloat16, float32 or float64, on any device.
        transform: of ``stn_cuda.transforms``, or the name of one that needs no argument: ``"Affine"``.
        size: of the input, spatial, an int for all axes.
        align_corners: as the images are sampled with. The border is always the outer edge of the output's pixels; with True, -1
            and 1 are the centres of its outermost ones, so the border lies half a pixel of the output beyond.
        output_size: of the output, spatial; None: that of the input. It matters with ``align_corners=True`` alone. An axis of
            one pixel has no extent there, as all that is sampled along it is one position.
        segments: how many straight lines each edge is drawn with. None: 1 for transforms with a matrix, which keep edges
            straight; for others as many as the output's longest axis has pixels, but at least 32.

    Returns:
        Positions ``(x, y[, z])`` in pixels of the input, pixel centres at integers, so ready to be drawn over ``imshow``; in
        the dtype of theta (float32 for 16 bits) and on its device, without a gradient. 2-D: ``(B, 4 * segments + 1, 2)``, a
        closed line that begins and ends at the output's upper left corner and goes round clockwise, as seen in the output. If
        it goes round the other way on the input, the map mirrors. 3-D: ``(B, 12, segments + 1, 3)``, the edges of the box, of
        which the first begins at the corner where x, y and z are least.

    A homography has a horizon, where w = 0, and an output that reaches beyond it reads a mirror image there, which comes from
    infinity. Positions beyond it, as seen from the output's centre, are NaN, which no plot draws: the line is open there. With
    more ``segments`` it ends nearer to the horizon. In a ``Chain`` without a matrix nothing looks for the horizon of a part.

    Raises:
        TypeError: no tensor, no transform, ``align_corners`` no bool.
        ValueError: an unknown name, theta of another shape, sizes or segments that aren't positive ints, a ``Flow`` of another
            size than the input.

    Source: the quadrilaterals in the figures of Jaderberg et al., Spatial Transformer Networks, 2015.

    Example::

        >>> stn_cuda.visualize.outline(torch.tensor([[0.5, 0.0, 0.0]]), "Attention", (40, 40))
        tensor([[[ 9.5000,  9.5000],
                 [29.5000,  9.5000],
                 [29.5000, 29.5000],
                 [ 9.5000, 29.5000],
                 [ 9.5000,  9.5000]]])
    """
    transform = as_transform("outline", transform)
    _checks.check_bool("outline", "align_corners", align_corners)
    theta = transform._checked(theta)
    input_size = list(sizes_of("outline()", "size", size, transform.dims))
    sampled_size = input_size
    if output_size is not None:
        sampled_size = list(sizes_of("outline()", "output_size", output_size, transform.dims))
    if isinstance(transform, Flow):
        transform._check_size("size", input_size)
        transform._check_size("output_size", sampled_size)
    if segments is None:
        segments = 1 if transform.has_matrix else max(CURVE_SEGMENTS, *sampled_size)
    if not isinstance(segments, int) or segments < 1:
        raise ValueError(f"outline(): expected segments to be None or a positive int, got {segments!r}")
    border = _border(sampled_size, segments, align_corners).to(theta)
    positions = transform.apply_points(theta, border.flatten(0, -2)[None], align_corners)
    if transform.has_matrix:
        positions = _without_mirror_image(positions, transform.matrix(theta), border.flatten(0, -2))
    sizes = positions.new_tensor(input_size[::-1])
    pixels = (positions + 1) / 2 * (sizes - 1) if align_corners else ((positions + 1) * sizes - 1) / 2
    return pixels.unflatten(1, border.shape[:-1])


def edges_of(size: Sequence[int], align_corners: bool) -> list[float]:
    """The outer edges of an image's last pixels, normalised, in the order (x, y[, z])."""
    if not align_corners:
        return [1.0] * len(size)
    return [extent / (extent - 1) if extent > 1 else 0.0 for extent in reversed(size)]


def _border(size: Sequence[int], segments: int, align_corners: bool) -> Tensor:
    """Normalised positions in the output, float64 on the CPU: [4 * segments + 1, 2], or [12, segments + 1, 3]."""
    is_plane = len(size) == 2
    extent = torch.tensor(edges_of(size, align_corners), dtype=torch.float64, device="cpu")
    corners = extent * torch.tensor(_SQUARE if is_plane else _CUBE, device="cpu")
    pairs = _EDGES_OF_CUBE[: 4 if is_plane else 12]
    first, second = (corners[list(ends)] for ends in zip(*pairs))  # [edges, d] each
    share = torch.arange(segments + 1, dtype=torch.float64, device="cpu")[:, None] / segments
    edges = first[:, None] + share * (second - first)[:, None]
    return torch.cat([edges[:, :-1].flatten(0, 1), corners[:1]]) if is_plane else edges


def _without_mirror_image(positions: Tensor, matrix: Tensor, points: Tensor) -> Tensor:
    """positions [B, N, d] of points [N, d]; NaN where a homography's w hasn't the sign that it has at the output's centre."""
    dims = points.shape[1]
    if matrix.shape[1] == dims:
        return positions
    at_centre = matrix[:, -1, dims:]  # [B, 1]
    w = (matrix[:, -1, None, :dims] * points).sum(-1) + at_centre
    is_seen = w * at_centre.sign() >= NEAR_INFINITY
    return torch.where(is_seen[..., None], positions, torch.nan)
