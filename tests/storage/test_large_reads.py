"""Many records: the number of statements is constant, and time grows with what is read."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import Engine, MetaData, insert, text
from sqlalchemy.orm import sessionmaker

import interaqt_sa as iq
from interaqt_sa.storage import Storage
from tests.support.statements import count_statements

pytestmark = pytest.mark.slow

_PERSONS = 2_000
_LEVELS = 10


@pytest.fixture(scope="module", autouse=True)
def _figures() -> Any:
    """Print the figures at the end, with ``-s``."""
    yield
    for line in _SAID:
        print(line)  # noqa: T201


_SAID: list[str] = []


def _storage(engine: Engine) -> Storage:
    schema = iq.compile_schema(
        entities=[iq.Entity("Person", [iq.Property("name", str)]), iq.Entity("Team", [iq.Property("name", str)])],
        relations=[
            iq.Relation(source="Person", source_property="boss", target="Person", target_property="staff", type="n:1"),
            iq.Relation(
                name="Membership",
                source="Person",
                source_property="teams",
                target="Team",
                target_property="members",
                type="n:n",
                properties=[iq.Property("role", int)],
            ),
        ],
        base=MetaData(),
    )
    schema.metadata.create_all(engine)
    return Storage(sessionmaker(engine), schema)


def _fill(storage: Storage, engine: Engine, links: int) -> None:
    """Insert persons in chains of ten, a hundred teams, and links from the first persons to all teams."""
    person, team, membership = (
        storage.schema.mapped_class(name).__table__ for name in ("Person", "Team", "Membership")
    )
    with engine.begin() as connection:
        rows = [
            {"id": n, "name": f"p{n}", "boss_id": None if n % (_LEVELS + 1) == 1 else n - 1}
            for n in range(1, _PERSONS + 1)
        ]
        connection.execute(insert(person), rows)
        connection.execute(insert(team), [{"id": n, "name": f"t{n}"} for n in range(1, 101)])
        if not links:
            return
        pairs = ((n // 100 + 1, n % 100 + 1) for n in range(links))
        connection.execute(
            insert(membership),
            [{"id": n, "source_id": p, "target_id": t, "role": n % 7} for n, (p, t) in enumerate(pairs, 1)],
        )
        connection.execute(text("ANALYZE"))


def _seconds(read: Callable[[], Any]) -> float:
    read()  # the statements are built
    return min(_once(read) for _ in range(3))


def _once(read: Callable[[], Any]) -> float:
    gc.collect()
    begin = time.process_time(), time.perf_counter()
    read()
    # of the two the one that suffers less from what else the machine does; the database has a process of its own
    return max(time.process_time() - begin[0], 0.3 * (time.perf_counter() - begin[1]))


def test_links(engine: Engine) -> None:
    storage = _storage(engine)
    _fill(storage, engine, 200_000)
    query = ["name", ("teams", {"attribute_query": ["name", ("&", {"attribute_query": ["role"]})]})]

    def read(persons: int) -> list[dict[str, Any]]:
        return storage.find("Person", {"id": ("<=", persons)}, attribute_query=query)

    few, many = (_seconds(lambda n=n: read(n)) for n in (_PERSONS // 4, _PERSONS))
    _SAID.append(f"{engine.dialect.name}: 50,000 links in {few:.2f} s, 200,000 links in {many:.2f} s")
    with count_statements(engine) as statements:
        found = read(_PERSONS)
    assert len(statements) == 2, statements
    assert sum(len(row["teams"]) for row in found) == 200_000
    assert {row["&"]["role"] for row in found[-1]["teams"]} == set(range(7))
    assert many < 10 * few
    with count_statements(engine) as statements:
        assert storage.count("Person", {"teams.name": "t5", "teams.&.role": 4}) == _PERSONS // 7 + 1
    assert len(statements) == 1


def test_ids_in_a_match(engine: Engine) -> None:
    storage = _storage(engine)
    _fill(storage, engine, 0)

    def read(ids: int) -> list[dict[str, Any]]:
        return storage.find("Person", {"id": ("in", range(ids)), "name": ("in", [f"p{n}" for n in range(ids)])})

    few, many = (_seconds(lambda n=n: read(n)) for n in (5_000, 50_000))
    _SAID.append(f"{engine.dialect.name}: 5,000 ids and names in {few:.3f} s, 50,000 in {many:.3f} s")
    with count_statements(engine) as statements:
        assert len(read(50_000)) == _PERSONS
    assert len(statements) == 1, statements
    assert many < 25 * few
    with count_statements(engine) as statements:
        changed = storage.update("Person", {"id": ("in", range(_PERSONS - 1, 50_000))}, {"name": "new"})
    assert [row["id"] for row in changed] == [_PERSONS - 1, _PERSONS]


def test_levels(engine: Engine) -> None:
    storage = _storage(engine)
    _fill(storage, engine, 0)

    def nested(name: str, levels: int) -> list[Any]:
        below = nested(name, levels - 1) if levels > 1 else []
        return ["name", (name, {"attribute_query": ["name", *below]})]

    for name, statements_wanted in (("boss", 1), ("staff", _LEVELS + 1)):
        query = nested(name, _LEVELS)
        few, many = (
            _seconds(lambda n=n, q=query: storage.find("Person", {"id": ("<=", n)}, attribute_query=q))
            for n in (_PERSONS // 10, _PERSONS)
        )
        _SAID.append(
            f"{engine.dialect.name}: {_LEVELS} levels of {name} of 200 in {few:.3f} s, of 2,000 in {many:.3f} s"
        )
        with count_statements(engine) as statements:
            found = storage.find("Person", {"id": ("<=", 11)}, attribute_query=query, order_by={"id": "ASC"})
        assert len(statements) == statements_wanted, statements
        row, depth = found[-1] if name == "boss" else found[0], 0
        while below := row.get(name):
            row, depth = (below if name == "boss" else below[0]), depth + 1
        assert (depth, row["id"]) == (_LEVELS, 1 if name == "boss" else 11)
        assert many < 25 * few
