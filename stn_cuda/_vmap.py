"""vmap: the new axis joins the batch."""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor


def join_batch(info: Any, in_dims: Sequence[int | None], tensors: Sequence[Tensor | None]) -> tuple[list[Tensor | None], int]:
    """Tensors whose vmapped axis, or a shared tensor's expanded one, is part of their batch; and a slice's batch size."""
    joined: list[Tensor | None] = []
    batch = 0
    for tensor, dim in zip(tensors, in_dims):
        if tensor is not None:
            tensor = tensor.expand(info.batch_size, *tensor.shape) if dim is None else tensor.movedim(dim, 0)
            batch = tensor.shape[1]
            tensor = tensor.flatten(0, 1)
        joined.append(tensor)
    return joined, batch


def split_batch(info: Any, batch: int, output: Any) -> tuple[Any, Any]:
    """What a vmap rule returns: an output, or a tuple of them, with the vmapped axis first; and where that axis is."""
    if isinstance(output, tuple):
        split = [split_batch(info, batch, one) for one in output]
        return tuple(one for one, _ in split), tuple(dim for _, dim in split)
    return (None, None) if output is None else (output.unflatten(0, (info.batch_size, batch)), 0)
