"""The type of running sums: exact decimals, on SQLite encoded as text."""

from __future__ import annotations

from decimal import MAX_EMAX, MAX_PREC, MIN_EMIN, Context, Decimal, InvalidOperation
from typing import Any

from sqlalchemy import Dialect, Numeric
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import TypeCompiler

#: Decimal operators use the program's context, whose precision is 28 digits by default.
ALL_DIGITS = Context(prec=MAX_PREC, Emax=MAX_EMAX, Emin=MIN_EMIN, traps=[InvalidOperation])
#: Suffix that keeps a NUMERIC column from converting the text to a float. ``CAST(… AS REAL)`` still reads the number.
_MARK = "n"
_INTEGERS = range(-(2**63), 2**63)
_INTEGER_DIGITS = 19


class RunningSum(Numeric[Decimal]):
    """NUMERIC without limits, for hidden columns.

    SQLite stores decimals as floats, so that rounding errors accumulate. There the type is TEXT, such as ``'0.3n'``;
    see :func:`encode_sum`. Existing columns of type NUMERIC work too.
    """

    cache_ok = True

    def __init__(self) -> None:
        super().__init__(asdecimal=True)

    # SQLAlchemy's own methods are not annotated
    def bind_processor(self, dialect: Dialect) -> Any:
        inherited: Any = super()
        return inherited.bind_processor(dialect) if dialect.supports_native_decimal else _encode_bound

    def result_processor(self, dialect: Dialect, coltype: object) -> Any:
        inherited: Any = super()
        return inherited.result_processor(dialect, coltype) if dialect.supports_native_decimal else _decode_result


@compiles(RunningSum, "sqlite")
def _sqlite_type(type_: RunningSum, compiler: TypeCompiler, **kw: Any) -> str:
    return "TEXT"


def decode_sum(stored: Any) -> Decimal:
    """Return the number that SQLite stores; 0 for anything but a finite number.

    A float is converted to its shortest decimal representation, as by ``repr(0.1)`` and by PostgreSQL.
    """
    if isinstance(stored, int):
        return Decimal(stored)
    if isinstance(stored, float):
        stored = repr(stored)
    try:
        number = Decimal(stored.removesuffix(_MARK)) if isinstance(stored, str) else stored
    except InvalidOperation:
        return Decimal(0)
    return number if isinstance(number, Decimal) and number.is_finite() else Decimal(0)


def encode_sum(number: Decimal) -> int | str:
    """Return ``number`` as SQLite stores it, with all digits; equal numbers have equal encodings, 0 is an integer."""
    number = ALL_DIGITS.normalize(number)
    if number.adjusted() < _INTEGER_DIGITS and (integer := int(number)) == number and integer in _INTEGERS:
        return integer
    return f"{number}{_MARK}"


def _encode_bound(value: Any) -> int | str | None:
    return None if value is None else encode_sum(decode_sum(value))


def _decode_result(stored: Any) -> Decimal | None:
    return None if stored is None else decode_sum(stored)


def add_exactly(a: Any, b: Any) -> Any:
    """Return ``a + b`` with all digits, whatever the program's decimal context is."""
    return ALL_DIGITS.add(a, b) if isinstance(a, Decimal) or isinstance(b, Decimal) else a + b


def subtract_exactly(a: Any, b: Any) -> Any:
    """Return ``a - b`` with all digits."""
    return ALL_DIGITS.subtract(a, b) if isinstance(a, Decimal) or isinstance(b, Decimal) else a - b


def negate_exactly(a: Any) -> Any:
    """Return ``-a`` with all digits."""
    return ALL_DIGITS.minus(a) if isinstance(a, Decimal) else -a
