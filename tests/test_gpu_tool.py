"""tools/gpu.py without a GPU: its arithmetic, its steps in the face of failure, and what it says where there is no GPU."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import gpu
import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu, "GRACE", 0.5)
    monkeypatch.setattr(gpu, "LEAST", 0.2)
    monkeypatch.setattr(gpu, "clocks", lambda: {"clocks.sm": "1980 MHz"})


def python(name: str, code: str, share: float = 1.0, needs: str = "") -> gpu.Step:
    return gpu.Step(name, ("{python}", "-c", code), share, needs)


def run(tmp_path: Path, *steps: gpu.Step, budget: float = 60.0) -> list[gpu.Result]:
    summary = gpu.Summary({"torch": "2.11"}, budget, {"clocks.sm": "345 MHz"})
    gpu.run_all(steps, tmp_path, summary)
    return summary.steps


def log(tmp_path: Path, result: gpu.Result) -> str:
    return (tmp_path / result.log).read_text()


# The budget


def test_a_step_has_its_share_of_the_time_that_is_left() -> None:
    assert gpu.limit_for(100, 1, [1, 2]) == 25
    assert gpu.limit_for(100, 3, []) == 100
    assert gpu.limit_for(-5, 1, [1]) == 0


def test_what_a_step_leaves_goes_to_those_after_it() -> None:
    left, limits = 90.0, []
    for index, took in enumerate((10, 30, 50)):  # of 30, 40 and 50
        limits.append(gpu.limit_for(left, 1, [1] * (2 - index)))
        left -= took
    assert limits == [30, 40, 50] and left == 0


def test_the_shares_leave_the_build_two_minutes_and_every_step_some() -> None:
    shares = [step.share for step in gpu.steps()]
    limits = {step.name: gpu.limit_for(540, step.share, [*shares[:index], *shares[index + 1 :]])
              for index, step in enumerate(gpu.steps())}  # fmt: skip
    assert limits["build"] >= 100 and min(limits.values()) > 4 * gpu.GRACE
    assert sum(limits.values()) == pytest.approx(540)


# Steps


def test_a_failing_step_does_not_stop_the_next(tmp_path: Path) -> None:
    bad, good = run(tmp_path, python("bad one", "print('before'); 1 // 0"), python("good", "print('worked')"))
    assert (bad.status, bad.exit_status, bad.log) == ("failed", 1, "01_bad_one.log")
    assert "before" in log(tmp_path, bad) and "ZeroDivisionError" in bad.last_lines[-1]
    assert (good.status, good.last_lines[-1]) == ("ok", "worked")


def test_a_step_over_its_time_is_interrupted_and_may_tell_what_it_has(tmp_path: Path) -> None:
    code = "import time\ntry: time.sleep(60)\nexcept KeyboardInterrupt: print('so far: 3')"
    start = time.monotonic()
    (result,) = run(tmp_path, python("slow", code), budget=2.5)
    assert (result.status, result.last_lines[-1]) == ("timed out", "so far: 3") and "2 s" in result.reason
    assert time.monotonic() - start < 10


def test_a_step_that_ignores_its_interruption_is_killed_with_its_children(tmp_path: Path) -> None:
    code = (
        "import signal, subprocess, sys, time; signal.signal(signal.SIGINT, signal.SIG_IGN); "
        "print(subprocess.Popen(['sleep', '60']).pid); time.sleep(60)"
    )
    (result,) = run(tmp_path, python("stubborn", code), budget=2.5)
    assert result.status == "timed out"
    time.sleep(0.2)
    state = subprocess.run(["ps", "-o", "stat=", "-p", result.last_lines[-1]], capture_output=True, text=True).stdout
    assert not state or state.startswith("Z")


def test_without_time_a_step_is_left_out_and_says_so(tmp_path: Path) -> None:
    first, second = run(tmp_path, python("first", "import time; time.sleep(60)", 9), python("second", ""), budget=1.0)
    assert (first.status, second.status, second.reason) == ("timed out", "left out", "no time was left")


def test_a_missing_program_is_said_to_be_missing(tmp_path: Path) -> None:
    (result,) = run(tmp_path, python("memcheck", "", needs="no-such-sanitizer"))
    assert result.status == "left out" and "no-such-sanitizer" in result.reason


def test_the_summary_is_on_disk_after_each_step(tmp_path: Path) -> None:
    """Read by the second step, while the tool runs."""
    show = python("show", f"print(open({str(tmp_path / 'summary.json')!r}).read())")
    _, second = run(tmp_path, python("first", "print('one|two')"), show)
    seen = json.loads(log(tmp_path, second).split("\n", 1)[1])
    assert [(step["name"], step["status"]) for step in seen["steps"]] == [("first", "ok")]
    assert seen["before"]["clocks.sm"] == "345 MHz" and seen["after"]["clocks.sm"] == "1980 MHz"
    text = (tmp_path / "summary.md").read_text()
    assert "| first | ok |" in text and "one\\|two" in text and "clocks before: clocks.sm 345 MHz" in text


def test_the_summary_ends_with_the_logs_of_what_failed(tmp_path: Path) -> None:
    run(tmp_path, python("good", "print('fine')"), python("bad", "raise SystemExit('the reason')"))
    text = (tmp_path / "summary.md").read_text()
    assert "## bad: failed" in text and "the reason" in text.partition("## bad")[2] and "## good" not in text


# The command


def test_steps_are_the_most_valuable_first_and_can_be_chosen(capsys: pytest.CaptureFixture[str]) -> None:
    names = [step.name for step in gpu.steps()]
    assert names[0] == "build" and names.index("tests") < names.index("benchmark") < names.index("racecheck")
    assert gpu.main(["--list", "--steps", "benchmark,checks"]) == 0
    assert [line.partition(" (")[0] for line in capsys.readouterr().out.splitlines()] == ["checks", "benchmark"]
    with pytest.raises(SystemExit):
        gpu.parse(["--steps", "build,coffee"], names)


def test_every_file_a_step_names_is_there() -> None:
    for step in gpu.steps():
        files = [part.removeprefix("--ignore=") for part in step.command if part.endswith(".py")]
        assert all((ROOT / name).exists() for name in files), step.name


@pytest.mark.skipif(gpu.find("nvidia-smi") is not None, reason="this machine may have a GPU")
def test_without_a_gpu_it_stops_at_the_first_cuda_call_and_says_why(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "tools" / "gpu.py", "--out", tmp_path / "out"], capture_output=True, text=True
    )
    assert done.returncode == 2 and not (tmp_path / "out").exists()
    assert "make gpu: there is no GPU here that torch can use" in done.stderr and "Traceback" not in done.stderr
    assert "built without CUDA" in done.stderr or "NVIDIA" in done.stderr or "CUDA" in done.stderr


def test_the_environment_is_found_without_a_network() -> None:
    """pip isn't asked: by a Python that has all of it, and by one that has nothing."""
    bootstrap = ROOT / "tools" / "bootstrap.py"
    done = subprocess.run([sys.executable, bootstrap, "--offline"], capture_output=True, text=True)
    assert done.returncode == 0 and Path(done.stdout.strip()).exists() and "pip" not in done.stderr, done.stderr
    if sys.prefix == sys.base_prefix or (ROOT / ".venv").exists():
        return  # where this Python's own packages aren't all that is looked at
    bare = subprocess.run([sys.executable, "-I", "-S", "-c", BARE, bootstrap], capture_output=True, text=True)
    assert bare.returncode == 1 and "lacks torch>=2.11" in bare.stderr and "make PY=" in bare.stderr, bare.stderr


BARE = """
import runpy, sys
sys.argv = [sys.argv[1], "--offline"]
import subprocess
real = subprocess.run  # the Python that is asked is without its packages, too
subprocess.run = lambda command, **options: real([command[0], "-I", "-S", *command[1:]], **options)
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def test_a_failed_step_is_the_exit_status(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(gpu, "find_gpus", lambda: ({"torch": "2.11", "GPUs": "a GPU"}, ["9.0"]))
    monkeypatch.setenv("TORCH_CUDA_ARCH_LIST", "")
    monkeypatch.setenv("FORCE_CUDA", "")
    for code, status in (("", 0), ("1 // 0", 1)):
        monkeypatch.setattr(gpu, "steps", lambda: [python("only", code)])  # noqa: B023
        assert gpu.main(["--out", str(tmp_path)]) == status
    assert gpu.os.environ["TORCH_CUDA_ARCH_LIST"] == "9.0"
