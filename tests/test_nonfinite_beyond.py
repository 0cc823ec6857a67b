"""Coordinates that are not finite or huge, with the options beyond torch: no crash, nothing leaks, the rule of the reference.

With zeros and fill padding such a coordinate is outside; with border, reflection and circular it goes to the nearest edge,
NaN to the first pixel, but with border and a fill_value it is outside. A finite one of 2^31 pixels and more has no digits
left to reflect or wrap: any pixel may be read then. Its gradient is 0 in every case.
"""

from __future__ import annotations

import math

import pytest
import torch
from beyond import ROWS, Row
from nonfinite import BAD_LOCATIONS, VALUES
from test_beyond import assert_close, results
from test_nonfinite import in_forked_child

import stn_cuda
from stn_cuda import reference

pytestmark = pytest.mark.usefixtures("sums_in_order")


def padding_of(row: Row, axis: int) -> str:
    return row.padding if isinstance(row.padding, str) else row.padding[axis]


def bad_grids(row: Row, grid):
    """(name of the value, axis, grid) with the value on one axis of some locations."""
    for name, value in VALUES.items():
        for axis in range(row.dims):
            bad = grid.clone()
            bad.flatten(1, -2)[:, list(BAD_LOCATIONS), axis] = value
            yield name, axis, bad


def complaints(row: Row, device) -> str:
    """In which cells something is wrong, and what."""
    input, grid, *fill = row.tensors(device, out_size=(11, 2, 2, 1))
    order = 1 if input.dtype.itemsize == 2 else 2
    found = []
    for name, axis, bad in bad_grids(row, grid):
        actual = results(row, stn_cuda.grid_sample, [input, bad, *fill], order)
        if not all(tensor.isfinite().all() for tensor in actual):
            found.append(f"{name} on axis {axis}: not finite")
        of_grid = actual[2] if order == 1 else torch.stack([actual[2], actual[3 + len(fill) + 2]])
        if of_grid.flatten(-1 - row.out_rank, -2)[..., list(BAD_LOCATIONS), axis].any():
            found.append(f"{name} on axis {axis}: the bad coordinate has a gradient")
        if math.isfinite(VALUES[name]) and padding_of(row, axis) in ("reflection", "circular"):
            if actual[0].abs().max() > 1.375**row.dims * max(t.abs().max() for t in (input, *fill, torch.ones(()))):
                found.append(f"{name} on axis {axis}: a value is none of the image's")
            continue
        try:
            assert_close(row, actual, results(row, reference.grid_sample, [input, bad, *fill], order))
        except AssertionError as error:
            found.append(f"{name} on axis {axis}: {error}")
    return "; ".join(found)


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_coordinates_that_are_not_finite_keep_to_the_rule(row: Row, device):
    """Forked, where a process can be, so that a crash is one failure with a name."""
    found = in_forked_child(lambda: complaints(row, device)) if device.type == "cpu" else complaints(row, device)
    assert not found


def at(image, values, mode="bilinear", **options):
    """``image`` (1, 1, W) at pixels."""
    points = torch.tensor(values, dtype=image.dtype, device=image.device).view(1, -1, 1).requires_grad_()
    output = stn_cuda.grid_sample(image, points, mode, coordinates="pixel", **options)
    (gradient,) = torch.autograd.grad(output, points, torch.ones_like(output))
    assert not gradient.any()
    return output[0, 0].tolist()


@pytest.mark.parametrize("mode", ("bilinear", "nearest", "bicubic"))
@pytest.mark.parametrize("dtype", (torch.float32, torch.float64), ids=str)
def test_each_padding_reads_what_the_rule_says(dtype, mode, device):
    image = torch.tensor([[[5.0, 2.0, 3.0, 4.0, 7.0, 1.0, 9.0, 8.0, 6.0]]], dtype=dtype, device=device)
    values = [math.nan, math.inf, -math.inf]
    assert at(image, values, mode, fill_value=-1.0) == [-1.0] * 3
    assert at(image, values, mode, padding_mode="border", fill_value=-1.0) == [-1.0] * 3
    assert at(image, values, mode, padding_mode="border") == [5.0, 6.0, 5.0]
    assert at(image, values, mode, padding_mode="reflection") == [5.0, 6.0, 5.0]
    assert at(image, values, mode, padding_mode="circular") == [5.0, 6.0, 5.0]
    beyond = [2.0**31, -(2.0**31), 1e30, -3e38]
    assert at(image, beyond, mode, fill_value=-1.0) == [-1.0] * 4
    assert at(image, beyond, mode, padding_mode="border") == [6.0, 5.0, 6.0, 5.0]
    pixels = set(image.flatten().tolist())
    for padding_mode in ("reflection", "circular"):
        assert pixels.issuperset(round(value, 3) for value in at(image, beyond, mode, padding_mode=padding_mode))


@pytest.mark.parametrize("paddings", [("circular", "border"), ("border", "zeros"), ("reflection", "fill")], ids="-".join)
def test_a_bad_coordinate_on_one_axis_is_handled_by_that_axis_padding(paddings, device):
    """The other axis is sampled as ever; its coordinate has its gradient where the location is in the image."""
    image = (torch.arange(1.0, 13.0).view(1, 1, 3, 4) ** 1.5).double().to(device)
    fill = {"fill_value": -2.0} if "fill" in paddings else {}
    points = torch.tensor([[[math.nan, 1.25], [1.25, math.nan]]], dtype=torch.float64, device=device).requires_grad_()
    output = stn_cuda.grid_sample(image, points, padding_mode=paddings, coordinates="pixel", **fill)
    (gradient,) = torch.autograd.grad(output.sum(), points)
    first_column, first_row = image[0, 0, :, 0], image[0, 0, 0]
    outside = {"zeros": 0.0, "fill": -2.0}.get(paddings[1])
    along_y = (0.75 * first_column[1] + 0.25 * first_column[2]).item()
    along_x = (0.75 * first_row[1] + 0.25 * first_row[2]).item()
    assert output[0, 0].tolist() == pytest.approx([along_y, along_x if outside is None else outside])
    slopes = (first_column[2] - first_column[1]).item(), (first_row[2] - first_row[1]).item()
    expected = [0.0, slopes[0], slopes[1] if outside is None else 0.0, 0.0]
    assert gradient.flatten().tolist() == pytest.approx(expected)
