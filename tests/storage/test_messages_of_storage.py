"""Calls of the storage that cannot be meant say what to write instead, before any SQL."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import Engine, ForeignKeyConstraint, MetaData
from sqlalchemy.ext.hybrid import hybrid_property
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship, synonym

import interaqt_sa as iq
from tests.schema.shop import compiled
from tests.support.statements import count_statements


class Base(DeclarativeBase):
    pass


class Place(Base):
    __tablename__ = "place"
    row: Mapped[int] = mapped_column(primary_key=True)
    seat: Mapped[int] = mapped_column(primary_key=True)
    price: Mapped[int] = mapped_column(default=1)
    cost = synonym("price")
    next_row: Mapped[int | None]
    next_seat: Mapped[int | None]
    following: Mapped[Place | None] = relationship(remote_side=[row, seat])
    __table_args__ = (ForeignKeyConstraint(["next_row", "next_seat"], ["place.row", "place.seat"]),)

    @hybrid_property
    def double(self) -> int:
        return self.price * 2


@pytest.fixture
def storage(engine: Engine) -> iq.Storage:
    Base.metadata.create_all(engine)
    storage = iq.System(engine, base=Base).storage
    storage.create("Place", {"row": 1, "seat": 2})
    return storage


@pytest.mark.parametrize("match", [None, {}])
def test_a_write_says_which_records_it_needs(engine: Engine, match: Any) -> None:
    schema = compiled(MetaData())
    schema.metadata.create_all(engine)
    storage = iq.System(engine, base=schema.metadata).storage
    calls = [
        lambda: storage.update("Customer", match, {"fullName": "x"}),
        lambda: storage.delete("Customer", match),
        lambda: storage.run_in_transaction(lambda inside: inside.atomic.lock_rows("Customer", match)),
    ]
    for call in calls:
        with pytest.raises(iq.DefinitionFault, match=r"say which records are meant; for all of them give lambda"):
            call()


@pytest.mark.parametrize("match", [None, {}])
@pytest.mark.parametrize("kind", ["1:n", "n:n"])
def test_relations_do_not_all_end_because_a_match_is_missing(engine: Engine, kind: Any, match: Any) -> None:
    metadata = MetaData()
    people = iq.Entity(name="Person", properties=[iq.Property(name="name", type="string")])
    pets = iq.Entity(name="Pet", properties=[iq.Property(name="name", type="string")])
    owns = iq.Relation(source=people, source_property="pets", target=pets, target_property="owner", type=kind)
    controller = iq.Controller(iq.System(engine, base=metadata), entities=[people, pets], relations=[owns])
    controller.setup(install=True)
    storage = controller.system.storage
    storage.create("Person", {"name": "p", "pets": [{"name": "a"}]})
    for call in (lambda: storage.remove_relation(owns, match), lambda: storage.delete(owns, match)):
        with pytest.raises(iq.DefinitionFault, match="say which records are meant"):
            call()
    assert len(storage.find_relation(owns)) == 1


CALLS: list[Callable[[iq.Storage], Any]] = [
    lambda storage: storage.find("Place", {"double": 2}),
    lambda storage: storage.find("Place", {"following.double": 2}),
    lambda storage: storage.find("Place", attribute_query=["double"]),
    lambda storage: storage.find("Place", order_by={"double": "ASC"}),
    lambda storage: storage.update("Place", {"row": 1}, {"double": 2}),
]


@pytest.mark.parametrize("call", CALLS)
def test_a_hybrid_is_answered_with_what_to_use(engine: Engine, storage: iq.Storage, call: Any) -> None:
    with (
        count_statements(engine),
        pytest.raises(iq.DefinitionFault, match=r"Place.double is a hybrid of Place") as caught,
    ):
        call(storage)
    assert "write SQL: lambda cls: cls.double > 0" in str(caught.value)
    assert "double: Mapped[…] = computed(lambda row: …)" in str(caught.value)
    assert storage.count("Place", lambda cls: cls.double > 1) == 1


def test_other_names_are_answered_with_the_original(storage: iq.Storage) -> None:
    with pytest.raises(iq.DefinitionFault, match=r"Place\.cost is a synonym of Place; name the original: 'price'"):
        storage.find("Place", {"cost": 1})


@pytest.mark.parametrize("given", [5, "1", {"row": 1, "seat": 2}, (1,), (1, 2, 3), (1, None), None])
def test_a_key_of_several_columns_is_a_tuple(storage: iq.Storage, given: Any) -> None:
    def work(inside: Any) -> None:
        inside.atomic.lock_record("Place", given)

    with pytest.raises(iq.InvalidValueError, match=r"the key is row, seat, .*; give the tuple \(row, seat\), in this"):
        storage.run_in_transaction(work)


def test_a_path_needs_a_key_of_one_column(storage: iq.Storage) -> None:
    with pytest.raises(iq.DefinitionFault, match="the key of Place is row, seat"):
        storage.find_path("Place", (1, 2), (1, 2), "following")
