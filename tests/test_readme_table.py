"""The README's table "What there is, beside torch": every row is there once and names tests that exist, in a comment."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ROWS = "tests/test_beside_torch.py"


def rows() -> list[tuple[list[str], list[str]]]:
    """The cells of each row, and the tests that its comment names."""
    section = (ROOT / "README.md").read_text().partition("## What there is, beside torch\n")[2].partition("\n## ")[0]
    lines = [line for line in section.partition("<!-- figures")[0].splitlines() if line.startswith("|")][2:]
    split = []
    for line in lines:
        text, _, comment = line.partition("<!--")
        assert comment.endswith("--> |"), f"no test is named by: {line}"
        split.append(([cell.strip() for cell in text.strip().split("|")[1:]], re.findall(r"[\w/.]+::\w+", comment)))
    return split


def functions(file: str) -> list[str]:
    return [node.name for node in ast.parse((ROOT / file).read_text()).body if isinstance(node, ast.FunctionDef)]


def test_every_row_is_there_once_and_names_tests_that_exist() -> None:
    table = rows()
    assert len(table) >= 25
    features = [cells[0] for cells, _ in table]
    assert len(set(features)) == len(features)
    for cells, tests in table:
        assert len(cells) == 4 and all(cells[:3]), cells
        assert re.fullmatch(r"((pytorch|kornia/kornia)#\d+(, )?)*", cells[3]), cells
        assert tests, f"no test is named by: {cells[0]}"
        for test in tests:
            file, _, name = test.partition("::")
            assert name.startswith("test_") and name in functions(file), test


def test_every_test_of_a_row_has_its_row() -> None:
    named = [test for _, tests in rows() for test in tests if test.startswith(ROWS)]
    assert sorted(named) == sorted(f"{ROWS}::{name}" for name in functions(ROWS) if name.startswith("test_"))
