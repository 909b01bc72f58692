"""Values of the application by concept and key: ``storage.get()`` and ``storage.set()``."""

from __future__ import annotations

from typing import Any

from sqlalchemy import MetaData, select
from sqlalchemy.orm import Session

from ..definitions.short_repr import shorten
from ..dialects import dialect_class
from ..errors import InvalidValueError
from ..schema.compile.system_tables import VALUE_CLASS, values_mapper
from ..schema.value_checks import checked_value
from .read import dialect_of


def get_value(session: Session, metadata: MetaData, concept: str, key: str, initial: Any) -> Any:
    """Return a value, or ``initial`` if there is none."""
    mapper = values_mapper(metadata)
    cls: Any = mapper.class_
    where = _checked_names(session, metadata, concept, key)
    found = session.execute(select(cls.value).where(*(getattr(cls, name) == value for name, value in where.items())))
    row = found.one_or_none()
    return initial if row is None else row[0]


def set_value(session: Session, metadata: MetaData, concept: str, key: str, value: Any) -> None:
    """Write a value; if several transactions write the first one concurrently, the last one stays."""
    mapper = values_mapper(metadata)
    names = _checked_names(session, metadata, concept, key)
    dialect = dialect_of(session, mapper)
    column = mapper.columns["value"]
    value = checked_value(column, value, dialect, record=VALUE_CLASS, name="value")
    insert = dialect_class(dialect).insert(mapper.class_).values(**names, value=value)
    session.execute(
        insert.on_conflict_do_update(index_elements=["concept", "key"], set_={"value": insert.excluded.value})
    )


def _checked_names(session: Session, metadata: MetaData, concept: Any, key: Any) -> dict[str, str]:
    mapper = values_mapper(metadata)
    dialect = dialect_of(session, mapper)
    for name, value in (("concept", concept), ("key", key)):
        if not isinstance(value, str):
            raise InvalidValueError(
                f"{name} is a text, not {shorten(value)}", record=VALUE_CLASS, property=name, code="INVALID_KEY"
            )
        checked_value(mapper.columns[name], value, dialect, record=VALUE_CLASS, name=name, code="INVALID_KEY")
    return {"concept": concept, "key": key}
