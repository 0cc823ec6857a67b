"""The command examples/distorted_mnist.py: cells, tables, targets, pictures, and what it says of bad input."""

from __future__ import annotations

import importlib
import json
import os
import re
import signal
from dataclasses import asdict
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from digits import contents_of_files, write

pytest.importorskip("matplotlib", reason="the example draws its pictures with matplotlib")
pytest.importorskip("tqdm", reason="the example shows its progress with tqdm")

from distorted import table, targets  # noqa: E402
from distorted.cells import Cell  # noqa: E402


@pytest.fixture(scope="module")
def command() -> ModuleType:
    return importlib.import_module("distorted_mnist")


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    return write(tmp_path_factory.mktemp("mnist"), contents_of_files())


def call(command: ModuleType, data: Path, output: Path, *more: str) -> None:
    command.main(["--data", str(data), "--output", str(output), "--device", "cpu", "--quiet", "--batch-size", "16", *more])


# ---- the command --------------------------------------------------------------------------------------------------------

def test_a_cell_leaves_a_result_a_curve_a_picture_and_a_film(command, data, tmp_path, capsys):
    call(command, data, tmp_path, "--distortion", "P", "--network", "ST-FCN Proj", "--iterations", "3", "--animation")
    printed = capsys.readouterr().out
    name = "P_ST-FCN-Proj_3_seed0"
    result = json.loads((tmp_path / "cells" / f"{name}.json").read_text())
    assert 0 <= result["error"] <= 100 and result["parameters"] == 399_906
    assert [point[0] for point in result["curve"]] == [0, 1, 2, 3]
    assert result["transformer"]["calls"] == 3 and result["transformer"]["nonfinite"] == 0
    assert result["cell"]["digits"] == "other digits"
    assert f"{name}: {result['error']:.2f} % error, 399,906 parameters" in printed and "not MNIST" in printed
    for picture in (f"panels/{name}.png", "learning_curves.png"):
        assert (tmp_path / picture).read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
    with importlib.import_module("PIL.Image").open(tmp_path / "panels" / f"{name}.gif") as film:
        assert film.n_frames == 4  # as many as points of the curve
    assert not (tmp_path / "table.md").exists()


def test_a_table_by_two_commands_and_again(command, data, tmp_path, capsys, monkeypatch):
    arguments = ("--table", "--budget", "quick", "--iterations", "2")
    for part in ("1/2", "2/2"):
        call(command, data, tmp_path, *arguments, "--part", part)
    assert "not run: images per second" in (tmp_path / "table.md").read_text()
    results = sorted((tmp_path / "cells").glob("*.json"))
    assert len(results) == 4 * 4
    contents = [path.read_bytes() for path in results]

    monkeypatch.setattr(command.throughput, "measure", lambda device: {"CNN": 100.0, "ST-CNN Aff": 180.0})
    capsys.readouterr()
    call(command, data, tmp_path, *arguments)
    assert contents == [path.read_bytes() for path in results]  # nothing ran again
    text = (tmp_path / "table.md").read_text()
    assert text in capsys.readouterr().out
    everything = json.loads((tmp_path / "results.json").read_text())
    assert everything["images_per_second"] == {"CNN": 100.0, "ST-CNN Aff": 180.0}
    assert {one["name"]: one["is_met"] for one in everything["targets"]}["T7"] is True
    assert "NOT MNIST's" in text
    rows = {line.split(" | ")[0][2:]: line.split(" | ")[1:5] for line in text.splitlines() if line.startswith("| ST-")}
    for result in everything["cells"]:
        if result["cell"]["network"] in rows:
            column = ("R", "RTS", "P", "E").index(result["cell"]["data"])
            assert rows[result["cell"]["network"]][column] == f"{result['error']:.2f}"


def test_minutes_decide_the_iterations_once(command, data, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(table.BUDGETS, "quick", table.Budget("one", 1, 5, 5, None))
    monkeypatch.setattr(table, "FULLY_CONNECTED", ("FCN",))
    monkeypatch.setattr(command.throughput, "measure", lambda device: {"CNN": 1.0, "ST-CNN Aff": 1.0})
    call(command, data, tmp_path, "--table", "--minutes", "0.001")
    plan = json.loads((tmp_path / "plan.json").read_text())
    cells = [json.loads(path.read_text())["cell"] for path in (tmp_path / "cells").glob("*.json")]
    assert len(cells) == 4 and {cell["iterations"] for cell in cells} == {plan["iterations"]}
    call(command, data, tmp_path, "--table", "--minutes", "0.001")
    assert len(list((tmp_path / "cells").glob("*.json"))) == 4
    with pytest.raises(SystemExit, match="a table of 0.001 minutes, not 2"):
        call(command, data, tmp_path, "--table", "--minutes", "2")


@pytest.mark.parametrize("arguments, message", [
    (["--distortion", "Q"], "invalid choice: 'Q' (choose from R, RTS, P, E, TC)"),
    (["--network", "ST-RNN"], "invalid choice: 'ST-RNN' (choose from FCN, ST-FCN Aff, ST-FCN Proj"),
    (["--part", "3/2"], "'3/2', expected I/N with I from 1 to N"),
    (["--iterations", "0"], "0, expected 1 or more"),
    (["--lr", "nan"], "nan, expected a positive and finite number"),
    (["--minutes", "0"], "0, expected a positive and finite number"),
    (["--device", "abacus"], "abacus"),
], ids=str)  # fmt: skip
def test_bad_arguments_are_named(command, data, tmp_path, arguments, message, capsys):
    with pytest.raises(SystemExit):
        call(command, data, tmp_path, *arguments)
    assert message in capsys.readouterr().err.replace("'R', 'RTS', 'P', 'E', 'TC'", "R, RTS, P, E, TC").replace(
        "'FCN', 'ST-FCN Aff', 'ST-FCN Proj'", "FCN, ST-FCN Aff, ST-FCN Proj")  # quoted before Python 3.12


@pytest.mark.parametrize("arguments, message", [
    (["--iterations", "9", "--horizon", "3"], "error: horizon: expected at least the 9 iterations, got 3"),
    (["--batch-size", "61"], "error: batch size 61 is larger than the 60 training digits"),
    (["--network", "ST-FCN TPS", "--start", "lost"], "error: start: lost is for transforms with a matrix"),
    (["--part", "1/2"], "error: --part is for tables: expected --table with it"),
], ids=str)  # fmt: skip
def test_what_cannot_be_run_is_one_clear_line(command, data, tmp_path, arguments, message):
    with pytest.raises(SystemExit, match=re.escape(message)):
        call(command, data, tmp_path, *arguments)


def test_output_that_cannot_be_written_is_refused_at_once(command, data, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(SystemExit, match="error: --output: expected a folder that can be written, got .*file"):
        call(command, data, tmp_path / "file")


def test_interrupted_command_says_so_and_goes_on(command, data, tmp_path, monkeypatch, capsys):
    step = command.trained.__globals__["Run"].step

    def interrupted(run, *batch):
        if run.iteration == 2:
            os.kill(os.getpid(), signal.SIGINT)
        return step(run, *batch)

    monkeypatch.setattr(command.trained.__globals__["Run"], "step", interrupted)
    with pytest.raises(SystemExit) as ended:
        call(command, data, tmp_path, "--iterations", "5")
    assert ended.value.code == 130
    assert "interrupted at iteration 3 of 5: the same command goes on from there" in capsys.readouterr().err
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    monkeypatch.undo()
    call(command, data, tmp_path, "--iterations", "5")
    assert "finished earlier" not in capsys.readouterr().out
    call(command, data, tmp_path, "--iterations", "5", "--animation")
    printed = capsys.readouterr().out
    assert "finished earlier" in printed and "no animation of RTS_ST-FCN-Aff_5_seed0" in printed


def test_truncated_digits_are_named(command, tmp_path):
    contents = contents_of_files()
    contents["t10k-labels-idx1-ubyte"] = contents["t10k-labels-idx1-ubyte"][:-7]
    data = write(tmp_path / "mnist", contents)
    with pytest.raises(SystemExit, match="error: .*t10k-labels-idx1-ubyte: truncated: 41 bytes, expected 48"):
        call(command, data, tmp_path / "output")


# ---- the table and the targets ------------------------------------------------------------------------------------------

def result_of(data: str, network: str, error: float, **cell: Any) -> dict[str, Any]:
    return {"cell": asdict(Cell(data, network, **cell)), "error": error, "parameters": 400_000, "images_per_second": 1000.0,
            "curve": [[0, 90.0], [10, error]]}


def test_budgets_have_the_cells_that_they_say():
    quick = table.cells_of(table.BUDGETS["quick"], 1)
    assert len(set(quick)) == len(quick) == 16
    assert {(cell.iterations, cell.horizon) for cell in quick} == {(468, 4680)}
    cpu = table.cells_of(table.BUDGETS["cpu"], 3)
    assert len({cell.name for cell in cpu}) == len(cpu)  # a file each
    long = [cell for cell in cpu if cell.iterations == 4680 and cell.sampler == "stn_cuda"]
    assert len(long) == 4 * 4 * 3
    assert {cell.seed for cell in long} == {0, 1, 2}
    assert {(cell.data, cell.network) for cell in cpu if cell.architecture.classifier == "CNN"} == {
        ("RTS", network) for network in table.CONVOLUTIONAL}
    paper = table.cells_of(table.BUDGETS["paper"], 1)
    assert {cell.data for cell in paper} == {"R", "RTS", "P", "E", "TC"} and {cell.iterations for cell in paper} == {150_000}
    assert {(cell.data, cell.network) for cell in paper} >= {
        (data, network) for data in table.COLUMNS for network in table.PAPER}


def test_table_has_means_spreads_and_what_is_missing():
    results = [result_of("RTS", "FCN", 12.0), result_of("RTS", "FCN", 13.0, seed=1), result_of("R", "ST-FCN Aff", 2.5),
               result_of("RTS", "ST-FCN TPS", 7.0, start="random"), result_of("R", "FCN", 30.0, iterations=468)]
    text = table.markdown(results)
    assert "| FCN | not run | 12.50 ± 0.71 | 2.1, 5.2, 3.1, 3.2 | 400,000 |" in text
    assert "| ST-FCN Aff | 2.50 | not run | 1.2, 0.8, 1.5, 2.7 | 400,000 |" in text
    assert "| RTS, ST-FCN TPS, 4,680 iterations, start random | 7.00 |" in text
    assert "### 468 iterations, the beginning of a schedule of 4,680" in text and "| FCN | 30.00 |" in text


SHORT, SIX = {"iterations": 468}, {"iterations": 1404, "horizon": 1404}
MET = [
    result_of("RTS", "ST-FCN Aff", 11.9, **SHORT), result_of("RTS", "FCN", 22.0, **SHORT),
    *(result_of("RTS", "ST-FCN Aff", 2.9, seed=seed) for seed in range(2)),
    *(result_of("RTS", "FCN", 11.0, seed=seed) for seed in range(2)),
    result_of("R", "FCN", 3.9), result_of("R", "ST-FCN Aff", 2.8),
    result_of("RTS", "ST-FCN Proj", 3.2), result_of("RTS", "ST-FCN TPS", 2.6),
    result_of("E", "FCN", 4.4), result_of("E", "ST-FCN Aff", 3.0), result_of("E", "ST-FCN TPS", 3.05),
    result_of("RTS", "ST-FCN Aff", 4.0, **SIX), result_of("RTS", "IC-ST-FCN Aff", 3.1, **SIX),
    result_of("RTS", "ST-FCN Aff", 3.1, sampler="torch"),
]
RATES = {"CNN": 100.0, "ST-CNN Aff": 151.0}
WORSE = {  # name -> the result or the rates that miss it
    "T1": result_of("RTS", "FCN", 21.8, **SHORT), "T2": result_of("RTS", "ST-FCN Aff", 3.1, seed=1),
    "T3": result_of("R", "ST-FCN Aff", 3.0), "T4": result_of("RTS", "ST-FCN TPS", 3.4),
    "T5": result_of("E", "ST-FCN TPS", 3.2), "T6": result_of("RTS", "IC-ST-FCN Aff", 3.3, **SIX),
    "T8": result_of("RTS", "ST-FCN Aff", 3.3, sampler="torch"),
}


def verdicts(results: list[dict[str, Any]], rates: dict[str, float]) -> dict[str, bool | None]:
    return {one.name: one.is_met for one in targets.outcomes(results, rates)}


def test_targets_that_are_met():
    assert verdicts(MET, RATES) == dict.fromkeys(["T1", "T2", "T3", "T4", "T5", "T6", "T7", "T8"], True)
    assert "NOT MET" not in targets.markdown(targets.outcomes(MET, RATES))


@pytest.mark.parametrize("name", WORSE)
def test_a_target_that_is_missed(name):
    worse = WORSE[name]
    results = [worse if one["cell"] == worse["cell"] else one for one in MET]
    assert results != MET
    assert verdicts(results, RATES) == {**verdicts(MET, RATES), name: False}


def test_a_throughput_that_is_missed():
    assert verdicts(MET, {**RATES, "ST-CNN Aff": 149.0})["T7"] is False


def test_targets_without_cells_say_so():
    found = targets.outcomes([], {})
    assert all(one.is_met is None and one.seen.startswith("not run: ") for one in found) and len(found) == 8
