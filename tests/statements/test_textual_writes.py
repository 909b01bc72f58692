"""SQL text that writes what values are computed from is warned of where it can be read; other text is left alone."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from sqlalchemy import column, select, text
from sqlalchemy.exc import SQLAlchemyError

from interaqt_sa import System
from tests.declarative.kept import Kept
from tests.statements.boxes import Base, Item

WRITES = [
    "INSERT INTO item (id, box_id, amount_of) VALUES (9, 1, 5)",
    "insert into ITEM (id, box_id, amount_of) values (9, 1, 5)",
    'INSERT  INTO "item" (id, box_id, amount_of) SELECT 9, 1, 5',
    "/* a comment */ -- and another one\n UPDATE item SET amount_of = 7 WHERE id = 1",
    "UPDATE item AS i SET amount_of = 7",
    "INSERT /* here */ INTO -- there\n item (id, box_id, amount_of) VALUES (9, 1, 5)",
    "update item i set box_id = 2",
    "UPDATE item SET amount_of = amount_of + 1, note_text = 'where' WHERE id = 1 RETURNING id",
    "DELETE FROM item",
    "DELETE FROM item AS i WHERE i.id = 1",
    "UPDATE box SET item_count = 5",
    'INSERT INTO box (id, "item_count") VALUES (9, 5)',
    "WITH one AS (SELECT 1 AS id) UPDATE item SET amount_of = 7 WHERE id IN (SELECT id FROM one)",
]
POSTGRES = [
    "DELETE FROM ONLY public.item",
    'UPDATE "public"."item" SET amount_of = 1',
    "WITH gone AS (DELETE FROM item RETURNING id) SELECT count(*) FROM gone",
    "TRUNCATE item",
    "TRUNCATE TABLE item CASCADE",
]
SQLITE = [
    "REPLACE INTO item (id, box_id, amount_of) VALUES (1, 2, 5)",
    "DELETE FROM main.item",
    "UPDATE OR IGNORE [item] SET box_id = 2",
]
HARMLESS = [
    "INSERT INTO other_item (id) VALUES (1)",
    "UPDATE other_item SET amount_of = 5",
    "DELETE FROM other_item -- DELETE FROM item",
    "INSERT INTO other_item (name) VALUES ('DELETE FROM item')",
    "SELECT count(*) FROM item",
    "CREATE TABLE items (id INTEGER)",
]


@pytest.mark.parametrize("sql", [*WRITES, *POSTGRES, *SQLITE])
@pytest.mark.parametrize("way", ["session", "connection", "driver", "objects"])
def test_what_matters_is_told(boxes: Kept, sql: str, way: str) -> None:
    if sql in (SQLITE if boxes.engine.dialect.name == "postgresql" else POSTGRES):
        return
    with boxes.sessions() as session:
        with pytest.warns(UserWarning, match=r"this SQL text writes '(item|box)'"):
            run(session, sql, way)
        session.rollback()
    boxes.verify()


def run(session: Any, sql: str, way: str) -> None:
    with suppress(SQLAlchemyError, NotImplementedError):  # it breaks a key, or returns no rows
        if way == "session":
            session.execute(text(sql))
        elif way == "connection":
            session.connection().execute(text(sql).columns(column("id")))
        elif way == "driver":
            session.connection().exec_driver_sql(sql)
        else:
            session.execute(select(Item).from_statement(text(sql)))


@pytest.mark.parametrize("sql", HARMLESS)
def test_other_text_is_left_alone(boxes: Kept, sql: str) -> None:
    with boxes.begin() as session:
        session.execute(text("CREATE TABLE other_item (id INTEGER, name TEXT, amount_of INTEGER)"))
        session.execute(text(sql))
        session.connection().exec_driver_sql(sql.replace("items", "more_items"))
    boxes.verify()


@pytest.mark.parametrize("told", ["raise", "warn", "allow"])
def test_as_the_system_was_told(boxes: Kept, told: Any) -> None:
    boxes.system.detach(boxes.sessions)
    system = System(boxes.sessions, base=Base, unmanaged_dml=told)
    with boxes.begin() as session:
        if told != "allow":
            with pytest.warns(UserWarning, match="this SQL text writes 'item'"):
                session.execute(text(WRITES[0]))
        else:
            session.execute(text(WRITES[0]))
    system.repair()
    assert system.check().ok


def test_another_connection_is_not_looked_at(boxes: Kept) -> None:
    with boxes.engine.begin() as connection:
        connection.execute(text(WRITES[0]))
    boxes.system.repair()
    boxes.verify()
