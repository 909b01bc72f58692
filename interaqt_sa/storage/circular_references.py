"""Rows that refer to themselves, or to each other in a cycle, which the unit of work cannot sort."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import inspect
from sqlalchemy.orm import Mapper, RelationshipProperty, Session
from sqlalchemy.orm.attributes import set_committed_value

from .attributes import key_attributes
from .exclusive import let_go
from .paths import foreign_key_pairs
from .references import is_reference, key_of
from .required_sources import refuse_orphans


def break_loops(session: Session, mapper: Mapper[Any], instances: Sequence[Any]) -> None:
    """Nullify references of records that refer to each other in a cycle, because the unit of work cannot sort them."""
    keys = {inspect(instance).identity: instance for instance in instances}
    for relationship in mapper.relationships:
        pairs = foreign_key_pairs(relationship)
        if not pairs or relationship.mapper.base_mapper is not mapper.base_mapper:
            continue
        names = [pairs[name] for name in key_attributes(relationship.mapper) if name in pairs]
        following = {key: tuple(getattr(instance, name) for name in names) for key, instance in keys.items()}
        for start, instance in keys.items():
            key, passed = following.get(start), {start}
            while key in following and key not in passed:
                passed.add(key)
                key = following[key]
            if key == start:
                following[start] = ()
                let_go(session, instance, relationship, names)
    session.flush()


def is_loop(instance: Any, relationship: RelationshipProperty[Any], value: Any) -> bool:
    """Whether ``instance`` refers to itself, before or after the write."""
    target = relationship.mapper
    if target.base_mapper is not relationship.parent.base_mapper:
        return False
    if value is not None and is_reference(target, value):
        identity = inspect(instance).identity
        if identity is not None and key_of(target, value) == tuple(identity):
            return True
    return getattr(instance, relationship.key) is instance


def relate_back(
    session: Session, instance: Any, relationship: RelationshipProperty[Any], neighbours: list[Any]
) -> None:
    """Make ``neighbours`` the records that refer to ``instance``."""
    refuse_orphans(relationship, instance, neighbours)
    own = {id(row): row for row in _own_parents(instance, relationship, neighbours)}
    keys = {id(row) for row in neighbours}
    outdated = [relationship.key, *filter(None, [relationship.back_populates])]
    if own:
        # by its columns: the unit of work cannot add a row to, or remove it from, a relationship to itself
        old: Any = getattr(instance, relationship.key)
        rest = [row for row in (old if relationship.uselist else [old]) if row is not None and id(row) not in own]
        for row in own.values():
            session.expire(row, outdated)
        set_committed_value(instance, relationship.key, _one_or_all(relationship, rest))
        for local, remote in _referring(relationship):
            for number, row in own.items():
                setattr(row, remote, getattr(instance, local) if number in keys else None)
    rest = [row for row in neighbours if id(row) not in own]
    setattr(instance, relationship.key, _one_or_all(relationship, rest))
    if own:
        session.flush()
        for row in (instance, *own.values()):
            session.expire(row, outdated)


def _own_parents(instance: Any, relationship: RelationshipProperty[Any], neighbours: list[Any]) -> list[Any]:
    """Return those of ``instance`` and ``neighbours`` that refer to themselves, before or after the write."""
    if relationship.mapper.base_mapper is not relationship.parent.base_mapper or not inspect(instance).persistent:
        return []
    own = [instance] if any(row is instance for row in neighbours) else []
    rows = (row for row in (instance, *neighbours) if inspect(row).persistent)
    pairs = _referring(relationship)
    return own + [row for row in rows if all(getattr(row, key) == getattr(row, name) for key, name in pairs)]


def _one_or_all(relationship: RelationshipProperty[Any], rows: list[Any]) -> Any:
    return rows if relationship.uselist else next(iter(rows), None)


def _referring(relationship: RelationshipProperty[Any]) -> list[tuple[str, str]]:
    """Return the key attributes of this side, each with the attribute of the other side that refers to it."""
    return [
        (relationship.parent.get_property_by_column(local).key, relationship.mapper.get_property_by_column(remote).key)
        for local, remote in relationship.local_remote_pairs or ()
    ]
