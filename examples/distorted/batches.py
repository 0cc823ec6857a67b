"""Which digits, distorted how, in which iteration: a function of the seed and the iteration alone.

So a run can go on where it stopped, and any number of processes see the same batches: each takes its share of every one.
An epoch is a permutation of the training digits, cut into whole batches; no digit comes twice in it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from .distortions import Digits, Distortion

PERMUTATION, TRAINING, TEST = range(3)  # what the random numbers of a seed are for
TEST_SEED = 2015  # not the run's: runs with different seeds are judged by the same canvases
BLOCK = 1000  # test canvases that are made, and classified, at once


@dataclass(frozen=True)
class Share:
    """A process's part of every batch: every ``processes``-th image from its own rank on."""

    rank: int = 0
    processes: int = 1

    def of(self, tensor: Tensor) -> Tensor:
        return tensor[self.rank :: self.processes]


@dataclass(frozen=True)
class Batches:
    """Training batches of ``size`` images altogether."""

    digits: Digits
    distortion: Distortion
    size: int
    seed: int
    share: Share = Share()

    def __post_init__(self) -> None:
        if self.size % self.share.processes:
            raise ValueError(f"batch size {self.size} isn't divisible by the {self.share.processes} processes")
        if self.size > len(self.digits):
            raise ValueError(f"batch size {self.size} is larger than the {len(self.digits)} training digits")

    @property
    def per_epoch(self) -> int:
        return len(self.digits) // self.size

    def batch(self, iteration: int) -> tuple[Tensor, Tensor]:
        """Canvases ``(size / processes, 1, S, S)`` and labels of the iteration, counted from 0."""
        epoch, index = divmod(iteration, self.per_epoch)
        order = permutation(self.seed, epoch, len(self.digits))
        chosen = order[index * self.size : (index + 1) * self.size]
        drawn = self.distortion.draw(self.digits, chosen, np.random.default_rng([self.seed, TRAINING, iteration]))
        own = {name: self.share.of(parameter) for name, parameter in drawn.items()}
        chosen = self.share.of(chosen)
        return self.distortion.warp(self.digits, chosen, own), self.digits.labels[chosen.to(self.digits.labels.device)]


@lru_cache(maxsize=2)
def permutation(seed: int, epoch: int, count: int) -> Tensor:
    return torch.from_numpy(np.random.default_rng([seed, PERMUTATION, epoch]).permutation(count))


@dataclass(frozen=True)
class TestSet:
    """All test digits, each distorted once: the same for every run, device and number of processes."""

    __test__ = False  # no class of tests, to pytest

    digits: Digits
    distortion: Distortion

    def blocks(self, count: int | None = None, share: Share = Share()) -> Iterator[tuple[Tensor, Tensor]]:
        """Canvases and labels of the first ``count`` digits (None: all), block after block."""
        count = len(self.digits) if count is None else min(count, len(self.digits))
        for start in range(0, count, BLOCK):
            chosen = torch.arange(start, min(start + BLOCK, len(self.digits)))  # whole blocks are drawn, whatever count is
            drawn = self.distortion.draw(self.digits, chosen, np.random.default_rng([TEST_SEED, TEST, start]))
            wanted = share.of(torch.arange(min(count - start, len(chosen))))
            own = {name: parameter[wanted] for name, parameter in drawn.items()}
            chosen = chosen[wanted]
            yield self.distortion.warp(self.digits, chosen, own), self.digits.labels[chosen.to(self.digits.labels.device)]
