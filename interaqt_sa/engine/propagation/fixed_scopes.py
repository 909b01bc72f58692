"""Refuse changes of the scope of a numbered row."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Column

from ...errors import ComputationProtocolError
from ..database.database import Database
from ..database.flush_row_values import UNKNOWN, stored_form
from ..database.pending_deltas import Touched
from ..database.value_round_trip import same_value
from ..plan import Key, Numbering, Source


class FixedScopes:
    """The scopes of the numbered rows that a write may change, as they were before it.

    They are compared in the database, because rows change by foreign key actions, expressions and triggers too. Writes
    that do not touch a column of a scope cost nothing.
    """

    def __init__(self, db: Database) -> None:
        self._db = db
        self._before: dict[Numbering, dict[Key, tuple[Any, ...]]] = {}

    def remember(self, touched: Mapping[Source, Touched]) -> None:
        """Read the scopes of locked rows that are about to be written."""
        for source, rows in touched.items():
            columns = rows.columns
            for numbering in self._db.statements.plan.numberings_of(source) if columns else ():
                if columns is not None and not columns.isdisjoint(numbering.scope):
                    known = self._before.setdefault(numbering, {})
                    known.update(self._read(numbering, [key for key in rows.keys if key not in known]))

    def __bool__(self) -> bool:
        return bool(self._before)

    def refuse(self, numbering: Numbering, key: Key, given: Mapping[Column[Any], Any]) -> None:
        """Refuse a change that is known before the write.

        :param given: the values that columns will get, as far as they are known.
        :raises ComputationProtocolError: if the scope of the row will change.
        """
        before = self._before.get(numbering, {}).get(key)
        if before is None:
            return
        now = [stored_form(given[c], c) if c in given else UNKNOWN for c in numbering.scope]
        if any(new is not UNKNOWN and not same_value(old, new) for old, new in zip(before, now, strict=True)):
            shown = (old if new is UNKNOWN else new for old, new in zip(before, now, strict=True))
            raise _changed(numbering, key, before, tuple(shown))

    def refuse_for_all(self, given: Mapping[Column[Any], Any]) -> None:
        """Refuse a change of all rows; see :meth:`refuse`."""
        for numbering, rows in self._before.items():
            for key in rows:
                self.refuse(numbering, key, given)

    def require_unchanged(self) -> None:
        """Compare the scopes after the write.

        :raises ComputationProtocolError: if one has changed, with the name of the numbered property.
        """
        for numbering, before in self._before.items():
            now = self._read(numbering, list(before)) if before else {}
            for key, scope in before.items():
                if key in now and not same_value(scope, now[key]):
                    raise _changed(numbering, key, scope, now[key])
        self._before.clear()

    def _read(self, numbering: Numbering, keys: list[Key]) -> dict[Key, tuple[Any, ...]]:
        if not keys:
            return {}
        source, columns = numbering.source, (numbering.column, *numbering.scope)
        statement = self._db.statements.read_rows(source, columns, numbering.value.mapper)
        width, found = len(source.key), {}
        for row in self._db.execute(source, statement, self._db.dialect.pack("ids", source.key_shape, keys)):
            number, *scope = row[width:]
            if not numbering.declaration.is_unnumbered(number, numbering.column):
                found[tuple(row[:width])] = tuple(scope)
        return found


def _changed(numbering: Numbering, key: Key, before: tuple[Any, ...], now: tuple[Any, ...]) -> ComputationProtocolError:
    value, names = numbering.value, ", ".join(column.name for column in numbering.scope)
    old, new = (values[0] if len(values) == 1 else values for values in (before, now))
    return ComputationProtocolError(
        f"{value.record} {key[0] if len(key) == 1 else key!r} has a number in its scope, so that {names} cannot change "
        f"from {old!r} to {new!r}; create another {value.record} in the new scope, and delete this one or mark it as "
        "cancelled",
        record=value.record,
        property=value.attribute,
    )
