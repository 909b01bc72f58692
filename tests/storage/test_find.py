"""Finding records: matches, attribute queries, order and pages."""

from __future__ import annotations

from typing import Any

import pytest

from interaqt_sa.definitions.match import MatchExp
from interaqt_sa.errors import DefinitionFault
from interaqt_sa.storage import Storage
from tests.schema.shop import Customer, Membership, Order


@pytest.fixture
def filled(storage: Storage) -> Storage:
    """Three customers: Ann leads Bob; Cid has nothing."""
    storage.run_in_transaction(fill)
    return storage


def fill(storage: Storage) -> None:
    storage.create("Customer", {"id": 1, "fullName": "Ann"})
    storage.create("Customer", {"id": 2, "fullName": "Bob", "leader": {"id": 1}})
    storage.create("Customer", {"id": 3, "fullName": "Cid"})
    orders = [(1, 10, ["a"]), (1, 20, ["a", "b"]), (2, 30, None), (2, None, [])]
    for number, (customer, total, tags) in enumerate(orders, start=1):
        order = {"id": number, "customer": {"id": customer}, "total": total, "note": f"n{number}", "tags": tags}
        storage.create("Order", order)
    storage.create("Team", {"id": 1, "name": "x"})
    storage.create("Team", {"id": 2, "name": "y", "boss": {"id": 1}})
    storage.add_relation("Membership", 1, 1, {"role": "r1"})
    storage.add_relation(Membership, 1, 2, {"role": "r2"})
    storage.add_relation(Membership, 2, 2, {"role": "r1"})


def ids(storage: Storage, record: Any, match: Any) -> list[int]:
    return [row["id"] for row in storage.find(record, match, order_by={"id": "ASC"})]


@pytest.mark.parametrize(
    ("match", "expected"),
    [
        (None, [1, 2, 3, 4]),
        ({"total": 10}, [1]),
        ({"total": None}, [4]),
        ({"total": ("!=", None)}, [1, 2, 3]),
        ({"total": ("in", [10, None])}, [1, 4]),
        ({"total": ("not in", [10])}, [2, 3]),
        ({"total": ("between", (10, 20))}, [1, 2]),
        ({"tags": ("contains", "b")}, [2]),
        ({"tags": None}, [3]),
        ({"customer.id": 2}, [3, 4]),
        ({"customer.fullName": "Ann"}, [1, 2]),
        ({"customer.leader.fullName": "Ann"}, [3, 4]),
        ({"customer.leader.id": None}, [1, 2]),
        ({"customer.orders.total": 10}, [1, 2]),
        ({"customer": ("exist", {"fullName": "Bob"})}, [3, 4]),
        ({"customer.teams": ("exist", {"name": "x"})}, [1, 2]),
        (MatchExp.atom("total", (">", 10)) & ~MatchExp.atom("customer.fullName", ("=", "Ann")), [3]),
        (lambda order: order.total > 15, [2, 3]),
    ],
)
def test_matches(filled: Storage, match: Any, expected: list[int]) -> None:
    assert ids(filled, Order, match) == expected


def test_existence_is_of_one_record_each(filled: Storage) -> None:
    def team(name: str) -> MatchExp:
        return MatchExp.atom("teams", ("exist", {"name": name}))

    assert ids(filled, Customer, team("y")) == [1, 2]
    assert ids(filled, Customer, ~team("y")) == [3]
    assert ids(filled, Customer, team("x") & team("y")) == [1]
    role = MatchExp.atom("teams_links", ("exist", {"target.name": "x", "role": "r2"}))
    assert ids(filled, Customer, role) == []
    nested = MatchExp.atom("followers", ("exist", {"orders": ("exist", {"total": 30})}))
    assert ids(filled, Customer, nested) == [1]


def test_sql_booleans_are_matches(filled: Storage) -> None:
    model = filled.schema.mapped_class("Order")
    assert ids(filled, "Order", model.total == 10) == [1]
    assert ids(filled, model, model.total.is_(None)) == [4]


def test_without_a_query_there_is_the_key(filled: Storage) -> None:
    assert filled.find("Order", {"total": 10}) == [{"id": 1}]


def test_all_columns(filled: Storage) -> None:
    found = filled.find_one("Customer", {"id": 2}, attribute_query=["*"])
    assert found is not None
    assert found.keys() == {"id", "fullName", "spent", "orderCount", "label", "leader_id"}
    assert (found["fullName"], found["leader_id"]) == ("Bob", 1)


def test_neighbours_are_nested(filled: Storage) -> None:
    query = [
        "fullName",
        ("leader", {"attribute_query": ["fullName"]}),
        ("orders", {"attribute_query": ["total"], "modifier": {"order_by": {"id": "DESC"}}}),
        ("teams", {"attribute_query": ["name", ("&", {"attribute_query": ["role"]})]}),
    ]
    found = filled.find(Customer, attribute_query=query, order_by={"id": "ASC"})
    assert [row["leader"] for row in found] == [None, {"id": 1, "fullName": "Ann"}, None]
    assert [[order["total"] for order in row["orders"]] for row in found] == [[20, 10], [None, 30], []]
    links = [[(team["name"], team["&"]["role"]) for team in row["teams"]] for row in found]
    assert links == [[("x", "r1"), ("y", "r2")], [("y", "r1")], []]
    assert all(isinstance(team["&"]["id"], int) for row in found for team in row["teams"])


def test_dotted_attributes_are_nested_and_merged(filled: Storage) -> None:
    query = ["customer.leader.fullName", "customer.fullName", "note"]
    assert filled.find("Order", {"id": 3}, attribute_query=query) == [
        {"id": 3, "note": "n3", "customer": {"id": 2, "fullName": "Bob", "leader": {"id": 1, "fullName": "Ann"}}}
    ]


def test_neighbours_can_be_filtered_and_paged_per_record(filled: Storage) -> None:
    query = [("orders", {"match_expression": {"total": (">", 15)}, "attribute_query": ["total"]})]
    found = filled.find(Customer, attribute_query=query, order_by={"id": "ASC"})
    assert [[order["total"] for order in row["orders"]] for row in found] == [[20], [30], []]
    page = [("orders", {"modifier": {"limit": 1, "offset": 1, "order_by": {"id": "ASC"}}})]
    found = filled.find(Customer, attribute_query=page, order_by={"id": "ASC"})
    assert [row["orders"] for row in found] == [[{"id": 2}], [{"id": 4}], []]


def test_records_in_an_answer_are_not_shared(filled: Storage) -> None:
    first, second = filled.find("Order", {"customer.id": 1}, attribute_query=["customer.fullName"])
    first["customer"]["fullName"] = "changed"
    assert second["customer"]["fullName"] == "Ann"


def test_a_relation_is_a_record(filled: Storage) -> None:
    found = filled.find(
        Membership, {"source.fullName": "Ann", "role": "r2"}, attribute_query=["role", "target.name", "source_id"]
    )
    assert [{**row, "id": 0} for row in found] == [
        {"id": 0, "role": "r2", "source_id": 1, "target": {"id": 2, "name": "y"}}
    ]


def test_order_and_pages(filled: Storage) -> None:
    def page(**options: Any) -> list[int]:
        return [row["id"] for row in filled.find("Order", {"total": ("!=", None)}, **options)]

    assert page(order_by={"customer.fullName": "DESC", "total": "asc"}) == [3, 1, 2]
    assert page(order_by={"id": "ASC"}, limit=2, offset=1) == [2, 3]
    assert page(order_by={"id": "ASC"}, offset=2) == [3]
    assert page(limit=0) == []


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ({"record": "Ordre"}, "did you mean 'Order'"),
        ({"match": {"totl": 1}}, "Order has no attribute 'totl'; there is total"),
        ({"match": {"customer": 1}}, r"compare customer\.id"),
        ({"match": {"customer.orders.totl": 1}}, "Order has no attribute 'totl'"),
        ({"match": {"total": ("exist", {"id": 1})}}, "Order has no relationship 'total'"),
        ({"attribute_query": ["totl"]}, "Order has no attribute 'totl'"),
        ({"attribute_query": ["total.x"]}, "Order has no relationship 'total'"),
        ({"attribute_query": [("customer", {"attributes": []})]}, "unknown attributes in an attribute query"),
        ({"attribute_query": [("customer", True)]}, "ask for an attribute by name"),
        ({"attribute_query": [("customer", {"attribute_query": ["&"]})]}, "'&' stands for the relation's own row"),
        ({"order_by": {"total": "up"}}, "'ASC' or 'DESC', not 'up'"),
        ({"order_by": {"customer.orders.id": "ASC"}}, "leads to many records"),
        ({"limit": -1}, "limit must be a number of rows"),
        ({"match": {}}, "would match everything"),
        ({"match": lambda order: order.total is None}, "not a SQL expression"),
    ],
)
def test_what_does_not_exist_is_named(filled: Storage, call: dict[str, Any], message: str) -> None:
    with pytest.raises(DefinitionFault, match=message):
        filled.find(**{"record": "Order", **call})
