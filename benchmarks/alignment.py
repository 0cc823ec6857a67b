"""How far off may a start be? Alignment by gradient descent with the exact and with the linearised gradient of theta.

    python -m benchmarks.alignment [--tasks translation] [--output DIR]

The image is a flat square, blank around it, of 8 pixels in 48 x 48. The target is the same image, displaced by a share of the
square's size in a direction; theta starts at the identity, and Adam lessens the squared difference of
``affine_sample(image, theta)`` and the target. A run succeeds if it ends with the square's corners less than a pixel from where
they are in the target, on average. The reach of the linearised gradient is fixed, or shrinks geometrically from step to step.

Writes alignment.json and alignment.md into DIR, by default benchmarks/results. Every run gives the same numbers.
"""
from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

sys.path.append(str(Path(__file__).resolve().parents[1]))
import stn_cuda
from benchmarks.report import lines_of

RESULTS = Path(__file__).resolve().parent / "results"
SIZE, BLOB = 48, 8  # pixels
LEARNING_RATE = 0.01  # of normalised positions: a step of Adam is about a quarter of a pixel
SHARES = (0.2, 0.4, 0.6, 0.8, 1.0, 1.2, 1.4, 1.6, 1.8, 2.0)


@dataclass(frozen=True)
class Task:
    words: str
    affine: bool = False  # all of theta is free, and not its translation alone
    noise: float = 0.0  # its deviation in the target; the square is 1 on 0


@dataclass(frozen=True)
class Method:
    words: str
    reach: tuple[float, float] = (1.0, 1.0)  # at the first step and at the last, in sizes of the blob
    samples: int = 0  # 0: the exact gradient

    def options(self, progress: float) -> dict[str, Any]:
        first, last = self.reach
        reach = BLOB * first * (last / first) ** progress
        return {"gradient": "linearized", "reach": reach, "samples": self.samples} if self.samples else {"gradient": "exact"}


TASKS = {
    "translation": Task("The translation is sought"),
    "noise": Task("The translation is sought, noise of deviation 0.3 in the target", noise=0.3),
    "affine": Task("All six numbers of theta are sought", affine=True),
}
METHODS = [
    Method("exact"),
    *(Method(f"reach {BLOB * reach:g} px, {samples} samples", (reach, reach), samples)
      for reach in (0.5, 1, 2) for samples in (8, 16)),
    *(Method(f"reach {BLOB * 2} to {BLOB / 8:g} px, {samples} samples", (2, 1 / 8), samples) for samples in (8, 16)),
]  # fmt: skip


@dataclass(frozen=True)
class Row:
    """A task and a method, and for each displacement: the share of directions that succeeded, and the median error."""

    task: str
    method: str
    displacements: list[float]  # in sizes of the blob
    success: list[float]
    median_error: list[float]  # pixels


def square() -> Tensor:  # [1, 1, SIZE, SIZE]
    border = (SIZE - BLOB) // 2
    return torch.nn.functional.pad(torch.ones(1, 1, BLOB, BLOB), [border] * 4)


def displaced(shares: Sequence[float], directions: int) -> Tensor:
    """[shares * directions, 2], normalised. No direction is along an axis."""
    angles = (torch.arange(directions) + 0.3) * (2 * math.pi / directions)
    around = torch.stack([angles.cos(), angles.sin()], -1)
    return (torch.tensor(shares)[:, None, None] * around).reshape(-1, 2) * BLOB * 2 / SIZE


def align(task: Task, method: Method, shifts: Tensor, steps: int) -> Tensor:
    """The errors in pixels, [N], after gradient descent on all shifts at once; each is a run of its own."""
    image, start = square(), torch.eye(2, 3).expand(len(shifts), 2, 3)
    aim = start + torch.nn.functional.pad(shifts[..., None], (2, 0))
    target = stn_cuda.affine_sample(image, aim)
    target = target + task.noise * torch.randn(target.shape, generator=torch.Generator().manual_seed(0))
    change = torch.zeros_like(start, memory_format=torch.contiguous_format).requires_grad_()
    free = torch.tensor([1.0 if task.affine else 0.0] * 2 + [1.0])  # columns of theta
    optimizer = torch.optim.Adam([change], lr=LEARNING_RATE)
    for step in range(steps):
        output = stn_cuda.affine_sample(image, start + free * change, **method.options(step / max(1, steps - 1)))
        optimizer.zero_grad()
        (output - target).square().mean((1, 2, 3)).sum().backward()
        optimizer.step()
    return corner_errors(start + free * change.detach(), aim, shifts)


def corner_errors(theta: Tensor, aim: Tensor, shifts: Tensor) -> Tensor:
    """How far apart the two maps read at the corners of the target's square, in pixels of the image."""
    half = BLOB / SIZE
    corners = torch.tensor([[x, y] for x in (-half, half) for y in (-half, half)]) - shifts[:, None]  # [N, 4, 2]
    at = torch.nn.functional.pad(corners, (0, 1), value=1.0)
    return (at @ (theta - aim).mT).norm(dim=-1).mean(-1) * SIZE / 2


def measure(name: str, method: Method, shares: Sequence[float], directions: int, steps: int) -> Row:
    errors = align(TASKS[name], method, displaced(shares, directions), steps).view(len(shares), directions)
    return Row(name, method.words, list(shares), (errors < 1).double().mean(1).tolist(),
               errors.double().quantile(0.5, 1).tolist())  # fmt: skip


def markdown(head: dict[str, Any], rows: Sequence[Row]) -> str:
    parts = ["# Alignment: exact and linearised gradients", "\n".join(f"- {name}: {value}" for name, value in head.items()),
             "Successes in % of the directions (median error in pixels), for displacements in % of the square's size."]
    for name in dict.fromkeys(row.task for row in rows):
        section = [row for row in rows if row.task == name]
        titles = ["gradient", *(f"{share:.0%}" for share in section[0].displacements)]
        lines = [[row.method, *(f"{100 * success:.0f} ({error:.2f})" for success, error in zip(row.success, row.median_error))]
                 for row in section]
        parts += [f"## {TASKS[name].words}", lines_of([titles, ["---"] * len(titles), *lines], range(len(titles)))]
    return "\n\n".join(parts) + "\n"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS), help="which (all)")
    parser.add_argument("--displacements", nargs="+", type=float, default=SHARES, help="in sizes of the square (0.2 to 2)")
    parser.add_argument("--directions", type=int, default=8, help="of each displacement (8)")
    parser.add_argument("--steps", type=int, default=150, help="of gradient descent (150)")
    parser.add_argument("--output", type=Path, default=RESULTS, help="the folder to write into")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    head = {"directions": options.directions, "steps": options.steps, "learning rate": LEARNING_RATE,
            "image": f"{SIZE} x {SIZE}", "square": f"{BLOB} pixels", "torch": torch.__version__}  # fmt: skip
    runs = [(name, method) for name in options.tasks for method in METHODS]
    rows = [measure(name, method, options.displacements, options.directions, options.steps)
            for name, method in tqdm(runs, unit="table row")]
    options.output.mkdir(parents=True, exist_ok=True)
    written = {"header": head, "rows": [asdict(row) for row in rows]}
    (options.output / "alignment.json").write_text(json.dumps(written, indent=1, allow_nan=False) + "\n")
    (options.output / "alignment.md").write_text(text := markdown(head, rows))
    print(text, end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
