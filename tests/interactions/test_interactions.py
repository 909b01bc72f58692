"""Interactions: payload checks, conditions, what is stored, and the errors."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Engine, select
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from interaqt_sa.definitions.aggregates import Count
from interaqt_sa.definitions.events import Trigger
from interaqt_sa.definitions.records import Entity, Property
from interaqt_sa.definitions.state_machine import StateMachine, StateNode, StateTransfer
from interaqt_sa.definitions.transform import Transform
from interaqt_sa.definitions.type_aliases import RecordRef
from interaqt_sa.errors import DefinitionError, DefinitionFault, InteractionGuardError, InvalidValueError
from interaqt_sa.interactions import (
    Action,
    Condition,
    Conditions,
    Interaction,
    InteractionEventEntity,
    Payload,
    PayloadItem,
)
from interaqt_sa.interactions.interaction import json_safe
from interaqt_sa.runtime.async_controller import AsyncController
from interaqt_sa.runtime.async_system import AsyncSystem
from interaqt_sa.runtime.controller import Controller
from interaqt_sa.runtime.system import System
from interaqt_sa.schema.record_lookup import resolve_record
from tests.runtime.test_dispatch import conflict

NONE = object()


class Base(DeclarativeBase):
    pass


class Order(Base):
    __tablename__ = "order_"
    id: Mapped[int] = mapped_column(primary_key=True)


class Line(Base):
    __tablename__ = "line"
    order_id: Mapped[int] = mapped_column(primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)


@pytest.fixture
def make(engine: Engine) -> Callable[..., Controller]:
    def make(*interactions: Interaction, **options: Any) -> Controller:
        controller = Controller(System(engine, base=Base), event_sources=interactions, **options)
        controller.setup(install=True)
        with controller.system.session_factory.begin() as session:
            session.add_all([Order(id=1), Order(id=2), Line(order_id=1, number=1)])
        return controller

    return make


def events(controller: Controller) -> list[Any]:
    event = controller.system.schema.mapped_class(InteractionEventEntity)
    with controller.system.session_factory() as session:
        return list(session.scalars(select(event)))


Make = Callable[..., Controller]


def item(type: Any = None, **options: Any) -> Payload:
    return Payload([PayloadItem("x", type, **options)])


def order(**options: Any) -> Payload:
    return item(base="Order", is_ref=True, **options)


CHECKS: list[tuple[Payload, Any, str | None]] = [
    (item(), {"y": 1}, "y not defined"),
    (item(required=True), {}, "x missing"),
    (item(required=True), {"x": None}, None),
    (item("string", required=True), {"x": None}, "x type mismatch"),
    (item("string"), {}, None),
    (item(is_collection=True), {"x": {"a": 1}}, "x data is not array"),
    (item(is_collection=True), {"x": [1, "a"]}, None),
    (item("string", is_collection=True), {"x": ["a", 1]}, "x type mismatch"),
    (item("string"), {"x": "a"}, None),
    (item("string"), {"x": 1}, "x type mismatch"),
    (item("number"), {"x": 1.5}, None),
    (item("number"), {"x": Decimal("1.5")}, None),
    (item("number"), {"x": True}, "x type mismatch"),
    (item("number"), {"x": "1"}, "x type mismatch"),
    (item("number"), {"x": float("nan")}, "x type mismatch"),
    (item("number"), {"x": float("inf")}, "x type mismatch"),
    (item("boolean"), {"x": False}, None),
    (item("boolean"), {"x": 0}, "x type mismatch"),
    (item("object"), {"x": {}}, None),
    (item("object"), {"x": []}, "x type mismatch"),
    (item("object", is_collection=True), {"x": [{}]}, None),
    (item("timestamp"), {"x": "2026-01-02T03:04:05+00:00"}, None),
    (item("timestamp"), {"x": "yesterday"}, "x type mismatch"),
    (item("id"), {"x": 1}, None),
    (item("id"), {"x": True}, "x type mismatch"),
    (item(int), {"x": 1}, None),
    (item(int), {"x": 1.5}, "x type mismatch"),
    (item(Decimal), {"x": 1.5}, "x type mismatch"),
    (item(datetime), {"x": datetime.now(UTC)}, None),
    (item(UUID), {"x": "not one"}, "x type mismatch"),
    (item(UUID), {"x": str(UUID(int=1))}, None),
    (item(list), {"x": [1]}, None),
    (item(base="Order"), {"x": {"note": "new"}}, None),
    (item(base="Order"), {"x": 3}, "x check concept failed"),
    (item(base="Order"), {"x": [{}]}, "x check concept failed"),
    (item(base="Order"), {"x": None}, "x check concept failed"),
    (item(base="Order", is_collection=True), {"x": [{}, 3]}, "x check concept failed"),
    (order(), {"x": {"id": 1}}, None),
    (order(), {"x": {"id": 3}}, "x ref not found"),
    (order(), {"x": {"id": "1"}}, None),
    (order(is_collection=True), {"x": [{"id": 1}, {"id": "1"}]}, None),
    (item("number"), {"x": Decimal("sNaN")}, "x type mismatch"),
    (order(), {"x": {"id": "3"}}, "x ref not found"),
    (order(), {"x": {"id": "1; DROP TABLE"}}, "x data is not a ref"),
    (order(), {"x": {"id": 10**30}}, "x data is not a ref"),
    (order(), {"x": {"id": {"id": 1}}}, "x data is not a ref"),
    (order(), {"x": {"id": [1]}}, "x data is not a ref"),
    (order(), {"x": {"id": {1}}}, "x data is not a ref"),
    (order(), {"x": {"id": True}}, "x data is not a ref"),
    (order(), {"x": {"id": 1.0}}, "x data is not a ref"),
    (order(), {"x": {"id": date(2020, 1, 1)}}, "x data is not a ref"),
    (order(), {"x": {}}, "x data is not a ref"),
    (order(), {"x": {"id": None}}, "x data is not a ref"),
    (order(), {"x": None}, "x data is not a ref"),
    (order(), {"x": 1}, "x data is not a ref"),
    (order(is_collection=True), {"x": [{"id": 1}, {"id": 2}, {"id": 1}]}, None),
    (order(is_collection=True), {"x": []}, None),
    (order(is_collection=True), {"x": [{"id": 1}, {"id": 3}]}, "x ref not found"),
    (order(is_collection=True), {"x": [{"id": 1}, {}]}, "x data not every is ref"),
    (item(base="Line", is_ref=True), {"x": {"order_id": 1, "number": 1}}, None),
    (item(base="Line", is_ref=True), {"x": {"order_id": 1, "number": 2}}, "x ref not found"),
    (item(base="Line", is_ref=True), {"x": {"order_id": 1}}, "x data is not a ref"),
    (item(), [], "payload not an object"),
    (item(), NONE, None),
    (item(required=True), NONE, "x missing"),
    # what is missing does not end the check
    (Payload([PayloadItem("a", "string"), PayloadItem("b", "string")]), {"b": 1}, "b type mismatch"),
]


CODES = {
    "not an object": "PAYLOAD_NOT_OBJECT",
    "not defined": "PAYLOAD_NOT_DEFINED",
    "missing": "PAYLOAD_MISSING",
    "data is not array": "PAYLOAD_NOT_ARRAY",
    "type mismatch": "PAYLOAD_TYPE",
    "check concept failed": "PAYLOAD_NOT_RECORD",
    "data is not a ref": "PAYLOAD_NOT_REF",
    "data not every is ref": "PAYLOAD_NOT_REF",
    "ref not found": "PAYLOAD_REF_NOT_FOUND",
}


def test_payloads(make: Make) -> None:
    interactions = [Interaction(f"i{n}", payload=payload) for n, (payload, _, _) in enumerate(CHECKS)]
    controller = make(*interactions)
    for interaction, (_, payload, expected) in zip(interactions, CHECKS, strict=True):
        result = controller.dispatch(interaction, {} if payload is NONE else {"payload": payload})
        if expected is None:
            result.raise_for_error()
        else:
            assert isinstance(result.error, InteractionGuardError)
            assert (result.error.check, result.error.type) == ("payload", expected)
            item, _, kind = expected.partition(" ")
            assert (result.error.code, result.error.item) == (CODES[kind], item if item != "payload" else None)
            if kind == "ref not found":
                assert result.error.record in str(result.error)
    assert len(events(controller)) == sum(expected is None for _, _, expected in CHECKS)


def test_payloads_are_not_checked_when_guards_are_ignored(make: Make) -> None:
    close = Interaction("Close", payload=item(required=True), conditions=Condition("never", lambda *_: False))
    assert make(close, ignore_guard=True).dispatch("Close", {}).ok


YES, NO = Condition("yes", lambda *_: True), Condition("no", lambda *_: False)


def answering(value: Any) -> Condition:
    return Condition("odd", lambda *_: value)


def raising(*_: Any) -> bool:
    raise ValueError("boom")


BAD = Condition("bad", raising)


@pytest.mark.parametrize(
    ("conditions", "code"),
    [
        (YES, None),
        (NO, "CONDITION_REJECTED"),
        (~NO, None),
        (~YES, "CONDITION_REJECTED"),
        (YES & NO, "CONDITION_REJECTED"),
        (YES | NO, None),
        (~(YES | NO), "CONDITION_REJECTED"),
        (~(NO | NO), None),
        (~(YES & NO), None),
        (~(YES & YES), "CONDITION_REJECTED"),
        (~NO & ~~YES, None),
        (Conditions(YES & YES), None),
        (answering(None), "CONDITION_INVALID_RESULT"),
        (answering("reason"), "CONDITION_INVALID_RESULT"),
        (answering(1), "CONDITION_INVALID_RESULT"),
        (~answering(None), "CONDITION_INVALID_RESULT"),
        (BAD, "CONDITION_THROWN"),
        (~BAD, "CONDITION_THROWN"),
        (YES | BAD, None),
    ],
)
def test_conditions(make: Make, conditions: Any, code: str | None) -> None:
    controller = make(Interaction("Close", conditions=conditions))
    result = controller.dispatch("Close", {"user": {"id": 1}})
    if code is None:
        result.raise_for_error()
    else:
        assert isinstance(result.error, InteractionGuardError)
        assert (result.error.check, result.error.type) == ("condition", "condition check failed")
        assert result.error.context["code"] == code
        assert events(controller) == []
    if code == "CONDITION_THROWN":
        assert "condition 'bad' threw exception: ValueError('boom')" in str(result.error)
        assert isinstance(result.error.__cause__, ValueError)


def test_conditions_come_before_the_payload(make: Make) -> None:
    controller = make(Interaction("Close", payload=item(required=True), conditions=NO))
    result = controller.dispatch("Close", {})
    assert isinstance(result.error, InteractionGuardError)
    assert result.error.check == "condition"


def test_conflicts_in_conditions_are_repeated(make: Make) -> None:
    errors = [conflict()]

    def content(ctx: Any, args: Any) -> bool:
        if errors:
            raise errors.pop()
        return True

    assert make(Interaction("Close", conditions=Condition("flaky", content))).dispatch("Close", {}).attempts == 2


class Color(Enum):
    RED = "red"


def test_what_is_stored(make: Make) -> None:
    close = Interaction("Close", action=Action("close"), resolve=lambda *_: "data", post_commit=lambda *_: {"after": 1})
    controller = make(close)
    result = controller.dispatch(close, {"user": {"id": 1}, "payload": {"when": date(2026, 1, 2)}})
    assert (result.data, result.context) == ("data", {"after": 1})
    (event,) = events(controller)
    assert (event.interaction_name, event.interaction_id) == ("Close", "Close")
    assert (event.user, event.payload) == ({"id": 1}, {"when": "2026-01-02"})
    assert (event.query, event.context) == ({}, {})
    assert close.trigger_pattern() == {"interaction_name": "Close"}
    ref: RecordRef = close
    assert resolve_record(controller.system.metadata, ref).class_ is type(event)


def test_json() -> None:
    assert json_safe(
        {
            "a": [Decimal("1.50"), UUID(int=1), Color.RED, timedelta(seconds=90), float("nan"), (1, {2})],
            3: datetime(2026, 1, 2, tzinfo=UTC),
            "flag": True,
        }
    ) == {
        "a": ["1.50", str(UUID(int=1)), "red", 90.0, "nan", [1, [2]]],
        "3": "2026-01-02T00:00:00+00:00",
        "flag": True,
    }
    with pytest.raises(InvalidValueError, match="bytes"):
        json_safe({"a": b"x"})


async def test_async(async_engine: AsyncEngine) -> None:
    async def exists(ctx: Any, args: Any) -> bool:
        return await ctx.session.get(Order, args["user"]["id"]) is not None

    close = Interaction("Close", payload=order(required=True), conditions=Condition("exists", exists) & YES)
    controller = AsyncController(AsyncSystem(async_engine, base=Base), event_sources=[close])
    await controller.setup(install=True)
    async with controller.system.session_factory.begin() as session:
        session.add(Order(id=1))
    assert (await controller.dispatch("Close", {"user": {"id": 1}, "payload": {"x": {"id": 1}}})).ok
    results = [
        await controller.dispatch("Close", {"user": {"id": 2}, "payload": {"x": {"id": 1}}}),
        await controller.dispatch("Close", {"user": {"id": 1}, "payload": {"x": {"id": 9}}}),
        await controller.dispatch("Close", {"payload": {"x": {"id": 1}}}),
    ]
    assert [getattr(result.error, "type", None) for result in results] == [
        "condition check failed",
        "x ref not found",
        "condition check failed",
    ]


async def test_coroutine_conditions_need_an_asynchronous_controller(engine: Engine) -> None:
    async def content(*_: Any) -> bool:
        return True

    close = Interaction("Close", conditions=YES & Condition("slow", content))
    with pytest.raises(DefinitionError, match="condition 'slow' of 'Close' is a coroutine function"):
        Controller(System(engine, base=Base), event_sources=[close])


def test_a_payload_item_of_an_unknown_record(engine: Engine) -> None:
    close = Interaction("Close", payload=Payload([PayloadItem("x", base="Tkt", is_ref=True)]))
    with pytest.raises(DefinitionError, match="payload item 'x' of 'Close': there is no record 'Tkt'"):
        Controller(System(engine, base=Base), event_sources=[close])


@pytest.mark.parametrize("others", [[], [Interaction("Open")]], ids=["alone", "beside another"])
def test_a_trigger_of_an_interaction_that_the_controller_has_not(engine: Engine, others: list[Interaction]) -> None:
    closed, opened = StateNode("closed"), StateNode("opened")
    close = Interaction("Close")
    transfer = StateTransfer(current=opened, next=closed, trigger=Trigger(close), compute_target=lambda *_: 1)
    machine = StateMachine(states=[closed, opened], initial_state=opened, transfers=[transfer])
    derived = Transform(event_deps={"close": Trigger(close)}, callback=lambda *_: None)
    broken = Property("n", int, computation=Count("x"))
    door = Entity("Door", [Property("state", "string", computation=machine), broken])
    given: dict[str, Any] = {"entities": [door, Entity("Slam", computation=derived)]}
    controller = Controller(System(engine), event_sources=others, **given)
    with pytest.raises(DefinitionError) as caught:
        controller.setup(install=True)
    faults = sorted(map(str, caught.value.exceptions))
    assert [fault.partition(":")[0] for fault in faults] == ["Door.n", "Door.state", "Slam"]
    assert all("give Interaction('Close') to event_sources" in fault for fault in faults[1:])
    Controller(controller.system, event_sources=[close])
    with pytest.raises(DefinitionError) as caught:
        controller.setup(install=True)
    assert [str(fault).partition(":")[0] for fault in caught.value.exceptions] == ["Door.n"], "another one has it"


@pytest.mark.parametrize(
    ("make_it", "message"),
    [
        (lambda: PayloadItem("x", "text"), "no type 'text'"),
        (lambda: PayloadItem("x", is_ref=True), "base="),
        (lambda: PayloadItem("not a name"), "not a name"),
        (lambda: Payload([PayloadItem("x"), PayloadItem("x")]), "share a name"),
        (lambda: Interaction(""), "not empty"),
        (lambda: Interaction("x", data="Order"), "reserved"),
        (lambda: Interaction("x", idempotency=lambda: None), "reserved"),
        (lambda: Interaction("x", conditions=lambda *_: True), "not a condition"),
        (lambda: Condition("x", None), "needs a function"),
    ],
)
def test_faults_of_definitions(make_it: Callable[[], Any], message: str) -> None:
    with pytest.raises(DefinitionFault, match=message):
        make_it()
