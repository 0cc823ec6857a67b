"""Threads, forked and spawned workers, and many calls: same results, no hang, no growth."""

from __future__ import annotations

import gc
from concurrent.futures import ThreadPoolExecutor

import psutil
import pytest
import torch
from beyond import ROWS, Row
from cases import Case, all_cases
from tolerances import MEMORY_GROWTH_BYTES
from torch.utils.data import DataLoader, Dataset

import stn_cuda

pytestmark = pytest.mark.usefixtures("sums_in_order")

SHAPES = {  # name: (N, C, input size, output size); the sizes that decide how a backward is split among threads
    "one_large_channel": (1, 1, (150, 170), (180, 160)),
    "many_channels": (1, 64, (20, 21), (33, 34)),
    "batch": (5, 3, (30, 31), (40, 41)),
    "shrunk": (1, 1, (3, 3), (180, 160)),
    "volume": (1, 2, (9, 10, 11), (20, 21, 22)),
}


def run(case: Case, device, dtype, batch, channels, in_size, out_size, seed=0):
    """(output, grad_input, grad_grid)."""
    input, grid = case.tensors(
        device,
        dtype,
        away_from_kinks=False,
        batch=batch,
        channels=channels,
        in_size=in_size,
        out_size=out_size,
        seed=seed,
    )
    leaves = input.requires_grad_(), grid.requires_grad_()
    output = case.bind(stn_cuda.grid_sample)(*leaves)
    return output.detach(), *torch.autograd.grad(output.square().sum(), leaves)


@pytest.mark.usefixtures("keep_thread_count")
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("case", all_cases(), ids=str)
def test_results_are_the_same_bits_for_any_number_of_threads(case: Case, shape, device):
    batch, channels, in_size, out_size = SHAPES[shape]
    if len(in_size) != case.dims:
        in_size, out_size = (*[2] * (case.dims - 2), *in_size[-2:]), (*[3] * (case.dims - 2), *out_size[-2:])
    results = []
    for threads in (1, 2, 3):
        torch.set_num_threads(threads)
        results.append(run(case, device, torch.float32, batch, channels, in_size, out_size))
    for other in results[1:]:
        assert all(torch.equal(one, two) for one, two in zip(results[0], other, strict=True))


def slanted(dims: int, readers: int, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """An image and grids, in double, that go down it row by row, slantwise, and leave it at the edges."""
    generator = torch.Generator().manual_seed(dims)
    in_size, out_size = ((150, 140), (145, 160)) if dims == 2 else ((30, 25, 32), (26, 30, 31))
    theta = 1.2 * torch.eye(dims, dims + 1, dtype=torch.float64).repeat(readers, 1, 1)
    theta[:, 0, -2] += torch.linspace(0.1, 0.2, readers, dtype=torch.float64)
    theta[:, -1, 0] -= 0.1
    grid = torch.nn.functional.affine_grid(theta, [readers, 1, *out_size], align_corners=False)
    grid += 0.003 * torch.randn(grid.shape, generator=generator, dtype=torch.float64)
    return torch.randn(1, 2, *in_size, generator=generator, dtype=torch.float64).to(device), grid.to(device)


@pytest.mark.usefixtures("keep_thread_count")
@pytest.mark.parametrize("readers", (1, 3))
@pytest.mark.parametrize("case", all_cases(), ids=str)
def test_one_image_whose_locations_are_shared_out_has_the_same_bits(case: Case, readers, device):
    """Maps as users have them, of which threads take a part each: csrc/cpu/parts.h. Those of other tests here are anywhere."""
    input, grid = (tensor.float().requires_grad_() for tensor in slanted(case.dims, readers, device))
    sample = case.bind(stn_cuda.grid_sample)
    cotangent, tangent = torch.sin(torch.arange(grid[..., 0].numel() * 2)).to(device), torch.cos(grid.detach())
    cotangent.requires_grad_()
    gives = []
    for threads in (1, 2, 5, 8):
        torch.set_num_threads(threads)
        output = sample(input, grid)
        both = torch.autograd.grad(output, (input, grid), cotangent.view(output.shape), create_graph=True)
        options = {"retain_graph": True, "allow_unused": True, "materialize_grads": True}
        second = torch.autograd.grad(both[1], input, tangent, **options)
        second += torch.autograd.grad(both, (input, grid, cotangent), (torch.sin(input.detach()), tangent), **options)
        alone = torch.autograd.grad(sample(input, grid.detach()), input, cotangent.view(output.shape))
        gives.append(tuple(result.detach() for result in (output, *both, *second, *alone)))
    for other in gives[1:]:
        assert all(torch.equal(one, two) for one, two in zip(gives[0], other, strict=True))


@pytest.mark.usefixtures("keep_thread_count")
@pytest.mark.parametrize("row", ROWS, ids=str)
def test_results_of_options_beyond_torchs_are_the_same_bits_for_any_number_of_threads(row: Row, device):
    """Where one image or one grid is a batch's, a thread owns gradients that all of the batch add to."""
    out_size = {1: (3001,), 2: (61, 50), 3: (11, 13, 21), 4: (5, 6, 10, 11)}[row.out_rank]
    tensors = row.tensors(device, in_size=(9, 80, 90), out_size=out_size, batch=5)
    gives = []
    for threads in (1, 2, 3):
        torch.set_num_threads(threads)
        leaves = [tensor.detach().requires_grad_() for tensor in tensors]
        output = row.bind(stn_cuda.grid_sample)(*leaves)
        first = torch.autograd.grad(output.float().square().sum(), leaves, create_graph=True, materialize_grads=True)
        second = torch.autograd.grad(sum(g.float().sum() for g in first), leaves, materialize_grads=True)
        results = output, *first, *second
        gives.append([result.detach().contiguous().view(-1).view(torch.uint8) for result in results])  # float16 may overflow
    for other in gives[1:]:
        assert all(torch.equal(one, two) for one, two in zip(gives[0], other, strict=True))


def test_eight_python_threads_at_once_get_what_one_gets(device):
    def work(seed):
        return run(CASE, device, torch.float32, 2, 3, (40, 41), (60, 61), seed)

    expected = [work(seed) for seed in range(32)]
    with ThreadPoolExecutor(8) as pool:
        actual = list(pool.map(work, range(32)))
    for one, other in zip(actual, expected, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("second", (False, True), ids=("backward", "double_backward"))
def test_memory_does_not_grow_over_10000_calls(second, device):
    tensors = [tensor.requires_grad_() for tensor in CASE.tensors(device, torch.float32, away_from_kinks=False)]

    def calls(count):
        for _ in range(count):
            output = CASE.bind(stn_cuda.grid_sample)(*tensors)
            gradients = torch.autograd.grad(output, tensors, output.detach(), create_graph=second)
            if second:
                torch.autograd.grad(gradients, tensors, [gradient.detach() for gradient in gradients])
        gc.collect()

    process = psutil.Process()
    calls(1000)
    before = process.memory_info().rss
    calls(10_000)
    assert process.memory_info().rss - before < MEMORY_GROWTH_BYTES


CASE = Case(2, "bilinear", "zeros", False)


class WarpedImages(Dataset):
    """Samples each item in the worker, on the CPU, and gives (output, grad_input, grad_grid)."""

    def __len__(self) -> int:
        return 6

    def __getitem__(self, seed):
        return run(CASE, torch.device("cpu"), torch.float32, 1, 3, (64, 65), (90, 91), seed)


@pytest.mark.usefixtures("keep_thread_count")
@pytest.mark.parametrize("start", ("fork", "spawn"))
def test_dataloader_workers_give_what_the_parent_gives(start):
    """The parent has used its thread pool before the workers start."""
    torch.set_num_threads(2)
    dataset = WarpedImages()
    expected = [dataset[seed] for seed in range(len(dataset))]
    loader = DataLoader(dataset, batch_size=None, num_workers=2, multiprocessing_context=start, timeout=120)
    for actual, wanted in zip(loader, expected, strict=True):
        for one, other in zip(actual, wanted, strict=True):
            assert torch.equal(one, other)
