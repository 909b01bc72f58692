"""Scoped sequences: the columns that determine the scope of a row; :mod:`.row_numbers` gives the numbers."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Boolean, Column, Integer, Numeric, Table
from sqlalchemy.orm import Mapper

from ...definitions.scoped_sequence import ScopedSequence
from ...dialects.undecorated_types import stored_type
from ...errors import DefinitionFault
from ...schema.scope_columns import scope_columns, stored_column
from ...schema.scoped_counters import add_scoped_counters
from ..plan import ComputedValue, Numbering, Plan
from ..plan.kinds import add_value
from ..plan.watched_tables import Sources


@add_value.register(ScopedSequence)
def _add(declaration: ScopedSequence[Any], plan: Plan, sources: Sources, value: ComputedValue) -> None:
    """Add a numbered column.

    :raises DefinitionFault: if the scope or the condition is not stored in its table.
    """
    same = [n for listed in plan.numberings.values() for n in listed if n.declaration.name == declaration.name]
    if same:
        raise DefinitionFault(f"there is a ScopedSequence {declaration.name!r} already, of {same[0].value.name}")
    source = sources.mapper(value.mapper)
    scope = [c for name in declaration.scope for c in scope_columns(value.mapper, value.table, name)]
    names = {} if declaration.match is None else dict.fromkeys(declaration.match.keys())
    numbering = Numbering(
        value,
        declaration,
        source,
        scope=tuple(dict.fromkeys(scope)),
        read={name: stored_column(value.mapper, value.table, name) for name in names},
        counters=add_scoped_counters(plan.metadata),
        earlier=None if declaration.initialize_from is None else _earlier_column(value, declaration.initialize_from),
        **_classes(value.mapper),
    )
    # a change of the scope must be noticed
    source.inputs.update(numbering.scope)
    plan.numberings.setdefault(value.table, []).append(numbering)


def _earlier_column(value: ComputedValue, name: str) -> Column[Any]:
    column = stored_column(value.mapper, value.table, name)
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
