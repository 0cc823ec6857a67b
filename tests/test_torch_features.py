"""What programs rely on in torch itself: subclasses, modes, fake, viewed, lazy, inference and empty tensors.

``test_autograd`` has in-place changes, checkpoints and kept graphs, ``test_autograd_features`` hooks, determinism and modules,
``test_routes*`` transforms, compilers and exporters.
"""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from cases import Case
from routed import EVERY, ONE_EACH, Routed, assert_not_zero, assert_same, cubes, gradients, leaves, tangents
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_map

import stn_cuda

CASE = Case(2, "bilinear", "zeros", False)
sample = CASE.bind(stn_cuda.grid_sample)


@pytest.fixture
def pair(device):
    return CASE.tensors(device, torch.float64, away_from_kinks=True)


# ---- subclasses and modes -----------------------------------------------------------------------------------------------


class Named(torch.Tensor):
    """Carries a name along, as MONAI's MetaTensor does its metadata."""

    name = None

    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        result = super().__torch_function__(func, types, args, kwargs or {})
        names = [argument.name for argument in args if isinstance(argument, cls)]
        if isinstance(result, cls) and names:
            result.name = names[0]
        return result


@pytest.mark.parametrize("routed", EVERY, ids=str)
def test_torch_function_subclass_keeps_its_type_metadata_and_gradient(routed: Routed, device):
    plain = leaves(routed.tensors(device))
    expected = torch.autograd.grad(cubes(routed.torchs)(*plain), plain)
    for which in range(len(plain)):
        tensors = list(plain)
        tensors[which] = plain[which].as_subclass(Named)
        tensors[which].name = "scan"
        output = routed.ours(*tensors)
        assert type(output) is Named and output.name == "scan"
        assert_same([g.as_subclass(torch.Tensor) for g in torch.autograd.grad(output.pow(3).sum(), plain)], list(expected))


class Calls(TorchFunctionMode):
    """Notes every call; gives ``answer``, if there is one, in the place of its result."""

    def __init__(self, answer=None) -> None:
        super().__init__()
        self.seen, self.answer = [], answer

    def __torch_function__(self, func, types, args=(), kwargs=None):
        self.seen.append((func, args, kwargs or {}))
        return func(*args, **(kwargs or {})) if self.answer is None else self.answer


@pytest.mark.parametrize(
    "function, shapes, rest, options",
    [
        (stn_cuda.grid_sample, [(1, 1, 3, 4), (1, 2, 2, 2)], (), {"mode": "nearest", "padding_mode": "border"}),
        (stn_cuda.affine_grid, [(1, 2, 3)], ((1, 1, 3, 4),), {}),
    ],
    ids=("grid_sample", "affine_grid"),
)
def test_torch_function_mode_sees_one_call_with_its_arguments_and_may_answer_it(function, shapes, rest, options, device):
    arguments = (*(torch.zeros(shape, device=device) for shape in shapes), *rest)
    options = {**options, "align_corners": True}
    with Calls() as calls:
        result = function(*arguments, **options)
    ((seen, args, kwargs),) = calls.seen
    assert seen is function and kwargs == options
    assert all(one is other for one, other in zip(args, arguments, strict=True))
    assert torch.equal(result, function(*arguments, **options))
    with Calls(answer="answer"):
        assert function(*arguments, **options) == "answer"


class Logged(torch.Tensor):
    """A tensor around another that sees every operator (``__torch_dispatch__``)."""

    seen: list[str] = []

    @staticmethod
    def __new__(cls, inner):
        return torch.Tensor._make_wrapper_subclass(
            cls, inner.shape, strides=inner.stride(), dtype=inner.dtype, device=inner.device
        )

    def __init__(self, inner):
        self.inner = inner

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        cls.seen.append(str(func))
        args, kwargs = tree_map(lambda x: x.inner if isinstance(x, cls) else x, (args, kwargs or {}))
        return tree_map(lambda x: cls(x) if isinstance(x, torch.Tensor) else x, func(*args, **kwargs))


@pytest.mark.parametrize("routed", ONE_EACH, ids=str)
def test_torch_dispatch_subclass_gets_the_operators_forward_and_backward(routed: Routed, device):
    tensors = routed.tensors(device)
    expected = gradients(routed.torchs, tensors)
    wrapped = [Logged(tensor).requires_grad_() for tensor in tensors]
    Logged.seen.clear()
    output = routed.ours(*wrapped)
    found = torch.autograd.grad(output, wrapped, Logged(3 * output.inner.detach().pow(2)))
    assert type(output) is Logged and all(type(gradient) is Logged for gradient in found)
    assert_same([output.inner.detach(), *(gradient.inner for gradient in found)], list(expected))
    assert sum(name.startswith("stn_cuda.") for name in Logged.seen) >= 2


@pytest.mark.parametrize("routed", EVERY, ids=str)
def test_fake_tensors_give_fake_results_and_gradients_of_the_real_shapes(routed: Routed, device):
    tensors = routed.tensors(device)
    with FakeTensorMode() as mode:
        fakes = gradients(routed.ours, [mode.from_tensor(tensor) for tensor in tensors])
    for fake, real in zip(fakes, gradients(routed.ours, tensors), strict=True):
        assert isinstance(fake, FakeTensor)
        assert (fake.shape, fake.dtype, fake.device) == (real.shape, real.dtype, real.device)


@pytest.mark.parametrize("routed", ONE_EACH, ids=str)
def test_default_dtype_and_default_device_do_not_reach_the_result(routed: Routed, device):
    tensors = [tensor.float() for tensor in routed.tensors(device)]
    expected = gradients(routed.ours, tensors)
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        with torch.device("meta"):
            actual = gradients(routed.ours, tensors)
    finally:
        torch.set_default_dtype(before)
    assert all(one.dtype == torch.float32 and torch.equal(one, other) for one, other in zip(actual, expected, strict=True))


# ---- kinds of tensors ---------------------------------------------------------------------------------------------------


def negative_view(tensor):
    """The same values, by a real view with the negative bit of a conjugated complex tensor."""
    view = torch.complex(torch.zeros_like(tensor), -tensor).conj().imag
    assert view.is_neg()
    return view


def real_view_of_conjugate(tensor):
    return torch.complex(tensor, tensor).conj().real


def expanded(tensor):
    """Stride 0 everywhere."""
    return tensor.flatten()[5].expand_as(tensor)


@pytest.mark.parametrize("make", (negative_view, real_view_of_conjugate, expanded))
@pytest.mark.parametrize("routed", EVERY, ids=str)
def test_views_with_a_negative_bit_of_conjugates_and_without_strides_equal_dense_ones(routed: Routed, make, device):
    views = [make(tensor) for tensor in routed.tensors(device)]
    dense = [view.resolve_neg().contiguous() for view in views]
    results = []
    for tensors in (views, dense):
        arguments = [tensor.detach().requires_grad_() for tensor in tensors]
        output = routed.ours(*arguments)
        grad_output = make(*tangents((output.detach(),)))
        if tensors is dense:
            grad_output = grad_output.resolve_neg().contiguous()
        results.append([output.detach(), *torch.autograd.grad(output, arguments, grad_output)])
    assert all(torch.equal(one, other) for one, other in zip(*results, strict=True))


@pytest.mark.skipif(not hasattr(torch, "_lazy_clone"), reason="this torch has no copy-on-write tensors")
@pytest.mark.parametrize("routed", EVERY, ids=str)
def test_copy_on_write_tensors_are_read_and_not_copied(routed: Routed, device):
    tensors = routed.tensors(device)
    expected = gradients(routed.ours, tensors)
    lazy = [torch._lazy_clone(tensor).requires_grad_() for tensor in tensors]
    output = routed.ours(*lazy)
    assert all(torch._C._is_cow_tensor(tensor) for tensor in lazy)
    grad_output = torch._lazy_clone(3 * output.detach().pow(2))
    found = torch.autograd.grad(output, lazy, grad_output)
    assert all(torch._C._is_cow_tensor(tensor) for tensor in (*lazy, grad_output))
    assert_same([output.detach(), *found], list(expected))


def test_one_tensor_may_be_both_input_and_grid(device):
    tensor = (torch.rand(2, 2, 3, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(1)) * 1.6 - 0.8).to(device)
    ours, torchs = (gradients(lambda t, f=f: f(t, t), (tensor,)) for f in (sample, CASE.bind(F.grid_sample)))
    assert_not_zero(ours)
    assert_same(ours, torchs)


def test_inference_tensors_are_sampled_and_refused_by_autograd_as_torch_refuses_them(pair):
    input, grid = pair
    with torch.inference_mode():
        image = input.clone()
        assert sample(image, grid).is_inference()
    assert torch.equal(sample(image, grid), sample(input, grid)) and not sample(image, grid).is_inference()
    for function in (sample, CASE.bind(F.grid_sample)):
        with pytest.raises(RuntimeError, match="Inference tensors cannot be saved"):
            function(image, grid.clone().requires_grad_())


@pytest.mark.parametrize("empty", ("batch", "channels", "locations"))
def test_cotangent_of_size_zero_gives_zeros_of_the_arguments_shapes(empty, pair):
    input, grid = pair
    input = {"batch": input[:0], "channels": input[:, :0]}.get(empty, input)
    grid = {"batch": grid[:0], "locations": grid[:, :0]}.get(empty, grid)
    _, *found = gradients(sample, (input, grid))
    for gradient, tensor in zip(found, (input, grid), strict=True):
        assert gradient.shape == tensor.shape and not gradient.any()
