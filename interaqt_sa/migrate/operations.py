"""Operations of revisions, as values; implemented in :mod:`.implementations`.

Signatures change only by further optional keywords, because old revisions call them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from collections.abc import Sequence as SequenceOf
from typing import Any, NamedTuple

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
    "WithoutModels",
]

#: rows per transaction of a back-fill
DEFAULT_BATCH = 1000


class WithoutModels(NamedTuple):
    """How a value is filled when the models do not declare it any more: by statements, or not at all."""

    name: str
    sql: SequenceOf[str]
    table: str | SequenceOf[str]


@Operations.register_operation("interaqt_backfill")
class Backfill(MigrateOperation):
    """Compute values for existing rows, or derive rows from them.

    :ivar values: fingerprints by name.
    :ivar previous: fingerprints of the last back-fills in the database.
    :ivar columns: the filled columns; known to autogenerate, not in revisions.
    :ivar rows_of: the table whose rows it processes, unless that table has rows from the beginning.
    :ivar sql: PostgreSQL statements by name, for values that the models do not declare any more.
    :ivar tables: table, or schema and table, by name, to count the rows that are not filled.
    :ivar without_models: callables for ``sql`` and ``tables`` in a new revision; not called by ``alembic check``.
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
        sql: Mapping[str, SequenceOf[str]] | None = None,
        tables: Mapping[str, str | SequenceOf[str]] | None = None,
        without_models: SequenceOf[Callable[[], WithoutModels]] = (),
    ) -> None:
        self.values = dict(values)
        self.batch = batch
        self.inline = inline
        self.previous = dict(previous or {})
        self.columns = tuple(columns)
        self.rows_of = rows_of
        self.sql = dict(sql or {})
        self.tables = dict(tables or {})
        self.without_models = tuple(without_models)

    @classmethod
    def merged(cls, operations: SequenceOf[Backfill], *, inline: bool = False) -> Backfill:
        """Return one operation for all ``operations``, with one pass over each table."""
        values = {name: fingerprint for operation in operations for name, fingerprint in operation.values.items()}
        previous = {name: fingerprint for operation in operations for name, fingerprint in operation.previous.items()}
        columns = [column for operation in operations for column in operation.columns]
        without_models = [give for operation in operations for give in operation.without_models]
        return cls(
            values,
            batch=operations[0].batch,
            inline=inline,
            previous=previous,
            columns=columns,
            without_models=without_models,
        )

    @classmethod
    def interaqt_backfill(
        cls,
        operations: Operations,
        name: str | Mapping[str, str],
        fingerprint: str | None = None,
        *,
        batch: int = DEFAULT_BATCH,
        inline: bool = False,
        sql: Mapping[str, SequenceOf[str]] | None = None,
        tables: Mapping[str, str | SequenceOf[str]] | None = None,
    ) -> None:
        """Compute values for all rows, in short separate transactions; a run after a crash continues.

        The values are computed by the current models when the revision runs: values whose declaration has changed are
        computed by their current declaration, together with the values computed from them. Values that are not declared
        any more, or that need columns of a later revision, are filled by ``sql``; without it, a warning counts the
        rows.

        :param name: ``"Record.property"``, or ``"Record"`` if a Transform derives the rows; or a mapping of several to
            their fingerprints.
        :param fingerprint: fingerprint of the declaration for which the revision was written; ``"default"`` writes the
            default of a property into rows without a value.
        :param batch: rows per transaction; ``-x batch=`` overrides it.
        :param inline: whether to run in the transaction of the revision, which has created the tables.
        :param sql: PostgreSQL statements that fill a value, by its name; used only if the models cannot compute it.
        :param tables: table, or schema and table, of each value, to count the rows that are not filled.
        """
        values = {name: fingerprint or ""} if isinstance(name, str) else name
        operations.invoke(cls(values, batch=batch, inline=inline, sql=sql, tables=tables))

    def is_over(self, tables: Collection[tuple[str | None, str]]) -> bool:
        """Whether its rows are in one of ``tables``, each given by schema and name, so that there are none yet."""
        return self.rows_of is not None and (self.rows_of.schema, self.rows_of.name) in tables

    def reverse(self) -> MigrateOperation:
        if self.inline:
            return Note("the values are dropped with their tables", self)
        return ReopenBackfill({name: self.previous.get(name) for name in self.values}, self)

    def to_diff_tuple(self) -> tuple[Any, ...]:
        if len(self.values) == 1:
            ((name, fingerprint),) = self.values.items()
            return ("interaqt_backfill", name, self.previous.get(name), fingerprint)
        return ("interaqt_backfill", self.values)


@Operations.register_operation("interaqt_reopen_backfill")
class ReopenBackfill(MigrateOperation):
    """Record that values do not match the previous declarations: the reverse of a back-fill.

    :ivar values: the previous fingerprints, by name; ``None`` if there was no such value.
    :ivar subject: the operation that it reverses.
    """

    def __init__(self, values: Mapping[str, str | None], subject: MigrateOperation | None = None) -> None:
        self.values = dict(values)
        known = {name: fingerprint for name, fingerprint in values.items() if fingerprint is not None}
        self.subject = subject or Backfill({name: said or "" for name, said in values.items()}, previous=known)

    @classmethod
    def interaqt_reopen_backfill(cls, operations: Operations, values: Mapping[str, str | None]) -> None:
        """Schedule values to be filled again with the previous models.

        A downgrade runs with the models of the newer version, which cannot compute the declarations of the older one.
        The next ``alembic upgrade`` with the models of the older version does it.

        :param values: the previous fingerprints, by name; ``None`` if there was no such value.
        """
        operations.invoke(cls(values))

    def reverse(self) -> MigrateOperation:
        return self.subject

    def to_diff_tuple(self) -> tuple[Any, ...]:
        return ("interaqt_reopen_backfill", self.values)


@Operations.register_operation("interaqt_retire_backfill")
class RetireBackfill(MigrateOperation):
    """Delete the records of values that are not declared any more, so that they are filled again if declared again.

    :ivar previous: the fingerprints of their last back-fills.
    """

    def __init__(self, names: SequenceOf[str], previous: Mapping[str, str] | None = None) -> None:
        self.names = tuple(names)
        self.previous = dict(previous or {})

    @classmethod
    def interaqt_retire_backfill(cls, operations: Operations, *names: str) -> None:
        """Delete the records of ``names``; names without a record are ignored.

        :param names: ``"Record.property"``, or ``"Record"`` if a Transform derived the rows.
        """
        operations.invoke(cls(names))

    def reverse(self) -> MigrateOperation:
        return ReopenBackfill(self.previous, self)

    def to_diff_tuple(self) -> tuple[str, ...]:
        return ("interaqt_retire_backfill", *self.names)


@Operations.register_operation("interaqt_verify")
class Verify(MigrateOperation):
    """Stop before a contract if values are wrong."""

    def __init__(self, names: SequenceOf[str] = ()) -> None:
        self.names = tuple(names)

    @classmethod
    def interaqt_verify(cls, operations: Operations, *names: str) -> None:
        """Raise :class:`.ConstraintSetupError` if values differ from a recomputation; call it before relying on them.

        :param names: ``"Record.property"``, or ``"Record"`` if a Transform derives the rows; all if none is given.
        """
        operations.invoke(cls(names))

    def reverse(self) -> MigrateOperation:
        return Note("nothing was changed by verifying values", self)

    def to_diff_tuple(self) -> tuple[str, ...]:
        return ("interaqt_verify", *self.names)


@Operations.register_operation("interaqt_move_links")
class MoveLinks(MigrateOperation):
    """Move the links of a relation to their new storage.

    :ivar relation: its name, for messages.
    :ivar forth: SQL statements of the upgrade; ``back`` are those of the downgrade.
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

        :param forth: the statements, which may be edited.
        :param back: the statements of the downgrade.
        """
        operations.invoke(cls(relation, forth, back))

    def reverse(self) -> MigrateOperation:
        return MoveLinks(self.relation, self.back, self.forth)

    def to_diff_tuple(self) -> tuple[str, str]:
        return ("interaqt_move_links", self.relation)


@Operations.register_operation("interaqt_check_rows")
class CheckRows(MigrateOperation):
    """Stop if rows violate a requirement that is about to be added."""

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
        """Raise :class:`.ConstraintSetupError` with the violating rows if there are any.

        :param required: the requirement to be added, for the message.
        :param table: name of the table.
        :param where: SQL predicate that violating rows satisfy.
        :param columns: columns to report besides the primary key.
        :param schema: schema of the table.
        """
        operations.invoke(cls(required, table, where, columns, schema=schema))

    def reverse(self) -> MigrateOperation:
        return Note(f"{self.required}: nothing was changed by looking for rows", self)

    def to_diff_tuple(self) -> tuple[str, str | None, str, str]:
        return ("interaqt_check_rows", self.schema, self.table, self.required)


@Operations.register_operation("interaqt_check_unique")
class CheckUnique(MigrateOperation):
    """Stop if rows violate a unique constraint that is about to be created."""

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
        """Raise :class:`.ConstraintSetupError` with the violating rows if ``columns`` are not unique.

        :param constraint: name of the constraint or index to be created.
        :param table: name of the table.
        :param columns: names, or expressions as ``text()``.
        :param where: SQL predicate of a partial index.
        :param nulls_not_distinct: whether NULLs are equal to each other.
        :param schema: schema of the table.
        """
        operations.invoke(
            cls(constraint, table, columns, where=where, nulls_not_distinct=nulls_not_distinct, schema=schema)
        )

    def reverse(self) -> MigrateOperation:
        return Note(f"{self.constraint}: nothing was changed by looking for duplicates", self)

    def to_diff_tuple(self) -> tuple[str, str | None, str, str | None]:
        return ("interaqt_check_unique", self.schema, self.table, self.constraint)
