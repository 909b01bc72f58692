"""Operations that revisions contain: values that say *what*, see :mod:`.implementations` for *how*.

Signatures only ever grow optional keywords: revisions written years ago call them.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from collections.abc import Sequence as SequenceOf
from typing import Any

from alembic.operations import MigrateOperation, Operations
from sqlalchemy import Column, Table, TextClause

from .noop_operation import Note
from .sequence_operations import (
    CreateSequence,
    DropSequence,
    LockLegacyIds,
    MoveLegacyIds,
    ReturnLegacyIds,
    SequenceOperation,
)

__all__ = [
    "DEFAULT_BATCH",
    "Backfill",
    "CheckRows",
    "CheckUnique",
    "CreateSequence",
    "DropSequence",
    "LockLegacyIds",
    "MoveLegacyIds",
    "MoveLinks",
    "Note",
    "ReopenBackfill",
    "RetireBackfill",
    "ReturnLegacyIds",
    "SequenceOperation",
    "Verify",
]

#: rows per transaction of a back-fill
DEFAULT_BATCH = 1000


@Operations.register_operation("interaqt_backfill")
class Backfill(MigrateOperation):
    """Compute values for the rows that exist, or derive rows from them.

    :ivar values: fingerprints by name.
    :ivar previous: fingerprints that the database was last filled from.
    :ivar columns: where the values go; autogenerate knows them, revisions do not.
    :ivar rows_of: the table whose rows it goes through, if one of them is known to have none from the beginning.
    """

    def __init__(
        self,
        values: Mapping[str, str],
        *,
        batch: int = DEFAULT_BATCH,
        inline: bool = False,
        previous: Mapping[str, str] | None = None,
        columns: SequenceOf[Column[Any]] = (),
        rows_of: Table | None = None,
    ) -> None:
        self.values = dict(values)
        self.batch = batch
        self.inline = inline
        self.previous = dict(previous or {})
        self.columns = tuple(columns)
        self.rows_of = rows_of

    @classmethod
    def merged(cls, operations: SequenceOf[Backfill], *, inline: bool = False) -> Backfill:
        """Return the operation that does what ``operations`` do, in one pass over each table."""
        values = {name: fingerprint for operation in operations for name, fingerprint in operation.values.items()}
        previous = {name: fingerprint for operation in operations for name, fingerprint in operation.previous.items()}
        columns = [column for operation in operations for column in operation.columns]
        return cls(values, batch=operations[0].batch, inline=inline, previous=previous, columns=columns)

    @classmethod
    def interaqt_backfill(
        cls,
        operations: Operations,
        name: str | Mapping[str, str],
        fingerprint: str | None = None,
        *,
        batch: int = DEFAULT_BATCH,
        inline: bool = False,
    ) -> None:
        """Compute values for all rows, in short transactions of their own; go on where a crash ended it.

        The models say how, as they are when the revision runs: what is declared differently by then is computed as it
        is declared then, with what is computed from it. What is not declared any more is skipped.

        :param name: ``"Record.property"``, or ``"Record"`` where a Transform derives the rows; or several of them,
            with their fingerprints.
        :param fingerprint: of the declaration for which the revision was written; ``"default"`` writes the default of a
            property into rows that have no value.
        :param batch: rows per transaction; ``-x batch=`` overrides it.
        :param inline: whether to do it in the transaction of the revision, which has created the tables.
        """
        values = {name: fingerprint or ""} if isinstance(name, str) else name
        operations.invoke(cls(values, batch=batch, inline=inline))

    def is_over(self, tables: Collection[tuple[str | None, str]]) -> bool:
        """Whether its rows are those of ``tables``, each a schema and a name, so that there are none yet."""
        return self.rows_of is not None and (self.rows_of.schema, self.rows_of.name) in tables

    def reverse(self) -> MigrateOperation:
        if self.inline:
            return Note("the values go with their tables", self)
        return ReopenBackfill({name: self.previous.get(name) for name in self.values}, self)

    def to_diff_tuple(self) -> tuple[Any, ...]:
        if len(self.values) == 1:
            ((name, fingerprint),) = self.values.items()
            return ("interaqt_backfill", name, self.previous.get(name), fingerprint)
        return ("interaqt_backfill", self.values)


@Operations.register_operation("interaqt_reopen_backfill")
class ReopenBackfill(MigrateOperation):
    """Note that values are not what the declaration of before computes: the way back from a back-fill.

    :ivar values: the fingerprints of before, by name; ``None`` where there was no such value.
    :ivar subject: the operation that it undoes.
    """

    def __init__(self, values: Mapping[str, str | None], subject: MigrateOperation | None = None) -> None:
        self.values = dict(values)
        known = {name: fingerprint for name, fingerprint in values.items() if fingerprint is not None}
        self.subject = subject or Backfill({name: said or "" for name, said in values.items()}, previous=known)

    @classmethod
    def interaqt_reopen_backfill(cls, operations: Operations, values: Mapping[str, str | None]) -> None:
        """Let values be filled again, as soon as the models of before are there.

        A downgrade runs with the models of the newer version, which cannot compute what the older one declares. The
        next ``alembic upgrade`` with the models of the older version does it.

        :param values: the fingerprints of before, by name; ``None`` where there was no such value.
        """
        operations.invoke(cls(values))

    def reverse(self) -> MigrateOperation:
        return self.subject

    def to_diff_tuple(self) -> tuple[Any, ...]:
        return ("interaqt_reopen_backfill", self.values)


@Operations.register_operation("interaqt_retire_backfill")
class RetireBackfill(MigrateOperation):
    """Forget that values were computed, because they are not declared any more: declared again, they are filled again.

    :ivar previous: the fingerprints that they were filled from.
    """

    def __init__(self, names: SequenceOf[str], previous: Mapping[str, str] | None = None) -> None:
        self.names = tuple(names)
        self.previous = dict(previous or {})

    @classmethod
    def interaqt_retire_backfill(cls, operations: Operations, *names: str) -> None:
        """Forget that ``names`` were computed; does nothing for those that were not.

        :param names: ``"Record.property"``, or ``"Record"`` where a Transform derived the rows.
        """
        operations.invoke(cls(names))

    def reverse(self) -> MigrateOperation:
        return ReopenBackfill(self.previous, self)

    def to_diff_tuple(self) -> tuple[str, ...]:
        return ("interaqt_retire_backfill", *self.names)


@Operations.register_operation("interaqt_verify")
class Verify(MigrateOperation):
    """Stop before a contract if values are not true."""

    def __init__(self, names: SequenceOf[str] = ()) -> None:
        self.names = tuple(names)

    @classmethod
    def interaqt_verify(cls, operations: Operations, *names: str) -> None:
        """Raise :class:`.ConstraintSetupError` if values differ from a recompute; write it before what relies on them.

        :param names: ``"Record.property"``, or ``"Record"`` where a Transform derives the rows; all if none is given.
        """
        operations.invoke(cls(names))

    def reverse(self) -> MigrateOperation:
        return Note("nothing was changed by verifying values", self)

    def to_diff_tuple(self) -> tuple[str, ...]:
        return ("interaqt_verify", *self.names)


@Operations.register_operation("interaqt_move_links")
class MoveLinks(MigrateOperation):
    """Move the links of a relation to where they are stored from now on.

    :ivar relation: its name, for messages.
    :ivar forth: SQL statements, and ``back`` those of the way back.
    """

    def __init__(self, relation: str, forth: SequenceOf[str], back: SequenceOf[str]) -> None:
        self.relation = relation
        self.forth = tuple(forth)
        self.back = tuple(back)

    @classmethod
    def interaqt_move_links(
        cls, operations: Operations, relation: str, forth: SequenceOf[str], back: SequenceOf[str] = ()
    ) -> None:
        """Move the links of ``relation`` by SQL statements.

        :param forth: the statements; they may be edited.
        :param back: what undoes them, kept for the way back.
        """
        operations.invoke(cls(relation, forth, back))

    def reverse(self) -> MigrateOperation:
        return MoveLinks(self.relation, self.back, self.forth)

    def to_diff_tuple(self) -> tuple[str, str]:
        return ("interaqt_move_links", self.relation)


@Operations.register_operation("interaqt_check_rows")
class CheckRows(MigrateOperation):
    """Refuse to go on while rows would break what is about to be required of them."""

    def __init__(
        self, required: str, table: str, where: str, columns: SequenceOf[str] = (), *, schema: str | None = None
    ) -> None:
        self.required = required
        self.table = table
        self.where = where
        self.columns = tuple(columns)
        self.schema = schema

    @classmethod
    def interaqt_check_rows(
        cls,
        operations: Operations,
        required: str,
        table: str,
        where: str,
        columns: SequenceOf[str] = (),
        *,
        schema: str | None = None,
    ) -> None:
        """Raise :class:`.ConstraintSetupError` with the offending rows if there are any.

        :param required: what comes next, for the message.
        :param table: the table.
        :param where: SQL predicate of the rows that may not be there.
        :param columns: what is shown of them besides their keys.
        :param schema: where the table lies.
        """
        operations.invoke(cls(required, table, where, columns, schema=schema))

    def reverse(self) -> MigrateOperation:
        return Note(f"{self.required}: nothing was changed by looking for rows", self)

    def to_diff_tuple(self) -> tuple[str, str | None, str, str]:
        return ("interaqt_check_rows", self.schema, self.table, self.required)


@Operations.register_operation("interaqt_check_unique")
class CheckUnique(MigrateOperation):
    """Refuse to go on while rows would break a unique constraint that is about to be created."""

    def __init__(
        self,
        constraint: str | None,
        table: str,
        columns: SequenceOf[str | TextClause],
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
        columns: SequenceOf[str | TextClause],
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
