"""Values of a match as parameters, so that one statement serves all queries of the same shape."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from types import NoneType
from typing import Any, cast

from sqlalchemy import (
    VARCHAR,
    BigInteger,
    BindParameter,
    Column,
    ColumnElement,
    Dialect,
    Enum,
    Integer,
    Numeric,
    SmallInteger,
    String,
    Text,
    Unicode,
    UnicodeText,
    bindparam,
)
from sqlalchemy.sql import operators
from sqlalchemy.sql.visitors import iterate
from sqlalchemy.types import JSON, TypeDecorator, TypeEngine

from ..definitions.match import OPERATORS, And, Atom, MatchExp, Not, Or, Reference
from ..dialects import dialect_for
from ..dialects.base import DatabaseDialect, named
from ..schema.key_coercion import NoKeyError, key_value
from ..schema.predicates.match import ValueList, apply_operator
from ..schema.value_checks import checked_operand

#: integers up to this size are exact as floats
_EXACT = 2**53
_FIELD = "v"
_INTEGERS = (Integer, BigInteger)
_TEXTS = (String, Text, Unicode, UnicodeText, VARCHAR)


class OtherStatementNeeded(Exception):
    """A value requires another statement text."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """The operand of an atom whose value is passed with each execution.

    :ivar number: the position among the values of the query.
    :ivar kind: the properties of the value that affect the text.
    """

    number: int
    kind: Hashable


def is_sql(match: Any) -> bool:
    """Whether a match is SQL of the application, or a function that returns it."""
    return not isinstance(match, MatchExp) and (callable(match) or hasattr(match, "__clause_element__"))


class Values(list[Any]):
    """The values of a query.

    :ivar with_sql: whether the query contains SQL of the application, so that its statements cannot be reused.
    """

    with_sql = False


def parametrized(expression: MatchExp, values: Values) -> MatchExp:
    """Return ``expression`` with parameters for values, which are appended to ``values``."""
    match expression:
        case Atom(key, "exist", operand):
            return Atom(key, "exist", parametrized(operand, values))
        case Atom(key, "in" | "not in" as operator, operand):
            # None is found by identity, because operands may have an equality of their own
            others = tuple(v for v in operand if v is not None) if NoneType in map(type, operand) else operand
            return Atom(key, operator, add_value(others, values, ("list", len(others) < len(operand))))
        case Atom(key, "between", operand):
            return Atom(key, "between", tuple(_operand(bound, values) for bound in operand))
        case Atom(key, operator, operand):
            return Atom(key, operator, _operand(operand, values))
        case And(parts):
            return And(tuple(parametrized(part, values) for part in parts))
        case Or(parts):
            return Or(tuple(parametrized(part, values) for part in parts))
        case Not(part):
            return Not(parametrized(part, values))
        case _:
            return expression


def _operand(operand: Any, values: Values) -> Any:
    return operand if operand is None or isinstance(operand, Reference) else add_value(operand, values)


def add_value(value: Any, values: Values, kind: Hashable = None) -> Parameter:
    """Append ``value`` to ``values``; return its parameter."""
    values.append(value)
    # SQLAlchemy derives the type of a parameter from the type of the value, and from the size of integers
    of_value: Any = (type(value), isinstance(value, int) and value.bit_length() >= 32)
    return Parameter(len(values) - 1, of_value if kind is None else kind)


class Parameters:
    """The parameters of a query's statements.

    :param values: the values of the first execution.
    :param is_inline: whether the statements contain the values, and are executed once.
    :ivar can_be_kept: whether the statements can be used with other values of the same kinds.
    :ivar has_lists: whether some of them are lists.
    """

    def __init__(self, dialect: Dialect, values: Sequence[Any], *, is_inline: bool = False) -> None:
        self.operations: DatabaseDialect = dialect_for(dialect)
        self.can_be_kept = True
        self.has_lists = False
        self._is_inline = is_inline
        self._dialect = dialect
        self._values = values
        self._fill: list[Callable[[Any], dict[str, Any]]] = []
        self._numbers: list[int] = []

    def forget_values(self) -> None:
        """Release the values of the first execution, which are needed until the statements are built."""
        self._values = ()

    def filled(self, values: Sequence[Any]) -> dict[str, Any]:
        """Return ``values`` as the parameters of the statements.

        :raises InvalidValueError: if one of them cannot be compared with its column.
        :raises OtherStatementNeeded: if the values require other statements.
        """
        found: dict[str, Any] = {}
        for number, fill in zip(self._numbers, self._fill, strict=True):
            found.update(fill(values[number]))
        return found

    def operand(self, column: ColumnElement[Any], operator: str, parameter: Parameter, record: str, path: str) -> Any:
        """Return the operand of a comparison with ``column``: a parameter, or the value if the statement is not cached.

        :raises InvalidValueError: if the value cannot be compared with the column.
        """
        value = self._values[parameter.number]
        if operator not in OPERATORS:  # one of the column's type: what it returns may depend on the value
            self.can_be_kept = False
            return value
        name = f"p{parameter.number}"
        if operator in ("in", "not in"):
            has_null = parameter.kind == ("list", True)
            return self._list_operand(column, value, record, path, parameter.number, has_null=has_null)

        def convert(given: Any) -> Any:
            found = checked_operand(column, operator, given, self._dialect, record=record, name=path)
            if operator not in ("=", "!="):
                return found
            try:
                return key_value(column, found)
            except NoKeyError as error:
                raise OtherStatementNeeded from error

        try:
            converted = convert(value)
        except OtherStatementNeeded:
            self.can_be_kept = False
            return checked_operand(column, operator, value, self._dialect, record=record, name=path)
        type_ = None if self._is_inline else _type_of_bound(column, operator, converted)
        if type_ is None:
            self.can_be_kept = False
            return converted
        self._add(parameter.number, lambda given: {named(name): convert(given)})
        return bindparam(named(name), type_=type_)

    def number(self, parameter: Parameter) -> ColumnElement[int]:
        """Return the parameter for a number of rows."""
        name = named(f"p{parameter.number}")
        self._add(parameter.number, lambda given: {name: given})
        return bindparam(name, type_=BigInteger())

    def _list_operand(
        self, column: ColumnElement[Any], values: Any, record: str, path: str, number: int, *, has_null: bool
    ) -> Any:
        name = f"p{number}"
        type_ = list_type(column.type, self.operations)
        is_integer = type(type_) in _INTEGERS
        # a plain column, because attributes of mapped classes look up their type on each access
        plain: Any = Column(path, column.type)

        def convert(given: Sequence[Any]) -> list[Any]:
            if is_integer and given and _are_small_integers(given):
                return list(given)
            found: list[Any] = []
            for value in given:
                checked = checked_operand(plain, "=", value, self._dialect, record=record, name=path)
                try:
                    found.append(key_value(plain, checked))
                except NoKeyError:
                    continue  # the column cannot contain such a value
            if type_ is None or not _is_uniform(plain.type, found):
                raise OtherStatementNeeded
            return _numbers_alike(type_, found)

        try:
            first = convert(values)
        except OtherStatementNeeded:
            self.can_be_kept = False
            given = (*values, None) if has_null else tuple(values)
            return checked_operand(column, "in", given, self._dialect, record=record, name=path)
        assert type_ is not None
        shape = ((_FIELD, type_),)
        self.has_lists = True

        def pack(found: Sequence[Any]) -> dict[str, Any]:
            return self.operations.pack(name, shape, [(value,) for value in found])

        if self._is_inline:
            return ValueList(self.operations.contains([column], name, shape, pack(first)), has_null=has_null)
        self._add(number, lambda given: pack(convert(given)))
        return ValueList(self.operations.contains([column], name, shape), has_null=has_null)

    def _add(self, number: int, fill: Callable[[Any], dict[str, Any]]) -> None:
        self._numbers.append(number)
        self._fill.append(fill)


def _are_small_integers(values: Sequence[Any]) -> bool:
    return {int}.issuperset(map(type, values)) and min(values) >= -(2**31) and max(values) < 2**31


def list_type(type_: TypeEngine[Any], operations: DatabaseDialect) -> TypeEngine[Any] | None:
    """Return the type of the elements of a list that is compared with ``type_``; ``None`` if there is none."""
    variants: Any = type_._variant_mapping  # pyright: ignore[reportPrivateUsage]
    type_ = variants.get(operations.name, type_)
    if isinstance(type_, JSON) or not operations.packs(type_) or _is_of_program(type_, "bind_processor"):
        return None
    if isinstance(type_, SmallInteger):
        return Integer()  # an operand may be larger than the values of the column
    if type(type_) in _TEXTS and not cast("String", type_).collation:
        return String()  # a cast to the column's type would truncate longer text
    stored: Any = type_
    while isinstance(stored, TypeDecorator):
        stored = cast("Any", stored).impl_instance
    return None if isinstance(stored, String) and not isinstance(stored, Enum) and stored.length else type_


def _is_of_program(type_: TypeEngine[Any], method: str) -> bool:
    """Whether a type, other than a TypeDecorator, has a method defined by the application."""
    return not isinstance(type_, TypeDecorator) and not _owner(type_, method).startswith("sqlalchemy.")


def _owner(type_: TypeEngine[Any], method: str) -> str:
    return next(cls.__module__ for cls in type(type_).__mro__ if method in vars(cls))


def _type_of_bound(column: ColumnElement[Any], operator: str, value: Any) -> TypeEngine[Any] | None:
    """Return SQLAlchemy's type of a value that is compared with ``column``; ``None`` if it is not known."""
    if not _owner(column.type, "coerce_compared_value").startswith("sqlalchemy."):
        return None  # it may depend on the value
    comparison = apply_operator(column, ">" if operator == "between" else operator, value)
    found: list[Any] = [part for part in iterate(comparison) if isinstance(part, BindParameter)]
    if not found and isinstance(value, bool):
        return column.type
    return found[0].type if len(found) == 1 else None


def _is_uniform(type_: TypeEngine[Any], values: Sequence[Any]) -> bool:
    """Whether all values have the type of the column, so that one array can hold them."""
    kinds: dict[Any, Any] = {type(value): value for value in values}
    if isinstance(type_, Numeric) and kinds.keys() <= {int, float, Decimal}:
        integers = all(-_EXACT <= value <= _EXACT for value in values if type(value) is int)
        return integers and not kinds.keys() >= {float, Decimal}
    return len(kinds) <= 1 and all(type_.coerce_compared_value(operators.eq, v) is type_ for v in kinds.values())


def _numbers_alike(type_: TypeEngine[Any], values: list[Any]) -> list[Any]:
    kinds: set[Any] = {type(value) for value in values}
    if not isinstance(type_, Numeric) or len(kinds) < 2:
        return values
    kind = Decimal if Decimal in kinds else float
    return [kind(value) for value in values]
