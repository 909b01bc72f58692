"""A computation is one in every spelling, with every argument beside it; a column copied into another table is not."""

from __future__ import annotations

from typing import Annotated, Any

import pytest
from sqlalchemy import (
    Boolean,
    Column,
    Engine,
    FetchedValue,
    ForeignKey,
    Integer,
    MetaData,
    String,
    Table,
    bindparam,
    delete,
    false,
    insert,
    select,
    text,
    update,
)
from sqlalchemy.ext.automap import automap_base
from sqlalchemy.ext.declarative import DeferredReflection
from sqlalchemy.orm import (
    DeclarativeBase,
    Mapped,
    MappedAsDataclass,
    declared_attr,
    mapped_column,
    polymorphic_union,
    registry,
    relationship,
)

import interaqt_sa as iq
from interaqt_sa.engine.plan import plan_of
from tests.engine.conftest import MakeSystem

INFO: dict[Any, Any] = {"label": "Items"}
Labelled = Annotated[int, mapped_column(iq.Count("items"), info=INFO)]
Bare = Annotated[int, mapped_column(iq.Count("items"))]
Other = Annotated[int, mapped_column(info=INFO)]


class Counted:
    mixed: Mapped[int] = iq.computed(iq.Count("items"), info=INFO)

    @declared_attr
    def declared(self) -> Mapped[int]:
        return iq.computed(iq.Count("items"), info=INFO)


def test_info_beside_a_computation_keeps_both_in_every_spelling(make_system: MakeSystem) -> None:
    class Base(DeclarativeBase):
        pass

    class Item(Base):
        __tablename__ = "item"
        id: Mapped[int] = mapped_column(primary_key=True)
        box_id: Mapped[int] = mapped_column(ForeignKey("box.id"))

    class Box(Counted, Base):
        __tablename__ = "box"
        id: Mapped[int] = mapped_column(primary_key=True)
        items: Mapped[list[Item]] = relationship()
        direct: Mapped[int] = iq.computed(iq.Count("items"), info=INFO)
        plain: Mapped[int | None] = mapped_column(iq.Count("items"), info=INFO)
        core = Column(Integer, iq.Count("items"), info=INFO)
        annotated: Mapped[Labelled]
        bare: Mapped[Bare] = mapped_column(info=INFO)
        other: Mapped[Other] = mapped_column(iq.Count("items"))
        size: Mapped[int] = mapped_column(info=INFO, default=1)

    names = {"direct", "plain", "core", "annotated", "bare", "other", "mixed", "declared"}
    table: Any = Box.__table__
    assert {name for name in names if table.c[name].info["label"] == "Items"} == names
    assert set(plan_of(Base.metadata).computed) == {f"Box.{name}" for name in names}
    assert INFO == {"label": "Items"}

    system = make_system(Base)
    with system.session_factory.begin() as session:
        session.add(Box(id=1, items=[Item(), Item()]))
    with system.session_factory.begin() as session:
        assert {getattr(session.get_one(Box, 1), name) for name in names} == {2}
    assert system.check().ok


def test_info_in_dataclasses_tables_and_copies_of_tables(make_system: MakeSystem) -> None:
    class Base(MappedAsDataclass, DeclarativeBase):
        pass

    class Box(Base):
        __tablename__ = "box"
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str]
        length: Mapped[int] = iq.computed(lambda box: len(box.name), info=INFO, init=False)

    copied = MetaData()
    table: Any = Box.__table__
    again = table.to_metadata(copied)
    registry(metadata=copied).map_imperatively(type("Again", (), {}), again)
    assert set(plan_of(copied).computed) == {"Again.length"}
    assert {"label": "Items"}.items() <= again.c.length.info.items()

    system = make_system(Base)
    with system.session_factory.begin() as session:
        session.add(Box(id=1, name="abc"))
    assert system.check().ok


@pytest.mark.parametrize("how", ["to_metadata", "copied columns", "class over copied columns"])
def test_a_table_of_versions_takes_values_and_declares_nothing(make_system: MakeSystem, how: str) -> None:
    """As SQLAlchemy's example `versioned_history` and SQLAlchemy-Continuum make them."""

    class Base(DeclarativeBase):
        pass

    class Item(Base):
        __tablename__ = "item"
        id: Mapped[int] = mapped_column(primary_key=True)
        box_id: Mapped[int] = mapped_column(ForeignKey("box.id"))
        weight: Mapped[int] = mapped_column(default=1)

    class Box(Base):
        __tablename__ = "box"
        id: Mapped[int] = mapped_column(primary_key=True)
        items: Mapped[list[Item]] = relationship()
        number: Mapped[int] = iq.computed(iq.Count("items"))
        mean: Mapped[float | None] = iq.computed(iq.Average("items", "weight", empty=None))
        label: Mapped[str] = iq.computed(lambda box: f"{box.number} items", info=INFO)

    table: Any = Box.__table__
    if how == "to_metadata":
        history = table.to_metadata(Base.metadata, name="box_history")
    else:
        history = Table("box_history", Base.metadata, *(column._copy() for column in table.columns))
    attributes = {"__table__": history}
    if how == "class over copied columns":
        attributes["items"] = relationship(
            Item, primaryjoin=history.c.id == Item.box_id, viewonly=True, foreign_keys=Item.box_id
        )
    history_class: Any = type("BoxHistory", (Base,), attributes)

    assert {value.record for value in plan_of(Base.metadata).computed.values()} == {"Box"}
    system = make_system(Base)
    assert {info.record for info in system.schema.computations} == {"Box"}
    with system.session_factory.begin() as session:
        session.add(Box(id=1, items=[Item(weight=2), Item(weight=4)]))
        session.flush()
        session.add(history_class(id=1, number=7, mean=3.5, label="as it was"))
    with system.session_factory.begin() as session:
        kept = session.get_one(history_class, 1)
        assert (kept.number, kept.mean, kept.label) == (7, 3.5, "as it was")
        kept.number = 8
        session.execute(update(history_class).values(label="by hand"))
    assert system.check().ok


# -- server_default ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("computation", "type_", "start", "is_right"),
    [
        (iq.Count("items"), Integer, "5", False),
        (iq.Count("items"), Integer, text("0"), True),
        (iq.Count("items"), Integer, "0", True),
        (iq.Count("items"), Integer, FetchedValue(), False),
        (iq.Summation("items", "id"), Integer, "1", False),
        (iq.Every("items", expression=lambda item: item.id > 0), Boolean, false(), False),
        (iq.Any("items", expression=lambda item: item.id > 0), Boolean, false(), True),
    ],
)
def test_a_server_default_that_is_not_the_empty_value_is_refused(
    computation: Any, type_: Any, start: Any, is_right: bool
) -> None:
    class Base(DeclarativeBase):
        pass

    class Item(Base):
        __tablename__ = "item"
        id: Mapped[int] = mapped_column(primary_key=True)
        box_id: Mapped[int] = mapped_column(ForeignKey("box.id"))

    class Box(Base):
        __tablename__ = "box"
        id: Mapped[int] = mapped_column(primary_key=True)
        items: Mapped[list[Item]] = relationship()
        value = iq.computed(computation, type_, server_default=start, nullable=False)

    if is_right:
        assert plan_of(Base.metadata).computed
    else:
        with pytest.raises(iq.DefinitionError, match=r"Box\.value: a computed column has no server_default="):
            plan_of(Base.metadata)


# -- several MetaData --------------------------------------------------------------------------------------------------


def test_two_metadata_under_one_base(engine: Engine) -> None:
    class Base(DeclarativeBase):
        pass

    class OtherBase(Base):
        __abstract__ = True
        metadata = MetaData()

    class Log(OtherBase):
        __tablename__ = "log"
        id: Mapped[int] = mapped_column(primary_key=True)
        lines: Mapped[list[Line]] = relationship()
        number: Mapped[int] = iq.computed(iq.Count("lines"))

    class Line(OtherBase):
        __tablename__ = "line"
        id: Mapped[int] = mapped_column(primary_key=True)
        log_id: Mapped[int] = mapped_column(ForeignKey("log.id"))

    class User(Base):
        __tablename__ = "user_"
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str]
        length: Mapped[int] = iq.computed(lambda user: len(user.name))

    systems = [iq.System(engine, base=Base), iq.System(engine, base=OtherBase)]
    Base.metadata.create_all(engine)
    OtherBase.metadata.create_all(engine)
    with systems[0].session_factory.begin() as session:
        session.add(User(name="abc"))
    with systems[1].session_factory.begin() as session:
        session.add(Log(lines=[Line()]))
    assert [info.record for info in systems[0].schema.computations] == ["User"]
    assert [info.record for info in systems[1].schema.computations] == ["Log"]
    assert [(report.ok, report.checked) for report in (system.check() for system in systems)] == [(True, 1), (True, 1)]


def test_two_registries_over_one_metadata(engine: Engine) -> None:
    metadata = MetaData()
    one, other = registry(metadata=metadata), registry(metadata=metadata)
    item = Table("item", metadata, Column("id", Integer, primary_key=True), Column("box_id", ForeignKey("box.id")))
    box = Table(
        "box", metadata, Column("id", Integer, primary_key=True), Column("n", Integer, iq.Count("items"), info=INFO)
    )
    item_class: Any = type("Item", (), {})
    box_class: Any = type("Box", (), {})
    one.map_imperatively(item_class, item)
    other.map_imperatively(box_class, box, properties={"items": relationship(item_class)})
    system = iq.System(engine, base=metadata)
    metadata.create_all(engine)
    with system.session_factory.begin() as session:
        host = box_class()
        host.items.append(item_class())
        session.add(host)
    with system.session_factory.begin() as session:
        assert session.scalars(select(box.c.n)).one() == 1
    assert system.check().ok


# -- inheritance -------------------------------------------------------------------------------------------------------


def test_a_foreign_key_on_a_subclass_of_a_single_table(make_system: MakeSystem) -> None:
    class Base(DeclarativeBase):
        pass

    class Vehicle(Base):
        __tablename__ = "vehicle"
        id: Mapped[int] = mapped_column(primary_key=True)
        type: Mapped[str]
        wheels: Mapped[int] = mapped_column(default=4)
        __mapper_args__ = {"polymorphic_on": "type", "polymorphic_identity": "vehicle"}

    class Truck(Vehicle):
        depot_id: Mapped[int | None] = mapped_column(ForeignKey("depot.id"))
        load: Mapped[int | None]
        depot: Mapped[Depot | None] = relationship(back_populates="trucks")
        __mapper_args__ = {"polymorphic_identity": "truck"}

    class Car(Vehicle):
        __mapper_args__ = {"polymorphic_identity": "car"}

    class Depot(Base):
        __tablename__ = "depot"
        id: Mapped[int] = mapped_column(primary_key=True)
        open: Mapped[bool] = mapped_column(default=True)
        trucks: Mapped[list[Truck]] = relationship(back_populates="depot")
        number: Mapped[int] = iq.computed(iq.Count("trucks"))
        loads: Mapped[int] = iq.computed(iq.Summation("trucks", "load", where={"depot.open": True}))

    system = make_system(Base)

    def stored() -> tuple[int, int]:
        assert system.check().ok
        with system.session_factory.begin() as session:
            depot = session.get_one(Depot, 1)
            return depot.number, depot.loads

    with system.session_factory.begin() as session:
        session.add_all([Depot(id=1, trucks=[Truck(id=1, load=3)]), Car(id=2), Vehicle(id=3)])
    assert stored() == (1, 3)
    with system.session_factory.begin() as session:
        session.add_all([Car(id=4), Vehicle(id=5)])
        session.execute(insert(Car), [{"id": 6}, {"id": 7}])
        session.execute(insert(Truck), [{"id": 8, "depot_id": 1, "load": 4}])
    assert stored() == (2, 7)
    with system.session_factory.begin() as session:
        session.get_one(Car, 2).wheels = 3
        session.delete(session.get_one(Vehicle, 3))
        session.delete(session.get_one(Car, 4))
        session.execute(delete(Car).where(Car.id == 6))
        session.execute(update(Vehicle).where(Vehicle.id == 5).values(type="car"))
        session.get_one(Truck, 1).load = 5
    assert stored() == (2, 9)
    with system.session_factory.begin() as session:
        session.execute(update(Vehicle).where(Vehicle.id == 8).values(type="car"))
    assert stored() == (1, 5)
    with system.session_factory.begin() as session:
        session.get_one(Depot, 1).open = False
    assert stored() == (1, 0)


def test_members_in_tables_of_concrete_subclasses_are_refused() -> None:
    class Base(DeclarativeBase):
        pass

    class Dest(Base):
        __tablename__ = "dest"
        id: Mapped[int] = mapped_column(primary_key=True)
        many: Mapped[list[A]] = relationship(back_populates="dest")
        number: Mapped[int] = iq.computed(iq.Count("many"))

    class Copy(Base):
        __tablename__ = "copy"
        id: Mapped[int] = mapped_column(primary_key=True)
        __computation__ = iq.Transform("A", lambda _: {})

    a, b = (
        Table(name, Base.metadata, Column("id", Integer, primary_key=True), Column("dest_id", ForeignKey("dest.id")))
        for name in "ab"
    )
    union: Any = polymorphic_union({"a": a, "b": b}, "type", "both")

    class A(Base):
        __table__ = a
        dest: Mapped[Dest] = relationship(back_populates="many")
        __mapper_args__ = {
            "polymorphic_identity": "a",
            "with_polymorphic": ("*", union),
            "polymorphic_on": union.c.type,
        }

    class B(A):
        __table__ = b
        dest: Mapped[Dest] = relationship(back_populates="many")  # type: ignore[assignment]
        __mapper_args__ = {"polymorphic_identity": "b", "concrete": True}

    with pytest.raises(iq.DefinitionError) as caught:
        plan_of(Base.metadata)
    messages = sorted(str(fault) for fault in caught.value.exceptions)
    assert [message.partition(",")[0] for message in messages] == [
        "Copy: A is loaded together with B",
        "Dest.number: A is loaded together with B",
    ]


# -- values that a declaration leaves open ----------------------------------------------------------------------------


@pytest.mark.parametrize("place", ["join", "where"])
def test_a_parameter_without_a_value_is_a_fault_of_the_declaration(place: str) -> None:
    class Base(DeclarativeBase):
        pass

    class A(Base):
        __tablename__ = "a"
        id: Mapped[int] = mapped_column(primary_key=True)
        bs: Mapped[list[B]] = relationship(
            primaryjoin=lambda: (
                (A.id == B.a_id) & (B.status == bindparam("wanted") if place == "join" else B.status == "x")
            )
        )
        number: Mapped[int] = iq.computed(
            iq.Count("bs", where=(lambda b: b.status == bindparam("wanted")) if place == "where" else None)
        )

    class B(Base):
        __tablename__ = "b"
        id: Mapped[int] = mapped_column(primary_key=True)
        a_id: Mapped[int] = mapped_column(ForeignKey("a.id"))
        status: Mapped[str]

    with pytest.raises(iq.DefinitionError, match=r"A\.number: bindparam\('wanted'\).*write the value"):
        plan_of(Base.metadata)


# -- reflected tables --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["automap", "deferred", "autoload_with"])
def test_models_over_a_database_that_has_the_hidden_columns(engine: Engine, how: str) -> None:
    class Made(DeclarativeBase):
        pass

    class Item(Made):
        __tablename__ = "item"
        id: Mapped[int] = mapped_column(primary_key=True)
        box_id: Mapped[int] = mapped_column(ForeignKey("box.id"))
        weight: Mapped[int]

    class Box(Made):
        __tablename__ = "box"
        id: Mapped[int] = mapped_column(primary_key=True)
        items: Mapped[list[Item]] = relationship()
        mean: Mapped[float | None] = iq.computed(iq.Average("items", "weight", empty=None))

    Made.metadata.create_all(engine)

    base: Any
    item: Any
    box: Any
    if how == "automap":
        base = automap_base()
        attributes: dict[str, Any] = {"mean": iq.computed(iq.Average("item_collection", "weight", empty=None))}
        annotations = {"mean": Mapped[float | None]}
        box = type("Box", (base,), {"__tablename__": "box", "__annotations__": annotations, **attributes})
        base.prepare(autoload_with=engine)
        item = base.classes.item
    else:

        class Read(DeclarativeBase):
            pass

        class Deferred(DeferredReflection, Read):
            __abstract__ = True

        base = Read
        parent: Any = Read if how == "autoload_with" else Deferred
        options = {"autoload_with": engine} if how == "autoload_with" else {}
        box = type(
            "Box",
            (parent,),
            {
                "__tablename__": "box",
                "__table_args__": options,
                "__annotations__": {"mean": Mapped[float | None]},
                "mean": iq.computed(iq.Average("item_collection", "weight", empty=None)),
                "item_collection": relationship("Item"),
            },
        )
        item = type("Item", (parent,), {"__tablename__": "item", "__table_args__": options})
        if how == "deferred":
            Deferred.prepare(engine)
    system = iq.System(engine, base=base)
    with system.session_factory.begin() as session:
        session.add(box(id=1, item_collection=[item(id=1, weight=2), item(id=2, weight=4)]))
    with system.session_factory.begin() as session:
        assert session.get_one(box, 1).mean == 3
        session.delete(session.get_one(item, 1))
    with system.session_factory.begin() as session:
        assert session.get_one(box, 1).mean == 4
    assert system.check().ok
    assert not hasattr(box, "_mean__sum")


def test_a_column_of_the_applications_own_is_not_taken_for_a_hidden_one(make_system: MakeSystem) -> None:
    class Base(DeclarativeBase):
        pass

    class Item(Base):
        __tablename__ = "item"
        id: Mapped[int] = mapped_column(primary_key=True)
        box_id: Mapped[int] = mapped_column(ForeignKey("box.id"))

    class Box(Base):
        __tablename__ = "box"
        id: Mapped[int] = mapped_column(primary_key=True)
        items: Mapped[list[Item]] = relationship()
        mean: Mapped[float | None] = iq.computed(iq.Average("items", "id", empty=None))
        _mean__sum: Mapped[str | None] = mapped_column(String)

    with pytest.raises(iq.DefinitionError, match="_mean__sum"):
        plan_of(Base.metadata)
