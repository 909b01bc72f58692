"""The lock order follows from the models alone: not from the order in which they are imported, nor from hash seeds."""

from __future__ import annotations

import os
import subprocess
import sys
from itertools import pairwise, permutations
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Column, ForeignKey, Integer, MetaData, Table
from sqlalchemy.orm import declarative_base, relationship

import interaqt_sa as iq
from interaqt_sa.engine.plan import plan_of

_NAMES = "abcdefgh"


def lock_order(names: tuple[str, ...], references: frozenset[tuple[str, str]], counts: bool) -> list[str]:
    """Return the tables in lock order, declared in the order of ``names``."""
    metadata = MetaData()
    made = {}
    for name in names:
        keys: list[Column[Any]] = [
            Column(f"{other}_id", ForeignKey(f"{other}.id", name=f"{name}_{other}", use_alter=True))
            for other in sorted(other for own, other in references if own == name)
        ]
        made[name] = Table(name, metadata, Column("id", Integer, primary_key=True), *keys)
    base = declarative_base(metadata=metadata)
    if counts:  # some tables are watched, the others are not
        parent = Table(
            "parent", metadata, Column("id", Integer, primary_key=True), Column("n", Integer, iq.Count("children"))
        )
        child = Table(
            "child",
            metadata,
            Column("id", Integer, primary_key=True),
            Column("parent_id", Integer, ForeignKey("parent.id")),
        )
        attributes = {"__table__": parent, "children": relationship("Child")}
        kept: list[Any] = [type("Parent", (base,), attributes), type("Child", (base,), {"__table__": child})]
        assert kept
    plan = plan_of(metadata)
    assert set(plan.places) == set(metadata.tables.values())
    return [table.name for table in sorted(plan.places, key=lambda table: plan.places[table])]


@settings(max_examples=60)
@given(
    st.permutations(_NAMES),
    st.permutations(_NAMES),
    st.frozensets(st.tuples(st.sampled_from(_NAMES), st.sampled_from(_NAMES)), max_size=12),
    st.booleans(),
)
def test_any_order_of_declaration_gives_one_order_of_locks(
    one: list[str], other: list[str], references: frozenset[tuple[str, str]], counts: bool
) -> None:
    assert lock_order(tuple(one), references, counts) == lock_order(tuple(other), references, counts)


def test_what_is_referred_to_comes_first_among_tables_without_computations() -> None:
    for names in permutations("abc"):
        assert lock_order(names, frozenset({("a", "b"), ("b", "c")}), counts=False) == ["c", "b", "a"]


def test_a_long_chain_of_tables_has_an_order() -> None:
    names = tuple(f"t{number:04}" for number in range(300))
    order = lock_order(names, frozenset(pairwise(names)), counts=False)
    assert order == [*reversed(names)]


def test_hash_seeds_do_not_matter() -> None:
    code = (
        "from tests.engine.test_lock_order_by_name import lock_order, _NAMES\n"
        "pairs = frozenset({('a', 'b'), ('b', 'a'), ('c', 'd'), ('d', 'e'), ('e', 'c'), ('f', 'a'), ('g', 'g')})\n"
        "print(lock_order(tuple(_NAMES), pairs, True))"
    )
    root = Path(__file__).parents[2]
    answers = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": str(seed), "PYTHONPATH": str(root)},
            capture_output=True,
            check=True,
            text=True,
        ).stdout
        for seed in (0, 1, 2)
    }
    assert len(answers) == 1
