"""An app with declarative models: computed columns, a constraint with a code, and nothing else changed."""

from __future__ import annotations

from decimal import Decimal

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import DeclarativeBase, Mapped, MappedAsDataclass, mapped_column, relationship, sessionmaker

import interaqt_sa as iq


class Base(DeclarativeBase):
    """The app's base, as it was."""


class Customer(Base):
    """``Order`` is not defined yet: names and functions are looked up when all models are there."""

    __tablename__ = "customer"
    id: Mapped[int] = mapped_column(primary_key=True)
    orders: Mapped[list[Order]] = relationship(back_populates="customer", passive_deletes=True)
    spent: Mapped[Decimal] = iq.computed(iq.Summation("orders", "total"))
    n_open: Mapped[int] = iq.computed(iq.Count("orders", where=lambda order: order.status == "open"))


class Order(Base):
    """``total`` is computed from the same row, and stored."""

    __tablename__ = "order"
    __table_args__ = (
        sa.UniqueConstraint("customer_id", "price", name="uq_order", info={"violation_code": "ORDER_TWICE"}),
    )
    id: Mapped[int] = mapped_column(primary_key=True)
    customer_id: Mapped[int] = mapped_column(sa.ForeignKey("customer.id", ondelete="CASCADE"), index=True)
    customer: Mapped[Customer] = relationship(back_populates="orders")
    status: Mapped[str] = mapped_column(default="open")
    price: Mapped[Decimal]
    qty: Mapped[int]
    total: Mapped[Decimal] = iq.computed(lambda order: order.price * order.qty)


class Plain(MappedAsDataclass, DeclarativeBase):
    """A base of dataclasses."""


class Team(Plain):
    """In a dataclass a computed column is no parameter: ``init=False``."""

    __tablename__ = "team"
    id: Mapped[int] = mapped_column(primary_key=True, init=False)
    size: Mapped[int] = mapped_column(iq.Count("members"), init=False)
    name: Mapped[str]
    members: Mapped[list[Member]] = relationship(default_factory=list)


class Member(Plain):
    """A member of a team."""

    __tablename__ = "member"
    id: Mapped[int] = mapped_column(primary_key=True, init=False)
    team_id: Mapped[int | None] = mapped_column(sa.ForeignKey("team.id"), default=None)


SessionLocal = sessionmaker()  # bound later, as many apps do
system = iq.System(SessionLocal, base=Base)


def main(engine: sa.Engine) -> None:
    SessionLocal.configure(bind=engine)
    Base.metadata.create_all(engine)
    with SessionLocal.begin() as session:
        customer = Customer(orders=[Order(price=Decimal(3), qty=2)])
        session.add(customer)
        session.flush()
        assert (customer.spent, customer.n_open) == (Decimal(6), 1)
        customer_id = customer.id

    kind = None
    try:
        with SessionLocal.begin() as session:
            session.add(Order(customer_id=customer_id, price=Decimal(3), qty=1))
    except IntegrityError as error:  # a session raises what it always raised
        found = iq.normalize_database_error(error)
        kind = found.kind if found else None
    assert kind == "unique"

    code = None
    try:
        system.storage.create(Order, {"customer": {"id": customer_id}, "price": Decimal(3), "qty": 1})
    except iq.ConstraintViolationError as error:  # storage and dispatch name the constraint
        code = error.code
    assert code == "ORDER_TWICE"

    report = system.check()
    assert report.ok, report.differences


if __name__ == "__main__":
    main(sa.create_engine("sqlite://", poolclass=sa.StaticPool))
