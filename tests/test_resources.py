"""tools/resources.py: reading ptxas' report, and what it complains about. Needs no nvcc."""

from __future__ import annotations

import re

import pytest
import resources
from resource_limits import LIMITS

PARAMS = "NS_12SampleParamsILi{dims}E{dtype}{index}NS_{source}ILi{dims}E{computed}{index}EEEEEEvT1_"
BACKWARD = "_ZN3stn4cuda27grid_sample_backward_kernelILNS_17InterpolationModeE{mode}E{padding}" + PARAMS
FIXED, RUNTIME = "NS_7PaddingILNS_11PaddingModeE1EEE", "NS_14RuntimePaddingE"

REPORT = """ptxas info    : 0 bytes gmem
ptxas info    : Compiling entry function '{one}' for 'sm_90'
ptxas info    : Function properties for {one}
    {frame} bytes stack frame, {stores} bytes spill stores, {loads} bytes spill loads
ptxas info    : Used {registers} registers, used 1 barriers, 2048 bytes smem
ptxas info    : Compile time = 45.917 ms
ptxas info    : Compiling entry function '{two}' for 'sm_90'
ptxas info    : Function properties for {two}
    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Used 38 registers, used 0 barriers, 8 bytes cumulative stack size
"""


def symbol(mode: int = 0, padding: str = FIXED, dims: int = 2, dtype: str = "f", index: str = "i", source: str = "Grid") -> str:
    name, computed = f"{len(source) + 6}{source}Source", "d" if dtype == "d" else "f"
    return BACKWARD.format(mode=mode, padding=padding, dims=dims, dtype=dtype, index=index, source=name, computed=computed)


def read(name: str = symbol(), dtype: str = "float", *, frame=0, stores=0, loads=0, registers=40) -> list[resources.Usage]:
    text = REPORT.format(one=name, two=symbol(1), frame=frame, stores=stores, loads=loads, registers=registers)
    return resources.parse_report(text, dtype)


@pytest.mark.parametrize(
    "symbol, name",
    [
        (symbol(), "backward 2-D bilinear border, 32 bits"),
        (symbol(2, RUNTIME, 3, "NS_4HalfE", "l"), "backward 3-D bicubic any padding, 64 bits"),
        (symbol(1, RUNTIME, 1, "NS_8BFloat16E", "l"), "backward 1-D nearest any padding, 64 bits"),
        (symbol(source="Transform"), "backward of transforms 2-D bilinear border, 32 bits"),
        ("_ZN3stn4cuda24gather_grad_input_kernelILNS_17InterpolationModeE2ENS_12SampleParamsILi3ENS_4HalfElNS_15TransformSourceILi3E"
         "flEEEEEEvT0_", "gather backward 3-D bicubic any padding, 64 bits"),
        ("_ZN3stn4cuda21transform_grid_kernelINS0_19TransformGridParamsILi3EdlEEEEvT_", "transform grid 3-D, 64 bits"),
        ("_ZN3stn4cuda30transform_grid_backward_kernelINS0_19TransformGridParamsILi2ENS_8BFloat16EiEEEEvT_",
         "transform grid backward 2-D, 32 bits"),
        ("_ZN3stn4cuda16theta_sum_kernelILi2EfEEvNS_9TransformIXT_ENS_10AccumulateINSt12remove_constIT0_E4typeEE4typeElEEPS5_l",
         "theta sums 2-D, 64 bits"),
        ("_ZN3stn4cuda24sorted_grad_input_kernelILNS_17InterpolationModeE0ELb1ENS_12SampleParamsILi2EflNS_10GridSourceILi2EflEEEEE"
         "EvT1_NS0_15SortedLocationsINS7_7index_tEEEi", "sorted backward of the backward 2-D bilinear any padding, 64 bits"),
        ("_ZN3stn4cuda19location_key_kernelILNS_17InterpolationModeE2ENS0_9KeyParamsILi3EdiEEEEvT0_i",
         "location keys 3-D bicubic any padding, 32 bits"),
    ],
)  # fmt: skip
def test_symbols_have_names_in_words(symbol: str, name: str) -> None:
    assert resources.name_of(symbol) == name


def test_unknown_kernels_are_not_passed_over() -> None:
    with pytest.raises(SystemExit, match="no name known"):
        read("_ZN3stn4cuda9newcomer_kernelIfEEvT_")


def test_the_report_is_read_kernel_by_kernel() -> None:
    one, two = read(frame=8, stores=12, loads=4, registers=40)
    assert (one.registers, one.frame, one.spill_stores, one.spill_loads, one.shared) == (40, 8, 12, 4, 2048)
    assert (two.name, two.registers, two.frame, two.shared) == ("backward 2-D nearest border, 32 bits", 38, 0, 0)


@pytest.mark.parametrize("numbers, words", [
    ({"frame": 8}, ["8 bytes of frame, 0 are allowed"]),
    ({"stores": 4, "loads": 8}, ["12 bytes of spills"]),
    ({"registers": 200}, ["200 registers"]),
    ({"frame": 8, "registers": 255}, ["255 registers", "8 bytes of frame"]),
    ({}, []),
])  # fmt: skip
def test_what_exceeds_a_limit_is_named(numbers: dict[str, int], words: list[str]) -> None:
    found = read(**numbers)[0].violations
    assert len(found) == len(words) and all(word in text for word, text in zip(words, found))
    assert all("sm_90 float, backward 2-D bilinear border, 32 bits" in text for text in found)


def test_exceptions_are_of_their_own_kernels_only() -> None:
    tricubic = symbol(2, RUNTIME, 3)
    assert not read(tricubic, frame=200)[0].violations
    assert read(symbol(2, RUNTIME, 2), frame=200)[0].violations
    assert read(tricubic, frame=200, stores=4)[0].violations


def test_a_limit_with_an_exception_says_why_and_the_last_one_fits_all() -> None:
    assert all(limit.reason for limit in LIMITS if limit.frame or limit.spills)
    assert re.search(LIMITS[-1].pattern, "anything") and not LIMITS[-1].frame


def test_the_table_has_a_row_a_kernel_and_a_column_a_dtype() -> None:
    usages = [*read(frame=8), *read(dtype="half", registers=44), *read(registers=42), *read(symbol(source="Transform"))]
    text = resources.markdown(usages, "nvcc 13.0")
    assert "| kernel | float | half |" in text
    assert "## backward of transforms" in text
    assert "| 2-D bilinear border, 32 bits | 40 to 42, 8 frame, 2048 shared | 44, 2048 shared |" in text
    assert "`^sorted`" in text and "nvcc 13.0" in text


def test_a_violation_is_the_exit_status(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(resources, "find_nvcc", lambda: "echo")  # answers anything
    monkeypatch.setattr(resources, "nvcc_version", lambda nvcc: "nvcc of a test")
    for registers, status in ((40, 0), (200, 1)):
        monkeypatch.setattr(resources, "measure", lambda *arguments: read(registers=registers))  # noqa: B023
        assert resources.main(["--archs", "90", "--dtypes", "float"]) == status
    assert "200 registers, 64 are allowed" in capsys.readouterr().err
