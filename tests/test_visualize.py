"""The pictures: what they show is what the transformer does, and drawing leaves it as it was."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from module_cases import AFFINE, network
from torch import nn

from stn_cuda.localization import FullyConnectedLocalization, init_identity_
from stn_cuda.modules import InverseWarp, ParallelSpatialTransformer, RecurrentSpatialTransformer, SpatialTransformer
from stn_cuda.transforms import Affine3d, ThinPlateSpline
from stn_cuda.visualize import TransformAnimation, TransformMonitor, draw_outline, outline, panel

figures = pytest.importorskip("matplotlib.figure", reason="pictures are drawn with matplotlib, which isn't installed")
colors = pytest.importorskip("matplotlib.colors", reason="colours are compared by matplotlib, which isn't installed")


def batch(channels=1, count=3):
    return torch.rand(count, channels, 9, 12, generator=torch.Generator().manual_seed(0))


def net(transform, channels=1, seed=0, features=9 * 12):
    network = FullyConnectedLocalization(transform, (8,), channels * features)
    return init_identity_(network, transform, 0.3, torch.Generator().manual_seed(seed))


def spatial(channels=1, **options):
    return SpatialTransformer(net(AFFINE, channels), AFFINE, (7, 8), **options)


def columns_of(figure, count=3):
    """The axes of each column, from top to bottom."""
    width = len(figure.axes) // count
    return [figure.axes[column::width] for column in range(width)]


def assert_shows(axes, points):
    """A line through points [P, 2], and a dot at the first of them, as drawn next."""
    line, dot = axes
    assert torch.equal(torch.tensor(line.get_xydata()), points.double())
    assert dot.get_marker() == "o" and torch.equal(torch.tensor(dot.get_xydata()), points[:1].double())


# ---- outlines -----------------------------------------------------------------------------------------------------------

def test_outline_is_drawn_with_a_dot_at_its_beginning():
    axes = figures.Figure().add_subplot()
    points = outline(AFFINE.identity(), AFFINE, (9, 12))[0]
    artists = draw_outline(axes, points, color="tab:blue", linewidth=3, alpha=0.5)
    assert list(axes.lines) == artists and len(artists) == 2
    assert_shows(artists, points)
    assert artists[0].get_linewidth() == 3
    assert all(artist.get_color() == "tab:blue" and artist.get_alpha() == 0.5 for artist in artists)


def test_box_is_drawn_in_three_dimensions():
    axes = figures.Figure().add_subplot(projection="3d")
    edges = outline(Affine3d().identity(), "Affine3d", (3, 4, 5))[0]
    *lines, dot = draw_outline(axes, edges)
    assert len(lines) == 12
    for line, edge in zip(lines, edges):
        assert torch.equal(torch.tensor([list(values) for values in line.get_data_3d()]).T, edge)
    assert [float(value[0]) for value in dot.get_data_3d()] == [-0.5] * 3


@pytest.mark.parametrize("projection, shape, message", [
    (None, (2, 5, 2), r"\(P, 2\), the outline of one image, got \(2, 5, 2\)"), (None, (12, 2, 3), r"got \(12, 2, 3\)"),
    ("3d", (5, 2), r"\(12, S, 3\), as axes are of a volume, got \(5, 2\)"), (None, (0, 2), r"got \(0, 2\)"),
], ids=("batch", "volume", "plane", "empty"))
def test_outlines_for_other_axes_are_refused(projection, shape, message):
    with pytest.raises(ValueError, match=message):
        draw_outline(figures.Figure().add_subplot(projection=projection), torch.zeros(shape))


# ---- panels -------------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("align_corners", (False, True), ids=("edges", "centres"))
def test_panel_has_the_papers_columns(align_corners):
    images, st = batch(), spatial(align_corners=align_corners)
    figure = panel(st, images, torch.eye(3)[[2, 0, 1]], [2, 1, 1], vmin=-1, vmax=2)
    inputs, outputs, captions = columns_of(figure)
    assert [column[0].get_title() for column in (inputs, outputs, captions)] == ["input", "transformed", "prediction"]
    theta = st.theta(images)
    lines = outline(theta, AFFINE, (9, 12), align_corners, output_size=(7, 8))
    for row in range(3):
        for axes, shown in ((inputs[row], images[row, 0]), (outputs[row], st(images)[row, 0])):
            (picture,) = axes.images
            assert torch.equal(torch.tensor(picture.get_array()), shown)
            assert picture.get_clim() == (-1, 2)
        assert_shows(inputs[row].lines, lines[row])
        assert inputs[row].get_xlim()[0] < -0.5 and inputs[row].get_ylim()[0] > 8.5  # room for what is outside
    shown = [(axes.texts[0].get_text(), axes.texts[0].get_color()) for axes in captions]
    assert shown == [("2", "tab:green"), ("0, not 1", "tab:red"), ("1", "tab:green")]


def test_panel_without_captions_in_colours():
    images, st = batch(3), spatial(3)
    figure = panel(st, images)
    inputs, outputs = columns_of(figure)
    least, largest = images.min(), images.max()
    expected = ((st(images)[1] - least) / (largest - least)).clamp(0, 1).movedim(0, -1)
    assert torch.equal(torch.tensor(outputs[1].images[0].get_array()), expected)
    assert inputs[1].images[0].get_array().max() <= 1


def test_labels_alone_are_shown_as_they_are():
    figure = panel(spatial(), batch(), labels=("a", "b", "c"))
    captions = columns_of(figure)[2]
    assert [axes.texts[0].get_text() for axes in captions] == ["a", "b", "c"]
    assert captions[0].get_title() == "label"


def test_parallel_transformers_have_a_colour_each():
    images = batch()
    st = ParallelSpatialTransformer([net(AFFINE, seed=seed) for seed in range(2)], AFFINE, (7, 8), merge="channels")
    inputs, *outputs = columns_of(panel(st, images))
    assert [column[0].get_title() for column in outputs] == ["transformed 1", "transformed 2"]
    theta = st.theta(images)
    for index, column in enumerate(outputs):
        lines = outline(theta[:, index], AFFINE, (9, 12))
        for row in range(3):
            drawn = inputs[row].lines[2 * index : 2 * index + 2]
            assert_shows(drawn, lines[row])
            colour = colors.to_rgba(drawn[0].get_color())
            assert colors.to_rgba(column[row].spines["left"].get_edgecolor()) == colour
            assert torch.equal(torch.tensor(column[row].images[0].get_array()), st(images)[row, index])
    assert outputs[0][0].spines["left"].get_edgecolor() != outputs[1][0].spines["left"].get_edgecolor()


def test_steps_of_a_recurrence_grow_stronger():
    images = batch()
    st = RecurrentSpatialTransformer(net(AFFINE, features=7 * 8), AFFINE, (7, 8), steps=3)
    inputs, outputs = columns_of(panel(st, images))
    lines = inputs[0].lines
    alphas = [line.get_alpha() for line in lines[::2]]
    assert len(alphas) == 4 and alphas == sorted(set(alphas)) and alphas[-1] == 1
    for step, theta in enumerate(st.thetas(images)):
        assert_shows(lines[2 * step : 2 * step + 2], outline(theta, AFFINE, (9, 12))[0])
    assert torch.equal(torch.tensor(outputs[2].images[0].get_array()), st(images)[2, 0])


def test_one_theta_for_all_images_and_curves():
    class One(nn.Module):
        def forward(self, input):
            return ThinPlateSpline().identity(1)

    inputs, _ = columns_of(panel(SpatialTransformer(One(), "ThinPlateSpline"), batch()))
    assert all(len(axes.lines[0].get_xydata()) == 4 * 32 + 1 for axes in inputs)


def test_drawing_leaves_the_module_as_it_was():
    st, images = spatial(), batch()
    st.localization.backbone.append(nn.Dropout(0.5))
    st.localization.backbone[1].eval()  # one part in another mode
    st(images)
    kept, state = st.last_theta, torch.get_rng_state()
    modes = [part.training for part in st.modules()]
    assert len(set(modes)) == 2
    with TransformMonitor(st) as monitor:
        first, second = panel(st, images), panel(st, images)
        animation = TransformAnimation(images)
        animation.add(st, 0)
        assert monitor.summary()[""].calls == 0
    assert [part.training for part in st.modules()] == modes and st.last_theta is kept
    assert torch.equal(torch.get_rng_state(), state)
    assert not any(parameter.requires_grad and parameter.grad is not None for parameter in st.parameters())
    outputs = [torch.tensor(figure.axes[1].images[0].get_array()) for figure in (first, second)]
    assert torch.equal(*outputs)  # without dropout


def test_modes_are_restored_after_an_error():
    class Fails(nn.Module):
        def forward(self, input):
            raise RuntimeError("no theta")

    st = SpatialTransformer(Fails(), AFFINE)
    with pytest.raises(RuntimeError, match="no theta"):
        panel(st, batch())
    assert st.training and st.localization.training


IMAGES = batch()
BAD = {
    "images": (lambda: panel(spatial(), [1]), TypeError, r"panel\(\): expected images to be a Tensor, got list"),
    "channels": (lambda: panel(spatial(), batch(2)), ValueError, r"\(B, 3, H, W\) .*, got \(3, 2, 9, 12\) and torch.float32"),
    "ints": (lambda: panel(spatial(), batch().int()), ValueError, "floating point dtype, got .* torch.int32"),
    "kind": (lambda: panel(InverseWarp(AFFINE), batch()), TypeError, "transformer to be a Spatial.*, got InverseWarp"),
    "volume": (lambda: panel(SpatialTransformer(network(Affine3d()), "Affine3d"), batch()), NotImplementedError, "volumes"),
    "predictions": (lambda: panel(spatial(), batch(), [1, 2]), ValueError, "predictions .* each of 3 images, got 2"),
    "scores": (lambda: panel(spatial(), batch(), torch.zeros(3, 4), "a b c".split()), ValueError, "to be integers, .*'a'"),
    "labels": (lambda: panel(spatial(), batch(), None, "abc"), ValueError, "labels to have one entry .*, got 'abc'"),
    "animation": (lambda: TransformAnimation(IMAGES, [0]), ValueError, r"TransformAnimation\(\): expected labels .*got 1"),
    "frame": (lambda: TransformAnimation(IMAGES).add(None, 0), TypeError, r"TransformAnimation.add\(\): .* got NoneType"),
    "no frame": (lambda: TransformAnimation(IMAGES).save("no.gif"), ValueError, "a frame or more, got none"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_arguments_are_named(case):
    call, error, message = BAD[case]
    with pytest.raises(error, match=message):
        call()


# ---- animations ---------------------------------------------------------------------------------------------------------

def test_animation_has_a_frame_a_step(tmp_path):
    image = pytest.importorskip("PIL.Image", reason="matplotlib writes GIFs with pillow, which isn't installed")
    st, images = spatial(), batch()
    optimizer = torch.optim.SGD(st.parameters(), 0.1)
    animation = TransformAnimation(images, [0, 1, 2])
    for step in range(5):
        animation.add(st, 10 * step, torch.eye(3))
        optimizer.zero_grad()
        st(images).square().mean().backward()
        optimizer.step()
    images.zero_()  # its own are copies
    assert len(animation) == 5
    with pytest.raises(ValueError, match="fps to be a positive int, got 0"):
        animation.save(tmp_path / "no.gif", fps=0)
    animation.save(tmp_path / "training.gif", fps=4)
    with image.open(tmp_path / "training.gif") as gif:
        assert gif.n_frames == 5 and gif.info["duration"] == 250 and gif.info["loop"] == 0
        frames = []
        for index in range(5):
            gif.seek(index)
            frames.append(gif.convert("RGB").tobytes())
    assert len(set(frames)) == 5 and len(set(frames[0])) > 20  # none is empty, each has its own step


def test_pictures_need_no_window_and_no_global_state():
    code = """
import sys, torch
import stn_cuda.visualize
assert "matplotlib" not in sys.modules
from stn_cuda.localization import FullyConnectedLocalization
from stn_cuda.modules import SpatialTransformer
st = SpatialTransformer(FullyConnectedLocalization("Affine", in_features=20), "Affine")
stn_cuda.visualize.panel(st, torch.rand(2, 1, 4, 5))
print("matplotlib.pyplot" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
