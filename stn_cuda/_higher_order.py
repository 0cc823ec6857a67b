"""What has no kernel: derivatives of the reference, for ``_transforms``.

A "function" takes tensors, some of them None, and gives a tuple of tensors.
"""
from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, func
from torch.autograd import forward_ad

from . import _operators
from ._operators import GridOptions, Options


def reference_tangent(options: Options, *tensors: Tensor | None) -> tuple[Tensor, ...]:
    """GridSampleJvpFunction's forward in plain operations."""
    return push_forward(partial(_reference_sample, options), tensors[3:], tensors[:3])


def reference_second(options: Options, wanted: Sequence[bool], *tensors: Tensor | None) -> tuple[Tensor, ...]:
    """GridSampleSecondFunction's forward in plain operations, without the Nones."""
    given = [tensor is not None for tensor in tensors[3:]]  # there may be no fill
    tangents, primals = itertools.compress(tensors[:3], given[1:]), itertools.compress(tensors[3:], given)

    def gradients(grad_output: Tensor, *primals: Tensor) -> tuple[Tensor, ...]:
        return _vjp(partial(_reference_sample, options), *primals)[1]((grad_output,))

    outputs, pull = _vjp(gradients, *primals)
    results = pull(_given_or_zeros(tuple(tangents), outputs))
    return tuple(itertools.compress(results, itertools.compress(wanted, given)))


def _reference_sample(options: Options, input: Tensor, grid: Tensor, fill: Tensor | None = None) -> tuple[Tensor]:
    return (_operators.reference_sample(input, grid, fill, options),)


def grid_tangent(options: GridOptions, tangent: Tensor, parameters: Tensor | None) -> tuple[Tensor, ...]:
    """TransformGridJvpFunction's forward in plain operations."""
    parameters = torch.zeros_like(tangent) if parameters is None else parameters  # linear: any will do
    return push_forward(partial(_reference_grid, options), (parameters,), (tangent,))


def grid_second(options: GridOptions, grad_grid: Tensor, tangent: Tensor, parameters: Tensor) -> tuple[Tensor, ...]:
    """TransformGridSecondFunction's forward in plain operations."""
    def gradient(parameters: Tensor) -> tuple[Tensor, ...]:
        return _vjp(partial(_reference_grid, options), parameters)[1]((grad_grid,))

    return _vjp(gradient, parameters)[1]((tangent,))


def _reference_grid(options: GridOptions, parameters: Tensor) -> tuple[Tensor]:
    return (_operators.reference_grid(parameters, options),)


def pull_back(
    function: Callable, tensors: Sequence[Tensor | None], wanted: Sequence[bool], cotangents: Sequence[Tensor | None]
) -> list[Tensor | None]:
    """The gradients by the wanted tensors, themselves differentiable."""
    outputs, pull = _vjp(_of_variables(function, tensors, wanted), *itertools.compress(tensors, wanted))
    found = iter(pull(_given_or_zeros(cotangents, outputs)))
    return [next(found) if want else None for want in wanted]


def push_forward(
    function: Callable, tensors: Sequence[Tensor | None], tangents: Sequence[Tensor | None]
) -> tuple[Tensor, ...]:
    """The tangents of the outputs, themselves differentiable.

    By transposing the transpose: func.jvp would enter a dual level, and torch refuses that inside one of forward_ad's.
    """
    moving = [tangent is not None for tangent in tangents]
    outputs, pull = _vjp(_of_variables(function, tensors, moving), *itertools.compress(tensors, moving))
    zeros = tuple(torch.zeros_like(output) for output in outputs)  # pull is linear, its derivative is the same everywhere
    return _vjp(pull, zeros)[1](tuple(itertools.compress(tangents, moving)))[0]


def _vjp(function: Callable, *primals: Any) -> tuple[Any, Callable]:
    """func.vjp; and the same by plain autograd in a plain call, which may have hooks on saved tensors: func.vjp refuses those.

    To either, a primal that depends on another is as independent as the others. That path is the caller's to count.
    """
    if torch._C._are_functorch_transforms_active() or forward_ad._current_level >= 0:
        outputs, pull = func.vjp(function, *primals)  # type: ignore[misc]  # a union, with a third part for has_aux
        return outputs, pull
    with torch.enable_grad():
        leaves = [primal.view_as(primal) if primal.requires_grad else primal.detach().requires_grad_() for primal in primals]
        outputs = function(*leaves)

    def pull_plainly(cotangents: Sequence[Tensor]) -> tuple[Tensor, ...]:
        dependent = [output.requires_grad for output in outputs]
        if not any(dependent):
            return tuple(torch.zeros_like(leaf) for leaf in leaves)
        return torch.autograd.grad(
            list(itertools.compress(outputs, dependent)), leaves, list(itertools.compress(cotangents, dependent)),
            create_graph=torch.is_grad_enabled(), materialize_grads=True)

    return outputs, pull_plainly


def _of_variables(function: Callable, tensors: Sequence[Tensor | None], variable: Sequence[bool]) -> Callable:
    """``function`` of those of its tensors alone that are variable."""
    def of_variables(*values: Tensor) -> Any:
        remaining = iter(values)
        return function(*(next(remaining) if varies else tensor for tensor, varies in zip(tensors, variable)))

    return of_variables


def _given_or_zeros(given: Sequence[Tensor | None], like: Sequence[Tensor]) -> tuple[Tensor, ...]:
    return tuple(torch.zeros_like(other) if tensor is None else tensor for tensor, other in zip(given, like))
