"""Numbers as the engine adds them: exact, finite, and never NULL."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from sqlalchemy import Boolean, ColumnElement, Float, Integer, Numeric, case, literal_column
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

from ...schema.computed import stored_type
from ...schema.running_sum import ALL_DIGITS


def add_exactly(a: Any, b: Any) -> Any:
    """Return ``a + b`` with all digits, whatever the program's decimal context is."""
    return ALL_DIGITS.add(a, b) if isinstance(a, Decimal) or isinstance(b, Decimal) else a + b


def negate_exactly(a: Any) -> Any:
    """Return ``-a`` with all digits."""
    return ALL_DIGITS.minus(a) if isinstance(a, Decimal) else -a


class finite(FunctionElement[Any]):  # noqa: N801  reads as a SQL function
    """Whether a floating-point or numeric value is an ordinary number."""

    name = "finite"
    type = Boolean()
    inherit_cache = True


@compiles(finite)
def _finite(element: finite, compiler: SQLCompiler, **kw: Any) -> str:
    (value,) = element.clauses
    sql = compiler.process(value, **kw)
    return f"(abs({sql}) < 9e999)"  # infinity, as SQLite reads it; it stores NaN as NULL


@compiles(finite, "postgresql")
def _finite_postgresql(element: finite, compiler: SQLCompiler, **kw: Any) -> str:
    (value,) = element.clauses
    sql = compiler.process(value, **kw)
    return f"({sql} NOT IN ('NaN', 'Infinity', '-Infinity'))"


class exact(FunctionElement[Any]):  # noqa: N801
    """A floating-point value as a NUMERIC with all its digits; a plain cast keeps 15 of them."""

    name = "exact"
    inherit_cache = True

    def __init__(self, value: ColumnElement[Any]) -> None:
        super().__init__(value)
        self.type = Numeric()


@compiles(exact)
def _exact(element: exact, compiler: SQLCompiler, **kw: Any) -> str:
    (value,) = element.clauses
    return compiler.process(value, **kw)


@compiles(exact, "postgresql")
def _exact_postgresql(element: exact, compiler: SQLCompiler, **kw: Any) -> str:
    (value,) = element.clauses
    return f"CAST(CAST({compiler.process(value, **kw)} AS TEXT) AS NUMERIC)"


class trimmed(FunctionElement[Any]):  # noqa: N801
    """A decimal without zeros at its end: PostgreSQL divides to more places if a dividend shows more of them."""

    name = "trimmed"
    inherit_cache = True

    def __init__(self, value: ColumnElement[Any]) -> None:
        super().__init__(value)
        self.type = value.type


@compiles(trimmed)
def _trimmed(element: trimmed, compiler: SQLCompiler, **kw: Any) -> str:
    (value,) = element.clauses
    return compiler.process(value, **kw)


@compiles(trimmed, "postgresql")
def _trimmed_postgresql(element: trimmed, compiler: SQLCompiler, **kw: Any) -> str:
    (value,) = element.clauses
    return f"trim_scale({compiler.process(value, **kw)})"


def is_number(value: ColumnElement[Any]) -> ColumnElement[bool]:
    """Return the criterion that ``value`` is neither NULL nor, where its type has them, NaN or an infinity."""
    present: ColumnElement[bool] = value.is_not(None)
    return present if isinstance(stored_type(value.type), Integer) else present & finite(value)


def as_number(value: ColumnElement[Any]) -> ColumnElement[Any]:
    """Return ``value``, or 0 where it is not a number, so that one NaN cannot spoil a sum for ever."""
    number = exact(value) if isinstance(stored_type(value.type), Float) else value
    return case((is_number(value), number), else_=literal_column("0"))
