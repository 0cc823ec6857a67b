"""What only the CPU backend has: instruction sets, and 32- and 64-bit offsets."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from beyond import FEW, Row
from cases import DTYPES, Case, all_cases, torch_grid_sample
from conftest import INSTRUCTION_SETS
from tolerances import PARITY, parity

import stn_cuda

use_instruction_set = torch.ops.stn_cuda._use_instruction_set


@pytest.fixture(autouse=True)
def only_on_the_cpu(device):
    if device.type != "cpu":
        pytest.skip("the CPU backend's own tests")


@pytest.fixture
def instruction_set(request):
    index = INSTRUCTION_SETS.index(request.param)
    if index >= use_instruction_set(-1):
        pytest.skip(f"this machine does not run {request.param}")
    use_instruction_set(index)
    yield request.param
    use_instruction_set(-1)


def results(sampler, case: Case, input, grid):
    leaves = input.detach().requires_grad_(), grid.detach().requires_grad_()
    output = case.bind(sampler)(*leaves)
    return output.detach(), *torch.autograd.grad(output.square().sum(), leaves)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("case", all_cases(), ids=str)
@pytest.mark.parametrize("instruction_set", INSTRUCTION_SETS, indirect=True)
def test_every_instruction_set_equals_torch(instruction_set, case: Case, dtype, device):
    # 1,200 or 1,080 locations: whole tiles and a rest
    out_size = (30, 40) if case.dims == 2 else (9, 10, 12)
    tensors = case.tensors(device, dtype, away_from_kinks=True, out_size=out_size)
    for actual, expected in zip(results(stn_cuda.grid_sample, case, *tensors), results(torch_grid_sample, case, *tensors)):
        parity(case.mode, dtype).assert_close(actual, expected)


@pytest.mark.parametrize("instruction_set", INSTRUCTION_SETS, indirect=True)
def test_affine_grid_of_every_instruction_set_equals_torch(instruction_set, device):
    theta = torch.randn(3, 2, 3, dtype=torch.float64, device=device, requires_grad=True)
    grids = [module.affine_grid(theta, (3, 1, 70, 61), align_corners=True) for module in (stn_cuda, F)]
    gradients = [torch.autograd.grad(grid.square().sum(), theta)[0] for grid in grids]
    PARITY[torch.float64].assert_close(*grids)
    PARITY[torch.float64].assert_close(*gradients)


def test_unknown_instruction_set_raises():
    for index in (-2, 3):
        with pytest.raises(ValueError, match="no such set"):
            use_instruction_set(index)


def test_build_info_names_the_best_instruction_set():
    assert stn_cuda.build_info()["instruction_set"] == INSTRUCTION_SETS[use_instruction_set(-1) - 1]


@pytest.mark.parametrize("case", all_cases(), ids=str)
def test_offsets_beyond_32_bits_equal_torch(case: Case, device):
    """A few pixels, far apart: 2^31 elements and more from one end of a plane to the other. Almost none of the memory is
    touched, so it costs address space only."""
    input, grid = case.tensors(device, torch.float32, away_from_kinks=True, batch=1, channels=1)
    far = 2**31 // (input.shape[2] - 1) + 1000
    storage = torch.empty((input.shape[2] - 1) * far + input[0, 0, 0].numel(), dtype=torch.float32, device=device)
    spread = storage.as_strided(input.shape, (0, 0, far, *input.stride()[3:])).copy_(input)
    assert max(spread.storage_offset() + far * (input.shape[2] - 1), 0) >= 2**31
    for actual, expected in zip(results_of_view(case, spread, grid), results(torch_grid_sample, case, input, grid)):
        parity(case.mode, torch.float32).assert_close(actual, expected)


def results_of_view(case: Case, view, grid):
    """As results(), but the input keeps its strides; its gradient is dense."""
    arguments = (view, grid, *case.operator_options())
    output = torch.ops.stn_cuda._grid_sample(*arguments)
    gradients = torch.ops.stn_cuda.grid_sample_backward(2 * output, *arguments, [True, True, False], False)
    return output, *gradients[:2]


def spread(tensor, axis):
    """The same elements, 2^31 and more from the first to the last along an axis. What lies between is never touched."""
    far = 2**31 // (tensor.shape[axis] - 1) + 1000
    strides = [0] * tensor.dim()
    extent = 1
    for other in reversed(range(tensor.dim())):
        if other != axis:
            strides[other], extent = extent, extent * tensor.shape[other]
    strides[axis] = far
    storage = torch.empty((tensor.shape[axis] - 1) * far + extent, dtype=tensor.dtype, device=tensor.device)
    return storage.as_strided(tensor.shape, strides).copy_(tensor)


@pytest.mark.parametrize("which, axis", [(0, -1), (1, 1)], ids=("input", "grid"))
@pytest.mark.parametrize("row", FEW, ids=str)
def test_offsets_beyond_32_bits_with_options_beyond_torchs(row: Row, which, axis, device):
    """Of pixels along x, and of locations; values and gradients of two orders."""
    tensors = row.tensors(device)
    far = list(tensors)
    far[which] = spread(tensors[which], axis % tensors[which].dim())

    def found(given):
        leaves = [tensor.detach().requires_grad_() for tensor in given]
        output = row.bind(stn_cuda.grid_sample)(*leaves)
        first = torch.autograd.grad(output.square().sum(), leaves, create_graph=True)
        return output, *first, *torch.autograd.grad(sum(g.square().sum() for g in first), leaves)

    for one, other in zip(found(far), found(tensors), strict=True):
        PARITY[torch.float64].assert_close(one, other)


MIXED = ("zeros", "border", "reflection", ("circular", "border"), ("border", "circular"))


@pytest.mark.parametrize("padding_mode", MIXED, ids=str)
def test_images_of_more_than_2_to_the_31_elements_by_a_stride_of_0(padding_mode, device):
    """Every row is the same ramp, every channel the same image: its values and its gradient by the grid are known."""
    width, height, channels = 46341, 46341, 3
    image = torch.arange(float(width), dtype=torch.float64, device=device).expand(1, channels, height, width)
    assert image[0, 0].numel() > 2**31
    at = torch.tensor([[[0.25, 5.5], [width - 1.75, height - 1.5], [20000.5, 46000.25], [3.0, 0.0]]], dtype=torch.float64)
    grid = at.to(device).requires_grad_()
    output = stn_cuda.grid_sample(image, grid, padding_mode=padding_mode, coordinates="pixel")
    PARITY[torch.float64].assert_close(output, at[..., 0].to(device).expand(1, channels, 4))
    (gradient,) = torch.autograd.grad(output.sum(), grid)
    assert gradient[..., 0].tolist() == [[channels] * 4] and not gradient[..., 1].any()
