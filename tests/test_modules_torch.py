"""The modules inside torch's own machinery: compiled, exported, copied, saved, in other dtypes, trained."""

from __future__ import annotations

import copy
import io

import pytest
import torch
from module_cases import AFFINE, MODULES, images, input_of, network, spatial
from routed import assert_same_in_scale
from tolerances import PARITY, SAMPLED_UNDER_AUTOCAST
from torch import nn
from torch._dynamo.testing import CompileCounterWithBackend

from stn_cuda.localization import Localization, param_groups
from stn_cuda.modules import ParallelSpatialTransformer, PointTransformer, SpatialTransformer
from stn_cuda.transforms import Rotation


@pytest.mark.parametrize("name", MODULES)
def test_compiled_whole(name, device, fresh_dynamo):
    module = MODULES[name]().to(device)
    input = input_of(module, device).requires_grad_()
    tensors = [input, *module.parameters()]
    output = module(input)
    cotangent = torch.randn_like(output)
    expected = torch.autograd.grad(output, tensors, cotangent)
    counter = CompileCounterWithBackend("aot_eager")
    compiled = torch.compile(module, fullgraph=True, backend=counter)
    theta, module.last_theta = module.last_theta, None
    for _ in range(3):
        result = compiled(input)
        torch.testing.assert_close(result, output)
        torch.testing.assert_close(torch.autograd.grad(result, tensors, cotangent), expected)
    assert counter.frame_count == 1  # the theta that is kept makes nothing anew
    torch.testing.assert_close(module.last_theta, theta)
    assert not module.last_theta.requires_grad


# antialias has a graph for each number of halvings, odd or even
ANY_SIZE = [name for name in MODULES if name not in ("antialias", "points")]


@pytest.mark.parametrize("name", ANY_SIZE)
def test_compiled_for_all_sizes(name, device, fresh_dynamo):
    """One graph for any batch and image: neither theta nor a size leads to another."""
    module = MODULES[name]().to(device)
    compiled = torch.compile(module, fullgraph=True, dynamic=True, backend="aot_eager")
    with torch._dynamo.config.patch(error_on_recompile=True):
        for batch, height, width in ((3, 9, 12), (5, 11, 13), (2, 20, 7)):
            input = torch.randn(batch, 2, height, width, device=device)
            torch.testing.assert_close(compiled(input), module(input))


@pytest.mark.parametrize("name", MODULES)
def test_states_and_copies(name, device):
    module, other = MODULES[name]().to(device), MODULES[name]().to(device)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.01)
    input = input_of(module, device)
    output = module(input)
    assert not any("theta" in key for key in module.state_dict())
    assert torch.equal(copy.deepcopy(module)(input), output)
    file = io.BytesIO()
    torch.save(module.state_dict(), file)
    file.seek(0)
    other.load_state_dict(torch.load(file, map_location=device, weights_only=True))
    assert torch.equal(other(input), output)
    file = io.BytesIO()
    torch.save(module, file)  # all of it, with last_theta
    file.seek(0)
    assert torch.equal(torch.load(file, map_location=device, weights_only=False)(input), output)


@pytest.mark.parametrize("name", MODULES)
def test_twice_in_one_graph(name, device):
    module = MODULES[name]().to(device)
    first = input_of(module, device)
    second = first.flip(0) * 0.5
    parameters = list(module.parameters())
    separate = [torch.autograd.grad(module(input).square().sum(), parameters) for input in (first, second)]
    joint = torch.autograd.grad(module(first).square().sum() + module(second).square().sum(), parameters)
    assert_same_in_scale(joint, tuple(one + two for one, two in zip(*separate)), PARITY[torch.float32])


@pytest.mark.parametrize("name", MODULES)
def test_other_dtypes(name, device):
    module = MODULES[name]().to(device)
    input = input_of(module, device)
    expected = module(input)
    with torch.autocast(device.type, torch.bfloat16):
        output = module(input)
    SAMPLED_UNDER_AUTOCAST.assert_close(output.float(), expected)
    doubled = module.double()(input.double())
    assert doubled.dtype == torch.float64
    PARITY[torch.float32].assert_close(doubled.float(), expected)


def test_limits_of_theta_reach_the_sampler(device):
    """A gradient_scale of 0 freezes the network, and leaves the image's own gradient."""
    st = SpatialTransformer(network(AFFINE, 0.1, gradient_scale=0.0), AFFINE).to(device)
    input = images(device).requires_grad_()
    st(input).square().sum().backward()
    assert all((parameter.grad == 0).all() for parameter in st.parameters())
    assert input.grad.abs().max() > 0


def test_inside_torch_func_no_theta_is_kept(device):
    st, input = spatial().to(device), images(device)
    parameters = dict(st.named_parameters())

    def loss(values):
        return torch.func.functional_call(st, values, (input,)).square().sum()

    gradients = torch.func.grad(loss)(parameters)
    assert st.last_theta is None
    expected = torch.autograd.grad(loss(parameters), parameters.values())
    assert_same_in_scale(tuple(gradients.values()), expected, PARITY[torch.float32])


def test_exported(device):
    st, input = spatial().to(device), images(device)
    program = torch.export.export(st, (input,))
    torch.testing.assert_close(program.module()(input), st(input))


def test_optimizer_groups():
    networks = [network(AFFINE), nn.Sequential(nn.Flatten(), nn.Linear(216, 6))]
    parallel = ParallelSpatialTransformer(networks, AFFINE, 5, backbone=nn.Conv2d(2, 2, 1))
    model = nn.Sequential(parallel, PointTransformer(), nn.Linear(3, 3))
    others, localization = param_groups(model, 0.1, 0.1)
    assert {id(p) for p in others["params"]} == {id(p) for p in model[2].parameters()}
    assert {id(p) for p in localization["params"]} == {id(p) for part in model[:2] for p in part.parameters()}


def test_one_step_learns(device):
    """It turns towards a turned image."""
    rotation = Rotation()
    backbone = nn.Sequential(nn.Flatten(), nn.Linear(2 * 9 * 12, 4), nn.ReLU())
    st = SpatialTransformer(Localization(backbone, rotation, 4), rotation, align_corners=True).to(device)
    rows, columns = torch.meshgrid(torch.linspace(-1, 1, 9), torch.linspace(-1, 1, 12), indexing="ij")
    input = (rows + 0.5 * columns)[None, None].expand(3, 2, -1, -1).to(device)
    target = rotation.sample(input, torch.full((3, 1), 0.2, device=device), align_corners=True)
    optimizer = torch.optim.Adam(st.parameters(), 0.01)
    losses = []
    for _ in range(40):
        loss = (st(input) - target).square().mean()
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert losses[-1] < 0.1 * losses[0]
