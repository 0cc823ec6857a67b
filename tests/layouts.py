"""Memory layouts: functions that give a tensor other strides.

Values stay, but for the expanded ones, which repeat one slice (stride 0). What lies between a sliced tensor's
elements is NaN, so that a kernel which strays from the strides shows it.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

Layout = Callable[[Tensor], Tensor]


def contiguous(tensor: Tensor) -> Tensor:
    return tensor.contiguous()


def channels_last(tensor: Tensor) -> Tensor:
    """Channels innermost; 4-D and 5-D tensors."""
    return tensor.contiguous(memory_format=torch.channels_last if tensor.dim() == 4 else torch.channels_last_3d)


def sliced(tensor: Tensor) -> Tensor:
    """Every second element of every axis, from an offset into a larger storage."""
    storage = tensor.new_full([2 * length + 3 for length in tensor.shape], float("nan"))
    view = storage[tuple(slice(3, 3 + 2 * length, 2) for length in tensor.shape)]
    return view.copy_(tensor)


def transposed(tensor: Tensor) -> Tensor:
    """The axes after the second in reverse order in memory: of an image, its spatial axes."""
    order = [0, 1, *reversed(range(2, tensor.dim()))]
    return tensor.permute(order).contiguous().permute(order)


def expanded_batch(tensor: Tensor) -> Tensor:
    return tensor[:1].contiguous().expand_as(tensor)


def expanded_channels(tensor: Tensor) -> Tensor:
    return tensor[:, :1].contiguous().expand_as(tensor)


def expanded_everywhere(tensor: Tensor) -> Tensor:
    """As the gradient of sum(): every stride is 0."""
    return tensor.reshape(-1)[0].expand_as(tensor)


def locations_transposed(grid: Tensor) -> Tensor:
    """The location axes in reverse order in memory: they can't be viewed as one."""
    order = [0, *reversed(range(1, grid.dim() - 1)), grid.dim() - 1]
    return grid.permute(order).contiguous().permute(order)


def planar(grid: Tensor) -> Tensor:
    """One plane a component, as a network's (N, dims, *out) output has it."""
    return grid.movedim(-1, 1).contiguous().movedim(1, -1)


def columns_first(theta: Tensor) -> Tensor:
    """A theta whose columns follow each other in memory."""
    return theta.mT.contiguous().mT


INPUT_LAYOUTS: list[Layout] = [contiguous, channels_last, sliced, expanded_batch, expanded_channels, transposed]
GRID_LAYOUTS: list[Layout] = [contiguous, sliced, expanded_batch, planar, locations_transposed]
GRAD_OUTPUT_LAYOUTS: list[Layout] = [contiguous, channels_last, sliced, expanded_everywhere, transposed]
THETA_LAYOUTS: list[Layout] = [contiguous, sliced, expanded_batch, columns_first]


def layout_id(layout: Layout) -> str:
    return layout.__name__
