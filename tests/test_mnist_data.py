"""Where the examples' digits come from: folders, caches, downloads, and what is said of each."""

from __future__ import annotations

import gzip
import io
import sys
import urllib.error
import urllib.request
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from digits import contents_of_files, idx, mnist_data, write
from torch import Tensor


@pytest.fixture
def contents() -> dict[str, bytes]:
    return contents_of_files()


def tensors(digits: SimpleNamespace) -> list[Tensor]:
    return [digits.train_images, digits.train_labels, digits.test_images, digits.test_labels]


@pytest.mark.parametrize("sub_folder", ["", "MNIST/raw"])
def test_plain_and_gz_give_what_was_written(tmp_path, contents, sub_folder):
    write(tmp_path / "plain" / sub_folder, contents)
    write(tmp_path / "packed" / sub_folder, contents, packed=True)
    plain, packed = (mnist_data.load_mnist(tmp_path / name) for name in ("plain", "packed"))
    for a, b in zip(tensors(plain), tensors(packed)):
        assert torch.equal(a, b)
    assert plain.train_images.shape == (60, 28, 28) and plain.train_images.dtype == torch.float32
    pixels = np.frombuffer(contents["train-images-idx3-ubyte"][16:], np.uint8)
    assert np.array_equal(plain.train_images.numpy().ravel(), pixels.astype(np.float32) / np.float32(255))
    assert plain.test_labels.tolist() == [i % 10 for i in range(40)]
    assert not plain.is_mnist


IMAGES, LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"
CORRUPTIONS = {
    "header cut": (IMAGES, lambda file: file[:9], "9 bytes, expected an idx header of 16"),
    "magic": (IMAGES, lambda file: b"PK" + file[2:], "504b, expected 0000"),
    "element type": (IMAGES, lambda file: file[:2] + b"\x0d" + file[3:], "0x0d, expected 0x08"),
    "axes": (IMAGES, lambda file: file[:3] + b"\x01" + file[4:], "1 axes, expected 3"),
    "truncated": (IMAGES, lambda file: file[:-1], f"truncated: {15 + 60 * 784} bytes, expected {16 + 60 * 784}"),
    "trailing": (IMAGES, lambda file: file + b"\0", f"after the end: {17 + 60 * 784} bytes, expected {16 + 60 * 784}"),
    "huge header": (IMAGES, lambda file: file[:4] + b"\xff" * 12 + file[16:], f"expected {16 + (2**32 - 1) ** 3}"),
    "image size": (IMAGES, lambda file: idx(np.zeros((60, 14, 56), np.uint8)), "(60, 14, 56), expected"),
    "no images": (IMAGES, lambda file: idx(np.zeros((0, 28, 28), np.uint8)), "(0, 28, 28), expected (1 or more"),
    "counts": (LABELS, lambda file: idx(np.zeros(59, np.uint8)), "(59,), expected (60,)"),
    "label range": (LABELS, lambda file: file[:-1] + b"\x0a", "label 10, expected 0 to 9"),
}


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gz"])
@pytest.mark.parametrize("corruption", CORRUPTIONS)
def test_corrupt_file_is_named_with_seen_and_expected(tmp_path, contents, corruption, packed):
    name, corrupt, message = CORRUPTIONS[corruption]
    write(tmp_path, contents | {name: corrupt(contents[name])}, packed)
    with pytest.raises(ValueError) as error:
        mnist_data.load_mnist(tmp_path)
    assert str(error.value).startswith(str(tmp_path / name))
    assert message in str(error.value)


@pytest.mark.parametrize(
    "corrupt",
    [lambda gz: gz[:-9], lambda gz: b"not gzip", lambda gz: gz[:40] + b"\xff" * 40 + gz[80:]],
    ids=["truncated", "no gzip", "damaged"],
)
def test_corrupt_gz_is_named(tmp_path, contents, corrupt):
    path = write(tmp_path, contents, packed=True) / f"{IMAGES}.gz"
    path.write_bytes(corrupt(path.read_bytes()))
    with pytest.raises(ValueError, match="expected a complete gzip file, seen: ") as error:
        mnist_data.load_mnist(tmp_path)
    assert str(error.value).startswith(str(path))


def test_given_directory_that_lacks_files_is_an_error_not_a_search(tmp_path, contents, monkeypatch):
    monkeypatch.setattr(mnist_data, "from_caches", lambda say: pytest.fail("searched elsewhere"))
    del contents["t10k-labels-idx1-ubyte"]
    with pytest.raises(FileNotFoundError) as error:
        mnist_data.load_mnist(write(tmp_path, contents))
    assert "t10k-labels-idx1-ubyte" in str(error.value) and "train-images" not in str(error.value)
    assert str(tmp_path) in str(error.value)


# Data: caches, download, scikit-learn


@pytest.fixture
def bare_machine(tmp_path, monkeypatch, contents):
    """No cache, no network, and `contents` for MNIST. Returns the folder that downloads go to."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("USERPROFILE", str(tmp_path / "home"))  # HOME on Windows
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    checksums = {name: mnist_data.hashlib.sha256(content).hexdigest() for name, content in contents.items()}
    monkeypatch.setattr(mnist_data, "FILES", {name: checksums[name] for name in mnist_data.FILES})
    monkeypatch.setattr(mnist_data, "DOWNLOADS", tmp_path / "downloads")
    monkeypatch.setattr(urllib.request, "urlopen", offline)
    return tmp_path / "downloads"


def offline(url: str, timeout: float) -> io.BytesIO:
    raise urllib.error.URLError("Name or service not known")


def without_scikit_learn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)  # import raises ImportError


def keras_archive(path: Path, contents: dict[str, bytes]) -> None:
    path.parent.mkdir(parents=True)
    names = (IMAGES, LABELS, "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
    arrays = [mnist_data.parse_idx(contents[name], 3 if "images" in name else 1, name) for name in names]
    np.savez(path, **dict(zip(("x_train", "y_train", "x_test", "y_test"), arrays)))


def test_caches_come_before_the_network(bare_machine, tmp_path, contents, monkeypatch):
    monkeypatch.setattr(urllib.request, "urlopen", lambda *_, **__: pytest.fail("used the network"))
    keras = tmp_path / "home" / ".keras" / "datasets" / "mnist.npz"
    torchvision = tmp_path / "home" / "data" / "MNIST" / "raw"
    local = tmp_path / "work" / "data" / "MNIST" / "raw"

    keras_archive(keras, contents)
    first = mnist_data.load_mnist()
    assert str(keras) in first.source and first.is_mnist
    write(torchvision, contents, packed=True)
    assert str(torchvision.parents[1]) in mnist_data.load_mnist().source
    write(local, contents)
    last = mnist_data.load_mnist()
    assert str(local.parents[1]) in last.source
    for a, b in zip(tensors(first), tensors(last)):
        assert torch.equal(a, b)


def test_cache_of_another_content_is_passed_over_and_said(bare_machine, tmp_path, contents):
    other = contents | {"t10k-labels-idx1-ubyte": idx(np.full(40, 3, np.uint8))}
    write(tmp_path / "work" / "data", other)
    keras_archive(tmp_path / "home" / ".keras" / "datasets" / "mnist.npz", contents)
    said: list[str] = []
    digits = mnist_data.load_mnist(say=said.append)
    assert digits.test_labels.tolist() == [i % 10 for i in range(40)]
    assert any("SHA-256" in line and str(tmp_path / "work" / "data") in line for line in said)


def test_pickled_keras_archive_is_not_loaded(bare_machine, tmp_path, monkeypatch):
    class Trap:
        def __reduce__(self):
            return pytest.fail, ("a pickle was loaded",)

    path = tmp_path / "home" / ".keras" / "datasets" / "mnist.npz"
    path.parent.mkdir(parents=True)
    np.savez(path, x_train=np.array([Trap()], object), y_train=np.zeros(1), x_test=np.zeros(1), y_test=np.zeros(1))
    without_scikit_learn(monkeypatch)
    said: list[str] = []
    with pytest.raises(FileNotFoundError):
        mnist_data.load_mnist(say=said.append)
    assert any(str(path) in line and "allow_pickle=False" in line for line in said)


def serve(files: dict[str, bytes], requests: list[str]):
    def opener(url: str, timeout: float) -> io.BytesIO:
        assert timeout <= 10
        requests.append(url)
        return io.BytesIO(gzip.compress(files[url.rsplit("/", 1)[1].removesuffix(".gz")]))

    return opener


def test_download_is_kept_for_the_next_run(bare_machine, contents, monkeypatch):
    requests: list[str] = []
    monkeypatch.setattr(urllib.request, "urlopen", serve(contents, requests))
    first = mnist_data.load_mnist(say=lambda line: None)
    assert first.is_mnist and len(requests) == 4
    assert sorted(path.name for path in bare_machine.iterdir()) == sorted(f"{name}.gz" for name in contents)
    monkeypatch.setattr(urllib.request, "urlopen", offline)
    second = mnist_data.load_mnist()
    assert str(bare_machine) in second.source
    for a, b in zip(tensors(first), tensors(second)):
        assert torch.equal(a, b)


def test_download_with_a_wrong_checksum_leaves_nothing(bare_machine, contents, monkeypatch):
    requests: list[str] = []
    tampered = contents["t10k-labels-idx1-ubyte"][:-1] + b"\x01"
    monkeypatch.setattr(urllib.request, "urlopen", serve(contents | {"t10k-labels-idx1-ubyte": tampered}, requests))
    without_scikit_learn(monkeypatch)
    said: list[str] = []
    with pytest.raises(FileNotFoundError, match="--data DIR"):
        mnist_data.load_mnist(say=said.append)
    assert len({url.rsplit("/", 1)[0] for url in requests}) == 2  # the second mirror was asked too
    assert sum("t10k-labels-idx1-ubyte.gz: SHA-256" in line for line in said) == 2
    assert not bare_machine.exists()


def test_interrupted_write_leaves_no_file(tmp_path, monkeypatch):
    def full_disk(source: str, target: Path) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr(mnist_data.os, "replace", full_disk)
    with pytest.raises(OSError, match="No space"):
        mnist_data.write_whole(tmp_path / "file.gz", b"content")
    assert list(tmp_path.iterdir()) == []


def test_silent_network_is_given_up(bare_machine, monkeypatch):
    answered = mnist_data.threading.Event()
    monkeypatch.setattr(mnist_data, "ANSWER_SECONDS", 0.05)
    monkeypatch.setattr(urllib.request, "urlopen", lambda url, timeout: answered.wait(60))
    with pytest.raises(TimeoutError, match="no answer within 0.05 s"):
        mnist_data.fetch("https://example.org/file.gz")
    answered.set()


def test_offline_falls_back_to_scikit_learn_and_says_so(bare_machine):
    pytest.importorskip("sklearn", reason="the fallback is scikit-learn's digits")
    said: list[str] = []
    digits = mnist_data.load_mnist(say=said.append)
    assert any("offline" in line for line in said)
    assert "scikit-learn" in digits.source and not digits.is_mnist
    images = torch.cat([digits.train_images, digits.test_images])
    assert images.shape == (1797, 28, 28) and images.dtype == torch.float32
    assert images.min() == 0 and 0.9 < images.max() <= 1
    assert (images[:, :4] == 0).all() and (images[:, :, -4:] == 0).all()  # MNIST's empty frame
    assert set(digits.test_labels.tolist()) == set(range(10))


# The picture's geometry
