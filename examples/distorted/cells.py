"""A cell of the table: one network trained once on one data set; what configures it, and the files that it leaves."""

from __future__ import annotations

import json
import math
import os
import pickle
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import torch

from .distortions import DISTORTIONS
from .networks import ARCHITECTURES, SAMPLERS, TRANSFORMS, Architecture
from .optimizers import OPTIMIZERS, SCHEDULES

EPOCH = 234  # batches of 256 in MNIST's 60,000 training digits
STARTS = ("identity", "random", "lost")
OF_TRANSFORMERS = ("localization_lr_scale", "sampler", "pool", "start", "gradient", "reach")


class Refused(ValueError):
    """What a run can't go on with, in a line for the user."""


@dataclass(frozen=True)
class Cell:
    """Everything that the result depends on. What is for transformers stays as it is for networks without one.

    ``horizon``: the iterations that the learning rate's schedule is made for; a shorter run is the beginning of one so long.
    ``start``: of theta: ``identity``; ``random``, which is around the identity by 0.3 in every number; or ``lost``, a window of
    a quarter of the canvas's side in its lower right corner, for transforms with a matrix.
    ``reach``: of a linearised gradient, in pixels.
    """

    data: str
    network: str
    iterations: int = 20 * EPOCH
    horizon: int = 20 * EPOCH
    seed: int = 0
    batch_size: int = 256
    optimizer: str = "adam"
    lr: float = math.nan  # not given: the optimiser's usual one
    schedule: str = "cosine"
    localization_lr_scale: float = 1.0
    sampler: str = "stn_cuda"
    pool: bool = False
    start: str = "identity"
    gradient: str = "exact"
    reach: float = 2.0
    digits: str = "MNIST"  # or what was in its place

    def __post_init__(self) -> None:
        known: dict[str, Iterable[str]] = {
            "data": DISTORTIONS, "network": ARCHITECTURES, "optimizer": OPTIMIZERS, "schedule": SCHEDULES, "sampler": SAMPLERS,
            "start": STARTS}
        for name, names in known.items():
            if getattr(self, name) not in names:
                raise Refused(f"{name}: expected one of {', '.join(names)}, got {getattr(self, name)!r}")
        if math.isnan(self.lr):
            object.__setattr__(self, "lr", OPTIMIZERS[self.optimizer][0])
        if self.horizon < self.iterations:
            raise Refused(f"horizon: expected at least the {self.iterations} iterations, got {self.horizon}")
        transform = self.architecture.transform
        for name in OF_TRANSFORMERS:
            if transform is None and getattr(self, name) != getattr(Cell, name):
                raise Refused(f"{name}: {self.network} has no transformer; expected {getattr(Cell, name)!r}, got "
                              f"{getattr(self, name)!r}")
        if transform is not None and not TRANSFORMS[transform]().has_matrix:
            for name, refused in (("start", "lost"), ("gradient", "linearized")):
                if getattr(self, name) == refused:
                    raise Refused(f"{name}: {refused} is for transforms with a matrix, which that of {self.network} isn't")

    @property
    def architecture(self) -> Architecture:
        return ARCHITECTURES[self.network]

    @property
    def name(self) -> str:
        """For file names: what tells the cells of one table apart."""
        parts = [self.data, self.network.replace(" ", "-"), str(self.iterations)]
        parts += [] if self.localization_lr_scale == 1 else [f"loc-lr-{self.localization_lr_scale:g}"]
        parts += [f"{self.gradient}-{self.reach:g}"] if self.gradient != "exact" else []
        usual = (self.optimizer, "adam"), (self.sampler, "stn_cuda"), (self.start, "identity")
        parts += [value for value, default in usual if value != default]
        return "_".join([*parts, *(["pool"] if self.pool else []), f"seed{self.seed}"])


Result = dict[str, Any]  # of a finished cell, as JSON has it


@dataclass(frozen=True)
class Folder:
    """Where results and checkpoints are, a file for each cell. Everything is written under another name first."""

    path: Path

    def prepare(self) -> None:
        """Raises: Refused: nothing can be written here; before hours were spent."""
        try:
            self._write(self.path / "cells" / ".probe", b"")
            (self.path / "cells" / ".probe").unlink()
        except OSError as error:
            raise Refused(f"--output: expected a folder that can be written, got {self.path}: {error.strerror}") from error

    def result(self, cell: Cell) -> Result | None:
        """That of an earlier run of the cell. Raises: Refused for one of another configuration."""
        path = self._path(cell, "json")
        result = self._read(path)
        if result is not None:
            self._compare(path, result["cell"], cell)
        return result

    def write_result(self, cell: Cell, result: Result) -> None:
        text = json.dumps({"cell": asdict(cell), **result}, indent=1)
        self._write(self._path(cell, "json"), (text + "\n").encode())

    def checkpoint(self, cell: Cell, device: torch.device) -> dict[str, Any] | None:
        """Where a run of the cell stopped, or ended. Raises: Refused for one of another configuration."""
        path = self._path(cell, "pt")
        if not path.exists():
            return None
        try:
            state = torch.load(path, map_location=device, weights_only=True)
            seen = state["cell"]
        except (RuntimeError, EOFError, KeyError, TypeError, pickle.UnpicklingError) as error:
            reason = str(error).partition("\n")[0] or type(error).__name__
            raise Refused(f"{path} is no whole checkpoint ({reason}): remove it") from error
        self._compare(path, seen, cell)
        return state

    def write_checkpoint(self, cell: Cell, state: dict[str, Any]) -> None:
        path = self._path(cell, "pt")
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.save({"cell": asdict(cell), **state}, path.with_suffix(".part"))
        os.replace(path.with_suffix(".part"), path)

    def results(self) -> list[Result]:
        """Of all cells here, sorted by file name."""
        found = (self._read(path) for path in sorted((self.path / "cells").glob("*.json")))
        return [result for result in found if result is not None]

    def read(self, name: str) -> dict[str, Any] | None:
        return self._read(self.path / name, ())

    def write(self, name: str, text: str) -> None:
        self._write(self.path / name, text.encode())

    def agree(self, name: str, content: dict[str, Any]) -> dict[str, Any]:
        """Of several commands at once the first one's content, in a file of this name."""
        path = self.path / name
        part = path.with_name(f"{name}.{os.getpid()}")
        part.write_text(json.dumps(content) + "\n")
        try:
            os.link(part, path)  # fails where there is one, and never leaves half of one
        except FileExistsError:
            pass
        finally:
            part.unlink()
        return self._read(path, ()) or content

    def _read(self, path: Path, needed: tuple[str, ...] = ("cell", "error", "curve")) -> dict[str, Any] | None:
        if not path.exists():
            return None
        try:
            content = json.loads(path.read_text())
            lacking = [name for name in needed if name not in content]
        except (ValueError, TypeError) as error:
            raise Refused(f"{path} is no result of this program ({error}): move it away") from error
        if lacking:
            raise Refused(f"{path} is no result of this program (no {lacking[0]!r} in it): move it away")
        return content

    def _path(self, cell: Cell, suffix: str) -> Path:
        return self.path / "cells" / f"{cell.name}.{suffix}"

    def _write(self, path: Path, content: bytes) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(path.name + ".part")
        part.write_bytes(content)
        os.replace(part, path)

    def _compare(self, path: Path, seen: dict[str, Any], cell: Cell) -> None:
        expected = asdict(cell)
        seen = {field.name: field.default for field in fields(cell)} | seen  # an older version knew less
        names = [field.name for field in fields(cell) if seen[field.name] != expected[field.name]]
        if names:
            differences = ", ".join(f"{name} {seen[name]!r}, not {expected[name]!r}" for name in names)
            raise Refused(f"{path} is of another configuration ({differences}): give another --output, or remove it")
