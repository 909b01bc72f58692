"""The environment, its template, and what goes into `context.configure`."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import Rewriter, produce_migrations
from alembic.migration import MigrationContext
from alembic.operations import ops
from alembic.util import CommandError
from sqlalchemy import Integer, MetaData, inspect
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from interaqt_sa.definitions.records import Property
from interaqt_sa.migrate import configure, operations
from interaqt_sa.migrate.legacy_table_operation import AdoptTable, ReturnTable
from tests.migrate.environment import MIGRATIONS, Environment
from tests.migrate.shop import FILL, shop
from tests.migrate.tickets import TICKET_COUNT, tickets
from tests.support.urls import with_driver

MODELS = """
    from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

    class Base(DeclarativeBase):
        pass

    class Thing(Base):
        __tablename__ = "thing"
        id: Mapped[int] = mapped_column(primary_key=True)
"""


def alembic(directory: Path, *arguments: str) -> str:
    """Run the program `alembic` in `directory`."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "alembic", *arguments],
        cwd=directory,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_the_template_is_the_environment_of_the_project() -> None:
    import interaqt_sa.migrate

    template = Path(interaqt_sa.migrate.__file__).parent / "templates" / "interaqt_sa"
    for name in ("env.py", "script.py.mako"):
        assert (template / name).read_text() == (MIGRATIONS / name).read_text()


@pytest.mark.parametrize("driver", ["pysqlite", "asyncpg"])
def test_a_project_from_the_template(tmp_path: Path, driver: str, request: pytest.FixtureRequest) -> None:
    if driver == "pysqlite":
        url = f"sqlite:///{tmp_path / 'app.db'}"
    else:
        url = with_driver(request.getfixturevalue("postgres_url"), driver)
    template = subprocess.run(
        [sys.executable, "-m", "interaqt_sa.migrate"], capture_output=True, text=True, check=True
    ).stdout.strip()
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "models.py").write_text(textwrap.dedent(MODELS))

    alembic(tmp_path, "init", "-t", template, "migrations")
    argument = f"sqlalchemy.url={url}"
    with (tmp_path / "pyproject.toml").open("a") as pyproject:
        pyproject.write(f'"sqlalchemy.url" = "{url}"\n')
    alembic(tmp_path, "revision", "--autogenerate", "-m", "first")
    shown = alembic(tmp_path, "-x", argument, "upgrade", "head")
    assert "Running upgrade" in shown
    assert "No new upgrade operations" in alembic(tmp_path, "-x", argument, "check")
    assert "CREATE TABLE thing" in alembic(tmp_path, "-x", argument, "upgrade", "head", "--sql")


def test_pyproject_alone_configures_a_project(tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(textwrap.dedent(MODELS))
    (tmp_path / "versions").mkdir()
    (tmp_path / "pyproject.toml").write_text(
        f"""
        [tool.alembic]
        script_location = "{MIGRATIONS.as_posix()}"
        version_locations = ["%(here)s/versions"]
        prepend_sys_path = ["."]
        models = "nothing.of:the_kind"
        sqlalchemy.url = "sqlite:///{(tmp_path / "app.db").as_posix()}"
        """
    )
    alembic(tmp_path, "-x", "models=shop:Base", "revision", "--autogenerate", "-m", "first")
    assert "Running upgrade" in alembic(tmp_path, "-x", "models=shop:Base.metadata", "upgrade", "head")


def test_missing_options_say_where_they_belong(sqlite_environment: Environment) -> None:
    config = sqlite_environment.config()
    config.set_main_option("models", "")
    with pytest.raises(CommandError, match=r"Set models in alembic.ini, in \[tool.alembic\]"):
        command.check(config)


@pytest.mark.parametrize("driver", ["psycopg", "asyncpg", "pysqlite"])
def test_several_migrations_at_once(environment_for: Callable[[str], Environment], driver: str) -> None:
    """The others wait, and find that there is nothing left to do; on SQLite they may fail instead."""
    environment = environment_for(driver)
    environment.migrate(shop())
    environment.run(*FILL)
    environment.use(shop(counts=True, sums=True))
    environment.revision()
    script = f"""
        import sys
        sys.path.insert(0, {str(Path(__file__).parents[2])!r})
        from alembic import command
        from alembic.config import Config
        from tests.migrate.shop import shop
        models = shop(counts=True, sums=True)
        config = Config()
        for name, value in {environment.settings() | {"models": "__main__:models"}!r}.items():
            config.set_main_option(name, value)
        command.upgrade(config, "head")
    """
    program = [sys.executable, "-c", textwrap.dedent(script)]
    running = [subprocess.Popen(program, stderr=subprocess.PIPE, text=True) for _ in range(3)]
    shown = [process.communicate(timeout=60)[1] for process in running]
    ended = [process.returncode == 0 for process in running]
    assert all(ended) if environment.is_postgresql else any(ended), shown
    environment.check()
    assert environment.rows("SELECT spent FROM customer ORDER BY id") == [(22,), (0,)]


def test_a_script_has_plain_sql_and_says_what_it_cannot_do(environment: Environment) -> None:
    environment.use(tickets(dictionaries=(TICKET_COUNT,)))
    environment.revision()
    environment.upgrade()
    environment.use(shop(counts=True, unique=True))

    sql = environment.script()

    assert ("CREATE SEQUENCE ticket_id_seq" in sql) == environment.is_postgresql
    assert "-- " in sql
    assert "the models do not declare it any more" in sql


def test_a_script_moves_legacy_ids(postgres_environment: Environment) -> None:
    environment = postgres_environment
    environment.run("CREATE TABLE label (id BIGINT PRIMARY KEY, word TEXT)", "INSERT INTO label VALUES (7, 'a')")
    environment.use(tickets())
    environment.revision()

    with environment.connect() as connection:
        connection.connection.driver_connection.execute(environment.script())  # type: ignore[union-attr]

    environment.check()
    assert environment.rows("INSERT INTO label (word) VALUES ('b') RETURNING id") == [(8,)]


def test_hooks_of_the_user_keep_their_say(environment: Environment) -> None:
    base = shop(counts=True)
    calls: list[str] = []

    def include(item: Any, name: str | None, type_: str, reflected: bool, compare_to: Any) -> bool:
        calls.append(type_)
        return name != "item"

    def directives(context: Any, revision: Any, scripts: list[Any]) -> None:
        calls.append(f"{len(scripts)} script")

    settings = configure(
        base,
        include_object=include,
        process_revision_directives=directives,
        compare_server_default=True,
        on_version_apply=lambda **_: calls.append("applied"),
        transaction_per_migration=False,
    )
    assert settings["transaction_per_migration"] is False
    assert settings["target_metadata"] is base.metadata
    assert len(settings["on_version_apply"]) == 2
    with environment.connect() as connection:
        context = MigrationContext.configure(connection, opts=settings)
        script = produce_migrations(context, base.metadata)
    assert "table" in calls
    created = {op.table_name for op in script.upgrade_ops.ops if isinstance(op, ops.CreateTableOp)}  # type: ignore[union-attr]
    assert created == {"customer", "order", "interaqt_backfill"}


def plain_autogenerate(environment: Environment, metadata: MetaData, **settings: Any) -> None:
    """Autogenerate as the `env.py` of `alembic init` does."""
    with environment.connect() as connection:
        context = MigrationContext.configure(connection, opts={"target_metadata": metadata, **settings})
        produce_migrations(context, metadata)


@pytest.mark.parametrize(
    ("models", "names"),
    [
        (shop(counts=True, sums=True), "customer, order"),
        (tickets(), "label, ticket, ticket_labels_tickets_label, user"),
    ],
    ids=["computed", "definitions"],
)
def test_an_environment_without_configure_is_warned(
    environment: Environment, caplog: pytest.LogCaptureFixture, models: Any, names: str
) -> None:
    plain_autogenerate(environment, models.metadata)

    (record,) = [record for record in caplog.records if record.levelname == "WARNING"]
    assert record.name == "alembic.interaqt_sa"
    assert record.message.startswith(f"{names}: computed columns and definitions are migrated without their values")
    assert "**interaqt_sa.migrate.configure(target_metadata=...)" in record.message


def test_others_are_not_warned(environment: Environment, caplog: pytest.LogCaptureFixture) -> None:
    silent = {"autogenerate_plugins": ["alembic.autogenerate.*", "~alembic.autogenerate.interaqt_sa"]}
    plain_autogenerate(environment, shop().metadata)
    plain_autogenerate(environment, shop(counts=True).metadata, **silent)
    environment.migrate(shop(counts=True))
    assert [record.message for record in caplog.records if record.levelname == "WARNING"] == []


@pytest.mark.parametrize("batch", [False, True])
@pytest.mark.parametrize(
    ("before", "after", "altered"),
    [
        (shop, lambda: shop(unique=True), "customer"),
        (lambda: tickets(Property("note", str, nullable=False)), tickets, "ticket"),
        (shop, lambda: shop(counts=True), None),
    ],
    ids=["constraint", "not NULL any more", "added"],
)
def test_what_sqlite_cannot_alter_is_said_when_it_is_written(
    sqlite_environment: Environment,
    caplog: pytest.LogCaptureFixture,
    before: Callable[[], Any],
    after: Callable[[], Any],
    altered: str | None,
    *,
    batch: bool,
) -> None:
    sqlite_environment.migrate(before())
    models = after()
    caplog.clear()
    with sqlite_environment.connect() as connection:
        context = MigrationContext.configure(connection, opts=configure(models, render_as_batch=batch))
        produce_migrations(context, models.metadata)
    ours = [record.message for record in caplog.records if record.name == "alembic.interaqt_sa"]
    warned = [message for message in ours if "SQLite" in message]
    if batch or altered is None:
        assert warned == []
    else:
        assert warned[0].startswith(f"{altered}: SQLite cannot alter columns and constraints")
        assert "render_as_batch=True" in warned[0]


def test_the_environment_needs_no_greenlet(tmp_path: Path) -> None:
    """SQLAlchemy 2.1 does not install it by itself."""
    (tmp_path / "models.py").write_text(textwrap.dedent(MODELS))
    (tmp_path / "versions").mkdir()
    program = f"""
        import sys
        sys.modules["greenlet"] = None
        from alembic import command
        from alembic.config import Config
        sys.path.insert(0, {str(tmp_path)!r})
        config = Config()
        config.set_main_option("script_location", {str(MIGRATIONS)!r})
        config.set_main_option("version_locations", {str(tmp_path / "versions")!r})
        config.set_main_option("path_separator", "newline")
        config.set_main_option("models", "models:Base")
        config.set_main_option("sqlalchemy.url", {f"sqlite:///{tmp_path / 'app.db'}"!r})
        command.revision(config, "first", autogenerate=True)
        command.upgrade(config, "head")
        command.check(config)
        command.upgrade(config, "head", sql=True)
    """
    subprocess.run([sys.executable, "-W", "error", "-c", textwrap.dedent(program)], check=True, timeout=60)


def test_rewriters_meet_operations_that_they_do_not_know(environment: Environment) -> None:
    writer = Rewriter()

    @writer.rewrites(ops.CreateTableOp)
    def comment(context: Any, revision: Any, op: ops.CreateTableOp) -> ops.CreateTableOp:
        op.comment = "seen"
        return op

    schema = tickets(dictionaries=(TICKET_COUNT,))
    with environment.connect() as connection:
        context = MigrationContext.configure(connection, opts=configure(schema))
        script = produce_migrations(context, schema.metadata)
        writer.process_revision_directives(context, (), [script])
    assert all(op.comment == "seen" for op in script.upgrade_ops.ops if isinstance(op, ops.CreateTableOp))  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "operation",
    [
        operations.CreateSequence("a", start=5),
        operations.DropSequence("a", increment=2, schema="s"),
        operations.MoveLegacyIds("a", "t", "c", ["R"]),
        operations.Backfill({"R.p": "f"}),
        operations.RetireBackfill(["R.p"], {"R.p": "f"}),
        operations.CheckUnique("u", "t", ["c"]),
        operations.CheckRows("NOT NULL", "t", "c IS NULL"),
        operations.Verify(["R.p"]),
        operations.MoveLinks("R", ["SELECT 1"], ["SELECT 2"]),
        operations.ReopenBackfill({"R.p": "f"}),
        operations.LockLegacyIds(schema="s"),
        operations.ReturnLegacyIds("a", "t", "c", ["R"]),
        AdoptTable("User", "user", {"use_id_1": "id"}),
        ReturnTable("User", "user", {"use_id_1": "id"}, schema="s"),
    ],
    ids=lambda operation: type(operation).__name__,
)
def test_every_operation_can_be_undone_and_done_again(operation: Any) -> None:
    again = operation.reverse().reverse()
    assert type(again) is type(operation)
    assert again.to_diff_tuple() == operation.to_diff_tuple()


def test_several_metadata_and_other_bases() -> None:
    base = shop()
    other = MetaData()
    settings = configure([base, other])
    assert settings["target_metadata"] == [base.metadata, other]
    assert "interaqt_backfill" in base.metadata.tables
    assert "interaqt_backfill" not in other.tables
    assert configure(base.registry)["target_metadata"] is base.metadata
    assert configure([[base, other]])["target_metadata"] == [base.metadata, other]
    with pytest.raises(TypeError, match="base must be"):
        configure("nonsense")


def test_partitions_are_left_alone(postgres_environment: Environment) -> None:
    environment = postgres_environment

    class Base(DeclarativeBase):
        pass

    class Log(Base):
        __tablename__ = "log"
        __table_args__ = ({"postgresql_partition_by": "RANGE (id)"},)
        id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)

    environment.migrate(Base)
    environment.run("CREATE TABLE log_1 PARTITION OF log FOR VALUES FROM (1) TO (10)")
    environment.check()
    environment.run("CREATE TABLE stray (id INTEGER)")
    (source,) = environment.revision()
    assert "op.drop_table('stray')" in source
    assert "log_1" not in source


@pytest.mark.parametrize("first", ["alembic", "interaqt_sa.migrate", "interaqt_sa"])
def test_the_order_of_imports_does_not_matter(first: str) -> None:
    program = f"import {first}; from interaqt_sa.migrate import configure; from alembic import op; op.interaqt_backfill"
    subprocess.run([sys.executable, "-W", "error", "-c", program], check=True)


def test_a_downgrade_of_the_first_revision_leaves_nothing(environment: Environment) -> None:
    environment.migrate(shop(counts=True))
    environment.downgrade("base")
    assert inspect(environment.engine).get_table_names() == ["alembic_version"]
