"""torch.compile of both functions, alone and with transforms inside: right, not zero, one graph, no recompilation."""

from __future__ import annotations

import pytest
import torch
from routed import (
    EVERY,
    ONE_EACH,
    Routed,
    assert_not_zero,
    assert_same,
    cubes,
    gradients,
    leaves,
    tangents,
)
from torch import func, nn
from torch._dynamo.backends.common import aot_autograd
from torch._dynamo.utils import counters
from torch.autograd import forward_ad

import stn_cuda
from stn_cuda import reference

pytestmark = pytest.mark.usefixtures("fresh_dynamo")


class Labelled(torch.Tensor):
    """A subclass without ways of its own."""


def compiled(function, backend="aot_eager", **options):
    return torch.compile(function, fullgraph=True, backend=backend, **options)


def graphs() -> int:
    return counters["stats"]["unique_graphs"]


@pytest.mark.parametrize("route", ("ours", "operator"))
@pytest.mark.parametrize("dynamic", (False, True), ids=("static", "dynamic"))
@pytest.mark.parametrize("routed", EVERY, ids=str)
def test_compiled_gradients_equal_torchs_in_one_graph(routed: Routed, dynamic, route, device):
    tensors = routed.tensors(device)
    actual = gradients(compiled(getattr(routed, route), dynamic=dynamic), tensors)
    assert_not_zero(actual)
    assert_same(actual, gradients(routed.torchs, tensors))
    assert graphs() == 1


@pytest.mark.parametrize("routed", ONE_EACH, ids=str)
def test_compiled_by_the_default_backend_whole_loss_equals_torchs(routed: Routed, device):
    tensors = routed.tensors(device)
    arguments = leaves(tensors)
    found = torch.autograd.grad(compiled(cubes(routed.ours), backend="inductor")(*arguments), arguments)
    assert_not_zero(found)
    assert_same(found, gradients(routed.torchs, tensors)[1:])
    assert graphs() == 1


def test_dynamic_shapes_of_grid_sample_never_recompile(device):
    # No two sizes of the first call are the same: torch takes those for one symbol. A 2 would be the last axis of grid.
    def sample(input, grid):
        return stn_cuda.grid_sample(input, grid, align_corners=False)

    function = compiled(sample, dynamic=True)
    for batch, channels, height, width, out in ((3, 4, 5, 6, 7), (2, 3, 9, 4, 7), (4, 5, 6, 8, 3), (7, 6, 5, 11, 9)):
        tensors = (
            torch.randn(batch, channels, height, width, dtype=torch.float64, device=device),
            torch.rand(batch, out, out + 2, 2, dtype=torch.float64, device=device) * 2 - 1,
        )
        assert_same(gradients(function, tensors), gradients(sample, tensors))
        assert graphs() == 1


def test_dynamic_shapes_of_affine_grid_never_recompile(device):
    def grid(theta, image):
        return stn_cuda.affine_grid(theta, image.shape, align_corners=False)

    function = compiled(grid, dynamic=True)
    for batch, height, width in ((4, 5, 6), (3, 9, 4), (2, 6, 8), (7, 5, 11)):
        image = torch.zeros(batch, 1, height, width, dtype=torch.float64, device=device)
        theta = torch.randn(batch, 2, 3, dtype=torch.float64, device=device)
        actual, expected = (gradients(lambda theta, f=f, image=image: f(theta, image), (theta,)) for f in (function, grid))
        assert_same(actual, expected)
        assert graphs() == 1


def test_several_calls_in_one_program_are_one_graph(device):
    """The whole transformer: theta to grid to samples, twice, with a loss."""
    image, theta = ONE_EACH[0].tensors(device)[0], ONE_EACH[1].tensors(device)[0]

    def program(functions):
        def run(image, theta):
            for padding_mode in ("zeros", "border"):
                grid = functions.affine_grid(theta, image.shape, align_corners=False)
                image = functions.grid_sample(image, grid, padding_mode=padding_mode, align_corners=False)
            return image

        return run

    actual = gradients(compiled(program(stn_cuda)), (image, theta))
    assert_not_zero(actual)
    assert_same(actual, gradients(program(nn.functional), (image, theta)))
    assert graphs() == 1


@pytest.mark.parametrize("dynamic", (False, True), ids=("static", "dynamic"))
@pytest.mark.parametrize("backend", ("eager", "aot_eager"))
def test_wrong_shape_in_a_compiled_function_is_refused_by_name(backend, dynamic, device):
    input, grid = ONE_EACH[0].tensors(device)
    theta = ONE_EACH[1].tensors(device)[0]
    with pytest.raises(Exception, match=r"(?s)grid_sample\(\).*grid.*got"):  # Dynamo's own type, with the message inside
        compiled(ONE_EACH[0].ours, backend, dynamic=dynamic)(input, grid[..., :1])
    with pytest.raises(Exception, match=r"(?s)affine_grid\(\).*theta.*got"):
        compiled(ONE_EACH[1].ours, backend, dynamic=dynamic)(theta[:, :1])


@pytest.mark.parametrize("dynamic", (None, False, True), ids=("auto", "static", "dynamic"))
def test_a_refused_call_leaves_a_compiled_function_as_it_was(dynamic, device):
    """An error breaks the graph, and Dynamo compiles what is left frame by frame."""
    input, grid = ONE_EACH[0].tensors(device)
    function = torch.compile(ONE_EACH[0].ours, backend="eager", dynamic=dynamic)
    with pytest.raises(RuntimeError, match="expected grid of the dtype of input, torch.float64.*got torch.float32"):
        function(input, grid.float())
    assert_same(function(input, grid), ONE_EACH[0].ours(input, grid))


@pytest.mark.parametrize("dynamic", (None, False, True), ids=("auto", "static", "dynamic"))
def test_a_subclass_of_tensor_goes_through_a_compiled_function(dynamic, device):
    input, grid = ONE_EACH[0].tensors(device)
    function = torch.compile(ONE_EACH[0].ours, backend="eager", dynamic=dynamic)
    assert_same(function(input.as_subclass(Labelled), grid).as_subclass(torch.Tensor), ONE_EACH[0].ours(input, grid))


@pytest.mark.parametrize("routed", ONE_EACH, ids=str)
def test_functionalize_equals_the_plain_call(routed: Routed, device):
    tensors = routed.tensors(device)
    assert_same(func.functionalize(routed.ours)(*tensors), routed.ours(*tensors))


TRANSFORMS = {
    "grad": lambda f, tensors: func.grad(cubes(f), tuple(range(len(tensors))))(*tensors),
    "vjp": lambda f, tensors: func.vjp(f, *tensors)[1](torch.ones_like(f(*tensors))),
    "jvp": lambda f, tensors: func.jvp(f, tensors, tangents(tensors)),
    "vmap": lambda f, tensors: func.vmap(f)(*(tensor.unsqueeze(0) for tensor in tensors)),
    "vmap(grad)": lambda f, tensors: func.vmap(func.grad(cubes(f)))(*(tensor.unsqueeze(0) for tensor in tensors)),
    "jacrev": lambda f, tensors: func.jacrev(f)(*tensors),
    "jacfwd": lambda f, tensors: func.jacfwd(f)(*tensors),
    "jvp(grad)": lambda f, tensors: func.jvp(func.grad(cubes(f)), tensors, tangents(tensors)),
    "grad(vmap)": lambda f, tensors: func.grad(cubes(func.vmap(f)))(*(tensor.unsqueeze(0) for tensor in tensors)),
    "hessian": lambda f, tensors: func.hessian(cubes(f))(*tensors),
    "jvp(jvp)": lambda f, tensors: func.jvp(
        lambda *primals: func.jvp(f, primals, tangents(tensors))[1].pow(2) + f(*primals), tensors, tangents(tensors)
    ),
}


@pytest.mark.parametrize("name", TRANSFORMS)
@pytest.mark.parametrize("routed", ONE_EACH, ids=str)
def test_transform_inside_a_compiled_function_equals_that_of_plain_operations(routed: Routed, name, device):
    """A Function that Dynamo traces inside a transform gives zeros, silently."""
    tensors = routed.tensors(device)
    actual = compiled(lambda *tensors: TRANSFORMS[name](routed.ours, tensors))(*tensors)
    assert_not_zero(actual)
    assert_same(actual, TRANSFORMS[name](routed.judge, tensors))


@pytest.mark.parametrize("backend", ("aot_eager", "inductor"))
def test_vmap_of_both_functions_in_a_compiled_program_runs_their_kernels(backend, device):
    """A spatial transformer of one image and many thetas, with the gradients of each, in one graph without the reference."""
    image, theta = ONE_EACH[0].tensors(device)[0], ONE_EACH[1].tensors(device)[0]
    thetas = torch.stack([theta, theta.flip(0), theta * 0.9])

    def program(functions):
        def loss(image, theta):
            grid = functions.affine_grid(theta, [*image.shape], align_corners=False)
            return functions.grid_sample(image, grid, align_corners=False).pow(3).sum()

        return lambda image, thetas: func.vmap(func.grad(loss, (0, 1)), in_dims=(None, 0))(image, thetas)

    seen = []

    def see(graph, _):
        seen.extend(str(node.target) for node in graph.graph.nodes)
        return graph

    actual = compiled(program(stn_cuda), backend)(image, thetas)
    assert_not_zero(actual)
    assert_same(actual, program(reference)(image, thetas))
    assert graphs() == 1
    torch._dynamo.reset()
    compiled(program(stn_cuda), aot_autograd(fw_compiler=see))(image, thetas)
    if device.type != "cuda":
        assert {name for name in seen if name.startswith("stn_cuda")} == {
            f"stn_cuda.{name}.default"
            for name in ("_transform_grid", "transform_grid_backward", "_grid_sample", "grid_sample_backward")
        }
        assert not [name for name in seen if "gather" in name]


@pytest.mark.parametrize("name", ("grad", "jvp", "vmap"))
@pytest.mark.parametrize("routed", ONE_EACH, ids=str)
def test_transform_of_a_compiled_function_is_right_or_refused(routed: Routed, name, device):
    tensors = routed.tensors(device)
    try:
        actual = TRANSFORMS[name](torch.compile(routed.ours, backend="aot_eager"), tensors)
    except Exception as error:  # torch's own kinds, by version and transform
        assert str(error)
    else:
        assert_not_zero(actual)
        assert_same(actual, TRANSFORMS[name](routed.judge, tensors))


def refused_or_right_tangent(call, expected):
    try:
        tangent = call()
    except Exception as error:  # Dynamo wraps what is raised inside in its own
        assert str(error)
    else:
        assert_not_zero(tangent)
        assert_same(tangent, expected)


@pytest.mark.parametrize("backend", ("aot_eager", "inductor"))
@pytest.mark.parametrize("requires_grad", (False, True), ids=("constant", "requires_grad"))
@pytest.mark.parametrize("route", ("ours", "operator"))
@pytest.mark.parametrize("routed", ONE_EACH, ids=str)
def test_dual_numbers_given_to_a_compiled_function_never_lose_their_tangent(
    routed: Routed, route, requires_grad, backend, device
):
    tensors = routed.tensors(device)
    expected = func.jvp(routed.judge, tensors, tangents(tensors))[1]
    with forward_ad.dual_level():
        primals = leaves(tensors) if requires_grad else tensors
        duals = [forward_ad.make_dual(p, t) for p, t in zip(primals, tangents(tensors), strict=True)]
        function = compiled(getattr(routed, route), backend)
        refused_or_right_tangent(lambda: forward_ad.unpack_dual(function(*duals)).tangent, expected)


@pytest.mark.parametrize("route", ("ours", "operator"))
@pytest.mark.parametrize("routed", ONE_EACH, ids=str)
def test_dual_numbers_made_in_a_compiled_function_never_lose_their_tangent(routed: Routed, route, device):
    """Unpacked inside too: what leaves the program as a dual number loses its tangent for torch's own operators as well."""
    tensors = routed.tensors(device)
    expected = func.jvp(routed.judge, tensors, tangents(tensors))[1]

    def function(primals, directions):
        duals = [forward_ad.make_dual(p, t) for p, t in zip(primals, directions, strict=True)]
        return forward_ad.unpack_dual(getattr(routed, route)(*duals)).tangent

    with forward_ad.dual_level():
        refused_or_right_tangent(lambda: compiled(function)(tensors, tangents(tensors)), expected)
