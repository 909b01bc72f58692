"""What a function of the row sees is what the database stores, and what it returns is what a later read gives."""

from __future__ import annotations

import enum
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from sqlalchemy import (
    CHAR,
    REAL,
    DateTime,
    Enum,
    ForeignKey,
    Numeric,
    String,
    TypeDecorator,
    event,
    insert,
    select,
    text,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship

import interaqt_sa as iq
from tests.declarative.kept import Keep, Kept


class Colour(enum.Enum):
    RED = "r"
    BLUE = "b"


class Upper(TypeDecorator[str]):
    impl = String
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Any) -> str | None:
        return value and value.upper()


INPUTS = ("price", "rate", "code", "name", "colour", "at", "count", "label", "changes", "shelf_id")


def _seen(row: Any) -> str:
    return repr([row[name] if hasattr(row, "keys") else getattr(row, name) for name in INPUTS])


class Base(DeclarativeBase):
    pass


class Shelf(Base):
    __tablename__ = "shelf"
    id: Mapped[int] = mapped_column(primary_key=True)
    doubled: Mapped[Decimal] = iq.computed(iq.Summation("things", "double"), Numeric(20, 4))
    things: Mapped[list[Thing]] = relationship(back_populates="shelf")


class Thing(Base):
    """`seen` is what the functions were given."""

    __tablename__ = "thing"
    id: Mapped[int] = mapped_column(primary_key=True)
    shelf_id: Mapped[int | None] = mapped_column(ForeignKey("shelf.id"))
    price: Mapped[Decimal | None] = mapped_column(Numeric(10, 2))
    rate: Mapped[float | None] = mapped_column(REAL)
    code: Mapped[str | None] = mapped_column(CHAR(6))
    name: Mapped[str | None] = mapped_column(Upper)
    colour: Mapped[Colour | None] = mapped_column(Enum(Colour))
    at: Mapped[Any | None] = mapped_column(DateTime)
    count: Mapped[int] = mapped_column(default=3)
    label: Mapped[str] = mapped_column(server_default="fresh")
    changes: Mapped[int] = mapped_column(default=0, onupdate=lambda: 7)
    double: Mapped[Decimal | None] = iq.computed(lambda t: t.price and t.price * 2, Numeric(10, 4))
    third: Mapped[Decimal | None] = iq.computed(lambda t: t.price and t.price / 3, Numeric(8, 2))
    small: Mapped[float | None] = iq.computed(lambda t: t.rate and t.rate / 7, REAL)
    padded: Mapped[str] = iq.computed(lambda t: f"{t.count}", CHAR(4))
    from_third: Mapped[str] = iq.computed(lambda t: f"{t.third}|{t.small}|{t.padded}")
    seen: Mapped[str] = iq.computed(_seen)
    shelf: Mapped[Shelf | None] = relationship(back_populates="things")


def compare(kept: Kept, expected_rows: int) -> None:
    with kept.sessions() as session:
        things = session.scalars(select(Thing)).all()
        assert len(things) == expected_rows
        for thing in things:
            assert thing.seen == repr([getattr(thing, name) for name in INPUTS])
            assert thing.from_third == f"{thing.third}|{thing.small}|{thing.padded}"
    kept.verify()


VALUES = st.fixed_dictionaries(
    {},
    optional={
        "price": st.none() | st.decimals(-9999, 9999, places=4) | st.integers(-9, 9).map(Decimal),
        "rate": st.none() | st.floats(-100, 100, width=32).map(lambda x: x + 0.1),
        "code": st.none() | st.sampled_from(["", "a", "abcdef"]),
        "name": st.none() | st.sampled_from(["", "lower", "UPPER"]),
        "colour": st.none() | st.sampled_from(Colour) | st.sampled_from(["RED", "BLUE"]),
        "at": st.none() | st.datetimes(),
        "count": st.integers(-5, 5),
        "label": st.sampled_from(["", "x"]),
        "shelf_id": st.sampled_from([None, 1, 2]),
    },
)


@given(data=st.data())
@settings(
    max_examples=10,
    phases=[Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_every_route(keep: Keep, data: st.DataObject) -> None:
    kept = keep(Base)
    with kept.engine.begin() as connection:
        connection.execute(text("DELETE FROM thing"))
        connection.execute(text("DELETE FROM shelf"))
    with kept.begin() as session:
        session.execute(insert(Shelf), [{"id": 1}, {"id": 2}])
    for place, route in enumerate([add, change, insert_rows, update_rows, update_by_key, upsert, store, relate]):
        with kept.begin() as session:
            route(session, kept, data.draw(VALUES, route.__name__))
        compare(kept, {0: 1, 1: 1, 2: 3, 3: 3, 4: 3, 5: 4, 6: 5, 7: 6}[place])
    kept.system.detach(kept.sessions)


def add(session: Session, kept: Kept, values: dict[str, Any]) -> None:
    thing = Thing(id=1, **values)
    session.add(thing)
    session.flush()
    shown = {name: thing.__dict__[name] for name in ("double", "third", "small", "padded", "seen")}
    session.refresh(thing)
    assert {name: repr(value) for name, value in shown.items()} == {n: repr(getattr(thing, n)) for n in shown}


def change(session: Session, kept: Kept, values: dict[str, Any]) -> None:
    for name, value in values.items():
        setattr(session.get_one(Thing, 1), name, value)


def insert_rows(session: Session, kept: Kept, values: dict[str, Any]) -> None:
    session.execute(insert(Thing), [{"id": 2, **values}, {"id": 3, "count": 1}])


def update_rows(session: Session, kept: Kept, values: dict[str, Any]) -> None:
    values = values or {"count": 9}
    session.execute(update(Thing).where(Thing.id > 1).values(values), execution_options={"synchronize_session": False})


def update_by_key(session: Session, kept: Kept, values: dict[str, Any]) -> None:
    session.execute(update(Thing), [{"id": 2, "count": 4, **values}, {"id": 3, "count": 5}])


def upsert(session: Session, kept: Kept, values: dict[str, Any]) -> None:
    make: Any = postgresql.insert if kept.engine.dialect.name == "postgresql" else sqlite.insert
    statement = make(Thing)
    rows = [{"id": 1, "count": 2, **values}, {"id": 4, "count": 2, **values}]
    changed = {name: statement.excluded[name] for name in rows[0] if name != "id"}
    session.execute(statement.on_conflict_do_update(index_elements=["id"], set_=changed), rows)


def store(session: Session, kept: Kept, values: dict[str, Any]) -> None:
    storage = kept.system.storage.with_session(session)
    storage.create(Thing, {"id": 5, **values})
    storage.update(Thing, {"id": 4}, values)


def relate(session: Session, kept: Kept, values: dict[str, Any]) -> None:
    """Keys that the unit of work sets, of new and of stored rows, from either side."""
    first = session.get_one(Shelf, 1)
    first.things.append(Thing(id=6, **{k: v for k, v in values.items() if k != "shelf_id"}))
    session.get_one(Thing, 1).shelf = session.get_one(Shelf, 2)


# -- code of the application, versions, triggers -----------------------------------------------------------------------


def hooked() -> tuple[Any, Any]:
    class Base(DeclarativeBase):
        pass

    class Row(Base):
        __tablename__ = "row_"
        id: Mapped[int] = mapped_column(primary_key=True)
        n: Mapped[int] = mapped_column(default=1)
        m: Mapped[int] = mapped_column(default=0)
        version: Mapped[int] = mapped_column(nullable=False)
        sum: Mapped[int] = iq.computed(lambda row: 100 * row.version + 10 * row.m + row.n)
        __mapper_args__ = {"version_id_col": version}

    return Base, Row


def test_values_of_mapper_events_and_versions(keep: Keep) -> None:
    base, row = hooked()
    kept = keep(base)

    def before_insert(mapper: Any, connection: Any, target: Any) -> None:
        target.m = 4

    def before_update(mapper: Any, connection: Any, target: Any) -> None:
        target.m = 5

    with kept.begin() as session:
        session.add(row(id=1))
    assert kept.stored(row.sum) == [(101,)]
    event.listen(row, "before_insert", before_insert)  # after the system knows the class
    event.listen(row, "before_update", before_update)
    with kept.begin() as session:
        session.add(row(id=2))
        session.flush()
        assert session.get_one(row, 2).sum == 141
        session.get_one(row, 1).n = 2
    assert kept.stored(row.id, row.sum) == [(1, 252), (2, 141)]


def test_values_of_triggers(keep: Keep) -> None:
    base, row = hooked()
    kept = keep(base)
    create_trigger(kept)
    with kept.begin() as session:
        session.add(row(id=1))
    assert kept.stored(row.sum) == [(191,)]


def create_trigger(kept: Kept) -> None:
    with kept.engine.begin() as connection:
        if kept.engine.dialect.name == "postgresql":
            connection.execute(
                text(
                    "CREATE FUNCTION nine() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.m := 9; RETURN NEW; END $$"
                )
            )
            connection.execute(text("CREATE TRIGGER nine BEFORE INSERT ON row_ FOR EACH ROW EXECUTE FUNCTION nine()"))
        else:
            connection.execute(
                text("CREATE TRIGGER nine AFTER INSERT ON row_ BEGIN UPDATE row_ SET m = 9 WHERE id = NEW.id; END")
            )


# -- what a function may read -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "read",
    [
        lambda row: row.get("label"),
        lambda row: dict(row)["label"],
        lambda row: {**row}["label"],
        lambda row: dict(row.items())["label"],
        lambda row: row["label"] if "label" in row else "none",  # noqa: SIM401
        lambda row: next(value for name, value in row.items() if name == "label"),
        lambda row: getattr(row, "label", "none"),
    ],
)
def test_unknown_values_are_not_missing_ones(keep: Keep, read: Callable[[Any], Any]) -> None:
    """A server default is known after the INSERT only, however the function looks at it."""

    class Base(DeclarativeBase):
        pass

    class Row(Base):
        __tablename__ = "row_"
        id: Mapped[int] = mapped_column(primary_key=True)
        label: Mapped[str] = mapped_column(server_default="fresh")
        copy: Mapped[str] = iq.computed(read)

    kept = keep(Base)
    with kept.begin() as session:
        session.add(Row(id=1))
    assert kept.stored(Row.copy) == [("fresh",)]


def test_a_failure_of_its_own_is_not_taken_for_an_unknown_value(keep: Keep) -> None:
    class Base(DeclarativeBase):
        pass

    def guarded(row: Any) -> str:
        try:
            return str(row.label)
        except Exception:  # noqa: BLE001  as applications write
            return "failed"

    class Row(Base):
        __tablename__ = "row_"
        id: Mapped[int] = mapped_column(primary_key=True)
        label: Mapped[str] = mapped_column(server_default="fresh")
        copy: Mapped[str] = iq.computed(guarded)

    kept = keep(Base)
    with kept.begin() as session:
        session.add(Row(id=1))
    assert kept.stored(Row.copy) == [("fresh",)]


@pytest.mark.parametrize("read", [lambda b: len(b.items), lambda b: len(b["items"])])
def test_a_relationship_is_refused_with_the_way_out(keep: Keep, read: Callable[[Any], Any]) -> None:
    class Base(DeclarativeBase):
        pass

    class Basket(Base):
        __tablename__ = "basket"
        id: Mapped[int] = mapped_column(primary_key=True)
        size: Mapped[int] = iq.computed(read)
        items: Mapped[list[Item]] = relationship()

    class Item(Base):
        __tablename__ = "item"
        id: Mapped[int] = mapped_column(primary_key=True)
        basket_id: Mapped[int] = mapped_column(ForeignKey("basket.id"))

    Base.registry.configure()
    kept = keep(Base)
    for write in (lambda s: s.add(Basket(id=1)), lambda s: s.execute(insert(Basket), [{"id": 1}])):
        expected = r"'items' is a relationship.*Count\('items'\)"
        with pytest.raises(iq.ComputationError, match=expected), kept.begin() as session:
            write(session)


def test_repair_mends_values_that_round(keep: Keep) -> None:
    kept = keep(Base)
    with kept.begin() as session:
        session.add_all([Thing(id=1, price=Decimal("1.005"), rate=0.1), Thing(id=2, price=Decimal(10))])
    with kept.engine.begin() as connection:
        connection.execute(text("UPDATE thing SET third = 0, small = 5, seen = '', from_third = ''"))
    assert {d.property for d in kept.system.check().differences} == {"third", "small", "seen", "from_third"}
    kept.system.repair()
    compare(kept, 2)


def test_a_table_of_versions_gets_the_value(keep: Keep) -> None:
    """What a listener copies from the object is what the row will have, unless other listeners change it."""

    class Base(DeclarativeBase):
        pass

    class Row(Base):
        __tablename__ = "row_"
        id: Mapped[int] = mapped_column(primary_key=True)
        n: Mapped[int]
        double: Mapped[int] = iq.computed(lambda row: row.n * 2)

    copies: list[int] = []
    for name in ("before_insert", "before_update"):
        event.listen(Row, name, lambda *args: copies.append(args[-1].double))
    kept = keep(Base)
    with kept.begin() as session:
        session.add(Row(id=1, n=2))
        session.flush()
        session.get_one(Row, 1).n = 3
    assert copies == [4, 6]
    assert kept.stored(Row.double) == [(6,)]
