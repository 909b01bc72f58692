"""Operations on sequences, and on the counters in a legacy table ``_IDS_``; see :mod:`.operations`."""

from __future__ import annotations

from collections.abc import Sequence as SequenceOf
from typing import Any, TypedDict

from alembic.operations import MigrateOperation, Operations
from sqlalchemy import BigInteger, Sequence
from sqlalchemy.types import TypeEngine
from typing_extensions import Unpack

from .noop_operation import Note


class SequenceOptions(TypedDict, total=False):
    """What a sequence is like, as :class:`sqlalchemy.Sequence` says it; else the database's default holds."""

    start: int | None
    increment: int | None
    minvalue: int | None
    maxvalue: int | None
    nominvalue: bool | None
    nomaxvalue: bool | None
    cycle: bool | None
    cache: int | None
    data_type: TypeEngine[int] | None


class SequenceOperation(MigrateOperation):
    """Create or drop a sequence; nothing on databases that have none."""

    def __init__(self, name: str, *, schema: str | None = None, **options: Unpack[SequenceOptions]) -> None:
        self.name = name
        self.schema = schema
        self.options = options

    def sequence(self) -> Sequence:
        """Return the sequence as it is created."""
        return Sequence(self.name, schema=self.schema, **self.options)


@Operations.register_operation("interaqt_create_sequence")
class CreateSequence(SequenceOperation):
    """Create a sequence; nothing on databases that have none."""

    @classmethod
    def of(cls, sequence: Sequence) -> CreateSequence:
        """Return what creates ``sequence``."""
        given = {name: getattr(sequence, name) for name in SequenceOptions.__annotations__}
        options: Any = {name: value for name, value in given.items() if value is not None}
        if type(sequence.data_type) is BigInteger:
            del options["data_type"]  # what a sequence has unless told otherwise
        return cls(sequence.name, schema=sequence.schema, **options)

    @classmethod
    def interaqt_create_sequence(
        cls, operations: Operations, name: str, *, schema: str | None = None, **options: Unpack[SequenceOptions]
    ) -> None:
        """Create a sequence; does nothing on databases that have none.

        :param name: its name.
        :param schema: where it lies.
        :param options: ``start``, ``increment``, ``minvalue``, ``maxvalue``, ``nominvalue``, ``nomaxvalue``, ``cycle``,
            ``cache`` and ``data_type``, as for :class:`sqlalchemy.Sequence`.
        """
        operations.invoke(cls(name, schema=schema, **options))

    def reverse(self) -> MigrateOperation:
        return DropSequence(self.name, schema=self.schema, **self.options)

    def to_diff_tuple(self) -> tuple[str, str | None, str]:
        return ("interaqt_create_sequence", self.schema, self.name)


@Operations.register_operation("interaqt_drop_sequence")
class DropSequence(SequenceOperation):
    """Drop a sequence; nothing on databases that have none."""

    @classmethod
    def interaqt_drop_sequence(
        cls, operations: Operations, name: str, *, schema: str | None = None, **options: Unpack[SequenceOptions]
    ) -> None:
        """Drop a sequence; does nothing on databases that have none.

        :param name: its name.
        :param schema: where it lies.
        :param options: as for ``interaqt_create_sequence``, kept for the way back.
        """
        operations.invoke(cls(name, schema=schema, **options))

    def reverse(self) -> MigrateOperation:
        return CreateSequence(self.name, schema=self.schema, **self.options)

    def to_diff_tuple(self) -> tuple[str, str | None, str]:
        return ("interaqt_drop_sequence", self.schema, self.name)


@Operations.register_operation("interaqt_move_legacy_ids")
class MoveLegacyIds(MigrateOperation):
    """Move a sequence past all ids that exist, or that a legacy table ``_IDS_`` has given out."""

    def __init__(
        self, sequence: str, table: str, column: str, records: SequenceOf[str] = (), *, schema: str | None = None
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
        records: SequenceOf[str] = (),
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
        if not self.records:
            return Note(f"the ids of {self.table} stay as they are", self)
        return ReturnLegacyIds(self.sequence, self.table, self.column, self.records, schema=self.schema)

    def to_diff_tuple(self) -> tuple[str, str | None, str, str]:
        return ("interaqt_move_legacy_ids", self.schema, self.table, self.sequence)


@Operations.register_operation("interaqt_lock_legacy_ids")
class LockLegacyIds(MigrateOperation):
    """Let numbers that are on their way from a legacy table ``_IDS_`` arrive, before tables are altered."""

    def __init__(self, *, schema: str | None = None) -> None:
        self.schema = schema

    @classmethod
    def interaqt_lock_legacy_ids(cls, operations: Operations, *, schema: str | None = None) -> None:
        """Lock ``_IDS_`` against writers until the revision ends, if there is such a table.

        :param schema: where it lies.
        """
        operations.invoke(cls(schema=schema))

    def reverse(self) -> MigrateOperation:
        return Note("nothing was changed by locking _IDS_", self)

    def to_diff_tuple(self) -> tuple[str, str | None]:
        return ("interaqt_lock_legacy_ids", self.schema)


@Operations.register_operation("interaqt_return_legacy_ids")
class ReturnLegacyIds(MigrateOperation):
    """Move the counters in a legacy table ``_IDS_`` past the ids that a sequence has given out."""

    def __init__(
        self, sequence: str, table: str, column: str, records: SequenceOf[str], *, schema: str | None = None
    ) -> None:
        self.sequence = sequence
        self.table = table
        self.column = column
        self.records = tuple(records)
        self.schema = schema

    @classmethod
    def interaqt_return_legacy_ids(
        cls,
        operations: Operations,
        sequence: str,
        table: str,
        column: str,
        records: SequenceOf[str],
        *,
        schema: str | None = None,
    ) -> None:
        """Let ``_IDS_`` go on after every id in use; it is written only if it would give one twice.

        :param sequence: what gave out ids; it may be gone already.
        :param table: the table whose ids they are.
        :param column: its id column.
        :param records: names under which ``_IDS_`` knows the table.
        :param schema: where they lie.
        """
        operations.invoke(cls(sequence, table, column, records, schema=schema))

    def reverse(self) -> MigrateOperation:
        return MoveLegacyIds(self.sequence, self.table, self.column, self.records, schema=self.schema)

    def to_diff_tuple(self) -> tuple[str, str | None, str]:
        return ("interaqt_return_legacy_ids", self.schema, self.table)
