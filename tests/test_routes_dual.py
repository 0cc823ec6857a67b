"""Forward mode by dual numbers, and torch.autograd.functional: of both functions and of the public operators."""

from __future__ import annotations

import pytest
import torch
from routed import EVERY, Routed, assert_not_zero, assert_same, assert_same_in_scale, cubes, leaves, tangents
from torch import func
from torch.autograd import forward_ad
from transforms import FIRST, SECOND, every, jvp


@pytest.mark.parametrize("constants", ((), (0,), (1,)), ids=("all", "not_the_first", "not_the_second"))
@pytest.mark.parametrize("route", ("ours", "operator"))
@pytest.mark.parametrize("routed", EVERY, ids=str)
def test_dual_numbers_carry_the_tangent(routed: Routed, route, constants, device):
    tensors = routed.tensors(device)
    directions = [torch.zeros_like(t) if i in constants else t for i, t in enumerate(tangents(tensors))]
    if not any(direction.any() for direction in directions):
        directions, constants = tangents(tensors), ()  # a function of one tensor
    with forward_ad.dual_level():
        duals = [t if i in constants else forward_ad.make_dual(t, directions[i]) for i, t in enumerate(tensors)]
        output, tangent = forward_ad.unpack_dual(getattr(routed, route)(*duals))
    expected = func.jvp(routed.judge, tensors, tuple(directions))
    assert_not_zero(tangent)
    assert_same((output, tangent), expected)


@pytest.mark.parametrize("route", ("ours", "operator"))
@pytest.mark.parametrize("routed", EVERY, ids=str)
def test_gradient_of_a_dual_number_carries_its_tangent(routed: Routed, route, device):
    """Forward over reverse without torch.func."""
    tensors = routed.tensors(device)
    with forward_ad.dual_level():
        duals = [forward_ad.make_dual(leaf, t) for leaf, t in zip(leaves(tensors), tangents(tensors), strict=True)]
        found = torch.autograd.grad(cubes(getattr(routed, route))(*duals), duals, create_graph=True)
        actual = [tuple(forward_ad.unpack_dual(gradient)) for gradient in found]
    primals, directions = func.jvp(func.grad(cubes(routed.judge), every(tensors)), tensors, tangents(tensors))
    assert_not_zero(actual)
    assert_same(actual, list(zip(primals, directions, strict=True)))


@pytest.mark.parametrize("route", ("ours", "operator"))
@pytest.mark.parametrize("routed", EVERY, ids=str)
def test_second_gradient_of_a_dual_number_carries_its_tangent(routed: Routed, route, device):
    """Third derivatives, forward over reverse over reverse, where torch.func.jvp could not be entered."""

    def second(f, primals):
        first = torch.autograd.grad(cubes(f)(*primals), primals, create_graph=True)
        return torch.autograd.grad(sum(gradient.pow(2).sum() for gradient in first), primals, create_graph=True)

    tensors = routed.tensors(device)
    with forward_ad.dual_level():
        duals = [forward_ad.make_dual(leaf, t) for leaf, t in zip(leaves(tensors), tangents(tensors), strict=True)]
        actual = [forward_ad.unpack_dual(gradient).tangent for gradient in second(getattr(routed, route), duals)]
    primals = leaves(tensors)
    along = sum((gradient * t).sum() for gradient, t in zip(second(routed.judge, primals), tangents(tensors), strict=True))
    assert_not_zero(actual)
    assert_same_in_scale(actual, torch.autograd.grad(along, primals))  # third derivatives are symmetric


@pytest.mark.parametrize("mode", (torch.no_grad, torch.enable_grad))
@pytest.mark.parametrize("routed", EVERY, ids=str)
def test_tangents_flow_whether_gradients_are_recorded_or_not(routed: Routed, mode, device):
    tensors = routed.tensors(device)
    with mode(), forward_ad.dual_level():
        output = routed.ours(*(forward_ad.make_dual(t, s) for t, s in zip(tensors, tangents(tensors), strict=True)))
        tangent = forward_ad.unpack_dual(output).tangent
    assert_not_zero(tangent)
    assert_same(tangent, jvp(routed.judge, tensors))


@pytest.mark.parametrize("vectorize", (False, True), ids=("loop", "vectorized"))
@pytest.mark.parametrize("routed", EVERY, ids=str)
def test_torch_autograd_functional_equals_torch_func(routed: Routed, vectorize, device):
    """The older interface of the same derivatives."""
    tensors = routed.tensors(device)
    for strategy in ("reverse-mode", "forward-mode") if vectorize else ("reverse-mode",):
        jacobian = torch.autograd.functional.jacobian(routed.ours, tensors, vectorize=vectorize, strategy=strategy)
        assert_not_zero(jacobian)
        assert_same(jacobian, FIRST["jacrev"](routed.judge, tensors))
    hessian = torch.autograd.functional.hessian(cubes(routed.ours), tensors, vectorize=vectorize)
    assert_not_zero(hessian)
    assert_same(hessian, SECOND["hessian"](routed.judge, tensors))
