"""What grid_sample takes beyond torch's, in rows such that every two values of two options meet in one of them.

All combinations would be a hundred thousand; a bug that needs three options at once to show is rare. Tensors keep away from
kinks or sit on them, as in ``cases``.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass, fields, replace
from typing import Any

import layouts
import torch
from cases import EXACT_IN_SIZE, Case, coordinates_between_kinks, coordinates_on_kinks
from torch import Tensor

from stn_cuda import _C

NUMBER = 0.75  # exact in 16 bits
TAKES_FILL = ("zeros", "fill", "border")

OPTIONS: dict[str, Sequence[Any]] = {
    "dims": (1, 2, 3),
    "out_rank": (1, 2, 3, 4),
    "mode": ("bilinear", "nearest", "bicubic"),
    # a mode an axis: the first dims of them
    "padding": ("zeros", "fill", "border", "reflection", "circular", ("circular", "border", "zeros"),
                ("fill", "circular", "reflection"), ("border", "reflection", "fill"), ("reflection", "zeros", "circular")),
    "fill": ("none", "number", "scalar", "channels", "images"),
    "convention": ("edges", "centres", "pixel"),
    "broadcast": ("none", "input", "grid"),
    "layout": ("contiguous", "channels_last", "expanded_channels", "sliced"),
    "dtype": ("float64", "float32", "float16", "bfloat16_with_float32"),
}  # fmt: skip


@dataclass(frozen=True)
class Row:
    """One way of sampling."""

    dims: int
    out_rank: int
    mode: str
    padding: str | tuple[str, ...]
    fill: str
    convention: str
    broadcast: str
    layout: str
    dtype: str

    def __str__(self) -> str:
        texts = ["_".join(value) if isinstance(value, tuple) else str(value) for value in astuple(self)]
        return f"{texts[0]}d-{texts[1]}out-" + "-".join(texts[2:])

    @property
    def is_valid(self) -> bool:
        """A fill_value where one is needed, none where no axis takes it; memory formats of images and volumes."""
        modes = [self.padding] if isinstance(self.padding, str) else self.padding[: self.dims]
        needed, taken = "fill" in modes, any(mode in TAKES_FILL for mode in modes)
        fits = needed <= (self.fill != "none") <= taken
        return fits and not (self.layout == "channels_last" and self.dims == 1)

    @property
    def dtypes(self) -> tuple[torch.dtype, torch.dtype]:
        """Of input and grid."""
        names = self.dtype.split("_with_")
        return getattr(torch, names[0]), getattr(torch, names[-1])

    def options(self) -> dict[str, Any]:
        """Keyword arguments of grid_sample without a fill_value that is a tensor."""
        padding = self.padding if isinstance(self.padding, str) else self.padding[: self.dims]
        given: dict[str, Any] = {"mode": self.mode, "padding_mode": padding}
        if self.convention == "pixel":
            given["coordinates"] = "pixel"
        else:
            given["align_corners"] = self.convention == "centres"
        return given | ({"fill_value": NUMBER} if self.fill == "number" else {})

    def operator_options(self, fill: Tensor | None = None) -> tuple[int, list[int], int, Tensor | None, bool]:
        """As torch.ops.stn_cuda's operators take them; ``fill`` is [N or 1, C] in the dtype that is computed in."""
        modes = [self.padding] if isinstance(self.padding, str) else self.padding[: self.dims]
        padding = [_C.PADDING_MODES["zeros" if mode == "fill" else mode] for mode in modes]
        convention = _C.COORDINATE_CONVENTIONS["pixels" if self.convention == "pixel" else self.convention]
        return _C.INTERPOLATION_MODES[self.mode], padding, convention, fill, False

    def bind(self, sampler: Callable[..., Tensor]) -> Callable[..., Tensor]:
        """``sampler`` as a function of ``tensors``: input, in the row's layout, grid, and fill_value if there is a tensor."""
        def sample(input: Tensor, grid: Tensor, *fill: Tensor) -> Tensor:
            if self.layout != "contiguous":  # it is, or else as the test wants it
                input = getattr(layouts, self.layout)(input)
            return sampler(input, grid, **self.options(), **(dict(fill_value=fill[0]) if fill else {}))

        return sample

    def tensors(
        self,
        device: torch.device,
        *,
        on_kinks: bool = False,
        batch: int = 2,
        channels: int = 3,
        in_size: Sequence[int] | None = None,
        out_size: Sequence[int] = (2, 2, 3, 5),
        seed: int = 0,
    ) -> list[Tensor]:
        """input, grid[, fill_value]. ``in_size``: the last dims of it; ``out_size``: the first out_rank of it."""
        draw = coordinates_on_kinks if on_kinks else coordinates_between_kinks
        generator = torch.Generator().manual_seed(seed)
        align_corners = self.convention == "centres"
        sizes = tuple(in_size or EXACT_IN_SIZE[align_corners])[-self.dims :]
        image_dtype, grid_dtype = self.dtypes

        def randn(*shape: int) -> Tensor:
            return torch.randn(shape, generator=generator, dtype=torch.float64).to(device, image_dtype)

        input = randn(1 if self.broadcast == "input" else batch, channels, *sizes)
        shape = (1 if self.broadcast == "grid" else batch, *out_size[: self.out_rank])
        columns = [draw(shape, size, generator) for size in reversed(sizes)]
        if self.convention == "pixel":
            grid = torch.stack(columns, -1)
        else:
            grid = Case(self.dims, self.mode, "", align_corners).normalize(columns, sizes)
        of_shape = {"scalar": (), "channels": (channels,), "images": (batch, channels)}
        fill = [randn(*of_shape[self.fill])] if self.fill in of_shape else []
        return [input, grid.to(device, grid_dtype), *fill]


def pairwise(options: dict[str, Sequence[Any]], is_valid: Callable[[dict[str, Any]], bool], tries: int = 300) -> list[dict]:
    """Rows in which each pair of two options' values occurs, if ``tries`` random rows that have it find a valid one."""
    chance = random.Random(0)
    waiting = {pair: None for a, b in itertools.combinations(options, 2)
               for pair in itertools.product([(a, x) for x in options[a]], [(b, y) for y in options[b]])}  # fmt: skip
    rows = []
    while waiting:
        first = next(iter(waiting))
        drawn = [{name: chance.choice(values) for name, values in options.items()} | dict(first) for _ in range(tries)]
        candidates = [row for row in drawn if is_valid(row)]
        if candidates:
            rows.append(max(candidates, key=lambda row: sum(pair in waiting for pair in pairs(row))))
        for pair in pairs(rows[-1]) if candidates else [first]:
            waiting.pop(pair, None)
    return rows


def pairs(row: dict[str, Any]) -> list[tuple]:
    return list(itertools.combinations(row.items(), 2))


ROWS = [Row(**row) for row in pairwise(OPTIONS, lambda row: Row(**row).is_valid)]


FEW = [  # where a test takes a second: each option once
    Row(2, 1, "bilinear", "fill", "images", "pixel", "none", "contiguous", "float64"),
    Row(2, 2, "bilinear", ("circular", "border"), "none", "edges", "input", "contiguous", "float64"),
    Row(2, 3, "bicubic", "border", "channels", "centres", "grid", "contiguous", "float64"),
    Row(1, 1, "bilinear", "reflection", "none", "pixel", "none", "contiguous", "float64"),
    Row(3, 4, "bilinear", "zeros", "scalar", "edges", "none", "contiguous", "float64"),
]


def double_rows() -> list[Row]:
    """All in float64, where gradients are exact enough to check."""
    return list(dict.fromkeys(replace(row, dtype="float64") for row in ROWS))


assert [field.name for field in fields(Row)] == list(OPTIONS)
