"""The transforms' operators: their contracts with torch's dispatcher, masks, determinism, autocast."""

from __future__ import annotations

import pytest
import torch
from routed import tangents
from test_operators import CHECKS, MASKS
from tolerances import EXACT, PARITY
from warps import KINDS, Warp

import stn_cuda

ops = torch.ops.stn_cuda


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("requires_grad", (False, True), ids=("constant", "requires_grad"))
@pytest.mark.parametrize("dims", (2, 3))
@pytest.mark.parametrize("kind", KINDS)
def test_opcheck(kind, dims, requires_grad, check, device):
    warp = Warp(kind, dims)
    input, parameters, size = warp.tensors(device)
    options = warp.operator_options(size)
    arguments = input.requires_grad_(requires_grad), parameters.requires_grad_(requires_grad)
    torch.library.opcheck(ops.transform_sample.default, (*arguments, *options), test_utils=check)
    grid_options = options[0], size, list(input.shape[2:]), True, False
    torch.library.opcheck(ops.transform_grid.default, (arguments[1], *grid_options), test_utils=check)
    if requires_grad:
        return
    (grad_output,) = tangents([torch.empty(2, 3, *size, dtype=torch.float64, device=device)])
    for mask in MASKS:
        torch.library.opcheck(
            ops.transform_sample_backward.default, (grad_output, input, parameters, *options, mask, False), test_utils=check)
    (tangent,) = tangents([parameters])
    (grad_grid,) = tangents([torch.empty(2, *size, dims, dtype=torch.float64, device=device)])
    for given in (None, tangent):
        torch.library.opcheck(ops._transform_grid.default, (parameters, given, *grid_options), test_utils=check)
        torch.library.opcheck(
            ops.transform_grid_backward.default, (grad_grid, parameters, given, *grid_options), test_utils=check)


@pytest.mark.parametrize("mask", MASKS, ids=str)
@pytest.mark.parametrize("kind", KINDS)
def test_output_mask_leaves_out_what_is_not_wanted_and_changes_nothing_else(kind, mask, device):
    warp = Warp(kind, 2)
    input, parameters, size = warp.tensors(device)
    (grad_output,) = tangents([torch.empty(2, 3, *size, dtype=torch.float64, device=device)])

    def gradients(mask):
        return ops.transform_sample_backward(
            grad_output, input, parameters, *warp.operator_options(size), mask, kind == "flow")  # flow: atomics otherwise

    for wanted, result, full in zip(mask, gradients(mask), gradients([True, True, False]), strict=True):
        if wanted:
            EXACT.assert_close(result, full)
        else:
            assert result is None


@pytest.mark.parametrize("padding_mode", ("zeros", "reflection"))
@pytest.mark.parametrize("kind", KINDS)
def test_flow_is_deterministic_on_demand_and_theta_always(kind, padding_mode, device):
    """The same bits twice, and the right ones; with many locations to a pixel."""
    warp = Warp(kind, 2, "bilinear", padding_mode)
    input, parameters, size = warp.tensors(device, torch.float32, in_size=(3, 4), size=(31, 33))
    (grad_output,) = tangents([torch.empty(2, 3, *size, device=device)])
    options = warp.operator_options(size)
    results = [ops.transform_sample_backward(
        grad_output, input, parameters, *options, [True, True, False], kind == "flow")[:2] for _ in range(2)]
    leaves = [tensor.double().requires_grad_() for tensor in (input, parameters)]
    expected = torch.autograd.grad(warp.judge(size)(*leaves), leaves, grad_output.double())
    for one, other, exact in zip(*results, expected, strict=True):
        assert torch.equal(one, other)
        scale = exact.abs().max()
        PARITY[torch.float32].assert_close(one / scale, (exact / scale).float())


@pytest.mark.parametrize("kind", KINDS)
def test_under_autocast_as_grid_sample(kind, device):
    warp = Warp(kind, 2)
    input, parameters, size = warp.tensors(device, torch.float32)
    with torch.autocast(device.type, torch.bfloat16):
        for image in (input, input.bfloat16()):
            grid = torch.zeros(2, *size, 2, device=device, dtype=parameters.dtype)
            output = warp.bind(size)(image, parameters)
            assert output.dtype == stn_cuda.grid_sample(image, grid, align_corners=False).dtype
            assert ops.transform_sample(image, parameters, *warp.operator_options(size)).dtype == output.dtype
        assert stn_cuda.projective_grid(torch.eye(3, device=device, dtype=torch.bfloat16)[None], (2, 2)).dtype == torch.float32


@pytest.mark.parametrize("kind", KINDS)
def test_a_tensor_with_a_torch_function_is_handed_the_call(kind, device):
    class Handler(torch.Tensor):
        @classmethod
        def __torch_function__(cls, function, types, args=(), kwargs=None):
            return function.__name__, len(args)

    input, parameters, size = Warp(kind, 2).tensors(device)
    assert Warp(kind, 2).bind(size)(input, parameters.as_subclass(Handler)) == (f"{kind}_sample", 2)
