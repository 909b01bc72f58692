"""Autogenerate beside what applications declare and wrap: no crash, nothing found that is not there."""

from __future__ import annotations

from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import (
    Boolean,
    Computed,
    Engine,
    ForeignKey,
    Identity,
    Index,
    MetaData,
    column,
    create_engine,
    func,
    text,
)
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship
from sqlalchemy.pool import NullPool

import interaqt_sa as iq
from interaqt_sa.migrate import configure
from tests.migrate.environment import Environment


def tickets(*indexes: Any, schema: str | None = None, computed: bool = False) -> Any:
    class Base(DeclarativeBase):
        metadata = MetaData(schema=schema)

    class Ticket(Base):
        __tablename__ = "ticket"
        id: Mapped[int] = mapped_column(primary_key=True)
        title: Mapped[str | None]
        status: Mapped[str | None]
        open: Mapped[bool | None]
        if computed:
            label: Mapped[str] = iq.computed(lambda ticket: f"{ticket.title}!")
        __table_args__ = tuple(make() for make in indexes)

    Base.kept = Ticket  # type: ignore[attr-defined]  # a registry holds its classes weakly
    return Base


def unique(predicate: Any, name: str = "ux") -> Any:
    return lambda: Index(name, "title", unique=True, postgresql_where=predicate, sqlite_where=predicate)


@pytest.mark.parametrize("compare", [None, True])
@pytest.mark.parametrize("what", ["identity", "always", "generated"])
def test_identities_and_generated_columns(postgres_environment: Environment, what: str, compare: bool | None) -> None:
    class Base(DeclarativeBase):
        pass

    class Box(Base):
        __tablename__ = "box"
        identity = Identity(always=what == "always")
        id: Mapped[int] = mapped_column(*([] if what == "generated" else [identity]), primary_key=True)
        name: Mapped[str]
        if what == "generated":
            upper: Mapped[str | None] = mapped_column(Computed("upper(name)", persisted=True))
        n: Mapped[int] = mapped_column(server_default="5")
        parts: Mapped[list[Part]] = relationship()
        counted: Mapped[int] = iq.computed(iq.Count("parts"))

    class Part(Base):
        __tablename__ = "part"
        id: Mapped[int] = mapped_column(Identity(), primary_key=True)
        box_id: Mapped[int] = mapped_column(ForeignKey("box.id"), index=True)

    postgres_environment.migrate(Base)
    options = {} if compare is None else {"compare_server_default": compare}
    with postgres_environment.connect() as connection:
        context = MigrationContext.configure(connection, opts=configure(Base, **options))
        assert compare_metadata(context, Base.metadata) == []
        connection.exec_driver_sql("ALTER TABLE box ALTER counted DROP DEFAULT, ALTER n SET DEFAULT 6")
        context = MigrationContext.configure(connection, opts=configure(Base, **options))
        found = [diff[0][3] for diff in compare_metadata(context, Base.metadata)]
        assert found == (["counted"] if compare is None else ["n", "counted"])


PREDICATES = {
    "colon": text(r"status <> ' \:x'"),
    "colon in a value": column("status") == "a:b :c",
    "percent": column("status").like("50%"),
    "ilike": column("status").ilike("OP%"),
    "two percents": column("status") == "100 %% sure",
    "boolean": column("open", Boolean),
    "boolean is": column("open", Boolean).is_(True),
    "function": func.lower(column("status")) == "open",
}


@pytest.mark.parametrize("name", PREDICATES)
@pytest.mark.parametrize("made_by", ["create_all", "revision"])
def test_any_predicate(environment: Environment, name: str, made_by: str) -> None:
    models = tickets(unique(PREDICATES[name]))
    if made_by == "create_all":
        models.metadata.create_all(environment.engine)
    else:
        environment.migrate(tickets())  # so that the look for duplicates meets rows
        environment.run("INSERT INTO ticket (title, status) VALUES ('a', 'open'), ('b', 'done')")
    environment.migrate(models)
    environment.check()


@pytest.mark.parametrize("role", ["no TEMP", "read only"])
def test_a_role_that_may_not_create_temporary_tables(
    postgres_environment: Environment, role: str, caplog: pytest.LogCaptureFixture
) -> None:
    models = tickets(unique(column("open", Boolean).is_(True)))
    postgres_environment.migrate(models)
    with postgres_environment.connect() as connection:
        database = connection.engine.url.database
        if role == "read only":
            connection.exec_driver_sql("SET TRANSACTION READ ONLY")
        else:
            connection.exec_driver_sql(
                "DO $$ BEGIN CREATE ROLE iq_without_temp; EXCEPTION WHEN duplicate_object THEN NULL; END $$"
            )
            connection.exec_driver_sql(f'REVOKE TEMP ON DATABASE "{database}" FROM PUBLIC')
            connection.exec_driver_sql("GRANT SELECT ON ALL TABLES IN SCHEMA public TO iq_without_temp")
            connection.exec_driver_sql("SET LOCAL ROLE iq_without_temp")
        context = MigrationContext.configure(connection, opts=configure(models))
        assert compare_metadata(context, models.metadata) == []
    assert "The predicate of ux is assumed to be unchanged" in caplog.text


def test_a_concurrent_index_gets_a_revision_of_its_own(environment: Environment) -> None:
    environment.migrate(tickets())
    environment.run("INSERT INTO ticket (title) VALUES ('a'), ('b')")

    def concurrently() -> Index:
        return Index("ux", "title", unique=True, postgresql_concurrently=True)

    def over_value() -> Index:
        return Index("ix_label", "label", postgresql_concurrently=True)

    ddl, filling, indexes = environment.migrate(tickets(concurrently, over_value, computed=True))

    assert "autocommit_block" not in ddl + filling
    assert indexes.index("op.interaqt_check_unique('ux'") < indexes.index(
        "    with op.get_context().autocommit_block():"
    )
    assert "drop_index" in indexes.split("def downgrade")[0]  # what an interrupted run has left
    environment.downgrade("-1")
    environment.upgrade()
    environment.check()
    (one,) = Environment.migrate(environment, tickets(over_value, computed=True))
    assert "op.drop_index" in one


def test_a_concurrent_index_of_a_new_table_is_an_ordinary_one(environment: Environment) -> None:
    (source,) = environment.migrate(tickets(lambda: Index("ix", "title", postgresql_concurrently=True)))
    assert "concurrently" not in source


def test_tables_in_a_schema(postgres_environment: Environment) -> None:
    environment = postgres_environment
    environment.run("CREATE SCHEMA s1", "CREATE SCHEMA s2", "CREATE TABLE s2.others (id int)")
    environment.migrate(tickets(schema="s1"))
    environment.run("INSERT INTO s1.ticket (title) VALUES ('a')")
    base = tickets(schema="s1", computed=True)
    environment.migrate(base)
    assert environment.rows("SELECT label FROM s1.ticket") == [("a!",)]
    environment.downgrade("base")
    environment.upgrade()
    environment.check()


@pytest.mark.parametrize("wrapped", [False, True])
def test_a_wrapped_filter_still_filters(postgres_environment: Environment, wrapped: bool) -> None:
    def defined(*more: iq.Property) -> iq.Schema:
        return iq.compile_schema(MetaData(), entities=[iq.Entity("Box", [iq.Property("name", str), *more])])

    environment = postgres_environment
    environment.migrate(defined(iq.Property("n", int, nullable=False)))
    schema = defined()
    options = configure(schema)
    if wrapped:
        ours = options["include_object"]
        options["include_object"] = lambda *args: ours(*args)  # noqa: PLW0108  as people write it
    with environment.connect() as connection:
        context = MigrationContext.configure(connection, opts=options)
        ((found,),) = compare_metadata(context, schema.metadata)
        assert found[0] == "modify_nullable"


@pytest.fixture(params=["sync", "async"])
def engine(any_environment: Environment, request: pytest.FixtureRequest) -> Any:
    driver = any_environment.url.partition("://")[0].partition("+")[2]
    is_async = driver in ("asyncpg", "aiosqlite")
    if (request.param == "async") != is_async:
        pytest.skip("an engine of the other kind")
    return (create_async_engine if is_async else create_engine)(any_environment.url, poolclass=NullPool)


def test_the_environment_takes_an_engine(any_environment: Environment, engine: Any) -> None:
    any_environment.use(tickets(computed=True))
    any_environment.revision()
    any_environment.upgrade("head", connection=engine)
    any_environment.check()
    assert isinstance(engine, Engine) == ("aio" not in any_environment.url and "asyncpg" not in any_environment.url)


def filter_object(item: Any, name: str | None, type_: str, *_: Any) -> bool:
    return filter_name(name, type_, {})


def filter_name(name: str | None, type_: str, parent_names: Any) -> bool:
    return type_ != "table" or name == "box"


@pytest.mark.parametrize(
    "users_own", [{"include_object": filter_object}, {"include_name": filter_name}], ids=["object", "name"]
)
def test_a_filter_of_the_application_does_not_leave_out_the_back_fills(
    environment: Environment, users_own: dict[str, Any]
) -> None:
    schema = iq.compile_schema(MetaData(), entities=[iq.Entity("Box", [iq.Property("name", str)])])

    def added() -> set[str]:
        with environment.connect() as connection:
            context = MigrationContext.configure(connection, opts=configure(schema, **users_own))
            differences: list[Any] = compare_metadata(context, schema.metadata)
            return {entry[1].name for entry in differences if entry[0] == "add_table"}

    assert "interaqt_backfill" in added()
    environment.migrate(schema)
    assert added() == set()
