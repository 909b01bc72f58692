"""A comparison that the database does not have for a type is refused before any SQL, with what to use instead."""

from __future__ import annotations

import enum
from typing import Any

import pytest
from sqlalchemy import JSON, Engine, Enum, Integer, LargeBinary, MetaData, String, TypeDecorator
from sqlalchemy.dialects import postgresql as pg
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.types import UserDefinedType

import interaqt_sa as iq
from tests.support.statements import count_statements


class Own(UserDefinedType[Any]):
    cache_ok = True

    def __init__(self, name: str) -> None:
        self.name = name

    def get_col_spec(self, **_: Any) -> str:
        return self.name


class Kept(TypeDecorator[Any]):
    impl = JSON
    cache_ok = True


class Number(TypeDecorator[int]):
    impl = Integer
    cache_ok = True


class Mood(enum.Enum):
    glad = "g"
    sad = "s"


class Colour(TypeDecorator[Mood]):
    impl = Enum(Mood)
    cache_ok = True


class Label(TypeDecorator[str]):
    impl = String(20)
    cache_ok = True


TYPES: dict[str, Any] = {
    "json": JSON(),
    "kept": Kept(),
    "binary_json": JSON().with_variant(pg.JSONB(), "postgresql"),
    "number": Number(),
    "mood": Enum(Mood),
    "colour": Colour(),
    "label": Label(),
    "note": String(),
    "bytes": LargeBinary(),
}
ON_POSTGRESQL: dict[str, Any] = {
    "place": Own("point"),
    "markup": Own("XML"),
    "area": Own("box"),
    "documents": pg.ARRAY(JSON()),
}
ANY = ("=", "!=", "in", "not in", "<", ">=", "between", "order")


def storage_on(engine: Engine) -> tuple[iq.Storage, Any]:
    """Return a storage of things with a column of each type that the database knows, and their class."""

    class Base(DeclarativeBase):
        metadata = MetaData()

    types = {**TYPES, **(ON_POSTGRESQL if engine.dialect.name == "postgresql" else {})}
    columns = {name: mapped_column(type_, nullable=True) for name, type_ in types.items()}
    own: dict[str, Any] = {"__annotations__": {"id": Mapped[int]}, "id": mapped_column(primary_key=True)}
    things = type("Thing", (Base,), {"__tablename__": "thing", **own, **columns})
    Base.metadata.create_all(engine)
    return iq.System(engine, base=Base).storage, things


def operand_of(operator: str, value: Any) -> Any:
    return [value, value] if operator in ("in", "not in", "between") else value


def ask(storage: iq.Storage, name: str, operator: str, value: Any) -> None:
    if operator == "order":
        storage.find("Thing", order_by={name: "DESC"})
    else:
        match = {name: (operator, operand_of(operator, value))}
        storage.find("Thing", match)
        storage.count("Thing", match)
        storage.update("Thing", match, {"note": "x"})


LACKING: dict[str, tuple[tuple[str, ...], Any]] = {
    "json": (ANY, {"a": 1}),
    "kept": (ANY, {"a": 1}),
    "place": (ANY, "(1,2)"),
    "markup": (ANY, "<a/>"),
    "area": (("order",), "(1,1),(0,0)"),
    "documents": (("=", "in", "<", "order", "contains"), [{"a": 1}]),
}


@pytest.mark.postgres
@pytest.mark.parametrize("name", LACKING)
def test_an_operator_that_postgresql_lacks_is_refused(engine_for: Any, name: str) -> None:
    engine = engine_for("psycopg")
    storage, _things = storage_on(engine)
    operators, value = LACKING[name]
    for operator in operators:
        given = value[0] if operator == "contains" else value
        with count_statements(engine) as statements, pytest.raises(iq.InvalidValueError) as caught:
            ask(storage, name, operator, given)
        assert not statements
        assert caught.value.code == "INVALID_VALUE"
        assert (caught.value.record, caught.value.property) == ("Thing", name)
        assert f"Thing.{name} is " in str(caught.value)
        assert ("JSONB" if name in ("json", "kept", "documents") else "lambda cls") in str(caught.value)
    assert storage.find("Thing", {name: None}) == []
    assert storage.find("Thing", {name: ("is not null",)}) == []


def test_what_the_database_has_is_compared(engine: Engine) -> None:
    storage, _things = storage_on(engine)
    storage.create("Thing", {"binary_json": {"a": 1}, "label": "abc", "json": [1, 2]})
    for operator in ("=", "in", ">=", "between", "order"):
        ask(storage, "binary_json", operator, {"a": 1})
    assert storage.count("Thing", {"binary_json": {"a": 1}}) == 1
    assert storage.count("Thing", {"json": ("contains", 2)}) == 1
    assert storage.count("Thing", {"label": ("like", "a%")}) == 1
    if engine.dialect.name == "sqlite":
        assert storage.count("Thing", {"json": [1, 2]}) == 1
    else:
        ask(storage, "area", "=", "(1,1),(0,0)")
        ask(storage, "area", "<", "(1,1),(0,0)")


@pytest.mark.parametrize("name", ["number", "mood", "colour", "json", "bytes"])
def test_like_compares_texts(engine: Engine, name: str) -> None:
    storage, _things = storage_on(engine)
    with count_statements(engine) as statements, pytest.raises(iq.InvalidValueError, match="'like' compares") as caught:
        storage.find("Thing", {name: ("like", "g%")})
    assert not statements
    assert (caught.value.code, caught.value.property) == ("INVALID_VALUE", name)
    assert ("('in', […])" in str(caught.value)) is (name in ("mood", "colour"))


@pytest.mark.parametrize("name", ["mood", "colour"])
def test_enums_are_compared_below_decorators(engine: Engine, name: str) -> None:
    storage, _things = storage_on(engine)
    storage.create("Thing", {name: Mood.glad})
    storage.create("Thing", {name: "sad"})
    for given in (Mood.sad, "sad"):
        assert storage.count("Thing", {name: given}) == 1
        assert storage.count("Thing", {name: ("in", [given])}) == 1
        assert storage.count("Thing", {name: ("!=", given)}) == 1
    for wrong in ("s", "none", 5):
        with count_statements(engine) as statements, pytest.raises(iq.InvalidValueError, match="glad"):
            storage.find("Thing", {name: wrong})
        assert not statements
