"""The operator of second derivatives and tangents: its masks, absent tangents, layouts, and what judges its numbers."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from cases import Case, all_cases, needs_torch_double_backward, torch_cases
from layouts import GRID_LAYOUTS, INPUT_LAYOUTS, layout_id
from test_operators import CHECKS
from tolerances import DOUBLE_BACKWARD_MEMORY, PARITY

import stn_cuda
from stn_cuda import reference

DOUBLE = PARITY[torch.float64]
operator = torch.ops.stn_cuda.grid_sample_double_backward
EVERYTHING = [True, True, True, False]
ONE = Case(2, "bilinear", "zeros", False)


def tensors(case: Case, device):
    """t_input, t_grid, grad_output, input, grid."""
    input, grid = case.tensors(device, torch.float64, away_from_kinks=True)
    grad_output = torch.cos(torch.arange(input.shape[0] * input.shape[1] * grid[0, ..., 0].numel(), device=device).double())
    grad_output = grad_output.view(*input.shape[:2], *grid.shape[1:-1])
    return torch.sin(7 * input), torch.cos(5 * grid), grad_output, input, grid


def run(case: Case, t_input, t_grid, grad_output, input, grid, mask=EVERYTHING):
    return operator(t_input, t_grid, None, grad_output, input, grid, *case.operator_options(), mask, False)[:3]


def by_autograd(sampler, t_input, t_grid, grad_output, input, grid):
    """The same three by differentiating twice."""
    leaves = [tensor.detach().requires_grad_() for tensor in (grad_output, input, grid)]
    first = torch.autograd.grad(sampler(*leaves[1:]), leaves[1:], leaves[0], create_graph=True)
    pairs = [(g, t) for g, t in zip(first, (t_input, t_grid)) if t is not None]
    return torch.autograd.grad([g for g, _ in pairs], leaves, [t for _, t in pairs], materialize_grads=True)


def assert_close(actual, expected):
    for one, other in zip(actual, expected, strict=True):
        DOUBLE.assert_close(one, other)


@needs_torch_double_backward
@pytest.mark.parametrize("case", torch_cases(), ids=str)
def test_second_derivatives_equal_torchs(case: Case, device):
    arguments = tensors(case, device)
    assert_close(run(case, *arguments), by_autograd(case.bind(F.grid_sample), *arguments))
    assert_close(by_autograd(case.bind(stn_cuda.grid_sample), *arguments), by_autograd(case.bind(F.grid_sample), *arguments))


@pytest.mark.parametrize("absent", ("t_input", "t_grid", "none"))
@pytest.mark.parametrize("dims_1", (False, True), ids=("as_is", "one_axis"))
@pytest.mark.parametrize("case", all_cases(), ids=str)
def test_second_derivatives_equal_the_references_whichever_tangent_is_absent(case: Case, dims_1, absent, device):
    if dims_1:
        case = Case(1, case.mode, case.padding_mode, case.align_corners)
    t_input, t_grid, *rest = tensors(case, device)
    arguments = None if absent == "t_input" else t_input, None if absent == "t_grid" else t_grid, *rest
    assert_close(run(case, *arguments), by_autograd(case.bind(reference.grid_sample), *arguments))


@pytest.mark.parametrize("absent", ("t_input", "t_grid", "none"))
@pytest.mark.parametrize("case", all_cases(), ids=str)
def test_first_output_alone_is_the_tangent_of_the_forward(case: Case, absent, device):
    t_input, t_grid, _, input, grid = tensors(case, device)
    t_input, t_grid = (None if absent == name else t for name, t in (("t_input", t_input), ("t_grid", t_grid)))
    tangents = [torch.zeros_like(x) if t is None else t for x, t in ((input, t_input), (grid, t_grid))]
    expected = torch.func.jvp(case.bind(reference.grid_sample), (input, grid), tuple(tangents))[1]
    actual, *others = run(case, t_input, t_grid, None, input, grid, [True, False, False, False])
    assert others == [None, None]
    DOUBLE.assert_close(actual, expected)


@pytest.mark.parametrize("layout", INPUT_LAYOUTS, ids=layout_id)
@pytest.mark.parametrize("grid_layout", GRID_LAYOUTS, ids=layout_id)
@pytest.mark.parametrize("case", [ONE, Case(3, "bicubic", "border", True)], ids=str)
def test_layouts_of_tangents_change_nothing(case: Case, layout, grid_layout, device):
    t_input, t_grid, grad_output, input, grid = tensors(case, device)
    t_input, t_grid = layout(t_input), grid_layout(t_grid)
    expected = run(case, t_input.contiguous(), t_grid.contiguous(), grad_output, input, grid)
    assert_close(run(case, t_input, t_grid, grad_output, input, grid), expected)
    strided = layout(input)
    expected = run(case, t_input.contiguous(), t_grid.contiguous(), grad_output, strided.contiguous(), grid)
    assert_close(run(case, t_input, t_grid, grad_output, strided, grid), expected)


@pytest.mark.parametrize("mask", ([True, False, False, False], [False, True, False, False], [False, False, True, False],
                                  [False] * 4), ids=str)  # fmt: skip
def test_mask_leaves_out_what_is_not_wanted_and_changes_nothing_else(mask, device):
    arguments = tensors(ONE, device)
    for wanted, one, other in zip(mask, run(ONE, *arguments, mask), run(ONE, *arguments)):
        assert (one is None and not wanted) or torch.equal(one, other)


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("mask", (EVERYTHING, [True, False, False, False], [False, True, False, False]), ids=str)
def test_opcheck(mask, check, device):
    t_input, t_grid, grad_output, input, grid = tensors(Case(3, "bilinear", "reflection", True), device)
    case = Case(3, "bilinear", "reflection", True).operator_options()
    for tangents in ((t_input, t_grid), (None, t_grid), (t_input, None)):
        arguments = (*tangents, None, grad_output, input, grid, *case, mask, False)
        torch.library.opcheck(operator.default, arguments, test_utils=check)


@pytest.mark.parametrize("device_name", ("cpu", "meta"))
@pytest.mark.parametrize("change", [
    {"t_input": lambda t: t[:, :1]}, {"t_grid": lambda t: t[:1]}, {"t_grid": lambda t: t.float()}, {"input": lambda t: t[0]},
    {"grad_output": lambda t: t[0]}, {"grad_output": lambda t: None}], ids=lambda change: next(iter(change)))  # fmt: skip
def test_bad_arguments_are_refused_by_kernel_and_fake(change, device_name):
    names = ("t_input", "t_grid", "grad_output", "input", "grid")
    arguments = {name: tensor.to(device_name) for name, tensor in zip(names, tensors(ONE, torch.device("cpu")))}
    arguments |= {name: function(arguments[name]) for name, function in change.items()}
    with pytest.raises((ValueError, RuntimeError)):
        run(ONE, *arguments.values())


@pytest.mark.usefixtures("keep_thread_count")
@pytest.mark.parametrize("case", [ONE, Case(3, "bicubic", "border", True)], ids=str)
def test_results_are_the_same_bits_for_any_number_of_threads(case: Case, device):
    arguments = [tensor.repeat(3, *[1] * (tensor.dim() - 1)) for tensor in tensors(case, device)]
    results = []
    for threads in (1, 2, 3):
        torch.set_num_threads(threads)
        results.append(run(case, *arguments))
    for other in results[1:]:
        assert all(torch.equal(one, two) for one, two in zip(results[0], other))


@pytest.mark.parametrize("value", (torch.nan, torch.inf, -torch.inf, 3e38))
@pytest.mark.parametrize("case", all_cases(), ids=str)
def test_non_finite_coordinates_have_no_second_derivative_and_leak_nothing(case: Case, value, device):
    t_input, t_grid, grad_output, input, grid = tensors(case, device)
    grid = grid.clone()
    grid[:, 0, ..., 0] = value
    grad_grad_output, grad_input, grad_grid = run(case, t_input, t_grid, grad_output, input, grid)
    assert grad_grad_output.isfinite().all() and grad_input.isfinite().all() and grad_grid.isfinite().all()
    assert not grad_grid[:, 0, ..., 0].any()
    if case.padding_mode == "zeros":
        assert not grad_grad_output[:, :, 0].any()


def test_a_large_tangent_of_the_output_is_that_of_its_halves(device):
    """One of more than 16 MiB is written past the caches, its halves, whose tiles are the same, aren't."""
    generator = torch.Generator().manual_seed(5)
    random = (torch.rand(shape, generator=generator).to(device) for shape in (
        (1, 3, 40, 50), (1, 1100, 1280, 2), (1, 3, 1100, 1280), (1, 3, 40, 50), (1, 1100, 1280, 2)))
    t_input, t_grid, grad_output, input, grid = random
    grid = 2.4 * grid - 1.2
    halves = [
        run(ONE, t_input, t_grid[:, rows], grad_output[:, :, rows], input, grid[:, rows])
        for rows in (slice(0, 550), slice(550, 1100))]
    whole = run(ONE, t_input, t_grid, grad_output, input, grid)
    assert whole[0].nbytes > 1 << 24
    assert torch.equal(whole[0], torch.cat([half[0] for half in halves], dim=2))
    assert torch.equal(whole[2], torch.cat([half[2] for half in halves], dim=1))


def test_memory_beside_the_results_is_little(device):
    """Where torch's chain of operations takes many times the output."""
    if device.type != "cpu":
        pytest.skip("measured on the CPU")
    input, grid = ONE.tensors(device, torch.float32, away_from_kinks=True, in_size=(200, 210), out_size=(220, 230))
    arguments = input, grid, torch.ones(2, 3, 220, 230), input, grid
    with torch.profiler.profile(profile_memory=True) as profile:
        results = run(ONE, *arguments)
    allocated = sum(event.self_device_memory_usage + max(event.self_cpu_memory_usage, 0) for event in profile.key_averages())
    assert 0 < allocated <= DOUBLE_BACKWARD_MEMORY * sum(tensor.nbytes for tensor in results)
