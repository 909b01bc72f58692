"""The Python in the README and in the pages of the documentation."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from types import ModuleType

import pytest
from sqlalchemy import Connection, Engine, event

ROOT = Path(__file__).parents[2]
_BLOCK = re.compile(r"^```(?:python|\{code-block\} python)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def python_blocks(page: Path) -> list[tuple[int, str]]:
    """Return the line and the text of each block of Python."""
    text = page.read_text(encoding="utf-8")
    return [(text.count("\n", 0, found.start(1)) + 1, found[1]) for found in _BLOCK.finditer(text)]


def run_page(page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run the blocks of a page one after the other, in one module; close what they opened."""
    module = ModuleType(f"page_{page.stem.replace('-', '_').lower()}")
    monkeypatch.setitem(sys.modules, module.__name__, module)  # where SQLAlchemy looks up annotations
    engines: set[Engine] = set()

    def remember(connection: Connection) -> None:
        engines.add(connection.engine)

    event.listen(Engine, "engine_connect", remember)
    try:
        for line, block in python_blocks(page):
            # annotations are evaluated as in a module of its own; line numbers are those of the page
            code = compile("\n" * (line - 1) + block, str(page), "exec", dont_inherit=True)
            exec(code, module.__dict__)
    finally:
        event.remove(Engine, "engine_connect", remember)
        for engine in engines:
            engine.dispose()
