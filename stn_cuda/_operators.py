"""The operators, and the reference that stands in for them, as the Functions call them: tensors, then one tuple of options.

``fill`` is [N or 1, C] in the dtype that is computed in, or None: taps outside read 0.
Results and cotangents have the dtypes that the operators give them: with ``float_output`` those of the output aren't input's.
"""
from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from . import _checks, _fake, reference  # noqa: F401  (the fakes are registered by their import)
from ._extension import _C

Options = tuple[int, list[int], int, bool]  # mode, padding, coordinates, float_output
GridOptions = tuple[int, list[int], list[int], bool, bool]  # transform, size, in_size, pixels, align_corners
# (A normalised theta ignores in_size. Yet it has one: AOTInductor makes None of an empty list.)
FusedOptions = tuple[int, list[int], int, list[int], int, bool]  # transform, size, and those of Options
Triple = tuple[Tensor | None, Tensor | None, Tensor | None]
Quadruple = tuple[Tensor | None, Tensor | None, Tensor | None, Tensor | None]

_ops = torch.ops.stn_cuda
_sample = _ops._grid_sample.default  # an overload is called faster than its packet
_sample_backward = _ops.grid_sample_backward.default
_sample_double_backward = _ops.grid_sample_double_backward.default

_transform_grid = _ops._transform_grid.default
_transform_grid_backward = _ops.transform_grid_backward.default
_transform_sample = _ops._transform_sample.default
_transform_sample_backward = _ops.transform_sample_backward.default

_MODE_NAMES = {value: name for name, value in _C.INTERPOLATION_MODES.items()}
_TRANSFORM_NAMES = {value: name for name, value in _C.TRANSFORM_KINDS.items()}
_PADDING_NAMES = {value: name for name, value in _C.PADDING_MODES.items()}
AFFINE, PROJECTIVE, FLOW = (_C.TRANSFORM_KINDS[name] for name in ("affine", "projective", "flow"))
EDGES, CENTRES, CENTRE_PIXELS = (_C.COORDINATE_CONVENTIONS[name] for name in ("edges", "centres", "centre_pixels"))
_CONVENTION_NAMES = {value: name for name, value in _C.COORDINATE_CONVENTIONS.items()}


def sample(input: Tensor, grid: Tensor, fill: Tensor | None, options: Options) -> Tensor:
    """input [N, C, *in], grid [N, *out, dims] -> [N, C, *out]"""
    mode, padding, coordinates, float_output = options
    try:
        return _sample(input, grid, mode, padding, coordinates, fill, float_output)
    except RuntimeError as error:
        raise _as_torchs(error, input) from None


def gradients(
    grad_output: Tensor, input: Tensor, grid: Tensor, fill: Tensor | None, options: Options, wanted: Sequence[bool]
) -> Triple:
    """Of <grad_output, output> by input, grid and fill, None for what isn't wanted."""
    mode, padding, coordinates, float_output = options
    try:
        return _sample_backward(
            grad_output, input, grid, mode, padding, coordinates, fill, float_output, wanted,
            torch.are_deterministic_algorithms_enabled())
    except RuntimeError as error:
        raise _as_torchs(error, input) from None


def second(
    t_input: Tensor | None, t_grid: Tensor | None, t_fill: Tensor | None, grad_output: Tensor | None,
    input: Tensor, grid: Tensor, fill: Tensor | None, options: Options, wanted: Sequence[bool],
) -> Quadruple:
    """Gradients of <t_input, grad_input> + <t_grid, grad_grid> + <t_fill, grad_fill> by grad_output, input, grid and fill.

    The first is the jvp, too.
    """
    mode, padding, coordinates, float_output = options
    try:
        return _sample_double_backward(
            t_input, t_grid, t_fill, grad_output, input, grid, mode, padding, coordinates, fill, float_output, wanted,
            torch.are_deterministic_algorithms_enabled())
    except RuntimeError as error:
        raise _as_torchs(error, input) from None


def transform_grid(parameters: Tensor, options: GridOptions, tangent: Tensor | None = None) -> Tensor:
    """parameters [N, ...] -> [N, *size, dims], or the derivative of that along a tangent of the parameters."""
    try:
        return _transform_grid(parameters, tangent, *options)
    except RuntimeError as error:
        raise _as_torchs(error, parameters) from None


def transform_grid_backward(
    grad_grid: Tensor, parameters: Tensor | None, options: GridOptions, tangent: Tensor | None = None
) -> Tensor:
    """The gradient of <grad_grid, grid> by the parameters, or the derivative of that along a tangent of theirs.

    Without parameters for affine transforms and flows, which are linear in them.
    """
    try:
        return _transform_grid_backward(grad_grid, parameters, tangent, *options)
    except RuntimeError as error:
        raise _as_torchs(error, grad_grid) from None


def transform_sample(input: Tensor, parameters: Tensor, fill: Tensor | None, options: FusedOptions) -> Tensor:
    """input [N, C, *in], parameters [N, ...] -> [N, C, *size]"""
    transform, size, mode, padding, coordinates, float_output = options
    try:
        return _transform_sample(input, parameters, transform, size, mode, padding, coordinates, fill, float_output)
    except RuntimeError as error:
        raise _as_torchs(error, input) from None


def transform_gradients(
    grad_output: Tensor, input: Tensor, parameters: Tensor, fill: Tensor | None, options: FusedOptions, wanted: Sequence[bool]
) -> Triple:
    """Of <grad_output, output> by input, parameters and fill, None for what isn't wanted."""
    transform, size, mode, padding, coordinates, float_output = options
    try:
        return _transform_sample_backward(
            grad_output, input, parameters, transform, size, mode, padding, coordinates, fill, float_output, wanted,
            torch.are_deterministic_algorithms_enabled())
    except RuntimeError as error:
        raise _as_torchs(error, input) from None


def _as_torchs(error: RuntimeError, tensor: Tensor) -> RuntimeError:
    """torch has a type for a GPU's memory that is full; the stable ABI loses it, csrc/ops says it in words."""
    full = tensor.device.type == "cuda" and "not enough memory" in str(error)
    return torch.OutOfMemoryError(str(error)) if full else error


def reference_sample(input: Tensor, grid: Tensor, fill: Tensor | None, options: Options) -> Tensor:
    mode, padding, coordinates, float_output = options
    if float_output:
        input = input.to(_checks.accumulate_dtype(input.dtype))
    convention = _CONVENTION_NAMES[coordinates]
    return reference.grid_sample(
        input, grid, _MODE_NAMES[mode], [_PADDING_NAMES[one] for one in padding], convention in ("centres", "centre_pixels"),
        fill_value=fill, coordinates="pixel" if convention in ("pixels", "centre_pixels") else "normalized")


def reference_grid(parameters: Tensor, options: GridOptions) -> Tensor:
    transform, size, in_size, pixels, align_corners = options
    return reference.transform_grid(parameters, _TRANSFORM_NAMES[transform], size, in_size, pixels, align_corners)
