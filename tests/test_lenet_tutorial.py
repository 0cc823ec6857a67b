"""The tutorial's network: its parts, the two defects that are mended, and a short run of the whole."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from types import ModuleType

import pytest
import torch
from digits import contents_of_files, write
from digits_on_canvases import some_digits
from distorted.batches import Batches
from tolerances import PARITY


@pytest.fixture(scope="module")
def lenet_tutorial() -> ModuleType:
    pytest.importorskip("matplotlib", reason="the example draws its picture with matplotlib")
    pytest.importorskip("tqdm", reason="the example shows its progress with tqdm")
    return importlib.import_module("lenet_tutorial")


def run(lenet_tutorial, folder: Path, *more: str) -> dict:
    """Two epochs of 60 digits; the results by the kind of digits."""
    data, output = folder / "mnist", folder / "out"
    lenet_tutorial.main(["--data", str(data), "--epochs", "2", "--device", "cpu", "--output", str(output), *more])
    return {path.stem: json.loads(path.read_text()) for path in output.glob("*.json")}


def test_networks_are_the_tutorials(lenet_tutorial):
    transformer, lenet = lenet_tutorial.make_transformer(28), lenet_tutorial.lenet(28)
    count = lenet_tutorial.parameter_count
    # conv7x7(8), conv5x5(10), 90 -> 32, 32 -> 6; conv5x5(10), conv5x5(20), 320 -> 50, 50 -> 10; weights and biases
    assert count(transformer) == 49 * 8 + 8 + 25 * 80 + 10 + 90 * 32 + 32 + 32 * 6 + 6
    assert count(lenet) == 25 * 10 + 10 + 25 * 200 + 20 + 320 * 50 + 50 + 50 * 10 + 10
    assert sum(isinstance(part, (torch.nn.Dropout, torch.nn.Dropout2d)) for part in lenet) == 2


@pytest.mark.parametrize("canvas", [28, 42])
def test_every_canvas_has_a_transformer_to_28_and_a_control(lenet_tutorial, canvas):
    canvases = torch.rand(3, 1, canvas, canvas)
    assert lenet_tutorial.make_transformer(canvas)(canvases).shape == (3, 1, 28, 28)
    assert lenet_tutorial.lenet(canvas)(canvases).shape == (3, 10)


def test_transformer_starts_at_the_identity(lenet_tutorial):
    canvases = lenet_tutorial.normalised(some_digits(4).images)
    assert torch.equal(lenet_tutorial.make_transformer(28)(canvases), canvases)


def test_padding_is_the_background_after_normalisation(lenet_tutorial):
    """Normalise, then sample, is sample, then normalise: with zeros for padding it isn't."""
    images, transformer = some_digits(4).images, lenet_tutorial.make_transformer(28)
    theta = torch.tensor([[1.3, 0.4, 0.2, -0.4, 1.3, -0.3]]).expand(4, 6)  # reads beyond all edges
    before = lenet_tutorial.normalised(transformer.transform.sample(images, theta))
    after = transformer.warp(lenet_tutorial.normalised(images), theta)
    PARITY[torch.float32].assert_close(after, before)
    padded_by_zeros = transformer.transform.sample(lenet_tutorial.normalised(images), theta)
    assert (padded_by_zeros - before).abs().max() > 0.4


def test_both_networks_see_the_same_batches_in_the_same_order(lenet_tutorial, monkeypatch, tmp_path):
    seen: list[tuple[str, int]] = []
    batch = Batches.batch

    def noted(self, iteration):
        seen.append((self.distortion.name, iteration))
        return batch(self, iteration)

    monkeypatch.setattr(Batches, "batch", noted)
    monkeypatch.setattr(lenet_tutorial, "BATCH_SIZE", 20)
    write(tmp_path / "mnist", contents_of_files())
    run(lenet_tutorial, tmp_path)
    assert seen == [(name, iteration) for name in ("plain", "RTS") for _ in range(2) for iteration in range(6)]


def test_short_run_prints_and_writes_accuracies_and_pictures(lenet_tutorial, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(lenet_tutorial, "BATCH_SIZE", 20)
    write(tmp_path / "mnist", contents_of_files())
    results = run(lenet_tutorial, tmp_path)
    output = capsys.readouterr().out
    assert {*results} == {"plain", "RTS"} and "97.83 %   without a control" in output
    for kind, result in results.items():
        assert f"{kind} digits, test accuracy after 2 epochs" in output
        assert not result["is_mnist"] and result["batch_size"] == 20 and result["learning_rate"] == 0.01
        for title, network in result["networks"].items():
            accuracies = network["test_accuracy_by_epoch"]
            assert len(accuracies) == 2 and all(0 <= accuracy <= 100 for accuracy in accuracies)
            assert f"{title:<20}{accuracies[-1]:6.2f} %   {network['parameters']:,} parameters" in output
        assert (tmp_path / "out" / f"{kind}.png").read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
    assert "not MNIST's" in output

    again = run(lenet_tutorial, tmp_path, "--digits", "RTS")["RTS"]["networks"]
    for title, network in results["RTS"]["networks"].items():
        assert again[title]["test_accuracy_by_epoch"] == network["test_accuracy_by_epoch"]


def test_command_line_errors_are_one_clear_line(lenet_tutorial, tmp_path, capsys):
    write(tmp_path / "mnist", contents_of_files())
    with pytest.raises(SystemExit, match="error: batch size 64 is larger than the 60 training digits"):
        run(lenet_tutorial, tmp_path)
    for arguments, message in (
        (["--digits", "MNIST"], "'MNIST' (choose from 'plain', 'RTS', 'both')"),
        (["--epochs", "0"], "0, expected 1 or more"),
        (["--device", "abacus"], "abacus"),
    ):
        with pytest.raises(SystemExit):
            lenet_tutorial.main(arguments)
        assert message.replace("'", "") in capsys.readouterr().err.replace("'", "")  # Python 3.12 dropped these quotes
