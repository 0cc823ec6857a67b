"""Spatial transformers as modules: a localisation network, a transform and the sampler between them.

theta always maps positions in the output to positions in the input, normalised ``(x, y[, z])``; ``stn_cuda.transforms`` says
what its numbers are. Import this module by its name, ``import stn_cuda.modules``; ``import stn_cuda`` doesn't. The guide is
``docs/modules.md``.
"""
from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from . import _checks
from ._point_transformer import PointLocalization, PointTransformer, orthogonality_penalty
from ._sampling_module import SamplingModule, SamplingOptions
from .transforms import Transform

if TYPE_CHECKING:
    from typing_extensions import Unpack

__all__ = [
    "InverseWarp", "ParallelSpatialTransformer", "PointLocalization", "PointTransformer", "RecurrentSpatialTransformer",
    "SpatialTransformer", "orthogonality_penalty",
]


class SpatialTransformer(SamplingModule):
    """The module of the paper: predicts theta from an image, or a feature map, and samples it there.

    Args:
        localization: takes the input to theta, ``(B, num_params)``: one of ``stn_cuda.localization``, or any module, for which
            :func:`stn_cuda.localization.init_identity_` sees to the start.
        transform: of ``stn_cuda.transforms``, or the name of one that needs no argument: ``"Affine"``.
        output_size: spatial, an int for all axes; None: that of what is sampled.
        mode, padding_mode, align_corners: as in :func:`stn_cuda.grid_sample`.
        fill_value: as in :func:`stn_cuda.grid_sample`: what lies outside of images whose background isn't 0, as that of
            normalised ones. A tensor follows ``.to()``; an ``nn.Parameter`` is learnt.
        antialias, gradient, reach, samples: as in :func:`stn_cuda.affine_sample`, for transforms with a matrix.

    Shapes: input ``(B, C, *spatial)``, output ``(B, C, *output_size)`` in the dtype of the input.

    With a localisation network that starts at the identity and equal sizes, the output is the input, bit for bit, for
    transforms with a matrix, and to rounding for thin plate splines.

    Attributes: ``last_theta``: that of the last call, detached, to look at; None before. It is no state.

    Raises:
        TypeError, ValueError, NotImplementedError: at construction, for an unknown name, a size that isn't positive, options
        that the sampler or the transform refuses. In a call: theta of another shape; as ``transform.sample``.

    Source: Jaderberg et al., Spatial Transformer Networks, 2015.

    Example::

        >>> affine = stn_cuda.transforms.Affine()
        >>> st = SpatialTransformer(ConvolutionalLocalization(affine, in_channels=1), affine, output_size=28)
        >>> st(torch.randn(8, 1, 42, 42)).shape
        torch.Size([8, 1, 28, 28])
    """

    def __init__(
        self,
        localization: nn.Module,
        transform: Transform | str,
        output_size: int | Sequence[int] | None = None,
        **options: Unpack[SamplingOptions],
    ) -> None:
        super().__init__(transform, output_size, **options)
        self.localization = localization

    def theta(self, input: Tensor) -> Tensor:
        """theta ``(B, num_params)`` that the localisation network predicts, with its gradient."""
        return self._localized(self.localization, input)

    def forward(self, input: Tensor, source: Tensor | None = None) -> Tensor:
        """Sample ``source``, if it isn't ``input`` itself: say the full image, where ``input`` is a smaller one of it."""
        theta, sampled = self.theta(input), input if source is None else source
        self._keep(theta, sampled)
        return self.warp(sampled, theta)

    def localization_networks(self) -> Iterable[nn.Module]:
        return (self.localization,)


class ParallelSpatialTransformer(SamplingModule):
    """Several transformers on one input, as the paper's for birds (2 or 4 parts) and for adding two digits.

    Args:
        localizations: a network for each theta.
        transform, output_size, options: as in :class:`SpatialTransformer`, the same for all.
        merge: ``"stack"``: outputs ``(B, K, C, *output_size)``; ``"channels"``: ``(B, K * C, *output_size)``, for a
            convolution next.
        backbone: what all networks share: they get ``backbone(input)`` then. None: they get the input.

    Heads that start alike differ only by what the layers below feed them: ``init_identity_(..., perturbation=...)`` lets them
    start at different places.

    Attributes: ``last_theta``, ``(B, K, num_params)``.

    Raises: as :class:`SpatialTransformer`; ValueError for no localizations and an unknown ``merge``.

    Source: Jaderberg et al., 2015, sections 4.3 and A.2.

    Example::

        >>> heads = [FullyConnectedLocalization(Affine(), in_features=42 * 42) for _ in range(2)]
        >>> ParallelSpatialTransformer(heads, "Affine", output_size=28, merge="channels")(torch.randn(8, 1, 42, 42)).shape
        torch.Size([8, 2, 28, 28])
    """

    def __init__(
        self,
        localizations: Sequence[nn.Module] | nn.ModuleList,
        transform: Transform | str,
        output_size: int | Sequence[int] | None = None,
        *,
        merge: str = "stack",
        backbone: nn.Module | None = None,
        **options: Unpack[SamplingOptions],
    ) -> None:
        super().__init__(transform, output_size, **options)
        name = type(self).__name__
        if not localizations:
            raise ValueError(f"{name}: expected localizations to be one or more modules, got none")
        self.merge = merge
        self.is_stacked = _checks.lookup(name, "merge", {"stack": True, "channels": False}, merge)
        self.backbone = backbone
        self.localizations = nn.ModuleList(localizations)

    def theta(self, input: Tensor) -> Tensor:
        """``(B, K, num_params)``, with its gradient."""
        features = input if self.backbone is None else self.backbone(input)
        return torch.stack([self._localized(network, features) for network in self.localizations], 1)

    def forward(self, input: Tensor, source: Tensor | None = None) -> Tensor:
        """``source`` as in :class:`SpatialTransformer`."""
        theta, sampled = self.theta(input), input if source is None else source
        self._keep(theta, sampled)
        outputs = [self.warp(sampled, one) for one in theta.unbind(1)]
        return torch.stack(outputs, 1) if self.is_stacked else torch.cat(outputs, 1)

    def localization_networks(self) -> Iterable[nn.Module]:
        return self.localizations if self.backbone is None else (self.backbone, *self.localizations)

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, merge={self.merge!r}"


class RecurrentSpatialTransformer(SamplingModule):
    """Aligns in several steps, each of which looks at the image as the last one left it (inverse compositional).

    Step k samples the *original* through theta_k, predicts from that how to go on, and composes the parameters:
    theta_(k+1) = p -> theta_k(delta(p)). So an image is interpolated once, whatever the number of steps, and what one step
    moved out of the window the next can move back.

    Args:
        localization: one network for all steps, or a sequence of one a step. It gets ``(B, C, *output_size)``.
        transform: one that can be composed.
        output_size, options: as in :class:`SpatialTransformer`.
        steps: how often; for a sequence of networks None or its length.

    Attributes: ``last_theta``, ``(B, num_params)``, of the last step.

    Raises: as :class:`SpatialTransformer`; NotImplementedError for a transform that isn't closed under composition, as a thin
    plate spline; ValueError for ``steps`` that aren't positive or don't fit the networks.

    Source: Lin and Lucey, Inverse Compositional Spatial Transformer Networks, CVPR 2017.

    Example::

        >>> st = RecurrentSpatialTransformer(FullyConnectedLocalization(Affine(), in_features=28 * 28), "Affine", 28, steps=4)
        >>> st(torch.randn(8, 1, 42, 42)).shape
        torch.Size([8, 1, 28, 28])
    """

    def __init__(
        self,
        localization: nn.Module | Sequence[nn.Module],
        transform: Transform | str,
        output_size: int | Sequence[int] | None = None,
        *,
        steps: int | None = None,
        **options: Unpack[SamplingOptions],
    ) -> None:
        super().__init__(transform, output_size, **options)
        is_shared = isinstance(localization, nn.Module) and not isinstance(localization, nn.ModuleList)
        networks = nn.ModuleList([localization] if is_shared else localization)  # type: ignore[arg-type, list-item]
        self.steps = _steps(type(self).__name__, steps, None if is_shared else len(networks))
        self.localizations = networks
        start = self.transform.identity(1, dtype=torch.float32, device="cpu")
        self.transform.compose(start, start)  # refuses with its reason

    def thetas(self, source: Tensor, initial: Tensor | None = None) -> list[Tensor]:
        """theta before the first step and after each: ``steps + 1`` of ``(B, num_params)``, with their gradients."""
        if initial is None:
            theta = self.transform.identity(source.shape[0], _checks.accumulate_dtype(source.dtype), source.device)
        else:
            theta = initial.to(_checks.accumulate_dtype(source.dtype))
        thetas = [theta]
        for step in range(self.steps):
            network = self.localizations[step if len(self.localizations) > 1 else 0]
            delta = self._localized(network, self.warp(source, theta))
            theta = self.transform.compose(theta, delta.to(theta.dtype))
            thetas.append(theta)
        return thetas

    def theta(self, source: Tensor, initial: Tensor | None = None) -> Tensor:
        """That of the last step, with its gradient."""
        return self.thetas(source, initial)[-1]

    def forward(self, source: Tensor, initial: Tensor | None = None) -> Tensor:
        """``initial``: theta ``(B, num_params)`` to start from, say a detector's; None: the identity."""
        theta = self.theta(source, initial)
        self._keep(theta, source)
        return self.warp(source, theta)

    def localization_networks(self) -> Iterable[nn.Module]:
        return self.localizations

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, steps={self.steps}"


class InverseWarp(SamplingModule):
    """Puts a patch back to where a transformer took it from: samples it through the inverse of theta.

    Where a decoder draws an object in its own frame, this places it in the image by the pose theta, the same numbers with which
    a :class:`SpatialTransformer` cuts it out.

    Args:
        transform: one that can be inverted.
        output_size: that of the image; None: that of the patch.
        options: as in :class:`SpatialTransformer`: what is around the patch.

    Shapes: patch ``(B, C, *spatial)``, theta ``(B, num_params)``, output ``(B, C, *output_size)``.

    Attributes: ``last_theta``: the inverse, through which the last patch was sampled.

    Raises: as :class:`SpatialTransformer`; NotImplementedError for a transform without inverse, as a thin plate spline.

    Example::

        >>> crop = SpatialTransformer(localization, "Attention", output_size=20)
        >>> patch = crop(image)
        >>> InverseWarp("Attention", output_size=42)(patch, crop.last_theta).shape
        torch.Size([8, 1, 42, 42])
    """

    def __init__(
        self,
        transform: Transform | str,
        output_size: int | Sequence[int] | None = None,
        **options: Unpack[SamplingOptions],
    ) -> None:
        super().__init__(transform, output_size, **options)
        self.transform.inverse(self.transform.identity(1, dtype=torch.float32, device="cpu"))  # refuses with its reason

    def forward(self, patch: Tensor, theta: Tensor) -> Tensor:
        inverse = self.transform.inverse(theta)
        self._keep(inverse, patch)
        return self.warp(patch, inverse)


def _steps(function: str, steps: int | None, networks: int | None) -> int:
    count = (4 if networks is None else networks) if steps is None else steps
    if not isinstance(count, int) or count < 1 or networks not in (None, count):
        expected = "a positive int" if networks is None else f"None or the number of networks, {networks}"
        raise ValueError(f"{function}: expected steps to be {expected}, got {steps!r}")
    return count
