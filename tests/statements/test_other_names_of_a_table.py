"""A table is known by what it is in the database, whatever object a statement names it by."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import (
    Column,
    Engine,
    ForeignKey,
    Integer,
    MetaData,
    Table,
    bindparam,
    column,
    delete,
    event,
    func,
    insert,
    lambda_stmt,
    quoted_name,
    select,
    table,
    text,
    update,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, aliased, mapped_column, registry

from interaqt_sa import ComputedWriteError, UnmanagedWriteError
from tests.declarative.kept import Kept
from tests.statements.boxes import Base, Box, Item, expected_events, listen, snapshot, told

ITEMS: Table = Item.__table__  # type: ignore[assignment]


def light(session: Session, name: str = "item", schema: str | None = None) -> Any:
    names = ("id", "box_id", "amount_of", "note_text")
    return table(name, *(column(n) for n in names), schema=schema)


def default_schema(session: Session) -> str:
    return str(session.get_bind().dialect.default_schema_name)  # type: ignore[union-attr]


def reflected(session: Session) -> Any:
    return Table("item", MetaData(), autoload_with=session.connection())


def by_hand(session: Session) -> Any:
    """Another program's idea of the table: a part of it, with other keys and types."""
    return Table(
        "item",
        MetaData(),
        Column("id", Integer, key="ident"),
        Column("box_id", Integer, key="box"),
        Column("amount_of", Integer, key="sum"),
    )


#: how a statement may name the table; INSERT takes no alias
SPELLINGS: dict[str, Callable[[Session], Any]] = {
    "class": lambda _: Item,
    "Table": lambda _: ITEMS,
    "alias": lambda _: ITEMS.alias("z"),
    "anonymous alias": lambda _: ITEMS.alias(),
    "alias of an alias": lambda _: ITEMS.alias("y").alias("z"),
    "aliased": lambda _: aliased(Item),
    "aliased with a name": lambda _: aliased(Item, name="z"),
    "aliased alias": lambda _: aliased(Item, ITEMS.alias("z")),
    "table": light,
    "table with the default schema": lambda s: light(s, schema=default_schema(s)),
    "alias of a table": lambda s: light(s).alias("z"),
    "reflected": reflected,
    "by hand": by_hand,
    "to_metadata": lambda _: ITEMS.to_metadata(MetaData()),
    "to_metadata with the default schema": lambda s: ITEMS.to_metadata(MetaData(), schema=default_schema(s)),
}
#: of which the ORM knows nothing; it takes a list of rows by their keys only
CORE = {name: make for name, make in SPELLINGS.items() if name != "class" and not name.startswith("aliased")}
WITH_INSERT = {name: make for name, make in SPELLINGS.items() if "alias" not in name}


class Named:
    """The columns of a spelling."""

    def __init__(self, target: Any) -> None:
        self.target = target
        self._columns = getattr(target, "c", None)

    def __getattr__(self, name: str) -> Any:
        if self._columns is None:
            return getattr(self.target, name)
        stored = {"amount": "amount_of", "note": "note_text"}.get(name, name)
        return next(c for c in self._columns if c.name == stored)

    def key(self, name: str) -> str:
        """Return the key of a column."""
        return str(getattr(self, name).property.columns[0].key if self._columns is None else getattr(self, name).key)


def run(kept: Kept, make: Callable[[Named], Any], spell: Callable[[Session], Any], parameters: Any = None) -> int:
    """Run a statement; its aggregates, values of the row and events must follow. Return how many items changed."""
    with kept.begin() as session:
        state, before = listen(session), snapshot(session)
        session.execute(make(Named(spell(session))), parameters)
        after = snapshot(session)
        assert told(state) == expected_events(before, after)
        assert all(row["doubled"] == row["amount"] * 2 for row in after.values())
    kept.verify()
    return len(expected_events(before, after))


@pytest.mark.parametrize("spell", SPELLINGS.values(), ids=SPELLINGS)
class TestUpdate:
    def test_by_value(self, boxes: Kept, spell: Any) -> None:
        assert run(boxes, lambda t: update(t.target).where(t.id == 2).values({t.amount: 50}), spell) == 1
        assert run(boxes, lambda t: update(t.target).where(t.id == 2).values({t.box_id: 2}), spell) == 1

    def test_by_expression(self, boxes: Kept, spell: Any) -> None:
        assert run(boxes, lambda t: update(t.target).where(t.amount > 1).values({t.amount: t.amount * 10}), spell) == 2

    def test_beside_another_table(self, boxes: Kept, spell: Any) -> None:
        def make(t: Named) -> Any:
            return update(t.target).where(t.box_id == Box.id, Box.item_count == 3, t.id < 3).values({t.amount: 9})

        assert run(boxes, make, spell) == 2


@pytest.mark.parametrize("spell", SPELLINGS.values(), ids=SPELLINGS)
class TestDelete:
    def test_by_value(self, boxes: Kept, spell: Any) -> None:
        assert run(boxes, lambda t: delete(t.target).where(t.amount == 2), spell) == 1

    def test_beside_another_table(self, boxes: Kept, spell: Any) -> None:
        def make(t: Named) -> Any:
            return delete(t.target).where(t.box_id.in_(select(Box.id)), t.id > 1)

        assert run(boxes, make, spell) == 2


@pytest.mark.parametrize("spell", CORE.values(), ids=CORE)
def test_update_with_several_parameter_sets(boxes: Kept, spell: Any) -> None:
    def make(t: Named) -> Any:
        return update(t.target).where(t.id == bindparam("i")).values({t.amount: bindparam("a")})

    assert run(boxes, make, spell, [{"i": 1, "a": 70}, {"i": 3, "a": 71}]) == 2


@pytest.mark.parametrize("spell", WITH_INSERT.values(), ids=WITH_INSERT)
class TestInsert:
    def test_values(self, boxes: Kept, spell: Any) -> None:
        def make(t: Named) -> Any:
            return insert(t.target).values({t.id: 9, t.box_id: 2, t.amount: 7})

        assert run(boxes, make, spell) == 1

    def test_several_rows(self, boxes: Kept, spell: Any) -> None:
        def make(t: Named) -> Any:
            return insert(t.target).values([{t.id.key: n, t.box_id.key: 2, t.amount.key: n} for n in (8, 9)])

        assert run(boxes, make, spell) == 2

    def test_parameters(self, boxes: Kept, spell: Any) -> None:
        with boxes.begin() as session:
            t = Named(spell(session))
            rows = [{t.id.key: n, t.box_id.key: 2, t.amount.key: n} for n in (8, 9)]
        assert run(boxes, lambda t: insert(t.target), spell, rows) == 2

    def test_of_a_select(self, boxes: Kept, spell: Any) -> None:
        def make(t: Named) -> Any:
            names = [t.key("id"), t.key("box_id"), t.key("amount")]
            return insert(t.target).from_select(names, select(Item.id + 10, 2, Item.amount * 2))

        assert run(boxes, make, spell) == 3

    def test_upsert(self, boxes: Kept, spell: Any) -> None:
        def make(t: Named) -> Any:
            statement = insert_for(boxes.engine)(t.target).values(
                [{t.id.key: n, t.box_id.key: 2, t.amount.key: n * 10} for n in (3, 4)]
            )
            taken = statement.excluded
            columns = {c.name: c for c in taken}
            changes = {t.key("amount"): columns["amount_of"], t.key("box_id"): columns["box_id"]}
            return statement.on_conflict_do_update(index_elements=["id"], set_=changes)

        assert run(boxes, make, spell) == 2

    def test_returning(self, boxes: Kept, spell: Any) -> None:
        with boxes.begin() as session:
            t = Named(spell(session))
            statement = insert(t.target).values({t.id: 9, t.box_id: 2, t.amount: 7}).returning(t.id, t.amount)
            row = session.execute(statement).one()
            assert (int(row._mapping[t.id]), row._mapping[t.amount]) == (9, 7)
        boxes.verify()


@pytest.mark.parametrize("spell", SPELLINGS.values(), ids=SPELLINGS)
class TestRefused:
    """What is refused of the table is refused of its other names, before anything is sent."""

    def test_computed_columns(self, boxes: Kept, spell: Any) -> None:
        with boxes.begin() as session:
            t = Named(spell(session))
            if isinstance(t.target, Table) and "doubled" not in t.target.c:
                t.target.append_column(Column("doubled", Integer))
            named = {"doubled": 5} if hasattr(t.target, "c") and "doubled" not in t.target.c else {t.doubled: 5}
            if named == {"doubled": 5} and not hasattr(t.target, "metadata"):
                t = Named(table("item", column("doubled")))
                named = {t.doubled: 5}
            with pytest.raises(ComputedWriteError, match=r"Item\.doubled"):
                session.execute(update(t.target).values(named))

    def test_past_the_session(self, boxes: Kept, spell: Any) -> None:
        with boxes.begin() as session:
            t = Named(spell(session))
            statement = delete(t.target)
            with pytest.raises(UnmanagedWriteError, match="bypasses the session"):
                session.connection().execute(update(t.target).values({t.amount: 5}))
            with pytest.raises(UnmanagedWriteError, match="bypasses the session"):
                session.connection().execute(lambda_stmt(lambda: statement))

    @pytest.mark.postgres
    def test_in_a_cte(self, boxes: Kept, spell: Any) -> None:
        if boxes.engine.dialect.name == "sqlite":
            return  # which has no such statements
        with boxes.begin() as session:
            t = Named(spell(session))
            statement = select(func.count()).add_cte(delete(t.target).cte("gone"))
            with pytest.raises(UnmanagedWriteError, match="'item' is part of another statement"):
                session.execute(statement)
        assert boxes.stored(Box.id, Box.item_count) == [(1, 3), (2, 0)]


def insert_for(engine: Engine) -> Any:
    from sqlalchemy.dialects import postgresql, sqlite

    return postgresql.insert if engine.dialect.name == "postgresql" else sqlite.insert


@pytest.mark.parametrize(
    "make",
    [
        lambda item: insert(item).values(id=9, box_id=2),
        lambda item: update(item).where(item.id == 2).values(amount=9),
        lambda item: delete(item).where(item.id == 2),
    ],
    ids=["insert", "update", "delete"],
)
def test_lambda_statements(boxes: Kept, make: Callable[[Any], Any]) -> None:
    statement = make(Item)
    assert run(boxes, lambda _: lambda_stmt(lambda: statement), lambda _: Item) == 1


@pytest.mark.parametrize("n", [1, 2, 3])
def test_a_lambda_statement_with_values_from_outside(boxes: Kept, n: int) -> None:
    def statement(key: int, amount: int) -> Any:
        return lambda_stmt(lambda: update(Item).where(Item.id == key).values(amount=amount))

    for _ in range(2):
        run(boxes, lambda _: statement(n, n * 100), lambda _: Item)
        run(boxes, lambda _: statement(n, n * 100 + 1), lambda _: Item)
    assert dict(boxes.stored(Item.id, Item.amount))[n] == n * 100 + 1


@pytest.mark.parametrize("name", ["ITEM", "Item", "item"])
@pytest.mark.parametrize("quote", [None, True, False])
def test_names_are_compared_as_the_database_compares_them(boxes: Kept, name: str, quote: bool | None) -> None:
    is_same = boxes.engine.dialect.name == "sqlite" or name == "item" or quote is False
    if not is_same:
        with boxes.engine.begin() as connection:
            connection.execute(text(f'CREATE TABLE "{name}" (id INTEGER, box_id INTEGER, amount_of INTEGER)'))
    changed = run(
        boxes,
        lambda t: insert(t.target).values(id=9, box_id=2, amount_of=5),
        lambda s: light(s, quoted_name(name, quote)),
    )
    assert changed == is_same


def test_a_table_of_another_schema_is_another_one(boxes: Kept, tmp_path: Any) -> None:
    if boxes.engine.dialect.name == "sqlite":
        boxes.engine.dispose()
        attach = f"ATTACH DATABASE '{tmp_path / 'other'}' AS other"
        event.listen(boxes.engine, "connect", lambda connection, _: connection.execute(attach))
    with boxes.begin() as session:
        connection = session.connection()
        if boxes.engine.dialect.name == "postgresql":
            connection.execute(text("CREATE SCHEMA other"))
        connection.execute(text("CREATE TABLE other.item (id INTEGER, box_id INTEGER, amount_of INTEGER)"))
        session.execute(insert(light(session, schema="other")).values(id=1, box_id=1, amount_of=5))
        connection.execute(insert(light(session, schema="other")).values(id=2, box_id=1, amount_of=5))
        # … unless the map of schemas says that it is the same
        options = {"schema_translate_map": {"nowhere": default_schema(session)}}
        mapped = ITEMS.to_metadata(MetaData(), schema="nowhere")
        session.execute(insert(mapped).values(id=9, box_id=2, amount_of=5), execution_options=options)
        assert snapshot(session)[9]["doubled"] == 10
    boxes.verify()


@pytest.mark.postgres
def test_a_table_of_another_database_is_another_one(boxes: Kept, engine_for: Any) -> None:
    other = engine_for("pysqlite" if boxes.engine.dialect.name == "postgresql" else "psycopg")

    class Elsewhere(DeclarativeBase):
        pass

    class Other(Elsewhere):
        __tablename__ = "item"
        id: Mapped[int] = mapped_column(primary_key=True)

    Elsewhere.metadata.create_all(other)
    boxes.sessions.configure(binds={Base: boxes.engine, Other: other})
    with boxes.begin() as session:
        session.execute(insert(Other).values(id=7))
        session.execute(insert(Other.__table__), [{"id": 8}])
        session.add(Other(id=9))
        session.flush()
        assert session.scalar(select(func.count()).select_from(Other)) == 3
        session.execute(delete(Other))


def test_a_class_that_maps_the_table_a_second_time(boxes: Kept) -> None:
    other = registry()

    @other.mapped
    class Second:
        __table__ = Table(
            "item",
            other.metadata,
            Column("id", Integer, primary_key=True),
            Column("box_id", ForeignKey("box.id")),
            Column("amount_of", Integer),
        )

    Table("box", other.metadata, Column("id", Integer, primary_key=True))
    second: Any = Second
    with (
        boxes.begin() as session,
        pytest.raises(UnmanagedWriteError, match="Second maps the table 'item' a second time"),
    ):
        session.execute(delete(second))
    with boxes.sessions() as session:
        session.add(second(id=9, box_id=2, amount_of=5))
        with pytest.raises(UnmanagedWriteError, match="'item'"):
            session.flush()
    with boxes.begin() as session:
        session.execute(delete(second.__table__).where(second.__table__.c.id == 1))
    assert boxes.stored(Box.id, Box.item_count) == [(1, 2), (2, 0)]


def test_pending_objects_wait_if_the_statement_says_so(boxes: Kept) -> None:
    with boxes.begin() as session:
        session.add(Item(id=9, box_id=1, amount=4))
        session.execute(update(Item).values(amount=7), execution_options={"autoflush": False})
        assert session.new
        session.execute(update(Item).values(amount=8))
        assert not session.new
    assert boxes.stored(Box.id, Box.amount) == [(1, 4 * 8), (2, 0)]
