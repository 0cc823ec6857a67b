"""What the basis of a thin plate spline keeps: the solved system of its control points, and the weights of each output size."""
from __future__ import annotations

import functools
import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch
from torch import Tensor

from . import reference

Coordinates = tuple[tuple[float, float], ...]
Output = tuple[int, int, bool]  # H, W, align_corners
Keeper = Callable[["torch.device", "Output | None"], Tensor]

_OUTPUTS_KEPT = 8  # by each keeper: a network has a few, and a program that never repeats one shouldn't grow
_CLOSE = 1e-6  # of the control points' extent: what points that were computed in float32 are off by
_MISSED = 1e-6  # float64 solves a well-spaced system to 1e-12, and a float32 grid wouldn't show this yet


# ---- keeping ------------------------------------------------------------------------------------------------------------

def keeper(coordinates: Coordinates, regularization: float) -> Keeper:
    """Solves the system of these control points. The result gives for a device and an output the weights, [K, H * W] in
    float64, and for no output the system itself; it keeps the latest."""
    system = _apart(_solved_system, coordinates, regularization)
    return functools.lru_cache(_OUTPUTS_KEPT)(functools.partial(_apart, _constant, system))


def _constant(system: Tensor, device: torch.device, output: Output | None) -> Tensor:
    return (system if output is None else weights(system, *output)).to(device)


@functools.lru_cache(8)
def _square_keeper(count: int) -> Keeper:
    side = math.isqrt(count)
    return keeper(regular_coordinates(side, side), 0.0)


def regular_coordinates(rows: int, columns: int) -> Coordinates:
    """A grid from -1 to 1, row after row."""
    positions = [[2 * i / (count - 1) - 1 for i in range(count)] for count in (rows, columns)]
    return tuple((x, y) for y in positions[0] for x in positions[1])


def stored(basis: Any, count: int, device: torch.device, output: Output | None) -> Tensor:
    """What the keeper of a basis has; without one (None) that of the square grid of ``count`` points."""
    return (_square_keeper(count) if basis is None else basis._keeper)(device, output)


def _apart(function: Callable[..., Tensor], *arguments: Any) -> Tensor:
    """``function(*arguments)`` in a thread of its own, which has none of the caller's modes.

    A tensor that is kept must not be one of the inference mode, transform, trace or fake mode in which it was first needed.
    """
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(function, *arguments).result()


def __getattr__(name: str) -> Any:
    """``stored_in_graph``: ``stored``, which Dynamo then calls while it compiles instead of looking into it.

    Marked only when it is asked for, as importing torch._dynamo takes seconds.
    """
    if name == "stored_in_graph":
        return torch.compiler.assume_constant_result(stored)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


# ---- the spline ---------------------------------------------------------------------------------------------------------

def weights(system: Tensor, height: int, width: int, align_corners: bool) -> Tensor:
    """[K, H * W] in float64: the weight of each control point's value at each location, of a system (``_solved_system``)."""
    x = reference.base_coordinates(width, system, align_corners).repeat(height)
    y = reference.base_coordinates(height, system, align_corners).repeat_interleave(width)
    control_x, control_y, solution = system[0], system[1], system[2:]
    return solution.T @ _terms(control_x, control_y, x, y)


def _terms(control_x: Tensor, control_y: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """[K + 3, P]: U of the distance to each control point, 1, x and y, at the positions x and y [P]."""
    squared = (x - control_x[:, None]) ** 2 + (y - control_y[:, None]) ** 2
    return torch.cat([torch.special.xlogy(squared, squared), torch.ones_like(x)[None], x[None], y[None]])  # 0 log 0 = 0


def _solved_system(coordinates: Coordinates, regularization: float) -> Tensor:
    """[2 + K + 3, K] in float64: x and y of the control points, then the coefficients of each one's cardinal spline.

    A cardinal spline is (without regularization) 1 at its own control point and 0 at the others.
    """
    control = torch.tensor(coordinates, dtype=torch.float64)
    _check_control_points(control)
    count, (x, y) = len(control), control.T
    matrix, values = torch.zeros(count + 3, count + 3, dtype=torch.float64), torch.eye(count + 3, count, dtype=torch.float64)
    terms = _terms(x, y, x, y)
    matrix[:, :count], matrix[:count, count:] = terms, terms[count:].T
    matrix.diagonal()[:count] += regularization
    solution = torch.linalg.solve_ex(matrix, values)[0]
    missed = (matrix @ solution - values).abs().max().item()
    if not missed < _MISSED:  # NaN too
        raise ValueError(
            "ThinPlateSplineBasis(): expected control_points that float64 can tell apart, got some too close to one another or "
            f"to a line: the solution misses them by {missed:.1g}")
    return torch.cat([x[None], y[None], solution])


def _check_control_points(control: Tensor) -> None:
    """control [K, 2]: finite, no two the same, not all on one line."""
    function, points = "ThinPlateSplineBasis", control.tolist()
    for k, point in enumerate(points):
        if not all(map(math.isfinite, point)):
            raise ValueError(f"{function}(): expected finite control_points, got {point} as point {k}")
    centred = control - control.mean(0)
    distance = (control[:, None] - control).abs().amax(-1)
    near = (distance <= _CLOSE * centred.abs().max()).triu(1).nonzero().tolist()
    if near:
        first, second = near[0]
        raise ValueError(
            f"{function}(): expected control_points that differ, got {points[first]} as point {first} and {points[second]} as "
            f"point {second}")
    longest, shortest = torch.linalg.svdvals(centred).tolist()
    if shortest <= _CLOSE * longest:
        raise ValueError(
            f"{function}(): expected control_points that don't all lie on one line, got {len(points)} collinear ones from "
            f"{min(points)} to {max(points)}")
