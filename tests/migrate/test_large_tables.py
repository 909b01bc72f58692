"""Back-fills of large tables: one pass, only the members of a batch, one connection."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import Column, Engine, ForeignKey, Integer, Numeric, String, Table, event
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship
from sqlalchemy.pool import Pool

import interaqt_sa as iq
from tests.migrate.environment import Environment

HOSTS, MEMBERS = 2_000, 40_000


def shelves(*, computed: bool, key: Any = int, linked: bool = False) -> Any:
    class Base(DeclarativeBase):
        pass

    class Book(Base):
        __tablename__ = "book"
        id: Mapped[int] = mapped_column(primary_key=True)
        pages: Mapped[int]
        price: Mapped[Decimal] = mapped_column(Numeric(10, 2))
        if not linked:
            shelf_id: Mapped[Any] = mapped_column(ForeignKey("shelf.id"), index=True, nullable=False)

    if linked:
        held = Table(
            "held",
            Base.metadata,
            *(Column(f"{name}_id", ForeignKey(f"{name}.id"), primary_key=True) for name in ("shelf", "book")),
        )

    class Shelf(Base):
        __tablename__ = "shelf"
        id: Mapped[Any] = mapped_column(Integer if key is int else String, primary_key=True)
        books: Mapped[list[Book]] = relationship(secondary=held) if linked else relationship()
        if computed:
            count: Mapped[int] = iq.computed(iq.Count("books", where={"pages": (">", 1)}))
            worth: Mapped[Decimal] = mapped_column(Numeric(14, 2), iq.Summation("books", "price"))
            mean: Mapped[float] = iq.computed(iq.Average("books", "pages"))
            label: Mapped[str] = iq.computed(lambda shelf: f"{shelf.id}: {shelf.count}")

    Base.kept = [Book, Shelf]  # type: ignore[attr-defined]  # a registry holds its classes weakly
    return Base


def fill(environment: Environment, *, key: str = "h", linked: bool = False) -> None:
    of_book = f"1 + g * 7 % {HOSTS}"
    shelf = of_book if key == "h" else f"'k' || ({of_book})"
    environment.run(
        f"INSERT INTO shelf (id) SELECT {'g' if key == 'h' else chr(39) + 'k' + chr(39) + ' || g'} "
        f"FROM generate_series(1, {HOSTS}) AS g",
        (
            f"INSERT INTO book (id, pages, price) SELECT g, g % 5, g % 100 FROM generate_series(1, {MEMBERS}) AS g"
            if linked
            else f"INSERT INTO book (id, pages, price, shelf_id) SELECT g, g % 5, g % 100, {shelf} "
            f"FROM generate_series(1, {MEMBERS}) AS g"
        ).replace("%", "%%"),
        *(
            [f"INSERT INTO held SELECT {shelf}, g FROM generate_series(1, {MEMBERS}) AS g".replace("%", "%%")]
            if linked
            else []
        ),
        "ANALYZE",
    )


@contextmanager
def listening(name: str, listener: Any) -> Iterator[None]:
    """Listen to all connections, twice: by one listener alone the engine does not let itself be watched."""

    def also(*args: Any, **kw: Any) -> None:
        pass

    for one in (listener, also):
        event.listen(Engine, name, one)
    try:
        yield
    finally:
        for one in (listener, also):
            event.remove(Engine, name, one)


@pytest.mark.parametrize("shape", ["integer", "text", "linked"])
def test_a_batch_reads_its_own_members_only(postgres_environment: Environment, shape: str) -> None:
    environment = postgres_environment
    key, linked = (str if shape == "text" else int), shape == "linked"
    environment.migrate(shelves(computed=False, key=key, linked=linked))
    fill(environment, key="t" if shape == "text" else "h", linked=linked)
    base = shelves(computed=True, key=key, linked=linked)
    environment.use(base)
    environment.revision()
    plans: list[str] = []

    def explain(connection: Any, cursor: Any, statement: str, parameters: Any, context: Any, many: bool) -> None:
        if statement.startswith("UPDATE shelf SET") and "count" in statement and "SUM" in statement.upper():
            with connection.connection.cursor() as other:
                other.execute(f"EXPLAIN {statement}", parameters)
                plans.append("\n".join(row[0] for row in other.fetchall()))

    with listening("before_cursor_execute", explain):
        environment.upgrade("head", "batch=100")

    assert len(plans) == HOSTS // 100  # all aggregates in one statement for each batch
    scanned = "Seq Scan on held" if linked else "Seq Scan on book"
    assert not [plan for plan in plans if scanned in plan], plans[0]
    assert iq.System(environment.engine, base=base, configure_sqlite=False).check()


def test_all_batches_share_one_connection(environment: Environment) -> None:
    environment.migrate(shelves(computed=False))
    environment.run(*(f"INSERT INTO shelf (id) VALUES ({n})" for n in range(1, 30)))
    environment.use(shelves(computed=True))
    environment.revision()
    made: list[Any] = []

    def connected(connection: Any, record: Any) -> None:
        made.append(connection)

    event.listen(Pool, "connect", connected)
    try:
        environment.upgrade("head", "batch=2")
    finally:
        event.remove(Pool, "connect", connected)
    assert len(made) == 2  # that of the migration, and that of the batches


def test_values_of_tables_that_a_revision_creates_are_not_computed(environment: Environment) -> None:
    environment.use(shelves(computed=True))
    (source,) = environment.revision()
    statements: list[str] = []

    def note(connection: Any, cursor: Any, statement: str, parameters: Any, context: Any, many: bool) -> None:
        statements.append(statement)

    with listening("before_cursor_execute", note):
        environment.upgrade()
    assert "op.interaqt_backfill({" in source
    assert not [statement for statement in statements if statement.startswith("UPDATE shelf")]
    environment.check()
