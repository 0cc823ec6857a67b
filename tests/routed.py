"""The public functions as functions of tensors alone, beside the plain torch operations that judge them.

For the tests of routes: whatever torch does to a function of tensors, it does to these.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from cases import Case
from tolerances import PARITY, Tolerance
from torch import Tensor
from torch.utils._pytree import tree_leaves
from warps import Warp

import stn_cuda
from stn_cuda import _C, reference

SIZE = (2, 1, 3, 4)  # affine_grid's
Tensors = tuple[Tensor, ...]


@dataclass(frozen=True)
class Routed:
    """One public function with all arguments but its tensors bound."""

    name: str
    ours: Callable[..., Tensor]
    torchs: Callable[..., Tensor]  # torch.nn.functional's: no forward mode before 2.15, no second derivative before 2.12
    judge: Callable[..., Tensor]  # the reference: plain operations, and so derivatives of every order and mode
    operator: Callable[..., Tensor]  # torch.ops.stn_cuda's public operator
    tensors: Callable[[torch.device], Tensors] = field(repr=False)  # float64, away from kinks, batch 2, a few elements each

    def __str__(self) -> str:
        return self.name


def _grid_sample(case: Case) -> Routed:
    def operator(input: Tensor, grid: Tensor) -> Tensor:
        return torch.ops.stn_cuda.grid_sample(input, grid, *case.operator_options())

    def tensors(device: torch.device) -> Tensors:
        sizes = {"in_size": (2, 2, 3)[-case.dims :], "out_size": (1, 2, 3)[-case.dims :]}
        return case.tensors(device, torch.float64, away_from_kinks=True, channels=2, seed=3, **sizes)

    return Routed(
        f"grid_sample-{case}",
        case.bind(stn_cuda.grid_sample),
        case.bind(F.grid_sample),
        case.bind(reference.grid_sample),
        operator,
        tensors,
    )


def _affine_grid(align_corners: bool) -> Routed:
    def tensors(device: torch.device) -> Tensors:
        theta = torch.randn(SIZE[0], 2, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(8))
        return (theta.to(device),)

    return Routed(
        f"affine_grid-{'centres' if align_corners else 'edges'}",
        lambda theta: stn_cuda.affine_grid(theta, SIZE, align_corners),
        lambda theta: F.affine_grid(theta, SIZE, align_corners),
        lambda theta: reference.affine_grid(theta, SIZE, align_corners),
        lambda theta: torch.ops.stn_cuda.affine_grid(theta, SIZE, align_corners),
        tensors,
    )


def _transform_sample(warp: Warp) -> Routed:
    in_size, size = (2, 2, 3)[-warp.dims :], (1, 2, 3)[-warp.dims :]

    def operator(input: Tensor, parameters: Tensor) -> Tensor:
        return torch.ops.stn_cuda.transform_sample(input, parameters, *warp.operator_options(size))

    def tensors(device: torch.device) -> Tensors:
        return warp.tensors(device, channels=2, in_size=in_size, size=size, seed=3)[:2]

    judge = warp.judge(size)  # torch has no such function
    return Routed(f"{warp.kind}_sample-{warp}", warp.bind(size), judge, judge, operator, tensors)


def _transform_grid(warp: Warp, grid: Callable[..., Tensor]) -> Routed:
    in_size, size = (2, 3), (2, 3)
    kind = _C.TRANSFORM_KINDS[warp.kind]

    def judge(parameters: Tensor) -> Tensor:
        return reference.transform_grid(parameters, warp.kind, size, in_size, False, warp.align_corners)

    def operator(parameters: Tensor) -> Tensor:
        return torch.ops.stn_cuda.transform_grid(parameters, kind, size, in_size, False, warp.align_corners)

    def tensors(device: torch.device) -> Tensors:
        return (warp.tensors(device, in_size=in_size, size=size, seed=4)[1],)

    ours = lambda parameters: grid(parameters, size, warp.align_corners)  # noqa: E731
    return Routed(f"{warp.kind}_grid", ours, judge, judge, operator, tensors)


GRID_SAMPLE = _grid_sample(Case(2, "bilinear", "zeros", False))
AFFINE_GRID = _affine_grid(False)
AFFINE_SAMPLE = _transform_sample(Warp("affine", 2))
EVERY = (
    GRID_SAMPLE,
    _grid_sample(Case(3, "bilinear", "reflection", True)),
    _grid_sample(Case(2, "bicubic", "border", False)),
    AFFINE_GRID,
    _affine_grid(True),
    AFFINE_SAMPLE,
    _transform_sample(Warp("projective", 2, "bicubic", "border", True)),
    _transform_sample(Warp("flow", 3, "bilinear", "reflection")),
    _transform_grid(Warp("projective", 2), stn_cuda.projective_grid),
    _transform_grid(Warp("flow", 2), stn_cuda.flow_grid),
)
ONE_EACH = (GRID_SAMPLE, AFFINE_GRID, AFFINE_SAMPLE)  # where a test costs a second


@contextmanager
def without_vmap_fallback() -> Iterator[None]:
    """A batching rule that is missing is an error in here. Elsewhere it is a loop, which warns in C++ only, on stderr."""
    torch._C._functorch._set_vmap_fallback_enabled(False)
    try:
        yield
    finally:
        torch._C._functorch._set_vmap_fallback_enabled(True)


def tangents(tensors: Sequence[Tensor]) -> Tensors:
    """Fixed directions with nothing in common with the tensors' values."""
    return tuple(torch.cos(7.0 * torch.arange(t.numel(), dtype=t.dtype, device=t.device)).view_as(t) for t in tensors)


def cubes(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """A loss whose derivatives by every pair and triple of arguments are not zero, linear though affine_grid is."""
    return lambda *tensors: function(*tensors).pow(3).sum()


def leaves(tensors: Sequence[Tensor]) -> Tensors:
    return tuple(tensor.detach().clone().requires_grad_() for tensor in tensors)


def gradients(function: Callable[..., Tensor], tensors: Sequence[Tensor]) -> Tensors:
    """The output and the gradients of its ``cubes``, by autograd."""
    arguments = leaves(tensors)
    output = function(*arguments)
    return output.detach(), *torch.autograd.grad(output.pow(3).sum(), arguments)


def assert_not_zero(results: object) -> None:
    """A route that loses a derivative gives zeros or None for it, and says nothing."""
    found = tree_leaves(results)
    assert found
    for result in found:
        assert result is not None and result.any()


def assert_same(actual: object, expected: object) -> None:
    """Of the same float64 tensors in the same nesting."""
    for one, other in zip(tree_leaves(actual), tree_leaves(expected), strict=True):
        PARITY[torch.float64].assert_close(one, other)


def assert_same_in_scale(actual: object, expected: object, tolerance: Tolerance = PARITY[torch.float64]) -> None:
    """As parts of each tensor's largest element: cubes of cubes are large, and where they cancel only rounding is left."""
    for one, other in zip(tree_leaves(actual), tree_leaves(expected), strict=True):
        size = max(float(other.detach().abs().max()), 1.0)
        tolerance.assert_close(one / size, other / size)
