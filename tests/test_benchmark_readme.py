"""The README's figures of speed and memory are those of the committed results, and there are no others."""

from __future__ import annotations

import json
import re
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from benchmarks import readme
from benchmarks.report import STEPS_SECTION, Row

HEAD = {"device": "cpu", "CPU": "a CPU, 2 cores", "threads": "1", "torch": "2.13.0", "date": "2026-01-02T03:04:05+00:00",
        "stn_cuda": "version 0.1.0, commit abcdef0, cuda none"}  # fmt: skip
TIMES: dict[str, Any] = dict(ratio=2.0, ratio_low=1.5, ratio_high=2.5, our_us=1.0, torch_us=2.0)
FASTER = Row("flow", "backward", "faster", **TIMES)
STEP = Row("crops", "forward + backward", "faster", **TIMES, our_peak_bytes=2_000_000, torch_peak_bytes=30_000_000,
           torch_way="expand", section=STEPS_SECTION)  # fmt: skip
SKIPPED = Row("crops", "deterministic", "not measured", "on the CPU", section=STEPS_SECTION)
FIGURE = re.compile(r"\b\d+(\.\d+)?(x\b|-fold| ?times (faster|slower|less|more)| ?%? (faster|slower)| ?[kMG]i?B\b| ?[mµun]s\b)")


def run(*rows: Row, **changed: str) -> dict[str, Any]:
    return {"header": {**HEAD, **changed}, "rows": [asdict(row) for row in rows]}


@pytest.fixture
def files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A README and no results, in a folder of their own."""
    monkeypatch.setattr(readme, "README", tmp_path / "README.md")
    monkeypatch.setattr(readme, "RESULTS", tmp_path / "results.json")
    readme.README.write_text(f"Before.\n{readme.BEGIN}\nold figures\n{readme.END}\nAfter.\n")
    return tmp_path


# This repository's README


def test_figures_of_the_readme_are_those_of_the_committed_results() -> None:
    text = readme.README.read_text()
    assert text == readme.rewritten(text, readme.load(readme.RESULTS)), "run python -m benchmarks.readme"


def test_the_readme_has_no_other_figure() -> None:
    before, _, rest = readme.README.read_text().partition(readme.BEGIN)
    found = [match.group() for text in (before, rest.partition(readme.END)[2]) for match in FIGURE.finditer(text)]
    assert not found, f"of no committed results: {found}"


def test_what_a_figure_looks_like() -> None:
    for text in ("4.8x", "27 times faster", "12 MB", "3.5 ms", "a 10-fold", "980 MB", "20 % faster", "7µs"):
        assert FIGURE.search(text), text
    for text in ("182 x 182 pixels", "within 9 minutes", "sm_75", "2^31-pixel", "16-bit", "64 grids", "float32"):
        assert not FIGURE.search(text), text


# The command


def test_without_results_nothing_is_claimed(files: Path) -> None:
    assert readme.main([]) == 0
    assert readme.README.read_text() == f"Before.\n{readme.BEGIN}\n\n{readme.NOTHING}\n\n{readme.END}\nAfter.\n"
    assert not readme.RESULTS.exists()


def test_a_run_becomes_the_results_and_the_readme(files: Path) -> None:
    (files / "bench_sampler.json").write_text(json.dumps(run(FASTER, STEP, SKIPPED)))
    assert readme.main([str(files)]) == 0
    text = readme.README.read_text()
    assert "On a CPU, 2 cores, threads: 1, torch 2.13.0, commit abcdef0, 2026-01-02: 3 rows: 2 faster" in text
    assert "| flow | not measured | 2.00 (1.50 to 2.50) | not measured |" in text
    assert "| crops | forward + backward | expand | 2.00 (1.50 to 2.50) | 2 | 30 |" in text
    assert "deterministic" not in text and readme.NOTHING not in text
    assert readme.main([]) == 0 and readme.README.read_text() == text
    assert json.loads(readme.RESULTS.read_text()) == {"cpu": run(FASTER, STEP, SKIPPED)}


def test_a_run_replaces_that_of_its_device_alone(files: Path) -> None:
    for name, kind in (("cpu", "cpu"), ("gpu", "a GPU"), ("new", "cpu")):
        (files / f"{name}.json").write_text(json.dumps(run(FASTER, device=kind, date=f"{name}-45678901")))
    assert readme.main([str(files / f"{name}.json") for name in ("cpu", "gpu", "new")]) == 0
    runs = readme.load(readme.RESULTS)
    assert {device: run["header"]["date"][:3] for device, run in runs.items()} == {"cpu": "new", "cuda": "gpu"}
    assert "On a GPU, a CPU, 2 cores, torch" in readme.README.read_text()


def test_a_wrong_result_claims_nothing(files: Path) -> None:
    (files / "run.json").write_text(json.dumps(run(FASTER, Row("flow", "forward", "WRONG", "our error"))))
    before = readme.README.read_text()
    with pytest.raises(SystemExit, match="expected no result to be WRONG, got 1: flow, forward"):
        readme.main([str(files / "run.json")])
    assert readme.README.read_text() == before and not readme.RESULTS.exists()


def test_a_readme_without_marks_is_refused(files: Path) -> None:
    readme.README.write_text("No marks.\n")
    with pytest.raises(SystemExit, match="once each"):
        readme.main([])
