"""Bulk statements that say by values, expressions or text to what rows will refer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import (
    Engine,
    ForeignKey,
    ForeignKeyConstraint,
    bindparam,
    func,
    insert,
    literal_column,
    select,
    text,
    update,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship, sessionmaker

import interaqt_sa as iq
from tests.support.statements import count_statements


class Base(DeclarativeBase):
    pass


class Product(Base):
    __tablename__ = "product"
    tenant: Mapped[int] = mapped_column(primary_key=True)
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    price: Mapped[int] = mapped_column(default=1)


class Order(Base):
    __tablename__ = "order_"
    id: Mapped[int] = mapped_column(primary_key=True)
    total: Mapped[int] = iq.computed(iq.Summation("lines", "product.price"))
    lines: Mapped[list[Line]] = relationship(back_populates="order")


class Line(Base):
    """Its columns are not called like its attributes."""

    __tablename__ = "line"
    __table_args__ = (ForeignKeyConstraint(["tenant", "product_id"], ["product.tenant", "product.id"]),)
    number: Mapped[int] = mapped_column("line_id", primary_key=True)
    order_key: Mapped[int] = mapped_column("order_id", ForeignKey("order_.id"))
    owner: Mapped[int] = mapped_column("tenant")
    article: Mapped[int] = mapped_column("product_id")
    order: Mapped[Order] = relationship(back_populates="lines")
    product: Mapped[Product] = relationship()


_LINES: Any = Line.__table__
_NEAREST = select(func.max(Product.id)).where(Product.tenant == Line.owner).scalar_subquery()

#: what to run, its parameters, and whether the product is known, and locked, before
UPDATES: dict[str, tuple[Any, Any, bool]] = {
    "a value": (update(Line).values(article=2), None, True),
    "a part of the key": (update(Line).values(owner=2), None, True),
    "an expression": (update(Line).values(article=3 - Line.article), None, True),
    "both": (update(Line).values(owner=2, article=3 - Line.article), None, True),
    "columns by name": (update(Line).values({"product_id": 2, "order_id": Line.order_key % 2 + 1}), None, True),
    "of the table": (update(Line).ordered_values((_LINES.c.product_id, 3 - _LINES.c.product_id)), None, True),
    "a subquery": (update(Line).values(article=_NEAREST), None, True),
    "another table": (
        update(Line).where(Line.owner == Product.tenant, Product.id == 2).values(article=Product.id),
        None,
        True,
    ),
    "parameters": (
        update(_LINES).where(_LINES.c.line_id == bindparam("key")).values(product_id=bindparam("to")),
        [{"key": 1, "to": 2}, {"key": 2, "to": 1}],
        True,
    ),
    "rows by key": (update(Line), [{"number": 2, "article": 2}, {"number": 1, "owner": 2}], True),
    "literal SQL": (update(Line).values(article=literal_column("2")), None, False),
    "text": (update(Line).values(article=text("2")), None, False),
}


@pytest.fixture
def filled(engine: Engine) -> tuple[sessionmaker[Session], iq.System]:
    session_factory = sessionmaker(engine)
    system = iq.System(session_factory, base=Base)
    Base.metadata.create_all(engine)
    with session_factory.begin() as session:
        session.add_all([Product(tenant=t, id=n, price=10 * t + n) for t in (1, 2) for n in (1, 2)])
        session.add_all([Order(id=1), Order(id=2)])
        session.flush()
        session.add_all([Line(number=n, order_key=n, owner=1, article=n) for n in (1, 2)])
    return session_factory, system


@pytest.mark.parametrize("case", UPDATES)
def test_updates(engine: Engine, filled: tuple[sessionmaker[Session], iq.System], case: str) -> None:
    session_factory, system = filled
    statement, parameters, known = UPDATES[case]
    statement = statement.execution_options(synchronize_session=False) if parameters is None else statement
    with count_statements(engine) as statements, session_factory.begin() as session:
        session.execute(statement, *([parameters] if parameters is not None else []))
        sent = list(statements)
    report = system.check()
    assert report.ok, report.differences
    if engine.dialect.name == "postgresql" and known:
        locked = next(n for n, s in enumerate(sent) if "FROM product" in s and "FOR KEY SHARE" in s)
        assert locked < next(n for n, s in enumerate(sent) if s.startswith("UPDATE line")), sent


INSERTS: dict[str, Callable[[], Any]] = {
    "by column": lambda: insert(_LINES).values([{"order_id": 1, "tenant": 2, "product_id": 2, "line_id": 7}]),
    "by attribute": lambda: insert(Line).values(order_key=1, owner=2, article=2, number=7),
    "an expression": lambda: insert(Line).values(order_key=1, owner=2, article=func.abs(-2), number=7),
    "a query": lambda: insert(Line).from_select(
        ["line_id", "order_id", "tenant", "product_id"],
        select(literal_column("7"), literal_column("1"), Product.tenant, Product.id).where(Product.price == 22),
    ),
}


@pytest.mark.parametrize("case", INSERTS)
def test_inserts(filled: tuple[sessionmaker[Session], iq.System], case: str) -> None:
    session_factory, system = filled
    with session_factory.begin() as session:
        session.execute(INSERTS[case]())
    with session_factory() as session:
        assert session.get_one(Order, 1).total == 11 + 22
    assert system.check().ok
