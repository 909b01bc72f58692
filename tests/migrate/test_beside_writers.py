"""Migrations beside an application that is in use."""

from __future__ import annotations

import threading
from functools import partial
from typing import Any

import pytest
from alembic import command
from sqlalchemy import ForeignKey, create_engine, update
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship, sessionmaker
from sqlalchemy.pool import NullPool

import interaqt_sa as iq
from tests.migrate.environment import Environment


def shop(*, computed: bool) -> Any:
    class Base(DeclarativeBase):
        pass

    class Item(Base):
        __tablename__ = "item"
        id: Mapped[int] = mapped_column(primary_key=True)
        host_id: Mapped[int] = mapped_column(ForeignKey("host.id"), index=True)
        price: Mapped[int]
        qty: Mapped[int]
        if computed:
            total: Mapped[int] = iq.computed(lambda item: item.price * item.qty)

    class Host(Base):
        __tablename__ = "host"
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str | None]
        items: Mapped[list[Item]] = relationship()
        if computed:
            spent: Mapped[int] = iq.computed(iq.Summation("items", "total"))
            count: Mapped[int] = iq.computed(iq.Count("items"))

    Base.kept = [Item, Host]  # type: ignore[attr-defined]  # a registry holds its classes weakly
    Base.host, Base.item = Host, Item  # type: ignore[attr-defined]
    return Base


def fill(environment: Environment, hosts: int = 20, items: int = 100) -> None:
    environment.run(
        *(f"INSERT INTO host (id) VALUES ({n})" for n in range(1, hosts + 1)),
        *(f"INSERT INTO item (id, host_id, price, qty) VALUES ({n}, {1 + n % hosts}, {n}, 1)" for n in range(1, items)),
    )


def test_a_row_that_is_held_only_delays_its_batch(postgres_environment: Environment) -> None:
    environment = postgres_environment
    environment.migrate(shop(computed=False))
    fill(environment)
    base = shop(computed=True)
    environment.use(base)
    environment.revision()
    environment.upgrade("+1")
    held = environment.engine.connect()
    held.exec_driver_sql("UPDATE host SET name = 'held' WHERE id = 7")
    timer = threading.Timer(1.5, held.rollback)
    timer.start()
    environment.upgrade("head", "batch=5")
    timer.join()
    held.close()
    assert iq.System(environment.engine, base=base, configure_sqlite=False).check()


def test_writers_of_the_new_version_write_throughout(postgres_environment: Environment) -> None:
    environment = postgres_environment
    environment.migrate(shop(computed=False))
    fill(environment, 50, 1000)
    base = shop(computed=True)
    environment.use(base)
    environment.revision()
    environment.upgrade("+1")
    factory = sessionmaker(create_engine(environment.engine.url, poolclass=NullPool))
    iq.System(factory, base=base)
    stop, errors, written = threading.Event(), list[Exception](), [0]

    def write(seed: int) -> None:
        def once(session: Session, n: int) -> None:
            if n % 3:
                session.get_one(base.item, 1 + (n * seed) % 900).qty += 1
            else:
                session.add(base.item(id=100_000 * seed + n, host_id=1 + n % 50, price=n, qty=seed))
            session.flush()
            session.execute(update(base.host).where(base.host.id == 1 + (n + seed) % 50).values(name=f"{n}"))

        n = 0
        try:
            while not stop.is_set():
                n += 1
                iq.run_with_transaction_retry(factory, partial(once, n=n), max_attempts=50)
                written[0] += 1
        except Exception as error:  # noqa: BLE001  told by the test
            errors.append(error)

    writers = [threading.Thread(target=write, args=(seed,)) for seed in (3, 7)]
    for writer in writers:
        writer.start()
    try:
        environment.upgrade("head", "batch=20", "pause=0.01")
    finally:
        stop.set()
        for writer in writers:
            writer.join(30)
    assert not errors, errors
    assert written[0]
    assert iq.System(environment.engine, base=base, configure_sqlite=False).check()


def test_values_that_are_not_true_stop_a_contract(environment: Environment) -> None:
    environment.migrate(shop(computed=False))
    fill(environment, 3, 10)
    environment.use(shop(computed=True))
    environment.revision()
    environment.upgrade()
    environment.run("UPDATE host SET count = 77 WHERE id = 2")  # as an old version does
    command.revision(environment.config(), message="contract")
    path = max(environment.versions.glob("*contract.py"))
    verified = path.read_text().replace('"""Upgrade."""', 'op.interaqt_verify("Host.count")')
    path.write_text(verified)
    with pytest.raises(iq.ConstraintSetupError, match=r"values are wrong.*Host 2: count is 77") as caught:
        environment.upgrade()
    assert [(row["id"], row["stored"]) for row in caught.value.rows] == [(2, 77)]
    environment.run("UPDATE host SET count = 3 WHERE id = 2")
    environment.upgrade()
    environment.run("UPDATE host SET count = 77 WHERE id = 2")
    with pytest.raises(iq.ConstraintSetupError, match="values are wrong"):
        environment.upgrade("head", "verify")
