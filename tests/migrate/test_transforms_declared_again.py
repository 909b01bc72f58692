"""A Transform that is removed, while its table stays, and declared again finds the rows that it has derived."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import MetaData
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

import interaqt_sa as iq
from tests.migrate.boxes import is_true
from tests.migrate.environment import Environment


def mapped(*, derived: bool) -> Any:
    class Base(DeclarativeBase):
        pass

    class Loan(Base):
        __tablename__ = "loan"
        id: Mapped[int] = mapped_column(primary_key=True)
        days: Mapped[int]

    class Note(Base):
        __tablename__ = "note"
        if derived:
            __computation__ = iq.Transform(Loan, note)
        id: Mapped[int] = mapped_column(primary_key=True)
        text: Mapped[str]

    Base.kept = [Loan, Note]  # type: ignore[attr-defined]  # a registry holds its classes weakly
    return Base


def defined(*, derived: bool) -> Any:
    loan = iq.Entity("Loan", [iq.Property("days", int)])
    computation = iq.Transform(loan, note) if derived else None
    return iq.compile_schema(
        MetaData(), entities=[loan, iq.Entity("Note", [iq.Property("text", str)], computation=computation)]
    )


def note(loan: Any) -> dict[str, str]:
    return {"text": f"loan {loan.days}"}


def notes(environment: Environment) -> list[tuple[Any, ...]]:
    return environment.rows("SELECT id, text FROM note ORDER BY id")


@pytest.mark.parametrize("models", [mapped, defined])
def test_it_finds_its_rows(environment: Environment, models: Callable[..., Any]) -> None:
    """Rows are refreshed and keep their keys, those of deleted rows go, and others stay."""
    environment.migrate(models(derived=False))
    environment.run(
        "INSERT INTO loan (id, days) VALUES (1, 10), (2, 20), (3, 30)",
        "INSERT INTO note (id, text) VALUES (99, 'before')",
    )
    environment.migrate(models(derived=True))
    before = {text: id_ for id_, text in notes(environment)}
    assert sorted(before) == ["before", "loan 10", "loan 20", "loan 30"]

    environment.migrate(models(derived=False))
    environment.run(
        "UPDATE loan SET days = 11 WHERE id = 1",
        "DELETE FROM loan WHERE id = 2",
        "INSERT INTO loan (id, days) VALUES (4, 40)",
        "INSERT INTO note (id, text) VALUES (999, 'meanwhile')",
    )
    base = models(derived=True)
    environment.migrate(base)

    after = {text: id_ for id_, text in notes(environment)}
    assert sorted(after) == ["before", "loan 11", "loan 30", "loan 40", "meanwhile"]
    assert (after["loan 11"], after["loan 30"]) == (before["loan 10"], before["loan 30"])
    assert (after["before"], after["meanwhile"]) == (99, 999)
    assert is_true(environment, base)


@pytest.mark.parametrize("models", [mapped, defined])
def test_a_downgrade_takes_the_rows_that_it_cannot_find_again(
    environment: Environment, models: Callable[..., Any]
) -> None:
    environment.migrate(models(derived=False))
    environment.run(
        "INSERT INTO loan (id, days) VALUES (1, 10), (2, 20)", "INSERT INTO note (id, text) VALUES (99, 'before')"
    )
    base = models(derived=True)
    made = environment.migrate(base)
    environment.downgrade(f"-{len(made)}")
    assert notes(environment) == [(99, "before")]
    environment.upgrade()
    assert sorted(text for _, text in notes(environment)) == ["before", "loan 10", "loan 20"]
    assert is_true(environment, base)
    environment.check()


def test_rows_that_cannot_be_found_are_told(environment: Environment, caplog: pytest.LogCaptureFixture) -> None:
    environment.migrate(mapped(derived=False))
    environment.run("INSERT INTO loan (id, days) VALUES (1, 10), (2, 20)")
    environment.migrate(mapped(derived=True))
    environment.use(mapped(derived=False))
    environment.revision("allow-drop")
    environment.upgrade()
    with caplog.at_level(logging.WARNING):
        environment.migrate(mapped(derived=True))
    assert "Note: 2 rows have no origin and are kept" in caplog.text
