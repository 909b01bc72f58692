"""Run a PostgreSQL server until standard input ends, then remove its directory.

The other end of standard input is held by the process that wants the server. The kernel closes it when that process
ends, however it ends, so no server and no file outlives a test run, not even one that was killed.

Run as a script, outside of any package: `keeper.py DIRECTORY UID GID COMMAND...` (UID and GID `-`: stay who you are).
"""

from __future__ import annotations

import select
import shutil
import signal
import subprocess
import sys
from pathlib import Path


def keep(directory: Path, command: list[str], uid: int | None, gid: int | None) -> int:
    """Start `command`, wait until nobody wants it, end it; return its exit status."""
    with (directory / "log").open("wb") as log:
        server = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=directory,
            user=uid,
            group=gid,
            extra_groups=None if uid is None else [],
        )
    while server.poll() is None:
        readable, _, _ = select.select([sys.stdin], [], [], 0.2)
        if readable:
            break
    else:
        return server.returncode  # ended by itself: leave the log to be read
    server.send_signal(signal.SIGQUIT)  # immediate shutdown: the data is not wanted any more
    try:
        server.wait(timeout=10)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()
    shutil.rmtree(directory, ignore_errors=True)
    return server.returncode


def main() -> int:
    """Read the command line."""
    directory, uid, gid, *command = sys.argv[1:]
    return keep(Path(directory), command, _identity(uid), _identity(gid))


def _identity(text: str) -> int | None:
    return None if text == "-" else int(text)


if __name__ == "__main__":
    sys.exit(main())
