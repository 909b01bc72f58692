"""The row of an event: what is stored is the same whether Core or the unit of work writes it."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import JSON, DateTime, Engine, Enum, ForeignKey, Numeric, event, func, inspect, select
from sqlalchemy.orm import (
    DeclarativeBase,
    Mapped,
    MappedAsDataclass,
    Session,
    column_property,
    mapped_column,
    relationship,
    sessionmaker,
    validates,
)

import interaqt_sa as iq
from interaqt_sa.engine.capture import insert_engine_row as added
from tests.support.statements import count_statements


class Colour(enum.Enum):
    RED = 1
    BLUE = 2


class Base(DeclarativeBase):
    pass


class Owner(Base):
    __tablename__ = "owner"
    id: Mapped[int] = mapped_column(primary_key=True)
    happenings: Mapped[int] = iq.computed(iq.Count("events"))
    events: Mapped[list[Happening]] = relationship(back_populates="owner")


class Happening(Base):
    """An event with all kinds of columns."""

    __tablename__ = "happening"
    id: Mapped[int] = mapped_column(primary_key=True)
    owner_id: Mapped[int | None] = mapped_column(ForeignKey("owner.id"))
    at: Mapped[datetime | None] = mapped_column("happened_at", DateTime(timezone=True))
    colour: Mapped[Colour | None] = mapped_column(Enum(Colour))
    price: Mapped[Decimal | None] = mapped_column(Numeric(10, 2))
    token: Mapped[UUID | None]
    body: Mapped[Any] = mapped_column(JSON)
    note: Mapped[str | None] = mapped_column(default=lambda: "by default")
    rank: Mapped[int | None] = mapped_column(server_default="7")
    double: Mapped[int | None] = iq.computed(lambda h: h.rank and h.rank * 2)
    owner: Mapped[Owner | None] = relationship(back_populates="events")


class Log(Base):
    """A row for each event."""

    __tablename__ = "log"
    id: Mapped[int] = mapped_column(primary_key=True)
    line: Mapped[str]
    __computation__ = iq.Transform(Happening, lambda h: {"line": f"{h['note']}/{h['rank']}"})


class Plain(Base):
    """An event from which nothing is computed."""

    __tablename__ = "plain"
    id: Mapped[int] = mapped_column(primary_key=True)
    note: Mapped[str | None]


class Checked(Base):
    """A class with code of its own."""

    __tablename__ = "checked"
    id: Mapped[int] = mapped_column(primary_key=True)
    note: Mapped[str]
    size: Mapped[int]

    def __init__(self, note: str) -> None:
        super().__init__(note=note, size=len(note))


class Validated(Base):
    __tablename__ = "validated"
    id: Mapped[int] = mapped_column(primary_key=True)
    note: Mapped[str]

    @validates("note")
    def shout(self, _: str, value: str) -> str:
        return value.upper()


class Versioned(Base):
    __tablename__ = "versioned"
    id: Mapped[int] = mapped_column(primary_key=True)
    note: Mapped[str]
    version: Mapped[int] = mapped_column()
    __mapper_args__ = {"version_id_col": version}


class Special(Plain):
    """An event of two tables."""

    __tablename__ = "special"
    id: Mapped[int] = mapped_column(ForeignKey("plain.id"), primary_key=True)
    extra: Mapped[int]


class Derived(Base):
    """Its defaults depend on what else is given, its columns are called like parameters, it has an SQL attribute."""

    __tablename__ = "derived"
    id: Mapped[int] = mapped_column(primary_key=True)
    v0: Mapped[int]
    double: Mapped[int] = mapped_column(default=lambda context: context.get_current_parameters()["v0"] * 2)
    kind: Mapped[str] = mapped_column(default="plain")
    owner_id: Mapped[int] = mapped_column(ForeignKey("owner.id"))
    owners_happenings: Mapped[int] = column_property(
        select(Owner.happenings).where(Owner.id == owner_id).scalar_subquery()
    )
    __mapper_args__ = {"polymorphic_on": kind}


class Named(Base):
    __tablename__ = "named"
    id: Mapped[int] = mapped_column(primary_key=True)
    v0: Mapped[int]
    rows: Mapped[int]
    name: Mapped[int] = mapped_column("iq name", default=4)


class Kept(MappedAsDataclass, Base, kw_only=True):
    """Its default is the constructor's."""

    __tablename__ = "kept"
    id: Mapped[int] = mapped_column(primary_key=True, init=False)
    note: Mapped[str] = mapped_column(default="of the dataclass")


def controller_of(engine: Engine, record: type[Any], values: Mapping[str, Any]) -> iq.Controller:
    """Return a controller that stores `values` as a row of `record` for the event source "happen"."""

    def event_data(ctx: iq.DispatchContext, args: Any) -> dict[str, Any]:
        return {key: value(ctx) if callable(value) else value for key, value in values.items()}

    source = iq.EventSource("happen", record, map_event_data=event_data)
    controller = iq.Controller(iq.System(engine, base=Base), event_sources=[source], raise_errors=True)
    Base.metadata.create_all(engine)
    with controller.system.session_factory.begin() as session:
        session.merge(Owner(id=1))
    return controller


def stored(controller: iq.Controller, record: type[Any]) -> dict[str, Any]:
    with controller.system.session_factory() as session:
        row = session.scalars(select(record)).one()
        return {prop.key: getattr(row, prop.key) for prop in inspect(record).column_attrs}


WHOLE: dict[str, Any] = {
    "owner_id": 1,
    "at": datetime(2020, 1, 2, tzinfo=UTC),
    "colour": Colour.BLUE,
    "price": Decimal("3.255"),
    "token": UUID(int=5),
    "body": {"a": [1, None]},
    "note": "x",
    "rank": 3,
}
CASES: dict[str, tuple[type[Any], dict[str, Any]]] = {
    "all columns": (Happening, WHOLE),
    "nothing but a key": (Happening, {"owner_id": 1, "body": 1}),
    "none everywhere": (Happening, dict.fromkeys(WHOLE)),
    "an object": (Happening, {"owner": lambda ctx: ctx.session.get_one(Owner, 1), "body": []}),
    "an expression": (Happening, {"rank": lambda _: func.abs(-9), "body": {}}),
    "no values": (Plain, {}),
    "constructor": (Checked, {"note": "four"}),
    "validator": (Validated, {"note": "four"}),
    "version": (Versioned, {"note": "x"}),
    "two tables": (Special, {"note": "x", "extra": 4}),
    "dataclass": (Kept, {}),
    "derived": (Derived, {"v0": 4, "owner_id": 1}),
    "names": (Named, {"v0": 4, "rows": 5}),
}


@pytest.mark.parametrize("case", CASES)
def test_core_stores_what_the_unit_of_work_does(engine: Engine, case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    record, values = CASES[case]
    controller = controller_of(engine, record, values)
    controller.dispatch("happen", {})
    by_core, report = stored(controller, record), controller.system.check()
    assert report.ok, report.differences
    Base.metadata.drop_all(engine)
    controller.teardown()
    monkeypatch.setattr(added, "_takes_part", lambda *_: True)
    controller = controller_of(engine, record, values)
    controller.dispatch("happen", {})
    assert stored(controller, record) == by_core
    assert controller.system.check().ok


def test_what_is_computed_from_an_event(engine: Engine) -> None:
    controller = controller_of(engine, Happening, {"owner_id": 1, "body": 1})
    effects = controller.dispatch("happen", {}).effects
    with controller.system.session_factory() as session:
        assert session.get_one(Owner, 1).happenings == 1
        assert session.scalars(select(Log.line)).all() == ["by default/7"]
        assert session.scalars(select(Happening.double)).all() == [14]
    told = {(effect.record_name, effect.type) for effect in effects}
    assert told >= {("Happening", "create"), ("Log", "create"), ("Owner", "update")}
    (created,) = [effect for effect in effects if effect.record_name == "Happening" and effect.type == "create"]
    assert (created.record["rank"], created.record["note"], created.record["double"]) == (7, "by default", 14)


def test_the_event_of_a_transition_costs_its_insert_alone(engine: Engine) -> None:
    controller = controller_of(engine, Plain, {"note": "x"})
    controller.dispatch("happen", {})
    with count_statements(engine) as statements:
        controller.dispatch("happen", {})
    assert [statement.split()[0] for statement in statements] == ["INSERT"]


@pytest.mark.parametrize("values", [{"nonsense": 1}, {"double": 3}])
def test_values_that_no_event_can_have(engine: Engine, values: dict[str, Any]) -> None:
    controller = controller_of(engine, Happening, {"body": 1, **values})
    with pytest.raises((TypeError, iq.ComputedWriteError)):
        controller.dispatch("happen", {})
    with controller.system.session_factory() as session:
        assert not session.scalar(select(func.count()).select_from(Happening))


@pytest.mark.parametrize(
    ("name", "place"),
    [("before_flush", 0), ("after_flush", 0), ("transient_to_pending", 1), ("pending_to_persistent", 1)],
)
def test_listeners_of_a_session_see_the_event(engine: Engine, name: str, place: int) -> None:
    seen: list[Any] = []

    def listen(*arguments: Any) -> None:
        found = arguments[place]
        seen.extend(found.new if isinstance(found, Session) else [found])

    factory = sessionmaker(engine)
    event.listen(factory, name, listen)
    source = iq.EventSource("happen", Plain, map_event_data=lambda *_: {"note": "x"})
    controller = iq.Controller(iq.System(factory, base=Base), event_sources=[source], raise_errors=True)
    Base.metadata.create_all(engine)
    controller.dispatch("happen", {})
    assert [type(instance) for instance in seen] == [Plain]


@pytest.mark.parametrize("name", ["before_insert", "after_insert", "init"])
def test_listeners_of_a_class_see_the_event(engine: Engine, name: str) -> None:
    seen: list[Any] = []

    def listen(*arguments: Any) -> None:
        seen.append(arguments[0 if name == "init" else 2])

    controller = controller_of(engine, Plain, {"note": "x"})
    event.listen(Plain, name, listen)
    try:
        controller.dispatch("happen", {})
    finally:
        event.remove(Plain, name, listen)
    assert [type(instance) for instance in seen] == [Plain]


def test_listeners_of_an_attribute_take_part_from_then_on(engine: Engine) -> None:
    controller = controller_of(engine, Plain, {"note": "x"})
    controller.dispatch("happen", {})

    def louder(target: Any, value: Any, *_: Any) -> Any:
        return value.upper()

    event.listen(Plain.note, "set", louder, retval=True)
    try:
        controller.dispatch("happen", {})
    finally:
        event.remove(Plain.note, "set", louder)
    with controller.system.session_factory() as session:
        assert session.scalars(select(Plain.note).order_by(Plain.id)).all() == ["x", "X"]


@pytest.mark.parametrize("record", [Named, Derived])
def test_who_traces_changes_nothing(engine: Engine, record: type[Any]) -> None:
    controller = controller_of(engine, record, {"v0": 4, **({"rows": 5} if record is Named else {"owner_id": 1})})
    controller.dispatch("happen", {})
    with count_statements(engine):
        controller.dispatch("happen", {})
    with controller.system.session_factory() as session:
        assert session.scalars(select(record.v0)).all() == [4, 4]


def test_what_a_guard_has_added_comes_first(engine: Engine) -> None:
    def guard(ctx: iq.DispatchContext, args: Any) -> None:
        ctx.session.add(Owner(id=2))

    source = iq.EventSource("happen", Happening, guard=guard, map_event_data=lambda *_: {"owner_id": 2, "body": 1})
    controller = iq.Controller(iq.System(engine, base=Base), event_sources=[source], raise_errors=True)
    Base.metadata.create_all(engine)
    controller.dispatch("happen", {})
    assert controller.system.check().ok
