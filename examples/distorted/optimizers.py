"""Optimisers and learning rates' schedules, by name."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch

Groups = list[dict[str, Any]]
Optimizer = torch.optim.Optimizer

# name -> usual learning rate, constructor of parameter groups, which have their learning rates
OPTIMIZERS: dict[str, tuple[float, Callable[[Groups], Optimizer]]] = {
    "adam": (1e-3, torch.optim.Adam),
    "momentum": (0.1, lambda groups: torch.optim.SGD(groups, momentum=0.9)),
    "sgd": (0.01, torch.optim.SGD),  # the paper's
}

# name -> factor of the learning rate at a share of the horizon, from 0 to 1
SCHEDULES: dict[str, Callable[[float], float]] = {
    "cosine": lambda share: 0.5 * (1 + math.cos(math.pi * share)),
    "steps": lambda share: 0.1 ** int(3 * share),  # the paper's: a tenth after each third
    "constant": lambda share: 1.0,
}


def schedule_of(optimizer: Optimizer, name: str, horizon: int) -> torch.optim.lr_scheduler.LambdaLR:
    return torch.optim.lr_scheduler.LambdaLR(optimizer, lambda iteration: SCHEDULES[name](min(iteration / horizon, 1.0)))
