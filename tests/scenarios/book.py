"""What the shop of `store` must hold after what happened: kept by hand, in plain Python."""

from __future__ import annotations

from typing import Any

Row = dict[str, Any]

PAID = ("paid", "shipped")


class Book:
    """Facts by key, and what follows from them."""

    def __init__(self) -> None:
        self.suppliers: dict[int, Row] = {}
        self.products: dict[int, Row] = {}
        self.customers: dict[int, Row] = {}
        self.orders: dict[int, Row] = {}
        self.items: dict[int, Row] = {}
        self.tags: dict[int, Row] = {}
        self.links: dict[tuple[int, int], int] = {}
        self.comments: dict[int, Row] = {}
        self.parcels: list[int] = []

    def move(self, order: int, name: str) -> None:
        """Let an order follow an event."""
        steps = {
            "Pay": {"pending": "paid"},
            "Ship": {"paid": "shipped"},
            "Cancel": {"pending": "cancelled", "paid": "cancelled"},
        }
        row = self.orders[order]
        if (following := steps[name].get(row["status"])) is not None:
            row["status"], row["moves"] = following, row["moves"] + 1
            if following == "shipped":
                self.parcels.append(order)

    def ship(self, orders: list[int]) -> None:
        """Let several orders follow one event."""
        for order in orders:
            self.move(order, "Ship")

    def drop_comment(self, key: int) -> None:
        del self.comments[key]
        for row in self.comments.values():
            if row["parent"] == key:
                row["parent"] = None

    def derived(self) -> dict[str, dict[Any, Row]]:
        """Return all values that are computed, by record and key."""
        amounts = {key: item["quantity"] * item["price"] for key, item in self.items.items()}
        items = {key: [i for i, item in self.items.items() if item["order"] == key] for key in self.orders}
        totals = {key: sum(amounts[i] for i in items[key]) for key in self.orders}
        orders = {
            key: {"status": row["status"], "moves": row["moves"], "total": totals[key], "item_count": len(items[key])}
            for key, row in self.orders.items()
        }
        invoices = {key: totals[key] for key, row in self.orders.items() if row["status"] in PAID}
        products = {key: self._product(key, amounts) for key in self.products}
        customers = {key: self._customer(key, totals, invoices) for key in self.customers}
        suppliers = {}
        for key in self.suppliers:
            own = [product for product, row in self.products.items() if row["supplier"] == key]
            turnover = sum(products[product]["sold_value"] for product in own)
            suppliers[key] = {"products_offered": len(own), "turnover": turnover}
        tags = {}
        for key in self.tags:
            tagged = [product for product, tag in self.links if tag == key]
            tags[key] = {"weight": len(tagged), "worth": sum(self.products[product]["price"] for product in tagged)}
        comments = {}
        for key in self.comments:
            stars = [row["stars"] for row in self.comments.values() if row["parent"] == key]
            comments[key] = {"reply_count": len(stars), "reply_stars": sum(stars)}
        prices = [row["price"] for row in self.products.values()]
        return {
            "Supplier": suppliers,
            "Product": products,
            "Customer": customers,
            "Order": orders,
            "Item": {key: {"amount": amount} for key, amount in amounts.items()},
            "Tag": tags,
            "Comment": comments,
            "Invoice": dict(enumerate(sorted(invoices.values()))),
            "Parcel": dict(enumerate(sorted(self.parcels))),
            "dictionaries": {
                "orders_open": sum(row["status"] == "pending" for row in self.orders.values()),
                "revenue": sum(invoices.values()),
                "mean_price": sum(prices) / len(prices) if prices else 0,
                "all_loved": all(product["loved"] for product in products.values()),
                "any_gold": any(customer["rank"] == "gold" for customer in customers.values()),
                "parcels": len(self.parcels),
            },
        }

    def _product(self, key: int, amounts: dict[int, int]) -> Row:
        sold = [
            i for i, row in self.items.items() if row["product"] == key and self.orders[row["order"]]["status"] in PAID
        ]
        stars = [row["stars"] for row in self.comments.values() if row["product"] == key]
        return {
            "sold": sum(self.items[i]["quantity"] for i in sold),
            "sold_value": sum(amounts[i] for i in sold),
            "stars": sum(stars) / len(stars) if stars else None,
            "loved": bool(stars) and all(star >= 4 for star in stars),
            "tag_count": sum(product == key for product, _ in self.links),
        }

    def _customer(self, key: int, totals: dict[int, int], invoices: dict[int, int]) -> Row:
        own = [order for order, row in self.orders.items() if row["customer"] == key]
        spent = sum(totals[order] for order in own if self.orders[order]["status"] in PAID)
        return {
            "order_count": len(own),
            "spent": spent,
            "mean_order": sum(totals[order] for order in own) / len(own) if own else 0,
            "has_big_order": any(totals[o] > 100 and self.orders[o]["status"] != "cancelled" for o in own),
            "rank": "gold" if spent >= 200 else "plain",
            "invoiced": sum(invoices.get(order, 0) for order in own),
        }
