"""Schedules of two sessions on PostgreSQL, each of which a naive reading of the protocol gets wrong."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from decimal import Decimal

import pytest
from sqlalchemy import delete, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import SAWarning
from sqlalchemy.orm import Session

import interaqt_sa as iq
from tests.engine.schedules import assert_true, engine_of, in_background, wait_until_blocked
from tests.engine.shop import TURNOVER, Customer, Item, Order, Product, Review, Supplier


@pytest.fixture
def shop(postgres_shop: iq.System) -> iq.System:
    """Return a system over two orders of two customers; item 1 of product 1 is in order 1."""
    with postgres_shop.session_factory.begin() as session:
        supplier = Supplier(id=1)
        products = [Product(id=n, price=10 * n, supplier=supplier) for n in (1, 2)]
        orders = [Order(id=n, customer=Customer(id=n)) for n in (1, 2)]
        session.add_all(
            [*orders, *products, Item(id=1, order=orders[0], product=products[0], amount=Decimal(10), sku=1)]
        )
    return postgres_shop


@pytest.fixture
def one(shop: iq.System) -> Iterator[Session]:
    """Return the session that comes first."""
    with shop.session_factory() as session:
        yield session


@pytest.fixture
def two(shop: iq.System) -> Iterator[Session]:
    """Return the other session."""
    with shop.session_factory() as session:
        yield session


def meanwhile(system: iq.System, first: Session, work: Callable[[Session], object]) -> None:
    """Run `work` in a transaction of its own until it waits for `first`; then commit `first`."""

    def run() -> None:
        with system.session_factory.begin() as session:
            work(session)

    with in_background(run):
        wait_until_blocked(engine_of(system))
        first.commit()


def order(system: iq.System, key: int) -> Order:
    assert_true(system)
    with system.session_factory() as session:
        return session.get_one(Order, key)


def test_a_stale_update_subtracts_what_is_stored(shop: iq.System, one: Session, two: Session) -> None:
    mine, theirs = one.get_one(Item, 1), two.get_one(Item, 1)
    theirs.amount, theirs.order_id = Decimal(30), 2
    two.commit()
    mine.amount = Decimal(20)
    one.commit()
    assert (order(shop, 1).total, order(shop, 2).total) == (0, 20)


def test_a_stale_update_waits_and_subtracts_what_was_committed(shop: iq.System, one: Session, two: Session) -> None:
    mine = two.get_one(Item, 1)
    theirs = one.get_one(Item, 1)
    theirs.order_id, theirs.amount = 2, Decimal(30)
    one.flush()

    def stale() -> None:
        mine.amount = Decimal(20)
        two.commit()

    with in_background(stale):
        wait_until_blocked(engine_of(shop))
        one.commit()
    assert (order(shop, 1).total, order(shop, 2).total) == (0, 20)


def test_a_second_delete_of_a_row_changes_nothing(shop: iq.System, one: Session, two: Session) -> None:
    mine, theirs = one.get_one(Item, 1), two.get_one(Item, 1)
    two.delete(theirs)
    two.commit()
    one.delete(mine)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SAWarning)  # that no row was there
        one.commit()
    assert (order(shop, 1).item_count, order(shop, 1).total) == (0, 0)


def test_two_deletes_at_once_count_once(shop: iq.System, one: Session) -> None:
    one.delete(one.get_one(Item, 1))
    one.flush()
    meanwhile(shop, one, lambda session: session.execute(delete(Item).where(Item.order_id == 1)))
    assert (order(shop, 1).item_count, order(shop, 1).total) == (0, 0)


def test_an_update_of_a_row_that_is_gone_changes_nothing(shop: iq.System, one: Session) -> None:
    one.delete(one.get_one(Item, 1))
    one.flush()
    meanwhile(shop, one, lambda session: session.execute(update(Item).values(amount=99)))
    assert order(shop, 1).total == 0


def test_an_item_for_a_product_whose_price_changes(shop: iq.System, one: Session) -> None:
    one.add(Item(id=2, order_id=2, product_id=1))
    one.flush()
    meanwhile(shop, one, lambda session: setattr(session.get_one(Product, 1), "price", 50))
    assert (order(shop, 1).list_price, order(shop, 2).list_price) == (50, 50)


def test_a_price_change_that_a_new_item_waits_for(shop: iq.System, one: Session) -> None:
    one.get_one(Product, 1).price = 50
    one.flush()
    meanwhile(shop, one, lambda session: session.add(Item(id=2, order_id=2, product_id=1)))
    assert (order(shop, 1).list_price, order(shop, 2).list_price) == (50, 50)


def test_an_item_moves_to_a_product_whose_price_changes(shop: iq.System, one: Session) -> None:
    one.get_one(Product, 2).price = 50
    one.flush()
    meanwhile(shop, one, lambda session: setattr(session.get_one(Item, 1), "product_id", 2))
    assert order(shop, 1).list_price == 50


def test_a_supplier_closes_while_a_product_comes_to_it(shop: iq.System, one: Session) -> None:
    with shop.session_factory.begin() as session:
        session.add(Supplier(id=2))
    one.get_one(Supplier, 2).active = False
    one.flush()
    meanwhile(shop, one, lambda session: setattr(session.get_one(Product, 1), "supplier_id", 2))
    assert order(shop, 1).list_price == 0


def test_an_item_for_a_product_whose_rating_changes(shop: iq.System, one: Session) -> None:
    one.add(Review(product_id=1, stars=5))
    one.flush()
    meanwhile(shop, one, lambda session: session.add(Item(id=2, order_id=2, product_id=1)))
    assert (order(shop, 1).rated, order(shop, 2).rated) == (5, 5)


def test_a_rating_changes_while_an_item_is_added(shop: iq.System, one: Session) -> None:
    one.add(Item(id=2, order_id=2, product_id=1))
    one.flush()
    meanwhile(shop, one, lambda session: session.add(Review(product_id=1, stars=5)))
    assert (order(shop, 1).rated, order(shop, 2).rated) == (5, 5)


def test_two_items_at_once_raise_a_count_on_their_neighbour(shop: iq.System, one: Session) -> None:
    one.add(Item(id=2, order_id=1, product_id=1))
    one.flush()
    meanwhile(shop, one, lambda session: session.add(Item(id=3, order_id=2, product_id=1)))
    with shop.session_factory() as session:
        assert session.get_one(Product, 1).item_count == 3
    assert_true(shop)


def test_an_order_moves_while_its_total_changes(shop: iq.System, one: Session) -> None:
    one.get_one(Order, 1).customer_id = 2
    one.flush()
    meanwhile(shop, one, lambda session: session.add(Item(id=2, order_id=1, product_id=1, amount=Decimal(5))))
    assert order(shop, 1).total == 15
    with shop.session_factory() as session:
        assert [c.spent for c in session.scalars(select(Customer).order_by(Customer.id))] == [0, 15]
        assert shop.storage.dictionary.get(TURNOVER) == 15


def test_a_total_changes_while_its_order_moves_to_a_customer_that_is_not_there_yet(
    shop: iq.System, one: Session
) -> None:
    one.add(Customer(id=9))
    one.get_one(Order, 1).customer_id = 9
    one.flush()
    meanwhile(shop, one, lambda session: setattr(session.get_one(Item, 1), "amount", Decimal(1000)))
    with shop.session_factory() as session:
        assert session.get_one(Customer, 9).spent == 1000
    assert_true(shop)


def test_an_order_is_deleted_while_an_item_comes(shop: iq.System, one: Session) -> None:
    with shop.session_factory.begin() as session:
        session.execute(delete(Item))
    one.delete(one.get_one(Order, 1))
    one.flush()
    with pytest.raises(Exception, match="foreign key"):
        meanwhile(shop, one, lambda session: session.add(Item(id=2, order_id=1, product_id=1)))
    with shop.session_factory() as session:
        assert session.get_one(Product, 1).item_count == 0
        assert session.get_one(Customer, 1).order_count == 0
    assert_true(shop)


def test_rows_that_come_to_match_while_a_bulk_update_waits(shop: iq.System, one: Session) -> None:
    with shop.session_factory.begin() as session:
        session.add(Item(id=2, order_id=2, product_id=1, amount=Decimal(1)))
    one.get_one(Item, 1).amount = Decimal(30)
    one.get_one(Item, 2).amount = Decimal(40)  # matches only once this commits
    one.flush()
    statement = update(Item).where(Item.amount >= 10).values(amount=Item.amount + 1)
    meanwhile(shop, one, lambda session: session.execute(statement))
    assert (order(shop, 1).total, order(shop, 2).total) == (31, 40)


def test_rows_that_no_longer_match_once_a_bulk_delete_has_waited(shop: iq.System, one: Session) -> None:
    one.get_one(Item, 1).amount = Decimal(1)
    one.flush()
    meanwhile(shop, one, lambda session: session.execute(delete(Item).where(Item.amount == 10)))
    assert (order(shop, 1).item_count, order(shop, 1).total) == (1, 1)


def test_a_bulk_update_with_a_join_waits_for_rows_of_its_own_table(shop: iq.System, one: Session) -> None:
    one.get_one(Item, 1).product_id = 2
    one.flush()
    statement = update(Item).where(Item.product_id == Product.id, Product.price == 10).values(amount=99)
    meanwhile(shop, one, lambda session: session.execute(statement))
    assert order(shop, 1).total == 10


def _upsert(session: Session, skus: list[int], order_id: int, amount: int) -> None:
    statement = insert(Item)
    changed = {"amount": statement.excluded.amount, "order_id": statement.excluded.order_id}
    rows = [{"sku": sku, "order_id": order_id, "product_id": 1, "amount": amount, "done": False} for sku in skus]
    # explicit keys come from a place of their own, so that only `sku` conflicts
    keys = [{"id": 1000 * order_id + sku, **row} for sku, row in zip(skus, rows, strict=True)]
    session.execute(statement.on_conflict_do_update(index_elements=["sku"], set_=changed), keys)


def test_two_upserts_of_a_new_key(shop: iq.System, one: Session) -> None:
    _upsert(one, [7], 1, 3)
    meanwhile(shop, one, lambda session: _upsert(session, [7], 2, 5))
    assert (order(shop, 1).total, order(shop, 2).total) == (10, 5)


def test_two_upserts_of_new_keys_in_opposite_order(shop: iq.System, one: Session) -> None:
    _upsert(one, [15], 1, 1)

    def upsert(skus: list[int], order_id: int) -> None:
        with shop.session_factory.begin() as session:
            _upsert(session, skus, order_id, 2)

    with in_background(lambda: upsert([10, 15, 20], 1)):
        wait_until_blocked(engine_of(shop))  # by the key 15
        with in_background(lambda: upsert([20, 10], 2)):
            wait_until_blocked(engine_of(shop), 2)  # by the key 10, and must not have taken 20 before
            one.commit()
    assert order(shop, 1).item_count + order(shop, 2).item_count == 4


def test_an_upsert_whose_row_is_deleted_while_it_waits(shop: iq.System, one: Session) -> None:
    one.delete(one.get_one(Item, 1))
    one.flush()
    meanwhile(shop, one, lambda session: _upsert(session, [1], 2, 5))
    assert (order(shop, 1).item_count, order(shop, 2).total) == (0, 5)


def test_a_delete_that_waits_for_an_upsert(shop: iq.System, one: Session) -> None:
    _upsert(one, [1], 2, 5)
    meanwhile(shop, one, lambda session: session.execute(delete(Item).where(Item.sku == 1)))
    assert (order(shop, 1).item_count, order(shop, 2).item_count) == (0, 0)


def test_a_missing_dictionary_row_is_an_error_not_a_lost_change(shop: iq.System) -> None:
    table = shop.schema.metadata.tables["dictionary_turnover"]
    with shop.session_factory() as session:
        session.execute(table.delete())
        session.add(Item(id=2, order_id=1, product_id=1, amount=Decimal(5)))
        with pytest.raises(iq.ComputationError, match=TURNOVER):
            session.flush()
    assert order(shop, 1).total == 10


def test_both_sides_see_what_they_added_after_a_commit(shop: iq.System, one: Session, two: Session) -> None:
    """What a loaded host shows is what its own transaction has seen under the host's lock."""
    mine = one.get_one(Order, 1)
    two.add(Item(id=2, order_id=1, product_id=1, amount=Decimal(5)))
    two.commit()
    one.add(Item(id=3, order_id=1, product_id=1, amount=Decimal(7)))
    one.flush()
    assert (mine.item_count, mine.total) == (3, 22)
    one.commit()
    with shop.session_factory() as session:
        assert session.scalar(select(func.sum(Order.total))) == 22
