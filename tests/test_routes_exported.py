"""torch.export, AOTInductor and torch.jit.trace of both functions: saved, loaded, run at other sizes, differentiated."""

from __future__ import annotations

import io
import shutil
import warnings

import pytest
import torch
from routed import EVERY, Routed, assert_not_zero, assert_same, gradients, leaves
from torch import nn

import stn_cuda

pytestmark = pytest.mark.usefixtures("fresh_dynamo")


class Transformer(nn.Module):
    """Both functions in one program whose output's batch is the image's."""

    def __init__(self) -> None:
        super().__init__()
        self.theta = nn.Parameter(torch.tensor([[[0.9, 0.1, 0.05], [-0.1, 1.1, 0.0]]]))

    def forward(self, image):
        grid = stn_cuda.affine_grid(self.theta.expand(image.shape[0], 2, 3), image.shape, align_corners=False)
        return stn_cuda.grid_sample(image, grid, align_corners=False)


class FusedTransformer(nn.Module):
    """A fused sampler, and a grid that has an operator of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.theta = nn.Parameter(torch.tensor([[[0.9, 0.1, 0.05], [-0.1, 1.1, 0.0], [0.1, 0.0, 1.0]]]))

    def forward(self, image):
        theta = self.theta.expand(image.shape[0], 3, 3)
        fused = stn_cuda.affine_sample(image, theta[:, :2], image.shape[2:])
        return fused + stn_cuda.grid_sample(image, stn_cuda.projective_grid(theta, image.shape[2:]), align_corners=False)


every_module = pytest.mark.parametrize("make", (Transformer, FusedTransformer))


def images(batch, device):
    return torch.randn(batch, 3, 8, 9, generator=torch.Generator().manual_seed(5)).to(device)


def exported(module, device, **options):
    dynamic = ({0: torch.export.Dim("batch", min=1, max=64)},)
    return torch.export.export(module, (images(3, device),), dynamic_shapes=dynamic, **options)


@pytest.mark.parametrize("strict", (False, True))
@every_module
def test_exported_saved_and_loaded_program_takes_any_batch(make, strict, device):
    module, file = make().to(device), io.BytesIO()
    torch.export.save(exported(module, device, strict=strict), file)
    file.seek(0)
    loaded = torch.export.load(file).module()
    for batch in (1, 2, 5):
        output = loaded(images(batch, device))
        assert_not_zero(output)
        torch.testing.assert_close(output, module(images(batch, device)))
    output.square().sum().backward()
    assert_not_zero([parameter.grad for parameter in loaded.parameters()])


@pytest.mark.slow
@every_module
def test_program_compiled_ahead_of_time_takes_any_batch(make, device, tmp_path):
    if shutil.which("g++") is None and shutil.which("clang++") is None:
        pytest.skip("AOTInductor needs a C++ compiler, and g++ and clang++ are not on the PATH")
    module = make().to(device)
    with torch.no_grad():
        package = torch._inductor.aoti_compile_and_package(exported(module, device), package_path=str(tmp_path / "model.pt2"))
        program = torch._inductor.aoti_load_package(package)
        for batch in (2, 5):
            output = program(images(batch, device))
            assert_not_zero(output)
            torch.testing.assert_close(output, module(images(batch, device)))


@pytest.mark.parametrize("requires_grad", (False, True), ids=("constant", "requires_grad"))
@pytest.mark.parametrize("routed", EVERY, ids=str)
def test_traced_saved_and_loaded_function_has_the_same_values_and_gradients(routed: Routed, requires_grad, device):
    tensors = routed.tensors(device)
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # torch means to remove TorchScript
        torch.jit.save(torch.jit.trace(routed.ours, leaves(tensors) if requires_grad else tensors), file)
        file.seek(0)
        loaded = torch.jit.load(file)
    actual = gradients(loaded, tensors)
    assert_not_zero(actual)
    assert_same(actual, gradients(routed.torchs, tensors))


@pytest.mark.parametrize("routed", EVERY, ids=str)
def test_tracing_warns_of_no_value_that_becomes_a_constant(routed: Routed, device):
    """torch's own grid_sample traces without; checks of shapes in Python need not be in the trace."""
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        torch.jit.trace(routed.ours, routed.tensors(device), check_trace=False)
    assert not [str(warning.message) for warning in seen if issubclass(warning.category, torch.jit.TracerWarning)]


@pytest.mark.parametrize("routed", EVERY, ids=str)
def test_traced_function_takes_another_batch(routed: Routed, device):
    tensors = routed.tensors(device)
    if len(tensors) == 1:
        pytest.skip("the size of affine_grid is a constant of the trace, its batch with it")
    traced = torch.jit.trace(routed.ours, tensors, check_trace=False)
    three = [torch.cat([tensor, tensor[:1]]) for tensor in tensors]
    assert_same(traced(*three), routed.torchs(*three))


@pytest.mark.parametrize("strict", (False, True))
@pytest.mark.parametrize("routed", EVERY, ids=str)
def test_vmap_inside_an_exported_program_equals_that_of_an_eager_one(routed: Routed, strict, device):
    """The one transform that torch.export takes, of plain operations alone."""

    class Batched(nn.Module):
        def forward(self, tensors):
            return torch.func.vmap(routed.ours)(*tensors)

    tensors = tuple(torch.stack([tensor, tensor.flip(0)]) for tensor in routed.tensors(device))
    exported = torch.export.export(Batched(), (tensors,), strict=strict)
    assert_same(exported.module()(tensors), torch.func.vmap(routed.judge)(*tensors))
