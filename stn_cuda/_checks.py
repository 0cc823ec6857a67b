"""Every check of the public functions' arguments, a function a rule, with torch's exception types.

Used by ``functional``, the fakes and the public operators' keys. A message says which function, which argument, what was
expected and what was seen. What memory safety needs when an operator is called directly is checked once more in csrc/ops.
"""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ._extension import _C, REBUILD_WITH_CUDA

DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
HAS_CUDA = _C.build_info()["cuda"] is not None


def check_tensor(function: str, name: str, value: Any) -> None:
    if not isinstance(value, Tensor):
        raise TypeError(f"{function}(): expected {name} to be a Tensor, got {type(value).__name__}")


def check_bool(function: str, name: str, value: Any, or_none: bool = False) -> None:
    """``or_none``: whether the function takes None, too; it has been replaced by then."""
    if not isinstance(value, bool):
        kind = type(value)
        described = f"{kind.__module__}.{kind.__name__}".removeprefix("builtins.")
        raise TypeError(f"{function}(): expected {name} to be a bool{' or None' * or_none}, got a value of type {described}")


def lookup(function: str, name: str, table: dict[Any, Any], value: Any) -> Any:
    """``table[value]``; a value that it lacks is a ValueError which lists those it has."""
    try:
        return table[value]
    except (KeyError, TypeError):
        raise ValueError(f"{function}(): expected {name} to be one of {', '.join(map(repr, table))}, got {value!r}") from None


def check_device(function: str, name: str, tensor: Tensor) -> None:
    if tensor.is_cpu or tensor.is_meta or (tensor.is_cuda and HAS_CUDA):  # four times as fast as a device's type
        return
    device = tensor.device
    if device.type == "cuda":
        raise NotImplementedError(
            f"{function}(): {name} is on {device}, but this stn_cuda was built without CUDA kernels. Build it again where "
            f"nvcc is installed: {REBUILD_WITH_CUDA}")
    raise NotImplementedError(f"{function}(): expected {name} on a CPU or CUDA device, got {device}")


def check_dense(function: str, name: str, tensor: Tensor) -> None:
    if tensor.is_nested:
        raise NotImplementedError(f"{function}(): expected {name} to be a dense tensor, got a nested one")
    if tensor.layout != torch.strided:
        raise NotImplementedError(f"{function}(): expected {name} to be a dense tensor, got layout {tensor.layout}")


def check_dtype(function: str, name: str, dtype: torch.dtype) -> None:
    if dtype in DTYPES:
        return
    raise NotImplementedError(f"{function}(): expected {name} of a dtype of {', '.join(map(str, DTYPES))}, got {dtype}")


def accumulate_dtype(dtype: torch.dtype) -> torch.dtype:
    """What a dtype is computed in: float32 for those of 16 bits."""
    return torch.float32 if dtype in (torch.float16, torch.bfloat16) else dtype


def check_same_device(function: str, name: str, tensor: Tensor, as_name: str, as_tensor: Tensor) -> None:
    if tensor.device != as_tensor.device:
        raise RuntimeError(f"{function}(): expected {name} on the device of {as_name}, {as_tensor.device}, got {tensor.device}")


def check_source_dtype(function: str, name: str, source: Tensor, input: Tensor, any_mix: bool) -> None:
    """The dtype of input, or float32 with a 16-bit input; any mix of 16 and 32 bits for the operators and under autocast."""
    if source.dtype == input.dtype:
        return
    computed = accumulate_dtype(input.dtype)
    if source.dtype == computed or (any_mix and accumulate_dtype(source.dtype) == computed):
        return
    alternative = "" if computed == input.dtype else f" or {computed}"
    if any_mix and computed == torch.float32:
        alternative = ", or another of 16 or 32 bits"
    raise RuntimeError(
        f"{function}(): expected {name} of the dtype of input, {input.dtype}{alternative}, got {source.dtype}")


def joint_batch(input: Tensor, source: Tensor) -> int:
    """That of the output. Either of the two, the second being what gives the coordinates, may have 1 for all of the other's."""
    return source.shape[0] if input.shape[0] == 1 else input.shape[0]


def check_batches(function: str, name: str, source: Tensor, input: Tensor) -> None:
    batch, source_batch = input.shape[0], source.shape[0]
    if batch != source_batch and batch != 1 and source_batch != 1:
        raise RuntimeError(
            f"{function}(): expected {name} and input of one batch size, or of 1 for all of the other's, got {name} "
            f"{text_of(source.shape)} and input {text_of(input.shape)}")


def check_sample_shapes(input: Tensor, grid: Tensor) -> None:
    """input [N, C, *in] with 1 to 3 spatial axes, none of them empty, and grid [N, *out, dims]; either N may be 1."""
    shape, grid_shape = input.shape, grid.shape
    dims = len(shape) - 2
    if not 1 <= dims <= 3:  # (a tuple of ints as an argument: Dynamo gets that wrong in a frame alone)
        raise RuntimeError(
            f"grid_sample(): expected input of shape (N, C, W), (N, C, H, W) or (N, C, D, H, W), got {text_of(shape)}")
    if len(grid_shape) < 3:
        raise RuntimeError(
            f"grid_sample(): expected grid of shape (N, *out, {dims}), at least 3 dimensions, got {text_of(grid_shape)}")
    if grid_shape[-1] != dims:
        hint = " (coordinates in dimension 1 go last by grid.movedim(1, -1))" if grid_shape[1] == dims else ""
        raise RuntimeError(
            f"grid_sample(): expected grid with {dims} in its last dimension, a coordinate for each spatial axis of input of "
            f"shape {text_of(shape)}, got {text_of(grid_shape)}{hint}")
    check_batches("grid_sample", "grid", grid, input)
    check_not_empty("grid_sample", input)


def check_not_empty(function: str, input: Tensor) -> None:
    _, _, *sizes = input.shape
    if 0 in sizes:
        raise RuntimeError(f"{function}(): expected input with non-empty spatial dimensions, got {text_of(input.shape)}")


def check_grid_sample(input: Tensor, grid: Tensor, any_mix: bool = False) -> None:
    """The tensors of a call; under autocast and for the operators grid's dtype may be any of 16 or 32 bits."""
    check_same_device("grid_sample", "grid", grid, "input", input)
    check_device("grid_sample", "input", input)
    check_dense("grid_sample", "input", input)
    check_dense("grid_sample", "grid", grid)
    check_sample_shapes(input, grid)
    check_dtype("grid_sample", "input", input.dtype)
    check_source_dtype("grid_sample", "grid", grid, input, any_mix)


def fill_as_channels(function: str, fill_value: Any, input: Tensor, source: Tensor) -> Tensor:
    """A fill_value as the operators take it: [N or 1, C], in the dtype that is computed in, without a copy."""
    dtype, channels = accumulate_dtype(input.dtype), input.shape[1]
    if not isinstance(fill_value, Tensor):
        if isinstance(fill_value, bool) or not isinstance(fill_value, (int, float)):
            raise TypeError(f"{function}(): expected fill_value to be a number or a Tensor, got {type(fill_value).__name__}")
        return torch.full((1, 1), fill_value, dtype=dtype, device=input.device).expand(1, channels)
    check_same_device(function, "fill_value", fill_value, "input", input)
    check_dense(function, "fill_value", fill_value)
    if not fill_value.is_floating_point():
        raise RuntimeError(f"{function}(): expected fill_value of a floating point dtype, got {fill_value.dtype}")
    shape, batch = fill_value.shape, joint_batch(input, source)
    fits = len(shape) == 0 or (shape[-1] == channels and (len(shape) == 1 or (len(shape) == 2 and shape[0] in (1, batch))))
    if not fits:
        raise RuntimeError(
            f"{function}(): expected fill_value of shape (), ({channels},) or ({batch}, {channels}) for input of shape "
            f"{text_of(input.shape)}, got {text_of(shape)}")
    wide = fill_value.to(dtype)  # before it is expanded: the gradient of a 16-bit one is a sum in float32, rounded once
    return wide if len(shape) == 2 else wide.expand(1, channels)


def check_sample_options(
    input: Tensor, grid: Tensor, mode: int, padding: Sequence[int], coordinates: int, fill_value: Tensor | None
) -> None:
    """The operators' own arguments."""
    dims = input.dim() - 2
    if len(padding) not in (1, dims):
        raise ValueError(f"stn_cuda::grid_sample: expected padding with 1 entry or {dims}, got {list(padding)}")
    for name, table, values in (("mode", _C.INTERPOLATION_MODES, [mode]), ("padding", _C.PADDING_MODES, padding),
                                ("coordinates", _C.COORDINATE_CONVENTIONS, [coordinates])):
        for value in values:
            if value not in table.values():
                raise ValueError(f"stn_cuda::grid_sample: expected {name} to be one of {table}, got {value}")
    if fill_value is not None:
        rows = 1 if fill_value.dim() == 2 and fill_value.shape[0] == 1 else joint_batch(input, grid)
        shape, dtype = (rows, input.shape[1]), accumulate_dtype(input.dtype)
        check_like("stn_cuda::grid_sample", "fill_value", fill_value, shape, dtype, input)
        if not any(_C.PADDING_TAKES_FILL[name] for name, value in _C.PADDING_MODES.items() if value in padding):
            raise ValueError("stn_cuda::grid_sample: expected no fill_value with a padding that has no outside")


def check_like(
    function: str, name: str, tensor: Tensor, shape: Sequence[Any], dtype: torch.dtype, like: Tensor
) -> None:
    """The shape and dtype that were expected, and the device of ``like``."""
    if tuple(tensor.shape) != tuple(shape):
        raise ValueError(f"{function}: expected {name} of shape {text_of(shape)}, got {text_of(tensor.shape)}")
    if tensor.dtype != dtype:
        raise ValueError(f"{function}: expected {name} of dtype {dtype}, got {tensor.dtype}")
    check_same_device(function, name, tensor, "input", like)


def check_valid_mask(grid: Tensor, size: Sequence[int]) -> None:
    """grid [N, *out, dims] and a size (*in)."""
    check_device("valid_mask", "grid", grid)
    check_dense("valid_mask", "grid", grid)
    check_dtype("valid_mask", "grid", grid.dtype)
    dims = len(size)
    if not 1 <= dims <= 3 or min(size) < 1:
        raise ValueError(
            f"valid_mask(): expected size (W,), (H, W) or (D, H, W) with positive entries only, got {text_of(size)}")
    if grid.dim() < 3 or grid.shape[-1] != dims:
        raise RuntimeError(
            f"valid_mask(): expected grid of shape (N, *out, {dims}) for size {text_of(size)}, got {text_of(grid.shape)}")


def text_of(shape: Sequence[int]) -> str:
    return "(" + ", ".join([f"{size}" for size in shape]) + ("," if len(shape) == 1 else "") + ")"  # Dynamo: no str of a tuple
