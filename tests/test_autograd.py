"""What programs rely on around a backward: in-place checks, hooks, kept graphs, views, saved-tensor hooks."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from cases import Case, needs_torch_double_backward
from tolerances import PARITY
from torch.utils.checkpoint import checkpoint

import stn_cuda

DOUBLE = PARITY[torch.float64]
CASE = Case(2, "bilinear", "zeros", False)


@pytest.fixture
def leaves(device):
    input, grid = CASE.tensors(device, torch.float64, away_from_kinks=True)
    return input.requires_grad_(), grid.requires_grad_()


def torch_gradients(input, grid):
    """Those of the sum of squares."""
    return torch.autograd.grad(CASE.bind(F.grid_sample)(input, grid).square().sum(), (input, grid))


def sample(input, grid):
    return CASE.bind(stn_cuda.grid_sample)(input, grid)


@pytest.mark.parametrize("changed", (0, 1), ids=("input", "grid"))
def test_in_place_change_after_the_forward_raises_at_backward(changed, leaves):
    tensors = [leaf.clone() for leaf in leaves]
    output = sample(*tensors)
    tensors[changed].mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        output.sum().backward()


def test_output_may_be_changed_in_place(leaves):
    output = sample(*leaves)
    output.mul_(output.detach().clone())
    gradients = torch.autograd.grad(2 * output.sum(), leaves)
    for actual, expected in zip(gradients, torch_gradients(*leaves), strict=True):
        DOUBLE.assert_close(actual, expected)


def test_retained_graph_gives_the_same_gradients_again(leaves):
    loss = sample(*leaves).square().sum()
    first = torch.autograd.grad(loss, leaves, retain_graph=True)
    second = torch.autograd.grad(loss, leaves)
    assert all(torch.equal(one, other) for one, other in zip(first, second, strict=True))
    with pytest.raises(RuntimeError, match="second time"):
        torch.autograd.grad(loss, leaves)


def test_hooks_on_the_output_see_and_change_the_gradient(leaves):
    expected = torch_gradients(*leaves)
    output = sample(*leaves)
    seen = []
    output.register_hook(lambda gradient: seen.append(gradient) or 3 * gradient)
    gradients = torch.autograd.grad(output.square().sum(), leaves)
    DOUBLE.assert_close(seen[0], 2 * output.detach())
    for actual, once in zip(gradients, expected, strict=True):
        DOUBLE.assert_close(actual, 3 * once)


def test_expanded_cotangent_of_sum_equals_dense_ones(leaves):
    output = sample(*leaves)
    expanded = torch.autograd.grad(output.sum(), leaves, retain_graph=True)
    dense = torch.autograd.grad(output, leaves, torch.ones_like(output))
    assert all(torch.equal(one, other) for one, other in zip(expanded, dense, strict=True))


def test_gradient_of_an_argument_that_is_a_view_reaches_its_base(leaves):
    base = torch.zeros(2, 6, 5, 6, dtype=torch.float64, device=leaves[0].device)
    base[:, ::2] = leaves[0].detach()
    base.requires_grad_()
    sample(base[:, ::2], leaves[1]).square().sum().backward()
    DOUBLE.assert_close(base.grad[:, ::2], torch_gradients(*leaves)[0])
    assert not base.grad[:, 1::2].any()


@pytest.mark.parametrize("use_reentrant", (False, True))
def test_checkpoint_gives_the_same_gradients(use_reentrant, leaves):
    output = checkpoint(sample, *leaves, use_reentrant=use_reentrant)
    output.square().sum().backward()
    for leaf, expected in zip(leaves, torch_gradients(*leaves), strict=True):
        DOUBLE.assert_close(leaf.grad, expected)


def test_only_input_and_grid_are_saved(leaves):
    saved = []
    with torch.autograd.graph.saved_tensors_hooks(lambda tensor: saved.append(tensor) or tensor, lambda x: x):
        output = sample(*leaves)
    assert {tensor.data_ptr() for tensor in saved} == {leaf.data_ptr() for leaf in leaves}
    output.square().sum().backward()
    for leaf, expected in zip(leaves, torch_gradients(*leaves), strict=True):
        DOUBLE.assert_close(leaf.grad, expected)


@pytest.mark.parametrize("mode", (torch.no_grad, torch.inference_mode))
def test_without_gradients_nothing_is_recorded(mode, leaves):
    expected = sample(*leaves)
    with mode():
        output = sample(*leaves)
    assert not output.requires_grad and output.grad_fn is None
    assert torch.equal(output, expected)


def test_unused_argument_may_be_asked_for(leaves):
    other = torch.ones(1, dtype=torch.float64, requires_grad=True)
    loss = sample(leaves[0], leaves[1].detach()).sum()
    gradients = torch.autograd.grad(loss, (leaves[0], other), allow_unused=True)
    assert gradients[0] is not None and gradients[1] is None


@pytest.mark.parametrize("create_graph", (False, pytest.param(True, marks=needs_torch_double_backward)))
def test_grid_that_depends_on_the_input_counts_each_path_once(create_graph, leaves):
    """As in a spatial transformer, whose localisation network sees the image: two paths, each to be counted once."""
    image, base = leaves

    def loss(sampler):
        offset = image.mean(dim=(1, 2, 3)).tanh().reshape(-1, 1, 1, 1) / 64  # too small to reach a kink
        return CASE.bind(sampler)(image, base.detach() + offset).square().sum()

    gradients = []
    for sampler in (stn_cuda.grid_sample, F.grid_sample):
        (gradient,) = torch.autograd.grad(loss(sampler), image, create_graph=create_graph)
        gradients.append([gradient])
        if create_graph:
            gradients[-1] += torch.autograd.grad(gradient.square().sum(), image)
    for actual, expected in zip(*gradients, strict=True):
        DOUBLE.assert_close(actual, expected)
