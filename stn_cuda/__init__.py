"""A differentiable image sampler for PyTorch: ``grid_sample`` and ``affine_grid`` on hand-written kernels."""
from ._extension import _C
from ._patch import patch
from .functional import affine_grid, grid_sample, valid_mask
from .thin_plate_spline import ThinPlateSplineBasis, thin_plate_spline_grid

build_info = _C.build_info
__version__ = build_info()["version"]
__all__ = [
    "ThinPlateSplineBasis", "affine_grid", "build_info", "grid_sample", "patch", "thin_plate_spline_grid", "valid_mask",
]
