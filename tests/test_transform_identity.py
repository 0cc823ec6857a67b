"""With identity theta and equal sizes, fused sampling returns the image itself, bit for bit."""

from __future__ import annotations

import pytest
import torch
from cases import ALIGN_CORNERS, MODES
from warps import PADDINGS, SAMPLERS

DTYPES = (torch.float32, torch.float16, torch.bfloat16, torch.float64)
KINDS = (*SAMPLERS,)


def identity(kind, dims, dtype, device):
    return torch.eye(dims + (kind == "projective"), dims + 1, dtype=dtype, device=device)[None]


def image(size, dtype, device):
    generator = torch.Generator().manual_seed(0)
    return torch.randn(2, 1, *size, generator=generator, dtype=torch.float64).to(device, dtype)


def assert_identity(kind, sizes, dtype, align_corners, device):
    for size in sizes:
        input, theta = image(size, dtype, device), identity(kind, len(size), dtype, device)
        assert torch.equal(SAMPLERS[kind](input, theta, align_corners=align_corners), input), size


@pytest.mark.parametrize("align_corners", ALIGN_CORNERS, ids=("edges", "centres"))
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("kind", KINDS)
def test_every_width_to_513(kind, dtype, align_corners, device):
    sizes = [(1 + width % 7, width) if width % 2 else (width, 1 + width % 5) for width in range(1, 514)]
    assert_identity(kind, sizes, dtype, align_corners, device)


@pytest.mark.parametrize("align_corners", ALIGN_CORNERS, ids=("edges", "centres"))
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("kind", KINDS)
def test_volumes_to_65(kind, dtype, align_corners, device):
    sizes = [(1 + length % 3, length, 1 + length % 4) for length in range(1, 66)]
    assert_identity(kind, sizes, dtype, align_corners, device)


@pytest.mark.parametrize("padding_mode", PADDINGS)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dims", (2, 3))
def test_every_mode_and_padding(dims, kind, mode, padding_mode, device):
    input = image((5, 31, 224)[-dims:], torch.float32, device)
    theta = identity(kind, dims, torch.float32, device)
    assert torch.equal(SAMPLERS[kind](input, theta, mode=mode, padding_mode=padding_mode), input)
    assert torch.equal(SAMPLERS[kind](input, theta.to(torch.float32), list(input.shape[2:]), mode, padding_mode, True), input)


@pytest.mark.parametrize("kind", KINDS)
def test_mirrored_twice_is_the_image(kind, device):
    """A mirror goes to whole pixels, too."""
    input = image((33, 224), torch.float32, device)
    theta = identity(kind, 2, torch.float32, device).clone()
    theta[:, 0, 0] = -1
    once = SAMPLERS[kind](input, theta)
    assert torch.equal(once, input.flip(-1)) and torch.equal(SAMPLERS[kind](once, theta), input)


def test_identity_of_any_size_of_w(device):
    """theta and any power of two of it, with any sign, are one map: rounding doesn't see them."""
    input = image((33, 224), torch.float32, device)
    for factor in (-1.0, 4.0, -0.125):
        theta = factor * torch.eye(3, device=device)[None]
        assert torch.equal(SAMPLERS["projective"](input, theta), input)
