"""Writes the README's figures of speed and memory. They all come from one file, ``benchmarks/results/bench_sampler.json``.

    python -m benchmarks.readme [RUN ...]    RUN: a bench_sampler.json, whose rows replace that file's of the same device

The file has a run a kind of device, ``{"cpu": {"header": ..., "rows": [...]}, "cuda": ...}``. Where it has none, the README
has no figure. A test says when the two differ.
"""
from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).resolve().parents[1]))
from benchmarks.passes import PASSES
from benchmarks.report import STEPS_SECTION, WORKLOADS_SECTION, WRONG, Row, lines_of, megabytes, spread, summary

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "README.md"
RESULTS = ROOT / "benchmarks" / "results" / "bench_sampler.json"
BEGIN, END = "<!-- figures, written by python -m benchmarks.readme -->", "<!-- end of figures -->"
NOTHING = "Nothing is claimed yet: no run on a quiet machine is committed."
DEVICES = ("cpu", "cuda")

Runs = Mapping[str, Mapping[str, Any]]  # a kind of device -> header, rows


# ---- the text -----------------------------------------------------------------------------------------------------------

def figures(runs: Runs) -> str:
    """All that stands between the marks."""
    return "\n\n".join(_run(runs[device]) for device in DEVICES if device in runs) or NOTHING


def _run(run: Mapping[str, Any]) -> str:
    head, rows = run["header"], [Row(**row) for row in run["rows"]]
    version = re.search(r"commit [^,]+", head["stn_cuda"])
    where = f"{head['device']}, {head['CPU']}" if head["device"] != "cpu" else f"{head['CPU']}, threads: {head['threads']}"
    said = (f"On {where}, torch {head['torch']}, {version.group() if version else 'commit unknown'}, {head['date'][:10]}: "
            f"{summary(rows)}. The tables have torch's time / stn_cuda's (quartiles); above 1 is in our favour.")
    tables = _passes([row for row in rows if row.section == WORKLOADS_SECTION]), _steps(
        [row for row in rows if row.section == STEPS_SECTION])
    return "\n\n".join([said, *(table for table in tables if table)])


def _passes(rows: Sequence[Row]) -> str:
    """A line a workload, a column a pass."""
    by_name = {(row.workload, row.pass_name): row for row in rows}
    lines = [[name, *(_ratio(by_name.get((name, pass_name))) for pass_name in PASSES)]
             for name in dict.fromkeys(row.workload for row in rows)]
    return _table(["torch / stn_cuda", *(name.replace("_", " ") for name in PASSES)], lines)


def _steps(rows: Sequence[Row]) -> str:
    """A line a step that was measured, a workload's together."""
    order = list(dict.fromkeys(row.workload for row in rows))
    lines = [[row.workload, row.pass_name, row.torch_way or "the same call", _ratio(row), megabytes(row.our_peak_bytes),
              megabytes(row.torch_peak_bytes)]
             for row in sorted(rows, key=lambda row: order.index(row.workload)) if row.ratio is not None]
    return _table(["whole step", "", "torch's way", "torch / stn_cuda", "peak MB stn_cuda", "torch"], lines)


def _ratio(row: Row | None) -> str:
    return "not measured" if row is None or row.ratio is None else spread(row)


def _table(titles: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    return lines_of([titles, ["---"] * len(titles), *lines], range(len(titles))) if lines else ""


# ---- the files ----------------------------------------------------------------------------------------------------------

def load(path: Path = RESULTS) -> dict[str, Any]:
    return json.loads(path.read_text()) if path.exists() else {}


def rewritten(readme: str, runs: Runs) -> str:
    """The README with these figures."""
    if readme.count(BEGIN) != 1 or readme.count(END) != 1:
        raise SystemExit(f"expected README.md to have {BEGIN} and {END} once each")
    before, _, rest = readme.partition(BEGIN)
    return f"{before}{BEGIN}\n\n{figures(runs)}\n\n{END}{rest.partition(END)[2]}"


def take(runs: dict[str, Any], path: Path) -> None:
    """A run's rows in the place of those of the same kind of device. One with a wrong result claims nothing."""
    run = json.loads(path.read_text())
    if wrong := [f"{row['workload']}, {row['pass_name']}" for row in run["rows"] if row["verdict"] == WRONG]:
        raise SystemExit(f"{path}: expected no result to be {WRONG}, got {len(wrong)}: {'; '.join(wrong)}")
    runs["cpu" if run["header"]["device"] == "cpu" else "cuda"] = run


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="*", type=Path, metavar="RUN", help="a bench_sampler.json, or the folder that has it")
    options = parser.parse_args(arguments)
    runs = load(RESULTS)
    for path in options.runs:
        take(runs, path / "bench_sampler.json" if path.is_dir() else path)
    if options.runs:
        RESULTS.write_text(json.dumps(runs, indent=1, allow_nan=False) + "\n")
    README.write_text(rewritten(README.read_text(), runs))
    return 0


if __name__ == "__main__":
    sys.exit(main())
