"""Rows are known by what the mapper says, links are counted as often as they are there, and foreign keys may wait."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import Column, Engine, ForeignKey, Integer, String, Table, delete, insert, select, text, update
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship

import interaqt_sa as iq
from tests.engine.conftest import MakeSystem


@pytest.mark.parametrize("key", ["none", "other", "same"])
@pytest.mark.parametrize("hidden", [False, True], ids=["all columns", "key of the table excluded"])
def test_a_mapper_may_have_another_key_than_its_table(make_system: MakeSystem, key: str, hidden: bool) -> None:
    class Base(DeclarativeBase):
        pass

    class Customer(Base):
        __tablename__ = "customer"
        id: Mapped[int] = mapped_column(primary_key=True)
        orders: Mapped[list[Any]] = relationship("Order", cascade="all, delete-orphan", back_populates="customer")
        number: Mapped[int] = iq.computed(iq.Count("orders"))
        total: Mapped[int] = iq.computed(iq.Summation("orders", "amount"))
        doubled: Mapped[int] = iq.computed(iq.Summation("orders", "twice"))

    row = Column("row", Integer, primary_key=True) if key == "other" else Column("row", Integer, nullable=True)
    table = Table(
        "orders",
        Base.metadata,
        row,
        Column("number", Integer, unique=True, nullable=False, primary_key=key == "same", autoincrement=False),
        Column("customer_id", ForeignKey("customer.id")),
        Column("amount", Integer, nullable=False, default=1),
        Column("twice", Integer, iq.SameRow(lambda order: order.amount * 2), nullable=False),
    )

    class Order(Base):
        __table__ = table
        __mapper_args__ = {"primary_key": [table.c.number], "exclude_properties": ["row"] if hidden else []}
        customer: Mapped[Any] = relationship("Customer", back_populates="orders")

    system = make_system(Base)
    with system.session_factory.begin() as session:
        session.add_all([Customer(id=1), Customer(id=2), Customer(id=3)])

    def orphan(session: Session) -> None:
        customer = session.get_one(Customer, 1)
        customer.orders.pop()

    steps: list[Callable[[Session], Any]] = [
        lambda s: s.add_all([Order(number=10, customer_id=1), Order(number=20, customer_id=1, amount=3)]),
        lambda s: setattr(s.get_one(Order, 10), "customer_id", 2),
        lambda s: setattr(s.get_one(Order, 10), "amount", 7),
        lambda s: s.execute(insert(Order), [{"number": 30, "customer_id": 2}, {"number": 40, "customer_id": 3}]),
        lambda s: s.execute(update(Order).where(Order.number > 10).values(customer_id=1)),
        # SQLAlchemy itself demands the table's key there
        lambda s: key == "other" or s.execute(update(Order), [{"number": n, "amount": n} for n in (20, 30)]),
        lambda s: s.execute(update(table).where(table.c.number == 40).values(amount=9)),
        lambda s: s.execute(delete(Order).where(Order.number == 40)),
        orphan,
        lambda s: s.delete(s.get_one(Order, 10)),
        lambda s: s.delete(s.get_one(Customer, 1)),
    ]
    for n, step in enumerate(steps):
        with system.session_factory.begin() as session:
            step(session)
        assert system.check().ok, n


def links(primary_key: bool) -> Any:
    class Base(DeclarativeBase):
        pass

    link = Table(
        "link",
        Base.metadata,
        Column("post_id", ForeignKey("post.id"), primary_key=primary_key),
        Column("tag_id", ForeignKey("tag.id"), primary_key=primary_key),
    )

    class Post(Base):
        __tablename__ = "post"
        id: Mapped[int] = mapped_column(primary_key=True)
        tags: Mapped[list[Any]] = relationship("Tag", secondary=link, back_populates="posts")
        number: Mapped[int] = iq.computed(iq.Count("tags"))
        weight: Mapped[int] = iq.computed(iq.Summation("tags", "weight"))

    class Tag(Base):
        __tablename__ = "tag"
        id: Mapped[int] = mapped_column(primary_key=True)
        weight: Mapped[int] = mapped_column(default=1)
        posts: Mapped[list[Post]] = relationship(secondary=link, back_populates="tags")
        number: Mapped[int] = iq.computed(iq.Count("posts"))

    Base.link, Base.Post, Base.Tag = link, Post, Tag  # type: ignore[attr-defined]
    return Base


def test_links_of_a_table_without_a_key_count_as_often_as_they_are_there(make_system: MakeSystem) -> None:
    base = links(primary_key=False)
    link, post, tag = base.link, base.Post, base.Tag
    system = make_system(base)
    with system.session_factory.begin() as session:
        session.add_all([post(id=1), post(id=2), tag(id=1), tag(id=2, weight=3)])
    kept: list[Any] = []  # the unit of work wants the owner of a collection alive

    def tags_of_first(session: Session) -> Any:
        kept.append(session.get_one(post, 1))
        return kept[-1].tags

    steps: list[tuple[Callable[[Session], Any], int]] = [
        (lambda s: s.execute(insert(link), [{"post_id": 1, "tag_id": 1}]), 1),
        (lambda s: s.execute(insert(link), [{"post_id": 1, "tag_id": 1}]), 2),
        (lambda s: s.execute(insert(link).values(post_id=1, tag_id=1)), 3),
        (lambda s: s.execute(insert(link), [{"post_id": 2, "tag_id": 2}] * 2), 5),
        (lambda s: s.execute(insert(link), [{"post_id": 2, "tag_id": 2}, {"post_id": 2, "tag_id": 1}] * 2), 9),
        (lambda s: s.execute(insert(link).from_select(["post_id", "tag_id"], select(link))), 18),
        (lambda s: tags_of_first(s).append(s.get_one(tag, 2)), 19),
        (lambda s: setattr(s.get_one(tag, 1), "weight", 5), 19),
        (lambda s: s.execute(delete(link).where(link.c.tag_id == 1)), 9),
        (lambda s: s.execute(insert(link), [{"post_id": None, "tag_id": 1}]), 10),
    ]
    for n, (step, rows) in enumerate(steps):
        with system.session_factory.begin() as session:
            step(session)
        with system.session_factory.begin() as session:
            assert len(session.execute(select(link)).all()) == rows, n
        assert system.check().ok, n


@pytest.mark.parametrize("initially", ["DEFERRED", "IMMEDIATE"])
def test_members_may_come_before_their_hosts_and_neighbours_if_foreign_keys_wait(
    engine: Engine, initially: str
) -> None:
    class Base(DeclarativeBase):
        pass

    def later(column: str) -> ForeignKey:
        return ForeignKey(column, deferrable=True, initially=initially)

    class Product(Base):
        __tablename__ = "product"
        id: Mapped[int] = mapped_column(primary_key=True)
        live: Mapped[bool] = mapped_column(default=True)

    class Customer(Base):
        __tablename__ = "customer"
        id: Mapped[int] = mapped_column(primary_key=True)
        orders: Mapped[list[Any]] = relationship("Order")
        number: Mapped[int] = iq.computed(iq.Count("orders"))
        live: Mapped[int] = iq.computed(iq.Count("orders", where={"product.live": True}))

    class Order(Base):
        __tablename__ = "orders"
        id: Mapped[int] = mapped_column(primary_key=True)
        customer_id: Mapped[int] = mapped_column(later("customer.id"))
        product_id: Mapped[int] = mapped_column(later("product.id"))
        product: Mapped[Product] = relationship()

    system = iq.System(engine, base=Base)
    Base.metadata.create_all(engine)
    with system.session_factory.begin() as session:
        session.add_all([Customer(id=1), Product(id=1)])
    cases: list[list[Callable[[Session], Any]]] = [
        [lambda s: s.add(Order(id=1, customer_id=2, product_id=1)), lambda s: s.add(Customer(id=2))],
        [
            lambda s: s.execute(insert(Order), [{"id": 2, "customer_id": 3, "product_id": 1}]),
            lambda s: s.execute(insert(Customer), [{"id": 3}]),
        ],
        [lambda s: s.add(Order(id=3, customer_id=1, product_id=9)), lambda s: s.add(Product(id=9))],
        [
            lambda s: s.execute(insert(Order), [{"id": 4, "customer_id": 4, "product_id": 8}]),
            lambda s: s.add(Product(id=8, live=False)),
            lambda s: setattr(s.get_one(Product, 8), "live", True),
            lambda s: s.add_all([Customer(id=4), Order(id=5, customer_id=4, product_id=8)]),
        ],
        [
            lambda s: s.execute(insert(Order), [{"id": 6, "customer_id": 5, "product_id": 1}]),
            lambda s: s.execute(delete(Order).where(Order.id == 6)),
            lambda s: s.add(Customer(id=5)),
        ],
    ]
    for n, case in enumerate(cases):
        with system.session_factory.begin() as session:
            if engine.dialect.name == "postgresql":
                session.execute(text("SET CONSTRAINTS ALL DEFERRED"))
            else:
                session.execute(text("PRAGMA defer_foreign_keys = ON"))
            for step in case:
                step(session)
                session.flush()
        assert system.check().ok, n
    with system.session_factory() as session:
        found = session.execute(select(Customer.number, Customer.live).order_by(Customer.id)).all()
        assert [tuple(row) for row in found] == [(1, 1), (1, 1), (1, 1), (2, 2), (0, 0)]
        session.rollback()


def test_natural_keys_take_their_links_along(make_system: MakeSystem) -> None:
    class Base(DeclarativeBase):
        pass

    link = Table(
        "user_item",
        Base.metadata,
        Column("username", ForeignKey("user_.username", onupdate="CASCADE"), primary_key=True),
        Column("itemname", ForeignKey("item.itemname", onupdate="CASCADE"), primary_key=True),
    )

    class User(Base):
        __tablename__ = "user_"
        username: Mapped[str] = mapped_column(String(20), primary_key=True)
        items: Mapped[list[Any]] = relationship("Item", secondary=link, back_populates="users", passive_updates=True)
        number: Mapped[int] = iq.computed(iq.Count("items"))

    class Item(Base):
        __tablename__ = "item"
        itemname: Mapped[str] = mapped_column(String(20), primary_key=True)
        users: Mapped[list[User]] = relationship(secondary=link, back_populates="items", passive_updates=True)
        number: Mapped[int] = iq.computed(iq.Count("users"))

    system = make_system(Base)
    with system.session_factory.begin() as session:
        jack, fred = User(username="jack"), User(username="fred")
        session.add_all([jack, fred, Item(itemname="i1", users=[jack]), Item(itemname="i2", users=[jack, fred])])
    for cls, name, new in ((User, "fred", "ed"), (Item, "i2", "i3"), (User, "jack", "jim")):
        with system.session_factory.begin() as session:
            setattr(session.get_one(cls, name), "username" if cls is User else "itemname", new)
        assert system.check().ok
    with system.session_factory() as session:
        assert {tuple(row) for row in session.execute(select(User.username, User.number))} == {("ed", 1), ("jim", 2)}
        assert {tuple(row) for row in session.execute(select(Item.itemname, Item.number))} == {("i1", 1), ("i3", 2)}
        session.rollback()
