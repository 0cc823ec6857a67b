"""What is measured: workloads by name, tensors for them, and the passes, each a call that can be repeated.

Coordinates keep away from kinks (whole and half pixels), by 0.05 pixel: there a rounding error flips a tap or a gradient, so
that a result says nothing about the arithmetic. Which memory is visited, and in what order, stays as it was. The grids of
16-bit workloads are rounded after that and may come to lie on a kink; float32 computes those coordinates exactly.
"""
from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

Sampler = Callable[..., Tensor]  # any function with the signature of torch.nn.functional.grid_sample
Call = Callable[[], Sequence[Tensor]]
Pattern = Callable[["Workload", Generator], Tensor]  # a float64 grid (N, *out, dims)

KINK_DISTANCE = 0.05  # pixels
SMOOTH_CELL = 16  # pixels between the independent displacements of a flow
DISPLACEMENT = 3.0  # pixels, the standard deviation of a flow


# ---- where the grids point ----------------------------------------------------------------------------------------------

def affine(workload: Workload, generator: Generator) -> Tensor:
    """A rotation by up to 45 degrees about the first two axes, scale 0.7 to 1.2 and a shift, one a sample: an STN's grids."""
    batch, dims = workload.input_shape[0], workload.dims
    angle, scale, *shift = torch.rand(2 + dims, batch, generator=generator, dtype=torch.float64)
    angle, scale = (angle - 0.5) * torch.pi / 2, 0.7 + 0.5 * scale
    theta = torch.zeros(batch, dims, dims + 1, dtype=torch.float64)
    theta[:, range(dims), range(dims)] = scale[:, None]
    theta[:, 0, 0], theta[:, 0, 1] = scale * angle.cos(), -scale * angle.sin()
    theta[:, 1, 0], theta[:, 1, 1] = scale * angle.sin(), scale * angle.cos()
    theta[:, :, dims] = (torch.stack(shift, dim=1) - 0.5) * 0.4
    return _affine_grid(workload, theta)


def resize(workload: Workload, generator: Generator) -> Tensor:
    """The whole image, at the output's resolution."""
    dims = workload.dims
    theta = torch.eye(dims, dims + 1, dtype=torch.float64).expand(workload.input_shape[0], dims, dims + 1)
    return _affine_grid(workload, theta)


def flow(workload: Workload, generator: Generator) -> Tensor:
    """The image moved by a smooth field of a few pixels: optical flow, registration."""
    dims = workload.dims
    coarse = [max(2, size // SMOOTH_CELL) for size in workload.out_size]
    field = torch.randn(workload.input_shape[0], dims, *coarse, generator=generator, dtype=torch.float64)
    field = F.interpolate(field, workload.out_size, mode="trilinear" if dims == 3 else "bilinear", align_corners=True)
    return resize(workload, generator) + DISPLACEMENT * workload.pixel * field.movedim(1, -1)


def scattered(workload: Workload, generator: Generator) -> Tensor:
    """Points anywhere in the image, in no order."""
    shape = workload.input_shape[0], *workload.out_size, workload.dims
    return 2 * torch.rand(shape, generator=generator, dtype=torch.float64) - 1


def _affine_grid(workload: Workload, theta: Tensor) -> Tensor:
    size = [*workload.input_shape[:2], *workload.out_size]
    return F.affine_grid(theta, size, align_corners=workload.align_corners)


def keep_from_kinks(grid: Tensor, in_size: Sequence[int], align_corners: bool) -> Tensor:
    """The float64 grid (N, *out, dims), moved by at most KINK_DISTANCE pixels away from every whole and half pixel."""
    size = torch.tensor(list(reversed(in_size)), dtype=torch.float64)  # (x, y[, z])
    halves = (grid + 1) * (size - 1) if align_corners else (grid + 1) * size - 1  # half pixels
    cell = halves.floor()
    halves = cell + 2 * KINK_DISTANCE + (1 - 4 * KINK_DISTANCE) * (halves - cell)
    return halves / (size - 1).clamp(min=1) - 1 if align_corners else (halves + 1) / size - 1


# ---- workloads ----------------------------------------------------------------------------------------------------------

@dataclass(frozen=True)
class Tensors:
    """What the passes take."""

    input: Tensor  # [N, C, *in]
    grid: Tensor  # [N, *out, dims]
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
        mode, padding_mode, align_corners = self.mode, self.padding_mode, self.align_corners
        return lambda input, grid: sampler(input, grid, mode, padding_mode, align_corners)

    def tensors(self, device: torch.device) -> Tensors:
        """The same values at every call and on every device."""
        generator = torch.Generator().manual_seed(2015)
        grid = keep_from_kinks(self.pattern(self, generator), self.in_size, self.align_corners)
        input, grad_grad_input = (self._randn(self.input_shape, generator) for _ in range(2))
        grad_output = self._randn((*self.input_shape[:2], *self.out_size), generator)
        # a pixel's worth each: with more of it a second derivative of a 16-bit workload is beyond float16's range
        grad_grad_grid = torch.randn(grid.shape, generator=generator) * self.pixel
        input, grid, grad_output = (
            tensor.to(device, self.dtype).requires_grad_() for tensor in (input, grid, grad_output))
        return Tensors(input, grid, grad_output, *(x.to(device, self.dtype) for x in (grad_grad_input, grad_grad_grid)))

    def _randn(self, shape: Sequence[int], generator: Generator) -> Tensor:
        """[N, C, *size] in the workload's memory format."""
        tensor = torch.randn(shape, generator=generator)
        if not self.channels_last:
            return tensor
        return tensor.to(memory_format=torch.channels_last if self.dims == 2 else torch.channels_last_3d)


# The most valuable first: a time budget cuts the list from its end.
WORKLOADS = (
    Workload("STN on MNIST 256x1x28x28 f32", (256, 1, 28, 28), (28, 28), affine),
    Workload("flow, border 1x3x540x960 f32", (1, 3, 540, 960), (540, 960), flow, padding_mode="border", align_corners=True),
    Workload("features 8x64x56x56 f32", (8, 64, 56, 56), (56, 56), affine),
    Workload("10,000 points x 64 channels from 128x128 f32", (1, 64, 128, 128), (1, 10_000), scattered, align_corners=True),
    Workload("volume 1x1x64^3 f32", (1, 1, 64, 64, 64), (64, 64, 64), flow, padding_mode="border", align_corners=True),
    Workload("features, channels_last 8x64x56x56 f32", (8, 64, 56, 56), (56, 56), affine, channels_last=True),
    Workload("augmentation, reflection 32x3x64x64 f32", (32, 3, 64, 64), (64, 64), affine, padding_mode="reflection"),
    Workload("bicubic upscale 2x3x96x96 to 192x192 f32", (2, 3, 96, 96), (192, 192), resize, mode="bicubic"),
    Workload("upscale 1x16x64x64 to 256x256 f32", (1, 16, 64, 64), (256, 256), resize, align_corners=True),
    Workload("minify 4x3x512x512 to 64x64 f32", (4, 3, 512, 512), (64, 64), resize),
    Workload("STN in bf16 16x3x64x64 bf16", (16, 3, 64, 64), (64, 64), affine, dtype=torch.bfloat16),
    Workload("features 4x32x56x56 f16", (4, 32, 56, 56), (56, 56), affine, dtype=torch.float16, align_corners=True),
    Workload("label map, nearest 4x1x256x256 f32", (4, 1, 256, 256), (256, 256), affine, mode="nearest"),
    Workload("double precision 8x3x64x64 f64", (8, 3, 64, 64), (64, 64), affine, dtype=torch.float64),
)
CALL_OVERHEAD = Workload("call overhead 1x1x4x4 f32", (1, 1, 4, 4), (4, 4), affine)  # 16 locations: no arithmetic to speak of


# ---- passes -------------------------------------------------------------------------------------------------------------

def forward(sampler: Sampler, tensors: Tensors) -> Call:
    """Without gradients."""
    input, grid = tensors.input.detach(), tensors.grid.detach()
    return lambda: (sampler(input, grid),)


def forward_with_grad(sampler: Sampler, tensors: Tensors) -> Call:
    return lambda: (sampler(tensors.input, tensors.grid),)


def forward_and_backward(sampler: Sampler, tensors: Tensors) -> Call:
    variables = tensors.input, tensors.grid
    return lambda: torch.autograd.grad(sampler(*variables), variables, tensors.grad_output)


def backward(sampler: Sampler, tensors: Tensors) -> Call:
    """The gradients of input and grid; the forward was before."""
    variables = tensors.input, tensors.grid
    output = sampler(*variables)
    return lambda: torch.autograd.grad(output, variables, tensors.grad_output, retain_graph=True)


def double_backward(sampler: Sampler, tensors: Tensors) -> Call:
    """The backward with ``create_graph=True`` and the backward of that; the forward was before.

    Both, since nobody has the second without the first, and since a library is free to do its work in either.
    """
    variables = tensors.input, tensors.grid
    output = sampler(*variables)

    def call() -> Sequence[Tensor]:
        gradients = torch.autograd.grad(output, variables, tensors.grad_output, create_graph=True)
        cotangents = tensors.grad_grad_input, tensors.grad_grad_grid
        # nearest may give the grid zeros that depend on nothing
        pairs = [(gradient, cotangent) for gradient, cotangent in zip(gradients, cotangents) if gradient.requires_grad]
        outputs, cotangents = zip(*pairs)
        return torch.autograd.grad(outputs, (tensors.grad_output, *variables), cotangents, materialize_grads=True)

    return call


PASSES = {"forward": forward, "backward": backward, "double_backward": double_backward}
OVERHEAD_PASSES = {
    "forward, no grad": forward, "forward with grad": forward_with_grad, "forward + backward": forward_and_backward}
