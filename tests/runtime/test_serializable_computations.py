"""Computations that require SERIALIZABLE: a dispatch is repeated before they are called, with their tables locked."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from random import Random
from typing import Any

import pytest
from sqlalchemy import Engine, ForeignKey, func, select, text, update
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship, sessionmaker

import interaqt_sa as iq
from tests.behaviours.numbers import behaviour
from tests.support.engines import EngineFactory
from tests.support.torture import Torture

SEEN: list[str] = []


def summed(ctx: iq.ComputationContext, deps: Any, record: Any) -> int:
    assert deps["own"] is record
    SEEN.append(ctx.isolation)
    return sum(item.amount * item.product.price for item in record["items"])


def custom(concurrency: Any) -> iq.Custom[int]:
    query = [("items", ["amount", "product.price"])]
    own = {"type": "property", "attribute_query": query}
    return iq.Custom("sum", data_deps={"own": own}, compute=summed, concurrency=concurrency)


class Models:
    """Boxes whose value is computed with one concurrency, and an event source that adds an item."""

    def __init__(self, engine: Engine, concurrency: Any) -> None:
        class Base(DeclarativeBase):
            pass

        class Box(Base):
            __tablename__ = "box"
            id: Mapped[int] = mapped_column(primary_key=True)
            items: Mapped[list[Any]] = relationship("Item")
            sum: Mapped[int] = iq.computed(custom(concurrency))

        class Product(Base):
            __tablename__ = "product"
            id: Mapped[int] = mapped_column(primary_key=True)
            price: Mapped[int]

        class Item(Base):
            __tablename__ = "item"
            id: Mapped[int] = mapped_column(primary_key=True)
            amount: Mapped[int]
            box_id: Mapped[int] = mapped_column(ForeignKey("box.id"), index=True)
            product_id: Mapped[int] = mapped_column(ForeignKey("product.id"), index=True)
            product: Mapped[Any] = relationship(Product)

        class Event(Base):
            __tablename__ = "event"
            id: Mapped[int] = mapped_column(primary_key=True)

        self.box, self.product, self.item = Box, Product, Item

        def add(ctx: iq.DispatchContext, args: Any) -> None:
            ctx.session.add(Item(**args))

        self.between: Callable[[], None] | None = None

        def change(ctx: iq.DispatchContext, args: Any) -> None:
            if self.between is not None:
                ctx.session.scalar(select(func.count()).select_from(Item))  # takes the snapshot
                self.between()
            ctx.session.execute(update(Product).where(Product.id == args["id"]).values(price=args["price"]))

        Base.metadata.create_all(engine)
        self.session_factory = sessionmaker(engine)
        self.system = iq.System(self.session_factory, base=Base)
        self.controller = iq.Controller(
            self.system,
            event_sources=[
                iq.EventSource("Add", Event, resolve=add),
                iq.EventSource("Change", Event, resolve=change),
            ],
        )
        with self.session_factory.begin() as session:
            session.add_all([Box(id=n) for n in (1, 2, 3)])
            session.add_all([Product(id=n, price=n) for n in (1, 2, 3)])
            session.flush()
            session.add_all([Item(box_id=n, amount=n, product_id=n) for n in (1, 2, 3)])
        SEEN.clear()

    def add(self, n: int) -> iq.DispatchResult:
        return self.controller.dispatch("Add", {"box_id": n, "amount": 1, "product_id": n})


def level(engine: Engine, weaker: str) -> str:
    return weaker if engine.dialect.name == "postgresql" else "SERIALIZABLE"


@behaviour("R-A43", "R-P83")
def test_a_dispatch_is_repeated_before_the_function_is_called(engine: Engine) -> None:
    models = Models(engine, "serializable")
    result = models.add(1).raise_for_error()
    is_promoted = engine.dialect.name == "postgresql"
    assert (result.attempts, SEEN) == (2 if is_promoted else 1, ["SERIALIZABLE"])
    # the event source remembers
    result = models.add(2).raise_for_error()
    assert (result.attempts, SEEN) == (1, ["SERIALIZABLE"] * 2)
    result = models.controller.dispatch("Change", {"id": 3, "price": 7}).raise_for_error()
    assert SEEN == ["SERIALIZABLE"] * 3
    assert models.system.check()


@behaviour("R-A43", "R-P84")
@pytest.mark.parametrize("concurrency", ["locked", "atomic-safe"])
def test_others_run_at_read_committed(engine: Engine, concurrency: str) -> None:
    models = Models(engine, concurrency)
    result = models.add(1).raise_for_error()
    assert (result.attempts, SEEN) == (1, [level(engine, "READ COMMITTED")])
    assert models.system.check()


def test_sessions_and_joined_dispatches_lock_the_row(engine: Engine) -> None:
    models = Models(engine, "serializable")
    with models.session_factory.begin() as session:
        session.get_one(models.item, 1).amount = 5
    with models.session_factory.begin() as session:
        result = models.controller.dispatch("Add", {"box_id": 1, "amount": 1, "product_id": 1}, session=session)
        result.raise_for_error()
    assert [level(engine, "READ COMMITTED")] * 2 == SEEN
    assert models.system.check()


@pytest.mark.postgres
def test_a_row_that_is_written_beside_a_snapshot_is_not_missed(engine_for: EngineFactory) -> None:
    """The value of the box does not change with the new item: without locked tables, no conflict would show it."""
    models = Models(engine_for("psycopg"), "serializable")
    models.controller.dispatch("Change", {"id": 1, "price": 0}).raise_for_error()

    def insert_item() -> None:
        with models.session_factory.begin() as session:
            session.add(models.item(box_id=2, product_id=1, amount=3))

    with ThreadPoolExecutor(1) as pool:
        futures: list[Future[None]] = []

        def between() -> None:
            if not futures:
                futures.append(pool.submit(insert_item))
                wait(futures, timeout=0.5)

        models.between = between
        models.controller.dispatch("Change", {"id": 1, "price": 5}).raise_for_error()
        futures[0].result()
    assert models.system.check()


@behaviour("R-A43")
@pytest.mark.concurrency
@pytest.mark.postgres
def test_writers_at_both_levels(engine_for: EngineFactory, torture: Torture) -> None:
    workers = min(torture.workers, 4)
    engine = engine_for("psycopg", pool_size=workers, max_overflow=2)
    models = Models(engine, "serializable")
    with engine.begin() as connection:
        connection.execute(text("SELECT setval('item_id_seq', 100)"))
    barrier = threading.Barrier(workers)

    def work(number: int) -> None:
        random = Random(number)
        barrier.wait()
        for _ in range(torture.rounds * 2 // 3):
            key, other = random.randint(1, 3), random.randint(1, 3)
            match random.randint(0, 3):
                case 0:
                    settled(lambda key=key: models.add(key))  # type: ignore[misc]
                case 1:
                    price = {"id": key, "price": random.randint(1, 9)}
                    settled(lambda price=price: models.controller.dispatch("Change", price))  # type: ignore[misc]
                case 2:
                    iq.run_with_transaction_retry(
                        models.session_factory, changed(key, random.randint(1, 9)), max_attempts=99
                    )
                case _:
                    iq.run_with_transaction_retry(models.session_factory, moved(key, other), max_attempts=99)

    def settled(dispatch: Any) -> None:
        """Dispatch until it is not given up."""
        while (result := dispatch()).error is not None:
            assert isinstance(result.error, iq.TransactionRetryExhaustedError), result.error

    def changed(key: int, price: int) -> Any:
        def run(session: Session) -> None:
            session.execute(update(models.product).where(models.product.id == key).values(price=price))

        return run

    def moved(key: int, other: int) -> Any:
        def run(session: Session) -> None:
            session.execute(update(models.item).where(models.item.id == key).values(box_id=other, product_id=key))

        return run

    with ThreadPoolExecutor(workers) as pool:
        for future in [pool.submit(work, number) for number in range(workers)]:
            future.result()
    assert models.system.check()
    assert set(SEEN) == {"SERIALIZABLE", "READ COMMITTED"}
