"""What happens in the shop: random events, each told to the book if it was applied."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Any

import interaqt_sa as iq
from tests.scenarios.book import Book

Payload = dict[str, Any]
#: An event, what it makes of the book once it was applied, and the code of its refusal if it must be refused.
Event = tuple[str, Payload, Callable[[iq.DispatchResult], None], str | None]


def days(book: Book, seed: int, count: int) -> Iterator[Event]:
    """Yield events; each is to be dispatched before the next is asked for."""
    dice = random.Random(seed)
    opening = ["AddSupplier", "AddProduct", "AddProduct", "Register", "Register", "PlaceOrder", "PlaceOrder", "AddTag"]
    weighted = {
        "AddSupplier": 1, "AddProduct": 2, "Reprice": 3, "Register": 2, "PlaceOrder": 6, "AddItem": 14,
        "ChangeQuantity": 8, "RemoveItem": 4, "Reassign": 5, "Pay": 6, "Ship": 3, "Cancel": 3, "AddTag": 1,
        "TagProduct": 5, "UntagProduct": 3, "WriteComment": 6, "DropComment": 3,
    }  # fmt: skip
    for step in range(count):
        name = opening[step] if step < len(opening) else dice.choices([*weighted], [*weighted.values()])[0]
        event = _Maker(book, dice).make(name, step)
        if event is not None:
            yield event


def created(result: iq.DispatchResult, record: str) -> int:
    """Return the key of the row of ``record`` that came with an event."""
    (key,) = (e.record["id"] for e in result.effects if (e.type, e.record_name) == ("create", record))
    return int(key)


class _Maker:
    def __init__(self, book: Book, dice: random.Random) -> None:
        self._book = book
        self._dice = dice

    def make(self, name: str, step: int) -> Event | None:
        try:
            event: Event = getattr(self, f"_{name}")(step)
        except IndexError:
            return None  # there is nothing yet to which it could happen
        return event

    def _one(self, rows: dict[Any, Any]) -> Any:
        return self._dice.choice([*rows])

    def _AddSupplier(self, step: int) -> Event:  # noqa: N802  named after the events
        def kept(result: iq.DispatchResult) -> None:
            self._book.suppliers[created(result, "Supplier")] = {"name": name}

        name = f"s{self._dice.randrange(8)}"
        known = any(row["name"] == name for row in self._book.suppliers.values())
        return "AddSupplier", {"name": name}, kept, "SUPPLIER_EXISTS" if known else None

    def _AddProduct(self, step: int) -> Event:  # noqa: N802
        supplier, price, sku = (
            self._one(self._book.suppliers),
            self._dice.randrange(1, 60),
            f"p{self._dice.randrange(12)}",
        )

        def kept(result: iq.DispatchResult) -> None:
            self._book.products[created(result, "Product")] = {"sku": sku, "price": price, "supplier": supplier}

        known = any(row["sku"] == sku for row in self._book.products.values())
        payload = {"sku": sku, "price": price, "supplier": {"id": supplier}}
        return "AddProduct", payload, kept, "SKU_EXISTS" if known else None

    def _Reprice(self, step: int) -> Event:  # noqa: N802
        product, price = self._one(self._book.products), self._dice.randrange(1, 60)
        return (
            "Reprice",
            {"product": {"id": product}, "price": price},
            lambda _: self._book.products[product].update(price=price),
            None,
        )

    def _Register(self, step: int) -> Event:  # noqa: N802
        email = f"c{self._dice.randrange(8)}@example.org"

        def kept(result: iq.DispatchResult) -> None:
            self._book.customers[created(result, "Customer")] = {"email": email}

        known = any(row["email"] == email for row in self._book.customers.values())
        return "Register", {"email": email}, kept, "EMAIL_TAKEN" if known else None

    def _basket_taken(self, customer: int, order: int | None = None) -> bool:
        return any(
            row["customer"] == customer and row["status"] == "pending" and key != order
            for key, row in self._book.orders.items()
        )

    def _PlaceOrder(self, step: int) -> Event:  # noqa: N802
        customer = self._one(self._book.customers)

        def kept(result: iq.DispatchResult) -> None:
            self._book.orders[created(result, "Order")] = {"customer": customer, "status": "pending", "moves": 0}

        refusal = "ONE_BASKET" if self._basket_taken(customer) else None
        return "PlaceOrder", {"customer": {"id": customer}}, kept, refusal

    def _AddItem(self, step: int) -> Event:  # noqa: N802
        order, product, quantity = (
            self._one(self._book.orders),
            self._one(self._book.products),
            self._dice.randrange(1, 6),
        )

        def kept(result: iq.DispatchResult) -> None:
            price = self._book.products[product]["price"]
            self._book.items[result.data] = {"order": order, "product": product, "quantity": quantity, "price": price}

        return "AddItem", {"order": {"id": order}, "product": {"id": product}, "quantity": quantity}, kept, None

    def _ChangeQuantity(self, step: int) -> Event:  # noqa: N802
        item, quantity = self._one(self._book.items), self._dice.randrange(0, 6)
        return (
            "ChangeQuantity",
            {"item": {"id": item}, "quantity": quantity},
            lambda _: self._book.items[item].update(quantity=quantity),
            None,
        )

    def _RemoveItem(self, step: int) -> Event:  # noqa: N802
        item = self._one(self._book.items)
        return "RemoveItem", {"item": {"id": item}}, lambda _: self._book.items.pop(item), None

    def _Reassign(self, step: int) -> Event:  # noqa: N802
        order, customer = self._one(self._book.orders), self._one(self._book.customers)
        pending = self._book.orders[order]["status"] == "pending"
        refusal = "ONE_BASKET" if pending and self._basket_taken(customer, order) else None
        return (
            "Reassign",
            {"order": {"id": order}, "customer": {"id": customer}},
            lambda _: self._book.orders[order].update(customer=customer),
            refusal,
        )

    def _Pay(self, step: int) -> Event:  # noqa: N802
        order = self._one(self._book.orders)
        return "Pay", {"order": {"id": order}}, lambda _: self._book.move(order, "Pay"), None

    def _Ship(self, step: int) -> Event:  # noqa: N802
        orders = self._dice.sample([*self._book.orders], k=min(3, len(self._book.orders)))
        return "Ship", {"orders": [{"id": order} for order in orders]}, lambda _: self._book.ship(orders), None

    def _Cancel(self, step: int) -> Event:  # noqa: N802
        order = self._one(self._book.orders)
        return "Cancel", {"order": {"id": order}}, lambda _: self._book.move(order, "Cancel"), None

    def _AddTag(self, step: int) -> Event:  # noqa: N802
        def kept(result: iq.DispatchResult) -> None:
            self._book.tags[created(result, "Tag")] = {}

        return "AddTag", {"name": f"t{step}"}, kept, None

    def _TagProduct(self, step: int) -> Event:  # noqa: N802
        pair = self._one(self._book.products), self._one(self._book.tags)
        refusal = "UNIQUE_CONSTRAINT_VIOLATION" if pair in self._book.links else None
        payload = {"product": {"id": pair[0]}, "tag": {"id": pair[1]}, "weight": 2}
        return "TagProduct", payload, lambda _: self._book.links.update({pair: 2}), refusal

    def _UntagProduct(self, step: int) -> Event:  # noqa: N802
        pair = self._one(self._book.links)
        return (
            "UntagProduct",
            {"product": {"id": pair[0]}, "tag": {"id": pair[1]}},
            lambda _: self._book.links.pop(pair),
            None,
        )

    def _WriteComment(self, step: int) -> Event:  # noqa: N802
        product, stars = self._one(self._book.products), self._dice.randrange(1, 6)
        parent = self._one(self._book.comments) if self._book.comments and self._dice.random() < 0.5 else None

        def kept(result: iq.DispatchResult) -> None:
            self._book.comments[created(result, "Comment")] = {"product": product, "parent": parent, "stars": stars}

        payload: Payload = {"product": {"id": product}, "stars": stars}
        return "WriteComment", payload | ({} if parent is None else {"parent": {"id": parent}}), kept, None

    def _DropComment(self, step: int) -> Event:  # noqa: N802
        comment = self._one(self._book.comments)
        return "DropComment", {"comment": {"id": comment}}, lambda _: self._book.drop_comment(comment), None
