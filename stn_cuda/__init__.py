"""A differentiable image sampler for PyTorch: ``grid_sample`` and ``affine_grid`` on hand-written kernels."""
from ._extension import _C
from ._patch import patch
from .functional import affine_grid, grid_sample, valid_mask

build_info = _C.build_info
__version__ = build_info()["version"]
__all__ = ["affine_grid", "build_info", "grid_sample", "patch", "valid_mask"]
