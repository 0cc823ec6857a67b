"""torch.jit.script of stn_cuda.scripting: values, gradients, saving, loading, errors."""

import io

import pytest
import torch
import torch.nn.functional as F
from cases import ALIGN_CORNERS, MODES, PADDING_MODES, TORCH_HAS_TRICUBIC, Case
from routed import assert_not_zero, assert_same, gradients

import stn_cuda
from stn_cuda import _C, scripting

pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit.*deprecated:DeprecationWarning")


def sample(input: torch.Tensor, grid: torch.Tensor, mode: str, padding_mode: str, align_corners: bool | None):
    return scripting.grid_sample(input, grid, mode, padding_mode, align_corners)


def make_grid(theta: torch.Tensor, align_corners: bool | None):
    return scripting.affine_grid(theta, [2, 1, 3, 4], align_corners)


class Transformer(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.theta = torch.nn.Parameter(torch.tensor([[[0.9, 0.1, 0.05], [-0.1, 1.1, 0.0]]]))

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        grid = scripting.affine_grid(self.theta.expand(image.shape[0], 2, 3), image.shape, False)
        return scripting.grid_sample(image, grid, align_corners=False)


@pytest.fixture(scope="module")
def scripted():
    return torch.jit.script(sample)


@pytest.mark.parametrize("align_corners", ALIGN_CORNERS)
@pytest.mark.parametrize("padding_mode", (*PADDING_MODES, "circular"))
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("dims", (2, 3))
def test_scripted_sampler_equals_torchs(dims, mode, padding_mode, align_corners, scripted, device):
    """Every name has the number that csrc/core/modes.h gives it."""
    case = Case(dims, mode, padding_mode, align_corners)
    tensors = case.tensors(device, torch.float64, away_from_kinks=True)
    actual = gradients(lambda input, grid: scripted(input, grid, mode, padding_mode, align_corners), tensors)
    torch_lacks = padding_mode not in PADDING_MODES or ((dims, mode) == (3, "bicubic") and not TORCH_HAS_TRICUBIC)
    judge = stn_cuda.grid_sample if torch_lacks else F.grid_sample
    assert actual[0].any()
    assert_same(actual, gradients(case.bind(judge), tensors))


def test_scripts_name_every_mode():
    assert set(MODES) == set(_C.INTERPOLATION_MODES) and {*PADDING_MODES, "circular"} == set(_C.PADDING_MODES)


@pytest.mark.parametrize("align_corners", (None, *ALIGN_CORNERS))
def test_scripted_affine_grid_equals_torchs(align_corners, device):
    theta = torch.linspace(-1, 1, 12, dtype=torch.float64, device=device).view(2, 2, 3)
    actual = gradients(lambda theta: torch.jit.script(make_grid)(theta, align_corners), (theta,))
    expected = gradients(lambda theta: F.affine_grid(theta, [2, 1, 3, 4], bool(align_corners)), (theta,))
    assert_not_zero(actual)
    assert_same(actual, expected)


def test_scripted_saved_and_loaded_module_trains(device):
    module, file = Transformer().to(device), io.BytesIO()
    image = torch.randn(2, 3, 5, 6, generator=torch.Generator().manual_seed(0)).to(device)
    torch.jit.save(torch.jit.script(module), file)
    file.seek(0)
    loaded = torch.jit.load(file)
    assert torch.equal(loaded(image), module(image))
    loaded(image).square().sum().backward()
    module(image).square().sum().backward()
    assert loaded.theta.grad.any()
    torch.testing.assert_close(loaded.theta.grad, module.theta.grad)


@pytest.mark.parametrize("arguments, said", [
    (("cubic", "zeros"), "mode to be one of bilinear, nearest, bicubic, got cubic"),
    (("bilinear", "edge"), "padding_mode to be one of zeros, border, reflection, circular, got edge")])
def test_unknown_names_are_refused_in_a_script(arguments, said, scripted, device):
    tensors = Case(2, "bilinear", "zeros", False).tensors(device, torch.float32, away_from_kinks=True)
    with pytest.raises(Exception, match=said):
        scripted(*tensors, *arguments, False)


def test_wrong_shapes_are_refused_in_a_script(scripted, device):
    input, grid = Case(2, "bilinear", "zeros", False).tensors(device, torch.float32, away_from_kinks=True)
    with pytest.raises(Exception, match="grid_sample.*grid"):
        scripted(input, grid[..., :1], "bilinear", "zeros", False)


@pytest.mark.parametrize("size", [[1, 1, 0, 3], [1, 0, 2, 3], [1, 1, -2, 3]], ids=str)
def test_an_empty_size_is_refused_in_a_script(size, device):
    with pytest.raises(Exception, match="size with positive entries only"):
        torch.jit.script(scripting.affine_grid)(torch.ones(1, 2, 3, device=device), size, False)


def test_outside_a_script_they_are_the_public_functions(device):
    tensors = Case(2, "bilinear", "zeros", False).tensors(device, torch.float64, away_from_kinks=True)
    expected = stn_cuda.grid_sample(*tensors, align_corners=False)
    assert torch.equal(scripting.grid_sample(*tensors, align_corners=False), expected)
    with pytest.warns(UserWarning, match="align_corners=False"):
        scripting.grid_sample(*tensors)
    theta = torch.eye(2, 3, device=device)[None]
    size = (1, 1, 2, 2)
    assert torch.equal(scripting.affine_grid(theta, size, False), stn_cuda.affine_grid(theta, size, False))
    with pytest.raises(ValueError, match="mode"):
        scripting.grid_sample(*tensors, mode="cubic", align_corners=False)


MIXES = [(torch.bfloat16, torch.float32), (torch.float16, torch.float16), (torch.float32, torch.float32)]


@pytest.mark.parametrize("dtypes", MIXES, ids=str)
def test_a_script_under_autocast_gives_torchs_dtype(dtypes, scripted, device):
    tensors = Case(2, "bilinear", "zeros", False).tensors(device, torch.float32, away_from_kinks=True)
    input, grid = (tensor.to(dtype) for tensor, dtype in zip(tensors, dtypes, strict=True))
    with torch.autocast(device.type, dtype=torch.bfloat16):
        output = scripted(input, grid, "bilinear", "zeros", False)
        assert output.dtype == F.grid_sample(input, grid, align_corners=False).dtype
        assert torch.equal(output, stn_cuda.grid_sample(input, grid, align_corners=False))
        theta = torch.ones(2, 2, 3, dtype=dtypes[0], device=device, requires_grad=True)
        made = torch.jit.script(make_grid)(theta, False)
    assert made.dtype == torch.float32
    made.sum().backward()
    assert theta.grad.dtype == dtypes[0] and theta.grad.any()
