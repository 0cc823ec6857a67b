"""stn_cuda.patch beneath what compiles: torch.compile, torch.jit.script and trace, torch.fx."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from contextlib import nullcontext

import pytest
import torch
from callers import OURS, Elsewhere, another, apply_grid, sample, transform
from cases import Case
from functorch.compile import make_boxed_func
from routed import assert_same, gradients
from torch._dynamo import trace_rules
from torch._dynamo.backends.common import aot_autograd

from stn_cuda import _checks, patch

CASE = Case(2, "bilinear", "border", False)

pytestmark = [
    pytest.mark.usefixtures("torch_functions_as_before"),
    pytest.mark.filterwarnings("ignore:.*torch.jit.*deprecated:DeprecationWarning"),
]


@pytest.fixture
def pair(device):
    return CASE.tensors(device, torch.float64, away_from_kinks=True)


# ---- torch.compile -----------------------------------------------------------------------------------------------------


@pytest.fixture(params=("torchs", "ours"))
def met_first(request) -> Iterator[None]:
    """Dynamo looks once for torch.nn.functional.grid_sample, and takes what it finds into its graphs without a look inside."""
    rules = trace_rules.get_torch_obj_rule_map
    rules.cache_clear()
    with patch() if request.param == "ours" else nullcontext():
        rules()
    yield
    rules.cache_clear()


class Graphs(list):
    """A backend of torch.compile that notes the operators of every graph it is given, forward and backward."""

    def __call__(self, module, inputs):
        return aot_autograd(fw_compiler=self.note)(module, inputs)

    def note(self, module, inputs):
        self.append({str(node.target) for node in module.graph.nodes if node.op == "call_function"})
        return make_boxed_func(module.forward)


def compiled_anew(graphs: Graphs | str, **options):
    torch._dynamo.reset()
    return torch.compile(lambda *tensors: sample(*tensors), fullgraph=True, backend=graphs, **options)


@pytest.mark.usefixtures("met_first")
def test_compiled_caller_follows_the_switch(pair):
    graphs = Graphs()
    compiled = compiled_anew(graphs)
    expected = compiled(*pair)
    with patch():
        torch.testing.assert_close(compiled(*pair), expected)
    assert torch.equal(compiled(*pair), expected)
    assert [any(name.startswith("stn_cuda.") for name in graph) for graph in graphs] == [False, True]


@pytest.mark.usefixtures("met_first")
@pytest.mark.parametrize("dynamic", (False, True))
def test_compiled_caller_trains(dynamic, pair):
    expected = gradients(sample, pair)
    with patch():
        assert_same(gradients(compiled_anew("aot_eager", dynamic=dynamic), pair), expected)


@pytest.mark.usefixtures("met_first")
@pytest.mark.filterwarnings("ignore:stn_cuda does not support a call")
def test_compiled_call_falls_through_without_a_break(pair, monkeypatch):
    expected, graphs = sample(*pair), Graphs()
    monkeypatch.setattr(_checks, "DTYPES", (torch.float32,))
    with patch():
        assert torch.equal(compiled_anew(graphs)(*pair), expected)
    (names,) = graphs
    assert not any("stn_cuda" in name for name in names) and any("grid_sampler" in name for name in names)


# ---- scripts and traces ------------------------------------------------------------------------------------------------


def test_scripted_callers_give_the_same_and_hold_the_kernels_operators(pair, device):
    theta = torch.tensor([[[0.8, 0.2, 0.1], [-0.3, 0.9, -0.2]]], dtype=torch.float64, device=device)

    def script():
        return torch.jit.script(another(apply_grid))

    def results(scripted):
        return [gradients(lambda *t, m=mode: scripted(*t, [5, 6], m), (pair[0], theta)) for mode in ("bilinear", "bicubic")]

    expected = results(script())
    with patch():
        ours = script()
    graph = str(ours.inlined_graph)
    assert "stn_cuda::grid_sample" in graph and "stn_cuda::affine_grid" in graph
    assert_same(results(ours), expected)  # outside the block, too: what has been compiled stays


def test_script_that_was_made_before_is_given_again():
    function = another(apply_grid)
    torch.jit.script(function)
    with patch():
        assert "stn_cuda::" not in str(torch.jit.script(function).inlined_graph)
        assert "stn_cuda::" in str(torch.jit.script(another(apply_grid)).inlined_graph)


def test_traced_and_symbolically_traced_callers_hold_it(pair):
    def caller(image, grid):
        return sample(image, grid)

    expected = sample(*pair)
    with patch():
        traced, symbolic = torch.jit.trace(caller, pair), torch.fx.symbolic_trace(caller)
    assert "stn_cuda::" in str(traced.inlined_graph)
    assert [node.target for node in symbolic.graph.nodes if node.op == "call_function"] == [OURS["grid_sample"]]
    for caller in (traced, symbolic, pickle.loads(pickle.dumps(symbolic))):
        torch.testing.assert_close(caller(*pair), expected)


def test_script_takes_another_devices_call_to_torchs(pair):
    with patch():
        scripted = torch.jit.script(another(sample)), torch.jit.script(another(transform))
    with pytest.warns(UserWarning, match="stn_cuda has no grid_sample for lazy"):
        output = scripted[0](*(Elsewhere(tensor) for tensor in pair))
    assert_same(output.inner, sample(*pair))
    with pytest.warns(UserWarning, match="stn_cuda has no affine_grid for lazy"):
        assert scripted[1](Elsewhere(torch.zeros(2, 2, 3))).inner.shape == (2, 3, 4, 2)
