"""No coordinate whatever crashes the sampler, makes it read outside the image, or leaks a NaN.

On the CPU each cell of the matrix runs in a forked child, so that a crash is one failure with a name. A CUDA context
doesn't survive a fork, and a crash on the device spoils it for good: there one fresh process runs all cells.
"""

from __future__ import annotations

import faulthandler
import gc
import os
import resource
import select
import signal
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from cases import TORCH_HAS_TRICUBIC
from conftest import ABOUT_TORCH
from nonfinite import Cell, all_cells, complaints, run, tensors

import stn_cuda
from stn_cuda import reference

CHILD_SECONDS = 60  # a cell takes milliseconds; a child that hangs must not hang the tests


def in_forked_child(work: Callable[[], str], quiet: bool = False) -> str:
    """What ``work`` returns in a forked child, or how the child died. ``quiet`` for those expected to crash."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            gc.disable()  # a collection would write to, and so copy, every page of the parent's objects
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            if quiet:
                faulthandler.disable()
            torch.set_num_threads(1)  # the parent's pool of threads doesn't exist here
            answer = work()
        except BaseException as error:  # the child must not return into pytest
            answer = f"{type(error).__name__}: {error}"
        os.write(writer, answer.encode()[:4096] or b"\n")
        os._exit(0)
    os.close(writer)
    ready, _, _ = select.select([reader], [], [], CHILD_SECONDS)
    answer = os.read(reader, 4096).decode() if ready else f"no answer within {CHILD_SECONDS} seconds"
    os.close(reader)
    if not ready:
        os.kill(child, signal.SIGKILL)
    status = os.waitpid(child, 0)[1]
    if ready and os.WIFSIGNALED(status):
        return f"killed by {signal.Signals(os.WTERMSIG(status)).name}"
    return answer.strip()


def in_fresh_process(device: str, only: str = "") -> dict[str, str]:
    """Cell name -> what was found ("" is right), from one process for all cells whose name contains ``only``."""
    script = Path(__file__).with_name("nonfinite.py")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(
        [sys.executable, script, "--device", device, "--only", only], env=environment, capture_output=True, text=True
    )
    found: dict[str, str] = {}
    current = None
    for line in done.stdout.splitlines():
        if line.startswith("cell "):
            current = line.removeprefix("cell ")
            found[current] = f"the process died here with status {done.returncode}: {done.stderr[-2000:]}"
        elif current is not None:
            found[current] = "" if line == "right" else line
    return found


@pytest.fixture(scope="module")
def matrix_on_device(device) -> dict[str, str]:
    """The whole matrix at once where cells can't be forked; empty where they can."""
    return {} if device.type == "cpu" else in_fresh_process(device.type)


@pytest.fixture(scope="module", autouse=True)
def warm_parent() -> None:
    """One backward with good coordinates, so that what torch loads on first use isn't loaded in every child."""
    cell = next(cell for cell in all_cells() if cell.direction == "backward")
    input, _, good = tensors(cell, torch.device("cpu"))
    for sampler in (stn_cuda.grid_sample, reference.grid_sample, F.grid_sample):
        run(cell, sampler, input, good)


@pytest.mark.parametrize("cell", all_cells(), ids=str)
def test_cell_keeps_to_the_rule(cell: Cell, device, matrix_on_device):
    if device.type == "cpu":
        found = in_forked_child(lambda: "; ".join(complaints(cell, device, stn_cuda.grid_sample)))
    else:
        found = matrix_on_device.get(str(cell), "not reached: an earlier cell ended the process")
    assert not found, f"{cell}: {found}"


def test_fresh_process_reports_each_of_its_cells():
    only = "2d-bilinear-reflection-centres-float32-nan"
    assert in_fresh_process("cpu", only) == {str(cell): "" for cell in all_cells() if only in str(cell)}


def test_crash_in_a_child_is_reported_by_name():
    assert in_forked_child(lambda: str(os.kill(os.getpid(), signal.SIGSEGV)), quiet=True) == "killed by SIGSEGV"
    assert in_forked_child(lambda: str(1 // 0)).startswith("ZeroDivisionError")
    assert in_forked_child(lambda: "") == ""


def test_where_torch_itself_crashes_or_gives_nan_is_reported(request):
    """For information: asserts only that every cell of torch's was classified."""
    device = torch.device("cpu")

    def outcome(cell: Cell) -> str:
        input, bad, _ = tensors(cell, device)
        return "" if all(t.isfinite().all() for t in run(cell, F.grid_sample, input, bad).tensors()) else "gives nan"

    places: dict[tuple[str, str], list[str]] = defaultdict(list)
    cells = [cell for cell in all_cells() if cell.axis == 0 and cell.dtype == torch.float32]
    if not TORCH_HAS_TRICUBIC:
        cells = [cell for cell in cells if (cell.case.dims, cell.case.mode) != (3, "bicubic")]
    for cell in cells:
        found = in_forked_child(lambda cell=cell: outcome(cell), quiet=True)
        places[found or "is fine", f"{cell.case} {cell.direction}"].append(cell.value)
    lines = request.config.stash[ABOUT_TORCH]["non-finite coordinates"]
    for (found, place), values in places.items():
        if found != "is fine":
            lines.append(f"torch {torch.__version__} {found}: {place}: {', '.join(values)}")
    fine = sum(len(values) for (found, _), values in places.items() if found == "is fine")
    lines.append(f"fine in {fine} of {len(cells)} cells (float32, bad value on x)")
    assert sum(map(len, places.values())) == len(cells)
