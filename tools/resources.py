"""What every CUDA kernel takes of a multiprocessor: registers, stack frame, spills, shared memory; and whether that is allowed.

    python tools/resources.py                            all dtypes, every architecture of setup.py that nvcc knows
    python tools/resources.py --archs 75,90 --dtypes float
    python tools/resources.py --reports build/temp.*     of the libraries that are built there, without compiling again
    python tools/resources.py --write                    and benchmarks/results/resources.md
    python tools/resources.py --archs 90 --dtypes float --sass 'backward 2-D bilinear zeros'

Compiles csrc/cuda/kernels_<dtype>.cu to cubins, or takes what setup.py has compiled, and reads the report of ptxas, which tells
spills from frames (cuobjdump --dump-resource-usage doesn't). The exit status is 1 where a kernel exceeds what
resource_limits.py allows. No torch and no GPU is needed; --sass wants cuobjdump and nvdisasm: pip install
nvidia-cuda-cuobjdump nvidia-cuda-nvdisasm.
"""
from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from resource_limits import LIMITS, Limit

ROOT = Path(__file__).resolve().parent.parent
SOURCES = ROOT / "csrc" / "cuda"
TABLE = ROOT / "benchmarks" / "results" / "resources.md"
ARCHS = ("75", "80", "86", "89", "90", "100", "120")  # setup.py's COMMON_ARCHS
DTYPES = ("float", "double", "half", "bfloat16")

# As the symbols have them; numbers are those of csrc/core/modes.h.
PASSES = {"grid_sample": "forward", "grid_sample_backward": "backward", "grid_sample_double_backward": "double backward",
          "location_key": "location keys", "sorted_grad_input": "sorted backward", "fill_gradient": "fill gradient",
          "gather_grad_input": "gather backward", "transform_grid": "transform grid",
          "transform_grid_backward": "transform grid backward", "theta_sum": "theta sums"}
MODES, PADDINGS = ("bilinear", "nearest", "bicubic"), ("zeros", "border", "reflection", "circular")


# ---- what a kernel takes ------------------------------------------------------------------------------------------------

@dataclass(frozen=True)
class Usage:
    arch: str
    dtype: str
    name: str  # in words, without arch and dtype
    symbol: str
    registers: int
    frame: int
    spill_stores: int
    spill_loads: int
    shared: int

    @property
    def limit(self) -> Limit:
        return next(limit for limit in LIMITS if re.search(limit.pattern, f"{self.name} {self.dtype}"))

    @property
    def violations(self) -> list[str]:
        limit, spills = self.limit, self.spill_stores + self.spill_loads
        pairs = ("registers", self.registers, limit.registers), ("bytes of frame", self.frame, limit.frame), (
            "bytes of spills", spills, limit.spills)
        return [f"sm_{self.arch} {self.dtype}, {self.name}: {value} {what}, {most} are allowed"
                for what, value, most in pairs if value > most]


def name_of(symbol: str) -> str:
    """A mangled kernel in words, e.g. "backward 2-D bilinear zeros, 32 bits"."""
    kernel = re.search(r"\d(" + "|".join(PASSES) + r")_kernelI", symbol)
    params = re.search(r"Params[A-Z]*I(?:Li(\d)E)?(?:NS_\w*?\d(?:Half|BFloat16)E|[fd])([il])", symbol)
    params = params or re.search(r"theta_sum_kernelILi(\d)E\w*?Transform\w*?(l)EE", symbol)  # has no params, and 64 bits always
    if not kernel or not params:
        raise SystemExit(f"resources: no name known for the kernel {symbol}; mend name_of")
    words = [PASSES[kernel[1]] + (" of the backward" if "Lb1E" in symbol else "")]
    if "TransformSource" in symbol and kernel[1] != "gather_grad_input":
        words.append("of transforms")
    words.append(f"{params[1] or 'any'}-D")
    if mode := re.search(r"InterpolationModeE(\d)E", symbol):
        padding = re.search(r"PaddingModeE(\d)E", symbol)
        words += [MODES[int(mode[1])], PADDINGS[int(padding[1])] if padding else "any padding"]
    return " ".join(words) + (", 32 bits" if params[2] == "i" else ", 64 bits")


def parse_report(text: str, dtype: str) -> list[Usage]:
    """The output of ptxas -v, for one architecture or one after another."""
    numbers = r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads"
    found = re.findall(rf"Compiling entry function '(\S+)' for 'sm_(\w+)'\n.*?Function properties for \1\n\s*{numbers}\n"
                       r".*?Used (\d+) registers(.*)", text)
    usages = []
    for symbol, arch, frame, stores, loads, registers, rest in found:
        shared = re.search(r"(\d+) bytes smem", rest)
        usages.append(Usage(arch, dtype, name_of(symbol), symbol, int(registers), int(frame), int(stores), int(loads),
                            int(shared[1]) if shared else 0))
    return usages


def find_nvcc() -> str:
    home = os.environ.get("CUDA_HOME") or os.environ.get("CUDA_PATH")
    wheels = map(str, Path(sysconfig.get_path("purelib")).glob("nvidia/*/bin/nvcc"))
    for place in (home and f"{home}/bin/nvcc", shutil.which("nvcc"), "/usr/local/cuda/bin/nvcc", *wheels):
        if place and os.path.exists(place):
            return place
    raise SystemExit("resources: there is no nvcc in CUDA_HOME, on PATH, in /usr/local/cuda or in site-packages")


def known_archs(nvcc: str) -> list[str]:
    known = subprocess.run([nvcc, "--list-gpu-arch"], check=True, capture_output=True, text=True).stdout.split()
    return [arch for arch in ARCHS if f"compute_{arch}" in known]


def nvcc_version(nvcc: str) -> str:
    text = subprocess.run([nvcc, "--version"], check=True, capture_output=True, text=True).stdout
    return "nvcc " + text.split("release ")[1].split(",")[0]


def compile_cubin(nvcc: str, arch: str, dtype: str, folder: Path) -> tuple[list[Usage], float]:
    """With setup.py's flags. The usage of its kernels, and the seconds it took."""
    start = time.monotonic()
    command = [nvcc, "-std=c++17", "-O3", f"-arch=sm_{arch}", "-Xptxas", "-v", "-cubin", str(SOURCES / f"kernels_{dtype}.cu"),
               "-o", str(folder / f"{dtype}_{arch}.cubin")]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"resources: {' '.join(command)}\n{done.stdout}{done.stderr}")
    usages = parse_report(done.stdout + done.stderr, dtype)
    if not usages:
        raise SystemExit(f"resources: ptxas told nothing that is understood here:\n{done.stdout}{done.stderr}")
    return usages, time.monotonic() - start


def measure(archs: Sequence[str], dtypes: Sequence[str], folder: Path, jobs: int | None = None) -> list[Usage]:
    """Of every kernel; cubins are left in the folder as <dtype>_<arch>.cubin."""
    nvcc = find_nvcc()
    pairs = [(arch, dtype) for dtype in dtypes for arch in archs]
    usages: list[Usage] = []
    with ThreadPoolExecutor(jobs or int(os.environ.get("MAX_JOBS") or os.cpu_count() or 1)) as pool:
        compiled = pool.map(lambda pair: compile_cubin(nvcc, pair[0], pair[1], folder), pairs)
        for (arch, dtype), (some, seconds) in zip(pairs, compiled):
            print(f"sm_{arch} {dtype}: {len(some)} kernels, {seconds:.0f} s", file=sys.stderr, flush=True)
            usages += some
    return usages


def read_reports(folder: Path, archs: Sequence[str], dtypes: Sequence[str]) -> list[Usage]:
    """Of every kernel, from the reports that a build has left in its folder; each architecture has to be there."""
    usages: list[Usage] = []
    for dtype in dtypes:
        report = folder / f"cuda.kernels_{dtype}.cu.o.ptxas"
        if not report.exists():
            raise SystemExit(f"resources: there is no {report}; build with FORCE_CUDA=1")
        found = parse_report(report.read_text(), dtype)
        lacking = set(archs) - {usage.arch for usage in found}
        if lacking:
            raise SystemExit(f"resources: {report} has nothing of sm_{', sm_'.join(sorted(lacking))}")
        usages += [usage for usage in found if usage.arch in archs]
    return usages


# ---- the report ---------------------------------------------------------------------------------------------------------

def cell(usages: Iterable[Usage]) -> str:
    """One kernel and dtype over all architectures: registers from to, and the most of what isn't zero."""
    usages = list(usages)
    if not usages:
        return ""
    least, most = min(usage.registers for usage in usages), max(usage.registers for usage in usages)
    words = [str(most) if least == most else f"{least} to {most}"]
    for what, numbers in (("frame", [usage.frame for usage in usages]), ("shared", [usage.shared for usage in usages]),
                          ("spilled", [usage.spill_stores + usage.spill_loads for usage in usages])):
        words += [f"{max(numbers)} {what}"] if max(numbers) else []
    return ", ".join(words)


def markdown(usages: Sequence[Usage], nvcc_version: str) -> str:
    archs, dtypes = list(dict.fromkeys(u.arch for u in usages)), list(dict.fromkeys(u.dtype for u in usages))
    parts = [
        "# What the CUDA kernels take",
        f"Written by `tools/resources.py --write`; {nvcc_version}; {', '.join('sm_' + arch for arch in archs)}. A cell has the "
        "registers of a thread, least to most over the architectures, and, where there are any, the most bytes of a thread's "
        "stack frame, of a block's shared memory, and of a thread's spill stores and loads together.",
    ]
    rows: dict[str, list[Usage]] = {}
    for usage in usages:
        rows.setdefault(usage.name, []).append(usage)
    order = [*PASSES.values()]
    titles = {name: name.partition("-D")[0].rpartition(" ")[0] for name in rows}  # the words before the dims
    for title in sorted({*titles.values()}, key=lambda t: (order.index(t.partition(" of ")[0]), t)):
        names = sorted(name for name in rows if titles[name] == title)
        lines = [["kernel", *dtypes], ["---"] * (1 + len(dtypes))]
        lines += [[name[len(title) + 1:], *(cell(u for u in rows[name] if u.dtype == dtype) for dtype in dtypes)]
                  for name in names]
        parts += [f"## {title}", "\n".join(f"| {' | '.join(line)} |" for line in lines)]
    limits = [f"| {pattern} | {limit.registers} | {limit.frame} | {limit.spills} | {limit.reason} |"
              for limit in LIMITS for pattern in [f"`{limit.pattern}`".replace("|", "\\|") if limit.pattern else "all others"]]
    parts += ["## What is allowed", "The first row whose pattern is found in a kernel's name counts.",
              "\n".join(["| kernels | registers | frame | spills | why |", "| --- " * 5 + "|", *limits])]
    return "\n\n".join(parts) + "\n"


def sass(usages: Sequence[Usage], pattern: str, folder: Path) -> int:
    """Prints the machine code of the kernels that the pattern finds."""
    wheels = map(str, Path(sysconfig.get_path("purelib")).glob("nvidia/*/bin/cuobjdump"))
    tool = next((place for place in (shutil.which("cuobjdump"), "/usr/local/cuda/bin/cuobjdump", *wheels)
                 if place and os.path.exists(place)), None)
    if not tool:
        print("resources: no cuobjdump; pip install nvidia-cuda-cuobjdump nvidia-cuda-nvdisasm", file=sys.stderr)
        return 2
    chosen = [usage for usage in usages if re.search(pattern, usage.name)]
    for usage in chosen:
        print(f"==== sm_{usage.arch} {usage.dtype}, {usage.name}", flush=True)
        cubin = folder / f"{usage.dtype}_{usage.arch}.cubin"
        done = subprocess.run([tool, "--dump-sass", "-fun", usage.symbol, str(cubin)], capture_output=True, text=True)
        if done.returncode:
            print(f"resources: cuobjdump failed: {done.stderr}", file=sys.stderr)
            return 2
        print("\n".join(re.findall(r"^\s+/\*[0-9a-f]{4,}\*/\s+(.*?)\s*/\*", done.stdout, re.MULTILINE)))
    if not chosen:
        print(f"resources: no kernel's name matches {pattern!r}", file=sys.stderr)
    return 0 if chosen else 2


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--archs", type=lambda text: text.replace(".", "").split(","), help="e.g. 75,90; default: all known")
    parser.add_argument("--dtypes", type=lambda text: text.split(","), default=list(DTYPES), help=f"of {','.join(DTYPES)}")
    parser.add_argument("--reports", type=Path, metavar="DIR", help="read what setup.py has left there; nothing is compiled")
    parser.add_argument("--write", action="store_true", help=f"write {TABLE.relative_to(ROOT)}")
    parser.add_argument("--sass", metavar="REGEX", help="print the machine code of these kernels instead of the table")
    parser.add_argument("--cubins", type=Path, metavar="DIR", help="keep the cubins there")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    options = parse(arguments)
    archs = options.archs or known_archs(find_nvcc())
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.cubins or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        if options.reports:
            usages = read_reports(options.reports, archs, options.dtypes)
        else:
            usages = measure(archs, options.dtypes, folder)
        if options.sass:
            return sass(usages, options.sass, folder)
    report = markdown(usages, nvcc_version(find_nvcc()))
    print(report)
    if options.write:
        TABLE.parent.mkdir(parents=True, exist_ok=True)
        TABLE.write_text(report)
    violations = [text for usage in usages for text in usage.violations]
    print("\n".join(violations) or f"{len(usages)} kernels, every one within its limits", file=sys.stderr)
    return 1 if violations else 0


if __name__ == "__main__":
    sys.exit(main())
