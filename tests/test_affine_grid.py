"""stn_cuda.affine_grid: parity with torch's, its gradients, and its warnings."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from cases import ALIGN_CORNERS, DTYPES
from layouts import GRAD_OUTPUT_LAYOUTS, THETA_LAYOUTS, Layout, layout_id
from tolerances import PARITY
from torch.autograd import gradcheck, gradgradcheck

import stn_cuda

SIZES = [(2, 3, 4, 5), (2, 1, 1, 6), (2, 3, 5, 1), (2, 1, 1, 1), (2, 3, 3, 4, 5), (2, 1, 1, 4, 1), (2, 3, 33, 35)]
UNIT_SIZE_WARNING = "ignore:Since version 1.3.0, affine_grid behavior:UserWarning"


def random_theta(size, dtype, device):
    """(N, dims, dims + 1), away from the identity."""
    dims = len(size) - 2
    generator = torch.Generator().manual_seed(3)
    return torch.randn(size[0], dims, dims + 1, generator=generator, dtype=torch.float64).to(device, dtype)


@pytest.mark.filterwarnings(UNIT_SIZE_WARNING)
@pytest.mark.parametrize("grad_layout", GRAD_OUTPUT_LAYOUTS, ids=lambda f: f"grad_grid_{layout_id(f)}")
@pytest.mark.parametrize("theta_layout", THETA_LAYOUTS, ids=lambda f: f"theta_{layout_id(f)}")
@pytest.mark.parametrize("align_corners", ALIGN_CORNERS, ids=("edges", "centres"))
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_grid_and_gradient_equal_torch(
    size, dtype, align_corners, theta_layout: Layout, grad_layout: Layout, device
):
    theta = theta_layout(random_theta(size, dtype, device)).detach().requires_grad_()
    actual = stn_cuda.affine_grid(theta, size, align_corners=align_corners)
    expected = F.affine_grid(theta, size, align_corners=align_corners)
    PARITY[dtype].assert_close(actual, expected)

    grad_grid = grad_layout(torch.sin(torch.arange(actual.numel(), dtype=dtype, device=device)).view_as(actual))
    (actual_gradient,) = torch.autograd.grad(actual, theta, grad_grid)
    (expected_gradient,) = torch.autograd.grad(expected, theta, grad_grid)
    PARITY[dtype].assert_close(actual_gradient, expected_gradient)


@pytest.mark.filterwarnings(UNIT_SIZE_WARNING)
@pytest.mark.parametrize("align_corners", ALIGN_CORNERS, ids=("edges", "centres"))
@pytest.mark.parametrize("size", [(2, 1, 2, 3), (1, 1, 1, 2), (2, 1, 2, 1, 3)], ids=str)
def test_gradcheck_in_both_orders(size, align_corners, device):
    theta = random_theta(size, torch.float64, device).requires_grad_()

    def grid(theta):
        return stn_cuda.affine_grid(theta, size, align_corners=align_corners)

    assert gradcheck(grid, (theta,))
    assert gradgradcheck(grid, (theta,))


@pytest.mark.parametrize("kind", (list, tuple, torch.Size))
def test_size_may_be_any_sequence_of_ints(kind, device):
    size = (2, 3, 4, 5)
    theta = random_theta(size, torch.float32, device)
    expected = stn_cuda.affine_grid(theta, size, align_corners=False)
    assert torch.equal(stn_cuda.affine_grid(theta, kind(size), False), expected)
    assert torch.equal(stn_cuda.affine_grid(theta=theta, size=kind(size), align_corners=False), expected)


@pytest.mark.parametrize("align_corners", ALIGN_CORNERS, ids=("edges", "centres"))
def test_identity_samples_the_image_itself(align_corners, device):
    image = torch.rand(1, 2, 5, 7, dtype=torch.float64, device=device)
    theta = torch.eye(2, 3, dtype=torch.float64, device=device)[None]
    grid = stn_cuda.affine_grid(theta, image.shape, align_corners)
    output = stn_cuda.grid_sample(image, grid, padding_mode="border", align_corners=align_corners)
    PARITY[torch.float64].assert_close(output, image)
