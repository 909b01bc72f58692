"""The operation that adopts a table of interaqt; :mod:`.legacy_tables` finds these tables."""

from __future__ import annotations

from collections.abc import Mapping

from alembic.operations import MigrateOperation, Operations

#: the physical key of interaqt's tables, which applications do not see
ROW_ID = "_rowId"


class _NamesOfTable(MigrateOperation):
    """The names of a table before and after its adoption.

    :ivar legacy: the old name of the table; ``table`` is the new one.
    :ivar columns: the new names of renamed columns; one of them is ``id``.
    """

    def __init__(self, legacy: str, table: str, columns: Mapping[str, str], *, schema: str | None = None) -> None:
        self.legacy = legacy
        self.table = table
        self.columns = dict(columns)
        self.schema = schema


@Operations.register_operation("interaqt_adopt_table")
class AdoptTable(_NamesOfTable):
    """Rename a table and its columns to the declared names, and make ``id`` the key."""

    @classmethod
    def interaqt_adopt_table(
        cls, operations: Operations, legacy: str, table: str, columns: Mapping[str, str], *, schema: str | None = None
    ) -> None:
        """Adopt a table of interaqt, with ``_rowId`` and columns such as ``use_nam_1``.

        :param legacy: its name.
        :param table: its new name.
        :param columns: new names of columns by old ones; one of the new names is ``id``, unless there is a column
            ``id`` already. It becomes the primary key, and ``_rowId`` is dropped.
        :param schema: schema of the table.
        """
        operations.invoke(cls(legacy, table, columns, schema=schema))

    def reverse(self) -> MigrateOperation:
        return ReturnTable(self.legacy, self.table, self.columns, schema=self.schema)

    def to_diff_tuple(self) -> tuple[str, str | None, str, str]:
        return ("interaqt_adopt_table", self.schema, self.legacy, self.table)


@Operations.register_operation("interaqt_return_table")
class ReturnTable(_NamesOfTable):
    """The reverse of :class:`AdoptTable`."""

    @classmethod
    def interaqt_return_table(
        cls, operations: Operations, legacy: str, table: str, columns: Mapping[str, str], *, schema: str | None = None
    ) -> None:
        """Return a table to interaqt; the arguments are those of ``interaqt_adopt_table``."""
        operations.invoke(cls(legacy, table, columns, schema=schema))

    def reverse(self) -> MigrateOperation:
        return AdoptTable(self.legacy, self.table, self.columns, schema=self.schema)

    def to_diff_tuple(self) -> tuple[str, str | None, str, str]:
        return ("interaqt_return_table", self.schema, self.legacy, self.table)
