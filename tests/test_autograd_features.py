"""What programs rely on in torch's autograd: saved tensors, hooks, accumulation, determinism, anomaly mode, modules."""

from __future__ import annotations

import warnings

import pytest
import torch
import torch.nn.functional as F
from cases import Case
from routed import EVERY, ONE_EACH, Routed, assert_not_zero, assert_same, assert_same_in_scale, cubes, gradients, leaves
from torch import nn
from torch.utils.checkpoint import checkpoint_sequential

import stn_cuda

CASE = Case(2, "bilinear", "zeros", False)


def torch_gradients(routed: Routed, tensors):
    return gradients(routed.torchs, tensors)[1:]


# ---- what is saved ------------------------------------------------------------------------------------------------------


def keep_as_numpy():
    return torch.autograd.graph.saved_tensors_hooks(lambda tensor: tensor.detach().cpu().numpy().copy(), torch.from_numpy)


@pytest.mark.parametrize("hooks", (torch.autograd.graph.save_on_cpu, keep_as_numpy))
@pytest.mark.parametrize("routed", EVERY, ids=str)
def test_saved_tensor_hooks_may_move_and_convert_what_is_saved(routed: Routed, hooks, device):
    if hooks is keep_as_numpy and device.type != "cpu":
        pytest.skip("the arrays come back on the CPU")
    arguments = leaves(routed.tensors(device))
    with hooks():
        loss = cubes(routed.ours)(*arguments)
    assert_same(torch.autograd.grad(loss, arguments), torch_gradients(routed, arguments))


@pytest.mark.parametrize("create_graph", (False, True))
@pytest.mark.parametrize("routed", EVERY, ids=str)
def test_third_derivatives_take_hooks_of_saved_tensors(routed: Routed, create_graph, device):
    """torch.func refuses them; what goes through the reference has to do without it."""

    def third(f):
        arguments = leaves(routed.tensors(device))
        value = cubes(f)(*arguments)
        for order in range(3):
            found = torch.autograd.grad(value, arguments, create_graph=create_graph or order < 2)
            value = sum(gradient.pow(2).sum() for gradient in found)
        return found

    expected = third(routed.judge)
    with torch.autograd.graph.save_on_cpu():
        actual = third(routed.ours)
    assert all(gradient.requires_grad == create_graph for gradient in actual)
    assert_not_zero(actual)
    assert_same_in_scale(actual, expected)


@pytest.mark.parametrize("create_graph", (False, True))
@pytest.mark.parametrize("routed", ONE_EACH, ids=str)
def test_backward_saves_tensors_for_a_second_derivative_only_if_one_is_wanted(routed: Routed, create_graph, device):
    arguments, saved = leaves(routed.tensors(device)), []
    output = routed.ours(*arguments)
    grad_output = torch.ones_like(output)
    with torch.autograd.graph.saved_tensors_hooks(lambda tensor: saved.append(tensor) or tensor, lambda tensor: tensor):
        found = torch.autograd.grad(output, arguments, grad_output, create_graph=create_graph)
    if not create_graph:
        assert not saved and not any(gradient.requires_grad for gradient in found)
    elif routed is ONE_EACH[0]:
        assert saved and all(gradient.requires_grad for gradient in found)


def test_double_backward_saves_the_arguments_and_the_cotangent_and_nothing_it_made(device):
    """Coordinates, weights and copies would be many times that."""
    routed, saved = ONE_EACH[0], []
    arguments = leaves(routed.tensors(device))
    output = routed.ours(*arguments)
    grad_output = torch.ones_like(output, requires_grad=True)
    with torch.autograd.graph.saved_tensors_hooks(lambda tensor: saved.append(tensor) or tensor, lambda tensor: tensor):
        torch.autograd.grad(output, arguments, grad_output, create_graph=True)
    known = {tensor.data_ptr() for tensor in (*arguments, grad_output)}
    assert saved and {tensor.data_ptr() for tensor in saved} <= known


# ---- leaves and accumulation --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("routed", ONE_EACH, ids=str)
def test_leaf_updated_in_place_between_steps_gets_the_new_gradient(routed: Routed, device):
    arguments = leaves(routed.tensors(device))
    for _ in range(3):
        found = torch.autograd.grad(cubes(routed.ours)(*arguments), arguments)
        assert_same(found, torch_gradients(routed, arguments))
        with torch.no_grad():
            for argument, gradient in zip(arguments, found, strict=True):
                argument.sub_(gradient, alpha=1e-4)


@pytest.mark.parametrize("routed", ONE_EACH, ids=str)
def test_gradients_accumulate_into_a_grad_that_is_a_view(routed: Routed, device):
    """As optimisers with one flat buffer for all gradients have it."""
    arguments = leaves(routed.tensors(device))
    flat = torch.zeros(sum(a.numel() for a in arguments), dtype=torch.float64, device=device)
    for argument, part in zip(arguments, flat.split([a.numel() for a in arguments]), strict=True):
        argument.grad = part.view_as(argument)
    for _ in range(2):
        cubes(routed.ours)(*arguments).backward()
    assert_same(flat, 2 * torch.cat([gradient.flatten() for gradient in torch_gradients(routed, arguments)]))
    storages = {argument.grad.untyped_storage().data_ptr() for argument in arguments}
    assert storages == {flat.untyped_storage().data_ptr()}


@pytest.mark.parametrize("routed", ONE_EACH, ids=str)
def test_hooks_of_leaves_and_of_the_graph_run_once_a_backward(routed: Routed, device):
    arguments, counts = leaves(routed.tensors(device)), []
    for argument in arguments:
        argument.register_hook(lambda gradient: counts.append("hook"))
        argument.register_post_accumulate_grad_hook(lambda leaf: counts.append("accumulated"))
    output = routed.ours(*arguments)
    output.grad_fn.register_prehook(lambda gradients: counts.append("before"))
    output.grad_fn.register_hook(lambda inputs, outputs: counts.append("after"))
    output.pow(3).sum().backward()
    assert counts[:2] == ["before", "after"]
    assert sorted(counts[2:]) == sorted(["hook", "accumulated"] * len(arguments))


@pytest.mark.parametrize("routed", ONE_EACH, ids=str)
def test_backward_into_chosen_inputs_leaves_the_others_alone(routed: Routed, device):
    arguments = leaves(routed.tensors(device))
    cubes(routed.ours)(*arguments).backward(inputs=arguments[-1:])
    assert_same(arguments[-1].grad, torch_gradients(routed, arguments)[-1])
    assert all(argument.grad is None for argument in arguments[:-1])


@pytest.mark.parametrize("routed", ONE_EACH, ids=str)
def test_unused_input_is_none_or_zeros_as_asked(routed: Routed, device):
    arguments = leaves(routed.tensors(device))
    other = torch.ones(3, dtype=torch.float64, device=device, requires_grad=True)
    loss = cubes(routed.ours)(*arguments)
    assert torch.autograd.grad(loss, (*arguments, other), allow_unused=True, retain_graph=True)[-1] is None
    zeros = torch.autograd.grad(loss, (*arguments, other), materialize_grads=True)[-1]
    assert torch.equal(zeros, torch.zeros_like(other))


@pytest.mark.parametrize("routed", ONE_EACH, ids=str)
def test_gradients_switched_off_for_a_part_record_nothing_there(routed: Routed, device):
    arguments = leaves(routed.tensors(device))
    with torch.set_grad_enabled(False):
        assert routed.ours(*arguments).grad_fn is None
        with torch.enable_grad():
            assert routed.ours(*arguments).grad_fn is not None
    with torch.autograd.set_multithreading_enabled(False):
        assert_same(gradients(routed.ours, arguments), gradients(routed.torchs, arguments))


# ---- modes of autograd --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("warn_only", (False, True))
@pytest.mark.parametrize("routed", EVERY, ids=str)
def test_deterministic_algorithms_neither_warn_nor_raise_nor_change_the_result(routed: Routed, warn_only, device):
    def first_and_second(function):
        arguments = leaves(routed.tensors(device))
        first = torch.autograd.grad(cubes(function)(*arguments), arguments, create_graph=True)
        return *first, *torch.autograd.grad(sum(gradient.pow(2).sum() for gradient in first), arguments)

    expected = first_and_second(routed.ours)
    torch.use_deterministic_algorithms(True, warn_only=warn_only)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            actual = [first_and_second(routed.ours) for _ in range(2)]
    finally:
        torch.use_deterministic_algorithms(False)
    assert_same(actual[0], expected)
    assert all(torch.equal(one, other) for one, other in zip(*actual, strict=True))


@pytest.mark.filterwarnings("ignore:Anomaly Detection has been enabled")
@pytest.mark.parametrize("routed", ONE_EACH, ids=str)
def test_anomaly_mode_passes(routed: Routed, device):
    with torch.autograd.detect_anomaly(check_nan=True):
        actual = gradients(routed.ours, routed.tensors(device))
    assert_same(actual, gradients(routed.torchs, routed.tensors(device)))


@pytest.mark.filterwarnings("ignore:Anomaly Detection has been enabled")
def test_anomaly_mode_finds_no_nan_where_a_coordinate_is_nan(device):
    input, grid = CASE.tensors(device, torch.float64, away_from_kinks=True)
    grid[0, 0, 0, 0] = float("nan")
    with torch.autograd.detect_anomaly(check_nan=True):
        found = gradients(CASE.bind(stn_cuda.grid_sample), (input, grid))
    assert all(result.isfinite().all() for result in found)


# ---- modules ------------------------------------------------------------------------------------------------------------


class Warp(nn.Module):
    """Moves an image by its own theta."""

    def __init__(self, shift: float, functions) -> None:
        super().__init__()
        self.theta = nn.Parameter(torch.tensor([[[0.9, 0.1, shift], [-0.1, 1.1, 0.0]]], dtype=torch.float64))
        self.functions = functions

    def forward(self, image):
        theta = self.theta.expand(image.shape[0], 2, 3)
        grid = self.functions.affine_grid(theta, image.shape, align_corners=False)
        return self.functions.grid_sample(image, grid, align_corners=False)


def chain(functions, device):
    return nn.Sequential(*(Warp(shift, functions) for shift in (0.05, -0.1, 0.2))).to(device)


def image_leaf(device):
    generator = torch.Generator().manual_seed(4)
    return torch.randn(2, 2, 5, 6, dtype=torch.float64, generator=generator).to(device).requires_grad_()


def trained(module, run, image):
    run(module, image).pow(3).sum().backward()
    return [image.grad, *(parameter.grad for parameter in module.parameters())]


@pytest.mark.parametrize("use_reentrant", (False, True))
def test_chain_of_modules_in_checkpointed_segments_gets_torchs_gradients(use_reentrant, device):
    def run(module, image):
        return checkpoint_sequential(module, 2, image, use_reentrant=use_reentrant)

    actual = trained(chain(stn_cuda, device), run, image_leaf(device))
    assert_not_zero(actual)
    assert_same(actual, trained(chain(F, device), lambda module, image: module(image), image_leaf(device)))


@pytest.mark.parametrize("transform", (torch.func.grad, torch.func.jacfwd))
def test_module_called_with_other_parameters_is_differentiated_by_them(transform, device):
    image, module = image_leaf(device).detach(), chain(stn_cuda, device)
    parameters = {name: parameter.detach() * 0.9 for name, parameter in module.named_parameters()}
    actual = transform(lambda p: torch.func.functional_call(module, p, (image,)).pow(3).sum())(parameters)

    expected = chain(F, device)
    expected.load_state_dict(parameters)
    truth = trained(expected, lambda module, image: module(image), image_leaf(device))[1:]
    assert_not_zero(actual)
    assert_same(list(actual.values()), truth)
