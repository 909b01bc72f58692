"""Min and Max: the extreme of members that come, go, change and move."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from random import Random
from typing import Any

import pytest
from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    Dialect,
    Engine,
    ForeignKey,
    Index,
    Integer,
    Numeric,
    String,
    Table,
    TypeDecorator,
    Uuid,
    delete,
    event,
    insert,
    select,
    true,
    update,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship

import interaqt_sa as iq
from tests.declarative.kept import Keep, Kept

#: of a column without time zones
MOMENTS = (datetime(2020, 1, 1, 12, 30, 5, 123456), datetime(1969, 7, 20))  # noqa: DTZ001


class Size(Enum):
    small = "S"
    medium = "M"
    large = "L"


class Digits(TypeDecorator[str]):
    """A text that PostgreSQL stores as an integer."""

    impl = String
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> Any:
        return dialect.type_descriptor(Integer() if dialect.name == "postgresql" else String())

    def process_bind_param(self, value: Any, dialect: Dialect) -> Any:
        return int(value) if value is not None and dialect.name == "postgresql" else value

    def process_result_value(self, value: Any, dialect: Dialect) -> Any:
        return None if value is None else str(value)


class Base(DeclarativeBase):
    pass


tagged = Table(
    "tagged",
    Base.metadata,
    Column("tag_id", ForeignKey("tag.id"), primary_key=True),
    Column("offer_id", ForeignKey("offer.id", ondelete="CASCADE"), primary_key=True),
)


class Market(Base):
    __tablename__ = "market"

    id: Mapped[int] = mapped_column(primary_key=True)
    products: Mapped[list[Product]] = relationship(back_populates="market")
    cheapest: Mapped[Decimal | None] = iq.computed(iq.Min("products", "least"), Numeric(10, 2))
    sum_of_least: Mapped[Decimal] = iq.computed(iq.Summation("products", "least"), Numeric(12, 2))


class Product(Base):
    __tablename__ = "product"

    id: Mapped[int] = mapped_column(primary_key=True)
    market_id: Mapped[int | None] = mapped_column(ForeignKey("market.id"))
    market: Mapped[Market | None] = relationship(back_populates="products")
    rate: Mapped[int] = mapped_column(default=1)
    offers: Mapped[list[Offer]] = relationship(back_populates="product", passive_deletes=True)
    least: Mapped[Decimal | None] = iq.computed(iq.Min("offers", "price"), Numeric(10, 2))
    most: Mapped[Decimal | None] = iq.computed(iq.Max("offers", "price"), Numeric(10, 2))
    least_open: Mapped[Decimal | None] = iq.computed(iq.Min("offers", "price", where={"on": True}), Numeric(10, 2))
    first_name: Mapped[str | None] = iq.computed(iq.Min("offers", "name"))
    last_day: Mapped[date | None] = iq.computed(iq.Max("offers", "day"))
    last_moment: Mapped[datetime | None] = iq.computed(iq.Max("offers", "moment"))
    heaviest: Mapped[float | None] = iq.computed(iq.Max("offers", "weight"))
    largest: Mapped[Size | None] = iq.computed(iq.Max("offers", "size"))
    shown: Mapped[str] = iq.computed(lambda p: f"{p.first_name}: {p.least}", String)


class Offer(Base):
    __tablename__ = "offer"
    __table_args__ = (Index("ix_offer_price", "product_id", "price"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    product_id: Mapped[int | None] = mapped_column(ForeignKey("product.id", ondelete="CASCADE"))
    product: Mapped[Product | None] = relationship(back_populates="offers")
    price: Mapped[Decimal | None] = mapped_column(Numeric(10, 2))
    on: Mapped[bool] = mapped_column(default=True)
    name: Mapped[str | None]
    day: Mapped[date | None]
    moment: Mapped[datetime | None]
    weight: Mapped[float | None]
    size: Mapped[Size | None]


class Tag(Base):
    __tablename__ = "tag"

    id: Mapped[int] = mapped_column(primary_key=True)
    offers: Mapped[list[Offer]] = relationship(secondary=tagged)
    least: Mapped[Decimal | None] = iq.computed(iq.Min("offers", "price"), Numeric(10, 2))
    rate: Mapped[int | None] = iq.computed(iq.Max("offers", "product.rate"))


class Node(Base):
    __tablename__ = "node"

    id: Mapped[int] = mapped_column(primary_key=True)
    parent_id: Mapped[int | None] = mapped_column(ForeignKey("node.id"))
    parent: Mapped[Node | None] = relationship(back_populates="children", remote_side=[id])
    children: Mapped[list[Node]] = relationship(back_populates="parent")
    value: Mapped[int]
    below: Mapped[int | None] = iq.computed(iq.Max("children", "value"))
    deepest: Mapped[int | None] = iq.computed(iq.Max("children", "depth"))
    depth: Mapped[int] = iq.computed(lambda node: (node.deepest or 0) + 1)


@pytest.fixture
def market(keep: Keep) -> Kept:
    kept = keep(Base)
    with kept.begin() as session:
        session.add_all([Market(id=1), Market(id=2)])
        session.add_all(Product(id=i, market_id=1 + i % 2) for i in range(1, 6))
        session.add_all(Tag(id=i) for i in range(1, 4))
    return kept


def naive(session: Session) -> None:
    """Compare every extreme with that of plain Python over all members."""
    session.expire_all()
    for product in session.scalars(select(Product)):
        offers = list(session.scalars(select(Offer).where(Offer.product_id == product.id)))

        def extreme(pick: Any, name: str, offers: list[Offer] = offers) -> Any:
            values = [v for o in offers if (v := getattr(o, name)) is not None and v == v]
            return pick(values, default=None)

        assert product.least == extreme(min, "price")
        assert product.most == extreme(max, "price")
        assert product.least_open == min((o.price for o in offers if o.on and o.price is not None), default=None)
        assert product.first_name == extreme(min, "name")
        assert product.last_day == extreme(max, "day")
        assert product.last_moment == extreme(max, "moment")
        assert product.heaviest == extreme(max, "weight")
        assert product.shown == f"{product.first_name}: {product.least}"
    for market in session.scalars(select(Market)):
        least = [p.least for p in market.products if p.least is not None]
        assert market.cheapest == min(least, default=None)
        assert market.sum_of_least == sum(least)
    for tag in session.scalars(select(Tag)):
        assert tag.least == min((o.price for o in tag.offers if o.price is not None), default=None)
        rates = [o.product.rate for o in tag.offers if o.product is not None]
        assert tag.rate == max(rates, default=None)


def some(chance: Random) -> dict[str, Any]:
    """Return an offer with few different values, so that extremes are shared."""
    prices = [None, Decimal("0.10"), Decimal("0.30"), Decimal("7.77"), Decimal("-2.00"), Decimal("12345678.90")]
    return {
        "product_id": chance.choice([None, 1, 2, 3, 4, 5]),
        "price": chance.choice(prices),
        "on": chance.random() < 0.5,
        "name": chance.choice([None, "a", "b", "B", "ä", ""]),
        "day": chance.choice([None, date(2020, 1, 31), date(1999, 12, 31)]),
        "moment": chance.choice([None, *MOMENTS]),
        "weight": chance.choice([None, 0.1, 1 / 3, -math.pi, 1e300, 5e-324]),
        "size": chance.choice([None, *Size]),
    }


@pytest.mark.parametrize("seed", range(4))
def test_every_route_of_writing(market: Kept, seed: int) -> None:
    chance = Random(seed)
    for turn in range(30):
        with market.begin() as session:
            ids = list(session.scalars(select(Offer.id)))
            match chance.choice(["add", "add", "change", "bulk", "insert", "delete", "move", "rate", "tag", "purge"]):
                case "add":
                    session.add_all(Offer(**some(chance)) for _ in range(chance.randint(1, 4)))
                case "insert":
                    session.execute(insert(Offer), [some(chance) for _ in range(5)])
                case "change" if ids:
                    offer = session.get_one(Offer, chance.choice(ids))
                    for name, value in some(chance).items():
                        setattr(offer, name, value)
                case "bulk":
                    session.execute(update(Offer).where(Offer.id % 3 == chance.randint(0, 2)).values(**some(chance)))
                case "move":
                    session.execute(update(Offer).values(product_id=Offer.product_id % 5 + 1))
                case "delete" if ids:
                    session.delete(session.get_one(Offer, chance.choice(ids)))
                case "rate":
                    session.get_one(Product, chance.randint(1, 5)).rate = chance.randint(1, 9)
                    session.get_one(Product, chance.randint(1, 5)).market_id = chance.choice([None, 1, 2])
                case "tag" if ids:
                    tag = session.get_one(Tag, chance.randint(1, 3))
                    tag.offers = list(session.scalars(select(Offer).where(Offer.id.in_(chance.choices(ids, k=3)))))
                case "purge":
                    least = select(Product.least).where(Product.id == Offer.product_id).scalar_subquery()
                    session.execute(delete(Offer).where(Offer.price == least))
                case _:
                    pass
        with market.begin() as session:
            naive(session)
        market.verify()
        assert turn >= 0


def test_objects_in_memory_follow(market: Kept) -> None:
    with market.begin() as session:
        product = session.get_one(Product, 1)
        product.offers = [Offer(price=Decimal(3)), Offer(price=Decimal(2))]
        session.flush()
        assert (product.least, product.most, product.shown) == (Decimal(2), Decimal(3), "None: 2.00")
        session.delete(product.offers.pop())
        session.flush()
        assert product.least == Decimal(3)
        product.offers[0].price = None
        session.flush()
        assert product.least is None


def test_enums_are_compared_as_the_database_orders_them(market: Kept) -> None:
    with market.begin() as session:
        session.add_all(Offer(product_id=1, size=size) for size in Size)
    with market.begin() as session:
        of_database = session.scalar(select(Offer.size).order_by(Offer.size.desc()).limit(1))
        assert session.get_one(Product, 1).largest is of_database


@pytest.mark.parametrize("first", [math.nan, 2.5])
def test_nan_does_not_count(market: Kept, first: float) -> None:
    with market.begin() as session:
        session.add(Offer(product_id=1, weight=first))
        session.flush()
        session.add_all(Offer(product_id=1, weight=weight) for weight in (1.5, math.nan, 2.5))
    assert market.stored(Product.id, Product.heaviest)[0] == (1, 2.5)
    market.run(update(Offer).where(Offer.weight == 2.5).values(weight=math.nan))
    assert market.stored(Product.id, Product.heaviest)[0] == (1, 1.5)


def test_types_that_depend_on_the_database(keep: Keep) -> None:
    class Base(DeclarativeBase):
        pass

    class Room(Base):
        __tablename__ = "room"

        id: Mapped[int] = mapped_column(primary_key=True)
        calls: Mapped[list[Call]] = relationship()
        longest: Mapped[timedelta | None] = iq.computed(iq.Max("calls", "took"))
        highest: Mapped[str | None] = iq.computed(iq.Max("calls", "level"), Digits)

    class Call(Base):
        __tablename__ = "call"

        id: Mapped[int] = mapped_column(primary_key=True)
        room_id: Mapped[int] = mapped_column(ForeignKey("room.id"))
        took: Mapped[timedelta | None]
        level: Mapped[str | None] = mapped_column(Digits)

    kept = keep(Base)
    with kept.begin() as session:
        session.add(
            Room(id=1, calls=[Call(took=timedelta(hours=30), level="7"), Call(took=timedelta(days=1), level="5")])
        )
    assert kept.stored(Room.id, Room.longest, Room.highest) == [(1, timedelta(hours=30), "7")]
    kept.run(insert(Call), [{"room_id": 1, "took": timedelta(days=2), "level": "8"}, {"room_id": 1}])
    assert kept.stored(Room.id, Room.longest, Room.highest) == [(1, timedelta(days=2), "8")]
    kept.run(delete(Call).where(Call.took > timedelta(hours=25)))
    assert kept.stored(Room.id, Room.longest, Room.highest) == [(1, timedelta(days=1), "5")]


def test_trees(keep: Keep) -> None:
    kept = keep(Base)
    with kept.begin() as session:
        root = Node(id=1, value=1)
        second = Node(id=2, value=5, parent=root)
        session.add_all([root, second, Node(id=3, value=7, parent=second)])
    with kept.begin() as session:
        session.add(Node(id=4, value=0, parent_id=3))
    assert kept.stored(Node.id, Node.below, Node.depth) == [(1, 5, 4), (2, 7, 3), (3, 0, 2), (4, None, 1)]
    with kept.begin() as session:
        session.execute(update(Node).where(Node.id == 3).values(parent_id=1))
    assert kept.stored(Node.id, Node.below, Node.depth) == [(1, 7, 3), (2, None, 1), (3, 0, 2), (4, None, 1)]


def test_over_all_rows_of_a_record(engine: Engine) -> None:
    class Own(DeclarativeBase):
        pass

    item = iq.Entity("Item", [iq.Property("price", Decimal), iq.Property("on", bool)])
    values = [
        iq.Dictionary("least", Decimal, computation=iq.Min("Item", "price")),
        iq.Dictionary("most", Decimal, computation=iq.Max("Item", "price", where={"on": True})),
    ]
    iq.compile_schema(Own, entities=[item], dictionaries=values)
    system = iq.System(engine, base=Own)
    Own.metadata.create_all(engine)
    storage = system.storage
    assert storage.dictionary.get("least") is None
    ids = [storage.create("Item", {"price": Decimal(p), "on": p != 9})["id"] for p in (4, 2, 9, 2, 7)]
    assert (storage.dictionary.get("least"), storage.dictionary.get("most")) == (2, 7)
    storage.delete("Item", iq.MatchExp.atom("price", ("=", Decimal(2))))
    storage.update("Item", iq.MatchExp.atom("id", ("=", ids[4])), {"on": False})
    assert (storage.dictionary.get("least"), storage.dictionary.get("most")) == (4, 4)
    storage.delete("Item", lambda _: true())
    assert (storage.dictionary.get("least"), storage.dictionary.get("most")) == (None, None)
    assert system.check()


@contextmanager
def counted(engine: Engine) -> Iterator[list[str]]:
    seen: list[str] = []

    def note(connection: Any, cursor: Any, text: str, *_: Any) -> None:
        seen.append(text)

    event.listen(engine, "before_cursor_execute", note)
    try:
        yield seen
    finally:
        event.remove(engine, "before_cursor_execute", note)


def test_deleting_all_extremes_costs_a_constant_number_of_statements(keep: Keep) -> None:
    kept = keep(Base)
    counts = []
    for size in (5, 10, 1000):  # the first time more is asked about the tables
        with kept.begin() as session:
            first = 100_000 * size
            session.execute(insert(Product), [{"id": first + n} for n in range(size)])
            session.execute(
                insert(Offer),
                [{"product_id": first + n, "price": Decimal(p)} for n in range(size) for p in (1, 2, 3)],
            )
        with counted(kept.engine) as seen, kept.begin() as session:
            session.execute(delete(Offer).where(Offer.price == 1, Offer.product_id >= first))
        counts.append(len(seen))
        with kept.begin() as session:
            assert set(session.scalars(select(Product.least).where(Product.id >= first))) == {Decimal(2)}
        kept.run(delete(Offer))
    assert counts[1] == counts[2]
    kept.verify()


def test_check_finds_what_is_wrong_and_repair_mends_it(market: Kept) -> None:
    with market.begin() as session:
        session.add_all(Offer(product_id=1, price=Decimal(p)) for p in (5, 6))
    with market.engine.begin() as connection:
        connection.execute(update(Product).where(Product.id == 1).values(least=Decimal(9), most=None))
    report = market.system.repair()
    assert {(d.record, d.property) for d in report.differences} >= {("Product", "least"), ("Product", "most")}
    market.verify()
    with market.begin() as session:
        naive(session)


# -- declarations that cannot be right --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("column", "own", "said"),
    [
        (Column("v", Boolean), Column("x", Boolean), "can order"),
        (Column("v", JSON), Column("x", JSON), "can order"),
        (Column("v", Uuid), Column("x", Uuid), "can order"),
        (Column("v", String(10)), Column("x", String(5)), "does not store"),
        (Column("v", Numeric(10, 3)), Column("x", Numeric(10, 2)), "does not store"),
        (Column("v", Numeric(10, 2)), Column("x", String), "does not store"),
        (Column("v", String(5)), Column("x", String(5), nullable=False), "nullable"),
    ],
)
def test_columns_that_cannot_hold_an_extreme(column: Column[Any], own: Column[Any], said: str) -> None:
    class Own(DeclarativeBase):
        pass

    host = Table("host", Own.metadata, Column("id", String, primary_key=True))
    host.append_column(Column("x", own.type, iq.Min("members", "v"), nullable=own.nullable))
    member = Table("member", Own.metadata, Column("id", String, primary_key=True), Column("h", ForeignKey("host.id")))
    member.append_column(column._copy())

    class Host(Own):
        __table__ = host
        members: Mapped[list[Member]] = relationship()

    class Member(Own):
        __table__ = member

    from interaqt_sa.engine.plan import plan_of

    with pytest.raises(iq.DefinitionError) as caught:
        plan_of(Own.metadata)
    assert said in str(caught.value.context["faults"][0])
