"""gradient="linearized": what it refuses by name, and what it is in compiled programs and for batches of cotangents."""

from __future__ import annotations

import math

import pytest
import torch
from test_reach import every_transform, normal, theta_near
from tolerances import EXACT, PARITY
from torch import func
from torch.autograd import forward_ad
from warps import SAMPLERS

import stn_cuda

pytestmark = pytest.mark.usefixtures("sums_in_order")

DOUBLE = PARITY[torch.float64]


@pytest.mark.parametrize("name, value", [
    *(("reach", value) for value in (0, 0.0, -1.0, True, math.nan, math.inf, 10**400, "2", None)),
    *(("samples", value) for value in (5, 2, 0, -8, True, 8.0, "8", None)),
    *(("gradient", value) for value in ("exakt", None, True, 1)),
])  # fmt: skip
@every_transform
def test_bad_options_are_refused_by_name(transform, name, value, device):
    image, theta = normal(1, 1, 5, 6, device=device), theta_near(1.0, 2, transform, device=device)
    options = {"gradient": "linearized", name: value}
    with pytest.raises(ValueError) as caught:
        SAMPLERS[transform](image, theta, **options)
    message = str(caught.value)
    assert f"{transform}_sample(): expected {name} to be" in message and f"got {value!r}" in message
    assert name != "gradient" or "'exact', 'linearized'" in message


def test_a_volume_needs_6_samples(device):
    image, theta = normal(1, 1, 4, 5, 6, device=device), theta_near(1.0, 3, "affine", device=device)
    with pytest.raises(ValueError, match="samples to be an even int of at least 6, got 4"):
        stn_cuda.affine_sample(image, theta, gradient="linearized", samples=4)


def linearized(device):
    """A function of theta, and theta."""
    image, theta = normal(2, 1, 5, 6, device=device), theta_near(0.7, 2, "affine", 2, device=device)
    return lambda theta: stn_cuda.affine_sample(image, theta, gradient="linearized"), theta


@pytest.mark.parametrize("loss", (lambda output, first: first.sum(), lambda output, first: output.sum() + first.pow(2).sum()),
                         ids=("gradient", "penalty"))  # fmt: skip
def test_a_second_derivative_is_refused_and_not_left_out(loss, device):
    sample, theta = linearized(device)
    output = sample(theta)
    (first,) = torch.autograd.grad(output.pow(2).sum(), theta, create_graph=True)
    EXACT.assert_close(first, torch.autograd.grad(sample(theta).pow(2).sum(), theta)[0])
    for differentiate in (lambda: torch.autograd.grad(loss(output, first), theta, retain_graph=True, allow_unused=True),
                          lambda: loss(output, first).backward()):  # fmt: skip
        with pytest.raises(NotImplementedError, match='gradient="linearized" is differentiable once'):
            differentiate()


TRANSFORMS = {
    "grad": lambda f, theta: func.grad(lambda theta: f(theta).sum())(theta),
    "jvp": lambda f, theta: func.jvp(f, (theta,), (theta,)),
    "vmap": lambda f, theta: func.vmap(f)(theta[None]),
}


@pytest.mark.parametrize("name", TRANSFORMS)
def test_torch_func_is_refused(name, device):
    sample, theta = linearized(device)
    with pytest.raises(NotImplementedError, match='gradient="linearized" has no forward mode and no torch.func transform'):
        TRANSFORMS[name](sample, theta.detach())


def test_forward_mode_is_refused_in_the_call_and_in_its_backward(device):
    """A cotangent with a tangent would lose it."""
    sample, theta = linearized(device)
    output = sample(theta)
    with forward_ad.dual_level():
        dual = forward_ad.make_dual(torch.ones_like(output), torch.ones_like(output))
        calls = (lambda: sample(forward_ad.make_dual(theta.detach(), theta.detach())),
                 lambda: torch.autograd.grad(output, theta, dual))  # fmt: skip
        for call in calls:
            with pytest.raises(NotImplementedError, match='gradient="linearized" has no forward mode'):
                call()


def test_a_program_that_would_lose_the_gradient_is_refused(device):
    """Export and trace record operators. Without a gradient wanted there is none to lose."""
    sample, theta = linearized(device)

    class Module(torch.nn.Module):
        def forward(self, theta):
            return sample(theta)

    for record in (lambda: torch.export.export(Module(), (theta,)), lambda: torch.jit.trace(sample, theta, check_trace=False)):
        with pytest.raises(NotImplementedError, match='gradient="linearized" is lost in an exported or traced program'):
            record()
    with torch.no_grad():
        EXACT.assert_close(torch.export.export(Module(), (theta,)).module()(theta), sample(theta))


@pytest.mark.usefixtures("fresh_dynamo")
def test_it_is_the_same_gradient_compiled_and_for_a_batch_of_cotangents(device):
    sample, theta = linearized(device)
    cotangents = normal(3, 2, 1, 5, 6, device=device)
    expected = torch.stack([torch.autograd.grad(sample(theta), theta, one)[0] for one in cotangents])
    compiled = torch.compile(sample, fullgraph=True, backend="aot_eager")
    DOUBLE.assert_close(torch.autograd.grad(compiled(theta), theta, cotangents[0])[0], expected[0])
    DOUBLE.assert_close(torch.autograd.grad(sample(theta), theta, cotangents, is_grads_batched=True)[0], expected)
