"""Messages about attributes that are not columns: hybrids, synonyms, composites, proxies."""

from __future__ import annotations

import inspect as python_inspect
from typing import Any

from sqlalchemy.ext.associationproxy import AssociationProxy
from sqlalchemy.ext.hybrid import hybrid_property
from sqlalchemy.orm import CompositeProperty, Mapper, RelationshipProperty, SynonymProperty, class_mapper


def of_no_column(name: str) -> str:
    """Return the advice for an attribute that is evaluated when it is read."""
    return (
        f"whose changes cannot be followed; make it a computed column, as in {name}: Mapped[…] = "
        f"computed(lambda row: …), or write a condition as a function of the class: where=lambda cls: cls.{name} > 0"
    )


def _of_no_query(name: str) -> str:
    """Return the advice for such an attribute in a query or in data."""
    return (
        f"not an attribute of its rows; to compare it write SQL: lambda cls: cls.{name} > 0; to read it make it a "
        f"computed column, as in {name}: Mapped[…] = computed(lambda row: …)"
    )


def describe(cls: type[Any] | None, path: object, *, is_query: bool = False) -> str | None:
    """Return the kind of the last attribute of a path, with advice.

    :param cls: the mapped class that may have the attribute, if there is one.
    :param is_query: whether it is named in a query or in data, instead of a declaration.
    :return: ``None`` if there is no class, no name or no such attribute, or it is a column or of an unknown kind.
    """
    if not isinstance(path, str):
        return None
    leading, _, name = path.rpartition(".")
    before = f"{leading}." if leading else ""
    found = None if cls is None else python_inspect.getattr_static(cls, name, None)
    if cls is None or found is None:
        return None
    mapper: Mapper[Any] = class_mapper(cls, configure=False)
    prop: Any = mapper._props.get(name)  # pyright: ignore[reportPrivateUsage]
    if isinstance(found, hybrid_property):
        return f"is a hybrid of {cls.__name__}, {_of_no_query(name) if is_query else of_no_column(name)}"
    if isinstance(found, AssociationProxy):
        target, value = found.target_collection, found.value_attr
        return f"is an association proxy of {cls.__name__}; name its target: {f'{before}{target}.{value}'!r}"
    if isinstance(prop, SynonymProperty):
        return f"is a synonym of {cls.__name__}; name the original: {f'{before}{prop.name}'!r}"
    if isinstance(prop, CompositeProperty):
        parts = [repr(f"{before}{part.key}") for part in prop.props]
        return f"is a composite of {cls.__name__}; name one of its parts: {', '.join(parts)}"
    if isinstance(prop, RelationshipProperty):
        return f"is a relationship of {cls.__name__}; name an attribute of its target, as in {f'{path}.id'!r}"
    # inputs of a merged entity refuse to give the attributes of others
    if prop is None and hasattr(cls, name) and not name.startswith("_"):
        return (
            f"is an attribute of {cls.__name__} in Python, without a column; make it a computed column, as in "
            f"{name}: Mapped[…] = computed(lambda row: …)"
        )
    return None
