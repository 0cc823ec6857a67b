"""Times ``stn_cuda.grid_sample`` beside ``torch.nn.functional.grid_sample``, after asserting that both are right.

    python benchmarks/bench_sampler.py [--only REGEX] [--passes forward,backward] [--threads N] [--output DIR]

Every row says where stn_cuda is faster, equal or slower, with the spread of the ratio torch / ours; the exit status is 1 if
a result was WRONG, and then that row has no time. ``timing.py`` says how it is measured, ``cases.py`` what; ``conditions.py``
on what machine.
"""
from __future__ import annotations

import argparse
import json
import math
import os
import re
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # before torch is loaded; its profiler would write between the progress
sys.path.append(str(Path(__file__).resolve().parents[1]))  # this package, and an stn_cuda that is built in place
import torch
import torch.nn.functional as F
from tqdm import tqdm

import stn_cuda
from benchmarks import timing
from benchmarks.cases import CALL_OVERHEAD, OVERHEAD_PASSES, PASSES, WORKLOADS, Call, Sampler, Tensors, Workload
from benchmarks.conditions import conditions
from stn_cuda import reference

WRONG = "WRONG"
NOT_MEASURED = "not measured"
COLUMNS = ("workload", "pass", "ours us", "torch us", "torch / ours (quartiles)", "verdict", "error ours", "torch", "allowed",
           "peak MB ours", "torch", "wall us ours", "torch", "timed by")


@dataclass(frozen=True)
class Row:
    """A workload and a pass, and what came of it; a row without times has a reason."""

    workload: str
    pass_name: str
    verdict: str
    reason: str = ""
    our_us: float | None = None
    torch_us: float | None = None
    ratio: float | None = None  # torch / ours: above 1 is in our favour
    ratio_low: float | None = None  # quartiles over the rounds
    ratio_high: float | None = None
    our_error: float | None = None  # against float64, relative to the largest value
    torch_error: float | None = None
    allowed_error: float | None = None
    our_peak_bytes: int | None = None  # beyond what was held before the call
    torch_peak_bytes: int | None = None
    our_wall_us: float | None = None  # on CUDA: a call as its caller feels it, launches and Python among it
    torch_wall_us: float | None = None
    timed_by: str = ""  # on CUDA: what the times above are by


@dataclass(frozen=True)
class Job:
    workload: Workload
    pass_name: str
    build: Callable[[Sampler, Tensors], Call]
    timer: timing.Timer


class NotMeasured(Exception):
    """What this build of stn_cuda, or this torch, cannot do; the text is the row's reason."""


class Wrong(Exception):
    """A result that cannot be accepted, or none at all; the text is the row's reason."""


# ---- one row ------------------------------------------------------------------------------------------------------------

def run(job: Job, device: torch.device) -> Row:
    """Asserts both results, then times both calls."""
    row = Row(job.workload.name, job.pass_name, NOT_MEASURED)
    try:
        tensors = job.workload.tensors(device)
        ours = _build("stn_cuda", stn_cuda.grid_sample, job, tensors)
        theirs = _build("torch", F.grid_sample, job, tensors)
        exact = job.build(job.workload.bind(_judge(job.workload)), tensors.double())()
        our_error, torch_error = (timing.relative_error(call(), exact) for call in (ours, theirs))
        del exact
    except NotMeasured as error:
        return replace(row, reason=str(error))
    except Wrong as error:
        return replace(row, verdict=WRONG, reason=str(error))
    allowed = timing.allowed_error(torch_error, job.workload.dtype, max(job.workload.in_size))
    row = replace(row, our_error=our_error, torch_error=torch_error, allowed_error=allowed)
    if not timing.acceptable(our_error, allowed):
        reason = f"our error {our_error:.2g} is beyond {allowed:.2g}, torch's is {torch_error:.2g}"
        return replace(row, verdict=WRONG, reason=reason)
    peaks = [timing.peak_extra_bytes(call, device) for call in (ours, theirs)]
    if device.type == "cuda" and job.timer is timing.cuda_seconds:
        result, row = _measure_on_cuda(job, tensors, (ours, theirs), row)
    else:
        result = timing.measure(ours, theirs, job.timer)
    return replace(
        row, verdict=result.verdict, our_us=result.ours * 1e6, torch_us=result.theirs * 1e6, ratio=result.ratio,
        ratio_low=result.low, ratio_high=result.high, our_peak_bytes=peaks[0], torch_peak_bytes=peaks[1])


def _measure_on_cuda(job: Job, tensors: Tensors, first: Sequence[Call], row: Row) -> tuple[timing.Comparison, Row]:
    """Over as many copies of the tensors as the cache doesn't hold. The first calls are on the tensors themselves."""
    cache = torch.cuda.get_device_properties(tensors.input.device).L2_cache_size
    copies = [tensors.clone() for _ in range(timing.copies_beyond_cache(tensors.nbytes, cache) - 1)]
    ours, theirs = ([call, *(job.build(job.workload.bind(sampler), copy) for copy in copies)]
                    for call, sampler in zip(first, (stn_cuda.grid_sample, F.grid_sample)))
    result, wall, timed_by = timing.measure_on_cuda(ours, theirs)
    return result, replace(row, our_wall_us=wall.ours * 1e6, torch_wall_us=wall.theirs * 1e6, timed_by=timed_by)


def _build(library: str, sampler: Sampler, job: Job, tensors: Tensors) -> Call:
    """The pass's call, which has been called once: what isn't supported says so by then."""
    try:
        call = job.build(job.workload.bind(sampler), tensors)
        call()
        return call
    except Exception as error:  # whatever it is, the other rows are still to come
        message = f"{library}: {(str(error) or type(error).__name__).splitlines()[0]}"
        raise (NotMeasured if library == "torch" or isinstance(error, NotImplementedError) else Wrong)(message) from error


def _judge(workload: Workload) -> Sampler:
    """Torch's own in float64; of float64 workloads, where it is a party, the reference, which shares no code with either."""
    return reference.grid_sample if workload.dtype == torch.float64 else F.grid_sample


# ---- all rows -----------------------------------------------------------------------------------------------------------

def plan(only: re.Pattern[str], passes: Sequence[str], device: torch.device, threads: int) -> list[Job]:
    """The most valuable first: first derivatives of everything, then call overhead, then second derivatives."""
    timer = timing.timer_for(device, threads)
    overhead_timer = timing.cuda_wall_seconds if device.type == "cuda" else timer
    jobs = [Job(workload, name, PASSES[name], timer)
            for early in (True, False) for workload in WORKLOADS for name in passes if (name != "double_backward") == early]
    overhead = [Job(CALL_OVERHEAD, name, build, overhead_timer) for name, build in OVERHEAD_PASSES.items()]
    first_late = next((index for index, job in enumerate(jobs) if job.pass_name == "double_backward"), len(jobs))
    jobs[first_late:first_late] = overhead
    return [job for job in jobs if only.search(job.workload.name)]


def run_all(jobs: Sequence[Job], device: torch.device, time_budget: float) -> Iterator[Row]:
    """A row a job; those that the budget has no time for say so."""
    start = time.monotonic()
    progress = tqdm(jobs, unit="row", file=sys.stderr)
    for job in progress:
        progress.set_postfix_str(f"{job.workload.name}, {job.pass_name}")
        if time.monotonic() - start >= time_budget:
            yield Row(job.workload.name, job.pass_name, NOT_MEASURED, f"the time budget of {time_budget:g} s was used up")
        else:
            with timing.side_stream(device):
                row = run(job, device)
            yield row


# ---- the report ---------------------------------------------------------------------------------------------------------

def markdown(head: dict[str, str], rows: Sequence[Row]) -> str:
    """The header, a table of the workloads in their own order, one of the call overhead, and the summary."""
    order = [workload.name for workload in WORKLOADS]
    workloads = sorted((row for row in rows if row.workload != CALL_OVERHEAD.name), key=lambda row: order.index(row.workload))
    overhead = [row for row in rows if row.workload == CALL_OVERHEAD.name]
    parts = ["# grid_sample: stn_cuda beside torch", "\n".join(f"- {name}: {value}" for name, value in head.items())]
    for title, section in (("Workloads", workloads), ("Call overhead", overhead)):
        if section:
            parts += [f"## {title}", table(section)]
    return "\n\n".join([*parts, summary(rows)]) + "\n"


def table(rows: Sequence[Row]) -> str:
    """The last columns only where there is something in them, on CUDA."""
    shown = len(COLUMNS) if any(row.timed_by for row in rows) else len(COLUMNS) - 3
    lines = [line[:shown] for line in (COLUMNS, ["---"] * len(COLUMNS), *map(cells, rows))]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def cells(row: Row) -> list[str]:
    spread = "" if row.ratio is None else f"{row.ratio:.2f} ({row.ratio_low:.2f} to {row.ratio_high:.2f})"
    verdict = f"{row.verdict}: {row.reason}".replace("|", "\\|") if row.reason else row.verdict
    return [row.workload, row.pass_name, _number(row.our_us, ".1f"), _number(row.torch_us, ".1f"), spread, verdict,
            *(_number(error, ".1e") for error in (row.our_error, row.torch_error, row.allowed_error)),
            *(_number(None if peak is None else peak / 1e6, ".3g") for peak in (row.our_peak_bytes, row.torch_peak_bytes)),
            *(_number(wall, ".1f") for wall in (row.our_wall_us, row.torch_wall_us)), row.timed_by.replace("|", "\\|")]


def _number(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)


def summary(rows: Sequence[Row]) -> str:
    count = Counter(row.verdict for row in rows)
    return (f"{len(rows)} rows: " + ", ".join(f"{count[verdict]} {verdict}" for verdict in (
        "faster", "equal", "slower", WRONG, NOT_MEASURED)))


def write_json(directory: Path, head: dict[str, str], rows: Sequence[Row]) -> None:
    """The whole file anew, by a rename: it can be read at any time. JSON has no infinity: it becomes a string."""
    values = [{name: str(value) if value == math.inf else value for name, value in asdict(row).items()} for row in rows]
    partial = directory / "bench_sampler.json.partial"
    partial.write_text(json.dumps({"header": head, "rows": values}, indent=1, allow_nan=False) + "\n")
    partial.replace(directory / "bench_sampler.json")


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    devices = ("cuda", "cpu") if torch.cuda.is_available() else ("cpu",)
    parser.add_argument("--device", choices=devices, default=devices[0])
    parser.add_argument("--threads", type=int, default=1, help="of torch on the CPU; more than one: wall clock is measured")
    parser.add_argument("--only", type=regex, metavar="REGEX", default="", help="workloads whose name it is found in")
    parser.add_argument("--passes", type=pass_names, default=tuple(PASSES),
                        help=f"of {','.join(PASSES)}; call overhead has its own")
    parser.add_argument("--time-budget", type=float, metavar="SECONDS", default=float("inf"), help="start no row after it")
    parser.add_argument("--output", type=Path, metavar="DIR", help="for bench_sampler.json (after every row) and .md")
    return parser.parse_args(arguments)


def regex(text: str) -> re.Pattern[str]:
    try:
        return re.compile(text)
    except re.error as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no regular expression: {error}") from error


def pass_names(text: str) -> tuple[str, ...]:
    names = tuple(text.split(","))
    if unknown := [name for name in names if name not in PASSES]:
        raise argparse.ArgumentTypeError(f"expected some of {','.join(PASSES)}, got {','.join(unknown)}")
    return names


def main(arguments: Sequence[str] | None = None) -> int:
    options = parse(arguments)
    torch.set_num_threads(options.threads)
    device = torch.device(options.device)
    head, rows = conditions(device, options.threads), list[Row]()
    jobs = plan(options.only, options.passes, device, options.threads)
    if not jobs:
        print(f"no workload's name matches {options.only.pattern}", file=sys.stderr)
        return 2
    if options.output:
        options.output.mkdir(parents=True, exist_ok=True)
    for row in run_all(jobs, device, options.time_budget):
        rows.append(row)
        if options.output:
            write_json(options.output, head, rows)
    report = markdown(head, rows)
    if options.output:
        (options.output / "bench_sampler.md").write_text(report)
    print(report)
    return 1 if any(row.verdict == WRONG for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
