"""The columns of a row that determine the scope of a sequence."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sqlalchemy import Boolean, Column, Date, DateTime, Enum, Float, Integer, Numeric, String, Table, Uuid
from sqlalchemy.orm import Mapper, RelationshipDirection

from ..definitions.computation import computation_of
from ..dialects.undecorated_types import stored_type
from ..errors import DefinitionFault

#: types whose values identify a scope
_SCOPES = (Integer, String, Boolean, Uuid, Date, DateTime, Enum, Numeric)


def scope_columns(mapper: Mapper[Any], table: Table, name: str) -> Iterator[Column[Any]]:
    """Yield the columns of one part of a scope: those of an attribute, or of the foreign key of a relationship.

    :param table: the table whose rows are numbered.
    :raises DefinitionFault: if ``name`` is neither, or not stored in ``table``.
    """
    relation, _, attribute = name.partition(".")
    if relation not in mapper.relationships:
        column = stored_column(mapper, table, name)
        if not isinstance(stored_type(column.type), _SCOPES) or isinstance(stored_type(column.type), Float):
            raise DefinitionFault(f"{name!r} is {column.type!r}, whose values cannot identify a scope")
        yield column
        return
    relationship = mapper.relationships[relation]
    is_held = relationship.direction is RelationshipDirection.MANYTOONE
    pairs = list(relationship.local_remote_pairs or ()) if is_held else []
    of_remote = relationship.mapper.get_property_by_column
    is_held = all(isinstance(local, Column) and local.table is table for local, _ in pairs)
    if not pairs or not is_held or (attribute and any(of_remote(remote).key != attribute for _, remote in pairs)):
        raise DefinitionFault(
            f"the scope {name!r} is not stored in the row: name an attribute of {mapper.class_.__name__}, or a "
            "relationship that a foreign key of its table holds"
        )
    for local, _ in pairs:
        assert isinstance(local, Column)
        yield local


def stored_column(mapper: Mapper[Any], table: Table, name: str) -> Column[Any]:
    """Return the column of an attribute whose value is known before the row is stored.

    :param table: the table whose rows are numbered.
    :raises DefinitionFault: if there is none.
    """
    if name not in mapper.column_attrs:
        known = ", ".join(sorted(mapper.column_attrs.keys()))
        raise DefinitionFault(f"{mapper.class_.__name__} has no stored attribute {name!r}; it has {known}")
    column = mapper.column_attrs[name].columns[0]
    if not isinstance(column, Column) or column.table is not table:
        raise DefinitionFault(f"{name!r} is not a column of the table {table.name!r}, whose rows are numbered")
    if computation_of(column) is not None or column.computed is not None or column.identity is not None:
        raise DefinitionFault(f"{name!r} is computed, and not known before the row is stored")
    return column
