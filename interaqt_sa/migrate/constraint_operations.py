"""Operations that require something of existing rows beside writers: values, see :mod:`.online_constraints`."""

from __future__ import annotations

from collections.abc import Sequence as SequenceOf

from alembic.operations import MigrateOperation, Operations
from alembic.operations.ops import AlterColumnOp

from .noop_operation import Note


@Operations.register_operation("interaqt_validate_constraint")
class ValidateConstraint(MigrateOperation):
    """Let the rows that exist be checked by a constraint that was added as ``NOT VALID``.

    :ivar columns: of a foreign key; they tell which one it is where it has no name.
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
        """Check the rows that exist, while others write; does nothing if they were checked.

        What the revision has done before is committed. Databases other than PostgreSQL have checked them already.

        :param constraint: its name; ``None`` for a foreign key that the database has named.
        :param table: the table.
        :param columns: of the foreign key without a name.
        :param schema: where the table lies.
        """
        operations.invoke(cls(constraint, table, columns, schema=schema))

    def reverse(self) -> MigrateOperation:
        return Note(f"nothing was changed by validating {self.constraint or 'a foreign key'}", self)

    def to_diff_tuple(self) -> tuple[str, str | None, str, str | None]:
        return ("interaqt_validate_constraint", self.schema, self.table, self.constraint)


@Operations.register_operation("interaqt_set_not_null")
class SetNotNull(MigrateOperation):
    """Make a column NOT NULL without a long lock.

    :ivar subject: what Alembic found, for the way back.
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

        On PostgreSQL a CHECK constraint is added that holds for new rows at once, and then looks at the others without
        a lock that writers notice; with it, PostgreSQL need not look at the rows again. What the revision has done
        before is committed.

        :param table: the table.
        :param column: the column.
        :param schema: where the table lies.
        :raises ConstraintSetupError: with rows that hold NULL.
        """
        operations.invoke(cls(table, column, schema=schema))

    def reverse(self) -> MigrateOperation:
        if self.subject is not None:
            return self.subject.reverse()
        return AlterColumnOp(self.table, self.column, schema=self.schema, existing_nullable=False, modify_nullable=True)

    def to_diff_tuple(self) -> tuple[str, str | None, str, str]:
        return ("interaqt_set_not_null", self.schema, self.table, self.column)
