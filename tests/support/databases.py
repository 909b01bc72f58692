"""The database that one test process has for itself on a PostgreSQL server."""

from __future__ import annotations

import os
import secrets
from typing import LiteralString

import psycopg
from psycopg import sql

from tests.support.servers import NoPostgreSQLError, Server, find_server
from tests.support.urls import with_database

PREFIX = "interaqt_sa_test_"

# Taken while a database exists that nobody is connected to yet, so that no other test run takes it for a leftover.
_CREATION_LOCK = 0x1A9A_5A00

_ABANDONED: LiteralString = """
    SELECT datname FROM pg_catalog.pg_database AS d
    WHERE starts_with(datname, %s) AND NOT EXISTS (SELECT FROM pg_catalog.pg_stat_activity AS a WHERE a.datid = d.oid)
"""
_OTHER_CONNECTIONS: LiteralString = """
    SELECT pg_terminate_backend(pid) FROM pg_catalog.pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'
"""
_USER_SCHEMAS: LiteralString = """
    SELECT nspname FROM pg_catalog.pg_namespace
    WHERE nspname <> 'information_schema' AND NOT starts_with(nspname, 'pg_')
"""


class ProcessDatabase:
    """One database per process, cleaned for each test, dropped at the end.

    A connection of its own stays open all the time: it does the cleaning, and it tells the sweep of other runs that
    this database is in use.
    """

    def __init__(self, server: Server) -> None:
        self.server = server
        self.name = f"{PREFIX}{os.getpid()}_{secrets.token_hex(4)}"
        self.url = with_database(server.url, self.name)
        with psycopg.connect(server.url, autocommit=True) as maintenance:
            maintenance.execute("SELECT pg_advisory_lock(%s)", [_CREATION_LOCK])
            _drop_abandoned(maintenance)
            maintenance.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(self.name)))
            # Nothing here has to survive a crash, and tests commit a lot.
            maintenance.execute(
                sql.SQL("ALTER DATABASE {} SET synchronous_commit = off").format(sql.Identifier(self.name))
            )
            self._keep = psycopg.connect(self.url, autocommit=True, application_name="interaqt_sa tests")

    def clean(self) -> None:
        """End all other connections and leave nothing but an empty schema `public`."""
        self._keep.execute(_OTHER_CONNECTIONS)
        schemas = [sql.Identifier(name) for (name,) in self._keep.execute(_USER_SCHEMAS)]
        with self._keep.transaction():
            self._keep.execute("SET LOCAL lock_timeout = '30s'")
            if schemas:
                # CASCADE announces each object that it drops; nobody reads these.
                self._keep.execute("SET LOCAL client_min_messages = warning")
                self._keep.execute(sql.SQL("DROP SCHEMA {} CASCADE").format(sql.SQL(", ").join(schemas)))
            self._keep.execute("CREATE SCHEMA public")
            self._keep.execute("GRANT ALL ON SCHEMA public TO public")

    def close(self) -> None:
        """Drop the database and end the server, if it was started for this process."""
        try:
            self._keep.close()
            with psycopg.connect(self.server.url, autocommit=True) as maintenance:
                maintenance.execute(sql.SQL("DROP DATABASE IF EXISTS {} (FORCE)").format(sql.Identifier(self.name)))
        finally:
            self.server.stop()


class LazyDatabase:
    """Holds the `ProcessDatabase` once somebody asked for it: a run that needs no PostgreSQL starts none."""

    def __init__(self) -> None:
        self._database: ProcessDatabase | None = None
        self._failure = ""

    def attempt(self) -> tuple[ProcessDatabase | None, str]:
        """Return the database, or None and why there is none; a failure is not tried again for each test."""
        if self._database is None and not self._failure:
            try:
                self._database = ProcessDatabase(find_server())
            except NoPostgreSQLError as exc:
                self._failure = str(exc)
        return self._database, self._failure

    def close(self) -> None:
        """Drop what was created."""
        if self._database is not None:
            self._database.close()
            self._database = None


def _drop_abandoned(maintenance: psycopg.Connection[tuple[str, ...]]) -> None:
    """Drop what killed test runs left behind: our databases that nobody is connected to."""
    for (name,) in maintenance.execute(_ABANDONED, [PREFIX]).fetchall():
        maintenance.execute(sql.SQL("DROP DATABASE IF EXISTS {}").format(sql.Identifier(name)))
