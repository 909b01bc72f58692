"""Derive rows from source rows or from events, as a Transform declares."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Select, select
from sqlalchemy.orm import Mapper

from ...definitions.computation import info_of
from ...definitions.events import MutationEvent, RecordView
from ...definitions.transform import Transform
from ...dialects import Lock
from ...errors import ComputationError, DefinitionFault
from ...schema.computed import INPUT_KEY, state_of
from ...schema.filtered_lookup import filtered_record
from ...schema.record_lookup import distinct_name, resolve_record
from ..database.python_contributions import call
from ..plan import Derivation, Key, Plan, Reaction
from ..plan.edge_builder import stored_attributes
from ..plan.event_reactions import add_reaction, resolved_trigger, told_as
from ..plan.kinds import add_rows
from ..plan.watched_tables import Sources
from ..propagation.propagation import Propagation
from .engine_row_writes import column_values, delete_rows, insert_rows, update_rows
from .run_reactions import run_effect


@add_rows.register
def _add(transform: Transform, plan: Plan, sources: Sources, mapper: Mapper[Any]) -> None:
    """Add a derivation and the events that trigger it.

    :raises DefinitionFault: if the engine cannot follow the rows of a record that it names.
    """
    target = sources.mapper(mapper)
    derivation = Derivation(distinct_name(mapper, plan.metadata), transform, target, mapper)
    plan.derivations.append(derivation)
    if transform.record is not None:
        members = filtered_record(plan.metadata, transform.record)
        derivation.members = members
        derivation.origin = resolve_record(plan.metadata, transform.record if members is None else members.base)
        derivation.attributes = _attributes_of(transform, derivation.origin)
        columns = {place[1]: c for c in target.table.columns if (place := state_of(c)) is not None and place[0] is None}
        derivation.source_column, derivation.index_column = columns["source"], columns["index"]
        name = told_as(plan, derivation.origin) if members is None else members.name
        add_reaction(plan, sources, Reaction(derivation.origin, None, derivation, relation=name))
    for dependency in (transform.event_deps or {}).values():
        event_mapper, trigger, relation = resolved_trigger(plan, dependency)
        add_reaction(plan, sources, Reaction(event_mapper, trigger, derivation, relation=relation))


def _attributes_of(transform: Transform, origin: Mapper[Any]) -> tuple[str, ...]:
    """Return the attributes of source rows that the callback sees."""
    asked = transform.attribute_query
    columns: list[tuple[str, Any]] = [(prop.key, prop.columns[0]) for prop in origin.column_attrs]
    of_inputs = {name for name, column in columns if info_of(column).get(INPUT_KEY, _name(origin)) != _name(origin)}
    if asked and (named := [name for name in asked if name in of_inputs]):
        raise DefinitionFault(
            f"attribute_query names {named}, computed by one input of {_name(origin)} only; derive rows from this input"
        )
    return tuple(asked or (name for name in stored_attributes(origin) if name not in of_inputs))


def _name(mapper: Mapper[Any]) -> str:
    return str(mapper.class_.__name__)


@run_effect.register
def _run(
    derivation: Derivation,
    propagation: Propagation,
    reactions: Sequence[Reaction],
    event: MutationEvent,
    ctx: Any,
) -> None:
    run_derivation(propagation, derivation, event)


def run_derivation(propagation: Propagation, derivation: Derivation, event: MutationEvent) -> None:
    """Update derived rows after an event."""
    if derivation.origin is None:
        rows = [row for row in derive(derivation, event) if row is not None]
        insert_rows(propagation, derivation.target, derivation.mapper, rows, [{}] * len(rows))
        return
    token = source_token(derivation, event.record)
    if event.old_record is not None and (old := source_token(derivation, event.old_record)) != token:
        _move(propagation, derivation, old, token)
    if event.type == "update" and event.keys is not None and event.keys.isdisjoint(derivation.attributes):
        return
    fresh: list[Mapping[str, Any] | None] = []
    if event.type != "delete":
        # rows of a merged entity lack the attributes of other inputs
        fresh = derive(derivation, RecordView({name: event.record.get(name) for name in derivation.attributes}))
    store_derived(propagation, derivation, token, fresh, is_new=event.type == "create")


def source_token(derivation: Derivation, record: Mapping[str, Any]) -> str:
    """Return the key of a source row in the form that is stored in derived rows."""
    assert derivation.origin is not None
    mapper = derivation.origin
    key = [record[mapper.get_property_by_column(column).key] for column in mapper.primary_key]
    return str(key[0]) if len(key) == 1 else json.dumps(key, default=str)


def store_derived(
    propagation: Propagation,
    derivation: Derivation,
    token: str,
    fresh: Sequence[Mapping[str, Any] | None],
    *,
    is_new: bool,
) -> None:
    """Store ``fresh`` as the rows derived from one source row, matched by index, so that rows keep their keys."""
    assert derivation.source_column is not None
    assert derivation.index_column is not None
    there = {} if is_new else _mapped_rows(propagation, derivation, token)
    updates: dict[Key, dict[Any, Any]] = {}
    inserts: list[Mapping[str, Any]] = []
    hidden: list[dict[str, Any]] = []
    keys = {column.key for column in derivation.target.key}
    for index, row in enumerate(fresh):
        if row is None:
            continue
        if index in there:
            values = column_values(derivation.mapper, row)
            table = derivation.source_column.table
            updates[there.pop(index)] = {table.c[k]: v for k, v in values.items() if k not in keys}
        else:
            inserts.append(row)
            hidden.append({derivation.source_column.key: token, derivation.index_column.key: index})
    delete_rows(propagation, derivation.target, derivation.mapper, there.values())
    update_rows(propagation, derivation.target, derivation.mapper, updates)
    insert_rows(propagation, derivation.target, derivation.mapper, inserts, hidden)


def _move(propagation: Propagation, derivation: Derivation, old: str, new: str) -> None:
    """Update the source key in derived rows after their source row got another key."""
    source = derivation.source_column
    assert source is not None
    rows = _mapped_rows(propagation, derivation, old)
    update_rows(propagation, derivation.target, derivation.mapper, {key: {source: new} for key in rows.values()})


def _mapped_rows(propagation: Propagation, derivation: Derivation, token: str) -> dict[int, Key]:
    """Lock the rows derived from a source row; return their keys by index."""
    target, source, index = derivation.target, derivation.source_column, derivation.index_column
    assert source is not None
    assert index is not None
    shape = (("p0", source.type),)

    def make() -> Select[Any]:
        statement = select(index, *target.key).where(propagation.db.dialect.contains([source], "ids", shape))
        return propagation.db.dialect.lock(statement.order_by(*target.key), Lock.UPDATE, target.table)

    statement = propagation.db.statements.cached(("derived", derivation), make)
    rows = propagation.db.execute(target, statement, propagation.db.dialect.pack("ids", shape, [(token,)]))
    return {row[0]: tuple(row[1:]) for row in rows}


def derive(derivation: Derivation, argument: Any) -> list[Mapping[str, Any] | None]:
    """Return the rows that the callback returns for a source row or an event.

    :raises ComputationError: if it fails, or returns an invalid value.
    """
    answer = call(derivation.transform.callback, argument, derivation.name, None)
    rows = [answer] if answer is None or isinstance(answer, Mapping) else answer
    if not isinstance(rows, (list, tuple)) or not all(row is None or isinstance(row, Mapping) for row in rows):
        raise ComputationError(
            f"the Transform of {derivation.name} returned {answer!r}; it may return a mapping, a list of mappings and "
            "None, or None",
            record=derivation.name,
        )
    return list(rows)
