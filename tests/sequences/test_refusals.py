"""Numbers cannot be written, scopes cannot change, and rows without a scope are refused: R-S8 to R-S11."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import Engine, ForeignKey, event, func, insert, select, text, update
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship

import interaqt_sa as iq
from tests.behaviours.numbers import behaviour
from tests.declarative.kept import Kept
from tests.sequences.invoices import Customer, Invoice, counters, numbers

Write = Callable[[Session], Any]


def _append(session: Session) -> None:
    bob = session.get_one(Customer, 2)
    bob.invoices.append(session.get_one(Invoice, 1))


@behaviour("R-S8")
@pytest.mark.parametrize(
    "write",
    [
        lambda session: session.add(Invoice(customer_id=1, number=7)),
        lambda session: session.add(Invoice(customer_id=1, draft=True, final=7)),
        lambda session: session.execute(insert(Invoice), [{"customer_id": 1, "number": 7}]),
        lambda session: session.execute(insert(Invoice).values(customer_id=1, number=7)),
        lambda session: setattr(session.get_one(Invoice, 1), "number", 7),
        lambda session: session.execute(update(Invoice).values(number=7)),
    ],
)
def test_numbers_cannot_be_written(invoices: Kept, write: Write) -> None:
    _one(invoices)
    with invoices.sessions() as session, pytest.raises(iq.ComputedWriteError, match="next number of its scope"):
        _run(write, session)


@behaviour("R-S8")
def test_the_value_of_a_row_without_a_number_may_be_given(invoices: Kept) -> None:
    with invoices.begin() as session:
        session.add(made := Invoice(customer_id=1, number=0, final=None))
        session.flush()
        assert (made.number, made.final) == (1, 1010)
        made.number = 1  # unchanged
    invoices.verify()


@behaviour("R-S9")
@pytest.mark.parametrize(
    "write",
    [
        lambda session: setattr(session.get_one(Invoice, 1), "customer_id", 2),
        lambda session: setattr(session.get_one(Invoice, 1), "customer", session.get_one(Customer, 2)),
        _append,
        lambda session: setattr(session.get_one(Invoice, 1), "region", "US"),
        lambda session: setattr(session.get_one(Invoice, 1), "year", None),
        lambda session: setattr(session.get_one(Invoice, 1), "region", func.lower("US")),
        lambda session: session.execute(update(Invoice).where(Invoice.id == 1).values(customer_id=2)),
        lambda session: session.execute(update(Invoice).values(region=func.lower(Invoice.region))),
        lambda session: session.execute(update(Invoice), [{"id": 1, "region": "US"}]),
    ],
)
def test_the_scope_of_a_numbered_row_cannot_change(invoices: Kept, write: Write) -> None:
    _one(invoices)
    with invoices.begin() as session:
        session.add_all([Invoice(customer_id=2), Invoice(customer_id=1, draft=True)])
    with invoices.sessions() as session:
        with pytest.raises(iq.ComputationProtocolError, match="number in its scope") as caught:
            _run(write, session)
        assert caught.value.property in {"number", "final"}
        session.rollback()
        assert numbers(session) == [1, 2]
    invoices.verify()


@behaviour("R-S9")
def test_what_is_not_the_scope_of_a_number_may_change(invoices: Kept) -> None:
    with invoices.begin() as session:
        session.add(draft := Invoice(customer_id=1, draft=True))
        session.flush()
        draft.region = "US"  # it has no final number
        session.flush()
        session.execute(update(Invoice).where(Invoice.id == draft.id).values(region="UK", customer_id=1))
        draft.draft = False  # it matches only now
        session.flush()
        assert (draft.number, draft.final, draft.region) == (1, None, "UK")
    invoices.verify()


@behaviour("R-S10")
def test_a_row_without_a_scope_is_refused(invoices: Kept) -> None:
    for write in (
        lambda session: session.execute(insert(Invoice), [{"customer_id": 1, "year": None}]),
        lambda session: session.execute(insert(Invoice), [{"customer_id": 1, "region": func.lower("EU")}]),
        lambda session: session.execute(insert(Invoice).values(customer_id=1, region=func.lower("EU"))),
    ):
        with invoices.sessions() as session, pytest.raises(iq.ComputationError, match="scope") as caught:
            write(session)
        assert (caught.value.record, caught.value.property) == ("Invoice", "final")
    with invoices.begin() as session:
        session.add(Invoice(customer_id=1, year=None, draft=True))  # it needs none
        session.flush()
    invoices.verify()


@behaviour("R-S11")
def test_inserts_whose_rows_are_not_known_are_refused(invoices: Kept) -> None:
    from interaqt_sa.dialects import dialect_class

    upsert: Any = dialect_class(invoices.engine.dialect).insert(Invoice).values(id=1, customer_id=1)
    many: Any = dialect_class(invoices.engine.dialect).insert(Invoice).values([{"customer_id": 1}, {"customer_id": 2}])
    for statement in (
        insert(Invoice).from_select(["customer_id"], select(Customer.id)),
        many.on_conflict_do_nothing(),
        upsert.on_conflict_do_update(index_elements=["id"], set_={"draft": True}),
    ):
        with invoices.sessions() as session, pytest.raises(iq.UnmanagedWriteError, match="select the"):
            session.execute(statement)
    with invoices.begin() as session:
        assert numbers(session) == []


@behaviour("R-S11")
def test_a_row_that_may_exist_takes_no_number_if_it_does(invoices: Kept) -> None:
    from interaqt_sa.dialects import dialect_class

    statement: Any = dialect_class(invoices.engine.dialect).insert(Invoice).on_conflict_do_nothing()
    with invoices.begin() as session:
        for id in (1, 1, 2, 1, 3):
            session.execute(statement.values(id=id, customer_id=1))
            session.execute(statement, {"id": id, "customer_id": 1})
        assert numbers(session) == [1, 2, 3]
        assert counters(session) == {("invoice", "[1]"): 3, ("final", '["EU",2026]'): 1030}
    invoices.verify()


@behaviour("R-S11")
def test_listeners_may_decide_the_scope(engine: Engine) -> None:
    class Base(DeclarativeBase):
        pass

    post, posts = _posts(Base)
    system = Kept(engine, Base)

    @event.listens_for(post, "before_insert")
    def set_tenant(mapper: Any, connection: Any, target: Any) -> None:
        target.tenant = "b" if target.body == "late" else target.tenant

    with system.begin() as session:
        made = [post(body="a"), post(body="late"), post(body="c", tenant="b"), post(body="late", tenant="c")]
        session.add_all(made)
        session.flush()
        assert [(p.tenant, p.number) for p in made] == [("a", 1), ("b", 1), ("b", 2), ("b", 3)]
        table = Base.metadata.tables["interaqt_scoped_counters"]
        assert dict(session.execute(select(table.c.scope, table.c.last)).all()) == {'["a"]': 1, '["b"]': 3, '["c"]': 0}
        session.add(post(tenant="c"))
        session.flush()
        assert sorted(session.execute(select(posts.c.tenant, posts.c.number)).all()) == [
            ("a", 1),
            ("b", 1),
            ("b", 2),
            ("b", 3),
            ("c", 1),
        ]
    system.verify()


@behaviour("R-S11")
def test_code_within_the_flush_that_writes_numbers_or_scopes_is_refused(engine: Engine) -> None:
    class Base(DeclarativeBase):
        pass

    post, _ = _posts(Base)
    hook = type("Hook", (Base,), {"__tablename__": "hook", "id": mapped_column(_integer(), primary_key=True)})
    system = Kept(engine, Base)
    posts: list[Any] = []
    todo: list[Any] = []

    @event.listens_for(hook, "before_insert")
    def change(mapper: Any, connection: Any, target: Any) -> None:
        setattr(posts[0], *todo)

    for what, error in ((("tenant", "z"), iq.ComputationProtocolError), (("number", 9), iq.ComputedWriteError)):
        posts[:], todo[:] = [post()], what
        with system.sessions() as session:
            session.add_all([hook(), *posts])
            with pytest.raises(error):
                session.flush()


def _posts(base: Any) -> tuple[Any, Any]:
    attributes = {
        "__tablename__": "post",
        "id": mapped_column(_integer(), primary_key=True),
        "tenant": mapped_column(_text(), default="a", nullable=False),
        "body": mapped_column(_text()),
        "number": iq.computed(iq.ScopedSequence("post", "tenant"), _integer(), nullable=False),
    }
    post = type("Post", (base,), attributes)
    return post, post.__table__


def _integer() -> Any:
    from sqlalchemy import Integer

    return Integer()


def _text() -> Any:
    from sqlalchemy import String

    return String()


class Other(DeclarativeBase):
    pass


class Owner(Other):
    __tablename__ = "owner"
    id: Mapped[int] = mapped_column(primary_key=True)


class Thing(Other):
    __tablename__ = "thing"
    id: Mapped[int] = mapped_column(primary_key=True)
    owner_id: Mapped[int | None] = mapped_column(ForeignKey("owner.id", ondelete="SET NULL"))
    owner: Mapped[Owner | None] = relationship()
    number: Mapped[int | None] = iq.computed(iq.ScopedSequence("thing", "owner.id", match={"owner_id": ("!=", None)}))


@behaviour("R-S9")
def test_a_scope_that_is_deleted_is_refused(engine: Engine) -> None:
    system = Kept(engine, Other)
    with system.begin() as session:
        session.add_all([Owner(id=1), Owner(id=2)])
        session.flush()
        session.add_all([Thing(owner_id=1), loose := Thing()])
        session.flush()
        assert loose.number is None
    with system.sessions() as session:
        session.delete(session.get_one(Owner, 1))
        with pytest.raises(iq.ComputationProtocolError, match="cannot change from 1 to None"):
            session.flush()
    with system.begin() as session:
        session.delete(session.get_one(Owner, 2))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "a b", "scope": "x"}, "letters, digits"),
        ({"name": "a", "scope": ["x", "x"]}, "different attributes"),
        ({"name": "a", "scope": [1]}, "different attributes"),
        ({"name": "a", "scope": "x", "step": 0}, "step="),
        ({"name": "a", "scope": "x", "step": True}, "step="),
        ({"name": "a", "scope": "x", "initial_value": 1.5}, "initial_value="),
        ({"name": "a", "scope": "x", "match": text("true")}, "match="),
        ({"name": "a", "scope": "x", "match": {"y": (">", 1)}}, "by '>'"),
        ({"name": "a", "scope": "x", "match": {"y": ("=", iq.MatchExp.ref("z"))}}, "with values"),
        ({"name": "a", "scope": "x", "initialize_from": 3}, "initialize_from="),
    ],
)
def test_arguments(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises((iq.ComputationProtocolError, iq.DefinitionFault), match=message):
        iq.ScopedSequence(**arguments)


@pytest.mark.parametrize(
    ("sequence", "type_", "message"),
    [
        (iq.ScopedSequence("a", "nothing"), int, "no stored attribute 'nothing'"),
        (iq.ScopedSequence("a", "parts"), int, "not stored in the row"),
        (iq.ScopedSequence("a", "total"), int, "computed"),
        (iq.ScopedSequence("a", "rate"), int, "cannot identify a scope"),
        (iq.ScopedSequence("a", "name", match={"nothing": 1}), int, "no stored attribute"),
        (iq.ScopedSequence("a", "name", initialize_from="name"), int, "holds no numbers"),
        (iq.ScopedSequence("a", "name"), str, "whole numbers"),
        (iq.ScopedSequence("twice", "name"), int, "already"),
    ],
)
def test_declarations(sequence: Any, type_: Any, message: str) -> None:
    entities = [
        iq.Entity(
            "Box",
            [
                iq.Property("name", str),
                iq.Property("rate", float),
                iq.Property("total", int, computation=iq.Count("parts")),
                iq.Property("first", int, computation=iq.ScopedSequence("twice", "name")),
                iq.Property("number", type_, computation=sequence),
            ],
        ),
        iq.Entity("Part", [iq.Property("name", str)]),
    ]
    relations = [iq.Relation(source="Box", source_property="parts", target="Part", target_property="box", type="1:n")]
    with pytest.raises(iq.DefinitionError) as caught:
        _compile(entities, relations)
    assert message in str(caught.value.exceptions)


def _compile(entities: Any, relations: Any) -> None:
    from sqlalchemy import MetaData
    from sqlalchemy.orm import registry

    schema = iq.compile_schema(registry(metadata=MetaData()), entities=entities, relations=relations)
    from interaqt_sa.engine.engine import plan_of

    plan_of(schema.metadata)


def _run(write: Write, session: Session) -> None:
    write(session)
    session.flush()


def _one(invoices: Kept) -> None:
    with invoices.begin() as session:
        session.add(Invoice(customer_id=1))
