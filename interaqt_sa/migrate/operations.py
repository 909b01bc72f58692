"""Operations that revisions contain: values that say *what*, see :mod:`.implementations` for *how*.

Signatures only ever grow optional keywords: revisions written years ago call them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from alembic.operations import MigrateOperation, Operations
from sqlalchemy import Column, TextClause


class Note(MigrateOperation):
    """Stands where there is nothing to do, such as the way back from a change of data; rendered as a comment.

    :param subject: the operation that it undoes.
    """

    def __init__(self, text: str, subject: MigrateOperation) -> None:
        self.text = text
        self.subject = subject

    def reverse(self) -> MigrateOperation:
        return self.subject

    def to_diff_tuple(self) -> tuple[str, str]:
        return ("interaqt_note", self.text)


@Operations.register_operation("interaqt_create_sequence")
class CreateSequence(MigrateOperation):
    """Create a sequence; nothing on databases that have none."""

    def __init__(self, name: str, *, start: int = 1, increment: int = 1, schema: str | None = None) -> None:
        self.name = name
        self.start = start
        self.increment = increment
        self.schema = schema

    @classmethod
    def interaqt_create_sequence(
        cls, operations: Operations, name: str, *, start: int = 1, increment: int = 1, schema: str | None = None
    ) -> None:
        """Create a sequence; does nothing on databases that have none.

        :param name: its name.
        :param start: first value.
        :param increment: distance of its values.
        :param schema: where it lies.
        """
        operations.invoke(cls(name, start=start, increment=increment, schema=schema))

    def reverse(self) -> MigrateOperation:
        return DropSequence(self.name, start=self.start, increment=self.increment, schema=self.schema)

    def to_diff_tuple(self) -> tuple[str, str | None, str]:
        return ("interaqt_create_sequence", self.schema, self.name)


@Operations.register_operation("interaqt_drop_sequence")
class DropSequence(MigrateOperation):
    """Drop a sequence; nothing on databases that have none."""

    def __init__(self, name: str, *, start: int = 1, increment: int = 1, schema: str | None = None) -> None:
        self.name = name
        self.start = start
        self.increment = increment
        self.schema = schema

    @classmethod
    def interaqt_drop_sequence(
        cls, operations: Operations, name: str, *, start: int = 1, increment: int = 1, schema: str | None = None
    ) -> None:
        """Drop a sequence; does nothing on databases that have none.

        :param name: its name.
        :param schema: where it lies.
        :param start: kept for the way back, as is ``increment``.
        """
        operations.invoke(cls(name, start=start, increment=increment, schema=schema))

    def reverse(self) -> MigrateOperation:
        return CreateSequence(self.name, start=self.start, increment=self.increment, schema=self.schema)

    def to_diff_tuple(self) -> tuple[str, str | None, str]:
        return ("interaqt_drop_sequence", self.schema, self.name)


@Operations.register_operation("interaqt_move_legacy_ids")
class MoveLegacyIds(MigrateOperation):
    """Move a sequence past all ids that exist, or that a legacy table ``_IDS_`` has given out."""

    def __init__(
        self, sequence: str, table: str, column: str, records: Sequence[str] = (), *, schema: str | None = None
    ) -> None:
        self.sequence = sequence
        self.table = table
        self.column = column
        self.records = tuple(records)
        self.schema = schema

    @classmethod
    def interaqt_move_legacy_ids(
        cls,
        operations: Operations,
        sequence: str,
        table: str,
        column: str,
        records: Sequence[str] = (),
        *,
        schema: str | None = None,
    ) -> None:
        """Move ``sequence`` past every id in use; only ever forward, so that it can be repeated at any time.

        A table ``_IDS_(last INTEGER, name TEXT)`` is read if there is one; it is neither written nor dropped.

        :param sequence: what gives out ids from now on.
        :param table: the table whose ids they are.
        :param column: its id column.
        :param records: names under which ``_IDS_`` may know the table.
        :param schema: where table and sequence lie.
        """
        operations.invoke(cls(sequence, table, column, records, schema=schema))

    def reverse(self) -> MigrateOperation:
        return Note(f"the ids of {self.table} stay as they are, and _IDS_ was never changed", self)

    def to_diff_tuple(self) -> tuple[str, str | None, str, str]:
        return ("interaqt_move_legacy_ids", self.schema, self.table, self.sequence)


@Operations.register_operation("interaqt_backfill")
class Backfill(MigrateOperation):
    """Compute a value for the rows that exist, or derive rows from them.

    :param previous: fingerprint that the database was last filled from; only shown in differences.
    :param column: where the values go; autogenerate knows it, revisions do not.
    """

    def __init__(
        self,
        name: str,
        fingerprint: str,
        *,
        batch: int = 1000,
        previous: str | None = None,
        column: Column[Any] | None = None,
    ) -> None:
        self.name = name
        self.fingerprint = fingerprint
        self.batch = batch
        self.previous = previous
        self.column = column

    @classmethod
    def interaqt_backfill(cls, operations: Operations, name: str, fingerprint: str, *, batch: int = 1000) -> None:
        """Compute the value ``name`` for all rows, in short transactions of their own; go on where a crash ended it.

        The models say how. If they do not declare the value any more, or declare it differently, nothing is done: the
        revision that belongs to the newer declaration does it.

        :param name: ``"Record.property"``, or ``"Record"`` where a Transform derives the rows.
        :param fingerprint: of the declaration for which the revision was written; ``"default"`` writes the default of a
            property into rows that have no value.
        :param batch: rows per transaction.
        """
        operations.invoke(cls(name, fingerprint, batch=batch))

    def reverse(self) -> MigrateOperation:
        return Note(f"what was computed for {self.name} stays as it is", self)

    def to_diff_tuple(self) -> tuple[str, str, str | None, str]:
        return ("interaqt_backfill", self.name, self.previous, self.fingerprint)


@Operations.register_operation("interaqt_check_unique")
class CheckUnique(MigrateOperation):
    """Refuse to go on while rows would break a unique constraint that is about to be created."""

    def __init__(
        self,
        constraint: str | None,
        table: str,
        columns: Sequence[str | TextClause],
        *,
        where: str | None = None,
        nulls_not_distinct: bool = False,
        schema: str | None = None,
    ) -> None:
        self.constraint = constraint
        self.table = table
        self.columns = tuple(columns)
        self.where = where
        self.nulls_not_distinct = nulls_not_distinct
        self.schema = schema

    @classmethod
    def interaqt_check_unique(
        cls,
        operations: Operations,
        constraint: str | None,
        table: str,
        columns: Sequence[str | TextClause],
        *,
        where: str | None = None,
        nulls_not_distinct: bool = False,
        schema: str | None = None,
    ) -> None:
        """Raise :class:`.ConstraintSetupError` with the offending rows if ``columns`` are not unique.

        :param constraint: name of the constraint or index that comes next.
        :param table: the table.
        :param columns: names, or expressions as ``text()``.
        :param where: SQL predicate of a partial index.
        :param nulls_not_distinct: whether NULLs are equal to each other.
        :param schema: where the table lies.
        """
        operations.invoke(
            cls(constraint, table, columns, where=where, nulls_not_distinct=nulls_not_distinct, schema=schema)
        )

    def reverse(self) -> MigrateOperation:
        return Note(f"{self.constraint}: nothing was changed by looking for duplicates", self)

    def to_diff_tuple(self) -> tuple[str, str | None, str, str | None]:
        return ("interaqt_check_unique", self.schema, self.table, self.constraint)
