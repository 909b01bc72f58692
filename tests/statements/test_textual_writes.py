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
    'TRUNCATE TABLE other, ONLY "public"."item"',
    "TRUNCATE box CASCADE",
    "EXPLAIN ANALYZE UPDATE item SET amount_of = 7",
    "explain analyse verbose DELETE FROM item",
    "EXPLAIN (COSTS off, ANALYZE) INSERT INTO item (id, box_id, amount_of) VALUES (9, 1, 5)",
    "DO $$ BEGIN PERFORM 1; UPDATE item SET amount_of = 7; END $$",
    "DO LANGUAGE plpgsql $body$ BEGIN EXECUTE 'DELETE FROM item'; END $body$",
    "/* a block */ DO 'BEGIN DELETE FROM item; END'",
    "CALL empties()",
    "CALL public.EMPTIES ()",
    "SELECT 1; DELETE FROM item",
    "PREPARE later AS DELETE FROM item",
    "COPY item (id, box_id, amount_of) FROM PROGRAM 'true'",
    "WITH one AS (UPDATE other SET id = 1 RETURNING id) DELETE FROM item WHERE id IN (SELECT id FROM one)",
    'UPDATE other SET "it\'s" = 1; DELETE FROM item',
    r"INSERT INTO other (name) VALUES (E'it\'s'); DELETE FROM item",
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
    "SELECT replace('a', 'b', 'c') FROM item",
]
HARMLESS_ON_POSTGRES = [
    "EXPLAIN UPDATE item SET amount_of = 7",
    "EXPLAIN (ANALYZE false, VERBOSE) DELETE FROM item",
    "EXPLAIN ANALYZE SELECT * FROM item",
    "CREATE OR REPLACE FUNCTION f() RETURNS void LANGUAGE sql AS $$ DELETE FROM item; DELETE FROM box $$",
    "CREATE PROCEDURE g() LANGUAGE sql BEGIN ATOMIC DELETE FROM other_item; DELETE FROM item; END",
    "INSERT INTO other_item (name) VALUES ($$; DELETE FROM item$$)",
    "DO $$ BEGIN DELETE FROM other_item; /* DELETE FROM item */ END $$",
    "CALL does_nothing()",
    "SELECT * FROM item FOR UPDATE",
    "COPY (SELECT * FROM item) TO PROGRAM 'cat > /dev/null'",
    "TRUNCATE other_item CASCADE",
]
HARMLESS_ON_SQLITE = [
    "EXPLAIN UPDATE item SET amount_of = 7",
    "EXPLAIN QUERY PLAN DELETE FROM item",
    "CREATE TRIGGER t AFTER INSERT ON other_item BEGIN DELETE FROM other_item; DELETE FROM item; END",
]
PROCEDURES = [
    "CREATE PROCEDURE empties() LANGUAGE sql AS $$ DELETE FROM item $$",
    "CREATE PROCEDURE does_nothing() LANGUAGE sql AS $$ SELECT count(*) FROM item $$",
]


@pytest.mark.parametrize("sql", [*WRITES, *POSTGRES, *SQLITE])
@pytest.mark.parametrize("way", ["session", "connection", "driver", "objects"])
def test_what_matters_is_told(boxes: Kept, sql: str, way: str) -> None:
    if sql in (SQLITE if boxes.engine.dialect.name == "postgresql" else POSTGRES):
        return
    with boxes.sessions() as session:
        create_procedures(session)
        with pytest.warns(UserWarning, match=r"this SQL text writes '(item|box)'"):
            run(session, sql, way)
        session.rollback()
    boxes.verify()


def create_procedures(session: Any) -> None:
    if session.get_bind().dialect.name == "postgresql":
        for procedure in PROCEDURES:
            session.execute(text(procedure))


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


@pytest.mark.parametrize("sql", [*HARMLESS, *HARMLESS_ON_POSTGRES, *HARMLESS_ON_SQLITE])
def test_other_text_is_left_alone(boxes: Kept, sql: str) -> None:
    is_postgres = boxes.engine.dialect.name == "postgresql"
    if sql not in HARMLESS and sql not in (HARMLESS_ON_POSTGRES if is_postgres else HARMLESS_ON_SQLITE):
        return
    with boxes.begin() as session:
        create_procedures(session)
        session.execute(text("CREATE TABLE other_item (id INTEGER, name TEXT, amount_of INTEGER)"))
        session.execute(text(sql))
        if "CREATE" not in sql:
            session.connection().exec_driver_sql(sql)
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
