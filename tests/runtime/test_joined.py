"""A dispatch in the caller's session: a savepoint of the caller's transaction."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, scoped_session

from interaqt_sa.definitions.event_source import RecordMutationSideEffect
from interaqt_sa.errors import ConstraintViolationError, NestedDispatchError, TransactionCapabilityError
from interaqt_sa.runtime.controller import Controller
from interaqt_sa.session.state import SessionState
from tests.runtime.models import Customer, Order, PlaceOrder
from tests.runtime.test_dispatch import APPLIED, ARGS, NOTHING, Refused, conflict, failing, source, stored

Make = Callable[..., Controller]


@pytest.fixture
def trace() -> list[str]:
    return []


@pytest.fixture
def controller(make: Make, trace: list[str]) -> Controller:
    return make(
        source(post_commit=lambda *_: trace.append("post_commit") or {"after": True}),
        record_mutation_side_effects=[RecordMutationSideEffect("mail", PlaceOrder, lambda *_: trace.append("mail"))],
    )


def test_the_caller_commits(controller: Controller, trace: list[str]) -> None:
    with controller.system.session_factory() as session:
        result = controller.dispatch("place", ARGS, session=session)
        assert result.ok
        assert {"PlaceOrder", "Order"} <= {event.record_name for event in result.effects}
        assert session.in_transaction()
        assert session.get_one(Customer, 1).spent == 5
        assert (trace, result.side_effects, result.context) == ([], {}, {})
        session.commit()
        assert trace == ["post_commit", "mail"]
        assert (result.side_effects["mail"].ok, result.context) == (True, {"after": True})
        session.get_one(Customer, 1)
        session.commit()
    assert trace == ["post_commit", "mail"]
    assert stored(controller) == APPLIED


def test_a_rollback_of_the_caller_drops_everything(controller: Controller, trace: list[str]) -> None:
    with controller.system.session_factory() as session:
        assert controller.dispatch("place", ARGS, session=session).ok
        session.rollback()
        session.get_one(Customer, 1)
        session.commit()
    assert trace == []
    assert stored(controller) == NOTHING


def test_a_savepoint_of_the_caller_that_is_rolled_back(controller: Controller, trace: list[str]) -> None:
    with controller.system.session_factory() as session:
        savepoint = session.begin_nested()
        assert controller.dispatch("place", ARGS, session=session).ok
        savepoint.rollback()
        assert controller.dispatch("place", {**ARGS, "total": 6}, session=session).ok
        session.commit()
    assert trace == ["post_commit", "mail"]
    assert stored(controller) == (1, 1, 1, 6)


def test_effects_are_those_of_the_dispatch(controller: Controller) -> None:
    with controller.system.session_factory() as session:
        session.add(Customer(id=2))
        session.flush()
        first = controller.dispatch("place", ARGS, session=session)
        session.add(Customer(id=3))
        second = controller.dispatch("place", {**ARGS, "total": 6}, session=session)
        session.commit()
    for result, total in ((first, 5), (second, 6)):
        created = [event for event in result.effects if event.type == "create"]
        assert {event.record_name for event in created} == {"PlaceOrder", "Order"}
        assert {event.record["total"] for event in created} == {total}


def test_a_failure_leaves_the_rest_of_the_transaction(make: Make) -> None:
    controller = make(source(after_dispatch=failing([Refused("no")])))
    with controller.system.session_factory() as session:
        session.add(Customer(id=2))
        result = controller.dispatch("place", ARGS, session=session)
        assert isinstance(result.error, Refused)
        session.commit()
        assert session.get(Customer, 2) is not None
    assert stored(controller) == NOTHING


def test_faults_of_programs_are_raised_and_undone(make: Make) -> None:
    controller = make(source(after_dispatch=failing([KeyError("k")])))
    with controller.system.session_factory() as session:
        session.add(Customer(id=2))
        with pytest.raises(KeyError):
            controller.dispatch("place", ARGS, session=session)
        session.commit()
        assert session.get(Customer, 2) is not None
    assert stored(controller) == NOTHING


def test_duplicates(controller: Controller) -> None:
    controller.dispatch("place", ARGS).raise_for_error()
    with controller.system.session_factory.begin() as session:
        session.add(Customer(id=2))
        result = controller.dispatch("place", ARGS, session=session)
        assert isinstance(result.error, ConstraintViolationError)
        assert result.error.code == "ORDER_TWICE"
    assert stored(controller) == APPLIED


def test_errors_of_the_caller_stay_the_callers(controller: Controller) -> None:
    with controller.system.session_factory() as session:
        session.add_all([Order(customer_id=1, total=1), Order(customer_id=1, total=1)])
        with pytest.raises(IntegrityError):
            controller.dispatch("place", ARGS, session=session)


def test_it_is_tried_once(make: Make) -> None:
    controller = make(source(resolve=failing([conflict()])))
    with controller.system.session_factory() as session:
        result = controller.dispatch("place", ARGS, session=session)
    assert (result.attempts, result.ok) == (1, False)


def test_nested(make: Make) -> None:
    def nested(ctx: Any, *_: Any) -> Any:
        return ctx.controller.dispatch("place", {**ARGS, "total": 6}, session=ctx.session)

    controller = make(source(resolve=nested))
    with controller.system.session_factory() as session:
        assert isinstance(controller.dispatch("place", ARGS, session=session).error, NestedDispatchError)
        session.commit()
    assert stored(controller) == NOTHING


@pytest.mark.parametrize("end", [Session.commit, Session.rollback])
def test_its_functions_must_not_end_the_callers_transaction(make: Make, end: Callable[[Session], None]) -> None:
    controller = make(source(resolve=lambda ctx, _: end(ctx.session)))
    with controller.system.session_factory() as session:
        session.add(Customer(id=2))
        result = controller.dispatch("place", ARGS, session=session)
        assert isinstance(result.error, TransactionCapabilityError)
        session.rollback()
    assert stored(controller) == NOTHING
    with controller.system.session_factory() as session:
        assert session.get(Customer, 2) is None


def test_the_session_is_left_as_it_was(controller: Controller) -> None:
    with controller.system.session_factory() as session:
        controller.dispatch("place", ARGS, session=session)
        state = SessionState.of(session)
        assert (state.collect_events, state.context) == (False, None)
        session.commit()  # not refused


def test_work_after_the_commit_may_dispatch(make: Make) -> None:
    def post_commit(ctx: Any, args: Any, *_: Any) -> None:
        if args["total"] == 5:
            ctx.controller.dispatch("place", {**ARGS, "total": 6}).raise_for_error()

    controller = make(source(post_commit=post_commit))
    with controller.system.session_factory.begin() as session:
        result = controller.dispatch("place", ARGS, session=session)
    assert result.side_effects == {}
    assert stored(controller) == (2, 2, 2, 11)


def test_scoped_sessions(controller: Controller, trace: list[str]) -> None:
    scoped = scoped_session(controller.system.session_factory)
    controller.dispatch("place", ARGS, session=scoped).raise_for_error()
    scoped.commit()
    scoped.remove()
    assert trace == ["post_commit", "mail"]
    assert stored(controller) == APPLIED


def test_what_is_no_session(controller: Controller) -> None:
    with pytest.raises(TypeError, match="takes a Session"):
        controller.dispatch("place", ARGS, session=object())  # type: ignore[arg-type]


def test_isolation_of_the_caller(controller: Controller) -> None:
    with controller.system.session_factory() as session:
        session.connection(execution_options={"isolation_level": "SERIALIZABLE"})
        assert controller.dispatch("place", ARGS, session=session).isolation == "SERIALIZABLE"
