"""What only a GPU can show: streams, graphs, memory, devices, sizes, races. The operators are called directly, so that nothing
stands in for a kernel. Skipped without ``--device cuda``.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable

import pytest
import torch
from cases import Case, all_cases
from operator_calls import OPERATORS, Results, assert_close, assert_equals_the_cpu, moved, run, tensors_of
from tolerances import EXACT, parity
from warps import KINDS, Warp, all_warps

import stn_cuda

DTYPES = (torch.float32, torch.float64, torch.float16, torch.bfloat16)
CASE = Case(2, "bilinear", "border", False)
VOLUME = Case(3, "bicubic", "zeros", True)


@pytest.fixture(autouse=True)
def on_a_gpu(device: torch.device) -> None:
    if device.type != "cuda":
        pytest.skip("a GPU's own behaviour: pytest --device cuda")


# ---- results ------------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("dims", (2, 3))
def test_every_operator_equals_the_cpu_on_few_pixels(dims, dtype, device):
    """All modes, paddings and conventions; few channels and enough of them for threads to share, through shared memory.
    compute-sanitizer runs this one: no more pixels than it takes."""
    for case in all_cases():
        if case.dims == dims:
            assert_equals_the_cpu(case, tensors_of(case, dtype, channels=9 if case.align_corners else 3), device)
    torch.cuda.synchronize()


@pytest.mark.parametrize("case", [Case(2, mode, "reflection", True) for mode in ("bilinear", "bicubic")] + [VOLUME], ids=str)
@pytest.mark.parametrize("batch, channels, out_size", [(2, 64, (9, 33, 34)), (1, 3, (13, 130, 131)), (1, 1, (2, 400, 410))])
def test_every_operator_equals_the_cpu_for_either_mapping(case, batch, channels, out_size, device):
    """Threads that share a location's channels, and one thread a location; several blocks, the last one partly idle."""
    sizes = {"in_size": (5, 20, 21)[-case.dims :], "out_size": out_size[-case.dims :], "batch": batch, "channels": channels}
    assert_equals_the_cpu(case, tensors_of(case, torch.float64, **sizes), device)


@pytest.mark.parametrize("name", ("backward", "double backward"))
def test_deterministic_gradients_have_the_same_bits_each_time(name, device):
    """Thousands of locations that add to few pixels."""
    for case in (CASE, VOLUME):
        tensors = moved(tensors_of(case, torch.float32, out_size=(3, 40, 41)[-case.dims :]), device)
        first, *others = (run(name, case, tensors, deterministic=True) for _ in range(4))
        for other in others:
            for one, two in zip(first, other):
                EXACT.assert_close(one, two)
        assert_close(case, [tensor.cpu() for tensor in run(name, case, tensors)], [tensor.cpu() for tensor in first])


@pytest.mark.parametrize("channels", (1, 9))
@pytest.mark.parametrize("locations", (1 << 10, (1 << 20) + 5))
def test_deterministic_sums_of_many_locations_at_few_pixels_are_exact(locations, channels, device):
    """Ones, as many as float32 counts: a sort of several passes, and runs of locations longer than a block."""
    case = Case(2, "nearest", "border", False)
    chosen = torch.randint(0, 4, (locations,), generator=torch.Generator().manual_seed(0))
    chosen[: locations // 2] = 3
    grid = torch.stack([chosen / 2 - 0.75, torch.zeros(locations)], dim=-1).view(1, 1, locations, 2)
    ones = torch.ones(1, channels, 1, locations)
    tensors = moved({"input": torch.zeros(1, channels, 1, 4), "grid": grid, "grad_output": ones}, device)
    gradient = run("backward", case, tensors, deterministic=True)[0].cpu()
    EXACT.assert_close(gradient, chosen.bincount(minlength=4).float().expand_as(gradient))


# ---- transforms ---------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("warp", [warp for warp in all_warps() if not warp.align_corners], ids=str)
@pytest.mark.parametrize("channels, size", [(3, (2, 5, 7)), (64, (3, 33, 34)), (1, (2, 300, 310))], ids=str)
def test_transforms_equal_the_cpu_for_either_mapping(warp, channels, size, device):
    """Also a large output of few pixels: pixels of grad_input with thousands of locations, which whole blocks sum."""
    given = warp.tensors(torch.device("cpu"), channels=channels, in_size=(4, 9, 11), size=(1, 2, 2))
    input, parameters, size = given[0], given[1], size[-warp.dims :]
    if warp.kind == "flow":
        parameters = parameters.repeat(1, 1, *(-(-n // m) for n, m in zip(size, parameters.shape[2:])))
        parameters = parameters[(slice(None), slice(None), *map(slice, size))].contiguous()
    results = []
    for there in (device, torch.device("cpu")):
        leaves = [tensor.to(there).requires_grad_() for tensor in (input, parameters)]
        output = warp.bind(size)(*leaves)
        grad_output = torch.sin(torch.arange(output.numel(), dtype=output.dtype)).view(output.shape).to(there)
        results.append((output, *torch.autograd.grad(output, leaves, grad_output, materialize_grads=True)))
    for one, other in zip(*results, strict=True):
        scale = other.detach().abs().max().clamp(min=1)
        parity(warp.mode, torch.float64).assert_close(one.detach().cpu() / scale, other.detach() / scale)


@pytest.mark.parametrize("kind", KINDS)
def test_a_transform_never_waits_for_the_device_and_has_the_same_bits(kind, device):
    warp = Warp(kind, 2)
    input, parameters, size = warp.tensors(device, torch.float32, channels=9, in_size=(7, 8), size=(90, 91))
    leaves = input.requires_grad_(), parameters.requires_grad_()
    grad_output = torch.ones(2, 9, *size, device=device)
    torch.use_deterministic_algorithms(kind == "flow")
    torch.cuda.set_sync_debug_mode("error")
    try:
        runs = [torch.autograd.grad(warp.bind(size)(*leaves), leaves, grad_output) for _ in range(3)]
    finally:
        torch.cuda.set_sync_debug_mode("default")
        torch.use_deterministic_algorithms(False)
    for run_ in runs[1:]:
        for one, other in zip(runs[0], run_, strict=True):
            EXACT.assert_close(one, other)


# ---- streams and graphs -------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("name", OPERATORS)
@pytest.mark.parametrize("dtype", (torch.float32, torch.float16), ids=str)
def test_work_is_done_on_the_current_stream(name, dtype, device):
    """What an operator reads is written on the side stream, late: on another stream it would read zeros."""
    source = moved(tensors_of(CASE, dtype), device)
    expected = run(name, CASE, source, deterministic=True)
    late = {key: torch.zeros_like(tensor) for key, tensor in source.items()}
    torch.cuda.synchronize()
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        torch.cuda._sleep(100_000_000)  # clock cycles: 50 ms or so
        for key, tensor in late.items():
            tensor.copy_(source[key])
        results = run(name, CASE, late, deterministic=True)
    stream.synchronize()
    for result, exact in zip(results, expected, strict=True):
        EXACT.assert_close(result, exact)


@pytest.mark.parametrize("name", OPERATORS)
@pytest.mark.parametrize("case", (CASE, VOLUME), ids=str)
@pytest.mark.parametrize("dtype", (torch.float32, torch.float16), ids=str)
def test_a_captured_graph_replays_on_new_values(name, case, dtype, device):
    tensors, new = (moved(tensors_of(case, dtype, seed), device) for seed in (0, 5))
    call = functools.partial(run, name, case, deterministic=True)
    results = captured(lambda: call(tensors))
    for key, tensor in tensors.items():
        tensor.copy_(new[key])
    results.replay()
    for result, exact in zip(results.values, call(new), strict=True):
        EXACT.assert_close(result, exact)


def test_a_captured_training_step_replays_on_new_values(device):
    """The public functions with their gradients."""

    def step() -> Results:
        grid = stn_cuda.affine_grid(theta, [2, 3, 6, 7], align_corners=False)
        output = stn_cuda.grid_sample(image, grid, "bilinear", "border", align_corners=False)
        return torch.autograd.grad(output.square().sum(), (image, theta))

    generator = torch.Generator(device).manual_seed(0)
    image = torch.randn(2, 3, 5, 6, device=device, generator=generator, requires_grad=True)
    theta = torch.randn(2, 2, 3, device=device, generator=generator, requires_grad=True)
    results = captured(step)
    with torch.no_grad():
        image.mul_(2)
        theta.mul_(0.7)
    results.replay()
    assert_close(CASE, results.values, [tensor.cpu() for tensor in step()])


class captured:
    """A call in a CUDA graph; the warm-up on a side stream is what torch asks for."""

    def __init__(self, call: Callable[[], Results]) -> None:
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(2):
                call()
        torch.cuda.current_stream().wait_stream(stream)
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph):
            self.values = call()

    def replay(self) -> None:
        self.graph.replay()
        torch.cuda.synchronize()


# ---- memory and sizes ---------------------------------------------------------------------------------------------------

def test_what_does_not_fit_is_torchs_out_of_memory_error(device):
    """And the next call that fits works."""
    image = torch.ones(1, 1, 2, 2, device=device).expand(1, 1024, 2, 2)
    grid = torch.zeros(1, 1, 1, 2, device=device).expand(1, 1 << 16, 1 << 16, 2)
    with pytest.raises(torch.OutOfMemoryError, match="memory"):
        stn_cuda.grid_sample(image, grid, align_corners=False)  # 16 TiB
    with pytest.raises(torch.OutOfMemoryError, match="memory"):
        stn_cuda.affine_grid(torch.zeros(1, 2, 3, device=device), [1, 1, 1 << 20, 1 << 20], align_corners=False)
    assert stn_cuda.grid_sample(image, grid[:, :2, :2], align_corners=False).sum() == 1024 * 4


def test_views_of_more_than_2_31_elements(device):
    """Strides of 0: the sizes are there, the memory isn't."""
    row = torch.randn(1, 1, 1, 1 << 16, device=device)
    grid = 1.8 * torch.rand(1, 40, 50, 2, device=device, generator=torch.Generator(device).manual_seed(0)) - 0.9
    grid[..., 1] = 0
    tall = row.expand(1, 1, (1 << 16) + 1, 1 << 16)
    assert tall.numel() > 1 << 31
    result, expected = (stn_cuda.grid_sample(image, grid, align_corners=True) for image in (tall, row.expand(1, 1, 3, 1 << 16)))
    parity("bilinear", torch.float32).assert_close(result, expected)


@pytest.mark.parametrize("mode", ("bilinear", "nearest", "bicubic"))
def test_images_of_more_than_2_31_elements(mode, device):
    """Their last corner, and its gradient. 4 GiB in 16 bits, and 8 more for the gradient as it is summed."""
    needs_memory(24 << 30)
    side = 1 << 16
    image = torch.zeros(1, 1, side // 2 + 4, side, dtype=torch.float16, device=device)
    image[0, 0, -4:, -4:] = 3.0
    tensors = {"input": image, "grid": torch.ones(1, 1, 1, 2, device=device),
               "grad_output": torch.ones(1, 1, 1, 1, dtype=torch.float16, device=device)}  # fmt: skip
    case = Case(2, mode, "border", True)
    assert run("forward", case, tensors)[0].item() == 3.0
    gradient = run("backward", case, tensors)[0]
    assert (gradient[0, 0, -1, -1].item(), gradient.count_nonzero().item()) == (1.0, 1)


def test_outputs_of_more_than_2_31_elements(device):
    needs_memory(12 << 30)
    image = torch.arange(4.0, device=device, dtype=torch.float16).view(1, 1, 2, 2)
    grid = torch.tensor([-1.0, 1.0], device=device).view(1, 1, 1, 2).expand(1, (1 << 15) + 4, 1 << 16, 2)
    output = stn_cuda.grid_sample(image, grid, align_corners=True)
    assert output.numel() > 1 << 31
    assert (output.amin().item(), output.amax().item()) == (2.0, 2.0)


def needs_memory(size: int) -> None:
    torch.cuda.empty_cache()
    if torch.cuda.mem_get_info()[0] < size:
        pytest.skip(f"less than {size >> 30} GiB of the GPU's memory are free")


# ---- devices ------------------------------------------------------------------------------------------------------------

def every_device() -> list[torch.device]:
    return [torch.device("cuda", index) for index in range(torch.cuda.device_count())]


def test_the_current_device_is_left_as_it_was(device):
    """The kernels have a CUDA runtime of their own, beside torch's."""
    for current in every_device():
        with torch.cuda.device(current):
            for other in every_device():
                for name in OPERATORS:
                    results = run(name, CASE, moved(tensors_of(CASE, torch.float32), other))
                    assert {result.device for result in results} == {other}
                    assert torch.cuda.current_device() == torch._C._cuda_getDevice() == current.index
                    assert torch.cuda.mem_get_info()[0] > 0 and torch.empty(1, device="cuda").device == current


def test_a_new_thread_works_on_every_device(device):
    """A thread begins without a current device."""
    found: list[str] = []

    def work(on: torch.device) -> None:
        try:
            assert_equals_the_cpu(CASE, tensors_of(CASE, torch.float64), on)
            found.append("right")
        except BaseException as error:  # what a thread raises is lost
            found.append(repr(error))

    for on in every_device():
        thread = threading.Thread(target=work, args=(on,))
        thread.start()
        thread.join()
    assert found == ["right"] * torch.cuda.device_count()


def test_a_second_device_gives_the_same_results(device):
    if torch.cuda.device_count() < 2:
        pytest.skip("this machine has one GPU")
    tensors = tensors_of(VOLUME, torch.float64)
    for name in OPERATORS:
        one, two = (run(name, VOLUME, moved(tensors, on), deterministic=True) for on in every_device()[:2])
        assert_close(VOLUME, two, [tensor.cpu() for tensor in one])
    with pytest.raises((RuntimeError, ValueError), match="device"):
        stn_cuda.grid_sample(tensors["input"].to("cuda:0"), tensors["grid"].to("cuda:1"), align_corners=False)
