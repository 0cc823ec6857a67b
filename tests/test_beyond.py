"""grid_sample's options beyond torch, in pairs: values and gradients of two orders, against the reference and differences."""

from __future__ import annotations

import itertools

import pytest
import torch
from beyond import OPTIONS, ROWS, Row, double_rows, pairs
from routed import tangents
from tolerances import parity
from torch.autograd import gradcheck, gradgradcheck

import stn_cuda
from stn_cuda import reference

pytestmark = pytest.mark.usefixtures("sums_in_order")

SMALL_IN_SIZE = (2, 3, 3)  # finite differences cost a call an element
DOUBLE = double_rows()


def results(row: Row, sampler, tensors, order):
    """Output, the gradients of its product with a fixed tensor, and for order 2 the gradients of theirs."""
    leaves = [tensor.detach().requires_grad_() for tensor in tensors]
    output = row.bind(sampler)(*leaves)
    (cotangent,) = (tangent.requires_grad_() for tangent in tangents([output.detach()]))
    first = torch.autograd.grad(output, leaves, cotangent, create_graph=order == 2, materialize_grads=True)
    if order == 1:
        return output, *first
    second = torch.autograd.grad(first, [cotangent, *leaves], tangents(first), materialize_grads=True)
    return output, *first, *second


def assert_close(row: Row, actual, expected):
    """Within the tolerance of the results' dtypes, relative to the largest value: sums of both signs cancel."""
    for one, other in zip(actual, expected, strict=True):
        assert (one.shape, one.dtype) == (other.shape, other.dtype)
        scale = other.detach().abs().max().clamp(min=1).double()
        parity(row.mode, one.dtype).assert_close(one.double() / scale, other.double() / scale)


def test_every_pair_of_options_is_in_a_row():
    seen = {pair for row in ROWS for pair in pairs(vars(row))}
    for (a, xs), (b, ys) in itertools.combinations(OPTIONS.items(), 2):
        lacks = [(x, y) for x, y in itertools.product(xs, ys) if ((a, x), (b, y)) not in seen]
        if (a, b) == ("dims", "layout"):
            assert lacks == [(1, "channels_last")]
        elif (a, b) == ("padding", "fill"):
            with_fill = OPTIONS["fill"][1:]
            assert lacks == [
                ("fill", "none"), *((mode, fill) for mode in ("reflection", "circular") for fill in with_fill),
                (("fill", "circular", "reflection"), "none")]  # fmt: skip
        else:
            assert not lacks, (a, b)


@pytest.mark.parametrize("where", ("between_kinks", "on_kinks"))
@pytest.mark.parametrize("row", ROWS, ids=str)
def test_values_and_gradients_follow_the_definition(row: Row, where, device):
    """Of two orders; of one in 16 bits, where each order's rounding is the next one's error."""
    tensors = row.tensors(device, on_kinks=where == "on_kinks")
    order = 1 if tensors[0].dtype.itemsize == 2 else 2
    actual, expected = (results(row, sampler, tensors, order) for sampler in (stn_cuda.grid_sample, reference.grid_sample))
    assert_close(row, actual, expected)


@pytest.mark.parametrize("row", DOUBLE, ids=str)
def test_double_gradients_on_kinks_follow_the_definition(row: Row, device):
    tensors = row.tensors(device, on_kinks=True, seed=1)
    actual, expected = (results(row, sampler, tensors, 2) for sampler in (stn_cuda.grid_sample, reference.grid_sample))
    assert_close(row, actual, expected)


def small_leaves(row: Row, device):
    """Nearest has no derivative in the grid to compare."""
    input, grid, *fill = row.tensors(device, channels=2, in_size=SMALL_IN_SIZE)
    return input.requires_grad_(), grid.requires_grad_(row.mode != "nearest"), *(leaf.requires_grad_() for leaf in fill)


@pytest.mark.parametrize("row", DOUBLE, ids=str)
def test_gradcheck(row: Row, device):
    assert gradcheck(row.bind(stn_cuda.grid_sample), small_leaves(row, device), check_forward_ad=True)


@pytest.mark.parametrize("row", DOUBLE, ids=str)
def test_gradgradcheck(row: Row, device):
    assert gradgradcheck(row.bind(stn_cuda.grid_sample), small_leaves(row, device))


@pytest.mark.parametrize("row", DOUBLE, ids=str)
def test_jvp_follows_the_definition(row: Row, device):
    tensors = tuple(row.tensors(device))
    samplers = stn_cuda.grid_sample, reference.grid_sample
    actual, expected = (torch.func.jvp(row.bind(sampler), tensors, tangents(tensors)) for sampler in samplers)
    assert_close(row, actual, expected)
