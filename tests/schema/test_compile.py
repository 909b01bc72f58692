"""Definitions become tables, mapped classes and relationships."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import (
    Engine,
    Integer,
    MetaData,
    String,
    create_engine,
    select,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import (
    DeclarativeBase,
    Mapped,
    Session,
    configure_mappers,
    mapped_column,
)
from sqlalchemy.schema import CreateIndex, CreateTable

import interaqt_sa as iq
from interaqt_sa.definitions.constraints import UniqueConstraint
from interaqt_sa.definitions.dictionary import Dictionary
from interaqt_sa.definitions.event_source import EventSource
from interaqt_sa.definitions.records import Entity, Property, Relation
from interaqt_sa.schema.compile.dictionaries import dictionary_mapper, write_missing_rows
from interaqt_sa.schema.compile.system_tables import is_system_table
from interaqt_sa.schema.compile_schema import compile_schema
from tests.schema import shop
from tests.support.engines import EngineFactory

GOLDEN = Path(__file__).parent / "golden"


def ddl(metadata: MetaData, dialect: Any) -> str:
    lines: list[str] = []
    for table in sorted(metadata.tables.values(), key=lambda table: table.name):
        lines.append(str(CreateTable(table).compile(dialect=dialect)).strip())
        indexes = sorted(table.indexes, key=lambda index: str(index.name))
        lines += [str(CreateIndex(index).compile(dialect=dialect)) for index in indexes]
    return "\n\n".join("\n".join(line.rstrip() for line in part.splitlines()) for part in lines) + "\n"


@pytest.mark.parametrize("name", ["postgresql", "sqlite"])
def test_the_tables_are_these(name: str) -> None:
    dialect: Any = {"postgresql": postgresql, "sqlite": sqlite}[name].dialect()
    # constraints inside a table come as a set
    made = ddl(shop.compiled(MetaData()).metadata, dialect)
    golden = (GOLDEN / f"shop.{name}.sql").read_text()
    assert sorted(made.replace(",", "").splitlines()) == sorted(golden.replace(",", "").splitlines())


def test_physical_names_do_not_depend_on_the_order_of_declarations() -> None:
    def names(metadata: MetaData) -> set[str]:
        found = {str(column) for table in metadata.tables.values() for column in table.columns}
        for table in metadata.tables.values():
            found |= {str(thing.name) for thing in (*table.constraints, *table.indexes)}
        return found

    other = compile_schema(
        MetaData(),
        entities=reversed(shop.ENTITIES),
        relations=reversed(shop.RELATIONS),
        dictionaries=reversed(shop.DICTIONARIES),
    )
    assert names(other.metadata) == names(shop.compiled(MetaData()).metadata)


def test_compiling_again_changes_nothing() -> None:
    metadata = MetaData()
    schema = shop.compiled(metadata)
    tables, generation = dict(metadata.tables), ddl(metadata, sqlite.dialect())
    assert shop.compiled(metadata) is schema
    assert shop.compiled(schema) is schema
    assert dict(metadata.tables) == tables
    assert ddl(metadata, sqlite.dialect()) == generation


def test_definitions_are_shared_between_schemas() -> None:
    one, two = shop.compiled(MetaData()), shop.compiled(MetaData())
    assert one.mapped_class(shop.Order) is not two.mapped_class(shop.Order)
    assert {index.name for index in one.metadata.tables["order"].indexes} == {
        index.name for index in two.metadata.tables["order"].indexes
    }
    configure_mappers()


def test_later_calls_add(engine: Engine) -> None:
    metadata = MetaData()
    schema = compile_schema(metadata, entities=[shop.Customer, shop.Team])
    assert compile_schema(schema, relations=[shop.Boss, shop.Leader, shop.Membership]) is schema
    metadata.create_all(engine)
    customer, team = schema.mapped_class("Customer"), schema.mapped_class("Team")
    with Session(engine) as session:
        ann = customer(fullName="Ann", rules=team(name="x"), leader=customer(fullName="Bob"))
        session.add(ann)
        session.flush()
        assert ann.rules.boss_id == ann.id
        assert ann.leader.followers == [ann]
        assert ann.teams == []


def test_mapped_classes_are_ordinary(engine: Engine) -> None:
    schema = shop.compiled(MetaData())
    schema.metadata.create_all(engine)
    customer, order, team = map(schema.mapped_class, (shop.Customer, "Order", shop.Team))
    member = schema.mapped_class(shop.Membership)
    with Session(engine) as session:
        ann = customer(fullName="Ann")
        placed = order(customer=ann, tags=["a"])
        blue = team(name="blue", boss=ann)
        session.add_all([placed, order(customer=ann), member(source=ann, target=blue, role="head")])
        session.flush()
        assert (placed.total, placed.status, placed.customer_id) == (0, "pending", ann.id)
        assert ann.rules is blue
        assert (ann.teams, blue.members, ann.teams_links[0].role) == ([blue], [ann], "head")
        assert session.scalars(select(order).where(order.customer == ann).order_by(order.id)).first() is placed
        assert repr(ann) == f"<Customer {ann.id}>"
        session.delete(blue)
        session.flush()
        assert session.scalars(select(member)).all() == []
        other = order()
        session.add(other)
        session.flush()
        assert other.tags == []
        assert other.tags is not session.scalars(select(order).where(order.id != other.id)).first().tags


def test_reliance_deletes_targets_with_their_source(engine: Engine) -> None:
    invoice = Entity("Invoice", [Property("n", int)])
    line = Entity("Line", [Property("n", int)])
    cover = Entity("Cover", [Property("n", int)])
    schema = compile_schema(
        MetaData(),
        entities=[invoice, line, cover],
        relations=[
            Relation(
                source=invoice,
                source_property="lines",
                target=line,
                target_property="invoice",
                type="1:n",
                is_target_reliance=True,
            ),
            Relation(
                source=invoice,
                source_property="cover",
                target=cover,
                target_property="invoice",
                type="1:1",
                is_target_reliance=True,
            ),
        ],
    )
    schema.metadata.create_all(engine)
    invoices, lines, covers = map(schema.mapped_class, (invoice, line, cover))
    with Session(engine) as session:
        made = invoices(n=1, lines=[lines(n=1), lines(n=2)], cover=covers(n=1))
        session.add(made)
        session.flush()
        session.delete(made)
        session.flush()
        assert session.scalars(select(lines)).all() == session.scalars(select(covers)).all() == []


def test_values_come_back_as_they_were(engine: Engine) -> None:
    moment = datetime(2024, 2, 29, 12, 30, 15, 250_000, tzinfo=UTC)
    values: dict[Any, Any] = {
        "string": "a",
        "number": 1.5,
        "boolean": True,
        "object": {"a": [1, None]},
        "id": 2**40,
        str: "b",
        int: 2**40,
        float: 2.5,
        bool: False,
        datetime: moment,
        dict: {"b": 1},
        list: [1, 2],
        UUID: uuid4(),
        String(10): "c",
        Integer: 7,
    }
    kinds = dict(enumerate(values))
    thing = Entity(
        "Thing",
        [
            *(Property(f"p{n}", kind) for n, kind in kinds.items()),
            Property("many", "string", collection=True),
            Property("since", "timestamp"),
        ],
    )
    schema = compile_schema(MetaData(), entities=[thing])
    schema.metadata.create_all(engine)
    model = schema.mapped_class(thing)
    milliseconds = int(moment.timestamp() * 1000)
    with Session(engine) as session:
        data = {f"p{n}": values[kind] for n, kind in kinds.items()}
        for since in (milliseconds, moment, moment.isoformat()):
            session.add(model(**data, many=["x"], since=since))
        session.add(model())
        session.commit()
        *full, empty = session.scalars(select(model).order_by(model.id))
        for found in full:
            assert {name: getattr(found, name) for name in data} == data
            assert (found.many, found.since) == (["x"], milliseconds)
        assert {getattr(empty, name) for name in data} == {None}
        assert session.scalars(select(model.id).where(model.p3.is_(None))).all() == [empty.id]
        assert len(session.scalars(select(model).where(model.since >= moment)).all()) == 3


@pytest.mark.postgres
def test_decimals(engine_for: EngineFactory) -> None:
    # SQLite has no decimals, and SQLAlchemy warns of it
    engine = engine_for("psycopg")
    schema = compile_schema(MetaData(), entities=[Entity("Price", [Property("amount", Decimal)])])
    schema.metadata.create_all(engine)
    model = schema.mapped_class("Price")
    with Session(engine) as session:
        session.add(model(amount=Decimal("0.10")))
        session.commit()
        assert session.scalar(select(model.amount)) == Decimal("0.10")


@pytest.mark.parametrize("value", ["yesterday", datetime(2024, 1, 1), "2024-01-01T00:00:00", True, 1.5])  # noqa: DTZ001
def test_timestamps_need_a_time_zone(value: Any) -> None:
    from interaqt_sa.dialects.column_types import to_milliseconds

    with pytest.raises(ValueError, match=r"timestamp|isoformat"):
        to_milliseconds(value)


def test_defaults_are_values_or_functions(engine: Engine) -> None:
    calls = iter(range(10))
    entity = Entity(
        "E",
        [
            Property("n", int, default=lambda: next(calls)),
            Property("o", "object", default={"a": []}),
            Property("b", bool, default=False),
        ],
    )
    schema = compile_schema(MetaData(), entities=[entity])
    schema.metadata.create_all(engine)
    model = schema.mapped_class(entity)
    with Session(engine) as session:
        rows = [model(), model(), model(n=None, o=None, b=None)]
        session.add_all(rows)
        session.flush()
        assert sorted(row.n for row in rows[:2]) == [0, 1]
        assert rows[0].o == rows[1].o == {"a": []}
        assert rows[0].o is not rows[1].o
        session.expire_all()
        assert (rows[2].n, rows[2].o, rows[2].b) == (None, None, None)


def test_rows_of_dictionaries_come_with_their_tables(engine: Engine) -> None:
    settings = Dictionary("limits", "object", default=lambda: {"max": 3})
    names = Dictionary("names", "string", collection=True, default=["a"])
    schema = compile_schema(MetaData(), dictionaries=[settings, names, Dictionary("rate", float)])
    metadata = schema.metadata
    metadata.create_all(engine)
    metadata.create_all(engine)
    with Session(engine) as session:
        for name, value in (("limits", {"max": 3}), ("names", ["a"]), ("rate", None)):
            assert session.get(dictionary_mapper(metadata, name).class_, 1).value == value
    with engine.begin() as connection:
        assert write_missing_rows(connection, metadata) == []
        connection.execute(metadata.tables["dictionary_limits"].delete())
        assert write_missing_rows(connection, metadata) == ["limits"]


def test_event_sources_bring_their_records() -> None:
    event = Entity("Event", [Property("payload", "object")])
    sources = [EventSource("a", event), EventSource("b", event), EventSource("c", "Event")]
    schema = compile_schema(MetaData(), event_sources=sources)
    assert [record.name for record in schema.records] == ["Event"]
    assert schema.mapped_class(sources[0]) is schema.mapped_class(event)
    assert compile_schema(schema, entities=[event], event_sources=sources) is schema


def test_naming_conventions_are_followed() -> None:
    metadata = MetaData(
        naming_convention={
            "ix": "i__%(table_name)s__%(column_0_N_name)s",
            "uq": "u__%(table_name)s__%(constraint_name)s",
            "ck": "c__%(table_name)s__%(constraint_name)s",
            "fk": "f__%(table_name)s__%(column_0_name)s__%(referred_table_name)s",
            "pk": "p__%(table_name)s",
        }
    )
    shop.compiled(metadata)
    names = {str(thing.name) for table in metadata.tables.values() for thing in (*table.constraints, *table.indexes)}
    assert names >= {
        "p__order",
        "f__order__customer_id__customer",
        "i__order__customer_id",
        "u__order__one_total",
        "c__customer__named",
        "u__membership__source_id_target_id",
    }
    other = MetaData(naming_convention={"uq": "uq_%(table_name)s_%(column_0_name)s"})
    shop.compiled(other)
    unique = {str(c.name) for c in other.tables["membership"].constraints if str(c.name).startswith("uq")}
    assert unique == {"uq_membership_source_id_target_id", "uq_membership_one_role"}


def test_long_names_fit_and_differ() -> None:
    long = "AVeryLongNameOfAnEntityThatGoesOnForQuiteAWhileAndSomeMore"
    one, two = Entity(f"{long}One", [Property("x" * 70, int)]), Entity(f"{long}Two")
    link = Relation(source=one, source_property="s" * 50, target=two, target_property="t" * 50, type="n:n")
    held = Relation(source=one, source_property="h" * 70, target=two, target_property="r" * 70, type="n:1")
    metadata = compile_schema(MetaData(), entities=[one, two], relations=[link, held]).metadata
    tables = [table for table in metadata.tables.values() if not is_system_table(table)]
    names = [str(t.name) for t in tables]
    for table in tables:
        names += [column.name for column in table.columns]
        names += [str(c.name) for c in (*table.constraints, *table.indexes) if c.name]
        names += [column.default.name for column in table.primary_key]  # type: ignore[union-attr]
    assert max(len(name.encode()) for name in names) <= 63
    assert len({t.name for t in tables}) == 3


def test_a_changed_predicate_changes_the_name() -> None:
    def index_name(where: Any) -> str | None:
        entity = Entity(
            "E", [Property("a", str), Property("b", bool)], constraints=[UniqueConstraint("u", ["a"], where=where)]
        )
        (index,) = compile_schema(MetaData(), entities=[entity]).metadata.tables["e"].indexes
        return index.name

    names = [
        index_name({"a": "it's"}),
        index_name({"a": ("!=", None)}),
        index_name({"b": True}),
        index_name(lambda e: e.b.is_(True) & (e.a != "x")),
    ]
    assert len(set(names)) == 4
    assert index_name({"b": True}) == index_name(lambda e: e.b == True)  # noqa: E712


def test_constraints_hold(engine: Engine) -> None:
    schema = shop.compiled(MetaData())
    schema.metadata.create_all(engine)
    order, customer = schema.mapped_class("Order"), schema.mapped_class("Customer")

    def refused(*rows: Any) -> bool:
        with Session(engine) as session:
            session.add_all(rows)
            try:
                session.commit()
            except IntegrityError:
                return True
            return False

    with Session(engine, expire_on_commit=False) as session:
        ann = customer(fullName="Ann")
        session.add_all([ann, order(customer=ann, note="a", total=1)])
        session.commit()
    assert refused(order(customer_id=ann.id, note="a", total=2))
    assert not refused(order(customer_id=ann.id, note="b", total=2))
    assert not refused(order(customer_id=ann.id, total=3), order(customer_id=ann.id, total=3))
    assert refused(customer())


def test_a_schema_of_the_metadata_is_kept() -> None:
    metadata = MetaData(schema="tenant")
    shop.compiled(metadata)
    assert all(table.schema == "tenant" for table in metadata.tables.values())
    keys = {key.target_fullname for table in metadata.tables.values() for key in table.foreign_keys}
    assert keys == {"tenant.customer.id", "tenant.order.id", "tenant.team.id", "tenant.shipment.id"}
    assert {sequence.schema for sequence in metadata._sequences.values()} == {"tenant"}
    configure_mappers()


def test_tables_of_the_package_come_with_definitions_only() -> None:
    class Base(DeclarativeBase):
        pass

    class Order(Base):
        __tablename__ = "order"
        id: Mapped[int] = mapped_column(primary_key=True)

    engine = create_engine("sqlite://")
    Base.metadata.create_all(engine)
    system = iq.System(engine, base=Base)
    iq.Controller(system, event_sources=[EventSource("noted", Order, map_event_data=lambda *_: {})]).setup()
    assert set(Base.metadata.tables) == {"order"}
    with pytest.raises(iq.DefinitionFault, match=r"storage.set\(\): this needs .*compile_schema\(base\) adds"):
        system.storage.set("theme", "ann", 1)
    compile_schema(Base)
    assert set(Base.metadata.tables) == {"order", "interaqt_values", "interaqt_counters"}
    Base.metadata.create_all(engine)
    system.storage.set("theme", "ann", 1)
    assert system.storage.get("theme", "ann") == 1
