"""A shop with two levels of aggregates and a state machine: items, their orders, the orders' customers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from sqlalchemy import JSON, BigInteger, ForeignKey, Text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

import interaqt_sa as iq

#: what moves an order on: the status it leaves and the one it enters
MOVES = {"pay": ("pending", "paid"), "ship": ("paid", "shipped"), "reopen": ("shipped", "pending")}


class Base(DeclarativeBase):
    type_annotation_map: ClassVar[dict[Any, Any]] = {dict[str, Any]: JSON().with_variant(JSONB(), "postgresql")}


class Event(Base):
    """One row for each thing that happens."""

    __tablename__ = "events"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(Text)
    usr: Mapped[dict[str, Any]]
    payload: Mapped[dict[str, Any]]


class Customer(Base):
    __tablename__ = "customers"
    id: Mapped[int] = mapped_column(primary_key=True)
    no: Mapped[int]
    name: Mapped[str] = mapped_column(Text)
    total: Mapped[int] = iq.computed(iq.Summation("orders", "items_total"), BigInteger)
    orders: Mapped[list[Order]] = relationship(back_populates="customer")


def _status() -> iq.StateMachine:
    nodes = {name: iq.StateNode(name) for name, _ in MOVES.values()}
    return iq.StateMachine(
        states=nodes.values(),
        initial_state=nodes["pending"],
        transfers=[
            iq.StateTransfer(
                current=nodes[left],
                next=nodes[entered],
                trigger=iq.Trigger(Event, record={"name": name}),
                compute_target=lambda _, event: event.record["payload"]["order"],
            )
            for name, (left, entered) in MOVES.items()
        ],
    )


class Order(Base):
    __tablename__ = "orders"
    id: Mapped[int] = mapped_column(primary_key=True)
    no: Mapped[int]
    customer_id: Mapped[int] = mapped_column(ForeignKey("customers.id"), index=True)
    item_count: Mapped[int] = iq.computed(iq.Count("items"))
    items_total: Mapped[int] = iq.computed(iq.Summation("items", "amount"), BigInteger)
    all_done: Mapped[bool] = iq.computed(iq.Every("items", expression={"done": True}))
    any_done: Mapped[bool] = iq.computed(iq.Any("items", expression={"done": True}))
    status: Mapped[str] = iq.computed(_status(), Text)
    customer: Mapped[Customer] = relationship(back_populates="orders")
    items: Mapped[list[Item]] = relationship(back_populates="order")


class Item(Base):
    __tablename__ = "items"
    id: Mapped[int] = mapped_column(primary_key=True)
    order_id: Mapped[int] = mapped_column(ForeignKey("orders.id"), index=True)
    amount: Mapped[int]
    done: Mapped[bool]
    order: Mapped[Order] = relationship(back_populates="items")


# -- the same as events that are dispatched ------------------------------------------------------------------------


def _source(name: str, resolve: Callable[..., Any] | None = None) -> iq.EventSource:
    def event_data(ctx: Any, args: Mapping[str, Any]) -> dict[str, Any]:
        return {"name": name, "usr": args["user"], "payload": args["payload"]}

    return iq.EventSource(name, Event, map_event_data=event_data, resolve=resolve)


# Plain functions: they run inside the dispatch, where the session at work is a synchronous one.


def _add(ctx: iq.AsyncDispatchContext, args: Mapping[str, Any]) -> int:
    given, session = args["payload"], ctx.sync_session
    item = Item(order_id=given["order"], amount=given["amount"], done=given["done"])
    session.add(item)
    session.flush()
    return item.id


def _update(ctx: iq.AsyncDispatchContext, args: Mapping[str, Any]) -> None:
    item = ctx.sync_session.get_one(Item, args["payload"]["item"])
    item.amount = args["payload"]["amount"]


def _delete(ctx: iq.AsyncDispatchContext, args: Mapping[str, Any]) -> None:
    ctx.sync_session.delete(ctx.sync_session.get_one(Item, args["payload"]["item"]))


def _move(ctx: iq.AsyncDispatchContext, args: Mapping[str, Any]) -> None:
    item = ctx.sync_session.get_one(Item, args["payload"]["item"])
    item.order_id = args["payload"]["order"]


ADD, UPDATE, DELETE, MOVE = (
    _source("add_item", _add),
    _source("update_item", _update),
    _source("delete_item", _delete),
    _source("move_item", _move),
)
#: the state machine does the rest
TRANSITIONS = {name: _source(name) for name in MOVES}
EVENT_SOURCES = [ADD, UPDATE, DELETE, MOVE, *TRANSITIONS.values()]
