"""TransformMonitor: what it warns of has happened, once, with name and step."""

from __future__ import annotations

import math
import warnings

import pytest
import torch
from module_cases import MODULES, images, spatial
from monitored import given, only
from torch import nn

from stn_cuda.transforms import Affine, Attention, Translation
from stn_cuda.visualize import TransformMonitor


@pytest.fixture(autouse=True)
def no_other_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        yield


@pytest.mark.parametrize("theta, words", [
    ([0.02, 0.0, 0.0], "SpatialTransformer '1.st' has collapsed: it reads a share of 0.0004 of the input .* in step 0"),
    ([1.0, 4.0, 0.0], "SpatialTransformer '1.st' has diverged: 100% of its samples are outside the input in step 0"),
], ids=("collapse", "divergence"))
def test_warns_once_a_module_and_kind(theta, words, device):
    lost = given(torch.tensor([theta] * 3, device=device), Attention())
    model = nn.Sequential(spatial(0.0), nn.ModuleDict({"st": lost})).to(device)
    with TransformMonitor(model):
        model[0](images(device))  # is as it should be: a warning would be an error
        with pytest.warns(RuntimeWarning, match=words) as caught:
            for _ in range(4):
                lost(images(device))
    assert len(caught) == 1


def test_each_kind_is_warned_of(device):
    lost = given(torch.tensor([[0.02, 4.0, 0.0]] * 3, device=device), Attention())
    with TransformMonitor(nn.Sequential(lost)), pytest.warns(RuntimeWarning) as caught:
        lost(images(device))
    collapse, divergence = (str(one.message) for one in caught)
    assert "has collapsed" in collapse and "has diverged" in divergence
    assert all("identity" in message and "bound" in message for message in (collapse, divergence))


@pytest.mark.parametrize("value", (math.nan, math.inf))
@pytest.mark.parametrize("every", (1, 4))
def test_theta_that_is_not_finite_is_an_error_with_name_and_step(value, every, device):
    model = nn.Sequential(nn.Identity(), nn.ModuleDict({"st": spatial(0.0)})).to(device)
    st, calls = model[1]["st"], 0
    bias = st.localization.head.layer.bias
    with TransformMonitor(model, every=every) as monitor:
        with pytest.raises(FloatingPointError, match=r"theta of SpatialTransformer '1.st' isn't finite in step 2\."):
            for step in range(100):
                if step == 2:
                    bias.data[4] = value
                calls += 1
                st(images(device))
        assert calls == {1: 3, 4: 4}[every]
        bias.data[4] = 1.0
        st(images(device))  # goes on, and the statistics are of what is finite
    seen = monitor.summary()["1.st"]
    assert seen.nonfinite == 3 * (calls - 2) and seen.deviation == 0


def test_step_of_the_loop(device):
    st = given(torch.full((1, 2), math.nan, device=device), Translation())
    with TransformMonitor(st) as monitor:
        monitor.step = 1234
        with pytest.raises(FloatingPointError, match="theta of SpatialTransformer isn't finite in step 1234"):
            st(images(device))


def test_summary_and_close_tell_what_was_not_read_yet(device):
    for read in (TransformMonitor.summary, TransformMonitor.close, TransformMonitor.reset):
        st = given(torch.full((1, 2), math.nan, device=device), Translation())
        monitor = TransformMonitor(st, every=100)
        st(images(device))
        with pytest.raises(FloatingPointError, match="step 0"):
            read(monitor)


def test_may_warn_of_what_is_not_finite(device):
    theta = Affine().identity(3, device=device)
    theta[1, 0] = math.nan
    st = given(theta, Affine())
    with TransformMonitor(st, on_nonfinite="warn") as monitor, pytest.warns(RuntimeWarning, match="isn't finite") as caught:
        st(images(device))
        st(images(device))
    assert len(caught) == 1
    assert only(monitor)[1:5] == (6, 0.0, 1.0, 0.0) and only(monitor).nonfinite == 2


def test_error_under_way_is_not_hidden(device):
    st = given(torch.full((1, 2), math.nan, device=device), Translation())
    with pytest.raises(ZeroDivisionError), TransformMonitor(st, every=100):
        st(images(device))
        _ = 1 / 0
    assert not st._theta_hooks


@pytest.mark.parametrize("arguments, error, message", [
    (("model",), TypeError, "expected model to be a Module, got str"),
    ((nn.Linear(2, 2),), ValueError, "a module of stn_cuda.modules that samples, got Linear without one"),
    ((MODULES["points"](),), ValueError, "got PointTransformer without one"),
], ids=("no module", "without", "points"))
def test_bad_models_are_named(arguments, error, message):
    with pytest.raises(error, match=message):
        TransformMonitor(*arguments)


@pytest.mark.parametrize("options, message", [
    ({"every": 0}, "every to be None or a positive int, got 0"),
    ({"on_nonfinite": "stop"}, "on_nonfinite to be one of 'raise', 'warn', got 'stop'"),
], ids=("every", "on_nonfinite"))
def test_bad_options_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        TransformMonitor(spatial(), **options)
