"""Declarations of Custom that cannot work, each refused with the way out."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import MetaData, create_engine

import interaqt_sa as iq
from tests.behaviours.numbers import behaviour


def none(ctx: Any, deps: Any, record: Any) -> None:
    return None


def custom(data_deps: Any) -> iq.Custom[Any]:
    return iq.Custom("value", data_deps=data_deps, compute=none, concurrency="locked")


def own(*query: Any) -> iq.Custom[Any]:
    return custom({"own": {"type": "property", "attribute_query": query}})


def check(value: iq.Custom[Any], second: iq.Custom[Any] | None, dictionaries: tuple[iq.Dictionary, ...]) -> None:
    values = [iq.Property("value", "string", computation=value)]
    values += [iq.Property("second", "string", computation=second)] if second is not None else []
    schema = iq.compile_schema(
        MetaData(),
        entities=[
            iq.Entity("Box", [iq.Property("name", "string"), *values]),
            iq.Entity("Item", [iq.Property("amount", "number")]),
            iq.Entity("Part", [iq.Property("size", "number")]),
        ],
        relations=[
            iq.Relation(source="Box", source_property="items", target="Item", target_property="box", type="1:n"),
            iq.Relation(source="Item", source_property="parts", target="Part", target_property="item", type="1:n"),
        ],
        dictionaries=dictionaries,
    )
    iq.System(create_engine("sqlite://"), base=schema).check()


def told(value: iq.Custom[Any], second: iq.Custom[Any] | None = None, *dictionaries: iq.Dictionary) -> str:
    """Return the faults of a value of a box, whose items have parts."""
    with pytest.raises(iq.DefinitionError) as caught:
        check(value, second, dictionaries)
    return "\n".join(map(str, caught.value.context["faults"]))


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        (["nme"], "Box has no column attribute 'nme'"),
        ([("items", ["sum"])], "Item has no column attribute 'sum'"),
        ([("things", ["x"])], "'things' is not a relationship of Box"),
        ([("items", [("parts", ["size"])])], "aggregate it there first"),
        (["value"], "names 'value', the value itself"),
        ([5], "attribute_query holds 5"),
    ],
)
def test_unknown_attributes(query: list[Any], expected: str) -> None:
    assert expected in told(own(*query))


def test_values_that_read_each_other() -> None:
    assert "Box.value is computed from itself: Box.value -> Box.second -> Box.value" in told(
        own("second"), own("value")
    )


@behaviour("R-P86")
def test_a_property_over_all_rows_of_a_record() -> None:
    found = told(custom({"all": {"type": "records", "source": "Item", "attribute_query": ["amount"]}}))
    assert "Box.value: data_deps['all'] reads all rows of a record" in found
    assert "compute a Dictionary from the record" in found


@behaviour("R-P76")
def test_a_dictionary_of_itself() -> None:
    itself = iq.Dictionary("itself", "string", computation=custom({"old": {"type": "global", "source": "itself"}}))
    assert "names dictionary 'itself', the value itself" in told(own("name"), None, itself)


def test_a_dictionary_has_no_attributes() -> None:
    dictionary = iq.Dictionary("sum", "string", computation=own("name"))
    assert "a dictionary has no attributes of its own" in told(own("name"), None, dictionary)


def test_an_unknown_dictionary() -> None:
    assert "there is no dictionary 'rate'" in told(custom({"rate": {"type": "global", "source": "rate"}}))


async def later(ctx: Any, deps: Any, record: Any) -> None:
    return None


@behaviour("R-P85")
@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"compute": later}, "is async"),
        ({"compute": 5}, "not a function"),
        ({"compute": None}, "needs compute="),
        ({"concurrency": "weak"}, "invalid concurrency 'weak'"),
        ({"data_deps": ["name"]}, "maps names to what is read"),
        ({"data_deps": {"own": {"type": "own"}}}, "its type is 'own'"),
        ({"data_deps": {"own": "name"}}, "its type is 'name'"),
        ({"data_deps": {"own": {"type": "property"}}}, "'attribute_query' is missing"),
        ({"data_deps": {"all": {"type": "records", "source": "Item"}}}, "'attribute_query' is missing"),
        ({"data_deps": {"own": {"type": "property", "attribute_query": "name"}}}, "is a list of names"),
        ({"data_deps": {"own": {"type": "property", "attribute_query": ["name"], "phase": 1}}}, "it has ['phase']"),
        ({"data_deps": {5: {"type": "property", "attribute_query": ["name"]}}}, "the key 5"),
    ],
)
def test_arguments(arguments: dict[str, Any], expected: str) -> None:
    given: dict[str, Any] = {"compute": none, "concurrency": "locked", **arguments}
    with pytest.raises(iq.ComputationProtocolError) as caught:
        iq.Custom("value", **given)
    assert expected in str(caught.value)


def test_a_name_is_required() -> None:
    with pytest.raises(iq.ComputationProtocolError, match="takes its name first"):
        iq.Custom("", compute=none)
