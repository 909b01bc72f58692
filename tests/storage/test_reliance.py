"""Targets that exist only with their source are never left without it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import Engine, MetaData
from sqlalchemy.orm import sessionmaker

from interaqt_sa.definitions.records import Cardinality, Entity, Property, Relation
from interaqt_sa.errors import DefinitionFault
from interaqt_sa.schema.compile_schema import compile_schema
from interaqt_sa.storage import Storage

LINES = "Invoice_lines_invoice_Line"
COVER = "Invoice_cover_invoice_Cover"


@pytest.fixture
def invoices(engine: Engine) -> Storage:
    """Return a storage with the invoices 1, which has the lines 1 and 2 and the cover 1, and 2, which has none."""

    def relies(name: str, target: str, kind: Cardinality) -> Relation:
        return Relation(
            source="Invoice",
            source_property=name,
            target=target,
            target_property="invoice",
            type=kind,
            is_target_reliance=True,
        )

    schema = compile_schema(
        MetaData(),
        entities=[Entity("Invoice", []), Entity("Line", [Property("n", int)]), Entity("Cover", [])],
        relations=[relies("lines", "Line", "1:n"), relies("cover", "Cover", "1:1")],
    )
    schema.metadata.create_all(engine)
    storage = Storage(sessionmaker(engine), schema)
    storage.create("Invoice", {"lines": [{"n": 1}, {"n": 2}], "cover": {}})
    storage.create("Invoice", {})
    return storage


def sources(storage: Storage, record: str) -> dict[int, Any]:
    found = storage.find(record, attribute_query=["invoice.id"])
    return {row["id"]: row["invoice"] and row["invoice"]["id"] for row in found}


@pytest.mark.parametrize(
    ("write", "record"),
    [
        (lambda s: s.update("Line", {"id": 1}, {"invoice": None}), "Line"),
        (lambda s: s.update("Line", {"id": 1}, {"invoice_id": None}), "Line"),
        (lambda s: s.update("Invoice", {"id": 1}, {"lines": []}), "Line"),
        (lambda s: s.update("Invoice", {"id": 1}, {"lines": None}), "Line"),
        (lambda s: s.update("Invoice", {"id": 1}, {"lines": [{"id": 2}, {"n": 3}]}), "Line"),
        (lambda s: s.remove_relation(LINES, {"target.id": 1}), "Line"),
        (lambda s: s.update("Cover", {"id": 1}, {"invoice": None}), "Cover"),
        (lambda s: s.update("Invoice", {"id": 1}, {"cover": None}), "Cover"),
        (lambda s: s.update("Invoice", {"id": 1}, {"cover": {}}), "Cover"),
        (lambda s: s.create("Cover", {"invoice": {"id": 1}}), "Cover"),
        (lambda s: s.remove_relation(COVER, {"source.id": 1}), "Cover"),
    ],
)
def test_no_target_is_left_without_its_source(invoices: Storage, write: Callable[[Storage], Any], record: str) -> None:
    with pytest.raises(DefinitionFault, match=f"^{record} 1 exists only with its invoice.*delete the record") as caught:
        write(invoices)
    assert (caught.value.record, caught.value.property) == (record, "invoice")
    assert sources(invoices, "Line") == {1: 1, 2: 1}
    assert sources(invoices, "Cover") == {1: 1}


def test_targets_change_their_source(invoices: Storage) -> None:
    invoices.update("Line", {"id": 1}, {"invoice": {"id": 2}})
    assert sources(invoices, "Line") == {1: 2, 2: 1}
    invoices.update("Invoice", {"id": 1}, {"lines": [{"id": 1}, {"id": 2}, {"n": 3}]})
    assert sources(invoices, "Line") == {1: 1, 2: 1, 3: 1}
    invoices.add_relation(LINES, 2, 3)
    invoices.update("Invoice", {"id": 2}, {"cover": {"id": 1}})
    assert (sources(invoices, "Line"), sources(invoices, "Cover")) == ({1: 1, 2: 1, 3: 2}, {1: 2})


def test_targets_without_a_source_stay_so(invoices: Storage) -> None:
    invoices.create("Line", {"id": 9, "invoice": None})
    invoices.update("Line", {"id": 9}, {"invoice": None, "n": 4})
    assert invoices.remove_relation(LINES, {"target.id": 9}) == []
    invoices.delete("Line", {"id": 1})
    invoices.update("Invoice", {"id": 1}, {"lines": [{"id": 2}, {"id": 9}]})
    invoices.delete("Invoice", {"id": 1})
    assert sources(invoices, "Line") == sources(invoices, "Cover") == {}
