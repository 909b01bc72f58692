"""Records that need not be kept any more are deleted like any other, in batches."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, MetaData
from sqlalchemy.ext.asyncio import AsyncEngine

import interaqt_sa as iq

NOW = datetime(2026, 1, 31, tzinfo=UTC)
_PAGE = iq.Entity("Page", [iq.Property("name", str), iq.Property("visitCount", int, computation=iq.Count("visits"))])
_VISITS = iq.Relation(source=_PAGE, source_property="visits", target="Visit", target_property="page", type="1:n")


def _definitions(retention: iq.Retention, kind: Any = datetime) -> dict[str, Any]:
    visit = iq.Entity("Visit", [iq.Property("at", kind), iq.Property("n", int)], retention=retention)
    return {"entities": [_PAGE, visit, iq.Entity("Kept", [])], "relations": [_VISITS]}


def _fill(days: list[int | None], kind: Any) -> list[dict[str, Any]]:
    times = [None if day is None else NOW - timedelta(days=day) for day in days]
    stored = [time if kind is datetime or time is None else int(time.timestamp() * 1000) for time in times]
    return [{"at": time, "n": day, "page": {"id": 1}} for time, day in zip(stored, days, strict=True)]


CASES: list[tuple[iq.Retention, list[int | None], list[int | None]]] = [
    (iq.Retention(by="at", max_age=timedelta(days=3)), [1, 5, 3, None, 4, 0], [0, 1, 3, None]),
    (iq.Retention(by="at", max_rows=2), [1, 5, 3, None, 4, 0], [0, 1, None]),
    (iq.Retention(by="at", max_rows=2), [4, 4, 4], [4, 4]),
    (iq.Retention(by="at", max_rows=9), [1, 2], [1, 2]),
    (iq.Retention(by="at", max_rows=0), [1, 2, None], [None]),
    (iq.Retention(max_rows=2), [1, 5, 3, None, 4, 0], [0, 4]),
    (iq.Retention(by="at", max_rows=3, max_age=timedelta(days=2)), [1, 5, 2, 4, 0], [0, 1, 2]),
]


@pytest.mark.parametrize("kind", [datetime, "timestamp"], ids=["datetime", "timestamp"])
@pytest.mark.parametrize("batch", [1, 2, 1000])
@pytest.mark.parametrize(("retention", "days", "left"), CASES, ids=range(len(CASES)))
def test_what_is_left(
    engine: Engine, retention: iq.Retention, days: list[int | None], left: list[int | None], batch: int, kind: Any
) -> None:
    system = iq.System(engine)
    iq.Controller(system, **_definitions(retention, kind)).setup(install=True)
    storage = system.storage
    storage.create("Page", {"name": "a"})
    for data in _fill(days, kind):
        storage.create("Visit", data)
    told: list[iq.MutationEvent] = []
    storage.listen(lambda _, events: told.extend(events))
    assert storage.prune(now=NOW, batch=batch) == {"Visit": len(days) - len(left)}
    assert sorted((row["n"] for row in storage.find("Visit", attribute_query=["n"])), key=str) == sorted(left, key=str)
    deleted = [event for event in told if event.record_name == "Visit"]
    assert [event.type for event in deleted] == ["delete"] * (len(days) - len(left))
    assert storage.find_one("Page", attribute_query=["visitCount"]) == {"id": 1, "visitCount": len(left)}
    assert system.check()
    assert storage.prune("Visit", now=NOW) == {"Visit": 0}


async def test_it_is_awaited(async_engine: AsyncEngine) -> None:
    system = iq.AsyncSystem(async_engine)
    retention = iq.Retention(by="at", max_age=timedelta(days=3))
    await iq.AsyncController(system, **_definitions(retention)).setup(install=True)
    await system.storage.create("Page", {"name": "a"})
    for data in _fill([1, 4, 5, 6], datetime):
        await system.storage.create("Visit", data)
    assert await system.storage.prune(now=NOW, batch=2) == {"Visit": 3}
    assert await system.storage.find("Page", attribute_query=["visitCount"]) == [{"id": 1, "visitCount": 1}]


def test_wrong_calls(engine: Engine) -> None:
    system = iq.System(engine)
    iq.Controller(system, **_definitions(iq.Retention(max_rows=1))).setup(install=True)
    with pytest.raises(iq.DefinitionFault, match=r"Kept has no retention="):
        system.storage.prune("Kept")
    with pytest.raises(iq.InvalidValueError, match=r"has no time zone"):
        system.storage.prune(now=datetime(2026, 1, 1))  # noqa: DTZ001
    with pytest.raises(iq.InvalidValueError, match=r"batch must be a number of records"):
        system.storage.prune(batch=0)


@pytest.mark.parametrize(
    ("retention", "message"),
    [
        (90, r"give a Retention"),
        (iq.Retention(), r"give max_age= or max_rows="),
        (iq.Retention(max_rows=-1), r"max_rows is a number of rows"),
        (iq.Retention(by="at", max_age=timedelta()), r"max_age is a timedelta above 0"),
        (iq.Retention(max_age=timedelta(1)), r"max_age needs by="),
        (iq.Retention(by="n", max_rows=1), r"by='n' is not a property of the type"),
        (iq.Retention(by="none", max_rows=1), r"by='none' is not a property of the type"),
    ],
)
def test_definitions_that_are_refused(retention: Any, message: str) -> None:
    with pytest.raises(iq.DefinitionError, match=message):
        iq.compile_schema(MetaData(), **_definitions(retention))
