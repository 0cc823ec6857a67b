"""Every derivative against finite differences: forward mode, batched, second order in all combinations, and third order.

``test_gradients`` has gradcheck in reverse mode alone, for each argument by itself too.
"""

from __future__ import annotations

import pytest
import torch
from cases import Case, all_cases, differentiable_cases
from routed import assert_not_zero, assert_same, assert_same_in_scale
from torch.autograd import gradcheck, gradgradcheck

import stn_cuda
from stn_cuda import reference

pytestmark = pytest.mark.usefixtures("sums_in_order")

# Finite differences cost a call an element, and their second derivatives several: in 3-D one batch, in 2-D two
IN_SIZE, OUT_SIZE = (2, 2, 2), (1, 1, 2)
SEED = 536  # which gives what the first test asks for
AFFINE_SIZES = [(2, 1, 2, 3), (1, 1, 1, 2), (1, 1, 2, 1, 2)]


def leaves(case: Case, device):
    sizes = {"in_size": IN_SIZE[-case.dims :], "out_size": OUT_SIZE[-case.dims :]}
    tensors = case.tensors(device, torch.float64, away_from_kinks=True, batch=4 - case.dims, channels=1, seed=SEED, **sizes)
    return tuple(tensor.requires_grad_() for tensor in tensors)


def theta_leaf(size, device):
    dims = len(size) - 2
    theta = torch.randn(size[0], dims, dims + 1, dtype=torch.float64, generator=torch.Generator().manual_seed(6))
    return theta.to(device).requires_grad_()


def assert_first_derivatives(function, tensors):
    assert gradcheck(
        function,
        tensors,
        check_forward_ad=True,
        check_batched_grad=True,
        check_batched_forward_grad=True,
    )


def assert_second_derivatives(function, tensors):
    assert gradgradcheck(
        function,
        tensors,
        check_fwd_over_rev=True,
        check_rev_over_rev=True,
        check_batched_grad=True,
    )


@pytest.mark.parametrize("case", all_cases(), ids=str)
def test_few_as_they_are_the_locations_lie_in_the_image_and_beyond_it(case: Case):
    input, grid = leaves(case, torch.device("cpu"))
    to_edge = 1.0 if case.align_corners else 0.5  # normalised; from the centre to those of the end pixels, 2 pixels apart
    inside = grid.abs() < to_edge
    assert inside.all(-1).any() and not inside.all()
    assert (grid.abs() > 2).any()


@pytest.mark.parametrize("case", differentiable_cases(), ids=str)
def test_first_derivatives_of_grid_sample_in_both_modes_alone_and_batched(case: Case, device):
    assert_first_derivatives(case.bind(stn_cuda.grid_sample), leaves(case, device))


@pytest.mark.parametrize("case", differentiable_cases(), ids=str)
def test_second_derivatives_of_grid_sample_forward_and_reverse_over_reverse(case: Case, device):
    assert_second_derivatives(case.bind(stn_cuda.grid_sample), leaves(case, device))


@pytest.mark.parametrize("case", [case for case in all_cases() if case.mode == "nearest"], ids=str)
def test_derivatives_of_nearest_in_the_input_and_zeros_in_the_grid(case: Case, device):
    """Away from ties nearest is constant in the grid, and so finite differences judge it too."""
    assert_first_derivatives(case.bind(stn_cuda.grid_sample), leaves(case, device))
    assert_second_derivatives(case.bind(stn_cuda.grid_sample), leaves(case, device))


@pytest.mark.filterwarnings("ignore:Since version 1.3.0, affine_grid behavior:UserWarning")
@pytest.mark.parametrize("align_corners", (False, True), ids=("edges", "centres"))
@pytest.mark.parametrize("size", AFFINE_SIZES, ids=str)
def test_first_and_second_derivatives_of_affine_grid_in_both_modes(size, align_corners, device):
    def grid(theta):
        return stn_cuda.affine_grid(theta, size, align_corners)

    tensors = (theta_leaf(size, device),)
    assert_first_derivatives(grid, tensors)
    assert_second_derivatives(grid, tensors)
    assert_second_derivatives(lambda theta: grid(theta).pow(3), tensors)  # whose second derivative is not zero


@pytest.mark.parametrize("dims", (2, 3))
def test_derivatives_when_both_functions_are_one_program(dims, device):
    """As in a spatial transformer: theta to grid to samples."""
    case = Case(dims, "bilinear", "border", False)
    image = leaves(case, device)[0]
    batch = image.shape[0]
    size = (batch, 1, *OUT_SIZE[-dims:])
    row = torch.linspace(0.1, 0.3, dims * (dims + 1), dtype=torch.float64, device=device).view(1, dims, dims + 1)
    sign = torch.tensor([1.0, -0.7], dtype=torch.float64, device=device)[:batch].view(batch, 1, 1)

    def transform(image, theta):
        return case.bind(stn_cuda.grid_sample)(image, stn_cuda.affine_grid(theta, size, False))

    theta = (row * sign).requires_grad_()
    assert_first_derivatives(transform, (image, theta))
    assert_second_derivatives(transform, (image, theta))


@pytest.mark.parametrize("deterministic", (False, True))
def test_derivatives_by_one_argument_while_the_other_is_constant(deterministic, device):
    case = Case(2, "bilinear", "zeros", False)
    input, grid = leaves(case, device)
    torch.use_deterministic_algorithms(deterministic)
    try:
        for tensors in ((input, grid.detach()), (input.detach(), grid)):
            assert_first_derivatives(case.bind(stn_cuda.grid_sample), tensors)
            assert_second_derivatives(case.bind(stn_cuda.grid_sample), tensors)
    finally:
        torch.use_deterministic_algorithms(False)


def derivatives_up_to_the_third(function, tensors):
    """Of a sum of cubes, each the gradient of the sum of the one before, and so with every mixed term in it."""
    leaves = [tensor.detach().clone().requires_grad_() for tensor in tensors]
    value, found = function(*leaves).pow(3).sum(), []
    for _ in range(3):
        found.append(torch.autograd.grad(value, leaves, create_graph=True))
        value = sum(gradient.pow(2).sum() for gradient in found[-1])
    return found


@pytest.mark.parametrize("case", differentiable_cases(), ids=str)
def test_third_derivatives_of_grid_sample_equal_the_references(case: Case, device):
    tensors = leaves(case, device)
    actual = derivatives_up_to_the_third(case.bind(stn_cuda.grid_sample), tensors)
    assert_not_zero(actual)
    expected = derivatives_up_to_the_third(case.bind(reference.grid_sample), tensors)
    assert_same_in_scale(actual, expected)


@pytest.mark.parametrize("align_corners", (False, True), ids=("edges", "centres"))
@pytest.mark.parametrize("size", [(2, 1, 2, 3), (1, 1, 2, 3, 2)], ids=str)
def test_third_derivatives_of_affine_grid_equal_the_references(size, align_corners, device):
    tensors = (theta_leaf(size, device),)
    actual, expected = (
        derivatives_up_to_the_third(lambda theta, f=f: f(theta, size, align_corners), tensors)
        for f in (stn_cuda.affine_grid, reference.affine_grid)
    )
    assert_not_zero(actual)
    assert_same(actual, expected)
