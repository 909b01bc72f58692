"""A statement writes the columns that its SET means, by whatever expression or name it means them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import (
    JSON,
    Column,
    Engine,
    ForeignKey,
    Integer,
    MetaData,
    Table,
    func,
    insert,
    literal_column,
    select,
    tuple_,
    type_coerce,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.ext.hybrid import hybrid_property
from sqlalchemy.orm import DeclarativeBase, Mapped, composite, mapped_column, relationship, synonym

import interaqt_sa as iq
from tests.declarative.kept import Kept


class Base(DeclarativeBase):
    pass


@dataclasses.dataclass
class Money:
    units: int
    cents: int


class Account(Base):
    __tablename__ = "account"
    id: Mapped[int] = mapped_column(primary_key=True)
    entries: Mapped[list[Entry]] = relationship()
    units: Mapped[int] = iq.computed(iq.Summation("entries", "units"))
    cents: Mapped[int] = iq.computed(iq.Summation("entries", "cents"))
    hot: Mapped[int] = iq.computed(iq.Count("entries", where=lambda e: e.tags[0].as_integer() == 5))


class Entry(Base):
    __tablename__ = "entry"
    id: Mapped[int] = mapped_column(primary_key=True)
    account_id: Mapped[int] = mapped_column("account_of", ForeignKey("account.id"), key="account_key")
    units: Mapped[int] = mapped_column("units_of", default=0)
    cents: Mapped[int] = mapped_column(default=0)
    tags: Mapped[list[int]] = mapped_column(JSON().with_variant(JSONB(), "postgresql"), default=list)
    money: Mapped[Money] = composite("units", "cents")
    also_units: Mapped[int] = synonym("units")
    total: Mapped[int] = iq.computed(lambda e: e.units * 100 + e.cents)

    @hybrid_property
    def doubled(self) -> int:
        return self.units * 2

    @doubled.inplace.update_expression
    @classmethod
    def _update_doubled(cls, value: Any) -> Any:
        return [(cls.units, value / 2)]


ENTRY: Table = Entry.__table__  # type: ignore[assignment]
OTHER = Table("entry", MetaData(), Column("id", Integer), Column("units_of", Integer))

#: what is written, by the ways in which a SET may name it
UPDATES: dict[str, Callable[[], Any]] = {
    "attribute": lambda: update(Entry).values(units=5),
    "attribute as key": lambda: update(Entry).values({Entry.units: 5}),
    "name of an attribute as key": lambda: update(Entry).values({"units": 5, "account_id": 2}),
    "key of a column": lambda: update(ENTRY).values(account_key=2),
    "Column": lambda: update(ENTRY).values({ENTRY.c.account_key: 2, ENTRY.c.units_of: 5}),
    "Column of another Table": lambda: update(ENTRY).values({OTHER.c.units_of: 5}),
    "text": lambda: update(ENTRY).values({literal_column("units_of"): 5}),
    "in order": lambda: update(Entry).ordered_values((Entry.units, Entry.units + 1), (Entry.cents, Entry.units)),
    "several at once": lambda: update(ENTRY).values(
        {tuple_(ENTRY.c.units_of, ENTRY.c.cents): select(func.max(Account.id), func.min(Account.id)).scalar_subquery()}
    ),
    "with another type": lambda: update(ENTRY).values({type_coerce(ENTRY.c.units_of, Integer): 5}),
    "composite": lambda: update(Entry).values({Entry.money: Money(5, 7)}),
    "composite by name": lambda: update(Entry).values(money=Money(5, 7)),
    "synonym": lambda: update(Entry).values(also_units=5),
    "hybrid": lambda: update(Entry).values({Entry.doubled: 10}),
    "foreign key by expression": lambda: update(Entry).values(account_id=3 - Entry.account_id),
}


@pytest.fixture
def accounts(engine: Engine) -> Kept:
    kept = Kept(engine, Base)
    with kept.begin() as session:
        session.add(Account(id=1, entries=[Entry(id=n, units=n, cents=n, tags=[n, 2]) for n in (1, 2, 3)]))
        session.add(Account(id=2))
    return kept


@pytest.mark.parametrize("make", UPDATES.values(), ids=UPDATES)
def test_updates(accounts: Kept, make: Callable[[], Any]) -> None:
    before = accounts.stored(Entry.id, Entry.units, Entry.cents, Entry.account_id)
    with accounts.begin() as session:
        session.execute(make().where(ENTRY.c.id < 3).execution_options(synchronize_session=False))
    assert accounts.stored(Entry.id, Entry.units, Entry.cents, Entry.account_id) != before


@pytest.mark.parametrize(
    "values",
    [
        {Entry.total: 1},
        {"total": 1},
        {ENTRY.c.total: 1},
        {literal_column("total"): 1},
        {type_coerce(ENTRY.c.total, Integer): 1},
        {tuple_(ENTRY.c.cents, ENTRY.c.total): select(Account.id, Account.id).scalar_subquery()},
    ],
)
def test_computed_columns(accounts: Kept, values: Any) -> None:
    with accounts.begin() as session, pytest.raises(iq.ComputedWriteError, match=r"Entry\.total"):
        session.execute(update(ENTRY).values(values))


ROWS: dict[str, Callable[[], tuple[Any, Any]]] = {
    "by position": lambda: (insert(ENTRY.to_metadata(MetaData())).values((9, 2, 5, 6, [5])), None),
    "rows by position": lambda: (insert(ENTRY).values([(9, 2, 5, 6, [5]), (10, 2, 5, 6, [])]), None),
    "attributes": lambda: (insert(Entry).values([{"id": 9, "account_id": 2, "units": 5}]), None),
    "parameters": lambda: (insert(Entry), [{"id": 9, "account_id": 2, "units": 5}, {"id": 10, "account_id": 2}]),
    "parameters of columns": lambda: (insert(ENTRY), [{"id": 9, "account_key": 2, "units_of": 5}]),
    "composite": lambda: (insert(Entry), [{"id": 9, "account_id": 2, "money": Money(5, 7)}]),
    "composite value": lambda: (insert(Entry).values(id=9, account_id=2, money=Money(5, 7)), None),
}


@pytest.mark.parametrize("make", ROWS.values(), ids=ROWS)
def test_inserts(accounts: Kept, make: Callable[[], tuple[Any, Any]]) -> None:
    with accounts.begin() as session:
        session.execute(*make())
    assert dict(accounts.stored(Account.id, Account.units))[2] >= 5


def test_computed_columns_by_position(accounts: Kept) -> None:
    with accounts.begin() as session, pytest.raises(iq.ComputedWriteError, match=r"Entry\.total"):
        session.execute(insert(ENTRY).values([(9, 2, 5, 6, [5], 77)]))


class Arrays(DeclarativeBase):
    pass


class Owner(Arrays):
    __tablename__ = "owner"
    id: Mapped[int] = mapped_column(primary_key=True)
    lists: Mapped[list[Listed]] = relationship()
    hot: Mapped[int] = iq.computed(iq.Count("lists", where=lambda entry: entry.tags[1] == 5))


class Listed(Arrays):
    __tablename__ = "listed"
    id: Mapped[int] = mapped_column(primary_key=True)
    owner_id: Mapped[int] = mapped_column(ForeignKey("owner.id"))
    tags: Mapped[list[int]] = mapped_column(ARRAY(Integer))


@pytest.mark.parametrize("key", [Listed.tags[1], Listed.tags[1:2]], ids=["element", "slice"])
@pytest.mark.postgres
def test_a_part_of_an_array(engine: Engine, key: Any) -> None:
    if engine.dialect.name == "sqlite":
        return  # which has no arrays
    kept = Kept(engine, Arrays)
    with kept.begin() as session:
        session.add(Owner(id=1, lists=[Listed(id=1, tags=[1, 2])]))
    with kept.begin() as session:
        value = [5, 2] if "slice" in type(key.right).__name__.lower() else 5
        session.execute(update(Listed).values({key: value}), execution_options={"synchronize_session": False})
    assert kept.stored(Owner.id, Owner.hot) == [(1, 1)]
