"""Fingerprints of declarations: a value is filled again if the fingerprint of its declaration has changed.

They are computed from the declaration, not from the compiled SQL, so that they are the same in every process and under
every version of Python and SQLAlchemy. A function is represented by its name: its source changes with its formatting,
but not with the functions that it calls.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from datetime import date, time
from decimal import Decimal
from enum import Enum as PythonEnum
from typing import Any, NamedTuple, cast

from sqlalchemy import ARRAY, CHAR, JSON, REAL, Column, ColumnElement, Enum, Float, MetaData, Numeric, Table
from sqlalchemy.dialects.postgresql import CITEXT
from sqlalchemy.orm import Mapper, RelationshipProperty, class_mapper
from sqlalchemy.types import TypeDecorator, TypeEngine

from ..definitions.computation import Computation
from ..definitions.match import And, Atom, MatchExp, Not, Or
from ..engine.engine import ComputedValue, Derivation
from ..schema.class_criterion import class_criterion, discriminator_of
from ..schema.computed import declared_rows
from ..schema.filtered_lookup import filtered_record
from ..schema.record_lookup import record_name, resolve_record

#: Prefix of each fingerprint. It is increased when the engine stores other values for the same declaration; values with
#: another format are filled again, except those of the former format, which contains less: see :class:`_Since`.
FORMAT = 3
_FORMER = 2


class Fingerprint(NamedTuple):
    """The fingerprint of a declaration.

    :ivar former: the fingerprint of the same declaration in the former format. A value that was filled with it is
        filled, and its record is renewed by the next upgrade.
    """

    current: str
    former: str


class _Since(NamedTuple):
    """A part of a declaration that the former format describes otherwise; by default not at all."""

    now: Any
    former: Any = ...


def value_fingerprint(value: ComputedValue) -> Fingerprint:
    """Return the fingerprint of a computed column."""
    described: dict[str, Any] = {
        "column": _Since([_table_name(value.table), value.column.name]),
        "computation": type(value.computation).__name__,
        "type": _stored_type(value.column.type),
        "running": [[column.name, _stored_type(column.type)] for column in value.running if column is not value.column],
    }
    if value.is_aggregate:
        described |= _aggregate(value.mapper, value.computation)
    else:
        described |= {name: _value(given) for name, given in value.computation.meaning().items()}
    return _hashed(described)


def rows_fingerprint(derivation: Derivation) -> Fingerprint:
    """Return the fingerprint of the rows that a Transform derives from those of another record."""
    transform = declared_rows(derivation.mapper.class_)
    assert derivation.origin is not None
    assert transform is not None
    # only declared attributes: if there are none it reads all, and a new attribute does not change any row
    described = {
        "table": _Since(_table_name(derivation.mapper.local_table)),
        "origin": _Since(_rows_of(derivation.origin)),
        "computation": "Transform",
        "record": record_name(derivation.origin) if derivation.members is None else derivation.members.name,
        "attributes": _value(transform.attribute_query),
        "callback": _name_of(transform.callback),
    }
    return _hashed(described)


def _aggregate(mapper: Mapper[Any], computation: Computation[Any]) -> dict[str, Any]:
    named = computation.references()
    relationship = mapper.relationships.get(named.members) if isinstance(named.members, str) else None
    table: Any = mapper.local_table
    metadata: MetaData = table.metadata
    member: Mapper[Any]
    source: list[Any]
    if getattr(computation, "of_own_row", False):
        member, source = mapper, [_rows_of(mapper)]
    elif relationship is not None:
        member, source = relationship.mapper, _relationship(relationship)
    elif (filtered := filtered_record(metadata, named.members)) is not None:
        member = class_mapper(filtered.base)
        source = [_rows_of(member), filtered.attribute]
    else:
        member = resolve_record(metadata, named.members)
        source = [_rows_of(member)]
    described: dict[str, Any] = {"source": source}
    for name, given in computation.meaning().items():
        if given is None or given is named.members:
            continue
        if given is named.conditions:
            described[name] = [_predicate(condition, member) for condition in named.conditions]
        elif any(given is condition for condition in named.conditions):
            described[name] = _predicate(given, member)
        elif isinstance(given, str) and given in named.fields:
            described[name] = _path(given, member)
        else:
            described[name] = _value(given)
    return described


# -- members ----------------------------------------------------------------------------------------------------------


def _relationship(relationship: RelationshipProperty[Any]) -> list[Any]:
    joins = [relationship.primaryjoin, relationship.secondaryjoin]
    # of a table with itself, the parent and the children have the same join
    direction = _Since([relationship.direction.name, sorted(map(str, relationship.remote_side))])
    return [_rows_of(relationship.mapper), *(_sql(join) for join in joins if join is not None), direction]


def _rows_of(mapper: Mapper[Any]) -> list[Any]:
    """Return a description of the table and the criterion of the rows of a class."""
    discriminator = discriminator_of(mapper)
    described: list[Any] = [_table_name(mapper.local_table)]
    if class_criterion(mapper) is not None:
        identities = {m.polymorphic_identity for m in mapper.self_and_descendants if not m.polymorphic_abstract}
        told = discriminator.name if isinstance(discriminator, Column) else _sql(discriminator)
        described += [told, _value(identities)]
    return described


def _path(path: str, member: Mapper[Any]) -> list[Any]:
    """Return an x:1 path as its joins and the column at its end."""
    *steps, last = path.split(".")
    described: list[Any] = []
    mapper = member
    for step in steps:
        relationship = mapper.relationships[step]
        described.append(_relationship(relationship))
        mapper = relationship.mapper
    column = mapper.column_attrs[last].columns[0]
    return [*described, f"{_table_name(getattr(column, 'table', None))}.{getattr(column, 'name', '')}"]


def _predicate(where: Any, member: Mapper[Any]) -> Any:
    if isinstance(where, (MatchExp, Mapping)):
        return _match(MatchExp.of(cast("Any", where)), member)
    return _sql(where if isinstance(where, ColumnElement) or not callable(where) else where(member.class_))


def _match(expression: MatchExp, member: Mapper[Any]) -> Any:
    match expression:
        case Atom(key, "exist", operand):
            relationship = member.relationships[key]
            return ["exist", _relationship(relationship), _match(operand, relationship.mapper)]
        case Atom(key, operator, operand):
            shown = _unordered(operand) if operator in ("in", "not in") else _value(operand)
            return [operator, _path(key, member), shown]
        case And(parts):
            return ["and", *(_match(part, member) for part in parts)]
        case Or(parts):
            return ["or", *(_match(part, member) for part in parts)]
        case Not(part):
            return ["not", _match(part, member)]
        case _:
            return repr(expression)


def _sql(element: Any) -> list[Any]:
    found: Any = element.__clause_element__() if hasattr(element, "__clause_element__") else element
    compiled = found.compile()
    return [" ".join(str(compiled).split()), _value(compiled.params)]


def _table_name(table: Any) -> str:
    return table.fullname if isinstance(table, Table) else str(table)


# -- values and types --------------------------------------------------------------------------------------------------


def _value(given: Any) -> Any:
    """Return a value of a declaration as JSON; the same for equal values, and never with a memory address."""
    # values of the application may be of any type
    value: Any = given
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, PythonEnum):
        return [type(value).__name__, value.name]
    if isinstance(value, (int, float, Decimal)):
        # 1, 1.0 and Decimal(1) are equal
        return ["number", str(Decimal(repr(value) if isinstance(value, float) else value).normalize())]
    if isinstance(value, (date, time)):
        return [type(value).__name__, value.isoformat()]
    if isinstance(value, bytes):
        return ["bytes", value.hex()]
    items: Any = value
    if isinstance(value, AbstractSet):
        return _unordered(items)
    if isinstance(value, Mapping):
        return {str(key): _value(items[key]) for key in sorted(items, key=str)}
    if isinstance(value, (list, tuple)):
        return [_value(item) for item in items]
    if isinstance(value, type):
        return f"{items.__module__}.{items.__qualname__}"
    if callable(value):
        return _name_of(value)
    # a custom text, not the memory address in the default one
    text = str(value)
    return [type(items).__qualname__, "" if " at 0x" in text else text]


def _unordered(items: Iterable[Any]) -> list[Any]:
    return sorted((_value(item) for item in items), key=lambda item: json.dumps(item, sort_keys=True))


def _stored_type(type_: TypeEngine[Any]) -> list[Any]:
    """Return the properties of a type that affect stored values: not its length, but its scale and time zone."""
    return list(_type_parts(type_))


def converts(before: TypeEngine[Any], after: TypeEngine[Any]) -> bool:
    """Whether a column that changes its type from ``before`` to ``after`` may hold other values then.

    :param before: as reflected, so that decorators of the application are not compared.
    """
    stored = [_in_format(FORMAT, _stored_type(_undecorated(each))) for each in (before, after)]
    return bool(stored[0] != stored[1])


def _undecorated(type_: TypeEngine[Any]) -> TypeEngine[Any]:
    while isinstance(type_, TypeDecorator):
        type_ = type_.impl_instance
    return type_


def _type_parts(type_: TypeEngine[Any]) -> Iterator[Any]:
    if isinstance(type_, TypeDecorator):
        if not type(type_).__module__.startswith(f"{__name__.partition('.')[0]}."):
            yield f"{type(type_).__module__}.{type(type_).__qualname__}"
        yield from _type_parts(type_.impl_instance)
        return
    kind: Any = type_.as_generic() if type(type_).__module__.startswith("sqlalchemy.dialects.") else type_
    match kind:
        case Enum():
            yield "enum"
            yield sorted(kind.enums)
        case ARRAY():
            yield "array"
            yield from _type_parts(cast("Any", kind).item_type)
        case Float():  # includes DOUBLE
            yield "float"
            is_short = kind.precision is not None and kind.precision <= 24
            yield _Since(is_short or isinstance(kind, REAL), is_short)
        case Numeric():
            yield "numeric"
            yield kind.scale
        case JSON():
            yield "json"
        case _:
            yield _family(kind)
            yield bool(getattr(kind, "timezone", False))
            yield from (_Since(part) for part in _kept_form(type_))


def _kept_form(type_: Any) -> Iterator[Any]:
    """Yield what makes a type store or compare values otherwise than others of its family."""
    if isinstance(type_, CHAR):
        yield ["padded", type_.length]
    if isinstance(type_, CITEXT):
        yield "citext"
    for name in ("collation", "precision"):
        if (given := getattr(type_, name, None)) is not None:
            yield [name, given]


def _family(type_: TypeEngine[Any]) -> str:
    """Return the kind of values of a type: the same for BIGINT and INTEGER, and for VARCHAR and TEXT."""
    try:
        return type_.python_type.__name__
    except NotImplementedError:
        return type(type_).__name__.lower()


def _name_of(function: Any) -> str:
    return f"{getattr(function, '__module__', '')}.{getattr(function, '__qualname__', type(function).__qualname__)}"


def _hashed(described: Mapping[str, Any]) -> Fingerprint:
    current, former = (_hash(number, _in_format(number, described)) for number in (FORMAT, _FORMER))
    return Fingerprint(current, former)


def _hash(number: int, described: Any) -> str:
    text = json.dumps(described, sort_keys=True, ensure_ascii=False)
    return f"{number}:{hashlib.sha256(text.encode()).hexdigest()[:16]}"


def _in_format(number: int, described: Any) -> Any:
    """Return a description as the format ``number`` has it."""
    if isinstance(described, _Since):
        return _in_format(number, described.now) if number == FORMAT else described.former
    given: Any = described
    if isinstance(described, Mapping):
        parts = {name: _in_format(number, part) for name, part in given.items()}
        return {name: part for name, part in parts.items() if part is not ...}
    if isinstance(described, (list, tuple)):
        return [part for part in (_in_format(number, item) for item in given) if part is not ...]
    return given
