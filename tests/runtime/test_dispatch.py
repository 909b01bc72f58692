"""The course of a dispatch: order, failures, attempts, what is kept and what is raised."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import Engine, func, select
from sqlalchemy.exc import DBAPIError

from interaqt_sa.definitions.aggregates import Count
from interaqt_sa.definitions.event_source import EventSource, RecordMutationSideEffect
from interaqt_sa.definitions.records import Entity, Property
from interaqt_sa.errors import (
    ComputationProtocolError,
    ConstraintViolationError,
    DefinitionError,
    FrameworkError,
    InteractionGuardError,
    NestedDispatchError,
    RequireSerializableRetry,
    SideEffectError,
    TransactionCapabilityError,
    TransactionRetryExhaustedError,
)
from interaqt_sa.runtime.controller import Controller
from interaqt_sa.runtime.result import POST_COMMIT
from interaqt_sa.runtime.system import System
from interaqt_sa.session.violations import find_constraint_violation_error
from tests.runtime.models import Customer, Order, PlaceOrder
from tests.session.test_database_errors import FakeDriverError
from tests.support.statements import count_statements

ARGS = {"customer": 1, "total": 5}
STAGES = ("guard", "map_event_data", "resolve", "after_dispatch")


class Refused(FrameworkError):
    """Raised by tests."""


def source(**hooks: Any) -> EventSource:
    def event_data(ctx: Any, args: Any) -> dict[str, Any]:
        return {"customer_id": args["customer"], "total": args["total"]}

    return EventSource("place", PlaceOrder, **{"map_event_data": event_data, **hooks})


def stored(controller: Controller) -> tuple[int, ...]:
    """Return the numbers of events and orders, and what the customer's aggregates say."""
    with controller.system.session_factory() as session:
        counts = [session.scalar(select(func.count()).select_from(cls)) or 0 for cls in (PlaceOrder, Order)]
        customer = session.get_one(Customer, 1)
        return *counts, customer.order_count, customer.spent


APPLIED, NOTHING = (1, 1, 1, 5), (0, 0, 0, 0)
Make = Callable[..., Controller]


def test_the_order_of_all_stages(make: Make) -> None:
    trace: list[str] = []

    def see(ctx: Any, name: str) -> None:
        orders = ctx.session.scalar(select(func.count()).select_from(Order))
        trace.append(f"{name}: {orders} orders, running {ctx.is_running}")

    def map_event_data(ctx: Any, args: Any) -> dict[str, Any]:
        see(ctx, "map_event_data")
        return {"customer_id": args["customer"], "total": args["total"]}

    controller = make(
        EventSource(
            "place",
            PlaceOrder,
            guard=lambda ctx, *_: see(ctx, "guard"),
            map_event_data=map_event_data,
            resolve=lambda ctx, *_: see(ctx, "resolve") or "data",
            after_dispatch=lambda ctx, __, data: see(ctx, f"after_dispatch {data}") or {"a": 1},
            post_commit=lambda ctx, __, data, context: see(ctx, f"post_commit {data} {context}") or {"b": 2},
        ),
        record_mutation_side_effects=[
            RecordMutationSideEffect("mail", Order, lambda ctx, event: see(ctx, f"mail {event.record['total']}") or 7)
        ],
    )
    result = controller.dispatch("place", ARGS)
    assert trace == [
        "guard: 0 orders, running True",
        "map_event_data: 0 orders, running True",
        "resolve: 1 orders, running True",
        "after_dispatch data: 1 orders, running True",
        "post_commit data {'a': 1}: 1 orders, running False",
        "mail 5: 1 orders, running False",
    ]
    assert stored(controller) == APPLIED
    assert (result.ok, result.data, result.error, result.outcome) == (True, "data", None, "applied")
    assert result.context == {"a": 1, "b": 2}
    assert (result.attempts, result.isolation) == (1, "READ COMMITTED")
    assert {name: outcome.result for name, outcome in result.side_effects.items()} == {"mail": 7}
    assert result.raise_for_error() is result
    made = {(event.type, event.record_name) for event in result.effects}
    assert {("create", "PlaceOrder"), ("create", "Order")} <= made


@pytest.mark.parametrize("stage", STAGES)
def test_a_failure_in_any_stage_leaves_nothing(make: Make, stage: str) -> None:
    error = Refused("no")
    after: list[str] = []

    def fail(*_: Any) -> None:
        raise error

    controller = make(
        source(**{stage: fail, "post_commit": lambda *_: after.append("post_commit")}),
        record_mutation_side_effects=[RecordMutationSideEffect("x", Order, lambda *_: after.append("x"))],
    )
    result = controller.dispatch("place", ARGS)
    assert stored(controller) == NOTHING
    assert (result.ok, result.error, result.outcome) == (False, error, "failed")
    assert (result.effects, result.side_effects, result.context, after) == ((), {}, {}, [])
    with pytest.raises(Refused) as caught:
        _ = result.data
    assert caught.value is error
    with pytest.raises(Refused):
        result.raise_for_error()


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("error", [TypeError("t"), KeyError("k"), KeyboardInterrupt()])
def test_faults_of_programs_are_raised(make: Make, stage: str, error: BaseException) -> None:
    def fail(*_: Any) -> None:
        raise error

    controller = make(source(**{stage: fail}))
    with pytest.raises(type(error)) as caught:
        controller.dispatch("place", ARGS)
    assert caught.value is error
    assert stored(controller) == NOTHING


def test_a_failure_at_the_commit_leaves_nothing(make: Make) -> None:
    def add_bad_order(ctx: Any, args: Any, data: Any) -> None:
        ctx.session.add(Order(customer_id=1, total=5))  # the same as the event's own: found by the last flush

    controller = make(source(after_dispatch=add_bad_order))
    result = controller.dispatch("place", ARGS)
    assert isinstance(result.error, ConstraintViolationError)
    assert stored(controller) == NOTHING


def test_errors_can_be_raised(make: Make) -> None:
    error = Refused("no")
    cause = ValueError("why")

    def fail(*_: Any) -> None:
        raise error from cause

    controller = make(source(guard=fail), raise_errors=True)
    with pytest.raises(Refused) as caught:
        controller.dispatch("place", ARGS)
    assert caught.value is error
    assert error.__cause__ is cause


def test_a_guard_may_answer_false(make: Make) -> None:
    controller = make(source(guard=lambda _, args: args["total"] < 3))
    result = controller.dispatch("place", ARGS)
    assert isinstance(result.error, InteractionGuardError)
    assert result.error.check == "guard"
    assert controller.dispatch("place", {**ARGS, "total": 2}).ok


def test_guards_can_be_ignored(make: Make) -> None:
    controller = make(source(guard=lambda *_: False), ignore_guard=True)
    assert controller.dispatch("place", ARGS).ok


def test_duplicates_deep_in_a_cascade(make: Make) -> None:
    controller = make(source())
    controller.dispatch("place", ARGS).raise_for_error()
    result = controller.dispatch("place", ARGS)
    assert result.error is not None
    violation = find_constraint_violation_error(result.error)
    assert violation is not None
    assert (violation.code, violation.constraint) == ("ORDER_TWICE", "uq_order")
    assert (violation.record, violation.properties) == ("Order", ("customer_id", "total"))
    assert stored(controller) == APPLIED


def failing(errors: list[Exception]) -> Callable[..., None]:
    """Return a hook that raises one of `errors` after the other, and then no more."""

    def hook(*_: Any) -> None:
        if errors:
            raise errors.pop(0)

    return hook


def conflict() -> DBAPIError:
    return DBAPIError("UPDATE t", {}, FakeDriverError("40001"))


def test_conflicts_are_repeated(make: Make) -> None:
    after: list[Any] = []
    controller = make(
        source(
            after_dispatch=failing([conflict(), conflict()]),
            post_commit=lambda ctx, *_: after.append(ctx.attempt),
        ),
        record_mutation_side_effects=[
            RecordMutationSideEffect("mail", Order, lambda _, event: after.append(event.record["total"]))
        ],
    )
    result = controller.dispatch("place", ARGS)
    assert result.attempts == 3
    assert [event.record_name for event in result.effects].count("Order") == 1
    assert after == [3, 5]
    assert stored(controller) == APPLIED


def test_conflicts_without_end(make: Make) -> None:
    errors: list[Exception] = [conflict() for _ in range(9)]
    controller = make(source(resolve=failing(errors)))
    result = controller.dispatch("place", ARGS)
    assert isinstance(result.error, TransactionRetryExhaustedError)
    assert isinstance(result.error.__cause__, DBAPIError)
    assert (result.attempts, result.error.attempts, len(errors)) == (5, 5, 4)
    assert stored(controller) == NOTHING


def test_other_errors_are_not_repeated(make: Make) -> None:
    controller = make(source(resolve=failing([Refused(), Refused()])))
    result = controller.dispatch("place", ARGS)
    assert (result.attempts, type(result.error)) == (1, Refused)


def test_promotion_is_remembered(make: Make, engine: Engine) -> None:
    levels: list[str] = []

    def resolve(ctx: Any, args: Any) -> None:
        levels.append(ctx.isolation)
        if ctx.isolation != "SERIALIZABLE":
            raise Refused from RequireSerializableRetry("needs it")
        if engine.dialect.name == "postgresql":
            assert ctx.session.connection().get_isolation_level() == "SERIALIZABLE"

    controller = make(source(resolve=resolve))
    result = controller.dispatch("place", ARGS)
    assert (result.ok, result.attempts, result.isolation) == (True, 2, "SERIALIZABLE")
    result = controller.dispatch("place", {**ARGS, "total": 6})
    assert (result.ok, result.attempts, result.isolation) == (True, 1, "SERIALIZABLE")
    assert levels == ["READ COMMITTED", "SERIALIZABLE", "SERIALIZABLE"]
    with controller.system.session_factory() as session:
        level = session.connection().get_isolation_level()
    assert level == ("READ COMMITTED" if engine.dialect.name == "postgresql" else "SERIALIZABLE")


def test_a_transaction_inside_that_needs_more_promotes(make: Make, engine: Engine) -> None:
    levels: list[str] = []

    def inner(storage: Any) -> None:
        levels.append(storage.read(lambda session: session.connection().get_isolation_level()))

    def resolve(ctx: Any, args: Any) -> None:
        ctx.storage.run_in_transaction(inner, isolation="SERIALIZABLE")

    controller = make(source(resolve=resolve))
    result = controller.dispatch("place", ARGS)
    is_postgresql = engine.dialect.name == "postgresql"
    assert (result.ok, result.attempts, levels) == (True, 2 if is_postgresql else 1, ["SERIALIZABLE"])
    assert result.isolation == ("SERIALIZABLE" if is_postgresql else "READ COMMITTED")
    with controller.system.session_factory.begin() as session:
        joined = controller.dispatch("place", {**ARGS, "total": 6}, session=session)
        assert isinstance(joined.error, RequireSerializableRetry) == is_postgresql


def test_each_attempt_has_fresh_arguments(make: Make) -> None:
    seen: list[Any] = []
    errors = [conflict()]

    def guard(ctx: Any, args: Any) -> None:
        seen.append(args["nested"]["list"][:])
        args["nested"]["list"].append("changed")
        args["total"] += 1
        if errors:
            raise errors.pop()

    args = {**ARGS, "nested": {"list": [1]}}
    controller = make(source(guard=guard, post_commit=lambda _, args, *__: seen.append(args["total"])))
    assert controller.dispatch("place", args).ok
    assert seen == [[1], [1], 6]
    assert args == {**ARGS, "nested": {"list": [1]}}


def test_failures_after_the_commit_change_nothing(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    def fail(*_: Any) -> None:
        raise ValueError("boom")

    seen: list[str] = []
    controller = make(
        source(post_commit=fail, after_dispatch=lambda *_: {"kept": 1}),
        record_mutation_side_effects=[
            RecordMutationSideEffect("bad", Order, fail),
            RecordMutationSideEffect("good", "Order", lambda _, event: seen.append(event.type)),
            RecordMutationSideEffect("other", Customer, lambda _, event: seen.append("never") or event.type),
        ],
    )
    result = controller.dispatch("place", ARGS)
    assert (result.ok, result.context) == (True, {"kept": 1})
    for name in (POST_COMMIT, "bad"):
        error = result.side_effects[name].error
        assert isinstance(error, SideEffectError)
        assert isinstance(error.__cause__, ValueError)
    assert result.side_effects["good"].ok
    assert "create" in seen
    assert "boom" in caplog.text
    assert stored(controller) == APPLIED


def test_several_events_of_one_side_effect(make: Make) -> None:
    calls: list[int] = []

    def content(ctx: Any, event: Any) -> int:
        calls.append(event.record["total"])
        if event.record["total"] == 8:
            raise ValueError("boom")
        return event.record["total"]

    def more(ctx: Any, args: Any) -> None:
        ctx.session.add_all([Order(customer_id=1, total=8), Order(customer_id=1, total=9)])

    controller = make(
        source(resolve=more), record_mutation_side_effects=[RecordMutationSideEffect("each", Order, content)]
    )
    result = controller.dispatch("place", ARGS)
    assert sorted(calls) == [5, 8, 9]
    assert not result.side_effects["each"].ok


def test_work_after_the_commit_has_a_session_of_its_own(make: Make) -> None:
    def post_commit(ctx: Any, args: Any, data: Any, context: Any) -> None:
        assert not ctx.session.in_transaction()
        ctx.session.add(Customer(id=2))
        ctx.session.commit()

    controller = make(source(post_commit=post_commit))
    result = controller.dispatch("place", ARGS)
    assert result.side_effects == {}
    with controller.system.session_factory() as session:
        assert session.get(Customer, 2) is not None


@pytest.mark.parametrize("stage", STAGES)
def test_a_dispatch_inside_a_dispatch(make: Make, stage: str) -> None:
    def nested(ctx: Any, args: Any, data: Any = None) -> Any:
        return ctx.controller.dispatch("place", {**ARGS, "total": 6})

    controller = make(source(**{stage: nested}))
    result = controller.dispatch("place", ARGS)
    assert isinstance(result.error, NestedDispatchError)
    assert (result.error.context["outer"], result.error.context["nested"]) == ("place", "place")
    assert stored(controller) == NOTHING


def test_a_dispatch_after_a_dispatch(make: Make) -> None:
    def post_commit(ctx: Any, args: Any, data: Any, context: Any) -> Any:
        if args["total"] < 7:
            more = ctx.controller.dispatch("place", {**ARGS, "total": args["total"] + 1}).raise_for_error()
            return {"more": more.context.get("more", 0) + 1}
        return None

    controller = make(source(post_commit=post_commit))
    assert controller.dispatch("place", ARGS).context == {"more": 2}
    assert stored(controller) == (3, 3, 3, 5 + 6 + 7)


@pytest.mark.parametrize("stage", STAGES)
def test_a_commit_inside_a_dispatch(make: Make, stage: str) -> None:
    def commit(ctx: Any, args: Any, data: Any = None) -> dict[str, Any]:
        ctx.session.add(Order(customer_id=1, total=77))
        ctx.session.commit()
        return {}

    controller = make(source(**{stage: commit}))
    result = controller.dispatch("place", ARGS)
    assert isinstance(result.error, TransactionCapabilityError)
    assert stored(controller) == NOTHING


def test_a_rollback_inside_a_dispatch(make: Make) -> None:
    controller = make(source(resolve=lambda ctx, *_: ctx.session.rollback()))
    result = controller.dispatch("place", ARGS)
    assert isinstance(result.error, TransactionCapabilityError)
    assert stored(controller) == NOTHING


def test_savepoints_inside_a_dispatch(make: Make) -> None:
    def resolve(ctx: Any, args: Any) -> None:
        with ctx.session.begin_nested():
            ctx.session.add(Order(customer_id=1, total=6))
        savepoint = ctx.session.begin_nested()
        ctx.session.add(Order(customer_id=1, total=7))
        ctx.session.flush()
        savepoint.rollback()

    controller = make(source(resolve=resolve))
    result = controller.dispatch("place", ARGS)
    assert stored(controller) == (1, 2, 2, 11)
    assert sorted(e.record["total"] for e in result.effects if e.record_name == "Order") == [5, 6]


def test_results_of_hooks_are_checked(make: Make) -> None:
    with pytest.raises(TypeError, match="map_event_data of 'place'"):
        make(source(map_event_data=lambda *_: 3)).dispatch("place", ARGS)


def test_contexts_are_mappings(make: Make) -> None:
    controller = make(source(after_dispatch=lambda *_: 3))
    with pytest.raises(TypeError, match="after_dispatch of 'place'"):
        controller.dispatch("place", ARGS)
    assert stored(controller) == NOTHING


def test_awaitables_are_refused(make: Make) -> None:
    async def coroutine() -> None: ...

    result = make(source(resolve=lambda *_: coroutine())).dispatch("place", ARGS)
    assert isinstance(result.error, ComputationProtocolError)


def test_coroutine_functions_are_refused_at_construction(make: Make) -> None:
    async def hook(*_: Any) -> None: ...

    with pytest.raises(DefinitionError) as caught:
        make(
            source(guard=hook, post_commit=hook),
            record_mutation_side_effects=[RecordMutationSideEffect("mail", Order, hook)],
        )
    assert [str(fault).partition(" is ")[0] for fault in caught.value.exceptions] == [
        "guard of 'place'",
        "post_commit of 'place'",
        "content of side effect 'mail'",
    ]


def test_all_faults_of_a_controller_come_at_once(engine: Engine) -> None:
    async def hook(*_: Any) -> None: ...

    given: dict[str, Any] = {
        "event_sources": [EventSource("place", "Nope", guard=hook), EventSource("keep", Entity("Kept"))],
        "record_mutation_side_effects": [
            RecordMutationSideEffect("mail", "Nothing", print),
            RecordMutationSideEffect("file", "A", print),
            RecordMutationSideEffect("file", "Kept", print),
        ],
    }
    of_controller = [
        "side effect 'file' is given twice",
        "guard of 'place' is a coroutine function",
        "entity of 'place': there is no record 'Nope'",
        "side effect 'mail': there is no record 'Nothing'",
    ]
    for entity, fault in (
        (Entity("A", [Property("n", int, computation=Count("bs"))]), "A.n: 'bs' is not a relationship of A"),
        (Entity("A", [Property("n", "nothing")]), "A.n: there is no type 'nothing'"),
    ):
        with count_statements(engine) as statements, pytest.raises(DefinitionError) as caught:
            Controller(System(engine), entities=[entity], **given)
        assert statements == []
        for expected in (fault, *of_controller):
            assert sum(str(found).startswith(expected) for found in caught.value.exceptions) == 1, expected
        assert len(caught.value.exceptions) == 5


def test_names_are_unique(make: Make) -> None:
    with pytest.raises(DefinitionError, match="'place' is given twice"):
        make(source(), source())


def test_unknown_event_sources(make: Make) -> None:
    known = source()
    controller = make(known)
    assert controller.dispatch(known, ARGS).ok
    assert controller.call_interaction("place", {**ARGS, "total": 6}).ok
    with pytest.raises(LookupError, match="'other' is not an event source of this controller, which has place"):
        controller.dispatch("other", ARGS)
    with pytest.raises(LookupError):
        controller.dispatch(source(), ARGS)
    controller.teardown()
    with pytest.raises(LookupError):
        controller.dispatch(known, ARGS)
