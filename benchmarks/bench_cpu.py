"""Holds the CPU kernels' speed against torch eager, and in some rows compiled, to floors; results are asserted right before.

    python benchmarks/bench_cpu.py [--only REGEX] [--instruction-set NAME] [--default-malloc] [--output DIR]

A row is ``met`` or ``below`` by its median ratio torch / ours, or ``reported`` where there is no floor for it. One thread, CPU
time, the two sides in turn (``timing.py``); rows of two threads are of wall clock. The exit status is 1 if a result was WRONG,
and then that row has no time; a floor missed is no error of the program. ``cpu_cases.py`` has the rows and their floors.
"""
from __future__ import annotations

import argparse
import functools
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1]))  # this package, and an stn_cuda that is built in place
from benchmarks import bench_sampler  # before torch: it quiets its profiler

# isort: split
import torch
from tqdm import tqdm

import stn_cuda
from benchmarks import cpu_cases, cpu_report, timing
from benchmarks.cases import Call
from benchmarks.conditions import conditions, keep_freed_memory
from benchmarks.cpu_cases import THREADS, Target
from benchmarks.cpu_report import Row
from benchmarks.report import NOT_MEASURED, WRONG, write_json

CPU = torch.device("cpu")
INSTRUCTION_SETS = "baseline", "avx2", "avx512"  # in the order of stn::cpu::kInstructionSets


@dataclass(frozen=True)
class Effort:
    rounds: int = timing.ROUNDS
    seconds: float = timing.ROUND_SECONDS  # of each side in a round

    def measure(self, ours: Call, theirs: Call, timer: timing.Timer) -> timing.Comparison:
        return timing.measure(ours, theirs, timer, self.rounds, self.seconds)

    @property
    def words(self) -> str:
        return f"{self.rounds} rounds, each side {self.seconds * 1e3:g} ms or more, A B A B; medians, quartiles"


QUICK = Effort(3, 1e-4)  # shows that rows run, and nothing about speed


# ---- one row ------------------------------------------------------------------------------------------------------------

def run(target: Target, effort: Effort) -> Row:
    """Asserts the results, then times both sides."""
    step = target.step
    row = functools.partial(Row, target.section, step.workload.name, step.pass_name, floor=target.floor,
                            memory_bound=target.memory_bound)
    job = bench_sampler.Job(target.section, step, timing.process_seconds,
                            two_threads_beside_one(effort) if target.section == THREADS else effort.measure)
    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if target.section == THREADS and available < 2:
        return row(NOT_MEASURED, "there is one core")
    result = bench_sampler.run(job, CPU)
    row = functools.partial(row, our_error=result.our_error, allowed_error=result.allowed_error)
    if result.ratio is None or result.torch_us is None or result.our_peak_bytes is None:
        return row(result.verdict, result.reason)
    memory_ratio = None
    if target.memory_bound is not None:
        memory_ratio = result.our_peak_bytes / cpu_cases.second_backward_bytes(step.workload)
    verdict, note = cpu_report.judged(result.ratio, target.floor, result.torch_us / 1e6, target.floor_from,
                                      memory_ratio=memory_ratio, memory_bound=target.memory_bound)
    if target.section == THREADS:
        note = "; ".join([*([note] if note else []), f"load average {load_average()}"])
    return row(
        verdict, note, ratio=result.ratio, ratio_low=result.ratio_low, ratio_high=result.ratio_high, our_us=result.our_us,
        other_us=result.torch_us, our_peak_bytes=result.our_peak_bytes, torch_peak_bytes=result.torch_peak_bytes,
        memory_ratio=memory_ratio)


def two_threads_beside_one(effort: Effort) -> bench_sampler.Measure:
    """Ours beside ours: torch's call was there for its errors and its memory."""

    def measure(ours: Call, theirs: Call, timer: timing.Timer) -> timing.Comparison:
        before = torch.get_num_threads()
        try:
            return effort.measure(on_threads(2, ours), on_threads(1, ours), timing.wall_seconds)
        finally:
            torch.set_num_threads(before)

    return measure


def on_threads(count: int, call: Call) -> Call:
    def threaded() -> Sequence[torch.Tensor]:
        torch.set_num_threads(count)
        return call()

    return threaded


def load_average() -> str:
    return f"{os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "unknown"


# ---- all rows -----------------------------------------------------------------------------------------------------------

def run_all(targets: Sequence[Target], effort: Effort) -> Iterator[Row]:
    progress = tqdm(targets, unit="row", file=sys.stderr)
    for target in progress:
        progress.set_postfix_str(target.name)
        yield run(target, effort)


def header_of(options: argparse.Namespace, effort: Effort) -> dict[str, str]:
    best = stn_cuda.build_info()["instruction_set"]
    kept = not options.default_malloc and keep_freed_memory()
    why = "" if options.default_malloc else " (this libc has no mallopt)"
    return {
        **conditions(CPU, 1),
        "clock": f"CPU time, of two threads wall clock; {effort.words}",
        "instruction set": f"{options.instruction_set or best} (the best one here: {best})",
        "malloc": "freed memory is kept (mallopt)" if kept else f"as it is by default{why}",
    }


# ---- the command --------------------------------------------------------------------------------------------------------

def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--instruction-set", choices=INSTRUCTION_SETS, help="of the kernels; by default the best one here")
    parser.add_argument("--default-malloc", action="store_true",
                        help="leave malloc as users have it: glibc then returns large results to the system after every call")
    parser.add_argument("--only", type=bench_sampler.regex, metavar="REGEX", default="",
                        help="rows in whose 'case, pass' it is found")
    parser.add_argument("--quick", action="store_true", help="a few short rounds, which say nothing about speed")
    parser.add_argument("--output", type=Path, metavar="DIR", help="for bench_cpu.json (after every row), .md and .png")
    return parser.parse_args(arguments)


def use_instruction_set(name: str | None) -> bool:
    """False where this machine doesn't have it."""
    index = -1 if name is None else INSTRUCTION_SETS.index(name)
    try:
        torch.ops.stn_cuda._use_instruction_set(index)
    except ValueError:
        return False
    return True


def main(arguments: Sequence[str] | None = None) -> int:
    options = parse(arguments)
    targets = [target for target in cpu_cases.plan() if options.only.search(target.name)]
    if not targets:
        print(f"no row's name matches {options.only.pattern}", file=sys.stderr)
        return 2
    if not use_instruction_set(options.instruction_set):
        print(f"this machine doesn't have {options.instruction_set}", file=sys.stderr)
        return 2
    torch.set_num_threads(1)
    effort = QUICK if options.quick else Effort()
    header, rows = header_of(options, effort), list[Row]()
    if options.output:
        options.output.mkdir(parents=True, exist_ok=True)
    tqdm.write(cpu_report.title_of(header), file=sys.stdout)
    for row in run_all(targets, effort):
        if not rows or rows[-1].section != row.section:
            tqdm.write(f"\n{cpu_report.head_of(row.section)}", file=sys.stdout)
        tqdm.write(cpu_report.line_of(row), file=sys.stdout)
        rows.append(row)
        if options.output:
            write_json(options.output, header, rows, "bench_cpu.json")
    tqdm.write(f"\n{cpu_report.summary(rows)}", file=sys.stdout)
    if options.output:
        (options.output / "bench_cpu.md").write_text(cpu_report.markdown(header, rows))
        cpu_report.draw(options.output / "bench_cpu.png", header, rows)
    return 1 if any(row.verdict == WRONG for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
