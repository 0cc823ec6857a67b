"""The account of a small call: that its stages add up. What they take is not tested."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

pytest.importorskip("tqdm", reason="as for the other benchmarks")
from benchmarks import call_account
from benchmarks.call_account import PASSES, STAGES, WHOLE

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("pass_name", PASSES)
def test_stages_add_up_to_the_whole_call(pass_name: str) -> None:
    times = {name: float(2**k) for k, name in enumerate(call_account.calls())}  # no sum of some is that of others
    total = sum(stage.of(times) for stage in STAGES if stage.pass_name == pass_name)
    assert total == times[WHOLE[pass_name][0]]


def test_calls_give_what_torch_gives() -> None:
    results = {name: call() for name, call in call_account.calls().items()}
    for ours, theirs in [*WHOLE.values(), ("read", "torch's forward")]:
        torch.testing.assert_close(results[ours], results[theirs])
    torch.testing.assert_close(results["add"][:2], results["torch's backward"])
    assert results["read one"].numel() == 1 and [result.shape for result in results["nothing"]] == [
        result.shape for result in results["backward"]]


def test_a_run_writes_its_tables(tmp_path: Path) -> None:
    """In a process of its own, whose number of threads it sets."""
    command = [sys.executable, str(ROOT / "benchmarks/call_account.py"), "--quick", "--output", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    written = json.loads((tmp_path / "call_account.json").read_text())
    assert written["us"].keys() == call_account.calls().keys() and all(time > 0 for time in written["us"].values())
    text = (tmp_path / "call_account.md").read_text()
    assert text == done.stdout == call_account.markdown(written["header"], written["us"])
    assert text.count("**all of it**") == len(PASSES)
