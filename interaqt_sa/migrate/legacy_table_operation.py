"""The operation that takes a table over as interaqt left it; see :mod:`.legacy_tables` for how it is found."""

from __future__ import annotations

from collections.abc import Mapping

from alembic.operations import MigrateOperation, Operations

#: the physical key of interaqt's tables, which no application sees
ROW_ID = "_rowId"


@Operations.register_operation("interaqt_adopt_table")
class AdoptTable(MigrateOperation):
    """Give table and columns the names that they are declared by, and make ``id`` the key.

    :ivar legacy: the table as it is called before, and ``table`` afterwards.
    :ivar columns: the new name of each column that is called otherwise; one of them is ``id``.
    """

    def __init__(self, legacy: str, table: str, columns: Mapping[str, str], *, schema: str | None = None) -> None:
        self.legacy = legacy
        self.table = table
        self.columns = dict(columns)
        self.schema = schema

    @classmethod
    def interaqt_adopt_table(
        cls, operations: Operations, legacy: str, table: str, columns: Mapping[str, str], *, schema: str | None = None
    ) -> None:
        """Take a table over as interaqt left it: with ``_rowId`` and columns such as ``use_nam_1``.

        :param legacy: its name.
        :param table: the name that it gets.
        :param columns: new names of columns; one of them is ``id``, or there is a column ``id`` already. It becomes
            the primary key, and ``_rowId`` goes.
        :param schema: where it lies.
        """
        operations.invoke(cls(legacy, table, columns, schema=schema))

    def reverse(self) -> MigrateOperation:
        return ReturnTable(self.legacy, self.table, self.columns, schema=self.schema)

    def to_diff_tuple(self) -> tuple[str, str | None, str, str]:
        return ("interaqt_adopt_table", self.schema, self.legacy, self.table)


@Operations.register_operation("interaqt_return_table")
class ReturnTable(MigrateOperation):
    """The way back from :class:`AdoptTable`."""

    def __init__(self, legacy: str, table: str, columns: Mapping[str, str], *, schema: str | None = None) -> None:
        self.legacy = legacy
        self.table = table
        self.columns = dict(columns)
        self.schema = schema

    @classmethod
    def interaqt_return_table(
        cls, operations: Operations, legacy: str, table: str, columns: Mapping[str, str], *, schema: str | None = None
    ) -> None:
        """Give a table back to interaqt; the arguments are those of ``interaqt_adopt_table``."""
        operations.invoke(cls(legacy, table, columns, schema=schema))

    def reverse(self) -> MigrateOperation:
        return AdoptTable(self.legacy, self.table, self.columns, schema=self.schema)

    def to_diff_tuple(self) -> tuple[str, str | None, str, str]:
        return ("interaqt_return_table", self.schema, self.legacy, self.table)
