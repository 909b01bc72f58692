"""Random writes to the shop, by few transactions at a time on few rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from decimal import Decimal
from random import Random
from typing import Any, TypeAlias

from sqlalchemy import Engine, bindparam, delete, event, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session
from sqlalchemy.orm.exc import StaleDataError

from tests.engine.shop import Customer, Item, Order, Product, Review, Supplier, Tag
from tests.support.torture import Torture

Write: TypeAlias = Callable[[Session, Random], None]

ORDERS, PRODUCTS, SUPPLIERS, CUSTOMERS, TAGS, SKUS = 5, 4, 2, 3, 3, 8
_LAST_SKU = 1_000_000


def fill(session: Session, items: int = 24) -> None:
    """Write the few rows that everybody fights for."""
    random = Random(0)
    session.add_all([Supplier(id=n) for n in range(1, SUPPLIERS + 1)])
    session.add_all([Customer(id=n) for n in range(1, CUSTOMERS + 1)])
    session.add_all([Tag(id=n) for n in range(1, TAGS + 1)])
    session.flush()
    session.add_all([Product(id=n, price=n, supplier_id=1 + n % SUPPLIERS) for n in range(1, PRODUCTS + 1)])
    session.add_all([Order(id=n, customer_id=1 + n % CUSTOMERS) for n in range(1, ORDERS + 1)])
    session.flush()
    session.add_all([_item(random) for _ in range(items)])


def _item(random: Random) -> Item:
    return Item(
        order_id=random.randint(1, ORDERS),
        product_id=random.randint(1, PRODUCTS),
        amount=Decimal(random.randint(1, 900)) / 100,
        done=random.random() < 0.5,
    )


def _some_item(session: Session) -> Item | None:
    # not locked, so that what it shows is stale as soon as another transaction commits
    return session.scalar(select(Item).order_by(func.random()).limit(1))


def _some_items(session: Session, count: int) -> list[Item]:
    return list(session.scalars(select(Item).order_by(func.random()).limit(count)))


# -- one row ----------------------------------------------------------------------------------------------------------


def add(session: Session, random: Random) -> None:
    session.add(_item(random))


def change_amount(session: Session, random: Random) -> None:
    if item := _some_item(session):
        item.amount = Decimal(random.randint(1, 900)) / 100


def flip(session: Session, random: Random) -> None:
    if item := _some_item(session):
        item.done = not item.done


def move(session: Session, random: Random) -> None:
    if item := _some_item(session):
        item.order_id = random.randint(1, ORDERS)


def move_to_another_product(session: Session, random: Random) -> None:
    if item := _some_item(session):
        item.product_id = random.randint(1, PRODUCTS)


def change_everything(session: Session, random: Random) -> None:
    if item := _some_item(session):
        new = _item(random)
        item.order_id, item.product_id = new.order_id, new.product_id
        item.amount, item.done = new.amount, new.done


def remove(session: Session, random: Random) -> None:
    # by few keys, so that two transactions often delete the same row
    if item := session.scalar(select(Item).order_by(Item.id).offset(random.randint(0, 3)).limit(1)):
        session.delete(item)


def move_order(session: Session, random: Random) -> None:
    session.get_one(Order, random.randint(1, ORDERS)).customer_id = random.randint(1, CUSTOMERS)


# -- neighbours -------------------------------------------------------------------------------------------------------


def change_price(session: Session, random: Random) -> None:
    session.get_one(Product, random.randint(1, PRODUCTS)).price = random.randint(1, 9)


def change_supplier(session: Session, random: Random) -> None:
    product = session.get_one(Product, random.randint(1, PRODUCTS))
    product.supplier_id, product.price = random.randint(1, SUPPLIERS), random.randint(1, 9)


def close_or_open(session: Session, random: Random) -> None:
    session.get_one(Supplier, random.randint(1, SUPPLIERS)).active = random.random() < 0.7


def rate(session: Session, random: Random) -> None:
    session.add(Review(product_id=random.randint(1, PRODUCTS), stars=random.randint(1, 5)))


def change_rating(session: Session, random: Random) -> None:
    review = session.scalar(select(Review).order_by(func.random()).limit(1))
    if review is None:
        return
    if random.random() < 0.4:
        session.delete(review)
    else:
        review.product_id, review.stars = random.randint(1, PRODUCTS), random.randint(1, 5)


# -- several rows in one flush ----------------------------------------------------------------------------------------


def add_several(session: Session, random: Random) -> None:
    session.add_all([_item(random) for _ in range(3)])


def change_several(session: Session, random: Random) -> None:
    for item in _some_items(session, 3):
        new = _item(random)
        item.amount, item.order_id, item.product_id = new.amount, new.order_id, new.product_id


def remove_and_add(session: Session, random: Random) -> None:
    for item in _some_items(session, 2):
        session.delete(item)
    session.add_all([_item(random), _item(random)])


def change_prices(session: Session, random: Random) -> None:
    keys = random.sample(range(1, PRODUCTS + 1), 2)
    for product in session.scalars(select(Product).where(Product.id.in_(keys))).all():
        product.price = random.randint(1, 9)


# -- statements -------------------------------------------------------------------------------------------------------


def update_in_bulk(session: Session, random: Random) -> None:
    statement = update(Item).where(Item.order_id == random.randint(1, ORDERS), Item.amount < 3)
    session.execute(statement.values(amount=Item.amount + Decimal("0.25")), execution_options=_UNSYNCHRONIZED)


def move_in_bulk(session: Session, random: Random) -> None:
    keys = [item.id for item in _some_items(session, 3)]
    statement = update(Item).where(Item.id.in_(keys)).values(order_id=random.randint(1, ORDERS))
    session.execute(statement, execution_options=_UNSYNCHRONIZED)


def update_by_key(session: Session, random: Random) -> None:
    rows = [{"id": item.id, "amount": random.randint(1, 9)} for item in _some_items(session, 3)]
    if rows:
        statement = update(Item.__table__).where(Item.id == bindparam("key")).values(amount=bindparam("now"))
        session.execute(statement, [{"key": row["id"], "now": row["amount"]} for row in rows])


def delete_in_bulk(session: Session, random: Random) -> None:
    keys = [item.id for item in _some_items(session, 2)]
    session.execute(delete(Item).where(Item.id.in_(keys)), execution_options=_UNSYNCHRONIZED)


def upsert(session: Session, random: Random) -> None:
    statement = insert(Item)
    changed = {name: statement.excluded[name] for name in ("amount", "order_id", "done")}
    rows = []
    for sku in random.sample(range(1, SKUS + 1), 2):
        item = _item(random)
        row = {"order_id": item.order_id, "product_id": item.product_id, "amount": item.amount, "done": item.done}
        rows.append({"sku": sku, **row})
    session.execute(statement.on_conflict_do_update(index_elements=["sku"], set_=changed), rows)


_UNSYNCHRONIZED = {"synchronize_session": False}

SINGLE: list[Write] = [
    *[add, change_amount, flip, move, move_to_another_product, change_everything, remove] * 2,
    *[move_order, change_price, change_supplier, close_or_open, rate, change_rating],
    *[add_several, change_several, remove_and_add, change_prices],
    *[update_in_bulk, move_in_bulk, update_by_key, delete_in_bulk, upsert],
]


# -- several steps in one transaction ---------------------------------------------------------------------------------


def tag(session: Session, random: Random) -> None:
    found, item = session.get_one(Tag, random.randint(1, TAGS)), _some_item(session)
    if item is not None:
        found.items = [*found.items[random.randint(0, 2) :], item]


def in_savepoint(session: Session, random: Random) -> None:
    savepoint = session.begin_nested()
    random.choice(SINGLE)(session, random)
    session.flush()
    if random.random() < 0.5:
        savepoint.rollback()
    else:
        savepoint.commit()


class RolledBackError(Exception):
    """Raised by a transaction that gives up on purpose."""


def several(session: Session, random: Random) -> None:
    """Do up to four things in one transaction, and now and then give up in the middle."""
    for _ in range(random.randint(1, 4)):
        random.choice([*SINGLE, *[tag, in_savepoint] * 4])(session, random)
        session.flush()
        if random.random() < 0.05:
            raise RolledBackError


#: what no lock order spares two transactions that have both read: a reference to a row that the other has deleted
#: meanwhile, and the tag that the other has given to the same item
CROSSED = frozenset({"23503", "23505 item_tag_pkey"})


def long_rounds(torture: Torture) -> int:
    """Return how many long transactions each worker does: most of their time they wait for each other."""
    return max(2, torture.rounds // 8)


def transaction(writes: list[Write], seed: Any) -> Callable[[Session], None]:
    """Return one transaction, the same in each attempt; a row that is gone is not a failure."""

    def work(session: Session) -> None:
        random = Random(seed)
        try:
            random.choice(writes)(session, random)
            session.flush()
        except (StaleDataError, IntegrityError):
            session.rollback()

    return work


class Conflicts(Counter[str]):
    """Counts the errors of an engine by SQLSTATE, and duplicates by constraint too."""

    def __init__(self, engine: Engine) -> None:
        super().__init__()
        self.details: list[str] = []
        event.listen(engine, "handle_error", self._count)

    @property
    def deadlocks(self) -> int:
        return self["40P01"]

    def _count(self, context: Any) -> None:
        error = context.original_exception
        # asyncpg's own error is the cause of SQLAlchemy's
        cause = error if hasattr(error, "diag") else error.__cause__
        state = getattr(cause, "sqlstate", None) or type(error).__name__
        if state == "23505":
            state = f"{state} {getattr(cause, 'diag', cause).constraint_name}"
        self[state] += 1
        if state == "40P01":
            self.details.append(f"{error}\n{context.statement}")
