"""Values computed from other columns of the same row."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .computation import Computation, T
from .validation import refuse_coroutine_function


class SameRow(Computation[T]):
    """A value that a function computes from the other columns of its row, stored in a column.

    Written as ``computed(lambda order: order.price * order.quantity)`` or ``Property(computed=…)``.

    :param function: a pure, synchronous function of the record; sees the columns of the row, not relationships.
    """

    _fields = ("function",)

    def __init__(self, function: Callable[[Any], T]) -> None:
        refuse_coroutine_function(function, "computed()")
        self.function = function
