"""Accumulators: the running columns of an aggregate, a member's contribution, and the result."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import singledispatch
from typing import Any, ClassVar

from sqlalchemy import ColumnElement, true

from ...definitions.computation import Computation
from ...errors import ComputationProtocolError
from .kind_checks import check_accumulator, check_computations

#: resolves a path of the member, such as ``"product.price"``, to SQL
Resolve = Callable[[str], ColumnElement[Any]]
#: compiles any form of ``where`` over the member to SQL
Test = Callable[[Any], ColumnElement[bool]]
#: numbers, one for each running column
Contribution = tuple[Any, ...]


class Accumulator(ABC):
    """Incremental maintenance of one aggregate.

    The running columns are those of :meth:`.Computation.hidden_columns`, in the same order; if there are none, the
    computed column itself is the only running column.

    :param computation: the declaration.
    :cvar is_additive: whether contributions are numbers that are summed; see :class:`Selection` for others.
    """

    is_additive: ClassVar[bool] = True

    def __init__(self, computation: Any) -> None:
        self.computation = computation

    @abstractmethod
    def sql(self, resolve: Resolve, test: Test) -> Sequence[ColumnElement[Any]]:
        """Return the contribution of a member to each running column in SQL; called if there is no callback."""

    def python(self, answer: Any) -> Contribution:
        """Return the contribution of a member, computed from the result of its callback.

        :raises ValueError: if the callback must not return this value.
        """
        raise ComputationProtocolError(f"{self.computation!r} has no callback")

    def result(self, running: Sequence[ColumnElement[Any]]) -> ColumnElement[Any]:
        """Return the computed value as an expression over the running columns."""
        return running[0]


class Selection(Accumulator):
    """Incremental maintenance of an aggregate that cannot be summed, such as the least of several values.

    The values of members are compared, not added: :meth:`sql` returns a value for each running column, NULL if the
    member does not count. The engine locks a host before it reads the host's members. Without :meth:`joined` and
    :meth:`may_change` all members of a host are read at every change of one of them.
    """

    is_additive = False
    #: of a selection without hidden columns, whether its value is that of the last or of the first member in the order
    #: of :attr:`.FieldAggregate.field`, so that one member is read instead of all; ``None``: of neither
    is_last: ClassVar[bool | None] = None

    @abstractmethod
    def total(self, shown: Sequence[ColumnElement[Any]]) -> Sequence[ColumnElement[Any]]:
        """Return the running columns as SQL aggregates over the values of members; they must ignore NULLs."""

    def joined(
        self, running: Sequence[ColumnElement[Any]], more: Sequence[ColumnElement[Any]]
    ) -> Sequence[ColumnElement[Any]] | None:
        """Return the running columns after members were added; ``None`` if all members have to be read.

        :param more: :meth:`total` of the new members.
        """
        return None

    def may_change(self, running: Sequence[ColumnElement[Any]], left: Sequence[ColumnElement[Any]]) -> Any:
        """Return the SQL condition that the running columns may change when members leave.

        :param left: :meth:`total` of the members that leave; NULL if none of them counts.
        """
        return true()


class Ranking(Accumulator):
    """Incremental maintenance of an attribute of the member that comes first in an order.

    The running columns are the value that orders the members, their primary key, and the computed column itself.
    :meth:`sql` returns the value that orders a member, and the attribute; the engine adds the key. A member whose place
    is NULL or NaN does not count.

    :cvar is_last: whether the member with the greatest value counts, and of several that with the greatest key; else
        that with the least.
    """

    is_additive = False
    is_last: ClassVar[bool] = False

    @abstractmethod
    def sql(self, resolve: Resolve, test: Test) -> tuple[ColumnElement[Any], ColumnElement[Any]]:
        """Return the value that orders a member, and the attribute that is stored."""


@singledispatch
def accumulator_for(computation: Computation[Any]) -> Accumulator | None:
    """Return the accumulator of ``computation``, ``None`` if it is not an aggregate."""
    return None


def accumulates(*computations: type[Computation[Any]]) -> Callable[[type[Accumulator]], type[Accumulator]]:
    """Register an accumulator for computation classes.

    ::

        @accumulates(Count)
        class CountAccumulator(Accumulator): ...

    :raises TypeError: if an argument or the decorated class is not of the required class.
    :raises ComputationProtocolError: if a part of the protocol is missing.
    """
    check_computations(computations)

    def register(cls: type[Accumulator]) -> type[Accumulator]:
        check_accumulator(cls, Accumulator)
        for computation in computations:
            accumulator_for.register(computation, cls)
        return cls

    return register
