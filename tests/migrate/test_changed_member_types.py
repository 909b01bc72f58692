"""A revision that changes the type of a column fills the values again that are computed from it."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import CHAR, REAL, Double, ForeignKey, Integer, Numeric, String, Text
from sqlalchemy.dialects.postgresql import CITEXT
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship
from sqlalchemy.types import TypeEngine

import interaqt_sa as iq
from tests.migrate.environment import Environment

ROWS = (
    "INSERT INTO box (id) VALUES (1), (2)",
    "INSERT INTO item (id, box_id, n, label) VALUES (1, 1, 9, ''), (2, 1, 10, ''), (3, 1, 10, ''), (4, 2, 7.5, '')",
)


def boxes(type_: Any) -> Any:
    """Return a base whose items have a column of `type_`, on which values of their own and of boxes depend."""

    class Base(DeclarativeBase):
        pass

    class Item(Base):
        __tablename__ = "item"
        id: Mapped[int] = mapped_column(primary_key=True)
        box_id: Mapped[int] = mapped_column(ForeignKey("box.id"), index=True)
        n: Mapped[Any] = mapped_column(type_, nullable=True)
        label: Mapped[str] = iq.computed(lambda item: f"{type(item.n).__name__} {item.n}")

    class Box(Base):
        __tablename__ = "box"
        id: Mapped[int] = mapped_column(primary_key=True)
        items: Mapped[list[Item]] = relationship()
        greatest: Mapped[Any] = iq.computed(iq.Max("items", "n"), type_, nullable=True)
        least: Mapped[Any] = iq.computed(iq.Min("items", "n"), type_, nullable=True)
        first: Mapped[Any] = iq.computed(iq.First("items", "n", by="id"), type_, nullable=True)
        latest: Mapped[int | None] = iq.computed(iq.Latest("items", "id", by="n"))
        number: Mapped[int] = iq.computed(iq.Count("items", where={"n": ("!=", None)}))

    Base.kept = [Item, Box]  # type: ignore[attr-defined]  # a registry holds its classes weakly
    return Base


@pytest.mark.parametrize(
    ("before", "after"),
    [(Numeric(10, 2), Text()), (Text(), Numeric(10, 2)), (Numeric(10, 2), Integer()), (Integer(), Numeric(12, 3))],
    ids=str,
)
def test_values_are_those_of_the_new_type(environment: Environment, before: Any, after: Any) -> None:
    first = boxes(before)
    environment.migrate(first)
    environment.run(*ROWS)
    iq.System(environment.engine, base=first, configure_sqlite=False).repair()

    second = boxes(after)
    environment.use(second)
    old = set(environment.versions.iterdir())
    sources = environment.revision()
    if environment.is_postgresql and isinstance(before, Text):  # only who writes the revision knows how to convert
        for path in set(environment.versions.iterdir()) - old:
            source = path.read_text()
            source = source.replace("'n',", "'n', postgresql_using='n::numeric',")
            path.write_text(source)
    environment.upgrade()
    environment.check()

    system = iq.System(environment.engine, base=second, configure_sqlite=False)
    assert any("interaqt_backfill" in source for source in sources)
    assert system.check().ok, system.check().differences


@pytest.mark.parametrize(
    ("before", "after"), [(Double(), REAL()), (String(20), CHAR(3)), (String(), CITEXT())], ids=str
)
def test_values_read_what_the_new_type_stores(
    postgres_environment: Environment, before: TypeEngine[Any], after: TypeEngine[Any]
) -> None:
    environment = postgres_environment
    is_text = isinstance(before, String)
    environment.run("CREATE EXTENSION IF NOT EXISTS citext")

    def pairs(type_: Any) -> Any:
        class Base(DeclarativeBase):
            pass

        class Member(Base):
            __tablename__ = "member"
            id: Mapped[int] = mapped_column(primary_key=True)
            pair_id: Mapped[int] = mapped_column(ForeignKey("pair.id"), index=True)
            n: Mapped[Any] = mapped_column(type_)

        class Pair(Base):
            __tablename__ = "pair"
            id: Mapped[int] = mapped_column(primary_key=True)
            members: Mapped[list[Member]] = relationship()
            alike: Mapped[int] = iq.computed(iq.Count("members", where={"n": "x" if is_text else (">", 0.1)}))

        Base.kept = [Member, Pair]  # type: ignore[attr-defined]
        return Base

    first = pairs(before)
    environment.migrate(first)
    values = "('x'), ('X'), ('x ')" if is_text else "(0.1), (0.10000000000000003), (0.5)"
    environment.run(
        "INSERT INTO pair (id, alike) VALUES (1, 0)",
        f"INSERT INTO member (pair_id, n) SELECT 1, v FROM (VALUES {values}) AS given (v)",
    )
    iq.System(environment.engine, base=first, configure_sqlite=False).repair()
    second = pairs(after)
    environment.migrate(second)
    report = iq.System(environment.engine, base=second, configure_sqlite=False).check()
    assert report.ok, report.differences
