"""The benchmark's workloads, and whole runs of it on a few pixels. What it measures is not tested: times differ."""

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
from benchmarks import alignment, bench_sampler, cases, passes, timing

TINY = cases.Workload("tiny bilinear", (2, 3, 5, 6), (4, 3), cases.affine, padding_mode="border", align_corners=True)
TINY_VOLUME = cases.Workload("tiny volume", (1, 2, 4, 5, 6), (3, 2, 2), cases.flow)
SOON = functools.partial(timing.measure, rounds=3, seconds=1e-5)
CPU = torch.device("cpu")

Run = Callable[..., SimpleNamespace]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, keep_thread_count: None, capsys: pytest.CaptureFixture) -> Run:
    """The command on given workloads and steps, with arguments: its exit status, printed table and JSON."""
    monkeypatch.setattr(timing, "measure", SOON)

    def run(
        workloads: Sequence[cases.Workload],
        *arguments: str,
        steps: Sequence[passes.Step] = (),
        second: Sequence[passes.Step] = (),
    ) -> SimpleNamespace:
        for name, value in {"WORKLOADS": workloads, "STEPS": steps, "SECOND_ORDER_STEPS": second}.items():
            monkeypatch.setattr(bench_sampler, name, tuple(value))
        status = bench_sampler.main(["--device", "cpu", "--output", str(tmp_path), *arguments])
        text = capsys.readouterr().out
        written = json.loads((tmp_path / "bench_sampler.json").read_text())
        assert (tmp_path / "bench_sampler.md").read_text() in text
        return SimpleNamespace(status=status, text=text, rows=written["rows"], header=written["header"])

    return run


# Workloads


def test_names_are_unique_and_both_conventions_are_there() -> None:
    workloads = {*cases.WORKLOADS, *(step.workload for step in (*passes.STEPS, *passes.SECOND_ORDER_STEPS))}
    assert len({workload.name for workload in workloads}) == len(workloads) and len(cases.WORKLOADS) >= 12
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


@pytest.mark.parametrize("images, grids, batch", [(1, 3, 3), (3, 1, 3)])
def test_one_of_images_and_grids_may_be_alone(images: int, grids: int, batch: int) -> None:
    workload = replace(TINY, input_shape=(images, 3, 5, 6), grids=grids, grid_dtype=torch.float64)
    tensors = workload.tensors(CPU)
    assert tensors.grid.shape == tensors.grad_grad_grid.shape == (grids, 4, 3, 2) and tensors.grid.dtype == torch.float64
    assert tensors.grad_output.shape == (batch, 3, 4, 3) and tensors.input.dtype == tensors.grad_output.dtype == torch.float32


def test_copies_have_the_values_and_the_strides_of_the_original() -> None:
    tensors = replace(TINY, channels_last=True).tensors(CPU)
    for one, two in zip(vars(tensors).values(), vars(tensors.clone()).values()):
        assert torch.equal(one, two) and one.stride() == two.stride() and one.data_ptr() != two.data_ptr()
        assert two.requires_grad == one.requires_grad and two.is_leaf


# Whole runs


def test_run_reports_every_pass_and_call_overhead(run: Run) -> None:
    result = run([TINY, TINY_VOLUME], "--passes", "forward,backward")
    assert result.status == 0, result.text
    assert [(row["workload"], row["pass_name"]) for row in result.rows] == [
        (workload.name, name) for workload in (TINY, TINY_VOLUME) for name in ("forward", "backward")
    ] + [(cases.CALL_OVERHEAD.name, name) for name in passes.OVERHEAD_PASSES]
    for row in result.rows:
        assert row["verdict"] in ("faster", "equal", "slower") and row["our_peak_bytes"] > 0
        assert row["ratio_low"] <= row["ratio"] <= row["ratio_high"]
        assert row["our_error"] <= row["allowed_error"]
    assert result.header["torch"] == torch.__version__ and "## Call overhead" in result.text
    assert "7 rows: " in result.text


@needs_torch_double_backward
def test_second_derivatives_come_last(run: Run) -> None:
    workloads = [TINY, replace(TINY, name="tiny nearest", mode="nearest")]
    result = run(workloads, "--only", "tiny", "--time-budget", "100", second=[passes.second_of(TINY)])
    assert result.status == 0, result.text
    names = [row["pass_name"] for row in result.rows]
    assert names == [*["forward", "backward"] * 2, "forward + both backwards", *["double_backward"] * 2]


@pytest.mark.parametrize(
    "changed",
    [
        {"dtype": torch.bfloat16, "grid_dtype": torch.float32, "torch_way": cases.CASTING},
        {"input_shape": (1, 3, 5, 6), "grids": 4, "torch_way": cases.EXPANDING},
        {"grids": 1, "torch_way": cases.EXPANDING},
    ],
    ids=["mixed precision", "one image", "one grid"],
)
def test_what_torch_has_its_own_way_of_is_compared_with_that(run: Run, changed: dict[str, Any]) -> None:
    workload = replace(TINY, name="tiny other", **changed)
    result = run([], "--only", "tiny", steps=[passes.forward_of(workload), passes.both_of(workload)])
    assert result.status == 0, result.text
    assert [row["pass_name"] for row in result.rows] == ["forward", "forward + backward"]
    for row in result.rows:
        assert row["verdict"] in ("faster", "equal", "slower") and row["our_error"] <= row["allowed_error"]
        assert row["torch_way"] == changed["torch_way"].words and row["torch_peak_bytes"] > 0
    assert "## Whole steps" in result.text and f"| {changed['torch_way'].words} |" in result.text


def test_a_step_holds_less_than_torchs_copies(run: Run) -> None:
    """In bytes, which the profiler counts exactly: the copies, and a dense gradient of the expanded image."""
    one_image = replace(TINY, input_shape=(1, 3, 50, 60), grids=16, torch_way=cases.EXPANDING)
    mixed = replace(TINY, input_shape=(2, 3, 50, 60), dtype=torch.bfloat16, grid_dtype=torch.float32, torch_way=cases.CASTING)
    result = run([], "--only", "tiny", steps=[passes.both_of(one_image), passes.forward_of(mixed)])
    copies = 15 * 3 * 50 * 60 * 4, 2 * 3 * 50 * 60 * 4
    for row, extra in zip(result.rows, copies, strict=True):
        assert row["our_peak_bytes"] + extra <= row["torch_peak_bytes"]


def test_a_deterministic_step_is_not_measured_on_the_cpu(run: Run) -> None:
    result = run([], "--only", "tiny", steps=[passes.deterministic_of(TINY)])
    assert result.status == 0 and "not measured: on the CPU gradients have the same bits always, unasked" in result.text


def test_torchs_side_of_a_deterministic_step_is_without(monkeypatch: pytest.MonkeyPatch, run: Run) -> None:
    """The row says so; here the switch is one that the CPU has."""
    calls = []

    def ours(sampler: Any, tensors: cases.Tensors) -> cases.Call:
        calls.append("ours")
        return passes.forward_and_backward(sampler, tensors)

    step = replace(passes.deterministic_of(TINY), build=ours)
    (row,) = run([], "--only", "tiny", steps=[step]).rows
    assert calls == ["ours"] and row["verdict"] in ("faster", "equal", "slower")
    assert row["torch_way"] == "any order of sums: it has no deterministic gradient of input"


def broken(input: Tensor, grid: Tensor, *options: Any) -> Tensor:
    raise RuntimeError("the kernel | has failed")


def refused(input: Tensor, grid: Tensor, *options: Any) -> Tensor:
    raise RuntimeError("what this row needs is not implemented")


@pytest.mark.parametrize(
    "sampler, name",
    [
        (lambda input, grid, *options: F.grid_sample(input, grid, *options) * 1.001, "forward"),
        (lambda input, grid, *options: F.grid_sample(input, grid.detach() * 0.01 + grid * 0.99, *options), "backward"),
        (lambda input, grid, *options: F.grid_sample(input, grid, *options) * math.nan, "forward"),
        (broken, "forward"),
        (refused, "forward"),  # what a build lacks is a NotImplementedError; these words alone excuse nothing
    ],
    ids=["value", "gradient", "nan", "exception", "words"],
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


# Alignment


def test_the_linearised_gradient_aligns_what_the_exact_one_does_not(
    tmp_path: Path, keep_thread_count: None, capsys: pytest.CaptureFixture[str]
) -> None:
    """A square 1.4 times its size away, where nothing overlaps."""
    arguments = "--tasks translation --displacements 1.4 --directions 4 --steps 60 --output".split()
    assert alignment.main([*arguments, str(tmp_path)]) == 0
    rows = json.loads((tmp_path / "alignment.json").read_text())["rows"]
    success = {row["method"]: row["success"] for row in rows}
    assert success["exact"] == [0]
    assert success["reach 8 px, 8 samples"] == success["reach 16 to 1 px, 8 samples"] == [1]
    assert (tmp_path / "alignment.md").read_text() in capsys.readouterr().out


def test_tables_of_alignment_in_the_docs_are_those_of_the_committed_results() -> None:
    committed = (alignment.RESULTS / "alignment.md").read_text().splitlines()
    methods = tuple(f"| {method.words} |" for method in alignment.METHODS)
    docs = (Path(__file__).parents[1] / "docs").glob("*.md")
    quoted = [line for path in docs for line in path.read_text().splitlines() if line.startswith(methods)]
    assert quoted and set(quoted) <= set(committed)


def test_committed_results_of_alignment_are_written_from_their_figures() -> None:
    written = json.loads((alignment.RESULTS / "alignment.json").read_text())
    rows = [alignment.Row(**row) for row in written["rows"]]
    assert alignment.markdown(written["header"], rows) == (alignment.RESULTS / "alignment.md").read_text()
