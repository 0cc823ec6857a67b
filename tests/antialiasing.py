"""Maps, images and the definition of antialiasing, for its tests."""

from __future__ import annotations

import itertools
import math
from functools import partial

import torch
import torch.nn.functional as F

import stn_cuda
from stn_cuda import reference

antialiased = partial(stn_cuda.affine_sample, antialias=True)


def randn(*shape, dtype=torch.float64, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def squared(theta):
    """An affine theta (N, d, d + 1) as a homography."""
    last = torch.eye(theta.shape[-1], dtype=theta.dtype, device=theta.device)[-1:]
    return torch.cat([theta, last.expand(theta.shape[0], 1, -1)], 1)


def scaling(*scales, shift=0.0, dtype=torch.float32):
    theta = torch.cat([torch.diag(torch.tensor(scales)), torch.full((len(scales), 1), shift)], 1)
    return theta[None].to(dtype)


def rotation(degrees, dtype=torch.float32):
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return torch.tensor([[[c, -s, 0.0], [s, c, 0.0]]], dtype=dtype)


def position(theta, pixel, size, in_size, align_corners):
    """The pixel (x, y[, z]) of the input that the output's pixel is mapped to, of one theta (d + 1, d + 1)."""
    out, lengths = (torch.tensor([*reversed(values)], dtype=theta.dtype) for values in (size, in_size))
    extent = out - int(align_corners)
    normalized = torch.where(extent > 0, (2 * pixel - (out - 1)) / extent.clamp(min=1), 0.0)
    *rows, w = theta @ torch.cat([normalized, torch.ones(1, dtype=theta.dtype)])
    return torch.stack(rows) / w * (lengths - int(align_corners)) / 2 + (lengths - 1) / 2


def definition(input, theta, size, mode, padding_mode, align_corners):
    """From the formula of docs/transforms.md, for sizes that are powers of 2: a loop over images and levels."""
    dims, in_size, outputs = len(size), input.shape[2:], []
    pool = F.avg_pool2d if dims == 2 else F.avg_pool3d
    ticks = torch.meshgrid(*[torch.arange(n, dtype=theta.dtype) for n in size], indexing="ij")
    pixels = torch.stack([*reversed(ticks)], -1).reshape(-1, dims)
    for image, matrix in zip(input.split(1), theta, strict=True):
        to_input = partial(position, matrix, size=size, in_size=in_size, align_corners=align_corners)
        jacobian = torch.vmap(torch.func.jacrev(to_input))(pixels)
        s = (jacobian.square().sum((1, 2)) / dims).sqrt()
        lod = torch.where(s > 1, s, 1.0).log2().clamp(max=math.log2(max(in_size)))
        at = torch.vmap(to_input)(pixels)[None]
        output = reference.grid_sample(image, at, mode, padding_mode, coordinates="pixel") * (1 - lod).clamp(min=0)
        level, whole = image, torch.tensor([*reversed(in_size)])
        for number in range(1, int(math.log2(max(in_size))) + 1):
            samples = []
            for half in itertools.product((-0.25, 0.25), repeat=dims):
                at = torch.vmap(to_input)(pixels + torch.tensor(half, dtype=theta.dtype))
                at = ((at + 0.5) * torch.tensor([*reversed(level.shape[2:])]) / whole - 0.5)[None]
                samples.append(reference.grid_sample(level, at, mode, padding_mode, coordinates="pixel"))
            output = output + sum(samples) / len(samples) * (1 - (lod - number).abs()).clamp(min=0)
            level = pool(level, [min(2, n) for n in level.shape[2:]])
        outputs.append(output.reshape(1, -1, *size))
    return torch.cat(outputs)


THETAS = {2: [[[0.9, 0.2, 0.1], [-0.3, 0.8, -0.07], [0.15, -0.1, 1.1]],
              [[0.33, 0.04, 0.3], [0.05, -0.4, 0.1], [0.0, 0.2, 0.9]]],
          3: [[[0.8, 0.2, 0.1, 0.1], [-0.1, 0.9, 0.3, 0.0], [0.0, 0.1, 0.7, -0.1], [0.1, -0.1, 0.2, 1.1]]]}  # fmt: skip
