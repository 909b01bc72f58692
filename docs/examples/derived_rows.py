"""Rows that exist because events do, on declarative classes."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

import interaqt_sa as iq


class Base(DeclarativeBase):
    """The app's base."""


class ShipOrder(Base):
    """The event."""

    __tablename__ = "ship_order"
    id: Mapped[int] = mapped_column(primary_key=True)
    order_id: Mapped[int]


class Shipment(Base):
    """Derived: one for each event, and gone when the event's row is deleted."""

    __tablename__ = "shipment"
    __computation__ = iq.Transform(ShipOrder, lambda event: {"order_id": event.order_id})
    id: Mapped[int] = mapped_column(primary_key=True)
    order_id: Mapped[int]


ship = iq.EventSource("ship", ShipOrder, map_event_data=lambda _, args: {"order_id": args["order_id"]})


def main(engine: sa.Engine) -> None:
    controller = iq.Controller(iq.System(engine, base=Base), event_sources=[ship])
    controller.setup(install=True)
    controller.dispatch(ship, {"order_id": 7}).raise_for_error()
    with controller.system.session_factory.begin() as session:
        assert session.scalars(sa.select(Shipment.order_id)).all() == [7]
        session.execute(sa.update(ShipOrder).values(order_id=8))
        assert session.scalars(sa.select(Shipment.order_id)).all() == [8]
        session.execute(sa.delete(ShipOrder))
        assert session.scalars(sa.select(Shipment.order_id)).all() == []


if __name__ == "__main__":
    main(sa.create_engine("sqlite://", poolclass=sa.StaticPool))
