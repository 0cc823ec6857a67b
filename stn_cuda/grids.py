"""The public functions that make the grids of transforms; ``functional`` has affine_grid, torch's."""
from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.overrides import handle_torch_function, has_torch_function_unary

from . import _autograd, _checks, _grid_checks
from ._extension import _C
from .functional import _ints, _is_autocast

_PROJECTIVE, _FLOW = _C.TRANSFORM_KINDS["projective"], _C.TRANSFORM_KINDS["flow"]


def projective_grid(theta: Tensor, size: Sequence[int], align_corners: bool = False) -> Tensor:
    """Make the sampling grid of a homography, for :func:`grid_sample`.

    ``(u, v, w) = theta[n] @ (x, y, 1)`` and ``grid[n, i, j] = (u / w, v / w)``, where (x, y) is the normalised position of
    output pixel (i, j). Where |w| < 1e-8 it is NaN.

    Args:
        theta: ``(N, 3, 3)`` or ``(N, 4, 4)``, float16, bfloat16, float32 or float64.
        size: the output's spatial size, (H, W) or (D, H, W).
        align_corners: whether -1 and 1 are the centres of the end pixels or their outer edges; the same as in ``grid_sample``.

    Returns:
        ``(N, H, W, 2)`` or ``(N, D, H, W, 3)``, contiguous, in the dtype of ``theta``; under autocast float32 for 16 bits.

    Raises:
        TypeError: ``theta`` is no tensor, ``size`` no sequence of ints, ``align_corners`` no bool.
        ValueError: a theta that isn't floating point or whose shape doesn't fit ``size``; a size that isn't positive.
        NotImplementedError: a float dtype of another width; a CUDA tensor with a CPU-only build.

    Source: Jaderberg et al., 2015, section 3.2.

    Example::

        >>> stn_cuda.projective_grid(torch.eye(3)[None], (1, 2))
        tensor([[[[-0.5000,  0.0000],
                  [ 0.5000,  0.0000]]]])
    """
    if has_torch_function_unary(theta):
        return handle_torch_function(projective_grid, (theta,), theta, size, align_corners=align_corners)
    _checks.check_bool("projective_grid", "align_corners", align_corners)
    _checks.check_tensor("projective_grid", "theta", theta)
    size = _ints("projective_grid", size)
    if not torch.jit.is_tracing():
        _grid_checks.check_theta("projective_grid", theta, size, projective=True)
    return _autograd.transform_grid(_wide_under_autocast(theta), (_PROJECTIVE, size, size, False, align_corners))


def flow_grid(flow: Tensor, input_size: Sequence[int], align_corners: bool = False) -> Tensor:
    """Make the sampling grid of a flow in pixels, for :func:`grid_sample`.

    Args:
        flow: ``(N, 2, H, W)`` or ``(N, 3, D, H, W)``, as in :func:`flow_sample`, float16, bfloat16, float32 or float64.
        input_size: the spatial size of the image that will be sampled.
        align_corners: what the grid's -1 and 1 are to mean; the same as in ``grid_sample``. An axis of size 1 has no extent
            between centres: its coordinate is 0 then.

    Returns:
        ``(N, H, W, 2)`` or ``(N, D, H, W, 3)``, contiguous, in the dtype of ``flow``; under autocast float32 for 16 bits.

    Raises: as :func:`projective_grid`, an ``input_size`` that doesn't fit the flow.

    Example::

        >>> stn_cuda.flow_grid(torch.zeros(1, 2, 1, 2), (1, 2))
        tensor([[[[-0.5000,  0.0000],
                  [ 0.5000,  0.0000]]]])
    """
    if has_torch_function_unary(flow):
        return handle_torch_function(flow_grid, (flow,), flow, input_size, align_corners=align_corners)
    _checks.check_bool("flow_grid", "align_corners", align_corners)
    _checks.check_tensor("flow_grid", "flow", flow)
    in_size = _ints("flow_grid", input_size)
    if not torch.jit.is_tracing():
        _grid_checks.check_flow("flow_grid", flow)
        _grid_checks.check_input_size("flow_grid", in_size, flow)
    return _autograd.transform_grid(
        _wide_under_autocast(flow), (_FLOW, list(flow.shape[2:]), in_size, False, align_corners))


def _wide_under_autocast(parameters: Tensor) -> Tensor:
    """16 bits are too few for coordinates."""
    return parameters.to(_checks.accumulate_dtype(parameters.dtype)) if _is_autocast(parameters) else parameters
