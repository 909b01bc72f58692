"""A fingerprint is the same wherever it is computed, and another one whenever a value means something else."""

from __future__ import annotations

import enum
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import alembic  # noqa: F401  loads the plugin, whose modules cannot be imported before it
import pytest
from sqlalchemy import (
    CHAR,
    JSON,
    REAL,
    BigInteger,
    Boolean,
    DateTime,
    Double,
    Float,
    ForeignKey,
    Integer,
    Numeric,
    String,
    Text,
    TypeDecorator,
)
from sqlalchemy.dialects.postgresql import CITEXT, TIMESTAMP
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

import interaqt_sa as iq
from interaqt_sa.migrate.declared import Declared
from interaqt_sa.migrate.fingerprints import Fingerprint, value_fingerprint

#: computed once; CI compares with it on every version of Python and SQLAlchemy that is supported
PINNED = Path(__file__).with_name("fingerprints.json")
#: in the former format, which databases of earlier versions have recorded
FORMER = Path(__file__).with_name("former_fingerprints.json")


class Colour(enum.Enum):
    RED = "r"
    BLUE = "b"


def always(_: Any) -> bool:
    return True


def never(_: Any) -> bool:
    return False


def base_with(**columns: Any) -> Any:
    """Return a base whose boxes have `columns`."""

    class Base(DeclarativeBase):
        pass

    class Maker(Base):
        __tablename__ = "maker"
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str]

    class Item(Base):
        __tablename__ = "item"
        id: Mapped[int] = mapped_column(primary_key=True)
        box_id: Mapped[int] = mapped_column(ForeignKey("box.id"))
        maker_id: Mapped[int] = mapped_column(ForeignKey("maker.id"))
        n: Mapped[int]
        price: Mapped[Decimal]
        weight: Mapped[float | None]
        done: Mapped[bool]
        colour: Mapped[Colour]
        maker: Mapped[Maker] = relationship()

    body: dict[str, Any] = {
        "__tablename__": "box",
        "id": mapped_column(Integer, primary_key=True),
        "items": relationship(Item),
        **{name: column() for name, column in columns.items()},
    }
    Base.kept = [Maker, Item, type("Box", (Base,), body)]  # type: ignore[attr-defined]
    return Base


def column(computation: Any, type_: Any = Integer, **kw: Any) -> Any:
    return lambda: mapped_column(type_, computation, **kw)


def fingerprint(made: Any, dictionaries: Sequence[iq.Dictionary] = ()) -> str:
    base = base_with(value=made)
    if dictionaries:
        iq.compile_schema(base, dictionaries=dictionaries)
    return Declared(base.metadata).fingerprints["Box.value"]


NODES = [iq.StateNode("open"), iq.StateNode("closed")]

#: what is declared, and how it may be changed so that it means something else
CASES: dict[str, tuple[Any, Any]] = {
    "kind": (iq.Any("items", expression={"done": True}), iq.Every("items", expression={"done": True})),
    "where": (iq.Count("items", where={"n": 1}), iq.Count("items", where={"n": 2})),
    "where added": (iq.Count("items"), iq.Count("items", where={"n": 2})),
    "where operator": (iq.Count("items", where={"n": (">", 1)}), iq.Count("items", where={"n": (">=", 1)})),
    "where set": (iq.Count("items", where={"n": ("in", {1, 2})}), iq.Count("items", where={"n": ("in", {1, 3})})),
    "where path": (iq.Count("items", where={"maker.name": "a"}), iq.Count("items", where={"maker.name": "b"})),
    "where enum": (iq.Count("items", where={"colour": Colour.RED}), iq.Count("items", where={"colour": Colour.BLUE})),
    "where SQL": (iq.Count("items", where=lambda i: i.n > 1), iq.Count("items", where=lambda i: i.n > 2)),
    "where SQL, set": (
        iq.Count("items", where=lambda i: i.n.in_([1, 2])),
        iq.Count("items", where=lambda i: i.n.in_([1, 3])),
    ),
    "where combined": (
        iq.Count("items", where=iq.MatchExp.atom("n", ("=", 1)) & iq.MatchExp.atom("done", ("=", True))),
        iq.Count("items", where=iq.MatchExp.atom("n", ("=", 1)) | iq.MatchExp.atom("done", ("=", True))),
    ),
    "callback": (
        iq.Count("items", callback=always, attribute_query=["n"]),
        iq.Count("items", callback=never, attribute_query=["n"]),
    ),
    "attribute_query": (
        iq.Count("items", callback=always, attribute_query=["n"]),
        iq.Count("items", callback=always, attribute_query=["n", "done"]),
    ),
    "field": (iq.Summation("items", "n"), iq.Summation("items", "maker_id")),
    "average field": (iq.Average("items", "n"), iq.Average("items", "weight")),
    "nulls": (iq.Average("items", "weight"), iq.Average("items", "weight", nulls="zero")),
    "empty": (iq.Average("items", "n"), iq.Average("items", "n", empty=7)),
    "empty NULL": (iq.Average("items", "n"), iq.Average("items", "n", empty=None)),
    "expression": (iq.Every("items", expression={"done": True}), iq.Every("items", expression={"done": False})),
    "not_empty": (
        iq.Every("items", expression={"done": True}),
        iq.Every("items", expression={"done": True}, not_empty=True),
    ),
    "every where": (
        iq.Every("items", expression={"done": True}),
        iq.Every("items", expression={"done": True}, where={"n": 1}),
    ),
    "function": (iq.SameRow(always), iq.SameRow(never)),
    "initial state": (
        iq.StateMachine(states=NODES, transfers=[], initial_state=NODES[0]),
        iq.StateMachine(states=NODES, transfers=[], initial_state=NODES[1]),
    ),
    "states": (
        iq.StateMachine(states=NODES, transfers=[], initial_state=NODES[0]),
        iq.StateMachine(states=NODES[:1], transfers=[], initial_state=NODES[0]),
    ),
}


def type_of(name: str) -> Any:
    computation = CASES[name][0]
    if isinstance(computation, iq.StateMachine):
        return String
    if isinstance(computation, (iq.Any, iq.Every)):
        return Boolean
    return Double if isinstance(computation, iq.Average) else Integer


@pytest.mark.parametrize("name", CASES)
def test_every_field_counts(name: str) -> None:
    before, after = CASES[name]
    nullable = {"nullable": True} if name == "empty NULL" else {}
    found = [fingerprint(column(computation, type_of(name), **nullable)) for computation in (before, before, after)]
    assert found[0] == found[1]
    assert found[0] != found[2]


def test_dictionaries_that_a_callback_reads_count() -> None:
    rates = [iq.Dictionary("rate", "number"), iq.Dictionary("other", "number")]

    def found(deps: Any) -> str:
        counted = iq.Count("items", callback=always, attribute_query=["n"], data_deps=deps)
        return fingerprint(column(counted), rates)

    assert found({"rate": rates[0]}) == found({"rate": {"type": "global", "source": "rate"}})
    assert len({found(None), found({"rate": rates[0]}), found({"rate": rates[1]})}) == 3


def test_no_parameter_of_a_computation_is_forgotten() -> None:
    fields = {name for kind in (iq.Count, iq.Summation, iq.Average, iq.Every, iq.Any) for name in kind._fields}
    # the relationship that `direction` chooses is there by its name, as `source`
    covered = {
        "where",
        "callback",
        "attribute_query",
        "field",
        "nulls",
        "empty",
        "expression",
        "not_empty",
        "data_deps",
    }
    assert fields == covered | {"source", "direction"}


class Money(TypeDecorator[Decimal]):
    impl = Numeric(10, 2)
    cache_ok = True


@pytest.mark.parametrize(
    ("before", "after", "same"),
    [
        (Integer(), BigInteger(), True),
        (Float(), Double(), True),
        (Float(), Float(20), False),
        (Float(20), REAL(), True),
        (Double(), REAL(), False),
        (String(), CHAR(5), False),
        (CHAR(5), CHAR(6), False),
        (String(), String(collation="C"), False),
        (String(), CITEXT(), False),
        (DateTime(), TIMESTAMP(), True),
        (TIMESTAMP(), TIMESTAMP(precision=0), False),
        (Numeric(10, 2), Numeric(12, 2), True),
        (Numeric(10, 2), Numeric(10, 3), False),
        (String(10), Text(), True),
        (JSON(), JSON(none_as_null=True), True),
        (Money(), Money(), True),
        (Money(), Numeric(10, 2), False),
    ],
)
def test_types_count_by_what_they_store(before: Any, after: Any, same: bool) -> None:
    one, other = (fingerprint(column(iq.SameRow(always), type_)) for type_ in (before, after))
    assert (one == other) == same


def test_where_it_is_stored_counts() -> None:
    def moved(column_name: str = "value", table: str = "box", schema: str | None = None) -> str:
        class Base(DeclarativeBase):
            pass

        class Box(Base):
            __tablename__ = table
            __table_args__ = {"schema": schema}
            id: Mapped[int] = mapped_column(primary_key=True)
            value: Mapped[int] = iq.computed(iq.SameRow(always), Integer, name=column_name)

        return Declared(Base.metadata).fingerprints["Box.value"]

    found = {moved(), moved("old"), moved(table="crate"), moved(schema="north")}
    assert len(found) == 4


def test_the_direction_in_a_tree_counts() -> None:
    def tree(remote: str) -> str:
        class Base(DeclarativeBase):
            pass

        class Node(Base):
            __tablename__ = "node"
            id: Mapped[int] = mapped_column(primary_key=True)
            parent_id: Mapped[int | None] = mapped_column(ForeignKey("node.id"))
            near: Mapped[list[Any]] = relationship("Node", remote_side=f"Node.{remote}", viewonly=True)
            count: Mapped[int] = iq.computed(iq.Count("near"))

        return Declared(Base.metadata).fingerprints["Node.count"]

    assert tree("id") == tree("id") != tree("parent_id")


def test_values_beside_it_do_not_count() -> None:
    alone = fingerprint(column(iq.Count("items")))
    beside = base_with(
        other=column(iq.Summation("items", "maker.id")),
        value=column(iq.Count("items")),
        further=column(iq.Count("items", where={"maker.name": "a"})),
    )
    assert Declared(beside.metadata).fingerprints["Box.value"] == alone


def all_fingerprints() -> dict[str, Fingerprint]:
    columns = {
        f"c{place}_{n}": column(computation, type_of(name))
        for place, name in enumerate(CASES)
        for n, computation in enumerate(CASES[name])
        if name != "empty NULL"
    }
    declared = Declared(base_with(**columns).metadata)
    return {name: value_fingerprint(value) for name, value in sorted(declared.values.items())}


@pytest.mark.parametrize("seed", ["0", "1", "2"])
def test_they_are_the_same_in_every_process(seed: str) -> None:
    """Pinned, so that other versions of Python and SQLAlchemy are held to them too.

    Where this fails on purpose, raise the format number: values are filled again then.
    """
    program = "import json; from tests.migrate.test_fingerprints import *; print(json.dumps(all_fingerprints()))"
    settings = {**os.environ, "PYTHONHASHSEED": seed}
    made = subprocess.run([sys.executable, "-c", program], env=settings, check=True, capture_output=True, text=True)
    found = json.loads(made.stdout)
    assert {name: current for name, (current, _) in found.items()} == json.loads(PINNED.read_text())
    assert {name: former for name, (_, former) in found.items()} == json.loads(FORMER.read_text())
