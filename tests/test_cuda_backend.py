"""What only the CUDA backend has: two index widths, two mappings of threads, an order of sums where it is asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import torch
from beyond import ROWS, Row
from cases import EXACT_IN_SIZE, Case, all_cases
from tolerances import EXACT, parity
from torch import Tensor

import stn_cuda
from stn_cuda import reference

DTYPES = (torch.float32, torch.float64, torch.bfloat16)


@pytest.fixture(autouse=True)
def only_cuda(request: pytest.FixtureRequest) -> None:
    if request.config.getoption("--device") == "cpu":
        pytest.skip("of the CUDA kernels: pytest --device cuda or emulated")


@pytest.fixture
def wide_indices() -> Iterator[None]:
    """Every call takes 64-bit indices, whatever its sizes."""
    torch.ops.stn_cuda._use_index_limit(1)
    yield
    torch.ops.stn_cuda._use_index_limit(0)


@pytest.fixture
def narrow_or_wide_indices(request: pytest.FixtureRequest) -> None:
    if request.param == 64:
        request.getfixturevalue("wide_indices")


@pytest.fixture
def deterministic() -> Iterator[None]:
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)


def results(case: Case, tensors: tuple[Tensor, Tensor], sampler: Callable[..., Tensor] = stn_cuda.grid_sample) -> list[Tensor]:
    """Output, gradients and second gradients."""
    leaves = [tensor.detach().requires_grad_() for tensor in tensors]
    output = case.bind(sampler)(*leaves)
    first = torch.autograd.grad(output, leaves, torch.ones_like(output), create_graph=True)
    second = torch.autograd.grad(first, leaves, [torch.ones_like(gradient) for gradient in first], allow_unused=True)
    return [result.detach() for result in (output, *first, *second) if result is not None]


@pytest.mark.parametrize("channels", (3, 8, 19))
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("case", all_cases(), ids=str)
def test_64_bit_indices_give_what_32_bit_ones_give(case: Case, dtype, channels, device, request):
    """With few channels a thread does a location; with 8 or more, eight threads share it."""
    tensors = case.tensors(device, dtype, away_from_kinks=True, channels=channels)
    narrow = results(case, tensors)
    request.getfixturevalue("wide_indices")
    for one, other in zip(results(case, tensors), narrow, strict=True):
        parity(case.mode, dtype).assert_close(one, other)


@pytest.mark.parametrize("channels", (3, 19))
@pytest.mark.parametrize("row", ROWS, ids=str)
def test_64_bit_indices_of_options_beyond_torchs_give_what_32_bit_ones_give(row: Row, channels, device, request):
    def found() -> list[Tensor]:
        leaves = [tensor.requires_grad_() for tensor in row.tensors(device, channels=channels)]
        output = row.bind(stn_cuda.grid_sample)(*leaves)
        first = torch.autograd.grad(output.sum(), leaves, create_graph=True, materialize_grads=True)
        second = torch.autograd.grad(sum(g.sum() for g in first), leaves, materialize_grads=True)
        return [result.detach() for result in (output, *first, *second)]

    narrow = found()
    request.getfixturevalue("wide_indices")
    for one, other in zip(found(), narrow, strict=True):
        parity(row.mode, one.dtype).assert_close(one, other)


@pytest.mark.parametrize("align_corners", (False, True), ids=("edges", "centres"))
@pytest.mark.parametrize("size", [(2, 1, 3, 5), (2, 1, 3, 4, 5), (1, 1, 70, 80)], ids=str)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_64_bit_indices_of_affine_grid(dtype, size, align_corners, device, request):
    dims = len(size) - 2
    theta = torch.linspace(-1, 1, size[0] * dims * (dims + 1), device=device).view(size[0], dims, dims + 1).to(dtype)

    def grid_and_gradient() -> tuple[Tensor, Tensor]:
        leaf = theta.clone().requires_grad_()
        grid = stn_cuda.affine_grid(leaf, size, align_corners)
        return grid.detach(), *torch.autograd.grad(grid, leaf, torch.ones_like(grid))

    narrow = grid_and_gradient()
    request.getfixturevalue("wide_indices")
    for one, other in zip(grid_and_gradient(), narrow, strict=True):
        EXACT.assert_close(one, other)


@pytest.mark.parametrize("narrow_or_wide_indices", (32, 64), indirect=True)
@pytest.mark.parametrize("dtype", (*DTYPES, torch.float16), ids=str)
@pytest.mark.parametrize("case", all_cases(), ids=str)
@pytest.mark.usefixtures("narrow_or_wide_indices")
def test_sums_in_a_fixed_order_are_the_same_sums(case: Case, dtype, device, request):
    """grad_input where deterministic algorithms are asked for, second derivatives too; twice the same bits."""
    sizes = {"in_size": EXACT_IN_SIZE[case.align_corners][-case.dims :]}  # coordinates that 16 bits hold
    tensors = case.tensors(device, dtype, away_from_kinks=True, channels=9, **sizes)
    plain = results(case, tensors)
    request.getfixturevalue("deterministic")
    for one, other, twice in zip(results(case, tensors), plain, results(case, tensors), strict=True):
        parity(case.mode, dtype).assert_close(one, other)
        EXACT.assert_close(one, twice)


@pytest.mark.parametrize("channels", (2, 9))
@pytest.mark.parametrize("place", (0.1, 9.0), ids=("one_point", "outside"))
@pytest.mark.parametrize("case", all_cases(), ids=str)
@pytest.mark.usefixtures("deterministic")
def test_sums_in_a_fixed_order_where_all_locations_are_at_one_point(case: Case, place, channels, device):
    """More of them than a block has threads, in each image; the second one's point is another. What a theta of zeros makes."""
    sizes = {"channels": channels, "out_size": (2, 15, 20)[-case.dims :]}
    input, grid = case.tensors(device, torch.float64, away_from_kinks=True, **sizes)
    grid = torch.full_like(grid, place)
    grid[1] *= 0.7
    found, expected = (results(case, (input, grid), sampler) for sampler in (stn_cuda.grid_sample, reference.grid_sample))
    for one, other in zip(found, expected, strict=True):
        parity(case.mode, torch.float64).assert_close(one, other)


@pytest.mark.parametrize("shape", [(2, 0, 5, 2), (0, 4, 5, 2)], ids=str)
@pytest.mark.usefixtures("deterministic")
def test_sums_in_a_fixed_order_of_nothing_are_zeros(shape, device):
    input = torch.ones(shape[0], 3, 4, 5, device=device, requires_grad=True)
    output = stn_cuda.grid_sample(input, torch.zeros(shape, device=device), align_corners=False)
    (gradient,) = torch.autograd.grad(output, input, torch.ones_like(output))
    assert gradient.shape == input.shape and not gradient.any()


def test_many_locations_with_many_channels_are_a_thread_each(device):
    """From 131,072 locations on, the threads that share a location's channels would be too many."""
    case = Case(2, "bilinear", "zeros", False)
    sizes = {"in_size": (4, 8), "out_size": (364, 364)}
    tensors = case.tensors(device, torch.float32, away_from_kinks=True, batch=1, channels=9, **sizes)
    output = case.bind(stn_cuda.grid_sample)(*tensors)
    parity("bilinear", torch.float32).assert_close(output, case.bind(reference.grid_sample)(*tensors))
