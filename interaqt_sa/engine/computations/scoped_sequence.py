"""Scoped sequences: the columns that determine the scope of a row; :mod:`.row_numbers` gives the numbers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sqlalchemy import Boolean, Column, Date, DateTime, Enum, Float, Integer, Numeric, String, Table, Uuid
from sqlalchemy.orm import Mapper, RelationshipDirection

from ...definitions.computation import computation_of
from ...definitions.scoped_sequence import ScopedSequence
from ...dialects.undecorated_types import stored_type
from ...errors import DefinitionFault
from ...schema.scoped_counters import add_scoped_counters
from ..plan import ComputedValue, Numbering, Plan
from ..plan.kinds import add_value
from ..plan.watched_tables import Sources

#: types whose values identify a scope
_SCOPES = (Integer, String, Boolean, Uuid, Date, DateTime, Enum, Numeric)


@add_value.register
def _add(declaration: ScopedSequence, plan: Plan, sources: Sources, value: ComputedValue) -> None:
    """Add a numbered column.

    :raises DefinitionFault: if the scope or the condition is not stored in its table.
    """
    same = [n for listed in plan.numberings.values() for n in listed if n.declaration.name == declaration.name]
    if same:
        raise DefinitionFault(f"there is a ScopedSequence {declaration.name!r} already, of {same[0].value.name}")
    source = sources.mapper(value.mapper)
    scope = [c for name in declaration.scope for c in _scope_columns(value, name)]
    names = {} if declaration.match is None else dict.fromkeys(declaration.match.keys())
    numbering = Numbering(
        value,
        declaration,
        source,
        scope=tuple(dict.fromkeys(scope)),
        read={name: _stored_column(value, name) for name in names},
        counters=add_scoped_counters(plan.metadata),
        earlier=None if declaration.initialize_from is None else _earlier_column(value, declaration.initialize_from),
        **_classes(value.mapper),
    )
    # a change of the scope must be noticed
    source.inputs.update(numbering.scope)
    plan.numberings.setdefault(value.table, []).append(numbering)


def _scope_columns(value: ComputedValue, name: str) -> Iterator[Column[Any]]:
    mapper = value.mapper
    relation, _, attribute = name.partition(".")
    if relation not in mapper.relationships:
        column = _stored_column(value, name)
        if not isinstance(stored_type(column.type), _SCOPES) or isinstance(stored_type(column.type), Float):
            raise DefinitionFault(f"{name!r} is {column.type!r}, whose values cannot identify a scope")
        yield column
        return
    relationship = mapper.relationships[relation]
    pairs = relationship.local_remote_pairs if relationship.direction is RelationshipDirection.MANYTOONE else ()
    for local, remote in pairs or ():
        if attribute and relationship.mapper.get_property_by_column(remote).key != attribute:
            pairs = ()
            break
        if not isinstance(local, Column) or local.table is not value.table:
            pairs = ()
            break
        yield local
    if not pairs:
        raise DefinitionFault(
            f"the scope {name!r} is not stored in the row: name an attribute of {value.record}, or a relationship that "
            "a foreign key of its table holds"
        )


def _stored_column(value: ComputedValue, name: str) -> Column[Any]:
    mapper = value.mapper
    if name not in mapper.column_attrs:
        known = ", ".join(sorted(mapper.column_attrs.keys()))
        raise DefinitionFault(f"{value.record} has no stored attribute {name!r}; it has {known}")
    column = mapper.column_attrs[name].columns[0]
    if not isinstance(column, Column) or column.table is not value.table:
        raise DefinitionFault(f"{name!r} is not a column of the table {value.table.name!r}, whose rows are numbered")
    if computation_of(column) is not None or column.computed is not None or column.identity is not None:
        raise DefinitionFault(f"{name!r} is computed, and not known before the row is stored")
    return column


def _earlier_column(value: ComputedValue, name: str) -> Column[Any]:
    column = _stored_column(value, name)
    if not isinstance(stored_type(column.type), (Integer, Numeric)) or isinstance(stored_type(column.type), Boolean):
        raise DefinitionFault(f"initialize_from={name!r} is {column.type!r}, which holds no numbers")
    return column


def _classes(mapper: Mapper[Any]) -> dict[str, Any]:
    """Return the discriminator and its values, if the table also holds rows of other classes."""
    kind = mapper.polymorphic_on
    shares = isinstance(kind, Column) and mapper.inherits is not None and mapper.local_table is kind.table
    if not shares:
        return {}
    assert isinstance(mapper.local_table, Table)
    return {"kind": kind, "kinds": frozenset(m.polymorphic_identity for m in mapper.self_and_descendants)}
