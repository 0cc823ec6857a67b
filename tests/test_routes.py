"""torch.func's transforms, their nestings, and forward mode, of both functions: right, not zero, and without a fallback.

The judge is the same transform of the reference, whose derivatives by finite differences test_forward_ad_checks holds;
where a plain call of torch's own says it, that call. Compilers and exporters are test_routes_compiled's.
"""

from __future__ import annotations

import pytest
import torch
from routed import (
    EVERY,
    Routed,
    assert_not_zero,
    assert_same,
    cubes,
    gradients,
    leaves,
    tangents,
    without_vmap_fallback,
)
from torch import func
from torch.autograd import forward_ad
from torch.utils._python_dispatch import TorchDispatchMode

import stn_cuda


def every(tensors):
    return tuple(range(len(tensors)))


def stacked(tensors):
    """Each tensor and another beside it, along a new first axis."""
    return tuple(torch.stack([tensor, tensor.flip(0)]) for tensor in tensors)


def grad(f, tensors):
    return func.grad(cubes(f), every(tensors))(*tensors)


def jvp(f, tensors):
    return func.jvp(f, tuple(tensors), tangents(tensors))[1]


def vjp(f, tensors):
    output, pull = func.vjp(f, *tensors)
    return pull(*tangents((output,)))


def linearize(f, tensors):
    return func.linearize(f, *tensors)[1](*tangents(tensors))


def jacobian(transform):
    return lambda f, tensors: transform(f, every(tensors))(*tensors)


def jacobian_of_loss(outer, inner):
    return lambda f, tensors: outer(inner(cubes(f), every(tensors)), every(tensors))(*tensors)


def vmap(transform):
    return lambda f, tensors: func.vmap(lambda *one: transform(f, one))(*stacked(tensors))


def of_vmap(transform):
    return lambda f, tensors: transform(func.vmap(f), stacked(tensors))


def of_grad(transform):
    """``transform`` of the gradient by all arguments, as one vector."""
    return lambda f, tensors: transform(
        lambda *primals: torch.cat([gradient.flatten() for gradient in grad(f, primals)]), tensors
    )


def of_jvp(transform):
    """``transform`` of the tangent as a function of the primals."""
    return lambda f, tensors: transform(lambda *primals: jvp(f, primals).pow(2) + f(*primals), tensors)


FIRST = {
    "grad": grad,
    "vjp": vjp,
    "jvp": jvp,
    "linearize": linearize,
    "jacrev": jacobian(func.jacrev),
    "jacfwd": jacobian(func.jacfwd),
    "vmap(grad)": vmap(grad),
    "grad(vmap)": of_vmap(grad),
    "vmap(jvp)": vmap(jvp),
    "jvp(vmap)": of_vmap(jvp),
    "vmap(vjp)": vmap(vjp),
    "vmap(jacrev)": vmap(jacobian(func.jacrev)),
    "vmap(jacfwd)": vmap(jacobian(func.jacfwd)),
    "vmap(vmap(grad))": lambda f, tensors: func.vmap(lambda *one: vmap(grad)(f, one))(*stacked(tensors)),
}
SECOND = {
    "hessian": jacobian_of_loss(func.jacfwd, func.jacrev),
    "jacrev(jacrev)": jacobian_of_loss(func.jacrev, func.jacrev),
    "jacrev(jacfwd)": jacobian_of_loss(func.jacrev, func.jacfwd),
    "jvp(grad)": of_grad(jvp),
    "grad(grad)": of_grad(grad),
    "grad(jvp)": of_jvp(grad),
    "vmap(hessian)": vmap(lambda f, tensors: func.hessian(cubes(f), every(tensors))(*tensors)),
    "vmap(grad(grad))": vmap(of_grad(grad)),
    "vmap(jvp(grad))": vmap(of_grad(jvp)),
    "jvp(grad(vmap))": of_vmap(of_grad(jvp)),
}
HIGHER = {  # third derivatives and forward over forward
    "jacfwd(jacfwd)": jacobian_of_loss(func.jacfwd, func.jacfwd),
    "jvp(jvp)": of_jvp(jvp),
    "grad(grad(grad))": of_grad(of_grad(grad)),
    "jvp(grad(grad))": of_grad(of_grad(jvp)),
    "vmap(jvp(jvp))": vmap(of_jvp(jvp)),
}


@pytest.mark.filterwarnings("error::UserWarning", "ignore:Attempted to insert a get_attr Node")  # linearize's own
@pytest.mark.parametrize("name", (*FIRST, *SECOND, *HIGHER))
@pytest.mark.parametrize("routed", EVERY, ids=str)
@without_vmap_fallback()
def test_transform_equals_that_of_plain_operations(routed: Routed, name, device):
    transform = {**FIRST, **SECOND, **HIGHER}[name]
    tensors = routed.tensors(device)
    actual = transform(routed.ours, tensors)
    assert_not_zero(actual)
    assert_same(actual, transform(routed.judge, tensors))


class SeenOperators(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.names.append(str(func))
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("name", (*FIRST, *SECOND))
@pytest.mark.parametrize("routed", EVERY, ids=str)
def test_first_and_second_order_transforms_run_kernels_and_no_chain_of_operations(routed: Routed, name, device):
    if device.type == "cuda" or not hasattr(stn_cuda._autograd, "GridSampleJvpFunction"):
        pytest.skip("torch.func goes through the reference until there are Functions for it over the kernels")
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


# ---- forward mode by dual numbers ---------------------------------------------------------------------------------------


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
