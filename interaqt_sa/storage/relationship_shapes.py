"""Determine which neighbours can be joined to a record, and which are found by a column of their own."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import BinaryExpression, Index, Integer, Table, UniqueConstraint, Uuid
from sqlalchemy.orm import ONETOMANY, RelationshipProperty
from sqlalchemy.orm.exc import UnmappedColumnError
from sqlalchemy.sql import operators
from sqlalchemy.sql.visitors import iterate

from ..dialects.base import is_exact_key
from .attributes import Modifier, Nested


def is_joinable(nested: Nested) -> bool:
    """Whether a join with the neighbours adds no row, so that they need no separate statement."""
    relationship = nested.relationship
    if relationship.uselist or nested.link is not None or relationship.secondary is not None:
        return False
    if nested.match is not None or nested.modifier != Modifier():
        return False
    remote = [column for _, column in relationship.local_remote_pairs or ()]
    # without a neighbour the key is NULL; types of the application might convert NULL
    key = relationship.mapper.primary_key
    return is_unique(remote) and all(isinstance(column.type, (Integer, Uuid)) for column in key)


def is_unique(columns: Iterable[Any]) -> bool:
    """Whether ``columns``, if not NULL, are unique in the database."""
    given = set(columns)
    tables = {getattr(column, "table", None) for column in given}
    if len(tables) != 1 or not isinstance(table := tables.pop(), Table):
        return False
    unique = [set(table.primary_key.columns)]
    unique += [set(one.columns) for one in table.constraints if isinstance(one, UniqueConstraint)]
    unique += [set(one.columns) for one in table.indexes if one.unique and not _has_predicate(one)]
    return any(columns and columns <= given for columns in unique)


def _has_predicate(index: Index) -> bool:
    columns = len(index.columns) != len(index.expressions)  # with an expression
    return columns or any(name.endswith("_where") for name in index.dialect_kwargs)


def keys_of_parent(relationship: RelationshipProperty[Any]) -> list[str] | None:
    """Return the attributes of the members that hold the key of their parent, in the order of that key.

    ``None`` if the relationship has other criteria, or equal keys may differ in Python: then the parents are joined.
    """
    parent, members = relationship.parent, relationship.mapper
    if relationship.direction is not ONETOMANY or relationship.secondary is not None:
        return None
    pairs = relationship.local_remote_pairs or ()
    try:
        held = {parent.get_property_by_column(local).key: (local, remote) for local, remote in pairs}
        names = {name: members.get_property_by_column(remote).key for name, (_, remote) in held.items()}
    except UnmappedColumnError:
        return None
    keys = [parent.get_property_by_column(column).key for column in parent.primary_key]
    if len(keys) != 1 or held.keys() != set(keys) or not _is_equality(relationship, len(pairs)):
        return None
    local, remote = _columns(held[keys[0]])
    same = type(local.type) is type(remote.type) or all(isinstance(c.type, Integer) for c in (local, remote))
    return [names[keys[0]]] if same and all(is_exact_key([column]) for column in (local, remote)) else None


def _columns(pair: Any) -> tuple[Any, Any]:
    # relationships may use expressions
    local, remote = pair
    return local, remote


def _is_equality(relationship: RelationshipProperty[Any], pairs: int) -> bool:
    found: Any = relationship.primaryjoin
    comparisons: list[Any] = [part for part in iterate(found) if isinstance(part, BinaryExpression)]
    return pairs == len(comparisons) == 1 and found is comparisons[0] and found.operator is operators.eq
