"""How an aggregate is kept: running columns, what a member adds to them, and the value that follows."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import singledispatch
from typing import Any

from sqlalchemy import ColumnElement

from ...definitions.computation import Computation
from ...errors import ComputationProtocolError

#: resolves a path of the member, such as ``"product.price"``, to SQL
Resolve = Callable[[str], ColumnElement[Any]]
#: compiles any form of ``where`` over the member to SQL
Test = Callable[[Any], ColumnElement[bool]]
#: numbers, one for each running column
Contribution = tuple[Any, ...]


class Accumulator(ABC):
    """Incremental maintenance of one aggregate.

    The running columns are those of :func:`.schema.computed.state_columns`, in that order; if there are none, the
    computed column itself is the one running column.

    :param computation: the declaration.
    """

    def __init__(self, computation: Any) -> None:
        self.computation = computation

    @abstractmethod
    def sql(self, resolve: Resolve, test: Test) -> Sequence[ColumnElement[Any]]:
        """Return what a member that counts adds to each running column; used when there is no callback."""

    def python(self, answer: Any) -> Contribution:
        """Return what a member that counts adds, from what the callback answered for it."""
        raise ComputationProtocolError(f"{self.computation!r} has no callback")

    def result(self, running: Sequence[ColumnElement[Any]]) -> ColumnElement[Any]:
        """Return the computed value over the running columns."""
        return running[0]


@singledispatch
def accumulator_for(computation: Computation[Any]) -> Accumulator | None:
    """Return the accumulator of ``computation``, ``None`` if it is not an aggregate."""
    return None


def accumulates(*computations: type[Computation[Any]]) -> Callable[[type[Accumulator]], type[Accumulator]]:
    """Register an accumulator for computation classes.

    ::

        @accumulates(Count)
        class CountAccumulator(Accumulator): ...
    """

    def register(cls: type[Accumulator]) -> type[Accumulator]:
        for computation in computations:
            accumulator_for.register(computation, cls)
        return cls

    return register
