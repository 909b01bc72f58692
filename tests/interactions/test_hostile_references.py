"""References and targets with keys that no row can have are those of no row; bytes give a failed result."""

from __future__ import annotations

import math
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, MetaData, String
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

import interaqt_sa as iq

pay = iq.Interaction("pay", payload=iq.Payload([iq.PayloadItem("order", base="Order", is_ref=True, required=True)]))
name = iq.Interaction("name", payload=iq.Payload([iq.PayloadItem("team", base="Team", is_ref=True, required=True)]))
mark = iq.Interaction("mark", payload=iq.Payload([iq.PayloadItem("mark", base="Mark", is_ref=True, required=True)]))
free = iq.Interaction("free")
new, done = iq.StateNode("new"), iq.StateNode("done")


def models() -> Any:
    class Base(DeclarativeBase):
        metadata = MetaData()

    class Order(Base):
        """A row whose key has 32 bits."""

        __tablename__ = "order_"
        id: Mapped[int] = mapped_column(primary_key=True)
        state: Mapped[str] = iq.computed(
            iq.StateMachine(
                states=[new, done],
                initial_state=new,
                transfers=[
                    iq.StateTransfer(
                        current=new,
                        next=done,
                        trigger=iq.Trigger(free),
                        compute_target=lambda _, event: event.record["payload"].get("target"),
                    )
                ],
            ),
            String(10),
        )

    class Team(Base):
        __tablename__ = "team"
        code: Mapped[str] = mapped_column(String(5), primary_key=True)

    class Mark(Base):
        __tablename__ = "mark"
        id: Mapped[UUID] = mapped_column(primary_key=True)

    return Base, Order, Team, Mark


@pytest.fixture
def controller(engine: Engine) -> iq.Controller:
    base, order, team, marked = models()
    controller = iq.Controller(iq.System(engine, base=base), event_sources=[pay, name, mark, free])
    controller.setup(install=True)
    with controller.system.session_factory.begin() as session:
        session.add_all([order(id=1), team(code="a"), marked(id=UUID(int=1))])
    return controller


KEYS: list[Any] = [
    *(2**31, 2**63, 2**64, -(2**70), 10**5000, 1.5, math.nan, True, None, [], {}, "x", "", "\0", "\ud800", "a" * 999),
    *(b"x", "1" * 5000, "99999999999999999999", UUID(int=2)),
]


@pytest.mark.parametrize("event", ["pay", "name", "mark"])
def test_references_that_no_row_has(controller: iq.Controller, event: str) -> None:
    item, key = {"pay": ("order", "id"), "name": ("team", "code"), "mark": ("mark", "id")}[event]
    for value in KEYS:
        result = controller.dispatch(event, {"payload": {item: {key: value}}})
        assert isinstance(result.error, iq.FrameworkError), value
        assert result.outcome == "failed"
    good = {"pay": 1, "name": "a", "mark": str(UUID(int=1))}[event]
    assert controller.dispatch(event, {"payload": {item: {key: good}}}).ok


def test_targets_that_no_row_has(controller: iq.Controller) -> None:
    for value in KEYS:
        result = controller.dispatch(free, {"payload": {"target": value}})
        assert result.ok or isinstance(result.error, iq.FrameworkError), (value, result.error)
    order = controller.system.storage.find_one("Order", {"id": 1}, attribute_query=["state"])
    assert order is not None
    assert order["state"] == "new"


def test_bytes(controller: iq.Controller) -> None:
    for args in ({"payload": {"a": b"x"}}, {"payload": {"a": [{"b": b"x"}]}}, {"user": {b"id": 1}}):
        assert isinstance(controller.dispatch(free, args).error, iq.InvalidValueError)


PLAIN = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(2**70), 2**70),
        st.floats(),
        st.text(max_size=6),
        st.sampled_from(["\ud800", "\0"]),
        st.decimals(),
        st.binary(max_size=3),
        st.uuids(),
        st.dates(),
        st.timedeltas(),
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(payload=PLAIN, user=PLAIN, target=PLAIN)
def test_any_arguments_give_a_result(controller: iq.Controller, payload: Any, user: Any, target: Any) -> None:
    for event, args in (
        (free, {"payload": {"target": target, "rest": payload}, "user": user}),
        (pay, {"payload": {"order": {"id": target}}, "user": user}),
        (pay, {"payload": payload, "user": user}),
        (free, payload),
    ):
        result = controller.dispatch(event, args)
        assert result.ok or isinstance(result.error, iq.FrameworkError), result.error


async def test_async(async_engine: AsyncEngine) -> None:
    base, order, team, marked = models()
    controller = iq.AsyncController(iq.AsyncSystem(async_engine, base=base), event_sources=[pay, name, mark, free])
    await controller.setup(install=True)
    async with controller.system.session_factory.begin() as session:
        session.add_all([order(id=1), team(code="a"), marked(id=UUID(int=1))])
    for value in KEYS:
        for event, args in (
            (pay, {"payload": {"order": {"id": value}}}),
            (name, {"payload": {"team": {"code": value}}}),
            (mark, {"payload": {"mark": {"id": value}}}),
            (free, {"payload": {"target": value}}),
        ):
            result = await controller.dispatch(event, args)
            assert isinstance(result.error, iq.FrameworkError) or (event is free and result.ok), (value, result.error)
