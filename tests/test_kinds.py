"""Each kind of computation is exported, documented, and in the tests that go through all kinds.

Who adds a kind finds here what is still missing; see "A kind of computation" in CONTRIBUTING.md.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import MetaData

import interaqt_sa as iq
from interaqt_sa import extending
from tests.engine.random_schemas import random_schema
from tests.engine.reactive_schemas import reactive_schema
from tests.migrate.declarable import DECLARED, VALUES
from tests.migrate.declarable_definitions import DEFINITIONS
from tests.support.kinds import kinds_in, registered_kinds

ROOT = Path(__file__).parent.parent
KINDS = sorted(registered_kinds())

#: kinds that a test of all kinds leaves out, each with the reason
NOT_PUBLIC = {"Membership": "compile_schema() declares it for filtered records"}
NOT_IN_RANDOM_SCHEMAS = {
    "Membership": "filtered records are definitions; tests/behaviours has random writes to them",
    "ScopedSequence": "no recomputation gives a number; tests/sequences has random writes that compare what is left",
}
NOT_IN_MIGRATIONS = {
    "Membership": "tests/migrate/test_filtered.py migrates filtered records",
    "ScopedSequence": "tests/migrate/test_scoped_sequences.py migrates numbers, which no recomputation gives",
}
#: what the table of docs/declaring.md calls a kind, if not by its name
_ENTRIES = {"SameRow": "a function"}


def test_the_registries_have_kinds_of_all_sorts() -> None:
    assert {"Count", "Max", "SameRow", "StateMachine", "Transform"} <= set(KINDS)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in NOT_PUBLIC])
class TestWhatUsersSee:
    def test_it_is_exported(self, kind: str) -> None:
        assert kind in iq.__all__

    def test_it_is_in_the_guide(self, kind: str) -> None:
        page = (ROOT / "docs" / "declaring.md").read_text(encoding="utf-8")
        table = page.partition("| computation | value |")[2].partition("## ")[0]  # and the paragraph after it
        assert re.search(_ENTRIES.get(kind, rf"`{kind}\b"), table)

    def test_it_is_in_the_readme(self, kind: str) -> None:
        page = (ROOT / "README.md").read_text(encoding="utf-8")
        listed = page.partition("\nComputations: ")[2].partition("\n\n")[0]
        assert f"`{kind}`" in listed or kind in _ENTRIES


def _directives(text: str) -> list[str]:
    return re.findall(r"^\.\. auto(?:class|data|exception|function):: (\w+)$", text, re.MULTILINE)


def test_the_reference_has_all_public_names_once() -> None:
    page = (ROOT / "docs" / "reference.md").read_text(encoding="utf-8")
    package, _, own_kinds = page.partition("## Custom kinds of computations")
    assert sorted(_directives(package)) == iq.__all__
    assert sorted(_directives(own_kinds)) == extending.__all__


def _in_random_schemas() -> set[str]:
    schemas: list[Any] = [random_schema(seed, all_kinds=True) for seed in range(20)]
    schemas += [reactive_schema(seed) for seed in range(20)]
    return {kind for schema in schemas for kind in kinds_in(schema.base.metadata)}


def _in_migrations() -> set[str]:
    found: set[str] = set()
    for thing in (*VALUES.values(), *DEFINITIONS.values()):
        models = thing.models(DECLARED)
        found |= kinds_in(models if isinstance(models, MetaData) else models.metadata)
    return found


@pytest.mark.parametrize(
    ("declared", "left_out"),
    [
        pytest.param(_in_random_schemas, NOT_IN_RANDOM_SCHEMAS, id="random schemas"),
        pytest.param(_in_migrations, NOT_IN_MIGRATIONS, id="migrations"),
    ],
)
def test_tests_of_all_kinds_have_it(declared: Any, left_out: dict[str, str]) -> None:
    found = declared()
    assert set(KINDS) - found == set(left_out), "add the kind to the test, or leave it out here with a reason"
