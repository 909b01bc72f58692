"""Many connections change the data of a few values that the application computes: none of them drifts."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from random import Random
from typing import Any

import pytest
from sqlalchemy import Engine, ForeignKey, delete, insert, select, text, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship, sessionmaker
from sqlalchemy.orm.exc import StaleDataError

import interaqt_sa as iq
from tests.behaviours.numbers import behaviour
from tests.declarative.boxes import CALLS, Base, Box, Item, Owner, Product, Tag, box_tag, fill, verify
from tests.engine.test_torture_threads import run_workers
from tests.engine.workload import Conflicts
from tests.support.engines import EngineFactory
from tests.support.torture import Torture

pytestmark = [
    pytest.mark.concurrency,
    pytest.mark.postgres,
    # two transactions that delete one row: the second finds nothing, which is not news here
    pytest.mark.filterwarnings("ignore:DELETE statement on table:sqlalchemy.exc.SAWarning"),
]


@pytest.fixture
def boxes(engine_for: EngineFactory, torture: Torture) -> Iterator[iq.System]:
    engine = engine_for("psycopg", pool_size=torture.workers, max_overflow=2)
    Base.metadata.create_all(engine)
    system = iq.System(sessionmaker(engine), base=Base)
    with system.session_factory.begin() as session:
        fill(session)
    with engine.begin() as connection:
        for table in ("box", "item"):
            connection.execute(text(f"SELECT setval('{table}_id_seq', 1000)"))
    yield system
    CALLS.clear()


def some_item(session: Session, random: Random) -> Item | None:
    found = [*session.scalars(select(Item).order_by(Item.id))]
    return random.choice(found) if found else None


def one_write(system: iq.System, random: Random) -> Callable[[Session], None]:
    """Return a transaction with one write to the data of boxes."""
    kind, key, other = random.randint(0, 11), random.randint(1, 4), random.randint(1, 4)

    def work(session: Session) -> None:
        storage = system.storage.with_session(session)
        match kind:
            case 0:
                session.add(Item(amount=random.randint(1, 9), box_id=key, product_id=random.randint(1, 3)))
            case 1 if (item := some_item(session, random)) is not None:
                item.amount, item.product_id = random.randint(1, 9), random.choice([None, 1, 2, 3])
            case 2 if (item := some_item(session, random)) is not None:
                item.box_id = other
            case 3:
                session.execute(update(Item).where(Item.box_id == key).values(amount=Item.amount % 9 + 1))
            case 4:
                session.execute(delete(Item).where(Item.box_id == key, Item.amount > 6))
            case 5:
                session.execute(update(Product).where(Product.id == 1 + key % 3).values(name=f"p{random.random():.3}"))
            case 6:
                session.execute(update(Owner).where(Owner.id == 1 + key % 2).values(name=f"o{random.random():.3}"))
            case 7:
                session.execute(update(Box).where(Box.id == key).values(owner_id=random.choice([None, 1, 2])))
            case 8:
                session.get_one(Box, key).name = random.choice(["none", "b"])
            case 9:
                session.execute(update(Tag).where(Tag.id == 1 + key % 2).values(name=f"t{random.random():.3}"))
            case 10:
                session.execute(delete(box_tag).where(box_tag.c.box_id == key))
                session.execute(insert(box_tag), [{"box_id": key, "tag_id": 1 + other % 2}])
            case _:
                storage.dictionary.set("rate", random.randint(1, 5))

    return work


def engine_of(system: iq.System) -> Engine:
    with system.session_factory() as session:
        bind: Any = session.get_bind()
    return bind  # type: ignore[no-any-return]


@behaviour("R-A40")
def test_writers_of_all_data(boxes: iq.System, torture: Torture) -> None:
    conflicts = Conflicts(engine_of(boxes))

    def work(number: int) -> None:
        random = Random(number)
        for _ in range(torture.rounds):
            try:
                iq.run_with_transaction_retry(boxes.session_factory, one_write(boxes, random), max_attempts=1000)
            except (IntegrityError, StaleDataError):
                continue

    run_workers(torture.workers, work)
    verify(boxes)
    assert set(conflicts) <= {"40P01", "23505 box_tag_pkey"}, conflicts


@behaviour("R-A45")
def test_a_dictionary_and_new_rows(boxes: iq.System) -> None:
    """A new row reads the dictionary before another transaction changes it, and commits after that."""
    started = threading.Event()

    def change() -> None:
        started.set()
        boxes.storage.dictionary.set("rate", 7)

    with ThreadPoolExecutor(1) as pool:
        with boxes.session_factory.begin() as session:
            session.add(Box(name="new"))
            session.flush()
            future = pool.submit(change)
            started.wait()
        future.result()
    verify(boxes)


class Bags(DeclarativeBase):
    pass


def counted(_: iq.ComputationContext, deps: Any, record: Any) -> int:
    assert deps["own"] is record
    return len(record.things)


class Bag(Bags):
    __tablename__ = "bag"

    id: Mapped[int] = mapped_column(primary_key=True)
    things: Mapped[list[Thing]] = relationship()
    count: Mapped[int] = iq.computed(
        iq.Custom(
            "count",
            data_deps={"own": {"type": "property", "attribute_query": [("things", [])]}},
            compute=counted,
            concurrency="locked",
        )
    )


class Thing(Bags):
    __tablename__ = "thing"

    id: Mapped[int] = mapped_column(primary_key=True)
    bag_id: Mapped[int] = mapped_column(ForeignKey("bag.id"), index=True)


def test_the_row_is_locked_before_its_data_is_read(engine_for: EngineFactory) -> None:
    """Nothing else makes the second writer wait: its value would miss the member of the first one."""
    engine = engine_for("psycopg")
    Bags.metadata.create_all(engine)
    system = iq.System(sessionmaker(engine), base=Bags)
    with system.session_factory.begin() as session:
        session.add(Bag(id=1))

    def add() -> None:
        with system.session_factory.begin() as session:
            session.add(Thing(bag_id=1))

    with ThreadPoolExecutor(1) as pool:
        with system.session_factory.begin() as session:
            session.add(Thing(bag_id=1))
            session.flush()
            future = pool.submit(add)
            wait([future], timeout=0.5)
        future.result()
    with system.session_factory() as session:
        assert session.get_one(Bag, 1).count == 2
    assert system.check()
