"""Mistakes about what makes sessions, and about attributes that are not columns, are answered with the way out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from sqlalchemy import Engine, ForeignKey, create_engine, make_url
from sqlalchemy.ext.associationproxy import association_proxy
from sqlalchemy.ext.asyncio import (
    AsyncEngine,
    AsyncSession,
    async_scoped_session,
    async_sessionmaker,
    create_async_engine,
)
from sqlalchemy.ext.hybrid import hybrid_property
from sqlalchemy.orm import (
    DeclarativeBase,
    Mapped,
    Session,
    column_property,
    composite,
    mapped_column,
    relationship,
    scoped_session,
    sessionmaker,
    synonym,
)

import interaqt_sa as iq
from tests.declarative.kept import Keep

ENGINE = create_engine("sqlite://")
ASYNC: AsyncEngine = create_async_engine("sqlite+aiosqlite://")


class Models(DeclarativeBase):
    pass


SYNCHRONOUS: list[tuple[Any, str]] = [
    (ASYNC, "use AsyncSystem"),
    (async_sessionmaker(ASYNC), "use AsyncSystem"),
    (async_scoped_session(async_sessionmaker(ASYNC), scopefunc=lambda: 1), "use AsyncSystem"),
    (AsyncSession, "use AsyncSystem"),
    (AsyncSession(ASYNC), "use AsyncSystem"),
    ("sqlite://", r"create_engine\(…\)"),
    (make_url("postgresql+psycopg://u:secret@host/db"), r"create_engine\(…\)"),
    ("postgresql+asyncpg://u:secret@host/db", r"AsyncSystem\(create_async_engine\(…\)\)"),
    ("nonsense", r"create_engine\(…\)"),
    (Session(ENGINE), "give the factory that made it"),
    (Models, r"models are given as base="),
    (Models.metadata, r"models are given as base="),
    (None, "not None$"),
]
ASYNCHRONOUS: list[tuple[Any, str]] = [
    (ENGINE, "use System"),
    (sessionmaker(ENGINE), "use System"),
    (scoped_session(sessionmaker(ENGINE)), "use System"),
    (Session, "use System"),
    ("sqlite+aiosqlite://", r"create_async_engine\(…\)"),
    (AsyncSession(ASYNC), "give the factory that made it"),
    (Models, r"models are given as base="),
]


@pytest.mark.parametrize(("given", "way_out"), SYNCHRONOUS, ids=lambda given: type(given).__name__)
def test_what_a_system_is_made_of(given: Any, way_out: str) -> None:
    with pytest.raises(TypeError, match=rf"^System takes an Engine.*{way_out}") as raised:
        iq.System(given)
    assert "secret" not in str(raised.value)
    system = iq.System(ENGINE)
    for change in (system.attach, system.detach):
        with pytest.raises(TypeError, match=rf"takes a sessionmaker.*{way_out}"):
            change(given)
    with pytest.raises(TypeError, match=r"an engine makes no sessions: give sessionmaker\(engine\)"):
        system.attach(ENGINE)  # type: ignore[arg-type]


@pytest.mark.parametrize(("given", "way_out"), ASYNCHRONOUS, ids=lambda given: type(given).__name__)
def test_what_an_asynchronous_system_is_made_of(given: Any, way_out: str) -> None:
    with pytest.raises(TypeError, match=rf"^AsyncSystem takes an AsyncEngine.*{way_out}"):
        iq.AsyncSystem(given)
    system = iq.AsyncSystem(ASYNC)
    for change in (system.attach, system.detach):
        with pytest.raises(TypeError, match=rf"takes an async_sessionmaker.*{way_out}"):
            change(given)
    with pytest.raises(TypeError, match=r"give async_sessionmaker\(engine\)"):
        system.attach(ASYNC)  # type: ignore[arg-type]


def test_what_a_column_is_computed_by() -> None:
    wrong: Any
    for wrong, way_out in (("items", r"computed\(Count\('items'\)\)"), (iq.Average, r"computed\(Average\(…\)\)")):
        with pytest.raises(TypeError, match=way_out):
            iq.computed(wrong)


# -- attributes that are not columns ----------------------------------------------------------------------------------


def models(computation: iq.Computation[Any]) -> Any:
    @dataclass
    class Point:
        x: int
        y: int

    class Base(DeclarativeBase):
        pass

    class Product(Base):
        __tablename__ = "product"
        id: Mapped[int] = mapped_column(primary_key=True)
        price: Mapped[int]

        @hybrid_property
        def doubled(self) -> int:
            return self.price * 2

    class Item(Base):
        __tablename__ = "item"
        id: Mapped[int] = mapped_column(primary_key=True)
        box_id: Mapped[int] = mapped_column(ForeignKey("box.id"))
        product_id: Mapped[int] = mapped_column(ForeignKey("product.id"))
        product: Mapped[Product] = relationship(Product)
        amount: Mapped[int]
        x: Mapped[int] = mapped_column(default=0)
        y: Mapped[int] = mapped_column(default=0)
        point: Mapped[Point] = composite(Point, "x", "y")
        other: Mapped[int] = synonym("amount")
        price = association_proxy("product", "price")

        @hybrid_property
        def half(self) -> int:
            return self.amount - 5

        @property
        def plain(self) -> int:
            return 1

    Item.longer = column_property(Item.amount + 1)  # type: ignore[attr-defined]

    class Box(Base):
        __tablename__ = "box"
        id: Mapped[int] = mapped_column(primary_key=True)
        items: Mapped[list[Item]] = relationship(Item)
        value: Mapped[int] = iq.computed(computation)

    Base.Box, Base.Item, Base.Product = Box, Item, Product  # type: ignore[attr-defined]
    return Base


ATTRIBUTES = {
    "half": "'half' is a hybrid of Item.*make it a computed column.*where=lambda cls: cls.half",
    "product.doubled": "'product.doubled' is a hybrid of Product.*make it a computed column",
    "longer": "'longer' is a SQL expression, not a stored column.*make it a computed column",
    "point": "'point' is a composite of Item; name one of its parts: 'x', 'y'",
    "point.x": "'point' is a composite of Item; name one of its parts: 'x', 'y'",
    "other": "'other' is a synonym of Item; name the original: 'amount'",
    "price": "'price' is an association proxy of Item; name its target: 'product.price'",
    "product": "'product' is a relationship of Item; name an attribute of its target, as in 'product.id'",
    "plain": "'plain' is an attribute of Item in Python, without a column; make it a computed column",
    "amout": "Item has no column attribute 'amout'; it has amount",
}


@pytest.mark.parametrize("name", ATTRIBUTES)
@pytest.mark.parametrize(
    "compute",
    [
        lambda name: iq.Summation("items", name),
        lambda name: iq.Count("items", where={name: 1}),
        lambda name: iq.Count("items", attribute_query=[name], callback=bool),
    ],
    ids=["field", "where", "attribute_query"],
)
def test_attributes_that_are_not_columns(name: str, compute: Callable[[str], iq.Computation[Any]]) -> None:
    base = models(compute(name))  # held, or the classes would be collected
    system = iq.System(create_engine("sqlite://"), base=base)
    with pytest.raises(iq.DefinitionError) as raised:
        system.verify()
    faults = [str(fault) for fault in raised.value.exceptions]
    assert len(faults) == 1
    with pytest.raises(AssertionError, match=ATTRIBUTES[name]):
        raise AssertionError(faults[0])


def test_a_column_is_not_a_relationship() -> None:
    base = models(iq.Count("id"))
    system = iq.System(create_engine("sqlite://"), base=base)
    with pytest.raises(iq.DefinitionError, match=r"'id' is not a relationship of Box.*it is a column"):
        system.verify()


def test_the_way_out_for_a_hybrid(keep: Keep, engine: Engine) -> None:
    base = models(iq.Count("items", where=lambda cls: cls.half > 0))
    kept = keep(base)
    with kept.begin() as session:
        session.add(base.Product(id=1, price=1))
        session.add(base.Box(id=1, items=[base.Item(amount=n, product_id=1) for n in (4, 6, 8)]))
    assert kept.stored(base.Box.id, base.Box.value) == [(1, 2)]
    with kept.begin() as session:
        session.get_one(base.Item, 1).amount = 9
    assert kept.stored(base.Box.id, base.Box.value) == [(1, 3)]
