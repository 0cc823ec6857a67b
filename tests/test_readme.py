"""The README's Python blocks run, one after another in one program, and its own test passes."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

import pytest

README = Path(__file__).resolve().parent.parent / "README.md"


def test_every_block_of_the_readme_runs() -> None:
    blocks = re.findall(r"^( *)```python\n(.*?)^ *```", README.read_text(), re.MULTILINE | re.DOTALL)
    if not blocks:
        pytest.fail("the README has no Python block")
    program: dict[str, object] = {}
    for _, block in blocks:
        exec(compile(textwrap.dedent(block), str(README), "exec"), program)
    checks = [name for name in program if name.startswith("test_")]
    assert checks
    for name in checks:
        program[name]()  # type: ignore[operator]
