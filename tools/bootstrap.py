"""Makes a Python environment with torch and what building, testing and the demo need. Standard library only.

The active virtual environment is used if there is one, else ./.venv is made. An installed torch is never replaced, and pip is
asked only for what is missing, so a machine that has everything needs no network. The last line on standard output is the
environment's Python; everything else goes to standard error.

    STN_TORCH   what to install where there is no torch, e.g. STN_TORCH="torch==2.11.0"
    --lint      and the tools of `make lint`
    --offline   ask for no network: nothing is installed; the environment, or this Python, with the torch that it has
"""
import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path

MIN_PYTHON, MIN_TORCH = (3, 10), (2, 11)
TORCH_WITHOUT_GPU = "torch==2.13.0"
VENV = Path(__file__).resolve().parent.parent / ".venv"

# module to look for -> what pip installs for it
BUILD = {"setuptools": "setuptools>=70", "wheel": "wheel", "ninja": "ninja", "pybind11": "pybind11>=2.13",
         "numpy": "numpy", "pytest": "pytest"}
EXTRA = {"scipy": "scipy", "cv2": "opencv-python-headless", "hypothesis": "hypothesis", "psutil": "psutil",
         "xdist": "pytest-xdist", "expecttest": "expecttest", "matplotlib": "matplotlib", "tqdm": "tqdm",
         "sklearn": "scikit-learn"}
OF_TORCH = {"kornia": "kornia", "kornia_rs": "kornia_rs"}  # installed without what they require, torch: that stays as it is
LINT = {"ruff": "ruff", "mypy": "mypy"}


def say(text):
    print(f"bootstrap: {text}", file=sys.stderr, flush=True)


def run(*command):
    print("+", *command, file=sys.stderr, flush=True)
    return subprocess.run(command, stdout=sys.stderr).returncode == 0


def ask(python, code):
    """What `code` prints in that Python, or None if it fails."""
    found = subprocess.run([python, "-c", code], capture_output=True, text=True)
    return found.stdout.strip() if found.returncode == 0 else None


def missing(python, modules):
    names = ask(python, f"import importlib.util as u; print(*[m for m in {list(modules)!r} if not u.find_spec(m)])")
    return [modules[name] for name in (names or "").split()]


def has_gpu():
    smi = shutil.which("nvidia-smi")
    return bool(smi) and subprocess.run([smi, "-L"], capture_output=True).returncode == 0


def environment():
    """Python of the active environment, or of ./.venv, which is made if there is none or only half of one."""
    if sys.prefix != sys.base_prefix or os.environ.get("CONDA_PREFIX") == sys.prefix:
        return sys.executable
    python = str(VENV / "bin" / "python")
    if VENV.exists() and ask(python, "import pip, sys; print(sys.prefix)") is None:
        say(f"{VENV} is incomplete, it is made anew")
        shutil.rmtree(VENV)
    if not VENV.exists():
        sees_torch = ask(sys.executable, "import torch; print(1)") is not None
        if not run(sys.executable, "-m", "venv", *(["--system-site-packages"] if sees_torch else []), str(VENV)):
            shutil.rmtree(VENV, ignore_errors=True)
            sys.exit("bootstrap: this Python can't make a virtual environment (Debian: apt-get install python3-venv)")
    return python


def pip_install(python, *requirements):
    return run(python, "-m", "pip", "install", "--disable-pip-version-check", "-q", *requirements)


def install_torch(python):
    wanted = os.environ.get("STN_TORCH")
    if wanted or has_gpu():
        done = pip_install(python, *(wanted or "torch").split())
    else:  # the CPU wheel where pip's indexes have one: the plain one for Linux brings gigabytes of CUDA
        done = pip_install(python, TORCH_WITHOUT_GPU + "+cpu") or pip_install(python, TORCH_WITHOUT_GPU)
    if not done:
        sys.exit("bootstrap: pip could not install torch, its message is above; install one yourself (2.11 or later), or name "
                 'what to install with STN_TORCH, and start again')


def check_torch(python):
    """(version, CUDA version or "") of the environment's torch, which is installed first where there is none."""
    code = "import torch; print(torch.__version__, torch.version.cuda or '')"
    if missing(python, {"torch": "torch"}):
        install_torch(python)
    found = ask(python, code)
    if found is None:
        sys.exit(f"bootstrap: torch is installed in {python} but doesn't import; `{python} -c 'import torch'` says why")
    version, _, cuda = found.splitlines()[-1].partition(" ")
    if tuple(int(part) for part in version.split("+")[0].split(".")[:2]) < MIN_TORCH:
        sys.exit(f"bootstrap: found torch {version} in {python}; {MIN_TORCH[0]}.{MIN_TORCH[1]} or later is needed, and an "
                 "installed torch is not replaced")
    return version, cuda


def as_it_is():
    """The active environment's Python, else that of ./.venv, else this one, if it has what building and testing need."""
    python = environment() if VENV.exists() else sys.executable
    if lacking := missing(python, {"torch": f"torch>={MIN_TORCH[0]}.{MIN_TORCH[1]}"} | BUILD):
        sys.exit(f"bootstrap: {python} lacks {' '.join(lacking)}, and nothing is installed here; `make build` installs it, or "
                 "name a Python that has it: make PY=/path/to/python gpu")
    version, _ = check_torch(python)
    if extra := missing(python, EXTRA | OF_TORCH):
        say(f"without {' '.join(extra)}: tests that need them are skipped")
    say(f"{python}: torch {version}")
    return python


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--lint", action="store_true", help="install the tools of `make lint` too")
    parser.add_argument("--offline", action="store_true", help="install nothing, use what there is")
    options = parser.parse_args()
    if sys.version_info < MIN_PYTHON:
        sys.exit(f"bootstrap: Python {MIN_PYTHON[0]}.{MIN_PYTHON[1]} or later is needed, this is {sys.version.split()[0]}; "
                 "name another one: make PY=python3.12 test")
    if options.offline:
        return print(as_it_is())
    python = environment()
    version, cuda = check_torch(python)
    needed = missing(python, BUILD | (LINT if options.lint else {}))
    if needed and not pip_install(python, *needed):
        sys.exit(f"bootstrap: pip could not install {' '.join(needed)}, its message is above")
    extra = missing(python, EXTRA)
    numpy = "numpy==" + (ask(python, "import numpy; print(numpy.__version__)") or "*")  # torch works with it: it stays
    if extra and not pip_install(python, *extra, numpy):
        lacking = [one for one in extra if not pip_install(python, one, numpy)]  # the others are to be had without it
        if lacking:
            say(f"WARNING: {' '.join(lacking)} could not be installed: tests that need them are skipped, the demo may not run")
    extra = missing(python, OF_TORCH)
    if extra and not pip_install(python, "--no-deps", *extra):
        say(f"WARNING: {' '.join(extra)} could not be installed: tests that need them are skipped")
    if cuda and has_gpu() and not (shutil.which("nvcc") or os.path.exists("/usr/local/cuda/bin/nvcc")
                                   or os.environ.get("CUDA_HOME")):
        pip_install(python, f"cuda-toolkit[nvcc,cccl,cudart]=={cuda}.*")
    say(f"{python}: Python {ask(python, 'import platform; print(platform.python_version())')}, torch {version}")
    print(python)


if __name__ == "__main__":
    main()
