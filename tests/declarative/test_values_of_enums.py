"""Values that an ``Enum`` does not have are refused in declarations and by the storage, before any SQL."""

from __future__ import annotations

import enum
import re
from typing import Any

import pytest
from sqlalchemy import Engine, Enum, ForeignKey, String, create_engine, event
from sqlalchemy.dialects import postgresql as pg
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

import interaqt_sa as iq


class Status(enum.Enum):
    OPEN = "open"
    CLOSED = "closed"


class Level(enum.Enum):
    LOW = 1


def base_with(where: Any) -> type[DeclarativeBase]:
    class Base(DeclarativeBase):
        pass

    class Box(Base):
        __tablename__ = "box"
        id: Mapped[int] = mapped_column(primary_key=True)
        items: Mapped[list[Any]] = relationship(lambda: Item, back_populates="box")
        n: Mapped[int] = iq.computed(iq.Count("items", where=where))

    class Item(Base):
        __tablename__ = "item"
        id: Mapped[int] = mapped_column(primary_key=True)
        box_id: Mapped[int | None] = mapped_column(ForeignKey("box.id"), index=True)
        box: Mapped[Any] = relationship(lambda: Box, back_populates="items")
        next_id: Mapped[int | None] = mapped_column(ForeignKey("item.id"), index=True)
        next: Mapped[Any] = relationship(lambda: Item, remote_side=lambda: Item.id)
        st: Mapped[Status | None]
        by_value: Mapped[Status | None] = mapped_column(
            Enum(Status, name="by_value", values_callable=lambda kind: [member.value for member in kind])
        )
        level: Mapped[Level | None]
        text: Mapped[str | None] = mapped_column(Enum("x", "y", name="letters"))
        packed: Mapped[str | None] = mapped_column(Enum("x", native_enum=False, length=9))
        wider: Mapped[str | None] = mapped_column(
            Enum("x", name="narrow").with_variant(pg.ENUM("x", "z", name="wide"), "postgresql")
        )
        free: Mapped[str | None] = mapped_column(Enum("x", native_enum=False).with_variant(String(9), "postgresql"))

    Base.records = (Box, Item)  # type: ignore[attr-defined]  # a base holds its classes only weakly
    return Base


@pytest.mark.parametrize(
    ("where", "said"),
    [
        (
            {"st": "open"},
            "item.st with 'open', which is none of its values; it has .*'open' is the value of Status.OPEN",
        ),
        ({"st": "bogus"}, "item.st with 'bogus'.* it has .*OPEN.*CLOSED"),
        ({"st": ("!=", "bogus")}, "'bogus'"),
        ({"st": ("in", ["OPEN", "bogus"])}, "'bogus'"),
        ({"st": ("in", [None, "bogus"])}, "'bogus'"),
        ({"st": ("not in", [Status.OPEN, "bogus"])}, "'bogus'"),
        ({"st": (">", "bogus")}, "'bogus'"),
        ({"st": ("between", ("CLOSED", "bogus"))}, "'bogus'"),
        ({"st": Level.LOW}, "Level.LOW"),
        ({"st": True}, "True"),
        ({"next.st": "bogus"}, "item.st with 'bogus'"),
        ({"by_value": "OPEN"}, r"'OPEN'.* it has \['open', 'closed'\]"),
        ({"level": 1}, "with 1.*1 is the value of "),
        ({"text": "z"}, "'z'"),
        ({"packed": "z"}, "'z'"),
        ({"wider": "a"}, "'a'"),
        (~(iq.MatchExp.atom("text", ("=", "x")) | iq.MatchExp.atom("st", ("=", "bogus"))), "'bogus'"),
        (lambda item: item.st == "open", "item.st with 'open'"),
        (lambda item: ~item.st.in_(["OPEN", "bogus"]) | (item.id > 3), "item.st with 'bogus'"),
    ],
)
def test_a_declaration_compares_with_what_the_enum_has_not(where: Any, said: str) -> None:
    engine = create_engine("sqlite://")
    with pytest.raises(iq.DefinitionError) as caught:
        iq.System(engine, base=base_with(where)).check()
    engine.dispose()
    (fault,) = caught.value.exceptions
    assert re.match(f"Box.n: where= compares .*{said}", str(fault))


@pytest.mark.parametrize(
    "where",
    [
        {"st": "OPEN"},
        {"st": Status.OPEN},
        {"st": None},
        {"st": ("is not null",)},
        {"st": ("in", [None, "OPEN", Status.CLOSED])},
        {"st": ("in", [])},
        {"by_value": "open"},
        {"by_value": Status.OPEN},
        {"level": Level.LOW},
        {"text": "x"},
        {"packed": ("like", "%q%")},
        lambda item: item.packed.startswith("q"),
        lambda item: item.st == Status.OPEN,
    ],
)
def test_values_that_an_enum_has(engine: Engine, where: Any) -> None:
    base = base_with(where)
    system = iq.System(engine, base=base)
    base.metadata.create_all(engine)
    system.storage.create("Box", {"items": [{"st": "OPEN", "by_value": "open", "text": "x", "packed": "x"}]})
    assert system.check().ok


@pytest.mark.parametrize("where", [{"wider": "z"}, {"free": "anything"}], ids=repr)
def test_values_that_a_variant_of_the_type_has(where: Any) -> None:
    engine = create_engine("sqlite://")
    base = base_with(where)
    base.metadata.create_all(engine)
    assert iq.System(engine, base=base).check().ok
    engine.dispose()


def test_a_partial_index_compares_with_what_the_enum_has_not() -> None:
    once = iq.UniqueConstraint("u", ["n"], where={"kind": "z"})
    thing = iq.Entity("Thing", [iq.Property("n", int), iq.Property("kind", Enum("x", name="kind"))], constraints=[once])
    engine = create_engine("sqlite://")
    with pytest.raises(iq.DefinitionError, match=r"kind with 'z', which is none of its values"):
        iq.Controller(iq.System(engine), entities=[thing]).setup(install=True)
    engine.dispose()


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("st", "PAIDD", r"it has \['OPEN', 'CLOSED'\]$"),
        ("st", "open", "'open' is the value of Status.OPEN"),
        ("st", ["OPEN"], "it has"),
        ("by_value", "OPEN", r"it has \['open', 'closed'\]"),
        ("level", 1, "1 is the value of "),
        ("text", "z", "it has"),
        ("packed", "z", "it has"),
    ],
)
def test_the_storage_is_given_what_the_enum_has_not(engine: Engine, name: str, value: Any, said: str) -> None:
    base = base_with({"st": "OPEN"})
    system = iq.System(engine, base=base)
    base.metadata.create_all(engine)
    storage = system.storage
    storage.create("Box", {"items": [{"st": "OPEN"}]})
    key = storage.find_one("Item")["id"]
    matches: list[Any] = [(operator, value) for operator in ("=", "!=", ">")]
    matches += [("in", [value]), ("not in", [None, value]), ("between", (value, value))]
    ran: list[str] = []
    event.listen(engine, "before_cursor_execute", lambda *args: ran.append(args[2]))
    calls: list[Any] = [
        lambda: storage.create("Item", {name: value}),
        lambda: storage.update("Item", {"id": key}, {name: value}),
        *(lambda match=match: storage.find("Item", {name: match}) for match in matches),
        *(lambda match=match: storage.find("Box", {"items": ("exist", {name: match})}) for match in matches),
        *(lambda match=match: storage.update("Item", {name: match}, {"text": "x"}) for match in matches),
    ]
    for call in calls:
        with pytest.raises(iq.InvalidValueError, match=rf"Item\.{name} is .*{said}") as caught:
            call()
        assert (caught.value.record, caught.value.property) == ("Item", name)
    assert ran == []
    assert system.check().ok
