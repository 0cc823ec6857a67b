"""The table of the paper, cell by cell: which cells a budget has, and the result beside the paper's figures."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from statistics import mean, stdev
from typing import Any

from .cells import EPOCH, OF_TRANSFORMERS, Cell, Result
from .networks import ARCHITECTURES

COLUMNS = ("R", "RTS", "P", "E")
FULLY_CONNECTED = ("FCN", "ST-FCN Aff", "ST-FCN Proj", "ST-FCN TPS")
CONVOLUTIONAL = ("CNN", "ST-CNN Aff", "ST-CNN Proj", "ST-CNN TPS")
CLUTTERED = ("FCN", "ST-FCN Aff", "ST-FCN Att", "CNN", "ST-CNN Aff", "ST-CNN Att")  # on TC

# Errors in percent of Jaderberg et al. 2015, table 1, in the order of COLUMNS
PAPER = {
    "FCN": (2.1, 5.2, 3.1, 3.2), "CNN": (1.2, 0.8, 1.5, 1.4),
    "ST-FCN Aff": (1.2, 0.8, 1.5, 2.7), "ST-FCN Proj": (1.3, 0.9, 1.4, 2.6), "ST-FCN TPS": (1.1, 0.8, 1.4, 2.4),
    "ST-CNN Aff": (0.7, 0.5, 0.8, 1.2), "ST-CNN Proj": (0.8, 0.6, 0.8, 1.3), "ST-CNN TPS": (0.7, 0.5, 0.8, 1.1),
}

# What the advice on training is about: each beside ST-FCN Aff on RTS, 6 epochs
VARIANTS: tuple[dict[str, Any], ...] = (
    {"localization_lr_scale": 0.1}, {"optimizer": "momentum"}, {"optimizer": "momentum", "localization_lr_scale": 0.1},
    {"start": "random"}, {"start": "lost"}, {"start": "lost", "gradient": "linearized", "reach": 8.0}, {"pool": True},
)


@dataclass(frozen=True)
class Budget:
    """How much of the table to run. ``seeds`` is the usual number of them; the convolutional rows have the first one, and as
    many columns as their time allows."""

    text: str
    seeds: int
    iterations: int
    horizon: int
    convolutional: int | None  # iterations of these rows, None: without them
    convolutional_data: tuple[str, ...] = COLUMNS
    has_comparisons: bool = False  # recurrence, and torch's sampler, for targets
    has_clutter: bool = False


BUDGETS = {
    "quick": Budget("the fully connected rows for 2 epochs of 20: within 3 minutes on 2 cores", 1, 2 * EPOCH, 20 * EPOCH, None),
    "cpu": Budget("the fully connected rows for 20 epochs, the convolutional ones on RTS for 2: under 2 hours on 2 cores",
                  3, 20 * EPOCH, 20 * EPOCH, 2 * EPOCH, ("RTS",), has_comparisons=True),
    "paper": Budget("all cells for 150,000 iterations, or what --minutes allow: for a GPU",
                    1, 150_000, 150_000, 150_000, has_clutter=True),
}


def cells_of(budget: Budget, seeds: int, **options: Any) -> list[Cell]:
    """In the order in which they run: what the targets are about first."""
    found: list[Cell] = []
    common = {"iterations": budget.iterations, "horizon": budget.horizon, **options}
    if budget.has_comparisons:
        short = {**options, "iterations": 2 * EPOCH, "horizon": 20 * EPOCH}
        found += [cell_of("RTS", name, **short) for name in FULLY_CONNECTED[:2]]
        six = {**options, "iterations": 6 * EPOCH, "horizon": 6 * EPOCH}
        found += [Cell("RTS", name, **six) for name in ("ST-FCN Aff", "IC-ST-FCN Aff")]
        found += [Cell("RTS", "ST-FCN Aff", **{**six, **variant}) for variant in VARIANTS]
        found += [Cell("RTS", "ST-FCN Aff", **{**common, "sampler": "torch"})]
    for data in ("RTS", "R", "E", "P"):
        found += [cell_of(data, name, seed=seed, **common) for seed in range(seeds) for name in FULLY_CONNECTED]
    if budget.convolutional is not None:
        long = {**common, "iterations": budget.convolutional, "horizon": budget.convolutional}
        found += [cell_of(data, name, **long) for data in budget.convolutional_data for name in CONVOLUTIONAL]
    if budget.has_clutter:
        found += [cell_of("TC", name, **common) for name in CLUTTERED]
    return found


def cell_of(data: str, network: str, **options: Any) -> Cell:
    """With the options that are for transformers only where there is one."""
    has_transformer = ARCHITECTURES[network].transform is not None
    return Cell(data, network, **{
        name: value for name, value in options.items() if has_transformer or name not in OF_TRANSFORMERS})


def shortened(cells: Iterable[Cell], iterations: int) -> list[Cell]:
    return [replace(cell, iterations=iterations, horizon=iterations) for cell in cells]


@dataclass(frozen=True)
class Entry:
    """The errors of a cell of the table, a seed each, all after the same number of iterations."""

    errors: tuple[float, ...]
    parameters: int
    images_per_second: float

    @property
    def text(self) -> str:
        spread = f" ± {stdev(self.errors):.2f}" if len(self.errors) > 1 else ""
        return f"{mean(self.errors):.2f}{spread}"


def is_plain(cell: dict[str, Any], optimizer: str) -> bool:
    """Whether a cell is of the table, and no variant of one."""
    variant = {"localization_lr_scale", "sampler", "pool", "start", "gradient"}
    return cell["optimizer"] == optimizer and all(cell[name] == getattr(Cell, name) for name in variant)


def entries(
    results: Iterable[Result], iterations: int, horizon: int, optimizer: str = "adam"
) -> dict[tuple[str, str], Entry]:
    """(data, network) -> its entry, of plain cells of this length."""
    found: dict[tuple[str, str], list[Result]] = {}
    for result in results:
        cell = result["cell"]
        if (cell["iterations"], cell["horizon"]) == (iterations, horizon) and is_plain(cell, optimizer):
            found.setdefault((cell["data"], cell["network"]), []).append(result)
    return {
        key: Entry(tuple(one["error"] for one in ones), ones[0]["parameters"], mean(one["images_per_second"] for one in ones))
        for key, ones in found.items()
    }


def markdown(results: list[Result], optimizer: str = "adam") -> str:
    """A table for every length of run that there is, errors in percent beside the paper's."""
    digits = {one["cell"]["digits"] for one in results} - {"MNIST"}
    warning = "These figures are NOT MNIST's: it was trained on other digits.\n" if digits else ""
    lengths = sorted({(one["cell"]["iterations"], one["cell"]["horizon"]) for one in results}, reverse=True)
    parts = [warning, *(_table(entries(results, *length, optimizer), *length) for length in lengths)]
    others = [one for one in results if not is_plain(one["cell"], optimizer)]
    if others:
        rows = [f"| {_variant(one['cell'])} | {one['error']:.2f} |" for one in others]
        parts.append("\n".join(["### Variants", "", "| cell | error % |", "|---|---|", *rows]) + "\n")
    return "\n".join(part for part in parts if part)


def _table(found: dict[tuple[str, str], Entry], iterations: int, horizon: int) -> str:
    rows = [row for row in dict.fromkeys((*FULLY_CONNECTED, *CONVOLUTIONAL, *CLUTTERED)) if any(row == r for _, r in found)]
    rows += sorted({row for _, row in found} - set(rows))
    columns = [column for column in (*COLUMNS, "TC") if any(column == c for c, _ in found)]
    if not rows:
        return ""
    of = "" if horizon == iterations else f", the beginning of a schedule of {horizon:,}"
    lines = [f"### {iterations:,} iterations{of}", "",
             f"| error % | {' | '.join(columns)} | the paper's, 150,000 iterations: {', '.join(COLUMNS)} | parameters |",
             "|---" * (len(columns) + 3) + "|"]
    for row in rows:
        own = [found[column, row].text if (column, row) in found else "not run" for column in columns]
        sizes = sorted({found[column, row].parameters for column in columns if (column, row) in found})
        size = f"{sizes[0]:,}" + (f" to {sizes[-1]:,}" if len(sizes) > 1 else "")
        papers = ", ".join(f"{error:.1f}" for error in PAPER[row]) if row in PAPER else ""
        lines.append(f"| {row} | {' | '.join(own)} | {papers} | {size} |")
    return "\n".join(lines) + "\n"


def _variant(cell: dict[str, Any]) -> str:
    plain = Cell(cell["data"], cell["network"], cell["iterations"], cell["horizon"])
    names = [name for name in cell if cell[name] != getattr(plain, name)]
    changed = ", ".join(f"{name} {cell[name]}" for name in names if name != "seed" or cell["seed"])
    return f"{cell['data']}, {cell['network']}, {cell['iterations']:,} iterations, {changed}"
