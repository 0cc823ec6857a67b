"""The benchmark's pure parts, and whole runs of it on a few pixels. What it measures is not tested: times differ."""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from cases import needs_torch_double_backward
from torch import Tensor

import stn_cuda

pytest.importorskip("tqdm", reason="the benchmark shows its progress with tqdm")
from benchmarks import bench_sampler, cases, timing

TINY = cases.Workload("tiny bilinear", (2, 3, 5, 6), (4, 3), cases.affine, padding_mode="border", align_corners=True)
TINY_VOLUME = cases.Workload("tiny volume", (1, 2, 4, 5, 6), (3, 2, 2), cases.flow)
SOON = functools.partial(timing.measure, rounds=3, seconds=1e-5)
CPU = torch.device("cpu")

Run = Callable[..., SimpleNamespace]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, keep_thread_count: None, capsys: pytest.CaptureFixture) -> Run:
    """The command on given workloads, with arguments: its exit status, printed table and JSON."""
    monkeypatch.setattr(timing, "measure", SOON)

    def run(workloads: Sequence[cases.Workload], *arguments: str) -> SimpleNamespace:
        monkeypatch.setattr(bench_sampler, "WORKLOADS", tuple(workloads))
        status = bench_sampler.main(["--device", "cpu", "--output", str(tmp_path), *arguments])
        text = capsys.readouterr().out
        written = json.loads((tmp_path / "bench_sampler.json").read_text())
        assert (tmp_path / "bench_sampler.md").read_text() in text
        return SimpleNamespace(status=status, text=text, rows=written["rows"], header=written["header"])

    return run


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

    def timer(call: cases.Call, repeats: int) -> float:
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

    def captured(calls: Sequence[cases.Call]) -> cases.Call:
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


def test_copies_have_the_values_and_the_strides_of_the_original() -> None:
    tensors = replace(TINY, channels_last=True).tensors(CPU)
    for one, two in zip(vars(tensors).values(), vars(tensors.clone()).values()):
        assert torch.equal(one, two) and one.stride() == two.stride() and one.data_ptr() != two.data_ptr()
        assert two.requires_grad == one.requires_grad and two.is_leaf


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


# Workloads


def test_names_are_unique_and_both_conventions_are_there() -> None:
    assert len({workload.name for workload in cases.WORKLOADS}) == len(cases.WORKLOADS) >= 12
    assert {workload.align_corners for workload in cases.WORKLOADS} == {False, True}


@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize("pattern", [cases.affine, cases.resize, cases.flow, cases.scattered])
@pytest.mark.parametrize("tiny", [TINY, TINY_VOLUME], ids=["2d", "3d"])
def test_coordinates_keep_from_kinks(tiny: cases.Workload, pattern: cases.Pattern, align_corners: bool) -> None:
    workload = replace(tiny, pattern=pattern, dtype=torch.float64, align_corners=align_corners)
    grid = workload.tensors(CPU).grid.detach()
    assert grid.shape == (workload.input_shape[0], *workload.out_size, workload.dims)
    size = torch.tensor(workload.in_size).flip(0)
    pixels = (grid + 1) / 2 * (size - 1) if align_corners else ((grid + 1) * size - 1) / 2
    distance = (2 * pixels - (2 * pixels).round()).abs() / 2
    assert distance.min() >= cases.KINK_DISTANCE - 1e-9


def test_channels_last_reaches_input_and_cotangent() -> None:
    tensors = replace(TINY, channels_last=True).tensors(CPU)
    for tensor in (tensors.input, tensors.grad_output, tensors.grad_grad_input):
        assert tensor.is_contiguous(memory_format=torch.channels_last) and not tensor.is_contiguous()


# Whole runs


def test_run_reports_every_pass_and_call_overhead(run: Run) -> None:
    result = run([TINY, TINY_VOLUME], "--passes", "forward,backward")
    assert result.status == 0, result.text
    assert [(row["workload"], row["pass_name"]) for row in result.rows] == [
        (workload.name, name) for workload in (TINY, TINY_VOLUME) for name in ("forward", "backward")
    ] + [(cases.CALL_OVERHEAD.name, name) for name in cases.OVERHEAD_PASSES]
    for row in result.rows:
        assert row["verdict"] in ("faster", "equal", "slower") and row["our_peak_bytes"] > 0
        assert row["ratio_low"] <= row["ratio"] <= row["ratio_high"]
        assert row["our_error"] <= row["allowed_error"]
    assert result.header["torch"] == torch.__version__ and "## Call overhead" in result.text
    assert "7 rows: " in result.text


@needs_torch_double_backward
def test_second_derivatives_come_last(run: Run) -> None:
    result = run([TINY, replace(TINY, name="tiny nearest", mode="nearest")], "--only", "tiny", "--time-budget", "100")
    assert result.status == 0, result.text
    assert [row["pass_name"] for row in result.rows] == [*["forward", "backward"] * 2, *["double_backward"] * 2]


def broken(input: Tensor, grid: Tensor, *options: Any) -> Tensor:
    raise RuntimeError("the kernel | has failed")


@pytest.mark.parametrize(
    "sampler, name",
    [
        (lambda input, grid, *options: F.grid_sample(input, grid, *options) * 1.001, "forward"),
        (lambda input, grid, *options: F.grid_sample(input, grid.detach() * 0.01 + grid * 0.99, *options), "backward"),
        (lambda input, grid, *options: F.grid_sample(input, grid, *options) * math.nan, "forward"),
        (broken, "forward"),
    ],
    ids=["value", "gradient", "nan", "exception"],
)
def test_a_wrong_result_is_told_and_not_timed(
    monkeypatch: pytest.MonkeyPatch, run: Run, sampler: Callable[..., Tensor], name: str
) -> None:
    monkeypatch.setattr(stn_cuda, "grid_sample", sampler)
    result = run([TINY], "--only", "tiny", "--passes", name)
    (row,) = result.rows
    assert row["verdict"] == "WRONG" and row["reason"] and row["our_us"] is None
    assert result.status == 1 and "1 WRONG" in result.text


def test_what_is_unsupported_is_listed_with_its_reason(monkeypatch: pytest.MonkeyPatch, run: Run) -> None:
    def without_bicubic(input: Tensor, grid: Tensor, mode: str, *options: Any) -> Tensor:
        if mode == "bicubic":
            raise NotImplementedError("no bicubic in this build")
        return F.grid_sample(input, grid, mode, *options)

    monkeypatch.setattr(stn_cuda, "grid_sample", without_bicubic)
    result = run([replace(TINY, name="tiny bicubic", mode="bicubic"), TINY], "--only", "tiny", "--passes", "forward")
    assert result.status == 0
    assert [row["verdict"] == "not measured" for row in result.rows] == [True, False]
    assert "not measured: stn_cuda: no bicubic in this build" in result.text and "1 not measured" in result.text


def test_what_torch_lacks_is_listed_too(monkeypatch: pytest.MonkeyPatch, run: Run) -> None:
    def first_derivatives_only(*arguments: Any) -> Tensor:
        raise RuntimeError("derivative for aten::grid_sampler_2d_backward is not implemented")

    monkeypatch.setattr(bench_sampler, "F", SimpleNamespace(grid_sample=first_derivatives_only))
    result = run([TINY], "--only", "tiny", "--passes", "backward")
    assert result.status == 0 and "not measured: torch: derivative for" in result.text


def test_time_budget_stops_early_and_still_reports(monkeypatch: pytest.MonkeyPatch, run: Run) -> None:
    clock = iter(range(0, 1000, 10))  # 10 s a row
    monkeypatch.setattr(bench_sampler, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    result = run([TINY, TINY_VOLUME], "--time-budget", "25", "--only", "tiny", "--passes", "forward,backward")
    measured = [row["verdict"] != "not measured" for row in result.rows]
    assert measured == [True, True, False, False] and result.status == 0
    assert "the time budget of 25 s was used up" in result.text and "2 not measured" in result.text


def test_json_is_written_after_every_row(monkeypatch: pytest.MonkeyPatch, run: Run, tmp_path: Path) -> None:
    measure = timing.measure
    seen = []

    def look_and_measure(*arguments: Any) -> timing.Comparison:
        path = tmp_path / "bench_sampler.json"
        seen.append(len(json.loads(path.read_text())["rows"]) if path.exists() else 0)
        return measure(*arguments)

    monkeypatch.setattr(timing, "measure", look_and_measure)
    run([TINY, TINY_VOLUME], "--only", "tiny", "--passes", "forward")
    assert seen == [0, 1]


def test_only_selects_by_name(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    result = run([TINY, TINY_VOLUME], "--only", "vol.me", "--passes", "forward")
    assert [row["workload"] for row in result.rows] == [TINY_VOLUME.name]
    assert bench_sampler.main(["--only", "no such workload"]) == 2
    assert "no workload's name matches" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["--only", "("], ["--passes", "forward,sideways"]], ids=str)
def test_bad_arguments_are_refused(arguments: list[str]) -> None:
    with pytest.raises(SystemExit):
        bench_sampler.parse(arguments)
