"""The oracle of filtered records: after any write, memberships and their events equal those of a naive comparison."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import Engine, delete, func, insert, select, update
from sqlalchemy.orm import Session

import interaqt_sa as iq
from tests.behaviours.filtered import CONDITIONS, system_of
from tests.behaviours.numbers import behaviour
from tests.engine.event_oracle import Tables, snapshot

_STORED = ("Department", "Team", "Order", "Person", "Membership", "Entry")
_NAMES = ("core", "edge", None)


class _Domain:
    """One system, whose writes are compared with its tables."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.system = system_of(engine)
        self.storage = self.system.storage
        self.classes = {name: self.system.schema.mapped_class(name) for name in _STORED}
        self.events: list[iq.MutationEvent] = []
        self.storage.listen(lambda _, events: self._hear(events))
        self.rows = self.read()
        self.members = members(self.rows)

    def read(self) -> Tables:
        return snapshot(self.engine, self.classes.values())

    def _hear(self, events: tuple[iq.MutationEvent, ...]) -> None:
        moved = [(event.record_name, event.record["id"]) for event in events if event.record_name in CONDITIONS]
        assert len(moved) == len(set(moved)), f"a row has entered and left in one write: {events}"
        self.events += events

    def compare(self, label: str) -> int:
        """Compare the memberships with those before the last write, and return how many have changed."""
        before, self.rows = self.members, self.read()
        self.members = members(self.rows)
        for name, ids in self.members.items():
            base = CONDITIONS[name][0]
            flags = {row["id"] for (record, _), row in self.rows.items() if record == base and _flag(name, row)}
            assert flags == ids, f"{label}: {name} has {flags}, not {ids}"
        told, now = self.events, {name: set(ids) for name, ids in before.items()}
        self.events = []
        moved = 0
        for event in told:
            if event.record_name not in now:
                continue
            assert not any("__member" in name for name in event.record), event
            assert event.record.keys() >= {"id"}
            moved += 1
            if event.type == "create":
                assert event.record["id"] not in now[event.record_name], f"{label}: {event}"
                now[event.record_name].add(event.record["id"])
            else:
                assert event.type == "delete", f"{label}: {event}"
                now[event.record_name].remove(event.record["id"])
        assert now == self.members, label
        self._compare_values(label)
        return moved

    def _compare_values(self, label: str) -> None:
        adults = self.storage.dictionary.get("adults")
        assert adults == len(self.members["Adult"]), label
        led = sum(self.rows["Membership", id]["since"] for id in self.members["Lead"])
        assert self.storage.dictionary.get("led") == led, label
        entries = sorted(row["text"] for (record, _), row in self.rows.items() if record == "Entry")
        assert entries == sorted(self.rows["Person", id]["name"] for id in self.members["Big"]), label
        leads: dict[Any, int] = defaultdict(int)
        for id in self.members["Lead"]:
            leads[self.rows["Membership", id]["target_id"]] += 1
        for (record, key), row in self.rows.items():
            if record == "Team":
                assert row["lead_count"] == leads[key], label
        for name, ids in self.members.items():
            assert {row["id"] for row in self.storage.find(name)} == ids, label


def members(rows: Tables) -> dict[str, set[Any]]:
    """Return the ids of the members of each filtered record, by its condition."""
    return {
        name: {row["id"] for (record, _), row in rows.items() if record == base and condition(row, rows)}
        for name, (base, condition) in CONDITIONS.items()
    }


def _flag(name: str, row: dict[str, Any]) -> int:
    snake = "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)
    return int(row[f"{snake}__member"])


Write = Callable[[_Domain, random.Random], Any]


def _ids(domain: _Domain, record: str) -> list[Any]:
    return [key for name, key in domain.rows if name == record]


def _some(domain: _Domain, rng: random.Random, record: str) -> list[Any]:
    ids = _ids(domain, record)
    return rng.sample(ids, min(len(ids), rng.randint(1, 3)))


def _person(rng: random.Random) -> dict[str, Any]:
    return {"name": f"p{rng.randint(0, 99)}", "age": rng.choice([None, 10, 17, 18, 40, 51, 60])}


def _reference(domain: _Domain, rng: random.Random, record: str) -> Any:
    ids = _ids(domain, record)
    return rng.choice([None, *({"id": id} for id in ids)])


def _create_tree(domain: _Domain, rng: random.Random) -> None:
    teams = [{"name": "t", "&": {"role": rng.choice(["lead", "member", None])}} for _ in range(rng.randint(0, 2))]
    orders = [{"amount": rng.choice([10, 60, 100])} for _ in range(rng.randint(0, 3))]
    department = rng.choice([_reference(domain, rng, "Department"), {"name": rng.choice(_NAMES)}])
    data = {**_person(rng), "orders": orders, "teams": teams, "department": department}
    domain.storage.create(rng.choice(["Person", "Adult", "CoreBig"]), data)


def _update_person(domain: _Domain, rng: random.Random) -> None:
    data: dict[str, Any] = _person(rng)
    if rng.random() < 0.5:
        data["department"] = _reference(domain, rng, "Department")
    if rng.random() < 0.3:
        data["teams"] = [{"id": id, "&": {"role": rng.choice(["lead", None])}} for id in _some(domain, rng, "Team")]
    if rng.random() < 0.3:
        data["orders"] = [{"id": id} for id in _some(domain, rng, "Order")]
    domain.storage.update(rng.choice(["Person", "Adult", "Buyer"]), {"id": ("in", _some(domain, rng, "Person"))}, data)


def _delete_by_name(domain: _Domain, rng: random.Random) -> None:
    record = rng.choice(["Person", "Order", "Department", "Team", "Adult", "Big", "Crowded", "Lead"])
    base = CONDITIONS.get(record, (record,))[0]
    domain.storage.delete(record, {"id": ("in", _some(domain, rng, base))})


def _links(domain: _Domain, rng: random.Random) -> None:
    storage, ids = domain.storage, _some(domain, rng, "Membership")
    match rng.randint(0, 3):
        case 0:
            storage.update_relation("Membership", {"id": ("in", ids)}, {"role": rng.choice(["lead", None])})
        case 1:
            storage.update_relation("Lead", {"id": ("in", ids)}, {"role": "member", "since": 7})
        case 2:
            storage.remove_relation(rng.choice(["Lead", "AdultLead", "Membership"]), {"id": ("in", ids)})
        case _:
            person, team = _reference(domain, rng, "Person"), _reference(domain, rng, "Team")
            known = [
                (row["source_id"], row["target_id"]) for (name, _), row in domain.rows.items() if name == "Membership"
            ]
            if person and team and (person["id"], team["id"]) not in known:
                storage.add_relation("Lead", person["id"], team["id"], {"role": rng.choice(["lead", "x"])})


def _in_session(work: Callable[[_Domain, random.Random, Session], Any]) -> Write:
    def write(domain: _Domain, rng: random.Random) -> None:
        with domain.system.session_factory.begin() as session:
            work(domain, rng, session)

    write.__name__ = work.__name__
    return write


def _flush(domain: _Domain, rng: random.Random, session: Session) -> None:
    person, order, department = (domain.classes[name] for name in ("Person", "Order", "Department"))
    left = _ids(domain, "Person")
    for id in _some(domain, rng, "Person"):
        found = session.get(person, id)
        found.age = rng.choice([None, 17, 18, 60])
        if rng.random() < 0.3:
            found.department = department(name=rng.choice(_NAMES))
        if rng.random() < 0.1:
            session.delete(found)
            left.remove(id)
        elif rng.random() < 0.5:
            session.add(order(amount=rng.choice([50, 100]), person=found))
    for id in _some(domain, rng, "Department"):
        session.get(department, id).name = rng.choice(_NAMES)
    for id in _some(domain, rng, "Order"):
        session.get(order, id).person_id = rng.choice([None, *left])


def _there_and_back(domain: _Domain, rng: random.Random, session: Session) -> None:
    person = domain.classes["Person"]
    for id in _some(domain, rng, "Person"):
        found = session.get(person, id)
        age = found.age
        found.age = 1
        found.age = age
    session.flush()


def _bulk_update(domain: _Domain, rng: random.Random, session: Session) -> None:
    person, order, department = (domain.classes[name] for name in ("Person", "Order", "Department"))
    match rng.randint(0, 3):
        case 0:
            session.execute(update(person).values(age=func.coalesce(person.age, 10) + rng.choice([-20, 0, 20])))
        case 1:
            ids = _some(domain, rng, "Order")
            session.execute(update(order).where(order.id.in_(ids)).values(amount=rng.choice([1, 100])))
        case 2:
            session.execute(update(department).values(name=rng.choice(_NAMES)))
        case _:
            new = rng.choice([None, *_ids(domain, "Department")])
            session.execute(update(person).where(person.age > 15).values(department_id=new))


def _bulk_insert_and_delete(domain: _Domain, rng: random.Random, session: Session) -> None:
    person, order = domain.classes["Person"], domain.classes["Order"]
    match rng.randint(0, 3):
        case 0:
            session.execute(insert(person), [_person(rng) for _ in range(3)])
        case 1:
            session.execute(insert(order).values(amount=100, person_id=rng.choice([None, *_ids(domain, "Person")])))
        case 2:
            session.execute(delete(order).where(order.id.in_(_some(domain, rng, "Order"))))
        case _:
            names = select(person.name, person.age).where(person.id.in_(_some(domain, rng, "Person")))
            session.execute(insert(person).from_select(["name", "age"], names))


def _upsert(domain: _Domain, rng: random.Random, session: Session) -> None:
    if session.get_bind().dialect.name == "postgresql":
        from sqlalchemy.dialects.postgresql import insert as upsert
    else:
        from sqlalchemy.dialects.sqlite import insert as upsert  # type: ignore[assignment]
    person = domain.classes["Person"]
    ids = _some(domain, rng, "Person")
    rows = [{"id": id, **_person(rng)} for id in ids]
    if rows:
        statement = upsert(person).values(rows)
        session.execute(
            statement.on_conflict_do_update(index_elements=["id"], set_={"age": statement.excluded.age}),
        )


def _rolled_back(domain: _Domain, rng: random.Random, session: Session) -> None:
    person = domain.classes["Person"]
    savepoint = session.begin_nested()
    session.execute(update(person).values(age=rng.choice([1, 80])))
    savepoint.rollback()
    told = domain.events
    domain.events = []  # listeners have heard of a write that is undone
    assert all(event.record_name in (*CONDITIONS, *_STORED, "dictionary_adults") for event in told)


_WRITES: list[Write] = [
    _create_tree,
    _create_tree,
    _update_person,
    _update_person,
    _delete_by_name,
    _links,
    _links,
    *map(
        _in_session,
        (_flush, _flush, _there_and_back, _bulk_update, _bulk_insert_and_delete, _upsert, _rolled_back),
    ),
]


@behaviour("S-A44", "S-A45", "S-A46", "S-A47", "S-A48", "S-A50")
@pytest.mark.parametrize("seed", range(3))
def test_memberships_and_events_equal_a_naive_comparison(engine: Engine, seed: int) -> None:
    rng = random.Random(seed)
    domain = _Domain(engine)
    for _ in range(4):
        _create_tree(domain, rng)
    domain.compare("start")
    moved = 0
    for n in range(60):
        write = rng.choice(_WRITES)
        write(domain, rng)
        moved += domain.compare(f"{n}: {write.__name__}")
    assert moved > 50
    report = domain.system.check()
    assert report.ok, report
