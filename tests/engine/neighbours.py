"""A shop whose orders compute over several neighbours of their items, and writes to it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from random import Random
from typing import Any, TypeAlias

from sqlalchemy import ForeignKey, delete, insert, select, update
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship

import interaqt_sa as iq

WAREHOUSES = PRODUCTS = 3
ORDERS, ITEMS = 4, 12

_OPEN_BOTH = {"warehouse.region.open": True, "carrier.open": True}

#: what an order computes over its items; every kind reads at least two neighbours
KINDS: Mapping[str, Callable[[], dict[str, Any]]] = {
    "one value": lambda: {"total": iq.Summation("items", "product.price", where={"warehouse.open": True})},
    "two values": lambda: {
        "total": iq.Summation("items", "product.price"),
        "other": iq.Summation("items", "warehouse.room"),
    },
    "one computed": lambda: {"total": iq.Summation("items", "product.rating", where={"warehouse.open": True})},
    "other computed": lambda: {"total": iq.Summation("items", "product.price", where={"warehouse.lit": True})},
    "both computed": lambda: {"total": iq.Summation("items", "product.rating", where={"warehouse.lit": True})},
    "far": lambda: {"total": iq.Summation("items", "product.supplier.factor", where=_OPEN_BOTH)},
    "far computed": lambda: {"total": iq.Summation("items", "product.supplier.score", where=_OPEN_BOTH)},
}


@dataclass(frozen=True)
class Shop:
    """The mapped classes of one kind."""

    base: type[DeclarativeBase]
    order: Any
    item: Any
    product: Any
    warehouse: Any
    supplier: Any
    region: Any
    carrier: Any
    review: Any
    lamp: Any
    grade: Any


@cache
def shop_of(kind: str) -> Shop:
    """Declare the shop whose orders compute what `kind` says, and always the amount of what lies in open warehouses."""

    class Base(DeclarativeBase):
        pass

    class Supplier(Base):
        __tablename__ = "supplier"
        id: Mapped[int] = mapped_column(primary_key=True)
        factor: Mapped[int] = mapped_column(default=1)
        score: Mapped[int] = iq.computed(iq.Summation("grades", "value"))
        grades = relationship("Grade")

    class Grade(Base):
        __tablename__ = "grade"
        id: Mapped[int] = mapped_column(primary_key=True)
        supplier_id: Mapped[int] = mapped_column(ForeignKey("supplier.id"), index=True)
        value: Mapped[int]

    class Region(Base):
        __tablename__ = "region"
        id: Mapped[int] = mapped_column(primary_key=True)
        open: Mapped[bool] = mapped_column(default=True)

    class Carrier(Base):
        __tablename__ = "carrier"
        id: Mapped[int] = mapped_column(primary_key=True)
        open: Mapped[bool] = mapped_column(default=True)

    class Product(Base):
        __tablename__ = "product"
        id: Mapped[int] = mapped_column(primary_key=True)
        supplier_id: Mapped[int] = mapped_column(ForeignKey("supplier.id"), index=True)
        price: Mapped[int]
        rating: Mapped[int] = iq.computed(iq.Summation("reviews", "value"))
        reviews = relationship("Review")
        supplier = relationship("Supplier")

    class Review(Base):
        __tablename__ = "review"
        id: Mapped[int] = mapped_column(primary_key=True)
        product_id: Mapped[int] = mapped_column(ForeignKey("product.id"), index=True)
        value: Mapped[int]

    class Warehouse(Base):
        __tablename__ = "warehouse"
        id: Mapped[int] = mapped_column(primary_key=True)
        region_id: Mapped[int] = mapped_column(ForeignKey("region.id"), index=True)
        open: Mapped[bool] = mapped_column(default=True)
        room: Mapped[int] = mapped_column(default=1)
        lit: Mapped[bool] = iq.computed(iq.Any("lamps", expression={"on": True}))
        lamps = relationship("Lamp")
        region = relationship("Region")

    class Lamp(Base):
        __tablename__ = "lamp"
        id: Mapped[int] = mapped_column(primary_key=True)
        warehouse_id: Mapped[int] = mapped_column(ForeignKey("warehouse.id"), index=True)
        on: Mapped[bool]

    class Item(Base):
        __tablename__ = "item"
        id: Mapped[int] = mapped_column(primary_key=True)
        order_id: Mapped[int] = mapped_column(ForeignKey("order_.id"), index=True)
        # against the lock order: the checks of foreign keys go by the order of the columns
        warehouse_id: Mapped[int] = mapped_column(ForeignKey("warehouse.id"), index=True)
        product_id: Mapped[int] = mapped_column(ForeignKey("product.id"), index=True)
        carrier_id: Mapped[int] = mapped_column(ForeignKey("carrier.id"), index=True)
        amount: Mapped[int] = mapped_column(default=1)
        product = relationship("Product")
        warehouse = relationship("Warehouse")
        carrier = relationship("Carrier")

    values = {name: iq.computed(computation) for name, computation in KINDS[kind]().items()}
    annotations = {"id": "Mapped[int]", "items": "Any", **dict.fromkeys([*values, "amount"], "Mapped[int]")}
    order = type(
        "Order",
        (Base,),
        {
            "__tablename__": "order_",
            "__module__": __name__,
            "__annotations__": {name: note for name, note in annotations.items() if name != "items"},
            "id": mapped_column(primary_key=True),
            "items": relationship("Item"),
            "amount": iq.computed(iq.Summation("items", "amount", where={"warehouse.open": True})),
            **values,
        },
    )
    return Shop(Base, order, Item, Product, Warehouse, Supplier, Region, Carrier, Review, Lamp, Grade)


def fill(session: Session, shop: Shop) -> None:
    """Write the few rows that everybody fights for, in the place of all that are there."""
    random = Random(0)
    for mapped in (shop.supplier, shop.region, shop.carrier, shop.order):
        session.add_all([mapped(id=n) for n in range(1, ORDERS + 1)])
    session.flush()
    session.add_all([shop.product(id=n, price=n, supplier_id=n) for n in range(1, PRODUCTS + 1)])
    session.add_all([shop.warehouse(id=n, region_id=n) for n in range(1, WAREHOUSES + 1)])
    session.flush()
    for n in range(1, PRODUCTS + 1):
        session.add_all([shop.review(id=n, product_id=n, value=n), shop.grade(id=n, supplier_id=n, value=n)])
        session.add(shop.lamp(id=n, warehouse_id=n, on=True))
    # the first item is the one that the schedules write; another one reads the same neighbours
    first = {"product_id": 1, "warehouse_id": 1, "carrier_id": 1}
    session.add_all([shop.item(id=1, order_id=1, **first), shop.item(id=2, order_id=2, **first)])
    session.add_all([shop.item(id=n, **_references(random)) for n in range(3, ITEMS + 1)])


def _references(random: Random) -> dict[str, int]:
    return {
        "order_id": random.randint(1, ORDERS),
        "product_id": random.randint(1, PRODUCTS),
        "warehouse_id": random.randint(1, WAREHOUSES),
        "carrier_id": random.randint(1, 3),
    }


# -- writes: a session, the classes, the kind, and chance, if there is any --------------------------------------------

Write: TypeAlias = Callable[[Session, Shop, str, Random], None]
_UNSYNCHRONIZED = {"synchronize_session": False}


def _left(session: Session, shop: Shop, kind: str, key: int, number: int) -> None:
    match kind:
        case "one computed" | "both computed":
            session.get_one(shop.review, key).value = number
        case "far":
            session.get_one(shop.supplier, key).factor = number
        case "far computed":
            session.get_one(shop.grade, key).value = number
        case _:
            session.get_one(shop.product, key).price = number


def _right(session: Session, shop: Shop, kind: str, key: int, chance: Random) -> None:
    match kind:
        case "two values":
            session.get_one(shop.warehouse, key).room = chance.randint(2, 99)
        case "other computed" | "both computed":
            lamp = session.get_one(shop.lamp, key)
            lamp.on = not lamp.on
        case "far" | "far computed":
            region = session.get_one(shop.region, key)
            region.open = not region.open
        case _:
            warehouse = session.get_one(shop.warehouse, key)
            warehouse.open = not warehouse.open


def change_left(session: Session, shop: Shop, kind: str, chance: Random) -> None:
    _left(session, shop, kind, chance.randint(1, PRODUCTS), chance.randint(2, 99))


def change_right(session: Session, shop: Shop, kind: str, chance: Random) -> None:
    _right(session, shop, kind, chance.randint(1, WAREHOUSES), chance)


def change_both(session: Session, shop: Shop, kind: str, chance: Random) -> None:
    with session.no_autoflush:
        change_left(session, shop, kind, chance)
        change_right(session, shop, kind, chance)


def bulk_left(session: Session, shop: Shop, kind: str, chance: Random) -> None:
    mapped, name = {
        "one computed": (shop.review, "value"),
        "both computed": (shop.review, "value"),
        "far": (shop.supplier, "factor"),
        "far computed": (shop.grade, "value"),
    }.get(kind, (shop.product, "price"))
    statement = update(mapped).where(mapped.id != chance.randint(2, 4)).values({name: getattr(mapped, name) + 1})
    session.execute(statement, execution_options=_UNSYNCHRONIZED)


def bulk_right(session: Session, shop: Shop, kind: str, chance: Random) -> None:
    mapped, name = {
        "two values": (shop.warehouse, "room"),
        "other computed": (shop.lamp, "on"),
        "both computed": (shop.lamp, "on"),
        "far": (shop.region, "open"),
        "far computed": (shop.region, "open"),
    }.get(kind, (shop.warehouse, "open"))
    column = getattr(mapped, name)
    statement = update(mapped).where(mapped.id != chance.randint(2, 4))
    session.execute(
        statement.values({name: column + 1 if name == "room" else ~column}), execution_options=_UNSYNCHRONIZED
    )


def add(session: Session, shop: Shop, kind: str, chance: Random) -> None:
    session.add(shop.item(amount=chance.randint(1, 9), **_references(chance)))


def bulk_add(session: Session, shop: Shop, kind: str, chance: Random) -> None:
    rows = [{"amount": chance.randint(1, 9), **_references(chance)} for _ in range(3)]
    session.execute(insert(shop.item), rows)


def _some_item(session: Session, shop: Shop, chance: Random) -> Any:
    place = 0 if isinstance(chance, First) else chance.randrange(9)
    return session.scalar(select(shop.item).order_by(shop.item.id).offset(place).limit(1))


def move(session: Session, shop: Shop, kind: str, chance: Random) -> None:
    if item := _some_item(session, shop, chance):
        item.product_id = _elsewhere(chance, item.product_id)
        item.warehouse_id = _elsewhere(chance, item.warehouse_id)


def move_order(session: Session, shop: Shop, kind: str, chance: Random) -> None:
    if item := _some_item(session, shop, chance):
        item.order_id = chance.randint(1, ORDERS)


def change_amount(session: Session, shop: Shop, kind: str, chance: Random) -> None:
    if item := _some_item(session, shop, chance):
        item.amount = chance.randint(10, 99)


def remove(session: Session, shop: Shop, kind: str, chance: Random) -> None:
    if item := _some_item(session, shop, chance):
        session.delete(item)


def bulk_items(session: Session, shop: Shop, kind: str, chance: Random) -> None:
    item = shop.item
    values = {"amount": item.amount + 1, "product_id": chance.randint(1, PRODUCTS)}
    statement = update(item).where(item.order_id == chance.randint(1, ORDERS)).values(values)
    session.execute(statement, execution_options=_UNSYNCHRONIZED)


def bulk_shift(session: Session, shop: Shop, kind: str, chance: Random) -> None:
    """Move items to where only an expression says."""
    item = shop.item
    values = {"product_id": item.product_id % PRODUCTS + 1, "warehouse_id": item.warehouse_id % WAREHOUSES + 1}
    statement = update(item).where(item.order_id == chance.randint(1, ORDERS)).values(values)
    session.execute(statement, execution_options=_UNSYNCHRONIZED)


def bulk_by_key(session: Session, shop: Shop, kind: str, chance: Random) -> None:
    """Move items by a list of rows, in no order."""
    keys = list(session.scalars(select(shop.item.id).limit(9)))
    chance.shuffle(keys)
    rows = [{"id": key, "product_id": chance.randint(1, 3), "warehouse_id": chance.randint(1, 3)} for key in keys[:3]]
    if rows:
        session.execute(update(shop.item), rows)


def bulk_remove(session: Session, shop: Shop, kind: str, chance: Random) -> None:
    some = [item.id for item in [_some_item(session, shop, chance)] if item]
    session.execute(delete(shop.item).where(shop.item.id.in_(some)), execution_options=_UNSYNCHRONIZED)


def middle_left(session: Session, shop: Shop, kind: str, chance: Random) -> None:
    """Give a product another supplier."""
    product = session.get_one(shop.product, chance.randint(1, PRODUCTS))
    product.supplier_id = _elsewhere(chance, product.supplier_id)


def middle_right(session: Session, shop: Shop, kind: str, chance: Random) -> None:
    """Give a warehouse another region."""
    warehouse = session.get_one(shop.warehouse, chance.randint(1, WAREHOUSES))
    warehouse.region_id = _elsewhere(chance, warehouse.region_id)


def bulk_middle(session: Session, shop: Shop, kind: str, chance: Random) -> None:
    product = shop.product
    statement = update(product).where(product.id != chance.randint(2, 4)).values(supplier_id=chance.randint(1, 3))
    session.execute(statement, execution_options=_UNSYNCHRONIZED)


def bulk_middle_shift(session: Session, shop: Shop, kind: str, chance: Random) -> None:
    product = shop.product
    statement = update(product).where(product.id != chance.randint(2, 4))
    statement = statement.values(supplier_id=product.supplier_id % 3 + 1)
    session.execute(statement, execution_options=_UNSYNCHRONIZED)


def bulk_middle_by_key(session: Session, shop: Shop, kind: str, chance: Random) -> None:
    keys = list(range(1, PRODUCTS + 1))
    chance.shuffle(keys)
    session.execute(update(shop.product), [{"id": key, "supplier_id": chance.randint(1, 3)} for key in keys])


def third(session: Session, shop: Shop, kind: str, chance: Random) -> None:
    """Change the third neighbour."""
    carrier = session.get_one(shop.carrier, chance.randint(1, 3))
    carrier.open = not carrier.open


NEAR: dict[str, Write] = {
    "change left": change_left,
    "change right": change_right,
    "change both": change_both,
    "bulk left": bulk_left,
    "bulk right": bulk_right,
    "add": add,
    "move": move,
    "change amount": change_amount,
    "remove": remove,
}
FAR: dict[str, Write] = {**NEAR, "middle left": middle_left, "middle right": middle_right, "third": third}
RANDOM: list[Write] = [add, bulk_add, move, move, move_order, change_amount, remove, bulk_items, bulk_remove]
#: those of `RANDOM` without the neighbours that are changed
NEIGHBOURS: list[Write] = [change_left, change_left, change_right, change_right, change_both, bulk_left, bulk_right]
FAR_NEIGHBOURS: list[Write] = [*NEIGHBOURS, middle_left, middle_right, bulk_middle, third]
#: statements that say where references go by an expression, or by a list of rows
MOVES: list[Write] = [bulk_shift, bulk_by_key, bulk_middle_shift, bulk_middle_by_key]


class First(Random):
    """Chance for the schedules: always the first row, and the second as the place to go to."""

    def __init__(self, place: int = 1) -> None:
        super().__init__(0)
        self.place = place

    def randint(self, a: int, b: int) -> int:
        return self.place if a == 1 else 40 + self.place


def _elsewhere(chance: Random, here: int) -> int:
    """Return where a reference goes that leads `here`."""
    return (1 if here != 1 else 2) if isinstance(chance, First) else chance.randint(1, 3)


def writes_of(kind: str) -> dict[str, Write]:
    return FAR if kind.startswith("far") else NEAR
