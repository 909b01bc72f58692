"""Checks of computed columns and their fields, shared by the kinds of computations."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

from sqlalchemy import BigInteger, Column, Float, Integer, Numeric, text
from sqlalchemy.types import TypeDecorator, TypeEngine

from ..dialects.running_sum_type import RunningSum
from ..dialects.undecorated_types import stored_type
from ..errors import DefinitionFault

_CONVERSIONS = ("process_bind_param", "process_result_value", "bind_expression", "column_expression")


def counter() -> Column[Any]:
    """Return a hidden column for a number of members."""
    return Column(BigInteger, nullable=False, server_default=text("0"))


def exact_sum() -> Column[Any]:
    """Return a hidden column for a sum; a decimal, because sums of floats depend on the order of additions."""
    return Column(RunningSum(), nullable=False, server_default=text("0"))


def require_type(kind: object, column: Column[Any], allowed: tuple[type[Any], ...]) -> None:
    """Check that ``column`` is of an allowed type.

    :param kind: the computation.
    :raises DefinitionFault: if it is not, with the names of the allowed types.
    """
    if not isinstance(stored_type(column.type), allowed):
        names = ", ".join(t.__name__ for t in allowed)
        raise DefinitionFault(f"{type(kind).__name__} needs a column of type {names}, not {column.type!r}")


def require_plain_values(kind: object, column: Column[Any]) -> None:
    """Check that the type of ``column`` does not convert its values.

    :raises DefinitionFault: if it does.
    """
    if converts(column.type):
        raise DefinitionFault(f"{column.type!r} does not store the value of {type(kind).__name__} unchanged")


def check_summed_field(name: str, declared: TypeEngine[Any], column: Column[Any]) -> None:
    """Check that a field can be summed into a column.

    :param declared: type of the field.
    :raises DefinitionFault: if it cannot.
    """
    own = column.type
    if not isinstance(stored_type(declared), (Integer, Numeric, Float)):
        raise DefinitionFault(f"{name!r} is {declared!r}, which cannot be summed")
    if (converts(declared) or converts(own)) and type(declared) is not type(own):
        raise DefinitionFault(
            f"stored values are summed: {name!r} ({declared!r}) and the computed column ({own!r}) must be of one "
            "type where either converts its values"
        )
    for what, type_ in ((repr(name), declared), ("the computed column", own)):
        if _differs(type_):
            raise DefinitionFault(
                f"{what} ({type_!r}) holds another kind of number on another database, by with_variant(), which cannot "
                "be summed; give variants that are alike: all integers, all floats, or all decimals of one scale"
            )


def check_places(what: str, needed: int | None, declared: TypeEngine[Any], column: Column[Any]) -> None:
    """Check that ``column`` does not round sums at every change.

    :param what: the summed expression, for the message.
    :param needed: its decimal places, ``None`` if they are unlimited.
    :param declared: type of the field.
    :raises DefinitionFault: if it does.
    """
    has = places(stored_type(column.type))
    if has is not None and (needed is None or isinstance(stored_type(declared), Float) or needed > has):
        raise DefinitionFault(
            f"{column.type!r} would round the sum of {what} ({declared!r}) at every change; "
            "give the computed column at least its scale, or Numeric() without one"
        )


def places(type_: TypeEngine[Any]) -> int | None:
    """Return the number of decimal places of a type, ``None`` if they are unlimited."""
    return 0 if isinstance(type_, Integer) else getattr(type_, "scale", None)


def converts(type_: TypeEngine[Any]) -> bool:
    """Whether a type converts its values between Python and the database."""
    return isinstance(type_, TypeDecorator) and any(
        getattr(type(type_), name) is not getattr(TypeDecorator, name) for name in _CONVERSIONS
    )


def _differs(type_: TypeEngine[Any]) -> bool:
    """Whether the variants of a type hold numbers of different kinds."""
    variants: Any = type_._variant_mapping  # pyright: ignore[reportPrivateUsage]
    return len({_kind(found) for found in (type_, *variants.values())}) > 1


def _kind(type_: TypeEngine[Any]) -> Hashable:
    stored = stored_type(type_)
    kind = next((kind for kind in (Integer, Float, Numeric) if isinstance(stored, kind)), type(stored))
    return kind, places(stored) if kind is Numeric else None, type(type_) if converts(type_) else None
