"""The registered operators themselves: their contracts with torch's dispatcher, masks, and bad direct calls."""

from __future__ import annotations

import pytest
import torch
from cases import ALIGN_CORNERS, DTYPES, Case, all_cases
from tolerances import EXACT, parity

import stn_cuda
from stn_cuda import _C, reference

ops = torch.ops.stn_cuda
CHECKS = ("test_schema", "test_autograd_registration", "test_faketensor", "test_aot_dispatch_dynamic")
MASKS = [[True, True, False], [True, False, False], [False, True, False], [False, False, False]]
BILINEAR = _C.INTERPOLATION_MODES["bilinear"]
ZEROS, REFLECTION = _C.PADDING_MODES["zeros"], _C.PADDING_MODES["reflection"]
EDGES = _C.COORDINATE_CONVENTIONS["edges"]
OPTIONS = (BILINEAR, [ZEROS], EDGES, None, False)  # mode, padding, coordinates, fill_value, float_output


def tensors(case: Case, device, requires_grad=False, dtype=torch.float64):
    """grad_output, input, grid."""
    input, grid = case.tensors(device, dtype, away_from_kinks=True)
    grad_output = torch.ones(*input.shape[:2], *grid.shape[1:-1], dtype=dtype, device=device)
    return grad_output, input.requires_grad_(requires_grad), grid.requires_grad_(requires_grad)


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("requires_grad", (False, True), ids=("constant", "requires_grad"))
@pytest.mark.parametrize("case", all_cases(), ids=str)
def test_opcheck_grid_sample(case: Case, requires_grad, check, device):
    _, input, grid = tensors(case, device, requires_grad)
    torch.library.opcheck(ops.grid_sample.default, (input, grid, *case.operator_options()), test_utils=check)


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("mask", MASKS, ids=str)
@pytest.mark.parametrize("dims", (2, 3))
def test_opcheck_grid_sample_backward(dims, mask, check, device):
    case = Case(dims, "bilinear", "border", True)
    arguments = (*tensors(case, device), *case.operator_options(), mask, False)
    torch.library.opcheck(ops.grid_sample_backward.default, arguments, test_utils=check)


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("align_corners", ALIGN_CORNERS, ids=("edges", "centres"))
@pytest.mark.parametrize("size", [[2, 3, 4, 5], [2, 3, 4, 5, 6]], ids=("2d", "3d"))
def test_opcheck_affine_grid(size, align_corners, check, device):
    dims = len(size) - 2
    theta = torch.ones(2, dims, dims + 1, dtype=torch.float64, device=device)
    for requires_grad in (False, True):
        arguments = (theta.clone().requires_grad_(requires_grad), size, align_corners)
        torch.library.opcheck(ops.affine_grid.default, arguments, test_utils=check)


@pytest.mark.parametrize("mask", MASKS, ids=str)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("case", all_cases(), ids=str)
def test_output_mask_leaves_out_what_is_not_wanted_and_changes_nothing_else(case: Case, dtype, mask, device):
    arguments = (*tensors(case, device, dtype=dtype), *case.operator_options())
    everything = ops.grid_sample_backward(*arguments, [True, True, False], False)
    masked = ops.grid_sample_backward(*arguments, mask, False)
    for wanted, result, full in zip(mask, masked, everything, strict=True):
        if wanted:
            EXACT.assert_close(result, full)
        else:
            assert result is None


@pytest.mark.parametrize("mask", MASKS, ids=str)
def test_output_mask_holds_for_meta_tensors(mask):
    case = Case(2, "bilinear", "zeros", False)
    arguments = tensors(case, torch.device("meta"))
    for wanted, result, like in zip(
        mask, ops.grid_sample_backward(*arguments, *case.operator_options(), mask, False), (*arguments[1:], None), strict=True
    ):
        assert (result is not None) == wanted
        assert result is None or (result.shape == like.shape and result.device.type == "meta")


@pytest.mark.parametrize("case", all_cases(), ids=str)
def test_operator_without_autograd_equals_the_public_one(case: Case, device):
    _, input, grid = tensors(case, device)
    expected = case.bind(stn_cuda.grid_sample)(input, grid)
    assert torch.equal(ops.grid_sample(input, grid, *case.operator_options()), expected)
    assert torch.equal(ops._grid_sample(input, grid, *case.operator_options()), expected)


INPUT, GRID, GRAD_OUTPUT = torch.ones(2, 3, 4, 5), torch.zeros(2, 6, 7, 2), torch.ones(2, 3, 6, 7)
BAD_TENSORS = {  # (input, grid)
    "input_none": (None, GRID),
    "grid_none": (INPUT, None),
    "input_rank_2": (INPUT[0, 0], GRID),
    "input_rank_3": (INPUT[0], GRID),
    "input_rank_6": (INPUT[None, None], GRID),
    "input_scalar": (torch.tensor(1.0), GRID),
    "grid_scalar": (INPUT, torch.tensor(1.0)),
    "grid_rank_1": (INPUT, GRID[0, 0, 0]),
    "last_axis_3": (INPUT, torch.zeros(2, 6, 7, 3)),
    "last_axis_0": (INPUT, GRID[..., :0]),
    "grid_of_a_volume": (INPUT, torch.zeros(2, 6, 7, 8, 3)),
    "other_batch": (INPUT, torch.zeros(3, *GRID.shape[1:])),
    "other_dtype": (INPUT, GRID.double()),
    "integers": (INPUT.long(), GRID.long()),
    "complex": (INPUT.cfloat(), GRID.cfloat()),
    "half_and_double": (INPUT.half(), GRID.double()),
    "eight_bits": (INPUT.to(torch.float8_e4m3fn), GRID.to(torch.float8_e4m3fn)),
    "empty_axis": (INPUT[:, :, :0], GRID),
    "grid_on_meta": (INPUT, GRID.to("meta")),
    "input_on_meta": (INPUT.to("meta"), GRID),
    "sparse": (INPUT.to_sparse(), GRID),
}
BAD_OPTIONS = {
    "mode_99": (99, [ZEROS], EDGES, None, False),
    "mode_minus_1": (-1, [ZEROS], EDGES, None, False),
    "mode_2_to_the_32": (2**32 + BILINEAR, [ZEROS], EDGES, None, False),
    "padding_99": (BILINEAR, [99], EDGES, None, False),
    "padding_minus_1": (BILINEAR, [-1], EDGES, None, False),
    "padding_empty": (BILINEAR, [], EDGES, None, False),
    "padding_of_three": (BILINEAR, [ZEROS] * 3, EDGES, None, False),
    "padding_of_an_axis": (BILINEAR, [ZEROS, 99], EDGES, None, False),
    "padding_of_four": (BILINEAR, [ZEROS] * 4, EDGES, None, False),
    "coordinates_99": (BILINEAR, [ZEROS], 99, None, False),
    "coordinates_minus_1": (BILINEAR, [ZEROS], -1, None, False),
    "fill_value_of_rank_1": (BILINEAR, [ZEROS], EDGES, torch.ones(3), False),
    "fill_value_of_other_channels": (BILINEAR, [ZEROS], EDGES, torch.ones(2, 4), False),
    "fill_value_of_other_batch": (BILINEAR, [ZEROS], EDGES, torch.ones(3, 3), False),
    "fill_value_of_other_dtype": (BILINEAR, [ZEROS], EDGES, torch.ones(2, 3).double(), False),
    "fill_value_without_an_outside": (BILINEAR, [REFLECTION], EDGES, torch.ones(2, 3), False),
}
BAD_GRAD_OUTPUTS = {
    "none": None,
    "scalar": torch.tensor(1.0),
    "shape": GRAD_OUTPUT[:, :, :5],
    "rank": GRAD_OUTPUT[0],
    "batch": GRAD_OUTPUT[:1],
    "dtype": GRAD_OUTPUT.double(),
    "meta": GRAD_OUTPUT.to("meta"),
}
REFUSALS = (ValueError, RuntimeError, TypeError)  # NotImplementedError is a RuntimeError


@pytest.mark.parametrize("name", ("grid_sample", "_grid_sample"))
@pytest.mark.parametrize("bad", BAD_TENSORS)
def test_direct_call_refuses_bad_tensors(bad, name):
    with pytest.raises(REFUSALS):
        getattr(ops, name)(*BAD_TENSORS[bad], *OPTIONS)
    with pytest.raises(REFUSALS):
        ops.grid_sample_backward(GRAD_OUTPUT, *BAD_TENSORS[bad], *OPTIONS, [True, True, False], False)


@pytest.mark.parametrize("name", ("grid_sample", "_grid_sample"))
@pytest.mark.parametrize("bad", BAD_OPTIONS)
def test_direct_call_refuses_bad_options(bad, name):
    with pytest.raises(REFUSALS):
        getattr(ops, name)(INPUT, GRID, *BAD_OPTIONS[bad])
    with pytest.raises(REFUSALS):
        ops.grid_sample_backward(GRAD_OUTPUT, INPUT, GRID, *BAD_OPTIONS[bad], [True, True, False], False)


@pytest.mark.parametrize("bad", BAD_GRAD_OUTPUTS)
def test_direct_backward_refuses_a_bad_grad_output(bad):
    with pytest.raises(REFUSALS):
        ops.grid_sample_backward(BAD_GRAD_OUTPUTS[bad], INPUT, GRID, *OPTIONS, [True, True, False], False)


def on_meta(value):
    return value.to("meta") if isinstance(value, torch.Tensor) and value.layout == torch.strided else value


@pytest.mark.parametrize("bad", BAD_OPTIONS)
def test_meta_tensors_are_refused_the_same_bad_options(bad):
    """Else torch.compile would find out only when the compiled code runs."""
    tensors = [on_meta(tensor) for tensor in (GRAD_OUTPUT, INPUT, GRID)]
    with pytest.raises(REFUSALS):
        ops._grid_sample(*tensors[1:], *BAD_OPTIONS[bad])
    with pytest.raises(REFUSALS):
        ops.grid_sample_backward(*tensors, *BAD_OPTIONS[bad], [True, True, False], False)


@pytest.mark.parametrize("bad", [name for name in BAD_GRAD_OUTPUTS if name not in ("none", "meta")])
def test_meta_backward_refuses_a_bad_grad_output(bad):
    tensors = [on_meta(tensor) for tensor in (BAD_GRAD_OUTPUTS[bad], INPUT, GRID)]
    with pytest.raises(REFUSALS):
        ops.grid_sample_backward(*tensors, *OPTIONS, [True, True, False], False)


@pytest.mark.parametrize("device", ("cpu", "meta"))
def test_gradient_of_a_fill_value_that_is_not_there_is_refused(device):
    tensors = [tensor.to(device) for tensor in (GRAD_OUTPUT, INPUT, GRID)]
    with pytest.raises(REFUSALS, match="output_mask"):
        ops.grid_sample_backward(*tensors, *OPTIONS, [False, False, True], False)


BAD_SIZES = [[], [2, 1], [2, 1, 3], [2, 1, 3, 4, 5, 6], [3, 1, 3, 4], [2, 1, -3, 4], [2, 1, 3, 4, 5]]
BAD_THETAS = {
    "none": None,
    "scalar": torch.tensor(1.0),
    "rank_2": torch.ones(2, 3),
    "rows_3": torch.ones(2, 3, 3),
    "batch": torch.ones(3, 2, 3),
    "integers": torch.ones(2, 2, 3).long(),
    "eight_bits": torch.ones(2, 2, 3).to(torch.float8_e4m3fn),
}


@pytest.mark.parametrize("size", BAD_SIZES, ids=str)
def test_direct_affine_grid_refuses_a_bad_size(size):
    with pytest.raises(REFUSALS):
        ops.affine_grid(torch.ones(2, 2, 3), size, False)
    with pytest.raises(REFUSALS):
        ops.affine_grid(torch.ones(2, 2, 3, device="meta"), size, False)


@pytest.mark.parametrize("bad", BAD_THETAS)
def test_direct_affine_grid_refuses_a_bad_theta(bad):
    with pytest.raises(REFUSALS):
        ops.affine_grid(BAD_THETAS[bad], [2, 1, 3, 4], False)


ONE_DIMENSIONAL = [Case(1, case.mode, case.padding_mode, case.align_corners) for case in all_cases() if case.dims == 2]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("case", ONE_DIMENSIONAL, ids=str)
def test_operators_take_signals_with_one_spatial_axis(case: Case, dtype, device):
    """The public functions don't yet: torch's raise there."""
    grad_output, input, grid = tensors(case, device, dtype=dtype)
    leaves = input.requires_grad_(), grid.requires_grad_()
    expected = case.bind(reference.grid_sample)(*leaves)
    expected_gradients = torch.autograd.grad(expected, leaves, grad_output)
    output = ops.grid_sample(*leaves, *case.operator_options())
    gradients = torch.autograd.grad(output, leaves, grad_output)
    for actual, wanted in zip((output, *gradients), (expected, *expected_gradients), strict=True):
        parity(case.mode, dtype).assert_close(actual, wanted)
