"""Transforms around a backward alone: the graph is older than the transform."""

from __future__ import annotations

import pytest
import torch
from routed import EVERY, Routed, assert_not_zero, assert_same, leaves, tangents, without_vmap_fallback
from torch import func
from torch.autograd import forward_ad
from transforms import stacked


def backward_of_eager(f, tensors, order):
    """The gradients as a function of their cotangent; with order 2 of their own gradients' cotangents, of a graph made here."""
    primals = leaves(tensors)
    output = f(*primals)
    if order == 1:
        return lambda *cotangents: torch.autograd.grad(output, primals, cotangents, retain_graph=True), (output.detach(),)
    sources = (*primals, torch.ones_like(output, requires_grad=True))
    first = torch.autograd.grad(output, primals, sources[-1], create_graph=True)
    first = [gradient for gradient in first if gradient.requires_grad]
    return lambda *cotangents: torch.autograd.grad(first, sources, cotangents, retain_graph=True, materialize_grads=True), [
        gradient.detach() for gradient in first
    ]


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
