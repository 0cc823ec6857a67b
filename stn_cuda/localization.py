"""Localisation networks: from an image to theta, the parameters of a transform of ``stn_cuda.transforms``.

Every network here starts at the identity: zero weights and the identity's bias in its last layer. Import this module by its
name, ``import stn_cuda.localization``; ``import stn_cuda`` doesn't.
"""
from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ._autograd import in_transform
from ._average_pool import AveragePool, sizes_of
from ._theta_head import ThetaHead, init_identity_
from ._transform_names import as_transform
from .transforms import Transform

__all__ = [
    "AveragePool", "ConvolutionalLocalization", "FullyConnectedLocalization", "Localization", "ThetaHead", "init_identity_",
    "param_groups",
]


class Localization(nn.Module):
    """Any backbone, average pooling to a fixed size, and a :class:`ThetaHead`.

    Args:
        backbone: takes the image to features, ``(B, F)`` or ``(B, C, *spatial)``.
        transform: of ``stn_cuda.transforms``, or a name.
        in_features: of the head, after pooling: F, or C times the pooled size's entries. None: taken from the first call.
        pooled_size: the spatial size that features are averaged to, an int for all axes. 1 is global average pooling; a
            larger one keeps positions, which translations need. None: no pooling, for features ``(B, F)`` or images of one
            size.
        bound, gradient_scale, gradient_clip: as in :class:`ThetaHead`.

    Returns: theta ``(B, num_params)``.

    Raises: ValueError as :class:`ThetaHead`, and for a ``pooled_size`` that isn't positive.

    Example::

        >>> backbone = nn.Sequential(nn.Conv2d(1, 8, 5), nn.ReLU())
        >>> net = Localization(backbone, stn_cuda.transforms.Translation(), in_features=8 * 16, pooled_size=4)
        >>> net(torch.randn(2, 1, 30, 40)).shape
        torch.Size([2, 2])
    """

    def __init__(
        self,
        backbone: nn.Module,
        transform: Transform | str,
        in_features: int | None = None,
        pooled_size: int | Sequence[int] | None = None,
        **head: Any,
    ) -> None:
        super().__init__()
        transform = as_transform(type(self).__name__, transform)
        self.backbone = backbone
        self.pool: nn.Module = _pool(type(self).__name__, pooled_size, transform.dims)
        self.head = ThetaHead(transform, in_features, **head)

    def forward(self, input: Tensor) -> Tensor:
        return self.head(self.pool(self.backbone(input)))


class FullyConnectedLocalization(Localization):
    """The paper's fully connected network: hidden layers of 32, 32 and 32 units with ReLU.

    Args:
        transform: of ``stn_cuda.transforms``, or a name.
        hidden: the hidden layers' widths.
        in_features: C times the image's pixels. None: taken from the first call, and images have that size from then on.
        pooled_size: the spatial size that images are averaged to first, so that they may have any.
        bound, gradient_scale, gradient_clip: as in :class:`ThetaHead`.

    Shapes: image ``(B, C, *spatial)``, theta ``(B, num_params)``.

    Raises: ValueError: no hidden layer, or widths that aren't positive; as :class:`Localization`.

    Source: Jaderberg et al., Spatial Transformer Networks, 2015.

    Example::

        >>> net = FullyConnectedLocalization(stn_cuda.transforms.Affine())
        >>> net(torch.randn(2, 1, 42, 42)).shape
        torch.Size([2, 6])
    """

    def __init__(
        self,
        transform: Transform | str,
        hidden: Sequence[int] = (32, 32, 32),
        in_features: int | None = None,
        pooled_size: int | Sequence[int] | None = None,
        **head: Any,
    ) -> None:
        name = type(self).__name__
        transform = as_transform(name, transform)
        _check_widths(name, "hidden", hidden)
        layers = [_pool(name, pooled_size, transform.dims), nn.Flatten()]
        for width, next_width in zip((in_features, *hidden), hidden):
            layers += [nn.LazyLinear(next_width) if width is None else nn.Linear(width, next_width), nn.ReLU()]
        super().__init__(nn.Sequential(*layers), transform, hidden[-1], **head)


class ConvolutionalLocalization(Localization):
    """The paper's convolutional network: a smaller image, conv5x5(20), max pooling by 2, conv5x5(20), 20 units; ReLU.

    The image is averaged to ``working_size`` first, so that it may have any size and the network costs the same for all. The
    paper's network halves one of 42 x 42: 21 x 21, the default. 3-D for a transform of volumes.

    Args:
        transform: of ``stn_cuda.transforms``, or a name.
        in_channels: None: taken from the first call.
        channels: of both convolutions.
        kernel_size: of both convolutions.
        hidden: the width of the layer behind them.
        working_size: the spatial size that the convolutions see, an int for all axes.
        bound, gradient_scale, gradient_clip: as in :class:`ThetaHead`.

    Shapes: image ``(B, C, *spatial)``, theta ``(B, num_params)``.

    Raises:
        ValueError: widths that aren't positive, a ``working_size`` too small for the convolutions; as :class:`Localization`.

    Source: Jaderberg et al., Spatial Transformer Networks, 2015.

    Example::

        >>> net = ConvolutionalLocalization(stn_cuda.transforms.Affine(), in_channels=1)
        >>> net(torch.randn(2, 1, 60, 50)).shape
        torch.Size([2, 6])
    """

    def __init__(
        self,
        transform: Transform | str,
        in_channels: int | None = None,
        channels: tuple[int, int] = (20, 20),
        kernel_size: int = 5,
        hidden: int = 20,
        working_size: int | Sequence[int] = 21,
        **head: Any,
    ) -> None:
        name = type(self).__name__
        transform = as_transform(name, transform)
        _check_widths(name, "channels", channels, 2)
        _check_widths(name, "kernel_size, hidden", (kernel_size, hidden))
        sizes = sizes_of(name, "working_size", working_size, transform.dims)
        smallest = 3 * kernel_size - 1  # of which one pixel is left
        if min(sizes) < smallest:
            raise ValueError(f"{name}: expected working_size of at least {smallest} for kernel_size {kernel_size}, got {sizes}")
        features = channels[1] * math.prod((size - kernel_size + 1) // 2 - kernel_size + 1 for size in sizes)
        is_plane = transform.dims == 2
        convolution: Any = nn.Conv2d if is_plane else nn.Conv3d
        lazy: Any = nn.LazyConv2d if is_plane else nn.LazyConv3d
        first = lazy(channels[0], kernel_size) if in_channels is None else convolution(in_channels, channels[0], kernel_size)
        backbone = nn.Sequential(
            AveragePool(sizes), first, nn.MaxPool2d(2) if is_plane else nn.MaxPool3d(2), nn.ReLU(),
            convolution(channels[0], channels[1], kernel_size), nn.ReLU(), nn.Flatten(), nn.Linear(features, hidden), nn.ReLU())
        super().__init__(backbone, transform, hidden, **head)


class Localized(nn.Module):
    """The base of modules with localisation networks inside: what :func:`param_groups` looks for, and the last theta."""

    last_theta: Tensor | None

    def __init__(self) -> None:
        super().__init__()
        self.last_theta = None  # detached, to look at; neither a parameter nor a buffer, so never a state

    def localization_networks(self) -> Iterable[nn.Module]:
        """Those whose learning rate is the localisation's."""
        return ()

    def _keep(self, theta: Tensor) -> None:
        if self._may_keep():
            self.last_theta = theta.detach()

    @staticmethod
    def _may_keep() -> bool:
        # A tensor of torch.func must not outlive its transform, and an export or a trace has no attributes to set
        return not in_transform() and not torch.compiler._is_exporting_flag and not torch.jit.is_tracing()


def param_groups(model: nn.Module, lr: float, localization_lr_scale: float = 1.0) -> list[dict[str, Any]]:
    """Two groups for an optimizer: the parameters of ``model``'s localisation networks, and all others.

    Measured on distorted MNIST (RTS, 6 epochs, ``benchmarks/results/distorted_mnist``; not figures of the paper): with Adam at
    1e-3 the scale is best at 1, with 4.0 % of error, and 14.3 % at 0.1. With momentum SGD at 0.1 it has to be 0.1: 3.7 %, and
    8.4 % at 1. A schedule that multiplies both keeps the ratio.

    Args:
        model: with a :class:`Localization` or a module of ``stn_cuda.modules`` in it.
        lr: of everything else.
        localization_lr_scale: times ``lr`` is that of localisation networks.

    Returns:
        ``[{"params", "lr", "name": "model"}, {"params", "lr", "name": "localization"}]``. Every parameter that requires a
        gradient is in one, once.

    Raises: ValueError: a model without localisation network, an ``lr`` or a scale that is negative or not finite.

    Example::

        >>> optimizer = torch.optim.SGD(param_groups(model, lr=0.1, localization_lr_scale=0.1), momentum=0.9)
    """
    for name, value in (("lr", lr), ("localization_lr_scale", localization_lr_scale)):
        if not 0 <= value < float("inf"):
            raise ValueError(f"param_groups(): expected {name} to be a finite number of at least 0, got {value!r}")
    networks: list[nn.Module] = []
    for part in model.modules():
        if isinstance(part, Localized):
            networks.extend(part.localization_networks())
        elif isinstance(part, Localization):
            networks.append(part)
    if not networks:
        raise ValueError("param_groups(): expected model to have a localisation network (a Localization, or a module of "
                         f"stn_cuda.modules), got {type(model).__name__} without one")
    inside = {id(parameter) for network in networks for parameter in network.parameters()}
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    others = [parameter for parameter in trained if id(parameter) not in inside]
    localization = [parameter for parameter in trained if id(parameter) in inside]
    return [
        {"params": others, "lr": lr, "name": "model"},
        {"params": localization, "lr": lr * localization_lr_scale, "name": "localization"},
    ]


def _pool(function: str, size: int | Sequence[int] | None, dims: int) -> nn.Module:
    return nn.Identity() if size is None else AveragePool(sizes_of(function, "pooled_size", size, dims))


def _check_widths(function: str, name: str, widths: Sequence[int], count: int | None = None) -> None:
    if not widths or (count or len(widths)) != len(widths) or any(not isinstance(width, int) or width < 1 for width in widths):
        raise ValueError(f"{function}: expected {name} to be {count or 'one or more'} positive ints, got {widths!r}")
