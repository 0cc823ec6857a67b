"""outline(): it goes round the pixels that are sampled, for every transform."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from tolerances import PARITY
from torch import Tensor
from transform_objects import ALL, SIZES, name, some_theta

from stn_cuda.transforms import Affine, Affine3d, Attention, Chain, Flow, Projective, ThinPlateSpline
from stn_cuda.visualize import outline

EXACT_ENOUGH = PARITY[torch.float64]
PLANES = [transform for transform in ALL if transform.dims == 2]
VOLUMES = [transform for transform in ALL if transform.dims == 3]
OF_ANY_SIZE = [transform for transform in PLANES if "Flow" not in transform.name]


def around(points: Tensor, polygon: Tensor) -> Tensor:
    """[P, 2], [V, 2] -> [P]: how often the polygon goes round each point, clockwise on the screen."""
    start = polygon[:-1] - points[:, None]
    end = polygon[1:] - points[:, None]
    turned = torch.atan2(start[..., 0] * end[..., 1] - start[..., 1] * end[..., 0], (start * end).sum(-1))
    return (turned.sum(1) / (2 * torch.pi)).round()


def distance(points: Tensor, polygon: Tensor) -> Tensor:
    """[P, 2], [V, 2] -> [P]: to the nearest point of its edges."""
    start, edge = polygon[:-1], polygon.diff(dim=0)
    ahead = points[:, None] - start
    share = ((ahead * edge).sum(-1) / edge.square().sum(-1).clamp(min=1e-12)).clamp(0, 1)
    return (ahead - share[..., None] * edge).norm(dim=-1).amin(1)


@pytest.mark.parametrize("align_corners", (False, True), ids=("edges", "centres"))
@pytest.mark.parametrize("transform", OF_ANY_SIZE, ids=name)
def test_goes_round_the_pixels_that_are_sampled(transform, align_corners, device):
    size, dense = (12, 15), (160, 160)
    theta = some_theta(transform, device, seed=3)
    image = torch.zeros(2, 1, *size, dtype=torch.float64, device=device, requires_grad=True)
    transform.sample(image, theta, dense, mode="nearest", align_corners=align_corners).sum().backward()
    y, x = torch.meshgrid(torch.arange(12), torch.arange(15), indexing="ij")
    pixels = torch.stack([x, y], -1).flatten(0, 1).to(theta)
    lines = outline(theta, transform, size, align_corners, output_size=dense)
    for line, counts in zip(lines, image.grad.flatten(1)):
        assert torch.equal(line[0], line[-1])
        inside, is_read = around(pixels, line) != 0, counts > 0
        assert inside.sum() > 40 and is_read[inside].all()
        assert (distance(pixels[is_read & ~inside], line) <= 0.5**0.5).all()  # to the corner of a pixel


@pytest.mark.parametrize("align_corners", (False, True), ids=("edges", "centres"))
@pytest.mark.parametrize("transform", PLANES, ids=name)
def test_identity_is_the_edge_of_the_image(transform, align_corners, device):
    height, width = SIZES[2]
    line = outline(transform.identity(3, torch.float64, device), transform, (height, width), align_corners)
    segments = 1 if transform.has_matrix else 32
    assert line.shape == (3, 4 * segments + 1, 2)
    corners = [[-0.5, -0.5], [width - 0.5, -0.5], [width - 0.5, height - 0.5], [-0.5, height - 0.5], [-0.5, -0.5]]
    EXACT_ENOUGH.assert_close(line[1, ::segments], torch.tensor(corners, dtype=torch.float64, device=device))


@pytest.mark.parametrize("transform", OF_ANY_SIZE, ids=name)
def test_is_the_border_of_a_grid(transform, device):
    """A grid whose outermost positions are at -1 and 1 has the outline of an image whose edges are there."""
    theta, segments, size = some_theta(transform, device), 12, (36, 60)
    grid = transform.grid(theta, (segments + 1, segments + 1), align_corners=True)
    border = torch.cat([grid[:, 0, :-1], grid[:, :-1, -1], grid[:, -1].flip(1)[:, :-1], grid[:, :, 0].flip(1)], 1)
    expected = ((border + 1) * border.new_tensor([60, 36]) - 1) / 2
    EXACT_ENOUGH.assert_close(outline(theta, transform, size, segments=segments), expected)


@pytest.mark.parametrize("transform", [Flow(SIZES[2]), Chain(Affine(), Flow(SIZES[2]))], ids=name)
def test_constant_flow_shifts_the_outline(transform, device):
    height, width = SIZES[2]
    flow = torch.tensor([1.5, -2.0], dtype=torch.float64, device=device)[:, None].expand(2, height * width).reshape(1, -1)
    theta = transform.identity(1, torch.float64, device)
    theta[:, -flow.shape[1]:] = flow
    still = outline(transform.identity(1, torch.float64, device), transform, (height, width))
    EXACT_ENOUGH.assert_close(outline(theta, transform, (height, width)), still + flow.new_tensor([1.5, -2.0]))


@pytest.mark.parametrize("transform", VOLUMES, ids=name)
def test_edges_of_a_box(transform, device):
    theta, size = some_theta(transform, device), SIZES[3]
    lines = outline(theta, transform, size)
    assert lines.shape == (2, 12, 2 if transform.has_matrix else 33, 3)
    ends = lines[:, :, [0, -1]]
    if transform.has_matrix:
        corners = transform.grid(theta, (2, 2, 2), align_corners=True).flatten(1, 3)
        corners = ((corners + 1) * corners.new_tensor(size[::-1]) - 1) / 2
        EXACT_ENOUGH.assert_close(ends[:, 0, 0], corners[:, 0])
        gaps = (ends.flatten(1, 2)[:, :, None] - corners[:, None]).norm(dim=-1)
        assert (gaps.amin(2) < EXACT_ENOUGH.atol).all()
        assert ((gaps < EXACT_ENOUGH.atol).sum(1) == 3).all()  # every corner ends three edges
    else:
        identity = outline(transform.identity(1, torch.float64, device), transform, size)
        reach = identity.new_tensor(size[::-1]) - 0.5
        assert ((identity == -0.5) | (identity == reach)).all(-1)[:, :, [0, -1]].all()
        assert torch.equal(identity.flatten(1, 2).amax(1)[0], reach)


def test_output_of_few_pixels_between_centres(device):
    """Two pixels whose centres are those of the outermost of four: each is three wide."""
    line = outline(Affine().identity(1, device=device), "Affine", (4, 4), True, output_size=(2, 1))
    assert line[0].tolist() == [[1.5, -1.5], [1.5, -1.5], [1.5, 4.5], [1.5, 4.5], [1.5, -1.5]]  # one column has no extent


def test_goes_round_the_other_way_where_the_map_mirrors(device):
    theta = torch.tensor([[1.0, 0, 0, 0, 1, 0], [-1.0, 0, 0, 0, 1, 0]], device=device)
    middle = torch.tensor([[3.0, 3.0]], device=device)
    turns = [around(middle, line).item() for line in outline(theta, "Affine", (7, 7))]
    assert turns == [1, -1]


@pytest.mark.parametrize("chained", (False, True), ids=("alone", "chained"))
def test_ends_at_the_horizon(chained, device):
    """w = 1 + 1.5 x: the left of the output is beyond the line at infinity, x = -2/3."""
    transform = Chain(Projective(), Affine()) if chained else Projective()
    theta = transform.identity(1, torch.float64, device)
    theta[0, 6] = 1.5
    corners = outline(theta, transform, (8, 8))[0]
    assert corners.isnan().all(1).tolist() == [True, False, False, True, True]
    EXACT_ENOUGH.assert_close(corners[1:3], corners.new_tensor([[5.1, 1.9], [5.1, 5.1]]))  # (1, -1) and (1, 1), divided by 2.5
    fine = outline(theta, transform, (8, 8), segments=30)[0]
    assert fine[:31].isnan().all(1).sum() == 6  # x = -1 to -2/3 in steps of 1/15
    assert fine[6:31].isfinite().all() and (fine[6:31, 0].diff() > 0).all()


def test_map_without_a_number_has_no_outline(device):
    theta = torch.tensor([[1.0, 0, 0], [float("nan"), 0, 0]], device=device)
    lines = outline(theta, Attention(), (5, 6))
    assert lines[0].isfinite().all() and lines[1].isnan().all()


@pytest.mark.parametrize("dtype, expected", [(torch.float16, torch.float32), (torch.bfloat16, torch.float32),
                                             (torch.float32, torch.float32), (torch.float64, torch.float64)], ids=str)
def test_dtype_device_and_no_gradient(dtype, expected, device):
    theta = ThinPlateSpline().identity(2, dtype, device).requires_grad_()
    line = outline(theta, "ThinPlateSpline", (5, 6))
    assert (line.dtype, line.device, line.requires_grad) == (expected, theta.device, False)


THETA = torch.zeros(2, 6)
BAD = {
    "name": (lambda: outline(THETA, "Afine", (5, 5)), ValueError, r"outline\(\): expected transform to be one of"),
    "transform": (lambda: outline(THETA, None, (5, 5)), TypeError, "outline: expected transform to be a Transform or"),
    "no tensor": (lambda: outline([1.0], "Affine", (5, 5)), TypeError, "expected theta to be a Tensor, got list"),
    "theta": (lambda: outline(THETA, "Attention", (5, 5)), ValueError, r"theta of shape \(B, 3\), got \(2, 6\)"),
    "size": (lambda: outline(THETA, "Affine", (1, 5, 5)), ValueError, r"expected size .*2 of them, got \(1, 5, 5\)"),
    "output": (lambda: outline(THETA, "Affine", (5, 5), output_size=(0, 5)), ValueError, r"output_size .*, got \(0, 5\)"),
    "align": (lambda: outline(THETA, "Affine", (5, 5), "no"), TypeError, r"outline\(\): expected align_corners to be a bool"),
    "segments": (lambda: outline(THETA, "Affine", (5, 5), segments=0), ValueError, "None or a positive int, got 0"),
    "flow": (lambda: outline(torch.zeros(1, 40), Flow((4, 5)), (5, 5)), ValueError, r"expected size \(4, 5\), got \(5, 5\)"),
    "volume": (lambda: outline(torch.zeros(1, 12), Affine3d(), (5, 5)), ValueError, r"size .*3 of them, got \(5, 5\)"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_arguments_are_named(case):
    call, error, message = BAD[case]
    with pytest.raises(error, match=message):
        call()


def test_without_matplotlib_the_rest_works_and_pictures_say_what_to_install():
    code = """
import sys
sys.modules["matplotlib"] = None
import torch
from stn_cuda.localization import FullyConnectedLocalization
from stn_cuda.modules import SpatialTransformer
from stn_cuda.visualize import TransformAnimation, TransformMonitor, outline, panel
st = SpatialTransformer(FullyConnectedLocalization("Affine", in_features=20), "Affine")
images = torch.rand(2, 1, 4, 5)
with TransformMonitor(st) as monitor:
    st(images)
assert monitor.summary()[""].calls == 1 and outline(st.last_theta, "Affine", (4, 5)).shape == (2, 5, 2)
animation = TransformAnimation(images)
animation.add(st, 0)
for call in (lambda: panel(st, images), lambda: animation.save("no.gif")):
    try:
        call()
    except ImportError as error:
        print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    assert [line.partition(" draws")[0] for line in lines] == ["panel()", "TransformAnimation.save()"]
    assert all("pip install matplotlib" in line for line in lines)
