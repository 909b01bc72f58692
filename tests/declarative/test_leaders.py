"""First and Latest: the value of the leading member, as members come, go, change and move."""

from __future__ import annotations

import math
from datetime import datetime
from decimal import Decimal
from enum import Enum
from random import Random
from typing import Any
from uuid import UUID, uuid5

import pytest
from sqlalchemy import JSON, Column, ForeignKey, Index, Numeric, String, Table, delete, insert, select, true, update
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship

import interaqt_sa as iq
from tests.declarative.kept import Keep, Kept

#: of a column without time zones
MOMENTS = (datetime(2020, 1, 1, 12, 30, 5, 123456), datetime(1969, 7, 20), datetime(2020, 1, 2))  # noqa: DTZ001


class Size(Enum):
    small = "S"
    medium = "M"
    large = "L"


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
    first_of_first: Mapped[int | None] = iq.computed(iq.First("products", "first_id", by="first_price"))
    sum_of_first: Mapped[Decimal] = iq.computed(iq.Summation("products", "first_price"), Numeric(12, 2))


class Product(Base):
    __tablename__ = "product"

    id: Mapped[int] = mapped_column(primary_key=True)
    market_id: Mapped[int | None] = mapped_column(ForeignKey("market.id"))
    market: Mapped[Market | None] = relationship(back_populates="products")
    rate: Mapped[int] = mapped_column(default=1)
    offers: Mapped[list[Offer]] = relationship(back_populates="product", passive_deletes=True)
    least: Mapped[Decimal | None] = iq.computed(iq.Min("offers", "price"), Numeric(10, 2))
    first_id: Mapped[int | None] = iq.computed(iq.First("offers", "id", by="at"))
    first_price: Mapped[Decimal | None] = iq.computed(iq.First("offers", "price", by="at"), Numeric(10, 2))
    latest_id: Mapped[int | None] = iq.computed(iq.Latest("offers", "id", by="at"))
    latest_on: Mapped[bool | None] = iq.computed(iq.Latest("offers", "on", by="price"))
    latest_open: Mapped[str | None] = iq.computed(iq.Latest("offers", "name", by="at", where={"on": True}))
    heaviest: Mapped[UUID | None] = iq.computed(iq.Latest("offers", "token", by="weight"))
    smallest: Mapped[Size | None] = iq.computed(iq.First("offers", "size", by="size"))
    shown: Mapped[str] = iq.computed(lambda p: f"{p.first_id}: {p.latest_open}")


class Offer(Base):
    __tablename__ = "offer"
    __table_args__ = (Index("ix_offer_at", "product_id", "at", "id"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    product_id: Mapped[int | None] = mapped_column(ForeignKey("product.id", ondelete="CASCADE"))
    product: Mapped[Product | None] = relationship(back_populates="offers")
    at: Mapped[datetime | None]
    price: Mapped[Decimal | None] = mapped_column(Numeric(10, 2))
    on: Mapped[bool] = mapped_column(default=True)
    name: Mapped[str | None]
    weight: Mapped[float | None]
    size: Mapped[Size | None]
    token: Mapped[UUID | None]


class Tag(Base):
    __tablename__ = "tag"

    id: Mapped[int] = mapped_column(primary_key=True)
    offers: Mapped[list[Offer]] = relationship(secondary=tagged)
    first: Mapped[str | None] = iq.computed(iq.First("offers", "name", by="product.rate"))
    latest_rate: Mapped[int | None] = iq.computed(iq.Latest("offers", "product.rate", by="name"))


@pytest.fixture
def market(keep: Keep) -> Kept:
    kept = keep(Base)
    with kept.begin() as session:
        session.add_all([Market(id=1), Market(id=2)])
        session.add_all(Product(id=i, market_id=1 + i % 2) for i in range(1, 6))
        session.add_all(Tag(id=i) for i in range(1, 4))
    return kept


def _get(row: Any, path: str) -> Any:
    for step in path.split("."):
        row = None if row is None else getattr(row, step)
    return row


def _value(pick: Any, rows: list[Any], field: str, by: str) -> Any:
    counted = [row for row in rows if (place := _get(row, by)) is not None and place == place]
    return _get(pick(counted, key=lambda row: (_get(row, by), row.id)), field) if counted else None


def naive(session: Session) -> None:
    """Compare every value with that of plain Python over all members."""
    session.expire_all()
    for product in session.scalars(select(Product)):
        offers = list(session.scalars(select(Offer).where(Offer.product_id == product.id)))
        assert product.first_id == _value(min, offers, "id", "at")
        assert product.first_price == _value(min, offers, "price", "at")
        assert product.latest_id == _value(max, offers, "id", "at")
        assert product.latest_on == _value(max, offers, "on", "price")
        assert product.latest_open == _value(max, [o for o in offers if o.on], "name", "at")
        assert product.heaviest == _value(max, offers, "token", "weight")
        assert product.shown == f"{product.first_id}: {product.latest_open}"
    for market in session.scalars(select(Market)):
        assert market.first_of_first == _value(min, market.products, "first_id", "first_price")
        assert market.sum_of_first == sum(p.first_price or 0 for p in market.products)
    for tag in session.scalars(select(Tag)):
        assert tag.first == _value(min, tag.offers, "name", "product.rate")
        assert tag.latest_rate == _value(max, tag.offers, "product.rate", "name")


def some(chance: Random) -> dict[str, Any]:
    """Return an offer with few different values, so that several members have the same place."""
    prices = [None, Decimal("0.10"), Decimal("7.77"), Decimal("-2.00"), Decimal("12345678.90")]
    return {
        "product_id": chance.choice([None, 1, 2, 3, 4, 5]),
        "at": chance.choice([None, *MOMENTS]),
        "price": chance.choice(prices),
        "on": chance.random() < 0.5,
        "name": chance.choice([None, "a", "b", "c", ""]),
        "weight": chance.choice([None, 0.1, 1 / 3, -math.pi, 1e300, 5e-324, math.nan]),
        "size": chance.choice([None, *Size]),
        "token": chance.choice([None, uuid5(UUID(int=0), "a"), UUID(int=7)]),
    }


@pytest.mark.parametrize("seed", range(4))
def test_every_route_of_writing(market: Kept, seed: int) -> None:
    chance = Random(seed)
    routes = ["add", "add", "change", "place", "field", "bulk", "insert", "delete", "move", "rate", "tag", "purge"]
    for turn in range(30):
        with market.begin() as session:
            ids = list(session.scalars(select(Offer.id)))
            match chance.choice(routes):
                case "add":
                    session.add_all(Offer(**some(chance)) for _ in range(chance.randint(1, 4)))
                case "insert":
                    session.execute(insert(Offer), [some(chance) for _ in range(5)])
                case "change" if ids:
                    offer = session.get_one(Offer, chance.choice(ids))
                    for name, value in some(chance).items():
                        setattr(offer, name, value)
                case "place" if ids:
                    session.get_one(Offer, chance.choice(ids)).at = some(chance)["at"]
                case "field" if ids:
                    session.get_one(Offer, chance.choice(ids)).name = some(chance)["name"]
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
                    leaders = select(Product.first_id).where(Product.first_id.is_not(None))
                    session.execute(delete(Offer).where(Offer.id.in_(leaders)))
                case _:
                    pass
        with market.begin() as session:
            naive(session)
        market.verify()
        assert turn >= 0


def test_ties_are_decided_by_the_key(market: Kept) -> None:
    market.run(insert(Offer), [{"id": n, "product_id": 1, "at": MOMENTS[0]} for n in (5, 3, 9, 7)])
    assert market.stored(Product.id, Product.first_id, Product.latest_id)[0] == (1, 3, 9)
    market.run(delete(Offer).where(Offer.id.in_([3, 9])))
    assert market.stored(Product.id, Product.first_id, Product.latest_id)[0] == (1, 5, 7)
    market.run(insert(Offer), [{"id": n, "product_id": 1, "at": MOMENTS[0]} for n in (2, 6, 8)])
    assert market.stored(Product.id, Product.first_id, Product.latest_id)[0] == (1, 2, 8)


def test_members_without_a_place_do_not_count(market: Kept) -> None:
    market.run(insert(Offer), [{"id": 1, "product_id": 1, "at": None, "weight": math.nan, "token": UUID(int=1)}])
    found = market.stored(Product.id, Product.first_id, Product.latest_id, Product.heaviest)
    assert found[0] == (1, None, None, None)
    market.run(update(Offer).values(at=MOMENTS[0], weight=-1.0))
    found = market.stored(Product.id, Product.first_id, Product.latest_id, Product.heaviest)
    assert found[0] == (1, 1, 1, UUID(int=1))
    market.run(update(Offer).values(at=None))
    assert market.stored(Product.id, Product.first_id, Product.latest_id)[0] == (1, None, None)


def test_a_leader_whose_field_is_null_leads(market: Kept) -> None:
    found = ((1, MOMENTS[1], None), (2, MOMENTS[0], 5))
    market.run(insert(Offer), [{"id": n, "product_id": 1, "at": at, "price": price} for n, at, price in found])
    assert market.stored(Product.id, Product.first_id, Product.first_price)[0] == (1, 1, None)


def test_objects_in_memory_follow(market: Kept) -> None:
    with market.begin() as session:
        product = session.get_one(Product, 1)
        product.offers = [Offer(at=MOMENTS[0], price=Decimal(3)), Offer(at=MOMENTS[2], price=Decimal(2))]
        session.flush()
        assert (product.first_price, product.latest_id) == (Decimal(3), product.offers[1].id)
        product.offers[0].price = Decimal(4)  # the field of the leader alone
        session.flush()
        assert product.first_price == Decimal(4)
        product.offers[1].at = MOMENTS[1]  # another member now leads
        session.flush()
        assert (product.first_price, product.latest_id) == (Decimal(2), product.offers[0].id)
        session.delete(product.offers.pop())
        session.flush()
        assert product.first_price == Decimal(4)


def test_members_with_a_key_of_two_columns(keep: Keep) -> None:
    class Own(DeclarativeBase):
        pass

    class Cart(Own):
        __tablename__ = "cart"
        id: Mapped[int] = mapped_column(primary_key=True)
        lines: Mapped[list[Line]] = relationship()
        first: Mapped[str | None] = iq.computed(iq.First("lines", "name", by="rank"))
        latest: Mapped[str | None] = iq.computed(iq.Latest("lines", "name", by="rank"))

    class Line(Own):
        __tablename__ = "line"
        cart_id: Mapped[int] = mapped_column(ForeignKey("cart.id"), primary_key=True)
        article: Mapped[str] = mapped_column(primary_key=True)
        rank: Mapped[int]
        name: Mapped[str]

    kept = keep(Own)
    assert {"_first__by", "_first__key", "_first__key_2"} < set(Cart.__table__.columns.keys())
    with kept.begin() as session:
        session.add(Cart(id=1, lines=[Line(article=a, rank=1, name=a.upper()) for a in "bcda"]))
    assert kept.stored(Cart.id, Cart.first, Cart.latest) == [(1, "A", "D")]
    kept.run(delete(Line).where(Line.article.in_(["a", "d"])))
    assert kept.stored(Cart.id, Cart.first, Cart.latest) == [(1, "B", "C")]

    class Declared(DeclarativeBase):
        pass

    class Wagon(Declared):
        __table__ = Table(
            "cart",
            Declared.metadata,
            Column("first", String, iq.First("lines", "name", by="rank")),
            autoload_with=kept.engine,
        )
        lines: Mapped[list[Piece]] = relationship()

    class Piece(Declared):
        __table__ = Table("line", Declared.metadata, autoload_with=kept.engine)

    again = Kept(kept.engine, Declared)
    assert not [prop for prop in Wagon.__mapper__.column_attrs if prop.key.startswith("_first__")]
    again.run(delete(Piece).where(Piece.article == "b"))
    assert again.stored(Wagon.id, Wagon.first) == [(1, "C")]


def test_over_all_rows_of_a_record(keep: Keep) -> None:
    class Own(DeclarativeBase):
        pass

    item = iq.Entity("Item", [iq.Property("price", Decimal), iq.Property("on", bool), iq.Property("name", str)])
    values = [
        iq.Dictionary("cheapest", str, computation=iq.First("Item", "name", by="price")),
        iq.Dictionary("dearest", str, computation=iq.Latest("Item", "name", by="price", where={"on": True})),
    ]
    iq.compile_schema(Own, entities=[item], dictionaries=values)
    kept = keep(Own)
    storage = kept.system.storage
    assert storage.dictionary.get("cheapest") is None
    for name, price in zip("abcd", (4, 2, 9, 2), strict=True):
        storage.create("Item", {"price": Decimal(price), "on": price != 9, "name": name})
    assert (storage.dictionary.get("cheapest"), storage.dictionary.get("dearest")) == ("b", "a")
    storage.delete("Item", iq.MatchExp.atom("name", ("=", "b")))
    storage.update("Item", iq.MatchExp.atom("name", ("=", "a")), {"on": False})
    assert (storage.dictionary.get("cheapest"), storage.dictionary.get("dearest")) == ("d", "d")
    storage.delete("Item", lambda _: true())
    assert (storage.dictionary.get("cheapest"), storage.dictionary.get("dearest")) == (None, None)
    kept.verify()


def test_check_finds_what_is_wrong_and_repair_mends_it(market: Kept) -> None:
    market.run(insert(Offer), [{"id": n, "product_id": 1, "at": MOMENTS[n]} for n in (0, 1, 2)])
    hidden = Product.__table__.c["_latest_id__key"]
    with market.engine.begin() as connection:
        connection.execute(update(Product.__table__).where(Product.id == 1).values({"first_id": 9, hidden.name: 7}))
    report = market.system.repair()
    assert {(d.record, d.property) for d in report.differences} >= {("Product", "first_id"), ("Product", hidden.name)}
    market.verify()
    with market.begin() as session:
        naive(session)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"field": "data", "by": "n"}, "does not support"),
        ({"field": "n", "by": "data"}, "can order"),
        ({"field": "n", "by": "nothing"}, "no column attribute 'nothing'"),
        ({"field": "word", "by": "n"}, "does not store"),
    ],
)
def test_fields_that_are_refused(options: dict[str, str], said: str) -> None:
    class Own(DeclarativeBase):
        pass

    class Host(Own):
        __tablename__ = "host"
        id: Mapped[int] = mapped_column(primary_key=True)
        members: Mapped[list[Member]] = relationship()
        value: Mapped[int | None] = iq.computed(iq.First("members", **options))

    class Member(Own):
        __tablename__ = "member"
        id: Mapped[int] = mapped_column(primary_key=True)
        host_id: Mapped[int] = mapped_column(ForeignKey("host.id"))
        n: Mapped[int]
        word: Mapped[str]
        data: Mapped[dict[str, Any]] = mapped_column(JSON)

    from interaqt_sa.engine.plan import plan_of

    with pytest.raises(iq.DefinitionError, match="cannot be compiled") as caught:
        plan_of(Own.metadata)
    assert said in str(caught.value.exceptions[0])


def test_arguments_that_are_refused() -> None:
    with pytest.raises(iq.ComputationProtocolError, match="takes by="):
        iq.First("members", "n", by="")
