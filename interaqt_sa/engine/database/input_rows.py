"""Read the data that functions of the application compute values from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Column, ColumnElement, Select, select, tuple_

from ...definitions.events import RecordView
from ..plan import ComputedValue, Edge, Host, Inputs, Key
from ..plan.column_replacement import labelled
from ..sql.aggregate_updates import HostStatements
from .database import Database
from .python_contributions import record_view


@dataclass(frozen=True)
class InputRow:
    """The data for one host.

    :ivar stored: the stored values of :attr:`.ComputedValue.running`.
    :ivar record: the key and the declared attributes of the row; ``None`` for a dictionary.
    :ivar data: the data by the names of the dependencies.
    """

    stored: Mapping[Column[Any], Any]
    record: RecordView | None
    data: Mapping[str, Any]


def read_inputs(db: Database, value: ComputedValue, keys: Sequence[Key]) -> dict[Key, InputRow]:
    """Return the data of existing hosts by their primary keys; with one statement for each relationship or record."""
    assert value.inputs is not None
    host, inputs = db.statements.plan.hosts[value.table], value.inputs
    parameters = db.dialect.pack("ids", HostStatements.of(db.statements).host_shape(host.key), keys)
    statement = db.statements.cached(("inputs", value), lambda: _own_rows(db, host, value, inputs))
    rows = db.execute(host.source, statement, parameters)
    members = {name: _members(db, host, ways, parameters) for name, ways in inputs.members.items() if rows}
    return {tuple(row[: len(host.key)]): _input_row(value, host, inputs, row, members) for row in rows}


def _own_rows(db: Database, host: Host, value: ComputedValue, inputs: Inputs) -> Select[Any]:
    """Return a SELECT of key, stored values, attributes, dictionaries, and the keys by which members refer to hosts."""
    own = inputs.own
    columns: list[ColumnElement[Any]] = [*host.key, *value.running]
    columns += [*inputs.attributes.values(), *inputs.dictionaries.values()]
    columns += [column for ways in inputs.members.values() for column in ways[0].host_key]
    statement = select(*labelled(columns)).select_from(db.statements.joined(own)).where(*own.criteria)
    return statement.where(db.dialect.contains(host.key, "ids", HostStatements.of(db.statements).host_shape(host.key)))


def _members(
    db: Database, host: Host, ways: Sequence[Edge], parameters: Mapping[str, Any]
) -> dict[Key, list[RecordView]]:
    """Return the members of hosts by the key by which they refer to their host, in the order of their keys."""
    found: dict[Key, list[RecordView]] = {}
    for edge in ways:
        statement = db.statements.cached(("input members", edge), lambda edge=edge: _of_hosts(db, host, edge))  # type: ignore[misc]
        width, (part,) = len(edge.key), edge.parts
        for row in db.execute(edge.member, statement, {} if host.constant is not None else parameters):
            view = record_view(dict(zip(part.attributes, row[width:], strict=True)))
            found.setdefault(tuple(row[:width]), []).append(view)
    return found


def _of_hosts(db: Database, host: Host, edge: Edge) -> Select[Any]:
    """Return a SELECT of the members of hosts over an edge: their host key and attributes."""
    (part,) = edge.parts
    statement = select(*labelled([*edge.key, *part.attributes.values()])).select_from(db.statements.joined(edge))
    statement = statement.where(*edge.criteria).order_by(*edge.member_key)
    if host.constant is not None:
        return statement
    shape = HostStatements.of(db.statements).host_shape(host.key)
    if edge.host_key == host.key:
        return statement.where(db.dialect.contains(edge.key, "ids", shape))
    left = edge.key[0] if len(edge.key) == 1 else tuple_(*edge.key)
    return statement.where(left.in_(select(*edge.host_key).where(db.dialect.contains(host.key, "ids", shape))))


def _input_row(
    value: ComputedValue,
    host: Host,
    inputs: Inputs,
    row: Sequence[Any],
    members: Mapping[str, Mapping[Key, list[RecordView]]],
) -> InputRow:
    place = len(host.key)
    stored = dict(zip(value.running, row[place:], strict=False))
    place += len(value.running)
    attributes = dict(zip(inputs.attributes, row[place:], strict=False))
    place += len(attributes)
    data: dict[str, Any] = dict(zip(inputs.dictionaries, row[place:], strict=False))
    place += len(data)
    record = None if host.constant is not None else record_view(_keys(value, row) | attributes)
    for name, ways in inputs.members.items():
        key = tuple(row[place : place + len(ways[0].host_key)])
        place += len(key)
        found = members[name].get(key, [])
        if record is None:
            data[name] = found
        else:
            dict.__setitem__(record, name, next(iter(found), None) if name in inputs.single else found)
    data |= dict.fromkeys(inputs.names, record)
    return InputRow(stored, record, data)


def _keys(value: ComputedValue, row: Sequence[Any]) -> dict[str, Any]:
    mapper = value.mapper
    return {mapper.get_property_by_column(c).key: part for c, part in zip(mapper.primary_key, row, strict=False)}
