"""Queries of one shape have the same statements, which are built once and find the same as if they were not kept."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import pytest
from sqlalchemy import Engine, ForeignKey, MetaData, String, event, select
from sqlalchemy.orm import (
    DeclarativeBase,
    Mapped,
    ORMExecuteState,
    Session,
    mapped_column,
    relationship,
    sessionmaker,
    with_loader_criteria,
)

import interaqt_sa as iq
from interaqt_sa.schema.metadata_state import Catalog
from interaqt_sa.session import cursor_execution
from interaqt_sa.storage import Storage
from interaqt_sa.storage.query_plan import QueryBuilder
from tests.schema.shop import Customer, compiled
from tests.storage.test_find import fill
from tests.support.statements import count_statements

_NEIGHBOURS: list[Any] = [
    "note",
    ("customer", {"attribute_query": ["fullName", ("leader", {"attribute_query": ["fullName"]}), "teams.name"]}),
]


@pytest.fixture
def filled(storage: Storage) -> Storage:
    storage.run_in_transaction(fill)
    return storage


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return one entry for each statement that is built from now on."""
    seen: list[str] = []
    original = QueryBuilder.level

    def level(self: QueryBuilder, statement: Any, shape: Any) -> Any:
        seen.append(str(statement))
        return original(self, statement, shape)

    monkeypatch.setattr(QueryBuilder, "level", level)
    return seen


@pytest.fixture
def by_cursor(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the texts of the statements that the driver's cursor runs from now on."""
    seen: list[str] = []
    original = cursor_execution.run_unconverted

    def run(connection: Any, cached: Any, given: Any) -> Any:
        seen.append(cached.text)
        return original(connection, cached, given)

    monkeypatch.setattr(cursor_execution, "run_unconverted", run)
    return seen


def _ids(storage: Storage, match: Any) -> list[int]:
    return [row["id"] for row in storage.find("Order", match, order_by={"id": "ASC"})]


def test_neighbours_of_one_are_joined_and_lists_have_a_statement_each(filled: Storage, engine: Engine) -> None:
    with count_statements(engine) as statements:
        orders = filled.find("Order", attribute_query=_NEIGHBOURS, order_by={"id": "ASC"})
    assert len(statements) == 2, statements
    ann = {"id": 1, "fullName": "Ann", "leader": None, "teams": [{"id": 1, "name": "x"}, {"id": 2, "name": "y"}]}
    bob = {"id": 2, "fullName": "Bob", "leader": {"id": 1, "fullName": "Ann"}, "teams": [{"id": 2, "name": "y"}]}
    assert orders == [{"id": n, "note": f"n{n}", "customer": ann if n < 3 else bob} for n in range(1, 5)]
    orders[0]["customer"]["teams"][0]["name"] = "changed"
    assert orders[1]["customer"]["teams"][0]["name"] == "x"
    with count_statements(engine) as statements:
        filled.find(Customer, attribute_query=["orders.note", "teams.boss.fullName", "leader.fullName"])
    assert len(statements) == 3, statements


def test_the_cursor_runs_them_where_nobody_listens(filled: Storage, engine: Engine, by_cursor: list[str]) -> None:
    options: dict[str, Any] = {"attribute_query": _NEIGHBOURS, "order_by": {"id": "ASC"}}
    unheard = filled.find("Order", {"id": ("in", [1, 3])}, **options)
    assert len(by_cursor) == 2
    with count_statements(engine) as statements:
        heard = filled.find("Order", {"id": ("in", [1, 3])}, **options)
    assert len(by_cursor) == len(statements) == 2
    assert unheard == heard


@pytest.mark.parametrize(
    ("first", "others"),
    [
        ({"total": 10}, [({"total": 20}, [2]), ({"total": None}, [4])]),
        (
            {"id": 1},
            [({"id": 2}, [2]), ({"id": "3"}, [3]), ({"id": "x"}, []), ({"id": 2**70}, []), ({"id": 2**40}, [])],
        ),
        ({"id": "1"}, [({"id": "2"}, [2]), ({"id": "x"}, []), ({"id": "4"}, [4])]),
        ({"id": ("in", [1])}, [({"id": ("in", [])}, []), ({"id": ("in", ["2", "x", 3, 2**70])}, [2, 3])]),
        ({"total": ("in", [10])}, [({"total": ("in", [None, 20])}, [2, 4]), ({"total": ("in", [30, 10])}, [1, 3])]),
        ({"id": ("not in", [1, 2])}, [({"id": ("not in", [])}, [1, 2, 3, 4]), ({"id": ("not in", ["1"])}, [2, 3, 4])]),
        ({"total": ("not in", [10, None])}, [({"total": ("not in", [None])}, [1, 2, 3])]),
        ({"total": ("between", (5, 15))}, [({"total": ("between", (15, 25))}, [2])]),
        ({"note": "n1"}, [({"note": "n2"}, [2]), ({"note": "n1" + "x" * 500}, [])]),
        ({"note": ("in", ["n1"])}, [({"note": ("in", ["n2", "n3\0"[:2], "y" * 500])}, [2, 3])]),
        ({"note": ("like", "n%")}, [({"note": ("like", "_2")}, [2])]),
        ({"tags": ("contains", "a")}, [({"tags": ("contains", "b")}, [2]), ({"tags": ("contains", "c")}, [])]),
        ({"tags": ["a"]}, [({"tags": ["a", "b"]}, [2]), ({"tags": []}, [4])]),
        (
            {"customer": ("exist", {"fullName": "Ann"})},
            [({"customer": ("exist", {"fullName": "Bob"})}, [3, 4])],
        ),
    ],
)
def test_other_values_find_what_they_should(filled: Storage, first: Any, others: Any) -> None:
    known = _ids(filled, first)
    for match, expected in others:
        assert _ids(filled, match) == expected, match
    assert _ids(filled, first) == known


def test_one_shape_is_built_once(filled: Storage, built: list[str]) -> None:
    for number in (1, 2):
        query = [("orders", {"match_expression": {"total": (">", number)}, "attribute_query": ["total"]})]
        filled.find(
            Customer, {"fullName": f"n{number}", "id": ("in", range(number))}, attribute_query=query, limit=number
        )
    assert len(built) == 2, built
    page = filled.find("Order", order_by={"note": "DESC"}, limit=1)
    page = filled.find("Order", order_by={"note": "DESC"}, limit=1, after=page.cursor)
    built.clear()
    page = filled.find("Order", order_by={"note": "DESC"}, limit=1, after=page.cursor)
    assert not built
    assert len(page) == 1
    for name in ("Ann", "Bob"):
        assert filled.count("Order", {"customer.fullName": name}) == 2
    assert len(built) == 1, built


def test_values_are_not_kept(filled: Storage) -> None:
    class Text(str):
        __slots__ = ("__weakref__",)

    value = Text("n1")
    held = weakref.ref(value)
    assert _ids(filled, {"note": ("in", [value])}) == [1]
    assert Catalog.of(filled.schema.metadata).queries is not None
    del value
    gc.collect()
    assert held() is None


def test_conditions_in_sql_are_not_kept(filled: Storage) -> None:
    for total in (10, 20, 30):
        found = filled.find("Order", lambda order, total=total: order.total == total, attribute_query=["total"])
        assert [row["total"] for row in found] == [total]
        query = [("orders", {"match_expression": lambda order, total=total: order.total == total})]
        rows = filled.find(Customer, attribute_query=query)
        assert [len(row["orders"]) for row in rows].count(1) == 1


def test_what_is_wrong_with_a_value_is_said_each_time(filled: Storage) -> None:
    for _ in range(2):
        assert _ids(filled, {"total": (">", 15)}) == [2, 3]
        with pytest.raises(iq.InvalidValueError, match=r"Order\.total"):
            _ids(filled, {"total": (">", "much")})
        with pytest.raises(iq.InvalidValueError, match=r"Order\.total"):
            _ids(filled, {"total": ("in", [object()])})


def test_changes_that_wait_in_the_session_are_seen(filled: Storage, engine: Engine) -> None:
    model: Any = filled.schema.mapped_class("Order")
    with Session(engine) as session:
        bound = filled.with_session(session)
        order = session.get_one(model, 1)
        for total in (11, 12):
            order.total = total
            assert bound.find("Order", {"total": total}, attribute_query=["total"]) == [{"id": 1, "total": total}]
        order.total = 13
        with session.no_autoflush:
            assert bound.find("Order", {"total": 13}) == []
        assert order.total == 13


def test_new_definitions_are_seen(engine: Engine) -> None:
    metadata = MetaData()
    schema = compiled(metadata)
    metadata.create_all(engine)
    storage = Storage(sessionmaker(engine), schema)
    storage.create("Customer", {"fullName": "Ann"})
    assert storage.find("Customer", attribute_query=["*"])
    kept = Catalog.of(metadata).queries
    iq.compile_schema(entities=[iq.Entity("Later", [iq.Property("name", str)])], base=metadata)
    metadata.create_all(engine)
    assert storage.find("Customer", attribute_query=["*"])
    assert Catalog.of(metadata).queries is not kept


class Base(DeclarativeBase):
    pass


class House(Base):
    __tablename__ = "house"
    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(String(10))
    street: Mapped[str] = mapped_column(String(5))
    hidden: Mapped[bool] = mapped_column(default=False)
    first_door: Mapped[Door | None] = relationship(back_populates="house", uselist=False, viewonly=True)
    doors: Mapped[list[Door]] = relationship(back_populates="house", order_by="Door.id")
    __mapper_args__ = {"polymorphic_on": "kind", "polymorphic_identity": "house"}


class Castle(House):
    __mapper_args__ = {"polymorphic_identity": "castle"}
    guests: Mapped[list[Guest]] = relationship(back_populates="castle")


class Door(Base):
    __tablename__ = "door"
    id: Mapped[int] = mapped_column(primary_key=True)
    house_id: Mapped[int] = mapped_column(ForeignKey("house.id"))
    house: Mapped[House] = relationship(back_populates="doors")


class Guest(Base):
    __tablename__ = "guest"
    id: Mapped[int] = mapped_column(primary_key=True)
    castle_id: Mapped[int | None] = mapped_column(ForeignKey("house.id"))
    castle: Mapped[Castle | None] = relationship(back_populates="guests")


@pytest.fixture
def street(engine: Engine) -> Storage:
    Base.metadata.create_all(engine)
    with Session(engine) as session, session.begin():
        session.add(Castle(id=1, street="main", doors=[Door(id=1), Door(id=2)]))
        session.add(House(id=2, street="side"))
        session.flush()
        session.add_all([Guest(id=1, castle_id=1), Guest(id=2), Guest(id=3, castle_id=2)])
    return Storage(sessionmaker(engine), iq.compile_schema(base=Base))


def test_a_neighbour_that_nothing_makes_unique_repeats_no_record(street: Storage) -> None:
    found = street.find("House", attribute_query=["first_door.house_id"], order_by={"id": "ASC"})
    assert found == [{"id": 1, "first_door": {"id": 1, "house_id": 1}}, {"id": 2, "first_door": None}]


def test_records_whose_neighbour_is_of_another_class_stay(street: Storage) -> None:
    found = street.find("Guest", attribute_query=["castle.street"], order_by={"id": "ASC"})
    assert [row["castle"] for row in found] == [{"id": 1, "street": "main"}, None, None]


def test_criteria_of_the_program_hold_for_what_is_kept(street: Storage, engine: Engine) -> None:
    assert len(street.find("House", attribute_query=["doors.id"])) == 2
    factory = sessionmaker(engine)

    def hide(execution: ORMExecuteState) -> None:
        execution.statement = execution.statement.options(
            with_loader_criteria(House, lambda cls: cls.id != 1, include_aliases=True)
        )

    event.listen(factory, "do_orm_execute", hide)
    seen = Storage(factory, street.schema)
    assert [row["id"] for row in seen.find("House", attribute_query=["doors.id"])] == [2]
    door = seen.find("Door", {"id": 1}, attribute_query=["house.street"])
    assert door == [{"id": 1, "house": None}]


def test_a_text_that_is_too_long_is_no_shorter_one(street: Storage) -> None:
    for value in ("side", "sideways", "side "):
        assert bool(street.find("House", {"street": ("in", [value])})) is (value == "side")


def test_ids_of_a_kept_query_are_not_limited(street: Storage, engine: Engine) -> None:
    with count_statements(engine) as statements:
        found = street.find("House", {"id": ("in", range(2, 50_000))}, attribute_query=["doors.id"])
    assert [row["id"] for row in found] == [2]
    assert len(statements) == 2


async def test_the_same_asynchronously(async_storage: iq.AsyncStorage) -> None:
    for number in (1, 2):
        await async_storage.create("Customer", {"id": number, "fullName": f"c{number}"})
        await async_storage.create("Order", {"id": number, "customer": {"id": number}, "total": number, "note": ""})
        found = await async_storage.find(
            "Order", {"id": ("in", [number, "7"])}, attribute_query=["customer.fullName", "customer.orders.total"]
        )
        orders = [{"id": number, "total": number}]
        assert found == [{"id": number, "customer": {"id": number, "fullName": f"c{number}", "orders": orders}}]


def test_sql_of_other_sessions_is_as_before(street: Storage, engine: Engine) -> None:
    with Session(engine) as session:
        street.with_session(session).find("Guest", attribute_query=["castle.street"])
        assert session.scalars(select(Guest.id).order_by(Guest.id)).all() == [1, 2, 3]
