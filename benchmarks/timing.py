"""Comparing two calls: interleaved timing, the ratio with its spread, the memory of a call, the error of a result."""
from __future__ import annotations

import contextlib
import itertools
import math
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from benchmarks.cases import Call

Timer = Callable[[Call, int], float]  # (call, repeats) -> seconds for all of them

ROUNDS = 25
ROUND_SECONDS = 6e-3  # of each side in a round; shorter ones measure the clock and the scheduler
WARM_UP_CALLS = 2


# ---- time ---------------------------------------------------------------------------------------------------------------

def timer_for(device: torch.device, threads: int) -> Timer:
    """CPU time on one thread, which other processes disturb little; wall clock on several; on CUDA see measure_on_cuda."""
    if device.type == "cuda":
        return cuda_seconds
    return process_seconds if threads == 1 else wall_seconds


def process_seconds(call: Call, repeats: int) -> float:
    return _clocked(time.process_time, call, repeats)


def wall_seconds(call: Call, repeats: int) -> float:
    return _clocked(time.perf_counter, call, repeats)


def _clocked(clock: Callable[[], float], call: Call, repeats: int) -> float:
    start = clock()
    for _ in range(repeats):
        call()
    return clock() - start


# Written from the manual: nothing for CUDA here has run on a GPU yet.
def cuda_seconds(call: Call, repeats: int) -> float:
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    start.record()
    for _ in range(repeats):
        call()
    end.record()
    end.synchronize()
    return start.elapsed_time(end) / 1e3  # from ms


def cuda_wall_seconds(call: Call, repeats: int) -> float:
    """Also what Python and the launches take, as the caller feels it: for call overhead."""
    torch.cuda.synchronize()
    start = time.perf_counter()
    for _ in range(repeats):
        call()
    torch.cuda.synchronize()
    return time.perf_counter() - start


CACHE_TIMES = 4  # calls go round as many bytes as this many L2 caches hold, or most of them would be read from there
MOST_COPIES = 64


def copies_beyond_cache(tensor_bytes: int, cache_bytes: int) -> int:
    """How many sets of tensors calls have to go round."""
    return min(MOST_COPIES, 1 + CACHE_TIMES * cache_bytes // max(1, tensor_bytes))


def in_turn(calls: Sequence[Call]) -> Call:
    """The next of them at each call."""
    endless = itertools.cycle(calls)
    return lambda: next(endless)()


def captured(calls: Sequence[Call]) -> Call:
    """All of them as one CUDA graph on the current stream, on which their tensors were made: without Python, and without a
    launch each."""
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, stream=torch.cuda.current_stream()):
        results = [call() for call in calls]

    def replay() -> Sequence[Tensor]:
        graph.replay()
        return results[-1]

    return replay


def side_stream(device: torch.device) -> contextlib.AbstractContextManager:
    """A stream that may be captured, which the default one may not: a backward runs on its forward's stream."""
    return torch.cuda.stream(torch.cuda.Stream()) if device.type == "cuda" else contextlib.nullcontext()


def measure_on_cuda(ours: Sequence[Call], theirs: Sequence[Call]) -> tuple[Comparison, Comparison, str]:
    """Device time a call, by graphs or, where either can't be captured, by events around calls; and the caller's time."""
    eager = [in_turn(calls) for calls in (ours, theirs)]
    wall = measure(eager[0], eager[1], cuda_wall_seconds)
    try:
        graphs = [captured(calls) for calls in (ours, theirs)]
    except Exception as error:  # whatever it is, there are events
        torch.cuda.synchronize()
        reason = (str(error) or type(error).__name__).splitlines()[0]
        return measure(eager[0], eager[1], cuda_seconds), wall, f"events, no graph: {reason}"
    result, count = measure(graphs[0], graphs[1], cuda_seconds), len(ours)
    return replace(result, ours=result.ours / count, theirs=result.theirs / count), wall, "graph"


def repeats_for(call: Call, timer: Timer, seconds: float) -> int:
    """How many calls take at least ``seconds``, by doubling; at least one."""
    for _ in range(WARM_UP_CALLS):
        call()
    repeats = 1
    while (taken := timer(call, repeats)) < seconds / 2:
        repeats *= 2
    return max(1, math.ceil(repeats * seconds / taken))


@dataclass(frozen=True)
class Comparison:
    """Two calls beside each other; the ratio is theirs / ours, so that more than 1 is in our favour."""

    ours: float  # seconds a call, the median over the rounds
    theirs: float
    ratio: float  # the median of the rounds' ratios
    low: float  # their quartiles
    high: float

    @property
    def verdict(self) -> str:
        """A difference inside the spread is none."""
        if self.low > 1:
            return "faster"
        return "slower" if self.high < 1 else "equal"


def compare(ours: Sequence[float], theirs: Sequence[float]) -> Comparison:
    """From seconds a call in every round. A ratio is formed within a round: what slows a round slows both."""
    ratios = [their / our for our, their in zip(ours, theirs, strict=True)]
    low, ratio, high = statistics.quantiles(ratios, n=4, method="inclusive")
    return Comparison(statistics.median(ours), statistics.median(theirs), ratio, low, high)


def measure(ours: Call, theirs: Call, timer: Timer, rounds: int = ROUNDS, seconds: float = ROUND_SECONDS) -> Comparison:
    """Times A B A B ... in one process, every round a number of calls that takes at least ``seconds``."""
    calls = ours, theirs
    repeats = [repeats_for(call, timer, seconds) for call in calls]
    times: tuple[list[float], list[float]] = [], []
    for _ in range(rounds):
        for side in range(2):
            times[side].append(timer(calls[side], repeats[side]) / repeats[side])
    return compare(*times)


# ---- memory -------------------------------------------------------------------------------------------------------------

def peak_extra_bytes(call: Call, device: torch.device) -> int:
    """The most that the call holds at any time beyond what was held before it, with the results it returns."""
    if device.type == "cuda":
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        call()
        torch.cuda.synchronize()
        return torch.cuda.max_memory_allocated() - before
    return _cpu_peak_extra_bytes(call)


def _cpu_peak_extra_bytes(call: Call) -> int:
    """The highest running sum of torch's allocations and frees, as its profiler records them.

    It counts every tensor, also those inside of operators and in graphs, to the byte and the same each time. It doesn't count
    a kernel's own stack and malloc, nor Python's objects. A subprocess's peak resident memory would count these, and also
    pages of the allocator and of code, megabytes that change from run to run: more than most of these workloads hold.
    """
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profiler:
        results = call()  # held until the profiler ends
    del results
    events = [event for event in profiler.profiler.kineto_results.events() if event.name() == "[memory]"]
    peak = held = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        held += event.nbytes()
        peak = max(peak, held)
    return peak


# ---- errors -------------------------------------------------------------------------------------------------------------

EPS_WIDTHS = 4.0  # granted beyond torch's own error


def relative_error(results: Sequence[Tensor], judged_by: Sequence[Tensor]) -> float:
    """The largest difference, each tensor's divided by its largest exact value; infinite for a NaN or another shape."""
    worst = 0.0
    for result, exact in zip(results, judged_by, strict=True):
        if result.shape != exact.shape:
            return math.inf
        if exact.numel() == 0:
            continue
        scale = exact.abs().max().item() or 1.0
        error = (result.detach().double() - exact).abs().max().item() / scale
        worst = max(worst, error if math.isfinite(error) else math.inf)
    return worst


def allowed_error(torch_error: float, dtype: torch.dtype, width: int) -> float:
    """Torch's error and a few eps * width, about what rounding a coordinate costs.

    16-bit tensors are to be computed in float32 and rounded to their own eps at the end. Torch's error isn't granted there: on
    the CPU it computes coordinates in 16 bits, and misses the pixel.
    """
    eps, single = torch.finfo(dtype).eps, torch.finfo(torch.float32).eps
    granted = EPS_WIDTHS * (eps + min(eps, single) * width)
    return granted if eps > single else torch_error + granted


def acceptable(our_error: float, allowed: float) -> bool:
    """Never a NaN or an infinity of ours, whatever torch's result is."""
    return math.isfinite(our_error) and our_error <= allowed
