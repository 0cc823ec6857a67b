"""``pytest --device cpu | cuda`` says where the tests run; by default on CUDA if there is one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

# Lines about torch's own sampler in the non-finite matrix, filled by test_nonfinite.
TORCH_NONFINITE = pytest.StashKey[list[str]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    default = "cuda" if torch.cuda.is_available() else "cpu"
    parser.addoption("--device", choices=("cpu", "cuda"), default=default, help=f"where tests run (here: {default})")


def pytest_configure(config: pytest.Config) -> None:
    config.stash[TORCH_NONFINITE] = []


def pytest_report_header(config: pytest.Config) -> str:
    return f"device: {config.getoption('--device')}, torch {torch.__version__}"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    lines = config.stash[TORCH_NONFINITE]
    if lines:
        terminalreporter.section("non-finite coordinates in torch's own grid_sample (for information)")
        for line in lines:
            terminalreporter.write_line(line)


@pytest.fixture(scope="session")
def device(request: pytest.FixtureRequest) -> torch.device:
    return torch.device(request.config.getoption("--device"))


@pytest.fixture
def keep_thread_count() -> Iterator[None]:
    """Restores torch's number of threads after a test that sets it."""
    count = torch.get_num_threads()
    yield
    torch.set_num_threads(count)
