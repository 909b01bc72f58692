"""Operators that the type of a column adds to those of a match."""

from __future__ import annotations

from inspect import isfunction
from typing import Any, cast

from sqlalchemy import Boolean, ColumnElement
from sqlalchemy.sql.operators import ColumnOperators
from sqlalchemy.types import NullType, TypeDecorator, TypeEngine

from ...definitions.match import OPERATORS
from ...definitions.short_repr import shorten, similar
from ...errors import DefinitionFault, InvalidValueError


def operators_of_type(type_: TypeEngine[Any]) -> list[str]:
    """Return the names of the operators that a type adds.

    They are the methods of its ``comparator_factory`` that the application defines, except for those that replace a
    method of SQLAlchemy and those with a leading underscore.
    """
    factory: Any = type_.comparator_factory
    classes: tuple[type[Any], ...] = factory.__mro__
    found: set[str] = set()
    for cls in classes:
        if not cls.__module__.startswith(("sqlalchemy.", "typing", "builtins")):
            found.update(name for name, member in vars(cls).items() if isfunction(member) and name[0] != "_")
    return sorted(name for name in found if not hasattr(ColumnOperators, name))


def check_operator(name: str, column: Any, operator: str) -> None:
    """Check that a column has an operator that is not one of all columns.

    :param name: the column, for the message.
    :raises DefinitionFault: if it has not, with the nearest one.
    """
    if operator in OPERATORS:
        return
    own = operators_of_type(column.type)
    if operator in own:
        return
    known = sorted({*OPERATORS, *own})
    near = similar(operator, known)
    hint = f"did you mean {' or '.join(map(repr, near))}?" if near else f"there are {', '.join(known)}"
    raise DefinitionFault(f"{name}: unknown operator {shorten(operator)}; {hint}", property=name)


def apply_type_operator(name: str, column: Any, operator: str, operand: Any) -> ColumnElement[bool]:
    """Return the SQL of an operator of the column's type.

    :raises DefinitionFault: if the type has no such operator, or it returns something else than a condition.
    :raises InvalidValueError: if it raises an exception.
    """
    check_operator(name, column, operator)
    try:
        found = getattr(column, operator)(operand)
    except Exception as error:
        raise InvalidValueError(
            f"{name}: {operator!r} does not accept {shorten(operand)}: {type(error).__name__}: {shorten(str(error))}",
            property=name,
            code="INVALID_VALUE",
        ) from error
    kind: Any = cast("Any", found).type if isinstance(found, ColumnElement) else None
    while isinstance(kind, TypeDecorator):
        kind = cast("Any", kind).impl_instance
    if not isinstance(kind, (Boolean, NullType)):
        raise DefinitionFault(
            f"{name}: {operator!r} of {column.type!r} gave {shorten(found)}, which is not a condition", property=name
        )
    return cast("ColumnElement[bool]", found)
