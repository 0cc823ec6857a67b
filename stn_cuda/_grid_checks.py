"""The checks of what makes grids, and of sampling through transforms: as ``_checks``, which has what they share."""
from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from ._checks import (
    check_batches,
    check_dense,
    check_device,
    check_dtype,
    check_like,
    check_not_empty,
    check_same_device,
    check_source_dtype,
    text_of,
)


def check_affine_grid(theta: Tensor, size: Sequence[int]) -> None:
    if not theta.is_floating_point():
        raise ValueError(f"affine_grid(): expected theta of a floating point dtype, got {theta.dtype}")
    check_device("affine_grid", "theta", theta)
    check_dense("affine_grid", "theta", theta)
    dims = len(size) - 2
    if dims not in (2, 3):
        raise NotImplementedError(
            f"affine_grid(): expected size (N, C, H, W) or (N, C, D, H, W), got {text_of(size)}")
    if theta.dim() != 3 or tuple(theta.shape[1:]) != (dims, dims + 1):
        raise ValueError(
            f"affine_grid(): expected theta of shape (N, {dims}, {dims + 1}) for size {text_of(size)}, got "
            f"{text_of(theta.shape)}")
    if min(size) <= 0:
        raise ValueError(f"affine_grid(): expected size with positive entries only, got {text_of(size)}")
    if size[0] != theta.shape[0]:
        raise RuntimeError(
            f"affine_grid(): expected size with theta's batch size {theta.shape[0]} as its first entry, got {text_of(size)}")
    check_dtype("affine_grid", "theta", theta.dtype)


def check_affine_operator(theta: Tensor, size: Sequence[int]) -> None:
    """The operator's own arguments: theta [N, dims, dims + 1] and size (N, C, *out)."""
    if len(size) not in (4, 5):
        raise ValueError(f"stn_cuda::affine_grid: expected size (N, C, H, W) or (N, C, D, H, W), got {tuple(size)}")
    dims = len(size) - 2
    check_like("stn_cuda::affine_grid", "theta", theta, (size[0], dims, dims + 1), theta.dtype, theta)


def check_spline_points(points: Tensor, num_points: int | None) -> int:
    """points [N, K, 2], with the K of a basis or (None) a square. The result is K, which comparing has made a constant where
    it was symbolic."""
    function, shape = "thin_plate_spline_grid", points.shape
    if not points.is_floating_point():
        raise ValueError(f"{function}(): expected points of a floating point dtype, got {points.dtype}")
    check_device(function, "points", points)
    check_dense(function, "points", points)
    check_dtype(function, "points", points.dtype)
    if len(shape) != 3 or shape[2] != 2 or (num_points is not None and shape[1] != num_points):
        count = "K" if num_points is None else str(num_points)
        raise ValueError(
            f"{function}(): expected points of shape (N, {count}, 2), an (x, y) for each control point of the basis, got "
            f"{text_of(shape)}")
    if num_points is not None:
        return num_points
    side = 2
    while side * side < shape[1]:  # math.isqrt doesn't take a symbolic number
        side += 1
    if side * side != shape[1]:
        raise ValueError(
            f"{function}(): expected points of shape (N, K, 2) with K a square, 4 or more, where no basis is given, got "
            f"{text_of(shape)}")
    return side * side


def check_grid_size(function: str, size: Sequence[int]) -> Sequence[int]:
    """The spatial size of a 2-D output: (H, W)."""
    if len(size) != 2 or min(size) <= 0:
        raise ValueError(f"{function}(): expected size (H, W) with positive entries only, got {text_of(size)}")
    return size


def check_parameters(function: str, name: str, parameters: Tensor) -> None:
    """What holds for every transform's."""
    if not parameters.is_floating_point():
        raise ValueError(f"{function}(): expected {name} of a floating point dtype, got {parameters.dtype}")
    check_device(function, name, parameters)
    check_dense(function, name, parameters)
    check_dtype(function, name, parameters.dtype)


def check_output_size(function: str, size: Sequence[int]) -> None:
    """The spatial size of an output."""
    if len(size) not in (2, 3) or min(size) <= 0:
        raise ValueError(
            f"{function}(): expected size (H, W) or (D, H, W), spatial only, with positive entries only, got {text_of(size)}")


def check_theta(function: str, theta: Tensor, size: Sequence[int], projective: bool) -> None:
    """theta [N, dims, dims + 1], or if projective [N, dims + 1, dims + 1], for an output of that size."""
    check_parameters(function, "theta", theta)
    check_output_size(function, size)
    rows, columns = len(size) + projective, len(size) + 1
    if theta.dim() != 3 or tuple(theta.shape[1:]) != (rows, columns):
        raise ValueError(
            f"{function}(): expected theta of shape (N, {rows}, {columns}) for size {text_of(size)}, got "
            f"{text_of(theta.shape)}")


def check_flow(function: str, flow: Tensor, dims: int | None = None) -> None:
    """flow [N, dims, *out]"""
    check_parameters(function, "flow", flow)
    shape = flow.shape
    fits = len(shape) in (4, 5) and shape[1] == len(shape) - 2 and dims in (None, len(shape) - 2) and 0 not in shape[2:]
    if not fits:
        of = {None: "(N, 2, H, W) or (N, 3, D, H, W)", 2: "(N, 2, H, W)", 3: "(N, 3, D, H, W)"}.get(dims, "(N, dims, *out)")
        raise ValueError(f"{function}(): expected flow of shape {of} without empty axes, got {text_of(shape)}")


def check_image(function: str, input: Tensor) -> None:
    """What a transform samples: the other sizes are told by it."""
    if input.dim() not in (4, 5):
        raise RuntimeError(f"{function}(): expected input of shape (N, C, H, W) or (N, C, D, H, W), got {text_of(input.shape)}")


def check_transform_sample(
    function: str, name: str, input: Tensor, parameters: Tensor, size: Sequence[int], any_mix: bool = False
) -> None:
    """input [N, C, *in] with 2 or 3 spatial axes, and parameters of a checked shape for an output of that many."""
    check_same_device(function, name, parameters, "input", input)
    check_device(function, "input", input)
    check_dense(function, "input", input)
    check_image(function, input)
    if len(size) != input.dim() - 2:
        raise ValueError(
            f"{function}(): expected size with {input.dim() - 2} entries for input of shape {text_of(input.shape)}, got "
            f"{text_of(size)}")
    check_batches(function, name, parameters, input)
    check_not_empty(function, input)
    check_dtype(function, "input", input.dtype)
    check_source_dtype(function, name, parameters, input, any_mix)


def check_input_size(function: str, input_size: Sequence[int], flow: Tensor) -> None:
    if len(input_size) != flow.dim() - 2 or min(input_size) <= 0:
        raise ValueError(
            f"{function}(): expected input_size with {flow.dim() - 2} positive entries for flow of shape "
            f"{text_of(flow.shape)}, got {text_of(input_size)}")
