"""Bad arguments that torch's functions don't have: the type of the error, and a message that says what is wrong."""

from __future__ import annotations

import pytest
import torch
from test_errors import Bad, assert_tells, image, points, sample, shape

import stn_cuda

IMAGE, VOLUME, SIGNAL = image(), image(2, 3, 4, 5, 6), image(2, 3, 5)


def pixels(*args, **kwargs):
    return sample(*args, coordinates="pixel", **{"align_corners": None, **kwargs})


def mask(grid, size, **kwargs):
    return lambda function: function(grid, size, **kwargs)


OPTIONS = [
    Bad("unknown_coordinates", sample(IMAGE, points(), coordinates="pixels"), ValueError,
        ["coordinates", "'pixels'", "'normalized'", "'pixel'"]),
    Bad("coordinates_none", sample(IMAGE, points(), coordinates=None), ValueError, ["coordinates", "None", "'pixel'"]),
    *(Bad(f"align_corners_{value}_with_pixels", pixels(IMAGE, points(), align_corners=value), ValueError,
          ["align_corners", "pixel", str(value)]) for value in (False, True)),
    Bad("unknown_padding_names_all", sample(IMAGE, points(), padding_mode="wrap"), ValueError,
        ["padding_mode", "'wrap'", "'zeros'", "'border'", "'reflection'", "'circular'", "'fill'"]),
    Bad("unknown_padding_of_an_axis", sample(IMAGE, points(), padding_mode=("border", "wrap")), ValueError,
        ["padding_mode", "'wrap'", "'circular'"]),
    Bad("padding_of_an_axis_none", sample(IMAGE, points(), padding_mode=("border", None)), ValueError,
        ["padding_mode", "None"]),
    *(Bad(f"padding_of_{len(modes)}_axes_for_{len(tensor.shape) - 2}",
          sample(tensor, points(2, 6, len(tensor.shape) - 2), padding_mode=modes), ValueError,
          ["padding_mode", str(len(tensor.shape) - 2), "'border'" if modes else r"\(\)"])
      for tensor, modes in ((IMAGE, ("border",)), (IMAGE, ("border",) * 3), (VOLUME, ["border"] * 2), (SIGNAL, ("border",) * 2),
                            (IMAGE, ()))),
    Bad("fill_without_a_value", sample(IMAGE, points(), padding_mode="fill"), ValueError, ["fill_value", "'fill'"]),
    Bad("fill_of_an_axis_without_a_value", sample(IMAGE, points(), padding_mode=("fill", "border")), ValueError,
        ["fill_value", "'fill'"]),
    *(Bad(f"{mode}_with_a_fill", sample(IMAGE, points(), padding_mode=mode, fill_value=1.0), ValueError,
          ["fill_value", "padding_mode", str(mode).strip("()")])
      for mode in ("reflection", "circular", ("reflection", "circular"))),
    *(Bad(f"fill_{type(value).__name__}", sample(IMAGE, points(), fill_value=value), TypeError,
          ["fill_value", "number", "Tensor", type(value).__name__]) for value in (True, "0", [1.0], 1j)),
    *(Bad(f"fill_of_{dtype}", sample(IMAGE, points(), fill_value=torch.ones(3, dtype=dtype)), RuntimeError,
          ["fill_value", "floating", str(dtype)]) for dtype in (torch.int64, torch.bool, torch.complex64)),
    *(Bad(f"fill_of_shape_{lengths}", sample(IMAGE, points(), fill_value=torch.ones(lengths)), RuntimeError,
          ["fill_value", shape(*lengths), r"\(3,\)", shape(2, 3)])
      for lengths in ((1,), (2,), (4,), (3, 3), (2, 1), (2, 3, 1), (1, 1), (0,))),
    Bad("fill_on_another_device", sample(IMAGE, points(), fill_value=torch.ones(3, device="meta")), RuntimeError,
        ["fill_value", "meta", "cpu"]),
    Bad("fill_is_sparse", sample(IMAGE, points(), fill_value=torch.ones(3).to_sparse()), NotImplementedError,
        ["fill_value", "sparse", "dense"]),
]  # fmt: skip
TENSORS = [
    Bad("batches_2_and_3", sample(IMAGE, points(3, 6, 2)), RuntimeError, ["grid", "input", "batch", shape(3, 6, 2)]),
    Bad("batch_0_and_2", sample(image(0, 3, 4, 5), points(2, 6, 2)), RuntimeError, ["grid", "input", "batch"]),
    Bad("points_of_2_in_a_volume", sample(VOLUME, points(2, 6, 2)), RuntimeError, ["grid", shape(2, 6, 2), r"\b3\b"]),
    Bad("points_of_2_in_a_signal", sample(SIGNAL, points(2, 6, 2)), RuntimeError, ["grid", shape(2, 6, 2), r"\b1\b"]),
    Bad("coordinates_in_dimension_1", sample(IMAGE, points(2, 2, 6, 7)), RuntimeError,
        ["grid", shape(2, 2, 6, 7), r"movedim\(1, -1\)"]),
    Bad("no_output_axis", sample(IMAGE, points(2, 2)), RuntimeError, ["grid", shape(2, 2), "3 dimensions"]),
    Bad("no_channels_axis", sample(image(2, 3), points(2, 6, 2)), RuntimeError, ["input", shape(2, 3), "N, C, W"]),
    Bad("four_spatial_axes", sample(image(1, 1, 2, 2, 2, 2), points(1, 6, 4)), RuntimeError, ["input", "N, C, D, H, W"]),
    Bad("empty_signal", sample(image(2, 3, 0), points(2, 6, 1)), RuntimeError, ["input", "empty", shape(2, 3, 0)]),
    Bad("complex_grid", sample(IMAGE, points(dtype=torch.complex64)), RuntimeError, ["grid", "complex64", "float32"]),
    Bad("complex_input_and_grid", sample(image(dtype=torch.complex64), points(dtype=torch.complex64)), RuntimeError,
        ["grid", "complex64", "float32"]),
    Bad("complex_input_with_a_double_grid", sample(image(dtype=torch.complex64), points(dtype=torch.float64)), RuntimeError,
        ["grid", "float64", "float32"]),
]  # fmt: skip
VALID_MASK = [
    Bad("grid_none", mask(None, (4, 5)), TypeError, ["valid_mask", "grid", "Tensor", "NoneType"]),
    Bad("size_none", mask(points(), None), TypeError, ["valid_mask", "size", "None"]),
    Bad("size_of_floats", mask(points(), (4.0, 5)), TypeError, ["valid_mask", "size", r"4\.0"]),
    *(Bad(f"size_{size}", mask(points(), size), ValueError, ["valid_mask", "size", "positive"])
      for size in ((), (0, 5), (4, -1), (1, 2, 3, 4))),
    Bad("size_of_a_volume", mask(points(), (4, 5, 6)), RuntimeError, ["valid_mask", "grid", shape(4, 5, 6), shape(2, 6, 7, 2)]),
    Bad("grid_of_rank_2", mask(points(2, 2), (4, 5)), RuntimeError, ["valid_mask", "grid", shape(2, 2)]),
    Bad("integers", mask(points(dtype=torch.int64), (4, 5)), NotImplementedError, ["valid_mask", "grid", "int64"]),
    Bad("complex", mask(points(dtype=torch.complex64), (4, 5)), NotImplementedError, ["valid_mask", "grid", "complex64"]),
    Bad("sparse", mask(points().to_sparse(), (4, 5)), NotImplementedError, ["valid_mask", "grid", "sparse"]),
    Bad("unknown_mode", mask(points(), (4, 5), mode="cubic"), ValueError, ["valid_mask", "mode", "'cubic'", "'bilinear'"]),
    Bad("unknown_coordinates", mask(points(), (4, 5), coordinates="px"), ValueError, ["valid_mask", "coordinates", "'px'"]),
    *(Bad(f"align_corners_{value}", mask(points(), (4, 5), align_corners=value), TypeError,
          ["valid_mask", "align_corners", "bool", type(value).__name__]) for value in (None, 1, "no")),
]  # fmt: skip


@pytest.mark.parametrize("bad", OPTIONS + TENSORS, ids=str)
def test_grid_sample_says_what_is_wrong(bad: Bad):
    assert_tells(bad, stn_cuda.grid_sample)


@pytest.mark.parametrize("bad", OPTIONS, ids=str)
def test_grid_sample_says_what_is_wrong_with_the_options_of_complex_images_too(bad: Bad):
    """But what is no fill of a real image may be one of a complex one."""
    if bad.name in ("fill_complex", "fill_of_torch.complex64"):
        pytest.skip("a complex fill_value is right for a complex input")
    assert_tells(bad, lambda input, grid, **options: stn_cuda.grid_sample(torch.complex(input, input), grid, **options))


@pytest.mark.parametrize("bad", VALID_MASK, ids=str)
def test_valid_mask_says_what_is_wrong(bad: Bad):
    assert_tells(bad, stn_cuda.valid_mask)


def test_options_beyond_torchs_are_given_by_keyword():
    with pytest.raises(TypeError):
        stn_cuda.grid_sample(IMAGE, points(), "bilinear", "zeros", False, 1.0)


def test_the_warning_of_the_default_align_corners_is_not_given_with_pixels(recwarn):
    stn_cuda.grid_sample(IMAGE, points(), coordinates="pixel")
    assert not recwarn.list
