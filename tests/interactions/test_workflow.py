"""Interactions that move state machines, over definitions and over declarative models."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import Engine, MetaData
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

import interaqt_sa as iq

PAYLOAD = iq.Payload([iq.PayloadItem("order", base="Order", is_ref=True, required=True)])


def order_of(event: iq.MutationEvent) -> Any:
    return event.record["payload"]["order"]


async def order_of_async(ctx: iq.AsyncDispatchContext, event: iq.MutationEvent) -> Any:
    order = await ctx.storage.find_one("Order", {"id": order_of(event)["id"]}, attribute_query=["id"])
    assert order is not None
    return order


def definitions(pay: iq.Interaction, compute_target: Any) -> dict[str, Any]:
    pending, paid = iq.StateNode("pending"), iq.StateNode("paid")
    machine = iq.StateMachine(
        states=[pending, paid],
        initial_state=pending,
        transfers=[
            iq.StateTransfer(current=pending, next=paid, trigger=iq.Trigger(pay), compute_target=compute_target)
        ],
    )
    order = iq.Entity(
        "Order",
        [iq.Property("total", "number", default=0), iq.Property("status", "string", computation=machine)],
        constraints=[
            iq.UniqueConstraint("one_open", ["customer"], where={"status": "pending"}, violation_code="ORDER_OPEN")
        ],
    )
    customer = iq.Entity(
        "Customer",
        [iq.Property("spent", "number", computation=iq.Summation("orders", "total", where={"status": "paid"}))],
    )
    return {
        "entities": [order, customer],
        "relations": [
            iq.Relation(
                source="Customer", source_property="orders", target="Order", target_property="customer", type="1:n"
            )
        ],
        "dictionaries": [iq.Dictionary("paid", "number", computation=iq.Count("Order", where={"status": "paid"}))],
    }


ARGS = {"user": {"id": 1}, "payload": {"order": {"id": 1}}}
EFFECTS = {("create", "_Interaction_"), ("update", "Order"), ("update", "Customer"), ("update", "dictionary_paid")}


def described(result: iq.DispatchResult) -> set[tuple[str, str]]:
    return {(event.type, event.record_name) for event in result.raise_for_error().effects}


def test_definitions(engine: Engine) -> None:
    pay, other = iq.Interaction("Pay", payload=PAYLOAD), iq.Interaction("Other", payload=PAYLOAD)
    made = definitions(pay, lambda _, event: order_of(event))
    controller = iq.Controller(iq.System(engine, base=MetaData()), event_sources=[pay, other], **made)
    controller.setup(install=True)
    storage = controller.system.storage
    storage.create("Customer", {"id": 1})
    storage.create("Order", {"id": 1, "total": 5, "customer": {"id": 1}})

    assert controller.dispatch(other, ARGS).ok  # stored in the same record, but no event of Pay
    assert storage.find_one("Order", attribute_query=["status"]) == {"id": 1, "status": "pending"}

    result = controller.dispatch("Pay", ARGS)
    assert described(result) == EFFECTS
    hidden = {key for event in result.effects for key in event.record if key.startswith("_")}
    assert hidden == set()
    assert storage.find_one("Order", attribute_query=["status"]) == {"id": 1, "status": "paid"}
    assert storage.find_one("Customer", attribute_query=["spent"]) == {"id": 1, "spent": 5}
    assert storage.dictionary.get("paid") == 1
    assert described(controller.dispatch("Pay", ARGS)) == {("create", "_Interaction_")}

    missing = controller.dispatch("Pay", {**ARGS, "payload": {"order": {"id": 9}}})
    assert isinstance(missing.error, iq.InteractionGuardError)
    storage.create("Order", {"customer": {"id": 1}})
    with pytest.raises(iq.ConstraintViolationError) as caught:
        storage.create("Order", {"customer": {"id": 1}})
    assert (caught.value.code, caught.value.properties) == ("ORDER_OPEN", ("customer",))
    assert controller.system.check().ok


async def test_definitions_async(async_engine: AsyncEngine) -> None:
    pay = iq.Interaction("Pay", payload=PAYLOAD)
    made = definitions(pay, order_of_async)
    controller = iq.AsyncController(iq.AsyncSystem(async_engine, base=MetaData()), event_sources=[pay], **made)
    await controller.setup(install=True)
    storage = controller.system.storage
    await storage.create("Customer", {"id": 1})
    await storage.create("Order", {"id": 1, "total": 5, "customer": {"id": 1}})
    assert described(await controller.dispatch("Pay", ARGS)) == EFFECTS
    assert await storage.find_one("Order", attribute_query=["status"]) == {"id": 1, "status": "paid"}
    assert await storage.dictionary.get("paid") == 1
    assert (await controller.system.check()).ok


class Base(DeclarativeBase):
    pass


Close = iq.Interaction("Close", payload=iq.Payload([iq.PayloadItem("claim", base="Claim", is_ref=True, required=True)]))
opened, closed = iq.StateNode("open"), iq.StateNode("closed")


class Claim(Base):
    __tablename__ = "claim"
    id: Mapped[int] = mapped_column(primary_key=True)
    status: Mapped[str] = iq.computed(
        iq.StateMachine(
            states=[opened, closed],
            initial_state=opened,
            transfers=[
                iq.StateTransfer(
                    current=opened,
                    next=closed,
                    trigger=iq.Trigger(Close),
                    compute_target=lambda _, event: event.record["payload"]["claim"],
                )
            ],
        )
    )


def test_declarative_models(engine: Engine) -> None:
    controller = iq.Controller(iq.System(engine, base=Base), event_sources=[Close])
    controller.setup(install=True)
    with controller.system.session_factory.begin() as session:
        session.add_all([Claim(id=1), Claim(id=2)])
    controller.dispatch(Close, {"user": {"id": 1}, "payload": {"claim": {"id": 1}}}).raise_for_error()
    with controller.system.session_factory() as session:
        assert session.get_one(Claim, 1).status == "closed"
        assert session.get_one(Claim, 2).status == "open"
        result = controller.dispatch(Close, {"payload": {"claim": {"id": 2}}}, session=session)
        assert result.ok
        assert session.get_one(Claim, 2).status == "closed"  # in memory too
        session.rollback()
        assert session.get_one(Claim, 2).status == "open"
