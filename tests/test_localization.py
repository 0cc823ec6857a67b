"""Localisation networks: they start at the identity, take any image size, and keep theta in enough bits."""

from __future__ import annotations

import copy
import io

import pytest
import torch
from tolerances import BFLOAT16_FEATURES, PARITY
from torch import nn

from stn_cuda.localization import (
    AveragePool,
    ConvolutionalLocalization,
    FullyConnectedLocalization,
    Localization,
    ThetaHead,
    init_identity_,
    param_groups,
)
from stn_cuda.transforms import Affine, Attention, Projective, Translation

AFFINE = Affine()


def small_backbone():
    return nn.Sequential(nn.Conv2d(1, 8, 5, stride=2), nn.ReLU())


NETWORKS = {
    "fully connected": lambda **head: FullyConnectedLocalization(AFFINE, in_features=42 * 42, **head),
    "fully connected, lazy": lambda **head: FullyConnectedLocalization(AFFINE, **head),
    "fully connected, pooled": lambda **head: FullyConnectedLocalization(AFFINE, in_features=64, pooled_size=8, **head),
    "convolutional": lambda **head: ConvolutionalLocalization(AFFINE, in_channels=1, **head),
    "convolutional, lazy": lambda **head: ConvolutionalLocalization(AFFINE, **head),
    "backbone": lambda **head: Localization(small_backbone(), AFFINE, in_features=8 * 16, pooled_size=4, **head),
    "backbone, lazy": lambda **head: Localization(small_backbone(), AFFINE, pooled_size=4, **head),
    "backbone, no pooling": lambda **head: Localization(small_backbone(), AFFINE, **head),
}


def images(device, size=(42, 42), count=3, dtype=torch.float32):
    return torch.randn(count, 1, *size, generator=torch.Generator().manual_seed(0)).to(device, dtype)


@pytest.mark.parametrize("bound", (None, 0.5), ids=("unbounded", "bounded"))
@pytest.mark.parametrize("name", NETWORKS)
def test_starts_at_the_identity(name, bound, device):
    network = NETWORKS[name](bound=bound).to(device)
    theta = network(images(device))
    assert torch.equal(theta, AFFINE.identity(3, torch.float32, device))
    assert theta.requires_grad


def test_init_identity_takes_every_head():
    pair = nn.ModuleList([FullyConnectedLocalization("Affine", (4,), 4, bound=bound) for bound in (None, 0.5)])
    init_identity_(pair, "Affine", 0.1, torch.Generator().manual_seed(0))
    features = torch.randn(2, 4)
    away = [network(features) - AFFINE.identity() for network in pair]
    assert all(0 < difference.abs().max() < 0.5 for difference in away)
    init_identity_(pair, AFFINE)
    assert all(torch.equal(network(features), AFFINE.identity(2)) for network in pair)


@pytest.mark.parametrize("transform", (Translation(), Attention(), Projective()), ids=lambda transform: transform.name)
def test_every_width(transform, device):
    for network in (FullyConnectedLocalization(transform), ConvolutionalLocalization(transform)):
        assert torch.equal(network.to(device)(images(device)), transform.identity(3, torch.float32, device))


def test_the_papers_shapes():
    layers = FullyConnectedLocalization(AFFINE, in_features=1764).modules()
    widths = [(layer.in_features, layer.out_features) for layer in layers if isinstance(layer, nn.Linear)]
    assert widths == [(1764, 32), (32, 32), (32, 32), (32, 6)]
    shapes = [tuple(parameter.shape) for name, parameter in ConvolutionalLocalization(AFFINE, 1).named_parameters()
              if name.endswith("weight")]
    assert shapes == [(20, 1, 5, 5), (20, 20, 5, 5), (20, 20 * 4 * 4), (6, 20)]  # 42 / 2 = 21 -> 17 -> 8 -> 4


@pytest.mark.parametrize("size", ((42, 42), (1, 1), (5, 200), (60, 61)), ids=str)
@pytest.mark.parametrize("name", ("fully connected, pooled", "convolutional", "backbone"))
def test_any_image_size(name, size, device):
    network = NETWORKS[name]().to(device)
    if name == "backbone":
        size = tuple(max(entry, 5) for entry in size)  # its own convolution's
    init_identity_(network, AFFINE, 0.1, torch.Generator().manual_seed(0))
    theta = network(images(device, size))
    assert theta.shape == (3, 6) and theta.isfinite().all()
    assert not torch.equal(theta[0], theta[1])


@pytest.mark.parametrize("sizes", (((42,), (21,)), ((7, 13), (5, 4)), ((3, 50), (8, 50)), ((4, 9, 5), (3, 2, 5))), ids=str)
def test_average_pool_is_adaptive_average_pooling(sizes, device):
    size, out = sizes
    input = torch.randn(2, 3, *size, dtype=torch.float64, device=device, requires_grad=True)
    expected = getattr(nn.functional, f"adaptive_avg_pool{len(size)}d")(input, out)
    PARITY[torch.float64].assert_close(AveragePool(out)(input), expected)
    cotangent = torch.randn_like(expected)
    (gradient,) = torch.autograd.grad(AveragePool(out)(input), input, cotangent)
    PARITY[torch.float64].assert_close(gradient, torch.autograd.grad(expected, input, cotangent)[0])


def test_average_pool_says_which_axes():
    with pytest.raises(ValueError, match=r"AveragePool: expected input of 4 axes for size \(3, 3\), got shape \(2, 9, 9\)"):
        AveragePool((3, 3))(torch.zeros(2, 9, 9))


# ---- theta --------------------------------------------------------------------------------------------------------------

def test_bounds_hold(device):
    bound = (0.5, 0.1, 0.1, 0.5, 0.25, 2.0)
    network = FullyConnectedLocalization(AFFINE, in_features=42 * 42, bound=bound).to(device)
    init_identity_(network, AFFINE, 30.0, torch.Generator().manual_seed(0))
    away = (network(images(device)) - AFFINE.identity(1, torch.float32, device)).abs()
    limits = torch.tensor(bound, device=device)
    assert (away <= limits * (1 + 1e-6) + 1e-7).all() and (away.amax(0) > 0.5 * limits).all()


def test_gradient_is_scaled_and_clipped_by_image(device):
    head = ThetaHead(AFFINE, in_features=4, gradient_scale=0.5, gradient_clip=1.0).to(device)
    features = torch.randn(3, 4, device=device)
    cotangent = torch.tensor([[0.2], [4.0], [0.0]], device=device) * torch.ones(3, 6, device=device)
    (gradient,) = torch.autograd.grad(head(features), head.layer.weight, cotangent)
    rows = torch.stack([torch.full((6,), 0.1), torch.full((6,), 6**-0.5), torch.zeros(6)]).to(device)  # norms 0.24, 1, 0
    torch.testing.assert_close(gradient, rows.T @ features)


def test_limited_gradient_inside_torch_func(device):
    head = ThetaHead(AFFINE, in_features=4, gradient_scale=0.5).to(device)
    plain = ThetaHead(AFFINE, in_features=4).to(device)
    features = torch.randn(3, 4, device=device)

    def gradients(module):
        def loss(parameters, row):
            return torch.func.functional_call(module, parameters, (row[None],)).square().sum()
        return torch.func.vmap(torch.func.grad(loss), (None, 0))(dict(module.named_parameters()), features)

    for name, gradient in gradients(head).items():
        torch.testing.assert_close(gradient, 0.5 * gradients(plain)[name])


def test_sixteen_bits_leave_theta_in_float32(device):
    """bfloat16 has 8 bits: half a pixel of 256."""
    network = ConvolutionalLocalization(AFFINE, in_channels=1).to(device)
    init_identity_(network, AFFINE, 0.1, torch.Generator().manual_seed(0))
    expected = network(images(device))
    with torch.autocast(device.type, torch.bfloat16):
        theta = network(images(device))
    assert theta.dtype == torch.float32
    BFLOAT16_FEATURES.assert_close(theta, expected)
    assert network.bfloat16()(images(device, dtype=torch.bfloat16)).dtype == torch.float32


# ---- states -------------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("name", NETWORKS)
def test_states_and_copies(name, device):
    first, second = NETWORKS[name](bound=0.5).to(device), copy.deepcopy(NETWORKS[name](bound=0.5)).to(device)
    input = images(device)
    first(input)  # a lazy one has its sizes now; the second takes its own from the state
    init_identity_(first, AFFINE, 0.3, torch.Generator().manual_seed(0))
    file = io.BytesIO()
    torch.save(first.state_dict(), file)
    file.seek(0)
    second.load_state_dict(torch.load(file, map_location=device, weights_only=True))
    assert torch.equal(second(input), first(input))
    assert torch.equal(copy.deepcopy(first)(input), first(input))
    assert not any("bound" in key or "start" in key for key in first.state_dict())


@pytest.mark.parametrize("bound", (None, 0.5), ids=("unbounded", "bounded"))
def test_made_without_storage(bound, device):
    """On torch's meta device, then filled: what the constructor computes is computed anew."""
    with torch.device("meta"):
        network = ConvolutionalLocalization(AFFINE, in_channels=1, bound=bound)
    network.to_empty(device=device)
    for part in network.modules():
        if hasattr(part, "reset_parameters"):
            part.reset_parameters()
    assert torch.equal(network(images(device)), AFFINE.identity(3, torch.float32, device))


@pytest.mark.parametrize("name", NETWORKS)
def test_compiled_whole(name, device, fresh_dynamo):
    network = NETWORKS[name](bound=0.5, gradient_scale=0.5, gradient_clip=1.0).to(device)
    input = images(device)
    network(input)
    init_identity_(network, AFFINE, 0.1, torch.Generator().manual_seed(0))
    parameters = list(network.parameters())
    expected = torch.autograd.grad(network(input).square().sum(), parameters)
    theta = torch.compile(network, fullgraph=True, backend="aot_eager")(input)
    torch.testing.assert_close(theta, network(input))
    torch.testing.assert_close(torch.autograd.grad(theta.square().sum(), parameters), expected)


# ---- init_identity_, param_groups ---------------------------------------------------------------------------------------

def test_init_identity_of_any_network(device):
    network = nn.Sequential(nn.Flatten(), nn.Linear(42 * 42, 10), nn.ReLU(), nn.Linear(10, 6)).to(device)
    assert init_identity_(network, AFFINE) is network
    assert torch.equal(network(images(device)), AFFINE.identity(3, torch.float32, device))
    before = network[1].weight.clone()
    init_identity_(network, AFFINE, 0.01, torch.Generator().manual_seed(1))
    first = network(images(device))
    assert torch.equal(network[1].weight, before)
    assert 0 < (first - AFFINE.identity(1, torch.float32, device)).abs().max() < 0.1
    init_identity_(network, AFFINE, 0.01, torch.Generator().manual_seed(1))
    assert torch.equal(network(images(device)), first)


def test_param_groups_hold_every_parameter_once():
    network = FullyConnectedLocalization(AFFINE, in_features=16)
    model = nn.ModuleDict({"st": network, "again": network, "classifier": nn.Linear(16, 10), "frozen": nn.Linear(2, 2)})
    model["frozen"].requires_grad_(False)
    others, localization = param_groups(model, 0.1, 0.2)
    assert (others["name"], others["lr"]) == ("model", 0.1)
    assert localization["name"] == "localization" and localization["lr"] == pytest.approx(0.02)
    assert {id(p) for p in others["params"]} == {id(p) for p in model["classifier"].parameters()}
    assert {id(p) for p in localization["params"]} == {id(p) for p in network.parameters()}
    torch.optim.SGD([others, localization], lr=1.0, momentum=0.9).step()  # as optimizers take them


BAD = {
    "no layer": (lambda: init_identity_(nn.ReLU(), AFFINE), "expected module to have an nn.Linear, got ReLU without one"),
    "width": (lambda: init_identity_(nn.Linear(3, 4), AFFINE), "to have 6 outputs for Affine and a bias, got 4 and a bias"),
    "no bias": (lambda: init_identity_(nn.Linear(3, 6, bias=False), AFFINE), "got 6 and no bias"),
    "lazy": (lambda: init_identity_(nn.LazyLinear(6), AFFINE), "call it once first, its last layer is lazy"),
    "perturbation": (lambda: init_identity_(nn.Linear(3, 6), AFFINE, -1.0), "expected perturbation to be .* got -1.0"),
    "name": (lambda: FullyConnectedLocalization("Afine"), "FullyConnectedLocalization.*transform to be one of .*got 'Afine'"),
    "bounds": (lambda: ThetaHead(AFFINE, 4, bound=(1.0, 2.0)), "expected bound to be a number or 6 of them, got 2"),
    "bound": (lambda: ThetaHead(AFFINE, 4, bound=0), "expected bound to be positive and finite, got 0"),
    "clip": (lambda: ThetaHead(AFFINE, 4, gradient_clip=0.0), "expected gradient_clip to be positive and finite, got 0.0"),
    "scale": (lambda: ThetaHead(AFFINE, 4, gradient_scale=-1.0), "expected gradient_scale to be .* at least 0, got -1.0"),
    "hidden": (lambda: FullyConnectedLocalization(AFFINE, ()), r"expected hidden to be one or more positive ints, got \(\)"),
    "channels": (lambda: ConvolutionalLocalization(AFFINE, channels=(3,)), "expected channels to be 2 positive ints"),
    "working size": (lambda: ConvolutionalLocalization(AFFINE, working_size=13), "working_size of at least 14 .*got"),
    "pooled size": (lambda: Localization(nn.ReLU(), AFFINE, pooled_size=0), "expected pooled_size to be a positive int or 2"),
    "no localization": (lambda: param_groups(nn.Linear(2, 2), 0.1), "expected model to have a localisation network"),
    "learning rate": (lambda: param_groups(nn.Linear(2, 2), -0.1), "expected lr to be .* got -0.1"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_arguments_are_named(name):
    call, message = BAD[name]
    with pytest.raises(ValueError, match=message):
        call()
