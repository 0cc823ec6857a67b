"""The benchmark's whole steps: that each says torch's way, and that a deterministic one is deterministic."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks import cases, passes


def test_every_step_of_torchs_own_way_says_which() -> None:
    for step in passes.STEPS:
        other = step.torch_build is not None or step.workload.torch_way is not cases.THE_SAME_CALL
        assert bool(step.words) == other
    names = [(step.workload.name, step.pass_name) for step in (*passes.STEPS, *passes.SECOND_ORDER_STEPS)]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("repeats_its_bits", [True, False])
def test_a_deterministic_step_sets_the_switch_and_looks_at_the_bits(
    monkeypatch: pytest.MonkeyPatch, repeats_its_bits: bool
) -> None:
    """With tensors that say they are a GPU's."""
    tensors: Any = SimpleNamespace(input=SimpleNamespace(device=torch.device("cuda")))
    seen, step = [], 0.0 if repeats_its_bits else 1.0

    def call() -> tuple[Tensor]:
        seen.append(torch.are_deterministic_algorithms_enabled())
        return (torch.tensor(step * len(seen)),)

    monkeypatch.setattr(passes, "forward_and_backward", lambda *arguments: call)
    if repeats_its_bits:
        passes.deterministic(F.grid_sample, tensors)()
        assert seen == [True] * 3
    else:
        with pytest.raises(RuntimeError, match="differ"):
            passes.deterministic(F.grid_sample, tensors)
    assert not torch.are_deterministic_algorithms_enabled()
