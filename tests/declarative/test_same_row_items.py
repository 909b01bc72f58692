"""`SameRow` says in a column of any kind what `computed(function)` says in a declarative class."""

from __future__ import annotations

import pytest
from sqlalchemy import Column, Engine, Integer, MetaData, Numeric, String, Table, insert
from sqlalchemy.orm import (
    DeclarativeBase,
    Mapped,
    MappedAsDataclass,
    Session,
    aliased,
    mapped_column,
    registry,
    sessionmaker,
)

import interaqt_sa as iq


def double(row: object) -> int:
    return row.n * 2  # type: ignore[attr-defined]


def check(engine: Engine, base: object, metadata: MetaData, cls: type, table: Table) -> None:
    factory = sessionmaker(engine)
    system = iq.System(factory, base=base)
    metadata.create_all(engine)
    with factory.begin() as session:
        one = cls(n=3)
        session.add(one)
        session.flush()
        assert one.twice == 6
        session.execute(insert(table).values(n=5))
        one.n = 4
    with factory() as session:
        assert sorted(session.scalars(table.select().with_only_columns(table.c.twice))) == [8, 10]
    assert system.check()
    assert iq.computed_names(cls) == ("twice",)
    assert iq.computed_names(table) == ("twice",)


def test_an_imperative_mapping(engine: Engine) -> None:
    mapping = registry()
    table = Table(
        "thing",
        mapping.metadata,
        Column("id", Integer, primary_key=True),
        Column("n", Integer, nullable=False),
        Column("twice", Integer, iq.SameRow(double), nullable=False),
    )

    class Thing:
        def __init__(self, n: int) -> None:
            self.n = n

    mapping.map_imperatively(Thing, table)
    check(engine, mapping, mapping.metadata, Thing, table)


def test_a_declarative_class_over_a_core_table(engine: Engine) -> None:
    class Base(DeclarativeBase):
        pass

    class Thing(Base):
        __table__ = Table(
            "thing",
            Base.metadata,
            Column("id", Integer, primary_key=True),
            Column("n", Integer, nullable=False),
            Column("twice", Integer, iq.SameRow(double)),
        )

    check(engine, Base, Base.metadata, Thing, Thing.__table__)


def test_mapped_columns_of_a_mixin_and_of_a_dataclass(engine: Engine) -> None:
    class Doubled(MappedAsDataclass):
        twice: Mapped[int] = mapped_column(iq.SameRow(double), init=False)

    class Base(MappedAsDataclass, DeclarativeBase):
        pass

    class Thing(Doubled, Base):
        __tablename__ = "thing"
        id: Mapped[int] = mapped_column(primary_key=True, init=False)
        n: Mapped[int]

    check(engine, Base, Base.metadata, Thing, Thing.__table__)  # type: ignore[arg-type]


def test_a_column_that_an_annotation_holds(engine: Engine) -> None:
    # as SQLModel's Field(sa_column=Column(...)) gives it to the class
    class Base(DeclarativeBase):
        pass

    made = Column(Integer, iq.SameRow(double), nullable=False)
    cls = type(
        "Thing",
        (Base,),
        {"__tablename__": "thing", "id": Column(Integer, primary_key=True), "n": Column(Integer), "twice": made},
    )
    check(engine, Base, Base.metadata, cls, cls.__table__)


@pytest.mark.parametrize("given", [5, "n * 2", None, int])
def test_what_is_not_a_function_is_refused(given: object) -> None:
    with pytest.raises(TypeError, match="takes a function of the row"):
        iq.SameRow(given)  # type: ignore[arg-type]


def test_a_coroutine_function_is_refused() -> None:
    async def later(row: object) -> int:
        return 1

    with pytest.raises(iq.ComputationProtocolError, match="async"):
        iq.SameRow(later)


def test_names_with_inheritance_other_names_and_kinds() -> None:
    class Base(DeclarativeBase):
        pass

    class Upper(Base):
        __tablename__ = "upper"
        id: Mapped[int] = mapped_column(primary_key=True)
        kind: Mapped[str]
        shout: Mapped[str] = iq.computed(lambda row: row.kind.upper(), "shout_column", String(20))
        __mapper_args__ = {"polymorphic_on": "kind", "polymorphic_identity": "upper"}

    class Lower(Upper):
        whisper: Mapped[str | None] = iq.computed(lambda row: row.kind.lower())
        price: Mapped[float | None] = mapped_column(Numeric(10, 2))
        __mapper_args__ = {"polymorphic_identity": "lower"}

    assert iq.computed_names(Upper) == ("shout",)
    for record in (Lower, Lower(), aliased(Lower), Lower.__mapper__):
        assert set(iq.computed_names(record)) == {"shout", "whisper"}
    assert set(iq.computed_names(Upper.__table__)) == {"shout_column", "whisper"}
    for other in (Base, Session, "Upper", None, 5):
        with pytest.raises(TypeError, match="takes a mapped class or a Table"):
            iq.computed_names(other)
