"""The public functions: names, argument forms, documentation. Their signatures are torch's."""
from __future__ import annotations

import operator
import warnings
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.overrides import handle_torch_function, has_torch_function_unary, has_torch_function_variadic

from . import _autograd, _checks, _grid_checks
from ._extension import _C

_MODES = _C.INTERPOLATION_MODES
_PADDINGS = {**_C.PADDING_MODES, "fill": _C.PADDING_MODES["zeros"]}  # the operators tell by a fill_value
_CONVENTIONS = {False: _C.COORDINATE_CONVENTIONS["edges"], True: _C.COORDINATE_CONVENTIONS["centres"]}
_COORDINATES = {"normalized": None, "pixel": _C.COORDINATE_CONVENTIONS["pixels"]}  # None: align_corners says which


def grid_sample(
    input: Tensor,
    grid: Tensor,
    mode: str = "bilinear",
    padding_mode: str | Sequence[str] = "zeros",
    align_corners: bool | None = None,
    *,
    fill_value: complex | Tensor | None = None,
    coordinates: str = "normalized",
) -> Tensor:
    """Sample ``input`` at the coordinates in ``grid``; a drop-in for ``torch.nn.functional.grid_sample``.

    ``output[n, c, i, j]`` is ``input[n, c]`` interpolated at ``grid[n, i, j] = (x, y)``, with the gradients of all tensors.

    Args:
        input: ``(N, C, W)``, ``(N, C, H, W)`` or ``(N, C, D, H, W)``, float16, bfloat16, float32, float64 or complex, any
            strides. No spatial axis may be empty.
        grid: ``(N, *out, dims)``, where ``dims`` is the number of input's spatial axes and ``*out`` at least one axis: (H, W)
            for an image, (P,) for a list of points. Of the dtype and device of ``input``; with a 16-bit ``input`` it may be
            float32, which large images want. The last axis holds ``(x,)``, ``(x, y)`` or ``(x, y, z)``, the reverse of the
            order of input's axes, where -1 and 1 are the image's ends (see ``align_corners``). One of ``input`` and ``grid``
            may have N = 1 for all of the other's: neither is copied, and the gradient of the one is summed in the kernel.
        mode: ``"bilinear"`` (trilinear in 3-D), ``"nearest"`` (ties to the even pixel) or ``"bicubic"`` (tricubic in 3-D;
            cubic convolution with a = -0.75, so that results may exceed the image's range).
        padding_mode: what lies outside the image: ``"zeros"``, ``"fill"`` (``fill_value``), the nearest pixel
            (``"border"``), the image mirrored at its ends (``"reflection"``) or repeated (``"circular"``). Or a sequence of
            them, one an axis in grid order: ``("circular", "border")`` for a panorama.
        align_corners: whether -1 and 1 are the centres of the end pixels (True) or their outer edges (False). None means
            False and warns, as torch does (in a compiled program it doesn't warn).
        fill_value: what is read outside the image: a number, or a floating point tensor ``()``, ``(C,)`` or ``(N, C)`` on
            input's device, which gets a gradient. With ``"zeros"`` or ``"fill"`` every tap outside reads it. With
            ``"border"`` taps are clamped to the edge, but a location whose coordinate is outside the area of the pixels,
            x < -0.5 or x >= size - 0.5 on any such axis, takes it whole (ITK's rule). It may be NaN, to mark what is outside;
            the gradient of ``grid`` is then NaN, too, where a tap reads it, even if the loss leaves that out (0 times NaN): for
            training, sample a mask of ones.
        coordinates: ``"normalized"``, or ``"pixel"``: the grid holds pixels, 0 being the centre of the first one, and
            ``align_corners`` must not be given; reflection is about the edges of the end pixels.

    Returns:
        ``(N, C, *out)`` in the dtype of ``input``, and in its memory format (channels_last or contiguous) if it has 4 or 5
        axes. 16-bit images are computed in float32 and rounded once, their gradients too. Under autocast the dtype is torch's:
        float32 on CPU, the wider one of input and grid on CUDA (float64 stays float64); the image is read as it is, and any
        mix of 16 and 32 bits will do. A complex image's parts are sampled as two real ones.

    A coordinate that is NaN, infinite or 2^31 pixels away is outside with zeros and fill padding; with the others it is clamped
    to the nearest edge, NaN to the first pixel (and is outside for a fill value). Its gradient is 0. Nearest has a gradient of
    zeros for ``grid``.

    Raises:
        TypeError: an argument is no tensor, ``align_corners`` no bool, ``fill_value`` neither number nor tensor.
        ValueError: an unknown ``mode``, ``padding_mode`` or ``coordinates``; a ``fill_value`` that no axis' padding takes, or
            ``"fill"`` without one; ``align_corners`` with pixels.
        RuntimeError: shapes, dtypes or devices that don't fit.
        NotImplementedError: an integer input, a nested or sparse tensor; a CUDA tensor with a CPU-only build.

    Source: Jaderberg et al., Spatial Transformer Networks, 2015, equations 3 to 7; Keys 1981 for bicubic; pytorch#66366 for
    ``fill_value``. Differs from torch as the README lists under "Differences from torch".

    Example::

        >>> image = torch.arange(9.0).reshape(1, 1, 3, 3)
        >>> grid = torch.tensor([[[[0.0, 0.0], [-2 / 3, 0.0]]]])  # the image's centre; the centre of its left edge pixel
        >>> stn_cuda.grid_sample(image, grid, align_corners=False)
        tensor([[[[4., 3.]]]])
        >>> points = torch.tensor([[[0.5, 2.0], [-9.0, 0.0]]])  # (N, P, 2): between two pixels of the last row; far outside
        >>> stn_cuda.grid_sample(image, points, padding_mode="fill", fill_value=7.0, coordinates="pixel")
        tensor([[[6.5000, 7.0000]]])
    """
    tensors = (input, grid) if fill_value is None else (input, grid, fill_value)
    if has_torch_function_variadic(*tensors):
        return handle_torch_function(
            grid_sample, tensors, input, grid, mode=mode, padding_mode=padding_mode, align_corners=align_corners,
            **_given(fill_value=fill_value, coordinates=None if coordinates == "normalized" else coordinates))
    mode_value = _checks.lookup("grid_sample", "mode", _MODES, mode)
    convention = _convention(align_corners, coordinates)
    _checks.check_tensor("grid_sample", "input", input)
    _checks.check_tensor("grid_sample", "grid", grid)
    if input.is_complex():
        return _sample_parts(input, grid, mode, padding_mode, align_corners, fill_value, coordinates)
    autocast = _is_autocast(input)
    if not torch.jit.is_tracing():  # the operator checks again; here a trace would take every size for a constant
        _checks.check_grid_sample(input, grid, any_mix=autocast)
    padding = _paddings(padding_mode, input.dim() - 2, fill_value is not None)
    fill = None if fill_value is None else _checks.fill_as_channels("grid_sample", fill_value, input, grid)
    float_output = autocast and _autograd.autocast_is_wide(input, grid)
    return _autograd.grid_sample(input, grid, fill, mode_value, padding, convention, float_output)


def valid_mask(
    grid: Tensor,
    size: Sequence[int],
    mode: str = "bilinear",
    align_corners: bool = False,
    coordinates: str = "normalized",
) -> Tensor:
    """How much of each location's stencil lies inside an image: 1 inside, 0 outside, between them at the edges.

    The share of the weight of :func:`grid_sample`'s taps that are pixels of an image of that ``size``, without an image of ones
    being sampled or held. For bicubic, some of whose weights are negative, it may lie a little beyond 0 and 1.

    Args:
        grid: ``(N, *out, dims)``, as in :func:`grid_sample`, of a floating point dtype.
        size: the image's spatial size, ``dims`` ints in the order of its axes: (W,), (H, W) or (D, H, W).
        mode, coordinates: as in :func:`grid_sample`.
        align_corners: as in :func:`grid_sample`, but False unless given; it has no meaning with pixels.

    Returns:
        ``(N, *out)`` in the dtype of ``grid``, without a gradient. A coordinate that isn't finite has 0.

    Raises:
        TypeError, ValueError, RuntimeError, NotImplementedError: as :func:`grid_sample`; a ``size`` that doesn't fit the grid.

    Source: asked for in pytorch#42625 and pytorch#149013.

    Example::

        >>> grid = torch.tensor([[[0.0, 0.0], [-0.5, 0.0], [5.0, 0.0]]])
        >>> stn_cuda.valid_mask(grid, (3, 3), coordinates="pixel")
        tensor([[1.0000, 0.5000, 0.0000]])
    """
    if has_torch_function_unary(grid):
        return handle_torch_function(
            valid_mask, (grid,), grid, size, mode=mode, align_corners=align_corners, coordinates=coordinates)
    _checks.check_tensor("valid_mask", "grid", grid)
    _checks.check_bool("valid_mask", "align_corners", align_corners)
    mode_value = _checks.lookup("valid_mask", "mode", _MODES, mode)
    convention = _convention(None if coordinates == "pixel" else align_corners, coordinates, "valid_mask")
    size = _ints("valid_mask", size)
    _checks.check_valid_mask(grid, size)
    dtype = _checks.accumulate_dtype(grid.dtype)
    nothing, one = grid.new_zeros((), dtype=dtype), grid.new_ones((1, 1), dtype=dtype)
    image = nothing.expand(1, 1, *size)  # a single zero: only the weight of the fill is asked for
    outside = _autograd.grid_sample(image, grid.detach(), one, mode_value, [_PADDINGS["zeros"]], convention)
    return (1 - outside.squeeze(1)).to(grid.dtype)


def affine_grid(theta: Tensor, size: Sequence[int], align_corners: bool | None = None) -> Tensor:
    """Make the sampling grid of an affine map; a drop-in for ``torch.nn.functional.affine_grid``.

    ``grid[n, i, j] = theta[n] @ (x, y, 1)``, where (x, y) is the normalised position of output pixel (i, j): theta maps
    positions in the output to positions in the input, and the grid goes to :func:`grid_sample`.

    Args:
        theta: ``(N, 2, 3)`` or ``(N, 3, 4)``, float16, bfloat16, float32 or float64.
        size: the output's whole size, ``(N, C, H, W)`` or ``(N, C, D, H, W)``: any sequence of positive ints.
        align_corners: as in :func:`grid_sample`, and to be the same there. An axis of size 1 has no extent between centres:
            with True its position is 0, and torch's warning about it is given.

    Returns:
        ``(N, H, W, 2)`` or ``(N, D, H, W, 3)``, contiguous, in the dtype of ``theta``; under autocast float32 for 16 bits.

    Raises:
        TypeError: ``theta`` is no tensor, ``size`` no sequence of ints, ``align_corners`` no bool.
        ValueError: a theta that isn't floating point or whose shape doesn't fit ``size``; a size that isn't positive.
        RuntimeError: another batch size in ``size`` than in ``theta``.
        NotImplementedError: a size of another length than 4 or 5; a CUDA tensor with a CPU-only build.

    Source: Jaderberg et al., 2015, equation 1.

    Example::

        >>> theta = torch.tensor([[[1.0, 0.0, 0.5], [0.0, 1.0, 0.0]]])  # reads a quarter of the width further right
        >>> stn_cuda.affine_grid(theta, (1, 1, 1, 2), align_corners=False)
        tensor([[[[0., 0.],
                  [1., 0.]]]])
    """
    if has_torch_function_unary(theta):
        return handle_torch_function(affine_grid, (theta,), theta, size, align_corners=align_corners)
    if align_corners is None:
        align_corners = _warned_default()
    _checks.check_bool("affine_grid", "align_corners", align_corners, or_none=True)
    _checks.check_tensor("affine_grid", "theta", theta)
    if _is_autocast(theta):  # 16 bits are too few for coordinates
        theta = theta.to(_checks.accumulate_dtype(theta.dtype))
    if torch.jit.is_tracing():  # sizes that depend on an input stay part of the trace
        return _autograd.affine_grid(theta, list(size), align_corners)
    size = _ints("affine_grid", size)
    _grid_checks.check_affine_grid(theta, size)
    if align_corners and min(size[2:]) == 1 and not torch.compiler.is_compiling():
        warnings.warn(
            "Since version 1.3.0, affine_grid behavior has changed for unit-size grids when align_corners=True: an axis of "
            "size 1 is sampled at the centre, coordinate 0, and not at -1.", stacklevel=2)
    return _autograd.affine_grid(theta, size, align_corners)


def _is_autocast(tensor: Tensor) -> bool:
    if not torch._C._is_any_autocast_enabled():
        return False
    device = tensor.device.type
    return device in ("cpu", "cuda") and torch.is_autocast_enabled(device)  # torch raises for those that have none


def _convention(align_corners: bool | None, coordinates: str, function: str = "grid_sample") -> int:
    """The operators' number for what the grid's numbers mean."""
    convention = _checks.lookup(function, "coordinates", _COORDINATES, coordinates)
    if convention is None:
        if align_corners is None:
            align_corners = _warned_default(stacklevel=4)
        _checks.check_bool(function, "align_corners", align_corners, or_none=True)
        return _CONVENTIONS[align_corners]
    if align_corners is not None:
        raise ValueError(
            f'{function}(): expected no align_corners with coordinates="{coordinates}", which has no normalised ends, '
            f"got {align_corners!r}")
    return convention


def _paddings(
    padding_mode: str | Sequence[str], dims: int, has_fill: bool, function: str = "grid_sample"
) -> list[int]:
    """As the operators take it: an entry for all axes, or one an axis."""
    if not has_fill and isinstance(padding_mode, str) and padding_mode in _C.PADDING_MODES:
        return [_C.PADDING_MODES[padding_mode]]
    an_axis = isinstance(padding_mode, (list, tuple))
    modes: list[Any] = list(padding_mode) if an_axis else [padding_mode]
    paddings = [_checks.lookup(function, "padding_mode", _PADDINGS, mode) for mode in modes]
    if an_axis and len(modes) != dims:
        raise ValueError(
            f"{function}(): expected padding_mode to be one mode, or {dims} for the axes of input, got {padding_mode!r}")
    if "fill" in modes and not has_fill:
        raise ValueError(f"{function}(): expected a fill_value with padding_mode={padding_mode!r}")
    if has_fill and not any(mode == "fill" or _C.PADDING_TAKES_FILL[mode] for mode in modes):
        raise ValueError(
            f"{function}(): expected no fill_value with padding_mode={padding_mode!r}, which has no outside")
    return paddings


def _sample_parts(
    input: Tensor, grid: Tensor, mode: str, padding_mode: str | Sequence[str], align_corners: bool | None,
    fill_value: complex | Tensor | None, coordinates: str,
) -> Tensor:
    """A complex image: its real and its imaginary part, recombined."""
    align_corners = bool(align_corners) if coordinates == "normalized" else None  # None has warned already
    real, imag = (
        grid_sample(part, grid, mode, padding_mode, align_corners, fill_value=fill, coordinates=coordinates)
        for part, fill in zip((input.real, input.imag), parts_of_fill(fill_value)))
    return torch.complex(real, imag)


def parts_of_fill(fill_value: complex | Tensor | None) -> tuple[Any, Any]:
    """A complex image's fill_value for its real and its imaginary part."""
    if isinstance(fill_value, complex) or (isinstance(fill_value, Tensor) and fill_value.is_complex()):
        return fill_value.real, fill_value.imag
    return fill_value, None if fill_value is None else 0.0


def _given(**arguments: Any) -> dict[str, Any]:
    """Those that aren't None: a caller's torch_function sees torch's signature unless more was asked for."""
    return {name: value for name, value in arguments.items() if value is not None}


def _warned_default(stacklevel: int = 3) -> bool:
    """False, and torch's warning, whose first words programs filter by, at the line that called the public function.

    Not while compiling: a warning would break the graph.
    """
    if not torch.compiler.is_compiling():
        warnings.warn(
            "Default grid_sample and affine_grid behavior has changed to align_corners=False since 1.3.0. "
            "Say which of both is meant: align_corners=False, or align_corners=True for the older behavior.",
            stacklevel=stacklevel)
    return False


def _ints(function: str, size: Sequence[int]) -> list[int]:
    """A list of ints (symbolic ones stay symbolic)."""
    try:
        return [entry if isinstance(entry, (int, torch.SymInt)) else operator.index(entry) for entry in size]
    except TypeError as error:
        raise TypeError(f"{function}(): expected size to be a sequence of ints, got {size!r}") from error
