"""Operations that add constraints to existing rows while others write; implemented in :mod:`.online_constraints`."""

from __future__ import annotations

from collections.abc import Sequence as SequenceOf

from alembic.operations import MigrateOperation, Operations
from alembic.operations.ops import AlterColumnOp

from .noop_operation import Note


@Operations.register_operation("interaqt_validate_constraint")
class ValidateConstraint(MigrateOperation):
    """Validate existing rows against a constraint that was added as ``NOT VALID``.

    :ivar columns: columns of the foreign key, which identify it if it has no name.
    """

    def __init__(
        self, constraint: str | None, table: str, columns: SequenceOf[str] = (), *, schema: str | None = None
    ) -> None:
        self.constraint = constraint
        self.table = table
        self.columns = tuple(columns)
        self.schema = schema

    @classmethod
    def interaqt_validate_constraint(
        cls,
        operations: Operations,
        constraint: str | None,
        table: str,
        columns: SequenceOf[str] = (),
        *,
        schema: str | None = None,
    ) -> None:
        """Validate existing rows while others write; does nothing if the constraint is valid.

        The earlier operations of the revision are committed. Databases other than PostgreSQL have validated the rows
        already.

        :param constraint: its name; ``None`` for a foreign key that was named by the database.
        :param table: name of the table.
        :param columns: columns of a foreign key without a name.
        :param schema: schema of the table.
        """
        operations.invoke(cls(constraint, table, columns, schema=schema))

    def reverse(self) -> MigrateOperation:
        return Note(f"nothing was changed by validating {self.constraint or 'a foreign key'}", self)

    def to_diff_tuple(self) -> tuple[str, str | None, str, str | None]:
        return ("interaqt_validate_constraint", self.schema, self.table, self.constraint)


@Operations.register_operation("interaqt_set_not_null")
class SetNotNull(MigrateOperation):
    """Make a column NOT NULL without a long lock.

    :ivar subject: Alembic's operation, for the downgrade.
    """

    def __init__(
        self, table: str, column: str, *, schema: str | None = None, subject: AlterColumnOp | None = None
    ) -> None:
        self.table = table
        self.column = column
        self.schema = schema
        self.subject = subject

    @classmethod
    def interaqt_set_not_null(
        cls, operations: Operations, table: str, column: str, *, schema: str | None = None
    ) -> None:
        """Make a column NOT NULL while others write; does nothing if it is.

        On PostgreSQL a CHECK constraint is added that applies to new rows at once, and is then validated for existing
        rows with a lock that does not block writers; with this constraint, PostgreSQL need not scan the rows again. The
        earlier operations of the revision are committed.

        :param table: name of the table.
        :param column: name of the column.
        :param schema: schema of the table.
        :raises ConstraintSetupError: with the rows that contain NULL.
        """
        operations.invoke(cls(table, column, schema=schema))

    def reverse(self) -> MigrateOperation:
        if self.subject is not None:
            return self.subject.reverse()
        return AlterColumnOp(self.table, self.column, schema=self.schema, existing_nullable=False, modify_nullable=True)

    def to_diff_tuple(self) -> tuple[str, str | None, str, str]:
        return ("interaqt_set_not_null", self.schema, self.table, self.column)
