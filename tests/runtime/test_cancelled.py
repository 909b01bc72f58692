"""Tasks that are cancelled in the middle of a dispatch: nothing of it remains, and nobody has to wait for it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from sqlalchemy import MetaData
from sqlalchemy.ext.asyncio import AsyncEngine

import interaqt_sa as iq

Pay = iq.Interaction(
    "Pay",
    payload=iq.Payload([iq.PayloadItem("order", base="Order", is_ref=True, required=True)]),
    resolve=lambda ctx, _: ctx.storage.create("Order", {"total": 7, "customer": {"id": 1}}),
)
OPEN, PAID = iq.StateNode("open"), iq.StateNode("paid")


def toggle(current: iq.StateNode, following: iq.StateNode) -> iq.StateTransfer:
    return iq.StateTransfer(
        current=current,
        next=following,
        trigger=iq.Trigger(Pay),
        compute_target=lambda _, event: event.record["payload"]["order"],
    )


MACHINE = iq.StateMachine(states=[OPEN, PAID], initial_state=OPEN, transfers=[toggle(OPEN, PAID), toggle(PAID, OPEN)])
DEFINITIONS: dict[str, Any] = {
    "entities": [
        iq.Entity("Order", [iq.Property("total", int), iq.Property("status", str, computation=MACHINE)]),
        iq.Entity("Customer", [iq.Property("spent", int, computation=iq.Summation("orders", "total"))]),
        iq.Entity(
            "Change",
            computation=iq.Transform(
                event_deps={"moved": iq.Trigger("Order", "update", keys=["status"])}, callback=lambda _: {}
            ),
        ),
    ],
    "relations": [
        iq.Relation(source="Customer", source_property="orders", target="Order", target_property="customer", type="1:n")
    ],
}
ARGS = {"payload": {"order": {"id": 1}}}


@pytest.mark.parametrize("joins", [False, True])
async def test_cancelled_anywhere(async_engine: AsyncEngine, joins: bool) -> None:
    system = iq.AsyncSystem(async_engine, base=iq.compile_schema(MetaData(), **DEFINITIONS, event_sources=[Pay]))
    controller = iq.AsyncController(system, event_sources=[Pay])
    await controller.setup(install=True)
    storage = system.storage
    await storage.create("Order", {"total": 5, "customer": {}})

    async def dispatch() -> None:
        if not joins:
            (await controller.dispatch(Pay, ARGS)).raise_for_error()
            return
        async with system.session_factory.begin() as session:
            (await controller.dispatch(Pay, ARGS, session=session)).raise_for_error()

    await dispatch()
    tasks = []  # kept: what a cancelled task leaves behind must not depend on its being collected
    for turns in range(0, 200, 9):
        tasks.append(asyncio.ensure_future(dispatch()))
        for _ in range(turns):
            await asyncio.sleep(0)
        tasks[-1].cancel()
        await asyncio.wait([tasks[-1]])
        counts = [len(await storage.find(record)) for record in ("Order", "Change", iq.InteractionEventEntity)]
        assert counts[0] - 1 == counts[1] == counts[2]
        assert (await system.check()).ok
        assert async_engine.pool.checkedout() == 0  # type: ignore[attr-defined]
    assert any(task.cancelled() for task in tasks)
