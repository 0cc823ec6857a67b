"""A copy of the package whose operators are the CUDA kernels, executed on the host (tests/native/emulation), for CPU tensors.

``pytest --device emulated`` imports it in the place of the real one, so the package itself knows nothing of this.
"""

from __future__ import annotations

import subprocess
import sys
import sysconfig
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "build" / f"temp.{sysconfig.get_platform()}-{sys.implementation.cache_tag}"

# What `pytest --device emulated` leaves out, since it is of no device's kernels or of the CPU's alone
NOT_OF_A_DEVICE = {
    "test_bench_cpu.py": "how the CPU's kernels are measured",
    "test_benchmark_readme.py": "the figures of the README",
    "test_benchmark_steps.py": "what the benchmarks measure",
    "test_benchmark_timing.py": "how the benchmarks measure",
    "test_benchmarks.py": "the benchmarks' own machinery",
    "test_cpu_backend.py": "instruction sets and threads of the CPU's kernels",
    "test_cpu_fuzz.py": "the CPU's kernels under sanitizers",
    "test_distorted_batches.py": "which digits come when, in the examples",
    "test_distorted_mnist.py": "training runs",
    "test_distorted_networks.py": "the examples' networks",
    "test_distorted_training.py": "training runs",
    "test_emulation.py": "native programs, the emulation's own",
    "test_example.py": "a training run",
    "test_gpu_tool.py": "the tool that runs all of this on a GPU",
    "test_lenet_tutorial.py": "a training run",
    "test_mnist_data.py": "reading MNIST",
    "test_native.py": "native programs",
    "test_packaging.py": "the package's build",
    "test_readme_table.py": "the text of the README",
    "test_reference.py": "the reference",
    "test_resources.py": "what the kernels' compiler reports",
    "test_run.py": "programs in processes of their own",
    "test_threads.py": "the CPU's threads, and memory over thousands of calls",
    "test_visualize.py": "pictures",
    "test_warnings.py": "Python's warnings",
}


FOLDER = BUILD / "emulated"  # to import from


def package() -> Path:
    """Makes FOLDER. It is built by the ninja graph of `python setup.py build_ext --inplace`."""
    if not (BUILD / "build.ninja").exists():
        raise SystemExit("--device emulated: build the project in place first, `make build`")
    done = subprocess.run([sys.executable, "-m", "ninja", "-C", str(BUILD), "emulated"], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"--device emulated: the emulated library doesn't build\n{done.stdout}{done.stderr}")
    (library,) = FOLDER.glob("*.so")
    folder = FOLDER / "stn_cuda"
    folder.mkdir(exist_ok=True)
    source = ROOT / "stn_cuda"
    packages = [init.parent for init in source.glob("*/__init__.py")]
    for file in [*source.glob("*.py"), *source.glob("_C*.so"), *packages, library]:
        link = folder / file.name
        link.unlink(missing_ok=True)
        link.symlink_to(file)
    return FOLDER
