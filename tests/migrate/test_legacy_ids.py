"""From a table `_IDS_` to sequences; A75, A76 and A88."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from alembic.migration import MigrationContext
from alembic.operations import Operations
from alembic.util import CommandError
from sqlalchemy import Connection, Integer, Text, inspect
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from tests.behaviours.numbers import behaviour
from tests.migrate.environment import Environment
from tests.migrate.tickets import tickets

LEGACY = (
    "CREATE TABLE label (id BIGINT PRIMARY KEY, word TEXT)",
    "INSERT INTO label VALUES (1, 'old')",
    'CREATE TABLE "_IDS_" (last INTEGER, name TEXT)',
    "INSERT INTO \"_IDS_\" VALUES (50, 'Label'), (20, 'Label'), (99, 'Other')",
)
MOVE: dict[str, Any] = {"sequence": "label_id_seq", "table": "label", "column": "id", "records": ["Label"]}


def operations(connection: Connection) -> Any:
    return Operations(MigrationContext.configure(connection))


def create(environment: Environment) -> int:
    ((made,),) = environment.rows("INSERT INTO label (word) VALUES ('new') RETURNING id")
    return int(made)


@behaviour("S-A75")
@pytest.mark.parametrize("driver", ["psycopg", "asyncpg"])
def test_ids_go_on_after_the_highest_that_was_ever_given(
    environment_for: Callable[[str], Environment], driver: str
) -> None:
    """A75: 51, 52, 53, whatever becomes of `_IDS_`."""
    environment = environment_for(driver)
    environment.run(*LEGACY)

    (source,) = environment.migrate(tickets())

    assert "op.interaqt_move_legacy_ids('label_id_seq', 'label', 'id', ['Label'])" in source
    assert create(environment) == 51
    environment.run("DELETE FROM label WHERE id = 51", 'UPDATE "_IDS_" SET last = 10')
    with environment.connect() as connection:
        operations(connection).interaqt_move_legacy_ids(**MOVE)
    assert create(environment) == 52
    environment.run('DROP TABLE "_IDS_"')
    with environment.connect() as connection:
        operations(connection).interaqt_move_legacy_ids(**MOVE)
    assert create(environment) == 53


def test_the_legacy_table_is_neither_written_nor_dropped(postgres_environment: Environment) -> None:
    """A88: also by the way back, which leaves the ids alone."""
    environment = postgres_environment
    environment.run(*LEGACY)
    before = environment.rows('SELECT * FROM "_IDS_" ORDER BY last')

    (source,) = environment.migrate(tickets())
    environment.downgrade("base")

    assert "_IDS_" not in source.partition("def downgrade")[0]
    assert "op.interaqt_return_legacy_ids('label_id_seq', 'label', 'id', ['Label'])" in source
    assert environment.rows('SELECT * FROM "_IDS_" ORDER BY last') == before
    assert environment.rows("SELECT id, word FROM label") == [(1, "old")]
    environment.upgrade()
    assert create(environment) == 51


def test_the_way_back_gives_no_id_twice(postgres_environment: Environment) -> None:
    """Ids that the sequence has given are behind the counters, also of rows that are gone again."""
    environment = postgres_environment
    environment.run(*LEGACY)
    environment.migrate(tickets())
    assert [create(environment), create(environment)] == [51, 52]
    environment.run("DELETE FROM label WHERE id = 52")
    environment.downgrade("base")
    assert environment.rows("SELECT last FROM \"_IDS_\" WHERE name = 'Label'") == [(52,)]
    assert environment.rows("SELECT last FROM \"_IDS_\" WHERE name = 'Other'") == [(99,)]
    environment.upgrade()
    assert create(environment) == 53


def test_a_number_that_is_on_its_way_arrives_first(postgres_environment: Environment) -> None:
    environment = postgres_environment
    environment.run(*LEGACY)
    environment.use(tickets())
    (source,) = environment.revision()
    assert source.index("op.interaqt_lock_legacy_ids()") < source.index("op.interaqt_create_sequence")
    with ThreadPoolExecutor() as pool:
        with environment.engine.connect() as writer, writer.begin():
            writer.exec_driver_sql("UPDATE \"_IDS_\" SET last = 60 WHERE name = 'Label'")
            upgrade = pool.submit(environment.upgrade)
            with pytest.raises(TimeoutError):
                upgrade.result(timeout=1)
            writer.exec_driver_sql("INSERT INTO label VALUES (60, 'late')")
        upgrade.result(timeout=30)
    assert create(environment) == 61


def test_sequences_of_version_1_3_are_followed(postgres_environment: Environment) -> None:
    environment = postgres_environment
    environment.run(
        "CREATE SEQUENCE seq_0123456789ab_label",
        "CREATE TABLE label (id BIGINT PRIMARY KEY DEFAULT nextval('seq_0123456789ab_label'), word TEXT)",
        "SELECT setval('seq_0123456789ab_label', 60)",
        "CREATE SEQUENCE seq_0123456789ab_other_label",
        "SELECT setval('seq_0123456789ab_other_label', 900)",
    )
    environment.migrate(tickets())
    assert create(environment) == 61


def test_counters_lie_in_the_schema_of_their_table(postgres_environment: Environment) -> None:
    environment = postgres_environment
    environment.run(
        "CREATE SCHEMA s1",
        "CREATE TABLE s1.label (id BIGINT PRIMARY KEY)",
        'CREATE TABLE s1."_IDS_" (last INTEGER, name TEXT)',
        "INSERT INTO s1.\"_IDS_\" VALUES (40, 'Label')",
    )
    with environment.connect() as connection:
        op = operations(connection)
        op.interaqt_lock_legacy_ids(schema="s1")
        op.interaqt_create_sequence("label_id_seq", schema="s1")
        op.interaqt_move_legacy_ids(**MOVE, schema="s1")
        assert connection.exec_driver_sql("SELECT nextval('s1.label_id_seq')").scalar() == 41
        op.interaqt_return_legacy_ids("label_id_seq", "label", "id", ["Label"], schema="s1")
        assert connection.exec_driver_sql('SELECT last FROM s1."_IDS_"').scalar() == 41


@behaviour("S-A76")
def test_ids_of_open_transactions_are_not_given_again(postgres_environment: Environment) -> None:
    """A76: the sequence is ahead of the table while a transaction that took ids is open."""
    environment = postgres_environment
    environment.migrate(tickets())
    with environment.engine.connect() as other:
        taken = other.exec_driver_sql("SELECT nextval('label_id_seq') FROM generate_series(1, 5)").scalars().all()
        with environment.connect() as connection:
            operations(connection).interaqt_move_legacy_ids(**MOVE)
        assert create(environment) == max(taken) + 1


def test_writers_wait_while_ids_move(postgres_environment: Environment) -> None:
    environment = postgres_environment
    environment.migrate(tickets())
    with ThreadPoolExecutor() as pool:
        with environment.engine.connect() as connection, connection.begin():
            operations(connection).interaqt_move_legacy_ids(**MOVE)
            waiting = pool.submit(create, environment)
            with pytest.raises(TimeoutError):
                waiting.result(timeout=0.3)
        assert waiting.result(timeout=5) == 1


def test_a_table_of_serial_ids_is_taken_as_it_is(postgres_environment: Environment) -> None:
    environment = postgres_environment
    environment.run("CREATE TABLE label (id BIGSERIAL PRIMARY KEY, word TEXT)", "INSERT INTO label (word) VALUES ('a')")

    (source,) = environment.migrate(tickets())

    assert "'label_id_seq'" not in source
    assert create(environment) == 2


def test_a_sequence_that_exists_goes_on_after_the_counters(postgres_environment: Environment) -> None:
    """SERIAL columns have the sequence already; ids of rows that are gone are not given again."""
    environment = postgres_environment
    environment.run(
        "CREATE TABLE label (id BIGSERIAL PRIMARY KEY, word TEXT)",
        "INSERT INTO label (word) VALUES ('a')",
        'CREATE TABLE "_IDS_" (last INTEGER, name TEXT)',
        "INSERT INTO \"_IDS_\" VALUES (40, 'Label')",
    )

    (source,) = environment.migrate(tickets())

    assert source.index("op.interaqt_lock_legacy_ids()") < source.index("op.interaqt_move_legacy_ids('label_id_seq'")
    assert create(environment) == 41
    environment.check()


def test_identity_columns_are_refused_with_a_way_out(postgres_environment: Environment) -> None:
    environment = postgres_environment
    environment.run(
        "CREATE TABLE label (id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, word TEXT)",
        "INSERT INTO label (word) VALUES ('a'), ('b')",
    )
    environment.use(tickets())
    with pytest.raises(CommandError, match=r"label\.id is an identity column") as raised:
        environment.revision()
    environment.run(str(raised.value).partition("op.execute('")[2].partition("')")[0])
    environment.migrate(tickets())
    assert create(environment) == 3


def test_awkward_names(postgres_environment: Environment) -> None:
    environment = postgres_environment
    environment.run(
        'CREATE SCHEMA "od\'d"',
        'CREATE TABLE "od\'d"."T:x" ("i""d" BIGINT PRIMARY KEY)',
        'INSERT INTO "od\'d"."T:x" VALUES (7)',
    )
    with environment.connect() as connection:
        op = operations(connection)
        op.interaqt_create_sequence("S:eq'", schema="od'd")
        op.interaqt_move_legacy_ids("S:eq'", "T:x", 'i"d', ["it's :me"], schema="od'd")
        assert connection.exec_driver_sql("SELECT nextval('\"od''d\".\"S:eq''\"')").scalar() == 8


def test_on_sqlite_rows_count_their_own_ids(sqlite_environment: Environment) -> None:
    environment = sqlite_environment
    environment.run(*(statement.replace("BIGINT", "INTEGER") for statement in LEGACY))

    environment.migrate(tickets())

    assert create(environment) == 2
    assert "_IDS_" in inspect(environment.engine).get_table_names()


def test_sequences_of_declarative_columns_are_seen(postgres_environment: Environment) -> None:
    from sqlalchemy import Sequence

    class Base(DeclarativeBase):
        pass

    numbers = Sequence("invoice_number", start=100, increment=10, metadata=Base.metadata)

    class Invoice(Base):
        __tablename__ = "invoice"
        id: Mapped[int] = mapped_column(Integer, primary_key=True)
        number: Mapped[int] = mapped_column(numbers, server_default=numbers.next_value())
        text: Mapped[str | None] = mapped_column(Text)

    (source,) = postgres_environment.migrate(Base)

    assert "op.interaqt_create_sequence('invoice_number', start=100, increment=10)" in source
    postgres_environment.run("INSERT INTO invoice (text) VALUES ('a'), ('b')")
    assert postgres_environment.rows("SELECT number FROM invoice ORDER BY number") == [(100,), (110,)]
