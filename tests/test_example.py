"""The main example: its networks, its picture, and a short run of the whole."""

from __future__ import annotations

import importlib
import math
from pathlib import Path
from types import ModuleType

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


# The networks


def test_both_networks_have_as_many_parameters_and_the_transformer_starts_at_the_identity(train_mnist):
    transformer = train_mnist.make_transformer()
    networks = train_mnist.make_networks(transformer)
    assert [train_mnist.parameter_count(network) // 1000 for network in networks.values()] == [399, 399]
    canvases = torch.rand(5, 1, 42, 42)
    identity = torch.tensor([[1.0, 0, 0], [0, 1, 0]]).expand(5, 2, 3)
    assert torch.equal(transformer.theta(canvases), identity.flatten(1))
    assert torch.equal(transformer(canvases), stn_cuda.affine_sample(canvases, identity, (28, 28)))
    assert networks["with transformer"][0] is transformer
    assert all(network(canvases).shape == (5, 10) for network in networks.values())


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
    loaded = mnist_data.load_mnist(write(tmp_path, contents))
    digits = train_mnist.Digits.of(loaded.train_images, loaded.train_labels)

    def weights(seed: int) -> Tensor:
        torch.manual_seed(0)  # of the networks: what differs below is the batches
        network = train_mnist.make_networks(train_mnist.make_transformer())["with transformer"]
        train_mnist.train(network, train_mnist.Batches(digits, train_mnist.RTS, 16, seed), 3, "test")
        return torch.cat([parameter.detach().flatten() for parameter in network.parameters()])

    assert torch.equal(weights(7), weights(7))
    assert not torch.equal(weights(7), weights(8))


def test_command_line_errors_are_one_clear_line(train_mnist, tmp_path, contents, capsys):
    with pytest.raises(SystemExit, match="error: missing.*train-images-idx3-ubyte"):
        short_run(train_mnist, tmp_path, tmp_path / "picture.png")
    data = write(tmp_path / "mnist", contents)
    with pytest.raises(SystemExit, match="error: batch size 61 is larger than the 60 training digits"):
        short_run(train_mnist, data, tmp_path / "picture.png", "--batch-size", "61")
    for arguments, message in (
        (["--iterations", "0"], "0, expected 1 or more"),
        (["--seed", "-1"], "-1, expected 0 or more"),
        (["--device", "abacus"], "abacus"),
    ):
        with pytest.raises(SystemExit):
            train_mnist.main(arguments)
        assert message in capsys.readouterr().err
