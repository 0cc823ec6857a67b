"""projective_grid and flow_grid, and transform_grid in pixels: against the reference, in both orders."""

from __future__ import annotations

import pytest
import torch
from cases import ALIGN_CORNERS
from layouts import GRAD_OUTPUT_LAYOUTS, layout_id
from routed import assert_same_in_scale, tangents
from tolerances import PARITY
from torch.autograd import gradcheck, gradgradcheck
from warps import KINDS, Warp

import stn_cuda
from stn_cuda import reference

IN_SIZES = {2: (4, 1), 3: (3, 1, 5)}
SIZES = [(3, 4), (1, 5), (4, 1), (1, 1), (17, 33), (2, 3, 4), (1, 1, 6)]


def parameters_of(kind, size, device, dtype=torch.float64):
    dims = len(size)
    return Warp(kind, dims).tensors(device, dtype, in_size=IN_SIZES[dims], size=size)[1]


def operator(kind, size, pixels, align_corners):
    options = stn_cuda._C.TRANSFORM_KINDS[kind], size, IN_SIZES[len(size)], pixels, align_corners
    return lambda parameters: torch.ops.stn_cuda.transform_grid(parameters, *options)


@pytest.mark.parametrize("align_corners", ALIGN_CORNERS, ids=("edges", "centres"))
@pytest.mark.parametrize("pixels", (False, True), ids=("normalized", "pixels"))
@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("dtype", (torch.float32, torch.float64), ids=str)
@pytest.mark.parametrize("kind", KINDS)
def test_grid_and_gradient_are_the_definitions(kind, dtype, size, pixels, align_corners, device):
    results = []
    in_size = IN_SIZES[len(size)]
    for make in (operator(kind, size, pixels, align_corners),
                 lambda given: reference.transform_grid(given, kind, size, in_size, pixels, align_corners)):  # fmt: skip
        parameters = parameters_of(kind, size, device, dtype).requires_grad_()
        grid = make(parameters)
        results.append((grid, *torch.autograd.grad(grid, parameters, tangents([grid.detach()]), materialize_grads=True)))
    assert_same_in_scale(*results, PARITY[dtype])


@pytest.mark.parametrize("align_corners", ALIGN_CORNERS, ids=("edges", "centres"))
@pytest.mark.parametrize("pixels", (False, True), ids=("normalized", "pixels"))
@pytest.mark.parametrize("size", [(2, 3), (1, 2, 2)], ids=str)
@pytest.mark.parametrize("kind", KINDS)
def test_gradcheck_in_both_orders(kind, size, pixels, align_corners, device):
    parameters = parameters_of(kind, size, device).requires_grad_()
    make = operator(kind, size, pixels, align_corners)
    assert gradcheck(make, (parameters,), check_forward_ad=True, check_undefined_grad=False)
    assert gradgradcheck(make, (parameters,))


@pytest.mark.parametrize("align_corners", ALIGN_CORNERS, ids=("edges", "centres"))
def test_affine_grid_is_the_projective_grid_without_a_row_of_w(align_corners, device):
    theta = parameters_of("affine", (4, 5), device)
    row = torch.tensor([0.0, 0.0, 1.0], dtype=theta.dtype, device=device).expand(2, 1, 3)
    affine = stn_cuda.affine_grid(theta, (2, 1, 4, 5), align_corners=align_corners)
    PARITY[torch.float64].assert_close(stn_cuda.projective_grid(torch.cat([theta, row], 1), (4, 5), align_corners), affine)


def test_grid_is_nan_where_w_is_0_and_its_gradient_0(device):
    theta = torch.tensor([[[1.0, 0, 0.5], [0, 1, 0], [1, 0, 0]]], dtype=torch.float64, device=device, requires_grad=True)
    grid = stn_cuda.projective_grid(theta, (2, 3))
    assert grid[:, :, 1].isnan().all() and grid[:, :, [0, 2]].isfinite().all()
    (gradient,) = torch.autograd.grad(grid[:, :, 1].sum(), theta)
    assert not gradient.any()


@pytest.mark.parametrize("grad_layout", GRAD_OUTPUT_LAYOUTS, ids=layout_id)
@pytest.mark.parametrize("kind", KINDS)
def test_layouts_change_nothing(kind, grad_layout, device):
    size, in_size = (4, 5), IN_SIZES[2]
    parameters = parameters_of(kind, size, device)
    strided = parameters.mT.contiguous().mT
    options = stn_cuda._C.TRANSFORM_KINDS[kind], size, in_size, True, False
    ops = torch.ops.stn_cuda
    torch.testing.assert_close(ops._transform_grid(strided, None, *options), ops._transform_grid(parameters, None, *options))
    grad_grid = grad_layout(torch.sin(torch.arange(80, dtype=torch.float64, device=device)).view(2, 4, 5, 2))
    actual = ops.transform_grid_backward(grad_grid, strided, None, *options)
    expected = ops.transform_grid_backward(grad_grid.contiguous(), parameters, None, *options)
    PARITY[torch.float64].assert_close(actual, expected)


@pytest.mark.parametrize("dtype", (torch.float16, torch.bfloat16), ids=str)
def test_16_bit_parameters_give_a_grid_that_is_rounded_once(dtype, device):
    theta = parameters_of("projective", (4, 5), device, dtype)
    flow = parameters_of("flow", (4, 5), device, dtype)
    assert torch.equal(stn_cuda.projective_grid(theta, (4, 5)), stn_cuda.projective_grid(theta.float(), (4, 5)).to(dtype))
    assert torch.equal(stn_cuda.flow_grid(flow, (6, 7)), stn_cuda.flow_grid(flow.float(), (6, 7)).to(dtype))


def test_empty_batch(device):
    for kind in KINDS:
        parameters = parameters_of(kind, (3, 4), device)[:0].requires_grad_()
        grid = operator(kind, (3, 4), False, False)(parameters)
        assert grid.shape == (0, 3, 4, 2)
        assert torch.autograd.grad(grid.sum(), parameters)[0].shape == parameters.shape
