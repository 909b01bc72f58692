"""Run migrations: online with a synchronous or an asynchronous driver, or as a script (``--sql``).

Options are read from ``-x name=value`` on the command line, then from alembic.ini or ``[tool.alembic]`` in
pyproject.toml: ``models`` (``package.module:name``, or a list of them) and ``sqlalchemy.url``. ``-x allow-drop`` lets
autogenerate drop objects that definitions no longer declare.
"""

from __future__ import annotations

import asyncio
import logging
from logging.config import fileConfig
from pathlib import Path
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any, cast

from alembic import context
from alembic.util import CommandError
from sqlalchemy import Connection, Engine, engine_from_config, make_url, pool

from interaqt_sa.migrate import configure, run_migrations

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

config = context.config
arguments = context.get_x_argument(as_dictionary=True)

if config.config_file_name and Path(config.config_file_name).exists():
    fileConfig(config.config_file_name, disable_existing_loggers=False)
elif config.cmd_opts is not None:
    logging.basicConfig(format="%(levelname)-5.5s [%(name)s] %(message)s")
    logging.getLogger("alembic").setLevel(logging.INFO)


def option(name: str) -> Any:
    """Return an option, or raise an error that says where to set it."""
    section, _, key = name.partition(".")
    value = arguments.get(name) or config.get_alembic_option(name)
    if not value and key:
        # the result of TOML for sqlalchemy.url without quotes
        value = cast("dict[str, str]", config.get_alembic_option(section) or {}).get(key)
    if not value:
        raise CommandError(f"Set {name} in alembic.ini, in [tool.alembic] of pyproject.toml, or with -x {name}=…")
    return value


def target() -> list[Any]:
    """Import the models."""
    models = option("models")
    return [resolve_name(name) for name in ([models] if isinstance(models, str) else models)]


def options(dialect: str) -> dict[str, Any]:
    """Return the arguments of ``context.configure`` that do not depend on the connection; add your own here."""
    return configure(
        target_metadata=target(),
        allow_drop="allow-drop" in arguments,
        # SQLite cannot alter tables; run_migrations makes its DDL transactional
        render_as_batch=dialect == "sqlite",
        transactional_ddl=True if dialect == "sqlite" else None,
    )


def run_offline() -> None:
    """Write SQL to standard output."""
    url = make_url(option("sqlalchemy.url"))
    context.configure(
        url=url, literal_binds=True, dialect_opts={"paramstyle": "named"}, **options(url.get_backend_name())
    )
    with context.begin_transaction():
        context.run_migrations()


def run(connection: Connection) -> None:
    """Migrate on an open connection."""
    context.configure(connection=connection, **options(connection.dialect.name))
    run_migrations(connection)


async def run_async(engine: AsyncEngine) -> None:
    """Migrate with an asynchronous driver."""
    async with engine.connect() as connection:
        await connection.run_sync(run)
    await engine.dispose()


def connect_and_run(engine: Engine | AsyncEngine) -> None:
    """Migrate on a connection of ``engine``."""
    if engine.dialect.is_async:
        # requires greenlet, which SQLAlchemy does not always install
        from sqlalchemy.ext.asyncio import AsyncEngine

        asyncio.run(run_async(AsyncEngine(engine) if isinstance(engine, Engine) else engine))
        return
    assert isinstance(engine, Engine)
    with engine.connect() as connection:
        run(connection)


def run_online() -> None:
    """Connect and migrate; a program may pass a connection or an engine in ``config.attributes``."""
    given = config.attributes.get("connection")
    if isinstance(given, Connection):
        run(given)
        return
    if given is not None:  # an engine, as from pytest-alembic
        connect_and_run(given)
        return
    section = config.get_section(config.config_ini_section, {})
    settings = {**section, "sqlalchemy.url": option("sqlalchemy.url")}
    engine = engine_from_config(settings, prefix="sqlalchemy.", poolclass=pool.NullPool)
    connect_and_run(engine)
    engine.dispose()


if context.is_offline_mode():
    run_offline()
else:
    run_online()
