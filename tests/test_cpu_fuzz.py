"""The CPU kernels under ASan and UBSan, over random calls: the fuzzer of the emulated CUDA kernels, which judges by the same
definition. Without torch, whose allocator would hide what is read beyond an array."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from conftest import INSTRUCTION_SETS
from test_emulation import ARRAYS, EMULATION, ROOT, SANITIZERS, run

NATIVE, CPU = ROOT / "tests" / "native", ROOT / "csrc" / "cpu"
COMPILE = ["g++", "-Wall", "-Wextra", "-Werror", *SANITIZERS, "-g1", "-DSTN_FUZZ_CPU", "-c",
           "-DSTN_SMALL_WORK=64",  # so that parts of an image's locations are taken for what a sanitizer gets through
           f"-I{NATIVE / 'serial_torch'}", f"-I{EMULATION}"]
SETS = INSTRUCTION_SETS[:2]  # of one source; it takes minutes to compile each, AVX-512's the longest, which AVX2's stand for
FUZZED_CALLS = 3000

pytestmark = pytest.mark.skipif(os.uname().machine != "x86_64" or not shutil.which("g++"), reason="needs x86-64 and g++")


def symbol_of(instruction_set: str) -> str:
    """Of stn::cpu::kKernels..., the table of its kernels."""
    name = f"kKernels{instruction_set.capitalize()}"
    return f"_ZN3stn3cpu{len(name)}{name}E"


@pytest.fixture(scope="module")
def fuzz(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cpu_fuzz")
    sources = {CPU / f"kernels_{name}.cpp": ["-std=c++20", "-O0"] for name in SETS}
    sources |= {CPU / "launch.cpp": ["-std=c++20", "-O1"], EMULATION / "test" / "fuzz.cpp": ["-std=c++17", "-O1"]}

    def compiled(source: Path) -> str:
        target = str(folder / f"{source.stem}.o")
        subprocess.run([*COMPILE, *sources[source], str(source), "-o", target], check=True)  # may take minutes
        return target

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        objects = list(pool.map(compiled, sources))
    others = [f"-Wl,--defsym={symbol_of(name)}={symbol_of(SETS[-1])}" for name in INSTRUCTION_SETS if name not in SETS]
    run(["g++", *SANITIZERS, *objects, *others, "-o", str(folder / "fuzz")])
    return folder / "fuzz"


def test_no_sanitizer_reports_anything_over_random_calls(fuzz: Path) -> None:
    """Any sizes, strides, offsets, dtypes, masks, modes, paddings, grids and transforms, one to eight threads: results are
    those of the definition, and nothing outside an array is touched."""
    output = run([str(fuzz), str(FUZZED_CALLS)])
    assert f"{FUZZED_CALLS} calls, " in output and "checks passed" in output, output


@pytest.mark.parametrize("array", ARRAYS)
def test_an_array_that_is_one_element_too_short_is_reported(array: str, fuzz: Path) -> None:
    """The test above can fail, and it is the kernels that touch the element."""
    done = subprocess.run([str(fuzz), "300", "1", "0", array], capture_output=True, text=True, timeout=600)
    assert done.returncode != 0
    product = r"heap-buffer-overflow(.*\n)+?.*#[0-3] .*(/csrc/(core|cpu)/|stn::cpu::)"
    assert re.search(product, done.stderr), done.stdout + done.stderr
