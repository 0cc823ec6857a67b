"""stn_cuda.transforms: what is refused, and in which words."""

from __future__ import annotations

import doctest
import importlib

import pytest
import torch
from refused import assert_refused
from transform_objects import ALL, BASIS, COMPOSITES, WITHOUT_MATRIX, name, some_image, some_theta

import stn_cuda
from stn_cuda import transforms
from stn_cuda.transforms import (
    TRANSFORMS,
    Affine,
    Affine3d,
    AffineExp,
    Chain,
    Constrained,
    Flow,
    Projective,
    ThinPlateSpline,
    by_name,
)

ZEROS = torch.zeros


@pytest.mark.parametrize("transform", ALL, ids=name)
def test_theta_of_another_width_is_refused_by_name(transform, device):
    wrong = ZEROS(2, transform.num_params + 1, device=device)
    words = [f"{transform.name}: expected theta", f"(B, {transform.num_params})", f"(2, {transform.num_params + 1})"]
    image = some_image(transform, device)
    assert_refused(lambda: transform.sample(image, wrong), ValueError, words)
    assert_refused(lambda: transform.grid(wrong, image.shape[2:]), ValueError, words)
    assert_refused(lambda: transform.apply_points(wrong, ZEROS(2, 1, transform.dims)), ValueError, words)
    for method in (transform.matrix, transform.inverse, transform.regularizer):
        assert_refused(lambda method=method: method(wrong), ValueError, words)
    right = transform.identity(1, device=device)
    assert_refused(lambda: transform.compose(right, wrong), ValueError, [words[0] + "_b", *words[1:]])


def test_message_of_another_width():
    assert_refused(lambda: Affine().matrix(ZEROS(2, 5)), ValueError, ["Affine: expected theta of shape (B, 6), got (2, 5)"])


AFFINE, PLANE = ZEROS(2, 6), ZEROS(2, 1, 4, 4)


@pytest.mark.parametrize("call, error, words", [
    (lambda: Affine().matrix([1.0]), TypeError, ["Affine", "theta", "Tensor", "list"]),
    (lambda: Affine().matrix(AFFINE.long()), ValueError, ["Affine", "theta", "torch.int64"]),
    (lambda: Affine().matrix(ZEROS(6)), ValueError, ["(B, 6)", "(6,)"]),
    (lambda: Affine().from_matrix(ZEROS(2, 3, 3)), ValueError, ["Affine", "matrix", "(B, 2, 3)", "(2, 3, 3)"]),
    (lambda: Projective().from_matrix(ZEROS(2, 2, 3)), ValueError, ["Projective", "(B, 3, 3)", "(2, 2, 3)"]),
    (lambda: Affine().compose(AFFINE, ZEROS(3, 6)), ValueError, ["theta_b", "batch size of theta_a, 2", "got 3"]),
    (lambda: Affine().compose(AFFINE, AFFINE.double()), ValueError, ["theta_b", "torch.float32", "got torch.float64"]),
    (lambda: Affine().apply_points(AFFINE, ZEROS(2, 5, 3)), ValueError, ["points", "(B, N, 2)", "(2, 5, 3)"]),
    (lambda: Affine().apply_points(AFFINE, ZEROS(3, 5, 2)), ValueError, ["points", "batch size of theta, 2", "got 3"]),
    (lambda: Affine().apply_points(AFFINE, ZEROS(2, 5, 2).double()), ValueError, ["points", "torch.float64"]),
    (lambda: Affine().apply_points(AFFINE, ZEROS(2, 5, 2, device="meta")), RuntimeError, ["points", "meta"]),
    (lambda: Affine().grid(AFFINE, (4,)), ValueError, ["Affine", "size (H, W)", "(4,)"]),
    (lambda: Affine().grid(AFFINE, (4, 0)), ValueError, ["size", "positive", "(4, 0)"]),
    (lambda: Affine().grid(AFFINE, 4), TypeError, ["Affine", "size", "4"]),
    (lambda: Affine().grid(AFFINE, (4, 4), 1), TypeError, ["Affine.grid", "align_corners"]),
    (lambda: Affine3d().grid(ZEROS(2, 12), (4, 4)), ValueError, ["Affine3d", "size (D, H, W)", "(4, 4)"]),
    (lambda: Affine().sample(ZEROS(2, 1, 3, 4, 4), AFFINE), ValueError, ["input", "(B, C, H, W)", "(2, 1, 3, 4, 4)"]),
    (lambda: Affine().sample(PLANE, AFFINE, (4, 4, 4)), ValueError, ["size", "(4, 4, 4)"]),
    (lambda: Affine().sample("image", AFFINE), TypeError, ["input", "str"]),
    (lambda: Affine().sample(PLANE, AFFINE, mode="linear"), ValueError, ["mode", "'linear'"]),
    (lambda: ThinPlateSpline().sample(PLANE, ZEROS(2, 32), gradient="fast"), ValueError, ["gradient", "'fast'"]),
    (lambda: Flow((4, 4)).sample(PLANE, ZEROS(2, 32), (5, 4)), ValueError, ["size (4, 4)", "(5, 4)"]),
    (lambda: Flow((4, 4)).sample(ZEROS(2, 1, 5, 4), ZEROS(2, 32), (4, 4)), ValueError, ["input", "(4, 4)", "(5, 4)"]),
    (lambda: Flow((4, 4)).grid(ZEROS(2, 32), (5, 4)), ValueError, ["Flow", "(4, 4)", "(5, 4)"]),
    (lambda: Flow((4,)), ValueError, ["Flow", "(H, W)", "(4,)"]),
    (lambda: Flow(4), TypeError, ["Flow", "size", "4"]),
    (lambda: ThinPlateSpline((1, 4)), ValueError, ["ThinPlateSpline", "grid", "(1, 4)"]),
    (lambda: ThinPlateSpline(4), TypeError, ["ThinPlateSpline", "4"]),
    (lambda: ThinPlateSpline(span=0), ValueError, ["span", "positive", "0"]),
    (lambda: ThinPlateSpline(BASIS, span=0.5), ValueError, ["span", "basis", "0.5"]),
    (lambda: ThinPlateSpline(bounded=True), ValueError, ["bounded", "(-1, 1)", "0.9", "got one at 1"]),
    (lambda: ThinPlateSpline(bounded="yes"), TypeError, ["bounded", "str"]),
    (lambda: Constrained(Affine(), [True] * 5), ValueError, ["free", "6 parameters of Affine", "5"]),
    (lambda: Constrained(Affine(), [False] * 6), ValueError, ["free", "0 True"]),
    (lambda: Constrained(Affine(), [1] * 6), TypeError, ["free", "bools"]),
    (lambda: Constrained("Affine", [True] * 6), TypeError, ["transform", "str"]),
    (lambda: Chain(Affine(), "Affine"), TypeError, ["Chain", "inner", "str"]),
    (lambda: Chain(Affine(), Affine3d()), ValueError, ["Chain", "2 and 3"]),
    (lambda: by_name("affine"), ValueError, ["by_name", "'affine'", *TRANSFORMS]),
])  # fmt: skip
def test_bad_call_is_refused_by_name(call, error, words):
    assert_refused(call, error, words)


@pytest.mark.parametrize("transform", [*WITHOUT_MATRIX, *COMPOSITES, AffineExp()], ids=name)
def test_family_that_is_not_closed_refuses_composition(transform, device):
    theta = some_theta(transform, device)
    assert_refused(lambda: transform.compose(theta, theta), NotImplementedError, [f"{transform.name}.compose(): "])


@pytest.mark.parametrize("transform", [*WITHOUT_MATRIX, *COMPOSITES], ids=name)
def test_family_without_inverses_refuses_them(transform, device):
    theta = some_theta(transform, device)
    assert_refused(lambda: transform.inverse(theta), NotImplementedError, [f"{transform.name}.inverse(): "])


@pytest.mark.parametrize("transform", [one for one in ALL if not one.has_matrix], ids=name)
def test_transform_without_a_matrix_refuses_what_needs_one(transform, device):
    theta, image = some_theta(transform, device), some_image(transform, device)
    assert_refused(lambda: transform.matrix(theta), NotImplementedError, [".matrix(): ", "no matri"])
    assert_refused(lambda: transform.from_matrix(ZEROS(1, 2, 3)), NotImplementedError, [".from_matrix(): "])
    refused = [({"antialias": True}, "antialias=True"), ({"gradient": "linearized"}, "gradient='linearized'")]
    for option, words in refused:
        call = lambda option=option: transform.sample(image, theta, **option)  # noqa: E731
        assert_refused(call, NotImplementedError, [".sample(): ", words])


def test_names_make_their_transforms():
    assert by_name("Affine") == Affine() and by_name("Flow", size=[4, 5]) == Flow((4, 5))
    assert by_name("Chain", Affine(), Projective()) == Chain(Affine(), Projective())
    for key, family in TRANSFORMS.items():
        assert getattr(transforms, key) is family and issubclass(family, transforms.Transform) and family.__doc__


MODULES = ["", ".composite", ".exponential", ".linear", ".nonlinear", ".protocol", ".rotations", ".volumetric"]


@pytest.mark.parametrize("module", MODULES)
def test_examples_of_the_documentation_hold(module):
    names = {"torch": torch, "stn_cuda": stn_cuda}
    done = doctest.testmod(importlib.import_module("stn_cuda.transforms" + module), extraglobs=names)
    assert done.attempted and not done.failed


def test_transforms_are_immutable():
    with pytest.raises(AttributeError):
        Flow((4, 5)).size = (5, 4)  # type: ignore[misc]
