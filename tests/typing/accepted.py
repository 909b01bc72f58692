"""User code that type checkers accept, with the types that they must see in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, assert_type

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import (
    DeclarativeBase,
    Mapped,
    MappedAsDataclass,
    MappedColumn,
    Session,
    mapped_column,
    relationship,
    scoped_session,
    sessionmaker,
)

import interaqt_sa as iq

# -- declarative models -----------------------------------------------------------------------------------------------


class Base(DeclarativeBase):
    pass


def is_rated(order: Any, deps: Mapping[str, Any]) -> bool:
    return bool(order.total > deps["rate"])


def label_of(ctx: iq.ComputationContext, deps: Mapping[str, Any], record: Any) -> str | iq.ComputationResult | None:
    return ctx.name if record["id"] else iq.ComputationResult.skip()


class Customer(Base):
    __tablename__ = "customer"

    id: Mapped[int] = mapped_column(primary_key=True)
    orders: Mapped[list[Order]] = relationship(back_populates="customer")
    order_count: Mapped[int] = iq.computed(iq.Count("orders"))
    n_rated: Mapped[int] = iq.computed(
        iq.Count("orders", callback=is_rated, attribute_query=["total"], data_deps={"rate": iq.Dictionary("rate", int)})
    )
    is_old: Mapped[bool] = iq.computed(iq.RealTime(lambda now, deps: now.year > deps["record"].year))
    label: Mapped[str | None] = iq.computed(iq.Custom("label", compute=label_of, concurrency="locked"))
    n_open: Mapped[int] = iq.computed(iq.Count("orders", where=lambda o: o.status == "open"), index=True)
    n_large: Mapped[int] = iq.computed(iq.Count("orders", callback=lambda o: o.total > 9, attribute_query=["total"]))
    number: Mapped[int] = iq.computed(iq.ScopedSequence("customer", ["region"], step=2))
    serial: Mapped[int | None] = iq.computed(iq.ScopedSequence("serial", "region", match={"region": ("!=", None)}))
    first_paid: Mapped[str | None] = iq.computed(iq.First("orders", "status", by="total", where={"status": "paid"}))
    latest_total: Mapped[Decimal | None] = iq.computed(iq.Latest("orders", "total", by="id"), sa.Numeric(12, 2))
    spent: Mapped[Decimal] = iq.computed(iq.Summation("orders", "total"), sa.Numeric(12, 2))
    spent_at_all: Mapped[float | None] = iq.computed(iq.Average("orders", "total", empty=None))
    all_paid: Mapped[bool] = iq.computed(iq.Every("orders", expression={"status": "paid"}, not_empty=True))
    any_paid: Mapped[bool] = iq.computed(iq.Any("orders", expression=iq.MatchExp.atom("status", ("=", "paid"))))


class Order(Base):
    __tablename__ = "order"
    __table_args__ = (sa.UniqueConstraint("customer_id", "price", info={"violation_code": "ORDER_TWICE"}),)

    id: Mapped[int] = mapped_column(primary_key=True)
    customer_id: Mapped[int] = mapped_column(sa.ForeignKey("customer.id", ondelete="CASCADE"))
    customer: Mapped[Customer] = relationship(back_populates="orders")
    status: Mapped[str] = mapped_column(default="open")
    price: Mapped[Decimal]
    quantity: Mapped[int]
    total: Mapped[Decimal] = iq.computed(lambda order: order.price * order.quantity)
    label: Mapped[str] = mapped_column(iq.SameRow[str](lambda order: order.status.upper()))


class Plain(MappedAsDataclass, DeclarativeBase):
    pass


class Team(Plain):
    __tablename__ = "team"

    id: Mapped[int] = mapped_column(primary_key=True, init=False)
    size: Mapped[int] = mapped_column(iq.Count("members"), init=False)
    name: Mapped[str]


pending, paid = iq.StateNode("pending"), iq.StateNode("paid")
machine = iq.StateMachine(states=[pending, paid], initial_state=pending, transfers=[])


class Claim(Base):
    __tablename__ = "claim"

    id: Mapped[int] = mapped_column(primary_key=True)
    status: Mapped[str] = iq.computed(machine)


class Refund(Base):
    __tablename__ = "refund"
    __computation__ = iq.Transform(Claim, lambda claim: {"claim_id": claim.id})

    id: Mapped[int] = mapped_column(primary_key=True)
    claim_id: Mapped[int]


core_table = sa.Table("core", sa.MetaData(), sa.Column("n", sa.Integer, iq.Count("items")))

assert_type(Team(name="a").size, int)
assert_type(Customer().spent_at_all, float | None)
assert_type(iq.computed(iq.Count("orders")), MappedColumn[int])
assert_type(iq.computed(iq.Every("orders", expression={"a": 1})), MappedColumn[bool])


def by_row(row: Any) -> str:
    return str(row.name)


assert_type(iq.computed(by_row), MappedColumn[str])
assert_type(iq.Count("orders", where={"status": ("in", ["open", None])}), iq.Count)

# -- systems ----------------------------------------------------------------------------------------------------------

SessionLocal = sessionmaker()
system = iq.System(SessionLocal, base=Base)
system.attach(scoped_session(SessionLocal))
system.detach(Session)


def main(engine: sa.Engine) -> None:
    SessionLocal.configure(bind=engine)
    with SessionLocal.begin() as session:
        customer = Customer(orders=[Order(price=Decimal(3), quantity=2)])
        session.add(customer)
        session.flush()
        assert_type(customer.spent, Decimal)
        assert_type(session.scalars(sa.select(Customer.order_count)).all(), Sequence[int])
    report = system.check(Customer, property="spent", keys=[1])
    assert_type(report, iq.CheckReport)
    assert_type([(d.record, d.property) for d in report.differences], list[tuple[str, str]])
    assert_type(report.ok and system.repair("Customer").ok, bool)


def close_all(session: Session) -> int:
    return len(session.scalars(sa.update(Order).values(status="closed").returning(Order.id)).all())


assert_type(iq.run_with_transaction_retry(sessionmaker[Session](), close_all), int)

# -- definitions ------------------------------------------------------------------------------------------------------

Ticket = iq.Entity("Ticket", [iq.Property("open", bool, default=True), iq.Property("tags", str, collection=True)])
TicketOf = iq.Relation(
    source=Ticket, source_property="customer", target=Customer, target_property="tickets", type="n:1"
)
OpenTickets = iq.Dictionary("open_tickets", int, computation=iq.Count(Ticket, where={"open": True}))
schema = iq.compile_schema(Base, entities=[Ticket], relations=[TicketOf], dictionaries=[OpenTickets])
assert_type(schema, iq.Schema)
TicketModel = schema.mapped_class(Ticket)

# -- dispatching ------------------------------------------------------------------------------------------------------


def is_owner(ctx: iq.DispatchContext, args: iq.Args) -> bool:
    found = ctx.storage.find_one("Order", {"id": args["payload"]["order"]["id"]}, attribute_query=["customer_id"])
    assert_type(found, dict[str, Any] | None)
    return found is not None and bool(ctx.attempt)


Pay = iq.Interaction(
    "Pay",
    action=iq.Action("pay"),
    payload=iq.Payload([iq.PayloadItem("order", base=Order, is_ref=True, required=True)]),
    conditions=iq.Condition("is_owner", is_owner),
)
mail = iq.RecordMutationSideEffect("mail", Refund, lambda _, event: str(event.record["claim_id"]))
ship = iq.EventSource("ship", Claim, map_event_data=lambda _, args: {"order_id": args["order_id"]})
controller = iq.Controller(system, event_sources=[Pay, ship], record_mutation_side_effects=[mail], raise_errors=True)


def pay(session: Session) -> int:
    controller.setup(install=True)
    result = controller.dispatch(Pay, {"user": {"id": 1}}, session=session).raise_for_error()
    assert_type(result, iq.DispatchResult)
    if result.error is not None:
        violation = iq.find_constraint_violation_error(result.error)
        assert_type(violation, iq.ConstraintViolationError | None)
        return 409 if violation is not None and violation.code == "ORDER_TWICE" else 403
    assert_type(result.ok, bool)
    assert_type([event.record_name for event in result.effects], list[str])
    return 200


# -- the same in asynchronous programs --------------------------------------------------------------------------------

Sessions = async_sessionmaker(create_async_engine("postgresql+asyncpg://"), expire_on_commit=False)
async_system = iq.AsyncSystem(Sessions, base=schema)
async_controller = iq.AsyncController(async_system, event_sources=[Pay])


async def is_present(ctx: iq.AsyncDispatchContext, args: iq.Args) -> bool:
    return await ctx.storage.find_one("Order", {"id": args["id"]}) is not None


async def pay_async(session: AsyncSession) -> None:
    await async_controller.setup(install=True)
    result = await async_controller.dispatch("Pay", {"user": {"id": 1}}, session=session)
    assert_type(result, iq.DispatchResult)
    assert_type(await async_system.check(), iq.CheckReport)
    found = await async_system.storage.with_session(session).find_one(Ticket, {"open": True})
    assert_type(found, dict[str, Any] | None)


async def count_async(session: AsyncSession) -> int:
    return len((await session.scalars(sa.select(Order.id))).all())


async def retried() -> None:
    assert_type(await iq.run_with_transaction_retry(Sessions, count_async), int)


# -- columns of other declarations ------------------------------------------------------------------------------------

goods = sa.Table(
    "goods", sa.MetaData(), sa.Column("n", sa.Integer), sa.Column("m", sa.Integer, iq.SameRow(lambda row: row.n))
)
assert_type(iq.computed_names(Customer), tuple[str, ...])
assert_type(iq.computed_names(goods), tuple[str, ...])
