"""Statements through the session: pending objects, subclasses, joins, results, upserts; and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import pytest
from sqlalchemy import ForeignKey, bindparam, delete, func, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship

import interaqt_sa as iq
from tests.engine.conftest import MakeSystem
from tests.engine.schedules import assert_true


class Base(DeclarativeBase):
    pass


class Owner(Base):
    __tablename__ = "owner"
    id: Mapped[int] = mapped_column(primary_key=True)
    rank: Mapped[int] = mapped_column(default=0)
    pet_count: Mapped[int] = iq.computed(iq.Count("pets"))
    dog_count: Mapped[int] = iq.computed(iq.Count("dogs"))
    weight: Mapped[int] = iq.computed(iq.Summation("pets", "weight"))
    pets: Mapped[list[Pet]] = relationship(back_populates="owner")
    dogs: Mapped[list[Dog]] = relationship(viewonly=True)


class Pet(Base):
    __tablename__ = "pet"
    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(default="pet")
    owner_id: Mapped[int | None] = mapped_column(ForeignKey("owner.id"))
    weight: Mapped[int] = mapped_column("kilos")
    chip: Mapped[int | None] = mapped_column(unique=True)
    owner: Mapped[Owner | None] = relationship(back_populates="pets")
    __mapper_args__: ClassVar = {"polymorphic_on": kind, "polymorphic_identity": "pet"}


class Dog(Pet):
    __mapper_args__: ClassVar = {"polymorphic_identity": "dog"}


@pytest.fixture
def system(make_system: MakeSystem) -> iq.System:
    """Return a system over two owners, the first with a pet of 10 and a dog of 5."""
    system = make_system(Base)
    with system.session_factory.begin() as session:
        pets = [Pet(id=1, weight=10, chip=1), Dog(id=2, weight=5, chip=2)]
        session.add_all([Owner(id=1, rank=1, pets=pets), Owner(id=2, rank=2)])
    return system


def owners(system: iq.System) -> list[tuple[int, int, int]]:
    assert_true(system)
    with system.session_factory() as session:
        rows = session.execute(select(Owner.pet_count, Owner.dog_count, Owner.weight).order_by(Owner.id))
        return [(pets, dogs, weight) for pets, dogs, weight in rows]


def upsert(session: Session) -> Any:
    insert_for = postgresql.insert if session.get_bind().dialect.name == "postgresql" else sqlite.insert
    statement = insert_for(Pet)
    excluded = statement.excluded
    return statement.on_conflict_do_update(
        index_elements=["chip"], set_={"kilos": excluded.kilos, "owner_id": excluded.owner_id}
    )


def test_pending_changes_are_flushed_before_an_update(system: iq.System) -> None:
    with system.session_factory.begin() as session:
        session.get_one(Pet, 1).weight = 20
        session.execute(update(Pet).where(Pet.id == 1).values(weight=Pet.weight + 1))
    assert owners(system) == [(2, 1, 26), (0, 0, 0)]


def test_pending_rows_are_flushed_before_a_delete(system: iq.System) -> None:
    with system.session_factory.begin() as session:
        session.add(Pet(id=9, owner_id=1, weight=100))
        session.execute(delete(Pet).where(Pet.weight == 100))
    assert owners(system) == [(2, 1, 15), (0, 0, 0)]


def test_pending_changes_are_written_after_the_statement_without_autoflush(system: iq.System) -> None:
    with system.session_factory.begin() as session, session.no_autoflush:
        session.get_one(Pet, 1).weight = 20
        session.execute(update(Pet).values(owner_id=2))
        session.flush()
        assert session.get_one(Owner, 2).weight == 25
    assert owners(system) == [(0, 0, 0), (2, 1, 25)]


@pytest.mark.parametrize("synchronize", ["auto", "evaluate", "fetch", False])
def test_only_rows_of_the_subclass_are_deleted_and_counted(system: iq.System, synchronize: Any) -> None:
    with system.session_factory.begin() as session:
        owner = session.get_one(Owner, 1)
        session.execute(delete(Dog), execution_options={"synchronize_session": synchronize})
        assert (owner.pet_count, owner.dog_count) == (1, 0)
    assert owners(system) == [(1, 0, 10), (0, 0, 0)]


@pytest.mark.parametrize("synchronize", ["auto", "evaluate", "fetch", False])
def test_only_rows_of_the_subclass_are_updated(system: iq.System, synchronize: Any) -> None:
    with system.session_factory.begin() as session:
        dog = session.get_one(Dog, 2)
        statement = update(Dog).where(Dog.weight < 100).values(weight=Dog.weight * 2)
        session.execute(statement, execution_options={"synchronize_session": synchronize})
        if synchronize:
            assert dog.weight == 10
    assert owners(system) == [(2, 1, 20), (0, 0, 0)]


def test_a_row_changes_its_class(system: iq.System) -> None:
    with system.session_factory.begin() as session:
        session.execute(update(Pet).where(Pet.id == 1).values(kind="dog"))
    assert owners(system) == [(2, 2, 15), (0, 0, 0)]


def test_an_update_with_a_join_touches_each_row_once(system: iq.System) -> None:
    with system.session_factory.begin() as session:
        session.execute(update(Pet).where(Pet.owner_id == Owner.id, Owner.rank >= 1).values(weight=Pet.weight + 1))
        assert session.get_one(Owner, 1).weight == 17
    assert owners(system) == [(2, 1, 17), (0, 0, 0)]


def test_an_update_takes_its_values_from_other_tables(system: iq.System) -> None:
    with system.session_factory.begin() as session:
        heaviest = select(func.max(Owner.rank)).scalar_subquery()
        session.execute(update(Pet).values(owner_id=heaviest))
    assert owners(system) == [(0, 0, 0), (2, 1, 15)]


def test_a_delete_with_a_subquery_over_its_own_table(system: iq.System) -> None:
    with system.session_factory.begin() as session:
        heaviest = select(func.max(Pet.weight)).scalar_subquery()
        session.execute(delete(Pet).where(Pet.weight == heaviest))
    assert owners(system) == [(1, 1, 5), (0, 0, 0)]


def test_updates_by_primary_key_and_by_parameters(system: iq.System) -> None:
    with system.session_factory.begin() as session:
        session.execute(update(Pet), [{"id": 1, "weight": 1, "owner_id": 2}, {"id": 2, "weight": 2, "owner_id": 1}])
    assert owners(system) == [(1, 1, 2), (1, 0, 1)]
    with system.session_factory.begin() as session:
        statement = update(Pet.__table__).where(Pet.id == bindparam("pet")).values(kilos=bindparam("kilos_now"))
        session.execute(statement, [{"pet": 1, "kilos_now": 7}, {"pet": 2, "kilos_now": 8}])
    assert owners(system) == [(1, 1, 8), (1, 0, 7)]


def test_inserts_of_every_form_count(system: iq.System) -> None:
    with system.session_factory.begin() as session:
        session.execute(insert(Pet), [{"owner_id": 1, "weight": n, "id": 10 + n} for n in range(3)])
        session.execute(insert(Dog), [{"owner_id": 2, "weight": 7, "id": 20}])
        session.execute(insert(Pet).values([{"owner_id": 2, "weight": 1, "id": 30}]))
        session.execute(insert(Pet.__table__).values(owner_id=2, kilos=2, id=31, kind="dog"))
        copied = select(Pet.id + 100, Pet.kind, Pet.owner_id, Pet.weight).where(Pet.id == 31)
        session.execute(insert(Pet).from_select(["id", "kind", "owner_id", "kilos"], copied))
    assert owners(system) == [(5, 1, 18), (4, 3, 12)]


def test_the_users_own_returning_is_answered(system: iq.System) -> None:
    with system.session_factory.begin() as session:
        rows = [{"id": 10, "owner_id": 2, "weight": 3}, {"id": 11, "owner_id": 2, "weight": 4}]
        pets = session.scalars(insert(Pet).returning(Pet, sort_by_parameter_order=True), rows).all()
        assert [(pet.id, pet.weight) for pet in pets] == [(10, 3), (11, 4)]
        gone = session.execute(delete(Pet).where(Pet.owner_id == 2).returning(Pet.id, Pet.weight)).all()
        assert sorted(tuple(row) for row in gone) == [(10, 3), (11, 4)]
        changed = session.scalars(update(Pet).values(weight=1).returning(Pet.id)).all()
        assert sorted(changed) == [1, 2]
    assert owners(system) == [(2, 1, 2), (0, 0, 0)]


def test_rowcounts_are_those_of_the_statement(system: iq.System) -> None:
    with system.session_factory.begin() as session:
        assert session.execute(update(Pet).values(weight=3)).rowcount == 2  # type: ignore[attr-defined]
        assert session.execute(delete(Pet).where(Pet.id == 99)).rowcount == 0  # type: ignore[attr-defined]
        assert session.execute(delete(Pet)).rowcount == 2  # type: ignore[attr-defined]
    assert owners(system) == [(0, 0, 0), (0, 0, 0)]


def test_an_upsert_creates_and_changes(system: iq.System) -> None:
    with system.session_factory.begin() as session:
        rows = [
            {"id": 10, "chip": 2, "owner_id": 2, "weight": 6, "kind": "dog"},
            {"id": 11, "chip": 3, "owner_id": 2, "weight": 4, "kind": "pet"},
            {"id": 12, "chip": 3, "owner_id": 1, "weight": 9, "kind": "pet"},  # what the row before has written
        ]
        session.execute(upsert(session), rows)
    assert owners(system) == [(2, 0, 19), (1, 1, 6)]


def test_an_insert_that_ignores_conflicts_counts_what_it_inserted(system: iq.System) -> None:
    with system.session_factory.begin() as session:
        insert_for = postgresql.insert if session.get_bind().dialect.name == "postgresql" else sqlite.insert
        rows = [{"id": 1, "owner_id": 2, "weight": 50}, {"id": 9, "owner_id": 2, "weight": 1}]
        session.execute(insert_for(Pet).on_conflict_do_nothing(), rows)
    assert owners(system) == [(2, 1, 15), (1, 0, 1)]


REFUSED: dict[str, Callable[[Session], object]] = {
    "bulk_save_objects": lambda s: s.bulk_save_objects([Pet(id=9, weight=1, owner_id=1)]),
    "bulk_insert_mappings": lambda s: s.bulk_insert_mappings(Pet.__mapper__, [{"id": 9, "weight": 1, "owner_id": 1}]),
    "bulk_update_mappings": lambda s: s.bulk_update_mappings(Pet.__mapper__, [{"id": 1, "weight": 1}]),
    "connection": lambda s: s.connection().execute(insert(Pet.__table__), {"id": 9, "kilos": 1, "owner_id": 1}),
    "key": lambda s: s.execute(update(Pet).where(Pet.id == 1).values(id=50)),
    "computed": lambda s: s.execute(update(Owner).values(weight=1)),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_followed_is_refused(system: iq.System, name: str) -> None:
    with system.session_factory() as session:
        with pytest.raises((iq.UnmanagedWriteError, iq.ComputedWriteError), match=r"pet|Owner\.weight"):
            REFUSED[name](session)
        session.rollback() if name.startswith("bulk") else session.commit()
    assert owners(system) == [(2, 1, 15), (0, 0, 0)]


def test_what_goes_past_the_session_can_be_repaired(make_system: MakeSystem) -> None:
    system = make_system(Base, unmanaged_dml="allow")
    with system.session_factory.begin() as session:
        session.add(Owner(id=1))
        session.flush()
        session.bulk_save_objects([Pet(id=9, weight=3, owner_id=1)])
    assert not system.check().ok
    with pytest.warns(UserWarning, match="pet"), make_system(Base, unmanaged_dml="warn").session_factory.begin() as s:
        s.bulk_save_objects([Pet(id=10, weight=4, owner_id=1)])
    assert {d.property for d in system.repair().differences} == {"pet_count", "weight"}
    assert owners(system) == [(2, 0, 7)]
