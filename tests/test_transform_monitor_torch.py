"""TransformMonitor inside torch's own machinery, which goes on as without it."""

from __future__ import annotations

import copy
import io
import math

import pytest
import torch
from module_cases import AFFINE, MODULES, images, input_of, spatial
from monitored import blank_and_others, given, only
from tolerances import PARITY
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from stn_cuda.modules import SpatialTransformer
from stn_cuda.transforms import Attention
from stn_cuda.visualize import TransformMonitor

SAMPLING = [name for name in MODULES if name != "points"]


@pytest.mark.parametrize("case", SAMPLING)
def test_training_is_the_same_bit_for_bit(case, device, sums_in_order):
    def train(is_watched: bool) -> list[Tensor]:
        torch.manual_seed(0)
        module = MODULES[case]().to(device)
        optimizer = torch.optim.SGD(module.parameters(), 0.01, momentum=0.9)
        monitor = TransformMonitor(module, every=2) if is_watched else None
        for _ in range(4):
            optimizer.zero_grad()
            module(input_of(module, device) + torch.randn(2, 1, 1, device=device)).square().mean().backward()
            optimizer.step()
        if monitor is not None:
            assert only(monitor)[:2] == (4, 4 * (6 if case == "parallel" else 3)) and only(monitor).blank == 0
            monitor.close()
        return [torch.get_rng_state(), *module.state_dict().values()]

    with_monitor, without = train(True), train(False)
    assert len(without) > 3 and all(torch.equal(one, other) for one, other in zip(with_monitor, without))


def test_copies_and_states_have_no_monitor(device):
    module, input = spatial().to(device), images(device)
    keys = list(module.state_dict())
    with TransformMonitor(module) as monitor:
        file = io.BytesIO()
        torch.save(module, file)
        file.seek(0)
        for other in (copy.deepcopy(module), torch.load(file, map_location=device, weights_only=False)):
            assert torch.equal(other(input), module(input))
        assert list(module.state_dict()) == keys
        assert only(monitor).calls == 2


def test_closing_takes_all_hooks_away(device):
    module, input = blank_and_others(device)
    monitor = TransformMonitor(module)
    loss = module(input).square().sum()
    monitor.close()
    loss.backward()  # of a call that was seen
    module(input)
    assert not module._theta_hooks
    assert only(monitor).calls == 1 and math.isnan(only(monitor).blank)
    monitor.close()


def test_two_monitors_see_the_same(device):
    module, input = spatial(0.3).to(device), images(device)
    with TransformMonitor(module) as first:
        with TransformMonitor(module, every=7) as second:
            module(input).sum().backward()
        assert first.summary() == second.summary()
        module(input)
        assert (only(first).calls, only(second).calls) == (2, 1)


def test_theta_that_is_a_parameter_collects_no_hooks(device):
    theta = nn.Parameter(AFFINE.identity(1, device=device))
    network = nn.Identity()
    network.forward = lambda input: theta
    module = SpatialTransformer(network, AFFINE)
    with TransformMonitor(module) as monitor:
        for _ in range(3):
            module(images(device)).square().sum().backward()
        assert len(theta._backward_hooks) == 1
        assert only(monitor).blank == 0
    assert not theta._backward_hooks


# ---- torch's machinery --------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("case", ("spatial", "parallel", "recurrent"))
def test_compiled_modules_are_seen_outside_of_the_graph(case, device, fresh_dynamo):
    module = MODULES[case]().to(device)
    input = input_of(module, device)
    seen = []
    for call in (module, torch.compile(module, backend="aot_eager")):
        with TransformMonitor(module) as monitor:
            for _ in range(2):
                call(input).square().sum().backward()
        seen.append(torch.tensor(only(monitor)))
    PARITY[torch.float32].assert_close(*seen)


def test_whole_graphs_are_refused_only_while_watched(device, fresh_dynamo):
    module, input = spatial().to(device), images(device)
    whole = torch.compile(module, backend="aot_eager", fullgraph=True)
    expected = whole(input)
    with TransformMonitor(module), pytest.raises(torch._dynamo.exc.Unsupported, match="outside of the graph"):
        whole(input)
    assert torch.equal(whole(input), expected)


@pytest.mark.parametrize("use_reentrant", (False, True))
def test_checkpointed_call_is_counted_once(use_reentrant, device):
    module, input = blank_and_others(device)
    with TransformMonitor(module) as monitor:
        checkpoint(module, input.requires_grad_(), use_reentrant=use_reentrant).square().sum().backward()
    assert only(monitor).calls == 1 and only(monitor).blank == pytest.approx(2 / 3)


def test_functional_transforms_exports_and_traces_are_not_seen(device):
    module, input = spatial().to(device), images(device)
    with TransformMonitor(module) as monitor:
        torch.func.grad(lambda values: torch.func.functional_call(module, values, (input,)).sum())(
            dict(module.named_parameters()))
        torch.export.export(module, (input,))
        assert only(monitor).calls == 0


def test_batches_of_gradients_are_not_counted(device):
    module, input = blank_and_others(device)
    with TransformMonitor(module) as monitor:
        output = module(input)
        cotangents = torch.stack([torch.ones_like(output), torch.zeros_like(output)])
        torch.autograd.grad(output, module.localization.given, cotangents, is_grads_batched=True)
    assert math.isnan(only(monitor).blank)


def test_other_dtypes(device):
    """16 bits are measured in float32; a module that is moved meanwhile is measured on."""
    module = given(torch.tensor([[1.0, 0.5, 0.0]] * 3, device=device), Attention())
    with TransformMonitor(module) as monitor:
        for dtype in (torch.bfloat16, torch.float16, torch.float32, torch.float64):
            module.to(dtype)(images(device, dtype=dtype))
    assert only(monitor)[:5] == pytest.approx((4, 12, 0.5 / 3, 1.0, 0.25))


def test_nothing_waits_for_the_device(device):
    if device.type != "cuda":
        pytest.skip("only a GPU is waited for")
    module, input = spatial().to(device), images(device)
    with TransformMonitor(module, every=100) as monitor:
        module(input).square().sum().backward()  # makes constants
        torch.cuda.set_sync_debug_mode("error")
        try:
            module(input).square().sum().backward()
        finally:
            torch.cuda.set_sync_debug_mode("default")
        assert only(monitor).calls == 2
