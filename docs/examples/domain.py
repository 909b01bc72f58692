"""Definitions only: the one module that Alembic, the service and the tests import. No engine, no I/O."""

from __future__ import annotations

from sqlalchemy import Index, MetaData

import interaqt_sa as iq


async def is_owner(ctx: iq.AsyncDispatchContext, args: iq.Args) -> bool:
    order = await ctx.storage.find_one(
        "Order", {"id": args["payload"]["order"]["id"]}, attribute_query=[("customer", {"attribute_query": ["id"]})]
    )
    return order is not None and bool(order["customer"]["id"] == args["user"]["id"])


pending, paid = iq.StateNode("pending"), iq.StateNode("paid")

PayOrder = iq.Interaction(
    "PayOrder",
    action=iq.Action("pay"),
    payload=iq.Payload([iq.PayloadItem("order", base="Order", is_ref=True, required=True)]),
    conditions=iq.Condition("is_owner", is_owner),
)

Order = iq.Entity(
    "Order",
    [
        iq.Property("total", "number", default=0),
        iq.Property(
            "status",
            "string",
            computation=iq.StateMachine(
                states=[pending, paid],
                initial_state=pending,
                transfers=[
                    iq.StateTransfer(
                        current=pending,
                        next=paid,
                        trigger=iq.Trigger(PayOrder),
                        compute_target=lambda _, event: event.record["payload"]["order"],
                    )
                ],
            ),
        ),
    ],
    constraints=[
        iq.UniqueConstraint("one_open", ["customer"], where={"status": "pending"}, violation_code="ORDER_OPEN")
    ],
    table_args=[Index(None, "total")],
)
Customer = iq.Entity(
    "Customer",
    [iq.Property("spent", "number", computation=iq.Summation("orders", "total", where={"status": "paid"}))],
)
CustomerOrders = iq.Relation(
    source="Customer", source_property="orders", target="Order", target_property="customer", type="1:n"
)
Paid = iq.Dictionary("paid", "number", computation=iq.Count("Order", where={"status": ("in", ["paid"])}))

# A shipment exists once an order is paid, and stays.
Shipment = iq.Entity(
    "Shipment",
    [iq.Property("order_id", int)],
    computation=iq.Transform(
        event_deps={"paid": iq.Trigger("Order", "update", keys=["status"], record={"status": "paid"})},
        callback=lambda event: {"order_id": event.record["id"]},
    ),
)

schema = iq.compile_schema(
    MetaData(),
    entities=[Order, Customer, Shipment],
    relations=[CustomerOrders],
    dictionaries=[Paid],
    event_sources=[PayOrder],
)
OrderModel = schema.mapped_class(Order)
