"""The processes of ``torchrun``, or the only one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from .batches import Share


@contextmanager
def processes(device: torch.device) -> Iterator[tuple[Share, torch.device]]:
    """Joins the group that ``torchrun`` started: gloo on the CPU; nccl on CUDA, a device for each process."""
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count == 1:
        yield Share(), device
        return
    if device.type == "cuda":
        device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(device)
    distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield Share(distributed.get_rank(), count), device
    finally:
        distributed.destroy_process_group()


def wrapped(network: nn.Module, share: Share) -> nn.Module:
    """In DistributedDataParallel, whose gradients are the means of the processes'; as it is where there is one process."""
    return network if share.processes == 1 else DistributedDataParallel(network)


def total(counts: Tensor, share: Share) -> Tensor:
    if share.processes > 1:
        distributed.all_reduce(counts)
    return counts


def from_first(number: int, device: torch.device, share: Share) -> int:
    """The first process's number, in all."""
    tensor = torch.tensor(number, device=device)
    if share.processes > 1:
        distributed.broadcast(tensor, 0)
    return int(tensor)


def wait_for_all(share: Share) -> None:
    if share.processes > 1:
        distributed.barrier()
