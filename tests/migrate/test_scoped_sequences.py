"""Existing rows are numbered by a back-fill, and counters start after the numbers that exist: R-S17."""

from __future__ import annotations

from itertools import count
from typing import Any

import pytest
from sqlalchemy import ForeignKey, Integer, MetaData, UniqueConstraint, insert, select
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, sessionmaker

import interaqt_sa as iq
from tests.behaviours.numbers import behaviour
from tests.migrate.environment import Environment

_IDS = count(1000)


def _models(sequence: Any = None, type_: Any = Mapped[int], *, unique: bool = True) -> type[Any]:
    """Return models with receipts of shops; ``sequence`` numbers them."""

    class Base(DeclarativeBase):
        metadata = MetaData()

    class Shop(Base):
        __tablename__ = "shop"
        id: Mapped[int] = mapped_column(primary_key=True)

    attributes: dict[str, Any] = {
        "__tablename__": "receipt",
        "__annotations__": {"number": type_} if sequence is not None else {},
        "id": mapped_column(Integer, primary_key=True),
        "shop_id": mapped_column(ForeignKey("shop.id"), nullable=False),
        "serial": mapped_column(Integer),
        "draft": mapped_column(Integer, server_default="0", nullable=False),
    }
    if sequence is not None:
        attributes["number"] = iq.computed(sequence)
        if unique:
            attributes["__table_args__"] = (UniqueConstraint("shop_id", "number", name="uq_receipt"),)
    Base.receipt = type("Receipt", (Base,), attributes)  # type: ignore[attr-defined]
    return Base


def _fill(environment: Environment, rows: int = 6) -> None:
    environment.run("INSERT INTO shop (id) VALUES (1), (2), (3)")
    for n in range(1, rows + 1):
        environment.run(
            f"INSERT INTO receipt (id, shop_id, serial) VALUES ({n}, {1 + n % 2}, {n * 100 if n > 3 else 'NULL'})"
        )


def _next(environment: Environment, models: Any, shop: int) -> int:
    sessions = sessionmaker(environment.engine)
    system = iq.System(sessions, base=models)
    with sessions.begin() as session:
        # the ids of the first rows are given too, so that the database generates them again
        session.add(made := models.receipt(id=next(_IDS), shop_id=shop, draft=0))
        session.flush()
        number: int = made.number
    assert system.check().ok
    return number


@behaviour("R-S17")
def test_existing_rows_are_numbered_in_the_order_of_their_keys(environment: Environment) -> None:
    environment.migrate(_models())
    _fill(environment)
    models = _models(iq.ScopedSequence("receipt", "shop_id"))
    sources = environment.migrate(models)
    assert any("interaqt_backfill" in source for source in sources)
    assert environment.rows("SELECT shop_id, number FROM receipt ORDER BY id") == [
        (2, 1),
        (1, 1),
        (2, 2),
        (1, 2),
        (2, 3),
        (1, 3),
    ]
    assert [_next(environment, models, shop) for shop in (1, 2, 3, 1)] == [4, 4, 1, 5]
    environment.check()


@behaviour("R-S17")
def test_in_batches_that_continue(environment: Environment) -> None:
    environment.migrate(_models())
    _fill(environment, 9)
    models = _models(iq.ScopedSequence("receipt", "shop_id"))
    environment.use(models)
    environment.revision()
    environment.upgrade("head", "batch=2")
    environment.check()
    assert [number for (number,) in environment.rows("SELECT number FROM receipt WHERE shop_id = 2 ORDER BY id")] == [
        1,
        2,
        3,
        4,
        5,
    ]


@behaviour("R-S17")
def test_counters_start_after_earlier_numbers(environment: Environment) -> None:
    environment.migrate(_models())
    _fill(environment)
    models = _models(iq.ScopedSequence("receipt", "shop_id", initialize_from="serial", step=7))
    environment.migrate(models)
    # shop 1 has 400 and 600, shop 2 has 500: rounded up to a multiple of the step
    assert environment.rows("SELECT shop_id, number FROM receipt ORDER BY id") == [
        (2, 511),
        (1, 609),
        (2, 518),
        (1, 616),
        (2, 525),
        (1, 623),
    ]
    assert [_next(environment, models, shop) for shop in (1, 2, 3)] == [630, 532, 7]


@behaviour("R-S17")
def test_a_column_that_has_numbers_already(environment: Environment) -> None:
    def models(**more: Any) -> Any:
        base = type("Base", (DeclarativeBase,), {"metadata": MetaData()})
        attributes: dict[str, Any] = {
            "__tablename__": "receipt",
            "id": mapped_column(Integer, primary_key=True),
            "shop_id": mapped_column(Integer, nullable=False),
            "draft": mapped_column(Integer, server_default="0", nullable=False),
            "number": mapped_column(Integer),
            **more,
        }
        base.receipt = type("Receipt", (base,), attributes)  # type: ignore[attr-defined]
        return base

    environment.migrate(models())
    environment.run(
        "INSERT INTO receipt (id, shop_id, number, draft) VALUES"
        " (1, 1, 7, 0), (2, 1, 3, 0), (3, 1, NULL, 0), (4, 2, NULL, 1), (5, 2, NULL, 0)"
    )
    sequence = iq.ScopedSequence("receipt", "shop_id", match={"draft": 0})
    numbered = models(number=iq.computed(sequence, Integer))
    environment.migrate(numbered)
    assert environment.rows("SELECT id, number FROM receipt ORDER BY id") == [(1, 7), (2, 3), (3, 8), (4, None), (5, 1)]
    assert [_next(environment, numbered, shop) for shop in (1, 2)] == [9, 2]


@behaviour("R-S17")
def test_the_table_of_the_counters(environment: Environment) -> None:
    environment.migrate(_models(iq.ScopedSequence("receipt", "shop_id")))
    with environment.connect() as connection:
        connection.execute(insert(table := _counters()), [{"sequence": "receipt", "scope": "[1]", "last": 3}])
        assert connection.scalar(select(table.c.last)) == 3
    environment.downgrade("base")
    environment.upgrade()
    environment.check()


def _counters() -> Any:
    models = _models(iq.ScopedSequence("receipt", "shop_id"))
    return models.metadata.tables["interaqt_scoped_counters"]


@behaviour("R-S17")
def test_a_row_without_a_scope_is_named(environment: Environment) -> None:
    def models(sequence: Any = None) -> Any:
        base = type("Base", (DeclarativeBase,), {"metadata": MetaData()})
        attributes: dict[str, Any] = {
            "__tablename__": "receipt",
            "id": mapped_column(Integer, primary_key=True),
            "shop_id": mapped_column(Integer),
        }
        if sequence is not None:
            attributes["number"] = iq.computed(sequence, Integer, nullable=False)
        base.receipt = type("Receipt", (base,), attributes)  # type: ignore[attr-defined]
        return base

    environment.migrate(models())
    environment.run("INSERT INTO receipt (id, shop_id) VALUES (1, 1), (2, NULL), (3, 1)")
    environment.use(models(iq.ScopedSequence("receipt", "shop_id")))
    environment.revision()
    with pytest.raises(iq.DefinitionFault, match="Receipt 2 has no shop_id"):
        environment.upgrade()
    environment.run("UPDATE receipt SET shop_id = 1 WHERE id = 2")
    environment.upgrade()
    assert environment.rows("SELECT id, number FROM receipt ORDER BY id") == [(1, 1), (2, 2), (3, 3)]
    environment.check()


@behaviour("R-S17")
def test_a_sequence_that_is_removed_and_declared_again(environment: Environment) -> None:
    sequence = iq.ScopedSequence("receipt", "shop_id")
    environment.migrate(_models())
    _fill(environment)
    environment.migrate(_models(sequence))
    environment.migrate(_models())
    environment.run("DELETE FROM receipt WHERE id IN (5, 6)")
    environment.migrate(_models(sequence))
    assert environment.rows("SELECT shop_id, number FROM receipt ORDER BY id") == [(2, 1), (1, 1), (2, 2), (1, 2)]
