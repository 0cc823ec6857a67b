"""kornia, unmodified: its functions and augmentations give the same under stn_cuda.patch, gradients included."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest
import torch
from routed import assert_not_zero, assert_same, leaves
from torch import Tensor

from stn_cuda import _patched, patch

kornia = pytest.importorskip("kornia", reason="kornia is not installed: pip install --no-deps kornia kornia_rs")
transform = kornia.geometry.transform

pytestmark = [
    pytest.mark.usefixtures("torch_functions_as_before"),
    pytest.mark.filterwarnings("ignore:.*torch.jit.*deprecated:DeprecationWarning"),
]

IMAGE, VOLUME, SIZE, VOLUME_SIZE = (2, 3, 12, 14), (2, 2, 5, 6, 7), (11, 13), (4, 6, 7)


def numbers(*shape: int, scale: float = 1.0, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return scale * torch.randn(shape, dtype=torch.float64, generator=generator)


def near(matrix: list[list[float]], scale: float) -> Tensor:
    """Two matrices near one: no coordinate of theirs is a whole pixel, where the first gradient has two values."""
    matrices = torch.tensor(matrix, dtype=torch.float64).repeat(2, 1, 1)
    return matrices + numbers(*matrices.shape, scale=scale)


image, volume = numbers(*IMAGE), numbers(*VOLUME)
AFFINE = near([[0.9, 0.2, 0.7], [-0.1, 1.1, -0.4]], 0.03)
PERSPECTIVE = near([[0.9, 0.2, 0.7], [-0.1, 1.1, -0.4], [0.004, -0.003, 1.0]], 1e-3)
NORMALIZED = near([[0.8, 0.1, 0.05], [-0.2, 0.9, -0.1], [0.02, -0.03, 1.0]], 0.01)
AFFINE_3D = near([[0.9, 0.1, 0.0, 0.4], [-0.1, 1.1, 0.1, -0.3], [0.0, 0.1, 0.95, 0.2]], 0.02)
PERSPECTIVE_3D = torch.cat([AFFINE_3D, torch.tensor([0.002, -0.001, 0.003, 1.0]).double().expand(2, 1, 4)], 1)
PIXELS = numbers(2, *SIZE, scale=7.0, seed=1), numbers(2, *SIZE, scale=7.0, seed=2)
POINTS = torch.tensor([[-0.9, -0.8], [0.9, -0.7], [-0.8, 0.9], [0.85, 0.8], [0.1, -0.05]]).double().expand(2, 5, 2)
SPLINE = numbers(2, 5, 2, scale=0.05), near([[0.1, -0.1], [0.9, 0.1], [-0.1, 0.8]], 0.02)
FRAMES = torch.tensor([[[[0.8, 0.1, 5.0], [-0.2, 0.9, 6.0]], [[1.3, -0.4, 8.2], [0.3, 1.2, 4.1]]]]).double().repeat(2, 1, 1, 1)

Case = tuple[Callable[..., Tensor], tuple[Tensor, ...]]  # a function and what it is called with
MODES, PADDING_MODES = ("bilinear", "nearest", "bicubic"), ("zeros", "border", "reflection")


def warps() -> dict[str, Case]:
    cases: dict[str, Case] = {}
    for function, matrix in ((transform.warp_affine, AFFINE), (transform.warp_perspective, PERSPECTIVE)):
        for options in itertools.product(MODES, PADDING_MODES, (False, True)):
            name = "-".join(map(str, (function.__name__, *options)))
            cases[name] = (lambda image, matrix, f=function, o=options: f(image, matrix, SIZE, *o)), (image, matrix)
    return cases


def augmented(name: str, tensor: Tensor, **options: object) -> tuple[str, Case]:
    """The same random parameters at every call."""

    def call(tensor: Tensor) -> Tensor:
        torch.manual_seed(7)
        return getattr(kornia.augmentation, name)(p=1.0, **options)(tensor)

    return name, (call, (tensor,))


THIRDS = torch.tensor([-0.3, 0.3])
CASES: dict[str, Case] = warps() | {
    "warp_affine-fill": (
        lambda image, matrix: transform.warp_affine(
            image, matrix, SIZE, padding_mode="fill", fill_value=torch.tensor([0.1, 0.5, 0.9], dtype=image.dtype)),
        (image, AFFINE)),
    "remap": (lambda image, x, y: transform.remap(image, x, y, align_corners=True), (image, *PIXELS)),
    "remap-border": (
        lambda image, x, y: transform.remap(image, x, y, padding_mode="border", align_corners=False), (image, *PIXELS)),
    "warp_affine3d": (lambda volume, matrix: transform.warp_affine3d(volume, matrix, VOLUME_SIZE), (volume, AFFINE_3D)),
    "warp_perspective3d": (
        lambda volume, matrix: transform.warp_perspective3d(volume, matrix, VOLUME_SIZE), (volume, PERSPECTIVE_3D)),
    "homography_warp": (lambda image, matrix: transform.homography_warp(image, matrix, SIZE), (image, NORMALIZED)),
    "rotate": (transform.rotate, (image, torch.tensor([20.0, -35.0]).double())),
    "elastic_transform2d": (
        lambda image, noise: transform.elastic_transform2d(image, noise, (3, 3), (2.0, 2.0), (0.3, 0.3)),
        (image, numbers(2, 2, *IMAGE[2:], seed=3))),
    "warp_image_tps": (
        lambda image, kernel, affine: transform.warp_image_tps(image, POINTS.to(image.device), kernel, affine),
        (image, *SPLINE)),
    "extract_patches": (
        lambda image, frames: kornia.feature.extract_patches_from_pyramid(image, frames, 5), (image, FRAMES)),
    **dict([
        augmented("RandomAffine", image, degrees=30.0, translate=(0.1, 0.1), scale=(0.8, 1.2), shear=10.0),
        augmented("RandomPerspective", image, distortion_scale=0.4),
        augmented("RandomRotation", image, degrees=40.0),
        augmented("RandomThinPlateSpline", image, scale=0.2),
        augmented("RandomElasticTransform", image, kernel_size=(5, 5), sigma=(2.0, 2.0), alpha=(0.5, 0.5)),
        augmented("RandomFisheye", image, center_x=THIRDS, center_y=THIRDS, gamma=torch.tensor([0.9, 1.5])),
        augmented("RandomAffine3D", volume, degrees=(20.0, 15.0, 30.0), scale=(0.8, 1.2)),
        augmented("RandomRotation3D", volume, degrees=(20.0, 15.0, 30.0)),
        augmented("RandomPerspective3D", volume),
    ]),
}  # fmt: skip


def results(function: Callable[..., Tensor], tensors: tuple[Tensor, ...]) -> list[Tensor]:
    """The output and the gradients of every argument."""
    arguments = leaves(tensors)
    output = function(*arguments)
    weight = torch.cos(torch.arange(output.numel(), dtype=output.dtype, device=output.device)).view_as(output)
    found = torch.autograd.grad((output * weight).sum(), arguments, allow_unused=True)
    return [output.detach(), *(gradient for gradient in found if gradient is not None)]


@pytest.fixture
def calls(monkeypatch) -> list[str]:
    """What reached stn_cuda, by name."""
    seen: list[str] = []
    for name in ("grid_sample", "affine_grid"):
        function = getattr(_patched.functional, name)
        monkeypatch.setattr(
            _patched.functional, name, lambda *a, f=function, name=name, **options: (seen.append(name), f(*a, **options))[1])
    return seen


@pytest.mark.parametrize("name", CASES)
def test_kornia_gives_the_same_under_patch(name, calls, device):
    function, tensors = CASES[name]
    tensors = tuple(tensor.to(device) for tensor in tensors)
    expected = results(function, tensors)
    assert not calls
    with patch():
        actual = results(function, tensors)
    assert "grid_sample" in calls
    assert len(actual) == len(expected) and actual[0].shape == expected[0].shape
    assert_not_zero((actual[0], actual[1]))
    assert_same(actual, expected)


def remap(image: Tensor, x: Tensor, y: Tensor) -> Tensor:
    return transform.remap(image, x, y, "bilinear", "border", False)


def warp_affine(image: Tensor, matrix: Tensor) -> Tensor:
    return transform.warp_affine(image, matrix, (11, 13), align_corners=False)


def warp_perspective(image: Tensor, matrix: Tensor) -> Tensor:
    return transform.warp_perspective(image, matrix, (11, 13), "bicubic", "reflection", True)


@pytest.mark.parametrize("function, tensors", [
    (remap, (image, *PIXELS)), (warp_affine, (image, AFFINE)), (warp_perspective, (image, PERSPECTIVE)),
], ids=lambda value: getattr(value, "__name__", ""))  # fmt: skip
def test_scripted_kornia_gives_the_same_on_stn_cudas_operators(function, tensors, device):
    tensors = tuple(tensor.to(device) for tensor in tensors)
    expected = results(function, tensors)
    with patch():
        scripted = torch.jit.script(function)
    assert "stn_cuda::grid_sample" in str(scripted.inlined_graph)
    actual = results(scripted, tensors)
    assert_not_zero(actual)
    assert_same(actual, expected)
