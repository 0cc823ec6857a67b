"""Results are written whole: nothing of what memory held before is in them. The CPU's kernels clear grad_input themselves."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from itertools import product

import pytest
import torch
from cases import Case, all_cases
from layouts import channels_last

operators = torch.ops.stn_cuda
# (N, C, input size, output size): planes, lines of channels, several of them and a part, rows shared out to threads
SHAPES = {
    "few_channels": (2, 3, (7, 9), (6, 8)),
    "a_line": (3, 16, (7, 9), (6, 8)),
    "lines": (1, 72, (9, 11), (10, 12)),
    "one_large_channel": (1, 1, (130, 140), (170, 160)),
    "one_row": (2, 9, (1, 9), (6, 8)),
    "one_column": (1, 9, (7, 1), (6, 8)),
    "one_pixel": (2, 16, (1, 1), (6, 8)),
}


M_PERTURB = -6  # of glibc's malloc.h: memory that is freed is filled with this byte, and new one with its other bits
DIRT = 0x7E  # of floats 8e37, more than any result here. (Some new memory is the freed one as it was: -5e-38.)


@pytest.fixture
def dirty_memory() -> Iterator[None]:
    """Memory without a value is NaN where torch's operators hand it out, and else as malloc fills it."""
    torch.use_deterministic_algorithms(True)
    assert torch.utils.deterministic.fill_uninitialized_memory
    assert torch.empty(3).isnan().all()
    mallopt = ctypes.CDLL(None).mallopt
    assert mallopt(M_PERTURB, DIRT ^ 0xFF)
    torch.utils.deterministic.fill_uninitialized_memory = False
    for size in (60, 1000, 100_000):  # in what was freed, malloc may have left a few addresses
        assert dirt(torch.empty(size)).double().mean() > 0.8
    torch.utils.deterministic.fill_uninitialized_memory = True
    yield
    mallopt(M_PERTURB, 0)
    torch.use_deterministic_algorithms(False)


def dirt(tensor: torch.Tensor) -> torch.Tensor:
    """Which elements are NaN, or as malloc fills memory, or a sum with that."""
    freed = torch.full((), (DIRT ^ 0xFF) * 0x01010101 - 2**32, dtype=torch.int32).view(torch.float32)
    return ~(tensor.abs() < 1e37) | (tensor == freed.to(tensor.device))


def tensors(case: Case, shape: str, layout: str, device: torch.device) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """grad_output, input and a grid that leaves most of input alone."""
    batch, channels, in_size, out_size = SHAPES[shape]
    in_size, out_size = (*[min(2, in_size[0])] * (case.dims - 2), *in_size), (*[2] * (case.dims - 2), *out_size)
    generator = torch.Generator().manual_seed(0)
    input = torch.rand(batch, channels, *in_size, generator=generator)
    grid = 0.6 * torch.rand(batch, *out_size, case.dims, generator=generator)
    grad_output = torch.rand(batch, channels, *out_size, generator=generator)
    if layout == "channels_last":
        input = channels_last(input)
    return grad_output.to(device), input.to(device), grid.to(device)


@pytest.mark.usefixtures("dirty_memory", "keep_thread_count")
@pytest.mark.parametrize("threads", (1, 3, 8))
@pytest.mark.parametrize("layout", ("contiguous", "channels_last"))
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("case", all_cases(), ids=str)
def test_nothing_is_left_of_what_memory_held(case: Case, shape, layout, threads, device):
    torch.set_num_threads(threads)
    grad_output, input, grid = tensors(case, shape, layout, device)
    options = case.operator_options()
    results = [operators._grid_sample(input, grid, *options)]
    for mask in product((False, True), repeat=2):
        results += operators.grid_sample_backward(grad_output, input, grid, *options, [*mask, False], True)
    for t_input, t_grid in product((None, torch.ones_like(input)), (None, torch.ones_like(grid))):
        for mask in ((True, True, True), (False, True, False), (False, True, True)):
            results += operators.grid_sample_double_backward(
                t_input, t_grid, None, grad_output, input, grid, *options, [*mask, False], True)
    assert not any(dirt(result).any() for result in results if result is not None)
