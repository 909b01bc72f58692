"""A process of one version: writes by ORM, bulk statements and storage until it is told to end.

``python -m tests.migrate.live.writer old|new URL SEED STOP_FILE REGIONS HOSTS MEMBERS`` says "ready", and at its end
what it did, as JSON. A statement that waits for a lock for 250 ms fails there, and is counted as blocked.
"""

from __future__ import annotations

import importlib
import json
import random
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sqlalchemy import create_engine, delete, insert, select, update
from sqlalchemy.orm import sessionmaker
from sqlalchemy.pool import NullPool

import interaqt_sa as iq

LOCK_TIMEOUT = "250ms"
ATTEMPTS = 50


class Writer:
    """Writes of one process, each a transaction of its own."""

    def __init__(self, version: str, url: str, seed: int, regions: int, hosts: int, members: int) -> None:
        self.models = importlib.import_module(f"tests.migrate.live.{version}_models")
        engine = create_engine(
            url,
            poolclass=NullPool,
            connect_args={"options": f"-c lock_timeout={LOCK_TIMEOUT} -c application_name=live_{version}"},
        )
        self.factory = sessionmaker(engine)
        self.system = iq.System(self.factory, base=self.models.Base)
        self.random = random.Random(seed)
        self.regions, self.hosts, self.members = regions, hosts, members
        self.next_id = seed * 10_000_000
        self.mine: list[int] = []

    def routes(self) -> dict[str, Callable[[], None]]:
        """Return what is done in turns."""
        return {"orm": self.by_orm, "bulk": self.by_bulk, "storage": self.by_storage}

    def by_orm(self) -> None:
        """Change, move and add items, read and insert hosts."""
        models = self.models
        with self.factory.begin() as session:
            item = session.get(models.Item, self._member())
            if item is not None:
                item.qty = self.random.randint(0, 4)
                if self.random.random() < 0.3:
                    item.host_id = self._host()
            session.add(models.Item(**self._values()))
            if self.random.random() < 0.1:
                name = f"h{self._new_id()}"
                session.add(models.Host(id=self.next_id, region_id=self.random.randint(1, self.regions), name=name))
            session.get(models.Host, self._host())

    def by_bulk(self) -> None:
        """Insert, update and delete several rows at a time."""
        item = self.models.Item
        with self.factory.begin() as session:
            rows = [self._values() for _ in range(4)]
            session.execute(insert(item), rows)
            some = sorted(self._member() for _ in range(3))
            session.execute(update(item).where(item.id.in_(some)).values(price=item.price + 1))
            if len(self.mine) > 20:
                session.execute(delete(item).where(item.id.in_(self.mine[:5])))
        self.mine = [*self.mine[5:], *(row["id"] for row in rows)]

    def by_storage(self) -> None:
        """Create, update and delete records by name."""
        storage = self.system.storage
        values = self._values()
        made = storage.create("Item", values)
        storage.update("Item", {"id": made["id"]}, {"price": values["price"] + 1})
        if self.random.random() < 0.5:
            storage.delete("Item", {"id": made["id"]})

    def _values(self) -> dict[str, Any]:
        return {
            "id": self._new_id(),
            "host_id": self._host(),
            "price": self.random.randint(1, 99),
            "qty": self.random.randint(0, 4),
            "tag": "new",
        }

    def _new_id(self) -> int:
        self.next_id += 1
        return self.next_id

    def _host(self) -> int:
        return self.random.randint(1, self.hosts)

    def _member(self) -> int:
        return self.random.randint(1, self.members)


def run(writer: Writer, stop: Path) -> dict[str, Any]:
    """Write until the file `stop` exists; a deadlock is repeated, everything else is told."""
    written = dict.fromkeys(writer.routes(), 0)
    told: dict[str, Any] = {"written": written, "repeated": 0, "blocked": 0, "errors": [], "slowest": 0.0}
    while not stop.exists() and not told["errors"]:
        for name, route in writer.routes().items():
            for attempt in range(ATTEMPTS):
                begin = time.monotonic()
                try:
                    route()
                except Exception as error:  # noqa: BLE001  told by the test
                    found = iq.normalize_database_error(error)
                    code = None if found is None else found.code
                    if code == "55P03":
                        told["blocked"] += 1
                    elif code not in {"40P01", "40001"} or attempt == ATTEMPTS - 1:
                        told["errors"].append(f"{name}: {error!r}")
                        break
                    told["repeated"] += 1
                    time.sleep(writer.random.random() * 0.02)
                else:
                    told["slowest"] = max(told["slowest"], time.monotonic() - begin)
                    written[name] += 1
                    break
        time.sleep(0.002)
    return told


def main() -> None:
    version, url, seed, stop, *sizes = sys.argv[1:]
    writer = Writer(version, url, int(seed), *map(int, sizes))
    with writer.factory() as session:
        session.scalars(select(writer.models.Region)).all()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdout.write(f"{json.dumps(run(writer, Path(stop)))}\n")


if __name__ == "__main__":
    main()
