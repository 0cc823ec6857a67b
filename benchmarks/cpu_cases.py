"""What ``bench_cpu.py`` measures, and the least that each ratio has to be (its floor)."""
from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from benchmarks import passes, spline
from benchmarks.cases import COMPILING, GENERATING, Call, Pattern, Sampler, Tensors, Workload, scattered
from benchmarks.passes import Build, Step

ACCEPTANCE, SWEEP, COMPILED, THREADS, OVERHEAD = SECTIONS = (
    "Acceptance", "Sweep", "Beside torch.compile", "Two threads beside one, of one image", "Call overhead")
TITLES = {
    ACCEPTANCE: "floors are what the kernels were designed for",
    SWEEP: "never slower than torch, where torch takes long enough to tell",
    COMPILED: "torch's call compiled by inductor, with the compilation not counted",
    THREADS: "stn_cuda alone, wall clock: the ratio is one thread's time / two threads'",
    OVERHEAD: "a few locations: no arithmetic to speak of",
}
SWEEP_FLOOR = 1.0
SWEEP_FROM_SECONDS = 50e-6  # of torch's; shorter calls are mostly overhead
THREADS_FLOOR = 1.7
DISTORTED_DIGITS_FLOOR, BENT_DIGITS_FLOOR = 1.5, 2.0
DOUBLE_BACKWARD_FLOOR = 10.0
DOUBLE_BACKWARD_MEMORY = 1.2  # peak bytes / bytes of the results


@dataclass(frozen=True)
class Target:
    """A row: a workload, a pass, and what is asked of it."""

    section: str
    step: Step
    floor: float | None = None  # of the ratio; None: it is reported
    floor_from: float = 0.0  # seconds a call of torch's, below which the ratio is reported
    memory_bound: float | None = None  # peak bytes / bytes of the results

    @property
    def name(self) -> str:
        return f"{self.step.workload.name}, {self.step.pass_name}"


# ---- where the grids point ----------------------------------------------------------------------------------------------

ROTATION = math.radians(6)
SHIFT = 0.05


def mild_theta(workload: Workload, generator: Generator, scale: float = 0.9) -> Tensor:
    """[N, dims, dims + 1]: the same for every image. In 3-D x and y rotate."""
    dims = workload.dims
    theta = scale * torch.eye(dims, dims + 1, dtype=torch.float64)
    theta[:2, :2] = scale * torch.tensor([[math.cos(ROTATION), -math.sin(ROTATION)], [math.sin(ROTATION), math.cos(ROTATION)]])
    theta[:, dims] = SHIFT
    return theta.repeat(workload.grid_batch, 1, 1)


def mild(workload: Workload, generator: Generator, scale: float = 0.9) -> Tensor:
    size = [workload.grid_batch, 1, *workload.out_size]
    return F.affine_grid(mild_theta(workload, generator, scale), size, align_corners=workload.align_corners)


crop: Pattern = functools.partial(mild, scale=0.5)


def near_identity(workload: Workload, generator: Generator) -> Tensor:
    """Every location moved by about a pixel, each on its own: an optical flow without its smoothness."""
    identity = torch.eye(workload.dims, workload.dims + 1, dtype=torch.float64).repeat(workload.grid_batch, 1, 1)
    size = [workload.grid_batch, 1, *workload.out_size]
    grid = F.affine_grid(identity, size, align_corners=workload.align_corners)
    return grid + workload.pixel * torch.randn(grid.shape, generator=generator, dtype=torch.float64)


# ---- the second derivative's own pass -----------------------------------------------------------------------------------

def second_backward(sampler: Sampler, tensors: Tensors) -> Call:
    """The backward of the backward alone; forward and backward were before."""
    variables = tensors.input, tensors.grid
    gradients = torch.autograd.grad(sampler(*variables), variables, tensors.grad_output, create_graph=True)
    cotangents = tensors.grad_grad_input, tensors.grad_grad_grid
    return lambda: torch.autograd.grad(gradients, (tensors.grad_output, *variables), cotangents, retain_graph=True)


def second_backward_bytes(workload: Workload) -> int:
    """Of its results: gradients of grad_output, input and grid."""
    batch, channels, *in_size = workload.input_shape
    locations = math.prod(workload.out_size)
    values = channels * locations + channels * math.prod(in_size) + locations * workload.dims
    return batch * values * workload.dtype.itemsize


# ---- rows ---------------------------------------------------------------------------------------------------------------

BOTH: dict[str, Build] = {"forward": passes.forward, "backward": passes.backward}


def image(name: str, *shape: int, pattern: Pattern = mild, out_size: Sequence[int] | None = None) -> Workload:
    """A workload whose output is of the input's size."""
    return Workload(name, shape, tuple(out_size or shape[2:]), pattern)


def fused(name: str, *shape: int, out_size: Sequence[int] | None = None) -> Workload:
    workload = image(name, *shape, pattern=mild_theta, out_size=out_size)
    return replace(workload, torch_way=GENERATING, our_function="affine_sample")


DIGITS = image("256x1x28x28", 256, 1, 28, 28)
PHOTOS = image("64x3x224x224", 64, 3, 224, 224)
FRAME = image("1x3x1080x1920, flow", 1, 3, 1080, 1920, pattern=near_identity)
FEATURES = image("16x64x56x56", 16, 64, 56, 56)
CROP = image("8x256x64x64 to 128x128, crop", 8, 256, 64, 64, pattern=crop, out_size=(128, 128))
POINTS = image("10,000 points, 1x64x128x128", 1, 64, 128, 128, pattern=scattered, out_size=(1, 10_000))
VOLUME = image("1x1x96x96x96", 1, 1, 96, 96, 96)
TINY = image("1x1x8x8", 1, 1, 8, 8)
DISTORTED_DIGITS = fused("fused affine 256x1x42x42 to 28x28", 256, 1, 42, 42, out_size=(28, 28))
BENT_DIGITS, BENT_DIGITS_BY_ONE_PRODUCT = (
    spline.bent(image(f"spline 256x1x42x42 to 28x28{words}", 256, 1, 42, 42, out_size=(28, 28)), torch_way)
    for words, torch_way in (("", spline.TWO_PRODUCTS), (", torch by one product", spline.ONE_PRODUCT)))


def last(workload: Workload) -> Workload:
    return replace(workload, name=f"{workload.name}, channels_last", channels_last=True)


def compiled(workload: Workload) -> Workload:
    return replace(workload, name=f"{workload.name}, torch.compile", torch_way=COMPILING)


FLOORS: tuple[tuple[Workload, float, float], ...] = (  # of forward and backward
    (DIGITS, 1.3, 1.3),
    (PHOTOS, 1.5, 1.45),
    (FRAME, 1.8, 1.9),
    (FEATURES, 6.5, 8.5),
    (CROP, 5, 9),
    (POINTS, 5.5, 8),
    (VOLUME, 2.5, 1.95),
    (last(FEATURES), 4, 5.5),
    (last(CROP), 6, 9),
    (fused("fused affine 256x1x28x28", 256, 1, 28, 28), 4.5, 2.3),
    (fused("fused affine 64x3x224x224", 64, 3, 224, 224), 2.8, 2.0),
    (fused("fused affine 16x64x56x56", 16, 64, 56, 56), 7, 9),
)


def swept() -> list[Workload]:
    """One thing changed at a time."""
    base = image("4x3x112x112", 4, 3, 112, 112)
    channels = [image(f"channels {count}: 4x{count}x112x112", 4, count, 112, 112) for count in (1, 2, 3, 4, 8, 16, 32, 64)]
    sizes = [image(f"size {size}: 1x3x{size}x{size}", 1, 3, size, size) for size in (8, 32, 128, 512, 2048)]
    modes = [replace(base, name=f"{mode}, {padding}: {base.name}", mode=mode, padding_mode=padding)
             for mode in ("nearest", "bilinear", "bicubic") for padding in ("zeros", "border", "reflection")]
    dtypes = [replace(base, name=f"{str(dtype).removeprefix('torch.')}: {base.name}", dtype=dtype)
              for dtype in (torch.float16, torch.bfloat16, torch.float64)]
    layouts = [last(image(f"4x{count}x112x112", 4, count, 112, 112)) for count in (3, 64)]
    return [*channels, *sizes, *modes, *dtypes, *layouts]


def plan() -> list[Target]:
    acceptance = [Target(ACCEPTANCE, Step(workload, name, build), floor)
                  for workload, *floors in FLOORS for (name, build), floor in zip(BOTH.items(), floors, strict=True)]
    second = [
        Target(ACCEPTANCE, Step(workload, "double backward", second_backward), DOUBLE_BACKWARD_FLOOR,
               memory_bound=DOUBLE_BACKWARD_MEMORY)
        for workload in (FEATURES, PHOTOS)]
    sweep = [Target(SWEEP, Step(workload, name, build), SWEEP_FLOOR, SWEEP_FROM_SECONDS)
             for workload in swept() for name, build in BOTH.items()]
    beside_compiled = [Target(COMPILED, Step(compiled(workload), name, build), SWEEP_FLOOR)
                       for workload in (DIGITS, image("4x3x112x112", 4, 3, 112, 112), FEATURES) for name, build in BOTH.items()]
    both = "forward + backward", passes.forward_and_backward
    chains = [Target(ACCEPTANCE, Step(workload, *both), floor) for workload, floor in (
        (DISTORTED_DIGITS, DISTORTED_DIGITS_FLOOR), (BENT_DIGITS, BENT_DIGITS_FLOOR), (BENT_DIGITS_BY_ONE_PRODUCT, None))]
    threads = [Target(THREADS, Step(workload, *both), THREADS_FLOOR) for workload in (FRAME, VOLUME)]
    overhead = [Target(OVERHEAD, Step(TINY, *what)) for what in (("forward", passes.forward), both)]
    return [*acceptance, *chains, *second, *sweep, *beside_compiled, *threads, *overhead]
