"""torch.func.vmap over every axis of every argument, nested and in chunks, against a loop over torch's own functions."""

from __future__ import annotations

import pytest
import torch
from routed import (
    AFFINE_GRID,
    GRID_SAMPLE,
    Routed,
    assert_not_zero,
    assert_same,
    cubes,
    gradients,
    tangents,
    without_vmap_fallback,
)
from tolerances import PARITY
from torch import func

import stn_cuda

DOUBLE = PARITY[torch.float64]


def loop(routed: Routed, in_dims, arguments):
    """torch's own function, called once for each slice."""
    length = next(tensor.shape[dim] for tensor, dim in zip(arguments, in_dims, strict=True) if dim is not None)
    return [
        routed.torchs(*(t if dim is None else t.select(dim, i) for t, dim in zip(arguments, in_dims, strict=True)))
        for i in range(length)
    ]


def with_batch_at(in_dims, tensors, count=3):
    """Each tensor ``count`` times, with other values each time, along a new axis ``dim``; those of None once."""
    return [
        tensor if dim is None else torch.stack([tensor.roll(shift, 0) * (1 - shift / 8) for shift in range(count)], dim)
        for tensor, dim in zip(tensors, in_dims, strict=True)
    ]


IN_DIMS = [(0, 0), (0, None), (None, 0), (1, 0), (0, 2), (2, -1), (-1, None), (None, -2), (3, 3)]
VMAPS = [(GRID_SAMPLE, in_dims) for in_dims in IN_DIMS] + [(AFFINE_GRID, (dim,)) for dim in (0, 1, 2, 3, -1, -2)]


@pytest.mark.parametrize("out_dim", (0, 1, -1, 4))
@pytest.mark.parametrize("routed, in_dims", VMAPS, ids=str)
@without_vmap_fallback()
def test_vmap_over_any_axis_equals_a_loop(routed: Routed, in_dims, out_dim, device):
    arguments = with_batch_at(in_dims, routed.tensors(device))
    actual = func.vmap(routed.ours, in_dims=in_dims, out_dims=out_dim)(*arguments)
    DOUBLE.assert_close(actual, torch.stack(loop(routed, in_dims, arguments), out_dim))


@pytest.mark.parametrize("in_dims", IN_DIMS, ids=str)
@without_vmap_fallback()
def test_vmapped_gradients_by_batched_and_shared_arguments_equal_those_of_a_loop(in_dims, device):
    arguments = with_batch_at(in_dims, GRID_SAMPLE.tensors(device))

    def batched(*tensors):
        return func.vmap(GRID_SAMPLE.ours, in_dims=in_dims)(*tensors)

    expected = gradients(lambda *tensors: torch.stack(loop(GRID_SAMPLE, in_dims, tensors)), arguments)
    assert_not_zero(expected)
    assert_same(gradients(batched, arguments), expected)
    assert_same(func.grad(cubes(batched), (0, 1))(*arguments), expected[1:])
    inner = func.vmap(func.grad(cubes(GRID_SAMPLE.ours), (0, 1)), in_dims=in_dims)(*arguments)  # a gradient a slice
    for gradient, dim, total in zip(inner, in_dims, expected[1:], strict=True):
        DOUBLE.assert_close(gradient.sum(0) if dim is None else gradient.movedim(0, dim), total)


@pytest.mark.parametrize("outer, inner", [((0, 0), (0, 0)), ((0, None), (None, 0)), ((1, 2), (0, None)), ((None, 0), (0, 1))])
@without_vmap_fallback()
def test_vmap_in_vmap_equals_two_loops(outer, inner, device):
    tensors = with_batch_at(outer, with_batch_at(inner, GRID_SAMPLE.tensors(device), 2), 3)
    actual = func.vmap(func.vmap(GRID_SAMPLE.ours, in_dims=inner), in_dims=outer)(*tensors)
    slices = [
        [tensor if dim is None else tensor.select(dim, i) for tensor, dim in zip(tensors, outer, strict=True)] for i in range(3)
    ]
    DOUBLE.assert_close(actual, torch.stack([torch.stack(loop(GRID_SAMPLE, inner, one)) for one in slices]))


@without_vmap_fallback()
def test_vmap_in_chunks_and_of_an_empty_batch_of_images_equals_a_loop(device):
    arguments = with_batch_at((0, 0), GRID_SAMPLE.tensors(device))
    actual = func.vmap(GRID_SAMPLE.ours, chunk_size=2)(*arguments)
    DOUBLE.assert_close(actual, torch.stack(loop(GRID_SAMPLE, (0, 0), arguments)))
    empty = [tensor[:, :0] for tensor in arguments]
    assert func.vmap(GRID_SAMPLE.ours)(*empty).shape == (3, 0, *actual.shape[2:])


@pytest.mark.parametrize("in_dims", [(0, None), (None, 0), (0, 0), (1, -1)], ids=str)
@pytest.mark.parametrize("order", ("jvp", "jvp(grad)", "grad(jvp)", "jvp(jvp)"))
@without_vmap_fallback()
def test_vmap_over_tangents_of_shared_primals_equals_a_loop(order, in_dims, device):
    """As jacfwd does it. Only some of the tensors in a call have the new axis."""
    primals = GRID_SAMPLE.tensors(device)
    directions = with_batch_at(in_dims, tangents(primals))

    def along(f, tensors):
        return lambda *primals: func.jvp(f, primals, tuple(tensors))[1]

    def run(*tensors):
        f = GRID_SAMPLE.ours
        if order == "jvp":
            return along(f, tensors)(*primals)
        if order == "jvp(jvp)":
            return along(along(f, tensors), tensors)(*primals)
        if order == "jvp(grad)":
            return along(func.grad(cubes(f), (0, 1)), tensors)(*primals)
        return func.grad(cubes(along(f, tensors)), (0, 1))(*primals)

    actual = func.vmap(run, in_dims=in_dims)(*directions)
    slices = [
        run(*(t if dim is None else t.select(dim, i) for t, dim in zip(directions, in_dims, strict=True))) for i in range(3)
    ]
    expected = torch.stack(slices) if torch.is_tensor(slices[0]) else tuple(torch.stack(parts) for parts in zip(*slices))
    assert_not_zero(actual)
    assert_same(actual, expected)


@without_vmap_fallback()
def test_vmap_over_the_cotangent_of_a_shared_call_equals_a_loop(device):
    output, pull = func.vjp(GRID_SAMPLE.ours, *GRID_SAMPLE.tensors(device))
    cotangents = torch.stack([output.cos(), output, output.sin()], 2)
    actual = func.vmap(pull, in_dims=2)(cotangents)
    assert_not_zero(actual)
    assert_same(actual, tuple(map(torch.stack, zip(*map(pull, cotangents.unbind(2)), strict=True))))


@without_vmap_fallback()
def test_vmapped_axis_of_size_zero_gives_results_of_size_zero(device):
    tensors = [tensor[None][:0] for tensor in GRID_SAMPLE.tensors(device)]
    output = func.vmap(GRID_SAMPLE.ours)(*tensors)
    assert output.shape == (0, *GRID_SAMPLE.ours(*GRID_SAMPLE.tensors(device)).shape)
    by_input, by_grid = func.vmap(func.grad(cubes(GRID_SAMPLE.ours), (0, 1)))(*tensors)
    assert (by_input.shape, by_grid.shape) == (tensors[0].shape, tensors[1].shape)
    theta = AFFINE_GRID.tensors(device)[0]
    assert func.vmap(AFFINE_GRID.ours)(theta[None][:0]).shape == (0, *AFFINE_GRID.ours(theta).shape)


@without_vmap_fallback()
def test_memory_format_of_images_survives_vmap(device):
    input, grid = (torch.stack([tensor, tensor.flip(0)]) for tensor in GRID_SAMPLE.tensors(device))
    images = input.flatten(0, 1).to(memory_format=torch.channels_last).unflatten(0, (2, -1))
    output = func.vmap(GRID_SAMPLE.ours)(images, grid)
    assert output.flatten(0, 1).is_contiguous(memory_format=torch.channels_last)
    DOUBLE.assert_close(output, func.vmap(GRID_SAMPLE.ours)(input, grid))


def test_vmap_refuses_a_wrong_shape_by_name_as_the_plain_call_does(device):
    input, grid = GRID_SAMPLE.tensors(device)
    with pytest.raises(RuntimeError, match="grid_sample.*grid"):
        func.vmap(lambda grid: stn_cuda.grid_sample(input, grid, align_corners=False))(grid[None, ..., :1])
