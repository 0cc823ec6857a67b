"""A differentiable image sampler for PyTorch: ``grid_sample``, ``affine_grid`` and fused transforms on hand-written kernels."""
from . import transforms
from ._extension import _C
from ._patch import patch
from .functional import affine_grid, grid_sample, valid_mask
from .fused import affine_sample, flow_sample, projective_sample
from .grids import flow_grid, projective_grid
from .thin_plate_spline import ThinPlateSplineBasis, thin_plate_spline_grid

build_info = _C.build_info
__version__ = build_info()["version"]
__all__ = [
    "ThinPlateSplineBasis", "affine_grid", "affine_sample", "build_info", "flow_grid", "flow_sample", "grid_sample", "patch",
    "projective_grid", "projective_sample", "thin_plate_spline_grid", "transforms", "valid_mask",
]
