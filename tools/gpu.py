"""Everything that a machine with a GPU can tell about this checkout, within a time budget: `make gpu`.

    python tools/gpu.py --out DIR [--minutes 9] [--steps build,checks,...] [--list]

Nothing is installed and no network is asked for. The steps below run one after the other, the most valuable first; each has its
share of the time that is left, what it doesn't use goes to those after it, and none stops the others. DIR has
<nn>_<step>.log of each, and summary.json and summary.md, written anew after every step: a run that is killed has told what it
finished. The exit status is 1 if a step failed, 2 without a GPU. Standard library only, but for the list of tests.
"""
from __future__ import annotations

import argparse
import datetime
import importlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MINUTES = 9.0
GRACE = 5.0  # seconds of a step's time in which it may still write down what it has, after SIGINT
LEAST = 5.0  # seconds; with less a step isn't started
TAIL_LINES = 40  # of a log, in summary.md
SMI_FIELDS = ("name", "driver_version", "pstate", "clocks.sm", "clocks.mem", "clocks_throttle_reasons.active",
              "temperature.gpu", "power.draw", "utilization.gpu", "memory.used")


# ---- the steps ----------------------------------------------------------------------------------------------------------

@dataclass(frozen=True)
class Step:
    """{python}, {out} and {seconds} (how long it may take) are filled in. `needs` names a program that may be missing."""

    name: str
    command: tuple[str, ...]
    share: float  # of the time left, beside the shares of the steps after it
    needs: str = ""
    environment: dict[str, str] = field(default_factory=dict)


PYTEST = ("{python}", "-m", "pytest", "--device", "cuda", "--tb", "short", "-rfE", "-p", "no:cacheprovider")
# A tensor has to be an allocation of its own, or an access behind its end is one in torch's pool, which is none to be told.
NO_POOL = {"PYTORCH_NO_CUDA_MEMORY_CACHING": "1"}


def sanitized(tool: str, dtypes: str) -> tuple[str, ...]:
    """The kernels of some dtypes on a few pixels, under a tool that slows them much."""
    return ("compute-sanitizer", "--error-exitcode", "9", "--tool", tool, *PYTEST, "-v", "tests/test_gpu.py",
            "-k", f"few_pixels and ({dtypes})")


def not_of_a_device() -> list[str]:
    """The tests' own list of what no device matters to; tests/emulated.py leaves the same out."""
    sys.path.append(str(ROOT / "tests"))
    return [f"tests/{name}" for name in importlib.import_module("emulated").NOT_OF_A_DEVICE]


def steps() -> list[Step]:
    """The most valuable first."""
    elsewhere = not_of_a_device()
    device_tests = (*PYTEST, "-v", "-m", "not slow", *(f"--ignore={name}" for name in [*elsewhere, "tests/test_gpu.py"]))
    benchmark = ("{python}", "-m", "benchmarks.bench_sampler", "--device", "cuda", "--time-budget", "{seconds}",
                 "--output", "{out}")
    return [
        Step("build", ("{python}", "setup.py", "-q", "build_ext", "--inplace"), 25),
        Step("self-check", ("{python}", "-m", "stn_cuda"), 5),
        Step("checks", (*PYTEST, "-v", "tests/test_gpu.py"), 12),
        Step("tests", device_tests, 30),
        Step("memcheck", sanitized("memcheck", "float32 or float16"), 10, "compute-sanitizer", NO_POOL),
        Step("benchmark", benchmark, 20),
        Step("racecheck", sanitized("racecheck", "float32"), 10, "compute-sanitizer", NO_POOL),
        Step("other tests", (*PYTEST, "-v", "-m", "not slow", *elsewhere), 15),
    ]


# ---- time ---------------------------------------------------------------------------------------------------------------

def limit_for(left: float, share: float, later: Iterable[float]) -> float:
    """Seconds for a step: its part of what is left, beside the shares of the steps after it."""
    return max(0.0, left) * share / (share + sum(later))


# ---- running ------------------------------------------------------------------------------------------------------------

@dataclass
class Result:
    name: str
    status: str  # ok, failed, timed out, left out
    seconds: float = 0.0
    limit: float = 0.0
    exit_status: int | None = None
    reason: str = ""
    command: list[str] = field(default_factory=list)
    log: str = ""
    last_lines: list[str] = field(default_factory=list)


def run_step(step: Step, number: int, out: Path, limit: float) -> Result:
    """Runs it in a process group of its own, which gets SIGINT at the end of its time and SIGKILL a little after it."""
    if limit < LEAST:
        return Result(step.name, "left out", limit=limit, reason="no time was left")
    if step.needs and not find(step.needs):
        return Result(step.name, "left out", limit=limit, reason=f"there is no {step.needs} on PATH or in the CUDA toolkit")
    log = out / f"{number:02}_{step.name.replace(' ', '_')}.log"
    seconds = max(1.0, limit - GRACE)
    # the benchmark starts no row after {seconds}; the row that it is at then takes a while
    filled = {"python": sys.executable, "out": str(out), "seconds": f"{0.8 * seconds:.0f}"}
    command = [part.format_map(filled) if "{" in part else part for part in step.command]
    command[0] = find(command[0]) or command[0]
    result = Result(step.name, "ok", limit=round(limit, 1), command=command, log=log.name)
    start = time.monotonic()
    with log.open("w") as stream:
        stream.write(f"$ {' '.join(command)}\n")
        stream.flush()
        try:
            process = subprocess.Popen(
                command, cwd=ROOT, stdout=stream, stderr=subprocess.STDOUT, start_new_session=True,
                env={**os.environ, "PYTHONUNBUFFERED": "1", **step.environment})
        except OSError as error:
            return Result(step.name, "failed", limit=limit, reason=str(error), command=command, log=log.name)
        try:
            result.exit_status = process.wait(seconds)
        except subprocess.TimeoutExpired:
            result.status, result.reason = "timed out", f"stopped after {seconds:.0f} s"
            stop(process)
        except BaseException:  # Ctrl-C, say: leave nothing behind
            stop(process)
            raise
    result.seconds = round(time.monotonic() - start, 1)
    result.last_lines = log.read_text(errors="replace").splitlines()[-TAIL_LINES:]
    if result.exit_status:
        result.status, result.reason = "failed", f"exit status {result.exit_status}"
    return result


def stop(process: subprocess.Popen[bytes]) -> None:
    for number, seconds in ((signal.SIGINT, GRACE), (signal.SIGKILL, None)):
        try:
            os.killpg(process.pid, number)
            process.wait(seconds)
            if number == signal.SIGINT:
                os.killpg(process.pid, signal.SIGKILL)  # what it has started and not waited for
            return
        except subprocess.TimeoutExpired:
            continue
        except ProcessLookupError:
            return


def find(program: str) -> str | None:
    """On PATH, or where CUDA's toolkit has it."""
    home = os.environ.get("CUDA_HOME") or os.environ.get("CUDA_PATH") or "/usr/local/cuda"
    return shutil.which(program) or shutil.which(f"{home}/bin/{program}")


# ---- the machine --------------------------------------------------------------------------------------------------------

ASK = """
import torch
if not torch.version.cuda: raise SystemExit(f"torch {torch.__version__} is built without CUDA")
torch.cuda.init()
print(torch.__version__, torch.version.cuda)
for i in range(torch.cuda.device_count()): print("%d.%d" % torch.cuda.get_device_capability(i), torch.cuda.get_device_name(i))
"""


def find_gpus() -> tuple[dict[str, str], list[str]] | str:
    """(what torch says of itself and its GPUs, their architectures), or why the first CUDA call failed."""
    done = subprocess.run([sys.executable, "-c", ASK], capture_output=True, text=True)
    if done.returncode:
        return (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]
    (torch, *gpus) = done.stdout.strip().splitlines()
    archs, names = zip(*(gpu.split(" ", 1) for gpu in gpus))
    return {"torch": torch.replace(" ", " with CUDA "), "GPUs": ", ".join(names)}, sorted(set(archs), key=float)


def clocks() -> dict[str, str]:
    """nvidia-smi's view of the first GPU: clocks, why they are throttled, temperature, who else is at work."""
    try:
        done = subprocess.run(["nvidia-smi", f"--query-gpu={','.join(SMI_FIELDS)}", "--format=csv,noheader", "-i", "0"],
                              capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired) as error:
        return {"nvidia-smi": str(error)}
    values = done.stdout.strip().split(", ")
    return dict(zip(SMI_FIELDS, values)) if done.returncode == 0 else {"nvidia-smi": (done.stdout + done.stderr).strip()}


# ---- the summary --------------------------------------------------------------------------------------------------------

@dataclass
class Summary:
    machine: dict[str, str]
    budget: float  # seconds
    before: dict[str, str]
    after: dict[str, str] = field(default_factory=dict)
    steps: list[Result] = field(default_factory=list)
    started: str = field(default_factory=lambda: datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"))

    def write(self, out: Path) -> None:
        """Both files by a rename: they can be read at any time."""
        for name, text in (("summary.json", json.dumps(asdict(self), indent=1) + "\n"), ("summary.md", self.markdown())):
            partial = out / f"{name}.partial"
            partial.write_text(text)
            partial.replace(out / name)

    def markdown(self) -> str:
        facts = {"started": self.started, **self.machine, "budget": f"{self.budget:.0f} s"}
        facts |= {f"clocks {when}": ", ".join(f"{key} {value}" for key, value in what.items())
                  for when, what in (("before", self.before), ("after", self.after)) if what}
        parts = ["# make gpu", "\n".join(f"- {key}: {value}" for key, value in facts.items())]
        lines = ["| step | result | seconds | of | why | last line |", "|---|---|---|---|---|---|"]
        for step in self.steps:
            last = (step.last_lines or [""])[-1].strip(" =").replace("|", "\\|")
            lines.append(f"| {step.name} | {step.status} | {step.seconds:.0f} | {step.limit:.0f} | {step.reason} | {last} |")
        parts.append("\n".join(lines))
        for step in self.steps:
            if step.status in ("failed", "timed out"):
                tail = "\n".join(step.last_lines)
                parts.append(f"## {step.name}: {step.status}\n\n{step.log} ends with\n\n```\n{tail}\n```")
        return "\n\n".join(parts) + "\n"


def run_all(chosen: Sequence[Step], out: Path, summary: Summary, now: Callable[[], float] = time.monotonic) -> None:
    """Every step within what is left of the budget; the summary is on disk after each."""
    end = now() + summary.budget
    summary.write(out)
    for index, step in enumerate(chosen):
        limit = limit_for(end - now(), step.share, [later.share for later in chosen[index + 1:]])
        print(f"[{index + 1}/{len(chosen)}] {step.name}, at most {limit:.0f} s", flush=True)
        result = run_step(step, index + 1, out, limit)
        summary.steps.append(result)
        summary.after = clocks()
        summary.write(out)
        print(f"      {result.status}{': ' if result.reason else ''}{result.reason}, {result.seconds:.0f} s", flush=True)


def parse(arguments: Sequence[str] | None, known: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "gpu", metavar="DIR", help="default: build/gpu")
    parser.add_argument("--minutes", type=float, default=MINUTES, help=f"for all steps together; default: {MINUTES:g}")
    parser.add_argument("--steps", default=",".join(known), help=f"of {','.join(known)}; they run in that order")
    parser.add_argument("--list", action="store_true", help="print the steps and their commands, run nothing")
    options = parser.parse_args(arguments)
    options.steps = options.steps.split(",")
    if unknown := [name for name in options.steps if name not in known]:
        parser.error(f"no step is called {unknown[0]!r}; there are {', '.join(known)}")
    return options


def main(arguments: Sequence[str] | None = None) -> int:
    every = steps()
    options = parse(arguments, [step.name for step in every])
    chosen = [step for step in every if step.name in options.steps]
    if options.list:
        print("\n".join(f"{step.name} ({step.share:g}): {' '.join(step.command)}" for step in chosen))
        return 0
    found = find_gpus()
    if isinstance(found, str):
        print(f"make gpu: there is no GPU here that torch can use, and all of this is about one: {found}\n"
              "make gpu: `make test` tests the CPU's kernels, `pytest --device emulated` the CUDA kernels on the host",
              file=sys.stderr)
        return 2
    machine, archs = found
    os.environ["TORCH_CUDA_ARCH_LIST"] = " ".join(archs)  # the build's: for these GPUs only
    os.environ.setdefault("FORCE_CUDA", "1")
    options.out.mkdir(parents=True, exist_ok=True)
    summary = Summary(machine, 60 * options.minutes, clocks())
    run_all(chosen, options.out.resolve(), summary)
    print((options.out / "summary.md").read_text())
    return 1 if any(step.status in ("failed", "timed out") for step in summary.steps) else 0


if __name__ == "__main__":
    sys.exit(main())
