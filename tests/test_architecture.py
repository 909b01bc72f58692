"""What an addition may cost: a kind of computation is named where it is declared and where it is kept, nowhere else."""

from __future__ import annotations

import re
from pathlib import Path

import interaqt_sa
from tests.support.kinds import registered_kinds

PACKAGE = Path(interaqt_sa.__file__).parent
#: declarations, how each kind is kept, and the line of export
_MAY_NAME = ("definitions/", "engine/computations/", "__init__.py")
#: computed() and Property(computed=…) make a SameRow of a function, filtered records a Membership; nodes of a plan hold
#: what reacts to events, and what numbers new rows
_EXCEPTIONS = {
    "schema/computed.py": {"SameRow"},
    "schema/compile/filtered_records.py": {"Membership"},
    "engine/plan/event_nodes.py": {"StateMachine", "Transform"},
    "engine/plan/numberings.py": {"ScopedSequence"},
    "engine/database/same_row_functions.py": {"SameRow"},
}
_IMPORT = re.compile(r"^\s*from \.[\w.]*definitions\.[\w.]+ import (.+)$", re.MULTILINE)


def test_nothing_else_names_a_kind() -> None:
    found: dict[str, set[str]] = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        name = path.relative_to(PACKAGE).as_posix()
        if not name.startswith(_MAY_NAME):
            for line in _IMPORT.findall(path.read_text()):
                named = {part.split(" as ")[0].strip() for part in line.split(",")} & registered_kinds()
                if named:
                    found.setdefault(name, set()).update(named)
    assert found == _EXCEPTIONS


def test_files_are_short() -> None:
    long = {
        path.relative_to(PACKAGE).as_posix(): lines
        for path in PACKAGE.rglob("*.py")
        if (lines := len(path.read_text().splitlines())) > 500
    }
    assert long == {}
