"""Tables in a schema of the database, and schemas that a connection translates."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import Column, Engine, ForeignKey, MetaData, Table, delete, event, insert, select, text, update
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship, sessionmaker

from interaqt_sa import Controller, Count, DefinitionError, Entity, Property, Relation, Summation, System, computed
from tests.support.engines import EngineFactory


class Base(DeclarativeBase):
    metadata = MetaData(schema="main_office")


tagging = Table(
    "tagging",
    Base.metadata,
    Column("room_id", ForeignKey("main_office.room.id"), primary_key=True),
    Column("tag_id", ForeignKey("main_office.tag.id"), primary_key=True),
)


class Room(Base):
    __tablename__ = "room"

    id: Mapped[int] = mapped_column(primary_key=True)
    chairs: Mapped[list[Chair]] = relationship(back_populates="room", cascade="all, delete-orphan")
    tags: Mapped[list[Tag]] = relationship(secondary=tagging)
    chair_count: Mapped[int] = computed(Count("chairs"))
    price: Mapped[float] = computed(Summation("chairs", "price"))
    tag_count: Mapped[int] = computed(Count("tags"))


class Chair(Base):
    __tablename__ = "chair"

    id: Mapped[int] = mapped_column(primary_key=True)
    room_id: Mapped[int] = mapped_column(ForeignKey("main_office.room.id"))
    price: Mapped[float] = mapped_column(default=10)
    room: Mapped[Room] = relationship(back_populates="chairs")


class Tag(Base):
    __tablename__ = "tag"

    id: Mapped[int] = mapped_column(primary_key=True)


ROOMS: tuple[Any, ...] = (Room.id, Room.chair_count, Room.price, Room.tag_count)
SCHEMAS = "main_office", "north", "south"


@pytest.fixture
def office(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Engine:
    """Return an engine on a database with several schemas; attached files on SQLite."""
    if engine.dialect.name == "postgresql":
        with engine.begin() as connection:
            for name in SCHEMAS:
                connection.execute(text(f"CREATE SCHEMA {name}"))
    else:
        directory = tmp_path_factory.mktemp("schemas")

        @event.listens_for(engine, "connect")
        def attach(connection: Any, record: object) -> None:
            for name in SCHEMAS:
                connection.execute(f"ATTACH DATABASE '{directory / name}.sqlite3' AS {name}")

    return engine


def write(session: Any, chairs: int) -> None:
    """Add a room with chairs, change one of them, take one away; by objects and by statements."""
    room = Room(chairs=[Chair(price=n) for n in range(chairs)], tags=[Tag()])
    session.add(room)
    session.flush()
    assert (room.chair_count, room.price, room.tag_count) == (chairs, sum(range(chairs)), 1)
    room.chairs[0].price = 100
    room.chairs.pop()
    session.flush()
    session.execute(insert(Chair), [{"room_id": room.id}, {"room_id": room.id, "price": 0.5}])
    session.execute(update(Chair).where(Chair.price == 10).values(price=11))
    session.execute(delete(Chair).where(Chair.price == 0.5))


def test_tables_in_a_schema(office: Engine) -> None:
    Base.metadata.create_all(office)
    sessions = sessionmaker(office)
    system = System(sessions, base=Base)
    with sessions.begin() as session:
        write(session, 4)
        assert session.execute(select(*ROOMS)).all() == [(1, 4, 114, 1)]
    report = system.check()
    assert report.ok, report.differences


def test_two_tenants_of_one_system(office: Engine) -> None:
    north, south = (office.execution_options(schema_translate_map={"main_office": name}) for name in SCHEMAS[1:])
    for tenant in (north, south):
        Base.metadata.create_all(tenant)
    sessions = sessionmaker()
    system = System(sessions, base=Base)
    for chairs, tenant in [(3, north), (5, south), (4, north), (6, south)]:
        with sessions(bind=tenant) as session, session.begin():
            write(session, chairs)
    expected = {"north": [(1, 3, 112, 1), (2, 4, 114, 1)], "south": [(1, 5, 117, 1), (2, 6, 121, 1)]}
    for tenant, name in ((north, "north"), (south, "south")):
        with sessions(bind=tenant) as session:
            assert [tuple(row) for row in session.execute(select(*ROOMS).order_by(Room.id))] == expected[name]
        sessions.configure(bind=tenant)
        assert system.check().ok


def test_the_map_of_a_session_s_own_connection(office: Engine) -> None:
    sessions = sessionmaker(office)
    System(sessions, base=Base)
    for name in SCHEMAS[1:]:
        Base.metadata.create_all(office.execution_options(schema_translate_map={"main_office": name}))
    for chairs, name in [(3, "north"), (4, "south"), (5, "north")]:
        with sessions.begin() as session:
            session.connection(execution_options={"schema_translate_map": {"main_office": name}})
            write(session, chairs)
    with office.connect() as connection:
        counts = {
            name: connection.execute(text(f"SELECT chair_count FROM {name}.room ORDER BY id")).scalars().all()
            for name in SCHEMAS[1:]
        }
    assert counts == {"north": [3, 5], "south": [4]}


@pytest.mark.postgres
def test_two_databases_of_one_system(engine_for: EngineFactory) -> None:
    class Plain(DeclarativeBase):
        pass

    class Box(Plain):
        __tablename__ = "box"
        id: Mapped[int] = mapped_column(primary_key=True)
        things: Mapped[list[Thing]] = relationship()
        thing_count: Mapped[int] = computed(Count("things"))

    class Thing(Plain):
        __tablename__ = "thing"
        id: Mapped[int] = mapped_column(primary_key=True)
        box_id: Mapped[int] = mapped_column(ForeignKey("box.id"))

    sessions = sessionmaker()
    system = System(sessions, base=Plain)
    for driver in ("pysqlite", "psycopg", "pysqlite"):
        engine = engine_for(driver)
        Plain.metadata.create_all(engine)
        sessions.configure(bind=engine)
        with sessions.begin() as session:
            box = Box(things=[Thing(), Thing()])
            session.add(box)
            session.flush()
            assert box.thing_count == 2
        assert system.check().ok


def test_an_entity_in_a_schema_of_its_own(office: Engine) -> None:
    """Its sequence stands there too, and foreign keys and link tables of others lead there."""
    desk = Entity("Desk", [Property("n_drawers", int, computation=Count("drawers"))], table_args=[{"schema": "north"}])
    drawers = Relation(source=desk, source_property="drawers", target="Drawer", target_property="desk", type="1:n")
    users = Relation(source=desk, source_property="users", target="Drawer", target_property="desks", type="n:n")
    inner = Relation(source=desk, source_property="parts", target=desk, target_property="whole", type="1:n")
    system = System(office)
    spare = Entity("SpareDesk", [Property("n", int)], table_name="desk", table_args=[{"schema": "south"}])
    controller = Controller(system, entities=[desk, Entity("Drawer"), spare], relations=[drawers, users, inner])
    controller.setup(install=True)
    controller.setup()
    table = system.metadata.tables["north.desk"]
    assert [sequence.schema for sequence in system.metadata._sequences.values() if "desk_id" in sequence.name] == [
        "north",
        "south",
    ]
    keys = {key.target_fullname for t in system.metadata.tables.values() for key in t.foreign_keys}
    assert keys == {"north.desk.id", "drawer.id"}
    system.storage.create("Desk", {"drawers": [{}, {}], "parts": [{}]})
    assert system.storage.create("SpareDesk", {"n": 7})["id"] == 1, "a table of its own, in another schema"
    with office.connect() as connection:
        assert sorted(connection.scalars(select(table.c.n_drawers))) == [0, 2]
    if office.dialect.supports_sequences:
        with office.begin() as connection:
            connection.execute(text("DROP SEQUENCE north.desk_id_seq CASCADE"))
        with pytest.raises(DefinitionError, match=r"sequence 'desk_id_seq' of table 'north\.desk' is missing"):
            controller.setup()
