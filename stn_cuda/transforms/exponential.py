"""The affine maps that are exponentials, and their logarithms."""
from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from . import _matrices
from .linear import MatrixTransform


@dataclass(frozen=True)
class AffineExp(MatrixTransform):
    """An affine map that always has an inverse: the matrix exponential of ``[[a, b, u], [c, d, v], [0, 0, 0]]``.

    theta: (a, b, u, c, d, v), all 0 in the identity. The determinant is exp(a + d), so it never mirrors or collapses; the
    inverse is exactly ``-theta``. ``compose`` is refused: the product of two exponentials may be none. ``from_matrix`` takes
    the principal logarithm, which isn't finite where there is none: for a determinant that isn't positive, or eigenvalues that
    are negative. On CUDA ``torch.linalg.matrix_exp`` waits for the device.

    Example::

        >>> exponential = stn_cuda.transforms.AffineExp()
        >>> theta = torch.tensor([[0.0, 0.5236, 0.0, -0.5236, 0.0, 0.0]])  # turns by 30 degrees
        >>> exponential.apply_points(theta, torch.tensor([[[1.0, 0.0]]]))
        tensor([[[ 0.8660, -0.5000]]])
    """

    num_params = 6

    def _matrix(self, theta: Tensor) -> Tensor:
        exponent = theta.reshape(-1, 2, 3)
        return _exponential(torch.cat([exponent, torch.zeros_like(exponent[:, :1])], 1))[:, :2]

    def _from_matrix(self, matrix: Tensor) -> Tensor:
        block = _logarithm(matrix[:, :, :2])
        # The shift is phi(block) (u, v), phi(X) = (exp(X) - 1) / X, which is a part of the exponential of a larger matrix
        upper = torch.cat([block, _matrices.identity_like(block).expand_as(block)], 2)
        phi = _exponential(torch.cat([upper, torch.zeros_like(upper)], 1))[:, :2, 2:]
        adjoint, determinant = _matrices.adjugate(phi)
        shift = (adjoint * matrix[:, None, :, 2]).sum(-1) / determinant[:, None]
        return torch.cat([block, shift.unsqueeze(-1)], 2).reshape(-1, 6)

    def _compose(self, theta_a: Tensor, theta_b: Tensor) -> Tensor:
        raise self._refusal(
            "compose", "the product of two exponentials need not be one; compose matrices as Affine, or apply both by Chain")

    def _inverse(self, theta: Tensor) -> Tensor:
        return -theta


def _exponential(square: Tensor) -> Tensor:
    """In float64, as its products may be of TF32 otherwise."""
    return torch.linalg.matrix_exp(square.double()).to(square.dtype)


def _logarithm(block: Tensor) -> Tensor:
    """The principal logarithm of [B, 2, 2], by Cayley and Hamilton: of N = block / sqrt(det), with eigenvalues exp(+-s) and
    c = tr(N) / 2 = cosh(s), it is s / sinh(s) * (N - c)."""
    one = _matrices.identity_like(block)
    determinant = _matrices.adjugate(block)[1]
    unit = block / determinant.sqrt()[:, None, None]
    cosh = (unit[:, 0, 0] + unit[:, 1, 1]) / 2
    traceless = unit - cosh[:, None, None] * one
    ratio = _ratio(cosh, -_matrices.adjugate(traceless)[1])
    return determinant.log()[:, None, None] / 2 * one + ratio[:, None, None] * traceless


def _ratio(cosh: Tensor, squared: Tensor) -> Tensor:
    """s / sinh(s) of cosh(s) and sinh(s)^2. s is imaginary where that is negative. There is none for a cosh below -1, the half
    turn. The square isn't computed from cosh, which is the less certain the nearer it is to -1 or 1."""
    near, above = (squared.abs() < 1e-3) & (cosh > 0), squared > 0
    series = 1 - squared * (1 / 6 - squared * (3 / 40 - squared * (5 / 112 - squared * 35 / 1152)))
    sinh = torch.where(near | ~above, 1.0, squared).sqrt()
    sine = torch.where(near | above, 1.0, -squared).sqrt()
    hyperbolic = torch.where(cosh > 0, sinh.asinh() / sinh, math.nan)
    return torch.where(near, series, torch.where(above, hyperbolic, torch.atan2(sine, cosh) / sine))
