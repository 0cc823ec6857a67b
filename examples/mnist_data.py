"""MNIST for the examples: from a folder, a cache, a checked download, or scikit-learn's small digits in its place.

No pickle is read from anywhere: an idx file is a header and bytes, and Keras' npz is opened with allow_pickle=False.
"""

from __future__ import annotations

import gzip
import hashlib
import http.client
import math
import os
import queue
import struct
import tempfile
import threading
import urllib.request
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

# SHA-256 of the idx content, not of the gz around it: copies in circulation are compressed differently.
FILES = {
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}
MIRRORS = ("https://ossci-datasets.s3.amazonaws.com/mnist/", "https://storage.googleapis.com/cvdf-datasets/mnist/")
DOWNLOADS = Path(__file__).resolve().parents[1] / "data" / "mnist"
ANSWER_SECONDS = 5.0
IMAGE_SIZE = 28
UNSIGNED_BYTE = 8  # idx's code of the only element type that MNIST uses
SMALL_TEST_DIGITS = 500  # the last ones of scikit-learn's 1,797

Arrays = dict[str, np.ndarray]  # the four uint8 arrays, by their names in FILES
Say = Callable[[str], Any]


@dataclass(frozen=True)
class Digits:
    """Grey digits: images ``(N, 28, 28)`` float32 in [0, 1], labels ``(N,)`` int64."""

    source: str  # in words, for the output
    is_mnist: bool  # by checksum, so that nobody reports another data set's figures as MNIST's
    train_images: Tensor
    train_labels: Tensor
    test_images: Tensor
    test_labels: Tensor


def load_mnist(directory: Path | None = None, say: Say = print) -> Digits:
    """The digits in ``directory``, or without one, the first of: caches, a download, scikit-learn's digits.

    Raises: FileNotFoundError for a file that ``directory`` lacks, and if no source has anything; ValueError for a
    corrupt file in ``directory``. A corrupt cache or download is told to ``say`` and passed over.
    """
    if directory is not None:
        return digits_from(read_directory(directory), f"idx files in {directory}")
    digits = from_caches(say) or from_download(say) or from_scikit_learn(say)
    if digits is None:
        raise FileNotFoundError(
            "no digits to train on. Either give --data DIR with the idx or idx.gz files "
            f"{', '.join(FILES)}, or connect to the network once, or pip install scikit-learn"
        )
    return digits


def digits_from(arrays: Arrays, source: str) -> Digits:
    tensors = [torch.from_numpy(array) for array in arrays.values()]
    images = [tensor.float() / 255 for tensor in tensors[0::2]]
    labels = [tensor.long() for tensor in tensors[1::2]]
    return Digits(source, is_mnist(arrays), images[0], labels[0], images[1], labels[1])


# idx: two zero bytes, the element type, the number of axes, a big-endian uint32 for each axis, the elements


def idx_header(shape: tuple[int, ...]) -> bytes:
    return struct.pack(f">4B{len(shape)}I", 0, 0, UNSIGNED_BYTE, len(shape), *shape)


def parse_idx(content: bytes, dims: int, origin: Path | str) -> np.ndarray:
    """The uint8 array of ``dims`` axes in ``content``. Raises: ValueError that starts with ``origin``."""
    header_bytes = 4 + 4 * dims
    if len(content) < header_bytes:
        raise ValueError(f"{origin}: {len(content)} bytes, expected an idx header of {header_bytes}")
    if content[:2] != b"\0\0":
        raise ValueError(f"{origin}: starts with the bytes {content[:2].hex()}, expected 0000, as idx files do")
    if content[2] != UNSIGNED_BYTE:
        raise ValueError(f"{origin}: element type 0x{content[2]:02x}, expected 0x08 (unsigned byte)")
    if content[3] != dims:
        raise ValueError(f"{origin}: {content[3]} axes, expected {dims}")
    shape = struct.unpack(f">{dims}I", content[4:header_bytes])
    expected = header_bytes + math.prod(shape)
    if len(content) != expected:
        fault = "truncated" if len(content) < expected else "bytes after the end"
        raise ValueError(f"{origin}: {fault}: {len(content)} bytes, expected {expected} for the shape {shape}")
    return np.frombuffer(content, np.uint8, offset=header_bytes).reshape(shape).copy()


def decompress(content: bytes, origin: Path | str) -> bytes:
    try:
        return gzip.decompress(content)
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(f"{origin}: expected a complete gzip file, seen: {error}") from error


def read_idx(path: Path, dims: int) -> np.ndarray:
    """The uint8 array in an idx file, or in an idx.gz by its name. Raises: ValueError naming file, seen, expected."""
    content = path.read_bytes()
    return parse_idx(decompress(content, path) if path.suffix == ".gz" else content, dims, path)


def axes_of(name: str) -> int:
    return 3 if "images" in name else 1


def idx_paths(directory: Path) -> dict[str, Path]:
    """Those of the four files that are in ``directory`` or in torchvision's sub-folder of it."""
    found: dict[str, Path] = {}
    for folder in folders_of(directory):
        for name in FILES:
            for path in (folder / name, folder / f"{name}.gz"):
                if path.is_file():
                    found.setdefault(name, path)
    return found


def folders_of(directory: Path) -> tuple[Path, ...]:
    return directory, directory / "MNIST" / "raw"


def read_directory(directory: Path) -> Arrays:
    paths = idx_paths(directory)
    missing = [name for name in FILES if name not in paths]
    if missing:
        searched = " and ".join(map(str, folders_of(directory)))
        raise FileNotFoundError(f"missing, as idx or idx.gz, in {searched}: {', '.join(missing)}")
    arrays = {name: read_idx(paths[name], axes_of(name)) for name in FILES}
    check_digits(arrays, {name: str(path) for name, path in paths.items()})
    return arrays


def check_digits(arrays: Arrays, origins: dict[str, str]) -> None:
    """What idx itself doesn't promise: the size of the images, the range of the labels, as many of each."""
    for split in ("train", "t10k"):
        images_name, labels_name = (name for name in FILES if name.startswith(split))
        images, labels = arrays[images_name], arrays[labels_name]
        if images.shape[1:] != (IMAGE_SIZE, IMAGE_SIZE) or len(images) == 0:
            expected = f"(1 or more, {IMAGE_SIZE}, {IMAGE_SIZE})"
            raise ValueError(f"{origins[images_name]}: images of shape {images.shape}, expected {expected}")
        if labels.shape != images.shape[:1]:
            seen = f"labels of shape {labels.shape}, expected ({len(images)},): a label for each image"
            raise ValueError(f"{origins[labels_name]}: {seen} of {origins[images_name]}")
        if labels.max() > 9:
            raise ValueError(f"{origins[labels_name]}: label {labels.max()}, expected 0 to 9")


def is_mnist(arrays: Arrays) -> bool:
    return all(idx_checksum(arrays[name]) == checksum for name, checksum in FILES.items())


def idx_checksum(array: np.ndarray) -> str:
    return hashlib.sha256(idx_header(array.shape) + array.tobytes()).hexdigest()


# Caches


def from_caches(say: Say) -> Digits | None:
    for path, read in cached_sources():
        try:
            arrays = read(path)
        except (OSError, ValueError) as error:
            say(f"passing over {path}: {error}")
            continue
        digits = digits_from(arrays, f"MNIST in {path}")
        if digits.is_mnist:
            return digits
        say(f"passing over {path}: the names are MNIST's, the content isn't (by SHA-256)")
    return None


def cached_sources() -> Iterator[tuple[Path, Callable[[Path], Arrays]]]:
    """Every complete copy in the usual places, with the function that reads it."""
    home = Path(os.path.expanduser("~"))
    roots = (Path("data"), home / "data", home / ".cache" / "torchvision", home / ".cache" / "torch" / "datasets")
    directories = (DOWNLOADS, *roots, *(root / "mnist" for root in roots))
    for directory in dict.fromkeys(path.resolve() for path in directories):
        if len(idx_paths(directory)) == len(FILES):
            yield directory, read_directory
    keras = home / ".keras" / "datasets" / "mnist.npz"
    if keras.is_file():
        yield keras, read_keras


def read_keras(path: Path) -> Arrays:
    keys = ("x_train", "y_train", "x_test", "y_test")  # in the order of FILES
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[key] for name, key in zip(FILES, keys, strict=True)}
    except (KeyError, EOFError, zlib.error, zipfile.BadZipFile) as error:
        raise ValueError(f"expected an npz with {', '.join(keys)}, seen: {error}") from error
    for name, array in arrays.items():
        if array.dtype != np.uint8 or array.ndim != axes_of(name):
            raise ValueError(f"{name} is {array.dtype} with {array.ndim} axes, expected uint8 with {axes_of(name)}")
    check_digits(arrays, {name: f"{path}[{key}]" for name, key in zip(FILES, keys, strict=True)})
    return arrays


# Download


def from_download(say: Say) -> Digits | None:
    for mirror in MIRRORS:
        say(f"downloading MNIST (11 MB) from {mirror}")
        try:
            packed = {name: fetch(f"{mirror}{name}.gz") for name in FILES}
            arrays = {name: unpack(content, name, f"{mirror}{name}.gz") for name, content in packed.items()}
        except (OSError, http.client.HTTPException, ValueError) as error:
            say(f"  failed: {error}")
            continue
        try:
            for name, content in packed.items():
                write_whole(DOWNLOADS / f"{name}.gz", content)
        except OSError as error:
            say(f"  used, but not kept for the next run: {error}")
        return digits_from(arrays, f"MNIST from {mirror}")
    say("no download: no mirror answered with the right files (offline?)")
    return None


def unpack(content: bytes, name: str, origin: str) -> np.ndarray:
    idx = decompress(content, origin)
    checksum = hashlib.sha256(idx).hexdigest()
    if checksum != FILES[name]:
        raise ValueError(f"{origin}: SHA-256 of the content is {checksum}, expected {FILES[name]}")
    return parse_idx(idx, axes_of(name), origin)


def fetch(url: str) -> bytes:
    """The bytes at ``url``. Raises: OSError when nothing answers within ANSWER_SECONDS.

    In a thread because the timeout of urlopen counts anew for every address of a host, and name look-up has none: a
    machine behind a firewall would wait for minutes. A thread that is given up is a daemon and ends with the program.
    """
    answers: queue.Queue[Any] = queue.Queue()

    def connect() -> None:
        try:
            answers.put(urllib.request.urlopen(url, timeout=ANSWER_SECONDS))
        except Exception as error:  # handed over, not handled: raised again below
            answers.put(error)

    threading.Thread(target=connect, daemon=True).start()
    try:
        answer = answers.get(timeout=ANSWER_SECONDS)
    except queue.Empty:
        raise TimeoutError(f"{url}: no answer within {ANSWER_SECONDS:g} s") from None
    if isinstance(answer, Exception):
        raise answer
    with answer:
        return answer.read()


def write_whole(path: Path, content: bytes) -> None:
    """Writes beside ``path`` and renames, so that an interrupted run leaves no half file under the real name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
        try:
            file.write(content)
            file.close()
            os.replace(file.name, path)
        except BaseException:
            os.unlink(file.name)
            raise


# scikit-learn


def from_scikit_learn(say: Say) -> Digits | None:
    try:
        from sklearn.datasets import load_digits
    except ImportError:
        say("no fallback: scikit-learn, which bundles 1,797 small digits, isn't installed")
        return None
    bundled = load_digits()
    small = torch.from_numpy(bundled.images).float()[:, None] / 16  # [1797, 1, 8, 8]
    # As in MNIST: the digit in a box of 20x20, four pixels of background around it.
    box = torch.nn.functional.interpolate(small, size=(20, 20), mode="bilinear", align_corners=False)
    images = torch.nn.functional.pad(box, (4, 4, 4, 4))[:, 0]
    labels = torch.from_numpy(bundled.target).long()
    train, test = slice(None, -SMALL_TEST_DIGITS), slice(-SMALL_TEST_DIGITS, None)
    source = "scikit-learn's 8x8 digits, enlarged to 28x28"
    return Digits(source, False, images[train], labels[train], images[test], labels[test])
