"""A storage call in a transaction of the application that fails on its way leaves nothing of itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import Engine, select

import interaqt_sa as iq
from tests.support.statements import count_statements


def _positive(user: Any) -> int:
    if user.age is not None and user.age < 0:
        raise ValueError("negative")
    return 0 if user.age is None else user.age * 2


@pytest.fixture
def system(engine: Engine) -> iq.System:
    """Return users 1 and 2 with pages and groups of the same keys, all with values that follow."""
    user = iq.Entity(
        "User",
        [
            iq.Property("name", str),
            iq.Property("age", int),
            iq.Property("doubled", int, computed=_positive),
            iq.Property("groupCount", int, computation=iq.Count("groups")),
            iq.Property("followerCount", int, computation=iq.Count("followers")),
        ],
    )
    page = iq.Entity("Page", [iq.Property("title", str)])
    group = iq.Entity(
        "Group", [iq.Property("name", str), iq.Property("ages", int, computation=iq.Summation("members", "age"))]
    )
    relations = [
        iq.Relation(source=user, source_property="page", target=page, target_property="user", type="1:1"),
        iq.Relation(source=user, source_property="leader", target=user, target_property="followers", type="n:1"),
        iq.Relation(
            name="Membership",
            source=user,
            source_property="groups",
            target=group,
            target_property="members",
            type="n:n",
            properties=[iq.Property("role", str)],
        ),
    ]
    system = iq.System(engine)
    iq.Controller(system, entities=[user, page, group], relations=relations).setup(install=True)
    storage = system.storage
    for n in (1, 2):
        storage.create(
            "User", {"id": n, "age": n, "page": {"title": f"p{n}"}, "groups": [{"name": f"g{n}"}] if n == 1 else []}
        )
    storage.update("User", {"id": 2}, {"leader": {"id": 1}})
    return system


def tables(system: iq.System) -> dict[str, list[tuple[Any, ...]]]:
    assert system.check().ok
    with system.session_factory() as session:
        return {
            table.name: sorted(map(tuple, session.connection().execute(select(table))))
            for table in system.schema.metadata.sorted_tables
        }


FAILING: dict[str, Callable[[iq.Storage], Any]] = {
    "a neighbour that is not there, after a relation was ended": lambda s: s.create(
        "User", {"page": {"id": 1}, "groups": [{"id": 999}]}
    ),
    "a neighbour that is not there, after one was made": lambda s: s.create(
        "User", {"page": {"title": "new"}, "groups": [{"name": "new"}, {"id": 999}]}
    ),
    "links that were taken away": lambda s: s.update("User", {"id": 1}, {"groups": [{"id": 999}]}),
    "the second of several": lambda s: s.update(
        "User", lambda cls: cls.id > 0, {"age": 9, "groups": [{"id": 1}, {"name": "x", "members": [{"id": 999}]}]}
    ),
    "an attribute that there is not, nested": lambda s: s.update(
        "User", {"id": 1}, {"age": 7, "page": {"title": "t", "nonsense": 1}}
    ),
}


@pytest.mark.parametrize("what", FAILING)
@pytest.mark.parametrize("has_more", [False, True])
def test_what_is_caught_can_be_committed(system: iq.System, what: str, has_more: bool) -> None:
    before = tables(system)
    with system.session_factory() as session:
        storage = system.storage.with_session(session)
        if has_more:  # what the transaction has done before stays
            storage.update("User", {"id": 2}, {"age": 40})
        with pytest.raises((iq.FrameworkError, iq.ConstraintViolationError)):
            FAILING[what](storage)
        if has_more:
            storage.update("User", {"id": 2}, {"age": 2})
        session.commit()
    assert tables(system) == before


def test_what_is_loaded_is_as_it_was(system: iq.System) -> None:
    user = system.schema.mapped_class("User")
    with system.session_factory() as session:
        storage = system.storage.with_session(session)
        first: Any = session.get_one(user, 1)
        first.name = "assigned before"
        with pytest.raises(iq.FrameworkError):
            FAILING["links that were taken away"](storage)
        assert (first.name, first.age, first.groupCount) == ("assigned before", 1, 1)
        session.commit()
        assert first.name == "assigned before"


def test_a_flush_that_fails_ends_the_transaction(system: iq.System) -> None:
    before = tables(system)
    with system.session_factory() as session:
        storage = system.storage.with_session(session)
        storage.create("Group", {"name": "before"})
        with pytest.raises(iq.ComputationError):
            storage.update("User", {"id": 1}, {"age": -1})
        assert not session.is_active
        session.rollback()
        with pytest.raises(iq.ConstraintViolationError):
            storage.add_relation("Membership", 1, 999)
        assert not session.is_active
        session.rollback()
    assert tables(system) == before


def test_one_flush_costs_no_savepoint(system: iq.System) -> None:
    with system.session_factory() as session:
        storage = system.storage.with_session(session)
        session.connection()
        bind: Any = session.get_bind()
        with count_statements(bind) as statements:
            storage.create("User", {"name": "x", "age": 1, "groups": [{"id": 1}]})
            storage.update("User", {"id": 1}, {"age": 6})
            storage.delete("User", {"id": 2})
        assert not [statement for statement in statements if "sa_savepoint" in statement]
