"""grid_sample and affine_grid in the form that ``torch.jit.script`` takes: with the five and three arguments that torch's have.

The public functions hand on to torch functions and modes and are not scripted. A scripted program compiles the first branch of
these, which calls the operator; everybody else gets the public function.

Example::

    >>> from stn_cuda import scripting
    >>> @torch.jit.script
    ... def warp(image, grid):
    ...     return scripting.grid_sample(image, grid, "bilinear", "border", False)

While ``stn_cuda.patch`` is on, a script that says ``torch.nn.functional`` gets them, too. A saved program loads where
``stn_cuda`` has been imported before. The operator's gradient is Python's: where there is no Python (libtorch) there is none.
"""
import torch
from torch import Tensor

from . import functional


def grid_sample(
    input: Tensor, grid: Tensor, mode: str = "bilinear", padding_mode: str = "zeros", align_corners: bool | None = None
) -> Tensor:
    """:func:`stn_cuda.grid_sample`, scriptable. In a script ``align_corners=None`` means False without a warning, and the
    operator's own checks apply; their errors arrive as ``torch.jit.Error`` or RuntimeError."""
    if torch.jit.is_scripting():
        # Each at its number in csrc/core/modes.h: a script can't look into a module's tables. A test compares them.
        modes, paddings = ["bilinear", "nearest", "bicubic"], ["zeros", "border", "reflection", "circular"]
        if mode not in modes:
            raise ValueError("grid_sample(): expected mode to be one of " + ", ".join(modes) + ", got " + mode)
        if padding_mode not in paddings:
            raise ValueError(
                "grid_sample(): expected padding_mode to be one of " + ", ".join(paddings) + ", got " + padding_mode)
        convention = 1 if align_corners is not None and align_corners else 0
        return torch.ops.stn_cuda.grid_sample(
            input, grid, modes.index(mode), [paddings.index(padding_mode)], convention, None, False)
    return _grid_sample(input, grid, mode, padding_mode, align_corners)


def affine_grid(theta: Tensor, size: list[int], align_corners: bool | None = None) -> Tensor:
    """:func:`stn_cuda.affine_grid`, scriptable; see :func:`grid_sample`."""
    if torch.jit.is_scripting():
        if min(size) <= 0:
            raise ValueError("affine_grid(): expected size with positive entries only, got " + str(size))
        return torch.ops.stn_cuda.affine_grid(theta, size, align_corners is not None and align_corners)
    return _affine_grid(theta, size, align_corners)


@torch.jit.unused
def _grid_sample(input: Tensor, grid: Tensor, mode: str, padding_mode: str, align_corners: bool | None) -> Tensor:
    return functional.grid_sample(input, grid, mode, padding_mode, align_corners)


@torch.jit.unused
def _affine_grid(theta: Tensor, size: list[int], align_corners: bool | None) -> Tensor:
    return functional.affine_grid(theta, size, align_corners)
