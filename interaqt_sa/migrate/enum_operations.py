"""Operations on native enumerated types, as values; implemented in :mod:`.implementations`."""

from __future__ import annotations

from collections.abc import Sequence as SequenceOf
from typing import Any

from alembic.operations import MigrateOperation, Operations
from sqlalchemy.dialects import postgresql

from .noop_operation import Note


class EnumOperation(MigrateOperation):
    """An operation on the native enumerated type ``name``."""

    def __init__(self, name: str, labels: SequenceOf[str] = (), *, schema: str | None = None) -> None:
        self.name = name
        self.labels = tuple(labels)
        self.schema = schema

    def type(self) -> postgresql.ENUM:
        """Return the type for DDL."""
        return postgresql.ENUM(*self.labels, name=self.name, schema=self.schema, create_type=False)


@Operations.register_operation("interaqt_create_enum")
class CreateEnum(EnumOperation):
    """Create a native enumerated type, if the database supports such types."""

    @classmethod
    def interaqt_create_enum(
        cls, operations: Operations, name: str, labels: SequenceOf[str], *, schema: str | None = None
    ) -> None:
        """Create a native enumerated type; does nothing if it exists with the same labels.

        :param name: name of the type.
        :param labels: its labels, in their sort order.
        :param schema: schema of the type.
        """
        operations.invoke(cls(name, labels, schema=schema))

    def reverse(self) -> MigrateOperation:
        return DropEnum(self.name, self.labels, schema=self.schema)

    def to_diff_tuple(self) -> tuple[Any, ...]:
        return ("interaqt_create_enum", self.schema, self.name, self.labels)


@Operations.register_operation("interaqt_drop_enum")
class DropEnum(EnumOperation):
    """Drop a native enumerated type.

    :ivar labels: its labels; known to autogenerate, not in revisions.
    """

    @classmethod
    def interaqt_drop_enum(cls, operations: Operations, name: str, *, schema: str | None = None) -> None:
        """Drop a native enumerated type that is not used any more."""
        operations.invoke(cls(name, schema=schema))

    def reverse(self) -> MigrateOperation:
        return CreateEnum(self.name, self.labels, schema=self.schema)

    def to_diff_tuple(self) -> tuple[Any, ...]:
        return ("interaqt_drop_enum", self.schema, self.name)


@Operations.register_operation("interaqt_add_enum_label")
class AddEnumLabel(EnumOperation):
    """Add a label to a native enumerated type."""

    def __init__(self, name: str, label: str, *, before: str | None = None, schema: str | None = None) -> None:
        super().__init__(name, (label,), schema=schema)
        self.before = before

    @classmethod
    def interaqt_add_enum_label(
        cls, operations: Operations, name: str, label: str, *, before: str | None = None, schema: str | None = None
    ) -> None:
        """Add a label to a native enumerated type; does nothing if it has the label.

        The earlier operations of the revision are committed, because a label cannot be used in the transaction that
        adds it.

        :param name: name of the type.
        :param label: the new label.
        :param before: the label after the new one; ``None`` to add it at the end.
        :param schema: schema of the type.
        """
        operations.invoke(cls(name, label, before=before, schema=schema))

    def reverse(self) -> MigrateOperation:
        return Note(f"{self.name} keeps its label {self.labels[0]!r}: PostgreSQL cannot remove one", self)

    def to_diff_tuple(self) -> tuple[Any, ...]:
        return ("interaqt_add_enum_label", self.schema, self.name, *self.labels)
