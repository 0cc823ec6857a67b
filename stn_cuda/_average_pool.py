"""Average pooling of images of any size to a fixed one."""
from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class AveragePool(nn.Module):
    """Adaptive average pooling to ``size``, which may be larger than the image along any axis.

    The values of torch's ``AdaptiveAvgPool2d`` and ``3d``, as a product with a matrix an axis. Theirs have a gradient that on
    CUDA is a sum in any order, and refuse under ``torch.use_deterministic_algorithms(True)``; this one does neither.

    Args:
        size: the spatial size of the output, one entry an axis.

    Shapes: ``(B, C, *spatial)`` to ``(B, C, *size)``.

    Raises: ValueError: an image of another number of axes.
    """

    def __init__(self, size: Sequence[int]) -> None:
        super().__init__()
        self.size = tuple(size)

    def forward(self, input: Tensor) -> Tensor:
        axes, shape = len(self.size) + 2, tuple(input.shape)
        if len(shape) != axes:
            raise ValueError(f"AveragePool: expected input of {axes} axes for size {self.size}, got shape {shape}")
        for axis, out in enumerate(self.size, 2):
            if input.shape[axis] != out:
                matrix = _averaging(input.shape[axis], out, input)
                input = (input.movedim(axis, -1) @ matrix).movedim(-1, axis)
        return input

    def extra_repr(self) -> str:
        return f"size={self.size}"


def sizes_of(function: str, name: str, size: int | Sequence[int], dims: int) -> tuple[int, ...]:
    """The argument ``name`` as an int an axis. Raises: TypeError, ValueError."""
    if not isinstance(size, (int, Sequence)):
        raise TypeError(f"{function}: expected {name} to be a positive int or {dims} of them, got {type(size).__name__}")
    sizes = (size,) * dims if isinstance(size, int) else tuple(size)
    if len(sizes) != dims or any(not isinstance(entry, int) or entry < 1 for entry in sizes):
        raise ValueError(f"{function}: expected {name} to be a positive int or {dims} of them, got {size!r}")
    return sizes


def _averaging(size: int, out: int, like: Tensor) -> Tensor:
    """(size, out): column k averages the pixels from floor(k size / out) up to ceil((k + 1) size / out)."""
    k = torch.arange(out, device=like.device)
    first, end = k * size // out, ((k + 1) * size + out - 1) // out
    pixels = torch.arange(size, device=like.device)[:, None]
    return ((pixels >= first) & (pixels < end)).to(like.dtype) / (end - first).to(like.dtype)
