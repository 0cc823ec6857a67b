"""What is done with a workload: the passes, each a call that can be repeated, and whole steps beside torch's way of them."""
from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from benchmarks import cases
from benchmarks.cases import Call, NotMeasured, Sampler, Tensors, Workload

Build = Callable[[Sampler, Tensors], Call]


# ---- passes -------------------------------------------------------------------------------------------------------------

def forward(sampler: Sampler, tensors: Tensors) -> Call:
    """Without gradients."""
    input, grid = tensors.input.detach(), tensors.grid.detach()
    return lambda: (sampler(input, grid),)


def forward_with_grad(sampler: Sampler, tensors: Tensors) -> Call:
    return lambda: (sampler(tensors.input, tensors.grid),)


def forward_and_backward(sampler: Sampler, tensors: Tensors) -> Call:
    variables = tensors.input, tensors.grid
    return lambda: torch.autograd.grad(sampler(*variables), variables, tensors.grad_output)


def backward(sampler: Sampler, tensors: Tensors) -> Call:
    """The gradients of input and grid; the forward was before."""
    variables = tensors.input, tensors.grid
    output = sampler(*variables)
    return lambda: torch.autograd.grad(output, variables, tensors.grad_output, retain_graph=True)


def double_backward(sampler: Sampler, tensors: Tensors) -> Call:
    """The backward with ``create_graph=True`` and the backward of that; the forward was before.

    Both, since nobody has the second without the first, and since a library is free to do its work in either.
    """
    return functools.partial(_both_backwards, sampler(tensors.input, tensors.grid), tensors)


def forward_and_both_backwards(sampler: Sampler, tensors: Tensors) -> Call:
    return lambda: _both_backwards(sampler(tensors.input, tensors.grid), tensors)


def _both_backwards(output: Tensor, tensors: Tensors) -> Sequence[Tensor]:
    variables = tensors.input, tensors.grid
    gradients = torch.autograd.grad(output, variables, tensors.grad_output, create_graph=True)
    cotangents = tensors.grad_grad_input, tensors.grad_grad_grid
    # nearest may give the grid zeros that depend on nothing
    pairs = [(gradient, cotangent) for gradient, cotangent in zip(gradients, cotangents) if gradient.requires_grad]
    outputs, cotangents = zip(*pairs)
    return torch.autograd.grad(outputs, (tensors.grad_output, *variables), cotangents, materialize_grads=True)


def deterministic(sampler: Sampler, tensors: Tensors) -> Call:
    """Forward and backward under ``torch.use_deterministic_algorithms(True)``, after two runs with the same bits."""
    if tensors.input.device.type == "cpu":
        raise NotMeasured("on the CPU gradients have the same bits always, unasked")
    call = forward_and_backward(sampler, tensors)

    def deterministic_call() -> Sequence[Tensor]:
        before = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
        torch.use_deterministic_algorithms(True)
        try:
            return call()
        finally:
            torch.use_deterministic_algorithms(before[0], warn_only=before[1])

    if not all(torch.equal(one, other) for one, other in zip(deterministic_call(), deterministic_call(), strict=True)):
        raise RuntimeError("two runs under use_deterministic_algorithms(True) differ")
    return deterministic_call


PASSES: dict[str, Build] = {"forward": forward, "backward": backward, "double_backward": double_backward}
OVERHEAD_PASSES: dict[str, Build] = {
    "forward, no grad": forward, "forward with grad": forward_with_grad, "forward + backward": forward_and_backward}


# ---- whole steps --------------------------------------------------------------------------------------------------------

@dataclass(frozen=True)
class Step:
    """A workload, a pass, and torch's way where that is another one."""

    workload: Workload
    pass_name: str
    build: Build
    torch_build: Build | None = None  # None: the same
    torch_way: str = ""  # in words

    @property
    def words(self) -> str:
        return "; ".join(words for words in (self.workload.torch_way.words, self.torch_way) if words)


def forward_of(workload: Workload) -> Step:
    return Step(workload, "forward", forward)


def both_of(workload: Workload) -> Step:
    return Step(workload, "forward + backward", forward_and_backward)


def deterministic_of(workload: Workload) -> Step:
    return Step(workload, "forward + backward, deterministic", deterministic, forward_and_backward,
                "any order of sums: it has no deterministic gradient of input")


def second_of(workload: Workload) -> Step:
    return Step(workload, "forward + both backwards", forward_and_both_backwards)


# A step begins with nothing but its arguments, so that its peak memory holds what is kept from one pass to the next. The most
# valuable first.
STEPS = (
    both_of(cases.BF16_IMAGE), both_of(cases.ONE_IMAGE), both_of(cases.ONE_GRID),
    both_of(cases.FEATURES), deterministic_of(cases.FEATURES), deterministic_of(cases.ONE_IMAGE), both_of(cases.F16_FRAME),
    *(both_of(workload) for workload in (cases.FUSED_MNIST, cases.FUSED_PHOTOS, cases.FUSED_FEATURES)),
    *(forward_of(workload) for workload in (cases.BF16_IMAGE, cases.F16_FRAME, cases.ONE_IMAGE, cases.ONE_GRID)),
    *(forward_of(workload) for workload in (cases.FUSED_MNIST, cases.FUSED_PHOTOS, cases.FUSED_FEATURES)),
)
SECOND_ORDER_STEPS = tuple(second_of(workload) for workload in (cases.STN_ON_MNIST, cases.VOLUME, cases.BICUBIC))
