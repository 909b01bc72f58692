"""Checks of computed columns that are common to all kinds of computations."""

from __future__ import annotations

from contextlib import suppress
from decimal import Decimal, InvalidOperation
from typing import Any

from sqlalchemy import Column
from sqlalchemy.sql.elements import False_, True_

from ...definitions.computation import Computation
from ...errors import DefinitionFault


def check_column(computation: Computation[Any], column: Column[Any]) -> None:
    """Check that ``column`` can be computed by ``computation``.

    :raises DefinitionFault: if it cannot.
    """
    if column.primary_key or column.foreign_keys:
        raise DefinitionFault("a key cannot be computed")
    if column.computed is not None or column.identity is not None:
        raise DefinitionFault("the database computes this column by itself; leave Computed() and Identity() out")
    if column.default is not None or column.onupdate is not None:
        raise DefinitionFault("a computed column has no default= or onupdate= of its own; leave it out")
    computation.check_column(column)
    if computation.starts_constant:
        _check_null(computation, column)
        _check_server_default(computation, column)


def _check_null(computation: Computation[Any], column: Column[Any]) -> None:
    """Check that the column is nullable if the initial value is NULL."""
    if computation.initial_value(column) is None and not column.nullable:
        raise DefinitionFault(
            f"{type(computation).__name__} starts at NULL, and the column is NOT NULL; make it nullable, such as "
            "Mapped[float | None], or let initial_value() return the value of a row without members"
        )


def _check_server_default(computation: Computation[Any], column: Column[Any]) -> None:
    """Check that a server default equals the initial value of the computation."""
    if column.server_default is None:
        return
    start = computation.server_default(column)
    if not _says(getattr(column.server_default, "arg", None), start):
        shown = "NULL" if start is None else repr(start)
        raise DefinitionFault(
            f"a computed column has no server_default= of its own: {type(computation).__name__} starts at {shown}; "
            "leave it out"
        )


def _says(start: Any, value: Any) -> bool:
    text = str(start.compile() if isinstance(start, (True_, False_)) else start).strip().strip("'").lower()
    if isinstance(value, bool):
        return text in (("true", "1", "t") if value else ("false", "0", "f"))
    if isinstance(value, (int, float, Decimal)):
        with suppress(InvalidOperation):
            return Decimal(text) == Decimal(str(value))
        return False
    return value is not None and text == str(value).lower()
