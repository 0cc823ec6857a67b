"""torch.func's transforms and their nestings, as ``transform(f, tensors)`` of a function of tensors and its arguments."""

from __future__ import annotations

import torch
from routed import cubes, tangents
from torch import func


def every(tensors):
    return tuple(range(len(tensors)))


def stacked(tensors):
    """Each tensor and another beside it, along a new first axis."""
    return tuple(torch.stack([tensor, tensor.flip(0) if tensor.dim() else -tensor]) for tensor in tensors)


def grad(f, tensors):
    return func.grad(cubes(f), every(tensors))(*tensors)


def jvp(f, tensors):
    return func.jvp(f, tuple(tensors), tangents(tensors))[1]


def vjp(f, tensors):
    output, pull = func.vjp(f, *tensors)
    return pull(*tangents((output,)))


def linearize(f, tensors):
    return func.linearize(f, *tensors)[1](*tangents(tensors))


def jacobian(transform):
    return lambda f, tensors: transform(f, every(tensors))(*tensors)


def jacobian_of_loss(outer, inner):
    return lambda f, tensors: outer(inner(cubes(f), every(tensors)), every(tensors))(*tensors)


def vmap(transform):
    return lambda f, tensors: func.vmap(lambda *one: transform(f, one))(*stacked(tensors))


def of_vmap(transform):
    return lambda f, tensors: transform(func.vmap(f), stacked(tensors))


def of_grad(transform):
    """``transform`` of the gradient by all arguments, as one vector."""
    return lambda f, tensors: transform(
        lambda *primals: torch.cat([gradient.flatten() for gradient in grad(f, primals)]), tensors
    )


def of_jvp(transform):
    """``transform`` of the tangent as a function of the primals."""
    return lambda f, tensors: transform(lambda *primals: jvp(f, primals).pow(2) + f(*primals), tensors)


FIRST = {
    "grad": grad,
    "vjp": vjp,
    "jvp": jvp,
    "linearize": linearize,
    "jacrev": jacobian(func.jacrev),
    "jacfwd": jacobian(func.jacfwd),
    "vmap(grad)": vmap(grad),
    "grad(vmap)": of_vmap(grad),
    "vmap(jvp)": vmap(jvp),
    "jvp(vmap)": of_vmap(jvp),
    "vmap(vjp)": vmap(vjp),
    "vmap(jacrev)": vmap(jacobian(func.jacrev)),
    "vmap(jacfwd)": vmap(jacobian(func.jacfwd)),
    "vmap(vmap(grad))": lambda f, tensors: func.vmap(lambda *one: vmap(grad)(f, one))(*stacked(tensors)),
}
SECOND = {
    "hessian": jacobian_of_loss(func.jacfwd, func.jacrev),
    "jacrev(jacrev)": jacobian_of_loss(func.jacrev, func.jacrev),
    "jacrev(jacfwd)": jacobian_of_loss(func.jacrev, func.jacfwd),
    "jvp(grad)": of_grad(jvp),
    "grad(grad)": of_grad(grad),
    "grad(jvp)": of_jvp(grad),
    "vmap(hessian)": vmap(lambda f, tensors: func.hessian(cubes(f), every(tensors))(*tensors)),
    "vmap(grad(grad))": vmap(of_grad(grad)),
    "vmap(jvp(grad))": vmap(of_grad(jvp)),
    "jvp(grad(vmap))": of_vmap(of_grad(jvp)),
}
HIGHER = {  # third derivatives and forward over forward
    "jacfwd(jacfwd)": jacobian_of_loss(func.jacfwd, func.jacfwd),
    "jvp(jvp)": of_jvp(jvp),
    "grad(grad(grad))": of_grad(of_grad(grad)),
    "jvp(grad(grad))": of_grad(of_grad(jvp)),
    "vmap(jvp(jvp))": vmap(of_jvp(jvp)),
    "vmap(grad(grad(grad)))": vmap(of_grad(of_grad(grad))),
    "jvp(grad(jvp))": of_jvp(of_grad(jvp)),
}
