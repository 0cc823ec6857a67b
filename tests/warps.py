"""Transforms for the tests of sampling through them: parameters, their sampler, and the definition that judges it."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from cases import IN_SIZE, MODES, OUT_SIZE
from torch import Tensor

import stn_cuda
from stn_cuda import _C, reference

KINDS = ("affine", "projective", "flow")
PADDINGS = ("zeros", "border", "reflection", "circular")
FROM_KINKS = 1e-4  # pixels: more than float32 rounds a coordinate by, and than finite differences move one
SAMPLERS = {"affine": stn_cuda.affine_sample, "projective": stn_cuda.projective_sample}


@dataclass(frozen=True)
class Warp:
    """One way of sampling through a transform."""

    kind: str
    dims: int
    mode: str = "bilinear"
    padding_mode: str | tuple[str, ...] = "zeros"
    align_corners: bool = False

    def __str__(self) -> str:
        padding = self.padding_mode if isinstance(self.padding_mode, str) else "_".join(self.padding_mode)
        return f"{self.kind}-{self.dims}d-{self.mode}-{padding}-{'centres' if self.align_corners else 'edges'}"

    @property
    def convention(self) -> int:
        return _C.COORDINATE_CONVENTIONS["centre_pixels" if self.align_corners else "pixels"]

    def operator_options(self, size: Sequence[int], float_output: bool = False) -> tuple[Any, ...]:
        """What torch.ops.stn_cuda.transform_sample takes behind its tensors."""
        paddings = [self.padding_mode] if isinstance(self.padding_mode, str) else self.padding_mode
        return (_C.TRANSFORM_KINDS[self.kind], list(size), _C.INTERPOLATION_MODES[self.mode],
                [_C.PADDING_MODES[padding] for padding in paddings], self.convention, None, float_output)  # fmt: skip

    def bind(self, size: Sequence[int], **others: Any) -> Callable[..., Tensor]:
        """The public function, of input, parameters and perhaps a fill_value."""
        def sample(input: Tensor, parameters: Tensor, fill: Tensor | None = None) -> Tensor:
            options = self.mode, self.padding_mode, self.align_corners, fill
            if self.kind == "flow":
                return stn_cuda.flow_sample(input, parameters, *options)
            return SAMPLERS[self.kind](input, parameters, size, *options, **others)

        return sample

    def judge(self, size: Sequence[int]) -> Callable[..., Tensor]:
        """The same by the reference: its grid in pixels, and its sampler at that."""
        def sample(input: Tensor, parameters: Tensor, fill: Tensor | None = None) -> Tensor:
            grid = self.pixels(parameters, input.shape[2:], size)
            return reference.grid_sample(
                input, grid, self.mode, self.padding_mode, self.align_corners, fill_value=fill, coordinates="pixel")

        return sample

    def pixels(self, parameters: Tensor, in_size: Sequence[int], size: Sequence[int]) -> Tensor:
        return reference.transform_grid(parameters, self.kind, size, in_size, True, self.align_corners)

    def tensors(
        self, device: torch.device, dtype: torch.dtype = torch.float64, *, batch: int = 2, parameter_batch: int | None = None,
        channels: int = 3, in_size: Sequence[int] | None = None, size: Sequence[int] | None = None, seed: int = 0,
    ) -> tuple[Tensor, Tensor, tuple[int, ...]]:
        """input, parameters whose coordinates keep away from kinks, and the output's size."""
        in_size, size = (tuple(given or default[-self.dims :]) for given, default in ((in_size, IN_SIZE), (size, OUT_SIZE)))
        generator = torch.Generator().manual_seed(seed)
        input = torch.randn(batch, channels, *in_size, generator=generator, dtype=torch.float64)
        parameters = torch.cat([self.one(in_size, size, generator) for _ in range(parameter_batch or batch)])
        return input.to(device, dtype), parameters.to(device, dtype), size

    def one(self, in_size: Sequence[int], size: Sequence[int], generator: torch.Generator) -> Tensor:
        """Parameters of one image, drawn until no coordinate is within FROM_KINKS of a multiple of half a pixel."""
        for _ in range(100_000):
            parameters = drawn(self.kind, self.dims, size, generator).float().double()
            pixels = 2 * self.pixels(parameters, in_size, size)
            if ((pixels - pixels.round()).abs() >= 2 * FROM_KINKS).all():
                return parameters
        raise AssertionError("no parameters away from kinks were drawn")


def drawn(kind: str, dims: int, size: Sequence[int], generator: torch.Generator) -> Tensor:
    """Some of whose coordinates are outside. (Of flows each coordinate has its own fraction, away from kinks.)"""
    if kind == "flow":
        whole = torch.randint(-3, 4, (1, dims, *size), generator=generator)
        half = torch.randint(0, 2, whole.shape, generator=generator) / 2
        return whole + half + torch.randint(4, 13, whole.shape, generator=generator).double() / 32
    theta = 0.9 * torch.eye(dims, dims + 1, dtype=torch.float64)
    theta = theta + 0.4 * torch.randn(dims, dims + 1, generator=generator, dtype=torch.float64)
    if kind == "projective":
        last = 0.15 * torch.randn(1, dims + 1, generator=generator, dtype=torch.float64)
        last[0, -1] = 1.1
        theta = torch.cat([theta, last])
    return theta[None]


def all_warps() -> list[Warp]:
    return [Warp(*values) for values in itertools.product(KINDS, (2, 3), MODES, PADDINGS, (False, True))]


# ---- maps of every kind -------------------------------------------------------------------------------------------------

def rotation(dims: int, angle: float) -> Tensor:
    matrix = torch.eye(dims, dtype=torch.float64)
    matrix[:2, :2] = torch.tensor([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    return matrix


def maps(kind: str, dims: int, in_size: Sequence[int], count: int, seed: int = 0) -> dict[str, Tensor]:
    """Name -> theta [count, dims (+ 1), dims + 1]: what a search for locations may stumble at."""
    generator = torch.Generator().manual_seed(seed)

    def uniform(low: float, high: float) -> float:
        return float(torch.rand((), generator=generator, dtype=torch.float64)) * (high - low) + low

    def randn(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    def flat() -> Tensor:
        return randn(dims, 1) @ randn(1, dims)

    linear: dict[str, Callable[[], Tensor]] = {
        "rotation": lambda: rotation(dims, uniform(-4, 4)),
        "zoom in": lambda: uniform(0.02, 0.2) * rotation(dims, uniform(-1, 1)),
        "zoom out": lambda: uniform(5, 50) * rotation(dims, uniform(-1, 1)),
        "shear": lambda: torch.eye(dims, dtype=torch.float64) + 2 * randn(dims, dims).triu(1),
        "singular": flat,
        "nearly singular": lambda: flat() + 1e-7 * randn(dims, dims),
        "zero": lambda: torch.zeros(dims, dims, dtype=torch.float64),
        "mirrored": lambda: torch.diag(torch.tensor([-1.0, 1.0, -1.0][:dims], dtype=torch.float64)),
        "integer shifts": lambda: torch.eye(dims, dtype=torch.float64),
        "any": lambda: randn(dims, dims),
    }
    found = {}
    for name, make in linear.items():
        thetas = []
        for _ in range(count):
            shift = 0.5 * randn(dims, 1)
            if name == "integer shifts":  # of pixels, by edges
                steps = [[2 * round(uniform(-2, 2)) / length] for length in reversed(in_size)]
                shift = torch.tensor(steps, dtype=torch.float64)
            theta = torch.cat([make(), shift], 1)
            if kind == "projective":
                last = torch.cat([uniform(0, 0.8) * randn(1, dims), torch.ones(1, 1, dtype=torch.float64)], 1)
                theta = torch.cat([theta, last])
            thetas.append(theta)
        found[name] = torch.stack(thetas)
    return found
