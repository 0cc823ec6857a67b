"""The modules: exact at the start, right at any theta, and clear about bad arguments."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from module_cases import AFFINE, FUSED, images, network, small_point_network, spatial
from tolerances import INTERPOLATED_TWICE, PARITY
from torch import nn
from transform_objects import CLOSED, name

import stn_cuda
from stn_cuda.localization import ConvolutionalLocalization
from stn_cuda.modules import (
    InverseWarp,
    ParallelSpatialTransformer,
    PointLocalization,
    PointTransformer,
    RecurrentSpatialTransformer,
    SpatialTransformer,
    orthogonality_penalty,
)
from stn_cuda.transforms import Affine, Affine3d, Attention, Projective, Similarity, ThinPlateSpline

# ---- the start ----------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("dtype", (torch.float32, torch.float16, torch.float64), ids=str)
@pytest.mark.parametrize("transform", FUSED, ids=name)
def test_is_the_identity_at_the_start(transform, dtype, device):
    st = SpatialTransformer(network(transform), transform).to(device, dtype)
    input = images(device, transform.dims, dtype=dtype)
    assert torch.equal(st(input), input)


def test_a_spline_starts_at_the_identity_to_rounding(device):
    st = SpatialTransformer(network(ThinPlateSpline()), ThinPlateSpline(), padding_mode="border").to(device)
    input = images(device)
    PARITY[torch.float32].assert_close(st(input), input)


@pytest.mark.parametrize("options", ({"mode": "bicubic"}, {"padding_mode": "reflection", "align_corners": True},
                                     {"fill_value": -0.4242}, {"antialias": True}, {"gradient": "linearized"}), ids=str)
def test_every_option_starts_at_the_identity(options, device):
    input = images(device)
    assert torch.equal(spatial(0.0, **options).to(device)(input), input)


def test_all_modules_start_at_the_identity(device):
    input = images(device)
    parallel = ParallelSpatialTransformer([network(AFFINE), network(AFFINE)], "Affine").to(device)
    assert torch.equal(parallel(input), input[:, None].expand(-1, 2, -1, -1, -1))
    assert torch.equal(PointTransformer(small_point_network(), 12).to(device)(input[:, 0]), input[:, 0])
    theta = AFFINE.identity(3, torch.float32, device)
    assert torch.equal(InverseWarp("Affine")(input, theta), input)


@pytest.mark.parametrize("transform", CLOSED, ids=name)
def test_recurrence_starts_at_the_identity(transform, device):
    input = images(device, transform.dims)
    st = RecurrentSpatialTransformer(network(transform), transform, steps=3).to(device)
    assert torch.equal(st(input), input)


# ---- what they compute --------------------------------------------------------------------------------------------------

def test_samples_at_the_predicted_theta(device):
    st, input = spatial(0.3, output_size=(5, 6), padding_mode="border", align_corners=True).to(device), images(device)
    theta = st.localization(input)
    expected = stn_cuda.affine_sample(input, theta.reshape(3, 2, 3), (5, 6), padding_mode="border", align_corners=True)
    assert torch.equal(st(input), expected)
    assert torch.equal(st.last_theta, theta) and not st.last_theta.requires_grad
    assert st.theta(input).requires_grad


def test_hooks_see_theta_with_its_gradient(device):
    transformers = nn.ModuleDict({
        "one": spatial(0.3, output_size=5),
        "several": ParallelSpatialTransformer([network(AFFINE, 0.3, seed) for seed in range(2)], AFFINE, 5),
        "steps": RecurrentSpatialTransformer(network(AFFINE, 0.1), AFFINE, 5, steps=2),
    }).to(device)
    input, seen = images(device), []
    for st in transformers.values():
        handle = st.register_theta_hook(lambda *arguments: seen.append(arguments))
        output = st(input)
        (module, theta, source), = seen
        assert module is st and source is input and torch.equal(theta, st.last_theta)
        assert torch.autograd.grad(output.square().sum(), theta)[0].abs().amax() > 0
        handle.remove()
        st(input)
        assert seen.pop() and not seen
    back, patch = InverseWarp(AFFINE), torch.ones(3, 1, 2, 2, device=device)
    back.register_theta_hook(lambda *arguments: seen.append(arguments))
    back(patch, AFFINE.identity(3, device=device))
    assert seen[0][1] is not None and seen[0][2] is patch


def test_another_source(device):
    """The network sees a small image, the sampler the full one."""
    st, full = spatial(0.3, output_size=(9, 12)).to(device), images(device)
    small = nn.functional.avg_pool2d(full, 3)
    assert torch.equal(st(small, full), st.warp(full, st.theta(small)))


@pytest.mark.parametrize("has_backbone", (False, True), ids=("alone", "backbone"))
def test_parallel_is_each_alone(has_backbone, device):
    heads = [network(AFFINE, 0.3, seed).to(device) for seed in range(3)]
    backbone = nn.Conv2d(2, 2, 3, padding=1).to(device) if has_backbone else None
    input = images(device)
    features = backbone(input) if has_backbone else input
    outputs = [SpatialTransformer(head, AFFINE, 5)(features, input) for head in heads]
    stacked = ParallelSpatialTransformer(heads, AFFINE, 5, backbone=backbone)
    assert torch.equal(stacked(input), torch.stack(outputs, 1))
    assert stacked.last_theta.shape == (3, 3, 6)
    channels = ParallelSpatialTransformer(heads, AFFINE, 5, backbone=backbone, merge="channels")
    assert torch.equal(channels(input), torch.cat(outputs, 1))


def test_recurrence_composes_and_samples_the_original(device):
    transform, input = Similarity(), images(device)
    net = network(transform, 0.1).to(device)
    st = RecurrentSpatialTransformer(net, transform, (8, 8), steps=2).to(device)
    first = net(transform.sample(input, transform.identity(3, device=device), (8, 8)))
    second = transform.compose(first, net(transform.sample(input, first, (8, 8))))
    torch.testing.assert_close(st.theta(input), second)
    assert torch.equal(st(input), transform.sample(input, st.last_theta, (8, 8)))
    assert len(st.thetas(input)) == 3


def test_recurrence_undoes_a_step(device):
    """A step and its inverse are the original, although the first has moved half of it out of the window."""
    class Fixed(nn.Module):
        def __init__(self, shift):
            super().__init__()
            self.shift = shift

        def forward(self, input):
            return torch.tensor([[self.shift, 0.0]], device=input.device).expand(input.shape[0], 2)

    input = images(device)
    st = RecurrentSpatialTransformer([Fixed(1.0), Fixed(-1.0)], "Translation")
    assert st.steps == 2 and torch.equal(st(input), input)
    start = torch.tensor([[0.5, 0.0]], device=device).expand(3, 2)
    assert torch.equal(st.theta(input, start), start)


@pytest.mark.parametrize("transform", (Attention(), Similarity(), Affine(), Projective()), ids=lambda transform: transform.name)
def test_inverse_warp_undoes_a_warp(transform, device):
    rows, columns = torch.meshgrid(torch.linspace(-1, 1, 65), torch.linspace(-1, 1, 65), indexing="ij")
    blob = torch.exp(-8 * (rows - 0.1) ** 2 - 6 * (columns + 0.1) ** 2)[None, None].to(device)
    theta = transform.identity(1, device=device)
    theta = theta + 0.1 * torch.randn(theta.shape, generator=torch.Generator().manual_seed(2)).to(device)
    back = InverseWarp(transform, 65)
    restored = back(transform.sample(blob, theta, (129, 129)), theta)
    INTERPOLATED_TWICE.assert_close(restored[..., 20:45, 20:45], blob[..., 20:45, 20:45])
    assert torch.equal(back.last_theta, transform.inverse(theta))


def test_points_are_multiplied(device):
    matrix = torch.randn(3, 12, 12, device=device)
    points = images(device)[:, 0]
    output = PointTransformer(dims=12).to(device).apply_matrix(points, matrix)
    PARITY[torch.float32].assert_close(output, torch.einsum("bij,bnj->bni", matrix, points))


def test_point_network_ignores_the_order(device):
    st = PointTransformer(small_point_network(0.3), 12).to(device)
    points = images(device)[:, 0]
    torch.testing.assert_close(st.theta(points.flip(1)), st.theta(points))


def test_orthogonality_penalty(device):
    turn = torch.linalg.qr(torch.randn(4, 5, 5, dtype=torch.float64))[0].to(device)
    assert orthogonality_penalty(turn) < 1e-20
    assert orthogonality_penalty(2 * turn).item() == pytest.approx(9 * 5)


# ---- text and errors ----------------------------------------------------------------------------------------------------

def test_repr():
    text = repr(ParallelSpatialTransformer([network(AFFINE)], AFFINE, 28, mode="nearest", fill_value=torch.zeros(3)))
    assert "transform=Affine(), output_size=(28, 28), mode='nearest', fill_value of shape (3,), merge='stack'" in text
    text = repr(RecurrentSpatialTransformer(nn.ReLU(), "Affine"))
    assert "transform=Affine(), output_size=that of its input, steps=4" in text
    assert "dims=3" in repr(PointTransformer())


def test_not_imported_with_the_package():
    code = ("import sys, stn_cuda; names = ('modules', 'localization');"
            "print([name for name in names if 'stn_cuda.' + name in sys.modules])")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def _linear(count):
    return nn.Sequential(nn.Flatten(), nn.Linear(2 * 9 * 12, count))


IMAGES = torch.zeros(3, 2, 9, 12)
TWICE = nn.Sequential(_linear(6), nn.Flatten(0), nn.Unflatten(0, (-1, 3)))  # two rows an image
ST = SpatialTransformer
BAD = {
    "name": (lambda: ST(_linear(6), "Afine"), ValueError, "transform to be one of 'Translation', .*'Affine', .*"),
    "needs arguments": (lambda: ST(_linear(6), "Flow"), ValueError, "Flow needs arguments: .*'size'"),
    "no transform": (lambda: ST(_linear(6), 6), TypeError, "transform to be a Transform or the name of one, got int"),
    "size": (lambda: ST(_linear(6), AFFINE, 0), ValueError, "expected output_size to be .*, got 0"),
    "size of 3": (lambda: InverseWarp(AFFINE, (1, 2, 3)), ValueError, "expected output_size to be a positive int or 2"),
    "mode": (lambda: ST(_linear(6), AFFINE, mode="best"), ValueError, "expected mode to be one of .* got 'best'"),
    "option": (lambda: ST(_linear(6), AFFINE, size=3), TypeError, "SpatialTransformer: .* mode, .*got 'size'"),
    "spline": (lambda: ST(_linear(32), ThinPlateSpline(), antialias=True), NotImplementedError, "antialias"),
    "width": (lambda: ST(_linear(4), AFFINE)(IMAGES), ValueError,
              r"expected localization to return theta of shape \(3, 6\) for Affine, got \(3, 4\)"),
    "batch": (lambda: ST(TWICE, Attention())(IMAGES), ValueError, r"shape \(3, 3\) for Attention, got \(6, 3\)"),
    "no theta": (lambda: ST(nn.LSTM(12, 3), Attention())(IMAGES[0]), TypeError, "return a Tensor, got tuple"),
    "none": (lambda: ParallelSpatialTransformer([], AFFINE), ValueError, "localizations to be one or more modules"),
    "merge": (lambda: ParallelSpatialTransformer([_linear(6)], AFFINE, merge="sum"), ValueError, "merge to be one of"),
    "steps": (lambda: RecurrentSpatialTransformer(_linear(6), AFFINE, steps=0), ValueError, "a positive int, got 0"),
    "networks": (lambda: RecurrentSpatialTransformer([_linear(6)], AFFINE, steps=2), ValueError, "number of networks, 1"),
    "not closed": (lambda: RecurrentSpatialTransformer(_linear(32), ThinPlateSpline()), NotImplementedError, "compose"),
    "no inverse": (lambda: InverseWarp(ThinPlateSpline()), NotImplementedError, "inverse"),
    "points": (lambda: PointTransformer()(torch.zeros(2, 5, 4)), ValueError, r"points of shape \(B, N, 3\), got \(2, 5, 4\)"),
    "matrix": (lambda: PointTransformer(nn.Flatten(), 3)(torch.zeros(2, 5, 3)), ValueError, r"\(B, 3, 3\), got \(2, 15\)"),
    "penalty": (lambda: orthogonality_penalty(torch.zeros(2, 9)), ValueError, r"shape \(B, d, d\), got \(2, 9\)"),
    "widths": (lambda: PointLocalization(3, (64, 0)), ValueError, r"channels and hidden to be positive, got 3, \(64, 0\)"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_arguments_are_named(name):
    call, error, message = BAD[name]
    with pytest.raises(error, match=message):
        call()


def test_volumes(device):
    st = SpatialTransformer(ConvolutionalLocalization(Affine3d(), 2, working_size=14), "Affine3d", (3, 4, 5)).to(device)
    assert st(images(device, 3)).shape == (3, 2, 3, 4, 5)
