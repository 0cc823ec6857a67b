"""The runs of examples/distorted_mnist.py: targets, going on after an interruption, and several processes."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import torch
from digits import contents_of_files, mnist_data, write
from tolerances import DISTRIBUTED
from torch import Tensor, distributed, multiprocessing

pytest.importorskip("matplotlib", reason="the example draws its pictures with matplotlib")
pytest.importorskip("tqdm", reason="the example shows its progress with tqdm")

from distorted import training  # noqa: E402
from distorted.batches import Share  # noqa: E402
from distorted.cells import Cell, Folder, Refused  # noqa: E402
from distorted.distortions import Digits  # noqa: E402
from distorted.training import Run, Task, trained  # noqa: E402

PROCESSES = 2
ALONE = Share()
SMALL = Cell("RTS", "ST-FCN Aff", iterations=6, horizon=20, batch_size=16)


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    return write(tmp_path_factory.mktemp("mnist"), contents_of_files())


def task_of(data: Path, output: Path, share: Share = ALONE) -> Task:
    digits = mnist_data.load_mnist(data)
    return Task(Digits.of(digits.train_images, digits.train_labels), Digits.of(digits.test_images, digits.test_labels),
                Folder(output), torch.device("cpu"), share, is_quiet=True)


def weights(run: Run) -> Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in run.network.parameters()])


# ---- T1: what a spatial transformer is for ------------------------------------------------------------------------------

@pytest.mark.slow
def test_transformer_halves_the_error_of_rotated_scaled_and_translated_digits(tmp_path):
    """The first tenth of 20 epochs: 468 batches of 256. On MNIST where it is at hand, else on scikit-learn's digits."""
    quiet: Callable[[str], Any] = lambda text: None  # noqa: E731
    digits = mnist_data.from_caches(quiet) or mnist_data.from_scikit_learn(quiet)
    if digits is None:
        pytest.skip("neither MNIST in a usual place nor scikit-learn's digits")
    task = Task(Digits.of(digits.train_images, digits.train_labels), Digits.of(digits.test_images, digits.test_labels),
                Folder(tmp_path), torch.device("cpu"), is_quiet=True)
    errors = {name: trained(Cell("RTS", name, iterations=468), task)[0]["error"] for name in ("FCN", "ST-FCN Aff")}
    print(f"{digits.source}: {errors}")
    assert errors["ST-FCN Aff"] < 12
    assert errors["FCN"] - errors["ST-FCN Aff"] > 10


# ---- interruptions ------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("network", ["FCN", "ST-FCN TPS", "IC-ST-FCN Aff"])
def test_interrupted_run_ends_as_if_it_had_not_been(data, tmp_path, network):
    cell = replace(SMALL, network=network)
    whole = Run(cell, task_of(data, tmp_path / "whole"))
    whole.train()

    first = Run(cell, task_of(data, tmp_path / "parts"))
    for iteration in range(3):
        first.step(*first.batches.batch(iteration))
        first.iteration = iteration + 1
    first.save()
    second = Run(cell, task_of(data, tmp_path / "parts"))
    assert second.iteration == 3
    second.train()
    assert second.iteration == 6
    assert torch.equal(weights(whole), weights(second))
    assert not torch.equal(weights(whole), weights(first))
    assert whole.schedule.get_last_lr() == second.schedule.get_last_lr()


def test_a_run_that_is_stopped_leaves_a_checkpoint_and_goes_on(data, tmp_path, monkeypatch):
    whole = Run(SMALL, task_of(data, tmp_path / "whole"))
    whole.train()
    task, step = task_of(data, tmp_path / "parts"), Run.step

    def stopping(run: Run, *batch: Tensor) -> Tensor:
        if run.iteration == 3:
            run.task.stop.set()
        return step(run, *batch)

    monkeypatch.setattr(Run, "step", stopping)
    with pytest.raises(training.Interrupted, match=f"{SMALL.name} was interrupted at iteration 4 of 6: the same command"):
        trained(SMALL, task)
    monkeypatch.undo()
    result, run = trained(SMALL, task_of(data, tmp_path / "parts"))
    assert torch.equal(weights(whole), weights(run))
    assert [iteration for iteration, _ in result["curve"]] == [0, 1, 2, 3, 4, 5, 6]


def test_finished_cell_is_read_and_not_run_again(data, tmp_path, monkeypatch):
    task = task_of(data, tmp_path)
    result, run = trained(SMALL, task)
    monkeypatch.setattr(Run, "step", None)
    again, run_again = trained(SMALL, task)
    assert again["error"] == result["error"] and again["cell"]["network"] == "ST-FCN Aff"
    assert torch.equal(weights(run), weights(run_again))


def test_checkpoints_are_written_during_a_run(data, tmp_path, monkeypatch):
    monkeypatch.setattr(training, "CHECKPOINT_SECONDS", 0.0)
    saved = []
    monkeypatch.setattr(Run, "save", lambda self: saved.append(self.iteration))
    Run(SMALL, task_of(data, tmp_path)).train()
    assert saved == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("change", [{"lr": 0.5}, {"batch_size": 8, "horizon": 30}, {"digits": "other digits"}], ids=str)
@pytest.mark.parametrize("kind", ["pt", "json"])
def test_another_configuration_is_refused_with_the_difference(data, tmp_path, change, kind):
    task = task_of(data, tmp_path)
    trained(SMALL, task)
    if kind == "pt":
        (tmp_path / "cells" / f"{SMALL.name}.json").unlink()
    before = sorted((path, path.read_bytes()) for path in (tmp_path / "cells").iterdir())
    with pytest.raises(Refused) as refused:
        trained(replace(SMALL, **change), task)
    for name, value in change.items():
        assert f"{name} {getattr(SMALL, name)!r}, not {value!r}" in str(refused.value)
    assert f"{SMALL.name}.{kind} is of another configuration" in str(refused.value)
    assert before == sorted((path, path.read_bytes()) for path in (tmp_path / "cells").iterdir())


@pytest.mark.parametrize("kind", ["pt", "json"])
def test_truncated_file_is_named(data, tmp_path, kind):
    task = task_of(data, tmp_path)
    trained(SMALL, task)
    path = tmp_path / "cells" / f"{SMALL.name}.{kind}"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    for _ in range(2):
        with pytest.raises(Refused, match=f"{SMALL.name}.{kind} is no"):
            trained(SMALL, task)
        path.write_bytes(b"")  # next: an empty one


def test_result_of_another_program_is_named(data, tmp_path):
    folder = Folder(tmp_path)
    folder.write("cells/strange.json", "{}")
    with pytest.raises(Refused, match="strange.json is no result of this program .no 'cell' in it"):
        folder.results()


def test_commands_at_once_agree(tmp_path):
    folder = Folder(tmp_path)
    assert folder.agree("plan.json", {"iterations": 5}) == {"iterations": 5}
    assert folder.agree("plan.json", {"iterations": 6}) == {"iterations": 5}
    assert [path.name for path in tmp_path.iterdir()] == ["plan.json"]


@pytest.mark.parametrize("options, message", [
    ({"network": "FCN", "pool": True}, "pool: FCN has no transformer; expected False, got True"),
    ({"network": "CNN", "reach": 4.0}, "reach: CNN has no transformer"),
    ({"network": "ST-FCN TPS", "start": "lost"}, "start: lost is for transforms with a matrix, which that of ST-FCN TPS isn't"),
    ({"network": "ST-FCN TPS", "gradient": "linearized"}, "gradient: linearized is for transforms with a matrix"),
], ids=str)
def test_options_that_make_no_sense_are_refused(options, message):
    with pytest.raises(Refused, match=message):
        replace(SMALL, **options)


def test_usual_learning_rate_is_the_same_cell_as_none():
    assert replace(SMALL, lr=float("nan")) == replace(SMALL, lr=1e-3)
    assert replace(SMALL, lr=float("nan"), optimizer="momentum").lr == 0.1

@pytest.mark.parametrize("bad", [
    {"data": "XYZ"}, {"network": "ST-RNN"}, {"optimizer": "magic"}, {"schedule": "up"}, {"sampler": "cv2"}, {"start": "far"}],
    ids=str)
def test_unknown_names_list_the_known_ones(bad):
    (name, value), = bad.items()
    known = {"data": "R, RTS, P, E, TC", "network": "FCN, ST-FCN Aff", "optimizer": "adam, momentum, sgd",
             "schedule": "cosine, steps, constant", "sampler": "stn_cuda, torch", "start": "identity, random, lost"}
    with pytest.raises(Refused, match=f"{name}: expected one of {known[name]}.*, got '{value}'"):
        replace(SMALL, **bad)


def test_theta_that_is_not_finite_is_an_error_with_its_place(data, tmp_path):
    run = Run(SMALL, task_of(data, tmp_path))
    with torch.no_grad():
        run.transformer.localization.head.layer.bias[2] = float("nan")
    with pytest.raises(FloatingPointError, match="theta of SpatialTransformer isn't finite in step 0"):
        run.train()


@pytest.mark.parametrize("optimizer", training.OPTIMIZERS)
def test_localisation_has_its_share_of_the_learning_rate(data, tmp_path, optimizer):
    cell = replace(SMALL, optimizer=optimizer, lr=0.02, localization_lr_scale=0.25, schedule="steps", iterations=9, horizon=9)
    run = Run(cell, task_of(data, tmp_path))
    rates = []
    for iteration in range(9):
        rates.extend(group["lr"] for group in run.optimizer.param_groups)
        run.step(*run.batches.batch(iteration))
    thirds = [factor for factor in (1, 0.1, 0.01) for _ in range(3)]
    assert rates == pytest.approx([lr * factor for factor in thirds for lr in (0.02, 0.005)])


# ---- several processes --------------------------------------------------------------------------------------------------

DISTRIBUTED_CELLS = (  # by SGD: Adam divides by gradients, small ones too, and so enlarges the rounding of their sums
    replace(SMALL, optimizer="sgd", lr=0.1), replace(SMALL, optimizer="sgd", lr=0.1, network="ST-CNN TPS", iterations=2))


def process(rank: int, folder: str, data: str) -> None:
    torch.set_num_threads(1)
    distributed.init_process_group(  # a file needs no port
        "gloo", init_method=Path(folder, "store").as_uri(), rank=rank, world_size=PROCESSES, timeout=timedelta(seconds=60))
    try:
        for cell in DISTRIBUTED_CELLS:
            task = task_of(Path(data), Path(folder), Share(rank, PROCESSES))
            run = Run(cell, task)
            run.step(*run.batches.batch(0))
            torch.save([parameter.grad for parameter in run.network.parameters()], Path(folder, f"{cell.name}.{rank}"))
            result, run = trained(cell, task)
            torch.save((result["error"], weights(run)), Path(folder, f"{cell.name}.end{rank}"))
    finally:
        distributed.destroy_process_group()


@pytest.fixture(scope="module")
def together(tmp_path_factory, data) -> Path:
    if not (distributed.is_available() and distributed.is_gloo_available()):
        pytest.skip("this torch was built without gloo")
    folder = tmp_path_factory.mktemp("distributed")
    with pytest.MonkeyPatch.context() as environment:
        if sys.platform == "linux" and "GLOO_SOCKET_IFNAME" not in os.environ:
            environment.setenv("GLOO_SOCKET_IFNAME", "lo")  # the host's own name may have no address
        environment.setenv("PYTHONPATH", os.pathsep.join(sys.path))
        multiprocessing.spawn(process, (str(folder), str(data)), nprocs=PROCESSES)
    return folder


@pytest.mark.parametrize("cell", DISTRIBUTED_CELLS, ids=lambda cell: cell.name)
def test_processes_have_the_gradients_of_one(cell, data, together, tmp_path):
    run = Run(cell, task_of(data, tmp_path))
    run.step(*run.batches.batch(0))
    for rank in range(PROCESSES):
        gradients = torch.load(together / f"{cell.name}.{rank}", weights_only=True)
        assert len(gradients) == len(list(run.network.parameters()))
        for gradient, parameter in zip(gradients, run.network.parameters()):
            scale = parameter.grad.abs().max().clamp(min=1e-30)
            DISTRIBUTED.assert_close(gradient / scale, parameter.grad / scale)


@pytest.mark.parametrize("cell", DISTRIBUTED_CELLS, ids=lambda cell: cell.name)
def test_processes_end_as_one_does(cell, data, together, tmp_path):
    result, run = trained(cell, task_of(data, tmp_path))
    for rank in range(PROCESSES):
        error, ended = torch.load(together / f"{cell.name}.end{rank}", weights_only=True)
        assert error == result["error"]
        DISTRIBUTED.assert_close(ended, weights(run))


def test_what_two_processes_began_one_ends(data, together, tmp_path):
    """Their checkpoint at the end, continued by a longer cell: as the same by one process from the start."""
    cell = DISTRIBUTED_CELLS[0]
    state = Folder(together).checkpoint(cell, torch.device("cpu"))
    assert state["iteration"] == cell.iterations
    longer = replace(cell, iterations=8)
    Folder(tmp_path).write_checkpoint(longer, {name: value for name, value in state.items() if name != "cell"})
    run = Run(longer, task_of(data, tmp_path))
    run.train()
    assert run.iteration == 8
    alone = Run(longer, task_of(data, tmp_path / "alone"))
    alone.train()
    DISTRIBUTED.assert_close(weights(run), weights(alone))
