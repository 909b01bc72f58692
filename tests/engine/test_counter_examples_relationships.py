"""Rows that the unit of work, or the database, writes without being told in `session.dirty` or `session.deleted`."""

from __future__ import annotations

from decimal import Decimal
from typing import ClassVar

import pytest
from sqlalchemy import ForeignKey, delete, func, select
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

import interaqt_sa as iq
from tests.engine.conftest import MakeSystem
from tests.engine.ledger import Account, Base, Category, Entry, Line, Note
from tests.engine.schedules import assert_true
from tests.engine.shop import Base as ShopBase
from tests.engine.shop import Customer, Item, Order, Product, Supplier, Tag, item_tag


@pytest.fixture
def ledger(make_system: MakeSystem) -> iq.System:
    """Return a system over two accounts; the first has two entries with a line each, and a note."""
    system = make_system(Base)
    with system.session_factory.begin() as session:
        session.add(Category(id=1))
        session.flush()
        entries = [Entry(id=n, amount=Decimal(n), category_id=1, lines=[Line(id=n, category_id=1)]) for n in (1, 2)]
        session.add_all([Account(id=1, entries=entries, notes=[Note(id=1)]), Account(id=2)])
    assert counts(system) == [(2, 1), (0, 0)]
    return system


def counts(system: iq.System) -> list[tuple[int, int]]:
    assert_true(system)
    with system.session_factory() as session:
        rows = session.execute(select(Account.entry_count, Account.note_count).order_by(Account.id))
        return [(entries, notes) for entries, notes in rows]


def category(system: iq.System) -> tuple[int, int]:
    with system.session_factory() as session:
        found = session.get_one(Category, 1)
        return found.entry_count, found.line_count


def test_an_orphan_of_a_collection_without_counterpart_is_deleted(ledger: iq.System) -> None:
    with ledger.session_factory.begin() as session:
        account = session.get_one(Account, 1)
        account.entries.pop(0)
        session.flush()
        assert account.balance == 2
    assert counts(ledger) == [(1, 1), (0, 0)]


def test_what_the_database_deletes_with_an_orphan_counts(ledger: iq.System) -> None:
    with ledger.session_factory.begin() as session:
        account = session.get_one(Account, 1)
        account.entries.pop(0)
    assert counts(ledger) == [(1, 1), (0, 0)]
    assert category(ledger) == (1, 1)


def test_a_member_moves_through_collections_without_counterpart(ledger: iq.System) -> None:
    with ledger.session_factory.begin() as session:
        note, other = session.get_one(Note, 1), session.get_one(Account, 2)
        other.notes.append(note)  # the old collection is not loaded
    assert counts(ledger) == [(2, 0), (0, 1)]


def test_a_member_moves_between_loaded_collections(ledger: iq.System) -> None:
    with ledger.session_factory.begin() as session:
        one, two = session.get_one(Account, 1), session.get_one(Account, 2)
        two.entries.append(one.entries.pop(0))
        session.flush()
        assert (one.balance, two.balance) == (2, 1)
    assert counts(ledger) == [(1, 1), (1, 0)]
    assert category(ledger) == (2, 2)


def test_a_collection_is_replaced(ledger: iq.System) -> None:
    with ledger.session_factory.begin() as session:
        account = session.get_one(Account, 1)
        account.entries = [Entry(id=3, amount=Decimal(8)), account.entries[1]]
        account.notes = []
        session.flush()
        assert (account.balance, account.note_count) == (10, 0)
    assert counts(ledger) == [(2, 0), (0, 0)]


def test_members_are_cut_loose_when_their_host_is_deleted(ledger: iq.System) -> None:
    with ledger.session_factory.begin() as session:
        session.delete(session.get_one(Account, 1))
    assert counts(ledger) == [(0, 0)]
    assert category(ledger) == (0, 0)
    with ledger.session_factory() as session:
        assert session.get_one(Note, 1).account_id is None


def test_the_database_cascades_below_a_deleted_object(ledger: iq.System) -> None:
    with ledger.session_factory.begin() as session:
        session.delete(session.get_one(Entry, 1))
    assert category(ledger) == (1, 1)
    assert counts(ledger) == [(1, 1), (0, 0)]


def test_the_database_cascades_below_a_bulk_delete(ledger: iq.System) -> None:
    with ledger.session_factory.begin() as session:
        session.execute(delete(Entry).where(Entry.account_id == 1))
    assert category(ledger) == (0, 0)
    assert counts(ledger) == [(0, 1), (0, 0)]


class ChainBase(DeclarativeBase):
    pass


class Region(ChainBase):
    __tablename__ = "region"
    id: Mapped[int] = mapped_column(primary_key=True)


class Town(ChainBase):
    """Nothing is computed from it, and nothing about it."""

    __tablename__ = "town"
    id: Mapped[int] = mapped_column(primary_key=True)
    region_id: Mapped[int] = mapped_column(ForeignKey("region.id", ondelete="CASCADE"))


class Firm(ChainBase):
    __tablename__ = "firm"
    id: Mapped[int] = mapped_column(primary_key=True)
    worker_count: Mapped[int] = iq.computed(iq.Count("workers"))
    manager_count: Mapped[int] = iq.computed(iq.Count("managers"))
    workers: Mapped[list[Worker]] = relationship(back_populates="firm")
    managers: Mapped[list[Manager]] = relationship(viewonly=True)


class Worker(ChainBase):
    __tablename__ = "worker"
    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(default="worker")
    firm_id: Mapped[int | None] = mapped_column(ForeignKey("firm.id", ondelete="SET NULL"))
    town_id: Mapped[int | None] = mapped_column(ForeignKey("town.id", ondelete="CASCADE"))
    firm: Mapped[Firm | None] = relationship(back_populates="workers")
    __mapper_args__: ClassVar = {"polymorphic_on": kind, "polymorphic_identity": "worker"}


class Manager(Worker):
    __tablename__ = "manager"
    id: Mapped[int] = mapped_column(ForeignKey("worker.id", ondelete="CASCADE"), primary_key=True)
    bonus: Mapped[int] = mapped_column(default=0)
    __mapper_args__: ClassVar = {"polymorphic_identity": "manager"}


@pytest.fixture
def chain(make_system: MakeSystem) -> iq.System:
    system = make_system(ChainBase)
    with system.session_factory.begin() as session:
        session.add_all([Region(id=1), Firm(id=1)])
        session.flush()
        session.add(Town(id=1, region_id=1))
        session.flush()
        session.add_all([Worker(firm_id=1, town_id=1), Worker(firm_id=1), Manager(firm_id=1, town_id=1)])
        session.flush()
        assert (session.get_one(Firm, 1).worker_count, session.get_one(Firm, 1).manager_count) == (3, 1)
    return system


def test_a_cascade_passes_through_tables_without_computations(chain: iq.System) -> None:
    with chain.session_factory.begin() as session:
        session.delete(session.get_one(Region, 1))
    with chain.session_factory() as session:
        assert session.scalar(select(func.count()).select_from(Worker)) == 1
        assert (session.get_one(Firm, 1).worker_count, session.get_one(Firm, 1).manager_count) == (1, 0)
    assert_true(chain)


def test_a_bulk_delete_cascades_through_tables_without_computations(chain: iq.System) -> None:
    with chain.session_factory.begin() as session:
        session.execute(delete(Region).where(Region.id == 1))
    with chain.session_factory() as session:
        assert (session.get_one(Firm, 1).worker_count, session.get_one(Firm, 1).manager_count) == (1, 0)
    assert_true(chain)


def test_rows_of_joined_subclasses_are_members(chain: iq.System) -> None:
    with chain.session_factory.begin() as session:
        manager = session.scalars(select(Manager)).one()
        session.add(Manager(firm_id=1, bonus=3))
        manager.bonus = 2
        session.flush()
        session.delete(manager)
    with chain.session_factory() as session:
        assert (session.get_one(Firm, 1).worker_count, session.get_one(Firm, 1).manager_count) == (3, 1)
    assert_true(chain)


@pytest.fixture
def shop(make_system: MakeSystem) -> iq.System:
    """Return a system over an order with two items and two tags without any."""
    system = make_system(ShopBase)
    with system.session_factory.begin() as session:
        product = Product(id=1, price=10, supplier=Supplier(id=1))
        items = [Item(id=n, product=product, amount=Decimal(n)) for n in (1, 2)]
        session.add_all([Order(id=1, customer=Customer(id=1), items=items), Tag(id=1), Tag(id=2)])
    return system


def tags(system: iq.System) -> list[tuple[int, Decimal]]:
    assert_true(system)
    with system.session_factory() as session:
        return [(n, s) for n, s in session.execute(select(Tag.use_count, Tag.tagged).order_by(Tag.id))]


def test_links_of_a_many_to_many_relationship_are_members(shop: iq.System) -> None:
    with shop.session_factory.begin() as session:
        one, two = session.get_one(Tag, 1), session.get_one(Tag, 2)
        first, second = session.get_one(Item, 1), session.get_one(Item, 2)
        one.items = [first, second]
        second.tags.append(two)
        session.flush()
        assert (one.use_count, one.tagged, two.use_count, two.tagged) == (2, 3, 1, 2)
        first.tags = [two]
        second.amount = Decimal(20)
        session.flush()
        assert (one.use_count, one.tagged, two.use_count, two.tagged) == (1, 20, 2, 21)
    assert tags(shop) == [(1, 20), (2, 21)]


def test_links_go_with_either_end(shop: iq.System) -> None:
    with shop.session_factory.begin() as session:
        one, two = session.get_one(Tag, 1), session.get_one(Tag, 2)
        for tag in (one, two):
            tag.items.extend(session.scalars(select(Item)))
    with shop.session_factory.begin() as session:
        session.delete(session.get_one(Item, 1))
        session.delete(session.get_one(Tag, 2))
    assert tags(shop) == [(1, 2)]
    with shop.session_factory.begin() as session:
        session.execute(delete(Item).where(Item.id == 2))
    assert tags(shop) == [(0, 0)]


def test_links_are_written_in_bulk(shop: iq.System) -> None:
    with shop.session_factory.begin() as session:
        rows = [{"item_id": 1, "tag_id": 1}, {"item_id": 2, "tag_id": 1}, {"item_id": 2, "tag_id": 2}]
        session.execute(item_tag.insert(), rows)
    assert tags(shop) == [(2, 3), (1, 2)]
    with shop.session_factory.begin() as session:
        session.execute(item_tag.delete().where(item_tag.c.item_id == 2))
    assert tags(shop) == [(1, 1), (0, 0)]
