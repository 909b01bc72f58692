"""Start and end processes of a version, and look at the locks that they wait for."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from sqlalchemy import Engine, text

_WAITS = text(
    "SELECT coalesce(max(extract(epoch FROM clock_timestamp() - l.waitstart)), 0) FROM pg_locks AS l"
    " JOIN pg_stat_activity AS a USING (pid)"
    " WHERE NOT l.granted AND a.application_name LIKE 'live_%' AND a.datname = current_database()"
)


class Processes:
    """The writing processes of one version."""

    def __init__(self, version: str, url: str, directory: Path, seeds: list[int], sizes: tuple[int, ...]) -> None:
        self._stop = directory / f"{version}.stop"
        program = [sys.executable, "-m", "tests.migrate.live.writer", version, url]
        self._processes = [
            subprocess.Popen(
                [*program, str(seed), str(self._stop), *map(str, sizes)], stdout=subprocess.PIPE, text=True
            )
            for seed in seeds
        ]

    def wait_until_ready(self) -> None:
        for process in self._processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"

    def end(self) -> list[dict[str, Any]]:
        """Let them finish what they are at, and return what each has done."""
        self._stop.touch()
        told = [process.communicate(timeout=60)[0] for process in self._processes]
        return [json.loads(lines.splitlines()[-1]) for lines in told]

    def kill(self) -> None:
        for process in self._processes:
            process.kill()
            process.communicate()


@dataclass
class LockWaits:
    """Looks every few milliseconds how long the writers have been waiting for locks."""

    engine: Engine
    longest: float = 0.0
    _ended: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._look)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _look(self) -> None:
        with self.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            while not self._ended.wait(0.005):
                self.longest = max(self.longest, float(connection.scalar(_WAITS) or 0))
