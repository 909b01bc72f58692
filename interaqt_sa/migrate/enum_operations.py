"""Operations on native enumerated types: values that say *what*, see :mod:`.implementations` for *how*."""

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
    """Create a native enumerated type, where the database has such types."""

    @classmethod
    def interaqt_create_enum(
        cls, operations: Operations, name: str, labels: SequenceOf[str], *, schema: str | None = None
    ) -> None:
        """Create a native enumerated type; does nothing if it is there with the same labels.

        :param name: the type.
        :param labels: in the order in which they compare.
        :param schema: where it lies.
        """
        operations.invoke(cls(name, labels, schema=schema))

    def reverse(self) -> MigrateOperation:
        return DropEnum(self.name, self.labels, schema=self.schema)

    def to_diff_tuple(self) -> tuple[Any, ...]:
        return ("interaqt_create_enum", self.schema, self.name, self.labels)


@Operations.register_operation("interaqt_drop_enum")
class DropEnum(EnumOperation):
    """Drop a native enumerated type.

    :ivar labels: what it had; autogenerate knows them, revisions do not.
    """

    @classmethod
    def interaqt_drop_enum(cls, operations: Operations, name: str, *, schema: str | None = None) -> None:
        """Drop a native enumerated type that nothing uses any more."""
        operations.invoke(cls(name, schema=schema))

    def reverse(self) -> MigrateOperation:
        return CreateEnum(self.name, self.labels, schema=self.schema)

    def to_diff_tuple(self) -> tuple[Any, ...]:
        return ("interaqt_drop_enum", self.schema, self.name)


@Operations.register_operation("interaqt_add_enum_label")
class AddEnumLabel(EnumOperation):
    """Give a native enumerated type a further label."""

    def __init__(self, name: str, label: str, *, before: str | None = None, schema: str | None = None) -> None:
        super().__init__(name, (label,), schema=schema)
        self.before = before

    @classmethod
    def interaqt_add_enum_label(
        cls, operations: Operations, name: str, label: str, *, before: str | None = None, schema: str | None = None
    ) -> None:
        """Give a native enumerated type a further label; does nothing if it has it.

        What the revision has done before is committed, because a label cannot be used in the transaction that adds it.

        :param name: the type.
        :param label: the new label.
        :param before: the label that comes after it; else it is the last.
        :param schema: where the type lies.
        """
        operations.invoke(cls(name, label, before=before, schema=schema))

    def reverse(self) -> MigrateOperation:
        return Note(f"{self.name} keeps its label {self.labels[0]!r}: PostgreSQL cannot remove one", self)

    def to_diff_tuple(self) -> tuple[Any, ...]:
        return ("interaqt_add_enum_label", self.schema, self.name, *self.labels)
