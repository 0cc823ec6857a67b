"""Breaks the kernels one line at a time and says which breaks the native tests notice: a test of the tests.

    python tools/mutate.py                      all of tools/mutations.py; exit status 1 if too many survive
    python tools/mutate.py barrier inside       those whose text, description or file contains one of the words
    python tools/mutate.py --table results.md   writes the table to a file, too

Each mutant is a copy of the sources with one text replaced. It is compiled by g++ under AddressSanitizer and UBSan into the
smallest program of tests/native that has to notice: the kernels for 2-D float32 images in most cases (few_kernels.cu, run on
the host by tests/native/emulation), ten seconds of compilation. It is no part of the tests, which need not run for minutes.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from mutations import MUTATIONS, Mutation

ROOT = Path(__file__).resolve().parent.parent
NATIVE = Path("tests/native")
EMULATION = NATIVE / "emulation"
# Of UBSan what indices and conversions can do wrong: all of it would take twice as long to compile.
SANITIZERS = "-fsanitize=address,bounds,signed-integer-overflow,float-cast-overflow"
FLAGS = ["-std=c++17", SANITIZERS, "-fno-sanitize-recover=all", "-pthread"]

# check -> what it compiles of the mutant, what of that is compiled once beside, and the commands it runs
SOURCES = {
    **{f"kernels_{dims}d": EMULATION / "test/few_kernels.cu" for dims in (2, 3)},
    "cpu_choice": NATIVE / "cpu_choice.cpp",
    "cpu_lines": NATIVE / "cpu_lines.cpp",
    "cpu_planes": NATIVE / "cpu_planes.cpp",
    "cpu_parts": NATIVE / "cpu_parts.cpp",
    "cpu_partition": NATIVE / "cpu_partition.cpp",
    "cpu_prefetch": NATIVE / "cpu_prefetch.cpp",
    "gather": NATIVE / "gather.cpp",
    "kinks": NATIVE / "kinks.cpp",
    "mapping": EMULATION / "test/mapping.cpp",
    "storage": NATIVE / "storage.cpp",
    "wide_core": NATIVE / "wide_core.cpp",
    "wide_transform": NATIVE / "wide_transform.cpp",
}
FUZZED_CALLS = "1000"
RUNS = {"kernels_2d": [["fuzz", FUZZED_CALLS], ["large"]], "kernels_3d": [["fuzz", FUZZED_CALLS]]}

ARGUMENTS = {"gather": ["15"], "wide_core": ["1"]}

SURVIVED, NOT_COMPILED = "survived", "does not compile"
VERDICTS = (  # a pattern in what the program printed -> how the mutant was noticed
    (r"AddressSanitizer|runtime error:", "sanitizer"),
    (r"emulation::Refusal", "refusal"),
    (r"is false:", "wrong result"),
)


class Failed(Exception):
    """With the verdict, and the first line that says why."""


def gxx(arguments: list[str | Path], level: str = "-O0") -> None:
    done = subprocess.run(["nice", "g++", *FLAGS, level, *map(str, arguments)], capture_output=True, text=True)
    if done.returncode:
        raise Failed(NOT_COMPILED, done.stderr)


def run(command: list[str]) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, errors="replace")
    except subprocess.TimeoutExpired:
        raise Failed("timeout", "") from None
    if done.returncode:
        output = done.stdout + done.stderr
        raise Failed(next((verdict for pattern, verdict in VERDICTS if re.search(pattern, output)), "crash"), output)


def kernel_flags(check: str) -> list[str]:
    return [f"-DSTN_FEW_KERNELS={check[8]}", f"-I{ROOT / EMULATION}"] if check in RUNS else []


def compile_once(check: str, folder: Path) -> None:
    """The judges, from sources that are not mutated: `<program>_<check>.o`; and the host execution as a library."""
    objects = []
    cuda = ROOT / "csrc" / "cuda"
    for source in [*sorted((ROOT / EMULATION).glob("*.cpp")), cuda / "by_dtype.cu", cuda / "sort.cu"]:
        objects.append(folder / f"{check}_{source.stem}.o")
        gxx(["-x", "c++", "-c", source, "-o", objects[-1], *kernel_flags(check)], "-O1")
    subprocess.run(["ar", "rcs", str(folder / f"{check}.a"), *map(str, objects)], check=True)
    for program, *_ in RUNS[check]:
        source = ROOT / EMULATION / "test" / f"{program}.cpp"
        gxx(["-c", source, "-o", folder / f"{program}_{check}.o", *kernel_flags(check)], "-O1")


def examine(tree: Path, check: str, prepared: Path) -> None:
    """Compiles and runs a check in a tree. Raises Failed."""
    if check not in RUNS:
        gxx([f"-I{ROOT / EMULATION}", tree / SOURCES[check], "-o", tree / check])
        return run([str(tree / check), *ARGUMENTS.get(check, [])])
    kernels = tree / "kernels.o"
    gxx(["-x", "c++", "-c", tree / SOURCES[check], "-o", kernels, *kernel_flags(check)])
    for program, *arguments in RUNS[check]:
        gxx([kernels, prepared / f"{program}_{check}.o", prepared / f"{check}.a", "-rdynamic", "-o", tree / program])
        run([str(tree / program), *arguments])


def verdict_of(mutation: Mutation | None, check: str, prepared: Path) -> tuple[str, float]:
    """How a mutant was noticed (None: the sources as they are), and after how many seconds."""
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        for part in ("csrc", "tests/native"):
            shutil.copytree(ROOT / part, Path(folder) / part)
        if mutation:
            (Path(folder) / "csrc" / mutation.file).write_text(mutation.mutated(ROOT))
        try:
            examine(Path(folder), check, prepared)
        except Failed as failed:
            if mutation is None or failed.args[0] == NOT_COMPILED:
                print(failed.args[1][-2000:], file=sys.stderr)
            return failed.args[0], time.monotonic() - started
    return SURVIVED, time.monotonic() - started


def table(results: list[tuple[Mutation, str, float]]) -> str:
    lines = ["| file | mutant | by | verdict |", "|---|---|---|---|"]
    for mutation, verdict, _ in results:
        explained = f": {mutation.equivalent}" if verdict == SURVIVED and mutation.equivalent else ""
        lines.append(f"| {mutation.file} | {mutation.what} | {mutation.check} | {verdict}{explained} |")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("words", nargs="*", help="only mutants that one of these occurs in")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--threshold", type=float, default=0.9, help="the share of mutants that has to be killed")
    parser.add_argument("--table", type=Path, help="a file for the table")
    options = parser.parse_args()
    chosen = [m for m in MUTATIONS if not options.words or any(word in str(m) for word in options.words)]
    checks = sorted({mutation.check for mutation in chosen})
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(options.jobs) as pool:
        prepared = Path(folder)
        list(pool.map(lambda check: compile_once(check, prepared), [check for check in checks if check in RUNS]))
        for check, (verdict, _) in zip(checks, pool.map(lambda check: verdict_of(None, check, prepared), checks)):
            if verdict != SURVIVED:
                sys.exit(f"{check} fails without any mutation: {verdict}")
        results = []
        verdicts = pool.map(lambda mutation: verdict_of(mutation, mutation.check, prepared), chosen)
        for mutation, (verdict, seconds) in zip(chosen, verdicts):
            results.append((mutation, verdict, seconds))
            at = f"{len(results):3}/{len(chosen)}"
            print(f"{at}  {verdict:16} {seconds:5.1f} s  {mutation.file}: {mutation.what}", flush=True)
    counts = Counter(verdict for _, verdict, _ in results)
    compiled = len(results) - counts[NOT_COMPILED]
    killed = compiled - counts[SURVIVED]
    explained = sum(verdict == SURVIVED and bool(mutation.equivalent) for mutation, verdict, _ in results)
    share = killed / max(compiled, 1)
    summary = f"{killed} of {compiled} mutants killed, {share:.1%}: " + ", ".join(
        f"{count} by {verdict}" for verdict, count in counts.most_common() if verdict not in (SURVIVED, NOT_COMPILED)
    )
    summary += f". {counts[SURVIVED]} survived, {explained} of them explained; {counts[NOT_COMPILED]} more did not compile."
    summary += f" {(time.monotonic() - started) / 60:.1f} minutes with {options.jobs} at once."
    print(f"\n{table(results)}\n\n{summary}")
    if options.table:
        title = "# Mutants of the kernels\n\nAs `python tools/mutate.py` printed it."
        options.table.write_text(f"{title}\n\n{summary}\n\n{table(results)}\n")
    return 0 if share >= options.threshold else 1


if __name__ == "__main__":
    sys.exit(main())
