"""Draws docs/conventions.png: what theta maps to what, and what align_corners means by -1 and 1.

    python examples/draw_conventions.py [--output docs/conventions.png]
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
from pathlib import Path

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import ConnectionPatch
from torch import Tensor

if importlib.util.find_spec("stn_cuda") is None:  # built in place, but not installed
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from stn_cuda.transforms import Affine, Similarity
from stn_cuda.visualize import outline

SIZE, WINDOW = 24, 12  # pixels of the input and of the output
COLOURS = ("tab:red", "tab:orange", "tab:green", "tab:purple")  # of the output's corners, clockwise from the upper left


def letter() -> Tensor:
    """[1, 1, SIZE, SIZE]: an F, which no turn or mirror maps to itself, placed by a similarity."""
    upright = torch.zeros(1, 1, WINDOW, WINDOW)
    upright[..., 1:11, 3:5] = 1
    upright[..., 1:3, 3:10] = upright[..., 5:7, 3:8] = 1
    return Similarity().sample(upright, Similarity().inverse(placement()), (SIZE, SIZE))


def placement() -> Tensor:
    """theta [1, 4] of Similarity: angle, log of the scale, tx, ty."""
    return torch.tensor([[-0.45, -0.6, 0.22, 0.12]])


def draw_images(left: Axes, right: Axes) -> None:
    image, theta = letter(), placement()
    left.imshow(image[0, 0], cmap="Greys", vmin=0, vmax=2)
    right.imshow(Similarity().sample(image, theta, (WINDOW, WINDOW))[0, 0], cmap="Greys", vmin=0, vmax=2)
    corners = outline(theta, Similarity(), (SIZE, SIZE))[0].numpy()
    own = outline(Affine().identity(), Affine(), (WINDOW, WINDOW))[0].numpy()
    for axes, border in ((left, corners), (right, own)):
        axes.plot(*border.T, color="0.2", linewidth=1.2)
        for corner, colour in zip(border, COLOURS):
            axes.plot(*corner, "o", color=colour, markersize=7, clip_on=False, zorder=3)
    for start, end, colour in zip(own, corners, COLOURS):
        left.figure.add_artist(ConnectionPatch(start, end, "data", "data", axesA=right, axesB=left, color=colour, alpha=0.7,
                                               arrowstyle="-|>", linewidth=1.2, shrinkA=5, shrinkB=5))
    grid = Similarity().grid(theta, (WINDOW, WINDOW))[0].flatten(0, 1)
    left.plot(*(((grid + 1) * SIZE - 1) / 2).T.numpy(), ".", color="tab:blue", markersize=2.5)
    pixels = torch.cartesian_prod(torch.arange(WINDOW), torch.arange(WINDOW))
    right.plot(*pixels.T.numpy(), ".", color="tab:blue", markersize=2.5)
    for axes, size, title in ((left, SIZE, f"input, {SIZE} x {SIZE}"), (right, WINDOW, f"output, {WINDOW} x {WINDOW}")):
        ends = [-0.5, (size - 1) / 2, size - 0.5]
        axes.set(title=title, xticks=ends, yticks=ends, xticklabels=["-1", "x = 0", "1"],
                 yticklabels=["-1", "y = 0", "1"])
        axes.tick_params(length=0)


def draw_axis(axes: Axes, align_corners: bool) -> None:
    """Four pixels in a row, and where -1 and 1 are on them."""
    for pixel in range(4):
        axes.plot([pixel - 0.5, pixel + 0.5, pixel + 0.5, pixel - 0.5, pixel - 0.5], [0, 0, 1, 1, 0], color="0.3", linewidth=1)
        axes.plot(pixel, 0.5, ".", color="tab:blue")
        axes.text(pixel, 1.15, f"pixel {pixel}", ha="center", va="bottom", fontsize=8, color="0.3")
    first, last = (0, 3) if align_corners else (-0.5, 3.5)
    for place, name in ((first, "-1"), ((first + last) / 2, "0"), (last, "1")):
        axes.plot([place, place], [-0.25, 1], color="tab:red", linewidth=1)
        axes.text(place, -0.35, name, ha="center", va="top", color="tab:red")
    axes.set(xlim=(-1, 4), ylim=(-0.9, 1.7), title=f"align_corners={align_corners}")
    axes.set_axis_off()


def draw() -> Figure:
    figure = Figure(figsize=(9, 6), facecolor="white", layout="constrained")
    panes = figure.subplot_mosaic([["input", "output"], ["edges", "centres"]], height_ratios=[4, 1], width_ratios=[1.4, 1])
    draw_images(panes["input"], panes["output"])
    draw_axis(panes["edges"], align_corners=False)
    draw_axis(panes["centres"], align_corners=True)
    figure.suptitle("theta takes each position of the output to where it reads in the input", fontsize=12)
    return figure


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Draws the picture of the conventions")
    parser.add_argument("--output", type=Path, default=Path("docs/conventions.png"))
    draw().savefig(parser.parse_args(argv).output, dpi=80)


if __name__ == "__main__":
    main()
