"""``python -m stn_cuda run``: other people's programs, as they are, each in a process of its own."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parent
RUN = ("-m", "stn_cuda", "run")
NUMBER = re.compile(r"-?\d+\.\d+")


def python(*arguments: object, **options) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": str(TESTS.parent), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-W", "ignore", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300, **options)


def output_of(*arguments: object, **options) -> list[str]:
    done = python(*arguments, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    return [line for line in done.stdout.splitlines() if not line.startswith("#")]


def assert_same_to(tolerance: float, lines: list[str], expected: list[str]) -> None:
    """The same words, and numbers that agree to rounding."""
    assert [NUMBER.sub("N", line) for line in lines] == [NUMBER.sub("N", line) for line in expected]
    numbers = [[float(number) for line in found for number in NUMBER.findall(line)] for found in (lines, expected)]
    assert numbers[0] and numbers[0] == pytest.approx(numbers[1], rel=tolerance, abs=tolerance)


@pytest.mark.slow
def test_training_script_gives_its_losses_on_stn_cudas_operators():
    # float32 and 16 steps: rounding grows to some 1e-7. The zoom is off the identity, where coordinates would be whole pixels
    script = TESTS / "programs" / "train_transformer.py", "--zoom", 0.87, "--profile"
    *expected, torchs = output_of(*script)
    *losses, ours = output_of(*RUN, *script)
    assert len(losses) == 18  # 8 batches and a test in each of 2 epochs
    assert_same_to(1e-5, losses, expected)
    wanted = {"_grid_sample", "grid_sample_backward", "_transform_grid", "transform_grid_backward"}
    assert {f"stn_cuda::{name}" for name in wanted} <= set(ours.split()) and "stn_cuda::" not in torchs
    assert "aten::grid_sampler_2d" in torchs.split() and "aten::grid_sampler_2d" not in ours.split()


@pytest.mark.slow
@pytest.mark.skipif(not importlib.util.find_spec("kornia"), reason="kornia is not installed")
def test_kornia_registers_images_to_the_same_homography():
    script = TESTS / "programs" / "register_images.py", 40
    assert_same_to(1e-8, output_of(*RUN, *script), output_of(*script))


SELF_PORTRAIT = """
    import json, sys
    import torch.nn.functional as F
    from torch.nn.functional import affine_grid

    if __name__ == "__main__":
        name = getattr(sys.modules["__main__"].__spec__, "name", None)
        print(json.dumps([sys.argv, sys.path[0], __file__, name, __package__ or None]))
        print(json.dumps([F.grid_sample.__module__, affine_grid.__module__]))
"""
ARGUMENTS = ("--epochs", "3", "-m", "--help", "--", "-x", "run")


@pytest.fixture
def folder(tmp_path) -> Path:
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "__init__.py").touch()
    for name in ("module.py", "__main__.py"):
        (tmp_path / "package" / name).write_text(textwrap.dedent(SELF_PORTRAIT))
    return tmp_path


@pytest.mark.parametrize("program", [("package/module.py",), ("-m", "package.module"), ("-m", "package")], ids=" ".join)
def test_program_sees_what_python_would_show_it_and_the_patch(program, folder):
    plain, found = (output_of(*before, *program, *ARGUMENTS, cwd=folder) for before in ((), RUN))
    assert json.loads(found[0]) == json.loads(plain[0])
    assert json.loads(plain[1]) == ["torch.nn.functional"] * 2 and json.loads(found[1]) == ["stn_cuda._patched"] * 2


def test_program_ends_with_its_own_status_and_words(tmp_path):
    script = tmp_path / "script.py"
    for code, status, words in (
        ("import sys; sys.exit(7)", 7, ""),
        ("{}['no such key']", 1, "KeyError: 'no such key'\n"),
    ):
        script.write_text(code)
        done = python(*RUN, script)
        assert done.returncode == status and done.stderr.endswith(words) and not done.stdout, done.stderr


AFTERWARDS = """
    import atexit, pickle, sys
    import torch.nn.functional as F

    class Own:
        pass

    def at_the_end():
        print(F.grid_sample.__module__, type(pickle.loads(pickle.dumps(Own()))) is Own)

    atexit.register(at_the_end)
    sys.exit()
"""


def test_what_runs_after_the_last_line_finds_the_patch_and_its_main_module(tmp_path):
    (tmp_path / "script.py").write_text(textwrap.dedent(AFTERWARDS))
    assert output_of(*RUN, tmp_path / "script.py") == ["stn_cuda._patched True"]


@pytest.mark.parametrize("arguments, words", [
    (("no_such_file.py", "a"), "there is no file 'no_such_file.py'"),
    (("--fast", "script.py"), "--fast"),
    (("-m", "no_such_module"), "No module named no_such_module"),
], ids=str)  # fmt: skip
def test_what_cannot_be_run_is_named(arguments, words):
    done = python(*RUN, *arguments)
    assert done.returncode and words in done.stderr and not done.stdout


SPAWNS = """
    import multiprocessing
    import torch.nn.functional as F
    import stn_cuda

    def where(_):
        return F.grid_sample.__module__

    if __name__ == "__main__":
        for method in ("fork", "spawn"):
            for initializer in (None, stn_cuda.patch.enable):
                with multiprocessing.get_context(method).Pool(1, initializer) as pool:
                    print(method, bool(initializer), *pool.map(where, [0]))
"""


def test_workers_are_patched_that_are_forked_or_initialized(tmp_path):
    (tmp_path / "script.py").write_text(textwrap.dedent(SPAWNS))
    ours, torchs = "stn_cuda._patched", "torch.nn.functional"
    assert output_of(*RUN, tmp_path / "script.py") == [
        f"fork False {ours}", f"fork True {ours}", f"spawn False {torchs}", f"spawn True {ours}"]


def test_without_a_command_it_checks_itself():
    assert output_of("-m", "stn_cuda")[-1].startswith("self-check: ok")
