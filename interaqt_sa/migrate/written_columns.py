"""What the statements of a revision write, and the values that are filled again because of it.

Operations of this package fill values by themselves. Other statements of revisions, such as ``op.bulk_insert`` and
``op.execute``, write rows without the engine: values that were filled before are not correct any more.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Table, event

from ..dialects.execution_options import ENGINE_OPTIONS
from .backfill_state import DONE, WAITING, advance, metadatas, read_state, state_of
from .declared import Declared
from .value_dependencies import reading

if TYPE_CHECKING:
    from alembic.runtime.migration import MigrationContext

#: option in which :func:`.configure` passes :class:`WrittenColumns` to operations
WRITTEN_OPTION = "interaqt_written_columns"

_PART = r'(?:"(?:[^"]|"")*"|[\w$]+)'
_NAME = rf"{_PART}(?:\s*\.\s*{_PART})*"
_WRITE = re.compile(
    r"\b(INSERT\s+(?:OR\s+\w+\s+)?INTO|REPLACE\s+INTO|UPDATE(?:\s+OR\s+\w+)?|DELETE\s+FROM|MERGE\s+INTO|COPY"
    rf"|TRUNCATE(?:\s+TABLE)?)\s+(?:ONLY\s+)?({_NAME})",
    re.IGNORECASE,
)
_ALTER = re.compile(rf"\bALTER\s+TABLE\s+(?:IF\s+EXISTS\s+)?(?:ONLY\s+)?({_NAME})([^;]*)", re.IGNORECASE)
_CONVERT = re.compile(rf"\bALTER\s+(?:COLUMN\s+)?({_PART})\s+(?:SET\s+DATA\s+)?TYPE\b", re.IGNORECASE)
_ADD = re.compile(
    rf"\b(?:ADD\s+(?:COLUMN\s+)?(?:IF\s+NOT\s+EXISTS\s+)?|RENAME\s+(?:COLUMN\s+)?{_PART}\s+TO\s+)({_PART})",
    re.IGNORECASE,
)


@dataclass
class _Write:
    """Written columns of a table.

    :ivar columns: their names; ``None`` if rows were written, with all their columns.
    :ivar is_added: whether the columns are new: functions of the row read them only if they have changed.
    :ivar filled: the values that were filled after it.
    """

    table: str
    columns: frozenset[str] | None
    is_added: bool = False
    filled: set[str] = field(default_factory=set[str])


class WrittenColumns:
    """The columns that the statements of an upgrade have written, until the end of the revision."""

    def __init__(self) -> None:
        self._writes: list[_Write] = []
        self._dropped: set[tuple[str, str]] = set()
        self._paused = False

    def rows(self, table: str) -> None:
        """Note that rows of ``table`` were written."""
        self._note(_Write(_folded(table), None))

    def columns(self, table: str, names: Iterable[str]) -> None:
        """Note that columns of existing rows were written."""
        self._note(_Write(_folded(table), frozenset(map(_folded, names))))

    def added(self, table: str, name: str) -> None:
        """Note that a column was added, which has its default in all rows, or is NULL."""
        key = _folded(table), _folded(name)
        self._note(_Write(key[0], frozenset({key[1]}), is_added=key not in self._dropped))

    def dropped(self, table: str, name: str) -> None:
        """Note that a column was dropped: if it is added again, it has other values."""
        self._dropped.add((_folded(table), _folded(name)))

    def filled(self, places: Iterable[str]) -> None:
        """Note that values were computed for all rows."""
        found = set(places)
        for write in self._writes:
            write.filled |= found

    @contextmanager
    def paused(self) -> Generator[None]:
        """Do not note the statements of this package."""
        before, self._paused = self._paused, True
        try:
            yield
        finally:
            self._paused = before

    def statement(self, text: str) -> None:
        """Note what an SQL statement writes, as far as its text tells."""
        found = [(verb.upper(), _last(name)) for verb, name in _WRITE.findall(text)]
        if any(not verb.startswith("UPDATE") for verb, _ in found):
            for _, table in found:
                self.rows(table)
        elif found:
            # the columns of a single UPDATE are somewhere in its text
            words = set(re.findall(r'\w+|"(?:[^"]|"")*"', text))
            for _, table in found:
                self.columns(table, words)
        for name, actions in _ALTER.findall(text):
            if converted := _CONVERT.findall(actions):
                self.columns(_last(name), converted)
            for column in _ADD.findall(actions):
                self.added(_last(name), column)

    def __bool__(self) -> bool:
        return bool(self._writes)

    def take(self, declared: Declared) -> set[str]:
        """Return the values and derived rows that depend on what was written after they were filled."""
        return {
            name
            for write in self._writes
            for name in _affected(declared, write)
            if declared.place_of(name) not in write.filled
        }

    def clear(self) -> None:
        """Forget the writes of a revision."""
        self._writes.clear()

    def _note(self, write: _Write) -> None:
        if not self._paused and not any(
            (one.table, one.columns, one.is_added) == (write.table, write.columns, write.is_added) and not one.filled
            for one in self._writes
        ):
            self._writes.append(write)


def _folded(name: str) -> str:
    return name.strip('"').replace('""', '"').lower()


def _last(name: str) -> str:
    """Return the last part of a name that may have a schema: a table is found in every schema of a tenant."""
    parts: list[str] = re.findall(_PART, name)
    return parts[-1]


def _affected(declared: Declared, write: _Write) -> set[str]:
    plan = declared.plan
    tables = {table for table in declared.metadata.tables.values() if table.name.lower() == write.table}
    columns = {
        column
        for table in tables
        for column in table.columns
        if write.columns is None or column.name.lower() in write.columns
    }
    if not columns:
        return set()
    found = reading(plan, columns)
    if write.is_added:
        found = {name for name in found if name in plan.computed and plan.computed[name].is_aggregate}
    found |= {name for name, value in plan.computed.items() if not columns.isdisjoint({value.column, *value.running})}
    for name, derivation in declared.derivations.items():
        # its own rows; computed columns among theirs have been found above
        own = {column for attribute in derivation.mapper.column_attrs for column in attribute.columns}
        if any(column in columns and column not in plan.columns for column in own):
            found.add(name)
    if write.columns is None:
        found |= set(_over_rows(declared, tables))
    return found


def _over_rows(declared: Declared, tables: set[Table]) -> Iterator[str]:
    """Yield what depends on the existence of rows, whatever their columns are."""
    for host in declared.plan.hosts.values():
        for edge in host.edges:
            if not tables.isdisjoint({edge.member.table, *edge.tables, *(hop.table for hop in edge.hops)}):
                yield from (part.value.name for part in edge.parts)
    for name in declared.fingerprints:
        if declared.table_of(name) in tables:
            yield name


# -- in a migration ----------------------------------------------------------------------------------------------------


def written_by(context: MigrationContext | None) -> WrittenColumns:
    """Return what the revisions of ``context`` have written; in one without :func:`.configure` nobody asks for it."""
    found = None if context is None else context.opts.get(WRITTEN_OPTION)
    return found if isinstance(found, WrittenColumns) else WrittenColumns()


@contextmanager
def noting_writes(connection: Connection, context: MigrationContext | None) -> Generator[None]:
    """Note the statements that are executed on ``connection``."""
    written = written_by(context)

    def before(conn: Connection, cursor: Any, statement: str, parameters: Any, context: Any, many: bool) -> None:
        # DDL constructs are operations of Alembic, see value_changing_operations
        if context is not None and (context.isddl or ENGINE_OPTIONS.keys() <= context.execution_options.keys()):
            return
        written.statement(statement)

    event.listen(connection, "before_cursor_execute", before)
    try:
        yield
    finally:
        event.remove(connection, "before_cursor_execute", before)


def reopen_written(context: MigrationContext, connection: Connection) -> None:
    """Record that values wait for their back-fill if a revision has written what they are computed from.

    It is a part of the transaction of the revision, so that an interruption does not lose it.
    """
    written = written_by(context)
    if not written:
        return
    targets = metadatas(context.opts.get("target_metadata"))
    state = state_of(targets)
    with written.paused():
        for one in Declared.all(targets):
            names = written.take(one)
            rows = read_state(connection, state) if names else {}
            recorded = {place: name for name in names if (place := one.recorded_as(rows, name)) is not None}
            # others have a back-fill in a later revision
            done = [
                place
                for place, name in recorded.items()
                if rows[place].phase == DONE and one.is_current(name, rows[place].fingerprint)
            ]
            if done:
                advance(connection, state, done, WAITING, None)
    written.clear()
