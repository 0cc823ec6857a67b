"""The main example: its task, its picture, and a short run of the whole."""

from __future__ import annotations

import importlib
import math
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
import torch
from digits import contents_of_files, mnist_data, write
from torch import Tensor

import stn_cuda


@pytest.fixture
def contents() -> dict[str, bytes]:
    return contents_of_files()


@pytest.fixture(scope="module")
def train_mnist() -> ModuleType:
    pytest.importorskip("matplotlib", reason="the example draws its picture with matplotlib")
    pytest.importorskip("tqdm", reason="the example shows its progress with tqdm")
    return importlib.import_module("train_mnist")


def encloses(corners: Tensor, points: Tensor) -> Tensor:
    """[4, 2], [P, 2] -> [P]: which points are in the convex polygon: on the same side of all of its edges."""
    edges = corners.roll(-1, dims=0) - corners
    ahead = points[:, None] - corners
    sides = edges[:, 0] * ahead[..., 1] - edges[:, 1] * ahead[..., 0]
    return (sides > 0).all(dim=1) | (sides < 0).all(dim=1)


def fits(corners: Tensor, image: Tensor) -> bool:
    """Whether the polygon holds all ink of ``image`` [H, W], and little else: a huge one would enclose anything."""
    height, width = image.shape
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    inside = encloses(corners, torch.stack([x, y], dim=-1).flatten(0, 1).to(corners)).view(height, width)
    ink = image > 0.5
    assert ink.sum() > 50
    return bool(inside[ink].all()) and int(inside.sum()) < 1.35 * int(ink.sum())


def affine(angle: float = 0.0, scale: tuple[float, float] = (1, 1), shift: tuple[float, float] = (0, 0)) -> Tensor:
    """theta [2, 3] in normalised coordinates."""
    cos, sin = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    rows = [[scale[0] * cos, -scale[1] * sin, shift[0]], [scale[0] * sin, scale[1] * cos, shift[1]]]
    return torch.tensor(rows, dtype=torch.float64)


def inverse(theta: Tensor) -> Tensor:
    return torch.linalg.inv(torch.cat([theta, theta.new_tensor([[0, 0, 1]])]))[:2]


@pytest.mark.parametrize("size", [(42, 42), (36, 60)], ids=str)
@pytest.mark.parametrize(
    "theta",
    [
        affine(scale=(0.5, 0.5), shift=(0.4, -0.25)),
        affine(scale=(0.6, 0.6)),
        affine(scale=(0.4, 0.7), shift=(-0.3, 0.1)),
        affine(angle=30, scale=(0.6, 0.45)),
        affine(angle=-20, scale=(0.5, 0.6), shift=(0.2, 0.1)),
    ],
    ids=["shift", "scale", "stretch", "rotation", "all"],
)
def test_outline_encloses_the_ink(train_mnist, theta, size):
    digit = torch.nn.functional.pad(torch.ones(1, 1, 26, 26, dtype=torch.float64), (1, 1, 1, 1))
    # `theta` takes the digit's coordinates to the canvas; a canvas is painted with the map from it to the digit.
    grid = stn_cuda.affine_grid(inverse(theta)[None], [1, 1, *size], align_corners=False)
    canvas = stn_cuda.grid_sample(digit, grid, align_corners=False)[0, 0]
    assert fits(train_mnist.outline(theta, size), canvas)
    assert not fits(train_mnist.outline(inverse(theta), size), canvas)


def test_outline_of_the_identity_is_the_edge_of_the_image(train_mnist):
    corners = train_mnist.outline(affine().expand(3, 2, 3), (36, 60))
    assert corners.shape == (3, 4, 2)
    assert corners[1].tolist() == [[-0.5, -0.5], [59.5, -0.5], [59.5, 35.5], [-0.5, 35.5]]


# The task and the networks


def test_fresh_transformer_is_the_identity(train_mnist):
    transformer = train_mnist.SpatialTransformer()
    canvases = torch.rand(5, 1, 42, 42)
    identity = torch.tensor([[1.0, 0, 0], [0, 1, 0]]).expand(5, 2, 3)
    assert torch.equal(transformer.theta(canvases), identity)
    grid = stn_cuda.affine_grid(identity, [5, 1, 28, 28], align_corners=False)
    assert torch.equal(transformer(canvases), stn_cuda.grid_sample(canvases, grid, align_corners=False))


def test_distortion_keeps_the_ink_on_the_canvas(train_mnist):
    digit = torch.zeros(28, 28)
    digit[4:24, 9:19] = 1  # as long as MNIST's digits get, off the middle
    images = digit.expand(500, 28, 28)
    theta = train_mnist.random_placement(images, torch.Generator().manual_seed(1))
    canvases = train_mnist.distort(images, torch.Generator().manual_seed(1))
    assert canvases.shape == (500, 1, 42, 42)
    scale = (42 / 28) / torch.linalg.det(theta[:, :, :2]).sqrt()
    assert 0.7 <= scale.min() < 0.72 and 1.18 < scale.max() <= 1.2
    ink = canvases.sum(dim=(1, 2, 3)) / (scale.square() * digit.sum())
    assert ink.min() > 0.95 and ink.max() < 1.05

    # The disc around the ink stays inside wherever it lands, and it lands at every side.
    centre = train_mnist.outline(theta, (28, 28)).mean(dim=1)  # of the canvas, in the digit's pixels
    assert (centre - 13.5).amin(dim=0).max() < -3 and (centre - 13.5).amax(dim=0).min() > 3
    angle = torch.rad2deg(torch.atan2(theta[:, 0, 1], theta[:, 0, 0]))
    assert -45 <= angle.min() < -43 and 43 < angle.max() <= 45


def test_distortion_of_ink_in_the_corners_is_centred(train_mnist):
    theta = train_mnist.random_placement(torch.ones(200, 28, 28), torch.Generator().manual_seed(1))
    scale = (42 / 28) / torch.linalg.det(theta[:, :, :2]).sqrt()
    no_room = scale * (13.5 * math.sqrt(2) + 1) > 21
    assert 0 < no_room.sum() < 200
    assert (theta[no_room, :, 2] == 0).all() and (theta[~no_room, :, 2] != 0).all()


# The whole


def short_run(train_mnist, data: Path, output: Path, *more: str) -> None:
    arguments = ["--data", str(data), "--iterations", "4", "--batch-size", "32", "--device", "cpu"]
    train_mnist.main([*arguments, "--output", str(output), *more])


def test_short_run_prints_both_errors_and_writes_the_picture(train_mnist, tmp_path, contents, capsys):
    data = write(tmp_path / "mnist", contents)
    output = tmp_path / "new" / "picture.png"
    short_run(train_mnist, data, output)
    first = capsys.readouterr().out
    lines = {line.rsplit(maxsplit=4)[0].strip(): line.split() for line in first.splitlines() if "parameters" in line}
    assert list(lines) == ["with transformer", "without"]
    errors = [float(words[words.index("%") - 1]) for words in lines.values()]
    assert all(0 <= error <= 100 for error in errors)
    assert f"{errors[1] - errors[0]:.2f} points" in first
    assert "not MNIST's" in first and "60 training and 40 test digits" in first
    assert output.read_bytes().startswith(b"\x89PNG\r\n\x1a\n")

    short_run(train_mnist, data, output)
    assert capsys.readouterr().out == first


def test_training_follows_the_seed_bit_for_bit(train_mnist, contents, tmp_path):
    digits = mnist_data.load_mnist(write(tmp_path, contents))

    def weights(seed: int) -> Tensor:
        torch.manual_seed(0)  # of the networks: what differs below is the batches
        network = torch.nn.Sequential(train_mnist.SpatialTransformer(), train_mnist.classifier(28))
        options = SimpleNamespace(seed=seed, iterations=3, batch_size=16)
        train_mnist.train(network, digits.train_images, digits.train_labels, options, "test")
        return torch.cat([parameter.detach().flatten() for parameter in network.parameters()])

    assert torch.equal(weights(7), weights(7))
    assert not torch.equal(weights(7), weights(8))


def test_command_line_errors_are_one_clear_line(train_mnist, tmp_path, capsys):
    with pytest.raises(SystemExit, match="error: missing.*train-images-idx3-ubyte"):
        short_run(train_mnist, tmp_path, tmp_path / "picture.png")
    for arguments, message in ((["--iterations", "0"], "0, expected 1 or more"), (["--device", "abacus"], "abacus")):
        with pytest.raises(SystemExit):
            train_mnist.main(arguments)
        assert message in capsys.readouterr().err
