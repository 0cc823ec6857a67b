"""The ways in: the sdist installed where there is no checkout, and what the build says when something is missing."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).resolve().parent.parent
SITE_PACKAGES = Path(torch.__file__).parent.parent


def run(*command, env=None, **options):
    clean = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "FORCE_CUDA", "VIRTUAL_ENV")}
    return subprocess.run([str(part) for part in command], capture_output=True, text=True, env=clean | (env or {}), **options)


@pytest.fixture(scope="module")
def sdist(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("sdist")
    done = run(sys.executable, "setup.py", "-q", "egg_info", "-e", folder, "sdist", "-d", folder, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
    (archive,) = folder.glob("stn_cuda-*.tar.gz")
    return archive


def test_sdist_holds_all_sources_and_no_products(sdist: Path) -> None:
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    sources = {str(path.relative_to(ROOT)) for path in (ROOT / "csrc").rglob("*.*")}
    sources |= {str(path.relative_to(ROOT)) for path in (ROOT / "stn_cuda").rglob("*.py")}
    assert sources and sources <= names, sources - names
    assert {"setup.py", "pyproject.toml", "Makefile", "LICENSE", "tools/bootstrap.py"} <= names
    assert {"README.md", "docs/migration.md"} <= names
    assert not [name for name in names if name.endswith((".so", ".o", ".pyc")) or name.startswith("build/")]


@pytest.mark.slow
def test_sdist_installs_outside_the_checkout_and_passes_the_self_check(sdist: Path, tmp_path: Path) -> None:
    """In a new environment that sees this one's torch: pip's build isolation hides it, and setup.py has to find it."""
    environment = tmp_path / "environment"
    assert run(sys.executable, "-m", "venv", environment).returncode == 0
    python = environment / "bin" / "python"
    packages = Path(run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").stdout.strip())
    (packages / "torch_of_the_tests.pth").write_text(f"{SITE_PACKAGES}\n")
    quick = {"FORCE_CUDA": "0", "CXXFLAGS": "-O0"}  # compiles sooner
    install = run(python, "-m", "pip", "install", "--no-deps", sdist, env=quick, cwd=tmp_path)
    if "No matching distribution" in install.stderr or "ConnectionError" in install.stderr:
        pytest.skip("pip can't fetch the build requirements here: no package index")
    assert install.returncode == 0, install.stdout + install.stderr
    check = run(python, "-m", "stn_cuda", cwd=tmp_path)
    assert check.returncode == 0, check.stdout + check.stderr
    assert "self-check: ok" in check.stdout
    where = run(python, "-c", "import stn_cuda; print(stn_cuda.__file__)", cwd=tmp_path)
    assert where.stdout.startswith(str(environment)), where.stdout + where.stderr


def build(tmp_path: Path, python: str | Path = sys.executable, **env: str) -> subprocess.CompletedProcess[str]:
    """A build that is meant to stop before it compiles anything."""
    if not (tmp_path / "setup.py").exists():
        for name in ("setup.py", "pyproject.toml", "README.md"):
            shutil.copy(ROOT / name, tmp_path)
        shutil.copytree(ROOT / "csrc", tmp_path / "csrc")
        shutil.copytree(ROOT / "stn_cuda", tmp_path / "stn_cuda", ignore=shutil.ignore_patterns("*.so", "__pycache__"))
    return run(python, "setup.py", "-q", "build_ext", env=env, cwd=tmp_path)


@pytest.mark.parametrize("env, words", [
    ({"CXX": "no-such-compiler"}, ["no-such-compiler", "apt-get install g++", "CXX"]),
    ({"FORCE_CUDA": "1", "CUDA_HOME": "/no/such/toolkit"}, ["nvcc", "/no/such/toolkit", "cuda-toolkit", "FORCE_CUDA=0"]),
    ({"FORCE_CUDA": "yes"}, ["FORCE_CUDA", "'yes'"]),
    pytest.param({"FORCE_CUDA": "1", "TORCH_CUDA_ARCH_LIST": "9.0;Hopper"}, ["TORCH_CUDA_ARCH_LIST", "8.0;9.0+PTX", "'Hopper'"],
                 marks=pytest.mark.skipif(not shutil.which("nvcc"), reason="nvcc is not on PATH: no such list is read")),
], ids=("no_compiler", "no_nvcc", "bad_force_cuda", "bad_architecture"))  # fmt: skip
def test_build_says_what_is_missing_and_the_command_that_mends_it(env, words, tmp_path) -> None:
    done = build(tmp_path, **env)
    assert done.returncode != 0
    for word in ["stn_cuda:", *words]:
        assert word in done.stderr, done.stderr
    assert "Traceback" not in done.stderr


def test_build_without_torch_says_how_to_install_it(tmp_path: Path) -> None:
    """An environment that has the build's tools and nothing else."""
    environment, tools = tmp_path / "environment", tmp_path / "tools"
    assert run(sys.executable, "-m", "venv", "--without-pip", environment).returncode == 0
    tools.mkdir()
    for module in ("setuptools", "_distutils_hack", "ninja", "pybind11"):
        (tools / module).symlink_to(Path(importlib.util.find_spec(module).origin).parent)
    done = build(tmp_path, python=environment / "bin" / "python", PYTHONPATH=str(tools))
    assert done.returncode != 0
    assert "stn_cuda: PyTorch is not installed here" in done.stderr and "pip install torch" in done.stderr, done.stderr


def test_failing_compiler_is_reported_with_its_message(tmp_path: Path) -> None:
    (tmp_path / "broken").mkdir()
    done = build(tmp_path / "broken", CXXFLAGS="--no-such-flag", FORCE_CUDA="0")
    assert done.returncode != 0
    assert "--no-such-flag" in done.stdout + done.stderr
    assert "stn_cuda: a command of the build failed" in done.stderr and "CalledProcessError" in done.stderr
