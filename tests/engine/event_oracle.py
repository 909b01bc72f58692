"""The naive diff: what tables held before and after a transaction, and whether its events say the same."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

from sqlalchemy import Column, Engine, inspect, select

from interaqt_sa import MutationEvent

#: rows by record and key, with the attributes that are columns
Tables: TypeAlias = dict[tuple[str, Any], dict[str, Any]]


def snapshot(engine: Engine, classes: Iterable[Any]) -> Tables:
    """Read all rows, past every session."""
    found: Tables = {}
    with engine.connect() as connection:
        for mapped in classes:
            mapper = inspect(mapped)
            columns = {p.key: p.columns[0] for p in mapper.column_attrs if isinstance(p.columns[0], Column)}
            for row in connection.execute(select(*columns.values())):
                values = dict(zip(columns, row, strict=True))
                found[mapped.__name__, values["id"]] = values
    return found


def replay(before: Tables, events: Iterable[MutationEvent]) -> Tables:
    """Return what the tables hold after ``events``, in their order.

    :raises AssertionError: if an event does not continue what those before it have left, or tells of no change.
    """
    now = {key: dict(row) for key, row in before.items()}
    for event in events:
        key = event.record_name, event.record["id"]
        match event.type:
            case "create":
                assert key not in now, f"created, but it was there: {event}"
                now[key] = dict(event.record)
            case "delete":
                assert key in now, f"deleted, but it was not there: {event}"
                assert now.pop(key) == dict(event.record), f"the last row was another: {event}"
            case "update":
                assert event.old_record is not None
                old = event.record_name, event.old_record["id"]
                assert old in now, f"updated, but it was not there: {event}"
                row = now.pop(old)
                assert row == dict(event.old_record), f"the row was another: {row}: {event}"
                assert event.keys == _changed(row, event.record), f"wrong keys: {event}"
                assert event.keys, f"nothing changed: {event}"
                now[key] = dict(event.record)
    return now


def _changed(old: Mapping[str, Any], new: Mapping[str, Any]) -> frozenset[str]:
    return frozenset(name for name in {*old, *new} if old.get(name) != new.get(name))
