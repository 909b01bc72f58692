"""How many members are read, and in how many statements, to find the next one: First, Latest, Min and Max."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import Engine, ForeignKey, Index, delete, event, func, insert, select, text, update
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

import interaqt_sa as iq
from tests.declarative.kept import Keep, Kept
from tests.support.statements import count_statements


def is_read(bid: Any) -> Any:
    """Return a condition that is true, and that the database evaluates for each member that it reads."""
    return func.noted(bid.id) == 1


class Base(DeclarativeBase):
    pass


class Auction(Base):
    __tablename__ = "auction"

    id: Mapped[int] = mapped_column(primary_key=True)
    bids: Mapped[list[Bid]] = relationship()
    first: Mapped[str | None] = iq.computed(iq.First("bids", "name", by="at", where=is_read))
    latest: Mapped[str | None] = iq.computed(iq.Latest("bids", "name", by="at", where=is_read))
    least: Mapped[int | None] = iq.computed(iq.Min("bids", "at", where=is_read))
    most: Mapped[int | None] = iq.computed(iq.Max("bids", "at", where=is_read))


class Bid(Base):
    __tablename__ = "bid"
    __table_args__ = (Index("ix_bid_at", "auction_id", "at", "id"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    auction_id: Mapped[int] = mapped_column(ForeignKey("auction.id"))
    at: Mapped[int]
    name: Mapped[str]


class Noted:
    """The keys of the members that the database has read."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._found: set[int] = set()
        if engine.dialect.name == "sqlite":
            event.listen(engine, "connect", self._define)
            return
        with engine.begin() as connection:
            connection.execute(text("CREATE TABLE noted_key (id integer)"))
            connection.execute(
                text(
                    "CREATE FUNCTION noted(integer) RETURNS integer LANGUAGE sql VOLATILE AS "
                    "'INSERT INTO noted_key VALUES ($1); SELECT 1'"
                )
            )

        @event.listens_for(engine, "connect")
        def use_indexes(raw: Any, _: Any) -> None:
            with raw.cursor() as cursor:  # small tables would be scanned
                cursor.execute("SET enable_seqscan = off; SET enable_sort = off; SET enable_bitmapscan = off")
            raw.commit()

        engine.dispose()

    def _define(self, raw: Any, _: Any) -> None:
        raw.create_function("noted", 1, lambda key: self._found.add(key) or 1)

    def clear(self) -> None:
        self._found.clear()
        if self._engine.dialect.name != "sqlite":
            with self._engine.begin() as connection:
                connection.execute(text("DELETE FROM noted_key"))

    def keys(self) -> set[int]:
        if self._engine.dialect.name == "sqlite":
            return set(self._found)
        with self._engine.connect() as connection:
            return set(connection.scalars(text("SELECT id FROM noted_key")))


@pytest.fixture
def noted(engine: Engine) -> Iterator[Noted]:
    found = Noted(engine)
    yield found
    if engine.dialect.name != "sqlite":
        with engine.begin() as connection:
            connection.execute(text("DROP FUNCTION noted; DROP TABLE noted_key"))


@pytest.fixture
def auctions(noted: Noted, keep: Keep) -> Kept:
    return keep(Base)


def fill(kept: Kept, hosts: int, members: int, start: int = 0) -> None:
    with kept.begin() as session:
        session.execute(insert(Auction), [{"id": start + host} for host in range(hosts)])
        rows = [
            {"id": start + host * members + n, "auction_id": start + host, "at": n, "name": f"bid {n}"}
            for host in range(hosts)
            for n in range(members)
        ]
        session.execute(insert(Bid), rows)


def test_members_that_do_not_lead_leave_without_a_read(auctions: Kept, noted: Noted) -> None:
    fill(auctions, 10, 200)
    noted.clear()
    leaving = delete(Bid).where(Bid.at.between(50, 149))
    assert auctions.run(leaving) == 1000
    assert noted.keys() == {host * 200 + n for host in range(10) for n in range(50, 150)}, "others were read too"
    auctions.verify()


def test_members_that_do_not_lead_change_without_a_read(auctions: Kept, noted: Noted) -> None:
    fill(auctions, 10, 20)
    noted.clear()
    auctions.run(update(Bid).where(Bid.at == 10).values(name="changed"))
    auctions.run(update(Bid).where(Bid.at == 11).values(at=-1))  # now they lead
    auctions.run(insert(Bid), [{"id": 1000 + host, "auction_id": host, "at": 5, "name": "new"} for host in range(10)])
    written = {host * 20 + n for host in range(10) for n in (10, 11)} | {1000 + host for host in range(10)}
    assert noted.keys() == written, "others were read too"
    assert auctions.stored(Auction.id, Auction.first, Auction.least)[0] == (0, "bid 11", -1)


def test_one_member_is_read_for_each_leader_that_leaves(auctions: Kept, noted: Noted) -> None:
    fill(auctions, 10, 20)
    noted.clear()
    auctions.run(delete(Bid).where(Bid.at == 0))
    assert noted.keys() == {host * 20 + n for host in range(10) for n in (0, 1)}, "others were read too"
    noted.clear()
    auctions.run(update(Bid).where(Bid.at == 19).values(at=7))
    assert noted.keys() == {host * 20 + n for host in range(10) for n in (18, 19)}, "others were read too"
    assert auctions.stored(Auction.id, Auction.first, Auction.latest)[0] == (0, "bid 1", "bid 18")


def test_the_leaders_of_1000_hosts_leave_in_a_constant_number_of_statements(auctions: Kept) -> None:
    counts = []
    for size in (5, 10, 1000):  # the first time more is asked about the tables
        start = 100_000 * size
        fill(auctions, size, 3, start)
        with count_statements(auctions.engine) as seen, auctions.begin() as session:
            session.execute(delete(Bid).where(Bid.at.in_([0, 2]), Bid.auction_id >= start))
        counts.append(len(seen))
        with auctions.begin() as session:
            found = session.execute(select(Auction.first, Auction.latest).where(Auction.id >= start)).all()
        assert set(found) == {("bid 1", "bid 1")}
        auctions.run(delete(Bid))
        auctions.verify()
    assert counts[1] == counts[2], counts
