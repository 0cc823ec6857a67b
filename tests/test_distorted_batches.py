"""Which digits, distorted how, in which iteration: examples/distorted/batches.py."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from digits_on_canvases import some_digits
from distorted.batches import BLOCK, Batches, Share, TestSet
from distorted.distortions import DISTORTIONS, Rotated
from torch import Tensor

EVERY = pytest.mark.parametrize("name", DISTORTIONS)
COUNT, SIZE = 100, 12  # digits, whose labels are their numbers, and a batch of them
SEED = 3
WHOLE = Share()


def batches(name: str = "R", size: int = SIZE, seed: int = SEED, share: Share = WHOLE) -> Batches:
    return Batches(some_digits(COUNT), DISTORTIONS[name], size, seed, share)


def shares(processes: int) -> list[Share]:
    return [Share(rank, processes) for rank in range(processes)]


def joined(parts: list[Tensor]) -> Tensor:
    """What each rank has, in the order of the whole."""
    whole = parts[0].new_empty(sum(len(part) for part in parts), *parts[0].shape[1:])
    for rank, part in enumerate(parts):
        whole[rank :: len(parts)] = part
    return whole


def equal(a: tuple[Tensor, Tensor], b: tuple[Tensor, Tensor]) -> bool:
    return torch.equal(a[0], b[0]) and torch.equal(a[1], b[1])


# Training


@EVERY
def test_batch_is_a_function_of_seed_and_iteration_whatever_was_asked_before(name):
    some, others = batches(name), batches(name)
    there = [some.batch(iteration) for iteration in range(20)]
    back = [others.batch(iteration) for iteration in reversed(range(20))][::-1]
    assert all(equal(a, b) for a, b in zip(there, back))
    assert equal(some.batch(5), there[5])
    assert not equal(batches(name, seed=SEED + 1).batch(5), there[5])


def test_no_digit_comes_twice_in_an_epoch_and_every_epoch_has_another_order():
    some = batches()
    assert some.per_epoch == COUNT // SIZE == 8
    epochs = [torch.cat([some.batch(8 * epoch + index)[1] for index in range(8)]) for epoch in range(2)]
    for labels in epochs:
        assert len(labels) == 96 and labels.unique().numel() == 96
    assert not torch.equal(*epochs)
    assert {*epochs[1].tolist()} - {*epochs[0].tolist()}  # the few that an epoch leaves out are others in the next


def test_a_digit_is_distorted_anew_in_every_epoch():
    some = batches(size=COUNT)
    (first, labels), (second, again) = some.batch(0), some.batch(1)
    assert torch.equal(labels.sort().values, again.sort().values)
    difference = (first[labels.argsort()] - second[again.argsort()]).abs().amax((1, 2, 3))
    assert (difference > 0.1).sum() > 95  # some angles are nearly the same by chance


def test_no_two_iterations_distort_alike():
    class Noted(Rotated):
        thetas: list[Tensor] = []

        def draw(self, digits, chosen, random):
            self.thetas.append(super().draw(digits, chosen, random)["theta"])
            return {"theta": self.thetas[-1]}

    some = Batches(some_digits(COUNT), Noted(), COUNT // 2, SEED)
    for iteration in range(10):  # five epochs
        some.batch(iteration)
    assert torch.cat(Noted.thetas).unique(dim=0).shape == (10 * COUNT // 2, 6)


@pytest.mark.parametrize("processes", [2, 3, 4, 12])
@EVERY
def test_shares_of_all_processes_are_the_whole_batch_bit_for_bit(name, processes):
    for iteration in (0, 9):
        whole = batches(name).batch(iteration)
        parts = [batches(name, share=share).batch(iteration) for share in shares(processes)]
        assert all(len(canvases) == len(labels) == SIZE // processes for canvases, labels in parts)
        assert equal(whole, (joined([canvases for canvases, _ in parts]), joined([labels for _, labels in parts])))


def test_batches_that_do_not_divide_or_are_too_large_are_refused():
    with pytest.raises(ValueError, match="batch size 12 isn't divisible by the 5 processes"):
        batches(share=Share(0, 5))
    with pytest.raises(ValueError, match="batch size 101 is larger than the 100 training digits"):
        batches(size=COUNT + 1)
    assert batches(size=COUNT).per_epoch == 1


# Tests


@pytest.fixture(scope="module", params=DISTORTIONS)
def tests(request) -> Iterator[TestSet]:
    """More than a block."""
    yield TestSet(some_digits(BLOCK + 200), DISTORTIONS[request.param])


def whole(blocks: Iterator[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    canvases, labels = zip(*blocks)
    return torch.cat(canvases), torch.cat(labels)


def test_test_set_has_every_digit_once_and_is_the_same_each_time(tests):
    canvases, labels = whole(tests.blocks())
    assert torch.equal(labels, torch.arange(BLOCK + 200)) and len(canvases) == BLOCK + 200
    assert equal((canvases, labels), whole(tests.blocks()))


@pytest.mark.parametrize("count", [1, 10, BLOCK, BLOCK + 7, 10 * BLOCK])
def test_the_first_so_many_are_the_same_whatever_the_count(tests, count):
    canvases, labels = whole(tests.blocks())
    assert equal((canvases[:count], labels[:count]), whole(tests.blocks(count)))


@pytest.mark.parametrize("processes", [2, 3, 7])
def test_shares_of_all_processes_are_the_whole_test_set_bit_for_bit(tests, processes):
    for count in (None, BLOCK + 7):
        blocks = [list(tests.blocks(count, share)) for share in shares(processes)]
        for index, (canvases, labels) in enumerate(tests.blocks(count)):
            parts = [block[index] for block in blocks]
            assert equal((canvases, labels), (joined([part for part, _ in parts]), joined([part for _, part in parts])))


def test_canvases_of_the_test_set_differ_from_those_of_training():
    some = some_digits(COUNT)
    trained, labels = Batches(some, DISTORTIONS["R"], COUNT, 2015).batch(0)  # TestSet's own seed
    tested, _ = whole(TestSet(some, DISTORTIONS["R"]).blocks())
    assert ((trained[labels.argsort()] - tested).abs().amax((1, 2, 3)) > 0.1).sum() > 95
