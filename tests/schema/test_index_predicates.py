"""A predicate of a partial index holds its values as SQL text: what has no literal is refused where it is declared."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import Engine, MetaData, insert
from sqlalchemy.exc import IntegrityError

import interaqt_sa as iq

NAN, INFINITY = float("nan"), float("inf")


def compiled(type_: Any, where: Any) -> iq.Schema:
    properties = [iq.Property("x", type_), iq.Property("y", str)]
    unique = iq.UniqueConstraint("once", ["y"], where=where)
    return iq.compile_schema(MetaData(), entities=[iq.Entity("Thing", properties, constraints=[unique])])


@pytest.mark.parametrize(
    ("type_", "where"),
    [
        (float, {"x": NAN}),
        (float, {"x": ("!=", NAN)}),
        (float, {"x": (">", -INFINITY)}),
        (float, {"x": ("in", [1.0, NAN])}),
        (float, {"x": ("between", (0.0, INFINITY))}),
        (float, lambda thing: (thing.x > 1) & ~(thing.x == NAN)),
        (float, lambda thing: thing.x.in_([1.0, INFINITY])),
        (Decimal, {"x": Decimal("NaN")}),
        (Decimal, {"x": ("<", Decimal("Infinity"))}),
        (int, {"x": NAN}),
    ],
)
def test_numbers_without_a_literal(type_: Any, where: Any) -> None:
    with pytest.raises(iq.DefinitionError, match=r"Thing, constraint 'once': .*no SQL literal"):
        compiled(type_, where)


@pytest.mark.parametrize(
    ("where", "holds"),
    [
        ({"x": ("in", [])}, False),
        ({"x": ("not in", [])}, True),
        (lambda thing: thing.x.in_([]), False),
        (lambda thing: thing.x.not_in([]), True),
        (lambda thing: thing.x.in_([]) | (thing.x == "a"), True),
        (lambda thing: ~thing.x.in_([]), True),
        ({"x": ("in", ["a", "50%", "it's", "a:b"])}, True),
    ],
)
def test_lists_and_texts(engine: Engine, where: Any, holds: bool) -> None:
    schema = compiled(str, where)
    schema.metadata.create_all(engine)
    table = schema.metadata.tables["thing"]
    with engine.begin() as connection:
        connection.execute(insert(table), {"x": "a", "y": "same"})
    try:
        with engine.begin() as connection:
            connection.execute(insert(table), {"x": "a", "y": "same"})
        refused = False
    except IntegrityError:
        refused = True
    assert refused == holds
