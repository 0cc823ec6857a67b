"""``python -m stn_cuda``: what was built, which devices there are, a self-check, and its verdict as the exit status.

``python -m stn_cuda run script.py args...`` runs a program on stn_cuda (``_run``).
"""
from __future__ import annotations

import argparse
import itertools
import os
import sys
from collections.abc import Callable, Sequence
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

import stn_cuda
from stn_cuda import _run, reference

# The check is for gross faults (a wrong build, a wrong torch), the test-suite for the rest: float64, so rounding is far below.
TOLERANCE = 1e-9


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m stn_cuda", description="Without a command: prints the build and checks it against torch.")
    commands = parser.add_subparsers(dest="command", metavar="run")
    runner = commands.add_parser(
        "run", usage="%(prog)s [-h] script.py | -m module [arguments ...]",
        help="run a program with stn_cuda's functions under torch.nn.functional")
    runner.add_argument("-m", dest="as_module", action="store_true", help="the program is a module, as in python -m module")
    runner.add_argument("program", nargs=argparse.REMAINDER, help="a script or a module, and its own arguments")
    options = parser.parse_args()
    if options.command is None:
        return self_check()
    if not options.program:
        runner.error("which program?")
    target, *arguments = options.program
    if not options.as_module and not os.path.isfile(target):
        runner.error(f"there is no file {target!r}")
    _run.run(target, arguments, options.as_module)
    return 0


def self_check() -> int:
    print(f"stn_cuda {stn_cuda.__version__} in torch {torch.__version__}, Python {sys.version.split()[0]}")
    for name, value in stn_cuda.build_info().items():
        print(f"  {name.replace('_', ' ')}: {value or 'none'}")
    devices = [torch.device("cpu")]
    for index in range(torch.cuda.device_count()):
        print(f"  device: cuda:{index}, {torch.cuda.get_device_name(index)}")
        if stn_cuda.build_info()["cuda"]:
            devices.append(torch.device("cuda", index))
        else:
            print("    not usable: this stn_cuda was built without CUDA kernels")
    print(f"  device: cpu, {torch.get_num_threads()} threads")
    failures = [failure for device in devices for failure in check(device)]
    for failure in failures:
        print(f"FAILED: {failure}")
    print("self-check:", "FAILED" if failures else "ok: forward and gradients equal torch's")
    return 1 if failures else 0


def check(device: torch.device) -> list[str]:
    """Compares forward and gradients with torch's own functions in every mode; says where they differ."""
    failures = []
    modes = itertools.product((2, 3), stn_cuda._C.INTERPOLATION_MODES, stn_cuda._C.PADDING_MODES, (False, True))
    for dims, mode, padding_mode, align_corners in modes:
        generator = torch.Generator().manual_seed(0)
        input = torch.randn(2, 3, *(4, 5, 6)[3 - dims:], dtype=torch.float64, generator=generator).to(device)
        theta = torch.eye(dims, dims + 1, dtype=torch.float64).repeat(2, 1, 1)
        theta = (theta + 0.3 * torch.randn(theta.shape, dtype=torch.float64, generator=generator)).to(device)
        results = []
        torch_lacks = padding_mode == "circular" or (dims == 3 and mode == "bicubic" and torch.__version__ < "2.15")
        judge = reference if torch_lacks else F
        size = (7, 8, 9)[3 - dims:]
        for sample in (partial(_chain, judge.grid_sample, F.affine_grid),
                       partial(_chain, stn_cuda.grid_sample, stn_cuda.affine_grid), stn_cuda.affine_sample):
            arguments = input.clone().requires_grad_(), theta.clone().requires_grad_()
            output = sample(*arguments, size, mode, padding_mode, align_corners)
            gradients = torch.autograd.grad(output.square().sum(), arguments)
            results.append((output.detach(), *gradients))
        theirs, *both = results
        for function, ours in zip(("grid_sample", "affine_sample"), both):
            for name, one, other in zip(("output", "gradient of input", "gradient of theta"), ours, theirs):
                if _error(one, other) > TOLERANCE:
                    failures.append(
                        f"{name} of {function} on {device}, {dims}-D, {mode}, {padding_mode}, align_corners={align_corners}: "
                        f"differs from torch's by {_error(one, other):.3g}")
    return failures


def _chain(
    sampler: Callable, grid_of: Callable, input: Tensor, theta: Tensor, size: Sequence[int], mode: str, padding_mode: str,
    align_corners: bool,
) -> Tensor:
    grid = grid_of(theta, (*input.shape[:2], *size), align_corners=align_corners)
    return sampler(input, grid, mode, padding_mode, align_corners)


def _error(ours: Tensor, theirs: Tensor) -> float:
    if ours.shape != theirs.shape:
        return float("inf")
    error = ((ours - theirs).abs() / (1 + theirs.abs())).max().item()
    return error if error == error else float("inf")


if __name__ == "__main__":
    sys.exit(main())
