"""vmap: the new axis joins the batch."""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor


def join_batch(
    info: Any, in_dims: Sequence[int | None], tensors: Sequence[Tensor | None]
) -> tuple[list[Tensor | None], list[int]]:
    """Tensors whose vmapped axis, or a shared tensor's expanded one, is part of their batch; and the batch of a slice of each.

    In a slice a batch of 1 may stand for all of the others'. It is expanded then, or two strides would make one batch.
    """
    sliced = [None if tensor is None else
              tensor.expand(info.batch_size, *tensor.shape) if dim is None else tensor.movedim(dim, 0)
              for tensor, dim in zip(tensors, in_dims)]
    batches = [1 if tensor is None else tensor.shape[1] for tensor in sliced]
    batch = joint_batch(batches)
    joined = [None if tensor is None else
              tensor.expand(-1, batch, *tensor.shape[2:]).flatten(0, 1) for tensor in sliced]
    return joined, batches


def joint_batch(batches: Sequence[int]) -> int:
    return next((batch for batch in batches if batch != 1), 1)


def split_batch(info: Any, joint: int, batch: int, output: Tensor | None) -> tuple[Tensor | None, int | None]:
    """What a vmap rule returns: an output with the vmapped axis first, and where that axis is.

    ``joint`` is the batch that the output has in a slice, ``batch`` the one that it should have: 1 is the sum.
    """
    if output is None:
        return None, None
    output = output.unflatten(0, (info.batch_size, joint))
    return output if batch == joint else output.sum(1, keepdim=True), 0
