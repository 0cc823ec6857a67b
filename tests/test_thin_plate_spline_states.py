"""The thin plate spline in torch's states: modes, threads, determinism, compiled, exported and traced programs."""

from __future__ import annotations

import copy
import io
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from splines import BASES, Warp, moved
from tolerances import PARITY
from torch import func
from torch._dynamo.utils import counters
from torch._subclasses.fake_tensor import FakeTensorMode

from stn_cuda import ThinPlateSplineBasis, thin_plate_spline
from stn_cuda import thin_plate_spline_grid as spline_grid


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning", "ignore:.*torch.jit.*deprecated:DeprecationWarning")
def test_first_use_in_any_state_leaves_a_constant_for_all_others(device):
    def loss(points, basis):
        return spline_grid(points, (3, 4), basis).square().sum()

    points = moved(BASES["scattered"], device)
    expected = func.grad(loss)(points, BASES["scattered"])

    def fake(basis):
        with FakeTensorMode(allow_non_fake_inputs=True):
            assert loss(torch.empty(2, 9, 2, dtype=torch.float64, device=device), basis).shape == ()

    states = [
        lambda basis: torch.inference_mode()(loss)(points, basis),
        lambda basis: func.grad(loss)(points, basis),
        lambda basis: func.vmap(loss, in_dims=(0, None))(points[None], basis),
        lambda basis: torch.jit.trace(lambda points: loss(points, basis), points),
        lambda basis: torch.no_grad()(loss)(points, basis),
        fake,
    ]
    for state in states:
        basis = copy.deepcopy(BASES["scattered"])
        state(basis)
        leaf = points.clone().requires_grad_()
        loss(leaf, basis).backward()
        PARITY[torch.float64].assert_close(leaf.grad, expected)


def test_threads_and_sizes_beyond_what_is_kept(device):
    basis, points = ThinPlateSplineBasis.regular(3), moved(BASES["smoothing"], device)
    sizes = [(height, width) for height in range(1, 5) for width in range(1, 5)] * 3
    with ThreadPoolExecutor(8) as threads:
        grids = list(threads.map(lambda size: spline_grid(points, size, basis), sizes))
    for size, grid in zip(sizes, grids):
        assert torch.equal(grid, spline_grid(points, size, ThinPlateSplineBasis.regular(3)))


def test_deterministic_algorithms_give_the_same_grid_and_gradient(device, sums_in_order):
    points = moved(BASES["square"], device).requires_grad_()
    weights = BASES["square"]._keeper(device, (5, 7, False))
    planes = points.transpose(1, 2).reshape(4, 16)
    in_order = thin_plate_spline._product_in_order(planes, weights)
    grid = spline_grid(points, (5, 7))
    PARITY[torch.float64].assert_close(in_order.reshape(2, 2, 5, 7).permute(0, 2, 3, 1), grid)
    PARITY[torch.float64].assert_close(
        *(torch.autograd.grad(result.square().sum(), points, retain_graph=True)[0] for result in (in_order, grid)))


# ---- compiled and exported ----------------------------------------------------------------------------------------------

def image(size, device):
    return torch.empty(1, 1, *size, device=device)  # no size that torch could take for another's symbol


@pytest.mark.parametrize("dynamic, graphs", [(False, 3), (True, 1)], ids=("static", "dynamic"))
@pytest.mark.parametrize("name", (None, "square"))
def test_compiled_in_one_graph_a_size(name, dynamic, graphs, device, fresh_dynamo):
    warp = Warp(BASES.get(name))
    compiled = torch.compile(warp, fullgraph=True, backend="aot_eager", dynamic=dynamic)
    for batch, size in ((3, (5, 6)), (4, (7, 9)), (6, (11, 4))):
        points = moved(BASES["square"], device, batch=batch).requires_grad_()
        actual, expected = compiled(points, image(size, device)), warp(points, image(size, device))
        PARITY[torch.float64].assert_close(actual, expected)
        PARITY[torch.float64].assert_close(
            *(torch.autograd.grad(grid.square().sum(), points)[0] for grid in (actual, expected)))
    assert counters["stats"]["unique_graphs"] == graphs


def test_compiled_by_the_default_backend_and_with_a_transform_inside(device, fresh_dynamo):
    points = moved(BASES["square"], device, torch.float32)

    def along(points):
        return func.jvp(lambda p: spline_grid(p, (5, 6)).square(), (points,), (points,))

    torch.testing.assert_close(torch.compile(along, fullgraph=True)(points), along(points))


def test_compiled_module_sees_another_basis(device, fresh_dynamo):
    warp = Warp(BASES["square"])
    compiled = torch.compile(warp, fullgraph=True, backend="eager")
    points = moved(warp.basis, device)
    for basis in (warp.basis, ThinPlateSplineBasis(warp.basis.control_points * 0.5), None):
        warp.basis = basis
        assert torch.equal(compiled(points, image((5, 6), device)), warp(points, image((5, 6), device)))


@pytest.mark.parametrize("dynamic", (False, True), ids=("static", "dynamic"))
@pytest.mark.parametrize("strict", (False, True), ids=("traced", "strict"))
def test_exported_saved_and_loaded(strict, dynamic, device, fresh_dynamo):
    warp, file = Warp(BASES["scattered"]), io.BytesIO()
    points, dims = moved(warp.basis, device, batch=3), {2: torch.export.Dim.DYNAMIC, 3: torch.export.Dim.DYNAMIC}
    shapes = ({0: torch.export.Dim("batch", min=1, max=64)}, dims if dynamic else {})
    program = torch.export.export(warp, (points, image((5, 6), device)), dynamic_shapes=shapes, strict=strict)
    torch.export.save(program, file)
    file.seek(0)
    loaded = torch.export.load(file).module()
    for size in ((5, 6), (7, 4)) if dynamic else ((5, 6),):
        assert torch.equal(loaded(points[:2], image(size, device)), warp(points[:2], image(size, device)))


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning", "ignore:.*torch.jit.*deprecated:DeprecationWarning")
def test_traced_program_takes_any_batch(device):
    points, file = moved(BASES["square"], device, batch=5), io.BytesIO()
    torch.jit.save(torch.jit.trace(lambda points: spline_grid(points, (3, 4)), points[:2]), file)
    file.seek(0)
    assert torch.equal(torch.jit.load(file)(points), spline_grid(points, (3, 4)))
