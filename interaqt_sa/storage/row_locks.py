"""Locks on records by name, in the order of their keys."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, select, tuple_
from sqlalchemy.orm import Mapper, Session, object_mapper

from ..definitions.short_repr import shorten
from ..definitions.type_aliases import Where
from ..errors import InvalidValueError
from ..schema.record_lookup import record_name
from .attributes import Modifier, column_names, key_attributes
from .read import matching
from .record_makers import Record
from .references import column_key
from .required_match import require_match

#: the maximum number of keys in one statement
_CHUNK = 500


def key_of_id(mapper: Mapper[Any], id: Any) -> tuple[Any, ...]:
    """Return the key of a record from its id; a key of several columns is given as a tuple.

    :raises InvalidValueError: if it cannot be a key.
    """
    names = key_attributes(mapper)
    values = _values(id)
    if len(values) != len(names) or None in values:
        advice = f"; give the tuple ({', '.join(names)}), in this order" if len(names) > 1 else ""
        raise InvalidValueError(
            f"{record_name(mapper)}: the key is {', '.join(names)}, and cannot be {shorten(id)}{advice}",
            record=record_name(mapper),
            code="INVALID_KEY",
        )
    return tuple(column_key(mapper, name, value) for name, value in zip(names, values, strict=True))


def _values(id: Any) -> Sequence[Any]:
    return id if isinstance(id, (tuple, list)) else (id,)  # pyright: ignore[reportUnknownVariableType]


def where_key(mapper: Mapper[Any], entity: Any, id: Any) -> list[ColumnElement[bool]]:
    """Return the criteria that a record has the key ``id``; see :func:`key_of_id`."""
    names = key_attributes(mapper)
    return [getattr(entity, name) == value for name, value in zip(names, key_of_id(mapper, id), strict=True)]


def locked_by_key(session: Session, mapper: Mapper[Any], id: Any, attributes: Sequence[str]) -> Any:
    """Lock a record as an UPDATE of it would; return its current attributes, or ``None`` if there is no such record."""
    session.flush()
    columns = [getattr(mapper.class_, name) for name in attributes]
    statement = select(*columns).where(*where_key(mapper, mapper.class_, id))
    return session.execute(statement.with_for_update(key_share=True, of=mapper.class_)).one_or_none()


def lock_record(session: Session, mapper: Mapper[Any], id: Any) -> Record | None:
    """Lock a record; return its attributes, or ``None`` if there is no such record."""
    session.flush()
    entity = mapper.class_
    statement = select(entity).where(*where_key(mapper, entity, id)).with_for_update(of=entity)
    found = session.scalars(statement, execution_options={"populate_existing": True}).unique().one_or_none()
    return None if found is None else _record(found)


def lock_rows(session: Session, mapper: Mapper[Any], match: Where, limit: int | None) -> list[Record]:
    """Lock the records that match ``match``, in the order of their keys; return those that match once locked.

    :raises DefinitionFault: if there is no match.
    """
    Modifier({}, limit)  # raises an error for an invalid limit
    require_match(record_name(mapper), match)
    session.flush()
    entity = mapper.class_
    key = [getattr(entity, name) for name in key_attributes(mapper)]
    one = key[0] if len(key) == 1 else tuple_(*key)
    found: list[Record] = []
    last: Any = None
    while limit is None or len(found) < limit:
        wanted = matching(session, mapper, match).with_only_columns(*key, maintain_column_froms=True)
        if last is not None:
            wanted = wanted.where(one > last)
        rows = session.execute(wanted.limit(_CHUNK if limit is None else min(_CHUNK, limit - len(found)))).all()
        if not rows:
            break
        keys = [row[0] if len(key) == 1 else tuple(row) for row in rows]
        last = keys[-1] if len(key) == 1 else tuple_(*keys[-1])
        # in a separate statement: after a wait, a locking read with joins continues with old rows of the other tables
        session.execute(select(*key).where(one.in_(keys)).order_by(*key).with_for_update(of=entity)).all()
        still = matching(session, mapper, match).where(one.in_(keys)).execution_options(populate_existing=True)
        found += [_record(instance) for instance in session.scalars(still).unique()]
    return found


def _record(instance: Any) -> Record:
    return {name: getattr(instance, name) for name in column_names(object_mapper(instance))}
