"""Entity diagrams of a schema, in the notation of Mermaid."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from sqlalchemy import Column, MetaData
from sqlalchemy.orm import Mapper, RelationshipDirection, class_mapper

from ..definitions.computation import computation_of
from ..definitions.records import Relation, ref_name
from ..definitions.type_aliases import RecordRef
from .compile.relations import is_symmetric
from .filtered_lookup import base_record
from .filtered_record import is_membership
from .metadata_state import Catalog
from .record_lookup import record_name, relationships_of, stored_attributes

#: the cardinalities of the near and the far end, by type of relation
_ENDS = {"1:1": ("|o", "o|"), "1:n": ("|o", "o{"), "n:1": ("}o", "o|"), "n:n": ("}o", "o{")}
_NO_WORD = re.compile(r"[^A-Za-z0-9_]+")


def mermaid_diagram(metadata: MetaData, mappers: Iterable[Mapper[object]]) -> str:
    """Return the records in ``mappers`` and the relations between them as a Mermaid ``erDiagram``."""
    catalog = Catalog.of(metadata)
    relations = {name: value for name, value in catalog.definitions.items() if isinstance(value, Relation)}
    listed = sorted(mappers, key=record_name)
    # a relation is a line, unless it has more than its ends
    links = {
        name for name, relation in relations.items() if name in catalog.classes and not _has_more(relation, relations)
    }
    lines = ["erDiagram"]
    for mapper in listed:
        if record_name(mapper) not in links:
            lines += _record(mapper)
    for name, relation in sorted(relations.items()):
        if name not in catalog.classes or name in links:
            near, far = _ENDS[relation.type]
            ends = _end(metadata, relation.source), _end(metadata, relation.target)
            lines.append(_line(ends[0], near, far, ends[1], _label(relation)))
        else:
            for side, properties in (("source", relation.source_property), ("target", relation.target_property)):
                end = _end(metadata, relation.source if side == "source" else relation.target)
                many = relation.type.endswith("n") if side == "source" else relation.type.startswith("n")
                lines.append(_line(end, "||", "o{" if many else "o|", name, properties))
    lines += _declared_lines(listed, relations.keys() | catalog.classes.keys())
    return "\n".join(lines) + "\n"


def _end(metadata: MetaData, ref: RecordRef) -> str:
    """Return the name of the record that has the rows of an end."""
    return ref_name(base_record(metadata, ref))


def _has_more(relation: Relation, relations: dict[str, Relation]) -> bool:
    ends = {ref_name(end) for other in relations.values() for end in (other.source, other.target)}
    return bool(relation.properties) or relation.name in ends


def _record(mapper: Mapper[object]) -> Iterator[str]:
    yield f"    {_word(record_name(mapper))} {{"
    for name, column in stored_attributes(mapper):
        if is_membership(column):
            continue
        marks = ["PK"] if column.primary_key else ["FK"] if column.foreign_keys else []
        remark = ' "computed"' if computation_of(column) is not None else ""
        yield f"        {_type(column)} {_word(name)}{' ' + ', '.join(marks) if marks else ''}{remark}"
    yield "    }"


def _type(column: Column[object]) -> str:
    return _word(type(column.type).__name__.lower()) or "value"


def _label(relation: Relation) -> str:
    if is_symmetric(relation):
        return relation.source_property
    return f"{relation.source_property} / {relation.target_property}"


def _declared_lines(mappers: Iterable[Mapper[object]], compiled: Iterable[str]) -> Iterator[str]:
    """Yield the relationships between declarative classes, by their foreign keys."""
    known = set(compiled)
    for mapper in mappers:
        if record_name(mapper) in known:
            continue
        for relationship in relationships_of(class_mapper(mapper.class_, configure=False)):
            if relationship.direction is RelationshipDirection.MANYTOONE and not relationship.info:
                far = record_name(relationship.mapper)
                yield _line(record_name(mapper), "}o", "o|", far, relationship.key)


def _line(near: str, left: str, right: str, far: str, label: str) -> str:
    return f'    {_word(near)} {left}--{right} {_word(far)} : "{label}"'


def _word(name: str) -> str:
    return _NO_WORD.sub("_", name)
