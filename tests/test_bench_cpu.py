"""The benchmark of the CPU kernels: its rows, its verdicts and what it writes. What it measures is not tested: times differ."""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from cases import needs_torch_double_backward
from tolerances import moved_by

import stn_cuda

pytest.importorskip("tqdm", reason="the benchmark shows its progress with tqdm")
from benchmarks import bench_cpu, cpu_cases, cpu_report, passes
from benchmarks.cases import COMPILING, GENERATING, KINK_DISTANCE
from benchmarks.cpu_cases import ACCEPTANCE, COMPILED, OVERHEAD, SWEEP, THREADS, Target
from benchmarks.cpu_report import BELOW, MET, REPORTED, Row
from benchmarks.report import NOT_MEASURED, WRONG

ROOT = Path(__file__).parents[1]
CPU = torch.device("cpu")
PLAN = {target.name: target for target in cpu_cases.plan()}
TINY = Target(SWEEP, passes.Step(cpu_cases.TINY, "forward", passes.forward), floor=1.0)
SOON = bench_cpu.Effort(3, 1e-5)


# Rows


@pytest.mark.parametrize(
    "name, forward, backward",
    [
        ("256x1x28x28", 1.3, 1.3),
        ("64x3x224x224", 1.5, 1.45),
        ("1x3x1080x1920, flow", 1.8, 1.9),
        ("16x64x56x56", 6.5, 8.5),
        ("8x256x64x64 to 128x128, crop", 5, 9),
        ("10,000 points, 1x64x128x128", 5.5, 8),
        ("1x1x96x96x96", 2.5, 1.95),
        ("16x64x56x56, channels_last", 4, 5.5),
        ("8x256x64x64 to 128x128, crop, channels_last", 6, 9),
        ("fused affine 256x1x28x28", 4.5, 2.3),
        ("fused affine 64x3x224x224", 2.8, 2.0),
        ("fused affine 16x64x56x56", 7, 9),
    ],
)
def test_acceptance_rows_have_their_floors(name: str, forward: float, backward: float) -> None:
    targets = PLAN[f"{name}, forward"], PLAN[f"{name}, backward"]
    assert [target.floor for target in targets] == [forward, backward]
    for target in targets:
        workload = target.step.workload
        assert target.section == ACCEPTANCE and target.floor_from == 0 and workload.dtype == torch.float32
        assert workload.generates == (workload.torch_way is GENERATING) == name.startswith("fused")
        assert workload.channels_last == ("channels_last" in name)


def test_the_chains_of_the_distorted_digits_are_there() -> None:
    target = PLAN["fused affine 256x1x42x42 to 28x28, forward + backward"]
    assert (target.section, target.floor) == (ACCEPTANCE, 1.5)
    assert target.step.workload.torch_way is GENERATING and target.step.workload.out_size == (28, 28)
    target = PLAN["spline 256x1x42x42 to 28x28, forward + backward"]
    assert (target.section, target.floor) == (ACCEPTANCE, 2.0)
    assert target.step.workload.input_shape == (256, 1, 42, 42) and target.step.workload.out_size == (28, 28)


@pytest.mark.parametrize("align_corners", (False, True))
def test_all_ways_of_the_spline_make_one_grid(align_corners: bool) -> None:
    workload = replace(cpu_cases.BENT_DIGITS, input_shape=(3, 1, 9, 11), out_size=(5, 8), align_corners=align_corners)
    ways = workload.our_way, workload.torch_way, cpu_cases.BENT_DIGITS_BY_ONE_PRODUCT.torch_way
    samplers = [way.adapt(lambda input, grid, *options: grid) for way in ways]
    tensors = workload.tensors(torch.device("cpu")).double()
    ours, *torchs = (workload.bind(sampler)(tensors.input, tensors.grid) for sampler in samplers)
    for other in torchs:
        torch.testing.assert_close(other, ours)
    assert ours.shape == (3, 5, 8, 2) and (ours - ours[0]).abs().max() > 0.1


def test_rows_beside_torch_compile_compile_torchs_side_alone() -> None:
    rows = [target for target in PLAN.values() if target.section == COMPILED]
    assert len(rows) == 6 and all(row.floor == 1.0 and row.step.workload.torch_way is COMPILING for row in rows)
    assert COMPILING.adapt(stn_cuda.reference.grid_sample) is stn_cuda.reference.grid_sample
    assert COMPILING.adapt(F.grid_sample) is not F.grid_sample


@pytest.mark.parametrize("name", ["16x64x56x56", "64x3x224x224"])
def test_second_derivatives_are_bounded_in_time_and_memory(name: str) -> None:
    target = PLAN[f"{name}, double backward"]
    assert (target.floor, target.memory_bound) == (10, 1.2)


def test_the_sweep_changes_one_thing_at_a_time() -> None:
    swept = [target for target in PLAN.values() if target.section == SWEEP]
    assert {(target.floor, target.floor_from) for target in swept} == {(1.0, 50e-6)}
    for name in ("forward", "backward"):
        workloads = [target.step.workload for target in swept if target.step.pass_name == name]
        assert {1, 2, 3, 4, 8, 16, 32, 64} <= {workload.input_shape[1] for workload in workloads}
        assert {8, 32, 128, 512, 2048} <= {workload.in_size[0] for workload in workloads}
        assert {workload.mode for workload in workloads} == {"nearest", "bilinear", "bicubic"}
        assert {workload.padding_mode for workload in workloads} == {"zeros", "border", "reflection"}
        assert {workload.dtype for workload in workloads} == {torch.float16, torch.bfloat16, torch.float32, torch.float64}
        assert {workload.input_shape[1] for workload in workloads if workload.channels_last} == {3, 64}


def test_two_threads_and_call_overhead_are_there_and_names_are_unique() -> None:
    threads = {target.step.workload: target.floor for target in PLAN.values() if target.section == THREADS}
    assert threads == {cpu_cases.FRAME: 1.7, cpu_cases.VOLUME: 1.7}
    overhead = [target for target in PLAN.values() if target.section == OVERHEAD]
    assert [(target.name, target.floor) for target in overhead] == [
        ("1x1x8x8, forward", None), ("1x1x8x8, forward + backward", None)]  # fmt: skip
    assert len(PLAN) == len(cpu_cases.plan())


@pytest.mark.parametrize("fused", [False, True])
def test_grids_are_the_mild_affine_map(fused: bool) -> None:
    workload = (cpu_cases.fused if fused else cpu_cases.image)("tiny", 2, 1, 6, 6)
    grid = workload.tensors(CPU).grid
    theta = cpu_cases.mild_theta(workload, torch.Generator())
    assert theta[0, :, :2].det().sqrt() == pytest.approx(0.9) and theta.shape == (2, 2, 3)
    expected = theta if fused else F.affine_grid(theta, [2, 1, 6, 6], align_corners=False)
    from_kinks = 0 if fused else KINK_DISTANCE * 2 / 6
    moved_by(from_kinks).assert_close(grid.detach().double(), expected)


@needs_torch_double_backward
def test_the_second_backward_returns_what_its_bytes_say() -> None:
    workload = replace(cpu_cases.image("tiny", 2, 3, 5, 6), out_size=(4, 3))
    results = cpu_cases.second_backward(workload.bind(stn_cuda.grid_sample), workload.tensors(CPU))()
    assert sum(result.nbytes for result in results) == cpu_cases.second_backward_bytes(workload)


# Verdicts


def test_a_median_at_its_floor_is_met_and_one_under_it_below() -> None:
    assert cpu_report.judged(1.5, 1.5, 1.0) == (MET, "")
    assert cpu_report.judged(1.4996, 1.5, 1.0) == (BELOW, "1.4996 of 1.5")


def test_without_a_floor_or_in_a_short_call_the_ratio_is_reported() -> None:
    assert cpu_report.judged(0.1, None, 1.0)[0] == REPORTED
    assert cpu_report.judged(0.1, 1.0, 49e-6, 50e-6) == (REPORTED, "torch takes less than 50 us")
    assert cpu_report.judged(0.1, 1.0, 50e-6, 50e-6)[0] == BELOW


def test_memory_can_be_below_where_time_is_met() -> None:
    judged = functools.partial(cpu_report.judged, floor=10.0, other_seconds=1.0, memory_bound=1.2)
    assert judged(11.0, memory_ratio=1.2) == (MET, "")
    verdict, note = judged(11.0, memory_ratio=1.25)
    assert verdict == BELOW and note == "peak memory is 1.25 of the results, more than 1.2"
    assert judged(9.0, memory_ratio=1.25)[1].startswith("9 of 10; peak memory")


def test_a_wrong_result_has_no_time_and_fails_the_program(
    monkeypatch: pytest.MonkeyPatch, keep_thread_count: None, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(stn_cuda, "grid_sample", lambda *arguments: F.grid_sample(*arguments) * 1.001)
    row = bench_cpu.run(TINY, SOON)
    assert row.verdict == WRONG and row.ratio is None and "our error" in row.note
    monkeypatch.setattr(cpu_cases, "plan", lambda: [TINY])
    assert bench_cpu.main(["--quick", "--default-malloc"]) == 1
    assert "1 WRONG" in capsys.readouterr().out


def test_a_floor_missed_is_told_and_no_failure(
    monkeypatch: pytest.MonkeyPatch, keep_thread_count: None, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cpu_cases, "plan", lambda: [replace(TINY, floor=1e6)])
    assert bench_cpu.main(["--quick", "--default-malloc"]) == 0
    out = capsys.readouterr().out
    assert "1 below" in out and "- 1x1x8x8, forward: below, " in out and "- malloc: as it is by default\n" in out


def test_two_threads_are_timed_beside_one(monkeypatch: pytest.MonkeyPatch, keep_thread_count: None) -> None:
    """By a clock on which a call takes 1 s / threads; torch's own call is not timed."""

    def seconds(call: Any, repeats: int) -> float:
        call()
        return repeats / torch.get_num_threads()

    torch.set_num_threads(1)
    monkeypatch.setattr(bench_cpu.timing, "wall_seconds", seconds)
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0, 1}, raising=False)
    row = bench_cpu.run(replace(TINY, section=THREADS, floor=1.7), SOON)
    assert (row.ratio, row.other_us, row.our_us, row.verdict) == (2, 1e6, 5e5, MET)
    assert "load average" in row.note and torch.get_num_threads() == 1
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0})
    assert bench_cpu.run(replace(TINY, section=THREADS), SOON).verdict == NOT_MEASURED


# The command


def test_a_run_writes_its_table_figures_and_picture(tmp_path: Path) -> None:
    """In a process of its own, whose malloc it changes."""
    pytest.importorskip("matplotlib")
    only = "^(size 8: 1x3x8x8, forward|1x1x8x8, forward)$"
    command = [sys.executable, str(ROOT / "benchmarks/bench_cpu.py"), "--quick", "--only", only]
    options = "--instruction-set", "baseline", "--output", str(tmp_path)
    done = subprocess.run([*command, *options], capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    written = json.loads((tmp_path / "bench_cpu.json").read_text())
    header, rows = written["header"], [Row(**row) for row in written["rows"]]
    assert [(row.section, row.case) for row in rows] == [(SWEEP, "size 8: 1x3x8x8"), (OVERHEAD, "1x1x8x8")]
    for row in rows:
        assert row.verdict == REPORTED and row.ratio_low <= row.ratio <= row.ratio_high  # type: ignore[operator]
        assert row.our_error <= row.allowed_error and row.our_peak_bytes > 0  # type: ignore[operator]
    assert header["instruction set"].startswith("baseline ") and header["torch"] == torch.__version__
    assert {"CPU", "load before", "malloc"} <= set(header)
    text = (tmp_path / "bench_cpu.md").read_text()
    assert text == cpu_report.markdown(header, rows) and set(text.splitlines()) <= set(done.stdout.splitlines())
    assert (tmp_path / "bench_cpu.png").read_bytes().startswith(b"\x89PNG")


def test_rows_without_a_time_are_drawn_too(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    header = dict.fromkeys(("CPU", "instruction set", "torch", "malloc", "load before"), "x")
    cpu_report.draw(tmp_path / "wrong.png", header, [Row(SWEEP, "tiny", "forward", WRONG, "an error", floor=1.0)])
    assert (tmp_path / "wrong.png").stat().st_size > 0


def test_what_cannot_be_run_is_refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert bench_cpu.main(["--only", "no such row"]) == 2
    assert "no row's name matches" in capsys.readouterr().err
    monkeypatch.setattr(bench_cpu, "use_instruction_set", lambda name: False)
    assert bench_cpu.main(["--instruction-set", "avx512"]) == 2
    assert "this machine doesn't have avx512" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        bench_cpu.parse(["--only", "("])
