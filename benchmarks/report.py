"""What came of a row, and how rows are written: tables in Markdown, and JSON."""
from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

WRONG = "WRONG"
NOT_MEASURED = "not measured"
WORKLOADS_SECTION, STEPS_SECTION, OVERHEAD_SECTION = SECTIONS = (
    "Workloads", "Whole steps, beside torch's way of the same", "Call overhead")
ALWAYS = ("workload", "pass", "ours us", "torch us", "torch / ours (quartiles)", "verdict", "error ours", "torch", "allowed",
          "peak MB ours", "torch")
COLUMNS = (*ALWAYS, "wall us ours", "torch", "timed by", "torch's way")  # those after ALWAYS where there is something in them


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
    torch_way: str = ""  # in words, where torch can't be called the same way
    section: str = WORKLOADS_SECTION


def markdown(head: dict[str, str], rows: Sequence[Row]) -> str:
    """The header, a table a section, a workload's rows together, and the summary."""
    order = list(dict.fromkeys(row.workload for row in rows))
    parts = ["# grid_sample: stn_cuda beside torch", "\n".join(f"- {name}: {value}" for name, value in head.items())]
    for title in SECTIONS:
        if section := [row for row in rows if row.section == title]:
            parts += [f"## {title}", table(sorted(section, key=lambda row: order.index(row.workload)))]
    return "\n\n".join([*parts, summary(rows)]) + "\n"


def table(rows: Sequence[Row]) -> str:
    lines = [cells(row) for row in rows]
    shown = [index for index in range(len(COLUMNS)) if index < len(ALWAYS) or any(line[index] for line in lines)]
    return lines_of([COLUMNS, ["---"] * len(COLUMNS), *lines], shown)


def lines_of(lines: Sequence[Sequence[str]], shown: Sequence[int]) -> str:
    return "\n".join("| " + " | ".join(line[index].replace("|", "\\|") for index in shown) + " |" for line in lines)


def cells(row: Row) -> list[str]:
    verdict = f"{row.verdict}: {row.reason}" if row.reason else row.verdict
    return [row.workload, row.pass_name, number(row.our_us, ".1f"), number(row.torch_us, ".1f"), spread(row), verdict,
            *(number(error, ".1e") for error in (row.our_error, row.torch_error, row.allowed_error)),
            *(megabytes(peak) for peak in (row.our_peak_bytes, row.torch_peak_bytes)),
            *(number(wall, ".1f") for wall in (row.our_wall_us, row.torch_wall_us)), row.timed_by, row.torch_way]


def spread(row: Row) -> str:
    return "" if row.ratio is None else f"{row.ratio:.2f} ({row.ratio_low:.2f} to {row.ratio_high:.2f})"


def megabytes(count: int | None) -> str:
    return number(None if count is None else count / 1e6, ".3g")


def number(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)


def summary(rows: Sequence[Row]) -> str:
    count = Counter(row.verdict for row in rows)
    return (f"{len(rows)} rows: " + ", ".join(f"{count[verdict]} {verdict}" for verdict in (
        "faster", "equal", "slower", WRONG, NOT_MEASURED)))


def write_json(directory: Path, head: dict[str, str], rows: Sequence[Any], name: str = "bench_sampler.json") -> None:
    """The whole file anew, by a rename: it can be read at any time. JSON has no infinity: it becomes a string."""
    values = [{key: str(value) if value == math.inf else value for key, value in asdict(row).items()} for row in rows]
    partial = directory / f"{name}.partial"
    partial.write_text(json.dumps({"header": head, "rows": values}, indent=1, allow_nan=False) + "\n")
    partial.replace(directory / name)
