"""Everything that can be declared, through every cycle of migrations, on every driver.

Sessions that leave slow tests out run many things at once, and the others in one cycle on SQLite.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from alembic import command
from alembic.util import CommandError
from sqlalchemy import inspect
from sqlalchemy.exc import DBAPIError

import interaqt_sa as iq
from tests.migrate.declarable import DECLARED, OTHERWISE, VALUES, WITHOUT, Declarable
from tests.migrate.declarable_definitions import DEFINITIONS
from tests.migrate.environment import Environment
from tests.migrate.test_values_are_filled_before_they_hold import run_script

THINGS = {**VALUES, **DEFINITIONS}
#: many things in one; every cycle of theirs is run in short sessions too
WHOLE = ("all values", "dictionaries", "constraints")
#: what is no part of them, in one cycle
FURTHER = (
    "all of SQL",
    "tree",
    "secondary",
    "transform",
    "unique",
    "properties",
    "derived entity",
    "state machine of events",
    "relation 1:n",
    "relation n:n with properties",
    "values of definitions",
)
DRIVERS = ("pysqlite", "psycopg", "asyncpg")


def attached(environment: Environment, models: Any) -> iq.System:
    """Return a system that takes it as given that rows are written past it."""
    return iq.System(environment.engine, base=models, configure_sqlite=False, unattached="allow")


def is_true(environment: Environment, models: Any) -> bool:
    return bool(attached(environment, models).check())


def start(environment: Environment, thing: Declarable) -> str:
    """Let there be rows before the thing is declared; return the revision."""
    environment.migrate(thing.models(WITHOUT))
    environment.run(*thing.rows)
    return head(environment)


def head(environment: Environment) -> str:
    return str(environment.rows("SELECT version_num FROM alembic_version")[0][0])


def there_and_back(environment: Environment, thing: Declarable) -> None:
    """Autogenerate, upgrade, check, downgrade, upgrade again; then to the beginning and back."""
    before = start(environment, thing)
    models = thing.models(DECLARED)
    environment.migrate(models)
    assert is_true(environment, models)
    environment.downgrade(before)
    environment.run(*thing.more)
    environment.upgrade()
    environment.check()
    assert is_true(environment, models)
    environment.downgrade("base")
    assert inspect(environment.engine).get_table_names() == ["alembic_version"]
    if environment.is_postgresql:
        assert inspect(environment.engine).get_sequence_names() == []
    environment.upgrade()
    environment.check()


def stamped(environment: Environment, thing: Declarable) -> None:
    """Made by `create_all`, filled, and stamped."""
    models = thing.models(DECLARED)
    environment.use(models)
    environment.revision()
    models.metadata.create_all(environment.engine)
    environment.run(*(thing.declared_rows or thing.rows))
    attached(environment, models).repair()
    command.stamp(environment.config(), "head")
    environment.check()
    environment.upgrade()
    assert is_true(environment, models)


def scripted(environment: Environment, thing: Declarable) -> None:
    """`upgrade --sql` fills, or stops where rows need Python, and what is left runs online."""
    before = start(environment, thing)
    models = thing.models(DECLARED)
    environment.use(models)
    environment.revision()
    try:
        script = environment.script(f"{before}:head")
    except CommandError as error:
        # SQLite makes a table again, of which Alembic has to know everything
        assert not environment.is_postgresql
        assert "requires a live database connection" in str(error)  # noqa: PT017  of what only some things need
        return
    stops = "cannot be computed by a script" in script
    assert stops is not (thing.has_sql if environment.is_postgresql else thing.has_sqlite)
    if stops:
        with pytest.raises((DBAPIError, sqlite3.Error), match="cannot be computed by a script"):
            run_script(environment, script)
        environment.upgrade()
    else:
        run_script(environment, script)
        environment.upgrade()  # nothing is left
    environment.check()
    assert is_true(environment, models)


def changed(environment: Environment, thing: Declarable) -> None:
    """Declared otherwise, and back."""
    start(environment, thing)
    environment.migrate(thing.models(DECLARED))
    before = head(environment)
    models = thing.models(OTHERWISE)
    environment.migrate(models)
    assert is_true(environment, models)
    environment.run(*(thing.declared_rows or thing.more))
    attached(environment, models).repair()
    environment.downgrade(before)
    environment.upgrade()
    environment.check()
    assert is_true(environment, models)


def declared_again(environment: Environment, thing: Declarable) -> None:
    """Dropped, while others write, and declared again."""
    start(environment, thing)
    environment.migrate(thing.models(DECLARED))
    environment.migrate(thing.models(WITHOUT))
    environment.run(*thing.more)
    models = thing.models(DECLARED)
    environment.migrate(models)
    assert is_true(environment, models)


CYCLES: dict[str, Callable[[Environment, Declarable], None]] = {
    "there and back": there_and_back,
    "stamped": stamped,
    "scripted": scripted,
    "changed": changed,
    "declared again": declared_again,
}


def cells() -> Iterator[Any]:
    for name, thing in THINGS.items():
        for cycle in CYCLES:
            if cycle == "changed" and OTHERWISE not in thing.stages:
                continue
            for driver in DRIVERS:
                if (thing.only_postgresql and driver == "pysqlite") or (cycle == "scripted" and driver == "asyncpg"):
                    continue
                marks = () if _in_short(name, cycle, driver) else (pytest.mark.slow,)
                yield pytest.param(driver, cycle, name, marks=marks, id=f"{name}-{cycle}-{driver}")


def _in_short(name: str, cycle: str, driver: str) -> bool:
    if name == "properties" and cycle == "declared again":
        return driver != "asyncpg"
    if driver == "asyncpg":
        return name == "all values" and cycle == "there and back"
    if name in WHOLE:
        return True
    return name in FURTHER and driver == "pysqlite" and cycle == "there and back"


@pytest.mark.parametrize(("driver", "cycle", "name"), list(cells()))
def test_cell(environment_for: Callable[[str], Environment], driver: str, cycle: str, name: str) -> None:
    CYCLES[cycle](environment_for(driver), THINGS[name])
