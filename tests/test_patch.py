"""stn_cuda.patch: what it puts under torch.nn.functional, whom that reaches, how it ends, and what falls through to torch.

``test_patch_compiled`` has compilers; ``test_kornia`` has other people's programs; ``test_run`` has ``python -m stn_cuda run``.
"""

from __future__ import annotations

import inspect
import pickle
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
import torch.nn.functional as F
from callers import NAMES, OURS, TORCHS, Elsewhere, sample, transform, under_torch
from cases import Case
from routed import assert_same, gradients
from seen_operators import SeenOperators
from torch.overrides import TorchFunctionMode

import stn_cuda
from stn_cuda import patch

CASE = Case(2, "bilinear", "border", False)

pytestmark = pytest.mark.usefixtures("torch_functions_as_before")


@pytest.fixture
def pair(device):
    return CASE.tensors(device, torch.float64, away_from_kinks=True)


# ---- the switch ---------------------------------------------------------------------------------------------------------


def test_block_gives_what_it_replaced_and_ends():
    with patch() as replaced:
        assert under_torch() == OURS and patch.enabled
        assert replaced._asdict() == TORCHS
    assert under_torch() == TORCHS and not patch.enabled


def test_enable_and_disable_give_what_was_replaced():
    assert patch.enable()._asdict() == TORCHS
    assert under_torch() == OURS
    patch.disable()
    assert under_torch() == TORCHS


def test_block_ends_with_an_exception():
    with pytest.raises(KeyError), patch():
        raise KeyError
    assert under_torch() == TORCHS


def test_decorator_patches_every_call():
    @patch()
    def look():
        return under_torch()

    assert look() == OURS and under_torch() == TORCHS and look() == OURS


def test_every_enable_wants_its_disable():
    patch.enable()
    assert patch.enable()._asdict() == TORCHS  # not stn_cuda's own
    with patch() as replaced:
        assert replaced._asdict() == TORCHS
    for _ in range(2):
        assert under_torch() == OURS
        patch.disable()
    assert under_torch() == TORCHS


def test_disable_without_enable_is_refused():
    with pytest.raises(RuntimeError, match="no enable"):
        patch.disable()


def test_function_that_somebody_put_there_before_comes_back(monkeypatch):
    def theirs(*arguments, **options):
        raise AssertionError

    with monkeypatch.context() as before:
        before.setattr(F, "grid_sample", theirs)
        with patch() as replaced:
            assert under_torch() == OURS
            assert replaced == (theirs, TORCHS["affine_grid"])
        assert F.grid_sample is theirs


def test_function_that_somebody_puts_over_it_stays_and_is_named(monkeypatch, pair):
    ours_below = []

    def theirs(*arguments, **options):
        return ours_below[0](*arguments, **options)

    with monkeypatch.context() as over:
        patch.enable()
        ours_below.append(F.grid_sample)
        over.setattr(F, "grid_sample", theirs)
        with patch() as replaced:  # a block inside has stn_cuda's own for as long as it lasts
            assert under_torch() == OURS and replaced.grid_sample is theirs
        assert F.grid_sample is theirs
        with pytest.warns(RuntimeWarning, match="torch.nn.functional.grid_sample, now <function .*theirs") as seen:
            patch.disable()
        assert seen[0].filename == __file__
        assert F.grid_sample is theirs and F.affine_grid is TORCHS["affine_grid"]
        torch.testing.assert_close(sample(*pair), TORCHS["grid_sample"](*pair, padding_mode="border", align_corners=False))
    assert F.grid_sample is OURS["grid_sample"] and not patch.enabled  # the cover's end put back what it had found
    with patch() as replaced:
        assert replaced._asdict() == TORCHS
    assert under_torch() == TORCHS


def test_cover_that_ends_before_the_patch_leaves_no_trace(monkeypatch):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with patch():
            with monkeypatch.context() as over:
                over.setattr(F, "grid_sample", lambda: None)
            assert under_torch() == OURS


def test_threads_that_enter_and_leave_at_once_never_see_torchs_inside(pair):
    expected, together = stn_cuda.grid_sample(*pair, padding_mode="border", align_corners=False), threading.Barrier(8)

    def work(_):
        together.wait()
        for _ in range(200):
            with patch():
                assert under_torch() == OURS
        with patch():
            return sample(*pair)

    with ThreadPoolExecutor(8) as pool:
        outputs = list(pool.map(work, range(8)))
    assert under_torch() == TORCHS and not patch.enabled
    assert all(torch.equal(output, expected) for output in outputs)


# ---- whom it reaches ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_signature_is_torchs_and_the_function_pickles(name):
    theirs, ours = (inspect.signature(functions[name]).parameters for functions in (TORCHS, OURS))
    assert [(p.name, p.default, p.kind) for p in ours.values()] == [(p.name, p.default, p.kind) for p in theirs.values()]
    assert pickle.loads(pickle.dumps(OURS[name])) is OURS[name] and OURS[name].__name__ == name


def test_values_and_gradients_are_stn_cudas(pair, device):
    theta = torch.linspace(-1, 1, 12, dtype=torch.float64, device=device).view(2, 2, 3)
    expected = gradients(sample, pair), gradients(transform, (theta,))
    with patch():
        assert_same((gradients(sample, pair), gradients(transform, (theta,))), expected)
        image = torch.full((1, 1, 2, 2), 1.0, device=device)
        nan = torch.full((1, 1, 1, 2), float("nan"), device=device)
        assert F.grid_sample(image, nan, align_corners=False).item() == 0  # stn_cuda's rule, on every device


def test_names_are_reached_that_are_imported_meanwhile_and_no_others():
    from torch.nn.functional import grid_sample as before

    with patch():
        from torch.nn.functional import grid_sample as meanwhile
    assert before is TORCHS["grid_sample"] and meanwhile is OURS["grid_sample"]


def test_the_operator_below_stays_torchs(pair):
    with patch(), SeenOperators() as operators:
        torch.grid_sampler(*pair, 0, 0, False)
    assert operators.names == ["aten.grid_sampler_2d.default"]


def test_align_corners_none_warns_at_the_callers_line(pair, device):
    with patch():
        for call in (lambda: F.grid_sample(*pair), lambda: F.affine_grid(torch.zeros(1, 2, 3, device=device), (1, 1, 2, 2))):
            with pytest.warns(UserWarning, match="^Default grid_sample and affine_grid behavior has changed") as seen:
                call()
            assert [warning.filename for warning in seen] == [__file__]


class Calls(TorchFunctionMode):
    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[object, object]] = []

    def __torch_function__(self, func, types, args=(), kwargs=None):
        self.seen.append((func, kwargs))
        return func(*args, **(kwargs or {}))


def test_mode_sees_the_function_that_is_under_torch_once(pair):
    options = {"mode": "nearest", "padding_mode": "border", "align_corners": None}
    with patch(), Calls() as calls, pytest.warns(UserWarning, match="align_corners"):
        F.grid_sample(*pair, **options)
    assert calls.seen == [(OURS["grid_sample"], options)]
    theta = torch.zeros(1, 2, 3)
    with patch(), Calls() as calls:
        F.affine_grid(theta, (1, 1, 2, 2), align_corners=True)
    assert calls.seen == [(OURS["affine_grid"], {"align_corners": True})]


def test_torchs_own_function_reaches_it_for_tensors_and_modes_that_ask_for_its_name(pair):
    """torch's code names itself by its module's name, which is ours for the time: so even an old import may reach stn_cuda."""
    with patch(), Calls() as calls:
        TORCHS["grid_sample"](*pair, align_corners=False)
    assert [function for function, _ in calls.seen] == [OURS["grid_sample"]]


# ---- what falls through -------------------------------------------------------------------------------------------------


def test_call_of_another_device_is_torchs_with_one_warning_that_names_it(pair):
    expected = torch.autograd.grad(sample(*(tensor.requires_grad_() for tensor in pair)).sum(), pair)
    elsewhere = [Elsewhere(tensor.detach()).requires_grad_() for tensor in pair]
    with patch():
        with pytest.warns(UserWarning, match=r"torch's own.*grid_sample\(\): expected input on a CPU or CUDA.*lazy") as seen:
            outputs = [sample(*elsewhere) for _ in range(3)]
        assert [warning.filename for warning in seen] == [sample.__code__.co_filename]
        with pytest.warns(UserWarning, match=r"affine_grid\(\): expected theta.*lazy"):
            assert transform(Elsewhere(torch.zeros(2, 2, 3))).shape == (2, 3, 4, 2)
    found = torch.autograd.grad(outputs[0].sum(), elsewhere)
    assert_same([gradient.inner for gradient in found], list(expected))


@pytest.mark.parametrize("call", [
    lambda image, grid: F.grid_sample(image.int(), grid.int(), align_corners=False),
    lambda image, grid: F.grid_sample(image.to_sparse(), grid, align_corners=False),
    lambda image, grid: F.grid_sample(image, grid[..., :1], align_corners=False),
    lambda image, grid: F.grid_sample(image, grid, mode="area", align_corners=False),
    lambda image, grid: F.affine_grid(grid[:, 0, 0], (2, 1, 3, 4), align_corners=False),
    lambda image, grid: F.affine_grid(grid, (2, 1), align_corners=False),
], ids=("integers", "sparse", "shapes", "mode", "theta", "size"))  # fmt: skip
def test_what_torch_refuses_is_refused_with_its_type_and_no_word_of_falling_through(call, pair):
    with pytest.raises(Exception) as expected:
        call(*pair)
    with patch(), warnings.catch_warnings(), pytest.raises(type(expected.value)) as found:
        warnings.simplefilter("error")
        call(*pair)
    assert type(found.value) is type(expected.value)
