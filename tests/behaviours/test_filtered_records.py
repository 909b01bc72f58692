"""Filtered entities and relations: S-A44 to S-A51."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import Engine, create_engine, func, select
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

import interaqt_sa as iq
from tests.behaviours.filtered import system_of
from tests.behaviours.numbers import behaviour
from tests.support.statements import count_statements

_GROWN: dict[str, Any] = {"name": "a", "age": 40}


@pytest.fixture
def system(engine: Engine) -> iq.System:
    """Return a system over the domain, without records."""
    return system_of(engine)


@pytest.fixture
def storage(system: iq.System) -> iq.Storage:
    """Return its storage."""
    return system.storage


def told(storage: iq.Storage) -> list[str]:
    """Return a list that grows by the type and record of each event of records, without links and values."""
    found: list[str] = []
    storage.listen(
        lambda _, events: found.extend(
            f"{event.type} {event.record_name}" for event in events if event.record_name[0].isupper()
        )
    )
    return found


def _of(events: list[str], *names: str) -> list[str]:
    found = [event for event in events if event.split()[1] in names]
    events.clear()
    return found


_LEVELS = ("Person", "Adult", "Big", "CoreBig")
_MEMBER = {**_GROWN, "department": {"name": "core"}, "orders": [{"amount": 100}]}


@behaviour("S-A44")
def test_creating_a_member_tells_of_each_level(storage: iq.Storage) -> None:
    events = told(storage)
    storage.create("CoreBig", _MEMBER)
    found = _of(events, *_LEVELS)
    assert [event for event in found if "create" in event] == [f"create {name}" for name in _LEVELS]
    storage.create("Big", {"name": "small", "age": 1})
    assert _of(events, *_LEVELS) == ["create Person"]
    assert [row["name"] for row in storage.find("Person", attribute_query=["name"], order_by={"id": "ASC"})] == [
        "a",
        "small",
    ]


@behaviour("S-A45")
def test_members_enter_and_leave_by_each_kind_of_change(storage: iq.Storage) -> None:
    storage.create("Person", {**_GROWN, "department": {"name": "edge"}, "orders": [{"amount": 100}]})
    events = told(storage)
    own = {"id": 1}
    steps: list[tuple[Any, list[str]]] = [
        (lambda: storage.update("Department", own, {"name": "core"}), ["create CoreBig"]),
        (lambda: storage.update("Person", own, {"department": None}), ["delete CoreBig"]),
        (lambda: storage.update("Person", own, {"department": own}), ["create CoreBig"]),
        (lambda: storage.delete("Department", own), ["delete CoreBig"]),
        (lambda: storage.update("Person", own, {"age": 51}), ["create Elder"]),
        (lambda: storage.update("Person", own, {"age": 50}), ["delete Elder"]),
        (lambda: storage.update("Order", own, {"amount": 99}), ["delete Big", "delete Buyer"]),
        (lambda: storage.create("Order", {"amount": 1, "person": own}), ["create Big", "create Buyer"]),
        (lambda: storage.update("Person", own, {"age": 17}), ["delete Big", "delete Adult", "delete Buyer"]),
    ]
    for step, expected in steps:
        step()
        assert sorted(_of(events, "Adult", "Big", "CoreBig", "Elder", "Buyer")) == sorted(expected)


@behaviour("S-A45")
def test_a_stolen_neighbour_moves_both_owners(storage: iq.Storage) -> None:
    for name in ("a", "b"):
        storage.create("Person", {"name": name, "age": 40, "orders": [{"amount": 100}]})
    assert storage.count("Big") == 2
    events = told(storage)
    storage.update("Person", {"id": 2}, {"orders": [{"id": 1}]})
    assert _of(events, "Big") == ["delete Big"]
    assert [row["id"] for row in storage.find("Big")] == [2]


@behaviour("S-A46")
def test_a_member_that_leaves_is_told_whole_and_others_are_not_written(storage: iq.Storage) -> None:
    storage.create("Person", _GROWN)
    storage.create("Person", {"name": "b", "age": 1})
    heard: list[iq.MutationEvent] = []
    storage.listen(lambda _, events: heard.extend(e for e in events if e.record_name in ("Person", "Adult")))
    assert storage.update("Adult", {"id": 2}, {"age": 99}) == []
    assert storage.delete("Adult", {"id": 2}) == []
    assert heard == []
    assert [row["id"] for row in storage.update("Adult", {"id": ("in", [1, 2])}, {"age": 2})] == [1]
    update, left = heard
    assert (update.type, update.record_name, left.type, left.record_name) == ("update", "Person", "delete", "Adult")
    stored = storage.find_one("Person", {"id": 1}, attribute_query=["*"])
    assert dict(left.record) == stored
    heard.clear()
    storage.update("Person", {"id": 1}, {"age": 20})
    storage.delete("Person", {"id": 1})
    assert [(event.type, event.record_name) for event in heard] == [
        ("update", "Person"),
        ("create", "Adult"),
        ("delete", "Adult"),
        ("delete", "Person"),
    ]
    assert heard[-1].record["age"] == 20
    with pytest.raises(iq.DefinitionFault, match="say which records"):
        storage.delete("Adult", None)  # type: ignore[arg-type]


@behaviour("S-A47")
def test_levels_are_ordered_and_leave_in_reverse(storage: iq.Storage) -> None:
    storage.create("Person", _MEMBER)
    events = told(storage)
    storage.update("Order", {"id": 1}, {"amount": 1})
    assert _of(events, *_LEVELS[1:]) == ["delete CoreBig", "delete Big"]
    storage.update("Order", {"id": 1}, {"amount": 100})
    assert _of(events, *_LEVELS[1:]) == ["create Big", "create CoreBig"]
    storage.delete("Person", {"id": 1})
    assert _of(events, *_LEVELS) == [f"delete {name}" for name in reversed(_LEVELS)]


@behaviour("S-A48")
def test_a_filtered_relation_is_read_and_written_by_its_names(storage: iq.Storage) -> None:
    lead, member = ({"&": {"role": role, "since": 1}} for role in ("lead", "member"))
    storage.create("Person", {**_GROWN, "teams": [{"name": "x", **lead}, {"name": "y", **member}]})
    storage.create("Person", {"name": "young", "age": 3, "teams": [{"id": 1, **lead}]})
    link = ("&", {"attribute_query": ["role"]})
    query = ["name", ("led_teams", {"attribute_query": ["name", link]}), "grown_teams.name", "teams.name"]
    first, second = storage.find("Person", attribute_query=query, order_by={"id": "ASC"})
    assert first["led_teams"] == [{"id": 1, "name": "x", "&": {"id": 1, "role": "lead"}}]
    assert (len(first["teams"]), first["grown_teams"]) == (2, [{"id": 1, "name": "x"}])
    assert (second["led_teams"][0]["name"], second["grown_teams"]) == ("x", [])
    assert storage.count("Person", {"led_teams.name": "y"}) == 0
    assert storage.count("Person", {"led_teams.&.since": 1, "led_teams.name": "x"}) == 2
    assert storage.count("Team", {"grown_leaders": ("exist", {"name": "young"})}) == 0
    assert storage.count("Team", {"leaders": ("exist", {"name": "young"})}) == 1
    assert [row["source"]["id"] for row in storage.find_relation("AdultLead")] == [1]
    events = told(storage)
    storage.update("Person", {"id": 2}, {"age": 30})
    assert _of(events, "Lead", "AdultLead", "Membership") == ["create AdultLead"]
    assert storage.update_relation("Lead", {"target.name": "y"}, {"since": 9}) == []
    storage.update_relation("Membership", {"target.name": "y"}, {"role": "lead"})
    assert _of(events, "Lead", "AdultLead", "Membership") == ["update Membership", "create Lead", "create AdultLead"]
    assert storage.find_one("Team", {"name": "x"}, attribute_query=["lead_count"]) == {"id": 1, "lead_count": 2}
    assert len(storage.remove_relation("AdultLead", lambda cls: cls.id > 0)) == 3
    assert storage.count("Membership") == 0
    with pytest.raises(iq.DefinitionFault, match="led_teams reads the members of filtered relation 'Lead'"):
        storage.update("Person", {"id": 1}, {"led_teams": [{"id": 1}]})


@behaviour("S-A50")
def test_changes_that_cancel_out_are_not_told(system: iq.System, storage: iq.Storage) -> None:
    storage.create("Person", _GROWN)
    events = told(storage)
    person = system.schema.mapped_class("Person")
    with system.session_factory.begin() as session:
        found = session.get(person, 1)
        found.age, found.name = 1, "b"
        found.age = 41
    assert events == ["update Person"]
    events.clear()
    storage.run_in_transaction(lambda s: s.update("Person", {"id": 1}, {"age": 42, "orders": [{"amount": 60}] * 2}))
    assert _of(events, "Big", "Buyer") == ["create Big", "create Buyer"]


@behaviour("S-A49")
@pytest.mark.parametrize("kind", ["n:1", "n:n"])
def test_only_members_are_read_at_a_filtered_end(engine: Engine, kind: Any) -> None:
    team = iq.Entity(
        "Team", [iq.Property("name", str), iq.Property("helper_count", int, computation=iq.Count("helpers"))]
    )
    captains = iq.Relation(
        source=team, source_property="captain", target="Adult", target_property="captain_of", type=kind
    )
    helpers = iq.Relation(
        name="Help",
        source=team,
        source_property="helpers",
        target="Adult",
        target_property="helped",
        type="n:n",
        properties=[iq.Property("role", str)],
    )
    system = iq.System(engine)
    person = iq.Entity("Person", [iq.Property("name", str), iq.Property("age", int)])
    adult = iq.Entity("Adult", base_entity=person, match_expression={"age": (">=", 18)})
    iq.Controller(system, entities=[team, person, adult], relations=[captains, helpers]).setup(install=True)
    storage = system.storage
    given: Any = {"name": "a", "age": 40}
    storage.create("Team", {"name": "t", "captain": given if kind == "n:1" else [given]})
    storage.update("Team", {"id": 1}, {"helpers": [{"id": 1, "&": {"role": "x"}}, {"name": "b", "age": 3}]})
    query = ["captain.name", "helpers.name", "helper_count"]
    one = {"id": 1, "name": "a"}
    matches: list[Any] = [
        {"captain.id": 1},
        {"captain.name": "a"},
        {"captain": ("exist", {"name": "a"})},
        {"helpers.name": "a"},
        {"helpers.&.role": "x"},
    ]

    def read() -> tuple[Any, Any, int, list[int]]:
        found = storage.find_one("Team", attribute_query=query)
        assert found is not None
        counts = [storage.count("Team", match) for match in matches]
        return found["captain"], found["helpers"], found["helper_count"], counts

    assert read() == (one if kind == "n:1" else [one], [one], 1, [1] * 5)
    storage.update("Person", {"id": 1}, {"age": 5})
    assert read() == (None if kind == "n:1" else [], [], 0, [0] * 5)
    assert storage.count("Help") == 2
    assert storage.find_one("Person", {"id": 1}, attribute_query=["captain_of", "helped"]) == {
        "id": 1,
        "captain_of": [{"id": 1}],
        "helped": [{"id": 1}],
    }
    storage.update("Adult", {"id": 1}, {"age": 50})
    storage.update("Person", {"id": 1}, {"age": 50})
    assert read() == (one if kind == "n:1" else [one], [one], 1, [1] * 5)


_BASE = iq.Entity("Base", [iq.Property("n", int), iq.Property("name", str)])
_PART = iq.Relation(source="Base", source_property="parts", target="Part", target_property="base", type="1:n")
_PAIR = iq.Relation(
    name="Pair", source="Base", source_property="peers", target="Base", target_property="peers", type="n:n"
)


@behaviour("S-A51")
@pytest.mark.parametrize(
    ("definition", "expected"),
    [
        (iq.Entity("V", base_entity=_BASE, match_expression={"parts.n": 1}), "'parts' does not refer to one row"),
        (iq.Entity("V", base_entity=_BASE, match_expression={"m": 1}), "Base has no column attribute 'm'"),
        (iq.Entity("V", base_entity=_BASE, match_expression={"n": "x"}), "never 'x'"),
        (iq.Entity("V", base_entity=_BASE, match_expression={"parts": ("exist", {"n": 1})}), "'exist' is not possible"),
        (iq.Entity("V", base_entity=_BASE, match_expression={}), "a match without conditions"),
        (iq.Entity("V", base_entity=_BASE), "needs match_expression="),
        (iq.Entity("V", match_expression={"n": 1}), "give it as base_entity="),
        (
            iq.Entity("V", [iq.Property("m", int)], base_entity=_BASE, match_expression={"n": 1}),
            "leave properties= out",
        ),
        (iq.Entity("V", base_entity="Other", match_expression={"n": 1}), "there is no record 'Other'"),
        (iq.Entity("view", base_entity=_BASE, match_expression={"n": 1}), "marks its members in '_view__member'"),
        (iq.Entity("V", base_entity="V", match_expression={"n": 1}), "based on itself: V -> V"),
        (
            iq.Entity(
                "V", base_entity=_BASE, match_expression={"n": 1}, constraints=[iq.NonNullConstraint("c", "name")]
            ),
            "members can have unique constraints only",
        ),
        (
            iq.Relation(
                name="V", base_relation="Pair", match_expression={"id": 1}, source_property="a", target_property="b"
            ),
            "relation 'Pair' is symmetric",
        ),
        (
            iq.Relation(
                name="V", base_relation="Base", match_expression={"n": 1}, source_property="a", target_property="b"
            ),
            "which is not a relation",
        ),
    ],
)
def test_invalid_filtered_records_are_refused(definition: Any, expected: str) -> None:
    entities = [_BASE, iq.Entity("Part", [iq.Property("n", int)])]
    entities.append(iq.Entity("View", base_entity=_BASE, match_expression={"n": 1}))
    given = {"entities": [*entities, definition], "relations": [_PART, _PAIR]}
    if isinstance(definition, iq.Relation):
        given = {"entities": entities, "relations": [_PART, _PAIR, definition]}

    class Base(DeclarativeBase):
        pass

    with pytest.raises(iq.DefinitionError) as caught:
        iq.compile_schema(Base, **given)
    assert expected in str(caught.value.exceptions[0])
    assert len(caught.value.exceptions) == 1
    assert not Base.metadata.tables


@behaviour("S-A51", "S-A66")
def test_constraints_of_a_filtered_record_are_partial(engine: Engine) -> None:
    ticket = iq.Entity("Ticket", [iq.Property("seat", int), iq.Property("state", str)])
    sold = iq.Entity(
        "Sold",
        base_entity=ticket,
        match_expression={"state": "sold"},
        constraints=[iq.UniqueConstraint("one_seat", ["seat"], violation_code="TAKEN")],
    )
    controller = iq.Controller(iq.System(engine), entities=[ticket, sold])
    controller.setup(install=True)
    storage = controller.system.storage
    for state in ("open", "open", "sold"):
        storage.create("Ticket", {"seat": 1, "state": state})
    with pytest.raises(iq.ConstraintViolationError) as caught:
        storage.update("Ticket", {"id": 1}, {"state": "sold"})
    assert caught.value.code == "TAKEN"
    assert storage.count("Sold") == 1


@behaviour("S-A46", "S-A48")
def test_members_are_selected_as_a_mapped_class(system: iq.System, storage: iq.Storage) -> None:
    storage.create("Person", _MEMBER)
    storage.create("Person", {"name": "b", "age": 1})
    schema = system.schema
    adult, person, order = (schema.mapped_class(name) for name in ("Adult", "Person", "Order"))
    lead = schema.mapped_class("Lead")
    with system.session_factory.begin() as session:
        found = session.scalars(select(adult).where(adult.name != "z").order_by(adult.age)).all()
        assert [type(one) for one in found] == [person]
        assert session.scalar(select(func.sum(order.amount)).join(adult, order.person_id == adult.id)) == 100
        assert session.scalar(select(func.count()).select_from(lead)) == 0
        assert session.scalars(select(adult).join(adult.orders).where(order.amount == 100)).all() == found
        found[0].age = 3
        session.flush()
        assert session.scalars(select(adult)).all() == []
    assert "Adult" in {record.name for record in schema.records if record.base == "Person"}
    names = {name for record in schema.records for name in record.attributes}
    assert not any("__member" in name for name in names)
    assert "__member" not in schema.diagram()


@behaviour("S-A45")
def test_classes_of_the_application_are_bases_too(engine: Engine) -> None:
    class Base(DeclarativeBase):
        pass

    class Account(Base):
        __tablename__ = "account"
        number: Mapped[int] = mapped_column(primary_key=True)
        balance: Mapped[int] = mapped_column(default=0)

    rich = iq.Entity("Rich", base_entity=Account, match_expression=Account.balance > 100)
    counted = iq.Dictionary("rich", int, computation=iq.Count(rich))
    controller = iq.Controller(iq.System(engine, base=Base), entities=[rich], dictionaries=[counted])
    controller.setup(install=True)
    system = controller.system
    events = told(system.storage)
    with system.session_factory.begin() as session:
        session.add_all([Account(number=1, balance=101), Account(number=2)])
    assert _of(events, "Rich") == ["create Rich"]
    assert system.storage.dictionary.get("rich") == 1
    assert [row["number"] for row in system.storage.find("Rich")] == [1]
    with system.session_factory.begin() as session:
        session.get_one(Account, 1).balance = 3
    assert _of(events, "Rich") == ["delete Rich"]
    with pytest.raises(iq.ComputedWriteError), system.session_factory.begin() as session:
        session.get_one(Account, 1)._rich__member = 1


@behaviour("S-A44")
def test_side_effects_and_locks_follow_members(engine: Engine) -> None:
    seen: list[Any] = []
    signup = iq.EventSource(
        "signup",
        iq.Entity("Signup", [iq.Property("age", int)]),
        resolve=lambda ctx, args: ctx.storage.create("Person", {"name": "n", "age": args["age"]}),
        map_event_data=lambda _, args: args,
    )
    person = iq.Entity("Person", [iq.Property("name", str), iq.Property("age", int)])
    adult = iq.Entity("Adult", base_entity=person, match_expression={"age": (">=", 18)})
    effect = iq.RecordMutationSideEffect("greet", adult, lambda _, event: seen.append((event.type, event.record)))
    controller = iq.Controller(
        iq.System(engine),
        entities=[person, adult],
        event_sources=[signup],
        record_mutation_side_effects=[effect],
    )
    controller.setup(install=True)
    controller.dispatch(signup, {"age": 3}).raise_for_error()
    controller.dispatch(signup, {"age": 20}).raise_for_error()
    assert seen == [("create", {"id": 2, "name": "n", "age": 20})]
    storage = controller.system.storage
    assert storage.run_in_transaction(lambda s: s.atomic.lock_rows("Adult", lambda cls: cls.id > 0)) == [seen[0][1]]
    assert storage.run_in_transaction(lambda s: s.atomic.increment("Adult", 1, "age", 15)) == 18
    assert storage.count("Adult") == 2


@behaviour("S-A44")
def test_records_without_filtered_ones_need_no_further_statement() -> None:
    person = iq.Entity("Person", [iq.Property("age", int)])
    counts: list[int] = []
    for more in ([], [iq.Entity("Adult", base_entity=person, match_expression={"age": (">=", 18)})]):
        engine = create_engine("sqlite://")
        entities = [person, iq.Entity("Thing", [iq.Property("n", int)]), *more]
        controller = iq.Controller(iq.System(engine), entities=entities)
        controller.setup(install=True)
        for record, data in (("Thing", {"n": 1}), ("Person", {"age": 20})):
            with count_statements(engine) as statements:
                controller.system.storage.create(record, data)
            counts.append(len(statements))
        engine.dispose()
    assert counts == [1, 1, 1, 2]


@behaviour("S-A47", "S-A48", "S-A51")
def test_filtered_records_are_compiled_by_later_calls() -> None:
    person, team = iq.Entity("Person", [iq.Property("name", str), iq.Property("age", int)]), iq.Entity("Team")
    link: Any = {"source_property": "teams", "target_property": "members", "properties": [iq.Property("role", str)]}
    membership = iq.Relation(name="Membership", source=person, target=team, type="n:n", **link)
    adult = iq.Entity("Adult", base_entity=person, match_expression={"age": (">=", 18)})
    old = iq.Entity("Old", base_entity="Adult", match_expression={"age": (">=", 60)})
    lead = iq.Relation(
        name="Lead",
        base_relation=membership,
        match_expression={"role": "lead", "source.age": (">", 1)},
        source_property="led",
        target_property="leads",
    )
    engine = create_engine("sqlite://")
    system = iq.System(engine)
    schema = iq.compile_schema(system.metadata, entities=[person, team], relations=[membership])
    iq.compile_schema(schema, entities=[adult])
    for _ in range(2):
        iq.compile_schema(schema, entities=[old, adult], relations=[lead])
    unique = [iq.UniqueConstraint("u", ["name"])]
    refused = [
        (iq.Entity("Adult", base_entity=person, match_expression={"age": 3}), "compiled on this MetaData already"),
        (iq.Entity("U", base_entity=person, match_expression={"age": 3}, constraints=unique), "is mapped already"),
        (iq.Entity("U", input_entities=[person]), "has a table of its own already"),
    ]
    for definition, expected in refused:
        with pytest.raises(iq.DefinitionError) as caught:
            iq.compile_schema(schema, entities=[definition])
        assert expected in str(caught.value.exceptions[0])
    iq.Controller(system).setup(install=True)
    storage = system.storage
    storage.create("Person", {"age": 70, "teams": [{"&": {"role": "lead"}}]})
    assert [storage.count(name) for name in ("Adult", "Old", "Lead")] == [1, 1, 1]
    assert storage.find("Team", attribute_query=["leads.age"]) == [{"id": 1, "leads": [{"id": 1, "age": 70}]}]
    engine.dispose()
