"""Native enumerated types of PostgreSQL, in tables that exist: created, extended and dropped by revisions."""

from __future__ import annotations

import enum
from typing import Any, ClassVar

import pytest
import sqlalchemy as sa
from sqlalchemy import MetaData
from sqlalchemy.dialects import postgresql
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

import interaqt_sa as iq
from tests.migrate.environment import Environment


class Color(enum.Enum):
    red = 1
    green = 2


class Wrapped(sa.TypeDecorator[str]):
    """A type of the application's own, over a native one."""

    impl = sa.Enum("low", "50% of: high's", name="level")
    cache_ok = True


def tickets(*columns: str, labels: tuple[str, ...] = ("open", "done"), more: bool = False) -> Any:
    """Return the base of tickets with some of the columns below."""

    class Base(DeclarativeBase):
        kept: ClassVar[list[Any]] = []

    shared = sa.Enum(*labels, name="status")

    class Ticket(Base):
        __tablename__ = "ticket"
        id: Mapped[int] = mapped_column(primary_key=True)
        if "status" in columns:
            status: Mapped[str | None] = mapped_column(shared)
        if "required" in columns:
            required: Mapped[str] = mapped_column(shared, server_default="open")
        if "color" in columns:
            color: Mapped[Color | None]
        if "level" in columns:
            level: Mapped[str | None] = mapped_column(Wrapped())
        if "levels" in columns:
            levels: Mapped[list[str] | None] = mapped_column(
                sa.JSON().with_variant(postgresql.ARRAY(sa.Enum("a", "b", name="letter")), "postgresql")
            )
        if "either" in columns:
            either: Mapped[str | None] = mapped_column(
                sa.String(9).with_variant(sa.Enum("x", "y", name="either"), "postgresql")
            )
        if "written" in columns:
            written: Mapped[str | None] = mapped_column(sa.Enum("p", "q", name="written", native_enum=False))

    Base.kept = [Ticket]  # a registry holds its classes weakly
    if more:

        class Note(Base):
            __tablename__ = "note"
            id: Mapped[int] = mapped_column(primary_key=True)
            status: Mapped[str | None] = mapped_column(shared)
            level: Mapped[str | None] = mapped_column(Wrapped())

        Base.kept.append(Note)
    return Base


def types(environment: Environment) -> dict[str, list[str]]:
    if not environment.is_postgresql:
        return {}
    return {found["name"]: found["labels"] for found in postgres_inspector(environment).get_enums("*")}


def postgres_inspector(environment: Environment) -> Any:
    return sa.inspect(environment.engine)


@pytest.mark.parametrize("column", ["status", "required", "color", "level", "levels", "either", "written"])
def test_a_column_that_a_table_gets(environment: Environment, column: str) -> None:
    if column == "level" and not environment.is_postgresql:
        pytest.skip("Alembic writes a type of the application's own as it stands, and its import is theirs")
    environment.migrate(tickets())
    environment.run("INSERT INTO ticket (id) VALUES (1)")
    before = environment.heads()[0]

    (source,) = environment.migrate(tickets(column))

    named = types(environment)
    is_native = environment.is_postgresql and column != "written"
    assert len(named) == is_native
    assert source.count("op.interaqt_create_enum(") == source.count("op.interaqt_drop_enum(") == is_native
    environment.downgrade(before)
    assert not types(environment)
    environment.upgrade()
    environment.check()
    environment.downgrade("base")
    assert not types(environment)
    environment.upgrade()
    assert types(environment) == named


def test_tables_that_share_a_type(postgres_environment: Environment) -> None:
    environment = postgres_environment
    environment.migrate(tickets("status", "required", "level", more=True))
    environment.downgrade("base")
    assert not types(environment)
    environment.upgrade()
    environment.check()


def test_a_new_table_that_uses_a_type_of_before(postgres_environment: Environment) -> None:
    environment = postgres_environment
    environment.migrate(tickets("status", "level"))
    sources = environment.migrate(tickets("status", "level", more=True))
    assert "enum(" not in sources[0].replace("postgresql.ENUM(", "")
    environment.downgrade("-1")
    assert len(types(environment)) == 2


def test_the_type_goes_with_its_last_column(postgres_environment: Environment) -> None:
    environment = postgres_environment
    environment.migrate(tickets("status", more=True))
    environment.migrate(tickets(more=True))
    environment.migrate(tickets("status"))
    assert set(types(environment)) == {"status"}
    environment.migrate(tickets())
    assert not types(environment)
    environment.downgrade("-1")
    assert types(environment) == {"status": ["open", "done"]}
    environment.upgrade()
    environment.check()


def test_labels_that_are_added(environment: Environment) -> None:
    environment.migrate(tickets("status"))
    grown = ("new", "open", "it's 50%: x", "late", "done", "gone")
    sources = environment.migrate(tickets("status", "required", labels=grown))
    if environment.is_postgresql:
        assert types(environment) == {"status": [*grown]}
        assert sources[0].count("op.interaqt_add_enum_label(") == 4
        environment.run("INSERT INTO ticket (id, status) VALUES (1, 'it''s 50%%: x')")
        environment.downgrade("-1")
        environment.upgrade()
        assert types(environment) == {"status": [*grown]}


def test_labels_that_are_removed_are_kept(postgres_environment: Environment, caplog: pytest.LogCaptureFixture) -> None:
    environment = postgres_environment
    environment.migrate(tickets("status", labels=("a", "b", "c")))
    environment.use(tickets("status", labels=("b",)))
    environment.check()
    assert "labels of the type status that no model declares any more: a, c" in caplog.text


def test_a_type_in_a_schema(postgres_environment: Environment) -> None:
    environment = postgres_environment
    environment.run("CREATE SCHEMA other")

    def base(*, grown: bool) -> Any:
        metadata = MetaData(schema="other")
        columns: list[sa.Column[Any]] = (
            [sa.Column("kind", sa.Enum("a", "b", name="kind", schema="other"))] if grown else []
        )
        sa.Table("thing", metadata, sa.Column("id", sa.Integer, primary_key=True), *columns)
        return metadata

    environment.migrate(base(grown=False))
    environment.migrate(base(grown=True))
    assert [(e["schema"], e["name"]) for e in postgres_inspector(environment).get_enums("*")] == [("other", "kind")]
    environment.downgrade("base")
    assert not types(environment)


def test_a_type_that_is_there_with_other_labels_is_not_taken(postgres_environment: Environment) -> None:
    environment = postgres_environment
    environment.migrate(tickets())
    environment.use(tickets("status"))
    environment.revision()
    environment.run("CREATE TYPE status AS ENUM ('open')")
    with pytest.raises(DBAPIError, match="already exists"):
        environment.upgrade()
    environment.run("DROP TYPE status", "CREATE TYPE status AS ENUM ('open', 'done')")
    environment.upgrade()
    environment.check()


def test_scripts(postgres_environment: Environment) -> None:
    environment = postgres_environment
    environment.use(tickets())
    environment.revision()
    environment.upgrade()
    environment.use(tickets("status"))
    environment.revision()
    environment.upgrade()
    environment.use(tickets("status", labels=("open", "late", "done")))
    environment.revision()
    script = environment.script()
    assert "CREATE TYPE status AS ENUM ('open', 'done')" in script
    assert "ALTER TYPE status ADD VALUE IF NOT EXISTS 'late' BEFORE 'done'" in script


def test_a_state_machine_gets_a_state(postgres_environment: Environment) -> None:
    environment = postgres_environment
    environment.migrate(machine("open", "done"))
    environment.run("INSERT INTO task (id, state) VALUES (1, 'done')")
    environment.migrate(machine("open", "late", "done"))
    environment.run("UPDATE task SET state = 'late'")


def machine(*states: str) -> Any:
    class Base(DeclarativeBase):
        kept: ClassVar[list[Any]] = []

    nodes = [iq.StateNode(state) for state in states]
    transfer = iq.StateTransfer(
        current=nodes[0],
        next=nodes[-1],
        trigger=iq.Trigger("Task", "update"),
        compute_target=lambda _, event: event.record,
    )

    class Task(Base):
        __tablename__ = "task"
        id: Mapped[int] = mapped_column(primary_key=True)
        state: Mapped[str] = iq.computed(
            iq.StateMachine(states=nodes, initial_state=nodes[0], transfers=[transfer]),
            sa.Enum(*states, name="task_state"),
        )

    Base.kept = [Task]
    return Base
