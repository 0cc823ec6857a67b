"""Watches what the spatial transformers of a model predict while it is trained."""
from __future__ import annotations

import functools
import math
import warnings
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from . import _checks
from ._sampling_module import SamplingModule
from ._theta_watch import Sums, ThetaWatch

REMEDY = (
    "Such a window seldom comes back: start at the identity, with a smaller learning rate or a bound of the localisation "
    "network; to register images, with gradient='linearized' and a larger reach")


class TransformStatistics(NamedTuple):
    """Of one module, over all training calls that were read: a theta is one image's, or one of an image's several.

    The means are over finite thetas, and NaN where there were none.
    """

    calls: int
    thetas: int
    deviation: float  #: mean |theta - identity|, in the units of theta
    determinant: float  #: mean |det|: the area, or volume, that is read, as a share of the input's
    outside: float  #: share of samples outside the input
    blank: float  #: share of thetas whose gradient was exactly 0, of those that had one; NaN without any
    nonfinite: int  #: thetas with a number that isn't finite

    @classmethod
    def of(cls, sums: Sums) -> TransformStatistics:
        deviation, determinant, outside = (
            _mean(total, sums.thetas) for total in (sums.deviation, sums.determinant, sums.outside))
        thetas, nonfinite, blank = int(sums.thetas), int(sums.nonfinite), _mean(sums.blank, sums.gradients)
        return cls(int(sums.calls), thetas + nonfinite, deviation, determinant, outside, blank, nonfinite)


class TransformMonitor:
    """Looks at the theta of every spatial transformer in a model while it is trained, and says when training goes wrong.

    Every training call (``module.training``) of a ``SpatialTransformer``, ``ParallelSpatialTransformer``,
    ``RecurrentSpatialTransformer`` (its last theta) or ``InverseWarp`` is measured. Training computes the same as without, bit
    for bit.

    - A theta that isn't finite is an error at once, with the module's name and the step, where the loss would be NaN later.
    - Once a module and kind there is a warning: of a collapse, where the window is next to nothing, and of a divergence, where
      next to all samples are outside the input.
    - Blank windows are counted: images whose gradient of theta is exactly 0, as all samples lie outside or on a background of
      0. Remedies: an identity start, a ``bound``, ``gradient="linearized"`` with a larger ``reach``.

    Args:
        model: with modules of ``stn_cuda.modules`` in it, or one itself. ``PointTransformer`` samples nothing.
        every: the measurements are added up on the device, and read after so many calls of a module, and by
            :meth:`summary` and :meth:`close`. Reading waits for the device. Errors and warnings come when it is read and name
            the step that was meant. None: 1 on the CPU, where nobody waits, else 20.
        collapse: the mean |det| below which a window has collapsed.
        divergence: the share of samples outside above which it has diverged.
        on_nonfinite: ``"raise"`` or ``"warn"``.

    Attributes:
        step: what messages call a step. None: each module counts its training calls, from 0. Set it in the loop where that
            isn't the same, as with a module that is used twice.

    What is measured: |det| is that of the matrix's linear part, of a homography that of its derivative at the output's centre,
    for others the mean over the output by differences. Samples are those of the output, or of one with 8 pixels along each
    axis that has more. The gradient of theta is that of the loss as it reaches theta, before ``gradient_scale`` and
    ``gradient_clip``; thetas that no gradient reached aren't counted.

    A compiled module is measured outside of its graph, which is broken there; with ``fullgraph=True`` torch refuses. Inside
    ``torch.func`` nothing is seen. Calls that checkpointing repeats aren't counted again.

    Raises:
        TypeError: a model that is no module.
        ValueError: a model without such modules, an ``every`` that isn't positive, an unknown ``on_nonfinite``.
        FloatingPointError: in the model's call, :meth:`summary` or :meth:`close`: theta isn't finite.

    Example::

        >>> with TransformMonitor(model) as monitor:
        ...     for images, labels in loader:
        ...         train_step(images, labels)
        ...     print(monitor)
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        every: int | None = None,
        collapse: float = 1e-3,
        divergence: float = 0.9,
        on_nonfinite: str = "raise",
    ) -> None:
        if not isinstance(model, nn.Module):
            raise TypeError(f"TransformMonitor(): expected model to be a Module, got {type(model).__name__}")
        if every is not None and (not isinstance(every, int) or every < 1):
            raise ValueError(f"TransformMonitor(): expected every to be None or a positive int, got {every!r}")
        self._raises = _checks.lookup("TransformMonitor", "on_nonfinite", {"raise": True, "warn": False}, on_nonfinite)
        self._every, self._collapse, self._divergence = every, collapse, divergence
        self.step: int | None = None
        modules = [(name, part) for name, part in model.named_modules() if isinstance(part, SamplingModule)]
        if not modules:
            raise ValueError("TransformMonitor(): expected model to have a module of stn_cuda.modules that samples, got "
                             f"{type(model).__name__} without one")
        self._watches = {name: ThetaWatch(type(part).__name__) for name, part in modules}
        self._handles = [part.register_theta_hook(functools.partial(self._see, name)) for name, part in modules]

    # ---- what is said ---------------------------------------------------------------------------------------------------

    def summary(self) -> dict[str, TransformStatistics]:
        """By the modules' names, over all training calls since the start or :meth:`reset`. Waits for the device."""
        for name in self._watches:
            self._read(name)
        return {name: TransformStatistics.of(watch.totals) for name, watch in self._watches.items()}

    def reset(self) -> None:
        """Forget what was measured, say at the end of an epoch. Warnings that were given aren't given again."""
        for name, watch in self._watches.items():
            self._read(name)
            watch.totals = Sums()

    def close(self) -> None:
        """Read what is left, and look no longer. What was measured stays."""
        for handle in self._handles:
            handle.remove()
        for watch in self._watches.values():
            watch.close()
        for name in self._watches:
            self._read(name)

    def __enter__(self) -> TransformMonitor:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: Any) -> None:
        if kind is not None:  # an error of ours would hide the one that is under way
            for watch in self._watches.values():
                watch.discard()
        self.close()

    def __str__(self) -> str:
        lines = [f"{'calls':>8}{'|theta - id|':>14}{'|det|':>10}{'outside':>9}{'blank':>8}  module"]
        for name, seen in self.summary().items():
            means = f"{seen.deviation:14.4f}{seen.determinant:10.4f}{seen.outside:9.1%}{seen.blank:8.1%}"
            lines.append(f"{seen.calls:8d}{means}  {name or '.'}")
        return "\n".join(lines)

    # ---- what is seen ---------------------------------------------------------------------------------------------------

    def _see(self, name: str, module: SamplingModule, theta: Tensor, source: Tensor) -> None:
        if not module.training or torch.is_inference_mode_enabled():
            return
        watch = self._watches[name]
        if torch._C._current_graph_task_id() == -1:  # else a checkpoint calls the module again, during backward
            if watch.is_elsewhere(theta.device):
                self._read(name)
            watch.add(module, theta.detach(), source, self.step)
            if watch.unread >= (self._every or (1 if theta.device.type == "cpu" else 20)):
                self._read(name)
        if theta.requires_grad:
            watch.watch_gradient(theta)

    def _read(self, name: str) -> None:
        watch = self._watches[name]
        sums = watch.take()
        if sums is None:
            return
        title = f"{watch.kind} {name!r}" if name else watch.kind
        if sums.nonfinite:
            message = (f"TransformMonitor: theta of {title} isn't finite in step {int(sums.first_nonfinite)}. Before it there "
                       "was a loss or a gradient that isn't finite, a learning rate too high, or a parameter that isn't finite")
            if self._raises:
                raise FloatingPointError(message)
            self._warn(watch, "nonfinite", message)
        determinant, outside = _mean(sums.determinant, sums.thetas), _mean(sums.outside, sums.thetas)
        where = f"in step {watch.step}" if sums.calls == 1 else f"in the {sums.calls:.0f} training calls to step {watch.step}"
        if determinant < self._collapse:
            self._warn(watch, "collapse", (
                f"TransformMonitor: {title} has collapsed: it reads a share of {determinant:.2g} of the input (mean |det|) "
                f"{where}. {REMEDY}"))
        if outside > self._divergence:
            self._warn(watch, "divergence", (
                f"TransformMonitor: {title} has diverged: {outside:.0%} of its samples are outside the input {where}. "
                f"{REMEDY}"))

    def _warn(self, watch: ThetaWatch, kind: str, message: str) -> None:
        if kind not in watch.warned:
            watch.warned.add(kind)
            warnings.warn(message, RuntimeWarning, stacklevel=3)


def _mean(total: float, count: float) -> float:
    return total / count if count else math.nan
