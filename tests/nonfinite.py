"""The matrix of non-finite and huge coordinates: its cells, what must hold in each, and a way to run it alone.

The rule: with zeros padding such a coordinate is outside; else it goes to the nearest edge, NaN to the first pixel.
Its gradient is 0, nothing else notices it, and grad_input is the transpose of what the forward read. A finite
coordinate of 2^31 pixels or more has no digits left to reflect, so reflection may read any pixel then.

As a script (``python nonfinite.py --device cuda``) it prints each cell before it runs it: a crash takes the process
along, and the last line names the culprit.
"""

from __future__ import annotations

import argparse
import itertools
import math
import sys
from collections.abc import Callable
from dataclasses import dataclass

import torch
from cases import DTYPES, Case, all_cases, torch_grid_sample
from tolerances import parity
from torch import Tensor

import stn_cuda
from stn_cuda import reference

VALUES = {
    "nan": math.nan,
    "inf": math.inf,
    "-inf": -math.inf,
    "3e38": 3e38,
    "-3e38": -3e38,
    "1e30": 1e30,
}
PASSES = ("forward", "backward")
BAD_LOCATIONS = (0, 9, -1)  # the first, one amid a vector, one in the rest that fills no vector
NEAREST_EDGE = {"nan": -1.0, "inf": 1.0, "-inf": -1.0, "3e38": 1.0, "-3e38": -1.0, "1e30": 1.0}  # normalised
FAR_OUTSIDE = 100.0  # normalised


@dataclass(frozen=True)
class Cell:
    """One bad value on one axis (0 is x) of some locations; the other coordinates are good ones."""

    case: Case
    dtype: torch.dtype
    value: str
    axis: int
    direction: str  # which pass runs

    def __str__(self) -> str:
        dtype = str(self.dtype).removeprefix("torch.")
        return f"{self.case}-{dtype}-{self.value}-on-{'xyz'[self.axis]}-{self.direction}"

    @property
    def reads_any_pixel(self) -> bool:
        return self.case.padding_mode == "reflection" and math.isfinite(VALUES[self.value])


def all_cells() -> list[Cell]:
    return [
        Cell(case, dtype, value, axis, direction)
        for case, dtype, value in itertools.product(all_cases(), DTYPES, VALUES)
        for axis, direction in itertools.product(range(case.dims), PASSES)
    ]


@dataclass
class Result:
    output: Tensor
    grad_input: Tensor | None = None
    grad_grid: Tensor | None = None

    def tensors(self) -> list[Tensor]:
        return [tensor for tensor in (self.output, self.grad_input, self.grad_grid) if tensor is not None]


def run(cell: Cell, sampler: Callable[..., Tensor], input: Tensor, grid: Tensor) -> Result:
    sample = cell.case.bind(sampler)
    if cell.direction == "forward":
        return Result(sample(input, grid))
    leaves = input.detach().requires_grad_(), grid.detach().requires_grad_()
    output = sample(*leaves)
    return Result(output.detach(), *torch.autograd.grad(output, leaves, cotangent(output)))


def cotangent(output: Tensor) -> Tensor:
    return torch.cos(torch.arange(output.numel(), dtype=output.dtype, device=output.device)).view_as(output)


def tensors(cell: Cell, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """Input, the grid with the bad value, and one with a coordinate in its place that does the same by the rule."""
    input, grid = cell.case.tensors(device, cell.dtype, away_from_kinks=True)
    bad, replaced = grid.clone(), grid.clone()
    to_centre = 1 if cell.case.align_corners else 1 - 1 / input.shape[-1 - cell.axis]  # of the end pixel
    instead = FAR_OUTSIDE if cell.case.padding_mode == "zeros" else NEAREST_EDGE[cell.value] * to_centre
    for tensor, value in ((bad, VALUES[cell.value]), (replaced, instead)):
        tensor.flatten(1, -2)[:, list(BAD_LOCATIONS), cell.axis] = value  # float32 makes no infinity of 3e38
    return input, bad, replaced


def complaints(cell: Cell, device: torch.device, sampler: Callable[..., Tensor]) -> list[str]:
    """What is wrong with ``sampler`` in this cell; nothing if all is right."""
    input, bad, replaced = tensors(cell, device)
    actual = run(cell, sampler, input, bad)
    found = [] if all(tensor.isfinite().all() for tensor in actual.tensors()) else ["the result is not finite"]

    if actual.grad_grid is not None and actual.grad_grid.flatten(1, -2)[:, list(BAD_LOCATIONS), cell.axis].any():
        found.append("the bad coordinate has a gradient")
    at_bad_outputs = actual.output.flatten(2)[..., list(BAD_LOCATIONS)]
    if cell.case.padding_mode == "zeros" and at_bad_outputs.any():
        found.append("a location outside reads something else than 0")
    if cell.reads_any_pixel:
        return found + complaints_about_any_pixel(cell, actual, input, at_bad_outputs)

    for name, expected in (
        ("torch with a coordinate that means the same", run(cell, torch_grid_sample, input, replaced)),
        ("the reference", run(cell, reference.grid_sample, input, bad)),
    ):
        if expected.grad_grid is not None:  # the stand-in may have a gradient of its own
            expected.grad_grid.flatten(1, -2)[:, list(BAD_LOCATIONS), cell.axis] = 0
        pairs = zip(actual.tensors(), expected.tensors(), strict=True)
        for what, (one, other) in zip(("output", "grad_input", "grad_grid"), pairs, strict=False):
            if not parity(cell.case.mode, cell.dtype).close(one, other):
                found.append(f"{what} differs from {name}")
    return found


def complaints_about_any_pixel(cell: Cell, actual: Result, input: Tensor, at_bad_outputs: Tensor) -> list[str]:
    """Values lie within the image's, and grad_input is the transpose of the forward, whatever was read."""
    found = []
    low, high = input.amin(dim=tuple(range(2, input.dim()))), input.amax(dim=tuple(range(2, input.dim())))
    margin = parity(cell.case.mode, cell.dtype).atol
    if cell.case.mode == "bicubic":  # the sizes of its weights on an axis sum to 1.375 at most
        high = 1.375**cell.case.dims * torch.maximum(high, -low)
        low = -high
    if not ((at_bad_outputs >= low[..., None] - margin) & (at_bad_outputs <= high[..., None] + margin)).all():
        found.append("a value is none of the image's")
    if actual.grad_input is not None:
        read = (actual.output * cotangent(actual.output)).sum(dtype=torch.float64)
        written = (actual.grad_input * input).sum(dtype=torch.float64)
        if not parity(cell.case.mode, cell.dtype).close(read, written):
            found.append("grad_input is not the transpose of the forward")
    return found


def main() -> int:
    """Prints "cell NAME" before and "right" or "wrong: ..." after each; returns how many are wrong, at most 1."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--only", default="", help="run only the cells whose name contains this")
    arguments = parser.parse_args()
    wrong = False
    for cell in all_cells():
        if arguments.only not in str(cell):
            continue
        print(f"cell {cell}", flush=True)
        found = complaints(cell, torch.device(arguments.device), stn_cuda.grid_sample)
        print("wrong: " + "; ".join(found) if found else "right", flush=True)
        wrong |= bool(found)
    return int(wrong)


if __name__ == "__main__":
    sys.exit(main())
