"""Bad arguments of the transforms' functions and operators: the type of the error, and a message that says what is wrong."""

from __future__ import annotations

import pytest
import torch
from refused import assert_refused
from seen_operators import SeenOperators

import stn_cuda

IMAGE, VOLUME = torch.zeros(2, 3, 4, 5), torch.zeros(2, 3, 4, 5, 6)
THETA, HOMOGRAPHY, FLOW = torch.zeros(2, 2, 3), torch.zeros(2, 3, 3), torch.zeros(2, 2, 6, 7)
affine, projective, flow = stn_cuda.affine_sample, stn_cuda.projective_sample, stn_cuda.flow_sample
pgrid, fgrid = stn_cuda.projective_grid, stn_cuda.flow_grid
Missing, Value, Runtime, Type = NotImplementedError, ValueError, RuntimeError, TypeError

BAD = {
    "theta_of_another_width": (
        lambda: affine(IMAGE, HOMOGRAPHY), Value, ["affine_sample()", "theta", "(N, 2, 3)", "(2, 3, 3)"]),
    "affine_theta_to_projective": (lambda: projective(IMAGE, THETA), Value, ["projective_sample()", "(N, 3, 3)", "(2, 2, 3)"]),
    "2d_theta_of_a_volume": (lambda: affine(VOLUME, THETA), Value, ["theta", "(N, 3, 4)", "(2, 2, 3)"]),
    "theta_without_batch": (lambda: affine(IMAGE, THETA[0]), Value, ["theta", "(2, 3)"]),
    "integer_theta": (lambda: affine(IMAGE, THETA.long()), Value, ["theta", "int64"]),
    "no_tensor": (lambda: affine(IMAGE, [[1, 0, 0], [0, 1, 0]]), Type, ["theta", "list"]),
    "no_input": (lambda: affine(None, THETA), Type, ["input", "NoneType"]),
    "size_of_another_rank": (lambda: affine(IMAGE, THETA, (4, 5, 6)), Value, ["theta", "(4, 5, 6)"]),
    "size_that_isn't_positive": (lambda: affine(IMAGE, THETA, (0, 5)), Value, ["size", "(0, 5)"]),
    "size_of_floats": (lambda: affine(IMAGE, THETA, (4.5, 5)), Type, ["size", "4.5"]),
    "batches_that_differ": (lambda: affine(IMAGE, THETA[:1].expand(3, 2, 3)), Runtime, ["theta", "input", "batch"]),
    "signal": (lambda: affine(torch.zeros(1, 1, 5), torch.zeros(1, 1, 2)), Runtime, ["input", "(N, C, H, W)", "(1, 1, 5)"]),
    "image_without_batch": (lambda: affine(IMAGE[0], THETA), Runtime, ["input", "(N, C, H, W)", "(3, 4, 5)"]),
    "flowed_image_without_batch": (lambda: flow(IMAGE[0], FLOW), Runtime, ["input", "(N, C, H, W)", "(3, 4, 5)"]),
    "empty_image": (lambda: affine(IMAGE[..., :0], THETA, (2, 2)), Runtime, ["non-empty", "(2, 3, 4, 0)"]),
    "float64_theta_of_float32": (lambda: affine(IMAGE, THETA.double()), Runtime, ["theta", "float32", "float64"]),
    "theta_elsewhere": (lambda: affine(IMAGE, THETA.to("meta")), Runtime, ["theta", "meta", "cpu"]),
    "sparse_theta": (lambda: affine(IMAGE, THETA.to_sparse()), Missing, ["theta", "sparse"]),
    "unknown_mode": (lambda: affine(IMAGE, THETA, mode="cubic"), Value, ["affine_sample()", "mode", "'cubic'", "'bicubic'"]),
    "unknown_padding": (lambda: flow(IMAGE, FLOW, padding_mode="wrap"), Value, ["flow_sample()", "'wrap'", "'circular'"]),
    "no_fill": (lambda: affine(IMAGE, THETA, padding_mode="fill"), Value, ["affine_sample()", "fill_value"]),
    "fill_of_another_shape": (
        lambda: affine(IMAGE, THETA, fill_value=torch.ones(4)), Runtime, ["affine_sample()", "fill_value", "(3,)", "(4,)"]),
    "fill_of_a_padding_without_outside": (
        lambda: affine(IMAGE, THETA, padding_mode="reflection", fill_value=1.0), Value, ["affine_sample()", "outside"]),
    "align_corners_none": (lambda: affine(IMAGE, THETA, align_corners=None), Type, ["align_corners", "NoneType"]),
    "align_corners_int": (lambda: pgrid(HOMOGRAPHY, (2, 2), 1), Type, ["align_corners", "int"]),
    "antialias_int": (lambda: affine(IMAGE, THETA, antialias=1), Type, ["antialias", "int"]),
    "unknown_gradient": (lambda: affine(IMAGE, THETA, gradient="linear"), Value, ["gradient", "'linear'", "'linearized'"]),
    "flow_of_another_rank": (lambda: flow(VOLUME, FLOW), Value, ["flow", "(N, 3, D, H, W)", "(2, 2, 6, 7)"]),
    "flow_last": (lambda: flow(IMAGE, FLOW.movedim(1, -1)), Value, ["flow", "(N, 2, H, W)", "(2, 6, 7, 2)"]),
    "empty_flow": (lambda: flow(IMAGE, FLOW[..., :0]), Value, ["flow", "empty"]),
    "grid_of_a_theta": (lambda: pgrid(THETA, (4, 5)), Value, ["projective_grid()", "(N, 3, 3)", "(2, 2, 3)"]),
    "grid_size_with_batch": (lambda: pgrid(HOMOGRAPHY, (2, 3, 4, 5)), Value, ["size", "(2, 3, 4, 5)"]),
    "grid_of_no_tensor": (lambda: pgrid(3, (4, 5)), Type, ["theta", "int"]),
    "flow_grid_of_a_volume": (lambda: fgrid(FLOW, (3, 4, 5)), Value, ["input_size", "2", "(3, 4, 5)"]),
    "flow_grid_of_an_empty_image": (lambda: fgrid(FLOW, (0, 5)), Value, ["input_size", "(0, 5)"]),
    "flow_grid_of_ints": (lambda: fgrid(FLOW.int(), (4, 5)), Value, ["flow", "int32"]),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_bad_call_is_refused_by_name_before_any_operator(name):
    call, error, words = BAD[name]
    with SeenOperators() as seen:
        assert_refused(call, error, words)
    assert not [operator for operator in seen.names if operator.startswith("stn_cuda.")]


AFFINE, PIXELS, CENTRES = (
    stn_cuda._C.TRANSFORM_KINDS["affine"], stn_cuda._C.COORDINATE_CONVENTIONS["pixels"],
    stn_cuda._C.COORDINATE_CONVENTIONS["centres"])  # fmt: skip
ops = torch.ops.stn_cuda


def direct(input=IMAGE, parameters=THETA, transform=AFFINE, size=(4, 5), padding=(0,), coordinates=PIXELS):
    return ops._transform_sample(input, parameters, transform, size, 0, padding, coordinates, None, False)


def direct_backward(shape, mask=(True, True, False)):
    return ops.transform_sample_backward(
        torch.zeros(shape), IMAGE, THETA, AFFINE, (4, 5), 0, [0], PIXELS, None, False, mask, False)


BAD_OPERATORS = {
    "transform": (lambda: direct(transform=7), ["transform", "7", "affine"]),
    "coordinates": (lambda: direct(coordinates=CENTRES), ["coordinates", "pixels"]),
    "parameters": (lambda: direct(parameters=HOMOGRAPHY), ["parameters", "[2, 2, 3]", "[2, 3, 3]"]),
    "parameters_batch": (lambda: direct(parameters=torch.zeros(3, 2, 3)), ["parameters", "batch"]),
    "size": (lambda: direct(size=(4,)), ["size", "[4]"]),
    "negative_size": (lambda: direct(size=(-4, 5)), ["size", "[-4, 5]"]),
    "dtype": (lambda: direct(parameters=THETA.double()), ["parameters", "Float", "Double"]),
    "padding": (lambda: direct(padding=(0, 0, 0)), ["padding", "3"]),
    "grad_output": (lambda: direct_backward((2, 3, 4, 4)), ["grad_output", "[2, 3, 4, 5]", "[2, 3, 4, 4]"]),
    "output_mask": (lambda: direct_backward((2, 3, 4, 5), (True, True)), ["output_mask", "3"]),
    "fill_without_one": (lambda: direct_backward((2, 3, 4, 5), (True, True, True)), ["output_mask", "fill_value"]),
    "in_size": (lambda: ops._transform_grid(THETA, None, AFFINE, (4, 5), (3,), True, False), ["in_size", "[3]"]),
    "empty_in_size": (lambda: ops._transform_grid(THETA, None, AFFINE, (4, 5), (3, 0), True, False), ["in_size", "[3, 0]"]),
    "grid_tangent": (
        lambda: ops._transform_grid(THETA, THETA[:1], AFFINE, (4, 5), (3, 3), True, False), ["tangent", "[2, 2, 3]"]),
    "grad_grid": (
        lambda: ops.transform_grid_backward(torch.zeros(2, 4, 4, 2), THETA, None, AFFINE, (4, 5), (3, 3), True, False),
        ["grad_grid", "[2, 4, 5, 2]", "[2, 4, 4, 2]"]),
    "no_parameters_of_a_homography": (
        lambda: ops.transform_grid_backward(torch.zeros(2, 4, 5, 2), None, None, 1, (4, 5), (3, 3), True, False),
        ["parameters"]),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD_OPERATORS)
def test_bad_direct_call_is_refused(name):
    call, words = BAD_OPERATORS[name]
    with pytest.raises((ValueError, RuntimeError)) as caught:
        call()
    for word in words:
        assert word in str(caught.value)
