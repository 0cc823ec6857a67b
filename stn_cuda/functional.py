"""The public functions: names, argument forms, documentation. Their signatures are torch's."""
from __future__ import annotations

import operator
import warnings
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.overrides import handle_torch_function, has_torch_function_unary, has_torch_function_variadic

from . import _autograd, _checks
from ._extension import _C

_MODES = _C.INTERPOLATION_MODES
_PADDINGS = {name: [value] for name, value in _C.PADDING_MODES.items()}  # as the operators take it, an entry for all axes
_CONVENTIONS = {False: _C.COORDINATE_CONVENTIONS["edges"], True: _C.COORDINATE_CONVENTIONS["centres"]}


def grid_sample(
    input: Tensor,
    grid: Tensor,
    mode: str = "bilinear",
    padding_mode: str = "zeros",
    align_corners: bool | None = None,
) -> Tensor:
    """Sample ``input`` at the coordinates in ``grid``; a drop-in for ``torch.nn.functional.grid_sample``.

    ``output[n, c, i, j]`` is ``input[n, c]`` interpolated at ``grid[n, i, j] = (x, y)``, with the gradients of both arguments.

    Args:
        input: ``(N, C, H, W)`` or ``(N, C, D, H, W)``, float16, bfloat16, float32 or float64, any strides. No spatial axis may
            be empty.
        grid: ``(N, *out, 2)`` or ``(N, *out, 3)``, with as many output axes as ``input`` has spatial ones, of the dtype and
            device of ``input``; with a 16-bit ``input`` it may be float32, which large images want. The last axis holds
            ``(x, y)`` or ``(x, y, z)``, the reverse of the order of input's axes, where -1 and 1 are the image's ends (see
            ``align_corners``).
        mode: ``"bilinear"`` (trilinear in 3-D), ``"nearest"`` (ties to the even pixel) or ``"bicubic"`` (tricubic in 3-D;
            cubic convolution with a = -0.75, so that results may exceed the image's range).
        padding_mode: what lies outside the image: ``"zeros"``, the nearest pixel (``"border"``), or the image mirrored at
            its ends (``"reflection"``).
        align_corners: whether -1 and 1 are the centres of the end pixels (True) or their outer edges (False). None means
            False and warns, as torch does (in a compiled program it doesn't warn).

    Returns:
        ``(N, C, *out)`` in the dtype and memory format (channels_last or contiguous) of ``input``. 16-bit images are computed
        in float32 and rounded once, their gradients too. Under autocast the dtype is torch's: float32 on CPU, the wider one
        of input and grid on CUDA (float64 stays float64); the image is read as it is, and any mix of 16 and 32 bits will do.

    A coordinate that is NaN, infinite or 2^31 pixels away is outside with zeros padding; with the others it is clamped to the
    nearest edge, NaN to the first pixel. Its gradient is 0. Nearest has a gradient of zeros for ``grid``.

    Raises:
        TypeError: an argument is no tensor, ``align_corners`` no bool.
        ValueError: an unknown ``mode`` or ``padding_mode``.
        RuntimeError: shapes, dtypes or devices that don't fit.
        NotImplementedError: an integer or complex input, a nested or sparse tensor; what torch has and stn_cuda does not yet,
            by name; a CUDA tensor with a CPU-only build.

    Source: Jaderberg et al., Spatial Transformer Networks, 2015, equations 3 to 7; Keys 1981 for bicubic. Differs from torch
    as the README lists under "Differences from torch".

    Example::

        >>> image = torch.arange(9.0).reshape(1, 1, 3, 3)
        >>> grid = torch.tensor([[[[0.0, 0.0], [-2 / 3, 0.0]]]])  # the image's centre; the centre of its left edge pixel
        >>> stn_cuda.grid_sample(image, grid, align_corners=False)
        tensor([[[[4., 3.]]]])
    """
    if has_torch_function_variadic(input, grid):
        return handle_torch_function(
            grid_sample, (input, grid), input, grid, mode=mode, padding_mode=padding_mode, align_corners=align_corners)
    mode_value = _checks.lookup("grid_sample", "mode", _MODES, mode)
    padding = _checks.lookup("grid_sample", "padding_mode", _PADDINGS, padding_mode)
    if align_corners is None:
        align_corners = _warned_default()
    _checks.check_bool("grid_sample", "align_corners", align_corners)
    _checks.check_tensor("grid_sample", "input", input)
    _checks.check_tensor("grid_sample", "grid", grid)
    autocast = _is_autocast(input)
    if not torch.jit.is_tracing():  # the operator checks again; here a trace would take every size for a constant
        _checks.check_grid_sample(input, grid, any_mix=autocast)
    float_output = autocast and _autograd.autocast_is_wide(input, grid)
    return _autograd.grid_sample(input, grid, mode_value, padding, _CONVENTIONS[align_corners], float_output)


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
    _checks.check_bool("affine_grid", "align_corners", align_corners)
    _checks.check_tensor("affine_grid", "theta", theta)
    if _is_autocast(theta):  # 16 bits are too few for coordinates
        theta = theta.to(_checks.accumulate_dtype(theta.dtype))
    if torch.jit.is_tracing():  # sizes that depend on an input stay part of the trace
        return _autograd.affine_grid(theta, list(size), align_corners)
    size = _ints(size)
    _checks.check_affine_grid(theta, size)
    if align_corners and min(size[2:]) == 1 and not torch.compiler.is_compiling():
        warnings.warn(
            "Since version 1.3.0, affine_grid behavior has changed for unit-size grids when align_corners=True: an axis of "
            "size 1 is sampled at the centre, coordinate 0, and not at -1.", stacklevel=2)
    return _autograd.affine_grid(theta, size, align_corners)


def _is_autocast(tensor: Tensor) -> bool:
    device = tensor.device.type
    return device in ("cpu", "cuda") and torch.is_autocast_enabled(device)  # torch raises for those that have none


def _warned_default() -> bool:
    """False, and torch's warning, whose first words programs filter by, at the line that called the public function.

    Not while compiling: a warning would break the graph.
    """
    if not torch.compiler.is_compiling():
        warnings.warn(
            "Default grid_sample and affine_grid behavior has changed to align_corners=False since 1.3.0. "
            "Say which of both is meant: align_corners=False, or align_corners=True for the older behavior.", stacklevel=3)
    return False


def _ints(size: Sequence[int]) -> list[int]:
    """A list of ints (symbolic ones stay symbolic)."""
    try:
        return [entry if isinstance(entry, (int, torch.SymInt)) else operator.index(entry) for entry in size]
    except TypeError as error:
        raise TypeError(f"affine_grid(): expected size to be a sequence of ints, got {size!r}") from error
