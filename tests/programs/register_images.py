"""Finds the homography between two images by gradient descent, all of it kornia's. It knows nothing of stn_cuda."""

import sys

import kornia
import torch


def blobs(size):
    y, x = torch.meshgrid(*(torch.linspace(-1, 1, n, dtype=torch.float64) for n in size), indexing="ij")
    centres = [(-0.5, -0.4, 0.2), (0.4, 0.1, 0.3), (0.0, 0.6, 0.15), (0.5, -0.6, 0.1)]
    return sum(torch.exp(-((x - a) ** 2 + (y - b) ** 2) / c**2) for a, b, c in centres)[None, None]


def main(steps):
    source = blobs((40, 48))
    homography = torch.tensor([[[0.95, 0.08, 0.06], [-0.07, 1.04, -0.05], [0.01, -0.02, 1.0]]], dtype=torch.float64)
    target = kornia.geometry.transform.homography_warp(source, homography, (40, 48))
    registrator = kornia.geometry.transform.ImageRegistrator("homography", num_iterations=steps, lr=3e-3, pyramid_levels=2)
    found = registrator.to(torch.float64).register(source, target)
    warped = kornia.geometry.transform.homography_warp(source, found, (40, 48))
    print("homography", *(f"{entry:.9f}" for entry in found.flatten().tolist()))
    print(f"error before {(source - target).abs().mean():.9f} after {(warped - target).abs().mean():.9f}")


main(int(sys.argv[1]))
