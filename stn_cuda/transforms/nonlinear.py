"""The transforms that are no matrices: thin plate splines and flows."""
from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .. import _checks, _spline_constants
from ..functional import _ints, grid_sample
from ..fused import flow_sample
from ..grids import flow_grid
from ..thin_plate_spline import ThinPlateSplineBasis, thin_plate_spline_grid
from .protocol import Transform


@dataclass(frozen=True, init=False)
class ThinPlateSpline(Transform):
    """The smoothest map that takes control points of the output to predicted positions in the input.

    theta: (x_1, y_1, x_2, y_2, ...), where each of K control points reads; identity: the control points themselves. It has no
    matrix, and no inverse or composition in the family. ``sample`` makes the grid in memory; it is the input at the identity to
    rounding. ``regularizer`` is the bending energy of both coordinates, the integral of f_xx^2 + 2 f_xy^2 + f_yy^2 over the
    plane in normalised units: 0 for every affine map.

    Args:
        grid: (rows, columns) of control points from -span to span, row after row; or a basis of any control points.
        span: at most the output's edge at 1.
        bounded: the parameters go through tanh, so that every control point reads inside the input. The identity is then their
            artanh, which asks for control points inside (-1, 1): for a span below 1, such as 0.9.

    Attributes: ``basis`` and ``bounded``.

    Raises:
        ValueError: a span that isn't positive, or other than 1 beside a basis; ``bounded`` with points at or beyond the edge.

    Source: Jaderberg et al., 2015, section 3.2 and their experiments on distorted MNIST; Bookstein 1989.

    Example::

        >>> spline = stn_cuda.transforms.ThinPlateSpline((2, 3))
        >>> spline.identity()
        tensor([[-1., -1.,  0., -1.,  1., -1., -1.,  1.,  0.,  1.,  1.,  1.]])
    """

    basis: ThinPlateSplineBasis
    bounded: bool

    def __init__(
        self, grid: Sequence[int] | ThinPlateSplineBasis = (4, 4), span: float = 1.0, bounded: bool = False
    ) -> None:
        basis = _basis(grid, span)
        if not isinstance(bounded, bool):
            raise TypeError(f"ThinPlateSpline(): expected bounded to be a bool, got {type(bounded).__name__}")
        extent = basis.control_points.abs().max().item()
        if bounded and extent >= 1:
            raise ValueError(
                f"ThinPlateSpline(): expected control points inside (-1, 1) with bounded=True, which a span of 0.9 gives, got "
                f"one at {extent:g}")
        object.__setattr__(self, "basis", basis)
        object.__setattr__(self, "bounded", bounded)

    @property
    def dims(self) -> int:
        return 2

    @property
    def num_params(self) -> int:
        return 2 * self.basis.num_points

    def identity(
        self, batch: int = 1, dtype: torch.dtype | None = None, device: torch.device | str | None = None
    ) -> Tensor:
        points = self.basis.control_points.reshape(1, -1)
        points = points.atanh() if self.bounded else points
        return points.to(device=device, dtype=torch.get_default_dtype() if dtype is None else dtype).repeat(batch, 1)

    def points(self, theta: Tensor) -> Tensor:
        """``(B, K, 2)``: where the control points read, for :func:`stn_cuda.thin_plate_spline_grid`."""
        theta = self._checked(theta)
        return (theta.tanh() if self.bounded else theta).reshape(-1, self.basis.num_points, 2)

    def _inverse(self, theta: Tensor) -> Tensor:
        raise self._refusal("inverse", "the inverse of a spline, where there is one, is no spline of the control points")

    def _compose(self, theta_a: Tensor, theta_b: Tensor) -> Tensor:
        raise self._refusal("compose", "a spline of a spline is no spline of the control points; Chain() applies both")

    def _regularizer(self, theta: Tensor) -> Tensor:
        system, count = self._system(theta.device), self.basis.num_points
        values = self.points(theta).double()
        coefficients = torch.einsum("jk,bkd->bjd", system[2 : 2 + count], values)
        # U is 16 pi times the Green's function of the squared Laplacian; at the control points the spline's affine part adds 0
        spline = values - self.basis.regularization * coefficients
        return (16 * math.pi * (coefficients * spline).sum((1, 2))).to(theta.dtype)

    def _grid(self, theta: Tensor, size: list[int], align_corners: bool) -> Tensor:
        return thin_plate_spline_grid(self.points(theta), size, self.basis, align_corners)

    def _apply_points(self, theta: Tensor, points: Tensor, align_corners: bool) -> Tensor:
        system = self._system(theta.device)
        control, solution = system[:2].T, system[2:]  # [K, 2], [K + 3, K]
        at = points.double()
        squared = (at.unsqueeze(2) - control).square().sum(-1)
        on_control = squared == 0  # where r^2 log r^2 has the limit 0, as its derivative does, but log has none
        kernel = squared * torch.where(on_control, 1.0, squared).log()
        terms = torch.cat([kernel, torch.ones_like(at[..., :1]), at], 2)  # [B, N, K + 3]
        coefficients = torch.einsum("jk,bkd->bjd", solution, self.points(theta).double())
        return (terms @ coefficients).to(theta.dtype)

    def _system(self, device: torch.device) -> Tensor:
        compiling = torch.compiler.is_compiling()
        stored = _spline_constants.stored_in_graph if compiling else _spline_constants.stored
        return stored(self.basis, self.basis.num_points, device, None)


def _basis(grid: Any, span: float) -> ThinPlateSplineBasis:
    if isinstance(grid, ThinPlateSplineBasis):
        if span != 1:
            raise ValueError(f"ThinPlateSpline(): expected span to be 1 beside a basis, which has its own, got {span}")
        return grid
    shape = _ints("ThinPlateSpline", grid)
    if len(shape) != 2 or min(shape) < 2:
        raise ValueError(
            f"ThinPlateSpline(): expected grid to be a basis or (rows, columns) of at least 2, got {_checks.text_of(shape)}")
    if not 0 < span < math.inf:
        raise ValueError(f"ThinPlateSpline(): expected span to be positive and finite, got {span}")
    control = _spline_constants.regular_coordinates(*shape)
    return ThinPlateSplineBasis([(span * x, span * y) for x, y in control])


@dataclass(frozen=True)
class Flow(Transform):
    """A displacement of every pixel, for registration: input and output have the ``size`` (H, W) or (D, H, W).

    theta: the flow ``(B, d, *size)`` of :func:`stn_cuda.flow_sample`, flattened: in pixels of the input, all x before all y
    [and all z]; 0 in the identity. ``sample`` is one fused kernel, exact at the identity. ``apply_points`` interpolates the
    flow linearly between the pixels' centres, and takes the nearest pixel's beyond them. ``regularizer`` is the mean over
    pixels and components of the squared differences to the next pixel along each axis, summed: 0 for a shift.

    Example::

        >>> flow = torch.tensor([[[[1.0, 1.0, 1.0]], [[0.0, 0.0, 0.0]]]])  # reads a pixel further right
        >>> transform = stn_cuda.transforms.Flow((1, 3))
        >>> transform.sample(torch.tensor([[[[3.0, 4.0, 5.0]]]]), flow.flatten(1))
        tensor([[[[4., 5., 0.]]]])
    """

    size: tuple[int, ...]

    def __post_init__(self) -> None:
        size = tuple(_ints("Flow", self.size))
        if len(size) not in (2, 3) or min(size) <= 0:
            raise ValueError(
                f"Flow(): expected size (H, W) or (D, H, W) with positive entries only, got {_checks.text_of(size)}")
        object.__setattr__(self, "size", size)

    @property
    def dims(self) -> int:
        return len(self.size)

    @property
    def num_params(self) -> int:
        return self.dims * math.prod(self.size)

    def identity(
        self, batch: int = 1, dtype: torch.dtype | None = None, device: torch.device | str | None = None
    ) -> Tensor:
        return torch.zeros(batch, self.num_params, dtype=dtype, device=device)

    def field(self, theta: Tensor) -> Tensor:
        """``(B, d, *size)``: the flow in pixels."""
        return self._checked(theta).reshape(-1, self.dims, *self.size)

    def _inverse(self, theta: Tensor) -> Tensor:
        raise self._refusal("inverse", "a flow may send two pixels to one place, and leave others out")

    def _compose(self, theta_a: Tensor, theta_b: Tensor) -> Tensor:
        raise self._refusal("compose", "a flow is known at pixels alone, and b leads between them; Chain() interpolates")

    def _regularizer(self, theta: Tensor) -> Tensor:
        field = self.field(theta)
        squares = [field.diff(dim=axis).square().flatten(1).sum(1) for axis in range(2, 2 + self.dims)]
        return torch.stack(squares).sum(0) / self.num_params

    def _grid(self, theta: Tensor, size: list[int], align_corners: bool) -> Tensor:
        self._check_size("size", size)
        return flow_grid(self.field(theta), self.size, align_corners)

    def _apply_points(self, theta: Tensor, points: Tensor, align_corners: bool) -> Tensor:
        pixels = grid_sample(self.field(theta), points, padding_mode="border", align_corners=align_corners).transpose(1, 2)
        extents = [size - 1 if align_corners else size for size in reversed(self.size)]
        shifts = [2 / extent * pixels[..., axis] if extent else 0 * pixels[..., axis] for axis, extent in enumerate(extents)]
        return points + torch.stack(shifts, -1)

    def _sample(
        self, input: Tensor, theta: Tensor, size: list[int], common: dict[str, Any], fused: dict[str, Any]
    ) -> Tensor:
        self._check_no_fused(fused)
        self._check_size("size", size)
        self._check_size("input of the spatial size", input.shape[2:])
        return flow_sample(input, self.field(theta), **common)

    def _check_size(self, argument: str, size: Sequence[int]) -> None:
        if tuple(size) != self.size:
            raise self._unexpected(argument, _checks.text_of(self.size), _checks.text_of(size))
