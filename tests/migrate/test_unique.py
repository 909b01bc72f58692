"""Unique constraints over rows that exist; A89. Predicates of partial indexes."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import Index, MetaData, String, UniqueConstraint, func, inspect, text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from interaqt_sa.errors import ConstraintSetupError
from tests.migrate.environment import Environment
from tests.migrate.shop import CONVENTION


def accounts(*items: Any, extra: bool = False) -> type[DeclarativeBase]:
    class Base(DeclarativeBase):
        metadata = MetaData(naming_convention=CONVENTION)

    class Account(Base):
        __tablename__ = "account"
        id: Mapped[int] = mapped_column(primary_key=True)
        email: Mapped[str | None] = mapped_column(String)
        region: Mapped[str | None] = mapped_column(String)
        if extra:
            more: Mapped[str | None] = mapped_column(String)
        __table_args__ = items

    Base.records = (Account,)  # type: ignore[attr-defined]
    return Base


def partial(predicate: str, name: str = "ix_open_email", unique: bool = True) -> Index:
    return Index(name, "email", unique=unique, postgresql_where=text(predicate), sqlite_where=text(predicate))


ROWS = """
    INSERT INTO account (id, email, region) VALUES
    (1, 'a@x', 'n'), (2, 'b@x', 'n'), (3, 'a@x', 'n'), (4, NULL, 'n'), (5, NULL, 'n'), (6, 'a@x', 's'), (7, 'B@x', 's')
"""


def snapshot(environment: Environment) -> Any:
    inspector = inspect(environment.engine)
    return (
        sorted(inspector.get_table_names()),
        inspector.get_columns("account") and [column["name"] for column in inspector.get_columns("account")],
        inspector.get_unique_constraints("account"),
        environment.rows("SELECT * FROM account ORDER BY id"),
        environment.rows("SELECT * FROM alembic_version"),
    )


def test_duplicates_are_reported_and_nothing_is_changed(any_environment: Environment) -> None:
    """A89."""
    environment = any_environment
    environment.migrate(accounts())
    environment.run(ROWS)
    environment.use(accounts(UniqueConstraint("email", "region"), extra=True))
    environment.revision()
    before = snapshot(environment)

    with pytest.raises(ConstraintSetupError) as caught:
        environment.upgrade()

    assert snapshot(environment) == before
    error: Any = caught.value
    assert (error.constraint, error.table, error.properties) == ("uq_account_email", "account", ("email", "region"))
    assert error.rows == [{"id": 1, "email": "a@x", "region": "n"}, {"id": 3, "email": "a@x", "region": "n"}]
    assert "id=1, email='a@x', region='n'" in str(error)

    environment.run("DELETE FROM account WHERE id = 3")
    environment.upgrade()
    environment.check()


@pytest.mark.parametrize(
    ("item", "ids"),
    [
        (lambda: partial("region = 'n'"), [1, 3]),
        (lambda: partial("region = 's'"), []),
        (lambda: Index("ix_lower", func.lower(text("email")), unique=True), [1, 3, 6, 2, 7]),
        (lambda: UniqueConstraint("region", "email", postgresql_nulls_not_distinct=True), [1, 3, 4, 5]),
    ],
)
def test_the_report_knows_what_the_constraint_means(postgres_environment: Environment, item: Any, ids: Any) -> None:
    environment = postgres_environment
    environment.migrate(accounts())
    environment.run(ROWS)
    environment.use(accounts(item()))
    environment.revision()
    if not ids:
        environment.upgrade()
        return
    with pytest.raises(ConstraintSetupError) as caught:
        environment.upgrade()
    error: Any = caught.value
    assert [row["id"] for row in error.rows] == ids


def test_a_long_report_is_cut(environment: Environment) -> None:
    environment.migrate(accounts())
    environment.run(*(f"INSERT INTO account (id, email) VALUES ({n}, 'a@x')" for n in range(1, 31)))
    environment.use(accounts(UniqueConstraint("email")))
    environment.revision()
    with pytest.raises(ConstraintSetupError, match="…") as caught:
        environment.upgrade()
    error: Any = caught.value
    assert len(error.rows) == 20


def test_new_tables_and_new_columns_need_no_look(environment: Environment) -> None:
    (source,) = environment.migrate(accounts(UniqueConstraint("email")))
    assert "check_unique" not in source
    (source,) = environment.migrate(accounts(UniqueConstraint("email"), Index("ix_x", "more", unique=True), extra=True))
    assert "check_unique" not in source


def test_a_changed_predicate_is_seen_under_the_same_name(environment: Environment) -> None:
    environment.migrate(accounts(partial("region = 'n'")))

    (source,) = environment.migrate(accounts(partial("region = 's' AND email > ''")))

    assert "drop_index" in source
    assert source.index("check_unique") < source.index("drop_index")
    environment.migrate(accounts(partial("region = 's' AND email > ''", unique=False)))
    (source,) = environment.migrate(accounts(Index("ix_open_email", "email")))
    assert "create_index" in source
    (source,) = environment.migrate(accounts(partial("more > ''", unique=False), extra=True))
    assert "create_index" in source


def test_the_same_predicate_written_otherwise_is_the_same(environment: Environment) -> None:
    environment.migrate(accounts(partial("region in ('n', 's') and  email like 'a%'")))
    environment.use(accounts(partial("region in ('n', 's') and email like 'a%'")))
    environment.check()
    if environment.is_postgresql:
        environment.use(accounts(partial("(region IN ('n','s'))  AND email LIKE 'a%'")))
        environment.check()


@pytest.mark.parametrize("predicate", ["id % 2 = 0", "region LIKE 'n%'", "region = '100%%'", "region LIKE '%s:a%'"])
def test_percent_signs_of_predicates(any_environment: Environment, predicate: str) -> None:
    """The driver's own spelling of them is neither compared nor written into a revision."""
    environment = any_environment
    escaped = predicate.replace(":", r"\:")
    base = accounts(partial(escaped, unique=False))
    base.metadata.create_all(environment.engine)  # type: ignore[attr-defined]
    made = predicates(environment)
    assert len(made) == 1
    environment.use(base)
    environment.revision()
    environment.upgrade()
    environment.check()
    environment.migrate(accounts())
    assert predicates(environment) == []
    environment.migrate(base)
    assert predicates(environment) == made
    environment.check()
    environment.downgrade("-1")
    environment.upgrade()
    assert predicates(environment) == made


def predicates(environment: Environment) -> list[str]:
    if environment.is_postgresql:
        query = "SELECT pg_get_expr(indpred, indrelid) FROM pg_index WHERE indpred IS NOT NULL"
    else:
        query = "SELECT sql FROM sqlite_master WHERE type = 'index' AND sql LIKE '%WHERE%'"
    return [row[0].rpartition("WHERE")[2].strip() for row in environment.rows(query)]
