"""The list of behaviours and the tests that prove them agree."""

from __future__ import annotations

import re
from pathlib import Path

_ROOT = Path(__file__).parents[2]
_NUMBER = re.compile(r"\b(?:S-A|R-A|R-P)\d+\b")


def test_what_is_listed_is_proved_and_what_is_proved_is_listed() -> None:
    listed = set(re.findall(r"`((?:S-A|R-A|R-P)\d+)`", (_ROOT / "docs/behaviours.md").read_text()))
    marks = [
        mark
        for path in (_ROOT / "tests").rglob("test_*.py")
        for mark in re.findall(r"^@behaviour\((.*)\)$", path.read_text(), re.MULTILINE)
    ]
    proved = {number for mark in marks for number in _NUMBER.findall(mark)}
    assert listed == proved
