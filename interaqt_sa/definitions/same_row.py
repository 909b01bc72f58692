"""Values computed from other columns of the same row."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from .computation import Computation, T
from .validation import refuse_coroutine_function


class SameRow(Computation[T]):
    """A stored value that a function computes from the other columns of its row.

    ``computed(lambda order: order.price * order.quantity)`` and ``Property(computed=…)`` create it implicitly. Write it
    out where a column is declared with SQLAlchemy's own constructs: Core tables, imperative mappings, SQLModel.

    :param function: a pure, synchronous function of the row; it sees the columns of the row, not relationships.
    :raises TypeError: if ``function`` is a class or cannot be called.
    :raises ComputationProtocolError: if it is a coroutine function.

    ::

        Table("order", metadata, …, Column("total", Numeric(10, 2), SameRow(lambda o: o.price * o.quantity)))
        total: Decimal | None = Field(sa_column=Column(Numeric(10, 2), SameRow(total_of)))  # SQLModel
    """

    _fields = ("function",)
    reads_own_row = True

    def __init__(self, function: Callable[[Any], T]) -> None:
        given: Any = function
        if not callable(given) or isinstance(given, type):  # a class would be called with the row
            raise TypeError(f"SameRow() takes a function of the row, not {function!r}")
        refuse_coroutine_function(function, "computed()")
        self.function = function

    def restricted(self, applies: Callable[[Any], bool]) -> SameRow[T]:
        function = self.function

        @wraps(function)
        def computed(row: Any) -> Any:
            return function(row) if applies(row) else None

        return SameRow(computed)
