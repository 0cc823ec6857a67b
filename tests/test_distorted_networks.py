"""The networks of examples/distorted: their size, their start, and ours beside torch's sampler."""

from __future__ import annotations

import pytest
import torch
from digits_on_canvases import some_digits
from distorted.networks import (
    ARCHITECTURES,
    PARAMETERS,
    TRANSFORMS,
    localization,
    make_network,
    parameter_count,
    predictions,
    transformer_of,
)
from distorted.torch_sampler import TorchSpatialTransformer
from tolerances import EXACT, PARITY
from torch import Tensor, nn

from stn_cuda.modules import RecurrentSpatialTransformer, SpatialTransformer
from stn_cuda.transforms import Flow

CANVASES = (28, 42, 60)
TRANSFORMERS = [name for name, architecture in ARCHITECTURES.items() if architecture.transform is not None]
IN_ONE_STEP = [name for name in TRANSFORMERS if not ARCHITECTURES[name].is_recurrent]
BATCH = 5


def made(name: str, canvas: int = 42, **options) -> nn.Module:
    torch.manual_seed(0)
    return make_network(ARCHITECTURES[name], canvas, **options)


def canvases(side: int, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32) -> Tensor:
    images = some_digits(BATCH, device).images.to(dtype)
    return nn.functional.pad(images, ((side - 28) // 2,) * 4)


def away_from_the_identity(network: nn.Module, device: torch.device | str, dtype: torch.dtype) -> nn.Module:
    """Another theta for every image: heads whose weights aren't 0."""
    network = network.to(device, dtype)
    random = torch.Generator().manual_seed(1)
    for name, parameter in network.named_parameters():
        if ".head." in name:
            parameter.data += 0.1 * torch.randn(parameter.shape, generator=random).to(parameter)
    return network


# Names and sizes


def test_architectures_are_found_by_the_names_they_say():
    assert [*TRANSFORMS] == ["Aff", "Proj", "TPS", "Att"]
    for kind in ("FCN", "CNN"):
        once = [f"ST-{kind} {name}" for name in TRANSFORMS]
        recurrent = [f"IC-ST-{kind} {name}" for name in ("Aff", "Proj", "Att")]  # splines can't be composed
        found = [name for name, architecture in ARCHITECTURES.items() if architecture.classifier == kind]
        assert found == [kind, *once, *recurrent]
    assert all(architecture.name == name for name, architecture in ARCHITECTURES.items())


@pytest.mark.parametrize("pool", [False, True])
@pytest.mark.parametrize("canvas", CANVASES)
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_networks_have_the_size_they_say_and_give_logits(name, canvas, pool):
    network = made(name, canvas, pool=pool)
    count = parameter_count(network)
    if ARCHITECTURES[name].classifier == "FCN":
        assert 0.99 * PARAMETERS < count <= PARAMETERS
    else:
        assert 208_000 < count < 271_000
    images = canvases(canvas)
    assert network(images).shape == (BATCH, 10)
    assert predictions(network, images).shape == (BATCH,)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_transformer_of_a_network_is_found(name):
    architecture, found = ARCHITECTURES[name], transformer_of(made(name))
    if architecture.transform is None:
        assert found is None
    else:
        assert type(found) is (RecurrentSpatialTransformer if architecture.is_recurrent else SpatialTransformer)
        assert found.transform == TRANSFORMS[architecture.transform]()


# The start


@pytest.mark.parametrize("name", TRANSFORMERS)
def test_transformer_starts_at_the_identity(name, device):
    """Of canvases of the size that the classifier reads, R's, it returns the canvas."""
    images, tolerance = canvases(28, device), PARITY[torch.float32] if "TPS" in name else EXACT
    transformer = transformer_of(made(name, 28)).to(device)
    assert transformer.theta(images).equal(transformer.transform.identity(BATCH, device=device))
    tolerance.assert_close(transformer(images), images)


@pytest.mark.parametrize("name", TRANSFORMERS)
@pytest.mark.parametrize("pool, size", [(False, 28), (True, 56)])
def test_transformer_of_a_larger_canvas_starts_by_resampling_all_of_it(name, pool, size, device):
    images = canvases(42, device)
    transformer = transformer_of(made(name, pool=pool)).to(device)
    grid = nn.functional.affine_grid(torch.eye(2, 3, device=device).repeat(BATCH, 1, 1), [BATCH, 1, size, size],
                                     align_corners=False)
    expected = nn.functional.grid_sample(images, grid, align_corners=False)
    assert transformer(images).shape == (BATCH, 1, size, size)
    PARITY[torch.float32].assert_close(transformer(images), expected)


@pytest.mark.parametrize("name", TRANSFORMERS)
def test_pool_averages_twice_the_resolution_for_a_classifier_of_the_same_input(name):
    network, pooled = made(name), made(name, pool=True)
    assert [type(part) for part in pooled] == [type(network[0]), nn.AvgPool2d, type(network[1])]
    images = canvases(42)
    assert pooled[:2](images).shape == network[:1](images).shape == (BATCH, 1, 28, 28)
    EXACT.assert_close(pooled[:2](images), nn.functional.avg_pool2d(pooled[0](images), 2))


# torch's sampler in the same network


@pytest.mark.parametrize("canvas, pool", [(28, False), (42, True)])
@pytest.mark.parametrize("name", IN_ONE_STEP)
def test_network_with_torchs_sampler_has_the_same_logits_and_gradients(name, canvas, pool, device):
    found = []
    for sampler in ("stn_cuda", "torch"):
        network = made(name, canvas, sampler=sampler, pool=pool)
        assert isinstance(network[0], TorchSpatialTransformer) == (sampler == "torch")
        network = away_from_the_identity(network, device, torch.float64)
        images = canvases(canvas, device, torch.float64).requires_grad_()
        sampled = network[0](images)
        logits = network(images)
        nn.functional.cross_entropy(logits, torch.arange(BATCH, device=device)).backward()
        found.append([sampled, logits, images.grad, *(parameter.grad for parameter in network.parameters())])
    assert len(found[0]) == len(found[1])
    for ours, torchs in zip(*found):
        assert torchs.abs().max() > 0
        PARITY[torch.float64].assert_close(ours, torchs)


def test_both_samplers_have_the_same_parameters_by_name():
    ours, torchs = (made("ST-CNN TPS", sampler=sampler).state_dict() for sampler in ("stn_cuda", "torch"))
    assert ours.keys() == torchs.keys()
    assert all(torch.equal(ours[key], torchs[key]) for key in ours)


def test_what_torch_has_no_grid_for_is_refused():
    with pytest.raises(ValueError, match="IC-ST-FCN Aff: the sampler torch is for networks without recurrence"):
        made("IC-ST-FCN Aff", sampler="torch")
    flow = Flow((28, 28))
    transformer = TorchSpatialTransformer(localization(ARCHITECTURES["FCN"], flow, 28), flow, 28)
    with pytest.raises(ValueError, match="torch has no grid for Flow"):
        transformer(canvases(28))
