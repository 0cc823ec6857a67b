"""The parts of the pictures of stn_cuda.visualize: what a transformer does with images, as text, pixels and lines."""
from __future__ import annotations

import contextlib
import importlib.util
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from . import _checks
from ._outline import outline
from .modules import ParallelSpatialTransformer, RecurrentSpatialTransformer, SpatialTransformer

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Captions = list[tuple[str, str]] | None  # a text and its colour for each image; None: no column
Transformer = SpatialTransformer | ParallelSpatialTransformer | RecurrentSpatialTransformer
COLOURS = ("tab:red", "tab:blue", "tab:orange", "tab:purple", "tab:cyan", "tab:olive")
RIGHT, WRONG, UNKNOWN = "tab:green", "tab:red", "black"
ROW, CAPTION, HEAD, TITLE = 1.3, 0.7, 0.3, 0.25  # inches: a row's height, a caption's width, above all rows, a title's height
ROOM = 1 / 6  # of the image, around it: outlines may reach out of it


@dataclass(frozen=True)
class Look:
    """What a transformer does with B images at one moment, on the CPU."""

    outlines: Tensor  # [B, L, P, 2]
    outputs: Tensor  # [B, K, C, h, w]

    @property
    def outline_styles(self) -> list[dict[str, Any]]:
        """One for each of L outlines: those of K transformers in their colours, or steps to one output from faint to strong."""
        thetas, outputs = self.outlines.shape[1], self.outputs.shape[1]
        if thetas == outputs:
            return [{"color": colour_of(index)} for index in range(thetas)]
        return [{"color": colour_of(0), "alpha": 1 - 0.8 * before / (thetas - 1)} for before in reversed(range(thetas))]


def require_matplotlib(function: str) -> None:
    if importlib.util.find_spec("matplotlib") is None:
        raise ImportError(f"{function} draws with matplotlib, which isn't installed: pip install matplotlib, or stn_cuda with "
                          "its extra 'visualize'")


def colour_of(index: int) -> str:
    return COLOURS[index % len(COLOURS)]


@torch.no_grad()
def look(transformer: Transformer, images: Tensor) -> Look:
    """In evaluation mode, and without the module's forward: nothing is kept, nobody who watches it is told."""
    with evaluating(transformer):
        if isinstance(transformer, RecurrentSpatialTransformer):
            thetas = torch.stack(transformer.thetas(images), 1)  # [B, L, num_params]
            outputs = [transformer.warp(images, thetas[:, -1])]
        else:
            theta = transformer.theta(images)
            thetas = theta if theta.dim() == 3 else theta[:, None]
            outputs = [transformer.warp(images, one) for one in thetas.unbind(1)]
    thetas = thetas.expand(len(images), -1, -1)  # a network may predict one for all images
    lines = outline(
        thetas.flatten(0, 1), transformer.transform, images.shape[2:], transformer.options.get("align_corners", False),
        output_size=transformer.output_size)
    return Look(lines.unflatten(0, thetas.shape[:2]).cpu(), torch.stack(outputs, 1).float().cpu())


@contextlib.contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Evaluation mode; afterwards every part is in the mode that it was in, if they differ, too."""
    modes = [(part, part.training) for part in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for part, training in modes:
            part.training = training


def check_transformer(function: str, transformer: Any) -> None:
    if not isinstance(transformer, Transformer):
        raise TypeError(f"{function}: expected transformer to be a SpatialTransformer, ParallelSpatialTransformer or "
                        f"RecurrentSpatialTransformer, got {type(transformer).__name__}")
    if transformer.transform.dims != 2:
        raise NotImplementedError(f"{function}: volumes aren't drawn; outline() and draw_outline() are for them, too")


def check_images(function: str, images: Any) -> None:
    if not isinstance(images, Tensor):
        raise TypeError(f"{function}: expected images to be a Tensor, got {type(images).__name__}")
    if images.dim() != 4 or images.shape[1] not in (1, 3) or len(images) == 0 or not images.is_floating_point():
        raise ValueError(f"{function}: expected images of shape (B, 1, H, W) or (B, 3, H, W) and a floating point dtype, got "
                         f"{_checks.text_of(images.shape)} and {images.dtype}")


def shades_of(images: Tensor, vmin: float | None, vmax: float | None) -> tuple[float, float]:
    """What is black and what is white; the least and the largest finite pixel where nobody says."""
    finite = images[images.isfinite()]
    least, largest = (finite.min().item(), finite.max().item()) if finite.numel() else (0.0, 1.0)
    return least if vmin is None else vmin, largest if vmax is None else vmax


def captions_of(function: str, predictions: Any, labels: Any, count: int) -> Captions:
    predicted = _texts(function, "predictions", predictions, count)
    true = _texts(function, "labels", labels, count)
    if isinstance(predictions, Tensor) and predictions.dim() == 2 and true is not None:
        for text in true:
            if not text.removeprefix("-").isdecimal():
                raise ValueError(f"{function}: expected labels to be integers, as predictions are scores, got {text!r}")
    if predicted is None or true is None:
        texts = true if predicted is None else predicted
        return None if texts is None else [(text, UNKNOWN) for text in texts]
    return [(text, RIGHT) if text == truth else (f"{text}, not {truth}", WRONG) for text, truth in zip(predicted, true)]


def _texts(function: str, name: str, values: Any, count: int) -> list[str] | None:
    if values is None:
        return None
    if isinstance(values, Tensor):
        values = (values.detach().argmax(1) if values.dim() == 2 else values.detach()).tolist()
    if not isinstance(values, Sequence) or isinstance(values, str) or len(values) != count:
        seen = f"{len(values)}" if isinstance(values, Sequence) and not isinstance(values, str) else repr(values)
        raise ValueError(f"{function}: expected {name} to have one entry for each of {count} images, got {seen}")
    return [str(value) for value in values]


def draw_outline(axes: Axes, points: Tensor, color: Any = "tab:red", **line: Any) -> list[Artist]:
    """Draw one image's outline, with a dot at the output's upper left corner: turns and mirror images can be told by it.

    Args:
        axes: of matplotlib; with ``projection="3d"`` for volumes, whose x, y and z are those of the input.
        points: one image's of :func:`outline`: ``(P, 2)``, or ``(12, S, 3)`` for volumes; where NaN, nothing is drawn.
        color, line: as in ``Axes.plot``.

    Returns: the artists, the dot last.

    Raises: TypeError: points are no tensor. ValueError: of another shape, or for axes of another kind.

    Example::

        >>> axes.imshow(image[0, 0].numpy(), cmap="gray")
        >>> draw_outline(axes, outline(theta, "Affine", image.shape[2:])[0])
    """
    _checks.check_tensor("draw_outline", "points", points)
    is_volume = axes.name == "3d"
    if points.dim() != 2 + is_volume or points.shape[-1] != 2 + is_volume or 0 in points.shape:
        expected = "(12, S, 3), as axes are of a volume" if is_volume else "(P, 2), the outline of one image"
        raise ValueError(f"draw_outline(): expected points of shape {expected}, got {_checks.text_of(points.shape)}")
    curves = points.detach().double().cpu()
    if not is_volume:
        curves = curves[None]
    style = {"color": color, "linewidth": 1.5, **line}
    artists = [artist for curve in curves for artist in axes.plot(*curve.T.numpy(), **style)]
    corner = curves[0, :1].T.numpy()
    return [*artists, *axes.plot(*corner, "o", color=color, markersize=3.5, alpha=line.get("alpha"))]


def new_figure(images: Tensor, seen: Look, has_captions: bool, has_title: bool) -> Figure:
    """Of a size at which every pixel is square."""
    from matplotlib.figure import Figure

    height = ROW * len(images) + HEAD + TITLE * has_title
    return Figure((sum(_widths(images, seen, has_captions)), height), facecolor="white")


def _widths(images: Tensor, seen: Look, has_captions: bool) -> list[float]:
    """Of each column, in inches."""
    of_input, of_output = (ROW * size[1] / size[0] for size in (images.shape[2:], seen.outputs.shape[3:]))
    return [of_input, *[of_output] * seen.outputs.shape[1], *[CAPTION] * has_captions]


def draw_rows(
    figure: Figure, images: Tensor, seen: Look, captions: Captions, shades: tuple[float, float],
    caption_title: str, title: str | None = None,
) -> None:
    """A row an image: the input with its outlines, what becomes of it, and the caption."""
    outputs = seen.outputs.shape[1]
    top = 1 - (HEAD + TITLE * (title is not None)) / figure.get_figheight()
    grid = {"width_ratios": _widths(images, seen, captions is not None), "wspace": 0.06, "hspace": 0.06,
            "left": 0.02, "right": 0.98, "bottom": 0.01, "top": top}
    axes = figure.subplots(len(images), 1 + outputs + (captions is not None), squeeze=False, gridspec_kw=grid)
    numbers = [""] if outputs == 1 else [f" {index + 1}" for index in range(outputs)]
    for column, text in enumerate(["input", *[f"transformed{number}" for number in numbers], caption_title][: axes.shape[1]]):
        axes[0, column].set_title(text, fontsize=9, color="0.3")
    for row, image in zip(axes, images.float().cpu()):
        for place in row:
            place.set(xticks=[], yticks=[])
        _draw_pixels(row[0], image, shades)
    for row, outlines, results in zip(axes, seen.outlines, seen.outputs):
        for points, style in zip(outlines, seen.outline_styles):
            draw_outline(row[0], points, **style)
        _leave_room(row[0], images.shape[2:])
        for index, result in enumerate(results):
            _draw_pixels(row[1 + index], result, shades)
            row[1 + index].spines[:].set_color(colour_of(index))
    for row, (text, colour) in zip(axes, captions or ()):
        row[-1].set_axis_off()
        row[-1].text(0.5, 0.5, text, color=colour, ha="center", va="center", transform=row[-1].transAxes)
    if title is not None:
        figure.suptitle(title, fontsize=10, y=0.995, va="top")


def _draw_pixels(axes: Axes, image: Tensor, shades: tuple[float, float]) -> None:
    """image [C, h, w]."""
    black, white = shades
    if image.shape[0] == 1:
        axes.imshow(image[0].numpy(), cmap="gray", vmin=black, vmax=white, interpolation="nearest")
        return
    coloured = ((image - black) / max(white - black, 1e-30)).nan_to_num(0).clamp(0, 1)
    axes.imshow(coloured.movedim(0, -1).numpy(), interpolation="nearest")


def _leave_room(axes: Axes, size: Sequence[int]) -> None:
    """Around the image, in grey, the same on every side and for every outline: what is further out is cut."""
    height, width = size
    across, up = ROOM * width, ROOM * height
    axes.set(xlim=(-0.5 - across, width - 0.5 + across), ylim=(height - 0.5 + up, -0.5 - up), facecolor="0.8")
