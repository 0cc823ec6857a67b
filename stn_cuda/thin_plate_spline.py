"""The thin plate spline: a basis, solved once, and the sampling grid that it makes of moved control points.

    f(q) = a_0 + a_1 x + a_2 y + sum over control points k of  w_k U(|q - p_k|),     U(r) = r^2 log r^2,  U(0) = 0

The coefficients solve a linear system of the control points p_k alone, and are linear in the values at them. So the value at q
is a weighted sum of these values, and the weights of all of an output's locations are a constant of (basis, size): a grid is
one matrix product with it.
"""
from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.overrides import handle_torch_function, has_torch_function_unary
from torch.utils import _pytree as pytree

from . import _checks, _grid_checks, _spline_constants
from .functional import _ints, _is_autocast


class ThinPlateSplineBasis:
    """Control points of a thin plate spline, solved once in float64: the ``basis`` of :func:`thin_plate_spline_grid`.

    Immutable, neither a module nor a parameter, and to be had on every device at once: keep it as an attribute of a module,
    pickle or copy it. Two of the same control points and regularization are equal. Make it outside of compiled functions.

    Args:
        control_points: ``(K, 2)``, at least 3 positions ``(x, y)`` in the *output*, normalised as the coordinates of
            ``grid_sample``; a tensor of any dtype and device, or nested sequences. They may lie outside of [-1, 1].
        regularization: lambda >= 0, added to the diagonal of the matrix of U. 0 interpolates: the spline passes through every
            point. Above it a coordinate's spline minimises the sum of its squared misses plus lambda / (16 pi) times its
            bending energy, until it is affine. U is twice scipy's r^2 log r: its ``smoothing`` is lambda / 2.

    Attributes: ``control_points``, ``(K, 2)`` in float64 on the CPU, which are also the points of the identity;
    ``regularization``; ``num_points``, K.

    Raises:
        TypeError: ``control_points`` that aren't numbers, ``regularization`` that is none.
        ValueError: another shape; points that aren't finite, coincide, lie on one line or can't be told apart in float64; a
            negative ``regularization``.

    Source: Bookstein, Principal warps: thin-plate splines and the decomposition of deformations, IEEE PAMI 11(6), 1989;
    the regularization is that of Wahba, Spline models for observational data, 1990.

    Example::

        >>> basis = stn_cuda.ThinPlateSplineBasis([[-1, -1], [1, -1], [-1, 1], [1, 1], [0, 0]])
        >>> basis
        ThinPlateSplineBasis(5 control points, regularization=0.0)
    """

    def __init__(self, control_points: Tensor | Sequence[Sequence[float]], regularization: float = 0.0) -> None:
        self._coordinates = _as_coordinates(control_points)
        self._regularization = _as_regularization(regularization)
        self._keeper = _spline_constants.keeper(self._coordinates, self._regularization)

    @classmethod
    def regular(cls, rows: int, columns: int | None = None, regularization: float = 0.0) -> ThinPlateSplineBasis:
        """A grid of control points from -1 to 1, ``rows`` x ``columns`` (None: as many as rows), row after row.

        Example::

            >>> stn_cuda.ThinPlateSplineBasis.regular(2).control_points
            tensor([[-1., -1.],
                    [ 1., -1.],
                    [-1.,  1.],
                    [ 1.,  1.]], dtype=torch.float64)
        """
        columns = rows if columns is None else columns
        if min(rows, columns) < 2:
            raise ValueError(f"ThinPlateSplineBasis.regular(): expected rows and columns of at least 2, got {rows}, {columns}")
        return cls(_spline_constants.regular_coordinates(rows, columns), regularization)

    @property
    def control_points(self) -> Tensor:
        return torch.tensor(self._coordinates, dtype=torch.float64, device="cpu")

    @property
    def regularization(self) -> float:
        return self._regularization

    @property
    def num_points(self) -> int:
        return len(self._coordinates)  # for torch.compile a constant, which an int attribute isn't with dynamic sizes

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ThinPlateSplineBasis):
            return NotImplemented
        return (self._coordinates, self.regularization) == (other._coordinates, other.regularization)

    def __hash__(self) -> int:
        return hash((self._coordinates, self.regularization))

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self._coordinates, self.regularization)

    def __repr__(self) -> str:
        return f"ThinPlateSplineBasis({self.num_points} control points, regularization={self.regularization})"


pytree.register_constant(ThinPlateSplineBasis)  # torch.compile compares it by value, torch.export takes it as an argument


def thin_plate_spline_grid(
    points: Tensor, size: Sequence[int], basis: ThinPlateSplineBasis | None = None, align_corners: bool = False
) -> Tensor:
    """Make the sampling grid of a thin plate spline, which bends the output as little as its moved control points allow.

    ``grid[n, i, j] = f_n(x, y)``, where (x, y) is the normalised position of output pixel (i, j), and f_n the spline that takes
    control point k of ``basis`` to ``points[n, k]``: from positions in the output to positions in the input. The grid goes to
    ``grid_sample``. It is linear in ``points``, which alone has a gradient, of every order, by torch's own operations.

    Args:
        points: ``(N, K, 2)``, where each control point reads in the input, ``(x, y)`` in normalised coordinates; float16,
            bfloat16, float32 or float64. The control points themselves are the identity.
        size: the output's spatial size, (H, W): any sequence of two positive ints.
        basis: a :class:`ThinPlateSplineBasis` of K control points. None: :meth:`ThinPlateSplineBasis.regular`, the square grid
            of K points from -1 to 1, row after row; K is then a square.
        align_corners: whether -1 and 1 are the centres of the end pixels or their outer edges; the same as in ``grid_sample``.

    Returns:
        ``(N, H, W, 2)``, contiguous, in the dtype of ``points``; under autocast float32 for 16 bits. It is computed in float64
        and rounded once, and so are gradients: what is allowed for float32 products (TF32, bfloat16) would misplace pixels.

    The matrix of a size, K * H * W * 8 bytes, is made at its first use; a basis keeps those of its last 8 sizes and devices.
    Compiled and exported programs hold it as a constant; for a size that is dynamic there they compute it anew in each call.
    On CUDA under ``torch.use_deterministic_algorithms(True)`` the product is a sum of K terms in order, where cuBLAS may raise.

    Raises:
        TypeError: ``points`` is no tensor, ``size`` no sequence of ints, ``basis`` of another type, ``align_corners`` no bool.
        ValueError: points that aren't floating point, or whose shape isn't (N, K, 2) with the K of ``basis`` (with None: a
            square, 4 or more); a size that isn't two positive ints.
        NotImplementedError: a float dtype of another width; a CUDA tensor with a CPU-only build.

    Source: Bookstein 1989 (see :class:`ThinPlateSplineBasis`); as a grid generator Jaderberg et al., Spatial Transformer
    Networks, 2015, section 3.2, and their experiments on distorted MNIST with a regular grid of control points.

    Example::

        >>> basis = stn_cuda.ThinPlateSplineBasis.regular(2)
        >>> points = basis.control_points.float()[None] / 2 + 0.125  # reads half of the input, right and below of the middle
        >>> stn_cuda.thin_plate_spline_grid(points, (1, 2), basis)
        tensor([[[[-0.1250,  0.1250],
                  [ 0.3750,  0.1250]]]])
    """
    if has_torch_function_unary(points):
        return handle_torch_function(
            thin_plate_spline_grid, (points,), points, size, basis=basis, align_corners=align_corners)
    _checks.check_bool("thin_plate_spline_grid", "align_corners", align_corners)
    _checks.check_tensor("thin_plate_spline_grid", "points", points)
    if basis is not None and not isinstance(basis, ThinPlateSplineBasis):
        raise TypeError(
            f"thin_plate_spline_grid(): expected basis to be a ThinPlateSplineBasis or None, got {type(basis).__name__}")
    height, width = _grid_checks.check_grid_size("thin_plate_spline_grid", _ints("thin_plate_spline_grid", size))
    count = _grid_checks.check_spline_points(points, None if basis is None else basis.num_points)
    batch = points.shape[0]
    weights = _weights(basis, count, points.device, (height, width, align_corners))
    planes = points.double().transpose(1, 2).reshape(2 * batch, count)
    if points.is_cuda and torch.are_deterministic_algorithms_enabled():
        planes = _product_in_order(planes, weights)
    else:
        planes = planes @ weights
    grid = planes.reshape(batch, 2, height, width).permute(0, 2, 3, 1)
    dtype = _checks.accumulate_dtype(points.dtype) if _is_autocast(points) else points.dtype
    return grid.to(dtype, memory_format=torch.contiguous_format).contiguous()  # float64 is no conversion, and so no copy


def _weights(
    basis: ThinPlateSplineBasis | None, count: int, device: torch.device, output: _spline_constants.Output
) -> Tensor:
    """[K, H * W] in float64: a constant, in a graph too, unless a size is symbolic. Then the graph computes it."""
    if torch.compiler.is_compiling():  # for Dynamo a symbolic int is an int
        from torch.fx.experimental.symbolic_shapes import has_static_value

        is_static = has_static_value(output[0]) and has_static_value(output[1])
        stored = _spline_constants.stored_in_graph
    else:
        is_static = isinstance(output[0], int) and isinstance(output[1], int)
        stored = _spline_constants.stored
    if is_static:
        return stored(basis, count, device, output)
    return _spline_constants.weights(stored(basis, count, device, None), *output)


def _product_in_order(planes: Tensor, weights: Tensor) -> Tensor:
    """``planes @ weights`` without cuBLAS, term after term; its derivatives are sums that are deterministic, too."""
    total = planes[:, :1] * weights[0]
    for k in range(1, len(weights)):
        total = total + planes[:, k, None] * weights[k]
    return total


def _as_coordinates(control_points: Any) -> tuple[tuple[float, float], ...]:
    if isinstance(control_points, Tensor):
        control_points = control_points.detach().cpu().double().tolist()
    try:
        rows = [tuple(float(coordinate) for coordinate in row) for row in control_points]
    except (TypeError, ValueError) as error:
        raise TypeError(
            f"ThinPlateSplineBasis(): expected control_points to be a Tensor (K, 2) or rows of two numbers, got "
            f"{control_points!r}") from error
    if len(rows) < 3 or any(len(row) != 2 for row in rows):
        widths = sorted({len(row) for row in rows})
        raise ValueError(
            f"ThinPlateSplineBasis(): expected control_points of shape (K, 2) with K of at least 3, got {len(rows)} rows of "
            f"{' and '.join(map(str, widths)) or 0}")
    return tuple((x, y) for x, y in rows)


def _as_regularization(regularization: Any) -> float:
    try:
        value = float(regularization)
    except (TypeError, ValueError) as error:
        raise TypeError(
            f"ThinPlateSplineBasis(): expected regularization to be a number, got {type(regularization).__name__}") from error
    if not 0 <= value < math.inf:
        raise ValueError(f"ThinPlateSplineBasis(): expected regularization to be finite and not negative, got {value}")
    return value
