"""Warnings: torch's own, at the line of the caller, and none where the call is clear."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F

import stn_cuda

IMAGE, POINTS = torch.zeros(2, 3, 4, 5), torch.zeros(2, 6, 7, 2)
THETA, SIZE = torch.zeros(2, 2, 3), (2, 1, 3, 4)


def warnings_of(call: Callable[[], object]) -> list[warnings.WarningMessage]:
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        call()
    return seen


@pytest.mark.parametrize(
    "call",
    [lambda f: f.grid_sample(IMAGE, POINTS), lambda f: f.affine_grid(THETA, SIZE)],
    ids=("grid_sample", "affine_grid"),
)
def test_align_corners_none_warns_as_torch_at_the_callers_line(call):
    for functions in (F, stn_cuda):
        (seen,) = warnings_of(lambda functions=functions: call(functions))
        assert seen.category is UserWarning
        start = "Default grid_sample and affine_grid behavior has changed to align_corners=False since 1.3.0"
        assert str(seen.message).startswith(start)
        assert seen.filename == __file__


@pytest.mark.parametrize("size", [(2, 1, 1, 4), (2, 1, 3, 1), (2, 1, 1, 1)], ids=str)
def test_affine_grid_with_a_unit_axis_between_centres_warns_as_torch(size):
    for functions in (F, stn_cuda):
        (seen,) = warnings_of(lambda functions=functions: functions.affine_grid(THETA, size, align_corners=True))
        assert seen.category is UserWarning
        assert str(seen.message).startswith("Since version 1.3.0, affine_grid behavior has changed for unit-size grids")
        assert seen.filename == __file__


@pytest.mark.parametrize("align_corners", (False, True))
def test_explicit_align_corners_does_not_warn(align_corners):
    assert not warnings_of(lambda: stn_cuda.grid_sample(IMAGE[:, :, :1], POINTS, align_corners=align_corners))
    assert not warnings_of(lambda: stn_cuda.affine_grid(THETA, SIZE, align_corners))
    assert not warnings_of(lambda: stn_cuda.affine_grid(THETA, (2, 1, 1, 4), False))
