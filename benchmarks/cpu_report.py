"""What came of a row of ``bench_cpu.py``, and how rows are written: a table in Markdown, and a picture."""
from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.cpu_cases import OVERHEAD, SECTIONS, THREADS, TITLES
from benchmarks.report import NOT_MEASURED, WRONG, lines_of, number

MET, BELOW, REPORTED = "met", "below", "reported"
VERDICTS = MET, BELOW, REPORTED, WRONG, NOT_MEASURED
COLOURS = {MET: "tab:green", BELOW: "tab:red", REPORTED: "tab:gray"}


@dataclass(frozen=True)
class Row:
    section: str
    case: str
    pass_name: str
    verdict: str
    note: str = ""  # why the verdict, and under which conditions
    floor: float | None = None  # the least ratio
    ratio: float | None = None  # torch / ours: above 1 is in our favour; of threads one / two
    ratio_low: float | None = None  # quartiles over the rounds
    ratio_high: float | None = None
    our_us: float | None = None
    other_us: float | None = None  # torch's; of threads that of one
    our_error: float | None = None  # against float64, relative to the largest value
    allowed_error: float | None = None
    our_peak_bytes: int | None = None  # beyond what was held before the call
    torch_peak_bytes: int | None = None
    memory_bound: float | None = None  # the most that our peak may be, as a multiple of the results' bytes
    memory_ratio: float | None = None  # what it is


def judged(
    ratio: float, floor: float | None, other_seconds: float, floor_from: float = 0.0, *,
    memory_ratio: float | None = None, memory_bound: float | None = None,
) -> tuple[str, str]:
    """The verdict on a row whose result is right, and its note. The median decides; the spread is beside it."""
    if floor is None:
        return REPORTED, "no floor"
    if other_seconds < floor_from:
        return REPORTED, f"torch takes less than {floor_from * 1e6:g} us"
    short = [f"{ratio:.6g} of {floor:g}"] if ratio < floor else []
    if memory_bound is not None and memory_ratio is not None and memory_ratio > memory_bound:
        short.append(f"peak memory is {memory_ratio:.3g} of the results, more than {memory_bound:g}")
    return (BELOW, "; ".join(short)) if short else (MET, "")


# ---- tables -------------------------------------------------------------------------------------------------------------

def columns(section: str) -> list[str]:
    unit = "us" if section == OVERHEAD else "ms"
    sides = ("one thread", "two threads") if section == THREADS else ("torch", "ours")
    times = [f"{side} {unit}" for side in sides]
    return ["case", "pass", *times, "ratio", "quartiles", "floor", "verdict", "peak bytes ours", "torch", "/ results (at most)"]


def head_of(section: str) -> str:
    """A section's title and the head of its table."""
    names = columns(section)
    return f"## {section}\n\n{TITLES[section]}\n\n" + _lines([names, ["---"] * len(names)])


def line_of(row: Row) -> str:
    """Its line of the table."""
    per_unit = 1.0 if row.section == OVERHEAD else 1e-3
    times = ["" if time is None else f"{time * per_unit:.4g}" for time in (row.other_us, row.our_us)]
    quartiles = "" if row.ratio is None else f"{row.ratio_low:.2f} to {row.ratio_high:.2f}"
    memory = "" if row.memory_ratio is None else f"{row.memory_ratio:.2f} ({row.memory_bound:g})"
    peaks = [number(peak, ",") for peak in (row.our_peak_bytes, row.torch_peak_bytes)]
    verdict = f"{row.verdict}: {row.note}" if row.note else row.verdict
    return _lines([[row.case, row.pass_name, *times, number(row.ratio, ".2f"), quartiles, number(row.floor, "g"), verdict,
                    *peaks, memory]])


def _lines(cells: Sequence[Sequence[str]]) -> str:
    return lines_of(cells, range(len(cells[0])))


def title_of(header: dict[str, str]) -> str:
    return "# CPU: stn_cuda beside torch\n\n" + "\n".join(f"- {name}: {value}" for name, value in header.items())


def summary(rows: Sequence[Row]) -> str:
    """Counts, and by name every row that isn't as it should be."""
    count = Counter(row.verdict for row in rows)
    lines = [f"{len(rows)} rows: " + ", ".join(f"{count[verdict]} {verdict}" for verdict in VERDICTS)]
    lines += [f"- {row.case}, {row.pass_name}: {row.verdict}, {row.note}"
              for row in rows if row.verdict in (BELOW, WRONG, NOT_MEASURED)]
    return "\n".join(lines)


def markdown(header: dict[str, str], rows: Sequence[Row]) -> str:
    parts = [title_of(header)]
    for section in SECTIONS:
        if lines := [line_of(row) for row in rows if row.section == section]:
            parts.append("\n".join([head_of(section), *lines]))
    return "\n\n".join([*parts, summary(rows)]) + "\n"


# ---- the picture --------------------------------------------------------------------------------------------------------

BAR = 0.2  # inches a row


def draw(path: Path, header: dict[str, str], rows: Sequence[Row]) -> None:
    """A bar a row from 1 to its ratio, with the quartiles and a mark at its floor."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 1.8 + BAR * len(rows)), facecolor="white", layout="constrained")
    axes = figure.subplots()
    axes.set_xscale("log")
    for place, row in enumerate(rows):
        if row.ratio is None or row.ratio_low is None or row.ratio_high is None:
            axes.text(1, place, f" {row.verdict}", color="tab:red", va="center", fontsize=7)
            continue
        axes.barh(place, row.ratio - 1, left=1, color=COLOURS[row.verdict], height=0.7)
        axes.plot([row.ratio_low, row.ratio_high], [place, place], color="black", linewidth=0.8)
        axes.text(max(1, row.ratio, row.ratio_high, row.floor or 0), place, f"  {row.ratio:.2f}", va="center", fontsize=7)
    floors = [(row.floor, place) for place, row in enumerate(rows) if row.floor is not None]
    if floors:
        axes.plot(*zip(*floors, strict=True), "|", color="black", markersize=9, markeredgewidth=1.5, label="floor")
    for verdict, colour in COLOURS.items():
        axes.barh(0, 0, left=1, color=colour, label=verdict)
    axes.axvline(1, color="black", linewidth=0.8)
    axes.set_yticks(range(len(rows)), [f"{row.case}, {row.pass_name}" for row in rows], fontsize=7)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    ratios = [value for row in rows for value in (row.ratio, row.floor) if value is not None]
    axes.set_xlim(min([0.9, *(0.9 * ratio for ratio in ratios)]), 1.25 * max([2.0, *ratios]))
    ticks = [tick for tick in (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100) if axes.get_xlim()[0] <= tick <= axes.get_xlim()[1]]
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.set_xticks([], minor=True)
    axes.set_xlabel("torch's time / stn_cuda's, median and quartiles\n(rows of two threads: one thread's time / two threads')",
                    fontsize=8)
    names = "CPU", "instruction set", "torch", "malloc", "load before"
    axes.set_title("\n".join(f"{name}: {header[name]}" for name in names), fontsize=8, loc="left")
    figure.legend(loc="outside lower center", ncols=4, fontsize=8)
    figure.savefig(path, dpi=120)
