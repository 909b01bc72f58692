"""``Session.merge()``: stale computed values are not assignments, assignments are refused as ever."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import ForeignKey, insert, update
from sqlalchemy.orm import DeclarativeBase, Mapped, make_transient_to_detached, mapped_column, relationship

from interaqt_sa import ComputedWriteError, Count, Summation, computed
from tests.declarative.kept import Keep, Kept


class Base(DeclarativeBase):
    pass


class Cart(Base):
    __tablename__ = "cart"

    id: Mapped[int] = mapped_column(primary_key=True)
    note: Mapped[str | None]
    items: Mapped[list[Item]] = relationship(back_populates="cart", cascade="all, delete-orphan")
    item_count: Mapped[int] = computed(Count("items"))
    price: Mapped[int] = computed(Summation("items", "price"), deferred=True)
    caption: Mapped[str] = computed(lambda cart: f"cart {cart.note}")


class Item(Base):
    __tablename__ = "item"

    id: Mapped[int] = mapped_column(primary_key=True)
    cart_id: Mapped[int] = mapped_column(ForeignKey("cart.id"))
    cart: Mapped[Cart] = relationship(back_populates="items")
    price: Mapped[int] = mapped_column(default=1)


CARTS: tuple[Any, ...] = (Cart.id, Cart.item_count, Cart.price, Cart.caption)


@pytest.fixture
def carts(keep: Keep) -> Kept:
    return keep(Base, expire_on_commit=False)


@pytest.fixture
def stale(carts: Kept) -> Cart:
    """Return a detached cart whose computed values are those of an earlier time."""
    with carts.begin() as session:
        session.add(Cart(note="a", items=[Item(), Item()]))
    with carts.begin() as session:
        cart = session.get_one(Cart, 1)
        assert (cart.item_count, cart.price) == (2, 2)
    carts.run(insert(Item), [{"cart_id": 1, "price": 7}])
    return cart


def test_a_stale_value_is_not_written(carts: Kept, stale: Cart) -> None:
    stale.note = "b"
    with carts.begin() as session:
        merged = session.merge(stale)
        session.flush()
        assert (merged.note, merged.item_count, merged.price) == ("b", 3, 9)
    assert carts.stored(*CARTS) == [(1, 3, 9, "cart b")]


def test_a_stale_value_does_not_replace_a_loaded_one(carts: Kept, stale: Cart) -> None:
    with carts.begin() as session:
        loaded = session.get_one(Cart, 1)
        assert session.merge(stale) is loaded
        assert loaded.item_count == 3
        assert not session.is_modified(loaded)


def test_members_merged_with_their_host_count(carts: Kept, stale: Cart) -> None:
    with carts.sessions() as session:
        stale = session.get_one(Cart, 1)
        stale.items.remove(stale.items[0])
        stale.items.append(Item(price=20))
        session.expunge_all()
    carts.run(update(Item).where(Item.price == 7).values(price=8))
    with carts.begin() as session:
        merged = session.merge(stale)
        session.flush()
        assert (merged.item_count, merged.price) == (3, 28)
    assert carts.stored(*CARTS) == [(1, 3, 28, "cart a")]


def test_new_objects_are_merged(carts: Kept) -> None:
    with carts.begin() as session:
        session.merge(Cart(id=5, note="new", items=[Item(), Item(price=3)]))
    assert carts.stored(*CARTS) == [(5, 2, 4, "cart new")]


def test_a_detached_object_whose_row_is_gone_comes_back_with_true_values(carts: Kept, stale: Cart) -> None:
    with carts.begin() as session:
        session.delete(session.get_one(Cart, 1))
    with carts.begin() as session:
        session.merge(stale)
    assert carts.stored(*CARTS) == [(1, 0, 0, "cart a")]


def test_a_merge_without_load_takes_values_as_they_are(carts: Kept, stale: Cart) -> None:
    with carts.begin() as session:
        merged = session.merge(stale, load=False)
        assert merged.item_count == 2
        merged.items.append(Item())
        session.flush()
        assert merged.item_count == 4
    assert carts.stored(*CARTS)[0][:2] == (1, 4)


def test_a_known_key_made_detached(carts: Kept, stale: Cart) -> None:
    known = Cart(id=1)
    make_transient_to_detached(known)
    known.note = "c"
    with carts.begin() as session:
        session.add(known)
    assert carts.stored(*CARTS) == [(1, 3, 9, "cart c")]


@pytest.mark.parametrize("name", ["item_count", "price", "caption"])
def test_an_assignment_to_a_detached_object_is_refused(carts: Kept, stale: Cart, name: str) -> None:
    setattr(stale, name, "99" if name == "caption" else 99)
    with pytest.raises(ComputedWriteError, match=rf"Cart\.{name} is computed"), carts.begin() as session:
        session.merge(stale)
    assert carts.stored(*CARTS) == [(1, 3, 9, "cart a")]


def test_an_assignment_in_the_constructor_is_refused_also_when_merged(carts: Kept) -> None:
    with pytest.raises(ComputedWriteError, match=r"Cart\.item_count is computed"), carts.begin() as session:
        session.merge(Cart(id=5, item_count=3))
