"""Seeing what spatial transformers do: their windows, what becomes of the images, and how they fare in training.

:func:`outline` and :class:`TransformMonitor` need torch alone. The rest draws with matplotlib, which is optional: ``pip install
matplotlib``. Import this module by its name, ``import stn_cuda.visualize``. The guide is ``docs/visualize.md``.
"""
from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from torch import Tensor

from . import _drawing
from ._drawing import Transformer, draw_outline
from ._outline import outline
from ._transform_monitor import TransformMonitor, TransformStatistics

if TYPE_CHECKING:
    from os import PathLike

    from matplotlib.figure import Figure

__all__ = ["TransformAnimation", "TransformMonitor", "TransformStatistics", "draw_outline", "outline", "panel"]


def panel(
    transformer: Transformer,
    images: Tensor,
    predictions: Tensor | Sequence[object] | None = None,
    labels: Tensor | Sequence[object] | None = None,
    *,
    vmin: float | None = None,
    vmax: float | None = None,
) -> Figure:
    """The paper's picture, a row an image: the input with the outline of the window, the transformed image, the prediction.

    Args:
        transformer: a ``SpatialTransformer``; a ``ParallelSpatialTransformer``, with an outline and a transformed image each in
            one colour; or a ``RecurrentSpatialTransformer``, with the outlines of all steps, the last the strongest.
        images: ``(B, 1, H, W)`` in grey or ``(B, 3, H, W)`` in colours, floating point: as many as there shall be rows.
        predictions: classes ``(B,)``, scores ``(B, classes)``, of which the largest counts, or a sequence of B texts or
            numbers. None: no column of them.
        labels: classes ``(B,)``, or a sequence, to compare predictions with: green if it is the same, red otherwise. Without
            predictions they are shown as they are.
        vmin, vmax: the pixel values that are black and white; None: the least and the largest of ``images``.

    The transformer runs in evaluation mode and without gradients; the modes of its parts and ``last_theta`` are as before
    afterwards, and no ``TransformMonitor`` sees it. Outlines end at a sixth of the image beyond its edge.

    Returns: a ``matplotlib.figure.Figure``, which belongs to no window: ``figure.savefig("panel.png")``.

    Raises:
        ImportError: without matplotlib.
        TypeError: another kind of transformer, images that are no tensor.
        ValueError: images of another shape or dtype, predictions or labels that aren't one for each.
        NotImplementedError: a transformer of volumes.

    Source: Jaderberg et al., Spatial Transformer Networks, 2015, figure 1 and table 1.

    Example::

        >>> images, labels = next(iter(loader))
        >>> panel(model.st, images[:8], model(images[:8]), labels[:8]).savefig("panel.png")
    """
    _drawing.require_matplotlib("panel()")
    _drawing.check_images("panel()", images)
    _drawing.check_transformer("panel()", transformer)
    captions = _drawing.captions_of("panel()", predictions, labels, len(images))
    images = images.detach()
    seen = _drawing.look(transformer, images)
    figure = _drawing.new_figure(images, seen, captions is not None, has_title=False)
    shades = _drawing.shades_of(images, vmin, vmax)
    _drawing.draw_rows(figure, images, seen, captions, shades, "label" if predictions is None else "prediction")
    return figure


class TransformAnimation:
    """A GIF of how a transformer learns to look: the same images again and again during training.

    Args:
        images: as in :func:`panel`; a copy is kept, on its device.
        labels, vmin, vmax: as in :func:`panel`.

    A frame is what :func:`panel` draws, under its step. ``len()`` is the number of frames.

    Raises: TypeError, ValueError: as :func:`panel`.

    Example::

        >>> animation = TransformAnimation(images[:4], labels[:4])
        >>> for step, batch in enumerate(loader):
        ...     train_step(batch)
        ...     if step % 20 == 0:
        ...         animation.add(model.st, step)
        >>> animation.save("training.gif")
    """

    def __init__(
        self,
        images: Tensor,
        labels: Tensor | Sequence[object] | None = None,
        *,
        vmin: float | None = None,
        vmax: float | None = None,
    ) -> None:
        _drawing.check_images("TransformAnimation()", images)
        self.images = images.detach().clone()
        _drawing.captions_of("TransformAnimation()", None, labels, len(images))  # refuses labels that don't fit
        self._labels = labels
        self._shades = _drawing.shades_of(self.images, vmin, vmax)
        self._frames: list[tuple[str, _drawing.Look, _drawing.Captions]] = []
        self._caption_title = "label"

    def __len__(self) -> int:
        return len(self._frames)

    def add(
        self, transformer: Transformer, step: int, predictions: Tensor | Sequence[object] | None = None
    ) -> None:
        """Keep what the transformer does with the images now, on the CPU. It is left as :func:`panel` leaves it.

        Args:
            transformer, predictions: as in :func:`panel`; predictions of ``self.images``.
            step: a number for the frame's title.

        Raises: as :func:`panel`, but needs no matplotlib yet.
        """
        _drawing.check_transformer("TransformAnimation.add()", transformer)
        captions = _drawing.captions_of("TransformAnimation.add()", predictions, self._labels, len(self.images))
        if predictions is not None:
            self._caption_title = "prediction"
        self._frames.append((f"step {step}", _drawing.look(transformer, self.images), captions))

    def save(self, path: str | PathLike[str], fps: int = 5) -> None:
        """Write all frames to a GIF, ``fps`` of them a second, which begins again when it is over.

        Raises: ImportError: without matplotlib. ValueError: no frame yet, an ``fps`` that is no positive int.
        """
        _drawing.require_matplotlib("TransformAnimation.save()")
        if not self._frames:
            raise ValueError("TransformAnimation.save(): expected a frame or more, got none; add() keeps one")
        if not isinstance(fps, int) or fps < 1:
            raise ValueError(f"TransformAnimation.save(): expected fps to be a positive int, got {fps!r}")
        from matplotlib.animation import PillowWriter

        has_captions = any(captions is not None for _, _, captions in self._frames)
        figure = _drawing.new_figure(self.images, self._frames[0][1], has_captions, has_title=True)
        writer = PillowWriter(fps=fps)
        with writer.saving(figure, Path(path), dpi=80):
            for title, seen, captions in self._frames:
                figure.clear()
                _drawing.draw_rows(figure, self.images, seen, captions, self._shades, self._caption_title, title)
                writer.grab_frame()
