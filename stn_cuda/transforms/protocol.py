"""What every transform has: the public methods, their checks, and the hooks that a family fills in."""
from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from .. import _checks
from ..functional import _ints, grid_sample


class Transform(ABC):
    """A family of maps, and what can be done with the parameters ``theta`` (B, P) of B of its members.

    An object holds no parameters: a network predicts them, and every method takes them. theta says where each position of the
    *output* reads in the *input*: both normalised to [-1, 1] as for ``grid_sample``, in the order (x, y[, z]). What
    ``align_corners`` means by -1 and 1 is for images: it must be the same in ``grid`` and ``grid_sample``; ``sample`` sees to
    that.

    theta is float16, bfloat16, float32 or float64, on any device. 16 bits are too few for coordinates: such a theta is
    converted to float32 first, and what comes back is float32. Everything is differentiable by theta. Objects are immutable,
    equal if they mean the same, and can be hashed, copied and pickled.

    Attributes:
        name: that of the class.
        dims: 2 or 3, the axes of the images.
        num_params: P.
        has_matrix: whether the maps are matrices, so that ``matrix`` works and ``sample`` is one fused kernel.

    A class of your own fills in ``dims``, ``num_params``, ``identity``, ``_grid`` and ``_apply_points``; with a matrix it is a
    :class:`MatrixTransform`, which asks for less.

    Raises (every method):
        TypeError: theta is no tensor.
        ValueError: theta isn't (B, P) or isn't floating point; another argument whose shape or dtype doesn't fit.
        RuntimeError: tensors of two devices.
        NotImplementedError: what the family can't do, with the reason.

    Source: Jaderberg et al., Spatial Transformer Networks, 2015, section 3.2.
    """

    @property
    def has_matrix(self) -> bool:
        return False

    @property
    def name(self) -> str:
        return type(self).__name__

    @property
    @abstractmethod
    def dims(self) -> int:
        ...

    @property
    @abstractmethod
    def num_params(self) -> int:
        ...

    # ---- parameters -----------------------------------------------------------------------------------------------------

    @abstractmethod
    def identity(
        self, batch: int = 1, dtype: torch.dtype | None = None, device: torch.device | str | None = None
    ) -> Tensor:
        """``(batch, P)``: the parameters that map every position to itself; a new tensor, of the default dtype and device."""

    def matrix(self, theta: Tensor) -> Tensor:
        """``(B, d, d + 1)``, or ``(B, d + 1, d + 1)`` for a projective map: what multiplies ``(x, y[, z], 1)``."""
        return self._matrix(self._checked(theta))

    def from_matrix(self, matrix: Tensor) -> Tensor:
        """``(B, P)``: the parameters of matrices of the family. Of another matrix it is what the class documents."""
        return self._from_matrix(self._checked_matrix(matrix))

    def compose(self, theta_a: Tensor, theta_b: Tensor) -> Tensor:
        """The parameters of ``p -> a(b(p))``, whose matrix is ``matrix(theta_a) @ matrix(theta_b)``.

        An image sampled through it looks as if it had been sampled through a first, then through b; but it is sampled once.
        Batches are equal, or one of them is 1.

        Source: Lin and Lucey, Inverse Compositional Spatial Transformer Networks, 2017, where parameters are composed.
        """
        theta_a, theta_b = self._checked(theta_a, "theta_a"), self._checked(theta_b, "theta_b")
        self._check_alike("theta_b", theta_b, "theta_a", theta_a)
        return self._compose(theta_a, theta_b)

    def inverse(self, theta: Tensor) -> Tensor:
        """The parameters of the inverse map. Of a map that has none they are not finite; nothing is raised, as that would
        wait for the device."""
        return self._inverse(self._checked(theta))

    def regularizer(self, theta: Tensor) -> Tensor:
        """``(B,)``: how far each map is from doing nothing, 0 for the identity; a term for a loss, after ``.mean()``.

        With a matrix: the mean squared difference of its entries from the identity's. Others document theirs.
        """
        return self._regularizer(self._checked(theta))

    # ---- maps -----------------------------------------------------------------------------------------------------------

    def grid(self, theta: Tensor, size: Sequence[int], align_corners: bool = False) -> Tensor:
        """``(B, *size, d)``: where each pixel of an output of the spatial ``size`` reads in the input, for ``grid_sample``."""
        theta, size = self._checked(theta), self._checked_size("size", size)
        _checks.check_bool(f"{self.name}.grid", "align_corners", align_corners)
        return self._grid(theta, size, align_corners)

    def apply_points(self, theta: Tensor, points: Tensor, align_corners: bool = False) -> Tensor:
        """``(B, N, d)``: positions in the input of ``points`` ``(B, N, d)`` in the output, all normalised (x, y[, z]).

        points are of the dtype of theta (16 bits count as float32) and on its device; one of the batches may be 1.
        ``align_corners`` matters to :class:`Flow` alone, whose parameters are pixels.
        """
        theta = self._checked(theta)
        points = self._checked_float("points", points)
        if points.dim() != 3 or points.shape[2] != self.dims:
            raise self._unexpected("points", f"of shape (B, N, {self.dims})", _checks.text_of(points.shape))
        self._check_alike("points", points, "theta", theta)
        return self._apply_points(theta, points, align_corners)

    def sample(
        self,
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
        """``(B, C, *size)``: the input seen through theta, in the dtype of ``input``.

        ``input`` is ``(B, C, H, W)`` or ``(B, C, D, H, W)``; one of the batches may be 1. ``size`` is spatial, None that of
        input. The other arguments are those of :func:`stn_cuda.affine_sample`. Transforms with a matrix, and :class:`Flow`, are
        one fused kernel and exact at the identity: theirs returns the input bit for bit, where sizes are equal. Transforms
        without a matrix refuse ``antialias`` and ``gradient="linearized"``.

        Example::

            >>> image = torch.arange(6.0).reshape(1, 1, 2, 3)
            >>> theta = torch.tensor([[-1.0, 0.0, 0.0, 0.0, 1.0, 0.0]])  # mirrored
            >>> stn_cuda.transforms.Affine().sample(image, theta)
            tensor([[[[2., 1., 0.],
                      [5., 4., 3.]]]])
        """
        theta = self._checked(theta)
        if not isinstance(input, Tensor):
            raise TypeError(f"{self.name}: expected input to be a Tensor, got {type(input).__name__}")
        if input.dim() != self.dims + 2:
            shape = "(B, C, H, W)" if self.dims == 2 else "(B, C, D, H, W)"
            raise self._unexpected("input", f"of shape {shape}", _checks.text_of(input.shape))
        size = list(input.shape[2:]) if size is None else self._checked_size("size", size)
        common = {"mode": mode, "padding_mode": padding_mode, "align_corners": align_corners, "fill_value": fill_value}
        fused = {"antialias": antialias, "gradient": gradient, "reach": reach, "samples": samples}
        return self._sample(input, theta, size, common, fused)

    # ---- hooks: arguments are checked, theta is float32 or float64 ------------------------------------------------------

    def _matrix(self, theta: Tensor) -> Tensor:
        raise self._refusal("matrix", "its maps are no matrices")

    def _from_matrix(self, matrix: Tensor) -> Tensor:
        raise NotImplementedError

    def _compose(self, theta_a: Tensor, theta_b: Tensor) -> Tensor:
        raise self._refusal("compose", "one map after another is no map of the family; Chain() applies both")

    def _inverse(self, theta: Tensor) -> Tensor:
        raise self._refusal("inverse", "the inverse of a map, where there is one, is no map of the family")

    def _regularizer(self, theta: Tensor) -> Tensor:
        return (theta - self.identity(1, theta.dtype, theta.device)).square().mean(1)

    @abstractmethod
    def _grid(self, theta: Tensor, size: list[int], align_corners: bool) -> Tensor:
        ...

    @abstractmethod
    def _apply_points(self, theta: Tensor, points: Tensor, align_corners: bool) -> Tensor:
        ...

    def _sample(
        self, input: Tensor, theta: Tensor, size: list[int], common: dict[str, Any], fused: dict[str, Any]
    ) -> Tensor:
        """``common``: what grid_sample takes. ``fused``: what only the fused samplers of matrices take."""
        self._check_no_fused(fused)
        return grid_sample(input, self.grid(theta, size, common["align_corners"]), **common)

    # ---- checks ---------------------------------------------------------------------------------------------------------

    def _checked(self, theta: Tensor, argument: str = "theta") -> Tensor:
        """theta [B, P], in float32 at least."""
        theta = self._checked_float(argument, theta)
        if theta.dim() != 2 or theta.shape[1] != self.num_params:
            raise self._unexpected(argument, f"of shape (B, {self.num_params})", _checks.text_of(theta.shape))
        return theta

    def _checked_matrix(self, matrix: Tensor) -> Tensor:
        if not self.has_matrix:
            raise self._refusal("from_matrix", "its maps are no matrices")
        matrix = self._checked_float("matrix", matrix)
        rows = self._matrix_rows()
        if matrix.dim() != 3 or tuple(matrix.shape[1:]) != (rows, self.dims + 1):
            raise self._unexpected("matrix", f"of shape (B, {rows}, {self.dims + 1})", _checks.text_of(matrix.shape))
        return matrix

    def _matrix_rows(self) -> int:
        return self.dims

    def _checked_float(self, argument: str, tensor: Tensor) -> Tensor:
        if not isinstance(tensor, Tensor):
            raise TypeError(f"{self.name}: expected {argument} to be a Tensor, got {type(tensor).__name__}")
        if tensor.dtype not in _checks.DTYPES:
            raise self._unexpected(argument, f"of a dtype of {', '.join(map(str, _checks.DTYPES))}", str(tensor.dtype))
        return tensor.to(_checks.accumulate_dtype(tensor.dtype))

    def _checked_size(self, argument: str, size: Sequence[int]) -> list[int]:
        size = list(_ints(self.name, size))
        if len(size) != self.dims or min(size) <= 0:
            shape = "(H, W)" if self.dims == 2 else "(D, H, W)"
            raise self._unexpected(argument, f"{shape} with positive entries only", _checks.text_of(size))
        return size

    def _check_alike(self, argument: str, tensor: Tensor, as_argument: str, as_tensor: Tensor) -> None:
        """One device, one dtype, and one batch size or 1."""
        _checks.check_same_device(self.name, argument, tensor, as_argument, as_tensor)
        if tensor.dtype != as_tensor.dtype:
            raise self._unexpected(argument, f"of the dtype of {as_argument}, {as_tensor.dtype}", str(tensor.dtype))
        if tensor.shape[0] != as_tensor.shape[0] and 1 not in (tensor.shape[0], as_tensor.shape[0]):
            raise self._unexpected(
                argument, f"with the batch size of {as_argument}, {as_tensor.shape[0]}, or one of them 1", f"{tensor.shape[0]}")

    def _check_no_fused(self, fused: dict[str, Any]) -> None:
        _checks.check_bool(f"{self.name}.sample", "antialias", fused["antialias"])
        if fused["antialias"]:
            raise self._refusal("sample", "antialias=True is for transforms with a matrix")
        _checks.lookup(f"{self.name}.sample", "gradient", {"exact": None, "linearized": None}, fused["gradient"])
        if fused["gradient"] != "exact":
            raise self._refusal("sample", f"gradient={fused['gradient']!r} is for transforms with a matrix")

    def _unexpected(self, argument: str, expected: str, got: str) -> ValueError:
        return ValueError(f"{self.name}: expected {argument} {expected}, got {got}")

    def _refusal(self, method: str, reason: str) -> NotImplementedError:
        return NotImplementedError(f"{self.name}.{method}(): {reason}")
