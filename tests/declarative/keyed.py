"""Hosts and members with keys of every kind, and one course of writes for all of them."""

from __future__ import annotations

import enum
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import (
    BigInteger,
    Date,
    DateTime,
    Dialect,
    Enum,
    ForeignKey,
    Integer,
    Numeric,
    String,
    TypeDecorator,
    Uuid,
    delete,
    insert,
    select,
    update,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship
from sqlalchemy.types import TypeEngine

from interaqt_sa import Any as AnyOf
from interaqt_sa import Count, Summation, computed


class Colour(enum.Enum):
    RED = "r"
    GREEN = "g"
    BLUE = "b"


class Prefixed(TypeDecorator[int]):
    """An integer in Python, a text such as ``K-7`` in the database."""

    impl = String(20)
    cache_ok = True

    def process_bind_param(self, value: int | None, dialect: Dialect) -> str | None:
        return None if value is None else f"K-{value}"

    def process_result_value(self, value: str | None, dialect: Dialect) -> int | None:
        return None if value is None else int(value.removeprefix("K-"))


@dataclass(frozen=True)
class Keyed:
    """A pair of classes whose hosts have keys of one type.

    :ivar keys: three different keys, in the order of their text.
    """

    base: type[DeclarativeBase]
    host: type[Any]
    member: type[Any]
    keys: tuple[Any, Any, Any]


def keyed(type_: TypeEngine[Any], *keys: Any) -> Keyed:
    """Map hosts with keys of ``type_``, and members that refer to them."""

    class Base(DeclarativeBase):
        pass

    class Host(Base):
        __tablename__ = "host"

        id: Mapped[Any] = mapped_column(type_, primary_key=True, autoincrement=False)
        members: Mapped[list[Member]] = relationship(back_populates="host")
        member_count: Mapped[int] = computed(Count("members"))
        total: Mapped[int] = computed(Summation("members", "amount"))
        large: Mapped[bool] = computed(AnyOf("members", lambda member: member.amount > 50, attribute_query=["amount"]))

    class Member(Base):
        __tablename__ = "member"

        id: Mapped[Any] = mapped_column(type_, primary_key=True, autoincrement=False)
        host_id: Mapped[Any] = mapped_column(type_, ForeignKey("host.id"), nullable=True)
        amount: Mapped[int]
        host: Mapped[Host | None] = relationship(back_populates="members")

    return Keyed(Base, Host, Member, (keys[0], keys[1], keys[2]))


KEYED: dict[str, Callable[[], Keyed]] = {
    "integer": lambda: keyed(Integer(), 1, 2, 3),
    "bigint": lambda: keyed(BigInteger(), 2**40, 2**40 + 1, 2**40 + 2),
    "uuid": lambda: keyed(Uuid(), *(uuid.UUID(int=n << 100) for n in (1, 2, 3))),
    "uuid as text": lambda: keyed(Uuid(as_uuid=False), *(str(uuid.UUID(int=n << 100)) for n in (1, 2, 3))),
    "string": lambda: keyed(String(20), "a'b", "ä", "日本"),
    "enum": lambda: keyed(Enum(Colour), Colour.BLUE, Colour.GREEN, Colour.RED),
    "enum values": lambda: keyed(
        Enum(Colour, values_callable=lambda e: [m.value for m in e], native_enum=False),
        Colour.BLUE,
        Colour.GREEN,
        Colour.RED,
    ),
    "decorated": lambda: keyed(Prefixed(), 7, 8, 9),
    "date": lambda: keyed(Date(), *(date(2024, 2, n) for n in (1, 2, 29))),
    "timestamp": lambda: keyed(DateTime(), *(datetime(2024, 1, n, 12, 30, 1, 5) for n in (1, 2, 3))),  # noqa: DTZ001
    "decimal": lambda: keyed(Numeric(8, 2), *(Decimal(n) for n in ("1.25", "2.50", "3.75"))),
}


def write_objects(model: Keyed, session: Session) -> list[Any]:
    """Add, move, change and delete members through the unit of work, in two flushes; return the hosts."""
    first, second, third = model.keys
    member = model.member
    hosts = [model.host(id=first, members=[member(id=first, amount=1)]), model.host(id=second)]
    session.add_all(hosts)
    session.add_all([member(id=second, amount=10, host_id=first), member(id=third, amount=100, host_id=second)])
    session.flush()
    session.get_one(member, second).host_id = second
    session.get_one(member, third).amount = 40
    session.delete(session.get_one(member, first))
    session.flush()
    return hosts


def write_bulk(model: Keyed, session: Session) -> None:
    """Add, move, change and delete members by statements."""
    first, second, third = model.keys
    member = model.member
    session.execute(insert(model.host), [{"id": third}])
    session.execute(update(member).where(member.id == third).values(host_id=third, amount=60))
    session.execute(insert(member), [{"id": first, "host_id": first, "amount": 5}])
    session.execute(delete(member).where(member.host_id == second))


def values(model: Keyed, session: Session) -> dict[Any, tuple[Any, ...]]:
    """Return the computed values by host key."""
    host = model.host
    rows = session.execute(select(host.id, host.member_count, host.total, host.large))
    return {key: tuple(rest) for key, *rest in rows}
