"""Compile matches and ``where=`` into SQL."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from operator import ge, gt, le, lt
from typing import Any, TypeAlias, cast

from sqlalchemy import (
    ARRAY,
    JSON,
    Boolean,
    ColumnElement,
    Date,
    DateTime,
    Integer,
    Numeric,
    String,
    Time,
    Uuid,
    and_,
    bindparam,
    false,
    inspect,
    literal,
    or_,
    true,
)
from sqlalchemy.sql.visitors import replacement_traverse
from sqlalchemy.types import NullType, TypeDecorator

from ...definitions.match import OPERATORS, And, Atom, MatchExp, Not, Or, Reference
from ...definitions.short_repr import shorten
from ...definitions.type_aliases import Where
from ...dialects.functions import json_contains
from ...errors import DefinitionFault
from ..key_coercion import NoKeyError, key_value
from .type_operators import apply_type_operator

#: Returns the column of a path in a match.
Resolve: TypeAlias = Callable[[str], ColumnElement[Any]]
#: Returns the ``EXISTS`` of a relationship and a predicate over its members.
ResolveExist: TypeAlias = Callable[[str, MatchExp], ColumnElement[bool]]
#: Returns the operand of a comparison, given as key, column, operator and operand, converted for the column.
OperandOf: TypeAlias = Callable[[str, ColumnElement[Any], str, Any], Any]


@dataclass(frozen=True, slots=True)
class ValueList:
    """The operand of ``in`` and ``not in`` as a parameter.

    :ivar contains: whether the column equals one of the values; the text does not depend on their number.
    :ivar has_null: whether NULL is one of them.
    """

    contains: ColumnElement[bool]
    has_null: bool


_SEVERAL = (list, tuple, set, frozenset)
#: Types whose values are not collections; a TypeDecorator or UserDefinedType may hold anything.
_SCALAR = (Boolean, Date, DateTime, Integer, Numeric, String, Time, Uuid)
#: advice on Python operators that evaluate the truth value of an expression
_OPERATORS = (
    "; Python's 'and', 'or', 'not', 'if' and chained comparisons do not make SQL: use &, | and ~, with parentheses "
    "around each comparison"
)
_COMPARE = {">": gt, "<": lt, ">=": ge, "<=": le}


def apply_operator(column: ColumnElement[Any], op: str, operand: Any) -> ColumnElement[bool]:
    """Return ``column op operand`` as SQL; ``None`` is NULL, also in lists.

    :param op: an operator of :class:`.MatchExp`, except ``exist``.
    :raises DefinitionFault: if the operator is unknown or does not apply to the column.
    """
    match op:
        case "=" | "!=" if _is_column(operand):
            return cast("ColumnElement[bool]", column == operand if op == "=" else column != operand)
        case "is null" | "=" if operand is None:
            return column.is_(None)
        case "is not null" | "not" | "!=" if operand is None:
            return column.is_not(None)
        case "in" if isinstance(operand, ValueList):
            return or_(column.is_(None), operand.contains) if operand.has_null else operand.contains
        case "not in" if isinstance(operand, ValueList):
            return and_(column.is_not(None), ~operand.contains) if operand.has_null else ~operand.contains
        case "=" | "!=" | "in" | "not in":
            return _apply_equality(column, op, operand)
        case "like":
            return column.like(operand)
        case "between":
            return column.between(*operand)
        case "contains":
            return _contains(column, operand)
        case _ if op in _COMPARE:
            # SQLAlchemy would write bare booleans as SQL's, and compare them for equality only
            value = literal(operand, column.type) if isinstance(operand, bool) else operand
            compared: ColumnElement[bool] = _COMPARE[op](column, value)
            return compared
        case _:
            raise DefinitionFault(f"operator {op!r} cannot be applied to {column}")


def _is_column(operand: Any) -> bool:
    return isinstance(operand, ColumnElement) or hasattr(operand, "__clause_element__")


def _apply_equality(column: ColumnElement[Any], op: str, operand: Any) -> ColumnElement[bool]:
    given: tuple[Any, ...] = tuple(operand) if op in ("in", "not in") else (operand,)
    if op in ("=", "!=") and isinstance(operand, _SEVERAL) and isinstance(column.type, _SCALAR):
        wanted = "in" if op == "=" else "not in"
        raise DefinitionFault(
            f"{column} is {column.type!r} and never equals {shorten(operand)}; write ({wanted!r}, {shorten(operand)})"
        )
    values: list[Any] = []
    for value in given:
        if value is not None:
            with suppress(NoKeyError):  # the column cannot contain such a value
                # SQLAlchemy would render bare numbers and booleans as SQL values, which JSON values do not equal
                is_json = isinstance(column.type, JSON)
                values.append(literal(value, column.type) if is_json else key_value(column, value))
    one = op in ("=", "!=") and bool(values)
    found: ColumnElement[bool]
    if op in ("=", "in"):
        found = false()
        if values:
            found = column == values[0] if one else column.in_(values)
        return or_(column.is_(None), found) if None in given else found
    found = column.is_not(None) if given else true()
    if values:
        found = column != values[0] if one else column.not_in(values)
    return and_(column.is_not(None), found) if None in given else found


def compile_match(
    expression: MatchExp, resolve: Resolve, exist: ResolveExist | None = None, operand_of: OperandOf | None = None
) -> ColumnElement[bool]:
    """Return ``expression`` as SQL.

    :param resolve: returns the column of a path in the expression; raises if there is none.
    :param exist: returns the SQL of an ``exist`` atom; without it ``exist`` is refused.
    :param operand_of: returns the operand of an atom converted for its column, or raises.
    :raises DefinitionFault: if the expression has an ``exist`` and ``exist`` is not given.
    """
    match expression:
        case Atom(key, "exist", operand):
            if exist is None:
                raise DefinitionFault(
                    f"{key}: 'exist' is not possible here; compare columns and x:1 paths", property=key
                )
            return exist(key, operand)
        case Atom(key, op, operand):
            column = resolve(key)
            if operand_of is None:
                refuse_references(key, operand)
            if op not in OPERATORS:
                given = operand if operand_of is None else operand_of(key, column, op, operand)
                return apply_type_operator(key, column, op, given)
            return apply_operator(column, op, operand if operand_of is None else operand_of(key, column, op, operand))
        case And(parts):
            return and_(*(compile_match(part, resolve, exist, operand_of) for part in parts))
        case Or(parts):
            return or_(*(compile_match(part, resolve, exist, operand_of) for part in parts))
        case Not(part):
            return ~compile_match(part, resolve, exist, operand_of)
        case _:
            raise DefinitionFault(f"not a match: {expression!r}")


def refuse_references(key: str, operand: Any) -> None:
    """Check that an operand does not refer to another attribute.

    :raises DefinitionFault: if it does.
    """
    parts = cast("Iterable[object]", operand) if isinstance(operand, tuple) else (operand,)
    if any(isinstance(part, Reference) for part in parts):
        raise DefinitionFault(
            f"{key}: references to other attributes are for queries; write SQL here, such as lambda cls: cls.a > cls.b",
            property=key,
        )


def compile_where(
    where: Where,
    mapped_class: Any,
    resolve: Resolve,
    exist: ResolveExist | None = None,
    operand_of: OperandOf | None = None,
) -> ColumnElement[bool]:
    """Return ``where`` as a SQL condition on ``mapped_class``.

    :param where: any form of ``where``: a :class:`.MatchExp`, a mapping of conditions, a SQL boolean, or a function
        of the mapped class that returns one.
    :param mapped_class: a mapped class or an ``aliased()`` of it; a SQL boolean on the class is adapted to the alias.
    :param resolve: as for :func:`compile_match`.
    :param exist: as for :func:`compile_match`.
    :param operand_of: as for :func:`compile_match`.
    :raises DefinitionFault: if ``where`` has another type, such as the result of a Python comparison, or is a function
        that fails.
    """
    if isinstance(where, MatchExp):
        return compile_match(where, resolve, exist, operand_of)
    if isinstance(where, ColumnElement) or hasattr(where, "__clause_element__"):
        return _adapted(_sql_boolean(where, where), mapped_class)
    if callable(where):
        try:
            found = where(mapped_class)
        except DefinitionFault:
            raise
        except Exception as error:
            hint = _OPERATORS if _asks_truth(error) else ""
            raise DefinitionFault(f"where={where!r} raised {type(error).__name__}: {error}{hint}") from error
        return _sql_boolean(found, where)
    return compile_match(MatchExp.from_object(where), resolve, exist, operand_of)


def _asks_truth(error: Exception) -> bool:
    """Whether an error was raised because Python evaluated the truth value of a SQL expression."""
    return isinstance(error, TypeError) and "Boolean value of this clause" in str(error)


def _sql_boolean(value: Any, where: Any) -> ColumnElement[bool]:
    found: Any = value.__clause_element__() if hasattr(value, "__clause_element__") else value
    if not isinstance(found, ColumnElement):
        raise DefinitionFault(
            f"where={where!r} gave {value!r}, which is not a SQL expression; Python's 'is', 'and', 'or', 'not', 'in' "
            "do not make SQL: use == None, &, |, ~ and .in_()"
        )
    kind = cast("Any", found).type
    while isinstance(kind, TypeDecorator):
        kind = cast("Any", kind).impl_instance
    if not isinstance(kind, (Boolean, NullType)):
        raise DefinitionFault(f"where={where!r} gave {found}, which is {kind!r}, not a condition; compare it")
    return cast("ColumnElement[bool]", found)


def _adapted(expression: ColumnElement[bool], entity: Any) -> ColumnElement[bool]:
    """Return ``expression`` adapted to ``entity``, if that is an alias of its class."""
    inspected: Any = inspect(entity, raiseerr=False)
    if not getattr(inspected, "is_aliased_class", False):
        return expression
    selectable: Any = inspected.selectable

    def replace(element: Any, **_: Any) -> Any:
        return selectable.corresponding_column(element) if getattr(element, "table", None) is not None else None

    return replacement_traverse(expression, {}, replace)


def _contains(column: ColumnElement[Any], element: Any) -> ColumnElement[bool]:
    kind: Any = column.type
    if isinstance(kind, ARRAY):
        item = element if _is_column(element) else literal(element, cast("Any", kind).item_type)
        return cast("ColumnElement[bool]", item == column.any_())
    if not isinstance(kind, JSON):
        raise DefinitionFault(f"'contains' needs a collection; {column} is {kind!r}")
    return json_contains(
        column, element if _is_column(element) else bindparam(None, element, type_=JSON(), unique=True)
    )
