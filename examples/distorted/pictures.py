"""Learning curves of all cells, and what a transformer makes of test digits."""

from __future__ import annotations

from pathlib import Path
from statistics import mean

import torch
from matplotlib.figure import Figure
from matplotlib.ticker import ScalarFormatter
from torch import Tensor, nn

from stn_cuda.visualize import panel

from .batches import TestSet
from .cells import Result
from .networks import transformer_of
from .table import COLUMNS, is_plain

CURVE_DIGITS = 2000  # test digits that a point of a learning curve is measured on; the result is on all


def draw_curves(path: Path, results: list[Result], optimizer: str = "adam") -> None:
    """Test error over iterations, a plot for each data set; means of the seeds, and the range of them shaded."""
    curves: dict[str, dict[str, list[list[tuple[int, float]]]]] = {}
    longest: dict[tuple[str, str], int] = {}
    plain = [result for result in results if is_plain(result["cell"], optimizer)]
    for result in plain:
        cell = result["cell"]
        key = cell["data"], cell["network"]
        longest[key] = max(longest.get(key, 0), cell["iterations"])
    for result in plain:
        cell = result["cell"]
        if cell["iterations"] == longest[cell["data"], cell["network"]]:
            curves.setdefault(cell["data"], {}).setdefault(cell["network"], []).append(result["curve"])
    names = [name for name in (*COLUMNS, "TC") if name in curves]
    if not names:
        return
    figure = Figure(figsize=(4.6 * len(names), 4.2), layout="constrained")
    colours = {network: f"C{index}" for index, network in enumerate(sorted({n for one in curves.values() for n in one}))}
    for axes, name in zip(figure.subplots(1, len(names), squeeze=False)[0], names):
        for network, seeds in sorted(curves[name].items()):
            points = list(zip(*seeds))  # the seeds' points, iteration after iteration
            iterations = [of_seeds[0][0] for of_seeds in points]
            errors = [[error for _, error in of_seeds] for of_seeds in points]
            axes.plot(iterations, [mean(one) for one in errors], color=colours[network], label=network)
            axes.fill_between(iterations, list(map(min, errors)), list(map(max, errors)), color=colours[network], alpha=0.25,
                              linewidth=0)
        axes.set(title=name, xlabel="iterations", ylabel=f"error on the first {CURVE_DIGITS:,} test digits, %", yscale="log")
        axes.grid(alpha=0.3, which="both")
        axes.yaxis.set_major_formatter(ScalarFormatter())
        axes.yaxis.set_minor_formatter(ScalarFormatter())
        axes.legend(fontsize=8)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=100)


def one_of_each(test: TestSet) -> tuple[Tensor, Tensor]:
    """The first test canvas of each class that the first ones have."""
    canvases, labels = next(test.blocks())
    first = [(labels == digit).nonzero()[0, 0] for digit in labels.unique().tolist()]
    return canvases[torch.stack(first)], labels[torch.stack(first)]


@torch.no_grad()
def draw_panel(path: Path, network: nn.Module, test: TestSet) -> None:
    """A test canvas of each class, what the transformer makes of it, and what the network says; nothing without transformer."""
    transformer = transformer_of(network)
    if transformer is None:
        return
    canvases, labels = one_of_each(test)
    network.eval()
    figure = panel(transformer, canvases, network(canvases), labels, vmin=0, vmax=1)
    network.train()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=60)
