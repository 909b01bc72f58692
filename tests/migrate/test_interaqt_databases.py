"""Databases that versions of interaqt left are taken over by `alembic upgrade head`, and served by storage."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import pytest
from alembic.util import CommandError
from sqlalchemy import MetaData, inspect
from sqlalchemy.exc import DBAPIError

import interaqt_sa as iq
from interaqt_sa.errors import ConstraintSetupError
from interaqt_sa.migrate.upgrade_completeness import UnfilledValuesError
from tests.migrate.environment import Environment
from tests.migrate.interaqt_databases import VERSIONS, declared, statements

# interaqt's INT(2), which SQLAlchemy reflects as INTEGER
pytestmark = pytest.mark.filterwarnings("ignore:Could not instantiate type:sqlalchemy.exc.SAWarning")


def take_over(environment: Environment, models: Any) -> list[str]:
    """Write both revisions on one database, and let `alembic upgrade head` run them on another state of it."""
    environment.use(models)
    sources = environment.revision()
    with suppress(UnfilledValuesError):  # the rest is still to be written
        environment.upgrade()
    sources += environment.revision()
    environment.upgrade()
    environment.check()
    return sources


def make(environment: Environment, version: str) -> None:
    environment.run(*statements(version, postgresql=environment.is_postgresql))


def served(environment: Environment, schema: Any) -> tuple[iq.System, Any]:
    system = iq.System(environment.engine, base=schema, configure_sqlite=False)
    return system, system.storage


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("driver", ["pysqlite", "psycopg", "asyncpg"])
def test_a_database_is_taken_over_and_served(
    environment_for: Callable[[str], Environment], driver: str, version: str
) -> None:
    environment = environment_for(driver)
    make(environment, version)
    schema = declared()
    take_over(environment, schema)

    system, storage = served(environment, schema)
    assert system.check().ok
    users = storage.find(
        "User", attribute_query=["id", "name", "age", "ticketCount", ("profile", {"attribute_query": ["motto"]})]
    )
    assert sorted((u["id"], u["name"], u["age"], u["ticketCount"]) for u in users) == [
        (1, "ann", 31, 2),
        (5, "bob", None, 0),
    ]
    assert [u["profile"]["motto"] for u in users if u.get("profile")] == ["onward"]
    labels = ("labels", {"attribute_query": ["word", ("&", {"attribute_query": ["since"]})]})
    tickets = storage.find("Ticket", attribute_query=["id", "title", "open", "tags", "opened", labels])
    leak = next(ticket for ticket in tickets if ticket["id"] == 2)
    assert (leak["title"], leak["open"], leak["tags"]) == ("leak", True, ["roof", "x"])
    assert leak["opened"] is not None
    assert [(label["word"], label["&"]["since"]) for label in leak["labels"]] == [("red", "2020")]

    made = storage.create("Ticket", {"title": "new", "owner": {"id": 5}})
    assert made["id"] == (41 if environment.is_postgresql else 5)
    assert storage.create("User", {"name": "cid"})["id"] == 6
    assert storage.find_one("User", {"id": 5}, attribute_query=["ticketCount"])["ticketCount"] == 1
    assert system.check().ok


@pytest.mark.parametrize("version", VERSIONS)
def test_head_alone_takes_a_database_over(environment_for: Callable[[str], Environment], version: str) -> None:
    """The revisions that were written on one database run on its twin from the beginning."""
    environment = environment_for("pysqlite")
    make(environment, version)
    schema = declared()
    take_over(environment, schema)
    environment.downgrade("base")
    assert environment.rows('SELECT use_tic_3 FROM "User" ORDER BY 1') == [(0,), (2,)]
    environment.upgrade()
    environment.check()
    assert served(environment, schema)[0].check().ok


@pytest.mark.parametrize("version", VERSIONS)
def test_the_way_back_gives_no_id_twice(postgres_environment: Environment, version: str) -> None:
    environment = postgres_environment
    make(environment, version)
    schema = declared()
    take_over(environment, schema)
    _, storage = served(environment, schema)
    assert [storage.create("Ticket", {"title": "t"})["id"] for _ in range(2)] == [41, 42]
    storage.delete("Ticket", {"id": 42})

    environment.downgrade("base")

    assert set(inspect(environment.engine).get_table_names()) >= {"User", "Ticket", "Ticket_labels_tickets_Label"}
    assert environment.rows('SELECT max(tic_id_9) FROM "Ticket"') == [(41,)]
    if version == "1.3.0":
        assert environment.rows("SELECT nextval('\"seq_0123456789ab_Ticket\"')") == [(43,)]
    else:
        assert environment.rows("SELECT last FROM \"_IDS_\" WHERE name = 'Ticket'") == [(42,)]
    environment.run('INSERT INTO "Ticket" (tic_id_9) VALUES (43)')  # as interaqt goes on
    environment.upgrade()
    environment.check()
    assert storage.create("Ticket", {"title": "t"})["id"] == 44


CREATED = 'INSERT INTO "User" ("use_nam_1", "use_id_4") VALUES (\'eve\', 6) RETURNING "_rowId"'
COUNTED = "UPDATE \"_IDS_\" SET last = 60 WHERE name = 'Label'"
DRAWN = "SELECT nextval('\"seq_0123456789ab_Label\"')"


@pytest.mark.parametrize("statement", [CREATED, COUNTED, DRAWN], ids=["row", "_IDS_", "sequence"])
def test_programs_of_before_are_seen(postgres_environment: Environment, statement: str) -> None:
    environment = postgres_environment
    make(environment, "1.0")
    environment.run('CREATE SEQUENCE "seq_0123456789ab_Label"')
    environment.use(declared())
    environment.revision()
    with environment.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as legacy:
        legacy.exec_driver_sql(statement).close()
        with pytest.raises(DBAPIError, match="programs that take ids from _IDS_ are connected: pid ") as raised:
            environment.upgrade()
        assert "alembic -x ignore-legacy-writers upgrade" in str(raised.value)
        assert "User" in inspect(environment.engine).get_table_names()
    with suppress(UnfilledValuesError):
        environment.upgrade()
    assert "user" in inspect(environment.engine).get_table_names()


def test_who_knows_better_is_not_held_up(postgres_environment: Environment) -> None:
    environment = postgres_environment
    make(environment, "1.0")
    environment.use(declared())
    environment.revision()
    with environment.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as legacy:
        legacy.exec_driver_sql(COUNTED)
        with suppress(UnfilledValuesError):
            environment.upgrade("head", "ignore-legacy-writers")
    assert "user" in inspect(environment.engine).get_table_names()


@pytest.mark.parametrize(
    "statement",
    [
        'SELECT "use_nam_1", "_rowId" FROM "User"',
        'SELECT * FROM "_IDS_"',
        'SELECT last_value FROM "seq_0123456789ab_Label"',
        "SELECT query FROM pg_stat_activity WHERE query ~ 'INSERT INTO \"_IDS_\"'",
    ],
)
def test_who_only_looks_is_not_in_the_way(postgres_environment: Environment, statement: str) -> None:
    """A pool of connections, `psql`, or monitoring."""
    environment = postgres_environment
    make(environment, "1.0")
    environment.run('CREATE SEQUENCE "seq_0123456789ab_Label"')
    environment.use(declared())
    environment.revision()
    with environment.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as other:
        other.exec_driver_sql(statement).all()
        with suppress(UnfilledValuesError):
            environment.upgrade()
        assert "user" in inspect(environment.engine).get_table_names()


def test_a_transaction_that_draws_from_a_sequence_of_before_is_seen(postgres_environment: Environment) -> None:
    """Its last statement says nothing of it, but the lock that it holds does."""
    environment = postgres_environment
    make(environment, "1.3.0")
    environment.use(declared())
    environment.revision()
    environment.run('CREATE TABLE IF NOT EXISTS "_IDS_" (last INTEGER, name TEXT)')
    with environment.engine.connect() as legacy, legacy.begin():
        legacy.exec_driver_sql(DRAWN)
        legacy.exec_driver_sql("SELECT 1")
        with pytest.raises(DBAPIError, match="programs that take ids from _IDS_ are connected: pid "):
            environment.upgrade()


def test_a_number_on_its_way_arrives_before_tables_are_altered(postgres_environment: Environment) -> None:
    environment = postgres_environment
    make(environment, "1.0")
    schema = declared()
    environment.use(schema)
    (source,) = environment.revision()
    assert source.index("op.interaqt_lock_legacy_ids()") < source.index("op.interaqt_check_rows(")
    with ThreadPoolExecutor() as pool:
        with environment.engine.connect() as writer, writer.begin():
            writer.exec_driver_sql("UPDATE \"_IDS_\" SET last = 60 WHERE name = 'Label'")
            upgrade = pool.submit(environment.upgrade)
            with pytest.raises(TimeoutError):
                upgrade.result(timeout=1)
            writer.exec_driver_sql("INSERT INTO \"Label\" (lab_wor_10, lab_id_11) VALUES ('late', 60)")
        with suppress(UnfilledValuesError):
            upgrade.result(timeout=30)
    environment.revision()
    environment.upgrade()
    assert served(environment, schema)[1].create("Label", {"word": "x"})["id"] == 61


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        ("INSERT INTO \"Label\" (lab_wor_10, lab_id_11) VALUES ('twice', 1)", "Label"),
        ("INSERT INTO \"Label\" (lab_wor_10) VALUES ('none')", "Label"),
    ],
    ids=["id given twice", "no id"],
)
def test_rows_that_cannot_have_a_key_are_told(environment: Environment, damage: str, told: str) -> None:
    make(environment, "1.0")
    environment.run(damage)
    environment.use(declared())
    environment.revision()
    with pytest.raises(ConstraintSetupError, match=f"primary key of {told}"):
        environment.upgrade()
    assert "Label" in inspect(environment.engine).get_table_names()


def test_links_to_rows_that_are_gone_are_told(environment: Environment) -> None:
    """Interaqt has no foreign keys."""
    make(environment, "1.0")
    environment.run('UPDATE "Ticket" SET tic_own_19 = 99 WHERE tic_id_9 = 3')
    environment.use(declared())
    environment.revision()
    with suppress(UnfilledValuesError):
        environment.upgrade()
    environment.revision()
    with pytest.raises(ConstraintSetupError) as raised:
        environment.upgrade()
    assert "99" in str(raised.value)


def test_an_id_without_key_under_our_own_names(environment: Environment) -> None:
    environment.run('CREATE TABLE "label" (id INT, word TEXT)', "INSERT INTO label VALUES (1, 'a'), (5, 'b')")
    label = iq.Entity("Label", [iq.Property("word", str)])
    schema = iq.compile_schema(MetaData(), entities=[label])
    sources = take_over(environment, schema)
    assert "op.interaqt_adopt_table('label', 'label', {})" in sources[0]
    assert served(environment, schema)[1].create("Label", {"word": "c"})["id"] == 6


def test_names_that_are_declared_stay(environment: Environment) -> None:
    make(environment, "1.0")
    user = iq.Entity(
        "User", [iq.Property("name", str, column_name="use_nam_1"), iq.Property("age", int)], table_name="User"
    )
    schema = iq.compile_schema(MetaData(), entities=[user])
    sources = take_over(environment, schema)
    renamed = sources[0].partition("op.interaqt_adopt_table(")[2].partition("}")[0]
    assert "'User', 'User'" in renamed
    assert "'use_id_4': 'id'" in renamed
    assert "use_nam_1" not in renamed
    assert served(environment, schema)[1].find("User", attribute_query=["name"])[0]["name"] == "ann"


def test_columns_that_cannot_be_told_apart_are_refused(environment: Environment) -> None:
    environment.run(
        'CREATE TABLE "Part" ("_rowId" INTEGER, "par_num_1" INT, "par_num_2" INT, "par_id_3" INT)',
    )
    part = iq.Entity("Part", [iq.Property("number", int)])
    environment.use(iq.compile_schema(MetaData(), entities=[part]))
    with pytest.raises(CommandError, match=r"par_num_1, par_num_2 may be any of number; specify it with"):
        environment.revision()


def test_rows_within_others_are_refused(environment: Environment) -> None:
    """A 1:1 with reliance: three records in one row."""
    environment.run('CREATE TABLE "User_Card" ("_rowId" INTEGER, "use_id_1" INT, "car_id_2" INT)')
    user, card = iq.Entity("User", [iq.Property("name", str)]), iq.Entity("Card", [iq.Property("number", str)])
    environment.use(iq.compile_schema(MetaData(), entities=[user, card]))
    with pytest.raises(CommandError, match="interaqt stored its rows in those of 'User_Card'"):
        environment.revision()


def test_the_script_takes_a_database_over(postgres_environment: Environment) -> None:
    from tests.migrate.test_values_are_filled_before_they_hold import run_script

    environment = postgres_environment
    make(environment, "1.1.3")
    schema = declared()
    take_over(environment, schema)
    environment.downgrade("base")
    environment.run("DROP TABLE IF EXISTS alembic_version", "DROP TABLE IF EXISTS interaqt_backfill")

    run_script(environment, environment.script("base:head"))

    environment.check()
    assert served(environment, schema)[0].check().ok
