"""Values of types that some databases alone have end in a coded error or are read back as given."""

from __future__ import annotations

import ipaddress
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, Interval, LargeBinary, MetaData, PickleType, String, TypeDecorator
from sqlalchemy.dialects import postgresql as pg
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.types import UserDefinedType

import interaqt_sa as iq


class Upper(TypeDecorator[str]):
    impl = String(5)
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Any) -> Any:
        return None if value is None else value.upper()


class Same(TypeDecorator[str]):
    impl = String(5)
    cache_ok = True


class Point(UserDefinedType[Any]):
    cache_ok = True

    def get_col_spec(self, **_: Any) -> str:
        return "VARCHAR(40)"

    def bind_processor(self, dialect: Any) -> Any:
        return lambda value: None if value is None else f"{int(value[0])},{int(value[1])}"

    def result_processor(self, dialect: Any, coltype: Any) -> Any:
        return lambda value: None if value is None else tuple(int(part) for part in value.split(","))


ANYWHERE: dict[str, tuple[Any, list[Any]]] = {
    "upper": (Upper(), ["ABC"]),
    "point": (Point(), [(1, 2)]),
    "pickled": (PickleType(), [{"a": 1}, [1]]),
    "same": (Same(), ["ab"]),
    "while": (Interval(), [timedelta(seconds=5)]),
    "binary": (LargeBinary(), [b"\x00\xff"]),
}
ON_POSTGRESQL: dict[str, tuple[Any, list[Any]]] = {
    "inet": (pg.INET(), ["10.0.0.1"]),
    "cidr": (pg.CIDR(), ["10.0.0.0/8"]),
    "mac": (pg.MACADDR(), ["08:00:2b:01:02:03"]),
    "oid": (pg.OID(), [5, 2**32 - 1]),
    "span": (pg.INTERVAL(), [timedelta(seconds=5)]),
    "numbers": (pg.INT4RANGE(), [pg.Range(1, 5)]),
    "several": (pg.INT4MULTIRANGE(), [[pg.Range(1, 5)]]),
    "words": (pg.TSVECTOR(), ["'a':1"]),
    "listed": (pg.ARRAY(pg.INET), [["10.0.0.1"]]),
}
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(min_value=-(2**70), max_value=2**70),
    st.floats(),
    st.decimals(allow_nan=True).filter(lambda number: not number.is_snan()),
    st.text(max_size=8),
    st.sampled_from(["\ud800", "\0", "10.0.0.1/8", "999.1.1.1", "[1,2)", "0101", "x" * 50]),
    st.binary(max_size=4),
    st.timedeltas(),
    st.datetimes(),
    st.dates(),
    st.times(),
    st.uuids(),
    st.just(ipaddress.ip_address("::1")),
    st.just(pg.Range(1, 2)),
    st.just(pg.Range("a", "b")),
    st.builds(object),
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=2), inner, max_size=2)
)


@pytest.fixture
def shelf(engine: Engine) -> tuple[iq.Storage, dict[str, tuple[Any, list[Any]]], Any]:
    """Return a storage, the types by name, and the class, which nothing else holds."""

    class Base(DeclarativeBase):
        metadata = MetaData()

    types = {**ANYWHERE, **(ON_POSTGRESQL if engine.dialect.name == "postgresql" else {})}
    columns = {name: mapped_column(type_, nullable=True) for name, (type_, _) in types.items()}
    things: Any = type(
        "Thing",
        (Base,),
        {
            "__tablename__": "thing",
            "__annotations__": {"id": Mapped[int]},
            "id": mapped_column(primary_key=True),
            **columns,
        },
    )
    system = iq.System(engine, base=Base)
    Base.metadata.create_all(engine)
    return system.storage, types, things


def test_right_values_are_read_back(shelf: Any) -> None:
    storage, types, _ = shelf
    for name, (_, values) in types.items():
        for value in values:
            key = storage.create("Thing", {name: value})["id"]
            found = storage.find_one("Thing", {"id": key}, attribute_query=[name])[name]
            if name in ("inet", "cidr", "listed"):  # drivers make objects of addresses
                found = [str(part) for part in found] if isinstance(value, list) else str(found)
            assert found == value


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_value_ends_in_a_coded_error_or_is_stored(shelf: Any, data: st.DataObject) -> None:
    storage, types, _ = shelf
    name, value = data.draw(st.sampled_from(sorted(types))), data.draw(VALUES)
    try:
        key = storage.create("Thing", {name: value})["id"]
    except iq.InvalidValueError as error:
        assert error.code  # noqa: PT017
    else:
        assert storage.find_one("Thing", {"id": key}, attribute_query=[name]) is not None
        storage.update("Thing", {"id": key}, {name: value})
    try:
        storage.find("Thing", {name: value})
        storage.find("Thing", {name: ("in", [value])})
    except iq.FrameworkError:
        pass


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("point", [5, [1], "x"]),
        ("same", [5, {}, b"x"]),
        ("while", [5, "1 day"]),
        ("upper", [5, {}, b"x"]),
        ("pickled", [lambda: 1]),
        ("inet", ["10.0.0.999", 5, [], "x\0"]),
        ("cidr", ["10.0.0.1/8", {}, b"x"]),
        ("mac", ["zz:00:00:00:00:00", 5]),
        ("oid", [-1, 2**32, "x", True, 1.5]),
        ("span", [5, "1 day", []]),
        ("numbers", ["x", 5, [1, 2], {}]),
        ("several", [pg.Range(1, 2), [5], "x"]),
        ("words", [5, []]),
        ("listed", ["10.0.0.1", ["x"], [5], [["10.0.0.1"]]]),
    ],
)
def test_wrong_values_are_refused_by_name(shelf: Any, name: str, values: list[Any]) -> None:
    storage, types, _ = shelf
    for value in values if name in types else ():
        with pytest.raises(iq.InvalidValueError) as caught:
            storage.create("Thing", {name: value})
        assert (caught.value.record, caught.value.property) == ("Thing", name), value
