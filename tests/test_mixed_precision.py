"""A 16-bit image with a float32 grid on large images: as near to float64 as 16 bits and float32 coordinates allow."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from cases import MODES
from conftest import ABOUT_TORCH
from test_nonfinite import in_forked_child
from tolerances import COORDINATE_EPS_WIDTHS
from torch import Tensor

import stn_cuda
from stn_cuda import reference

HALVES = (torch.float16, torch.bfloat16)
SIZES = [(8, 64), (64, 64), (8, 512), (512, 512), (8, 2048), (8, 4096), (4096, 4096)]  # thin ones cost little


def case(size, dtype, device) -> tuple[Tensor, Tensor]:
    """image (1, 1, H, W) and 2000 points on it, in float32."""
    generator = torch.Generator().manual_seed(size[1])
    image = torch.randn(1, 1, *size, generator=generator).to(dtype).to(device)
    return image, (torch.rand(1, 2000, 2, generator=generator) * 2.02 - 1.01).to(device)


def around(image: Tensor, grid: Tensor) -> tuple[Tensor, Tensor]:
    """The largest and the smallest pixel among those that a location may touch if its coordinate is a little off: 7 x 7."""
    offsets = torch.arange(-3, 4, device=image.device)
    x, y = (
        (reference.pixel_coordinate(column, size, False).round().long()[..., None] + offsets).clamp(0, size - 1)
        for column, size in zip(grid.unbind(-1), reversed(image.shape[2:]))
    )
    near = image[0, 0][y[..., :, None], x[..., None, :]].double()  # (1, P, 7, 7)
    return near.amax((-2, -1))[None], near.amin((-2, -1))[None]


def unit_in_the_last_place(values: Tensor, dtype: torch.dtype) -> Tensor:
    smallest = torch.tensor(torch.finfo(dtype).smallest_normal)
    return torch.exp2(torch.floor(torch.log2(torch.maximum(values, smallest.to(values))))) * torch.finfo(dtype).eps


def allowed_error(image: Tensor, grid: Tensor, mode: str, dtype: torch.dtype) -> Tensor:
    """One unit in the last place of the largest tap, and the coordinate's error times the difference of pixels nearby.

    An axis of bicubic has weights of up to 1.375 in sum, and its slope is at most 1.5 such differences.
    """
    high, low = around(image, grid)
    weights, slope = (1.375**2, 1.5 * 1.375) if mode == "bicubic" else (1.0, 1.0)
    off = COORDINATE_EPS_WIDTHS * torch.finfo(torch.float32).eps * sum(image.shape[2:])
    return unit_in_the_last_place(weights * torch.maximum(high.abs(), low.abs()), dtype) + slope * off * (high - low)


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("dtype", HALVES, ids=str)
@pytest.mark.parametrize("mode", ("bilinear", "bicubic"))
def test_error_is_an_ulp_and_what_a_float32_coordinate_costs(mode, dtype, size, device):
    image, grid = case(size, dtype, device)
    exact = reference.grid_sample(image.double(), grid.double(), mode, "border")
    output = stn_cuda.grid_sample(image, grid, mode, "border", align_corners=False)
    assert output.dtype == dtype
    error = (output.double() - exact).abs()
    assert (error <= allowed_error(image, grid, mode, dtype)).all()


@pytest.mark.parametrize("dtype", HALVES, ids=str)
@pytest.mark.parametrize("mode", MODES)
def test_gradients_have_the_dtypes_of_their_tensors(mode, dtype, device):
    leaves = [tensor.requires_grad_() for tensor in case((8, 64), dtype, device)]
    stn_cuda.grid_sample(*leaves, mode, align_corners=False).float().square().sum().backward()
    assert (leaves[0].grad.dtype, leaves[1].grad.dtype) == (dtype, torch.float32)


@pytest.mark.parametrize("size", [(512, 512), (8, 4096)], ids=str)
@pytest.mark.parametrize("dtype", HALVES, ids=str)
def test_gradient_of_the_grid_has_float32s_error_whatever_the_images_dtype(dtype, size, device):
    """A product of the slope in pixels and the width, away from the whole pixels where it jumps."""
    image, _ = case(size, dtype, device)
    generator = torch.Generator().manual_seed(1)
    cells = [torch.randint(1, length - 2, (1, 2000), generator=generator) for length in reversed(size)]
    fractions = torch.randint(3, 13, (2, 1, 2000), generator=generator) / 16
    grid = torch.stack([(2 * (cell + part) + 1) / length - 1
                        for cell, part, length in zip(cells, fractions, reversed(size))], -1).to(device)  # fmt: skip

    def gradient(image: Tensor, grid: Tensor, sampler) -> Tensor:
        leaf = grid.detach().requires_grad_()
        output = sampler(image, leaf, "bilinear", "border", False)
        return torch.autograd.grad(output, leaf, torch.ones_like(output))[0]

    exact = gradient(image.double(), grid.double(), reference.grid_sample)
    actual = gradient(image, grid, stn_cuda.grid_sample)
    high, low = around(image, grid)
    off = 4 * (1 + COORDINATE_EPS_WIDTHS * sum(size)) * torch.finfo(torch.float32).eps  # the other axis' weights move by that
    scale = torch.tensor(list(reversed(size)), device=device) / 2
    assert ((actual.double() - exact).abs() <= off * (high - low).squeeze(1)[..., None] * scale).all()


def test_torchs_own_16_bit_images_on_the_cpu_are_reported(request):
    """For information: the share of an identity warp's pixels that are wrong. Its indices are 16 bits wide; hence the fork."""

    def wrong(size: int, dtype: torch.dtype) -> str:
        image = torch.rand(1, 1, size, size, generator=torch.Generator().manual_seed(0)).to(dtype)
        identity = torch.eye(2, 3)[None]
        warped = [
            sampler(image, F.affine_grid(identity, image.shape, align_corners=False).to(grid_dtype), "nearest", "border",
                    align_corners=False)
            for sampler, grid_dtype in ((F.grid_sample, dtype), (stn_cuda.grid_sample, torch.float32))
        ]  # fmt: skip
        shares = [(output != image).float().mean().item() for output in warped]
        return f"torch {shares[0]:.1%}, stn_cuda with a float32 grid {shares[1]:.1%}"

    lines = request.config.stash[ABOUT_TORCH]["16-bit images"]
    for dtype in HALVES:
        for size in (96, 181, 182, 512):
            found = in_forked_child(lambda size=size, dtype=dtype: wrong(size, dtype), quiet=True)
            lines.append(f"{dtype}, identity on {size} x {size}, pixels that are wrong: {found}")
    assert all("stn_cuda with a float32 grid 0.0%" in line or "killed" in line for line in lines)
