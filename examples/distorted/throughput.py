"""Images per second in training of several networks: steps in turn, A B A B, in one process; medians."""

from __future__ import annotations

import time
from statistics import median

import torch
from torch import nn

from .cells import Cell, Refused
from .networks import ARCHITECTURES, make_network
from .processes import from_first, wait_for_all
from .steps import update
from .targets import Throughput
from .training import Run, Task

COMPARED = {  # name -> architecture, sampler
    "CNN": ("CNN", "stn_cuda"), "ST-CNN Aff": ("ST-CNN Aff", "stn_cuda"),
    "ST-FCN Aff": ("ST-FCN Aff", "stn_cuda"), "ST-FCN Aff, torch's sampler": ("ST-FCN Aff", "torch"),
    "ST-FCN TPS": ("ST-FCN TPS", "stn_cuda"), "ST-FCN TPS, torch's sampler": ("ST-FCN TPS", "torch"),
}


def measure(device: torch.device, rounds: int = 7, batch_size: int = 256, canvas: int = 42) -> Throughput:
    """Forward, backward and Adam on canvases that are there already; after one round that doesn't count."""
    canvases = torch.rand(batch_size, 1, canvas, canvas, device=device)
    labels = torch.randint(10, (batch_size,), device=device)
    networks: dict[str, tuple[nn.Module, torch.optim.Optimizer]] = {}
    for name, (architecture, sampler) in COMPARED.items():
        network = make_network(ARCHITECTURES[architecture], canvas, sampler).to(device)
        networks[name] = network, torch.optim.Adam(network.parameters())
    seconds: dict[str, list[float]] = {name: [] for name in networks}
    for _ in range(rounds + 1):
        for name, (network, optimizer) in networks.items():
            _wait(device)
            began = time.perf_counter()
            update(network, optimizer, canvases, labels)
            _wait(device)
            seconds[name].append(time.perf_counter() - began)
    return {name: round(batch_size / median(all_seconds[1:])) for name, all_seconds in seconds.items()}


def iterations_in(minutes: float, cells: list[Cell], task: Task, warm: int = 5, steps: int = 20) -> int:
    """How many iterations of every cell fit in the time, one cell after another: decided once for a folder."""
    plan = task.folder.read("plan.json")
    if plan is None:
        seconds: dict[tuple[str, str], float] = {}  # of an iteration
        for cell in cells:
            if (cell.data, cell.network) not in seconds:
                run = Run(cell, task)
                for iteration in range(warm + steps):
                    if iteration == warm:
                        _wait(task.device)
                        began = time.perf_counter()
                    run.step(*run.batches.batch(iteration))
                _wait(task.device)
                seconds[cell.data, cell.network] = (time.perf_counter() - began) / steps
        whole = sum(seconds[cell.data, cell.network] for cell in cells)
        iterations = from_first(max(1, int(60 * minutes / whole)), task.device, task.share)
        plan = {"minutes": minutes, "iterations": iterations}
        if task.is_first:
            plan = task.folder.agree("plan.json", plan)
        wait_for_all(task.share)
        plan = task.folder.read("plan.json") or plan
    if plan["minutes"] != minutes:
        raise Refused(f"{task.folder.path} has a table of {plan['minutes']:g} minutes, not {minutes:g}: give another --output")
    return plan["iterations"]


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()
