"""What is measured: workloads by name, and tensors for them.

Coordinates keep away from kinks (whole and half pixels), by 0.05 pixel: there a rounding error flips a tap or a gradient, so
that a result says nothing about the arithmetic. Which memory is visited, and in what order, stays as it was. The grids of
16-bit workloads are rounded after that and may come to lie on a kink; float32 computes those coordinates exactly.
"""
from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

Sampler = Callable[..., Tensor]  # any function with the signature of torch.nn.functional.grid_sample
Call = Callable[[], Sequence[Tensor]]
Pattern = Callable[["Workload", Generator], Tensor]  # a float64 grid (N, *out, dims), or a theta (N, dims, dims + 1)


class NotMeasured(Exception):
    """What this build of stn_cuda, or this torch, cannot do, or need not; the text is the row's reason."""


KINK_DISTANCE = 0.05  # pixels
SMOOTH_CELL = 16  # pixels between the independent displacements of a flow
DISPLACEMENT = 3.0  # pixels, the standard deviation of a flow


# ---- where the grids point ----------------------------------------------------------------------------------------------

def affine(workload: Workload, generator: Generator) -> Tensor:
    """An STN's grids."""
    return _affine_grid(workload, theta(workload, generator))


def theta(workload: Workload, generator: Generator) -> Tensor:
    """A rotation by up to 45 degrees about the first two axes, scale 0.7 to 1.2 and a shift, one a sample: an STN's thetas."""
    batch, dims = workload.grid_batch, workload.dims
    angle, scale, *shift = torch.rand(2 + dims, batch, generator=generator, dtype=torch.float64)
    angle, scale = (angle - 0.5) * torch.pi / 2, 0.7 + 0.5 * scale
    theta = torch.zeros(batch, dims, dims + 1, dtype=torch.float64)
    theta[:, range(dims), range(dims)] = scale[:, None]
    theta[:, 0, 0], theta[:, 0, 1] = scale * angle.cos(), -scale * angle.sin()
    theta[:, 1, 0], theta[:, 1, 1] = scale * angle.sin(), scale * angle.cos()
    theta[:, :, dims] = (torch.stack(shift, dim=1) - 0.5) * 0.4
    return theta


def resize(workload: Workload, generator: Generator) -> Tensor:
    """The whole image, at the output's resolution."""
    dims = workload.dims
    theta = torch.eye(dims, dims + 1, dtype=torch.float64).expand(workload.grid_batch, dims, dims + 1)
    return _affine_grid(workload, theta)


def flow(workload: Workload, generator: Generator) -> Tensor:
    """The image moved by a smooth field of a few pixels: optical flow, registration."""
    dims = workload.dims
    coarse = [max(2, size // SMOOTH_CELL) for size in workload.out_size]
    field = torch.randn(workload.grid_batch, dims, *coarse, generator=generator, dtype=torch.float64)
    field = F.interpolate(field, workload.out_size, mode="trilinear" if dims == 3 else "bilinear", align_corners=True)
    return resize(workload, generator) + DISPLACEMENT * workload.pixel * field.movedim(1, -1)


def scattered(workload: Workload, generator: Generator) -> Tensor:
    """Points anywhere in the image, in no order."""
    shape = workload.grid_batch, *workload.out_size, workload.dims
    return 2 * torch.rand(shape, generator=generator, dtype=torch.float64) - 1


def _affine_grid(workload: Workload, theta: Tensor) -> Tensor:
    size = [workload.grid_batch, workload.input_shape[1], *workload.out_size]
    return F.affine_grid(theta, size, align_corners=workload.align_corners)


def keep_from_kinks(grid: Tensor, in_size: Sequence[int], align_corners: bool) -> Tensor:
    """The float64 grid (N, *out, dims), moved by at most KINK_DISTANCE pixels away from every whole and half pixel."""
    size = torch.tensor(list(reversed(in_size)), dtype=torch.float64)  # (x, y[, z])
    halves = (grid + 1) * (size - 1) if align_corners else (grid + 1) * size - 1  # half pixels
    cell = halves.floor()
    halves = cell + 2 * KINK_DISTANCE + (1 - 4 * KINK_DISTANCE) * (halves - cell)
    return halves / (size - 1).clamp(min=1) - 1 if align_corners else (halves + 1) / size - 1


# ---- what can't be done in one call -------------------------------------------------------------------------------------

@dataclass(frozen=True)
class Way:
    """What a program does around a sampler."""

    words: str
    adapt: Callable[[Sampler], Sampler]
    generates: bool = False  # grids: the adapted sampler takes what they are made of, and the output's size


def _casting(sampler: Sampler) -> Sampler:
    return lambda input, grid, *options: sampler(input.to(grid.dtype), grid, *options).to(input.dtype)


def _expanding(sampler: Sampler) -> Sampler:
    def expanded(input: Tensor, grid: Tensor, *options: object) -> Tensor:
        batch = max(input.shape[0], grid.shape[0])
        return sampler(input.expand(batch, *input.shape[1:]), grid.expand(batch, *grid.shape[1:]), *options)

    return expanded


def _generating(sampler: Sampler) -> Sampler:
    def generated(input: Tensor, theta: Tensor, out_size: Sequence[int], *options: Any) -> Tensor:
        batch = max(input.shape[0], theta.shape[0])
        return sampler(input, F.affine_grid(theta, [batch, input.shape[1], *out_size], options[-1]), *options)

    return generated


def _compiling(sampler: Sampler) -> Sampler:
    """torch's alone: what judges both is itself. Programs of rows before are forgotten, or a row were the one too many."""
    if sampler is not F.grid_sample:
        return sampler
    torch._dynamo.reset()
    return torch.compile(sampler, dynamic=False)


THE_SAME_CALL = Way("", lambda sampler: sampler)
CASTING = Way("cast the image up, sample, cast down", _casting)
EXPANDING = Way("expand the one to all", _expanding)
COMPILING = Way("torch.compile of the same call", _compiling)
GENERATING = Way("affine_grid, then grid_sample", _generating, generates=True)


# ---- workloads ----------------------------------------------------------------------------------------------------------

@dataclass(frozen=True)
class Tensors:
    """What the passes take."""

    input: Tensor  # [N, C, *in]
    grid: Tensor  # [N, *out, dims], or what it is made of, [N, ...]; N may be 1 for all of the other's, here as in input
    grad_output: Tensor  # [N, C, *out]
    grad_grad_input: Tensor  # [N, C, *in]
    grad_grad_grid: Tensor  # [N, *out, dims]

    def double(self) -> Tensors:
        """The same values, in float64, for the judge."""
        return Tensors(*(tensor.detach().double().requires_grad_(tensor.requires_grad) for tensor in vars(self).values()))

    def clone(self) -> Tensors:
        """The same values elsewhere."""
        return Tensors(*(tensor.detach().clone().requires_grad_(tensor.requires_grad) for tensor in vars(self).values()))

    @property
    def nbytes(self) -> int:
        return sum(tensor.nbytes for tensor in vars(self).values())


@dataclass(frozen=True)
class Workload:
    """A way of sampling that somebody has, and its sizes."""

    name: str
    input_shape: tuple[int, ...]  # (N, C, *in)
    out_size: tuple[int, ...]
    pattern: Pattern
    dtype: torch.dtype = torch.float32
    mode: str = "bilinear"
    padding_mode: str = "zeros"
    align_corners: bool = False
    channels_last: bool = False
    grids: int | None = None  # of another number than images; one of both is 1
    grid_dtype: torch.dtype | None = None  # another than the image's
    torch_way: Way = THE_SAME_CALL  # of one that generates, the pattern is what grids are made of
    our_function: str = "grid_sample"  # or "affine_sample"
    our_way: Way = THE_SAME_CALL

    @property
    def grid_batch(self) -> int:
        return self.grids or self.input_shape[0]

    @property
    def generates(self) -> bool:
        return self.torch_way.generates

    @property
    def dims(self) -> int:
        return len(self.out_size)

    @property
    def in_size(self) -> tuple[int, ...]:
        return self.input_shape[2:]

    @property
    def pixel(self) -> Tensor:
        """[dims]: a pixel's extent in the grid's coordinates, (x, y[, z])."""
        return torch.tensor([2 / size for size in reversed(self.in_size)], dtype=torch.float64)

    def bind(self, sampler: Sampler) -> Callable[[Tensor, Tensor], Tensor]:
        options: tuple[Any, ...] = self.mode, self.padding_mode, self.align_corners
        if self.generates:
            options = self.out_size, *options
        return lambda input, grid: sampler(input, grid, *options)

    def tensors(self, device: torch.device) -> Tensors:
        """The same values at every call and on every device."""
        generator = torch.Generator().manual_seed(2015)
        grid = self.pattern(self, generator)
        if not self.generates:
            grid = keep_from_kinks(grid, self.in_size, self.align_corners)
        input, grad_grad_input = (self._randn(self.input_shape, generator) for _ in range(2))
        batch = max(self.grid_batch, self.input_shape[0])
        grad_output = self._randn((batch, self.input_shape[1], *self.out_size), generator)
        # a pixel's worth each: with more of it a second derivative of a 16-bit workload is beyond float16's range
        grad_grad_grid = torch.randn(grid.shape, generator=generator)
        grad_grad_grid = grad_grad_grid * (self.pixel.min() if self.generates else self.pixel)
        dtype, grid_dtype = self.dtype, self.grid_dtype or self.dtype
        return Tensors(
            input.to(device, dtype).requires_grad_(), grid.to(device, grid_dtype).requires_grad_(),
            grad_output.to(device, dtype).requires_grad_(), grad_grad_input.to(device, dtype),
            grad_grad_grid.to(device, grid_dtype))

    def _randn(self, shape: Sequence[int], generator: Generator) -> Tensor:
        """[N, C, *size] in the workload's memory format."""
        tensor = torch.randn(shape, generator=generator)
        if not self.channels_last:
            return tensor
        return tensor.to(memory_format=torch.channels_last if self.dims == 2 else torch.channels_last_3d)


STN_ON_MNIST = Workload("STN on MNIST 256x1x28x28 f32", (256, 1, 28, 28), (28, 28), affine)
FEATURES = Workload("features 8x64x56x56 f32", (8, 64, 56, 56), (56, 56), affine)
VOLUME = Workload("volume 1x1x64^3 f32", (1, 1, 64, 64, 64), (64, 64, 64), flow, padding_mode="border", align_corners=True)
BICUBIC = Workload("bicubic upscale 2x3x96x96 to 192x192 f32", (2, 3, 96, 96), (192, 192), resize, mode="bicubic")

# The most valuable first: a time budget cuts the list from its end.
WORKLOADS = (
    STN_ON_MNIST,
    Workload("flow, border 1x3x540x960 f32", (1, 3, 540, 960), (540, 960), flow, padding_mode="border", align_corners=True),
    FEATURES,
    Workload("10,000 points x 64 channels from 128x128 f32", (1, 64, 128, 128), (1, 10_000), scattered, align_corners=True),
    VOLUME,
    Workload("features, channels_last 8x64x56x56 f32", (8, 64, 56, 56), (56, 56), affine, channels_last=True),
    Workload("augmentation, reflection 32x3x64x64 f32", (32, 3, 64, 64), (64, 64), affine, padding_mode="reflection"),
    BICUBIC,
    Workload("upscale 1x16x64x64 to 256x256 f32", (1, 16, 64, 64), (256, 256), resize, align_corners=True),
    Workload("minify 4x3x512x512 to 64x64 f32", (4, 3, 512, 512), (64, 64), resize),
    Workload("STN in bf16 16x3x64x64 bf16", (16, 3, 64, 64), (64, 64), affine, dtype=torch.bfloat16),
    Workload("features 4x32x56x56 f16", (4, 32, 56, 56), (56, 56), affine, dtype=torch.float16, align_corners=True),
    Workload("label map, nearest 4x1x256x256 f32", (4, 1, 256, 256), (256, 256), affine, mode="nearest"),
    Workload("double precision 8x3x64x64 f64", (8, 3, 64, 64), (64, 64), affine, dtype=torch.float64),
)

# What torch has its own way of: whole steps in passes.py
BF16_IMAGE = Workload("bf16 features, f32 grid 8x64x56x56", (8, 64, 56, 56), (56, 56), affine, dtype=torch.bfloat16,
                      grid_dtype=torch.float32, torch_way=CASTING)
F16_FRAME = Workload("f16 frame, f32 flow 1x3x540x960", (1, 3, 540, 960), (540, 960), flow, dtype=torch.float16,
                     padding_mode="border", grid_dtype=torch.float32, torch_way=CASTING)
ONE_IMAGE = Workload("one image, 64 grids 32x128x128 to 28x28 f32", (1, 32, 128, 128), (28, 28), affine, grids=64,
                     torch_way=EXPANDING)
ONE_GRID = Workload("one grid, 64 images 3x128x128 f32", (64, 3, 128, 128), (128, 128), affine, grids=1, torch_way=EXPANDING)


# What is one call here and two in torch
FUSED_MNIST = Workload("fused affine 256x1x28x28 f32", (256, 1, 28, 28), (28, 28), theta, torch_way=GENERATING,
                       our_function="affine_sample")
FUSED_PHOTOS = Workload("fused affine 16x3x224x224 f32", (16, 3, 224, 224), (224, 224), theta, torch_way=GENERATING,
                        our_function="affine_sample")
FUSED_FEATURES = Workload("fused affine 8x64x56x56 f32", (8, 64, 56, 56), (56, 56), theta, torch_way=GENERATING,
                          our_function="affine_sample")

CALL_OVERHEAD = Workload("call overhead 1x1x4x4 f32", (1, 1, 4, 4), (4, 4), affine)  # 16 locations: no arithmetic to speak of
