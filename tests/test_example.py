"""The main example: its networks, its picture, and a short run of the whole."""

from __future__ import annotations

import importlib
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
