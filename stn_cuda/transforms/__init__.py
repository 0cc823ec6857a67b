"""Transforms as objects: what theta means, its identity, composition, inverse, grid and sampler, in one place each."""
from __future__ import annotations

from typing import Any

from .. import _checks
from .composite import Chain, Constrained
from .exponential import AffineExp
from .linear import Affine, Attention, MatrixTransform, Projective, ScaleTranslation, Translation
from .nonlinear import Flow, ThinPlateSpline
from .protocol import Transform
from .rotations import Rigid, Rotation, Similarity
from .volumetric import Affine3d, Rigid3d, Similarity3d

TRANSFORMS: dict[str, type[Transform]] = {
    family.__name__: family
    for family in (
        Translation, Rotation, Attention, ScaleTranslation, Rigid, Similarity, Affine, AffineExp, Projective, ThinPlateSpline,
        Flow, Affine3d, Rigid3d, Similarity3d, Constrained, Chain)
}

__all__ = ["TRANSFORMS", "MatrixTransform", "Transform", "by_name", *TRANSFORMS]


def by_name(name: str, *arguments: Any, **options: Any) -> Transform:
    """The transform whose class has this name, made with the other arguments: for configurations and command lines.

    Raises:
        ValueError: there is none, with a list of those that there are.

    Example::

        >>> stn_cuda.transforms.by_name("Flow", size=(28, 28))
        Flow(size=(28, 28))
    """
    return _checks.lookup("by_name", "name", TRANSFORMS, name)(*arguments, **options)
