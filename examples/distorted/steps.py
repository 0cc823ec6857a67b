"""What every training of the examples does: one update, and counting errors."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn


def update(network: nn.Module, optimizer: torch.optim.Optimizer, canvases: Tensor, labels: Tensor) -> Tensor:
    """One step of the optimiser by the cross-entropy, which is returned without waiting for it."""
    loss = nn.functional.cross_entropy(network(canvases), labels)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.detach()


@torch.no_grad()
def count_wrong(network: nn.Module, blocks: Iterable[tuple[Tensor, Tensor]], device: torch.device | str = "cpu") -> Tensor:
    """(wrong, all): how many of the canvases the network, in evaluation mode, takes for another digit, and how many there are.

    A tensor (2,) on the device; the network is in the mode that it was in afterwards.
    """
    was_training = network.training
    network.eval()
    counts = torch.zeros(2, device=device)
    for canvases, labels in blocks:
        counts[0] += (network(canvases).argmax(1) != labels).sum()
        counts[1] += len(labels)
    network.train(was_training)
    return counts


def error_rate(counts: Tensor) -> float:
    """In percent, of what :func:`count_wrong` has counted."""
    wrong, total = counts.tolist()
    return 100 * wrong / total
