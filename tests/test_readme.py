"""The Python blocks of the README and of docs/ run, each page's one after another in one program, and their own tests pass."""

from __future__ import annotations

import linecache
import re
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.mark.filterwarnings("ignore:.*torch.jit.*deprecated:DeprecationWarning")
@pytest.mark.parametrize("page", [
    "README.md", "docs/migration.md", "docs/modules.md", "docs/spatial_transformers.md", "docs/transform_objects.md",
    "docs/transforms.md", "docs/visualize.md"])
def test_every_block_of_the_page_runs(
    page: str, torch_functions_as_before: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if page == "docs/visualize.md":
        pytest.importorskip("matplotlib", reason="the page draws with matplotlib")
    monkeypatch.chdir(tmp_path)  # where pages write their pictures
    text = (ROOT / page).read_text()
    blocks = re.findall(r"^( *)```python\n(.*?)^ *```", text, re.MULTILINE | re.DOTALL)
    if not blocks:
        pytest.fail(f"{page} has no Python block")
    program: dict[str, object] = {"__name__": "page"}
    for number, (_, block) in enumerate(blocks):
        source, name = textwrap.dedent(block), f"{page}, block {number}"
        linecache.cache[name] = len(source), None, source.splitlines(keepends=True), name  # torch.jit.script reads it there
        exec(compile(source, name, "exec"), program)
    checks = [name for name in program if name.startswith("test_")]
    assert checks or page != "README.md"
    for name in checks:
        program[name]()  # type: ignore[operator]
