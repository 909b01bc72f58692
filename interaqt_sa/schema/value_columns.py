"""Whether a column can hold what is computed into it."""

from __future__ import annotations

from contextlib import suppress
from decimal import Decimal, InvalidOperation
from typing import Any

from sqlalchemy import Boolean, Column, Float, Integer, Numeric, String
from sqlalchemy.sql.elements import False_, True_
from sqlalchemy.types import TypeDecorator, TypeEngine

from ..definitions.aggregates import Any as AnyOf
from ..definitions.aggregates import Average, Count, Every, Summation
from ..definitions.computation import Computation
from ..definitions.same_row import SameRow
from ..definitions.state_machine import StateMachine
from ..errors import DefinitionFault
from .computed import starting_value, state_columns, stored_type
from .stored_states import state_text

_CONVERSIONS = ("process_bind_param", "process_result_value", "bind_expression", "column_expression")


def check_column(computation: Computation[Any], column: Column[Any]) -> None:
    """Refuse a column that its computation cannot fill.

    :raises DefinitionFault: saying what is wrong with it.
    """
    if column.primary_key or column.foreign_keys:
        raise DefinitionFault("a key cannot be computed")
    if column.computed is not None or column.identity is not None:
        raise DefinitionFault("the database computes this column by itself; leave Computed() and Identity() out")
    if column.default is not None or column.onupdate is not None:
        raise DefinitionFault("a computed column has no default= or onupdate= of its own; leave it out")
    allowed: tuple[type[Any], ...] | None = None
    match computation:
        case Count() | Summation():
            allowed = (Integer, Numeric, Float)
        case Average():
            allowed = (Numeric, Float)
            if computation.empty is None and not column.nullable:
                raise DefinitionFault("Average(empty=None) needs a nullable column, such as Mapped[float | None]")
        case Every() | AnyOf():
            allowed = (Boolean,)
        case StateMachine() if not computation.computes_values:
            _check_states(computation, column)
        case _:
            pass
    if allowed and not isinstance(stored_type(column.type), allowed):
        names = ", ".join(t.__name__ for t in allowed)
        raise DefinitionFault(f"{type(computation).__name__} needs a column of type {names}, not {column.type!r}")
    if isinstance(computation, (Count, Every, AnyOf)) and _converts(column.type):
        raise DefinitionFault(f"{column.type!r} stores something else than {type(computation).__name__} gives")
    _check_server_default(computation, column)


def _check_server_default(computation: Computation[Any], column: Column[Any]) -> None:
    """Refuse a start that is not the value of a row without members, or of one to which nothing has happened."""
    start = column.server_default
    if start is None or isinstance(computation, SameRow) or _is_computed_for_new_rows(computation):
        return
    empty = starting_value(computation, column)
    if not _says(getattr(start, "arg", None), empty):
        shown = "NULL" if empty is None else repr(empty)
        raise DefinitionFault(
            f"a computed column has no server_default= of its own: {type(computation).__name__} starts at {shown}; "
            "leave it out"
        )


def _is_computed_for_new_rows(computation: Computation[Any]) -> bool:
    return isinstance(computation, StateMachine) and computation.initial_state.compute_value is not None


def _says(start: Any, value: Any) -> bool:
    text = str(start.compile() if isinstance(start, (True_, False_)) else start).strip().strip("'").lower()
    if isinstance(value, bool):
        return text in (("true", "1", "t") if value else ("false", "0", "f"))
    if isinstance(value, (int, float, Decimal)):
        with suppress(InvalidOperation):
            return Decimal(text) == Decimal(str(value))
        return False
    return value is not None and text == str(value).lower()


def _check_states(machine: StateMachine, column: Column[Any]) -> None:
    stored = stored_type(column.type)
    if not isinstance(stored, String) or _converts(column.type):
        raise DefinitionFault(
            f"a StateMachine stores the names of its states: give a type of text or an Enum, not {column.type!r}"
        )
    texts = {node.name: state_text(node, stored) for node in machine.states}
    missing = [name for name, text in texts.items() if text is None]
    if missing:
        raise DefinitionFault(f"{stored!r} has no values for the states {missing}")
    if len({*texts.values()}) < len(texts):
        raise DefinitionFault(f"states of the machine are the same value of {stored!r}: {texts}")
    longest = max(texts.values(), key=lambda text: len(text or ""))
    if stored.length is not None and len(longest or "") > stored.length:
        raise DefinitionFault(f"{stored!r} is too short for the state {longest!r}")


def check_sum(computation: Summation | Average, column: Column[Any], declared: TypeEngine[Any]) -> None:
    """Refuse a sum, or mean, that cannot be made of its field, or that its column would round.

    :param declared: type of the field.
    :raises DefinitionFault: saying what is wrong with it.
    """
    name, field, own = computation.field, stored_type(declared), column.type
    if not isinstance(field, (Integer, Numeric, Float)):
        raise DefinitionFault(f"{name!r} is {declared!r}, which cannot be added up")
    if (_converts(declared) or _converts(own)) and type(declared) is not type(own):
        raise DefinitionFault(
            f"what is stored is added up: {name!r} ({declared!r}) and the computed column ({own!r}) must be of one "
            "type where either converts its values"
        )
    if not isinstance(computation, Summation) or state_columns(computation, column):
        return
    places = _places(stored_type(own))
    needed = _places(field)
    if places is not None and (needed is None or isinstance(field, Float) or needed > places):
        raise DefinitionFault(
            f"{own!r} would round the sum of {name!r} ({declared!r}) at every change; "
            "give the computed column at least its scale, or Numeric() without one"
        )


def _places(type_: TypeEngine[Any]) -> int | None:
    return 0 if isinstance(type_, Integer) else getattr(type_, "scale", None)


def _converts(type_: TypeEngine[Any]) -> bool:
    """Whether a type stores something else than it shows."""
    return isinstance(type_, TypeDecorator) and any(
        getattr(type(type_), name) is not getattr(TypeDecorator, name) for name in _CONVERSIONS
    )
