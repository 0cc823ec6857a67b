"""Synthetic digits in idx files, and the examples' modules."""

from __future__ import annotations

import gzip
import importlib
import struct
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "examples"))
mnist_data = importlib.import_module("mnist_data")

COUNTS = {"train": 60, "t10k": 40}


def idx(array: np.ndarray, element_type: int = 8) -> bytes:
    """Written from the format's description, not with the example's own writer."""
    return bytes([0, 0, element_type, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()

def contents_of_files() -> dict[str, bytes]:
    """The four idx files by name: a bar for each digit, whose place and length tell the class."""
    random = np.random.default_rng(0)
    files = {}
    for split, count in COUNTS.items():
        labels = np.arange(count, dtype=np.uint8) % 10
        images = np.zeros((count, 28, 28), np.uint8)
        for image, label in zip(images, labels):
            image[5 + 2 * (label // 2) : 8 + 2 * (label // 2), 6 : 14 + 6 * (label % 2)] = random.integers(128, 256)
        files[f"{split}-images-idx3-ubyte"] = idx(images)
        files[f"{split}-labels-idx1-ubyte"] = idx(labels)
    return files


def write(directory: Path, contents: dict[str, bytes], packed: bool = False) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        path = directory / (f"{name}.gz" if packed else name)
        path.write_bytes(gzip.compress(content) if packed else content)
    return directory


# Data: --data
