"""The C++ and CUDA sources without Python: properties of core under sanitizers, vectors against scalars, cubins."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import resources

ROOT = Path(__file__).resolve().parent.parent
NATIVE = ROOT / "tests" / "native"
SANITIZERS = ["-fsanitize=address,undefined,float-cast-overflow", "-fno-sanitize-recover=all", "-g"]
VECTORS = {16: [], 32: ["-mavx2", "-mfma"], 64: ["-mavx512f", "-mavx512dq", "-mavx512bw", "-mavx512vl"]}

needs_compiler = pytest.mark.skipif(not shutil.which("g++"), reason="g++ is not on PATH")
needs_nvcc = pytest.mark.skipif(not shutil.which("nvcc"), reason="nvcc is not on PATH: no CUDA kernel is compiled here")


def run(command: list[str]) -> str:
    """The output of a command that has to succeed."""
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}{done.stderr}"
    return done.stdout + done.stderr


def build_and_run(source: str, flags: list[str], folder: Path) -> str:
    program = str(folder / Path(source).stem)
    run(["g++", "-std=c++17", "-Wall", "-Wextra", "-Werror", *flags, str(NATIVE / source), "-o", program])
    return run([program])


def instruction_sets() -> int:
    import torch

    import stn_cuda  # noqa: F401  (registers the operator)

    return torch.ops.stn_cuda._use_instruction_set(-1)


@needs_compiler
def test_core_has_its_properties_under_sanitizers(tmp_path: Path) -> None:
    """Partition of unity, derivatives against differences, indices in range for a million coordinates of every kind,
    the backward as the transpose of the forward, all of it inside buffers of exactly the arrays' sizes."""
    output = build_and_run("core_properties.cpp", ["-O0", "-g1", *SANITIZERS], tmp_path)  # -O1 takes minutes more
    checks = re.search(r"(\d+) checks passed", output)
    assert checks and int(checks[1]) > 1_000_000, output


@needs_compiler
def test_taps_on_kinks_are_those_of_the_definition(tmp_path: Path) -> None:
    assert "checks passed" in build_and_run("kinks.cpp", ["-O0", *SANITIZERS], tmp_path)


@needs_compiler
def test_sixteen_bit_floats_round_as_their_formats_say(tmp_path: Path) -> None:
    assert "checks passed" in build_and_run("storage.cpp", ["-O1", *SANITIZERS], tmp_path)


@needs_compiler
def test_the_search_for_a_pixels_readers_finds_each_once(tmp_path: Path) -> None:
    """core/gather.h against all locations, for thetas of every kind: regular, singular, huge, not finite, with a horizon."""
    checked = ["-O1", "-fsanitize=bounds,signed-integer-overflow,float-cast-overflow", "-fno-sanitize-recover=all"]
    output = build_and_run("gather.cpp", checked, tmp_path)  # AddressSanitizer doubles it; fuzz.cpp has the kernels under it
    checks = re.search(r"(\d+) checks passed", output)
    assert checks and int(checks[1]) > 500_000, output


@needs_compiler
def test_units_of_work_own_every_element_once(tmp_path: Path) -> None:
    assert "checks passed" in build_and_run("cpu_partition.cpp", ["-O1", *SANITIZERS], tmp_path)


@needs_compiler
def test_kernels_are_chosen_as_the_table_says(tmp_path: Path) -> None:
    assert "checks passed" in build_and_run("cpu_choice.cpp", ["-O1", *SANITIZERS], tmp_path)


def vector_flags(width: int) -> list[str]:
    """What compiles for vectors of so many bytes; skips the test where they aren't this machine's."""
    if os.uname().machine != "x86_64" and width != 16:
        pytest.skip("vectors of this width are x86-64's")
    if {16: 1, 32: 2, 64: 3}[width] > instruction_sets():
        pytest.skip(f"this machine has no vectors of {width} bytes")
    return ["-ffp-contract=off", f"-DSTN_VECTOR_BYTES={width}", *VECTORS[width]]


@needs_compiler
@pytest.mark.parametrize("width", VECTORS)
@pytest.mark.parametrize("program", ("wide_core.cpp", "wide_transform.cpp"))
def test_core_on_vectors_equals_core_on_scalars_bit_for_bit(program: str, width: int, tmp_path: Path) -> None:
    assert "checks passed" in build_and_run(program, ["-O2", *vector_flags(width)], tmp_path)


@needs_compiler
@pytest.mark.parametrize("width", VECTORS)
@pytest.mark.parametrize("program", ("cpu_lines.cpp", "cpu_planes.cpp", "cpu_parts.cpp", "cpu_prefetch.cpp"))
def test_lines_and_planes_hold_what_plain_loops_find(program: str, width: int, tmp_path: Path) -> None:
    """Transposition, packing, gathering, scattering, prefetching: lanes in order, and nothing touched beyond the elements. That
    needs AddressSanitizer once: it doubles the compilation."""
    level = ["-O1", "-fsanitize=address"] if width == 16 else ["-O2"]
    assert "checks passed" in build_and_run(program, [*level, *vector_flags(width)], tmp_path)


@needs_nvcc
def test_cuda_kernels_take_no_more_than_they_are_allowed(tmp_path: Path) -> None:
    """Registers, frames and spills, of one dtype on one architecture; the limits and the command for all of them are
    tools/resources.py's, and .ci/run holds the build's reports, which are of all of them, against the limits."""
    usages = resources.measure(("90",), ("float",), tmp_path)
    assert len(usages) == len({usage.name for usage in usages}) >= 144, "a kernel's name in words isn't its own"
    assert not [text for usage in usages for text in usage.violations]


def test_no_code_of_one_instruction_set_is_shared_with_another() -> None:
    """A weak symbol in an object compiled for AVX-512 could be linked in the place of the baseline's."""
    objects = sorted(ROOT.glob("build/temp*/cpu.kernels_*.o"))
    if not objects or not shutil.which("nm"):
        pytest.skip("no in-place build, or no nm, to look at")
    for compiled in objects:
        symbols = run(["nm", "-C", "--defined-only", str(compiled)]).splitlines()
        weak = [line for line in symbols if re.search(r" [WVu] ", line) and "DW.ref." not in line]
        assert not weak, f"{compiled.name}: {weak[:5]}"
        assert any("kKernels" in line for line in symbols), compiled.name


def test_every_mutation_still_has_its_text(monkeypatch: pytest.MonkeyPatch) -> None:
    """tools/mutate.py takes minutes and is run by hand; its list must not go stale in between."""
    monkeypatch.syspath_prepend(ROOT / "tools")
    from mutations import MUTATIONS  # type: ignore[import-not-found]

    assert len(MUTATIONS) >= 100
    for mutation in MUTATIONS:
        assert mutation.mutated(ROOT) != (ROOT / "csrc" / mutation.file).read_text(), mutation


def test_the_marks_of_the_design_hold() -> None:
    """A padding mode is its enum, its entry in the list and its struct; no heavy torch header; launches in one place; CUDA
    sources that ask for no architecture."""
    sources = {path: path.read_text() for path in (ROOT / "csrc").rglob("*.*") if path.suffix != ".md"}
    lines = [(path, line) for path, text in sources.items() for line in text.splitlines()]
    assert len([line for _, line in lines if "kReflection" in line]) == 3
    assert not [line for _, line in lines if "torch/extension.h" in line]
    core = [line for path, line in lines if path.parent.name in ("core", "cuda") and "#include" in line]
    assert core and not [line for line in core if "torch" in line or "pybind11" in line]
    assert {path.name for path, line in lines if "<<<" in line} == {"launch.h"}
    # Whether nvcc compiles for a GPU may be asked, for which one not: setup.py's gencodes() has them share PTX.
    assert not [line for _, line in lines if "__CUDA_ARCH__" in line.replace("defined(__CUDA_ARCH__)", "")]
