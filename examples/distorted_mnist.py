"""The distorted MNIST experiments of Jaderberg et al., Spatial Transformer Networks, 2015: one cell of their table, or all.

    python examples/distorted_mnist.py [--distortion RTS] [--network "ST-FCN Aff"]      a cell
    python examples/distorted_mnist.py --table [--budget quick|cpu|paper] [--seeds 3]   the table
    torchrun --nproc_per_node=2 examples/distorted_mnist.py ...                         with several processes

What is finished, and a checkpoint a minute of what isn't, stand in --output: the same command again goes on there. A cell
writes its learning curve and a picture of what its transformer looks at; a table also table.md and results.json.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import signal
import sys
import time
from pathlib import Path

from command_line import load_digits, parser_of, positive, positive_number

if importlib.util.find_spec("stn_cuda") is None:  # built in place, but not installed
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from distorted import pictures, table, targets, throughput
from distorted.cells import STARTS, Cell, Folder, Refused
from distorted.distortions import DISTORTIONS, Digits
from distorted.networks import ARCHITECTURES, SAMPLERS
from distorted.optimizers import OPTIMIZERS, SCHEDULES
from distorted.processes import processes
from distorted.training import Interrupted, Task, trained

CELL_OPTIONS = ("seed", "batch_size", "optimizer", "lr", "schedule", "localization_lr_scale", "sampler", "pool", "start",
                "gradient", "reach")


def part(text: str) -> tuple[int, int]:
    number, _, count = text.partition("/")
    if not (number.isdecimal() and count.isdecimal() and 1 <= int(number) <= int(count)):
        raise argparse.ArgumentTypeError(f"{text!r}, expected I/N with I from 1 to N")
    return int(number), int(count)


def parse(argv: list[str] | None) -> argparse.Namespace:
    parser = parser_of("Distorted MNIST with and without spatial transformers")
    parser.add_argument("--output", type=Path, default=Path("distorted_mnist"),
                        help="folder of results and checkpoints (default: %(default)s)")
    parser.add_argument("--quiet", action="store_true", help="no progress bars")
    cell = parser.add_argument_group("a cell")
    cell.add_argument("--distortion", choices=DISTORTIONS, default="RTS", help="(default: %(default)s)")
    cell.add_argument("--network", choices=ARCHITECTURES, default="ST-FCN Aff", metavar="NAME",
                      help=f"one of {', '.join(ARCHITECTURES)} (default: %(default)s)")
    cell.add_argument("--iterations", type=positive, help="of a cell 4680, 20 epochs; of a table what the budget says")
    cell.add_argument("--horizon", type=positive, help="iterations that the schedule is made for, if more than --iterations")
    cell.add_argument("--animation", action="store_true", help="a GIF of what the transformer looks at in training")
    whole = parser.add_argument_group("the table")
    whole.add_argument("--table", action="store_true", help="run all cells of the budget")
    whole.add_argument("--budget", choices=table.BUDGETS,
                       help="; ".join(f"{name}: {budget.text}" for name, budget in table.BUDGETS.items())
                       + " (default: quick)")
    whole.add_argument("--seeds", type=positive, help="of the fully connected rows; of quick 1, of cpu 3")
    whole.add_argument("--minutes", type=positive_number,
                       help="of training, by one command, for all cells one after another: shortens the runs to what fits")
    whole.add_argument("--part", type=part, metavar="I/N", help="only every N-th cell from the I-th on, for N commands at once")
    training = parser.add_argument_group("training")
    training.add_argument("--batch-size", type=positive, default=256,
                          help="of all processes together (default: %(default)s)")
    training.add_argument("--optimizer", choices=OPTIMIZERS, default="adam", help="(default: %(default)s)")
    training.add_argument("--lr", type=positive_number, default=Cell.lr,
                          help=f"usually {', '.join(f'{lr:g} for {name}' for name, (lr, _) in OPTIMIZERS.items())}")
    training.add_argument("--schedule", choices=SCHEDULES, default="cosine", help="(default: %(default)s)")
    training.add_argument("--localization-lr-scale", type=positive_number, default=1.0,
                          help="times --lr is the localisation network's (default: %(default)s)")
    training.add_argument("--sampler", choices=SAMPLERS, default="stn_cuda", help="(default: %(default)s)")
    training.add_argument("--pool", action="store_true", help="sample at twice the resolution and average 2 x 2")
    training.add_argument("--start", choices=STARTS, default="identity", help="of theta (default: %(default)s)")
    training.add_argument("--gradient", choices=("exact", "linearized"), default="exact",
                          help="of stn_cuda.affine_sample (default: %(default)s)")
    training.add_argument("--reach", type=positive_number, default=2.0,
                          help="of the linearized gradient, in pixels (default: %(default)s)")
    return parser.parse_args(argv)


def cells_of(options: argparse.Namespace, digits: str) -> list[Cell]:
    chosen = {name: getattr(options, name) for name in CELL_OPTIONS}
    chosen["digits"] = digits
    if not options.table:
        for name in ("budget", "seeds", "minutes", "part"):
            if getattr(options, name) is not None:
                raise Refused(f"--{name} is for tables: expected --table with it")
        iterations = options.iterations or Cell.iterations
        return [Cell(options.distortion, options.network, iterations, options.horizon or iterations, **chosen)]
    del chosen["seed"]
    budget = table.BUDGETS[options.budget or "quick"]
    cells = table.cells_of(budget, options.seeds or budget.seeds, **chosen)
    return table.shortened(cells, options.iterations) if options.iterations else cells


def run_all(options: argparse.Namespace, task: Task, cells: list[Cell]) -> None:
    if options.minutes:
        cells = table.shortened(cells, throughput.iterations_in(options.minutes, cells, task))
    first, step = options.part or (1, 1)
    began, mine = time.perf_counter(), cells[first - 1 :: step]
    for number, cell in enumerate(mine, 1):
        result, run = trained(cell, task)
        if not task.is_first:
            continue
        earlier = "" if run.has_trained else ", finished earlier"
        panel = task.folder.path / "panels" / f"{cell.name}.png"
        if not panel.exists():
            pictures.draw_panel(panel, run.network, run.test)
        if run.animation:
            run.animation.save(panel.with_suffix(".gif"))
        elif options.animation:
            print(f"no animation of {cell.name}: it has no transformer, or was finished earlier")
        spent = time.perf_counter() - began
        left = f", about {spent / number * (len(mine) - number) / 60:.0f} min left" if len(mine) > 1 else ""
        print(f"[{number}/{len(mine)}] {cell.name}: {result['error']:.2f} % error, {result['parameters']:,} parameters, "
              f"{result['images_per_second']:,} images/s{earlier}{left}", flush=True)
    if task.is_first:
        write_table(options, task)


def write_table(options: argparse.Namespace, task: Task) -> None:
    results = task.folder.results()
    pictures.draw_curves(task.folder.path / "learning_curves.png", results, options.optimizer)
    if not options.table:
        return
    rates: targets.Throughput = task.folder.read("throughput.json") or {}
    if not rates and options.part is None:
        rates = throughput.measure(task.device)
        task.folder.write("throughput.json", json.dumps(rates, indent=1) + "\n")
    found = targets.outcomes(results, rates)
    speed = "".join(f"| {name} | {rate:,} |\n" for name, rate in rates.items())
    text = f"{table.markdown(results, options.optimizer)}\n### Targets\n\n{targets.markdown(found)}"
    if speed:
        text += "\n### Training steps in turn, batches of 256 canvases of 42 x 42\n\n"
        text += f"| network | images/s |\n|---|---|\n{speed}"
    task.folder.write("table.md", text)
    task.folder.write("results.json", json.dumps(
        {"cells": results, "targets": targets.as_json(found), "images_per_second": rates}, indent=1) + "\n")
    print(f"\n{text}\nwritten to {task.folder.path}")


def stop_on_interrupt(task: Task) -> None:
    """Ctrl-C once: a checkpoint, and the end. Twice: the end."""
    def stop(number: int, frame: object) -> None:
        if task.stop.is_set():
            raise KeyboardInterrupt
        task.stop.set()

    signal.signal(signal.SIGINT, stop)


def main(argv: list[str] | None = None) -> None:
    options = parse(argv)
    try:
        with processes(options.device) as (share, device):
            say = print if share.rank == 0 else lambda text: None
            Folder(options.output).prepare()
            digits = load_digits(options.data, say)
            training = Digits.of(digits.train_images, digits.train_labels, device)
            test = Digits.of(digits.test_images, digits.test_labels, device)
            cells = cells_of(options, "MNIST" if digits.is_mnist else "other digits")
            task = Task(training, test, Folder(options.output), device, share, options.quiet, options.animation)
            if share.processes == 1:  # of several, each would stop at another iteration
                stop_on_interrupt(task)
            run_all(options, task, cells)
    except Interrupted as interrupted:
        print(interrupted, file=sys.stderr)
        sys.exit(130)
    except (OSError, ValueError, NotImplementedError, FloatingPointError) as error:  # Refused is a ValueError
        sys.exit(f"error: {error}" if os.environ.get("RANK", "0") == "0" else 1)  # once, by the first process
    except KeyboardInterrupt:
        sys.exit("interrupted: the same command goes on from the last checkpoint, of which there is one a minute")
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


if __name__ == "__main__":
    main()
