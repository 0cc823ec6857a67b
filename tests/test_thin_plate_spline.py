"""The thin plate spline's basis and grid: values against scipy and affine_grid, derivatives, errors."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from cases import ALIGN_CORNERS
from refused import assert_refused
from splines import BASES, Warp, moved
from tolerances import AT_CONTROL_POINTS, PARITY
from torch import func
from torch.autograd import gradcheck, gradgradcheck

import stn_cuda
from stn_cuda import ThinPlateSplineBasis
from stn_cuda import thin_plate_spline_grid as spline_grid

SIZES = [(5, 7), (1, 6), (4, 1), (28, 28)]
every_basis = pytest.mark.parametrize("basis", BASES.values(), ids=BASES)


def positions(size, align_corners, device="cpu", dtype=torch.float64):
    """(1, H, W, 2): those of the output itself."""
    theta = torch.eye(2, 3, dtype=dtype, device=device)[None]
    return stn_cuda.affine_grid(theta, (1, 1, *size), align_corners)


# ---- values -------------------------------------------------------------------------------------------------------------

@pytest.mark.filterwarnings("ignore:Since version 1.3.0, affine_grid behavior:UserWarning")
@pytest.mark.parametrize("align_corners", ALIGN_CORNERS, ids=("edges", "centres"))
@pytest.mark.parametrize("size", SIZES, ids=str)
@every_basis
def test_grid_equals_scipy(basis, size, align_corners, device):
    interpolate = pytest.importorskip("scipy.interpolate")
    points = moved(basis, device)
    spline = interpolate.RBFInterpolator(
        basis.control_points.numpy(), points.cpu().numpy().transpose(1, 0, 2).reshape(-1, 4),
        kernel="thin_plate_spline", smoothing=basis.regularization / 2)
    expected = torch.from_numpy(spline(positions(size, align_corners).reshape(-1, 2).numpy()))
    grid = spline_grid(points, size, basis, align_corners)
    assert grid.shape == (2, *size, 2) and grid.is_contiguous()
    PARITY[torch.float64].assert_close(grid.cpu(), expected.reshape(*size, 2, 2).permute(2, 0, 1, 3))


@pytest.mark.parametrize("align_corners", ALIGN_CORNERS, ids=("edges", "centres"))
@pytest.mark.parametrize("dtype", (torch.float32, torch.float64), ids=str)
@every_basis
def test_control_points_themselves_give_the_identity(basis, dtype, align_corners, device):
    grid = spline_grid(basis.control_points[None].to(device, dtype), (6, 9), basis, align_corners)
    PARITY[dtype].assert_close(grid, positions((6, 9), align_corners, device, dtype))


@pytest.mark.parametrize("dtype", AT_CONTROL_POINTS, ids=str)
def test_grid_is_exact_at_control_points(dtype, device):
    """Pixels' own positions as control points, far moves: there the grid is ``points``."""
    pixels = torch.tensor([0, 3, 7, 17, 25, 30])
    control = positions((4, 8), False).reshape(-1, 2)[pixels]
    points = 3 * torch.randn(2, 6, 2, generator=torch.Generator().manual_seed(5), dtype=torch.float64).to(device, dtype)
    grid = spline_grid(points, (4, 8), ThinPlateSplineBasis(control))
    AT_CONTROL_POINTS[dtype].assert_close(grid.reshape(2, 32, 2)[:, pixels], points)


def test_regularization_weighs_the_bending_energy(device):
    """Squared misses + lambda / (16 pi) * energy is least at our spline; the energy by differences on a wide fine grid."""
    basis, span, step = ThinPlateSplineBasis.regular(3, regularization=4.0), 30, 0.2
    wide = ThinPlateSplineBasis(basis.control_points / span)  # [-1, 1] then reaches far out, where the energy still is
    points = moved(basis, device, batch=1).requires_grad_()

    def cost(values):
        f = spline_grid(values, (2 * round(span / step) + 1,) * 2, wide, align_corners=True)[0]
        xx = f[2:, 1:-1] - 2 * f[1:-1, 1:-1] + f[:-2, 1:-1]
        yy = f[1:-1, 2:] - 2 * f[1:-1, 1:-1] + f[1:-1, :-2]
        xy = (f[2:, 2:] - f[2:, :-2] - f[:-2, 2:] + f[:-2, :-2]) / 4
        energy = (xx**2 + 2 * xy**2 + yy**2).sum() / step**2
        return (values - points.detach()).square().sum() + basis.regularization / (16 * torch.pi) * energy

    found = spline_grid(points.detach(), (3, 3), basis, align_corners=True).reshape(1, 9, 2).requires_grad_()
    (slope,) = torch.autograd.grad(cost(found), found)
    (steepness,) = torch.autograd.grad(cost(points), points)
    assert slope.norm() < 0.03 * steepness.norm()


# ---- dtypes -------------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("dtype", (torch.float16, torch.bfloat16, torch.float32), ids=str)
def test_result_is_the_float64_grid_rounded_once(dtype, device):
    points = moved(BASES["square"], device, dtype).requires_grad_()
    grid = spline_grid(points, (5, 7))
    exact = spline_grid(points.double(), (5, 7))
    assert torch.equal(grid, exact.to(dtype))
    (gradient,) = torch.autograd.grad(grid.sum(), points)
    assert gradient.dtype == dtype
    with torch.autocast(device.type, dtype=torch.bfloat16):
        assert torch.equal(spline_grid(points, (5, 7)), exact.float())


@pytest.mark.parametrize("precision", ("high", "medium"))
def test_precision_of_matrix_products_does_not_reach_the_grid(precision, device):
    points = moved(BASES["square"], device, torch.float32)
    expected, before = spline_grid(points, (5, 7)), torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(precision)
    try:
        assert torch.equal(spline_grid(points, (5, 7)), expected)
    finally:
        torch.set_float32_matmul_precision(before)


# ---- derivatives --------------------------------------------------------------------------------------------------------

def test_gradcheck_in_both_orders_and_modes(device):
    for basis in (None, BASES["three"], BASES["smoothing"]):
        points = moved(basis or BASES["square"], device).requires_grad_()
        assert gradcheck(
            lambda p, basis=basis: spline_grid(p, (3, 2), basis), points, check_forward_ad=True, check_batched_grad=True)
        assert gradgradcheck(lambda p, basis=basis: spline_grid(p, (3, 2), basis).sin(), points)


def test_transforms_equal_what_they_stand_for(device):
    points, tangent = moved(BASES["square"], device), torch.randn(2, 16, 2, dtype=torch.float64, device=device)

    def grid(points):
        return spline_grid(points, (3, 4))

    close = PARITY[torch.float64].assert_close
    value, along = func.jvp(grid, (points,), (tangent,))
    close(value, grid(points))
    close(along, grid(tangent))  # linear
    close(func.vmap(grid)(torch.stack([points, tangent])), torch.stack([grid(points), grid(tangent)]))
    close(func.vmap(func.jvp, in_dims=(None, None, 0))(grid, (points,), (tangent[None],))[1][0], grid(tangent))
    jacobian = func.jacrev(grid)(points)
    close(torch.einsum("nijcmkd,mkd->nijc", jacobian, tangent), grid(tangent))
    close(func.jacfwd(grid)(points), jacobian)


# ---- the basis ----------------------------------------------------------------------------------------------------------

def test_basis_is_a_value(device):
    basis = BASES["smoothing"]
    for other in (copy.deepcopy(basis), pickle.loads(pickle.dumps(basis)), pickle.loads(pickle.dumps(Warp(basis))).basis):
        assert other == basis and hash(other) == hash(basis)
        assert torch.equal(spline_grid(moved(basis, device), (3, 4), other), spline_grid(moved(basis, device), (3, 4), basis))
    assert basis != BASES["three"] and basis != ThinPlateSplineBasis(basis.control_points) and basis != 3
    assert not list(Warp(basis).parameters()) and not Warp(basis).state_dict()
    with pytest.raises(AttributeError):
        basis.regularization = 1.0
    basis.control_points.zero_()  # a copy
    assert torch.equal(basis.control_points, ThinPlateSplineBasis.regular(3).control_points)


CORNERS = [[-1.0, -1.0], [1.0, -1.0], [-1.0, 1.0], [1.0, 1.0]]
LINE = [[x, 0.3 * x + 0.1] for x in (-1.0, -0.3, 0.4, 1.0)]


@pytest.mark.parametrize("arguments, error, words", [
    ((CORNERS + [CORNERS[1]],), ValueError, ["control_points", "[1.0, -1.0] as point 1", "point 4"]),
    ((CORNERS + [[1.0, 1.0 + 1e-8]],), ValueError, ["as point 3", "point 4"]),
    ((LINE,), ValueError, ["one line", "4 collinear", "from [-1.0,"]),
    ((torch.tensor(LINE),), ValueError, ["one line"]),
    ((CORNERS + [[0.0, float("nan")]],), ValueError, ["finite", "[0.0, nan] as point 4"]),
    ((torch.tensor(CORNERS, dtype=torch.float64) * 1e-170,), ValueError, ["tell apart"]),
    ((CORNERS[:2],), ValueError, ["(K, 2)", "2 rows of 2"]),
    ((torch.zeros(4, 3),), ValueError, ["(K, 2)", "4 rows of 3"]),
    ((torch.zeros(4),), TypeError, ["control_points"]),
    (("corners",), TypeError, ["control_points", "'corners'"]),
    ((CORNERS, -0.5), ValueError, ["regularization", "-0.5"]),
    ((CORNERS, float("inf")), ValueError, ["regularization", "inf"]),
    ((CORNERS, "none"), TypeError, ["regularization", "str"]),
], ids=str)  # fmt: skip
def test_bad_basis_is_refused_by_name(arguments, error, words):
    assert_refused(lambda: ThinPlateSplineBasis(*arguments), error, ["ThinPlateSplineBasis()", *words])


@pytest.mark.parametrize("arguments, error, words", [
    (("points", (3, 4)), TypeError, ["points", "str"]),
    ((torch.zeros(2, 15, 2), (3, 4)), ValueError, ["points", "square", "(2, 15, 2)"]),
    ((torch.zeros(2, 1, 2), (3, 4)), ValueError, ["points", "square", "(2, 1, 2)"]),
    ((torch.zeros(2, 16, 3), (3, 4)), ValueError, ["(N, K, 2)", "(2, 16, 3)"]),
    ((torch.zeros(16, 2), (3, 4)), ValueError, ["(N, K, 2)", "(16, 2)"]),
    ((torch.zeros(()), (3, 4)), ValueError, ["(N, K, 2)", "()"]),
    ((torch.zeros(2, 9, 2), (3, 4), BASES["square"]), ValueError, ["(N, 16, 2)", "(2, 9, 2)"]),
    ((torch.zeros(2, 16, 2), (3, 4), torch.zeros(16, 2)), TypeError, ["basis", "Tensor"]),
    ((torch.zeros(2, 16, 2, dtype=torch.int64), (3, 4)), ValueError, ["points", "torch.int64"]),
    ((torch.zeros(2, 16, 2), (3, 0)), ValueError, ["size", "(3, 0)"]),
    ((torch.zeros(2, 16, 2), (2, 1, 3, 4)), ValueError, ["size", "(H, W)", "(2, 1, 3, 4)"]),
    ((torch.zeros(2, 16, 2), 5), TypeError, ["size", "5"]),
    ((torch.zeros(2, 16, 2), (3, 4), None, 1), TypeError, ["align_corners", "int"]),
], ids=str)  # fmt: skip
def test_bad_call_is_refused_by_name(arguments, error, words):
    assert_refused(lambda: spline_grid(*arguments), error, ["thin_plate_spline_grid()", *words])


def test_empty_batch_has_an_empty_grid_and_gradient(device):
    points = torch.zeros(0, 16, 2, device=device, requires_grad=True)
    grid = spline_grid(points, (3, 4))
    grid.sum().backward()
    assert grid.shape == (0, 3, 4, 2) and points.grad.shape == (0, 16, 2)
