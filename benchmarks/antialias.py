"""What antialias=True is worth: errors against the exact mean of the input over each pixel of the output.

    python -m benchmarks.antialias [--out DIR] [--size 1024] [--output-size 64]

writes ``antialias.md`` and ``antialias.json``. The input is piecewise constant: a pixel has its value all over its square.
Images in float32, judges in float64; nothing is timed.
"""
from __future__ import annotations

import argparse
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

import stn_cuda
from benchmarks.report import lines_of

IMAGES = ("noise", "zone plate", "1/f")
FACTORS = (1.5, 2.0, 3.0, 4.0, 8.0, 9.6, 12.8, 16.0)
# input pixels an output pixel along its axes, degrees that the output is turned by before them and the input after them
MAPS = (((8, 8), 0, 30), ((16, 8), 0, 0), ((16, 8), 0, 30), ((16, 8), 45, 0), ((16, 2), 0, 0), ((16, 2), 0, 30),
        ((16, 2), 45, 0), ((8, 1), 0, 0), ((3, 1), 0, 30), ((16, 0.25), 0, 0))
COLUMNS = ["map", *(f"{image}: {way}" for image in IMAGES for way in ("bilinear", "antialiased", "ratio"))]


def images(size: int) -> Tensor:
    """[1, 3, size, size], float64 in [0, 1]: see IMAGES. The zone plate's waves get as short as two pixels."""
    generator = torch.Generator().manual_seed(0)
    noise = torch.rand(size, size, generator=generator, dtype=torch.float64)
    squares = (torch.arange(size, dtype=torch.float64) - size / 10).square()
    zone_plate = 0.5 + 0.5 * torch.cos(math.pi / (2 * size) * (squares[:, None] + squares))
    frequencies = torch.fft.fftfreq(size).square()[:, None] + torch.fft.rfftfreq(size).square()
    spectrum = torch.fft.rfft2(torch.randn(size, size, generator=generator, dtype=torch.float64))
    natural = torch.fft.irfft2(spectrum / frequencies.double().sqrt().clamp(min=1 / size), (size, size))
    return torch.stack([noise, zone_plate, (natural - natural.min()) / (natural.max() - natural.min())])[None]


def area_exact(image: Tensor, scale: Sequence[float], shift: Sequence[float], size: Sequence[int]) -> Tensor:
    """The exact mean over each pixel's area for theta = [[scale 0 shift]], rows in the order (x, y), align_corners=False."""
    width, height = (_shares(length, out, a, b) for length, out, a, b in zip(
        reversed(image.shape[2:]), reversed(size), scale, shift, strict=True))
    return height @ image.double() @ width.T


def _shares(length: int, out: int, scale: float, shift: float) -> Tensor:
    """[out, length]: which part of an output pixel's extent lies in each input pixel. What is outside of all reads 0."""
    ends = scale * (2 * torch.arange(out + 1, dtype=torch.float64) / out - 1) + shift
    ends = (ends + 1) / 2 * length
    pixels = torch.arange(length, dtype=torch.float64)
    inside = torch.minimum(ends[1:, None], pixels + 1) - torch.maximum(ends[:-1, None], pixels)
    return inside.clamp(min=0) / (ends[1:] - ends[:-1])[:, None]


def supersampled(image: Tensor, theta: Tensor, size: int, samples: int = 48) -> Tensor:
    """The mean of samples x samples pixels that are hit in each pixel of the output, for any theta (1, 2, 3)."""
    channels, length = image.shape[1], image.shape[-1]
    ticks = (2 * torch.arange(size * samples, dtype=torch.float64) + 1) / (size * samples) - 1
    rows = []
    for y in ticks.split(samples):
        position = theta[0, :, 0, None, None] * ticks + theta[0, :, 1, None, None] * y[:, None] + theta[0, :, 2, None, None]
        at = ((position + 1) / 2 * length).floor().long()
        inside = ((at >= 0) & (at < length)).all(0)
        column, row = at.clamp(0, length - 1)
        values = image[0, :, row, column].double() * inside
        rows.append(values.reshape(channels, samples, size, samples).mean((1, 3)))
    return torch.stack(rows, 1)[None]


def errors(actual: Tensor, exact: Tensor) -> list[float]:
    """Root mean squares, an image each."""
    return (actual.double() - exact).square().mean((0, 2, 3)).sqrt().tolist()


def compare(name: str, image: Tensor, theta: Tensor, size: int, exact: Tensor) -> dict[str, Any]:
    given, out = (image.float(), theta.float()), (size, size)
    return {"map": name, "bilinear": errors(stn_cuda.affine_sample(*given, out), exact),
            "antialiased": errors(stn_cuda.affine_sample(*given, out, antialias=True), exact)}


def crop(image: Tensor, factor: float, size: int) -> dict[str, Any]:
    """Off the centre by a fraction of a pixel, where the crop isn't the whole image."""
    zoom = factor * size / image.shape[-1]
    shift = [min(0.0123, 1 - zoom), -min(0.0457, 1 - zoom)]
    theta = torch.tensor([[[zoom, 0, shift[0]], [0, zoom, shift[1]]]], dtype=torch.float64)
    exact = area_exact(image, (zoom, zoom), shift, (size, size))
    row = compare(f"crop, {factor:g}x", image, theta, size, exact)
    if zoom == 1:
        interpolated = F.interpolate(image.float(), (size, size), mode="bilinear", antialias=True, align_corners=False)
        row["F.interpolate(antialias=True)"] = errors(interpolated, exact)
    return row


def turned(image: Tensor, scales: tuple[float, float], before: float, after: float, size: int) -> dict[str, Any]:
    def rotation(degrees: float) -> Tensor:
        c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
        return torch.tensor([[c, -s], [s, c]], dtype=torch.float64)

    jacobian = rotation(after) @ torch.diag(torch.tensor(scales, dtype=torch.float64)) @ rotation(before)
    shift = torch.tensor([[0.0123], [-0.0457]], dtype=torch.float64)
    theta = torch.cat([jacobian * size / image.shape[-1], shift], 1)[None]
    name = f"{scales[0]:g}x by {scales[1]:g}x" + (f", input turned by {after}°" if after else "") + (
        f", output turned by {before}°" if before else "")
    return compare(name, image, theta, size, supersampled(image, theta, size))


def cells(row: dict[str, Any]) -> list[str]:
    pairs = zip(row["bilinear"], row["antialiased"])
    return [row["map"], *(
        cell for plain, ours in pairs
        for cell in (f"{plain:.4f}", f"{ours:.4f}", f"{plain / ours:.1f}" if plain < 1e4 * ours else "exact"))]


def report(size: int, output_size: int) -> tuple[str, list[dict[str, Any]]]:
    image = images(size)
    crops = [crop(image, factor, output_size) for factor in FACTORS if factor * output_size <= size]
    rows = crops + [turned(image, scales, before, after, output_size // 2) for scales, before, after in MAPS]
    levels = math.ceil(math.log2(size))
    table = lines_of([COLUMNS, ["---"] * len(COLUMNS), *map(cells, rows)], range(len(COLUMNS)))
    information = "".join(
        f"\n\ntorch's F.interpolate(antialias=True), {row['map']}: " + ", ".join(
            f"{image} {error:.4f}" for image, error in zip(IMAGES, row["F.interpolate(antialias=True)"]))
        + ". It knows crops of the whole image only." for row in crops if "F.interpolate(antialias=True)" in row)
    cost = (f"Cost for {size} x {size} pixels: the plain sample and {levels} levels of 4 samples a pixel, "
            f"{1 + 4 * levels} samples in place of one, whatever the map is; and halvings, which write a third of the input's "
            "pixels.")
    head = ("Written by `python -m benchmarks.antialias`. Root mean square errors against the exact mean over each pixel of "
            f"the output; values are in [0, 1]. {size} x {size} pixels to {output_size} x {output_size}; the maps that turn or "
            f"stretch to {output_size // 2} x {output_size // 2}."
            " A crop by 2x, and the whole image by a power of 2, are exact but for rounding.")
    return "\n\n".join(["# Antialiasing", head, table + information, cost]) + "\n", rows


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results", help="folder of the two files")
    parser.add_argument("--size", type=int, default=1024, help="of the input")
    parser.add_argument("--output-size", type=int, default=64)
    options = parser.parse_args(arguments)
    text, rows = report(options.size, options.output_size)
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "antialias.md").write_text(text)
    (options.out / "antialias.json").write_text(json.dumps({"images": IMAGES, "rows": rows}, indent=1) + "\n")
    print(text, end="")


if __name__ == "__main__":
    main()
