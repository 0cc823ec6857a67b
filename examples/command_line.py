"""What the commands of the examples have in common: options, and the digits that they ask for."""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import torch
from mnist_data import Digits, Say, load_mnist


def parser_of(description: str) -> argparse.ArgumentParser:
    """With --data, --seed and --device."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--data", type=Path, metavar="DIR", help="folder with MNIST as idx or idx.gz files")
    parser.add_argument("--seed", type=not_negative, default=0, help="of networks and batches (default: %(default)s)")
    default_device = "cuda" if torch.cuda.is_available() else "cpu"
    parser.add_argument("--device", type=usable_device, default=default_device, help="(default here: %(default)s)")
    return parser


def positive(text: str) -> int:
    return at_least(1, text)


def not_negative(text: str) -> int:
    return at_least(0, text)


def at_least(least: int, text: str) -> int:
    value = int(text)
    if value < least:
        raise argparse.ArgumentTypeError(f"{value}, expected {least} or more")
    return value


def positive_number(text: str) -> float:
    value = float(text)
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"{text}, expected a positive and finite number")
    return value


def usable_device(name: str) -> torch.device:
    try:
        return torch.empty(0, device=name).device
    except (RuntimeError, AssertionError) as error:  # an unknown name; a torch without CUDA
        raise argparse.ArgumentTypeError(str(error)) from error


def load_digits(directory: Path | None, say: Say = print) -> Digits:
    """As :func:`mnist_data.load_mnist`, and says which digits these are."""
    digits = load_mnist(directory, say)
    say(f"data: {digits.source}: {len(digits.train_images):,} training and {len(digits.test_images):,} test digits")
    if not digits.is_mnist:
        say("      This is not MNIST.")
    return digits
