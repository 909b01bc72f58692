"""Rows that will not bear what is required of them are found before any DDL, with samples and counts."""

from __future__ import annotations

from typing import Any

import pytest
from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext
from sqlalchemy import ForeignKey, Integer, MetaData, UniqueConstraint, inspect
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

import interaqt_sa as iq
from tests.migrate.environment import Environment

ROWS = (
    "INSERT INTO owner (id, name) VALUES (1, 'o')",
    "INSERT INTO ticket (id, title, n, owner_id) VALUES (1, 'a', 1, 1), (2, 'a', 0, 77), (3, NULL, NULL, NULL)",
)


def declarative(*, nullable: bool = True, foreign_key: bool = False, extra: bool = False, unique: bool = False) -> Any:
    class Base(DeclarativeBase):
        pass

    class Owner(Base):
        __tablename__ = "owner"
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str]

    class Ticket(Base):
        __tablename__ = "ticket"
        id: Mapped[int] = mapped_column(primary_key=True)
        title: Mapped[str | None] = mapped_column(nullable=nullable)
        n: Mapped[int | None]
        owner_id: Mapped[int | None] = mapped_column(
            Integer, *([ForeignKey("owner.id", name="fk_ticket_owner")] if foreign_key else [])
        )
        if extra:
            first: Mapped[str | None]  # DDL that comes before what fails
            added: Mapped[str]
        __table_args__ = (UniqueConstraint("title", name="uq_title"),) if unique else ()

    Base.kept = [Owner, Ticket]  # type: ignore[attr-defined]  # a registry holds its classes weakly
    return Base


def defined(*constraints: Any, required: bool = False) -> Any:
    ticket = iq.Entity(
        "Ticket",
        [iq.Property("title", str, nullable=not required), iq.Property("n", int), iq.Property("owner_id", int)],
        constraints=list(constraints),
    )
    owner = iq.Entity("Owner", [iq.Property("name", str)])
    return iq.compile_schema(MetaData(), entities=[ticket, owner])


CASES: dict[str, tuple[Any, Any, str, list[int], str]] = {
    "NOT NULL": (
        declarative,
        lambda: declarative(nullable=False),
        r"NOT NULL of ticket\.title cannot be added: 1 rows",
        [3],
        "UPDATE ticket SET title = 'x' WHERE title IS NULL",
    ),
    "foreign key": (
        declarative,
        lambda: declarative(foreign_key=True),
        r"fk_ticket_owner cannot be added: 1 rows",
        [2],
        "UPDATE ticket SET owner_id = NULL WHERE id = 2",
    ),
    "new NOT NULL column": (
        declarative,
        lambda: declarative(extra=True),
        r"ticket\.added, which is NOT NULL and has no default cannot be added: 3 rows",
        [1, 2, 3],
        "DELETE FROM ticket",
    ),
    "unique": (
        declarative,
        lambda: declarative(unique=True),
        r"uq_title cannot be created",
        [1, 2],
        "DELETE FROM ticket WHERE id = 2",
    ),
    "non-null constraint": (
        defined,
        lambda: defined(iq.NonNullConstraint("has_title", "title")),
        r"cannot be added: 1 rows",
        [3],
        "DELETE FROM ticket WHERE id = 3",
    ),
    "required property": (
        defined,
        lambda: defined(required=True),
        r"NOT NULL of ticket\.title cannot be added: 1 rows",
        [3],
        "DELETE FROM ticket WHERE id = 3",
    ),
}


def snapshot(environment: Environment) -> Any:
    found = inspect(environment.engine)
    return (
        sorted(found.get_table_names()),
        [(c["name"], c["nullable"]) for c in found.get_columns("ticket")],
        found.get_unique_constraints("ticket"),
        found.get_check_constraints("ticket"),
        found.get_foreign_keys("ticket"),
        environment.rows("SELECT * FROM ticket ORDER BY id"),
        environment.rows("SELECT * FROM alembic_version"),
    )


@pytest.mark.parametrize("name", CASES)
def test_nothing_is_changed_and_the_rows_are_told(environment: Environment, name: str) -> None:
    before, after, message, ids, mend = CASES[name]
    environment.migrate(before())
    environment.run(*ROWS)
    environment.use(after())
    environment.revision()
    state = snapshot(environment)

    with pytest.raises(iq.ConstraintSetupError, match=message) as caught:
        environment.upgrade()

    assert [row["id"] for row in caught.value.rows] == ids
    assert snapshot(environment) == state
    environment.run(mend)
    environment.upgrade()
    environment.check()
    environment.downgrade("-1")
    environment.upgrade()


def test_many_rows_are_counted_and_a_few_are_shown(environment: Environment) -> None:
    environment.migrate(declarative())
    environment.run(*(f"INSERT INTO ticket (id) VALUES ({n})" for n in range(1, 51)))
    environment.use(declarative(nullable=False))
    environment.revision()
    with pytest.raises(iq.ConstraintSetupError, match=r"50 rows of ticket(.|\n)*… 50 in all") as caught:
        environment.upgrade()
    assert len(caught.value.rows) == 20


def test_a_check_constraint_over_rows(postgres_environment: Environment) -> None:
    """Alembic does not find CHECK constraints by itself; in a revision they are written by hand."""
    environment = postgres_environment
    environment.migrate(declarative())
    environment.run(*ROWS)
    environment.use(declarative())
    with environment.connect() as connection:
        operations: Any = Operations(MigrationContext.configure(connection))
        with pytest.raises(iq.ConstraintSetupError, match="ck_n cannot be added: 1 rows"):
            operations.interaqt_check_rows("ck_n", "ticket", "NOT (n > 0)", ["n"])
        operations.interaqt_check_rows("ck_n", "ticket", "NOT (n > -1)", ["n"])
