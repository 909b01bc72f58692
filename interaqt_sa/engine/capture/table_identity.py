"""Recognise a table by its name in the database, whichever object represents it in a statement."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from sqlalchemy import Alias, Dialect, Join, Table, TableClause

from ...dialects import dialect_for

if TYPE_CHECKING:
    from ..plan import Plan


class TableNames:
    """The names of tables in one database.

    :param schemas: the ``schema_translate_map`` in force.
    """

    def __init__(self, dialect: Dialect, schemas: Mapping[str | None, str | None] | None = None) -> None:
        self._schemas = schemas or {}
        self._default = dialect.default_schema_name or ""
        self._fold = dialect_for(dialect).fold_name

    def of(self, table: TableClause) -> tuple[str, str]:
        """Return schema and name of a table; equal for all objects that represent the same table."""
        # the map applies only to tables of a MetaData
        schema = self._schemas.get(table.schema, table.schema) if isinstance(table, Table) else table.schema
        return self.spelled(schema, table.name)

    def spelled(self, schema: str | None, name: str) -> tuple[str, str]:
        """Return schema and name of a table in SQL text; quoted as :class:`~sqlalchemy.sql.quoted_name`."""
        return self._fold(schema or self._default), self._fold(name)


def own_table(target: Any) -> Any:
    """Return the table that a DML statement on a class with ``with_polymorphic`` writes; another target itself.

    Such a statement holds the join of the tables of all subclasses.
    """
    if not isinstance(target, Join) or (mapper := target._annotations.get("parentmapper")) is None:
        return target
    table: Any = mapper.local_table
    return table._annotate(target._annotations)._set_propagate_attrs(target._propagate_attrs)


#: returns the names of the database with the given table, ``None`` if it is not the database of the plan
FindNames = Callable[[TableClause], "TableNames | None"]


def find_table(target: Any, plan: Plan, names: FindNames) -> Table | None:
    """Return the table of the plan's MetaData that ``target`` represents in the database.

    :param target: the table of a DML statement: a Table of this or of another MetaData, a ``table()``, an alias.
    :param names: called only if ``target`` is not of this MetaData but has the name of a table of the plan.
    """
    if type(target) is Table and target in plan.sources:
        return target
    while isinstance(target, Alias):
        target = target.element
    target = own_table(target)
    if isinstance(target, Table) and target.metadata is plan.metadata:
        # a statement on a mapped class holds an annotated copy
        return plan.metadata.tables.get(target.key)
    if not isinstance(target, TableClause):
        return None
    alike = plan.tables_named(target.name)
    known = names(target) if alike else None
    if known is None:
        return None
    wanted = known.of(target)
    return next((table for table in alike if known.of(table) == wanted), None)
