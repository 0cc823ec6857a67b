"""Transforms as objects: what theta means, its identity, composition, inverse, grid and sampler, in one place each."""
from .linear import Affine, Attention, MatrixTransform, Projective, ScaleTranslation, Translation
from .protocol import Transform

__all__ = ["Affine", "Attention", "MatrixTransform", "Projective", "ScaleTranslation", "Transform", "Translation"]
