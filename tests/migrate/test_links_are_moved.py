"""A relation that is stored in another way keeps its links, forth and back."""

from __future__ import annotations

from typing import Any

import pytest
from alembic.util import CommandError
from sqlalchemy import MetaData, create_engine, select
from sqlalchemy.orm import Session
from sqlalchemy.pool import NullPool

import interaqt_sa as iq
from tests.migrate.environment import Environment

CHANGES = [
    ("1:n", "n:n"),
    ("n:n", "1:n"),
    ("1:n", "1:1"),
    ("1:1", "1:n"),
    ("1:n", "n:1"),
    ("n:1", "n:n"),
    ("n:n", "1:1"),
    ("1:1", "n:1"),
    ("1:n", "1:n with properties"),
    ("1:n with properties", "n:1"),
]


def related(kind: str, *, is_self: bool = False, target_property: str = "alpha") -> iq.Schema:
    type_, _, more = kind.partition(" ")
    alpha = (
        iq.Entity("Alpha", [iq.Property("name", str), iq.Property("n", int, computation=iq.Count("order"))])
        if (type_[-1] == "n")
        else iq.Entity("Alpha", [iq.Property("name", str)])
    )
    beta = alpha if is_self else iq.Entity("Beta", [iq.Property("name", str)])
    relation = iq.Relation(
        name="AB",
        source=alpha,
        source_property="order",  # a word that has to be quoted
        target=beta,
        target_property=target_property,
        type=type_,  # type: ignore[arg-type]
        properties=[iq.Property("since", int)] if more else [],
    )
    return iq.compile_schema(MetaData(), entities=[alpha] if is_self else [alpha, beta], relations=[relation])


def links(environment: Environment, schema: iq.Schema) -> set[tuple[str, str]]:
    cls = schema.mapped_class("Alpha")
    with Session(environment.engine) as session:
        found: set[tuple[str, str]] = set()
        for alpha in session.scalars(select(cls)):
            related: Any = alpha.order
            many = related if isinstance(related, list) else [] if related is None else [related]
            found |= {(alpha.name, beta.name) for beta in many}
        return found


def connect(environment: Environment, schema: iq.Schema, pairs: list[tuple[str, str]], *, is_self: bool) -> None:
    # an engine of its own: what is done past the system is not heard there
    storage = iq.System(create_engine(environment.engine.url, poolclass=NullPool), base=schema).storage
    ids = {("Alpha", n): storage.create("Alpha", {"name": n})["id"] for n in ("a1", "a2", "a3")}
    target = "Alpha" if is_self else "Beta"
    ids |= {(target, n): storage.create(target, {"name": n})["id"] for n in ("b1", "b2", "b3")}
    for alpha, beta in pairs:
        storage.add_relation("AB", ids["Alpha", alpha], ids[target, beta])


@pytest.mark.parametrize(
    ("before", "after", "is_self"), [(*c, False) for c in CHANGES] + [(*c, True) for c in CHANGES[:5]]
)
def test_links_stay(environment: Environment, before: str, after: str, is_self: bool) -> None:
    pairs = [("a1", "b1"), ("a2", "b2")]
    first = related(before, is_self=is_self)
    environment.migrate(first)
    connect(environment, first, pairs, is_self=is_self)
    assert links(environment, first) == set(pairs)

    second = related(after, is_self=is_self)
    made = environment.migrate(second)

    assert links(environment, second) == set(pairs)
    assert iq.System(environment.engine, base=second, configure_sqlite=False).check()
    environment.downgrade(f"-{len(made)}")
    assert links(environment, related(before, is_self=is_self)) == set(pairs)
    environment.upgrade()
    assert links(environment, second) == set(pairs)
    environment.check()


def test_links_that_do_not_fit_stop_the_revision(environment: Environment) -> None:
    first = related("n:n")
    environment.migrate(first)
    connect(environment, first, [("a1", "b1"), ("a2", "b1")], is_self=False)
    environment.use(related("1:n"))
    environment.revision()
    with pytest.raises(iq.ConstraintSetupError, match=r"relation AB \(1:n\)") as caught:
        environment.upgrade()
    assert [row["target_id"] for row in caught.value.rows] == [1, 1]
    assert links(environment, first) == {("a1", "b1"), ("a2", "b1")}

    environment.run("DELETE FROM ab WHERE source_id = 2")
    environment.upgrade()
    assert links(environment, related("1:n")) == {("a1", "b1")}


def test_the_old_place_is_dropped_after_the_links_are_moved(environment: Environment) -> None:
    first = related("1:n")
    environment.migrate(first)
    connect(environment, first, [("a1", "b1")], is_self=False)
    second = related("n:n")
    environment.use(second)
    sources = environment.revision("allow-drop")
    assert sources[0].index("op.interaqt_move_links('AB'") < sources[0].index("drop_column")
    environment.upgrade()
    assert links(environment, second) == {("a1", "b1")}
    environment.check()


def test_links_of_a_renamed_end_are_not_left_behind(environment: Environment) -> None:
    environment.migrate(related("1:n").metadata)
    environment.use(related("n:n", target_property="owners").metadata)
    with pytest.raises(CommandError, match=r"'AB' gets a table for its links, and beta\.alpha_id.* -x approve=AB"):
        environment.revision()
    # in two steps
    environment.migrate(related("n:n").metadata)
    environment.migrate(related("n:n", target_property="owners").metadata)


def test_links_that_are_approved_to_stay(sqlite_environment: Environment) -> None:
    environment = sqlite_environment
    environment.migrate(related("1:n").metadata)
    environment.use(related("n:n", target_property="owners").metadata)
    assert environment.revision("approve=AB")
