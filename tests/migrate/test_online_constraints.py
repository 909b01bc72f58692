"""Constraints that are added to tables with rows, without a lock that keeps writers waiting for the look at them."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, ClassVar

import pytest
from sqlalchemy import CheckConstraint, ForeignKey, Integer, MetaData, event, inspect
from sqlalchemy.engine import Engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

import interaqt_sa as iq
from tests.migrate.environment import Environment


def rooms(*more: str) -> Any:
    """Return the base of rooms and seats, with some of what is named below."""

    class Base(DeclarativeBase):
        kept: ClassVar[list[Any]] = []

    class Room(Base):
        __tablename__ = "room"
        id: Mapped[int] = mapped_column(primary_key=True)
        seats: Mapped[list[Seat]] = relationship(
            primaryjoin="Room.id == foreign(Seat.room_id)", viewonly="key" not in more
        )
        if "computed" in more:
            taken: Mapped[int] = iq.computed(iq.Count("seats"))

    class Seat(Base):
        __tablename__ = "seat"
        id: Mapped[int] = mapped_column(primary_key=True)
        label: Mapped[str | None] = mapped_column(nullable="required" not in more)
        room_id: Mapped[int | None] = mapped_column(
            Integer,
            *([ForeignKey("room.id", name="fk_seat_room")] if "key" in more else []),
            *([ForeignKey("room.id")] if "unnamed key" in more else []),
        )
        if "new key" in more:
            other_id: Mapped[int | None] = mapped_column(ForeignKey("room.id", name="fk_seat_other"))
        if "check" in more:
            __table_args__ = (CheckConstraint("label <> '50%:x'", name="ck_label"),)

    Base.kept = [Room, Seat]
    return Base


def defined(*constraints: Any) -> Any:
    seat = iq.Entity("Seat", [iq.Property("label", str)], constraints=list(constraints))
    return iq.compile_schema(MetaData(), entities=[seat])


ROWS = ("INSERT INTO room (id) VALUES (1)", "INSERT INTO seat (id, label, room_id) VALUES (1, 'a', 1), (2, 'b', 1)")


def not_valid(environment: Environment) -> list[Any]:
    return environment.rows("SELECT conname FROM pg_constraint WHERE NOT convalidated ORDER BY conname")


@contextmanager
def statements(table: str) -> Generator[list[str]]:
    """Give the statements that alter `table`, and a dash for each commit."""
    seen: list[str] = []

    def statement(conn: Any, cursor: Any, text: str, *_: Any) -> None:
        if f"ALTER TABLE {table}" in text:
            seen.append(text)

    def commit(conn: Any) -> None:
        if seen and seen[-1] != "-":
            seen.append("-")

    event.listen(Engine, "before_cursor_execute", statement)
    event.listen(Engine, "commit", commit)
    try:
        yield seen
    finally:
        event.remove(Engine, "before_cursor_execute", statement)
        event.remove(Engine, "commit", commit)


def test_not_null(postgres_environment: Environment) -> None:
    environment = postgres_environment
    environment.migrate(rooms())
    environment.run(*ROWS)
    with statements("seat") as seen:
        (source,) = environment.migrate(rooms("required"))
    assert "op.interaqt_set_not_null('seat', 'label')" in source
    name = "seat_label_interaqt_not_null"
    assert seen == [
        f"ALTER TABLE seat ADD CONSTRAINT {name} CHECK (label IS NOT NULL) NOT VALID",
        "-",
        f"ALTER TABLE seat VALIDATE CONSTRAINT {name}",
        "-",
        "ALTER TABLE seat ALTER COLUMN label SET NOT NULL",
        f"ALTER TABLE seat DROP CONSTRAINT {name}",
        "-",
    ]
    assert not inspect(environment.engine).get_check_constraints("seat")
    with pytest.raises(DBAPIError):
        environment.run("UPDATE seat SET label = NULL")
    environment.downgrade("-1")
    environment.run("UPDATE seat SET label = NULL WHERE id = 2")
    with pytest.raises(iq.ConstraintSetupError, match=r"NOT NULL of seat\.label cannot be added: 1 rows"):
        environment.upgrade()
    assert not inspect(environment.engine).get_check_constraints("seat")
    environment.run("DELETE FROM seat WHERE id = 2")
    environment.upgrade()
    environment.check()


@pytest.mark.filterwarnings("ignore:Autogenerate rendered a drop_constraint")
@pytest.mark.parametrize(
    ("more", "constraint"),
    [(("key",), "fk_seat_room"), (("unnamed key",), "seat_room_id_fkey"), (("new key",), "fk_seat_other")],
)
def test_foreign_key(postgres_environment: Environment, more: tuple[str, ...], constraint: str) -> None:
    environment = postgres_environment
    environment.migrate(rooms())
    environment.run(*ROWS)
    environment.use(rooms(*more))
    assert len(environment.revision()) == 2
    environment.upgrade("+1")
    assert not_valid(environment) == [(constraint,)]
    with pytest.raises(DBAPIError):
        environment.run(f"UPDATE seat SET {'other_id' if 'new key' in more else 'room_id'} = 77")
    environment.upgrade()
    assert not not_valid(environment)
    environment.check()
    if "unnamed key" in more:
        return  # Alembic cannot drop it, and says so
    environment.downgrade("-2")
    assert not inspect(environment.engine).get_foreign_keys("seat")
    environment.upgrade()
    assert not not_valid(environment)


def test_check_constraint(postgres_environment: Environment) -> None:
    environment = postgres_environment
    environment.migrate(defined())
    environment.run("INSERT INTO seat (label) VALUES ('a')")
    sources = environment.migrate(defined(iq.NonNullConstraint("has_label", "label")))
    assert len(sources) == 2
    assert "postgresql_not_valid=True" in sources[0]
    assert "op.interaqt_validate_constraint(" in sources[1]
    assert not not_valid(environment)
    environment.downgrade("-2")
    environment.run("INSERT INTO seat (label) VALUES (NULL)")
    with pytest.raises(iq.ConstraintSetupError, match="cannot be added: 1 rows"):
        environment.upgrade()
    assert not inspect(environment.engine).get_check_constraints("seat")


def test_a_check_constraint_over_what_is_filled_waits_for_the_values(postgres_environment: Environment) -> None:
    environment = postgres_environment
    environment.migrate(defined())
    environment.run("INSERT INTO seat (label) VALUES ('a')")
    level = iq.Property("level", int, default=3)
    seat = iq.Entity(
        "Seat", [iq.Property("label", str), level], constraints=[iq.NonNullConstraint("has_level", "level")]
    )
    sources = environment.migrate(iq.compile_schema(MetaData(), entities=[seat]))
    where = ["interaqt_backfill(", "create_check_constraint(", "interaqt_validate_constraint("]
    assert [[text in source for text in where].index(True) for source in sources[1:]] == [0, 2]
    assert not not_valid(environment)
    assert environment.rows("SELECT level FROM seat") == [(3,)]


def test_tables_that_are_new_get_theirs_at_once(environment: Environment) -> None:
    (source,) = environment.migrate(rooms("key", "required"))
    assert "not_valid" not in source
    assert "interaqt_set_not_null" not in source


def test_values_come_first(postgres_environment: Environment) -> None:
    """What is computed is filled before it is required, in one revision with what else waits."""
    environment = postgres_environment
    environment.migrate(rooms())
    environment.run(*ROWS)
    first, second = environment.migrate(rooms("key", "computed", "required"))
    assert "not_valid" in first
    assert second.index("interaqt_backfill") < second.index("interaqt_validate_constraint")
    assert "interaqt_set_not_null('seat', 'label')" in second
    assert environment.rows("SELECT taken FROM room") == [(2,)]
    environment.downgrade("-2")
    environment.upgrade()
    environment.check()


def test_a_partitioned_table_has_its_foreign_key_at_once(postgres_environment: Environment) -> None:
    environment = postgres_environment
    environment.use(rooms())
    environment.revision()
    path = next(environment.versions.glob("*.py"))
    source = path.read_text()
    start = source.index("op.create_table('seat'")
    end = source.index("\n    )", start)
    partitioned = f"{source[:end]},\n    postgresql_partition_by='RANGE (id)'{source[end:]}"
    path.write_text(
        partitioned.replace(",\n,", ",\n").replace(
            "def downgrade",
            "    op.execute('CREATE TABLE seat_all PARTITION OF seat DEFAULT')\n\n\ndef downgrade",
        )
    )
    environment.upgrade()
    environment.run(*ROWS)
    (source,) = environment.migrate(rooms("key"))
    assert "not_valid" not in source


@pytest.mark.parametrize("stops", range(4))
def test_what_was_interrupted_goes_on(postgres_environment: Environment, stops: int) -> None:
    """Whatever has been committed of it, it begins again where it was."""
    environment = postgres_environment
    environment.migrate(rooms())
    environment.run(*ROWS)
    name = "seat_label_interaqt_not_null"
    steps = [
        f"ALTER TABLE seat ADD CONSTRAINT {name} CHECK (label IS NOT NULL) NOT VALID",
        f"ALTER TABLE seat VALIDATE CONSTRAINT {name}",
        f"ALTER TABLE seat ALTER COLUMN label SET NOT NULL, DROP CONSTRAINT {name}",
    ]
    environment.use(rooms("required"))
    environment.revision()
    environment.run(*steps[:stops])
    environment.upgrade()
    assert not inspect(environment.engine).get_check_constraints("seat")
    environment.check()


@pytest.mark.filterwarnings("ignore:Autogenerate rendered a drop_constraint")
def test_scripts_hold_no_lock_either(postgres_environment: Environment) -> None:
    environment = postgres_environment
    environment.use(rooms())
    environment.revision()
    environment.upgrade()
    environment.use(rooms("required", "unnamed key"))
    environment.revision()
    environment.upgrade()
    script = environment.script()
    name = "seat_label_interaqt_not_null"
    validation = script.index(f"ALTER TABLE seat VALIDATE CONSTRAINT {name}")
    assert script[:validation].rstrip().endswith("COMMIT;")
    assert script.index(f"DROP CONSTRAINT {name}") > validation
    assert "ALTER TABLE seat VALIDATE CONSTRAINT seat_room_id_fkey" in script


def test_in_a_transaction_of_the_callers(postgres_environment: Environment) -> None:
    environment = postgres_environment
    environment.migrate(rooms())
    environment.run(*ROWS)
    environment.use(rooms("required", "key"))
    environment.revision()
    with environment.connect() as connection:
        environment.upgrade(connection=connection)
        connection.rollback()
    assert environment.rows("SELECT count(*) FROM pg_constraint WHERE conname = 'fk_seat_room'") == [(0,)]
    with environment.connect() as connection:
        environment.upgrade(connection=connection)
        connection.commit()
    assert not not_valid(environment)
    environment.check()
