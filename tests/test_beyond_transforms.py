"""What torch does to functions, done to grid_sample with its options beyond torch: vmap, torch.func, compile, export, opcheck.

The judge is the same transform, or a loop, of the reference.
"""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
import torch
from beyond import FEW, Row, double_rows
from routed import assert_not_zero, assert_same, assert_same_in_scale, cubes, gradients, tangents, without_vmap_fallback
from test_operators import CHECKS
from torch import func, nn
from transforms import FIRST, HIGHER, SECOND

import stn_cuda
from stn_cuda import reference

ops = torch.ops.stn_cuda
PLAIN = list(dict.fromkeys(replace(row, layout="contiguous") for row in double_rows()))  # slices are no layout of a batch's
DIFFERENTIABLE = [row for row in PLAIN if row.mode != "nearest"]


def small(row: Row, device):
    return tuple(row.tensors(device, channels=2, in_size=(2, 2, 3), out_size=(2, 1, 2, 1), seed=1))


def subsets(tensors):
    """in_dims of vmap: each tensor with a new axis, at the front or not, or shared by all; not all of them shared."""
    choices = [(None, 0), (None, 1), (None, 0)]
    return [dims for dims in itertools.product(*choices[: len(tensors)]) if any(dim is not None for dim in dims)]


def with_new_axis(in_dims, tensors, count):
    scales = [1 - shift / 8 for shift in range(count)]
    return [
        tensor if dim is None else torch.stack([tensor * scale for scale in scales], dim)
        for tensor, dim in zip(tensors, in_dims, strict=True)
    ]


def loop(f, in_dims, count):
    return lambda *tensors: torch.stack([
        f(*(t if dim is None else t.select(dim, i) for t, dim in zip(tensors, in_dims, strict=True))) for i in range(count)
    ])  # fmt: skip


@pytest.mark.parametrize("row", PLAIN, ids=str)
@without_vmap_fallback()
def test_vmap_over_any_of_the_tensors_equals_a_loop(row: Row, device):
    """Values and the gradients of all, also of those that the slices share."""
    for in_dims in subsets(small(row, device)):
        tensors = with_new_axis(in_dims, small(row, device), 3)
        actual = gradients(func.vmap(row.bind(stn_cuda.grid_sample), in_dims=in_dims), tensors)
        assert_same(actual, gradients(loop(row.bind(reference.grid_sample), in_dims, 3), tensors))


@pytest.mark.parametrize("row", PLAIN, ids=str)
@without_vmap_fallback()
def test_nested_vmap_of_one_slice_and_of_two_equals_loops(row: Row, device):
    every = subsets(small(row, device))
    for outer, inner in zip(every, reversed(every), strict=True):
        tensors = with_new_axis(outer, with_new_axis(inner, small(row, device), 2), 1)
        actual = gradients(func.vmap(func.vmap(row.bind(stn_cuda.grid_sample), in_dims=inner), in_dims=outer), tensors)
        judge = loop(loop(row.bind(reference.grid_sample), inner, 2), outer, 1)
        assert_same(actual, gradients(judge, tensors))


@pytest.mark.parametrize("row", DIFFERENTIABLE, ids=str)
@without_vmap_fallback()
def test_vmap_over_gradients_and_tangents_of_any_of_the_tensors_equals_a_loop(row: Row, device):
    for in_dims in subsets(small(row, device)):
        tensors = with_new_axis(in_dims, small(row, device), 2)

        def slices(function, tensors=tensors, in_dims=in_dims):
            one_each = [[t if dim is None else t.select(dim, i) for t, dim in zip(tensors, in_dims)] for i in range(2)]
            return tuple(map(torch.stack, zip(*(function(*one) for one in one_each), strict=True)))

        def grad(sampler, every=tuple(range(len(tensors)))):  # noqa: B008
            return func.grad(cubes(row.bind(sampler)), every)

        def jvp(sampler):
            return lambda *primals: func.jvp(row.bind(sampler), primals, tuple(primal.cos() for primal in primals))

        for transform in (grad, jvp):
            actual = func.vmap(transform(stn_cuda.grid_sample), in_dims=in_dims)(*tensors)
            assert_same(actual, slices(transform(reference.grid_sample)))


BY_TRANSFORM = [(row, name) for row in FEW[:3] for name in (*FIRST, *SECOND)] + [(FEW[0], name) for name in HIGHER]


@pytest.mark.parametrize("row, name", BY_TRANSFORM, ids=str)
@pytest.mark.filterwarnings("ignore:Attempted to insert a get_attr Node")  # linearize's own
@without_vmap_fallback()
def test_transform_equals_that_of_plain_operations(row: Row, name, device):
    transform = {**FIRST, **SECOND, **HIGHER}[name]
    tensors = small(row, device)
    actual, expected = (transform(row.bind(sampler), tensors) for sampler in (stn_cuda.grid_sample, reference.grid_sample))
    if name in FIRST:  # where a location takes the fill whole, no second derivative is by input and fill
        assert_not_zero(expected)
    (assert_same_in_scale if name in HIGHER else assert_same)(actual, expected)


@pytest.mark.usefixtures("fresh_dynamo")
@pytest.mark.parametrize("dynamic", (False, True), ids=("static", "dynamic"))
@pytest.mark.parametrize("row", FEW, ids=str)
def test_compiled_values_and_gradients_equal_eager_ones(row: Row, dynamic, device):
    tensors = row.tensors(device)
    function = torch.compile(row.bind(stn_cuda.grid_sample), fullgraph=True, dynamic=dynamic, backend="aot_eager")
    actual = gradients(function, tensors)
    assert_not_zero(actual)
    assert_same(actual, gradients(row.bind(reference.grid_sample), tensors))


@pytest.mark.usefixtures("fresh_dynamo")
def test_compiled_by_the_default_backend_equals_eager(device):
    row = FEW[0]
    tensors = row.tensors(device)
    actual = gradients(torch.compile(row.bind(stn_cuda.grid_sample), fullgraph=True), tensors)
    assert_same(actual, gradients(row.bind(reference.grid_sample), tensors))


@pytest.mark.usefixtures("fresh_dynamo")
@pytest.mark.parametrize("row", FEW, ids=str)
def test_dynamic_shapes_never_recompile(row: Row, device):
    """Sizes apart from each other and from 2 and 1 in the first call, which torch would take for one symbol."""
    function = torch.compile(row.bind(stn_cuda.grid_sample), fullgraph=True, dynamic=True, backend="aot_eager")
    for batch, channels, sizes, out in ((7, 8, (11, 12, 13), (5, 6, 9, 10)), (4, 3, (6, 5, 9), (4, 7, 5, 3))):
        generator = torch.Generator().manual_seed(batch)
        randn = lambda *shape, g=generator: torch.randn(shape, generator=g, dtype=torch.float64).to(device)  # noqa: E731
        input = randn(1 if row.broadcast == "input" else batch, channels, *sizes[: row.dims])
        grid = randn(1 if row.broadcast == "grid" else batch, *out[: row.out_rank], row.dims)
        fill = {"scalar": (), "channels": (channels,), "images": (batch, channels)}
        tensors = [input, grid, *([randn(*fill[row.fill])] if row.fill in fill else [])]
        assert_same(gradients(function, tensors), gradients(row.bind(reference.grid_sample), tensors))
        assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == 1


class Sampler(nn.Module):
    def __init__(self, row: Row) -> None:
        super().__init__()
        self.row = row

    def forward(self, input, grid, fill=None):
        return self.row.bind(stn_cuda.grid_sample)(input, grid, *([] if fill is None else [fill]))


@pytest.mark.usefixtures("fresh_dynamo")
@pytest.mark.parametrize("strict", (False, True))
@pytest.mark.parametrize("row", FEW, ids=str)
def test_exported_program_takes_other_sizes(row: Row, strict, device):
    tensors = row.tensors(device)
    width = torch.export.Dim("width", min=2, max=64)
    dynamic = [{tensors[0].dim() - 1: width}, *[None] * (len(tensors) - 1)]
    names = ("input", "grid", "fill")[: len(tensors)]
    program = torch.export.export(
        Sampler(row), (), dict(zip(names, tensors)), dynamic_shapes=dict(zip(names, dynamic)), strict=strict).module()
    for input in (tensors[0], torch.cat([tensors[0], tensors[0]], -1)):
        given = [input, *tensors[1:]]
        assert_same(program(**dict(zip(names, given))), row.bind(reference.grid_sample)(*given))


def operator_arguments(row: Row, device):
    """input, grid and options, the fill among them."""
    input, grid, *fill = row.tensors(device)
    channels = [one if one.dim() == 2 else one.expand(1, input.shape[1]) for one in fill]
    return input, grid, *row.operator_options(*channels)


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("row", FEW, ids=str)
def test_opcheck_of_every_operator(row: Row, check, device):
    input, grid, *options = operator_arguments(row, device)
    fill = options[3]
    grad_output = torch.ones_like(ops._grid_sample(input, grid, *options))
    cotangents = tangents([input, grid]) + (None if fill is None else fill.cos(),)
    has_fill = fill is not None
    leaves = [tensor.clone().requires_grad_() for tensor in (input, grid)]
    options_of_leaves = [*options[:3], fill.clone().requires_grad_() if has_fill else None, *options[4:]]
    for operator, arguments in (
        (ops.grid_sample, (input, grid, *options)),
        (ops.grid_sample, (*leaves, *options_of_leaves)),
        (ops.grid_sample_backward, (grad_output, input, grid, *options, [True, True, has_fill], False)),
        (ops.grid_sample_double_backward,
         (*cotangents, grad_output, input, grid, *options, [True, True, True, has_fill], False)),
    ):  # fmt: skip
        torch.library.opcheck(operator.default, arguments, test_utils=check)
