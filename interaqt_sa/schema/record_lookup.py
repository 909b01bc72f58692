"""Look up the mapper of a record by name, definition or class."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any, cast

from sqlalchemy import Column, MetaData, inspect
from sqlalchemy.orm import Mapper, RelationshipProperty, class_mapper
from sqlalchemy.orm.exc import UnmappedClassError

from ..definitions.short_repr import shorten, similar
from ..definitions.type_aliases import RecordRef
from ..errors import DefinitionFault
from .metadata_state import Catalog, is_usable


def record_name(mapper: Mapper[Any]) -> str:
    """Return the record name of ``mapper``: the name of its class, which is also that of a definition."""
    return str(mapper.class_.__name__)


def distinct_name(mapper: Mapper[Any], metadata: MetaData) -> str:
    """Return the record name of ``mapper``, qualified by its module if other classes of ``metadata`` have the same."""
    name = record_name(mapper)
    others = [m for m in Catalog.of(metadata).all_mappers() if m is not mapper and record_name(m) == name]
    if not others:
        return name
    full = _full_name(mapper)
    # classes that a function has made may also share their module
    return full if all(_full_name(m) != full for m in others) else f"{full}[{mapper.local_table}]"


def mapper_of(cls: type[Any]) -> Mapper[Any] | None:
    """Return the mapper of ``cls``, ``None`` if it is not mapped or its mapping is deferred."""
    try:
        found = cast("Mapper[Any] | None", inspect(cls, raiseerr=False))
    except UnmappedClassError:  # raised for a class with deferred mapping, in spite of raiseerr=False
        return None
    return found if found is not None and found.is_mapper else None


def stored_attributes(mapper: Mapper[Any]) -> list[tuple[str, Column[Any]]]:
    """Return the attributes of ``mapper`` that are columns, without SQL expressions."""
    columns = ((prop.key, prop.columns[0]) for prop in mapper.column_attrs)
    return [(name, column) for name, column in columns if isinstance(column, Column)]


def relationships_of(mapper: Mapper[Any]) -> Iterator[RelationshipProperty[Any]]:
    """Yield the relationships of ``mapper`` that SQLAlchemy has configured.

    A relationship that was added to a configured class and failed stays on the mapper, without direction and columns.
    """
    for prop in mapper.relationships:
        if is_configured(prop):
            yield prop


def is_configured(prop: RelationshipProperty[Any]) -> bool:
    """Whether SQLAlchemy has determined direction and columns of a relationship."""
    return prop._configure_finished  # pyright: ignore[reportPrivateUsage]


def resolve_record(metadata: MetaData, ref: RecordRef, *, besides: Collection[str] = ()) -> Mapper[Any]:
    """Return the mapper of the record that ``ref`` refers to.

    :param ref: a name (of a definition, else of a declarative class, optionally qualified by its module), a definition,
        a mapped class, or an event source, which refers to its entity.
    :param besides: names of records that are not mapped yet, to be suggested by error messages.
    :raises DefinitionFault: if there is no such record, or more than one.
    """
    if getattr(ref, "is_mapper", False):
        mapper: Mapper[Any] = ref
        return mapper
    if isinstance(ref, str):
        return _by_name(metadata, ref, besides)
    if isinstance(ref, type):
        return _by_class(metadata, ref)
    if (entity := getattr(ref, "entity", None)) is not None:
        return resolve_record(metadata, entity, besides=besides)
    if isinstance(name := getattr(ref, "name", None), str):
        return _by_name(metadata, name, besides)
    raise DefinitionFault(f"{shorten(ref)} is not a record; give its name, its definition or its mapped class")


def _by_class(metadata: MetaData, cls: type[Any]) -> Mapper[Any]:
    mapper = mapper_of(cls)
    if mapper is None:
        raise DefinitionFault(f"class {cls.__qualname__} is not mapped", record=cls.__name__)
    if getattr(mapper.local_table, "metadata", metadata) is not metadata:
        raise DefinitionFault(
            f"class {cls.__qualname__} is mapped on another MetaData; give one base= that holds all records",
            record=cls.__name__,
        )
    return mapper


def _by_name(metadata: MetaData, name: str, besides: Collection[str]) -> Mapper[Any]:
    catalog = Catalog.of(metadata)
    if name in catalog.classes:
        return class_mapper(catalog.classes[name], configure=False)
    cache = catalog.mappers_by_name()
    if (known_mapper := cache.get(name)) is not None and is_usable(known_mapper):
        return known_mapper
    mappers = catalog.all_mappers()
    found = [mapper for mapper in mappers if name in (record_name(mapper), _full_name(mapper))]
    if len(found) == 1:
        cache[name] = found[0]
        return found[0]
    if found:
        names = ", ".join(_full_name(mapper) for mapper in found)
        raise DefinitionFault(f"the record name {name!r} is not unique; give the class, or one of {names}", record=name)
    if (filtered := catalog.filtered.get(name)) is not None:
        raise DefinitionFault(
            f"{name!r} is a filtered record, which is not possible here; name its base {filtered.base.__name__!r}",
            record=name,
        )
    if name in catalog.definitions:
        raise no_rows(name)
    known = sorted({*catalog.classes, *map(record_name, mappers), *besides})
    near = similar(name, known) or known[:10]
    hint = f"did you mean {' or '.join(map(repr, near))}?" if near else "nothing is declared on this MetaData"
    raise DefinitionFault(f"there is no record {shorten(name)}; {hint}", record=name)


def no_rows(name: str) -> DefinitionFault:
    """Return the fault of a reference to a relation that is stored in a foreign key and has no rows."""
    return DefinitionFault(
        f"relation {name!r} has no rows of its own, a foreign key holds it; write its property on either end instead",
        record=name,
    )


def _full_name(mapper: Mapper[Any]) -> str:
    return f"{mapper.class_.__module__}.{mapper.class_.__qualname__}"
