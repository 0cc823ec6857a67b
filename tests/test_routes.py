"""torch.func's transforms, their nestings, and forward mode, of both functions: right, not zero, and without a fallback.

The judge is the same transform of the reference, whose derivatives by finite differences test_forward_ad_checks holds;
where a plain call of torch's own says it, that call. Compilers and exporters are test_routes_compiled's.
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
from stn_cuda import reference


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
    "vmap(grad(grad(grad)))": vmap(of_grad(of_grad(grad))),
    "jvp(grad(jvp))": of_jvp(of_grad(jvp)),
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


# ---- transforms around a backward alone ---------------------------------------------------------------------------------


def backward_of_eager(f, tensors, order):
    """The gradients as a function of their cotangent; with order 2 of their own gradients' cotangents, of a graph made here."""
    primals = leaves(tensors)
    output = f(*primals)
    if order == 1:
        return lambda *cotangents: torch.autograd.grad(output, primals, cotangents, retain_graph=True), (output.detach(),)
    sources = (*primals, torch.ones_like(output, requires_grad=True))
    first = torch.autograd.grad(output, primals, sources[-1], create_graph=True)
    first = [gradient for gradient in first if gradient.requires_grad]
    return lambda *cotangents: torch.autograd.grad(
        first, sources, cotangents, retain_graph=True, materialize_grads=True
    ), [gradient.detach() for gradient in first]


@pytest.mark.parametrize("create_graph", (False, True))
@pytest.mark.parametrize("order", (1, 2))
@pytest.mark.parametrize("routed", EVERY, ids=str)
@without_vmap_fallback()
def test_backward_of_an_eager_call_takes_batched_and_dual_cotangents(routed: Routed, order, create_graph, device):
    """The graph is older than the transform. What is saved in it is neither batched nor dual."""
    tensors, found = routed.tensors(device), []
    for f in (routed.ours, routed.judge):
        pull, like = backward_of_eager(f, tensors, order)
        with torch.set_grad_enabled(create_graph):
            batched = func.vmap(pull)(*stacked(tangents(like)))
            with forward_ad.dual_level():
                duals = [forward_ad.make_dual(one.cos(), t) for one, t in zip(like, tangents(like), strict=True)]
                dual = [tuple(forward_ad.unpack_dual(gradient)) for gradient in pull(*duals)]
        found.append((batched, [pair for pair in dual if pair[1] is not None]))
    assert_not_zero((batched[-1], found[0][1]))
    assert_same(*found)


@pytest.mark.parametrize("routed", EVERY, ids=str)
def test_gradients_by_batched_cotangents_are_differentiable_or_refused(routed: Routed, device):
    """torch's older batching, which is_grads_batched still is, has an autograd.Function lose what it is given, silently."""

    def first_and_second(f, batched):
        primals = leaves(routed.tensors(device))
        output = f(*primals).pow(3)
        directions = torch.stack(tangents((output, output))).cumsum(0).detach()
        first = batched(output, primals, directions)
        return first, torch.autograd.grad(sum(gradient.pow(2).sum() for gradient in first), primals)

    def vmapped(output, primals, directions):
        return func.vmap(lambda one: torch.autograd.grad(output, primals, one, create_graph=True))(directions)

    def older(output, primals, directions):
        return torch.autograd.grad(output, primals, directions, is_grads_batched=True, create_graph=True)

    actual = first_and_second(routed.ours, vmapped)
    assert_not_zero(actual)
    assert_same(actual, first_and_second(routed.judge, vmapped))
    with pytest.raises(NotImplementedError, match="torch.func"):
        first_and_second(routed.ours, older)


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
