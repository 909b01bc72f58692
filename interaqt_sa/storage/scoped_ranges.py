"""Ranges of numbers from the counters of scoped sequences."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Column, MetaData
from sqlalchemy.orm import Mapper, Session

from ..definitions.computation import computation_of
from ..definitions.short_repr import shorten
from ..dialects import dialect_for
from ..dialects.execution_options import ENGINE_OPTIONS
from ..errors import InvalidValueError
from ..schema.key_coercion import NoKeyError, key_value
from ..schema.metadata_state import Catalog
from ..schema.record_lookup import record_name
from ..schema.scope_columns import scope_columns
from ..schema.scoped_counters import add_scoped_counters, advance_counters, counter_parameters, scope_text
from ..schema.value_checks import checked_value
from .read import dialect_of


def reserve_in_scope(session: Session, metadata: MetaData, name: Any, scope: Any, count: int) -> range:
    """Take the next numbers of the counter of ``scope``.

    :param name: the name of a :class:`.ScopedSequence`.
    :param scope: a value for each part of its scope, by its name.
    :raises InvalidValueError: if there is no such sequence, or the values do not identify a scope.
    """
    mapper, column, sequence = _find(metadata, name)
    given: Any = scope
    if not isinstance(scope, Mapping) or {*given} != {*sequence.scope}:
        expected = ", ".join(map(repr, sequence.scope)) or "nothing"
        raise _refused(f"the scope of ScopedSequence({name!r}) has values for {expected}, not {shorten(given)}")
    text = _text(session, mapper, column, sequence, given)
    dialect = dialect_for(dialect_of(session, mapper))
    table = add_scoped_counters(metadata)
    parameters = counter_parameters(dialect, sequence.name, sequence.start, {text: count * sequence.step}, one=True)
    found = session.execute(
        advance_counters(dialect, table, one=True),
        parameters,
        bind_arguments={"mapper": mapper},
        execution_options=ENGINE_OPTIONS,
    )
    last = int(found.one().last)
    return range(last - sequence.step * (count - 1), last + 1, sequence.step)


def _find(metadata: MetaData, name: Any) -> tuple[Mapper[Any], Column[Any], Any]:
    known: list[str] = []
    for mapper in Catalog.of(metadata).all_mappers():
        columns: list[Any] = [*mapper.columns]
        for column in columns:
            computation: Any = computation_of(column)
            if computation is not None and computation.numbers_rows:
                if computation.name == name:
                    return mapper, column, computation
                known.append(computation.name)
    raise _refused(f"there is no ScopedSequence {shorten(name)}; there are {', '.join(sorted({*known})) or 'none'}")


def _text(session: Session, mapper: Mapper[Any], column: Column[Any], sequence: Any, scope: Mapping[str, Any]) -> str:
    dialect, record = dialect_of(session, mapper), record_name(mapper)
    values: list[Any] = []
    for part in sequence.scope:
        listed = list(scope_columns(mapper, column.table, part))
        given = scope[part] if isinstance(scope[part], tuple) and len(listed) > 1 else (scope[part],)
        if len(given) != len(listed) or None in given:
            raise _refused(
                f"{part!r} of the scope of ScopedSequence({sequence.name!r}) cannot be {shorten(scope[part])}"
            )
        for one, value in zip(listed, given, strict=True):
            try:
                key = key_value(one, value)
            except NoKeyError as error:
                raise _refused(f"{part!r} of the scope of ScopedSequence({sequence.name!r}): {error}") from error
            values.append(checked_value(one, key, dialect, record=record, name=part, code="INVALID_ARGUMENT"))
    try:
        return scope_text(values)
    except TypeError as error:
        raise _refused(str(error)) from error


def _refused(message: str) -> InvalidValueError:
    return InvalidValueError(message, code="INVALID_ARGUMENT")
