"""Convert values to what their columns return after storing them, and compare stored values."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from sqlalchemy import Column, Integer, Select, bindparam, cast, select

from ...dialects.base import named
from ..plan.column_replacement import labelled

if TYPE_CHECKING:
    from ..plan import Source
    from .database import Database
    from .pending_deltas import Row


def as_stored(db: Database, source: Source, columns: Sequence[Column[Any]], rows: Sequence[Row]) -> list[Row]:
    """Return rows of values as a read of ``columns`` would return them, without storing them."""
    dialect = db.dialect
    if not dialect.rounds_values:
        return [
            tuple(_through_python(v, c, dialect.sqlalchemy_dialect) for v, c in zip(row, columns, strict=True))
            for row in rows
        ]
    shape = (("n", Integer()), *((f"v{i}", column.type) for i, column in enumerate(columns)))
    is_packed = all(dialect.packs(type_) for _, type_ in shape)

    def make() -> Select[Any]:
        if is_packed:
            given = dialect.row_set("rows", shape)
            values = [cast(given.c[f"v{i}"], column.type) for i, column in enumerate(columns)]
            return select(*labelled([given.c.n, *values])).order_by(given.c.n)
        fields = [bindparam(named(f"rows_{name}"), type_=type_) for name, type_ in shape]
        return select(*labelled(cast(field, type_) for field, (_, type_) in zip(fields, shape, strict=True)))

    statement = db.statements.cached(("as stored", tuple(columns)), make)
    numbered = [(n, *row) for n, row in enumerate(rows)]
    groups = [numbered] if is_packed else [[row] for row in numbered]
    found: list[Row] = []
    for group in groups if rows else ():
        packed = dialect.pack_some("rows", shape, group, one=not is_packed)
        found += [tuple(row[1:]) for row in db.execute(source, statement, packed)]
    return found


def _through_python(value: Any, column: Column[Any], dialect: Any) -> Any:
    """Return a value after the conversions of its column type, for a database that does not round values."""
    kind = column.type.dialect_impl(dialect)
    bind, result = kind.bind_processor(dialect), kind.result_processor(dialect, None)
    stored = value if bind is None else bind(value)
    found = stored if result is None else result(stored)
    return found + 0 if isinstance(found, (float, Decimal)) and found == 0 else found  # removes the sign of zero


def same_value(left: Any, right: Any) -> bool:
    """Whether two stored values are the same: NaN equals NaN, and a boolean in JSON does not equal a number."""
    if left is right:
        return True
    match left, right:
        case (bool(), _) | (_, bool()):
            return type(left) is type(right) and bool(left == right)
        case ((float() | Decimal()), (float() | Decimal())):
            return bool(left == right) or (math.isnan(left) and math.isnan(right))
        case Mapping(), Mapping():
            return left.keys() == right.keys() and all(same_value(value, right[key]) for key, value in left.items())
        case ((list() | tuple()), (list() | tuple())):
            return len(left) == len(right) and all(map(same_value, left, right))
        case _:
            return bool(left == right)
