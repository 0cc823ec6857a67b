"""``python -m stn_cuda run``: somebody's program, with the patch on from its first line."""
from __future__ import annotations

import builtins
import os
import runpy
import sys
from collections.abc import Sequence
from importlib.machinery import SourceFileLoader
from types import ModuleType

from ._patch import patch


def run(target: str, arguments: Sequence[str], as_module: bool) -> None:
    """``python target arguments...`` or ``python -m target arguments...`` in this process, with the patch on until its end.

    ``sys.argv``, ``sys.path`` and ``__main__`` are the program's, and so are its exceptions and its exit status. What it starts
    afresh isn't patched: processes that are spawned (docs/migration.md says what to do there) or are other programs.
    """
    patch.enable()  # and no disable(): threads and atexit handlers outlive the program's last line
    sys.argv[:] = [target, *arguments]
    if as_module:
        runpy.run_module(target, run_name="__main__", alter_sys=True)
    else:
        if not _is_path_safe():  # `python -m` has put the working directory there, `python script.py` puts the script's
            sys.path[0] = os.path.dirname(os.path.realpath(target))
        _run_script(os.path.abspath(target))


def _is_path_safe() -> bool:
    """Whether Python was told to put no folder of its own before ``sys.path``: by -I, and since 3.11 by -P."""
    return bool(getattr(sys.flags, "safe_path", sys.flags.isolated))


def _run_script(path: str) -> None:
    """As ``runpy.run_path``, which however takes ``__main__`` away at the end: a thread may want to pickle then."""
    loader = SourceFileLoader("__main__", path)
    main = sys.modules["__main__"] = ModuleType("__main__")
    vars(main).update(__file__=path, __loader__=loader, __builtins__=builtins)
    exec(loader.source_to_code(loader.get_data(path), path), vars(main))
