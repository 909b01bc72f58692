"""Indexes by which the first member of a host is found, instead of reading all of its members."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Column, Enum, Index, MetaData, String, Table, UniqueConstraint
from sqlalchemy.orm import Mapper, RelationshipDirection, class_mapper

from ..definitions.aggregates import Aggregate
from ..definitions.computation import info_of
from ..dialects.undecorated_types import stored_type
from ..dialects.unique_key_options import index_predicate
from ..errors import DefinitionFault
from .compile.dictionaries import DICTIONARY_KEY
from .computed import computed_attributes
from .member_types import column_at, member_of
from .metadata_state import Catalog
from .naming import fit_identifier


@dataclass(frozen=True)
class MemberIndex:
    """The index for one computed value.

    :ivar value: the name of the value, ``"Record.property"``.
    :ivar keys: the columns of the members that refer to the host.
    :ivar order: the column that orders the members, and for First and Latest the primary key.
    """

    value: str
    table: Table
    keys: tuple[Column[Any], ...]
    order: tuple[Column[Any], ...]

    @property
    def columns(self) -> tuple[Column[Any], ...]:
        """All columns of the index."""
        return (*self.keys, *self.order)

    def is_among(self, indexes: Iterable[Sequence[str | None]]) -> bool:
        """Whether one of the indexes, given by the names of its columns, has the members of a host in their order.

        The primary key, which decides between members with the same place, may be missing.
        """
        width = len(self.keys)
        keys = {column.name for column in self.keys}
        return any(
            set(found[:width]) == keys and list(found[width : width + 1]) == [self.order[0].name] for found in indexes
        )


def member_indexes(metadata: MetaData) -> Iterator[MemberIndex]:
    """Yield the index for each value that is read from the first member in an order.

    There is none over a link table or along a path, whose columns are in several tables, nor for a text without a
    maximal length, because PostgreSQL refuses long texts in an index.

    :param metadata: the MetaData, whose mappers are configured.
    """
    for mapper in Catalog.of(metadata).all_mappers():
        for attribute, column, computation in computed_attributes(mapper):
            if isinstance(computation, Aggregate) and computation.order is not None:
                with suppress(DefinitionFault, KeyError):  # the checks of computations report the fault
                    yield from _index(mapper, f"{mapper.class_.__name__}.{attribute}", column.table, computation)


def _index(mapper: Mapper[Any], name: str, table: Any, computation: Aggregate[Any]) -> Iterator[MemberIndex]:
    assert computation.order is not None
    member = member_of(mapper, table, computation)
    keys: list[Any] = []
    if DICTIONARY_KEY not in info_of(table):
        relationship = mapper.relationships[str(computation.source)]
        if relationship.direction is not RelationshipDirection.ONETOMANY:
            return
        keys = [remote for _, remote in relationship.local_remote_pairs or ()]
    if "." in computation.order:
        return
    place = column_at(member, computation.order)
    own: Any = place.table
    found = [place, *(member.primary_key if computation.is_ordered_by_key else ())]
    order = dict.fromkeys(column for column in found if column not in keys)
    is_one_table = order and all(column.table is own for column in (*keys, *order))
    if is_one_table and isinstance(own, Table) and not _is_long(place):
        yield MemberIndex(name, own, tuple(keys), tuple(order))  # type: ignore[arg-type]


def _is_long(column: Column[Any]) -> bool:
    type_ = stored_type(column.type)
    return isinstance(type_, String) and not isinstance(type_, Enum) and type_.length is None


def add_member_indexes(metadata: MetaData) -> None:
    """Add these indexes to the tables of compiled definitions, unless they have them; idempotent."""
    catalog = Catalog.of(metadata)
    tables = {class_mapper(cls, configure=False).local_table for cls in catalog.classes.values()}
    # those with more columns first: they serve values that need fewer
    for wanted in sorted(member_indexes(metadata), key=lambda wanted: -len(wanted.columns)):
        if wanted.table in tables and not wanted.is_among(_declared(wanted.table)):
            columns = "_".join(str(column.name) for column in wanted.columns)
            # applications name indexes of their own, such as partial ones, with a single underscore
            Index(fit_identifier(f"ix_{wanted.table.name}__{columns}"), *wanted.columns)


def _declared(table: Table) -> Iterator[list[str | None]]:
    """Yield the columns of the indexes that a table declares."""
    yield [column.name for column in table.primary_key.columns]
    for constraint in table.constraints:
        if isinstance(constraint, UniqueConstraint):
            yield [column.name for column in constraint.columns]
    for index in table.indexes:
        if index_predicate(index) is None:
            yield [getattr(expression, "name", None) for expression in index.expressions]
