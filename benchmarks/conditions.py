"""The conditions under which a benchmark was run."""
from __future__ import annotations

import ctypes
import datetime
import os
import platform
import re
import subprocess
import sys
from pathlib import Path

import torch

import stn_cuda
from benchmarks.timing import ROUND_SECONDS, ROUNDS


def conditions(device: torch.device, threads: int) -> dict[str, str]:
    """What a reader needs to know before believing a figure."""
    on_cuda = device.type == "cuda"
    clock = "CUDA graphs over copies of the tensors; wall clock" if on_cuda else "CPU time" if threads == 1 else "wall clock"
    gpu = {"GPU before": gpu_state()} if on_cuda else {}
    return {
        **gpu,
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "stn_cuda": ", ".join(f"{name.replace('_', ' ')} {value or 'none'}" for name, value in stn_cuda.build_info().items()),
        "torch": torch.__version__,
        "CPU": cpu_name(),
        "device": torch.cuda.get_device_name(device) if on_cuda else "cpu",
        "threads": str(threads),
        # cores of a virtual machine may be halves of one: a busy neighbour then slows some instructions more than others
        "load before": f"{os.getloadavg()[0]:.1f} processes" if hasattr(os, "getloadavg") else "unknown",
        "clock": f"{clock}; {ROUNDS} rounds, each side {ROUND_SECONDS * 1e3:g} ms or more, A B A B; medians, quartiles",
        "malloc": ", ".join(f"{key}={value}" for key, value in os.environ.items() if key.startswith("MALLOC_")) or "defaults",
    }


M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # of glibc's malloc.h


def keep_freed_memory() -> bool:
    """Has this process keep what it frees; False where libc can't. By default glibc maps a large result anew in every call,
    and its page faults take longer than many kernels."""
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return mallopt is not None and all([mallopt(M_TRIM_THRESHOLD, -1), mallopt(M_MMAP_MAX, 0)])


def gpu_state() -> str:
    """Clocks and what throttles them, by nvidia-smi."""
    fields = "clocks.sm,clocks.mem,clocks_throttle_reasons.active,temperature.gpu,power.draw,utilization.gpu"
    try:
        done = subprocess.run(["nvidia-smi", f"--query-gpu={fields}", "--format=csv,noheader", "-i", "0"],
                              capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"unknown: {error}"
    return f"{fields} = {done.stdout.strip()}"


def cpu_name() -> str:
    try:
        found = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    except OSError:  # not Linux
        found = None
    return f"{found.group(1) if found else platform.processor() or platform.machine()}, {os.cpu_count()} cores"
