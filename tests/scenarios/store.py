"""A shop in definitions only: what it is, without a database; the hooks that write come from the tests.

Customers register and place orders; items say what is bought; products come from suppliers, carry tags and are
commented on. An order is pending, paid, then shipped, or cancelled. What is paid is invoiced, what is shipped has a
parcel.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from sqlalchemy import MetaData

import interaqt_sa as iq
from interaqt_sa import Interaction, Payload, PayloadItem, Property, Relation


def _ref(name: str, base: str, *, required: bool = True) -> PayloadItem:
    return PayloadItem(name, base=base, is_ref=True, required=required)


def _text(name: str) -> PayloadItem:
    return PayloadItem(name, str, required=True)


def _number(name: str) -> PayloadItem:
    return PayloadItem(name, int, required=True)


PAYLOADS: Mapping[str, list[PayloadItem]] = {
    "AddSupplier": [_text("name")],
    "AddProduct": [_text("sku"), _number("price"), _ref("supplier", "Supplier")],
    "Reprice": [_ref("product", "Product"), _number("price")],
    "Register": [_text("email")],
    "PlaceOrder": [_ref("customer", "Customer")],
    "AddItem": [_ref("order", "Order"), _ref("product", "Product"), _number("quantity")],
    "ChangeQuantity": [_ref("item", "Item"), _number("quantity")],
    "RemoveItem": [_ref("item", "Item")],
    "Reassign": [_ref("order", "Order"), _ref("customer", "Customer")],
    "Pay": [_ref("order", "Order")],
    "Ship": [PayloadItem("orders", base="Order", is_ref=True, is_collection=True, required=True)],
    "Cancel": [_ref("order", "Order")],
    "AddTag": [_text("name")],
    "TagProduct": [_ref("product", "Product"), _ref("tag", "Tag"), _number("weight")],
    "UntagProduct": [_ref("product", "Product"), _ref("tag", "Tag")],
    "WriteComment": [_ref("product", "Product"), _ref("parent", "Comment", required=False), _number("stars")],
    "DropComment": [_ref("comment", "Comment")],
}


@dataclass(frozen=True)
class Store:
    """The definitions, as a controller takes them."""

    definitions: dict[str, Any]
    interactions: dict[str, Interaction]


def make_store(hooks: Mapping[str, Any], conditions: Mapping[str, Any]) -> Store:
    """Return the shop.

    :param hooks: ``resolve`` of interactions that write by themselves.
    :param conditions: content of conditions by interaction.
    """
    acts = {
        name: Interaction(
            name,
            payload=Payload(items),
            resolve=hooks.get(name),
            conditions=iq.Condition(f"may_{name}", conditions[name]) if name in conditions else None,
        )
        for name, items in PAYLOADS.items()
    }

    def comes_with(name: str, callback: Any) -> iq.Transform:
        return iq.Transform(
            event_deps={"done": iq.Trigger(acts[name])}, callback=lambda e: callback(e.record["payload"])
        )

    states = {name: iq.StateNode(name) for name in ("pending", "paid", "shipped", "cancelled")}

    def step(current: str, following: str, name: str, target: Any) -> iq.StateTransfer:
        return iq.StateTransfer(
            current=states[current],
            next=states[following],
            trigger=iq.Trigger(acts[name]),
            compute_target=lambda _, e: target(e.record["payload"]),
        )

    moves = (
        ("pending", "paid", "Pay", lambda p: p["order"]),
        ("paid", "shipped", "Ship", lambda p: p["orders"]),
        ("pending", "cancelled", "Cancel", lambda p: p["order"]),
        ("paid", "cancelled", "Cancel", lambda p: p["order"]),
    )
    status = iq.StateMachine(
        states=states.values(), initial_state=states["pending"], transfers=[step(*move) for move in moves]
    )
    # how often an order was moved: the value is counted, the state is kept beside it
    waiting = iq.StateNode("waiting", compute_value=lambda last, _: (last or 0) if last is None else last + 1)
    changes = iq.StateMachine(
        states=[waiting],
        initial_state=waiting,
        transfers=[
            iq.StateTransfer(
                current=waiting,
                next=waiting,
                trigger=iq.Trigger("Order", "update", keys=["status"]),
                compute_target=lambda _, e: e.record,
            )
        ],
    )
    paid = {"status": ("in", ["paid", "shipped"])}
    entities = [
        iq.Entity(
            "Supplier",
            [
                Property("name", str),
                Property("products_offered", int, computation=iq.Count("products")),
                Property("turnover", int, computation=iq.Summation("products", "sold_value")),
            ],
            computation=comes_with("AddSupplier", lambda p: {"name": p["name"]}),
            constraints=[iq.UniqueConstraint("supplier_name", ["name"], violation_code="SUPPLIER_EXISTS")],
        ),
        iq.Entity(
            "Product",
            [
                Property("sku", str),
                Property("price", int),
                Property(
                    "sold", int, computation=iq.Summation("items", "quantity", where={"order.status": paid["status"]})
                ),
                Property(
                    "sold_value",
                    int,
                    computation=iq.Summation("items", "amount", where={"order.status": paid["status"]}),
                ),
                Property("stars", float, computation=iq.Average("comments", "stars", empty=None)),
                Property(
                    "loved", bool, computation=iq.Every("comments", expression={"stars": (">=", 4)}, not_empty=True)
                ),
                Property("tag_count", int, computation=iq.Count("tags")),
            ],
            computation=comes_with("AddProduct", dict),
            constraints=[iq.UniqueConstraint("product_sku", ["sku"], violation_code="SKU_EXISTS")],
        ),
        iq.Entity(
            "Customer",
            [
                Property("email", str),
                Property("order_count", int, computation=iq.Count("orders")),
                Property("spent", int, computation=iq.Summation("orders", "total", where=paid)),
                Property("mean_order", float, computation=iq.Average("orders", "total")),
                Property(
                    "has_big_order",
                    bool,
                    computation=iq.Any(
                        "orders",
                        lambda o: o.total > 100 and o.status != "cancelled",
                        attribute_query=["total", "status"],
                    ),
                ),
                Property("rank", str, computed=lambda c: "gold" if c.spent >= 200 else "plain"),
                Property("invoiced", int, computation=iq.Summation("invoices", "amount")),
            ],
            computation=comes_with("Register", lambda p: {"email": p["email"]}),
            constraints=[iq.UniqueConstraint("customer_email", ["email"], violation_code="EMAIL_TAKEN")],
        ),
        iq.Entity(
            "Order",
            [
                Property("status", str, computation=status),
                Property("moves", int, computation=changes),
                Property("total", int, computation=iq.Summation("items", "amount")),
                Property("item_count", int, computation=iq.Count("items")),
            ],
            computation=comes_with("PlaceOrder", dict),
            constraints=[
                iq.UniqueConstraint(
                    "one_basket", ["customer"], where={"status": "pending"}, violation_code="ONE_BASKET"
                )
            ],
        ),
        iq.Entity(
            "Item",
            [
                Property("quantity", int),
                Property("price", int, default=0),
                Property("amount", int, computed=lambda item: item.quantity * item.price),
            ],
        ),
        # one for each order that is paid, and it follows the order
        iq.Entity(
            "Invoice",
            [Property("amount", int), Property("tax", Decimal, computed=lambda i: Decimal(i.amount) * Decimal("0.25"))],
            computation=iq.Transform(
                "Order",
                lambda o: (
                    {"amount": o.total, "customer_id": o.customer_id} if o.status in ("paid", "shipped") else None
                ),
                attribute_query=["status", "total", "customer_id"],
            ),
        ),
        # one for each time an order is shipped, and it stays
        iq.Entity(
            "Parcel",
            [Property("order_id", int)],
            computation=iq.Transform(
                event_deps={"shipped": iq.Trigger("Order", "update", keys=["status"], record={"status": "shipped"})},
                callback=lambda e: {"order_id": e.record["id"]},
            ),
        ),
        iq.Entity(
            "Tag",
            [
                Property("name", str),
                Property("weight", int, computation=iq.Count("products")),
                Property("worth", int, computation=iq.Summation("products", "price")),
            ],
            computation=comes_with("AddTag", dict),
        ),
        iq.Entity(
            "Comment",
            [
                Property("stars", int),
                Property("reply_count", int, computation=iq.Count("replies")),
                Property("reply_stars", int, computation=iq.Summation("replies", "stars")),
            ],
            computation=comes_with("WriteComment", dict),
        ),
    ]

    def many(source: str, source_property: str, target: str, target_property: str, **more: Any) -> Relation:
        return Relation(
            source=source,
            source_property=source_property,
            target=target,
            target_property=target_property,
            **{"type": "1:n"} | more,
        )

    relations = [
        many("Supplier", "products", "Product", "supplier"),
        many("Customer", "orders", "Order", "customer"),
        many("Customer", "invoices", "Invoice", "customer"),
        many("Order", "items", "Item", "order"),
        many("Product", "items", "Item", "product"),
        many("Product", "comments", "Comment", "product"),
        many("Comment", "replies", "Comment", "parent"),
        many("Product", "tags", "Tag", "products", type="n:n", properties=[Property("weight", int, default=1)]),
    ]
    dictionaries = [
        iq.Dictionary("orders_open", int, computation=iq.Count("Order", where={"status": "pending"})),
        iq.Dictionary("revenue", int, computation=iq.Summation("Invoice", "amount")),
        iq.Dictionary("mean_price", float, computation=iq.Average("Product", "price")),
        iq.Dictionary("all_loved", bool, computation=iq.Every("Product", expression={"loved": True})),
        iq.Dictionary(
            "any_gold", bool, computation=iq.Any("Customer", lambda c: c.rank == "gold", attribute_query=["rank"])
        ),
        iq.Dictionary("parcels", int, computation=iq.Count("Parcel")),
    ]
    return Store({"entities": entities, "relations": relations, "dictionaries": dictionaries}, acts)


def compiled(store: Store) -> iq.Schema:
    return iq.compile_schema(MetaData(), **store.definitions, event_sources=store.interactions.values())
