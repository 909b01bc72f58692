"""SQL text of connections that no system is attached to is warned of where it can be read; so are migrations."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import pytest
from alembic.migration import MigrationContext
from alembic.operations import Operations
from sqlalchemy import Connection, Engine, column, table, text
from sqlalchemy.orm import Session

import interaqt_sa as iq
from tests.session.cupboard import Cupboard

TEXTS = [
    "INSERT INTO item (box_id) VALUES (1)",
    "UPDATE item SET box_id = NULL",
    "DELETE FROM item",
    "UPDATE box SET size = 4",
]


def by_text(connection: Connection, sql: str) -> None:
    connection.execute(text(sql))


def by_the_driver(connection: Connection, sql: str) -> None:
    connection.exec_driver_sql(sql)


def by_a_session(connection: Connection, sql: str) -> None:
    with Session(connection, join_transaction_mode="rollback_only") as session:
        session.execute(text(sql))


WAYS: list[Callable[[Connection, str], None]] = [by_text, by_the_driver, by_a_session]


@pytest.mark.parametrize("sql", TEXTS)
@pytest.mark.parametrize("way", WAYS)
def test_text_is_heard_once_for_a_table(engine: Engine, way: Callable[[Connection, str], None], sql: str) -> None:
    system = Cupboard().system(engine)
    with engine.begin() as connection:
        with pytest.warns(iq.UnattachedWriteWarning, match=r"SQL text writes '(item|box)'.*system\.attach") as told:
            way(connection, sql)
        assert [warning.filename for warning in told] == [__file__]
        way(connection, sql)
    system.repair()
    assert system.check().ok


@pytest.mark.parametrize("way", WAYS)
def test_it_is_never_refused(engine: Engine, way: Callable[[Connection, str], None]) -> None:
    """What text writes is guessed from its words."""
    system = Cupboard().system(engine, unattached="raise")
    with engine.begin() as connection, pytest.warns(iq.UnattachedWriteWarning, match="SQL text"):
        way(connection, TEXTS[0])
    assert not system.check().ok


@pytest.mark.parametrize("sql", TEXTS)
def test_it_is_allowed(engine: Engine, sql: str) -> None:
    system = Cupboard().system(engine, unattached="allow")
    with engine.begin() as connection:
        connection.execute(text(sql))
    system.repair()


@pytest.mark.parametrize(
    "sql",
    [
        "INSERT INTO note (id) VALUES (1)",
        "DELETE FROM note",
        "SELECT * FROM item",
        "INSERT INTO box (id) VALUES (9)",
    ],
)
def test_other_text_is_left_alone(engine: Engine, sql: str) -> None:
    cupboard = Cupboard()
    system = cupboard.system(engine)
    with engine.begin() as connection:
        connection.execute(text(sql))
        connection.execute(text("CREATE TABLE items (id INTEGER)"))
        connection.execute(text("INSERT INTO items (id) VALUES (1)"))
    assert system.check().ok


def test_text_before_anything_was_compiled(engine: Engine) -> None:
    cupboard = Cupboard()
    cupboard.Base.metadata.create_all(engine)
    system = iq.System(engine, base=cupboard.Base)
    with engine.begin() as connection, pytest.warns(iq.UnattachedWriteWarning, match="SQL text writes 'box'"):
        connection.execute(text("INSERT INTO box (id, size, label_count) VALUES (1, 7, 0)"))
    assert [d.stored for d in system.repair().differences] == [7]


# -- migrations -------------------------------------------------------------------------------------------------------


def _bulk_insert(op: Any) -> None:
    op.bulk_insert(table("item", column("id"), column("box_id")), [{"id": 1, "box_id": 1}])


def _execute(op: Any) -> None:
    op.execute("INSERT INTO item (id, box_id) VALUES (1, 1)")


def _execute_core(op: Any) -> None:
    op.execute(table("item", column("id"), column("box_id")).insert().values(id=1, box_id=1))


def _bind(op: Any) -> None:
    with Session(op.get_bind(), join_transaction_mode="rollback_only") as session:
        session.execute(table("item", column("id"), column("box_id")).insert().values(id=1, box_id=1))


@pytest.mark.parametrize("unattached", ["warn", "raise"])
@pytest.mark.parametrize("step", [_bulk_insert, _execute, _execute_core, _bind])
def test_a_migration_is_told_what_a_migration_can_do(
    engine: Engine, step: Callable[[Any], None], unattached: Any
) -> None:
    """It is warned, and not refused: the models are of today, and the revision cannot use their sessions."""
    from alembic import op

    cupboard = Cupboard()
    system = cupboard.system(engine, unattached=unattached)
    with engine.begin() as connection, Operations.context(MigrationContext.configure(connection)):
        with pytest.warns(iq.UnattachedWriteWarning, match="insert on 'item' in a migration.*backfill") as told:
            step(op)
        assert [warning.filename for warning in told] == [__file__]
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            op.execute("UPDATE item SET box_id = NULL")
            op.bulk_insert(table("note", column("id")), [{"id": 1}])
    system.repair()
    assert system.check().ok


def test_beside_a_migration_other_connections_are_as_ever(engine: Engine) -> None:
    cupboard = Cupboard()
    cupboard.system(engine, unattached="raise", configure_sqlite=False)
    with (
        engine.connect() as migrating,
        Operations.context(MigrationContext.configure(migrating)),
        pytest.raises(iq.UnmanagedWriteError, match=r"system\.attach"),
        engine.begin() as connection,
    ):
        connection.execute(cupboard.item.insert().values(box_id=1))
