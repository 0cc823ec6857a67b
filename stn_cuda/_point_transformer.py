"""The spatial transformer of point clouds: a linear map of every cloud's coordinates, or features (PointNet's T-Net)."""
from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

from . import _checks
from ._theta_head import LastLayer
from .localization import Localized


class PointLocalization(nn.Module):
    """PointNet's T-Net: a network that each point goes through, the largest of each feature over all points, and two layers.

    Its last layer starts at zero weights and the identity's bias.

    Args:
        dims: d, the coordinates or features of a point.
        channels: widths of the layers for single points.
        hidden: widths of the layers for the cloud.
        batch_norm: whether each layer is normalised over the batch, as in the paper; the processes of a DDP then need
            ``SyncBatchNorm`` to agree with a single one.

    Shapes: points ``(B, N, d)`` to a matrix ``(B, d, d)``, in any order of the points the same.

    Raises: ValueError: widths that aren't positive.

    Source: Qi et al., PointNet: Deep Learning on Point Sets for 3D Classification and Segmentation, CVPR 2017.
    """

    def __init__(
        self,
        dims: int = 3,
        channels: Sequence[int] = (64, 128, 1024),
        hidden: Sequence[int] = (512, 256),
        batch_norm: bool = True,
    ) -> None:
        super().__init__()
        if min((dims, *channels, *hidden)) < 1 or not channels:
            raise ValueError(f"PointLocalization: expected dims, channels and hidden to be positive, got {dims}, "
                             f"{tuple(channels)} and {tuple(hidden)}")
        self.dims = dims
        self.points = nn.Sequential(*_layers((dims, *channels), batch_norm, of_points=True))
        self.cloud = nn.Sequential(*_layers((channels[-1], *hidden), batch_norm, of_points=False))
        self.last = LastLayer((*channels, *hidden)[-1], torch.eye(dims, device="cpu").flatten())

    def forward(self, points: Tensor) -> Tensor:
        features = self.cloud(self.points(points.mT).amax(2))  # points [B, d, N]
        with torch.autocast(features.device.type, enabled=False):  # 16 bits are too few for coordinates
            dtype = _checks.accumulate_dtype(self.last.weight.dtype)
            entries = nn.functional.linear(features.to(dtype), self.last.weight.to(dtype), self.last.bias.to(dtype))
        return entries.unflatten(1, (self.dims, self.dims))


class PointTransformer(Localized):
    """Multiplies every point of a cloud by a matrix that a network predicts from the cloud.

    ``output[b, n] = matrix[b] @ points[b, n]``. At the start the matrix is the identity and the output the input, bit for bit.

    Args:
        localization: takes points ``(B, N, d)`` to a matrix ``(B, d, d)``; None: :class:`PointLocalization` of ``dims``.
        dims: d; 3 for coordinates, PointNet's second transformer has 64 features.

    Shapes: points ``(B, N, d)``, output the same, in the dtype of points.

    Attributes: ``last_theta``, the matrix of the last call, detached, to look at; None before.

    Raises: ValueError: points of another shape, a localization that returns one.

    Source: Qi et al., PointNet, CVPR 2017.

    Example::

        >>> st = PointTransformer(dims=64)
        >>> matrix = st.theta(features)
        >>> loss = criterion(net(st.apply_matrix(features, matrix))) + 0.001 * orthogonality_penalty(matrix)
    """

    def __init__(self, localization: nn.Module | None = None, dims: int = 3) -> None:
        super().__init__()
        self.dims = dims
        self.localization = PointLocalization(dims) if localization is None else localization

    def theta(self, points: Tensor) -> Tensor:
        """The matrix ``(B, d, d)`` that the network predicts, with its gradient."""
        dims = self.dims
        if points.dim() != 3 or points.shape[2] != dims:
            raise ValueError(f"PointTransformer: expected points of shape (B, N, {dims}), got {tuple(points.shape)}")
        matrix = self.localization(points)
        if matrix.dim() != 3 or tuple(matrix.shape[1:]) != (dims, dims):
            raise ValueError(
                f"PointTransformer: expected localization to return a matrix of shape (B, {dims}, {dims}), got "
                f"{tuple(matrix.shape)}")
        return matrix

    def apply_matrix(self, points: Tensor, matrix: Tensor) -> Tensor:
        """``(B, N, d)``: every point times its cloud's matrix ``(B, d, d)``; 16 bits are computed in float32."""
        dtype = torch.promote_types(_checks.accumulate_dtype(points.dtype), matrix.dtype)
        with torch.autocast(points.device.type, enabled=False):
            wide, matrix = points.to(dtype), matrix.to(dtype)
            # x + (A - 1) x: exact at the identity, in a product of TF32, too
            deviation = matrix - torch.eye(self.dims, dtype=dtype, device=matrix.device)
            return (wide + wide @ deviation.mT).to(points.dtype)

    def forward(self, points: Tensor) -> Tensor:
        matrix = self.theta(points)
        self._keep(matrix)
        return self.apply_matrix(points, matrix)

    def localization_networks(self) -> Iterable[nn.Module]:
        return (self.localization,)

    def extra_repr(self) -> str:
        return f"dims={self.dims}"


def orthogonality_penalty(matrix: Tensor) -> Tensor:
    """The mean over the batch of ``|I - A A^T|^2`` (the squares of all entries), 0 for rotations and reflections.

    Args:
        matrix: ``(B, d, d)``, that of :meth:`PointTransformer.theta`.

    PointNet adds it times 0.001 for its 64 x 64 transformer.

    Source: Qi et al., PointNet, CVPR 2017, equation 2.

    Example::

        >>> orthogonality_penalty(2 * torch.eye(3)[None])
        tensor(27.)
    """
    if matrix.dim() != 3 or matrix.shape[1] != matrix.shape[2]:
        raise ValueError(f"orthogonality_penalty(): expected matrix of shape (B, d, d), got {tuple(matrix.shape)}")
    identity = torch.eye(matrix.shape[2], dtype=matrix.dtype, device=matrix.device)
    return (identity - matrix @ matrix.mT).square().sum((1, 2)).mean()


def _layers(widths: Sequence[int], batch_norm: bool, of_points: bool) -> list[nn.Module]:
    layers: list[nn.Module] = []
    for width, next_width in zip(widths, widths[1:]):
        layers.append(nn.Conv1d(width, next_width, 1) if of_points else nn.Linear(width, next_width))
        layers += [nn.BatchNorm1d(next_width), nn.ReLU()] if batch_norm else [nn.ReLU()]
    return layers
