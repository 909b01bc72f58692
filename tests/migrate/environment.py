"""An Alembic project for a test: the repository's own environment, with revisions in a temporary directory."""

from __future__ import annotations

import io
import itertools
import sys
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, create_engine, make_url
from sqlalchemy.pool import NullPool

from tests.support.urls import with_driver

MIGRATIONS = Path(__file__).parents[2] / "migrations"
MODULE = "interaqt_sa_tests_models"

_SYNC = {"asyncpg": "psycopg", "aiosqlite": "pysqlite"}
_revisions = itertools.count(1)


class Environment:
    """Run Alembic's commands on one database, with models that a test exchanges as it goes."""

    def __init__(self, directory: Path, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
        self.url = url
        self.versions = directory / "versions"
        self.versions.mkdir(parents=True)
        self._module = ModuleType(MODULE)
        monkeypatch.setitem(sys.modules, MODULE, self._module)
        driver = make_url(url).get_driver_name()
        self.engine: Engine = create_engine(with_driver(url, _SYNC.get(driver, driver)), poolclass=NullPool)

    @property
    def is_postgresql(self) -> bool:
        return self.engine.dialect.name == "postgresql"

    def use(self, models: Any) -> None:
        """Let the application's models be `models`."""
        self._module.models = models  # type: ignore[attr-defined]

    def settings(self) -> dict[str, str]:
        settings = {
            "script_location": str(MIGRATIONS),
            "version_locations": str(self.versions),
            "path_separator": "newline",
            "models": f"{MODULE}:models",
            "sqlalchemy.url": self.url,
        }
        return {name: value.replace("%", "%%") for name, value in settings.items()}

    def config(self, *arguments: str, **attributes: Any) -> Config:
        config = Config(stdout=io.StringIO(), output_buffer=io.StringIO())
        for name, value in self.settings().items():
            config.set_main_option(name, value)
        if arguments:
            config.cmd_opts = Namespace(x=list(arguments))
        config.attributes.update(attributes)
        return config

    def revision(self, *arguments: str, **kw: Any) -> list[str]:
        """Autogenerate; return the sources of the new revisions, oldest first."""
        made = command.revision(self.config(*arguments), message="change", autogenerate=True, **kw)
        scripts = [script for script in (made if isinstance(made, list) else [made]) if script is not None]
        return [Path(script.path).read_text() for script in scripts]

    def upgrade(self, revision: str = "head", *arguments: str, **attributes: Any) -> None:
        command.upgrade(self.config(*arguments, **attributes), revision)

    def downgrade(self, revision: str) -> None:
        command.downgrade(self.config(), revision)

    def check(self) -> None:
        command.check(self.config())

    def script(self, revision: str = "head") -> str:
        """Return what `alembic upgrade --sql` prints."""
        config = self.config()
        command.upgrade(config, revision, sql=True)
        assert isinstance(config.output_buffer, io.StringIO)
        return config.output_buffer.getvalue()

    def heads(self) -> list[str]:
        return ScriptDirectory.from_config(self.config()).get_heads()

    def migrate(self, models: Any) -> list[str]:
        """Change the models, write the revisions, run them, and see that nothing is left to do."""
        self.use(models)
        sources = self.revision()
        self.upgrade()
        self.check()
        return sources

    @contextmanager
    def connect(self) -> Iterator[Connection]:
        with self.engine.begin() as connection:
            yield connection

    def rows(self, statement: str) -> list[tuple[Any, ...]]:
        with self.connect() as connection:
            return [tuple(row) for row in connection.exec_driver_sql(statement)]

    def run(self, *statements: str) -> None:
        with self.connect() as connection:
            for statement in statements:
                connection.exec_driver_sql(statement)
