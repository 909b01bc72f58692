"""Constraints and the schema that is shown: S-A56 to S-A74."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import Engine, MetaData, text

import interaqt_sa as iq
from tests.behaviours.numbers import behaviour

_TICKET = iq.Entity("Ticket", [iq.Property("code", str), iq.Property("kind", str), iq.Property("open", bool)])


def _storage(engine: Engine, constraint: Any = None, *, relations: Any = (), **options: Any) -> iq.Storage:
    return _controller(engine, constraint, relations=relations, **options).system.storage


def _controller(
    engine: Engine, constraint: Any = None, *, relations: Any = (), install: bool = True, **options: Any
) -> iq.Controller:
    constraints = [] if constraint is None else [constraint]
    ticket = iq.Entity("Ticket", _TICKET.properties, constraints=constraints)
    person = iq.Entity("Person", [iq.Property("name", str)])
    controller = iq.Controller(iq.System(engine), entities=[ticket, person], relations=relations, **options)
    controller.setup(install=install)
    return controller


@behaviour("S-A56")
def test_a_violation_has_the_code_of_its_constraint(engine: Engine) -> None:
    storage = _storage(engine, iq.UniqueConstraint("one_code", ["code"], violation_code="CODE_TAKEN"))
    storage.create("Ticket", {"code": "a"})
    with pytest.raises(iq.ConstraintViolationError) as caught:
        storage.create("Ticket", {"code": "a"})
    error = caught.value
    assert (error.constraint, error.record, tuple(error.properties or ())) == ("one_code", "Ticket", ("code",))
    assert error.context["code"] == "CODE_TAKEN"
    assert len(storage.find("Ticket")) == 1


@behaviour("S-A57")
@pytest.mark.parametrize(
    ("where", "free"),
    [
        ({"kind": ("not in", [None, ""])}, [None, ""]),
        ({"kind": ("in", [None, "x"])}, ["", "y"]),
        ({"kind": ("is not null",)}, [None]),
        ({"kind": None}, ["", "x"]),
        ({"kind": ("!=", None)}, [None]),
        ({"kind": ("in", [None])}, ["x"]),
        ({"kind": "x", "open": True}, [None, "", "y"]),
    ],
)
def test_partial_constraints_see_null_alike_everywhere(engine: Engine, where: Any, free: list[Any]) -> None:
    storage = _storage(engine, iq.UniqueConstraint("one", ["code"], where=where))
    for kind in free:
        for _ in range(2):
            storage.create("Ticket", {"code": "a", "kind": kind, "open": True})
    bound = next(kind for kind in ("x", None) if kind not in free)
    storage.create("Ticket", {"code": "a", "kind": bound, "open": True})
    with pytest.raises(iq.ConstraintViolationError):
        storage.create("Ticket", {"code": "a", "kind": bound, "open": True})


def _relation(kind: Any, constraint: Any) -> Any:
    return iq.Relation(
        name="Work",
        source="Ticket",
        source_property="workers",
        target="Person",
        target_property="tickets",
        type=kind,
        properties=[iq.Property("slot", int)],
        constraints=[constraint],
    )


@behaviour("S-A58", "S-A71")
def test_constraints_over_one_end_and_a_value(engine: Engine) -> None:
    relation = _relation("n:n", iq.UniqueConstraint("one_slot", ["target", "slot"], violation_code="BUSY"))
    storage = _storage(engine, relations=[relation])
    storage.create("Ticket", {"workers": [{"name": "a", "&": {"slot": 1}}]})
    with pytest.raises(iq.ConstraintViolationError) as caught:
        storage.create("Ticket", {"code": "b", "workers": [{"id": 1, "&": {"slot": 1}}]})
    assert caught.value.record == "Work"
    storage.create("Ticket", {"workers": [{"id": 1, "&": {"slot": 2}}]})
    assert len(storage.find("Ticket")) == 2


@behaviour("S-A67", "S-A71")
@pytest.mark.parametrize("properties", [["source", "target"], ["target"], ["target", "slot"]])
def test_a_relation_that_a_foreign_key_could_hold(engine: Engine, properties: list[str]) -> None:
    storage = _storage(engine, relations=[_relation("n:1", iq.UniqueConstraint("one", properties))])
    storage.create("Ticket", {"workers": {"name": "a", "&": {"slot": 1}}})
    if properties[0] == "source":
        storage.create("Ticket", {"workers": {"id": 1, "&": {"slot": 1}}})
    else:
        with pytest.raises(iq.ConstraintViolationError):
            storage.create("Ticket", {"workers": {"id": 1, "&": {"slot": 1}}})


@behaviour("S-A59", "S-A60")
def test_a_violation_undoes_the_dispatch(engine: Engine) -> None:
    def file(ctx: iq.DispatchContext, args: iq.Args, data: Any) -> None:
        for _ in range(2):
            ctx.storage.create("Ticket", {"code": "a"})

    source = iq.EventSource("file", iq.Entity("Filed", [iq.Property("n", int)]), after_dispatch=file)
    unique = iq.UniqueConstraint("one_code", ["code"], violation_code="TWICE")
    controller = _controller(engine, unique, event_sources=[source])
    result = controller.dispatch("file", {"n": 1})
    assert result.error is not None
    error = iq.find_constraint_violation_error(result.error)
    assert error is not None
    assert error.context["code"] == "TWICE"
    assert list(result.effects) == []
    storage = controller.system.storage
    assert storage.find("Ticket") == storage.find("Filed") == []
    with pytest.raises(iq.ConstraintViolationError):
        result.raise_for_error()


@behaviour("S-A61")
def test_a_table_that_is_missing(engine: Engine) -> None:
    with pytest.raises(iq.FrameworkError, match="ticket"):
        _storage(engine, iq.UniqueConstraint("one_code", ["code"]), install=False)


@behaviour("S-A63", "S-A64", "S-A65")
@pytest.mark.parametrize(
    "constraint",
    [
        iq.UniqueConstraint("one", ["cod"]),
        iq.UniqueConstraint("one", ["source.id"]),
        iq.UniqueConstraint("one", []),
        iq.UniqueConstraint("one", ["code", "code"]),
        iq.UniqueConstraint("one-x", ["code"]),
        iq.UniqueConstraint("one", ["code"], where={"kin": 1}),
        iq.UniqueConstraint("one", ["code"], where={"kind": ("resembles", "a")}),
        iq.UniqueConstraint("one", ["code"], where={"kind": object()}),
    ],
)
def test_constraints_that_cannot_be(constraint: Any) -> None:
    with pytest.raises(iq.DefinitionError):
        iq.compile_schema(MetaData(), entities=[iq.Entity("Ticket", _TICKET.properties, constraints=[constraint])])


@behaviour("S-A63")
def test_names_of_constraints_are_unique() -> None:
    constraint = iq.UniqueConstraint("one", ["code"])
    entities = [iq.Entity(name, [iq.Property("code", str)], constraints=[constraint]) for name in "AB"]
    with pytest.raises(iq.DefinitionError):
        iq.compile_schema(MetaData(), entities=entities)


@behaviour("S-A68")
def test_errors_of_every_driver_look_alike(engine: Engine) -> None:
    storage = _storage(engine, iq.UniqueConstraint("one_code", ["code", "kind"]))
    storage.create("Ticket", {"code": "a", "kind": "x"})
    with pytest.raises(iq.ConstraintViolationError) as caught:
        storage.create("Ticket", {"code": "a", "kind": "x"})
    normal = iq.normalize_database_error(caught.value.__cause__ or caught.value)
    assert normal is not None
    assert normal.kind == "unique"
    assert caught.value.context["code"] == "UNIQUE_CONSTRAINT_VIOLATION"


@behaviour("S-A69")
@pytest.mark.parametrize("kind", ["a'b", 'a"b', "a; drop table ticket", "a%b", "a\\b", "a:b"])
def test_literals_in_partial_constraints_are_quoted(engine: Engine, kind: str) -> None:
    storage = _storage(engine, iq.UniqueConstraint("one", ["code"], where={"kind": kind, "open": True}))
    storage.create("Ticket", {"code": "a", "kind": kind, "open": True})
    storage.create("Ticket", {"code": "a", "kind": kind, "open": False})
    with pytest.raises(iq.ConstraintViolationError):
        storage.create("Ticket", {"code": "a", "kind": kind, "open": True})


@behaviour("S-A70")
def test_updates_and_nested_data_meet_constraints(engine: Engine) -> None:
    relation = _relation("n:n", iq.UniqueConstraint("one_slot", ["target", "slot"]))
    storage = _storage(engine, iq.UniqueConstraint("one_code", ["code"]), relations=[relation])
    for code in "ab":
        storage.create("Ticket", {"code": code})
    with pytest.raises(iq.ConstraintViolationError):
        storage.update("Ticket", {"code": "b"}, {"code": "a"})
    tickets = [{"code": "c"}, {"code": "a"}]
    with pytest.raises(iq.ConstraintViolationError):
        storage.create("Person", {"name": "p", "tickets": tickets})
    assert [row["code"] for row in storage.find("Ticket", attribute_query=["code"], order_by={"id": "ASC"})] == [*"ab"]
    assert storage.find("Person") == storage.find("Work") == []


@behaviour("S-A72")
def test_null_in_any_part_frees_a_row(engine: Engine) -> None:
    storage = _storage(engine, iq.UniqueConstraint("one", ["code", "kind"]))
    for _ in range(2):
        storage.create("Ticket", {"code": "a"})
        storage.create("Ticket", {})
    assert len(storage.find("Ticket")) == 4


@behaviour("S-A73")
def test_setup_may_be_repeated_and_sees_a_changed_predicate(engine: Engine) -> None:
    _storage(engine, iq.UniqueConstraint("one", ["code"], where={"kind": "x"}))
    storage = _storage(engine, iq.UniqueConstraint("one", ["code"], where={"kind": "x"}))
    storage.create("Ticket", {"code": "a", "kind": "x"})
    with pytest.raises(iq.ConstraintSetupError, match="one"):
        _storage(engine, iq.UniqueConstraint("one", ["code"], where={"kind": "y"}), install=False)


@behaviour("S-A62")
def test_rows_that_violate_a_new_constraint(engine: Engine) -> None:
    storage = _storage(engine)
    for _ in range(2):
        storage.create("Ticket", {"code": "a"})
    with pytest.raises(iq.ConstraintSetupError, match="one_code"):
        _storage(engine, iq.UniqueConstraint("one_code", ["code"]))
    with engine.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM ticket")) == 2


@behaviour("S-A74")
def test_the_schema_that_is_shown(engine: Engine) -> None:
    unique = iq.UniqueConstraint("one_code", ["code"], where={"kind": "x"}, violation_code="TWICE")
    schema = _storage(engine, unique, relations=[_relation("n:n", iq.UniqueConstraint("s", ["target", "slot"]))]).schema
    records = {info.name: (info.table, info.is_relation, sorted(info.attributes)) for info in schema.records}
    assert records["Work"] == (
        *("work", True),
        ["id", "slot", "source", "source_id", "target", "target_id"],
    )
    assert {*records["Ticket"][2]} >= {"id", "code", "kind", "open", "workers"}
    assert {info.name: info.columns for info in schema.tables}["work"] == ("id", "source_id", "target_id", "slot")
    (shown,) = [info for info in schema.constraints if info.name == "one_code"]
    assert (shown.kind, shown.record, shown.table, shown.violation_code) == ("unique", "Ticket", "ticket", "TWICE")
    assert schema.dialect is not None
    assert schema.dialect.name == engine.dialect.name
