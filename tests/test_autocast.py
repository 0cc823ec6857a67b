"""Autocast: torch's dtypes for every mix of image and grid, gradients in each argument's dtype, values as of float64."""

from __future__ import annotations

import itertools

import pytest
import torch
import torch.nn.functional as F
from cases import Case
from tolerances import PARITY
from torch import nn
from torch.autograd import forward_ad

import stn_cuda
from stn_cuda import reference

HALVES = (torch.float16, torch.bfloat16)
SHORT = (*HALVES, torch.float32)
EVERY = (*SHORT, torch.float64)
CASES = [
    Case(2, "bilinear", "zeros", False),
    Case(2, "nearest", "border", False),
    Case(3, "bilinear", "reflection", False),
    Case(2, "bicubic", "border", False),
]
BILINEAR = CASES[0]
SIZE = (2, 1, 3, 5)


def mixes(*dtypes):
    names = {
        pair: "-".join(str(dtype).removeprefix("torch.") for dtype in pair) for pair in itertools.product(dtypes, repeat=2)
    }
    return [pytest.param(*pair, id=name) for pair, name in names.items()]


def tensors(case: Case, image_dtype, grid_dtype, device):
    """Float32's exact coordinates, rounded to the dtypes: those of 16 bits are exact in float32 again."""
    input, grid = case.tensors(device, torch.float32, away_from_kinks=True)
    return input.to(image_dtype), grid.to(grid_dtype)


def autocast(device, dtype=torch.bfloat16, **options):
    return torch.autocast(device.type, dtype=dtype, **options)


def cotangent(output):
    """Numbers of few bits, so that a loss of dtype shows in nothing but the results."""
    return (torch.arange(output.numel(), device=output.device) % 7 - 3).to(output.dtype).view_as(output) / 4


def gradients(output, leaves):
    return torch.autograd.grad(output, leaves, cotangent(output))


def assert_close_to_float64(actual, expected):
    assert expected.any()
    PARITY[actual.dtype].assert_close(actual.double(), expected)


def exact(case: Case, input, grid):
    """Output and gradients in float64 from what the rounded tensors hold."""
    leaves = input.detach().double().requires_grad_(), grid.detach().double().requires_grad_()
    output = case.bind(reference.grid_sample)(*leaves)
    return output.detach(), *gradients(output, leaves)


@pytest.mark.parametrize("autocast_dtype", HALVES, ids=str)
@pytest.mark.parametrize("image_dtype, grid_dtype", mixes(*EVERY))
def test_dtype_of_the_result_is_torchs_for_every_mix(image_dtype, grid_dtype, autocast_dtype, device):
    input, grid = tensors(BILINEAR, image_dtype, grid_dtype, device)
    with autocast(device, autocast_dtype):
        try:
            expected = BILINEAR.bind(F.grid_sample)(input, grid).dtype
        except RuntimeError:  # float64 with another
            expected = None
        try:
            actual = BILINEAR.bind(stn_cuda.grid_sample)(input, grid).dtype
        except RuntimeError as error:
            assert expected is None and "dtype" in str(error)
        else:
            assert actual == (torch.float64 if expected is None else expected)


@pytest.mark.parametrize("image_dtype, grid_dtype", mixes(*SHORT))
@pytest.mark.parametrize("case", CASES, ids=str)
def test_values_and_gradients_of_every_mix_are_those_of_float64(case: Case, image_dtype, grid_dtype, device):
    leaves = [tensor.requires_grad_() for tensor in tensors(case, image_dtype, grid_dtype, device)]
    with autocast(device):
        output = case.bind(stn_cuda.grid_sample)(*leaves)
    expected = exact(case, *leaves)
    assert_close_to_float64(output.detach(), expected[0])
    for leaf, gradient, truth in zip(leaves, gradients(output, leaves), expected[1:], strict=True):
        assert gradient.dtype == leaf.dtype
        if case.mode == "nearest" and leaf is leaves[1]:
            assert not gradient.any()
        else:
            assert_close_to_float64(gradient, truth)


def test_float64_stays_float64(device):
    leaves = [tensor.requires_grad_() for tensor in tensors(BILINEAR, torch.float64, torch.float64, device)]
    with autocast(device):
        output = BILINEAR.bind(stn_cuda.grid_sample)(*leaves)
    for actual, truth in zip((output.detach(), *gradients(output, leaves)), exact(BILINEAR, *leaves), strict=True):
        assert_close_to_float64(actual, truth)


@pytest.mark.parametrize("image_dtype, grid_dtype", mixes(*SHORT))
def test_backward_inside_outside_and_under_another_autocast_are_the_same(image_dtype, grid_dtype, device):
    leaves = [tensor.requires_grad_() for tensor in tensors(BILINEAR, image_dtype, grid_dtype, device)]
    with autocast(device):
        output = BILINEAR.bind(stn_cuda.grid_sample)(*leaves)
        grad_output = cotangent(output)
        inside = torch.autograd.grad(output, leaves, grad_output, retain_graph=True)
    outside = torch.autograd.grad(output, leaves, grad_output, retain_graph=True)
    with autocast(device, torch.float16):
        other = torch.autograd.grad(output, leaves, grad_output)
    for one, two, three in zip(inside, outside, other, strict=True):
        assert one.dtype == two.dtype == three.dtype
        assert torch.equal(one, two) and torch.equal(one, three)


def test_backward_of_a_call_outside_stays_as_it_was_under_autocast(device):
    leaves = [tensor.requires_grad_() for tensor in tensors(BILINEAR, torch.float32, torch.float32, device)]
    output = BILINEAR.bind(stn_cuda.grid_sample)(*leaves)
    expected = torch.autograd.grad(output, leaves, cotangent(output), retain_graph=True)
    with autocast(device):
        actual = torch.autograd.grad(output, leaves, cotangent(output))
    assert all(torch.equal(one, other) and one.dtype == other.dtype for one, other in zip(actual, expected, strict=True))


@pytest.mark.parametrize("image_dtype, grid_dtype", mixes(*SHORT))
def test_arguments_are_saved_as_they_are_and_not_as_copies(image_dtype, grid_dtype, device):
    leaves = [tensor.requires_grad_() for tensor in tensors(BILINEAR, image_dtype, grid_dtype, device)]
    saved = []
    with autocast(device), torch.autograd.graph.saved_tensors_hooks(lambda t: saved.append(t) or t, lambda t: t):
        BILINEAR.bind(stn_cuda.grid_sample)(*leaves)
    assert {(tensor.data_ptr(), tensor.dtype) for tensor in saved} == {(leaf.data_ptr(), leaf.dtype) for leaf in leaves}


def test_autocast_that_is_switched_off_changes_nothing(device):
    for dtype in (torch.float32, torch.float64, *HALVES):
        input, grid = tensors(BILINEAR, dtype, dtype, device)
        with autocast(device), autocast(device, enabled=False):
            assert BILINEAR.bind(stn_cuda.grid_sample)(input, grid).dtype == dtype


@pytest.mark.parametrize("image_dtype, grid_dtype", mixes(*SHORT))
def test_second_derivatives_have_each_arguments_dtype_and_float64s_values(image_dtype, grid_dtype, device):
    leaves = [tensor.requires_grad_() for tensor in tensors(BILINEAR, image_dtype, grid_dtype, device)]
    with autocast(device):
        output = BILINEAR.bind(stn_cuda.grid_sample)(*leaves)
    (first,) = torch.autograd.grad(output, leaves[1], cotangent(output), create_graph=True)
    second = torch.autograd.grad(first, leaves, cotangent(first))

    doubles = [leaf.detach().double().requires_grad_() for leaf in leaves]
    output = BILINEAR.bind(reference.grid_sample)(*doubles)
    (first,) = torch.autograd.grad(output, doubles[1], cotangent(output), create_graph=True)
    for actual, leaf, truth in zip(second, leaves, torch.autograd.grad(first, doubles, cotangent(first)), strict=True):
        assert actual.dtype == leaf.dtype
        assert_close_to_float64(actual, truth)


def through_vmap(function, input, grid):
    return torch.func.vmap(function)(input[None], grid[None])[0]


def through_compile(function, input, grid):
    torch._dynamo.reset()
    return torch.compile(function, fullgraph=True, backend="aot_eager")(input, grid)


def through_dual_numbers(function, input, grid):
    with forward_ad.dual_level():
        duals = [forward_ad.make_dual(tensor, torch.ones_like(tensor)) for tensor in (input, grid)]
        output, tangent = forward_ad.unpack_dual(function(*duals))
    assert tangent.dtype == output.dtype and tangent.any()
    return output


@pytest.mark.parametrize("route", (through_vmap, through_compile, through_dual_numbers))
@pytest.mark.parametrize("image_dtype, grid_dtype", mixes(*HALVES, torch.float32))
def test_every_route_gives_the_dtype_of_the_eager_one(image_dtype, grid_dtype, route, device):
    input, grid = tensors(BILINEAR, image_dtype, grid_dtype, device)
    with autocast(device):
        eager = BILINEAR.bind(stn_cuda.grid_sample)(input, grid)
        actual = route(BILINEAR.bind(stn_cuda.grid_sample), input, grid)
    assert actual.dtype == eager.dtype
    PARITY[actual.dtype].assert_close(actual, eager)


# ---- affine_grid --------------------------------------------------------------------------------------------------------


def theta_leaf(dtype, device):
    theta = torch.randn(2, 2, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    return theta.to(device, dtype).requires_grad_()


@pytest.mark.parametrize("within", (False, True), ids=("plain", "autocast"))
@pytest.mark.parametrize("dtype", EVERY, ids=str)
def test_affine_grid_of_16_bit_theta_is_float32_under_autocast_and_thetas_dtype_without(dtype, within, device):
    theta = theta_leaf(dtype, device)
    with autocast(device, enabled=within):
        grid = stn_cuda.affine_grid(theta, SIZE, False)
    assert grid.dtype == (torch.float32 if within and dtype in HALVES else dtype)
    double = theta.detach().double().requires_grad_()
    truth = reference.affine_grid(double, SIZE, False)
    assert_close_to_float64(grid.detach(), truth.detach())
    (gradient,) = gradients(grid, theta)
    assert gradient.dtype == dtype
    assert_close_to_float64(gradient, *gradients(truth, double))


class Localised(nn.Module):
    """A transformer whose theta comes out of a layer that autocast runs in 16 bits."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(8, 6)

    def forward(self, image):
        theta = self.layer(image.mean(dim=(1, 2)).float()).view(-1, 2, 3)
        return theta, stn_cuda.grid_sample(image, stn_cuda.affine_grid(theta, image.shape, False), align_corners=False)


def test_transformer_trains_under_autocast_with_float32_parameters_and_grid(device):
    torch.manual_seed(0)
    module, image = Localised().to(device), torch.randn(2, 3, 4, 8, device=device).bfloat16()
    with autocast(device):
        theta, output = module(image)
    assert (theta.dtype, output.dtype) == (torch.bfloat16, torch.float32)
    output.square().sum().backward()
    for parameter in module.parameters():
        assert parameter.grad.dtype == torch.float32 and parameter.grad.any()
