"""The rows of the README's table "What there is, beside torch" that no other test shows: both sides, torch's and ours.

What torch does was looked at up to version 2.15, and is asserted up to there.
"""

from __future__ import annotations

import subprocess
import sys
import warnings
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from cases import Case, needs_torch_double_backward
from seen_operators import SeenOperators
from tolerances import PARITY
from torch import Tensor
from torch.testing import assert_close

import stn_cuda
from stn_cuda import reference

KNOWN_TORCH = torch.__version__ < (2, 16)
CASE = Case(2, "bilinear", "zeros", False)
CPU = torch.device("cpu")


def torch_refuses(call: Callable[[], object]) -> None:
    if KNOWN_TORCH:
        with pytest.raises((RuntimeError, ValueError, TypeError)):
            call()


def ours(input: Tensor, grid: Tensor, **options: object) -> Tensor:
    if options.get("coordinates") != "pixel":
        options.setdefault("align_corners", False)
    return stn_cuda.grid_sample(input, grid, **options)


def pair(device: torch.device, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    input, grid = CASE.tensors(device, dtype, away_from_kinks=True)
    return input.requires_grad_(), grid.requires_grad_()


# ---- what lies outside --------------------------------------------------------------------------------------------------


def test_fill_value(device):
    input, grid = pair(device)
    fill = torch.tensor([1.0, -2.0, 3.0], dtype=torch.float64, device=device, requires_grad=True)
    torch_refuses(lambda: F.grid_sample(input, grid, padding_mode="fill", align_corners=False))
    constant = fill[:, None, None]
    torchs = F.grid_sample(input - constant, grid, align_corners=False) + constant
    output = ours(input, grid, padding_mode="fill", fill_value=fill)
    assert_close(output, torchs)
    weight = torch.randn_like(output)
    assert_close(torch.autograd.grad(output, fill, weight), torch.autograd.grad(torchs, fill, weight))


def test_fill_value_with_border_is_for_centres_outside(device):
    """No constant that torch subtracts and adds gives both 1 and 7 beside the first pixel."""
    image = torch.tensor([[[[1.0, 2.0, 3.0]]]], device=device)
    points = torch.tensor([[[-0.4, 0.0], [-0.6, 0.0], [2.4, 0.0], [2.5, 0.0]]], device=device)
    output = ours(image, points, padding_mode="border", fill_value=7.0, coordinates="pixel")
    assert_close(output.flatten().tolist(), [1.0, 7.0, 3.0, 7.0])


def test_circular_and_per_axis_padding(device):
    input, grid = pair(device)
    torch_refuses(lambda: F.grid_sample(input, grid, padding_mode="circular", align_corners=False))
    torch_refuses(lambda: F.grid_sample(input, grid, padding_mode=("circular", "border"), align_corners=False))
    tiled, fifth = torch.cat([input] * 5, dim=-1), torch.tensor([1 / 5, 1.0], dtype=grid.dtype, device=device)
    torchs = F.grid_sample(tiled, grid * fifth, padding_mode="border", align_corners=False)
    assert_close(ours(input, grid, padding_mode=("circular", "border")), torchs)
    whole = F.grid_sample(torch.cat([tiled] * 5, dim=-2), grid / 5, align_corners=False)
    assert_close(ours(input, grid, padding_mode="circular"), whole)


def test_valid_mask(device):
    input, grid = pair(device)
    assert not hasattr(F, "valid_mask")
    sampled_ones = F.grid_sample(torch.ones_like(input[:, :1]), grid, align_corners=False)
    assert_close(stn_cuda.valid_mask(grid, input.shape[2:]), sampled_ones[:, 0].detach())


# ---- shapes, coordinates, dtypes ----------------------------------------------------------------------------------------


def test_pixel_coordinates(device):
    image = torch.arange(12.0, device=device).reshape(1, 1, 3, 4)
    pixels = torch.cartesian_prod(torch.arange(3), torch.arange(4)).flip(1).reshape(1, 3, 4, 2).to(device, torch.float32)
    torch_refuses(lambda: F.grid_sample(image, pixels, coordinates="pixel"))  # type: ignore[call-arg]
    assert torch.equal(ours(image, pixels, coordinates="pixel"), image)


def test_any_output_axes_and_signals(device):
    input, grid = pair(device)
    points = grid.flatten(1, 2)
    torch_refuses(lambda: F.grid_sample(input, points, align_corners=False))
    assert_close(ours(input, points), F.grid_sample(input, grid, align_corners=False).flatten(2))
    assert_close(ours(input, grid[:, None, :, None]), F.grid_sample(input, grid, align_corners=False)[:, :, None, :, None])
    signal, times = input[:, :, 0], grid[:, 0, :, :1]
    torch_refuses(lambda: F.grid_sample(signal, times, align_corners=False))
    row = torch.cat([times, torch.zeros_like(times)], dim=-1)[:, None]
    assert_close(ours(signal, times), F.grid_sample(signal[:, :, None], row, align_corners=False)[:, :, 0])


@pytest.mark.parametrize("alone", ["input", "grid"])
def test_one_image_for_many_grids_and_the_reverse(alone, device):
    input, grid = pair(device)
    arguments = (input[:1], grid) if alone == "input" else (input, grid[:1])
    torch_refuses(lambda: F.grid_sample(*arguments, align_corners=False))
    torchs = F.grid_sample(*(argument.expand(2, -1, -1, -1) for argument in arguments), align_corners=False)
    output = ours(*arguments)
    assert_close(output, torchs)
    weight = torch.randn_like(output)
    assert_close(torch.autograd.grad(output, (input, grid), weight), torch.autograd.grad(torchs, (input, grid), weight))


def test_complex_images(device):
    input, grid = pair(device)
    image = torch.complex(input, input.flip(-1))
    torch_refuses(lambda: F.grid_sample(image, grid, align_corners=False))
    parts = [F.grid_sample(part, grid, align_corners=False) for part in (image.real, image.imag)]
    assert_close(ours(image, grid), torch.complex(*parts))


def test_tricubic(device):
    volume, grid = Case(3, "bicubic", "zeros", False).tensors(device, torch.float64, away_from_kinks=True)
    if torch.__version__ < (2, 15):
        torch_refuses(lambda: F.grid_sample(volume, grid, mode="bicubic", align_corners=False))
    judge = reference if torch.__version__ < (2, 15) else F
    expected = judge.grid_sample(volume, grid, mode="bicubic", align_corners=False)
    assert_close(ours(volume, grid, mode="bicubic"), expected)


def test_16_bit_image_with_a_float32_grid(device):
    input, grid = (tensor.detach() for tensor in pair(device, torch.float32))
    image = input.bfloat16()
    torch_refuses(lambda: F.grid_sample(image, grid, align_corners=False))
    output = ours(image, grid)
    assert output.dtype == torch.bfloat16
    PARITY[torch.bfloat16].assert_close(output.float(), F.grid_sample(image.float(), grid, align_corners=False))


TORCH_AT_182_PIXELS = """
import torch, torch.nn.functional as F
image = (torch.arange(182 * 182) % 97).reshape(1, 1, 182, 182).half()
grid = F.affine_grid(torch.eye(2, 3)[None], image.shape, align_corners=True).half()
exact = F.grid_sample(image.double(), grid.double(), align_corners=True)
print(((F.grid_sample(image, grid, align_corners=True).double() - exact).abs() < 1).all().item())
"""


def test_16_bits_on_the_cpu_from_182_pixels_on():
    """torch's offsets wrap there, so that it gets a process of its own."""
    if KNOWN_TORCH:
        done = subprocess.run([sys.executable, "-c", TORCH_AT_182_PIXELS], capture_output=True, text=True)
        assert done.returncode != 0 or done.stdout == "False\n", done.stderr
    image = (torch.arange(182 * 182) % 97).reshape(1, 1, 182, 182).half()
    grid = F.affine_grid(torch.eye(2, 3)[None], image.shape, align_corners=True).half()
    exact = F.grid_sample(image.double(), grid.double(), align_corners=True)
    assert_close(ours(image, grid, align_corners=True), exact.half())


# ---- derivatives --------------------------------------------------------------------------------------------------------


@needs_torch_double_backward
def test_second_derivatives_are_a_kernel(device):
    def operators(sampler) -> list[str]:
        arguments = pair(device)
        output = sampler(*arguments, align_corners=False)
        first = torch.autograd.grad(output, arguments, torch.ones_like(output).requires_grad_(), create_graph=True)
        with SeenOperators() as counted:
            torch.autograd.grad(first, arguments, [torch.ones_like(gradient) for gradient in first])
        return counted.names

    if KNOWN_TORCH:
        assert len(operators(F.grid_sample)) > 50
    names = operators(stn_cuda.grid_sample)
    assert len(names) < 10 and any("stn_cuda" in name for name in names), names


def test_forward_mode_of_both_functions(device):
    input, grid = (tensor.detach() for tensor in pair(device))
    theta = torch.eye(2, 3, dtype=torch.float64, device=device)[None]

    def jvp(functions):
        def both(theta, image):
            return functions.grid_sample(
                image, functions.affine_grid(theta, (1, 3, 4, 5), align_corners=False), align_corners=False
            )

        return torch.func.jvp(both, (theta, input[:1]), (torch.ones_like(theta), torch.ones_like(input[:1])))

    if torch.__version__ < (2, 15):
        torch_refuses(lambda: jvp(F))
    assert_close(jvp(stn_cuda), jvp(reference))


def test_vmap_of_affine_grid(device):
    thetas = torch.randn(3, 2, 2, 3, dtype=torch.float64, device=device)

    def mapped(function):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            grids = torch.vmap(lambda theta: function(theta, (2, 1, 4, 5), align_corners=False))(thetas)
        return grids, [str(warning.message) for warning in caught]

    torchs, said = mapped(F.affine_grid)
    if KNOWN_TORCH:
        assert any("performance drop" in message for message in said)
    grids, said = mapped(stn_cuda.affine_grid)
    assert_close(grids, torchs)
    assert not said


# ---- values and memory --------------------------------------------------------------------------------------------------


def test_autocast_copies_no_image():
    def saved_dtypes(sampler) -> list[torch.dtype]:
        dtypes: list[torch.dtype] = []

        def pack(tensor: Tensor) -> Tensor:
            dtypes.append(tensor.dtype)
            return tensor

        hooks = torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor)
        with hooks, torch.autocast("cpu", dtype=torch.bfloat16):
            output = sampler(*pair(CPU, torch.bfloat16), align_corners=False)
        assert output.dtype == torch.float32
        return dtypes

    if KNOWN_TORCH:
        assert torch.float32 in saved_dtypes(F.grid_sample)
    assert set(saved_dtypes(stn_cuda.grid_sample)) == {torch.bfloat16}


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 2.9839e38], ids=str)
def test_coordinates_that_are_not_finite_or_huge(value, device):
    image, grid = torch.ones(1, 1, 1, 5), torch.full((1, 1, 1, 2), value)
    if KNOWN_TORCH:
        assert F.grid_sample(image, grid, align_corners=False).isnan().all()
    assert ours(image.to(device), grid.to(device)).item() == 0


def test_channels_last_is_followed(device):
    def formats(sampler) -> list[bool]:
        input, grid = pair(device)
        image = input.detach().to(memory_format=torch.channels_last).requires_grad_()
        output = sampler(image, grid, align_corners=False)
        gradient = torch.autograd.grad(output.sum(), image)[0]
        return [tensor.is_contiguous(memory_format=torch.channels_last) for tensor in (output, gradient)]

    if KNOWN_TORCH and device.type == "cpu":
        assert formats(F.grid_sample) == [False, False]
    assert formats(stn_cuda.grid_sample) == [True, True]


def test_gradients_have_the_same_bits_every_time(device, sums_in_order):
    """Many locations of few pixels. On CUDA torch refuses; on the CPU nothing needs to be asked for."""

    def gradient(sampler) -> Tensor:
        generator = torch.Generator().manual_seed(0)
        image = torch.randn(1, 3, 4, 4, generator=generator).to(device).requires_grad_()
        grid = (torch.rand(1, 100, 100, 2, generator=generator) * 2 - 1).to(device)
        output = sampler(image, grid, align_corners=False)
        return torch.autograd.grad(output, image, torch.randn(output.shape, generator=generator).to(device))[0]

    if device.type == "cuda":
        torch_refuses(lambda: gradient(F.grid_sample))
    first = gradient(stn_cuda.grid_sample)
    assert all(torch.equal(gradient(stn_cuda.grid_sample), first) for _ in range(5))


def test_devices_that_have_kernels():
    def has(operator: str, key: str) -> bool:
        return torch._C._dispatch_has_kernel_for_dispatch_key(operator, key)

    built_for_cuda = stn_cuda.build_info()["cuda"] is not None
    for operator in ("stn_cuda::grid_sample", "stn_cuda::affine_grid"):
        assert has(operator, "CPU") and has(operator, "CUDA") == built_for_cuda
        assert not has(operator, "MPS") and not has(operator, "XPU")
