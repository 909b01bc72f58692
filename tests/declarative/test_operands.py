"""Values in ``where=``, which must be of the column's type: another one would silently never match."""

from __future__ import annotations

from datetime import UTC, date, datetime, time
from decimal import Decimal
from enum import Enum, StrEnum
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import DateTime, Engine, ForeignKey, Numeric, create_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

from interaqt_sa import Any as AnyOf
from interaqt_sa import (
    Controller,
    Count,
    DefinitionError,
    Entity,
    Every,
    MatchExp,
    Property,
    Relation,
    System,
    computed,
)

_UUID = UUID("12345678-1234-5678-1234-567812345678")


class Color(Enum):
    RED = "red"


class Code(StrEnum):
    ONE = "1"


def base_with(where: Any) -> type[DeclarativeBase]:
    class Base(DeclarativeBase):
        pass

    class Host(Base):
        __tablename__ = "host"
        id: Mapped[int] = mapped_column(primary_key=True)
        members: Mapped[list[Any]] = relationship(lambda: Member)
        counted: Mapped[int] = computed(Count("members", where=where))
        every: Mapped[bool] = computed(Every("members", expression=where))
        some: Mapped[bool] = computed(AnyOf("members", expression=where))

    class Member(Base):
        __tablename__ = "member"
        id: Mapped[int] = mapped_column(primary_key=True)
        host_id: Mapped[int] = mapped_column(ForeignKey("host.id"))
        next_id: Mapped[int | None] = mapped_column(ForeignKey("member.id"))
        next: Mapped[Any] = relationship(lambda: Member, remote_side=lambda: Member.id)
        n: Mapped[int | None]
        price: Mapped[Decimal] = mapped_column(Numeric(10, 2), default=0)
        weight: Mapped[float] = mapped_column(default=0)
        done: Mapped[bool] = mapped_column(default=False)
        day: Mapped[date | None]
        at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
        hour: Mapped[time | None]
        key: Mapped[UUID | None]
        color: Mapped[Color | None]
        code: Mapped[Code | None]
        name: Mapped[str | None]

    Base.records = (Host, Member)  # type: ignore[attr-defined]  # a base holds its classes only weakly
    return Base


@pytest.mark.parametrize(
    "where",
    [
        {"n": "abc"},
        {"n": "3"},
        {"n": "is null"},
        {"n": (">", "3")},
        {"n": ("in", [1, "2"])},
        {"n": ("between", (1, "2"))},
        {"next.n": "abc"},
        {"price": "1.50"},
        {"weight": "1"},
        {"done": "true"},
        {"day": "2026-01-01"},
        {"at": ("<", "2026-01-01")},
        {"hour": "10:00"},
        {"key": str(_UUID)},
        {"host_id": "1"},
        {"name": 3},
        {"done": 3},
        {"day": 3},
        {"hour": 3},
        {"key": ("in", [3])},
        pytest.param({"n": object()}, id="an object"),
        ~(MatchExp.atom("done", ("=", True)) & MatchExp.atom("name", ("=", "n")) | MatchExp.atom("n", ("!=", "abc"))),
    ],
    ids=repr,
)
def test_text_for_something_else(where: Any) -> None:
    engine = create_engine("sqlite://")
    hint = r'and never .*Operators are tuples: \("is null",\), \(">", 3\)'
    with pytest.raises(DefinitionError, match=hint) as caught:
        System(engine, base=base_with(where)).check()
    engine.dispose()
    assert [str(fault).partition(": ")[0] for fault in caught.value.exceptions] == [
        "Host.counted",
        "Host.every",
        "Host.some",
    ]


@pytest.mark.parametrize(
    "where",
    [
        {"n": ("is null",)},
        {"n": True},
        {"n": ("in", [1, None])},
        {"price": 1},
        {"weight": 1},
        {"done": True},
        {"day": date(2026, 1, 1)},
        {"at": (">", datetime(2026, 1, 1, tzinfo=UTC))},
        {"key": _UUID},
        {"color": Color.RED},
        {"color": "RED"},
        {"code": Code.ONE},
        {"name": "is null"},
        {"name": ("like", "a%")},
        pytest.param(lambda member: member.n == 3, id="an expression"),
    ],
    ids=repr,
)
def test_values_that_the_column_takes(engine: Engine, where: Any) -> None:
    base = base_with(where)
    base.metadata.create_all(engine)
    assert System(engine, base=base).check().ok


@pytest.mark.parametrize(("kind", "value"), [(int, "a"), (datetime, "2026-01-01"), (UUID, "a"), ("boolean", "true")])
def test_text_for_a_property_of_another_type(kind: Any, value: str) -> None:
    host = Entity("Host", [Property("n", int, computation=Count("members", where={"x": value}))])
    members = Relation(source=host, source_property="members", target="Member", target_property="host", type="1:n")
    engine = create_engine("sqlite://")
    given: dict[str, Any] = {"entities": [host, Entity("Member", [Property("x", kind)])], "relations": [members]}
    with pytest.raises(DefinitionError, match=r"Host\.n: 'x' is .* and never"):
        Controller(System(engine), **given).setup(install=True)
    engine.dispose()


def test_timestamps_are_taken_as_text_too() -> None:
    host = Entity("Host", [Property("n", int, computation=Count("members", where={"x": "2026-01-01T00:00:00Z"}))])
    members = Relation(source=host, source_property="members", target="Member", target_property="host", type="1:n")
    engine = create_engine("sqlite://")
    system = System(engine)
    Controller(system, entities=[host, Entity("Member", [Property("x", "timestamp")])], relations=[members]).setup(
        install=True
    )
    system.storage.create("Host", {"members": [{"x": 1767225600000}, {"x": 0}]})
    assert system.check().ok
    engine.dispose()
