"""What computed columns put into a MetaData, as soon as a class is mapped and without any further call."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Boolean, Column, Engine, Float, ForeignKey, Integer, MetaData, Numeric, inspect
from sqlalchemy.orm import DeclarativeBase, Mapped, configure_mappers, mapped_column, relationship
from sqlalchemy.schema import CreateTable

from interaqt_sa import Any as AnyOf
from interaqt_sa import Average, Count, Every, Summation, computed
from tests.declarative.kept import Kept

CONVENTION = {
    "ix": "ix_%(column_0_label)s",
    "uq": "uq_%(table_name)s_%(column_0_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}


class Base(DeclarativeBase):
    metadata = MetaData(naming_convention=CONVENTION)


class Crew(Base):
    __tablename__ = "crew"

    id: Mapped[int] = mapped_column(primary_key=True)
    sailors: Mapped[list[Sailor]] = relationship()
    size: Mapped[int] = computed(Count("sailors"), index=True)
    pay: Mapped[float] = computed(Summation("sailors", "pay"))
    mean_age: Mapped[float | None] = computed(Average("sailors", "age", empty=None))
    all_adult: Mapped[bool] = computed(Every("sailors", expression={"age": (">=", 18)}, not_empty=True))
    any_rich: Mapped[bool] = computed(AnyOf("sailors", expression={"pay": (">", 1000)}))
    own_default: Mapped[int] = computed(Count("sailors"), server_default="0")
    a_very_long_name_that_leaves_no_room_for_what_is_appended_to_it: Mapped[float] = computed(
        Summation("sailors", "pay")
    )


class Sailor(Base):
    __tablename__ = "sailor"

    id: Mapped[int] = mapped_column(primary_key=True)
    crew_id: Mapped[int] = mapped_column(ForeignKey("crew.id"))
    age: Mapped[int]
    pay: Mapped[float]


CREW = Crew.__table__.c


def test_hidden_columns_are_there_with_types_that_follow_from_the_computation() -> None:
    hidden = {c.name: type(c.type) for c in CREW if c.name.startswith("_")}
    long_name = "_a_very_long_name_that_leaves_no_room_for_what_is_appe_"
    assert {name: kind.__name__ for name, kind in hidden.items() if not name.startswith("_a_very")} == {
        "_pay__sum": "RunningSum",
        "_mean_age__sum": "RunningSum",
        "_mean_age__count": "BigInteger",
        "_all_adult__unmatched": "BigInteger",
        "_all_adult__total": "BigInteger",
        "_any_rich__matched": "BigInteger",
    }
    (shortened,) = [name for name in hidden if name.startswith(long_name)]
    assert len(shortened) == 63
    assert all(not CREW[name].nullable and CREW[name].server_default is not None for name in hidden)


def test_hidden_columns_are_no_attributes() -> None:
    configure_mappers()
    assert not [prop for prop in inspect(Crew).attrs if prop.key.startswith("_")]
    assert not [name for name in dir(Crew) if name.startswith(("_pay__", "_mean_age__"))]
    assert not [key for key in Crew().__dict__ if key.startswith("_pay")]


def test_computed_columns_carry_their_empty_value() -> None:
    defaults: dict[str, Any] = {c.name: c.server_default for c in CREW}
    shown = {name: str(default.arg) for name, default in defaults.items() if default is not None and name[0] != "_"}
    long_name = "a_very_long_name_that_leaves_no_room_for_what_is_appended_to_it"
    assert shown == {
        "size": "0",
        "pay": "0",
        "all_adult": "false",
        "any_rich": "false",
        "own_default": "0",
        long_name: "0",
    }
    assert CREW.mean_age.nullable
    assert not CREW.size.nullable


def test_declared_types_stay() -> None:
    kinds = {name: type(CREW[name].type) for name in ("size", "pay", "all_adult")}
    assert issubclass(kinds["size"], Integer)
    assert issubclass(kinds["pay"], Float)
    assert issubclass(kinds["all_adult"], Boolean)


def test_naming_conventions_hold() -> None:
    assert [index.name for index in Crew.__table__.indexes] == ["ix_crew_size"]  # type: ignore[attr-defined]
    assert Crew.__table__.primary_key.name == "pk_crew"


def test_tables_are_created_and_seen_by_alembic_without_a_system(engine: Engine) -> None:
    Base.metadata.create_all(engine)
    with engine.connect() as connection:
        assert {c["name"] for c in inspect(connection).get_columns("crew")} == {c.name for c in CREW}
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        assert compare_metadata(context, Base.metadata) == []


def test_a_copy_of_the_metadata_has_hidden_columns_too() -> None:
    copy = Crew.__table__.to_metadata(MetaData())
    assert list(copy.columns.keys()) == list(Crew.__table__.columns.keys())


def test_the_model_module_alone_is_enough_to_print_its_tables() -> None:
    """No engine, no system, no import but that of the models."""
    script = (
        "from sqlalchemy.schema import CreateTable\n"
        "from tests.declarative.shop import Customer\n"
        "print(CreateTable(Customer.__table__))\n"
    )
    printed = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True).stdout
    assert "_all_paid__unmatched BIGINT DEFAULT 0 NOT NULL" in printed


def test_a_class_mapped_after_the_system_is_kept_too(engine: Engine) -> None:
    class LateBase(DeclarativeBase):
        pass

    kept = Kept(engine, LateBase)

    class Box(LateBase):
        __tablename__ = "box"
        id: Mapped[int] = mapped_column(primary_key=True)
        things: Mapped[list[Thing]] = relationship()
        thing_count: Mapped[int] = computed(Count("things"))

    class Thing(LateBase):
        __tablename__ = "thing"
        id: Mapped[int] = mapped_column(primary_key=True)
        box_id: Mapped[int] = mapped_column(ForeignKey("box.id"))

    LateBase.metadata.create_all(engine)
    with kept.begin() as session:
        session.add(Box(things=[Thing()]))
    assert kept.stored(Box.id, Box.thing_count) == [(1, 1)]


def test_numeric_columns_are_exact_where_the_user_asked_for_it() -> None:
    class OwnBase(DeclarativeBase):
        pass

    class Sum(OwnBase):
        __tablename__ = "sum"
        id: Mapped[int] = mapped_column(primary_key=True)
        parts: Mapped[list[Sum]] = relationship()
        parent_id: Mapped[int | None] = mapped_column(ForeignKey("sum.id"))
        total: Mapped[Any] = computed(Summation("parts", "id"), Numeric(20, 4))

    column: Column[Any] = Sum.__table__.c.total
    assert (column.type.precision, column.type.scale) == (20, 4)  # type: ignore[attr-defined]
    assert "total NUMERIC(20, 4)" in str(CreateTable(Sum.__table__))  # type: ignore[arg-type]
