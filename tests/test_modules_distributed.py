"""The modules in DistributedDataParallel: two processes with half of a batch each have the gradients of one with all of it."""

from __future__ import annotations

import os
import sys
from datetime import timedelta
from pathlib import Path

import pytest
import torch
from module_cases import MODULES, input_of
from tolerances import DISTRIBUTED
from torch import distributed, multiprocessing, nn
from torch.nn.parallel import DistributedDataParallel

PROCESSES = 2

if not distributed.is_available():
    pytest.skip("this torch was built without torch.distributed", allow_module_level=True)
if not distributed.is_gloo_available():
    pytest.skip("this torch was built without gloo", allow_module_level=True)


def made(name: str) -> nn.Module:
    torch.manual_seed(0)  # hidden layers start at random
    return MODULES[name]()


def batch_of(module: nn.Module) -> torch.Tensor:
    images = input_of(module, "cpu")
    return torch.cat([images, images.flip(0).flip(-1) * 0.7])


def loss_of(module: nn.Module, input: torch.Tensor) -> torch.Tensor:
    """A mean over the batch: the average of the processes' losses is that of all."""
    output = module(input).flatten(1)
    return (output * torch.linspace(0.5, 1.5, output.shape[1])).square().sum(1).mean()


def gradients(module: nn.Module, wrapped: nn.Module, input: torch.Tensor) -> list[torch.Tensor]:
    """Those of the second of two steps, which a wrong bookkeeping of the first would change."""
    optimizer = torch.optim.SGD(module.parameters(), 1e-4)
    for _ in range(2):
        optimizer.zero_grad()
        loss_of(wrapped, input).backward()
        result = [parameter.grad.clone() for parameter in module.parameters() if parameter.grad is not None]
        optimizer.step()
    return result


def process(rank: int, folder: str, names: list[str]) -> None:
    torch.set_num_threads(1)
    distributed.init_process_group(  # a file needs no port
        "gloo", init_method=Path(folder, "store").as_uri(), rank=rank, world_size=PROCESSES, timeout=timedelta(seconds=60))
    try:
        for name in names:
            module = made(name)
            with torch.no_grad():  # DDP has to begin by giving all processes the parameters of the first
                for parameter in module.parameters():
                    parameter.add_(0.1 * rank)
            wrapped = DistributedDataParallel(module)
            share = batch_of(module).chunk(PROCESSES)[rank]
            result = gradients(module, wrapped, share)
            assert module.last_theta.shape[0] == share.shape[0]
            torch.save(result, Path(folder, f"{name}.{rank}"))
    finally:
        distributed.destroy_process_group()


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """The gradients of every module and process."""
    folder = tmp_path_factory.mktemp("distributed")
    with pytest.MonkeyPatch.context() as environment:
        if sys.platform == "linux" and "GLOO_SOCKET_IFNAME" not in os.environ:
            environment.setenv("GLOO_SOCKET_IFNAME", "lo")  # the host's own name may have no address
        multiprocessing.spawn(process, (str(folder), list(MODULES)), nprocs=PROCESSES)
    return folder


@pytest.mark.parametrize("name", MODULES)
def test_gradients_are_those_of_the_whole_batch(name, folder):
    module = made(name)
    expected = gradients(module, module, batch_of(module))
    assert len(expected) == len(list(module.parameters())) and any(gradient.abs().max() > 1e-3 for gradient in expected)
    for rank in range(PROCESSES):
        result = torch.load(folder / f"{name}.{rank}", weights_only=True)
        assert len(result) == len(expected)
        for gradient, reference in zip(result, expected):
            scale = reference.abs().max().clamp(min=1e-30)
            DISTRIBUTED.assert_close(gradient / scale, reference / scale)
