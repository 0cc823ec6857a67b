"""The operators, called directly, on all tensors of a case: results on a device beside those on the CPU."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from cases import EXACT_IN_SIZE, Case
from tolerances import parity
from torch import Tensor

from stn_cuda import _C

OPERATORS = ("forward", "backward", "double backward", "affine grid", "affine grid backward")

Results = Sequence[Tensor]
Tensors = dict[str, Tensor]


def tensors_of(case: Case, dtype: torch.dtype, seed: int = 0, **sizes) -> Tensors:
    """All that the operators take, on the CPU; the two gradients of grad mode are tangents here."""
    if dtype.itemsize == 2:  # coordinates that 16 bits hold
        sizes.setdefault("in_size", EXACT_IN_SIZE[case.align_corners][-case.dims :])
    input, grid = case.tensors(torch.device("cpu"), dtype, away_from_kinks=True, seed=seed, **sizes)
    generator = torch.Generator().manual_seed(seed + 1)

    def draw(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype)

    return {
        "input": input,
        "grid": grid,
        "grad_output": draw(*input.shape[:2], *grid.shape[1:-1]),
        "t_input": draw(*input.shape),
        "t_grid": draw(*grid.shape),
        "theta": draw(len(input), case.dims, case.dims + 1),
    }


def moved(tensors: Tensors, device: torch.device | str, dtype: torch.dtype | None = None) -> Tensors:
    return {name: tensor.to(device, dtype or tensor.dtype) for name, tensor in tensors.items()}


def run(name: str, case: Case, tensors: Tensors, deterministic: bool = False) -> Results:
    """An operator's results."""
    ops, get = torch.ops.stn_cuda, tensors.__getitem__
    input, grid, options = get("input"), get("grid"), case.operator_options()
    if name == "forward":
        return (ops._grid_sample(input, grid, *options),)
    if name == "backward":
        mask = [True, True, False]
        return ops.grid_sample_backward(get("grad_output"), input, grid, *options, mask, deterministic)[:2]
    if name == "double backward":
        given, mask = (get("t_input"), get("t_grid"), None, get("grad_output")), [True, True, True, False]
        return ops.grid_sample_double_backward(*given, input, grid, *options, mask, deterministic)[:3]
    of_grid = _C.TRANSFORM_KINDS["affine"], list(grid.shape[1:-1]), [], False, case.align_corners
    if name == "affine grid":
        return (ops._transform_grid(get("theta"), None, *of_grid),)
    return (ops.transform_grid_backward(get("t_grid"), None, None, *of_grid),)


def assert_close(case: Case, results: Results, expected: Results) -> None:
    """Within the tolerance of the results' dtype, relative to the largest value: sums of both signs cancel."""
    assert len(results) == len(expected)
    for result, exact in zip(results, expected):
        assert result.shape == exact.shape
        scale = exact.abs().max().clamp(min=1).double()
        tolerance = parity(case.mode, result.dtype)
        tolerance.assert_close(result.cpu().double() / scale, exact.double() / scale)


def assert_equals_the_cpu(case: Case, tensors: Tensors, device: torch.device) -> None:
    wide = torch.float32 if tensors["input"].dtype.itemsize == 2 else None  # rounded once by the GPU, not at all by the judge
    for name in OPERATORS:
        assert_close(case, run(name, case, moved(tensors, device)), run(name, case, moved(tensors, "cpu", wide)))
