"""Values that no column can hold are refused before any SQL with a code, or are stored and read back as given."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, MetaData, event
from sqlalchemy.ext.asyncio import AsyncEngine

import interaqt_sa as iq

NAIVE = datetime(2020, 1, 1, tzinfo=UTC).replace(tzinfo=None)
PROPERTIES: dict[str, Any] = {
    "text": "string",
    "whole": int,
    "number": "number",
    "exact": Decimal,
    "flag": bool,
    "at": "timestamp",
    "moment": datetime,
    "mark": UUID,
    "data": "object",
    "listed": list,
}
Thing = iq.Entity("Thing", [iq.Property(name, type_) for name, type_ in PROPERTIES.items()])
Friends = iq.Relation(
    name="Friend",
    source=Thing,
    source_property="friends",
    target=Thing,
    target_property="friend_of",
    type="n:n",
    properties=[iq.Property("weight", int)],
)
Parent = iq.Relation(source=Thing, source_property="parts", target=Thing, target_property="whole_thing", type="1:n")
note = iq.EventSource("note", "Thing", map_event_data=lambda _, args: args["data"])
free = iq.Interaction("free")
strict = iq.Interaction("strict", payload=iq.Payload([iq.PayloadItem("note", "string")]))
find = iq.Interaction("find", resolve=lambda ctx, args: ctx.storage.find("Thing", args["payload"]))


def definitions() -> dict[str, Any]:
    return {
        "entities": [Thing],
        "relations": [Friends, Parent],
        "dictionaries": [iq.Dictionary("setting", "number")],
        "event_sources": [note, free, strict, find],
    }


@pytest.fixture
def controller(engine: Engine) -> iq.Controller:
    controller = iq.Controller(iq.System(engine, base=MetaData()), **definitions())
    controller.setup(install=True)
    controller.system.storage.create("Thing", {})
    return controller


def deep(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = {"a": value}
    return value


WRONG: list[tuple[str, Any]] = [
    *(("text", value) for value in (5, 1.5, True, [], {}, b"x", "\ud800", "a\udfff")),
    *(("whole", value) for value in ("5", "x", 1.5, True, [], {}, 2**63, -(2**70), 10**5000, math.nan, math.inf)),
    *(("whole", Decimal(value)) for value in ("sNaN", "NaN", "1.5", "1e999999999")),
    *(("number", value) for value in ("1.5", "x", True, [], {}, 10**400, 10**5000)),
    *(("exact", value) for value in ("1.5", True, [], {}, 10**5000, Decimal("sNaN"))),
    *(("flag", value) for value in ("yes", 2, 1.5, [], {}, "")),
    *(("at", value) for value in ("yesterday", 1.5, True, [], {}, 10**30, NAIVE, "2020-01-01")),
    *(("moment", value) for value in ("2020-01-01", 5, [], {}, NAIVE)),
    *(("mark", value) for value in ("x", 5, [], {}, True)),
    *(
        ("data", value)
        for value in (math.nan, {"a": math.inf}, {"a": "\ud800"}, {"\ud800": 1}, {1, 2}, b"x", deep(600))
    ),
    *(("listed", value) for value in ([math.nan], [object()], ["\udc00"])),
    *(("id", value) for value in (1.5, True, [], {}, "x", 2**64)),
    *(("whole_thing", value) for value in ({"id": []}, {"id": 1.5}, 5, "x", [1])),
    *(("friends", value) for value in (5, "x", {"id": 1}, [5], [{"id": {}}], [{"id": 1, "&": {"weight": "x"}}])),
    *(("parts", value) for value in (5, True, [None], [{"whole": "x"}], [{"parts": [{"flag": "x"}]}])),
]


@pytest.mark.parametrize("name", dict.fromkeys(name for name, _ in WRONG))
def test_a_wrong_value_in_data(controller: iq.Controller, name: str) -> None:
    storage = controller.system.storage
    for value in [value for of, value in WRONG if of == name]:
        refused(controller, lambda value=value: storage.create("Thing", {name: value}))
        if name != "id":
            refused(controller, lambda value=value: storage.update("Thing", {"id": 1}, {name: value}))


def refused(controller: iq.Controller, call: Callable[[], Any]) -> None:
    ran: list[str] = []
    engine = controller.system.session_factory.kw["bind"]

    def note_statement(*args: Any) -> None:
        ran.append(args[2])

    event.listen(engine, "before_cursor_execute", note_statement)
    try:
        with pytest.raises(iq.DefinitionFault) as caught:
            call()
    finally:
        event.remove(engine, "before_cursor_execute", note_statement)
    assert caught.value.record
    assert len(str(caught.value)) < 500
    assert not [text for text in ran if text.startswith(("INSERT", "UPDATE", "DELETE"))]
    if isinstance(caught.value, iq.InvalidValueError):
        assert caught.value.code in ("INVALID_VALUE", "INVALID_KEY", "INVALID_ARGUMENT")


MATCHES: list[tuple[str, Any]] = [
    *((name, value) for name, value in WRONG if name in PROPERTIES and name not in ("whole", "mark", "data", "listed")),
    ("whole", 1.5),
    ("whole", []),
    ("whole", (">", "x")),
    ("whole", ("between", (1, "x"))),
    ("mark", 5),
    ("text", ("like", 5)),
    ("text", ("in", ["a", 5])),
    ("at", (">", "yesterday")),
    ("parts", ("exist", {"at": "yesterday"})),
    ("whole_thing.at", "yesterday"),
    ("data", ("contains", math.nan)),
]


@pytest.mark.parametrize("name", dict.fromkeys(name for name, _ in MATCHES))
def test_a_wrong_value_in_a_match(controller: iq.Controller, name: str) -> None:
    storage = controller.system.storage
    for value in [value for of, value in MATCHES if of == name]:
        match = {name: value}
        refused(controller, lambda match=match: storage.find("Thing", match))
        refused(controller, lambda match=match: storage.update("Thing", match, {"text": "x"}))
        refused(controller, lambda match=match: storage.delete("Thing", match))
        if not isinstance(value, bytes):
            result = controller.dispatch(find, {"payload": match})
            assert isinstance(result.error, iq.DefinitionFault)
            assert result.outcome == "failed"


def test_integers_that_no_row_has(controller: iq.Controller) -> None:
    storage = controller.system.storage
    for value in (2**31, 2**63, -(2**64), 10**5000):
        assert storage.find("Thing", {"id": value}) == []
        assert storage.find("Thing", {"id": ("in", [value, 1])}) == [{"id": 1}]
        assert storage.find("Thing", {"id": ("!=", value)}) == [{"id": 1}]


@pytest.mark.parametrize(
    "options",
    [
        {"limit": 10**30},
        {"limit": True},
        {"limit": "1"},
        {"limit": 1.5},
        {"limit": -1},
        {"offset": 2**63},
        {"offset": []},
        {"order_by": "text"},
        {"order_by": {"text": 5}},
        {"order_by": {5: "ASC"}},
        {"order_by": {"text": None}},
        {"attribute_query": True},
        {"attribute_query": 5},
        {"attribute_query": "text"},
        {"attribute_query": {"text": 1}},
        {"attribute_query": [5]},
        {"attribute_query": [None]},
        {"attribute_query": [("parts", 5)]},
        {"attribute_query": [("parts", {"attribute_query": True})]},
        {"attribute_query": [("parts", {"modifier": 5})]},
        {"attribute_query": [("parts", {"modifier": {"limit": 10**30}})]},
        {"attribute_query": [".".join(["parts"] * 2000)]},
        {"match": []},
        {"match": 5},
        {"match": "id = 1"},
        {"match": {5: 1}},
    ],
    ids=str,
)
def test_wrong_options(controller: iq.Controller, options: dict[str, Any]) -> None:
    with pytest.raises(iq.DefinitionFault):
        controller.system.storage.find("Thing", **options)


def test_wrong_names_keys_and_relation_data(controller: iq.Controller) -> None:
    storage = controller.system.storage
    for call in (
        lambda: storage.add_relation("Friend", [1], {}),
        lambda: storage.add_relation("Friend", 1, 1.5),
        lambda: storage.add_relation("Friend", 1, True),
        lambda: storage.add_relation("Friend", 1, 1, "x"),  # type: ignore[arg-type]
        lambda: storage.add_relation("Friend", 1, 1, {"weight": "heavy"}),
        lambda: storage.dictionary.get({}),  # type: ignore[arg-type]
        lambda: storage.dictionary.get(None),  # type: ignore[arg-type]
        lambda: storage.dictionary.set("setting", "much"),
        lambda: storage.dictionary.set("setting", [1]),
        lambda: storage.create("Thing", 5),  # type: ignore[arg-type]
        lambda: storage.create("Thing", [("text", "x")]),  # type: ignore[arg-type]
    ):
        with pytest.raises(iq.DefinitionFault):
            call()


def test_errors_show_only_the_beginning_of_what_is_given(controller: iq.Controller) -> None:
    storage: Any = controller.system.storage
    for value in (10**5000, deep(5000), [[deep(5000)]], "x" * 10_000_000, {5: 1}, {"x" * 10_000: 1}, Decimal("sNaN")):
        for call in (
            lambda value: storage.create("Thing", {"whole_thing": value}),
            lambda value: storage.create("Thing", {"friends": [value]}),
            lambda value: storage.find("Thing", {"friends": value}),
            lambda value: storage.find("Thing", value),
            lambda value: storage.find("Thing", {"text": (value,)}),
            lambda value: storage.find("Thing", iq.MatchExp.atom(value, ("=", 1))),
            lambda value: storage.find("Thing", attribute_query=[value]),
            storage.find,
            lambda value: storage.update("Thing", value, {"whole": 1}),
            storage.dictionary.get,
            lambda value: storage.add_relation("Friend", {"id": value}, 1),
            lambda value: storage.find("Thing", {"at": value}),
        ):
            with pytest.raises(iq.DefinitionFault) as caught:
                call(value)
            assert len(str(caught.value)) < 1000
        with pytest.raises(LookupError) as unknown:
            controller.dispatch(value, {})
        assert len(str(unknown.value)) < 1000
    for name in ("x" * 10_000_000, 10**5000):
        result = controller.dispatch("strict", {"payload": {name: 1}})
        assert isinstance(result.error, iq.InteractionGuardError)
        assert len(str(result.error)) < 1000


def test_patterns_that_the_database_cannot_compare(controller: iq.Controller) -> None:
    storage = controller.system.storage
    storage.create("Thing", {"text": "a\\b"})
    is_postgresql = controller.system.session_factory.kw["bind"].dialect.name == "postgresql"
    wrong = "a\\" if is_postgresql else "%" * 50_001
    refused(controller, lambda: storage.find("Thing", {"text": ("like", wrong)}))
    refused(controller, lambda: storage.find("Thing", {"friends.text": ("like", wrong)}))
    assert storage.find("Thing", {"text": ("like", "a\\\\b" if is_postgresql else "a\\b")})


def nested_data(levels: int) -> dict[str, Any]:
    data: dict[str, Any] = {}
    for _ in range(levels):
        data = {"parts": [data]}
    return data


def test_neighbours_without_end(controller: iq.Controller) -> None:
    refused(controller, lambda: controller.system.storage.create("Thing", nested_data(300)))


@pytest.mark.parametrize(
    "text", ["x" * 10_000_000, "é" * 1000, "", "a\\u0000b", "'; DROP TABLE thing; --", "%s %(a)s :b"]
)
def test_long_and_odd_texts_are_stored(controller: iq.Controller, text: str) -> None:
    storage = controller.system.storage
    storage.update("Thing", {"id": 1}, {"text": text, "data": {"t": text}})
    found = storage.find("Thing", {"text": text}, attribute_query=["text", "data"])
    assert found == [{"id": 1, "text": text, "data": {"t": text}}]
    assert controller.dispatch(free, {"user": {}, "payload": {"t": text}})


@pytest.mark.parametrize(
    "text",
    [
        "[1]",
        "5",
        '"x"',
        "null",
        "true",
        '{"payload": ' + '{"a":' * 900 + "1" + "}" * 900 + "}",
        '{"payload": "\\ud800"}',
    ],
)
def test_arguments_that_a_json_parser_delivers(controller: iq.Controller, text: str) -> None:
    result = controller.dispatch(free, json.loads(text))
    assert isinstance(result.error, iq.InvalidValueError)
    with controller.system.session_factory() as session:
        assert not controller.dispatch(free, json.loads(text), session=session)
        assert session.in_transaction() is False or session.is_active


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.just("\ud800") | st.just("\0"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=st.sampled_from([*PROPERTIES, "id", "whole_thing", "friends", "parts"]), value=JSON_VALUES)
def test_whatever_json_holds(controller: iq.Controller, name: str, value: Any) -> None:
    storage = controller.system.storage
    for call in (
        lambda: storage.create("Thing", {name: value}),
        lambda: storage.update("Thing", {"id": 1}, {name: value}),
        lambda: storage.find("Thing", {name: value}),
    ):
        with suppress(iq.DefinitionFault, iq.ConstraintViolationError):  # the latter: the key of another row
            call()
    for source, args in ((free, {"payload": {"x": value}}), (find, {"payload": {name: value}}), (free, value)):
        result = controller.dispatch(source, args)
        assert result.ok or isinstance(result.error, iq.FrameworkError)


async def test_the_asynchronous_twins(async_engine: AsyncEngine) -> None:
    system = iq.AsyncSystem(async_engine, base=MetaData())
    controller = iq.AsyncController(system, **definitions())
    await controller.setup(install=True)
    storage = system.storage
    await storage.create("Thing", {"whole": 2.0, "mark": str(UUID(int=5)), "at": datetime(2020, 1, 1, tzinfo=UTC)})
    (found,) = await storage.find("Thing", {"whole": "2"}, attribute_query=["whole", "mark"])
    assert found == {"id": 1, "whole": 2, "mark": UUID(int=5)}
    for name, value in [pair for pair in WRONG if pair[0] in PROPERTIES]:
        with pytest.raises(iq.InvalidValueError) as caught:
            await storage.create("Thing", {name: value})
        assert (caught.value.record, caught.value.property) == ("Thing", name)
        with pytest.raises(iq.DefinitionFault):
            await storage.update("Thing", {"id": 1}, {name: value})
    for value in (2**31, 2**63, 10**30):
        assert await storage.find("Thing", {"whole": value}) == []
    result = await controller.dispatch(note, {"data": {"text": "\ud800"}})
    assert isinstance(result.error, iq.InvalidValueError)
    assert await system.check()
