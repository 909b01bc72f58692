"""Members whose contributions read several neighbours, which two transactions change at the same time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from random import Random
from time import monotonic, sleep
from typing import Any

import pytest
from sqlalchemy import Engine, event, text
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.orm import Session, sessionmaker
from sqlalchemy.orm.exc import StaleDataError

import interaqt_sa as iq
from tests.engine import neighbours
from tests.engine.neighbours import FAR_NEIGHBOURS, KINDS, NEIGHBOURS, RANDOM, First, Shop, Write, shop_of, writes_of
from tests.engine.workload import CROSSED, Conflicts
from tests.support.engines import EngineFactory
from tests.support.torture import Torture, torture_from_environment

pytestmark = [
    pytest.mark.concurrency,
    # two transactions that delete one row: the second finds nothing, which is not news here
    pytest.mark.filterwarnings("ignore:DELETE statement on table:sqlalchemy.exc.SAWarning"),
]

FULL = torture_from_environment().full


@dataclass(frozen=True)
class House:
    """A system on an empty database."""

    kind: str
    shop: Shop
    engine: Engine
    session_factory: sessionmaker[Session]
    system: iq.System

    def fill(self) -> None:
        with self.engine.begin() as connection:
            tables = ", ".join(table.name for table in self.shop.base.metadata.sorted_tables)
            connection.execute(text(f"TRUNCATE {tables} RESTART IDENTITY"))
        with self.session_factory.begin() as session:
            neighbours.fill(session, self.shop)
        with self.engine.begin() as connection:
            connection.execute(text("SELECT setval('item_id_seq', 1000)"))


@pytest.fixture
def house(engine_for: EngineFactory, postgres_url: str, torture: Torture, kind: str) -> House:
    """Return a filled house of one kind."""
    engine = engine_for("psycopg", pool_size=torture.workers + 2, connect_args={"options": "-c deadlock_timeout=30ms"})
    shop = shop_of(kind)
    shop.base.metadata.create_all(engine)
    session_factory = sessionmaker(engine)
    # the tables are emptied on a connection of their own
    house = House(kind, shop, engine, session_factory, iq.System(session_factory, base=shop.base, unattached="allow"))
    house.fill()
    return house


# -- schedules --------------------------------------------------------------------------------------------------------


class Stopper:
    """Holds the transaction of one thread after its n-th statement."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.thread: int | None = None
        self.steps = 0
        self.reached, self.go_on = threading.Event(), threading.Event()
        self.statements: list[str] = []
        event.listen(engine, "after_cursor_execute", self._after)

    def remove(self) -> None:
        event.remove(self.engine, "after_cursor_execute", self._after)

    def _after(self, connection: Any, cursor: Any, statement: str, *_: Any) -> None:
        if threading.get_ident() != self.thread:
            return
        self.statements.append(statement)
        if len(self.statements) == self.steps:
            self.reached.set()
            self.go_on.wait(30)


def _run(house: House, write: Write, place: int, before: Callable[[], None] | None = None) -> str:
    """Run one transaction of one flush; return how it ended."""
    if before is not None:
        before()
    try:
        with house.session_factory.begin() as session:
            write(session, house.shop, house.kind, First(place))
    except StaleDataError:
        return "stale"
    except IntegrityError as error:
        return str(getattr(error.orig, "sqlstate", None))
    except DBAPIError as error:
        return str(getattr(error.orig, "sqlstate", None))
    return "committed"


_WAITING = text(
    "SELECT count(*) FROM pg_stat_activity"
    " WHERE datname = current_database() AND cardinality(pg_blocking_pids(pid)) > 0"
)


def _blocked(engine: Engine) -> bool:
    with engine.connect() as connection:
        return bool(connection.scalar(_WAITING))


def _interleave(house: House, first: Write, second: Write, steps: int, place: int) -> tuple[bool, str, str, list[str]]:
    """Run `first` up to its n-th statement, then `second` until it waits or is done, then the rest of `first`."""
    stopper = Stopper(house.engine)
    stopper.steps = steps

    def begin() -> None:
        stopper.thread = threading.get_ident()

    try:
        with ThreadPoolExecutor(2) as pool:
            one = pool.submit(_run, house, first, 1, begin)
            _wait_until(lambda: one.done() or stopper.reached.is_set())
            stopped = stopper.reached.is_set()
            stopper.thread = stopper.thread if stopped else None  # the pool may use it again
            two: Future[str] = pool.submit(_run, house, second, place)
            _wait_until(lambda: two.done() or _blocked(house.engine))
            stopper.go_on.set()
            ends = one.result(60), two.result(60)
    finally:
        stopper.remove()
    return stopped, *ends, stopper.statements


def _wait_until(reached: Callable[[], bool]) -> None:
    deadline = monotonic() + 30
    while not reached():
        assert monotonic() < deadline
        sleep(0.002)


def _pairs() -> Iterator[tuple[str, str, str]]:
    """Give those that have gone wrong once, or all."""
    if not FULL:
        for kind in ("one value", "both computed", "far computed"):
            yield kind, "change left", "change right"
            yield kind, "change right", "change left"
        yield "far computed", "change left", "middle left"
        yield "far computed", "middle left", "change left"
        yield "one value", "change both", "change right"
        return
    for kind in KINDS:
        for first in writes_of(kind):
            for second in writes_of(kind):
                yield kind, first, second


@pytest.mark.parametrize(("kind", "first", "second"), list(_pairs()))
def test_two_writes_at_every_point(house: House, kind: str, first: str, second: str) -> None:
    """The second write runs into the first one after each of the first one's statements."""
    writes = writes_of(kind)
    faults: list[Any] = []
    for place in (1, 2):
        steps, stopped = 0, True
        while stopped:
            steps += 1
            house.fill()
            stopped, one, two, statements = _interleave(house, writes[first], writes[second], steps, place)
            report = house.system.check()
            if not {one, two} <= {"committed", "stale"} or report.differences:
                faults.append((place, steps, one, two, report.differences, statements[:steps][-1:]))
    assert not faults, faults


# -- random writers ---------------------------------------------------------------------------------------------------


def _transaction(house: House, write: Write, seed: str) -> Callable[[Session], None]:
    def work(session: Session) -> None:
        try:
            write(session, house.shop, house.kind, Random(seed))
            session.flush()
        except (StaleDataError, IntegrityError):
            session.rollback()

    return work


#: which transactions take part
MIXES: Mapping[str, Callable[[str], list[Write]]] = {
    "single": lambda _: [neighbours.change_left, neighbours.change_right],
    "neighbours": lambda kind: FAR_NEIGHBOURS if kind.startswith("far") else NEIGHBOURS,
    "bulk": lambda _: [
        neighbours.bulk_left,
        neighbours.bulk_right,
        neighbours.bulk_add,
        neighbours.bulk_items,
        neighbours.bulk_remove,
    ],
    "moves": lambda kind: [*neighbours.MOVES, *(FAR_NEIGHBOURS if kind.startswith("far") else NEIGHBOURS)],
    "all": lambda kind: [*RANDOM, *(FAR_NEIGHBOURS if kind.startswith("far") else NEIGHBOURS)],
}
CASES = [
    ("one value", "all"),
    ("one value", "moves"),
    ("two values", "neighbours"),
    ("both computed", "all"),
    ("far computed", "all"),
    ("far computed", "moves"),
]


@pytest.mark.parametrize(("kind", "mix"), [(kind, mix) for kind in KINDS for mix in MIXES] if FULL else CASES)
def test_random_writers(house: House, torture: Torture, kind: str, mix: str) -> None:
    """Nothing drifts and nobody deadlocks."""
    conflicts = Conflicts(house.engine)
    writes = MIXES[mix](kind)
    barrier = threading.Barrier(torture.workers)

    def work(number: int) -> None:
        barrier.wait()
        for turn in range(torture.rounds):
            seed = f"{number}.{turn}"
            attempt = _transaction(house, Random(seed).choice(writes), seed)
            iq.run_with_transaction_retry(house.session_factory, attempt, max_attempts=1000)

    with ThreadPoolExecutor(torture.workers) as pool:
        list(pool.map(work, range(torture.workers)))
    assert house.system.check().ok
    assert set(conflicts) <= CROSSED, (conflicts, conflicts.details[:3])
