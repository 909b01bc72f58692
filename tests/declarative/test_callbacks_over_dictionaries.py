"""Callbacks of aggregates that read dictionaries: `data_deps=`."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from random import Random
from typing import Any

import pytest
from sqlalchemy import Engine, ForeignKey, MetaData, create_engine, delete, insert, select, update
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship, sessionmaker
from sqlalchemy.orm.exc import StaleDataError

import interaqt_sa as iq
from tests.behaviours.numbers import behaviour
from tests.support.engines import EngineFactory
from tests.support.torture import Torture

LIMIT = iq.Dictionary("limit", "number", default=5)
DEPS = {"limit": LIMIT}


def is_large(item: Any, deps: Any) -> bool:
    return bool(item.amount > deps["limit"])


def weighed(item: Any, deps: Any) -> Any:
    return {"weight": deps["limit"], "value": item.amount}


def options() -> dict[str, Any]:
    return {"attribute_query": ["amount"], "data_deps": DEPS}


class Base(DeclarativeBase):
    pass


class Box(Base):
    __tablename__ = "box"

    id: Mapped[int] = mapped_column(primary_key=True)
    items: Mapped[list[Item]] = relationship()
    n: Mapped[int] = iq.computed(iq.Count("items"))
    large: Mapped[int] = iq.computed(iq.Count("items", callback=is_large, **options()))
    weight: Mapped[float] = iq.computed(iq.WeightedSummation("items", weighed, **options()))
    any_large: Mapped[bool] = iq.computed(iq.Any("items", is_large, **options()))
    every_large: Mapped[bool] = iq.computed(iq.Every("items", is_large, **options()))


class Item(Base):
    __tablename__ = "item"

    id: Mapped[int] = mapped_column(primary_key=True)
    amount: Mapped[int]
    box_id: Mapped[int] = mapped_column(ForeignKey("box.id"), index=True)


iq.compile_schema(
    Base,
    dictionaries=[LIMIT, iq.Dictionary("all", "number", computation=iq.Count(Item, callback=is_large, **options()))],
)


def start(engine: Engine) -> iq.System:
    Base.metadata.create_all(engine)
    system = iq.System(sessionmaker(engine), base=Base)
    with system.session_factory.begin() as session:
        session.add_all([Box(id=n, items=[Item(amount=n * k) for k in (1, 2, 3)]) for n in (1, 2, 3, 4)])
    return system


def verify(system: iq.System) -> None:
    with system.session_factory() as session:
        storage = system.storage.with_session(session)
        limit = storage.dictionary.get("limit")
        amounts = [*session.scalars(select(Item.amount))]
        assert storage.dictionary.get("all") == sum(amount > limit for amount in amounts)
        for box in session.scalars(select(Box)):
            found = [item.amount > limit for item in box.items]
            assert (box.large, box.any_large, box.every_large) == (sum(found), any(found), all(found))
            assert box.weight == sum(item.amount * limit for item in box.items)
    assert system.check()


def write(system: iq.System, session: Session, random: Random) -> None:
    key = random.randint(1, 4)
    match random.randint(0, 4):
        case 0:
            system.storage.with_session(session).dictionary.set("limit", random.randint(1, 9))
        case 1:
            session.execute(update(Item).where(Item.box_id == key).values(amount=Item.amount % 9 + 1))
        case 2:
            session.execute(insert(Item), [{"amount": random.randint(1, 9), "box_id": key} for _ in range(2)])
        case 3:
            session.execute(delete(Item).where(Item.box_id == key, Item.amount > 7))
        case _:
            box = session.get_one(Box, key)
            for item in box.items[:1]:
                item.box_id = random.randint(1, 4)
    session.flush()


def test_a_change_reaches_all_members(engine: Engine) -> None:
    system = start(engine)
    verify(system)
    system.storage.dictionary.set("limit", 8)
    verify(system)
    with system.session_factory.begin() as session:
        box = session.get_one(Box, 4)
        assert (box.n, box.large, box.weight) == (3, 1, 192)


@pytest.mark.parametrize("seed", range(3))
def test_random_writes(engine: Engine, seed: int) -> None:
    system, random = start(engine), Random(seed)
    for _ in range(20):
        with system.session_factory.begin() as session:
            for _ in range(random.choice([1, 3])):
                write(system, session, random)
        verify(system)


@pytest.fixture
def contended(engine_for: EngineFactory, torture: Torture) -> iq.System:
    return start(engine_for("psycopg", pool_size=torture.workers, max_overflow=2))


@pytest.mark.concurrency
@pytest.mark.postgres
def test_concurrent_writers(contended: iq.System, torture: Torture) -> None:
    barrier = threading.Barrier(torture.workers)

    def work(number: int) -> None:
        random = Random(number)
        barrier.wait()
        for _ in range(torture.rounds):
            with suppress(StaleDataError):  # another transaction has deleted the item
                iq.run_with_transaction_retry(contended.session_factory, attempt(random.random()), max_attempts=999)

    def attempt(seed: float) -> Callable[[Session], None]:
        return lambda session: write(contended, session, Random(seed))

    with ThreadPoolExecutor(torture.workers) as pool:
        for future in [pool.submit(work, number) for number in range(torture.workers)]:
            future.result()
    verify(contended)


@pytest.mark.parametrize(
    "arguments",
    [
        {"data_deps": DEPS},
        {
            "callback": is_large,
            "attribute_query": [],
            "data_deps": {"own": {"type": "property", "attribute_query": ["a"]}},
        },
    ],
)
def test_only_callbacks_read_dictionaries(arguments: dict[str, Any]) -> None:
    with pytest.raises(iq.ComputationProtocolError, match="dictionaries that a callback reads"):
        iq.Count("items", **arguments)


@behaviour("R-P76")
def test_circles_are_refused() -> None:
    sum_of_large = iq.Dictionary("sum_of_large", "number", computation=iq.Summation("Case", "large"))
    case = iq.Entity(
        "Case",
        [
            iq.Property(
                "large",
                "number",
                computation=iq.Count(
                    "parts", callback=is_large, attribute_query=["amount"], data_deps={"limit": sum_of_large}
                ),
            )
        ],
    )
    part = iq.Entity("Part", [iq.Property("amount", "number")])
    parts = iq.Relation(source=case, source_property="parts", target=part, target_property="case", type="1:n")
    schema = iq.compile_schema(MetaData(), entities=[case, part], relations=[parts], dictionaries=[sum_of_large])
    with pytest.raises(iq.DefinitionError) as caught:
        iq.System(create_engine("sqlite://"), base=schema).check()
    (fault,) = caught.value.context["faults"]
    assert "dictionary_sum_of_large.value <- Case.large <- dictionary_sum_of_large.value" in str(fault)
