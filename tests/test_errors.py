"""Bad arguments raise what torch raises; the message names the argument, what was seen and what was expected."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import stn_cuda

SOURCE_FILE = re.compile(r"\.(cpp|cc|h|hpp|cu|cuh|inl|py)\b")


@dataclass(frozen=True)
class Bad:
    """A call that must fail. ``words`` are regular expressions that must all be found in our message."""

    name: str
    call: Callable[[Callable[..., Tensor]], Any]
    error: type[Exception]
    words: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return self.name


def shape(*lengths: int) -> str:
    return r"[\[(]" + ", ".join(map(str, lengths)) + r",?[\])]"


def image(*lengths: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.zeros(lengths or (2, 3, 4, 5), dtype=dtype)


def points(*lengths: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.zeros(lengths or (2, 6, 7, 2), dtype=dtype)


def sample(*args, **kwargs) -> Callable[[Callable[..., Tensor]], Tensor]:
    return lambda sampler: sampler(*args, **{"align_corners": False, **kwargs})


GRID_SAMPLE = [
    Bad("input_of_rank_2", sample(image(2, 3), points(2, 6)), RuntimeError, ["input", shape(2, 3)]),
    Bad("input_of_rank_3", sample(image(2, 3, 4), points(2, 6, 2)), RuntimeError, ["input", shape(2, 3, 4)]),
    Bad(
        "input_of_rank_6",
        sample(image(1, 1, 2, 2, 2, 2), points(1, 2, 2, 2, 2, 4)),
        RuntimeError,
        ["input", shape(1, 1, 2, 2, 2, 2)],
    ),
    Bad(
        "grid_for_volumes_with_an_image",
        sample(image(), points(2, 6, 7, 8, 3)),
        RuntimeError,
        ["grid", shape(2, 6, 7, 8, 3), shape(2, 3, 4, 5)],
    ),
    Bad("grid_of_rank_1", sample(image(), points(2)), RuntimeError, ["grid", shape(2)]),
    Bad("last_axis_of_3", sample(image(), points(2, 6, 7, 3)), RuntimeError, ["grid", shape(2, 6, 7, 3), r"\b2\b"]),
    Bad(
        "last_axis_of_2_with_a_volume",
        sample(image(2, 3, 4, 5, 6), points(2, 6, 7, 8, 2)),
        RuntimeError,
        ["grid", shape(2, 6, 7, 8, 2), r"\b3\b"],
    ),
    Bad(
        "other_batch",
        sample(image(), points(3, 6, 7, 2)),
        RuntimeError,
        ["grid", "input", "batch", shape(3, 6, 7, 2), shape(2, 3, 4, 5)],
    ),
    Bad(
        "other_dtype",
        sample(image(), points(dtype=torch.float64)),
        RuntimeError,
        ["grid", "dtype", "float64", "float32"],
    ),
    *(
        Bad(
            f"input_of_{dtype}",
            sample(image(dtype=dtype), points(dtype=dtype)),
            NotImplementedError,
            ["input", str(dtype), "float32", "float64"],
        )
        for dtype in (torch.uint8, torch.int32, torch.int64, torch.bool)
    ),
    Bad(
        "integer_input_with_float_grid",
        sample(image(dtype=torch.int64), points()),
        NotImplementedError,
        ["input", "int64"],
    ),
    Bad(
        "unknown_mode",
        sample(image(), points(), mode="cubic"),
        ValueError,
        ["mode", "'cubic'", "'bilinear'", "'nearest'"],
    ),
    Bad("mode_none", sample(image(), points(), mode=None), ValueError, ["mode", "None", "'bilinear'"]),
    Bad("mode_unhashable", sample(image(), points(), mode=[]), ValueError, ["mode", r"\[\]", "'bilinear'"]),
    Bad(
        "unknown_padding_mode",
        sample(image(), points(), padding_mode="wrap"),
        ValueError,
        ["padding_mode", "'wrap'", "'zeros'", "'border'", "'reflection'"],
    ),
    Bad("padding_mode_none", sample(image(), points(), padding_mode=None), ValueError, ["padding_mode", "None"]),
    *(
        Bad(
            f"align_corners_{type(value).__name__}_{value}",
            sample(image(), points(), align_corners=value),
            TypeError,
            ["align_corners", "bool", type(value).__name__],
        )
        for value in (0, 1, 1.0, "yes", torch.tensor(True))
    ),
    Bad("empty_height", sample(image(2, 3, 0, 5), points()), RuntimeError, ["input", "empty", shape(2, 3, 0, 5)]),
    Bad("empty_width", sample(image(2, 3, 4, 0), points()), RuntimeError, ["input", "empty", shape(2, 3, 4, 0)]),
    Bad(
        "empty_depth_and_output",
        sample(image(2, 3, 0, 4, 5), points(2, 0, 6, 7, 3)),
        RuntimeError,
        ["input", "empty", shape(2, 3, 0, 4, 5)],
    ),
    Bad("input_is_a_list", sample([1.0], points()), TypeError, ["input", "Tensor", "list"]),
    Bad("input_is_none", sample(None, points()), TypeError, ["input", "Tensor", "NoneType"]),
    Bad("grid_is_none", sample(image(), None), TypeError, ["grid", "Tensor", "NoneType"]),
    Bad("grid_is_an_array", sample(image(), points().numpy()), TypeError, ["grid", "Tensor", "ndarray"]),
    Bad("grid_is_missing", sample(image()), TypeError, ["grid"]),
    Bad("input_is_sparse", sample(image().to_sparse(), points()), NotImplementedError, ["input", "sparse", "dense"]),
    Bad("grid_is_sparse", sample(image(), points().to_sparse()), NotImplementedError, ["grid", "sparse", "dense"]),
    Bad("input_is_meta", sample(image().to("meta"), points()), RuntimeError, ["input", "grid", "meta", "cpu"]),
    Bad("grid_is_meta", sample(image(), points().to("meta")), RuntimeError, ["grid", "input", "meta", "cpu"]),
]


def theta(*lengths: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.zeros(lengths or (2, 2, 3), dtype=dtype)


SIZE = (2, 1, 3, 4)
AFFINE_GRID = [
    *(
        Bad(f"size_{size}", sample(theta(), size), ValueError, ["size", "positive", shape(*size)])
        for size in ((2, 1, 0, 4), (2, 1, -3, 4), (2, 0, 3, 4), (-2, 1, 3, 4))
    ),
    Bad("empty_batch", sample(theta(0, 2, 3), (0, 1, 3, 4)), ValueError, ["size", "positive", shape(0, 1, 3, 4)]),
    *(
        Bad(f"theta_of_{dtype}", sample(theta(dtype=dtype), SIZE), ValueError, ["theta", "float", str(dtype)])
        for dtype in (torch.int64, torch.complex64)
    ),
    Bad("theta_3x3", sample(theta(2, 3, 3), SIZE), ValueError, ["theta", shape(2, 3, 3), r"2, 3\b|2x3"]),
    Bad("theta_without_batch", sample(theta(2, 3), SIZE), ValueError, ["theta", shape(2, 3)]),
    Bad("theta_3x4_for_images", sample(theta(2, 3, 4), SIZE), ValueError, ["theta", shape(2, 3, 4), shape(*SIZE)]),
    Bad("theta_2x3_for_volumes", sample(theta(), (2, 1, 3, 4, 5)), ValueError, ["theta", shape(2, 2, 3), "3, 4"]),
    Bad("other_batch", sample(theta(), (3, 1, 3, 4)), RuntimeError, ["theta", "size", "batch", shape(3, 1, 3, 4)]),
    Bad("size_of_3", sample(theta(), (2, 1, 3)), NotImplementedError, ["size", shape(2, 1, 3), "N, C, H, W"]),
    Bad("size_of_6", sample(theta(), (2, 1, 3, 3, 3, 3)), NotImplementedError, ["size", shape(2, 1, 3, 3, 3, 3)]),
    Bad("size_is_none", sample(theta(), None), TypeError, ["size", "None", "int"]),
    Bad("size_is_an_int", sample(theta(), 5), TypeError, ["size", "5", "int"]),
    Bad("size_of_floats", sample(theta(), (2, 1, 3.0, 4)), TypeError, ["size", r"3\.0", "int"]),
    Bad("size_of_strings", sample(theta(), (2, 1, "3", 4)), TypeError, ["size", "'3'", "int"]),
    *(
        Bad(
            f"align_corners_{value}",
            sample(theta(), SIZE, align_corners=value),
            TypeError,
            ["align_corners", "bool", type(value).__name__],
        )
        for value in (1, 1.0, "yes")
    ),
    Bad("theta_is_sparse", sample(theta().to_sparse(), SIZE), NotImplementedError, ["theta", "sparse", "dense"]),
]


def assert_tells(bad: Bad, ours: Callable[..., Tensor]) -> None:
    with pytest.raises(Exception) as caught:
        bad.call(ours)
    assert caught.type is bad.error
    message = str(caught.value)
    for words in bad.words:
        assert re.search(words, message), f"no {words!r} in {message!r}"
    assert not SOURCE_FILE.search(message)


def assert_raises_as_torch(bad: Bad, torchs: Callable[..., Tensor], ours: Callable[..., Tensor]) -> None:
    with pytest.raises(bad.error) as caught:
        bad.call(torchs)
    assert caught.type is bad.error
    assert_tells(bad, ours)


@pytest.mark.parametrize("bad", GRID_SAMPLE, ids=str)
def test_grid_sample_raises_as_torch_and_says_what_is_wrong(bad: Bad):
    assert_raises_as_torch(bad, F.grid_sample, stn_cuda.grid_sample)


@pytest.mark.parametrize("bad", AFFINE_GRID, ids=str)
def test_affine_grid_raises_as_torch_and_says_what_is_wrong(bad: Bad):
    assert_raises_as_torch(bad, F.affine_grid, stn_cuda.affine_grid)


@pytest.mark.parametrize("value", (None, [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]), ids=("none", "list"))
def test_theta_that_is_no_tensor_is_a_type_error(value):
    """torch's is an AttributeError, from looking for the dtype."""
    bad = Bad("", sample(value, SIZE), TypeError, ["theta", "Tensor", type(value).__name__])
    assert_tells(bad, stn_cuda.affine_grid)


def test_affine_grid_refuses_an_empty_size_where_torch_lets_it_through():
    """An axis of size 1 with align_corners=True takes torch past its own check."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert F.affine_grid(torch.zeros(2, 2, 3), (2, 0, 1, 5), align_corners=True).shape == (2, 1, 5, 2)
        with pytest.raises(ValueError, match="positive"):
            stn_cuda.affine_grid(torch.zeros(2, 2, 3), (2, 0, 1, 5), align_corners=True)


@pytest.mark.parametrize("device_type, type_of_error", [("cuda", torch.OutOfMemoryError), ("cpu", RuntimeError)])
def test_memory_that_is_full_is_torchs_error_of_the_device(device_type, type_of_error, monkeypatch):
    """What the operators say when an allocation fails, by a stand-in: nobody fills a GPU here."""
    said = "stn_cuda: not enough memory for a tensor of shape [1, 2] and dtype Float"

    def fails(*arguments):
        raise RuntimeError(said)

    monkeypatch.setattr(stn_cuda._operators, "_sample", fails)
    tensor = SimpleNamespace(device=torch.device(device_type))
    with pytest.raises(RuntimeError, match=re.escape(said)) as caught:
        stn_cuda._operators.sample(tensor, tensor, None, (0, [0], 0, False))
    assert caught.type is type_of_error


def test_other_errors_of_an_operator_stay_what_they_are(monkeypatch):
    def fails(*arguments):
        raise RuntimeError("stn_cuda: CUDA error 700: an illegal memory access was encountered")

    monkeypatch.setattr(stn_cuda._operators, "_transform_grid", fails)
    tensor = SimpleNamespace(device=torch.device("cuda"))
    with pytest.raises(RuntimeError, match="CUDA error 700") as caught:
        stn_cuda._operators.transform_grid(tensor, (0, [2, 2], [], False, False))
    assert caught.type is RuntimeError
