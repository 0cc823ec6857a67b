"""Transforms by their names: those of ``stn_cuda.transforms`` that need no argument."""
from __future__ import annotations

import inspect

from . import transforms
from .transforms import Transform


def as_transform(function: str, transform: Transform | str) -> Transform:
    """A transform as it is, or that of this class name. Raises: TypeError, ValueError."""
    if isinstance(transform, Transform):
        return transform
    if not isinstance(transform, str):
        raise TypeError(f"{function}: expected transform to be a Transform or the name of one, got {type(transform).__name__}")
    classes = {name: value for name, value in vars(transforms).items() if _is_named(value)}
    if transform not in classes:
        raise ValueError(f"{function}: expected transform to be one of {', '.join(map(repr, classes))}, got {transform!r}")
    return classes[transform]()


def _is_named(value: object) -> bool:
    if not isinstance(value, type) or not issubclass(value, Transform) or inspect.isabstract(value):
        return False
    return all(parameter.default is not parameter.empty or parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
               for parameter in inspect.signature(value).parameters.values())
