"""What commands act on: the application's models and its database."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar

import click
from sqlalchemy import create_engine
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError
from sqlalchemy.util import greenlet_spawn

from ..errors import FrameworkError
from ..runtime.async_system import AsyncSystem
from ..runtime.system import System

C = TypeVar("C", bound=Callable[..., Any])
R = TypeVar("R")


def on_database(command: C) -> C:
    """Add the arguments of a command that needs models and a database: ``models`` and ``url``."""
    models = click.argument("models", metavar="MODULE:NAME")
    url = click.option("--url", envvar="DATABASE_URL", required=True, help="The database; default: $DATABASE_URL.")
    return models(url(command))


def run_on_system(models: str, url: str, work: Callable[[System], R]) -> R:
    """Call ``work`` with a system of the application's models, also if the driver is asynchronous.

    :param models: ``module:name`` of a ``DeclarativeBase``, ``registry``, ``MetaData`` or system.
    :param url: the database, as :func:`sqlalchemy.create_engine` takes it.
    :raises click.ClickException: if the models cannot be imported or the database not be reached, or if ``work``
        raises an error of the package or of the database.
    """
    base = imported(models)
    try:
        parsed = make_url(url)
        if not parsed.get_dialect().is_async:
            engine = create_engine(parsed)
            try:
                return work(System(engine, base=base))
            finally:
                engine.dispose()
        return asyncio.run(_run_async(parsed, base, work))
    except (FrameworkError, DBAPIError, ArgumentError, NoSuchModuleError, ModuleNotFoundError, TypeError) as error:
        raise click.ClickException(str(error)) from error


async def _run_async(url: Any, base: Any, work: Callable[[System], R]) -> R:
    from sqlalchemy.ext.asyncio import create_async_engine

    engine = create_async_engine(url)
    try:
        return await greenlet_spawn(work, AsyncSystem(engine, base=base).sync_system)
    finally:
        await engine.dispose()


def imported(name: str) -> Any:
    """Import ``module:name``; modules are looked up in the working directory too, as by ``python -m``.

    :raises click.ClickException: if there is no such module or name.
    """
    module, _, attribute = name.partition(":")
    if not module or not attribute:
        raise click.ClickException(f"{name!r} is not of the form module:name, as in app.models:Base")
    if (here := str(Path.cwd())) not in sys.path:
        sys.path.insert(0, here)
    try:
        found: Any = import_module(module)
    except ModuleNotFoundError as error:
        raise click.ClickException(f"{name!r}: {error}; run the command where the application is importable") from error
    for part in attribute.split("."):
        if not hasattr(found, part):
            raise click.ClickException(f"{name!r}: {module} has no {attribute!r}")
        found = getattr(found, part)
    return found
