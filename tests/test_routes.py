"""torch.func's transforms and their nestings of both functions: right, not zero, and without a fallback.

The judge is the same transform of the reference, whose derivatives by finite differences test_forward_ad_checks holds;
where a plain call of torch's own says it, that call. Forward mode by dual numbers is test_routes_dual's, transforms around a
backward alone test_routes_backward's, compilers test_routes_compiled's and exporters test_routes_exported's.
"""

from __future__ import annotations

import pytest
import torch
from cases import Case
from routed import (
    EVERY,
    Routed,
    assert_not_zero,
    assert_same,
    assert_same_in_scale,
    gradients,
    tangents,
    without_vmap_fallback,
)
from seen_operators import SeenOperators
from torch import func
from transforms import FIRST, HIGHER, SECOND

import stn_cuda
from stn_cuda import reference


@pytest.mark.filterwarnings("error::UserWarning", "ignore:Attempted to insert a get_attr Node")  # linearize's own
@pytest.mark.parametrize("name", (*FIRST, *SECOND, *HIGHER))
@pytest.mark.parametrize("routed", EVERY, ids=str)
@without_vmap_fallback()
def test_transform_equals_that_of_plain_operations(routed: Routed, name, device):
    transform = {**FIRST, **SECOND, **HIGHER}[name]
    tensors = routed.tensors(device)
    actual = transform(routed.ours, tensors)
    assert_not_zero(actual)
    (assert_same_in_scale if name in HIGHER else assert_same)(actual, transform(routed.judge, tensors))


BY_ONE = ("grad", "jvp", "jacfwd", "vmap(jvp)", "hessian", "jacrev(jacfwd)", "jvp(grad)", "grad(jvp)", "vmap(hessian)")


@pytest.mark.parametrize("name", (*BY_ONE, *HIGHER))
@pytest.mark.parametrize("which", (0, 1), ids=("input", "grid"))
@pytest.mark.parametrize("routed", [routed for routed in EVERY if routed.name.startswith("grid_sample")], ids=str)
@without_vmap_fallback()
def test_transform_by_one_argument_leaves_the_other_constant(routed: Routed, which, name, device):
    """Masks, and tangents and cotangents that are absent."""
    tensors = routed.tensors(device)
    transform = {**FIRST, **SECOND, **HIGHER}[name]

    def by_one(f):
        return transform(lambda one: f(one, tensors[1]) if which == 0 else f(tensors[0], one), (tensors[which],))

    actual = by_one(routed.ours)
    assert_not_zero(actual)
    (assert_same_in_scale if name in HIGHER else assert_same)(actual, by_one(routed.judge))


@pytest.mark.parametrize("name", ("grad", "vjp", "jacrev", "vmap(grad)"))
def test_nearest_has_zeros_and_not_none_for_the_grid_in_every_transform(name, device):
    case = Case(2, "nearest", "border", False)
    tensors = case.tensors(device, torch.float64, away_from_kinks=True)
    by_input, by_grid = FIRST[name](case.bind(stn_cuda.grid_sample), tensors)
    assert_not_zero(by_input)
    assert_same(by_input, FIRST[name](case.bind(reference.grid_sample), tensors)[0])
    assert isinstance(by_grid, torch.Tensor) and not by_grid.any()


def test_nearest_has_a_tangent_of_zeros_for_that_of_the_grid(device):
    case = Case(2, "nearest", "border", False)
    input, grid = case.tensors(device, torch.float64, away_from_kinks=True)
    output, tangent = func.jvp(lambda grid: case.bind(stn_cuda.grid_sample)(input, grid), (grid,), (grid.cos(),))
    assert tangent.shape == output.shape and not tangent.any()


@pytest.mark.parametrize("name", (*FIRST, *SECOND))
@pytest.mark.parametrize("routed", EVERY, ids=str)
def test_first_and_second_order_transforms_run_kernels_and_no_chain_of_operations(routed: Routed, name, device):
    with SeenOperators() as seen:
        {**FIRST, **SECOND}[name](routed.ours, routed.tensors(device))
    assert any(operator.startswith("stn_cuda.") for operator in seen.names)
    assert not [operator for operator in seen.names if operator.startswith("aten.gather")]  # the reference's


@pytest.mark.parametrize("routed", EVERY, ids=str)
def test_eager_gradients_equal_torchs(routed: Routed, device):
    tensors = routed.tensors(device)
    actual = gradients(routed.ours, tensors)
    assert_not_zero(actual)
    assert_same(actual, gradients(routed.torchs, tensors))
    assert_same(gradients(routed.operator, tensors), actual)


def transposed(tensor):
    return tensor.mT.contiguous().mT


def expanded(tensor):
    return tensor[..., :1].expand_as(tensor)


@pytest.mark.parametrize("make", (transposed, expanded))
@pytest.mark.parametrize("routed", EVERY, ids=str)
def test_cotangents_and_tangents_of_any_strides_change_nothing(routed: Routed, make, device):
    tensors = routed.tensors(device)
    output, pull = func.vjp(routed.ours, *tensors)
    cotangent = make(output.cos())
    assert_same(pull(cotangent), pull(cotangent.contiguous()))
    directions = [make(t) for t in tangents(tensors)]
    dense = [direction.contiguous() for direction in directions]
    assert_same(func.jvp(routed.ours, tensors, tuple(directions)), func.jvp(routed.ours, tensors, tuple(dense)))
