"""Checks of the values in declared predicates against the types of their columns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date, time
from decimal import Decimal
from typing import Any, cast
from uuid import UUID

from sqlalchemy import (
    BinaryExpression,
    BindParameter,
    Boolean,
    Column,
    ColumnElement,
    Date,
    DateTime,
    Enum,
    Float,
    Integer,
    Numeric,
    String,
    Time,
    Uuid,
)
from sqlalchemy.engine.default import DefaultDialect
from sqlalchemy.sql import operators, visitors
from sqlalchemy.sql.elements import ClauseList, ExpressionClauseList, False_, Grouping, True_
from sqlalchemy.types import TypeEngine

from ...definitions.match import OPERATORS, And, Atom, MatchExp, Not, Or
from ...definitions.short_repr import shorten
from ...definitions.type_aliases import Where
from ...dialects.column_types import AwareDateTime
from ...errors import DefinitionFault
from ..enum_values import enum_refusal
from .match import Resolve, refuse_references
from .type_operators import check_operator

#: Types whose values are never text; other TypeDecorators may accept text.
_NO_TEXT = (AwareDateTime, Boolean, Date, DateTime, Float, Integer, Numeric, Time)
#: Python types that may be compared with a column type; the application's TypeDecorators are not restricted.
_FITTING: tuple[tuple[Any, tuple[type[Any], ...]], ...] = (
    (Boolean, (bool,)),
    ((Integer, Numeric, Float), (int, float, Decimal)),
    ((AwareDateTime, Date, DateTime), (date,)),
    (Time, (time,)),
    (String, (str,)),
)
#: comparisons with whole values, unlike LIKE
_COMPARISONS = frozenset(
    {
        *(operators.eq, operators.ne, operators.lt, operators.le, operators.gt, operators.ge),
        *(operators.is_, operators.is_not, operators.is_distinct_from, operators.is_not_distinct_from),
        *(operators.in_op, operators.not_in_op, operators.between_op, operators.not_between_op),
    }
)
_ANY_DIALECT = DefaultDialect()
_SEVERAL = ("in", "not in", "between")


def check_operands(where: Where, resolve: Resolve) -> None:
    """Check that columns can contain the values of a predicate, which otherwise never match or fail at a write.

    Declarations are strict; :meth:`.Storage.find` accepts keys as text, as requests carry them. SQL expressions and
    functions are not checked.

    :raises DefinitionFault: if a column cannot contain a value.
    """
    if isinstance(where, Mapping):
        where = MatchExp.from_object(where)
    for atom in atoms_of(where) if isinstance(where, MatchExp) else ():
        refuse_references(atom.key, atom.operand)
        if atom.operator not in OPERATORS:
            check_operator(atom.key, resolve(atom.key), atom.operator)
        elif atom.operator not in ("exist", "contains"):
            _check_operand(atom, resolve(atom.key).type)


def check_literals(condition: ColumnElement[bool]) -> None:
    """Check that columns of type ``Enum`` have the values that a compiled predicate compares them with.

    :raises DefinitionFault: if one does not: SQLite would compare and never match, PostgreSQL fail at the first write.
    """
    for element in visitors.iterate(condition):
        if isinstance(element, BinaryExpression) and element.operator in _COMPARISONS:
            for column, other in ((element.left, element.right), (element.right, element.left)):
                if isinstance(column, Column) and isinstance(column.type, Enum):
                    _check_labels(column, other)


def parts_of(where: Any) -> Iterator[Any]:
    """Yield the single conditions of ``where``, to be checked one by one; their logical connection is lost."""
    if isinstance(where, Mapping) and where:
        yield from ({key: value} for key, value in cast("Mapping[str, Any]", where).items())
    elif isinstance(where, MatchExp):
        yield from atoms_of(where)
    else:
        yield where


def _check_operand(atom: Atom, column_type: TypeEngine[Any]) -> None:
    if atom.operator == "like" and isinstance(column_type, _NO_TEXT):
        raise DefinitionFault(f"{atom.key!r} is {column_type!r}; 'like' compares texts", property=atom.key)
    fitting = next((kinds for types, kinds in _FITTING if isinstance(column_type, types)), None)
    if isinstance(column_type, Uuid):
        fitting = (UUID,) if column_type.as_uuid else None
    if isinstance(column_type, Enum):
        fitting = None  # check_literals() compares with the values that it has
    for value in atom.operand if atom.operator in _SEVERAL else (atom.operand,):
        if value is not None and fitting is not None and not isinstance(value, fitting):
            several = (
                f", and one of several ('in', {shorten(value)})" if isinstance(value, (list, set, frozenset)) else ""
            )
            raise DefinitionFault(
                f"{atom.key!r} is {column_type!r} and never {shorten(value)}; give a value of its type. "
                f'Operators are tuples: ("is null",), (">", 3){several}',
                property=atom.key,
            )


def _check_labels(column: Column[Any], other: Any) -> None:
    own: Any = column.type
    types = (own, *own._variant_mapping.values())  # pyright: ignore[reportPrivateUsage]
    if not all(isinstance(type_, Enum) for type_ in types):
        return  # on another database the column is not an Enum
    for value in _literals_of(other):
        refusals = [enum_refusal(type_, value, _ANY_DIALECT) for type_ in types]
        if value is not None and None not in refusals:
            raise DefinitionFault(
                f"where= compares {column} with {shorten(value)}, which is none of its values; {refusals[0]}",
                property=column.key,
            )


def _literals_of(operand: Any) -> Iterator[Any]:
    """Yield the Python values on one side of a comparison; other SQL has none."""
    match operand:
        case BindParameter(expanding=True, value=[*values]):
            yield from values
        case BindParameter(value=value):
            yield value
        case True_() | False_():
            yield isinstance(operand, True_)
        case Grouping(element=inner):
            yield from _literals_of(inner)
        case ClauseList(clauses=parts) | ExpressionClauseList(clauses=parts):
            for part in parts:
                yield from _literals_of(part)
        case _:
            pass


def atoms_of(expression: MatchExp) -> Iterator[Atom]:
    """Yield the single comparisons of a match."""
    match expression:
        case Atom():
            yield expression
        case And(parts) | Or(parts):
            for part in parts:
                yield from atoms_of(part)
        case Not(part):
            yield from atoms_of(part)
        case _:
            pass
