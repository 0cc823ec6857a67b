"""The affine maps that are exponentials, and their logarithms."""
from __future__ import annotations

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
        return torch.linalg.matrix_exp(torch.cat([exponent, torch.zeros_like(exponent[:, :1])], 1))[:, :2]

    def _from_matrix(self, matrix: Tensor) -> Tensor:
        block = _logarithm(matrix[:, :, :2])
        # The shift is phi(block) (u, v), phi(X) = (exp(X) - 1) / X, which is a part of the exponential of a larger matrix
        upper = torch.cat([block, _matrices.identity_like(block).expand_as(block)], 2)
        phi = torch.linalg.matrix_exp(torch.cat([upper, torch.zeros_like(upper)], 1))[:, :2, 2:]
        adjoint, determinant = _matrices.adjugate(phi)
        shift = (adjoint * matrix[:, None, :, 2]).sum(-1) / determinant[:, None]
        return torch.cat([block, shift.unsqueeze(-1)], 2).reshape(-1, 6)

    def _compose(self, theta_a: Tensor, theta_b: Tensor) -> Tensor:
        raise self._refusal(
            "compose", "the product of two exponentials need not be one; compose the matrices as Affine, or apply both by Chain")

    def _inverse(self, theta: Tensor) -> Tensor:
        return -theta


def _logarithm(block: Tensor) -> Tensor:
    """The principal logarithm of [B, 2, 2], by Cayley and Hamilton: of N = block / sqrt(det), with eigenvalues exp(+-s) and
    c = tr(N) / 2 = cosh(s), it is s / sinh(s) * (N - c)."""
    one = _matrices.identity_like(block)
    determinant = _matrices.adjugate(block)[1]
    unit = block / determinant.sqrt()[:, None, None]
    excess = (unit[:, 0, 0] + unit[:, 1, 1]) / 2 - 1
    traceless = unit - (excess + 1)[:, None, None] * one
    return determinant.log()[:, None, None] / 2 * one + _ratio(excess)[:, None, None] * traceless


def _ratio(excess: Tensor) -> Tensor:
    """s / sinh(s) of cosh(s) - 1; s is imaginary where that is negative, and there is none at -2 and below."""
    near, above = excess.abs() < 1e-3, excess >= 1e-3
    series = 1 - excess * (1 / 3 - excess * (2 / 15 - excess * (2 / 35 - excess * 8 / 315)))
    hyperbolic = torch.where(above, excess, 1.0)
    root = (hyperbolic * (hyperbolic + 2)).sqrt()
    circular = torch.where(near | above, -1.0, excess)
    angle = 2 * torch.atan2((-circular).sqrt(), (circular + 2).sqrt())
    far = torch.where(above, (hyperbolic + root).log1p() / root, angle / (-circular * (circular + 2)).sqrt())
    return torch.where(near, series, far)
