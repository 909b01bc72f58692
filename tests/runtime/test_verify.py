"""`system.verify()` compares the database with what is declared, without a controller and without changing anything."""

from __future__ import annotations

import logging

import pytest
from sqlalchemy import Engine, ForeignKey, UniqueConstraint, event, inspect, text
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship, sessionmaker

import interaqt_sa as iq


class Base(DeclarativeBase):
    pass


class Item(Base):
    __tablename__ = "item"
    __table_args__ = (UniqueConstraint("code", name="uq_item_code"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    code: Mapped[str]
    amount: Mapped[float]
    box_id: Mapped[int] = mapped_column(ForeignKey("box.id"))
    bag_id: Mapped[int | None] = mapped_column(ForeignKey("bag.id"), index=True)


class Box(Base):
    __tablename__ = "box"
    id: Mapped[int] = mapped_column(primary_key=True)
    items: Mapped[list[Item]] = relationship()
    mean: Mapped[float | None] = iq.computed(iq.Average("items", "amount", empty=None))


class Bag(Base):
    __tablename__ = "bag"
    id: Mapped[int] = mapped_column(primary_key=True)
    items: Mapped[list[Item]] = relationship()
    n: Mapped[int] = iq.computed(iq.Count("items"))


def test_a_database_that_has_everything(engine: Engine, caplog: pytest.LogCaptureFixture) -> None:
    Base.metadata.create_all(engine)
    system = iq.System(sessionmaker(engine), base=Base)
    ran: list[str] = []
    event.listen(engine, "before_cursor_execute", lambda *args: ran.append(args[2]))
    with caplog.at_level(logging.WARNING, "interaqt_sa"):
        system.verify()
    assert not [statement for statement in ran if statement.lstrip().upper().startswith(("CREATE", "ALTER", "INSERT"))]
    (told,) = caplog.messages
    assert "item has no index on box_id" in told
    assert "box" in told
    assert "index=True" in told


def test_an_empty_database(engine: Engine) -> None:
    with pytest.raises(iq.DefinitionError, match="migrate it with Alembic") as caught:
        iq.System(engine, base=Base).verify()
    assert {fault.record for fault in caught.value.exceptions} == {"bag", "box", "item"}
    assert inspect(engine).get_table_names() == []


def test_a_database_that_was_not_migrated(engine: Engine) -> None:
    Base.metadata.create_all(engine)
    with engine.begin() as connection:
        for column in ("_mean__sum", "_mean__count"):
            connection.execute(text(f"ALTER TABLE box DROP COLUMN {column}"))
    with pytest.raises(iq.DefinitionError) as caught:
        iq.System(engine, base=Base).verify()
    assert {fault.property for fault in caught.value.exceptions} == {"_mean__sum", "_mean__count"}


def test_a_unique_constraint_that_is_missing(engine: Engine) -> None:
    with engine.begin() as connection:
        unique = {c for c in Item.__table__.constraints if isinstance(c, UniqueConstraint)}  # type: ignore[attr-defined]
        Item.__table__.constraints -= unique  # type: ignore[attr-defined]
        try:
            Base.metadata.create_all(connection)
        finally:
            Item.__table__.constraints |= unique  # type: ignore[attr-defined]
    with pytest.raises(iq.ConstraintSetupError, match="uq_item_code"):
        iq.System(engine, base=Base).verify()


def test_faults_of_computations_come_before_any_sql() -> None:
    class Other(DeclarativeBase):
        pass

    class Lonely(Other):
        __tablename__ = "lonely"
        id: Mapped[int] = mapped_column(primary_key=True)
        n: Mapped[int] = iq.computed(iq.Count("nothing"))

    with pytest.raises(iq.DefinitionError, match=r"Lonely\.n"):
        iq.System(sessionmaker(), base=Other).verify()
    Other.registry.dispose()


async def test_the_asynchronous_twin(async_engine: AsyncEngine) -> None:
    system = iq.AsyncSystem(async_engine, base=Base)
    with pytest.raises(iq.DefinitionError, match="table 'box' is missing"):
        await system.verify()
    async with async_engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    await system.verify()
