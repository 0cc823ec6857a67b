"""torch.compile, torch.export, torch.func, forward mode and meta tensors give what eager calls give."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from cases import Case, all_cases, torch_grid_sample
from tolerances import PARITY
from torch import nn
from torch.autograd import forward_ad

import stn_cuda

DOUBLE = PARITY[torch.float64]
TRACED = [Case(2, "bilinear", "zeros", False), Case(3, "nearest", "reflection", True)]  # tracing costs a second a case


def gradients(function, input, grid):
    leaves = input.detach().requires_grad_(), grid.detach().requires_grad_()
    output = function(*leaves)
    return output, *torch.autograd.grad(output.square().sum(), leaves)


def assert_all_close(actual, expected):
    for one, other in zip(actual, expected, strict=True):
        DOUBLE.assert_close(one, other)


@pytest.mark.usefixtures("fresh_dynamo")
@pytest.mark.parametrize("dynamic", (False, True), ids=("static", "dynamic"))
@pytest.mark.parametrize("case", TRACED, ids=str)
def test_compiled_forward_and_backward_equal_eager(case: Case, dynamic, device):
    sample = case.bind(stn_cuda.grid_sample)
    compiled = torch.compile(sample, fullgraph=True, backend="aot_eager", dynamic=dynamic)
    tensors = case.tensors(device, torch.float64, away_from_kinks=True)
    assert_all_close(gradients(compiled, *tensors), gradients(sample, *tensors))
    assert torch.equal(compiled(*tensors), sample(*tensors))


@pytest.mark.usefixtures("fresh_dynamo")
def test_compiled_affine_grid_equals_eager(device):
    theta = torch.linspace(-1, 1, 12, dtype=torch.float64, device=device).view(2, 2, 3).requires_grad_()

    def grid(theta):
        return stn_cuda.affine_grid(theta, (2, 1, 4, 5), align_corners=False)

    compiled = torch.compile(grid, fullgraph=True, backend="aot_eager")
    DOUBLE.assert_close(compiled(theta), grid(theta))
    results = [torch.autograd.grad(function(theta).square().sum(), theta)[0] for function in (compiled, grid)]
    assert results[0].any()
    DOUBLE.assert_close(*results)


class Transformer(nn.Module):
    """Theta to grid to samples: the smallest whole program."""

    def __init__(self) -> None:
        super().__init__()
        self.theta = nn.Parameter(torch.tensor([[[0.9, 0.1, 0.05], [-0.1, 1.1, 0.0]]], dtype=torch.float64))

    def forward(self, image):
        grid = stn_cuda.affine_grid(self.theta.expand(image.shape[0], 2, 3), image.shape, align_corners=False)
        return stn_cuda.grid_sample(image, grid, align_corners=False)


def test_exported_module_equals_eager(device):
    module = Transformer().to(device)
    image = torch.randn(2, 3, 8, 9, dtype=torch.float64, generator=torch.Generator().manual_seed(5)).to(device)
    exported = torch.export.export(module, (image,))
    names = [str(node.target) for node in exported.graph.nodes if node.op == "call_function"]
    assert any("stn_cuda.grid_sample" in name for name in names)
    assert any("stn_cuda.affine_grid" in name for name in names)
    DOUBLE.assert_close(exported.module()(image), module(image))


@pytest.mark.parametrize("case", all_cases(), ids=str)
def test_func_grad_equals_autograd(case: Case, device):
    input, grid = case.tensors(device, torch.float64, away_from_kinks=True)
    sample = case.bind(stn_cuda.grid_sample)
    actual = torch.func.grad(lambda *pair: sample(*pair).square().sum(), argnums=(0, 1))(input, grid)
    assert actual[0].any()
    assert case.mode == "nearest" or actual[1].any()
    assert_all_close(actual, gradients(case.bind(torch_grid_sample), input, grid)[1:])


@pytest.mark.parametrize("in_dims", ((0, 0), (0, None), (None, 0)), ids=("both", "input", "grid"))
@pytest.mark.parametrize("case", all_cases(), ids=str)
def test_vmap_equals_a_loop(case: Case, in_dims, device):
    input, grid = case.tensors(device, torch.float64, away_from_kinks=True)
    pairs = [(input if i is None else scale * input, grid if g is None else grid.flip(flip))
             for scale, flip, i, g in ((1, 1, *in_dims), (-2, 2, *in_dims))]
    stacked = [tensor if dim is None else torch.stack([pair[k] for pair in pairs])
               for k, (tensor, dim) in enumerate(zip((input, grid), in_dims, strict=True))]
    actual = torch.func.vmap(case.bind(stn_cuda.grid_sample), in_dims=in_dims)(*stacked)
    DOUBLE.assert_close(actual, torch.stack([case.bind(torch_grid_sample)(*pair) for pair in pairs]))


@pytest.mark.parametrize("route", ("func", "forward_ad"))
@pytest.mark.parametrize("case", all_cases(), ids=str)
def test_jvp_is_the_transpose_of_the_gradient(case: Case, route, device):
    input, grid = case.tensors(device, torch.float64, away_from_kinks=True)
    t_input, t_grid = torch.cos(7 * input), torch.sin(5 * grid)
    sample = case.bind(stn_cuda.grid_sample)
    if route == "func":
        _, tangent = torch.func.jvp(sample, (input, grid), (t_input, t_grid))
    else:
        with forward_ad.dual_level():
            duals = forward_ad.make_dual(input, t_input), forward_ad.make_dual(grid, t_grid)
            tangent = forward_ad.unpack_dual(sample(*duals)).tangent
    output, *both = gradients(case.bind(torch_grid_sample), input, grid)  # of the sum of squares
    assert tangent is not None and tangent.any()
    DOUBLE.assert_close(2 * (output * tangent).sum(), (both[0] * t_input).sum() + (both[1] * t_grid).sum())


@pytest.mark.parametrize("case", all_cases(), ids=str)
def test_meta_tensors_give_shapes(case: Case):
    input, grid = case.tensors(torch.device("meta"), torch.float32, away_from_kinks=True)
    output, *both = gradients(case.bind(stn_cuda.grid_sample), input, grid)
    assert output.device.type == "meta" and output.dtype == torch.float32
    assert output.shape == (*input.shape[:2], *grid.shape[1:-1])
    assert [gradient.shape for gradient in both] == [input.shape, grid.shape]
    theta = torch.ones(2, case.dims, case.dims + 1, device="meta")
    made = stn_cuda.affine_grid(theta, (2, 1, *grid.shape[1:-1]), align_corners=case.align_corners)
    assert made.device.type == "meta" and made.shape == grid.shape


@pytest.mark.usefixtures("fresh_dynamo")
def test_compiled_affine_grid_follows_a_size_that_changes(device):
    @torch.compile(fullgraph=True, backend="aot_eager", dynamic=True)
    def warp(theta, image):
        half = [image.shape[0], image.shape[1], image.shape[2] // 2, image.shape[3]]
        return stn_cuda.affine_grid(theta, image.shape, align_corners=False), stn_cuda.affine_grid(theta, half, False)

    for batch, height, width in ((2, 4, 5), (3, 6, 7), (4, 8, 9)):
        theta = torch.linspace(-1, 1, 6 * batch, dtype=torch.float64, device=device).view(batch, 2, 3)
        whole, half = warp(theta, torch.zeros(batch, 1, height, width, device=device))
        DOUBLE.assert_close(whole, F.affine_grid(theta, (batch, 1, height, width), align_corners=False))
        DOUBLE.assert_close(half, F.affine_grid(theta, (batch, 1, height // 2, width), align_corners=False))


@pytest.mark.usefixtures("fresh_dynamo")
def test_what_warns_in_eager_mode_compiles_without_graph_break(device):
    theta = torch.eye(2, 3, dtype=torch.float64, device=device)[None]
    image = torch.ones(1, 1, 3, 4, dtype=torch.float64, device=device)

    def warp(theta, image):
        single = stn_cuda.affine_grid(theta, (1, 1, 1, 4), align_corners=True)
        return stn_cuda.grid_sample(image, stn_cuda.affine_grid(theta, image.shape)), single

    output, single = torch.compile(warp, fullgraph=True, backend="aot_eager")(theta, image)
    DOUBLE.assert_close(output, F.grid_sample(image, F.affine_grid(theta, image.shape, False), align_corners=False))
    assert single.shape == (1, 1, 4, 2)


@pytest.mark.filterwarnings("ignore")  # tracing warns of every Python decision
def test_traced_affine_grid_follows_the_size_of_its_input(device):
    def grid(theta, image):
        return stn_cuda.affine_grid(theta, image.shape, align_corners=False)

    theta = torch.linspace(-1, 1, 6, dtype=torch.float64, device=device).view(1, 2, 3)
    traced = torch.jit.trace(grid, (theta, torch.zeros(1, 1, 4, 4, device=device)))
    DOUBLE.assert_close(traced(theta, torch.zeros(1, 1, 7, 8, device=device)), F.affine_grid(theta, (1, 1, 7, 8), False))
