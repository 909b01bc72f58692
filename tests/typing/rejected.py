"""User code that type checkers refuse: every line marked here must be an error, and no other.

The mark is what mypy reports; pyright reads it too, and says so where it is not needed.
"""

# pyright: reportUnnecessaryTypeIgnoreComment=true, reportUnusedExpression=false

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

import interaqt_sa as iq


class Base(DeclarativeBase):
    pass


class Customer(Base):
    __tablename__ = "customer"

    id: Mapped[int] = mapped_column(primary_key=True)
    text_of_count: Mapped[str] = iq.computed(iq.Count("orders"))  # type: ignore[arg-type]
    text_of_every: Mapped[str] = iq.computed(iq.Every("orders", expression={"paid": True}))  # type: ignore[arg-type]
    nothing: Mapped[int] = iq.computed()  # type: ignore[call-overload]
    no_computation: Mapped[int] = iq.computed("orders")  # type: ignore[call-overload]


iq.Count("orders", when={"paid": True})  # type: ignore[call-arg]
iq.Count("orders", where="paid")  # type: ignore[arg-type]
iq.RealTime(lambda now: now.year)  # type: ignore[arg-type, misc]
iq.Custom("label", compute=len)  # type: ignore[arg-type]
iq.Custom("label", concurrency="weak")  # type: ignore[arg-type]
iq.First("orders", "total")  # type: ignore[call-arg]
iq.Latest("orders", "total", "id")  # type: ignore[call-arg]
iq.Summation("orders")  # type: ignore[call-arg]
iq.Average("orders", "total", nulls="drop")  # type: ignore[arg-type]
iq.Relation(source="A", source_property="b", target="B", target_property="a", type="1:m")  # type: ignore[call-overload]
iq.System(sa.create_engine("sqlite://"), base=Base, unmanaged_dml="ignore")  # type: ignore[arg-type]
iq.Trigger("Order", "upsert")  # type: ignore[arg-type]
iq.ScopedSequence("invoice", "customer", step="1")  # type: ignore[call-overload]
iq.ScopedSequence("invoice")  # type: ignore[call-overload]


async def not_here(session: Session) -> None:
    system = iq.System(sa.create_engine("sqlite://"), base=Base)
    await system.check()  # type: ignore[misc]
    system.attach(session)  # type: ignore[arg-type]
    iq.Controller(system).dispatch("Pay")  # type: ignore[call-arg]
