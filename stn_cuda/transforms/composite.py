"""Transforms made of others."""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from . import _matrices
from .protocol import Transform


@dataclass(frozen=True)
class Constrained(Transform):
    """``transform`` with some of its parameters kept at the identity's: theta (B, F) holds the F others, in their order.

    ``inverse`` and ``compose`` are refused, as what they yield may need the entries that are kept; :meth:`expand` gives the
    parameters of ``transform``, for its own. ``from_matrix`` drops the entries that are kept.

    Args:
        transform: any.
        free: a bool for each of its parameters, True where a network predicts it.

    Example::

        >>> no_shear = stn_cuda.transforms.Constrained(stn_cuda.transforms.Affine(), (True, False, True, False, True, True))
        >>> no_shear.expand(torch.tensor([[0.5, 0.1, 0.5, 0.2]]))
        tensor([[0.5000, 0.0000, 0.1000, 0.0000, 0.5000, 0.2000]])
    """

    transform: Transform
    free: Sequence[bool]

    def __post_init__(self) -> None:
        _check_transform("Constrained", "transform", self.transform)
        free = tuple(self.free)
        if not all(isinstance(entry, bool) for entry in free):
            raise TypeError(f"Constrained(): expected free to be a sequence of bools, got {self.free!r}")
        if len(free) != self.transform.num_params or not any(free):
            raise ValueError(
                f"Constrained(): expected free with a bool for each of the {self.transform.num_params} parameters of "
                f"{self.transform.name}, and one of them True, got {len(free)} with {sum(free)} True")
        object.__setattr__(self, "free", free)

    @property
    def name(self) -> str:
        return f"Constrained({self.transform.name})"

    @property
    def dims(self) -> int:
        return self.transform.dims

    @property
    def num_params(self) -> int:
        return sum(self.free)

    @property
    def has_matrix(self) -> bool:
        return self.transform.has_matrix

    def identity(
        self, batch: int = 1, dtype: torch.dtype | None = None, device: torch.device | str | None = None
    ) -> Tensor:
        return self._free_of(self.transform.identity(batch, dtype, device))

    def expand(self, theta: Tensor) -> Tensor:
        """``(B, P)``: the parameters of ``transform``."""
        theta = self._checked(theta)
        kept = self.transform.identity(1, theta.dtype, theta.device).expand(theta.shape[0], -1).unbind(1)
        predicted = iter(theta.unbind(1))
        return torch.stack([next(predicted) if free else kept[index] for index, free in enumerate(self.free)], 1)

    def _free_of(self, theta: Tensor) -> Tensor:
        return torch.stack([theta[:, index] for index, free in enumerate(self.free) if free], 1)

    def _checked_matrix(self, matrix: Tensor) -> Tensor:
        return self.transform._checked_matrix(matrix)

    def _matrix(self, theta: Tensor) -> Tensor:
        return self.transform.matrix(self.expand(theta))

    def _from_matrix(self, matrix: Tensor) -> Tensor:
        return self._free_of(self.transform.from_matrix(matrix))

    def _compose(self, theta_a: Tensor, theta_b: Tensor) -> Tensor:
        raise self._refusal("compose", "the composition may need entries that aren't free; compose what expand() gives")

    def _inverse(self, theta: Tensor) -> Tensor:
        raise self._refusal("inverse", "the inverse may need entries that aren't free; invert what expand() gives")

    def _regularizer(self, theta: Tensor) -> Tensor:
        return self.transform.regularizer(self.expand(theta))

    def _grid(self, theta: Tensor, size: list[int], align_corners: bool) -> Tensor:
        return self.transform.grid(self.expand(theta), size, align_corners)

    def _apply_points(self, theta: Tensor, points: Tensor, align_corners: bool) -> Tensor:
        return self.transform.apply_points(self.expand(theta), points, align_corners)

    def _sample(
        self, input: Tensor, theta: Tensor, size: list[int], common: dict[str, Any], fused: dict[str, Any]
    ) -> Tensor:
        return self.transform.sample(input, self.expand(theta), size, **common, **fused)


@dataclass(frozen=True)
class Chain(Transform):
    """``p -> outer(inner(p))``: theta (B, P + Q) holds the P parameters of ``outer``, then the Q of ``inner``.

    Two transforms with matrices are one matrix, one fused kernel and exact at the identity; otherwise ``outer`` is applied to
    inner's grid. ``compose``, ``inverse`` and ``from_matrix`` are refused: they have no answer in the same order.
    ``regularizer`` is the sum of both.

    Example::

        >>> chain = stn_cuda.transforms.Chain(stn_cuda.transforms.Rotation(), stn_cuda.transforms.Translation())
        >>> chain.apply_points(torch.tensor([[1.5708, 1.0, 0.0]]), torch.zeros(1, 1, 2)).round(decimals=3)  # shifts, then turns
        tensor([[[-0., 1.]]])
    """

    outer: Transform
    inner: Transform

    def __post_init__(self) -> None:
        for argument in ("outer", "inner"):
            _check_transform("Chain", argument, getattr(self, argument))
        if self.outer.dims != self.inner.dims:
            raise ValueError(f"Chain(): expected transforms of the same dims, got {self.outer.dims} and {self.inner.dims}")

    @property
    def name(self) -> str:
        return f"Chain({self.outer.name}, {self.inner.name})"

    @property
    def dims(self) -> int:
        return self.outer.dims

    @property
    def num_params(self) -> int:
        return self.outer.num_params + self.inner.num_params

    @property
    def has_matrix(self) -> bool:
        return self.outer.has_matrix and self.inner.has_matrix

    def identity(
        self, batch: int = 1, dtype: torch.dtype | None = None, device: torch.device | str | None = None
    ) -> Tensor:
        return torch.cat([part.identity(batch, dtype, device) for part in (self.outer, self.inner)], 1)

    def split(self, theta: Tensor) -> tuple[Tensor, Tensor]:
        """The parameters of ``outer`` and of ``inner``."""
        theta = self._checked(theta)
        return theta[:, : self.outer.num_params], theta[:, self.outer.num_params :]

    def _checked_matrix(self, matrix: Tensor) -> Tensor:
        raise self._refusal("from_matrix", "a matrix doesn't say what part of it is whose")

    def _matrix(self, theta: Tensor) -> Tensor:
        outer, inner = self.split(theta)
        return _matrices.product(self.outer.matrix(outer), self.inner.matrix(inner))

    def _inverse(self, theta: Tensor) -> Tensor:
        raise self._refusal("inverse", "it is a chain of the inverses in the other order")

    def _regularizer(self, theta: Tensor) -> Tensor:
        outer, inner = self.split(theta)
        return self.outer.regularizer(outer) + self.inner.regularizer(inner)

    def _grid(self, theta: Tensor, size: list[int], align_corners: bool) -> Tensor:
        if self.has_matrix:
            return _matrices.grid(self._matrix(theta), size, align_corners)
        outer, inner = self.split(theta)
        positions = self.inner.grid(inner, size, align_corners)
        return self.outer.apply_points(outer, positions.flatten(1, -2), align_corners).reshape(positions.shape)

    def _apply_points(self, theta: Tensor, points: Tensor, align_corners: bool) -> Tensor:
        outer, inner = self.split(theta)
        return self.outer.apply_points(outer, self.inner.apply_points(inner, points, align_corners), align_corners)

    def _sample(
        self, input: Tensor, theta: Tensor, size: list[int], common: dict[str, Any], fused: dict[str, Any]
    ) -> Tensor:
        if self.has_matrix:
            return _matrices.sample(input, self._matrix(theta), size, **common, **fused)
        return super()._sample(input, theta, size, common, fused)


def _check_transform(function: str, argument: str, value: Any) -> None:
    if not isinstance(value, Transform):
        raise TypeError(f"{function}(): expected {argument} to be a Transform, got {type(value).__name__}")
