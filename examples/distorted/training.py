"""One run: a cell's network, trained and judged; by one process, or by all of ``torchrun``'s together."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from threading import Event
from typing import Any

import torch
from torch import Tensor, nn
from tqdm import tqdm

from stn_cuda.localization import init_identity_, param_groups
from stn_cuda.visualize import TransformAnimation, TransformMonitor

from .batches import Batches, Share, TestSet
from .cells import Cell, Folder, Result
from .distortions import DISTORTIONS, Digits
from .networks import make_network, parameter_count, transformer_of
from .optimizers import OPTIMIZERS, schedule_of
from .pictures import CURVE_DIGITS, one_of_each
from .processes import total, wait_for_all, wrapped
from .steps import count_wrong, error_rate, update

POINTS = 20  # of a learning curve
CHECKPOINT_SECONDS = 60.0
ANIMATED = 5  # canvases of an animation


class Interrupted(Exception):
    """A run has left a checkpoint and ended early."""


@dataclass(frozen=True)
class Task:
    """What the runs of a command have in common."""

    training: Digits
    test: Digits
    folder: Folder
    device: torch.device
    share: Share = Share()
    is_quiet: bool = False
    has_animation: bool = False
    stop: Event = field(default_factory=Event)  # once set, a run leaves a checkpoint and raises Interrupted

    @property
    def is_first(self) -> bool:
        """Whether this process writes files and shows progress."""
        return self.share.rank == 0


def trained(cell: Cell, task: Task) -> tuple[Result, Run]:
    """The result of a cell, and its run. What an earlier run has finished is read; an interrupted one goes on."""
    earlier = task.folder.result(cell)
    run = Run(cell, task)
    wait_for_all(task.share)  # nobody writes while another one reads
    if earlier is not None:
        return earlier, run
    run.train()
    return run.finish(), run


class Run:
    """The state of a run: network, optimiser, schedule, iteration, curve; what its transformer did, and looked like.

    An interrupted one is taken up from its last checkpoint; ``statistics`` and ``animation`` are of what ran since.
    """

    def __init__(self, cell: Cell, task: Task) -> None:
        self.cell, self.task = cell, task
        distortion = DISTORTIONS[cell.data]
        self.batches = Batches(task.training, distortion, cell.batch_size, cell.seed, task.share)
        self.test = TestSet(task.test, distortion)
        torch.manual_seed(cell.seed)
        self.network = start(cell, distortion.canvas).to(task.device)
        self.parallel = wrapped(self.network, task.share)
        _, make = OPTIMIZERS[cell.optimizer]
        self.optimizer = make(groups(self.network, cell.lr, cell.localization_lr_scale))
        self.schedule = schedule_of(self.optimizer, cell.schedule, cell.horizon)
        self.iteration, self.seconds = 0, 0.0
        self.has_trained = False
        self.curve: list[tuple[int, float]] = []
        self._restore()
        self.transformer = transformer_of(self.network)
        self.statistics: dict[str, float] = {}  # of its theta in training
        self.animation: TransformAnimation | None = None
        if task.has_animation:
            canvases, labels = one_of_each(self.test)
            self.animation = TransformAnimation(canvases[:ANIMATED], labels[:ANIMATED], vmin=0, vmax=1)

    def train(self) -> None:
        """All iterations that are left. Raises: FloatingPointError: theta isn't finite; the message says when."""
        self.has_trained = True
        if self.transformer is None:
            return self._train(None)
        with TransformMonitor(self.transformer) as monitor:
            self._train(monitor)
            (seen,) = monitor.summary().values()
        self.statistics = {name: round(value, 5) for name, value in seen._asdict().items()}

    def _train(self, monitor: TransformMonitor | None) -> None:
        due = set(range(0, self.cell.iterations, max(1, self.cell.iterations // POINTS)))
        saved = began = time.perf_counter()
        for iteration in self._progress():
            if self.task.stop.is_set():
                self.seconds += time.perf_counter() - began
                self.save()
                raise Interrupted(f"{self.cell.name} was interrupted at iteration {iteration} of {self.cell.iterations}: the "
                                  "same command goes on from there")
            if iteration in due and (not self.curve or self.curve[-1][0] < iteration):
                self.seconds += time.perf_counter() - began
                self._look(iteration)
                began = time.perf_counter()
            if monitor is not None:
                monitor.step = iteration
            self.step(*self.batches.batch(iteration))
            self.iteration = iteration + 1
            if time.perf_counter() - saved > CHECKPOINT_SECONDS:
                self.seconds += time.perf_counter() - began
                self.save()
                saved = began = time.perf_counter()
        if self.task.device.type == "cuda":
            torch.cuda.synchronize()
        self.seconds += time.perf_counter() - began

    def step(self, canvases: Tensor, labels: Tensor) -> Tensor:
        """One update; the mean loss of this process's share, not waited for."""
        loss = update(self.parallel, self.optimizer, canvases, labels)
        self.schedule.step()
        return loss

    def error(self, count: int | None = None) -> float:
        """Percent of the first ``count`` test canvases (None: all) that the network takes for another digit."""
        counts = count_wrong(self.network, self.test.blocks(count, self.task.share), self.task.device)
        return error_rate(total(counts, self.task.share))

    def save(self) -> None:
        if self.task.is_first:
            self.task.folder.write_checkpoint(self.cell, {
                "network": self.network.state_dict(), "optimizer": self.optimizer.state_dict(),
                "schedule": self.schedule.state_dict(), "iteration": self.iteration, "curve": self.curve,
                "seconds": self.seconds,
            })

    def finish(self) -> Result:
        error = self.error()
        if self.curve[-1][0] < self.iteration:
            self._look(self.iteration)
        result: Result = {
            "error": error, "curve": self.curve, "parameters": parameter_count(self.network),
            "seconds": round(self.seconds, 2), "images_per_second": round(self.iteration * self.cell.batch_size / self.seconds),
            "processes": self.task.share.processes, "threads": torch.get_num_threads(), "device": device_name(self.task.device),
            "torch": torch.__version__, **({"transformer": self.statistics} if self.statistics else {}),
        }
        self.save()
        if self.task.is_first:
            self.task.folder.write_result(self.cell, result)
        wait_for_all(self.task.share)
        return result

    def _look(self, iteration: int) -> None:
        """A point of the curve, and a frame of the animation."""
        self.curve.append((iteration, self.error(CURVE_DIGITS)))
        if self.animation is not None and self.transformer is not None:
            self.animation.add(self.transformer, iteration)

    def _restore(self) -> None:
        state = self.task.folder.checkpoint(self.cell, self.task.device)
        if state is None:
            return
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.load_state_dict(state["schedule"])
        self.iteration, self.seconds = state["iteration"], state["seconds"]
        self.curve = [tuple(point) for point in state["curve"]]

    def _progress(self) -> Iterator[int]:
        bar = tqdm(range(self.iteration, self.cell.iterations), self.cell.name, initial=self.iteration, unit="batch",
                   total=self.cell.iterations, disable=self.task.is_quiet or not self.task.is_first)
        for iteration in bar:
            yield iteration
            if self.curve:
                bar.set_postfix_str(f"error {self.curve[-1][1]:.1f} %", refresh=False)


def start(cell: Cell, canvas: int) -> nn.Module:
    linearized = {} if cell.gradient == "exact" else {"gradient": cell.gradient, "reach": cell.reach}
    network = make_network(cell.architecture, canvas, cell.sampler, cell.pool, **linearized)
    transformer = transformer_of(network)
    if transformer is None or cell.start == "identity":
        return network
    for part in transformer.localization_networks():
        init_identity_(part, transformer.transform, perturbation=0.3 if cell.start == "random" else 0.0)
        if cell.start == "lost":
            corner = torch.tensor([[[0.25, 0.0, 0.75], [0.0, 0.25, 0.75], [0.0, 0.0, 1.0]]])
            rows = transformer.transform.matrix(transformer.transform.identity()).shape[1]
            last = [layer for layer in part.modules() if isinstance(layer, nn.Linear)][-1]
            last.bias.data.copy_(transformer.transform.from_matrix(corner[:, :rows])[0])
    return network


def groups(network: nn.Module, lr: float, localization_lr_scale: float) -> list[dict[str, Any]]:
    if transformer_of(network) is None:
        return [{"params": list(network.parameters()), "lr": lr}]
    return param_groups(network, lr, localization_lr_scale)


def device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
