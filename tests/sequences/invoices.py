"""Invoices that are numbered for each customer, and once more for each region and year if they are no drafts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Engine, ForeignKey, UniqueConstraint, select, text
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship

import interaqt_sa as iq
from tests.declarative.kept import Kept


class Base(DeclarativeBase):
    pass


class Customer(Base):
    __tablename__ = "customer"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(default="Ann")
    invoices: Mapped[list[Invoice]] = relationship(back_populates="customer", cascade="all, delete-orphan")
    bills: Mapped[int] = iq.computed(iq.Count("invoices"))
    latest: Mapped[int | None] = iq.computed(iq.Max("invoices", "number"))


class Invoice(Base):
    __tablename__ = "invoice"
    id: Mapped[int] = mapped_column(primary_key=True)
    customer_id: Mapped[int] = mapped_column(ForeignKey("customer.id"), index=True)
    customer: Mapped[Customer] = relationship(back_populates="invoices")
    number: Mapped[int] = iq.computed(iq.ScopedSequence("invoice", "customer"))
    region: Mapped[str] = mapped_column(default="EU")
    year: Mapped[int | None] = mapped_column(server_default=text("2026"))
    draft: Mapped[bool] = mapped_column(default=False)
    final: Mapped[int | None] = iq.computed(
        iq.ScopedSequence("final", ["region", "year"], match={"draft": False}, initial_value=1000, step=10)
    )
    label: Mapped[str] = iq.computed(lambda invoice: f"{invoice.region}-{invoice.number}")
    __table_args__ = (UniqueConstraint("customer_id", "number", info={"violation_code": "INVOICE_NUMBER"}),)


class Note(Base):
    """Nothing of it is numbered."""

    __tablename__ = "note"
    id: Mapped[int] = mapped_column(primary_key=True)
    body: Mapped[str] = mapped_column(default="")


def kept(engine: Engine, customers: int = 2) -> Kept:
    """Return the tables on ``engine``, with customers from 1 on."""
    found = Kept(engine, Base)
    with found.begin() as session:
        session.add_all([Customer() for _ in range(customers)])
    return found


def numbers(session: Session, customer: int = 1) -> list[int]:
    """Return the stored numbers of a customer, in the order of the rows."""
    statement = select(Invoice.number).where(Invoice.customer_id == customer).order_by(Invoice.id)
    return list(session.scalars(statement))


def counters(session: Session) -> dict[tuple[str, str], int]:
    """Return the counters by sequence and scope."""
    table = Base.metadata.tables["interaqt_scoped_counters"]
    return {(sequence, scope): last for sequence, scope, last in session.execute(select(table))}


@contextmanager
def rolled_back(kept: Kept) -> Iterator[Session]:
    """Return a session whose transaction is rolled back at the end of the block."""
    with kept.sessions() as session:
        yield session
        session.rollback()
