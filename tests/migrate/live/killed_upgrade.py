"""Upgrades that end by ``kill -9`` at a given statement.

``python -m tests.migrate.live.killed_upgrade SETTINGS ARGUMENTS`` (JSON: Alembic's settings, and a list of ``-x``)
reads places, runs ``alembic upgrade head`` in a process of its own for each, and says at which statement it died, or
"done". A place is the number of a statement, ``before`` and a part of its text, or a part of its text: half a second
after it.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from argparse import Namespace
from typing import Any

from alembic import command
from alembic.config import Config
from sqlalchemy import Engine, event


def upgrade(settings: dict[str, str], arguments: list[str], place: str, tell: int) -> None:
    """Upgrade, and die at a statement: before it is sent if its number is even, else after it."""
    seen = 0
    number = int(place) if place.isdecimal() else 0

    def die(statement: str) -> None:
        os.write(tell, " ".join(statement.split())[:100].encode())
        os.kill(os.getpid(), signal.SIGKILL)

    def before(conn: Any, cursor: Any, statement: str, *_: Any) -> None:
        nonlocal seen
        seen += 1
        if seen == number and number % 2 == 0:
            die(statement)
        if place.startswith("before ") and place.removeprefix("before ") in statement:
            die(statement)
        if place in statement:
            threading.Timer(0.5, die, [statement]).start()

    def after(conn: Any, cursor: Any, statement: str, *_: Any) -> None:
        if seen == number:
            die(statement)

    event.listen(Engine, "before_cursor_execute", before)
    event.listen(Engine, "after_cursor_execute", after)
    config = Config(cmd_opts=Namespace(x=arguments))
    for name, value in settings.items():
        config.set_main_option(name, value)
    command.upgrade(config, "head")


def main() -> None:
    settings, arguments = map(json.loads, sys.argv[1:])
    for line in sys.stdin:
        told, tell = os.pipe()
        child = os.fork()
        if child == 0:
            upgrade(settings, arguments, line.strip(), tell)
            os.write(tell, b"done")
            os._exit(0)
        os.close(tell)
        with os.fdopen(told) as stream:
            answer = stream.read()
        _, status = os.waitpid(child, 0)
        sys.stdout.write(f"{answer or status}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
