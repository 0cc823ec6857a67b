"""The combinations that the tests range over, and tensors for them that keep away from kinks or sit on them.

A kink is a coordinate where the sampler isn't smooth: a whole pixel (cells of bilinear, the border's clamp, mirrors
through pixel centres) or half of one (ties of nearest, mirrors through pixel edges). So a coordinate whose distance
to every multiple of 0.5 is at least 0.1 is away from all of them.

Two libraries that round a float32 coordinate differently differ by more than float32's default tolerances in the
gradient. So by default float32 tensors have sizes and coordinates which every formula computes exactly, and what is
compared is the arithmetic after that; tests of accuracy choose other sizes by themselves.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from stn_cuda import _C, reference

DIMS = (2, 3)
MODES = ("bilinear", "nearest", "bicubic")
PADDING_MODES = ("zeros", "border", "reflection")
ALIGN_CORNERS = (False, True)
DTYPES = (torch.float32, torch.float64)

IN_SIZE = (4, 5, 6)  # (D, H, W); the last dims of them: different on every axis
OUT_SIZE = (3, 5, 7)  # 35 or 105 locations: several vectors of any width and a rest
# On these sizes short binary fractions of a pixel, such as 0.5, survive normalising and back exactly, in float32 too.
EXACT_IN_SIZE = {False: (2, 4, 8), True: (3, 5, 9)}

TORCH_HAS_TRICUBIC = torch.__version__ >= (2, 15)
needs_torch_double_backward = pytest.mark.skipif(
    torch.__version__ < (2, 12), reason="torch's own grid_sample has a second derivative from 2.12 on"
)


@dataclass(frozen=True)
class Case:
    """One way of sampling."""

    dims: int
    mode: str
    padding_mode: str
    align_corners: bool

    def __str__(self) -> str:
        return f"{self.dims}d-{self.mode}-{self.padding_mode}-{'centres' if self.align_corners else 'edges'}"

    def bind(self, sampler: Callable[..., Tensor]) -> Callable[[Tensor, Tensor], Tensor]:
        """``sampler`` (any function with torch's signature) as a function of input and grid alone."""
        return lambda input, grid: sampler(
            input, grid, mode=self.mode, padding_mode=self.padding_mode, align_corners=self.align_corners
        )

    def operator_options(self, float_output: bool = False) -> tuple[int, list[int], int, None, bool]:
        """What torch.ops.stn_cuda's operators take for it: mode, padding, coordinates, fill_value, float_output."""
        convention = _C.COORDINATE_CONVENTIONS["centres" if self.align_corners else "edges"]
        return _C.INTERPOLATION_MODES[self.mode], [_C.PADDING_MODES[self.padding_mode]], convention, None, float_output

    def tensors(
        self,
        device: torch.device,
        dtype: torch.dtype,
        *,
        away_from_kinks: bool,
        batch: int = 2,
        channels: int = 3,
        in_size: Sequence[int] | None = None,
        out_size: Sequence[int] | None = None,
        seed: int = 0,
    ) -> tuple[Tensor, Tensor]:
        """Input (N, C, *in) and grid (N, *out, dims) whose coordinates reach a whole image beyond each edge."""
        default = EXACT_IN_SIZE[self.align_corners] if dtype == torch.float32 else IN_SIZE
        in_size = tuple(in_size or default[-self.dims :])
        out_size = tuple(out_size or OUT_SIZE[-self.dims :])
        generator = torch.Generator().manual_seed(seed)
        input = torch.randn(batch, channels, *in_size, generator=generator, dtype=torch.float64)
        draw = coordinates_between_kinks if away_from_kinks else coordinates_anywhere
        coordinates = [draw((batch, *out_size), size, generator) for size in reversed(in_size)]  # (x, y[, z])
        return input.to(device, dtype), self.normalize(coordinates, in_size).to(device, dtype)

    def tensors_on_kinks(self, device: torch.device, dtype: torch.dtype, seed: int = 0) -> tuple[Tensor, Tensor]:
        """Input and grid whose coordinates are multiples of 0.5 pixels, many of them exactly on an edge."""
        in_size = EXACT_IN_SIZE[self.align_corners][-self.dims :]
        shape = (2, *OUT_SIZE[-self.dims :])
        generator = torch.Generator().manual_seed(seed)
        input = torch.randn(2, 3, *in_size, generator=generator, dtype=torch.float64)
        coordinates = [coordinates_on_kinks(shape, size, generator) for size in reversed(in_size)]
        return input.to(device, dtype), self.normalize(coordinates, in_size).to(device, dtype)

    def normalize(self, coordinates: Sequence[Tensor], in_size: Sequence[int]) -> Tensor:
        """Pixel coordinates, one tensor (N, *out) an axis in the order (x, y[, z]), as a grid (N, *out, dims)."""
        columns = []
        for x, size in zip(coordinates, reversed(in_size), strict=True):
            if self.align_corners:
                columns.append(2 * x / (size - 1) - 1 if size > 1 else x)
            else:
                columns.append((2 * x + 1) / size - 1)
        return torch.stack(columns, dim=-1)


def torch_grid_sample(
    input: Tensor, grid: Tensor, mode: str = "bilinear", padding_mode: str = "zeros", align_corners: bool = False
) -> Tensor:
    """torch's own sampler, or the reference where this torch has none: 3-D bicubic came with 2.15."""
    if mode == "bicubic" and input.dim() == 5 and not TORCH_HAS_TRICUBIC:
        return reference.grid_sample(input, grid, mode, padding_mode, align_corners)
    return F.grid_sample(input, grid, mode, padding_mode, align_corners)


def all_cases() -> list[Case]:
    """Everything that is built."""
    return [Case(*values) for values in itertools.product(DIMS, MODES, PADDING_MODES, ALIGN_CORNERS)]


def torch_cases() -> list[Case]:
    """Those that torch has too; the others are skipped with the reason."""
    reason = "torch has 3-D bicubic from 2.15 on"
    lacks = [case for case in all_cases() if case.dims == 3 and case.mode == "bicubic" and not TORCH_HAS_TRICUBIC]
    return [pytest.param(case, marks=pytest.mark.skip(reason=reason)) if case in lacks else case for case in all_cases()]


def differentiable_cases() -> list[Case]:
    """Those whose output depends smoothly on the grid too; every case is differentiable in the input."""
    return [case for case in all_cases() if case.mode != "nearest"]


def coordinates_between_kinks(shape: Sequence[int], size: int, generator: torch.Generator) -> Tensor:
    """Pixels, whole 32nds, at least 4 of them from every multiple of 0.5; half lie in the image, half also beyond."""
    near = torch.randint(-1, size, shape, generator=generator)
    far = torch.randint(-size - 1, 2 * size, shape, generator=generator)
    cell = torch.where(torch.rand(shape, generator=generator) < 0.5, near, far)
    half = torch.randint(0, 2, shape, generator=generator) / 2
    return cell + half + torch.randint(4, 13, shape, generator=generator).double() / 32


def coordinates_anywhere(shape: Sequence[int], size: int, generator: torch.Generator) -> Tensor:
    """Pixels, uniform over the image and a whole image beyond each edge."""
    return size * (3 * torch.rand(shape, generator=generator, dtype=torch.float64) - 1)


def coordinates_on_kinks(shape: Sequence[int], size: int, generator: torch.Generator) -> Tensor:
    """Pixels, multiples of 0.5; a third of them exactly on a centre or an edge of the end pixels."""
    anywhere = torch.randint(-2 * size, 4 * size, shape, generator=generator).double() / 2
    ends = torch.tensor([-0.5, 0.0, size - 1.0, size - 0.5], dtype=torch.float64)
    end = ends[torch.randint(0, 4, shape, generator=generator)]
    return torch.where(torch.rand(shape, generator=generator) < 1 / 3, end, anywhere)
