"""A transform by its name, where an argument may be either."""
from __future__ import annotations

import inspect
from typing import Any

from . import _checks
from .transforms import TRANSFORMS, Transform


def as_transform(function: str, transform: Any) -> Transform:
    """A transform as it is, or that of this name, made without arguments. Raises: TypeError, ValueError."""
    if isinstance(transform, Transform):
        return transform
    if not isinstance(transform, str):
        raise TypeError(f"{function}: expected transform to be a Transform or the name of one, got {type(transform).__name__}")
    family = _checks.lookup(function, "transform", TRANSFORMS, transform)
    try:
        inspect.signature(family).bind()
    except TypeError as error:
        raise ValueError(f"{function}: expected transform to be an object, as {transform} needs arguments: {error}") from None
    return family()
