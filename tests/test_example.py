"""The main example: its data sources, its task, its picture, and a short run of the whole."""

from __future__ import annotations

import gzip
import importlib
import io
import math
import struct
import sys
import urllib.error
import urllib.request
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import torch
from torch import Tensor

import stn_cuda

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "examples"))
mnist_data = importlib.import_module("mnist_data")

COUNTS = {"train": 60, "t10k": 40}


@pytest.fixture(scope="module")
def train_mnist() -> ModuleType:
    pytest.importorskip("matplotlib", reason="the example draws its picture with matplotlib")
    pytest.importorskip("tqdm", reason="the example shows its progress with tqdm")
    return importlib.import_module("train_mnist")


def idx(array: np.ndarray, element_type: int = 8) -> bytes:
    """Written from the format's description, not with the example's own writer."""
    return bytes([0, 0, element_type, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


@pytest.fixture
def contents() -> dict[str, bytes]:
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


# The task and the networks


def test_fresh_transformer_is_the_identity(train_mnist):
    transformer = train_mnist.SpatialTransformer()
    canvases = torch.rand(5, 1, 42, 42)
    identity = torch.tensor([[1.0, 0, 0], [0, 1, 0]]).expand(5, 2, 3)
    assert torch.equal(transformer.theta(canvases), identity)
    grid = stn_cuda.affine_grid(identity, [5, 1, 28, 28], align_corners=False)
    assert torch.equal(transformer(canvases), stn_cuda.grid_sample(canvases, grid, align_corners=False))


def test_distortion_keeps_the_ink_on_the_canvas(train_mnist):
    digit = torch.zeros(28, 28)
    digit[4:24, 9:19] = 1  # as long as MNIST's digits get, off the middle
    images = digit.expand(500, 28, 28)
    theta = train_mnist.random_placement(images, torch.Generator().manual_seed(1))
    canvases = train_mnist.distort(images, torch.Generator().manual_seed(1))
    assert canvases.shape == (500, 1, 42, 42)
    scale = (42 / 28) / torch.linalg.det(theta[:, :, :2]).sqrt()
    assert 0.7 <= scale.min() < 0.72 and 1.18 < scale.max() <= 1.2
    ink = canvases.sum(dim=(1, 2, 3)) / (scale.square() * digit.sum())
    assert ink.min() > 0.95 and ink.max() < 1.05

    # The disc around the ink stays inside wherever it lands, and it lands at every side.
    centre = train_mnist.outline(theta, (28, 28)).mean(dim=1)  # of the canvas, in the digit's pixels
    assert (centre - 13.5).amin(dim=0).max() < -3 and (centre - 13.5).amax(dim=0).min() > 3
    angle = torch.rad2deg(torch.atan2(theta[:, 0, 1], theta[:, 0, 0]))
    assert -45 <= angle.min() < -43 and 43 < angle.max() <= 45


def test_distortion_of_ink_in_the_corners_is_centred(train_mnist):
    theta = train_mnist.random_placement(torch.ones(200, 28, 28), torch.Generator().manual_seed(1))
    scale = (42 / 28) / torch.linalg.det(theta[:, :, :2]).sqrt()
    no_room = scale * (13.5 * math.sqrt(2) + 1) > 21
    assert 0 < no_room.sum() < 200
    assert (theta[no_room, :, 2] == 0).all() and (theta[~no_room, :, 2] != 0).all()


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
    digits = mnist_data.load_mnist(write(tmp_path, contents))

    def weights(seed: int) -> Tensor:
        torch.manual_seed(0)  # of the networks: what differs below is the batches
        network = torch.nn.Sequential(train_mnist.SpatialTransformer(), train_mnist.classifier(28))
        options = SimpleNamespace(seed=seed, iterations=3, batch_size=16)
        train_mnist.train(network, digits.train_images, digits.train_labels, options, "test")
        return torch.cat([parameter.detach().flatten() for parameter in network.parameters()])

    assert torch.equal(weights(7), weights(7))
    assert not torch.equal(weights(7), weights(8))


def test_command_line_errors_are_one_clear_line(train_mnist, tmp_path, capsys):
    with pytest.raises(SystemExit, match="error: missing.*train-images-idx3-ubyte"):
        short_run(train_mnist, tmp_path, tmp_path / "picture.png")
    for arguments, message in ((["--iterations", "0"], "0, expected 1 or more"), (["--device", "abacus"], "abacus")):
        with pytest.raises(SystemExit):
            train_mnist.main(arguments)
        assert message in capsys.readouterr().err
