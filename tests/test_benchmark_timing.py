"""How the benchmark measures: its pure parts, by clocks of the tests' own."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from benchmarks import timing
from benchmarks.cases import Call

CPU = torch.device("cpu")


# Statistics


def test_ratio_is_formed_within_a_round() -> None:
    """A machine that is slower by tenfold in half of the rounds leaves the ratio as it is."""
    result = timing.compare([1.0, 10.0, 1.0, 10.0], [2.0, 20.0, 2.0, 20.0])
    assert (result.ratio, result.low, result.high) == (2, 2, 2)
    assert (result.ours, result.theirs) == (5.5, 11.0)


def test_spread_is_the_quartiles() -> None:
    result = timing.compare([1.0] * 5, [5.0, 1.0, 4.0, 2.0, 3.0])
    assert (result.low, result.ratio, result.high) == (2, 3, 4)


@pytest.mark.parametrize(
    "ratios, verdict",
    [
        ([1.1, 1.2, 1.3, 1.2, 1.1], "faster"),
        ([0.9, 0.8, 0.7, 0.8, 0.9], "slower"),
        ([0.8, 0.9, 1.2, 1.3, 1.4], "equal"),  # the median is 1.2, and a quarter of the rounds says slower
        ([0.5, 0.7, 0.8, 1.1, 1.2], "equal"),
        ([1.0, 1.0, 1.0, 1.0, 1.0], "equal"),
        ([0.1, 1.2, 1.2, 1.2, 9.0], "faster"),  # single rounds don't matter
    ],
)
def test_a_difference_inside_the_spread_is_equal(ratios: list[float], verdict: str) -> None:
    assert timing.compare([1.0] * len(ratios), ratios).verdict == verdict


def test_sides_alternate_with_repeats_of_their_own() -> None:
    """By a clock on which our call takes 1 s and torch's 4 s."""
    log: list[tuple[str, int]] = []

    def ours() -> tuple[Tensor, ...]:
        return ()

    def timer(call: Call, repeats: int) -> float:
        log.append(("ours" if call is ours else "theirs", repeats))
        return repeats * (1.0 if call is ours else 4.0)

    result = timing.measure(ours, lambda: (), timer, rounds=3, seconds=8)
    assert log[-6:] == [("ours", 8), ("theirs", 2)] * 3
    assert (result.ours, result.theirs, result.ratio) == (1, 4, 4)


# What a GPU's times need, without a GPU


def test_calls_go_round_more_memory_than_the_cache_holds() -> None:
    copies = timing.copies_beyond_cache(10_000_000, 60_000_000)
    assert 10_000_000 * copies > 4 * 60_000_000 and copies == 25
    assert timing.copies_beyond_cache(10**12, 60_000_000) == 1
    assert timing.copies_beyond_cache(100, 60_000_000) == timing.MOST_COPIES


def test_calls_take_turns() -> None:
    log: list[int] = []

    def call(number: int) -> Sequence[Tensor]:
        log.append(number)
        return ()

    together = timing.in_turn([functools.partial(call, number) for number in range(3)])
    for _ in range(5):
        together()
    assert log == [0, 1, 2, 0, 1]


@pytest.mark.parametrize("captures", [True, False])
def test_device_time_is_a_graphs_or_else_by_events(monkeypatch: pytest.MonkeyPatch, captures: bool) -> None:
    """By clocks on which a call takes 1 s of the device and 3 s of the caller."""

    def captured(calls: Sequence[Call]) -> Call:
        if not captures:
            raise RuntimeError("no capture of this")
        return lambda: [call() for call in calls][-1]

    monkeypatch.setattr(timing, "captured", captured)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: None)
    monkeypatch.setattr(timing, "cuda_seconds", lambda call, repeats: repeats * (4.0 if captures else 1.0))  # four copies
    monkeypatch.setattr(timing, "cuda_wall_seconds", lambda call, repeats: repeats * 3.0)
    result, wall, timed_by = timing.measure_on_cuda([lambda: ()] * 4, [lambda: ()] * 4)
    assert (result.ours, result.theirs, wall.ours, wall.theirs) == (1, 1, 3, 3)
    assert timed_by == ("graph" if captures else "events, no graph: no capture of this")


# Memory and errors


def test_peak_memory_counts_what_is_freed_within_the_call() -> None:
    def call() -> tuple[Tensor]:
        scratch = torch.ones(3000, dtype=torch.float64)
        del scratch
        return (torch.ones(1000, dtype=torch.float64) + 1,)  # two tensors at once

    assert timing.peak_extra_bytes(call, CPU) == 24_000
    assert timing.peak_extra_bytes(lambda: (torch.ones(1000),), CPU) == 4000


def test_error_is_relative_to_the_largest_value_of_its_tensor() -> None:
    exact = torch.tensor([0.0, 100.0]).double(), torch.tensor([1.0]).double()
    for values, error in (([1.0, 100.0], 0.01), ([math.nan, 100.0], math.inf), ([0.0], math.inf)):
        assert timing.relative_error((torch.tensor(values), torch.tensor([1.0])), exact) == pytest.approx(error)


def test_nan_and_16_bit_errors_are_not_excused_by_torchs_own() -> None:
    assert not timing.acceptable(math.inf, math.inf)
    assert timing.allowed_error(0.5, torch.float32, 64) > 0.5
    assert timing.allowed_error(0.5, torch.bfloat16, 64) < 0.05
