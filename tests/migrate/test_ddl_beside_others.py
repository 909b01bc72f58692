"""DDL gives way to open transactions, so that those which come after it do not wait for them."""

from __future__ import annotations

import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import pytest
from alembic import command
from sqlalchemy import Index
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from tests.migrate.environment import Environment

#: a write that waits so long is an error; DDL gives way much sooner
PATIENCE = "SET LOCAL lock_timeout = '2s'"


def desks(*more: str) -> Any:
    """Return the base of desks, with what is named."""

    class Base(DeclarativeBase):
        pass

    class Desk(Base):
        __tablename__ = "desk"
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str | None]
        if "note" in more:
            note: Mapped[str | None]
        if "index" in more:
            __table_args__ = (Index("ix_desk_name", "name", postgresql_concurrently=True),)

    Base.kept = Desk  # type: ignore[attr-defined]  # a registry holds its classes weakly
    return Base


@pytest.fixture
def environment(postgres_environment: Environment) -> Environment:
    environment = postgres_environment
    environment.migrate(desks())
    environment.run("INSERT INTO desk (id) VALUES (1), (2)")
    return environment


@contextmanager
def upgrading(environment: Environment) -> Generator[None]:
    """Upgrade beside what the block does; the upgrade has to outlast it."""
    failed: list[BaseException] = []

    def upgrade() -> None:
        try:
            environment.upgrade()
        except BaseException as error:  # noqa: BLE001  told by the test
            failed.append(error)

    running = threading.Thread(target=upgrade)
    running.start()
    try:
        yield
        assert running.is_alive()
    finally:
        running.join(60)
    assert not running.is_alive()
    assert not failed


def write(environment: Environment) -> None:
    environment.run(PATIENCE, "UPDATE desk SET name = 'x' WHERE id = 1")
    time.sleep(0.01)


def test_a_reader_does_not_make_the_whole_application_wait(
    environment: Environment, caplog: pytest.LogCaptureFixture
) -> None:
    """An open transaction that has read the table keeps DDL waiting, and DDL would keep all others waiting."""
    environment.use(desks("note"))
    environment.revision()
    reader = environment.engine.connect()
    reader.exec_driver_sql("SELECT * FROM desk").all()
    written = 0
    with caplog.at_level("INFO", "alembic.interaqt_sa"), upgrading(environment):
        while caplog.text.count("is started again") < 4:
            write(environment)
            written += 1
        reader.rollback()
        reader.close()
    assert written > 4
    environment.check()


def test_an_index_is_built_beside_an_open_transaction(environment: Environment) -> None:
    """It waits for the transaction to end, and others go on writing."""
    environment.use(desks("index"))
    (source,) = environment.revision()
    assert "autocommit_block()" in source
    holder = environment.engine.connect()
    holder.exec_driver_sql("UPDATE desk SET name = 'held' WHERE id = 2")
    waiting = (
        "SELECT 1 FROM pg_stat_progress_create_index WHERE datname = current_database() AND phase LIKE 'waiting%%'"
    )
    with upgrading(environment):
        while not environment.rows(waiting):
            time.sleep(0.01)
        for _ in range(50):
            write(environment)
        assert environment.rows(waiting)
        holder.rollback()
        holder.close()
    environment.check()


def test_a_revision_waits_for_all_its_tables_together(environment: Environment) -> None:
    """While it waits for the second table, the first is locked: its time-out is what is left of one for both."""
    command.revision(environment.config(), message="two tables")
    path = max(environment.versions.glob("*two_tables.py"))
    tell = "INSERT INTO told (lock_timeout) SELECT current_setting('lock_timeout')"
    body = f"""op.execute("CREATE TABLE told (n SERIAL, lock_timeout TEXT)")
    op.execute("ALTER TABLE desk ADD COLUMN a INT")
    op.execute("SELECT pg_sleep(0.15)")
    op.execute("ALTER TABLE desk ADD COLUMN b INT")
    op.execute("{tell}")
    op.execute("SELECT pg_sleep(0.15)")
    op.execute("ALTER TABLE desk ADD COLUMN c INT")
    op.execute("{tell}")
    with op.get_context().autocommit_block():
        op.execute("{tell}")
    op.execute("ALTER TABLE desk ADD COLUMN d INT")
    op.execute("{tell}")"""
    path.write_text(path.read_text().replace('"""Upgrade."""', body))
    environment.upgrade()
    told = [row[0] for row in environment.rows("SELECT lock_timeout FROM told ORDER BY n")]
    assert int(told[0].removesuffix("ms")) <= 50
    assert told[1:] == ["20ms", "200ms", "200ms"]
