"""Give hidden columns the types of the members' attributes, once the classes of the members are mapped."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from sqlalchemy import Column, MetaData, Table
from sqlalchemy.orm import Mapper

from ..definitions.computation import Computation, info_of
from ..definitions.member_types import MemberType
from ..errors import DefinitionFault
from .compile.dictionaries import DICTIONARY_KEY
from .computed import STATE_KEY, computed_attributes, state_of
from .filtered_lookup import base_record
from .metadata_state import Catalog
from .naming import fit_identifier
from .record_lookup import resolve_record


def key_attributes(mapper: Mapper[Any]) -> list[str]:
    """Return the attributes of the primary key of a class."""
    return [str(mapper.get_property_by_column(column).key) for column in mapper.primary_key]


def give_member_types(metadata: MetaData) -> None:
    """Replace each :class:`.MemberType` by the type of the members' attribute; idempotent.

    A column whose computation has a fault keeps it; the checks of computations report the fault.

    :param metadata: the MetaData of the tables; its mappers are configured.
    """
    for table in filter(has_member_types, list(metadata.tables.values())):
        for mapper in Catalog.of(metadata).all_mappers():
            if mapper.local_table is table:
                for _, column, computation in computed_attributes(mapper):
                    with suppress(DefinitionFault, KeyError):
                        _give(mapper, column, computation)


def has_member_types(table: Table) -> bool:
    """Whether a hidden column of ``table`` still has a :class:`.MemberType`."""
    return any(isinstance(column.type, MemberType) for column in table.columns)


def _give(mapper: Mapper[Any], column: Column[Any], computation: Computation[Any]) -> None:
    table = column.table
    assert isinstance(table, Table)
    for state in list(table.columns):
        owner, role = state_of(state) or (None, "")
        if owner != column.name or not isinstance(state.type, MemberType):
            continue
        member = member_of(mapper, table, computation)
        first, *more = _stored(member, state.type.path)
        _replace(table, state, first)
        for place, part in enumerate(more, 2):
            name = fit_identifier(f"_{column.name}__{role}_{place}")
            _replace(table, Column(name, part.type, info={STATE_KEY: (owner, f"{role}_{place}")}), part)


def _replace(table: Table, state: Column[Any], like: Column[Any]) -> None:
    # not a new type of the same column: types such as Enum listen to the table of a column when it is added
    typed: Column[Any] = Column(state.name, like.type, nullable=True, info=dict(info_of(state)))
    table.append_column(typed, replace_existing=True)


def member_of(mapper: Mapper[Any], table: Table, computation: Computation[Any]) -> Mapper[Any]:
    """Return the class of the members of a computation in ``table``."""
    source = computation.references().members
    if DICTIONARY_KEY in info_of(table):
        return resolve_record(table.metadata, base_record(table.metadata, source))
    return mapper.relationships[source].mapper


def _stored(member: Mapper[Any], path: str | None) -> list[Column[Any]]:
    """Return the column at the end of an x:1 path, or the columns of the primary key."""
    if path is None:
        return [column for column in member.primary_key if isinstance(column, Column)]
    return [column_at(member, path)]


def column_at(member: Mapper[Any], path: str) -> Column[Any]:
    """Return the column at the end of an x:1 path.

    :raises DefinitionFault: if the attribute is a SQL expression.
    :raises KeyError: if there is no such attribute.
    """
    *steps, last = path.split(".")
    for step in steps:
        member = member.relationships[step].mapper
    found = member.column_attrs[last].columns[0]
    if not isinstance(found, Column):
        raise DefinitionFault(f"{path!r} is a SQL expression, not a stored column")
    return found
