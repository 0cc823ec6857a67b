"""Where the microseconds of a small call go: the stages of grid_sample and of its backward, beside torch's whole calls.

    python -m benchmarks.call_account [--quick] [--output DIR]

A stage is what some calls take more than others that lack it, so that the stages of a pass add up to it. All calls are timed in
turn, CPU time, one thread; medians. Each is timed in a loop of its own and finds its code in the caches. A backward by torch's
engine finds less of it there, and what that costs is in the last of its stages. Writes call_account.json and .md into DIR.
"""
from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch.autograd import Function

sys.path.append(str(Path(__file__).resolve().parents[1]))
import stn_cuda
from benchmarks import timing
from benchmarks.conditions import conditions
from benchmarks.report import lines_of
from stn_cuda import _checks
from stn_cuda._extension import _C

SHAPE = 1, 1, 8, 8
CPU = torch.device("cpu")
Calls = Mapping[str, Callable[[], Any]]


@dataclass(frozen=True)
class Stage:
    """The calls `more` less the calls `less`."""

    pass_name: str
    words: str
    more: tuple[str, ...]
    less: tuple[str, ...] = ()

    def of(self, times: Mapping[str, float]) -> float:
        return sum(times[name] for name in self.more) - sum(times[name] for name in self.less)


FORWARD, RECORDED, BACKWARD = PASSES = "forward", "forward that wants gradients", "backward"
STAGES = (
    Stage(FORWARD, "the operator for one location: torch's dispatch, its arguments checked, memory, launch", ("read one",)),
    Stage(FORWARD, "63 locations more", ("read",), ("read one",)),
    Stage(FORWARD, "tensors checked in Python, for torch's exceptions and messages", ("check",)),
    Stage(FORWARD, "the rest in Python: names to numbers, autocast, who is tracing", ("forward",), ("read", "check")),
    Stage(RECORDED, "the forward", ("forward",)),
    Stage(RECORDED, "an autograd Function: its node, what it saves", ("recorded",), ("forward",)),
    Stage(BACKWARD, "torch.autograd.grad and a Function that does nothing", ("nothing",)),
    Stage(BACKWARD, "the operator for one location", ("add one",)),
    Stage(BACKWARD, "63 locations more", ("add",), ("add one",)),
    Stage(BACKWARD, "the route to the operator, and colder caches for all of it", ("backward",), ("nothing", "add")),
)
WHOLE = {FORWARD: ("forward", "torch's forward"), RECORDED: ("recorded", "torch's recorded"),
         BACKWARD: ("backward", "torch's backward")}  # ours, torch's


class Nothing(Function):
    """Has gradients at hand."""

    @staticmethod
    def forward(ctx: Any, input: torch.Tensor, grid: torch.Tensor) -> torch.Tensor:
        ctx.gradients = torch.zeros_like(input), torch.zeros_like(grid)
        return torch.zeros_like(input)

    @staticmethod
    def backward(ctx: Any, grad_output: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return ctx.gradients


def calls() -> Calls:
    generator = torch.Generator().manual_seed(0)
    input, grad_output = (torch.randn(SHAPE, generator=generator) for _ in range(2))
    grid = 2 * torch.rand(1, *SHAPE[2:], 2, generator=generator) - 1
    options = _C.INTERPOLATION_MODES["bilinear"], [_C.PADDING_MODES["zeros"]], _C.COORDINATE_CONVENTIONS["edges"], None, False
    one_grid, one_grad_output = grid[:, :1, :1].clone(), grad_output[..., :1, :1].clone()
    read = torch.ops.stn_cuda._grid_sample.default
    add = torch.ops.stn_cuda.grid_sample_backward.default
    both = [True, True, False], False
    leaves = input.clone().requires_grad_(), grid.clone().requires_grad_()
    ours = stn_cuda.grid_sample(*leaves, align_corners=False)
    theirs = F.grid_sample(*leaves, align_corners=False)
    nothing = Nothing.apply(*leaves)
    return {
        "read one": lambda: read(input, one_grid, *options),
        "read": lambda: read(input, grid, *options),
        "check": lambda: _checks.check_grid_sample(input, grid),
        "forward": lambda: stn_cuda.grid_sample(input, grid, align_corners=False),
        "torch's forward": lambda: F.grid_sample(input, grid, align_corners=False),
        "recorded": lambda: stn_cuda.grid_sample(*leaves, align_corners=False),
        "torch's recorded": lambda: F.grid_sample(*leaves, align_corners=False),
        "nothing": lambda: torch.autograd.grad(nothing, leaves, grad_output, retain_graph=True),
        "add one": lambda: add(one_grad_output, input, one_grid, *options, *both),
        "add": lambda: add(grad_output, input, grid, *options, *both),
        "backward": lambda: torch.autograd.grad(ours, leaves, grad_output, retain_graph=True),
        "torch's backward": lambda: torch.autograd.grad(theirs, leaves, grad_output, retain_graph=True),
    }


def measure(all_calls: Calls, rounds: int, seconds: float) -> dict[str, float]:
    """Microseconds a call."""
    repeats = {name: timing.repeats_for(call, timing.process_seconds, seconds) for name, call in all_calls.items()}
    times: dict[str, list[float]] = {name: [] for name in all_calls}
    for _ in range(rounds):
        for name, call in all_calls.items():
            times[name].append(timing.process_seconds(call, repeats[name]) / repeats[name])
    return {name: 1e6 * statistics.median(of_call) for name, of_call in times.items()}


def markdown(header: Mapping[str, str], times: Mapping[str, float]) -> str:
    shape, conditions_met = "x".join(map(str, SHAPE)), "\n".join(f"- {name}: {value}" for name, value in header.items())
    parts = [f"# Where the microseconds of a {shape} call go", conditions_met]
    for pass_name in PASSES:
        cells = [["stage", "us"], ["---", "---"]]
        cells += [[stage.words, f"{round(stage.of(times), 1) + 0:.1f}"] for stage in STAGES if stage.pass_name == pass_name]
        ours, theirs = (times[name] for name in WHOLE[pass_name])
        cells += [["**all of it**", f"**{ours:.1f}**"], ["torch's, all of it", f"{theirs:.1f}"]]
        parts.append(f"## {pass_name}\n\n{lines_of(cells, range(2))}")
    return "\n\n".join(parts) + "\n"


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a few short rounds, which say nothing about speed")
    parser.add_argument("--output", type=Path, metavar="DIR", help="for call_account.json and call_account.md")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    options = parse(arguments)
    rounds, seconds = (3, 1e-4) if options.quick else (timing.ROUNDS, timing.ROUND_SECONDS)
    torch.set_num_threads(1)
    clock = f"CPU time; {rounds} rounds, each call {seconds * 1e3:g} ms or more, in turn; medians"
    header = {**conditions(CPU, 1), "clock": clock}
    times = measure(calls(), rounds, seconds)
    text = markdown(header, times)
    print(text, end="")
    if options.output:
        options.output.mkdir(parents=True, exist_ok=True)
        written = {"header": header, "us": times}
        (options.output / "call_account.json").write_text(json.dumps(written, indent=1, allow_nan=False) + "\n")
        (options.output / "call_account.md").write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
