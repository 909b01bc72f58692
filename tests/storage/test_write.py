"""Creating, changing and deleting records and their relations."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import Engine, ForeignKey, MetaData, text
from sqlalchemy.orm import (
    DeclarativeBase,
    Mapped,
    MappedAsDataclass,
    Session,
    mapped_column,
    relationship,
    sessionmaker,
)

from interaqt_sa.definitions.match import MatchExp
from interaqt_sa.errors import ConstraintViolationError, DefinitionFault
from interaqt_sa.schema.schema_inspection import Schema
from interaqt_sa.storage import Storage
from tests.schema.shop import Boss, Customer, Likes, Membership, Order, Orders, Paid, Settings, Team
from tests.support.statements import count_statements


def roles(storage: Storage, customer: int) -> dict[str, Any]:
    query = [("teams", {"attribute_query": ["name", ("&", {"attribute_query": ["id", "role"]})]})]
    found = storage.find_one("Customer", {"id": customer}, attribute_query=query)
    assert found is not None
    return {team["name"]: (team["&"]["role"], team["&"]["id"]) for team in found["teams"]}


def test_create_answers_the_data_and_all_keys(storage: Storage) -> None:
    made = storage.create(
        "Order", {"total": 3, "customer": {"fullName": "Ann", "leader": {"fullName": "Bob"}}, "note": None}
    )
    assert made.keys() == {"id", "total", "customer", "note"}
    assert made["customer"]["leader"].keys() == {"id", "fullName"}
    query = ["total", "customer.fullName", "customer.leader.fullName"]
    assert storage.find(Order, attribute_query=query) == [
        {
            "id": made["id"],
            "total": 3,
            "customer": {
                "id": made["customer"]["id"],
                "fullName": "Ann",
                "leader": {"id": made["customer"]["leader"]["id"], "fullName": "Bob"},
            },
        }
    ]


def test_answered_keys_are_those_that_are_stored(storage: Storage) -> None:
    made = storage.create("Customer", {"id": None, "fullName": "Ann"})
    assert storage.find("Customer") == [{"id": made["id"]}]
    order = storage.create("Order", {"id": "7", "customer": {"id": str(made["id"])}})
    assert order == {"id": 7, "customer": {"id": made["id"]}}
    assert storage.update(
        "Customer", {"id": made["id"]}, {"orders": [{"id": "7"}], "teams": [{"id": "3", "name": "x"}]}
    ) == [{"id": made["id"], "orders": [{"id": 7}], "teams": [{"id": 3, "name": "x"}]}]


def test_defaults_fill_what_is_missing_and_leave_none_alone(storage: Storage) -> None:
    storage.create("Order", {"id": 1})
    storage.create("Order", {"id": 2, "total": None, "tags": None})
    assert storage.find("Order", attribute_query=["total", "tags"], order_by={"id": "ASC"}) == [
        {"id": 1, "total": 0, "tags": []},
        {"id": 2, "total": None, "tags": None},
    ]


def test_each_record_gets_new_neighbours_of_its_own(storage: Storage) -> None:
    for number in (1, 2):
        storage.create("Order", {"id": number})
    one, two = storage.update("Order", {"id": ("in", [1, 2])}, {"customer": {"fullName": "Ann"}})
    assert one["customer"]["id"] != two["customer"]["id"]
    for row in (one, two):
        assert storage.find("Order", {"customer.id": row["customer"]["id"]}) == [{"id": row["id"]}]


def test_declarative_classes_are_written_too(engine: Engine) -> None:
    class Base(MappedAsDataclass, DeclarativeBase):
        pass

    class Place(Base):
        __tablename__ = "place"
        code: Mapped[str] = mapped_column(primary_key=True)
        name: Mapped[str]
        size: Mapped[int] = mapped_column(default=3)
        inside_code: Mapped[str | None] = mapped_column(ForeignKey("place.code"), default=None)
        inside: Mapped[Any] = relationship("Place", remote_side=[code], back_populates="parts", default=None)
        parts: Mapped[list[Any]] = relationship("Place", back_populates="inside", default_factory=list)

    Base.metadata.create_all(engine)
    storage = Storage(sessionmaker(engine), Schema.of(Base.metadata))
    storage.create("Place", {"code": "a", "name": "A", "parts": [{"code": "b", "name": "B"}]})
    assert storage.find(Place, {"inside.name": "A"}, attribute_query=["size", "inside.name"]) == [
        {"code": "b", "size": 3, "inside": {"code": "a", "name": "A"}}
    ]
    storage.update(Place, {"code": "b"}, {"inside": None})
    assert storage.find(Place, {"inside_code": None}, order_by={"code": "DESC"}) == [{"code": "b"}, {"code": "a"}]


def test_neighbours_by_key_are_not_loaded(storage: Storage) -> None:
    storage.create("Customer", {"id": 7, "fullName": "Ann"})
    storage.create("Order", {"id": 1, "customer": {"id": 7}})
    assert storage.find_one("Order", {"customer.id": 7}) == {"id": 1}
    storage.update("Order", {"id": 1}, {"customer": None})
    assert storage.find_one("Order", {"customer.id": None}) == {"id": 1}


def test_many_neighbours(storage: Storage) -> None:
    storage.create("Order", {"id": 1})
    made = storage.create("Customer", {"fullName": "Ann", "orders": [{"id": 1}, {"total": 5}]})
    assert [order.keys() for order in made["orders"]] == [{"id"}, {"id", "total"}]
    assert len(storage.find("Order", {"customer.id": made["id"]})) == 2
    storage.update("Customer", {"id": made["id"]}, {"orders": [{"id": 1}]})
    assert storage.find("Order", {"customer.id": made["id"]}) == [{"id": 1}]


def test_a_row_among_its_own_neighbours(storage: Storage) -> None:
    def followers(*given: int) -> list[int]:
        storage.update("Customer", {"id": 1}, {"followers": [{"id": number} for number in given], "fullName": "A"})
        return [row["id"] for row in storage.find("Customer", {"leader.id": 1}, order_by={"id": "ASC"})]

    for number in (1, 2, 3):
        storage.create("Customer", {"id": number, "fullName": f"c{number}"})
    for given in ([1], [1], [1, 2], [3, 1], [2], [1, 3], []):
        assert followers(*given) == sorted(given)
    storage.update("Customer", {"id": 1}, {"leader": {"id": 1}})
    assert followers(2) == [2]
    found = storage.find_one("Customer", {"id": 1}, attribute_query=["fullName", "leader.id"])
    assert found == {"id": 1, "fullName": "A", "leader": None}
    storage.update("Customer", {"id": 3}, {"leader": {"id": 3}})
    assert followers(2, 3) == [2, 3]


def test_the_other_side_of_one_to_one(storage: Storage) -> None:
    storage.create("Customer", {"id": 1, "fullName": "Ann"})
    storage.create(Team, {"id": 1, "name": "x"})
    storage.update("Customer", {"id": 1}, {"rules": {"id": 1}})
    assert storage.find_one("Team", {"boss.id": 1}) == {"id": 1}
    storage.create(Team, {"id": 2, "name": "y", "boss": {"id": 1}})
    assert storage.find("Team", attribute_query=["boss.id"], order_by={"id": "ASC"}) == [
        {"id": 1, "boss": None},
        {"id": 2, "boss": {"id": 1}},
    ]


def test_linked_neighbours_are_made_kept_and_removed(storage: Storage) -> None:
    storage.create(
        "Customer", {"id": 1, "fullName": "Ann", "teams": [{"id": 1, "name": "x", "&": {"role": "a"}}, {"name": "y"}]}
    )
    before = roles(storage, 1)
    assert {name: role for name, (role, _) in before.items()} == {"x": "a", "y": None}
    (answer,) = storage.update(
        "Customer", {"id": 1}, {"teams": [{"id": 1, "&": {"role": "b"}}, {"name": "z", "&": {"role": "c"}}]}
    )
    kept, new = answer["teams"]
    assert kept == {"id": 1, "&": {"role": "b"}}
    assert (new["name"], new["&"]) == ("z", {"role": "c"})
    after = roles(storage, 1)
    assert {name: role for name, (role, _) in after.items()} == {"x": "b", "z": "c"}
    assert after["x"][1] == before["x"][1]
    storage.update("Customer", {"id": 1}, {"teams": []})
    assert roles(storage, 1) == {}
    assert len(storage.find("Team")) == 3


def test_an_exclusive_link_is_replaced(storage: Storage) -> None:
    storage.create("Order", {"id": 1})
    storage.create("Order", {"id": 2})
    storage.create("Shipment", {"id": 1, "order": {"id": 1, "&": {"cost": 5}}})
    storage.update("Shipment", {"id": 1}, {"order": {"id": 2, "&": {"cost": 6}}})
    query = [("order", {"attribute_query": [("&", {"attribute_query": ["cost"]})]})]
    found = storage.find_one("Shipment", {"id": 1}, attribute_query=query)
    assert found is not None
    assert (found["order"]["id"], found["order"]["&"]["cost"]) == (2, 6)
    assert len(storage.find("Shipping")) == 1


def test_relations_that_a_foreign_key_holds(storage: Storage) -> None:
    storage.create("Customer", {"id": 1, "fullName": "Ann"})
    storage.create("Order", {"id": 5})
    storage.create("Order", {"id": 6})
    ends = {"source": {"id": 1}, "target": {"id": 5}}
    assert storage.add_relation(Orders, 1, 5) == ends
    storage.add_relation("Customer_orders_customer_Order", 1, 6)
    assert storage.remove_relation(Orders, {"source.fullName": "Ann", "target.id": 5}) == [ends]
    assert storage.find("Order", {"customer.id": 1}) == [{"id": 6}]
    assert storage.remove_relation(Orders, MatchExp.atom("target.id", ("=", 5))) == []
    storage.create(Team, {"id": 1, "name": "x"})
    storage.add_relation(Boss, 1, 1)
    assert storage.remove_relation(Boss, {"target.id": 1}) == [{"source": {"id": 1}, "target": {"id": 1}}]


def test_relations_with_rows_of_their_own(storage: Storage) -> None:
    for number in (1, 2):
        storage.create("Customer", {"id": number, "fullName": f"c{number}"})
    link = storage.add_relation(Likes, 1, 2)
    assert link.keys() >= {"id", "source", "target"}
    with pytest.raises(ConstraintViolationError) as caught:
        storage.add_relation(Likes, 1, 2)
    assert caught.value.kind == "unique"
    removed = storage.remove_relation(Likes, {"source.id": 1})
    assert [(row["source_id"], row["target_id"]) for row in removed] == [(1, 2)]


def test_update_answers_keys_and_data(storage: Storage) -> None:
    for number in (1, 2, 3):
        storage.create("Order", {"id": number, "total": number})
    assert storage.update("Order", {"total": (">", 1)}, {"note": "big"}) == [
        {"id": 2, "note": "big"},
        {"id": 3, "note": "big"},
    ]
    assert storage.update("Order", {"total": 9}, {"note": "none"}) == []


def test_many_records_are_updated_by_one_statement(storage: Storage, engine: Engine) -> None:
    made = [storage.create("Order", {"total": n}) for n in range(1, 4)]
    with count_statements(engine) as statements:
        storage.update("Order", {"total": ("<", 4)}, {"total": 9})
    assert [s.split()[0] for s in statements].count("UPDATE") == 1, statements
    assert len(storage.find("Order", {"total": 9})) == len(made)


def test_updates_do_not_trust_what_was_loaded_long_ago(storage: Storage) -> None:
    storage.create("Order", {"id": 1, "total": 5})
    with storage.read(lambda session: Session(session.get_bind())) as session:
        model = storage.schema.mapped_class("Order")
        loaded = session.get(model, 1)
        session.connection().execute(text("""UPDATE "order" SET total = 7"""))
        storage.with_session(session).update("Order", {"id": 1}, {"total": 5})
        assert loaded is not None
        assert session.scalar(text("""SELECT total FROM "order" """)) == 5
        loaded.note = "pending"
        storage.with_session(session).update("Order", {"id": 1}, {"total": 6})
        assert (loaded.note, loaded.total) == ("pending", 6)
        session.commit()


def test_delete_answers_last_values_and_takes_links_along(storage: Storage) -> None:
    storage.create("Order", {"id": 4})
    storage.create("Customer", {"id": 1, "fullName": "Ann", "teams": [{"name": "x"}], "orders": [{"id": 4}]})
    (deleted,) = storage.delete("Customer", {"id": 1})
    assert (deleted["id"], deleted["fullName"]) == (1, "Ann")
    assert storage.find(Membership) == []
    assert storage.find("Order", {"customer.id": None}) == [{"id": 4}]


def test_violations_are_named(storage: Storage) -> None:
    storage.create("Customer", {"id": 1, "fullName": "Ann"})
    storage.create("Order", {"customer": {"id": 1}, "note": "a", "total": 1})
    with pytest.raises(ConstraintViolationError) as caught:
        storage.create("Order", {"customer": {"id": 1}, "note": "a", "total": 2})
    error = caught.value
    assert (error.code, error.constraint, error.record) == ("NOTE_TWICE", "one_note", "Order")
    assert tuple(error.properties) == ("customer", "note")
    with pytest.raises(ConstraintViolationError) as caught:
        storage.create("Customer", {"fullName": None})
    assert (caught.value.code, caught.value.constraint) == ("NO_NAME", "named")
    assert len(storage.find("Customer")) == 1


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (lambda s: s.create("Order", {"totl": 1}), "Order has no attribute 'totl'; there is total"),
        (lambda s: s.create("Order", {"customer": 1}), "give a neighbour as a mapping"),
        (lambda s: s.create("Customer", {"fullName": "A", "orders": [{"id": 99}]}), None),
        (lambda s: s.update("Order", {"id": 1}, {"id": 2}), r"Order\.id is the key and never changes"),
        (lambda s: s.update("Customer", {"id": 1}, {"leader": {"id": 98}}), None),
        (lambda s: s.add_relation("Order", 1, 2), "there is no relation 'Order'; there are Customer_leader"),
        (lambda s: s.add_relation(Orders, 1, 2, {"x": 1}), "has no properties"),
        (lambda s: s.add_relation(Orders, 1, 77), "there is no record with the key 77"),
        (lambda s: s.remove_relation(Orders, {"total": 1}), r"match and order by source\.… and target\.…"),
        (lambda s: s.remove_relation(Orders, lambda order: order.id == 1), "is held by a foreign key"),
        (lambda s: s.find(Orders, {"id": 1}), "has no values of its own"),
        (lambda s: s.dictionary.get("paid"), "there is no dictionary 'paid'; declared are: paidOrders, settings"),
    ],
)
def test_what_does_not_exist_is_named(storage: Storage, write: Any, message: str | None) -> None:
    storage.create("Customer", {"id": 1, "fullName": "Ann"})
    with pytest.raises((DefinitionFault, ConstraintViolationError), match=message):
        write(storage)


@pytest.mark.parametrize(
    ("record", "attribute"), [("Order", "customer"), ("Team", "boss"), ("Team", "members"), ("Customer", "followers")]
)
def test_a_neighbour_that_is_there_is_given_by_its_key_alone(storage: Storage, record: str, attribute: str) -> None:
    made = storage.create("Customer", {"id": 7, "fullName": "Ann"})
    many = attribute in ("members", "followers")
    rest = {"fullName": "Bob"} if record == "Customer" else {}
    with pytest.raises(DefinitionFault, match=r"there is a Customer with the key \{'id': 7\} already") as caught:
        storage.create(record, rest | {attribute: [made] if many else made})
    assert "give its key alone" in str(caught.value)
    new = made | {"id": "70"}
    assert storage.create(record, rest | {attribute: [new] if many else new})["id"]
    assert len(storage.find("Customer", {"fullName": "Ann"})) == 2


def test_dictionaries(storage: Storage) -> None:
    assert storage.dictionary.get(Settings) == {"open": True}
    assert storage.dictionary.get("paidOrders") == 0
    for value in (None, False, 0, "", {"a": [1]}):
        storage.dictionary.set("settings", value)
        assert storage.dictionary.get(Settings) == value
    assert storage.dictionary.get(Paid) == 0


def test_given_ids_move_the_sequence(storage: Storage) -> None:
    def fresh() -> int:
        return int(storage.create("Team", {"name": None})["id"])

    storage.create("Team", {"id": 1, "name": "first"})
    assert fresh() == 2
    storage.create("Team", {"id": 50, "name": "far"})
    storage.create("Team", {"id": 20, "name": "back"})
    assert fresh() == 51
    storage.create("Team", {"id": 5_000_000_000, "name": "farther"})
    assert fresh() == 5_000_000_001


def test_a_bound_storage_leaves_the_commit_to_its_session(storage: Storage) -> None:
    session: Session
    with storage.read(lambda session: Session(session.get_bind())) as session:
        bound = storage.with_session(session)
        bound.create("Team", {"id": 1, "name": "x"})
        assert bound.find("Team") == [{"id": 1}]
        bound.run_in_transaction(lambda inner: inner.create("Team", {"id": 2, "name": "y"}))
        session.rollback()
    assert storage.find("Team") == []


def test_transactions_are_whole(storage: Storage) -> None:
    def work(inner: Storage) -> int:
        inner.create("Team", {"name": "x"})
        inner.create("Team", {"name": "x"})
        return 1

    with pytest.raises(ConstraintViolationError) as caught:
        storage.run_in_transaction(work, name="twice")
    assert caught.value.constraint == "team_name"
    assert storage.find("Team") == []
    made = storage.run_in_transaction(lambda inner: inner.create("Team", {"name": "x"}), isolation="SERIALIZABLE")
    assert storage.find("Team") == [{"id": made["id"]}]


def test_the_isolation_is_that_of_the_transaction(storage: Storage) -> None:
    def level(inner: Storage) -> Any:
        def ask(session: Session) -> Any:
            if session.get_bind().dialect.name == "sqlite":
                return "serializable"
            return session.scalar(text("SHOW transaction_isolation"))

        return inner.read(ask)

    assert storage.run_in_transaction(level, isolation="SERIALIZABLE") == "serializable"


def test_a_storage_joins_the_session_of_a_running_dispatch(storage: Storage) -> None:
    sessions: list[Session] = []
    joining = Storage(
        storage._session_factory, lambda: storage.schema, current_session=lambda: sessions[-1] if sessions else None
    )
    assert joining.joined() is None
    assert isinstance(joining.schema.metadata, MetaData)
    with Session(storage.read(lambda session: session.get_bind())) as session:
        sessions.append(session)
        joining.create(Customer, {"id": 1, "fullName": "Ann"})
        session.rollback()
    sessions.clear()
    assert joining.find("Customer") == []
