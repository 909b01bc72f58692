"""Many connections write rows, neighbours and links at once: memberships are exact, and no write deadlocks."""

from __future__ import annotations

import random
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import update

import interaqt_sa as iq
from tests.behaviours.filtered import system_of
from tests.behaviours.numbers import behaviour
from tests.behaviours.test_memberships_of_any_write import members
from tests.engine.event_oracle import snapshot
from tests.engine.workload import Conflicts
from tests.support.engines import EngineFactory
from tests.support.torture import Torture

pytestmark = [
    pytest.mark.concurrency,
    pytest.mark.postgres,
    pytest.mark.filterwarnings("ignore:DELETE statement on table:sqlalchemy.exc.SAWarning"),
]
_PERSONS, _DEPARTMENTS, _TEAMS = 6, 3, 3


@behaviour("S-A45")
def test_memberships_are_exact(engine_for: EngineFactory, torture: Torture) -> None:
    engine = engine_for("psycopg", pool_size=torture.workers, max_overflow=2)
    system = system_of(engine)
    storage = system.storage
    for n in range(_DEPARTMENTS):
        storage.create("Department", {"name": "core" if n else "edge"})
    for n in range(_TEAMS):
        storage.create("Team", {"name": f"t{n}"})
    for n in range(_PERSONS):
        storage.create("Person", {"name": f"p{n}", "age": 40, "department": {"id": 1 + n % _DEPARTMENTS}})
    conflicts = Conflicts(engine)
    barrier = threading.Barrier(torture.workers)

    def work(number: int) -> None:
        rng = random.Random(number)
        barrier.wait()
        for _ in range(torture.rounds):
            write(rng)

    def write(rng: random.Random) -> None:
        person, department = ({"id": rng.randint(1, most)} for most in (_PERSONS, _DEPARTMENTS))
        match rng.randint(0, 6):
            case 0:
                storage.update("Person", person, {"age": rng.choice([10, 40, 60])})
            case 1:
                storage.update("Person", person, {"department": rng.choice([department, None])})
            case 2:
                storage.update("Department", department, {"name": rng.choice(["core", "edge"])})
            case 3:
                storage.create("Order", {"amount": rng.choice([40, 100]), "person": person})
            case 4:
                storage.delete("Order", {"id": rng.randint(1, 60)})
            case 5:
                role = {"role": rng.choice(["lead", "member"])}
                storage.update_relation("Membership", {"source.id": person["id"]}, role)
            case _:
                with_session(rng)

    def with_session(rng: random.Random) -> None:
        cls: Any = system.schema.mapped_class("Person")

        def change(session: Any) -> None:
            ids = sorted(rng.sample(range(1, _PERSONS + 1), 2))
            session.execute(update(cls).where(cls.id.in_(ids)).values(age=rng.choice([10, 40, 60])))

        iq.run_with_transaction_retry(system.session_factory, change)

    for n in range(_PERSONS):
        storage.add_relation("Membership", n + 1, 1 + n % _TEAMS, {"role": "lead"})
    with ThreadPoolExecutor(torture.workers) as pool:
        for future in [pool.submit(work, number) for number in range(torture.workers)]:
            future.result()
    report = system.check()
    assert report.ok, report
    rows = snapshot(engine, [system.schema.mapped_class(name) for name in ("Person", "Department", "Membership")])
    for name, ids in members(rows).items():
        assert {row["id"] for row in storage.find(name)} == ids
    assert not conflicts, (conflicts, conflicts.details)
