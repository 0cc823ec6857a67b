"""The public functions that sample through a transform, without a grid in memory. ``grids`` has the grids."""
from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.overrides import handle_torch_function, has_torch_function_variadic

from . import _antialias, _autograd, _checks, _fused_functions, _grid_checks, _reach
from ._extension import _C
from .functional import _MODES, _given, _ints, _is_autocast, _paddings, parts_of_fill

_AFFINE, _PROJECTIVE, _FLOW = (_C.TRANSFORM_KINDS[name] for name in ("affine", "projective", "flow"))
_PIXELS = {False: _C.COORDINATE_CONVENTIONS["pixels"], True: _C.COORDINATE_CONVENTIONS["centre_pixels"]}
_GRADIENTS = {"exact": False, "linearized": True}


def affine_sample(
    input: Tensor,
    theta: Tensor,
    size: Sequence[int] | None = None,
    mode: str = "bilinear",
    padding_mode: str | Sequence[str] = "zeros",
    align_corners: bool = False,
    fill_value: complex | Tensor | None = None,
    *,
    antialias: bool = False,
    gradient: str = "exact",
    reach: float = 2.0,
    samples: int = 8,
) -> Tensor:
    """Sample ``input`` through the affine map ``theta``: ``grid_sample(input, affine_grid(theta, ...))`` in one kernel.

    No grid is in memory, forward or backward (but on CUDA for the gradient of ``input`` under reflection or circular padding,
    which is sorted); the gradient of ``theta`` is summed where it arises, in a fixed order and at last
    in float64, and is the same bits in every run, as that of ``input`` is. The map is formed in pixels, so that the identity
    returns ``input`` itself, bit for bit, if sizes are equal and its pixels finite.

    Args:
        input: ``(N, C, H, W)`` or ``(N, C, D, H, W)``, otherwise as in :func:`grid_sample`.
        theta: ``(N, 2, 3)`` or ``(N, 3, 4)``, from normalised positions ``(x, y[, z])`` in the output to those in the input; of
            the dtype and device of ``input``, or float32 with a 16-bit one, which is to be preferred: 16 bits misplace pixels.
            One of ``input`` and ``theta`` may have N = 1 for all of the other's: neither is copied.
        size: the output's spatial size, (H, W) or (D, H, W); None: that of ``input``.
        mode, padding_mode, fill_value: as in :func:`grid_sample`.
        align_corners: whether -1 and 1 are the centres of the end pixels or, by default, their outer edges, in both images.
        antialias: whether a pixel of the output is the mean of what it covers in the input, where it covers more than a pixel,
            and not a sample of it. See ``docs/transforms.md``.
        gradient: how the gradient of ``theta`` is computed. ``"exact"``: the derivative. ``"linearized"``: from a plane through
            ``samples`` samples within ``reach`` of each location (Jiang et al., 2019), which is not 0 where the pixels next to
            a location are alike but those farther off aren't. The output and the gradient of ``input`` are the same. It is
            differentiable once, in plain and compiled calls; a second derivative, torch.func's transforms, forward mode and
            exported programs are refused.
        reach: in pixels of ``input``, or with ``antialias`` of the smaller copy that is sampled; for ``"linearized"``.
        samples: even, at least twice as many as the image has axes; for ``"linearized"``. Each costs a forward in the backward.

    Returns:
        ``(N, C, *size)`` in the dtype and memory format of ``input``, as :func:`grid_sample`.

    A second derivative, a torch.func transform and forward mode take the grid's kernels and grid_sample's one after the other.

    Raises:
        TypeError, ValueError, RuntimeError, NotImplementedError: as :func:`grid_sample`; a theta or a ``size`` whose shape
        doesn't fit ``input``.

    Source: Jaderberg et al., Spatial Transformer Networks, 2015, equations 1 and 3 to 7.

    Example::

        >>> image = torch.arange(6.0).reshape(1, 1, 2, 3)
        >>> theta = torch.tensor([[[-1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]])  # mirrored
        >>> stn_cuda.affine_sample(image, theta)
        tensor([[[[2., 1., 0.],
                  [5., 4., 3.]]]])
    """
    return _sample_theta(affine_sample, _AFFINE, input, theta, size, mode, padding_mode, align_corners, fill_value, antialias,
                         gradient, reach, samples)


def projective_sample(
    input: Tensor,
    theta: Tensor,
    size: Sequence[int] | None = None,
    mode: str = "bilinear",
    padding_mode: str | Sequence[str] = "zeros",
    align_corners: bool = False,
    fill_value: complex | Tensor | None = None,
    *,
    antialias: bool = False,
    gradient: str = "exact",
    reach: float = 2.0,
    samples: int = 8,
) -> Tensor:
    """Sample ``input`` through the homography ``theta``: ``grid_sample(input, projective_grid(theta, ...))`` in one kernel.

    ``(u, v, w) = theta @ (x, y, 1)`` reads at ``(u / w, v / w)``. theta and -theta are the same map, and any multiple to
    rounding. Where |w| < 1e-8 there is no coordinate: it is NaN, and so outside, or the first pixel under border padding.

    Args:
        theta: ``(N, 3, 3)`` or ``(N, 4, 4)``; otherwise as in :func:`affine_sample`, with all other arguments.

    Returns, raises: as :func:`affine_sample`.

    Source: Jaderberg et al., 2015, section 3.2 (a plane projective transformation).

    Example::

        >>> image = torch.arange(6.0).reshape(1, 1, 2, 3)
        >>> torch.equal(stn_cuda.projective_sample(image, torch.eye(3)[None]), image)
        True
    """
    return _sample_theta(projective_sample, _PROJECTIVE, input, theta, size, mode, padding_mode, align_corners, fill_value,
                         antialias, gradient, reach, samples)


def flow_sample(
    input: Tensor,
    flow: Tensor,
    mode: str = "bilinear",
    padding_mode: str | Sequence[str] = "zeros",
    align_corners: bool = False,
    fill_value: complex | Tensor | None = None,
) -> Tensor:
    """Sample ``input`` where ``flow`` points to from each output pixel: a backward warp by optical flow, in one kernel.

    ``output[n, c, i, j]`` is ``input[n, c]`` interpolated at pixel ``(j + flow[n, 0, i, j], i + flow[n, 1, i, j])``.

    Args:
        input: ``(N, C, H, W)`` or ``(N, C, D, H, W)``, as in :func:`grid_sample`, of any size: nothing is rescaled.
        flow: ``(N, 2, H, W)`` or ``(N, 3, D, H, W)`` in pixels, channels in the order x, y[, z], of the output's size. Dtypes
            and batches as theta's in :func:`affine_sample`.
        mode, padding_mode, fill_value: as in :func:`grid_sample`.
        align_corners: only says whether reflection is about the centres of the end pixels or about their edges.

    Returns:
        ``(N, C, H, W)`` or ``(N, C, D, H, W)``, the flow's sizes, in the dtype and memory format of ``input``.

    The gradient of ``flow`` is the same bits in every run; on CUDA that of ``input`` under
    ``torch.use_deterministic_algorithms(True)``.

    Raises: as :func:`affine_sample`.

    Example::

        >>> image = torch.arange(6.0).reshape(1, 1, 2, 3)
        >>> flow = torch.zeros(1, 2, 2, 3)
        >>> flow[:, 0] = 1  # reads a pixel further right
        >>> stn_cuda.flow_sample(image, flow)
        tensor([[[[1., 2., 0.],
                  [4., 5., 0.]]]])
    """
    tensors = (input, flow) if fill_value is None else (input, flow, fill_value)
    if has_torch_function_variadic(*tensors):
        return handle_torch_function(
            flow_sample, tensors, input, flow, mode=mode, padding_mode=padding_mode, align_corners=align_corners,
            **_given(fill_value=fill_value))
    _checks.check_tensor("flow_sample", "input", input)
    _checks.check_tensor("flow_sample", "flow", flow)
    if input.is_complex():
        return _of_parts(
            lambda part, fill: flow_sample(part, flow, mode, padding_mode, align_corners, fill), input, fill_value)
    _grid_checks.check_image("flow_sample", input)
    if not torch.jit.is_tracing():  # a trace would take every size for a constant; the operators check again
        _grid_checks.check_flow("flow_sample", flow, input.dim() - 2)
    size = list(flow.shape[2:])
    return _sample("flow_sample", "flow", _FLOW, input, flow, size, mode, padding_mode, align_corners, fill_value)


def _sample_theta(
    function: Any, transform: int, input: Tensor, theta: Tensor, size: Sequence[int] | None, mode: str,
    padding_mode: str | Sequence[str], align_corners: bool, fill_value: complex | Tensor | None, antialias: bool, gradient: str,
    reach: float, samples: int,
) -> Tensor:
    options = {"antialias": antialias, "gradient": gradient, "reach": reach, "samples": samples}
    tensors = (input, theta) if fill_value is None else (input, theta, fill_value)
    if has_torch_function_variadic(*tensors):
        return handle_torch_function(
            function, tensors, input, theta, size=size, mode=mode, padding_mode=padding_mode, align_corners=align_corners,
            **_given(fill_value=fill_value), **options)
    name = function.__name__
    _checks.check_tensor(name, "input", input)
    _checks.check_tensor(name, "theta", theta)
    _checks.check_bool(name, "antialias", antialias)
    _grid_checks.check_image(name, input)
    is_linearized = _checks.lookup(name, "gradient", _GRADIENTS, gradient)
    size = list(input.shape[2:]) if size is None else _ints(name, size)
    if input.is_complex():
        return _of_parts(
            lambda part, fill: function(part, theta, size, mode, padding_mode, align_corners, fill, **options),
            input, fill_value)
    if not torch.jit.is_tracing():
        _grid_checks.check_theta(name, theta, size, transform == _PROJECTIVE)
    offsets = _reach.offsets(name, len(size), reach, samples) if is_linearized else None
    sample = partial(_sample, name, "theta", transform)
    arguments = input, theta, size, mode, padding_mode, align_corners, fill_value, offsets
    return _antialias.sample(sample, transform == _PROJECTIVE, *arguments) if antialias else sample(*arguments)


def _sample(
    function: str, name: str, transform: int, input: Tensor, parameters: Tensor, size: list[int], mode: str,
    padding_mode: str | Sequence[str], align_corners: bool, fill_value: complex | Tensor | None,
    offsets: _reach.Offsets | None = None,
) -> Tensor:
    """The call whose parameters fit ``size``. With ``offsets`` the gradient of parameters is the linearised one."""
    mode_value = _checks.lookup(function, "mode", _MODES, mode)
    _checks.check_bool(function, "align_corners", align_corners)
    autocast = _is_autocast(input)
    if not torch.jit.is_tracing():
        _grid_checks.check_transform_sample(function, name, input, parameters, size, any_mix=autocast)
    padding = _paddings(padding_mode, len(size), fill_value is not None, function)
    fill = None if fill_value is None else _checks.fill_as_channels(function, fill_value, input, parameters)
    float_output = autocast and _autograd.autocast_is_wide(input, parameters)
    options = transform, size, mode_value, padding, _PIXELS[align_corners], float_output
    if offsets is not None:
        return _reach.sample(input, parameters, fill, options, offsets)
    return _fused_functions.transform_sample(input, parameters, fill, options)


def _of_parts(sample: Callable[..., Tensor], input: Tensor, fill_value: complex | Tensor | None) -> Tensor:
    """A complex image: ``sample(part, its fill_value)`` of its real and its imaginary part, recombined."""
    return torch.complex(*map(sample, (input.real, input.imag), parts_of_fill(fill_value)))
