"""An UPDATE of a column from which nothing follows is the statement that the application wrote, and no other one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from sqlalchemy import Engine, ForeignKey, text, update
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

import interaqt_sa as iq
from tests.engine.conftest import MakeSystem
from tests.engine.schedules import engine_of
from tests.support.statements import count_statements


def models() -> Any:
    class Base(DeclarativeBase):
        pass

    class Parent(Base):
        __tablename__ = "parent"
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str]
        children: Mapped[list[Any]] = relationship(lambda: Child)
        count: Mapped[int] = iq.computed(iq.Count("children"))
        total: Mapped[int] = iq.computed(iq.Summation("children", "points"))

    class Child(Base):
        __tablename__ = "child"
        id: Mapped[int] = mapped_column(primary_key=True)
        parent_id: Mapped[int] = mapped_column(ForeignKey("parent.id"))
        points: Mapped[int] = mapped_column(default=0)
        note: Mapped[str] = mapped_column(default="")

    Base.Parent, Base.Child = Parent, Child  # type: ignore[attr-defined]
    return Base


def sent(system: iq.System, statement: Any) -> Sequence[str]:
    with system.session_factory.begin() as session:
        session.connection()
        with count_statements(engine_of(system)) as statements:
            session.execute(statement)
    return [found for found in statements if not found.startswith(("BEGIN", "COMMIT"))]


@pytest.mark.parametrize("is_first", [True, False], ids=["first", "later"])
def test_one_statement_on_sqlite(make_system: MakeSystem, engine: Engine, is_first: bool) -> None:
    base = models()
    system = make_system(base)
    with system.session_factory.begin() as session:
        session.add(base.Parent(id=1, name="a", children=[base.Child(id=1, points=2)]))
    if not is_first:
        sent(system, update(base.Parent).values(name="b"))
        sent(system, update(base.Child).values(note="b"))
    # on PostgreSQL the rows are locked in order before
    expected = 1 if engine.dialect.name == "sqlite" else 2
    assert len(sent(system, update(base.Parent).values(name="c"))) == expected
    assert len(sent(system, update(base.Child).values(note="c"))) == expected
    assert len(sent(system, update(base.Child.__table__).where(base.Child.id == 1).values(note="d"))) == expected
    assert len(sent(system, update(base.Child).values(points=3))) > expected
    assert system.check().ok


def test_a_trigger_that_refuses_leaves_the_session_as_it_would_be(make_system: MakeSystem, engine: Engine) -> None:
    """RAISE(FAIL) keeps the rows before: what the application has asked of SQLite, and nothing follows from them."""
    if engine.dialect.name != "sqlite":
        pytest.skip("RAISE(FAIL) is SQLite's")
    base = models()
    system = make_system(base)
    with system.session_factory.begin() as session:
        session.add_all([base.Parent(id=n, name="a", children=[base.Child(id=n)]) for n in (1, 2)])
    with engine.begin() as connection:
        connection.execute(
            text(
                "CREATE TRIGGER no BEFORE UPDATE ON parent WHEN new.id = 2 AND new.name = 'b' "
                "BEGIN SELECT RAISE(FAIL, 'no'); END"
            )
        )
    with system.session_factory() as session:
        with pytest.raises(Exception, match="no"):
            session.execute(update(base.Parent).values(name="b"))
        session.add(base.Child(parent_id=1))
        session.commit()
    assert system.check().ok
