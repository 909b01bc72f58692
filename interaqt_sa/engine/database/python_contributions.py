"""Contributions computed by a Python callback."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Column, Integer

from ...definitions.events import RecordView
from ...definitions.validation import refuse_awaitable
from ...dialects.undecorated_types import stored_type
from ...errors import ComputationError, FrameworkError
from ..plan import Edge, Part


def evaluate_members(edge: Edge, rows: Iterable[Sequence[Any]]) -> list[tuple[Any, ...]]:
    """Return host key and contribution of each member row that :meth:`.Statements.read_members` has read."""
    evaluated = []
    for row in rows:
        width = len(edge.key)
        numbers: list[Any] = [0] * len(edge.vector)
        for part in edge.parts:
            if part.callback is None:
                found: Sequence[Any] = row[width : width + len(part.sql)]
                width += len(part.sql)
            else:
                end = width + 1 + len(part.attributes) + len(part.dictionaries)
                found = _evaluate(part, row[width], row[width + 1 : end])
                width = end
            for position, number in zip(part.positions, found, strict=True):
                numbers[position] = number or 0
        evaluated.append((*row[: len(edge.key)], *numbers))
    return evaluated


def _evaluate(part: Part, counts: Any, values: Sequence[Any]) -> Sequence[Any]:
    assert part.callback is not None
    if not counts:
        return [0] * len(part.positions)
    view = record_view(dict(zip(part.attributes, values, strict=False)))
    value = part.value
    assert value.accumulator is not None
    data = dict(zip(part.dictionaries, values[len(part.attributes) :], strict=True))
    answer = call(part.callback, view, value.record, value.attribute, *([data] if data else ()))
    try:
        found = value.accumulator.python(answer)
        return [_stored(number, column) for number, column in zip(found, value.running, strict=True)]
    except ValueError as error:
        raise ComputationError(
            f"{value.name}: its callback {part.callback!r}: {error}", record=value.record, property=value.attribute
        ) from error


def _stored(number: Any, column: Column[Any]) -> Any:
    """Return a contribution in the type of its running column.

    :raises ValueError: if the column is an integer, and the number has decimal places.
    """
    if isinstance(number, int) or number is None or not isinstance(stored_type(column.type), Integer):
        return number
    if number != (whole := int(number)):
        raise ValueError(f"it contributes {number}, but {column.table.name}.{column.name} has no decimal places")
    return whole


def record_view(paths: Mapping[str, Any]) -> RecordView:
    """Return values by dotted path as a record with nested records."""
    view = RecordView()
    for path, value in paths.items():
        *steps, last = path.split(".")
        target = view
        for step in steps:
            target = target.setdefault(step, RecordView())
        dict.__setitem__(target, last, value)
    return view


def call(function: Any, argument: Any, record: str, name: str | None, *further: Any) -> Any:
    """Call a pure function of the application and return its result.

    :param further: its further arguments.
    :raises ComputationError: if it fails; the original error is its cause.
    """
    where = record if name is None else f"{record}.{name}"
    try:
        answer = function(argument, *further)
    except FrameworkError:
        raise
    except Exception as error:
        raise ComputationError(f"{where}: {function!r} failed: {error}", record=record, property=name) from error
    return refuse_awaitable(answer, where)
