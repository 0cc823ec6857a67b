"""The last layer of a localisation network: from features to theta, and what holds for theta itself."""
from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import Function

from . import _checks
from ._transform_names import as_transform
from .transforms import Transform


class ThetaHead(nn.Module):
    """A linear layer from features to theta that starts at the transform's identity, whatever the features.

    Its weights start at zero, its bias at the identity, also after ``reset_parameters()``. An initialisation of all layers of a
    model (``model.apply(...)``) takes that away: :func:`init_identity_` brings it back. It computes in float32 if the features
    or weights have 16 bits, under autocast too: 16 bits are too few for coordinates.

    Args:
        transform: of ``stn_cuda.transforms``, or the name of one that needs no argument: ``"Affine"``.
        in_features: None: that of the first call.
        bound: the largest distance from the identity, a number or one for each parameter: then
            theta = identity + bound * tanh(linear(features)). None: theta = linear(features), as in the paper.
        gradient_scale: a factor of the gradient of theta, for all that is below.
        gradient_clip: the largest Euclidean norm of an image's gradient of theta, after scaling; None: any. A loss that is a
            mean over the batch has a gradient that much smaller, and so has to have the limit.

    Shapes: features ``(B, ...)``, flattened to ``(B, in_features)``; theta ``(B, num_params)``.

    Raises:
        ValueError: a bound or a clip that isn't positive and finite or doesn't fit ``num_params``, a scale that isn't finite
        or is negative.

    Example::

        >>> head = ThetaHead(stn_cuda.transforms.Affine(), in_features=8)
        >>> head(torch.randn(1, 8))
        tensor([[1., 0., 0., 0., 1., 0.]], grad_fn=<...>)
    """

    bound: Tensor | None
    start: Tensor | None

    def __init__(
        self,
        transform: Transform | str,
        in_features: int | None = None,
        *,
        bound: float | Sequence[float] | None = None,
        gradient_scale: float = 1.0,
        gradient_clip: float | None = None,
    ) -> None:
        super().__init__()
        self.transform = transform = as_transform("ThetaHead", transform)
        self.gradient_scale = _as_limit("gradient_scale", gradient_scale, zero=True)
        self.gradient_clip = math.inf if gradient_clip is None else _as_limit("gradient_clip", gradient_clip)
        self._bounds = None if bound is None else _bounds(bound, transform.num_params)
        for name in ("bound", "start"):  # not persistent: arguments of the constructor, and no states
            values = None if bound is None else torch.empty(transform.num_params, dtype=torch.float32)
            self.register_buffer(name, values, persistent=False)
        first_bias = self._identity() if bound is None else torch.zeros_like(self._identity())
        self.layer: LastLayer | LazyLastLayer = (
            LazyLastLayer(first_bias) if in_features is None else LastLayer(in_features, first_bias))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Back to the identity, as after ``to_empty()``."""
        if self.bound is not None and self.start is not None and self._bounds is not None:
            self.bound.copy_(torch.tensor(self._bounds, device="cpu"))
            self.start.copy_(self._identity())
        self.layer.reset_parameters()

    def _identity(self) -> Tensor:
        return self.transform.identity(1, dtype=torch.float32, device="cpu")[0]

    def forward(self, features: Tensor) -> Tensor:
        features, layer = features.flatten(1), self.layer
        if isinstance(layer, LazyLastLayer):
            layer(features)  # makes the weights, and a Linear of it
        dtype = _checks.accumulate_dtype(layer.weight.dtype)
        with torch.autocast(features.device.type, enabled=False):
            theta = nn.functional.linear(features.to(dtype), layer.weight.to(dtype), layer.bias.to(dtype))
            if self.bound is not None and self.start is not None:
                theta = self.start.to(dtype) + self.bound.to(dtype) * theta.tanh()
        if self.gradient_scale == 1 and self.gradient_clip == math.inf:
            return theta
        return _LimitGradient.apply(theta, self.gradient_scale, self.gradient_clip)

    def extra_repr(self) -> str:
        limits = [f"{self.transform!r}"]
        if self.bound is not None:
            limits.append(f"bound={self.bound.tolist()}")
        if self.gradient_scale != 1:
            limits.append(f"gradient_scale={self.gradient_scale:g}")
        if self.gradient_clip != math.inf:
            limits.append(f"gradient_clip={self.gradient_clip:g}")
        return ", ".join(limits)


def init_identity_(
    module: nn.Module, transform: Transform | str, perturbation: float = 0.0, generator: torch.Generator | None = None
) -> nn.Module:
    """Let any localisation network start at the identity: zero weights of its last layer, and the identity as its bias.

    Args:
        module: the last layers are all of its :class:`ThetaHead` or, if it has none, its last ``nn.Linear``, in the order in
            which the module was given them.
        transform: of ``stn_cuda.transforms``, or a name.
        perturbation: the standard deviation of normal noise in the bias, and, over the square root of its inputs, in the
            weights. At exactly 0 no gradient reaches the layers below in the first step, several transformers on one image
            start at the same place, and most samples lie on pixel centres, where the derivative is one-sided.
        generator: of the noise, on the CPU: the same numbers on every device.

    Returns: ``module``.

    Raises:
        ValueError: no such layer, one without bias, of another width than ``num_params``, or whose width waits for its first
        call; a negative perturbation.

    Example::

        >>> net = nn.Sequential(nn.Flatten(), nn.Linear(16, 6))
        >>> init_identity_(net, stn_cuda.transforms.Affine())(torch.randn(1, 1, 4, 4))
        tensor([[1., 0., 0., 0., 1., 0.]], grad_fn=<...>)
    """
    if not 0 <= perturbation < float("inf"):
        raise ValueError(f"init_identity_(): expected perturbation to be a finite number of at least 0, got {perturbation!r}")
    transform = as_transform("init_identity_()", transform)
    identity = transform.identity(1, dtype=torch.float32, device="cpu")[0]
    heads = [part for part in module.modules() if isinstance(part, ThetaHead)]
    layers: list[tuple[nn.Linear, Tensor]] = [(head.layer, head.layer.first_bias) for head in heads]
    if not heads:
        layers = [(part, identity) for part in module.modules() if isinstance(part, nn.Linear)][-1:]
    if not layers:
        raise ValueError(f"init_identity_(): expected module to have an nn.Linear, got {type(module).__name__} without one")
    for layer, _ in layers:
        _check_last_layer(layer, transform)
    for layer, bias in layers:
        start_last_layer_(layer, bias, perturbation, generator)
    return module


def _check_last_layer(layer: nn.Linear, transform: Transform) -> None:
    if nn.parameter.is_lazy(layer.weight):
        raise ValueError("init_identity_(): expected module to know its sizes; call it once first, its last layer is lazy")
    if layer.out_features != transform.num_params or layer.bias is None:
        bias = "a bias" if layer.bias is not None else "no bias"
        raise ValueError(
            f"init_identity_(): expected the last nn.Linear of module to have {transform.num_params} outputs for "
            f"{transform.name} and a bias, got {layer.out_features} and {bias}")


def start_last_layer_(layer: nn.Linear, bias: Tensor, perturbation: float, generator: torch.Generator | None) -> None:
    """Zero weights and this bias, or normal noise around both by which theta deviates in the order of ``perturbation``."""
    with torch.no_grad():
        layer.weight.zero_()
        layer.bias.copy_(bias)
        if perturbation:  # drawn on the CPU: the same numbers for every device and dtype
            for tensor, std in ((layer.weight, perturbation / math.sqrt(layer.in_features)), (layer.bias, perturbation)):
                noise = torch.empty(tensor.shape, device="cpu").normal_(0, std, generator=generator)
                tensor.add_(noise.to(tensor))


class LastLayer(nn.Linear):
    """Starts, and starts anew, with zero weights and a given bias."""

    def __init__(self, in_features: int, first_bias: Tensor) -> None:
        super().__init__(in_features, first_bias.shape[0])
        self.first_bias = first_bias  # on the CPU; neither a parameter nor a buffer
        self.reset_parameters()

    def reset_parameters(self) -> None:
        if hasattr(self, "first_bias"):  # which it isn't in the constructor of nn.Linear
            start_last_layer_(self, self.first_bias, 0.0, None)


class LazyLastLayer(nn.LazyLinear):
    """A :class:`LastLayer` that takes its width from the first call."""

    cls_to_become = LastLayer  # type: ignore[assignment]

    def __init__(self, first_bias: Tensor) -> None:
        super().__init__(first_bias.shape[0])
        self.first_bias = first_bias

    def reset_parameters(self) -> None:
        if hasattr(self, "first_bias") and not self.has_uninitialized_params():
            start_last_layer_(self, self.first_bias, 0.0, None)


class _LimitGradient(Function):
    """The identity, whose gradient (B, P) is scaled and then clipped, a row by its norm."""

    generate_vmap_rule = True

    @staticmethod
    def forward(theta: Tensor, scale: float, clip: float) -> Tensor:
        return theta.view_as(theta)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.limits = inputs[1:]

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        scale, clip = ctx.limits
        grad = grad * scale
        if clip != math.inf:
            norm = torch.linalg.vector_norm(grad, dim=-1, keepdim=True)
            grad = grad * (clip / norm.clamp(min=clip))
        return grad, None, None


def _bounds(bound: float | Sequence[float], count: int) -> list[float]:
    bounds = [bound] * count if isinstance(bound, (int, float)) else list(bound)
    if len(bounds) != count:
        raise ValueError(f"ThetaHead: expected bound to be a number or {count} of them, got {len(bounds)}")
    return [_as_limit("bound", value) for value in bounds]


def _as_limit(name: str, value: Any, zero: bool = False) -> float:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not is_number or not 0 <= value < math.inf or (value == 0 and not zero):
        expected = "a finite number of at least 0" if zero else "positive and finite"
        raise ValueError(f"ThetaHead: expected {name} to be {expected}, got {value!r}")
    return float(value)
