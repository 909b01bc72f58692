"""A flush that changes rows and what they read: old contributions of the old state, new ones of the new, each once."""

from __future__ import annotations

from decimal import Decimal
from random import Random

import pytest
from sqlalchemy import select

import interaqt_sa as iq
from tests.engine.schedules import assert_true
from tests.engine.shop import Customer, Item, Order, Product, Review, Supplier


@pytest.fixture
def full_shop(shop: iq.System) -> iq.System:
    """Return a shop with two of everything and four items."""
    with shop.session_factory.begin() as session:
        session.add_all([Supplier(id=1), Supplier(id=2), Customer(id=1), Customer(id=2)])
        session.flush()
        session.add_all([Product(id=n, price=n, supplier_id=n) for n in (1, 2)])
        session.add_all([Order(id=n, customer_id=n) for n in (1, 2)])
        session.flush()
        session.add_all([Item(id=n, order_id=1 + n % 2, product_id=1 + n // 2 % 2, amount=n) for n in range(1, 5)])
        session.add_all([Review(id=n, product_id=n, stars=n) for n in (1, 2)])
    return shop


def test_an_item_and_its_products_price_change_together(full_shop: iq.System) -> None:
    with full_shop.session_factory.begin() as session:
        item, product = session.get_one(Item, 1), session.get_one(Product, 1)
        item.product_id, product.price = 2, 100
        session.get_one(Product, 2).price = 200
        session.add(Item(id=9, order_id=2, product=product))
    assert_true(full_shop)


def test_a_new_product_with_reviews_and_items_of_an_old_order(full_shop: iq.System) -> None:
    with full_shop.session_factory.begin() as session:
        product = Product(id=9, price=5, supplier=Supplier(id=9), reviews=[Review(stars=4, id=9)])
        order = session.get_one(Order, 1)
        before = (order.list_price, order.rated)
        order.items.append(Item(id=9, product=product))
        session.flush()
        assert (order.list_price, order.rated) == (before[0] + 5, before[1] + 4)
        assert (product.rating, product.item_count) == (4, 1)
    assert_true(full_shop)


def test_an_order_moves_while_its_items_change(full_shop: iq.System) -> None:
    with full_shop.session_factory.begin() as session:
        first, second = session.get_one(Customer, 1), session.get_one(Customer, 2)
        order = session.get_one(Order, 1)
        order.customer = second
        session.get_one(Item, 2).amount = Decimal(50)
        order.items.append(Item(id=9, product_id=1, amount=Decimal(7)))
        session.flush()
        assert first.spent == 0
        assert second.order_count == 2
    assert_true(full_shop)


def test_a_product_changes_its_supplier_and_the_supplier_closes(full_shop: iq.System) -> None:
    with full_shop.session_factory.begin() as session:
        session.get_one(Product, 1).supplier_id = 2
        session.get_one(Supplier, 2).active = False
        session.get_one(Item, 3).product_id = 1
        session.add(Review(id=9, product_id=1, stars=3))
        session.delete(session.get_one(Item, 4))
    assert_true(full_shop)


@pytest.mark.parametrize("seed", range(12))
def test_many_rows_of_all_tables_change_in_one_flush(full_shop: iq.System, seed: int) -> None:
    random = Random(seed)
    with full_shop.session_factory.begin() as session:
        for item in session.scalars(select(Item)).all():
            if random.random() < 0.6:
                item.order_id, item.product_id = random.randint(1, 2), random.randint(1, 2)
                item.amount, item.done = Decimal(random.randint(1, 9)), random.random() < 0.5
            elif random.random() < 0.3:
                session.delete(item)
        for product in session.scalars(select(Product)):
            if random.random() < 0.6:
                product.price, product.supplier_id = random.randint(1, 9), random.randint(1, 2)
        for supplier in session.scalars(select(Supplier)):
            supplier.active = random.random() < 0.5
        for review in session.scalars(select(Review)):
            review.product_id, review.stars = random.randint(1, 2), random.randint(1, 5)
        for order in session.scalars(select(Order)):
            order.customer_id = random.randint(1, 2)
        with session.no_autoflush:
            products = session.scalars(select(Product)).all()
        for n in range(random.randint(0, 3)):
            session.add(Item(id=20 + n, order_id=random.randint(1, 2), product=random.choice(products)))
    assert_true(full_shop)
