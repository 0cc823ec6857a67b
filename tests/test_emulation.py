"""CUDA kernels on the host: tests/native/emulation by itself, the bugs it has to catch, and the product's kernels on it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
EMULATION = ROOT / "tests" / "native" / "emulation"
SANITIZERS = ["-fsanitize=address,undefined,float-cast-overflow", "-fno-sanitize-recover=all", "-g"]
COMPILE = ["g++", "-std=c++17", "-Wall", "-Wextra", "-Werror", *SANITIZERS, f"-I{EMULATION}", "-c"]

SWITCHES: dict[str, list[str]] = {"by_hand": [], "ucontext": ["-DEMULATION_UCONTEXT"]}  # the same beside x86-64
TESTS, KERNELS = EMULATION / "test", sorted((ROOT / "csrc" / "cuda").glob("*.cu"))
PROGRAMS = {
    "semantics": [TESTS / "semantics.cu"],
    "engine": [TESTS / "engine.cu"],
    "planted_bugs": [TESTS / "planted_bugs.cu"],
    "product": [TESTS / "product.cpp", *KERNELS],
    "fuzz": [TESTS / "fuzz.cpp", *KERNELS],
    "large": [TESTS / "large.cpp", *KERNELS],
    "orders": [TESTS / "orders.cpp", *KERNELS],
    "mapping": [TESTS / "mapping.cpp"],
}
ONE_SWITCH = ("fuzz", "large", "orders", "mapping")  # these ask nothing of the switch

ARRAYS = (  # of fuzz.cpp's calls, by their names there
    *("input", "grid", "output", "grad_output", "grad_input", "grad_grid", "tangent_input", "tangent_grid"),
    *("fill", "tangent_fill", "fill_weight", "grad_fill", "grad_grad_output", "scratch"),
    *("theta", "tangent_theta", "flow", "tangent_flow", "transform_grid", "partial", "grad_theta", "grad_flow"),
)
FUZZED_CALLS = 5000

# How each bug is caught: by a sanitizer, by a refusal that names the place, or by its result under one of five schedules.
PAST_THE_END, POISONED, REFUSED = "heap-buffer-overflow", "use-after-poison", r"refused: .* at \S*planted_bugs/\w+\.cuh:\d+ in "
WRONG, NAN = "wrong result: element", "wrong result: element .* is -?nan"
TWO_SITES = r"refused: .*planted_bugs/\w+\.cuh:\d+.*planted_bugs/\w+\.cuh:\d+"
BUGS = {
    "global_past_the_end": PAST_THE_END,
    "static_shared_past_the_end": PAST_THE_END,
    "before_static_shared": POISONED,
    "dynamic_shared_past_the_end": PAST_THE_END,
    "unwritten_shared": NAN,
    "shared_of_another_block": NAN,
    "misaligned_load": REFUSED + ".*not a multiple of 8 bytes",
    "misaligned_store": REFUSED + ".*not a multiple of 16 bytes",
    "misaligned_shared_vector": REFUSED + ".*not a multiple of 16 bytes",
    "misaligned_atomic": REFUSED + ".*not a multiple of 4 bytes",
    "too_much_shared_memory": REFUSED + ".*49160 bytes of static",
    "endless_recursion": "stack-overflow",
    "missing_barrier": NAN,
    "missing_second_barrier": WRONG,
    "missing_warp_barrier": NAN,
    "divergent_barrier": TWO_SITES,
    "exit_before_barrier": REFUSED + ".*divergent barrier: this thread exits, and 32 of 33 wait",
    "exit_while_others_wait": REFUSED + ".*divergent barrier: thread .* has exited",
    "unordered_writes": WRONG,
    "lost_update": WRONG,
    "exit_before_shuffle": REFUSED + ".*lane 1 exits, and lanes wait for it",
    "shuffle_after_exit": REFUSED + ".*names lane 0, which has exited",
    "barrier_against_shuffle": TWO_SITES,
    "different_masks": REFUSED + ".*mask 0xffffffff differs from that of lane 0",
    "mask_without_itself": REFUSED + ".*does not name the lane that calls, 0",
    "lanes_that_do_not_exist": REFUSED + ".*names lane 16, which a block of 48 threads does not have",
    "shuffle_from_outside_the_mask": NAN,
    "different_collectives": TWO_SITES,
    "index_overflow": "signed integer overflow",
    "float_to_int": r"3.2e\+20 is outside the range",
    "nan_to_int": "nan is outside the range",
}

needs_nvcc = pytest.mark.skipif(not shutil.which("nvcc"), reason="nvcc is not on PATH: no CUDA kernel is compiled here")
pytestmark = pytest.mark.skipif(not shutil.which("g++"), reason="g++ is not on PATH")


def run(command: list[str]) -> str:
    """The output of a command that has to succeed."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}{done.stderr}"
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of the programs, `<program>_<switch>`: every source compiled once (the one with the switch once each), then linked."""
    folder = tmp_path_factory.mktemp("emulation")

    def compiled(source: Path, flags: list[str]) -> Path:
        target = folder / f"{source.stem}{''.join(flags)}.o"
        # The launchers hold hundreds of kernels: a minute of the optimiser's time would save less than a second of theirs.
        level = "-O0" if source.parent.name == "cuda" else "-O1"
        run([*COMPILE, level, *flags, "-x", "c++", str(source), "-o", str(target)])
        return target

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        sources = [source for program in PROGRAMS.values() for source in program] + sorted(EMULATION.glob("*.cpp"))
        objects = {source: pool.submit(compiled, source, []) for source in dict.fromkeys(reversed(sources))}
        switches = {name: pool.submit(compiled, EMULATION / "fiber.cpp", flags) for name, flags in SWITCHES.items()}
        library = [objects[source].result() for source in EMULATION.glob("*.cpp") if source.name != "fiber.cpp"]
        links = []
        for switch, fiber in switches.items():
            for program, parts in PROGRAMS.items():
                if program in ONE_SWITCH and switch != "by_hand":
                    continue
                linked = map(str, [*(objects[part].result() for part in parts), *library, fiber.result()])
                # -rdynamic: a refusal names the kernel.
                command = ["g++", *SANITIZERS, *linked, "-rdynamic", "-pthread", "-o", str(folder / f"{program}_{switch}")]
                links.append(pool.submit(run, command))
        for link in links:
            link.result()
    return folder


@pytest.mark.parametrize("switch", SWITCHES)
@pytest.mark.parametrize("program", ("semantics", "engine", "product"))
def test_kernels_on_the_host(program: str, switch: str, folder: Path) -> None:
    """semantics: CUDA's promises by their definitions. engine: schedules, counters, refusals, host threads. product: the
    launchers of csrc/cuda against a float64 definition. All under ASan and UBSan."""
    output = run([str(folder / f"{program}_{switch}")])
    checks = re.search(r"(\d+) checks passed", output)
    assert checks and int(checks[1]) > 10_000, output


@pytest.mark.parametrize("switch", SWITCHES)
@pytest.mark.parametrize("bug", BUGS)
def test_a_planted_bug_is_caught(bug: str, switch: str, folder: Path) -> None:
    program = str(folder / f"planted_bugs_{switch}")
    assert run([program, bug, "correct"]).startswith("correct\n")
    broken = subprocess.run([program, bug, "broken"], capture_output=True, text=True, timeout=60)
    assert broken.returncode != 0 and re.search(BUGS[bug], broken.stderr), broken.stdout + broken.stderr


def test_every_planted_bug_is_looked_for(folder: Path) -> None:
    assert run([str(folder / "planted_bugs_by_hand")]).split() == list(BUGS)


def test_no_sanitizer_reports_anything_over_random_calls(folder: Path) -> None:
    """Every launcher, over sizes, strides, offsets, dtypes, masks, index widths and grids: results are those of the definition,
    and nothing outside an array is touched."""
    output = run([str(folder / "fuzz_by_hand"), str(FUZZED_CALLS)])
    assert f"{FUZZED_CALLS} calls, " in output and "checks passed" in output, output


@pytest.mark.parametrize("array", ARRAYS)
def test_an_array_that_is_one_element_too_short_is_reported(array: str, folder: Path) -> None:
    """The test above can fail: it is the product that reads or writes the element, and AddressSanitizer that says so."""
    done = subprocess.run([str(folder / "fuzz_by_hand"), "200", "1", "0", array], capture_output=True, text=True, timeout=600)
    assert done.returncode != 0
    # A lambda of the product's comes without its file; and nothing but the product adds atomically.
    product = r"heap-buffer-overflow(.*\n)+?.*#0 (.*/csrc/(core|cuda)/|\S+ in (auto |void )?stn::cuda::|.* emulation::atomic<)"
    assert re.search(product, done.stderr), done.stdout + done.stderr


def test_promised_results_have_the_same_bits_in_any_order(folder: Path) -> None:
    """Six orders of blocks and threads, one of them the natural one. What is not promised differs, so this can fail."""
    output = run([str(folder / "orders_by_hand")])
    lines = re.findall(r"^(.+): (promised|not promised), (\d+) of (\d+) calls differ under 6 orders$", output, re.MULTILINE)
    assert {name for name, promise, *_ in lines if promise != "promised"} == {
        "grad_input, by atomics",
        "second grad_input, by atomics",
    }
    assert len(lines) == 13 and all((promise == "promised") == (differ == "0") for _, promise, differ, _ in lines), output


@pytest.mark.parametrize("program", ("large", "mapping"))
def test_indices_are_wide_enough_and_every_location_has_a_thread(program: str, folder: Path) -> None:
    assert "checks passed" in run([str(folder / f"{program}_by_hand")])


def test_without_the_emulation_kernels_say_what_is_missing() -> None:
    command = ["g++", "-std=c++17", "-fsyntax-only", "-x", "c++", str(ROOT / "csrc" / "cuda" / "by_dtype.cu")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode != 0 and "-I tests/native/emulation" in done.stderr, done.stderr


@needs_nvcc
def test_nvcc_takes_the_same_source(tmp_path: Path) -> None:
    """And a vector access is one instruction there."""
    target = tmp_path / "semantics.ptx"
    run(["nvcc", "-std=c++17", "-arch=sm_75", "-ptx", str(EMULATION / "test" / "semantics.cu"), "-o", str(target)])
    text = target.read_text()
    assert len(re.findall(r"\.entry", text)) == 11  # five shuffles and one of each other kernel
    for access in ("ld.global.v4.f32", "st.global.v4.f32", "ld.shared.v4.f32", "st.shared.v4.f32"):
        assert access in text, access
