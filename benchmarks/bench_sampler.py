"""Times ``stn_cuda.grid_sample`` beside ``torch.nn.functional.grid_sample``, after asserting that both are right.

    python benchmarks/bench_sampler.py [--only REGEX] [--passes forward,backward] [--threads N] [--output DIR]

Every row says where stn_cuda is faster, equal or slower, with the spread of the ratio torch / ours; the exit status is 1 if
a result was WRONG, and then that row has no time. ``timing.py`` says how it is measured, ``cases.py`` and ``passes.py`` what;
``conditions.py`` on what machine. ``readme.py`` brings a run's figures to the README.
"""
from __future__ import annotations

import argparse
import functools
import os
import re
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # before torch is loaded; its profiler would write between the progress
sys.path.append(str(Path(__file__).resolve().parents[1]))  # this package, and an stn_cuda that is built in place
import torch
import torch.nn.functional as F
from tqdm import tqdm

import stn_cuda
from benchmarks import timing
from benchmarks.cases import CALL_OVERHEAD, WORKLOADS, Call, NotMeasured, Sampler, Tensors, Workload
from benchmarks.conditions import conditions
from benchmarks.passes import OVERHEAD_PASSES, PASSES, SECOND_ORDER_STEPS, STEPS, Step
from benchmarks.report import NOT_MEASURED, OVERHEAD_SECTION, STEPS_SECTION, WORKLOADS_SECTION, WRONG, Row, markdown, write_json
from stn_cuda import reference

Measure = Callable[[Call, Call, timing.Timer], timing.Comparison]  # of ours, torch's


@dataclass(frozen=True)
class Job:
    section: str
    step: Step
    timer: timing.Timer
    measure: Measure | None = None  # timing.measure


class Wrong(Exception):
    """A result that cannot be accepted, or none at all; the text is the row's reason."""


# ---- one row ------------------------------------------------------------------------------------------------------------

def run(job: Job, device: torch.device) -> Row:
    """Asserts both results, then times both calls."""
    step, workload, row = job.step, job.step.workload, blank(job)
    try:
        tensors = workload.tensors(device)
        ours, theirs = (_build(side, tensors) for side in sides(step))
        judge = workload.torch_way.adapt(_judge(workload))
        exact = (step.torch_build or step.build)(workload.bind(judge), tensors.double())()
        our_error, torch_error = (timing.relative_error(call(), exact) for call in (ours, theirs))
        del exact
    except NotMeasured as error:
        return replace(row, reason=str(error))
    except Wrong as error:
        return replace(row, verdict=WRONG, reason=str(error))
    allowed = timing.allowed_error(torch_error, workload.dtype, max(workload.in_size))
    row = replace(row, our_error=our_error, torch_error=torch_error, allowed_error=allowed)
    if not timing.acceptable(our_error, allowed):
        reason = f"our error {our_error:.2g} is beyond {allowed:.2g}, torch's is {torch_error:.2g}"
        return replace(row, verdict=WRONG, reason=reason)
    peaks = [timing.peak_extra_bytes(call, device) for call in (ours, theirs)]
    if device.type == "cuda" and job.timer is timing.cuda_seconds:
        result, row = _measure_on_cuda(step, tensors, (ours, theirs), row)
    else:
        result = (job.measure or timing.measure)(ours, theirs, job.timer)
    return replace(
        row, verdict=result.verdict, our_us=result.ours * 1e6, torch_us=result.theirs * 1e6, ratio=result.ratio,
        ratio_low=result.low, ratio_high=result.high, our_peak_bytes=peaks[0], torch_peak_bytes=peaks[1])


def blank(job: Job) -> Row:
    return Row(job.step.workload.name, job.step.pass_name, NOT_MEASURED, section=job.section, torch_way=job.step.words)


@dataclass(frozen=True)
class Side:
    library: str
    build: Callable[[Tensors], Call]


def sides(step: Step) -> tuple[Side, Side]:
    """Ours, and torch's way of it."""
    ours = step.workload.bind(step.workload.our_way.adapt(getattr(stn_cuda, step.workload.our_function)))
    theirs = step.workload.bind(step.workload.torch_way.adapt(F.grid_sample))
    return (Side("stn_cuda", functools.partial(step.build, ours)),
            Side("torch", functools.partial(step.torch_build or step.build, theirs)))


def _measure_on_cuda(
    step: Step, tensors: Tensors, first: Sequence[Call], row: Row,
) -> tuple[timing.Comparison, Row]:
    """Over as many copies of the tensors as the cache doesn't hold. The first calls are on the tensors themselves."""
    cache = torch.cuda.get_device_properties(tensors.input.device).L2_cache_size
    copies = [tensors.clone() for _ in range(timing.copies_beyond_cache(tensors.nbytes, cache) - 1)]
    ours, theirs = ([call, *map(side.build, copies)] for call, side in zip(first, sides(step)))
    result, wall, timed_by = timing.measure_on_cuda(ours, theirs)
    return result, replace(row, our_wall_us=wall.ours * 1e6, torch_wall_us=wall.theirs * 1e6, timed_by=timed_by)


def _build(side: Side, tensors: Tensors) -> Call:
    """The pass's call, which has been called once: what isn't supported says so by then."""
    try:
        call = side.build(tensors)
        call()
        return call
    except NotMeasured:
        raise
    except Exception as error:  # whatever it is, the other rows are still to come
        message = f"{side.library}: {(str(error) or type(error).__name__).splitlines()[0]}"
        unsupported = side.library == "torch" or isinstance(error, NotImplementedError)
        raise (NotMeasured if unsupported else Wrong)(message) from error


def _judge(workload: Workload) -> Sampler:
    """Torch's own in float64; of float64 workloads, where it is a party, the reference, which shares no code with either."""
    return reference.grid_sample if workload.dtype == torch.float64 else F.grid_sample


# ---- all rows -----------------------------------------------------------------------------------------------------------

def plan(only: re.Pattern[str], passes: Sequence[str], device: torch.device, threads: int) -> list[Job]:
    """The most valuable first: first derivatives of everything, whole steps, call overhead, then second derivatives."""
    timer = timing.timer_for(device, threads)
    overhead_timer = timing.cuda_wall_seconds if device.type == "cuda" else timer
    first = [Step(workload, name, PASSES[name]) for workload in WORKLOADS for name in passes if name != "double_backward"]
    second = [Step(workload, name, PASSES[name]) for workload in WORKLOADS for name in passes if name == "double_backward"]
    overhead = [Step(CALL_OVERHEAD, name, build) for name, build in OVERHEAD_PASSES.items()]
    parts = ((WORKLOADS_SECTION, first, timer), (STEPS_SECTION, STEPS, timer), (OVERHEAD_SECTION, overhead, overhead_timer),
             (STEPS_SECTION, SECOND_ORDER_STEPS, timer), (WORKLOADS_SECTION, second, timer))
    jobs = [Job(section, step, timer) for section, steps, timer in parts for step in steps]
    return [job for job in jobs if only.search(job.step.workload.name)]


def run_all(jobs: Sequence[Job], device: torch.device, time_budget: float) -> Iterator[Row]:
    """A row a job; those that the budget has no time for say so."""
    start = time.monotonic()
    progress = tqdm(jobs, unit="row", file=sys.stderr)
    for job in progress:
        progress.set_postfix_str(f"{job.step.workload.name}, {job.step.pass_name}")
        if time.monotonic() - start >= time_budget:
            yield replace(blank(job), reason=f"the time budget of {time_budget:g} s was used up")
        else:
            with timing.side_stream(device):
                row = run(job, device)
            yield row


# ---- the command --------------------------------------------------------------------------------------------------------

def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    devices = ("cuda", "cpu") if torch.cuda.is_available() else ("cpu",)
    parser.add_argument("--device", choices=devices, default=devices[0])
    parser.add_argument("--threads", type=int, default=1, help="of torch on the CPU; more than one: wall clock is measured")
    parser.add_argument("--only", type=regex, metavar="REGEX", default="", help="workloads whose name it is found in")
    parser.add_argument("--passes", type=pass_names, default=tuple(PASSES),
                        help=f"of {','.join(PASSES)}; whole steps and call overhead have their own")
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
