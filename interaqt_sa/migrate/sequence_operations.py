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
    """The options of a sequence, as of :class:`sqlalchemy.Sequence`; others have the database's default."""

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
    """Create or drop a sequence; does nothing on databases without sequences."""

    def __init__(self, name: str, *, schema: str | None = None, **options: Unpack[SequenceOptions]) -> None:
        self.name = name
        self.schema = schema
        self.options = options

    def sequence(self) -> Sequence:
        """Return the sequence to be created."""
        return Sequence(self.name, schema=self.schema, **self.options)


@Operations.register_operation("interaqt_create_sequence")
class CreateSequence(SequenceOperation):
    """Create a sequence; does nothing on databases without sequences."""

    @classmethod
    def of(cls, sequence: Sequence) -> CreateSequence:
        """Return the operation that creates ``sequence``."""
        given = {name: getattr(sequence, name) for name in SequenceOptions.__annotations__}
        options: Any = {name: value for name, value in given.items() if value is not None}
        if type(sequence.data_type) is BigInteger:
            del options["data_type"]  # the default type of a sequence
        return cls(sequence.name, schema=sequence.schema, **options)

    @classmethod
    def interaqt_create_sequence(
        cls, operations: Operations, name: str, *, schema: str | None = None, **options: Unpack[SequenceOptions]
    ) -> None:
        """Create a sequence; does nothing on databases without sequences.

        :param name: its name.
        :param schema: its schema.
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
    """Drop a sequence; does nothing on databases without sequences."""

    @classmethod
    def interaqt_drop_sequence(
        cls, operations: Operations, name: str, *, schema: str | None = None, **options: Unpack[SequenceOptions]
    ) -> None:
        """Drop a sequence; does nothing on databases without sequences.

        :param name: its name.
        :param schema: its schema.
        :param options: as for ``interaqt_create_sequence``, kept for the downgrade.
        """
        operations.invoke(cls(name, schema=schema, **options))

    def reverse(self) -> MigrateOperation:
        return CreateSequence(self.name, schema=self.schema, **self.options)

    def to_diff_tuple(self) -> tuple[str, str | None, str]:
        return ("interaqt_drop_sequence", self.schema, self.name)


@Operations.register_operation("interaqt_move_legacy_ids")
class MoveLegacyIds(MigrateOperation):
    """Advance a sequence past all existing ids, and past those that a legacy table ``_IDS_`` has generated."""

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
        """Advance ``sequence`` past every id in use; it never moves back, so the operation can be repeated at any time.

        A table ``_IDS_(last INTEGER, name TEXT)`` is read if there is one; it is neither written nor dropped.

        :param sequence: the sequence that generates the ids from now on.
        :param table: the table with the ids.
        :param column: its id column.
        :param records: names of the table's counters in ``_IDS_``.
        :param schema: schema of table and sequence.
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
    """Wait for transactions that have taken numbers from a legacy table ``_IDS_``, before tables are altered."""

    def __init__(self, *, schema: str | None = None) -> None:
        self.schema = schema

    @classmethod
    def interaqt_lock_legacy_ids(cls, operations: Operations, *, schema: str | None = None) -> None:
        """Lock ``_IDS_`` against writers until the revision ends, if there is such a table.

        :param schema: schema of the table.
        """
        operations.invoke(cls(schema=schema))

    def reverse(self) -> MigrateOperation:
        return Note("nothing was changed by locking _IDS_", self)

    def to_diff_tuple(self) -> tuple[str, str | None]:
        return ("interaqt_lock_legacy_ids", self.schema)


@Operations.register_operation("interaqt_return_legacy_ids")
class ReturnLegacyIds(MigrateOperation):
    """Advance the counters in a legacy table ``_IDS_`` past the ids that a sequence has generated."""

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
        """Advance ``_IDS_`` past every id in use; it is written only if it would generate an id twice.

        :param sequence: the sequence that has generated the ids; it may be dropped already.
        :param table: the table with the ids.
        :param column: its id column.
        :param records: names of the table's counters in ``_IDS_``.
        :param schema: schema of table and sequence.
        """
        operations.invoke(cls(sequence, table, column, records, schema=schema))

    def reverse(self) -> MigrateOperation:
        return MoveLegacyIds(self.sequence, self.table, self.column, self.records, schema=self.schema)

    def to_diff_tuple(self) -> tuple[str, str | None, str]:
        return ("interaqt_return_legacy_ids", self.schema, self.table)
