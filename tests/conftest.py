"""``pytest --device cpu | cuda | emulated`` says where the tests run; by default on CUDA if there is one.

emulated: the CUDA kernels, executed on the host, stand for the CPU's (tests/emulated.py); device is then "cpu".
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import emulated
import pytest
import torch

INSTRUCTION_SETS = "baseline", "avx2", "avx512"  # in the order of stn::cpu::kInstructionSets

COMPILING = "test_native.py", "test_emulation.py", "test_packaging.py", "test_cpu_fuzz.py"

# Subject -> lines about torch's own sampler, filled by tests.
ABOUT_TORCH = pytest.StashKey[dict[str, list[str]]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    default = "cuda" if torch.cuda.is_available() else "cpu"
    choices = ("cpu", "cuda", "emulated")
    parser.addoption("--device", choices=choices, default=default, help=f"where tests run (here: {default})")
    parser.addoption("--other-instruction-sets", action="store_true",
                     help="each test on the CPU kernels of every instruction set of this machine but the best, the default one")


def is_emulated(config: pytest.Config) -> bool:
    return config.getoption("--device") == "emulated"


def is_worker(config: pytest.Config) -> bool:
    """Whether this is one of pytest-xdist's processes, to which pytest -n gives the tests. It has what the first one made."""
    return hasattr(config, "workerinput")


def pytest_configure(config: pytest.Config) -> None:
    config.stash[ABOUT_TORCH] = defaultdict(list)
    # What torch.compile keeps from one program to the next names operators, those of another build too, which may be gone.
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = folder = tempfile.mkdtemp(prefix="stn_cuda_inductor_")
    config.add_cleanup(lambda: shutil.rmtree(folder, ignore_errors=True))
    if is_emulated(config):  # before any test module imports stn_cuda
        sys.path.insert(0, str(emulated.FOLDER if is_worker(config) else emulated.package()))


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    return True if is_emulated(config) and collection_path.name in emulated.NOT_OF_A_DEVICE else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What compiles for minutes comes first: a process that met it last would be the only one still at work."""
    items.sort(key=lambda item: item.path.name not in COMPILING)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if not metafunc.config.getoption("--other-instruction-sets"):
        return
    import stn_cuda  # here, as it may be the emulated one

    best = INSTRUCTION_SETS.index(stn_cuda.build_info()["instruction_set"])
    metafunc.fixturenames.insert(0, "other_instruction_set")
    metafunc.parametrize("other_instruction_set", INSTRUCTION_SETS[:best], indirect=True)


@pytest.fixture
def other_instruction_set(request: pytest.FixtureRequest) -> Iterator[None]:
    torch.ops.stn_cuda._use_instruction_set(INSTRUCTION_SETS.index(request.param))
    yield
    torch.ops.stn_cuda._use_instruction_set(-1)


def pytest_report_header(config: pytest.Config) -> list[str]:
    header = [f"device: {config.getoption('--device')}, torch {torch.__version__}"]
    if is_emulated(config):
        header += [f"left out: {name}, {reason}" for name, reason in emulated.NOT_OF_A_DEVICE.items()]
    return header


def pytest_sessionfinish(session: pytest.Session) -> None:
    if is_worker(session.config):
        session.config.workeroutput["about torch"] = dict(session.config.stash[ABOUT_TORCH])


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """A process of pytest-xdist's has ended; one that died has no output."""
    for subject, lines in getattr(node, "workeroutput", {}).get("about torch", {}).items():
        node.config.stash[ABOUT_TORCH][subject] += lines


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    for subject, lines in config.stash[ABOUT_TORCH].items():
        terminalreporter.section(f"{subject} in torch's own grid_sample (for information)")
        for line in lines:
            terminalreporter.write_line(line)


@pytest.fixture(scope="session")
def device(request: pytest.FixtureRequest) -> torch.device:
    return torch.device("cpu" if is_emulated(request.config) else request.config.getoption("--device"))


@pytest.fixture
def keep_thread_count() -> Iterator[None]:
    """Restores torch's number of threads after a test that sets it."""
    count = torch.get_num_threads()
    yield
    torch.set_num_threads(count)


@pytest.fixture
def fresh_dynamo() -> Iterator[None]:
    """Nothing that was compiled or counted before is left, nor afterwards."""
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    yield
    torch._dynamo.reset()


@pytest.fixture
def sums_in_order(device: torch.device) -> Iterator[None]:
    """On CUDA grad_input is a sum in any order unless deterministic algorithms are asked for, and these tests compare bits."""
    torch.use_deterministic_algorithms(device.type == "cuda")
    yield
    torch.use_deterministic_algorithms(False)


@pytest.fixture
def torch_functions_as_before(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """For tests of stn_cuda.patch: each warns of what falls through anew, and leaves torch.nn.functional as it was."""
    import callers  # here, since they import stn_cuda

    from stn_cuda import _patched, patch

    monkeypatch.setattr(_patched, "_named", set())
    yield
    assert callers.under_torch() == callers.TORCHS and not patch.enabled
