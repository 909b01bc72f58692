"""A function of the row sees what a later read gives, also where a type is the application's or differs by database."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import (
    CHAR,
    JSON,
    REAL,
    Boolean,
    DateTime,
    Float,
    Integer,
    Interval,
    Numeric,
    PickleType,
    String,
    Text,
    TypeDecorator,
    func,
    insert,
    select,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.mutable import MutableList
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

import interaqt_sa as iq
from tests.declarative.kept import Keep, Kept


class EmptyForNone(TypeDecorator[str]):
    impl = String
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Any) -> str:
        return value or ""


class NothingForNone(TypeDecorator[str]):
    impl = String
    cache_ok = True

    def process_result_value(self, value: str | None, dialect: Any) -> str:
        return value or "nothing"


class Upper(TypeDecorator[str]):
    impl = String
    cache_ok = True

    def column_expression(self, column: Any) -> Any:
        return func.upper(column)


class Doubled(Integer):
    cache_ok = True

    def bind_processor(self, dialect: Any) -> Any:
        def process(value: int | None) -> int | None:
            return value and 2 * value

        return process


#: a type, and values that differ from what a read of it gives on one of the databases
TYPES: dict[str, tuple[Any, list[Any]]] = {
    "numeric": (
        Numeric(10, 4).with_variant(Numeric(10, 2), "postgresql").with_variant(sqlite.NUMERIC(10, 2), "sqlite"),
        [Decimal("1.2345"), Decimal(2), None],
    ),
    "padded": (String(8).with_variant(CHAR(8), "postgresql"), ["a", "", None]),
    "moment": (
        DateTime()
        .with_variant(sqlite.DATETIME(truncate_microseconds=True), "sqlite")
        .with_variant(postgresql.TIMESTAMP(precision=0), "postgresql"),
        [datetime(2020, 1, 1, 1, 1, 1, 900_000), None],  # noqa: DTZ001  the column has no time zone
    ),
    "real": (Float().with_variant(REAL(), "postgresql"), [0.1, 1 / 3]),
    "integer or decimal": (Integer().with_variant(Numeric(10, 2), "postgresql"), [1, 2]),
    "flag or number": (Boolean().with_variant(Integer(), "sqlite", "postgresql"), [True, False]),
    "not a number": (Float(), [float("nan"), float("inf"), -0.0, 0.0, 1.5, None]),
    "empty for None": (EmptyForNone(), [None, "a"]),
    "nothing for None": (NothingForNone(), [None, "a"]),
    "expression": (Upper(), ["a", None]),
    "of its own": (Doubled(), [1, None]),
    "interval": (Interval(), [timedelta(1, 2, 3), None]),
    "pickle": (PickleType(), [{"a": (1, 2)}, None]),
    "mutable": (MutableList.as_mutable(PickleType()), [[1, 2], None]),
    "json": (JSON().with_variant(postgresql.JSONB(), "postgresql"), [{"b": (1, 2), "a": 1.0}, None]),
}


def models(type_: Any) -> tuple[Any, Any]:
    class Base(DeclarativeBase):
        pass

    class Row(Base):
        __tablename__ = "row_"
        id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
        n: Mapped[int] = mapped_column(default=0)
        value: Mapped[Any] = mapped_column(type_, nullable=True)
        seen: Mapped[str] = iq.computed(lambda row: repr(row.value), Text)

    return Base, Row


def write(session: Session, kept: Kept, row: Any, route: str, value: Any) -> None:
    storage = kept.system.storage.with_session(session)
    match route:
        case "add":
            session.add(row(id=1, value=value))
        case "change":
            session.get_one(row, 1).value = value
        case "change beside":
            session.get_one(row, 1).n += 1
        case "insert":
            session.execute(insert(row), [{"id": 2, "value": value}, {"id": 3, "value": value}])
        case "update":
            session.execute(update(row).values(value=value), execution_options={"synchronize_session": False})
        case "update by key":
            session.execute(update(row), [{"id": 1, "value": value}])
        case "storage":
            storage.create(row, {"id": 4, "value": value})
        case _:
            storage.update(row, {"id": 1}, {"value": value})


ROUTES = ["add", "change", "change beside", "insert", "update", "update by key", "storage", "storage update"]


@pytest.mark.parametrize("name", TYPES)
def test_what_is_seen_is_what_is_read(keep: Keep, name: str) -> None:
    type_, values = TYPES[name]
    base, row = models(type_)
    kept = keep(base)
    for value in values:
        for route in ROUTES:
            if route.startswith("storage") and (value != value or name == "flag or number"):
                continue  # refused, as values that the database has no form for
            with kept.begin() as session:
                write(session, kept, row, route, value)
            with kept.sessions() as session:
                rows = session.scalars(select(row).order_by(row.id)).all()
                assert [r.seen for r in rows] == [repr(r.value) for r in rows], (route, value)
            kept.verify()
        kept.run(row.__table__.delete())


@pytest.mark.parametrize("name", ["empty for None", "not a number", "numeric", "of its own"])
def test_events_tell_what_is_stored(keep: Keep, name: str) -> None:
    type_, values = TYPES[name]
    base, row = models(type_)

    class Copy(base):
        __tablename__ = "copy"
        __computation__ = iq.Transform(row, lambda source: {"shown": repr(source.value)})
        id: Mapped[int] = mapped_column(primary_key=True)
        shown: Mapped[str]

    kept = keep(base)
    for value in values:
        with kept.begin() as session:
            session.add(row(id=1, value=value))
        with kept.sessions() as session:
            assert session.scalars(select(Copy.shown)).all() == [repr(session.get_one(row, 1).value)]
        kept.verify()
        kept.run(row.__table__.delete())
