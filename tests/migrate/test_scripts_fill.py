"""`alembic upgrade --sql` fills what SQL can compute, and stops where it takes Python."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import ForeignKey, Numeric
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

import interaqt_sa as iq
from tests.migrate.environment import Environment
from tests.migrate.test_values_are_filled_before_they_hold import run_script


def shelves(*values: str) -> Any:
    class Base(DeclarativeBase):
        pass

    class Book(Base):
        __tablename__ = "book"
        id: Mapped[int] = mapped_column(primary_key=True)
        shelf_id: Mapped[int] = mapped_column(ForeignKey("shelf.id"), index=True)
        title: Mapped[str]
        pages: Mapped[int]
        price: Mapped[Decimal] = mapped_column(Numeric(10, 2))
        weight: Mapped[float | None]

    nodes = [iq.StateNode("open"), iq.StateNode("closed")]
    known: dict[str, Any] = {
        "count": lambda: iq.computed(iq.Count("books", where={"title": ("like", "%: it's 100 %%")})),
        "worth": lambda: mapped_column(Numeric(14, 2), iq.Summation("books", "price")),
        "mean": lambda: iq.computed(iq.Average("books", "weight", empty=None)),
        "all_long": lambda: iq.computed(iq.Every("books", expression={"pages": (">", 5)})),
        "any_long": lambda: iq.computed(iq.Any("books", expression={"pages": (">", 5)})),
        "state": lambda: iq.computed(iq.StateMachine(states=nodes, transfers=[], initial_state=nodes[0])),
        "label": lambda: iq.computed(lambda shelf: f"{shelf.id}"),
        "python": lambda: iq.computed(iq.Count("books", callback=always, attribute_query=["pages"])),
    }
    types: dict[str, Any] = {
        "count": Mapped[int],
        "worth": Mapped[Decimal],
        "mean": Mapped[float | None],
        "all_long": Mapped[bool],
        "any_long": Mapped[bool],
        "state": Mapped[str],
        "label": Mapped[str],
        "python": Mapped[int],
    }
    body: dict[str, Any] = {
        "__tablename__": "shelf",
        "__annotations__": {"id": Mapped[int], "books": Mapped[list[Book]], **{name: types[name] for name in values}},
        "id": mapped_column(primary_key=True),
        "books": relationship(Book),
        **{name: known[name]() for name in values},
    }
    Base.kept = [Book, type("Shelf", (Base,), body)]  # type: ignore[attr-defined]
    return Base


def always(_: Any) -> bool:
    return True


BOOKS = (
    "INSERT INTO shelf (id) VALUES (1), (2), (3)",
    "INSERT INTO book VALUES (1, 1, 'a: it''s 100 %%%%', 3, 1.50, 0.1), (2, 1, 'b', 9, 2.25, 0.2)",
    "INSERT INTO book VALUES (3, 2, 'c: it''s 100 %%%%', 8, 4, NULL)",
)


def prepare(environment: Environment, *values: str) -> tuple[Any, str]:
    environment.migrate(shelves())
    environment.run(*BOOKS)
    (start,) = (row[0] for row in environment.rows("SELECT version_num FROM alembic_version"))
    base = shelves(*values)
    environment.use(base)
    environment.revision()
    return base, environment.script(f"{start}:head")


def test_what_has_a_sql_form_is_filled(postgres_environment: Environment) -> None:
    environment = postgres_environment
    base, script = prepare(environment, "count", "worth", "mean", "all_long", "any_long", "state")

    assert "cannot be computed by a script" not in script
    run_script(environment, script)

    assert environment.rows("SELECT count, worth, all_long, any_long FROM shelf ORDER BY id") == [
        (1, Decimal("3.75"), False, True),
        (1, Decimal("4.00"), True, True),
        (0, Decimal("0.00"), True, False),
    ]
    assert iq.System(environment.engine, base=base, configure_sqlite=False).check()
    environment.upgrade()  # nothing is left to do
    environment.check()


@pytest.mark.parametrize("value", ["label", "python"])
def test_what_takes_python_stops_the_script(postgres_environment: Environment, value: str) -> None:
    environment = postgres_environment
    base, script = prepare(environment, "count", value)
    with pytest.raises(DBAPIError, match="cannot be computed by a script"):
        run_script(environment, script)
    environment.upgrade()
    assert iq.System(environment.engine, base=base, configure_sqlite=False).check()
