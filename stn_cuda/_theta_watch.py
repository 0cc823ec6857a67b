"""What is added up of the thetas of one module, on the device until somebody reads it."""
from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils.hooks import RemovableHandle

from ._autograd import in_transform
from ._sampling_module import SamplingModule
from ._theta_measures import Ruler


class Sums(NamedTuple):
    """The entries of a window, float64 on the device, and of the totals."""

    calls: float = 0.0
    thetas: float = 0.0  # finite ones: the next three are sums over them
    deviation: float = 0.0
    determinant: float = 0.0
    outside: float = 0.0
    gradients: float = 0.0  # thetas that had one
    blank: float = 0.0
    nonfinite: float = 0.0
    first_nonfinite: float = -1.0  # the step, of a window; -1: none


CALLS, THETAS, GRADIENTS, BLANK, NONFINITE, FIRST = (
    Sums._fields.index(name) for name in ("calls", "thetas", "gradients", "blank", "nonfinite", "first_nonfinite"))
MEASURED = slice(Sums._fields.index("deviation"), Sums._fields.index("outside") + 1)


class ThetaWatch:
    """Adds up what one module predicts. Only :meth:`take` waits for the device."""

    def __init__(self, kind: str) -> None:
        self.kind = kind  # the module's class
        self.warned: set[str] = set()
        self.step = -1  # of the last call
        self.unread = 0  # calls since the window was taken
        self.totals = Sums()
        self._calls = 0
        self._window: Tensor | None = None
        self._ruler: tuple[Any, Ruler] | None = None
        self._leaf_handle: RemovableHandle | None = None
        self._is_open = True

    def add(self, module: SamplingModule, theta: Tensor, source: Tensor, step: int | None) -> None:
        """theta [B, P] or [B, K, P], detached."""
        self.step = self._calls if step is None else step
        self._calls += 1
        self.unread += 1
        theta = theta.flatten(0, -2)
        measured, is_finite = self._ruler_of(module, theta, source).measure(theta)
        count = is_finite.sum()
        nonfinite = theta.shape[0] - count
        window = self._window_on(theta.device)
        window[CALLS] += 1
        window[THETAS] += count
        window[MEASURED] += torch.where(is_finite, measured, 0).sum(1, dtype=window.dtype)
        window[NONFINITE] += nonfinite
        window[FIRST] = torch.where((window[FIRST] < 0) & (nonfinite > 0), float(self.step), window[FIRST])

    def watch_gradient(self, theta: Tensor) -> None:
        """Count blank windows when theta's gradient is there, the sum of all that reaches it."""
        handle = theta.register_hook(self._add_gradient)
        if theta.is_leaf:  # a parameter, which would collect hooks; others take theirs along when the graph goes
            self._drop_leaf_hook()
            self._leaf_handle = handle

    def take(self) -> Sums | None:
        """The window since the last time, which the totals have then, too."""
        if self._window is None:
            return None
        sums = Sums(*self._window.tolist())
        self._window, self.unread = None, 0
        self.totals = Sums(*(total + of_window for total, of_window in zip(self.totals, sums)))
        return sums

    def discard(self) -> None:
        self._window, self.unread = None, 0

    def close(self) -> None:
        self._drop_leaf_hook()
        self._is_open = False

    def is_elsewhere(self, device: torch.device) -> bool:
        """Whether the module has moved since the window was begun."""
        return self._window is not None and self._window.device != device

    def _add_gradient(self, gradient: Tensor | None) -> None:
        if gradient is None or not self._is_open:
            return
        if in_transform() or torch._C._functorch.is_legacy_batchedtensor(gradient):  # several gradients at once have no count
            return
        is_blank = (gradient.detach() == 0).flatten(0, -2).all(1)
        window = self._window_on(gradient.device)
        window[GRADIENTS] += len(is_blank)
        window[BLANK] += is_blank.sum()

    def _window_on(self, device: torch.device) -> Tensor:
        if self._window is None:
            self._window = torch.zeros(len(Sums._fields), dtype=torch.float64, device=device)
            self._window[FIRST] = -1
        return self._window

    def _ruler_of(self, module: SamplingModule, theta: Tensor, source: Tensor) -> Ruler:
        size = tuple(source.shape[2:])
        key = size, theta.dtype, theta.device
        if self._ruler is None or self._ruler[0] != key:
            align_corners = module.options.get("align_corners", False)
            self._ruler = key, Ruler.of(module.transform, align_corners, size, module.output_size or size, theta)
        return self._ruler[1]

    def _drop_leaf_hook(self) -> None:
        if self._leaf_handle is not None:
            self._leaf_handle.remove()
            self._leaf_handle = None
