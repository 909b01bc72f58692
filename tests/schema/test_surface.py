"""Programs as users write them compile."""

from __future__ import annotations

from decimal import Decimal

from sqlalchemy import ForeignKey, Index, MetaData
from sqlalchemy.orm import DeclarativeBase, Mapped, configure_mappers, mapped_column, relationship

import interaqt_sa as iq


def test_a_domain_of_definitions() -> None:
    pending, paid = iq.StateNode("pending"), iq.StateNode("paid")
    pay = iq.EventSource("PayOrder", iq.Entity("Payment", [iq.Property("order", "object")]))
    machine = iq.StateMachine(
        states=[pending, paid],
        initial_state=pending,
        transfers=[
            iq.StateTransfer(
                current=pending,
                next=paid,
                trigger=iq.Trigger("Payment", "create"),
                compute_target=lambda _, event: event.record["order"],
            )
        ],
    )
    order = iq.Entity(
        "Order",
        [iq.Property("total", "number", default=0), iq.Property("status", "string", computation=machine)],
        constraints=[
            iq.UniqueConstraint("one_open", ["customer"], where={"status": "pending"}, violation_code="ORDER_OPEN")
        ],
        table_args=[Index(None, "total")],
    )
    spent = iq.Summation("orders", "total", where={"status": "paid"})
    customer = iq.Entity("Customer", [iq.Property("spent", "number", computation=spent)])
    orders = iq.Relation(
        source="Customer", source_property="orders", target="Order", target_property="customer", type="1:n"
    )
    count = iq.Dictionary("paid", "number", computation=iq.Count("Order", where={"status": ("in", ["paid"])}))
    shipment = iq.Entity(
        "Shipment",
        [iq.Property("order_id", "number")],
        computation=iq.Transform(
            event_deps={"paid": iq.Trigger("Order", "update", keys=["status"], record={"status": "paid"})},
            callback=lambda event: {"order_id": event.record["id"]},
        ),
    )
    schema = iq.compile_schema(
        MetaData(),
        entities=[order, customer, shipment],
        relations=[orders],
        dictionaries=[count],
        event_sources=[pay],
    )
    configure_mappers()
    assert schema.mapped_class(order).__name__ == "Order"
    assert {record.name for record in schema.records} == {"Order", "Customer", "Shipment", "Payment"}


def test_definitions_beside_declarative_models() -> None:
    class Base(DeclarativeBase):
        pass

    class Customer(Base):
        __tablename__ = "customer"
        id: Mapped[int] = mapped_column(primary_key=True)
        orders: Mapped[list[Order]] = relationship(back_populates="customer")
        spent: Mapped[Decimal] = iq.computed(iq.Summation("orders", "total"))

    class Order(Base):
        __tablename__ = "order"
        id: Mapped[int] = mapped_column(primary_key=True)
        customer_id: Mapped[int] = mapped_column(ForeignKey("customer.id", ondelete="CASCADE"))
        customer: Mapped[Customer] = relationship(back_populates="orders")
        total: Mapped[Decimal]

    ticket = iq.Entity("Ticket", [iq.Property("open", bool, default=True)])
    of_customer = iq.Relation(
        source=ticket, source_property="customer", target=Customer, target_property="tickets", type="n:1"
    )
    schema = iq.compile_schema(Base, entities=[ticket], relations=[of_customer])
    model = schema.mapped_class(ticket)
    made = model(customer=Customer())
    assert made.customer.tickets == [made]
    assert schema.metadata is Base.metadata
