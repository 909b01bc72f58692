"""A shop in definitions, driven by interactions alone, on the drivers of synchronous programs."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import Engine

import interaqt_sa as iq
from tests.scenarios.book import Book
from tests.scenarios.days import days
from tests.scenarios.store import make_store


def payload_of(args: iq.Args) -> Any:
    return args["payload"]


def add_item(ctx: iq.DispatchContext, args: iq.Args) -> int:
    payload = payload_of(args)
    product = ctx.storage.find_one("Product", payload["product"], attribute_query=["price"])
    assert product is not None
    item = {"quantity": payload["quantity"], "price": product["price"]}
    created = ctx.storage.create("Item", item | {"order": payload["order"], "product": payload["product"]})
    return int(created["id"])


def reprice(ctx: iq.DispatchContext, args: iq.Args) -> None:
    ctx.storage.update("Product", payload_of(args)["product"], {"price": payload_of(args)["price"]})


def change_quantity(ctx: iq.DispatchContext, args: iq.Args) -> None:
    ctx.storage.update("Item", payload_of(args)["item"], {"quantity": payload_of(args)["quantity"]})


def remove_item(ctx: iq.DispatchContext, args: iq.Args) -> None:
    ctx.storage.delete("Item", payload_of(args)["item"])


def reassign(ctx: iq.DispatchContext, args: iq.Args) -> None:
    ctx.storage.update("Order", payload_of(args)["order"], {"customer": payload_of(args)["customer"]})


def tag(ctx: iq.DispatchContext, args: iq.Args) -> None:
    payload = payload_of(args)
    product, label = payload["product"]["id"], payload["tag"]["id"]
    ctx.storage.add_relation("Product_tags_products_Tag", product, label, {"weight": payload["weight"]})


def untag(ctx: iq.DispatchContext, args: iq.Args) -> None:
    product, label = payload_of(args)["product"]["id"], payload_of(args)["tag"]["id"]
    ctx.storage.remove_relation("Product_tags_products_Tag", {"source.id": product, "target.id": label})


def drop_comment(ctx: iq.DispatchContext, args: iq.Args) -> None:
    ctx.storage.delete("Comment", payload_of(args)["comment"])


HOOKS = {
    "AddItem": add_item,
    "Reprice": reprice,
    "ChangeQuantity": change_quantity,
    "RemoveItem": remove_item,
    "Reassign": reassign,
    "TagProduct": tag,
    "UntagProduct": untag,
    "DropComment": drop_comment,
}


def stored(storage: iq.Storage, derived: dict[str, Any]) -> dict[str, Any]:
    """Return what is stored, in the form of the book."""
    found: dict[str, Any] = {}
    for record, rows in derived.items():
        if record == "dictionaries":
            found[record] = {name: storage.dictionary.get(name) for name in rows}
        elif record in ("Invoice", "Parcel"):
            name = "amount" if record == "Invoice" else "order_id"
            found[record] = dict(enumerate(sorted(row[name] for row in storage.find(record, attribute_query=[name]))))
        else:
            names = next(([*row] for row in rows.values()), [])
            found[record] = {row.pop("id"): row for row in storage.find(record, attribute_query=names)}
    return found


@pytest.mark.parametrize("seed", [2])
def test_shop(engine: Engine, seed: int) -> None:
    store = make_store(HOOKS, {})
    controller = iq.Controller(iq.System(engine), event_sources=store.interactions.values(), **store.definitions)
    controller.setup(install=True)
    book, events = Book(), 0
    for step, (name, payload, kept, refusal) in enumerate(days(book, seed, 100)):
        result = controller.dispatch(name, {"user": {"id": 1}, "payload": payload})
        if refusal is None:
            kept(result.raise_for_error())
            events += 1
        else:
            assert result.error is not None, f"{name} {payload} was not refused"
            violation = iq.find_constraint_violation_error(result.error)
            assert violation is not None
            assert (violation.code, result.effects) == (refusal, ())
        if step % 20 == 19:
            derived = book.derived()
            assert stored(controller.system.storage, derived) == derived, f"{name} {payload}"
            assert controller.system.check().ok
    assert len(controller.system.storage.find(iq.InteractionEventEntity)) == events
    assert book.derived()["Invoice"]
