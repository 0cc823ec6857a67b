"""Loads the two native libraries: ``_C``, which can explain itself anywhere, and the operators, which need torch."""
from pathlib import Path

import torch

REBUILD = "`make build` in a checkout, else `pip install --force-reinstall --no-deps --no-cache-dir` of the same source"
REBUILD_WITH_CUDA = REBUILD.replace("`make", "`FORCE_CUDA=1 make").replace("`pip", "`FORCE_CUDA=1 pip")

try:
    from . import _C
except ImportError as error:
    raise ImportError(
        f"stn_cuda: its native module is not built for this Python, or not at all; build it: {REBUILD}") from error

OPERATORS = Path(__file__).with_name("libstn_cuda_ops.so")


def _version(text: str | None) -> tuple[int, ...]:
    return tuple(int(part) for part in (text or "0").split("+")[0].split(".")[:2])


def load() -> None:
    """Register the operators under ``torch.ops.stn_cuda``."""
    info = _C.build_info()
    if _version(torch.__version__) < _version(info["torch_minimum"]):
        raise ImportError(f"stn_cuda needs torch {info['torch_minimum']} or later, this is {torch.__version__}")
    try:
        torch.ops.load_library(str(OPERATORS))
    except OSError as error:
        raise ImportError(
            f"stn_cuda: {OPERATORS.name} doesn't load into torch {torch.__version__} (it was built against "
            f"{info['torch_built_against']}); build it again: {REBUILD}\n  ({error})") from error


load()
