"""The same shop under an event loop: hooks and conditions are coroutine functions."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

import interaqt_sa as iq
from tests.scenarios.book import Book
from tests.scenarios.days import days
from tests.scenarios.store import make_store


async def add_item(ctx: iq.AsyncDispatchContext, args: iq.Args) -> int:
    payload = args["payload"]
    product = await ctx.storage.find_one("Product", payload["product"], attribute_query=["price"])
    assert product is not None
    item = {"quantity": payload["quantity"], "price": product["price"]}
    created = await ctx.storage.create("Item", item | {"order": payload["order"], "product": payload["product"]})
    return int(created["id"])


async def reprice(ctx: iq.AsyncDispatchContext, args: iq.Args) -> None:
    await ctx.storage.update("Product", args["payload"]["product"], {"price": args["payload"]["price"]})


async def change_quantity(ctx: iq.AsyncDispatchContext, args: iq.Args) -> None:
    await ctx.storage.update("Item", args["payload"]["item"], {"quantity": args["payload"]["quantity"]})


async def remove_item(ctx: iq.AsyncDispatchContext, args: iq.Args) -> None:
    await ctx.storage.delete("Item", args["payload"]["item"])


async def reassign(ctx: iq.AsyncDispatchContext, args: iq.Args) -> None:
    await ctx.storage.update("Order", args["payload"]["order"], {"customer": args["payload"]["customer"]})


async def tag(ctx: iq.AsyncDispatchContext, args: iq.Args) -> None:
    payload = args["payload"]
    product, label = payload["product"]["id"], payload["tag"]["id"]
    await ctx.storage.add_relation("Product_tags_products_Tag", product, label, {"weight": payload["weight"]})


async def untag(ctx: iq.AsyncDispatchContext, args: iq.Args) -> None:
    product, label = args["payload"]["product"]["id"], args["payload"]["tag"]["id"]
    await ctx.storage.remove_relation("Product_tags_products_Tag", {"source.id": product, "target.id": label})


async def drop_comment(ctx: iq.AsyncDispatchContext, args: iq.Args) -> None:
    await ctx.storage.delete("Comment", args["payload"]["comment"])


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


async def may_pay(ctx: iq.AsyncDispatchContext, args: iq.Args) -> bool:
    """Nobody pays for nothing."""
    order = await ctx.storage.find_one("Order", args["payload"]["order"], attribute_query=["item_count"])
    return order is not None and bool(order["item_count"] > 0)


async def stored(storage: iq.AsyncStorage, derived: dict[str, Any]) -> dict[str, Any]:
    """Return what is stored, in the form of the book."""
    found: dict[str, Any] = {}
    for record, rows in derived.items():
        if record == "dictionaries":
            found[record] = {name: await storage.dictionary.get(name) for name in rows}
        elif record in ("Invoice", "Parcel"):
            name = "amount" if record == "Invoice" else "order_id"
            values = [row[name] for row in await storage.find(record, attribute_query=[name])]
            found[record] = dict(enumerate(sorted(values)))
        else:
            names = next(([*row] for row in rows.values()), [])
            found[record] = {row.pop("id"): row for row in await storage.find(record, attribute_query=names)}
    return found


@pytest.mark.parametrize("seed", [3])
async def test_shop(async_engine: AsyncEngine, seed: int) -> None:
    store = make_store(HOOKS, {"Pay": may_pay})
    controller = iq.AsyncController(
        iq.AsyncSystem(async_engine), event_sources=store.interactions.values(), **store.definitions
    )
    await controller.setup(install=True)
    book, rejected = Book(), 0
    for step, (name, payload, kept, refusal) in enumerate(days(book, seed, 100)):
        result = await controller.dispatch(name, {"user": {"id": 1}, "payload": payload})
        if name == "Pay" and not any(item["order"] == payload["order"]["id"] for item in book.items.values()):
            assert isinstance(result.error, iq.InteractionGuardError)
            rejected += 1
        elif refusal is None:
            kept(result.raise_for_error())
        else:
            assert result.error is not None, f"{name} {payload} was not refused"
            violation = iq.find_constraint_violation_error(result.error)
            assert violation is not None
            assert (violation.code, result.effects) == (refusal, ())
        if step % 20 == 19:
            derived = book.derived()
            assert await stored(controller.system.storage, derived) == derived, f"{name} {payload}"
            assert (await controller.system.check()).ok
    assert rejected
