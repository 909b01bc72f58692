"""Records with a natural key: creating one that exists returns it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import pytest
from sqlalchemy import Engine, MetaData, create_engine
from sqlalchemy.orm import sessionmaker

import interaqt_sa as iq
from tests.support.engines import EngineFactory
from tests.support.statements import count_statements

_PERSON = iq.Entity(
    "Person",
    [
        iq.Property("tenant", str),
        iq.Property("mail", str),
        iq.Property("name", str),
        iq.Property("rank", int, default=7),
        iq.Property("label", str, computed=lambda person: f"{person.tenant}/{person.mail}"),
        iq.Property("noteCount", int, computation=iq.Count("notes")),
    ],
    identity=["tenant", "mail"],
)
_TAG = iq.Entity("Tag", [iq.Property("word", str)], identity=["word"])
_NOTE = iq.Entity("Note", [iq.Property("text", str)])
_NOTES = iq.Relation(source=_PERSON, source_property="notes", target=_NOTE, target_property="author", type="1:n")
_TAGS = iq.Relation(
    name="Tagging",
    source=_NOTE,
    source_property="tags",
    target=_TAG,
    target_property="notes",
    type="n:n",
    properties=[iq.Property("weight", int)],
)
ANN = {"tenant": "t", "mail": "ann@x"}


def system_of(engine: Engine) -> iq.System:
    system = iq.System(engine)
    controller = iq.Controller(system, entities=[_PERSON, _TAG, _NOTE], relations=[_NOTES, _TAGS])
    controller.setup(install=True)
    return system


def test_what_exists_is_returned(engine: Engine) -> None:
    system = system_of(engine)
    storage = system.storage
    told: list[iq.MutationEvent] = []
    storage.listen(lambda _, events: told.extend(events))
    made = storage.create("Person", {**ANN, "name": "Ann"})
    assert made == {"id": 1, **ANN, "name": "Ann"}
    assert [(event.type, event.record_name) for event in told] == [("create", "Person")]
    told.clear()
    again = storage.create("Person", {**ANN, "name": "Another", "notes": [{"text": "not written"}]})
    assert again == {"id": 1, **ANN, "name": "Ann", "rank": 7, "label": "t/ann@x", "noteCount": 0}
    assert told == []
    assert storage.count("Note") == 0
    assert storage.create("Person", {"tenant": "u", "mail": "ann@x"})["id"] != 1
    assert system.check()


def test_neighbours_are_referred_to(engine: Engine) -> None:
    system = system_of(engine)
    storage = system.storage
    data: dict[str, Any] = {
        "text": "first",
        "author": {**ANN, "name": "Ann"},
        "tags": [{"word": "a", "&": {"weight": 1}}, {"word": "b", "&": {"weight": 2}}],
    }
    first = storage.create("Note", data)
    assert first["author"] == {"id": 1, **ANN, "name": "Ann"}
    assert [tag["&"] for tag in first["tags"]] == [{"weight": 1}, {"weight": 2}]
    second = storage.create("Note", {**data, "text": "second", "author": ANN, "tags": [{"word": "b"}, {"word": "c"}]})
    assert second["author"] == {"id": 1}
    storage.update("Note", {"text": "second"}, {"tags": [{"word": "a", "&": {"weight": 9}}]})
    storage.update("Note", lambda note: note.id > 0, {"tags": [{"word": "d"}]})
    assert storage.count("Tag") == 4
    assert storage.count("Tagging") == 2
    query: list[Any] = ["noteCount", ("notes", {"attribute_query": ["text", ("tags", {"attribute_query": ["word"]})]})]
    found = storage.find_one("Person", ANN, attribute_query=query)
    assert found is not None
    assert found["noteCount"] == 2
    assert [[tag["word"] for tag in note["tags"]] for note in found["notes"]] == [["d"], ["d"]]
    assert system.check()


def test_new_records_with_neighbours(engine: Engine) -> None:
    system = system_of(engine)
    made = system.storage.create(
        "Person", {**ANN, "notes": [{"text": "a", "tags": [{"word": "x"}]}, {"text": "b", "tags": [{"word": "x"}]}]}
    )
    assert [note["tags"] for note in made["notes"]] == [[{"id": 1, "word": "x"}], [{"id": 1}]]
    assert system.storage.find_one("Person", attribute_query=["noteCount"]) == {"id": 1, "noteCount": 2}
    assert system.check()


def test_one_statement_more_only_where_it_exists(engine: Engine) -> None:
    storage = system_of(engine).storage
    with count_statements(engine) as statements:
        storage.create("Tag", {"word": "a"})
    inserts = [statement for statement in statements if statement.startswith("INSERT")]
    assert len(inserts) == 1
    assert "ON CONFLICT (word) DO NOTHING" in inserts[0]
    with count_statements(engine) as statements:
        storage.create("Tag", {"word": "a"})
    assert [statement.split()[0] for statement in statements if not statement.startswith("BEGIN")] == [
        "INSERT",
        "SELECT",
    ]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda s: s.create("Person", {"tenant": "t"}), r"Person\.mail is part of the natural key .* has no value"),
        (lambda s: s.create("Person", {**ANN, "mail": None}), r"Person\.mail is part of the natural key"),
        (lambda s: s.create("Note", {"tags": [{}]}), r"Tag\.word is part of the natural key .* has no value"),
        (lambda s: s.create("Person", {**ANN, "nam": 1}), r"Person has no attribute 'nam'; there is name"),
        (lambda s: s.create("Person", {**ANN, "label": "x"}), r"label"),
        (lambda s: s.update("Person", ANN, {"mail": "b"}), r"Person\.mail is part of the natural key .* never changes"),
        (lambda s: s.atomic.replace("Person", 1, "mail", "b"), r"Person\.mail is part of the natural key"),
    ],
)
def test_what_is_refused(engine: Engine, call: Any, message: str) -> None:
    storage = system_of(engine).storage
    storage.create("Person", ANN)
    with pytest.raises(iq.FrameworkError, match=message):
        storage.run_in_transaction(call)
    assert storage.find("Person", attribute_query=["mail"]) == [{"id": 1, "mail": "ann@x"}]
    assert storage.count("Note") == 0


def test_sessions_get_the_structured_error(engine: Engine) -> None:
    system = system_of(engine)
    person = system.schema.mapped_class("Person")
    system.storage.create("Person", ANN)
    with pytest.raises(iq.ConstraintViolationError) as caught:
        system.storage.run_in_transaction(lambda storage: _add(storage, person(**ANN)))
    assert caught.value.properties == ("tenant", "mail")


def _add(storage: iq.Storage, instance: Any) -> None:
    storage.write(lambda session: session.add(instance))


@pytest.mark.parametrize(
    ("properties", "identity", "message"),
    [
        ([iq.Property("a", str)], ["b"], r"'b' is not a property; there is a"),
        ([iq.Property("a", str)], [], r"names properties, each once"),
        ([iq.Property("a", str)], ["a", "a"], r"names properties, each once"),
        ([iq.Property("a", str)], "a", r"is a list of names: \['a'\]"),
        ([iq.Property("a", str, default="x")], ["a"], r"has a default or is computed"),
        ([iq.Property("a", str, collection=True)], ["a"], r"is not a scalar"),
        ([iq.Property("a", dict)], ["a"], r"is not a scalar"),
    ],
)
def test_definitions_that_are_refused(properties: Any, identity: Any, message: str) -> None:
    with pytest.raises(iq.DefinitionError, match=message):
        iq.compile_schema(MetaData(), entities=[iq.Entity("E", properties, identity=identity)])


@pytest.mark.postgres
@pytest.mark.concurrency
def test_concurrent_creates_give_one_row_and_one_event(engine_for: EngineFactory) -> None:
    workers = 8
    engine = engine_for("psycopg", pool_size=workers)
    system = system_of(engine)
    told: list[iq.MutationEvent] = []
    system.storage.listen(lambda _, events: told.extend(events))
    barrier = Barrier(workers)

    def create(number: int) -> list[Any]:
        barrier.wait()
        return [
            system.storage.create("Person", {"tenant": "t", "mail": str(n), "notes": [{"text": str(number)}]})["id"]
            for n in range(20)
        ]

    with ThreadPoolExecutor(workers) as pool:
        ids = [future.result() for future in [pool.submit(create, number) for number in range(workers)]]
    assert all(found == ids[0] for found in ids)
    assert system.storage.count("Person") == 20
    assert system.storage.count("Note") == 20
    created = [event.record["id"] for event in told if event.type == "create" and event.record_name == "Person"]
    assert sorted(created) == sorted(ids[0])
    assert system.check()


def test_in_memory_names_follow_the_class() -> None:
    """A second schema of the same definitions has its own key."""
    for metadata in (MetaData(), MetaData()):
        iq.compile_schema(metadata, entities=[_TAG])
        engine = create_engine("sqlite://")
        metadata.create_all(engine)
        storage = iq.System(sessionmaker(engine), base=metadata).storage
        assert storage.create("Tag", {"word": "a"}) == storage.create("Tag", {"word": "a"}) == {"id": 1, "word": "a"}
