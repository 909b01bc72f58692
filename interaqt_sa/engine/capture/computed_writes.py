"""Refuse writes to computed columns, unless they assign the stored value."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from sqlalchemy import Column, Enum, Table
from sqlalchemy.orm.attributes import instance_dict, instance_state
from sqlalchemy.sql.dml import Insert, Update
from sqlalchemy.sql.elements import ClauseElement

from ...errors import ComputedWriteError
from ...schema.computed import state_of
from ..database.flush_row_values import stored_form
from ..database.value_round_trip import same_value
from ..plan import ComputedValue, Plan, Source, Watch
from .dml_statement import DMLStatement, known_value

if TYPE_CHECKING:
    from ..plan import Key
    from ..propagation.propagation import Propagation

_UNSET: Any = object()


def refuse_computed_write(instance: object, watch: Watch, attributes: Iterable[str]) -> None:
    """Refuse an assignment to a computed attribute, unless it does not change the value.

    :raises ComputedWriteError: with the names of the attribute and its computation.
    """
    state, values = instance_state(instance), instance_dict(instance)
    for name in watch.computed.keys() & set(attributes):
        value = watch.computed[name]
        now = values.get(name, _UNSET)
        if now is _UNSET:
            continue
        before = state.committed_state.get(name, _UNSET) if state.key else value.computation.initial_value(value.column)
        if state.key is None and (now is None or value.computation.takes(now)):
            continue
        if not _is_equal(now, before, value.column):
            raise computed_write(value)
        values[name] = before  # with the type of its column


def refuse_assigned(
    element: Insert | Update,
    table: Table,
    parameters: Sequence[Mapping[str, Any]],
    plan: Plan,
    started_in: Callable[[Column[Any]], list[Any]],
) -> None:
    """Refuse a statement of the unit of work that writes values assigned to computed columns during the flush.

    Same-row values are exempt: they are recomputed after the flush. Numbers of new rows have a check of their own.

    :param started_in: returns the initial states that state machines have assigned to a column of new rows.
    :raises ComputedWriteError: with the names of the attribute and its computation.
    """
    values = [plan.columns[c] for c in table.columns if c in plan.columns]
    values = [v for v in values if not (v.computation.numbers_rows and isinstance(element, Insert))]
    for value in (v for v in values if not v.is_same_row):
        given = [row[value.column.key] for row in parameters if value.column.key in row]
        started = started_in(value.column)
        if isinstance(element, Insert) and not started:
            started = [value.computation.initial_value(value.column)]
        for one in given:
            # None means that the column gets its own default
            if one is not None and not any(_is_equal(one, state, value.column) for state in started):
                raise computed_write(value)


def computed_write(value: ComputedValue) -> ComputedWriteError:
    """Return the error for a write to ``value``."""
    return ComputedWriteError(
        f"{value.name} is computed (by {type(value.computation).__name__}) and cannot be assigned; "
        f"{value.computation.way_to_change}",
        record=value.record,
        property=value.attribute,
    )


class GivenComputedValues:
    """The values that one DML statement assigns to computed columns.

    :raises ComputedWriteError: if the statement alone shows that it changes them.
    """

    def __init__(self, plan: Plan, dml: DMLStatement) -> None:
        self._dml = dml
        self._values: dict[Column[Any], ComputedValue] = {}
        for column in dml.written:
            value = plan.columns.get(column)
            if value is not None:
                self._values[column] = value
            elif (place := state_of(column)) is not None:
                owner, _ = place
                value = plan.columns.get(dml.table.c[owner]) if owner is not None and owner in dml.table.c else None
                if value is not None:
                    raise computed_write(value)
        if self._values:
            self._refuse()

    def _refuse(self) -> None:
        on_conflict = {column for column, _ in self._dml.set_on_conflict()}
        selects = getattr(self._dml.statement, "select", None) is not None  # INSERT … SELECT, whose values are unknown
        for column, value in self._values.items():
            if column in on_conflict or selects or column in self._dml.untold:
                raise computed_write(value)
        if isinstance(self._dml.statement, Insert):
            for row in self._dml.given_rows():
                for column, value in self._values.items():
                    given = row.get(column)
                    if given is None or value.computation.takes(given):
                        continue
                    if not _is_equal(given, value.computation.initial_value(value.column), column):
                        raise computed_write(value)

    def require_unchanged(self, propagation: Propagation, source: Source, keys: Sequence[Key]) -> None:
        """Refuse an UPDATE that assigns values other than the stored ones to computed columns of locked rows.

        :raises ComputedWriteError: with the names of the column and its computation.
        """
        if not self._values or not keys:
            return
        columns = list(self._values)
        statement = propagation.db.statements.read_rows(source, columns, self._dml.mapper)
        packed = propagation.db.dialect.pack("ids", source.key_shape, list(keys))
        for row in propagation.db.execute(source, statement, packed):
            key, stored = tuple(row[: -len(columns)]), row[-len(columns) :]
            for given in self._given_to(key, keys):
                for column, now in zip(columns, stored, strict=True):
                    if column in given and not self._stays(given[column], now, column):
                        raise computed_write(self._values[column])

    def _given_to(self, key: Key, keys: Sequence[Key]) -> list[Mapping[Column[Any], Any]]:
        """Return the values that the statement assigns to the row with ``key``."""
        dml = self._dml
        if not dml.rows:
            return [{**dml.values(), **dml.by_column(dml.parameters, in_rows=True)}]
        rows = [dml.by_column(row, in_rows=True) for row in dml.rows]
        if dml.rows_by_attribute and len(rows) == len(keys):
            rows = [row for row, other in zip(rows, keys, strict=True) if other == key]
        return [{**dml.values(), **row} for row in rows]

    @staticmethod
    def _stays(given: Any, stored: Any, column: Column[Any]) -> bool:
        value = known_value(given)
        if isinstance(value, ClauseElement):  # SET column = column
            return isinstance(value, Column) and value.name == column.name and value.table.is_derived_from(column.table)
        return _is_equal(value, stored, column)


def _is_equal(given: Any, stored: Any, column: Column[Any]) -> bool:
    """Whether storing ``given`` would give the value ``stored``."""
    if given is stored or same_value(given, stored) or same_value(stored_form(given, column), stored):
        return True
    if isinstance(given, (int, float, Decimal)) and isinstance(stored, (int, float, Decimal)):
        return bool(given == stored)
    if isinstance(column.type, Enum) and column.type.enum_class is not None and isinstance(given, str):
        return column.type._object_lookup.get(given, _UNSET) is stored
    return False
