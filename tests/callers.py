"""Callers of torch.nn.functional that know nothing of stn_cuda, and what stn_cuda.patch puts there for them."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils._pytree import tree_map

from stn_cuda import _patched

NAMES = ("grid_sample", "affine_grid")
TORCHS = {name: getattr(F, name) for name in NAMES}
OURS = {name: getattr(_patched, name) for name in NAMES}


def under_torch() -> dict[str, object]:
    return {name: getattr(F, name) for name in NAMES}


def sample(image: Tensor, grid: Tensor) -> Tensor:
    return F.grid_sample(image, grid, padding_mode="border", align_corners=False)


def transform(theta: Tensor) -> Tensor:
    return F.affine_grid(theta, [2, 1, 3, 4], align_corners=False)


def apply_grid(image: Tensor, theta: Tensor, size: list[int], mode: str) -> Tensor:
    """As libraries of transforms write it: one grid for a batch, scripted."""
    grid = F.affine_grid(theta, [1, 1, size[0], size[1]], align_corners=False)
    if image.shape[0] > 1:
        grid = grid.expand(image.shape[0], grid.shape[1], grid.shape[2], grid.shape[3])
    return F.grid_sample(image, grid, mode=mode, padding_mode="reflection", align_corners=False)


def another(function):
    """Another function of the same code: a script is kept for a function, and would be given again."""
    return type(function)(function.__code__, function.__globals__, function.__name__, function.__defaults__)


class Elsewhere(torch.Tensor):
    """A tensor of a device that torch computes on and stn_cuda does not. (Lazy: autograd knows that one in every build.)"""

    __torch_function__ = torch._C._disabled_torch_function_impl

    @staticmethod
    def __new__(cls, inner):
        return torch.Tensor._make_wrapper_subclass(cls, inner.shape, strides=inner.stride(), dtype=inner.dtype, device="lazy")

    def __init__(self, inner):
        self.inner = inner

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        args, kwargs = tree_map(lambda x: x.inner if isinstance(x, cls) else x, (args, kwargs or {}))
        kwargs.pop("device", None)
        return tree_map(lambda x: cls(x) if isinstance(x, torch.Tensor) else x, func(*args, **kwargs))
