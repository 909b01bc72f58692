"""Collections of every kind as sources, and the ways in which members come into them."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import ForeignKey, insert
from sqlalchemy.ext.associationproxy import AssociationProxy, association_proxy
from sqlalchemy.orm import (
    DeclarativeBase,
    DynamicMapped,
    Mapped,
    WriteOnlyMapped,
    attribute_keyed_dict,
    mapped_column,
    relationship,
)

from interaqt_sa import Count, Summation, computed
from tests.declarative.kept import Keep, Kept


class Base(DeclarativeBase):
    pass


class Host:
    id: Mapped[int] = mapped_column(primary_key=True)
    member_count: Mapped[int] = computed(Count("members"))
    total: Mapped[int] = computed(Summation("members", "amount"))


class Member:
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(default="")
    amount: Mapped[int] = mapped_column(default=1)


class WriteOnlyMember(Member, Base):
    __tablename__ = "write_only_member"

    host_id: Mapped[int | None] = mapped_column(ForeignKey("write_only_host.id"))


class WriteOnlyHost(Host, Base):
    __tablename__ = "write_only_host"

    members: WriteOnlyMapped[WriteOnlyMember] = relationship()


class DynamicMember(Member, Base):
    __tablename__ = "dynamic_member"

    host_id: Mapped[int | None] = mapped_column(ForeignKey("dynamic_host.id"))


class DynamicHost(Host, Base):
    __tablename__ = "dynamic_host"

    members: DynamicMapped[DynamicMember] = relationship()


class SetMember(Member, Base):
    __tablename__ = "set_member"

    host_id: Mapped[int | None] = mapped_column(ForeignKey("set_host.id"))


class SetHost(Host, Base):
    __tablename__ = "set_host"

    members: Mapped[set[SetMember]] = relationship()


class KeyedMember(Member, Base):
    __tablename__ = "keyed_member"

    host_id: Mapped[int | None] = mapped_column(ForeignKey("keyed_host.id"))


class KeyedHost(Host, Base):
    __tablename__ = "keyed_host"

    members: Mapped[dict[str, KeyedMember]] = relationship(collection_class=attribute_keyed_dict("name"))


class ProxyMember(Member, Base):
    __tablename__ = "proxy_member"

    host_id: Mapped[int] = mapped_column(ForeignKey("proxy_host.id", ondelete="CASCADE"))


class ProxyHost(Host, Base):
    __tablename__ = "proxy_host"

    members: Mapped[list[ProxyMember]] = relationship(cascade="all, delete-orphan", passive_deletes=True)
    amounts: AssociationProxy[list[int]] = association_proxy(
        "members", "amount", creator=lambda amount: ProxyMember(amount=amount)
    )


@pytest.fixture
def kept(keep: Keep) -> Kept:
    return keep(Base)


def stored(kept: Kept, host: Any) -> list[tuple[Any, ...]]:
    return kept.stored(host.id, host.member_count, host.total)


def test_write_only_collections(kept: Kept) -> None:
    with kept.begin() as session:
        host, other = WriteOnlyHost(), WriteOnlyHost()
        session.add(host)
        session.flush()
        session.add(other)
        host.members.add_all([WriteOnlyMember(amount=n) for n in (1, 2, 4)])
        session.flush()
        assert (host.member_count, host.total) == (3, 7)
        first, second = session.scalars(host.members.select().order_by(WriteOnlyMember.id).limit(2))
        host.members.remove(first)
        other.members.add(second)
        host.members.remove(second)
        session.flush()
        session.execute(host.members.insert(), [{"amount": 10}])
        session.execute(host.members.update().values(amount=WriteOnlyMember.amount * 2))
    assert stored(kept, WriteOnlyHost) == [(1, 2, 28), (2, 1, 2)]
    with kept.begin() as session:
        session.execute(session.get_one(WriteOnlyHost, 1).members.delete())
    assert stored(kept, WriteOnlyHost) == [(1, 0, 0), (2, 1, 2)]


def test_dynamic_collections(kept: Kept) -> None:
    with kept.begin() as session:
        host = DynamicHost()
        session.add(host)
        host.members.extend([DynamicMember(), DynamicMember(amount=5)])
        session.flush()
        assert host.total == 6
        host.members.remove(host.members.filter_by(amount=5).one())
        session.flush()
        assert (host.member_count, host.total) == (1, 1)
    assert stored(kept, DynamicHost) == [(1, 1, 1)]


def test_sets_and_dictionaries(kept: Kept) -> None:
    with kept.begin() as session:
        in_set, keyed = SetHost(), KeyedHost()
        in_set.members |= {SetMember(), SetMember(amount=3)}
        keyed.members["a"] = KeyedMember(name="a", amount=7)
        keyed.members["b"] = KeyedMember(name="b")
        session.add_all([in_set, keyed])
        session.flush()
        assert (in_set.total, keyed.total) == (4, 8)
        in_set.members = {SetMember(amount=50)}
        keyed.members["a"] = KeyedMember(name="a", amount=70)
        del keyed.members["b"]
    assert stored(kept, SetHost) == [(1, 1, 50)]
    assert stored(kept, KeyedHost) == [(1, 1, 70)]


def test_members_made_by_an_association_proxy_and_deleted_by_the_database(kept: Kept) -> None:
    with kept.begin() as session:
        host = ProxyHost(amounts=[1, 2, 3])
        session.add_all([host, ProxyHost(amounts=[9])])
        session.flush()
        assert (host.member_count, host.total) == (3, 6)
        host.amounts.append(4)
        host.amounts.pop(0)
        session.flush()
        assert (host.member_count, host.total) == (3, 9)
    kept.run(insert(ProxyMember), [{"host_id": 2, "amount": 1}])
    with kept.begin() as session:
        session.delete(session.get_one(ProxyHost, 1))
    assert stored(kept, ProxyHost) == [(2, 2, 10)]
    assert len(kept.stored(ProxyMember.id)) == 2


def test_unidirectional_collections_move_members_that_nobody_announced(kept: Kept) -> None:
    with kept.begin() as session:
        first, second = SetHost(members={SetMember(amount=2)}), SetHost()
        session.add(first)
        session.flush()
        session.add(second)
        session.flush()
        (member,) = first.members
        second.members.add(member)
        first.members.clear()
        session.flush()
        assert (first.member_count, second.member_count) == (0, 1)
        session.delete(second)
    assert stored(kept, SetHost) == [(1, 0, 0)]
    assert kept.stored(SetMember.id, SetMember.host_id) == [(1, None)]
