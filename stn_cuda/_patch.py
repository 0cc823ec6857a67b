"""``stn_cuda.patch``: the switch that puts stn_cuda's functions under ``torch.nn.functional`` and takes them away again."""
from __future__ import annotations

import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch.nn.functional as F
from torch import Tensor

from . import _patched

Function = Callable[..., Tensor]

_OURS: dict[str, Function] = {"grid_sample": _patched.grid_sample, "affine_grid": _patched.affine_grid}
_TORCHS: dict[str, Function] = {"grid_sample": _patched.torch_grid_sample, "affine_grid": _patched.torch_affine_grid}


class Replaced(NamedTuple):
    """The functions that stn_cuda's stand in for."""

    grid_sample: Function
    affine_grid: Function


class Patch:
    """Puts ``stn_cuda.grid_sample`` and ``affine_grid`` in the place of ``torch.nn.functional``'s.

    ``with stn_cuda.patch():`` for a block, ``@stn_cuda.patch()`` for a function, ``stn_cuda.patch.enable()`` and ``disable()``
    for as long as one likes, and ``python -m stn_cuda run script.py`` for a program as it is.

    Two names of a module change, for the whole process and all its threads. What is reached is every look-up from then on:
    ``F.grid_sample(...)``, ``from torch.nn.functional import grid_sample``, and what ``torch.compile`` or ``torch.jit.script``
    makes of them. A name that was imported before stays torch's, one that is imported meanwhile stays stn_cuda's, and
    ``torch.grid_sampler``, the operator below, is always torch's.

    Every :meth:`enable` has its :meth:`disable`, so blocks nest, in one thread and in several: until the last one is left the
    functions are stn_cuda's. A call that stn_cuda doesn't support is answered by torch's function, as it was when stn_cuda was
    imported, with one warning that names it. ``docs/migration.md`` says all this with code.

    Example::

        >>> with stn_cuda.patch() as torchs:
        ...     ours = F.affine_grid(theta, size, align_corners=False)
        ...     theirs = torchs.affine_grid(theta, size, align_corners=False)
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._found: list[dict[str, Function]] = []  # by every enable() whose disable() is to come, the latest last

    @contextmanager
    def __call__(self) -> Iterator[Replaced]:
        """The patch for a block or, as a decorator, for a function; ``as`` gives what :meth:`enable` returns."""
        replaced = self.enable()
        try:
            yield replaced
        finally:
            self.disable()

    @property
    def enabled(self) -> bool:
        return bool(self._found)

    def enable(self) -> Replaced:
        """Puts stn_cuda's functions there, over whatever is there.

        Returns: what they stand in for, by name, the second time too: the latest that was found and isn't stn_cuda's.
        """
        with self._lock:
            found = {name: getattr(F, name) for name in _OURS}
            if not self._found:  # stn_cuda's may have come back after the last disable(), by the end of a cover
                found = {name: _TORCHS[name] if found[name] is _OURS[name] else found[name] for name in found}
            self._found.append(found)
            for name, ours in _OURS.items():
                setattr(F, name, ours)
            return Replaced(**{name: self._below(name) for name in _OURS})

    def disable(self) -> None:
        """Undoes one :meth:`enable`, the latest.

        A function that somebody else has put over stn_cuda's meanwhile is left where it is, and a RuntimeWarning names it. It
        may go on calling stn_cuda's, which it found.

        Raises: RuntimeError where there is no :meth:`enable` to undo.
        """
        with self._lock:
            if not self._found:
                raise RuntimeError("stn_cuda.patch.disable(): there is no enable() to undo; stn_cuda.patch.enabled tells")
            covered = []
            for name, before in self._found.pop().items():
                if getattr(F, name) is _OURS[name]:
                    setattr(F, name, before)
                elif before is not _OURS[name]:
                    covered.append(f"torch.nn.functional.{name}, now {getattr(F, name)!r}")
        if covered:
            warnings.warn(
                f"stn_cuda.patch.disable(): left as it is, as somebody has replaced it since enable(): {'; '.join(covered)}",
                RuntimeWarning, stacklevel=2)

    def __reduce__(self) -> str:  # there is one: ``enable`` goes to a spawned worker by name
        return "patch"

    def _below(self, name: str) -> Function:
        found = (found[name] for found in reversed(self._found) if found[name] is not _OURS[name])
        return next(found, _TORCHS[name])


patch = Patch()
