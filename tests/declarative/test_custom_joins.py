"""Relationships with a join condition of their own: criteria, other host keys, no foreign key, viewonly."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import ForeignKey, UniqueConstraint, delete, insert, update
from sqlalchemy.orm import DeclarativeBase, Mapped, foreign, mapped_column, relationship, remote

from interaqt_sa import Count, Summation, computed
from tests.declarative.kept import Keep, Kept


class Base(DeclarativeBase):
    pass


class Account(Base):
    """Its entries refer to its number, which is not its primary key."""

    __tablename__ = "account"
    __table_args__ = (UniqueConstraint("number"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    number: Mapped[int]
    entries: Mapped[list[Entry]] = relationship(back_populates="account")
    booked: Mapped[list[Entry]] = relationship(
        primaryjoin=lambda: (Account.number == Entry.account_number) & (Entry.state == "booked"), viewonly=True
    )
    entry_count: Mapped[int] = computed(Count("entries"))
    booked_sum: Mapped[int] = computed(Summation("booked", "amount"))
    large_booked: Mapped[int] = computed(Count("booked", where=lambda entry: entry.amount > 10))


class Entry(Base):
    __tablename__ = "entry"

    id: Mapped[int] = mapped_column(primary_key=True)
    account_number: Mapped[int | None] = mapped_column(ForeignKey("account.number"))
    account: Mapped[Account | None] = relationship(back_populates="entries")
    state: Mapped[str] = mapped_column(default="planned")
    amount: Mapped[int]


class Sensor(Base):
    """Its readings name it without a foreign key, and may come first."""

    __tablename__ = "sensor"

    code: Mapped[str] = mapped_column(primary_key=True)
    readings: Mapped[list[Reading]] = relationship(
        primaryjoin=lambda: Sensor.code == foreign(Reading.sensor_code), viewonly=True
    )
    reading_count: Mapped[int] = computed(Count("readings"))
    total: Mapped[int] = computed(Summation("readings", "value"))


class Reading(Base):
    __tablename__ = "reading"

    id: Mapped[int] = mapped_column(primary_key=True)
    sensor_code: Mapped[str]
    value: Mapped[int]


class Topic(Base):
    """Its posts name its slug, which is not its primary key, without a foreign key."""

    __tablename__ = "topic"

    id: Mapped[int] = mapped_column(primary_key=True)
    slug: Mapped[str]
    forum_id: Mapped[int] = mapped_column(ForeignKey("forum.id"))
    posts: Mapped[list[Post]] = relationship(primaryjoin=lambda: Topic.slug == foreign(Post.slug), viewonly=True)
    post_count: Mapped[int] = computed(Count("posts"))


class Post(Base):
    __tablename__ = "post"

    id: Mapped[int] = mapped_column(primary_key=True)
    slug: Mapped[str]


class Forum(Base):
    __tablename__ = "forum"

    id: Mapped[int] = mapped_column(primary_key=True)
    topics: Mapped[list[Topic]] = relationship()
    posts: Mapped[int] = computed(Summation("topics", "post_count"))


class Page(Base):
    __tablename__ = "page"

    id: Mapped[int] = mapped_column(primary_key=True)
    hidden: Mapped[bool] = mapped_column(default=False)
    parent_id: Mapped[int | None] = mapped_column(ForeignKey("page.id"))
    shown: Mapped[list[Page]] = relationship(
        primaryjoin=lambda: (Page.id == foreign(remote(Page.parent_id))) & remote(Page.hidden).is_(False),
        viewonly=True,
    )
    shown_count: Mapped[int] = computed(Count("shown"))


ACCOUNTS: tuple[Any, ...] = (Account.number, Account.entry_count, Account.booked_sum, Account.large_booked)
SENSORS: tuple[Any, ...] = (Sensor.code, Sensor.reading_count, Sensor.total)


@pytest.fixture
def bank(keep: Keep) -> Kept:
    kept = keep(Base)
    with kept.begin() as session:
        session.add_all([Account(number=700), Account(number=800)])
        session.flush()
        session.add_all([Entry(account_number=700, amount=5), Entry(account_number=700, amount=20, state="booked")])
    return kept


def test_criteria_of_a_join_condition_select_members(bank: Kept) -> None:
    assert bank.stored(*ACCOUNTS) == [(700, 2, 20, 1), (800, 0, 0, 0)]
    with bank.begin() as session:
        first, second = session.get_one(Entry, 1), session.get_one(Entry, 2)
        first.state = "booked"
        second.account = session.get_one(Account, 2)
    assert bank.stored(*ACCOUNTS) == [(700, 1, 5, 0), (800, 1, 20, 1)]
    with bank.begin() as session:
        session.get_one(Entry, 2).state = "void"
        session.delete(session.get_one(Entry, 1))
    assert bank.stored(*ACCOUNTS) == [(700, 0, 0, 0), (800, 1, 0, 0)]


def test_bulk_statements_flip_criteria(bank: Kept) -> None:
    bank.run(update(Entry).values(state="booked", amount=Entry.amount + 10))
    assert bank.stored(*ACCOUNTS) == [(700, 2, 45, 2), (800, 0, 0, 0)]
    bank.run(update(Entry).where(Entry.amount > 20).values(account_number=800))
    bank.run(insert(Entry), [{"account_number": 800, "amount": 1, "state": "booked"}])
    assert bank.stored(*ACCOUNTS) == [(700, 1, 15, 1), (800, 2, 31, 1)]
    bank.run(delete(Entry).where(Entry.account_number == 800))
    assert bank.stored(*ACCOUNTS) == [(700, 1, 15, 1), (800, 0, 0, 0)]


def test_a_new_host_and_its_members_in_one_flush_over_a_key_that_is_not_primary(bank: Kept) -> None:
    with bank.begin() as session:
        session.add(Account(number=900, entries=[Entry(amount=30, state="booked"), Entry(amount=1)]))
    assert bank.stored(*ACCOUNTS)[2] == (900, 2, 30, 1)


def test_members_without_a_foreign_key_may_precede_their_host(keep: Keep) -> None:
    kept = keep(Base)
    with kept.begin() as session:
        session.add_all([Reading(id=1, sensor_code="x", value=4), Reading(id=2, sensor_code="y", value=5)])
        session.add(Sensor(code="y"))
    assert kept.stored(*SENSORS) == [("y", 1, 5)]
    with kept.begin() as session:
        session.add(Sensor(code="x"))
    assert kept.stored(*SENSORS) == [("x", 1, 4), ("y", 1, 5)]


def test_members_without_a_foreign_key_change_move_and_go(keep: Keep) -> None:
    kept = keep(Base)
    with kept.begin() as session:
        session.add_all([Sensor(code="x"), Sensor(code="y")])
        session.add_all([Reading(id=n, sensor_code="x", value=n) for n in (1, 2, 3)])
    with kept.begin() as session:
        session.get_one(Reading, 1).sensor_code = "y"
        session.get_one(Reading, 2).value = 20
        session.delete(session.get_one(Reading, 3))
    assert kept.stored(*SENSORS) == [("x", 1, 20), ("y", 1, 1)]


def test_hosts_without_a_foreign_key_come_by_bulk_and_go(keep: Keep) -> None:
    kept = keep(Base)
    kept.run(insert(Reading), [{"sensor_code": code, "value": 2} for code in "xxy"])
    kept.run(insert(Sensor), [{"code": "x"}, {"code": "z"}])
    assert kept.stored(*SENSORS) == [("x", 2, 4), ("z", 0, 0)]
    kept.run(update(Reading).where(Reading.sensor_code == "y").values(sensor_code="z"))
    kept.run(delete(Sensor).where(Sensor.code == "x"))
    assert kept.stored(*SENSORS) == [("z", 1, 2)]
    kept.run(insert(Sensor), [{"code": "x"}])
    assert kept.stored(*SENSORS) == [("x", 2, 4), ("z", 1, 2)]


def test_a_changed_host_key_takes_the_members_that_name_it(keep: Keep) -> None:
    kept = keep(Base)
    with kept.begin() as session:
        session.add_all([Sensor(code="x"), Reading(sensor_code="x", value=1), Reading(sensor_code="y", value=2)])
    with kept.begin() as session:
        session.get_one(Sensor, "x").code = "y"
    assert kept.stored(*SENSORS) == [("y", 1, 2)]


def test_a_key_changed_by_a_bulk_update_takes_the_members_that_name_it(keep: Keep) -> None:
    kept = keep(Base)
    kept.run(insert(Post), [{"slug": slug} for slug in ("sql", "sql", "orm")])
    with kept.begin() as session:
        session.add(Forum(topics=[Topic(slug="sql"), Topic(slug="core")]))
    assert kept.stored(Topic.slug, Topic.post_count) == [("core", 0), ("sql", 2)]
    kept.run(update(Topic).where(Topic.slug == "core").values(slug="orm"))
    assert kept.stored(Topic.slug, Topic.post_count) == [("orm", 1), ("sql", 2)]
    assert kept.stored(Forum.id, Forum.posts) == [(1, 3)]
    kept.run(update(Topic).values(slug="none"))
    assert kept.stored(Forum.id, Forum.posts) == [(1, 0)]


def test_criteria_within_one_table_are_those_of_the_remote_side(keep: Keep) -> None:
    kept = keep(Base)
    with kept.begin() as session:
        session.add_all([Page(id=1), Page(id=2, parent_id=1), Page(id=3, parent_id=1, hidden=True)])
    assert kept.stored(Page.id, Page.shown_count) == [(1, 1), (2, 0), (3, 0)]
    with kept.begin() as session:
        session.get_one(Page, 3).hidden = False
        session.get_one(Page, 1).hidden = True
    assert kept.stored(Page.id, Page.shown_count) == [(1, 2), (2, 0), (3, 0)]
    kept.run(update(Page).where(Page.id == 2).values(parent_id=3))
    assert kept.stored(Page.id, Page.shown_count) == [(1, 1), (2, 0), (3, 1)]
