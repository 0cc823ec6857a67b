"""What ``patch`` puts under ``torch.nn.functional``: stn_cuda's functions, or torch's for a call that these don't support.

They are scriptable, for programs that script ``F.grid_sample``. Modes and subclasses (``__torch_function__``) see these very
functions, as they would see torch's: ``func is torch.nn.functional.grid_sample`` holds while the patch is on. Dynamo inlines
them; where it meets torch.nn.functional for the first time while the patch is on, it puts them into graphs whole, as torch's.
"""
import warnings
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import handle_torch_function, has_torch_function_unary, has_torch_function_variadic

from . import functional, scripting
from ._checks import HAS_CUDA

# Bound at import: looked up under F when they are needed, they would be the functions below.
torch_grid_sample = F.grid_sample
torch_affine_grid = F.affine_grid

_named: set[str] = set()  # the calls that have been warned of

if HAS_CUDA:  # two functions, as a script can't read a variable of a module

    def _has_kernels(tensor: Tensor) -> bool:
        return tensor.device.type in ["cpu", "meta", "cuda"]

else:

    def _has_kernels(tensor: Tensor) -> bool:
        return tensor.device.type in ["cpu", "meta"]


# The branch of a script has to be an if with an else: what stands after an if is compiled, an else beside it is not.

def grid_sample(
    input: Tensor, grid: Tensor, mode: str = "bilinear", padding_mode: str = "zeros", align_corners: bool | None = None
) -> Tensor:
    """:func:`stn_cuda.grid_sample` in the place of ``torch.nn.functional.grid_sample``, where ``stn_cuda.patch`` has put it."""
    if torch.jit.is_scripting():
        if _has_kernels(input):
            return scripting.grid_sample(input, grid, mode, padding_mode, align_corners)
        warnings.warn("stn_cuda has no grid_sample for " + input.device.type + ": torch's own is called", stacklevel=2)
        return torch_grid_sample(input, grid, mode, padding_mode, align_corners)
    else:
        if has_torch_function_variadic(input, grid):
            return handle_torch_function(
                grid_sample, (input, grid), input, grid, mode=mode, padding_mode=padding_mode, align_corners=align_corners)
        if align_corners is None:
            align_corners = functional._warned_default()  # here, so that it names the line of the caller
        return _ours_or_torchs(
            functional.grid_sample, torch_grid_sample, input, grid, mode, padding_mode, align_corners)


def affine_grid(theta: Tensor, size: list[int], align_corners: bool | None = None) -> Tensor:
    """:func:`stn_cuda.affine_grid` in the place of ``torch.nn.functional.affine_grid``; see :func:`grid_sample`."""
    if torch.jit.is_scripting():
        if _has_kernels(theta):
            return scripting.affine_grid(theta, size, align_corners)
        warnings.warn("stn_cuda has no affine_grid for " + theta.device.type + ": torch's own is called", stacklevel=2)
        return torch_affine_grid(theta, size, align_corners)
    else:
        if has_torch_function_unary(theta):
            return handle_torch_function(affine_grid, (theta,), theta, size, align_corners=align_corners)
        if align_corners is None:
            align_corners = functional._warned_default()
        return _ours_or_torchs(functional.affine_grid, torch_affine_grid, theta, size, align_corners)


def _ours_or_torchs(ours: Callable[..., Tensor], torchs: Callable[..., Tensor], *arguments: Any) -> Tensor:
    """What stn_cuda lacks is a NotImplementedError: torch may have it, or an error of its own. Other errors are the call's."""
    try:
        return ours(*arguments)
    except NotImplementedError as error:
        refusal = str(error)
    result = torchs(*arguments)
    if not torch.compiler.is_compiling() and refusal not in _named:  # a warning would break the graph
        _named.add(refusal)
        warnings.warn(f"stn_cuda does not support a call, torch's own function answers it: {refusal}", stacklevel=3)
    return result
