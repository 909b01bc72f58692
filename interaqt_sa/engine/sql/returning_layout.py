"""The layout of the rows that the UPDATE of a host returns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from ..plan import Edge, Host


class Contribution(NamedTuple):
    """Slices of a host's contribution to another host: its key, and the numbers after and before the change."""

    edge: Edge
    key: slice
    new: slice
    old: slice


class Returned:
    """The columns of a returned row.

    Their order is: primary key, computed values, computed values before the change, the rest of the row, contributions.

    :param parents: the edges whose contributions are returned.
    :param has_old: whether values before the change and the rest of the row are returned.
    :param rest: the names of the attributes in the rest of the row.
    :ivar width: the number of columns.
    :ivar sums: the values that are sums, with their positions.
    """

    def __init__(self, host: Host, parents: Sequence[Edge], has_old: bool, rest: Sequence[str]) -> None:
        self.host = host
        self.names = tuple(value.attribute for value in host.values)
        self.rest_names = tuple(rest)
        self.key = slice(len(host.key))
        self.values = _next(self.key, len(host.values))
        self.sums = [(value, place) for place, value in enumerate(host.values, self.values.start) if value.is_additive]
        self.old = _next(self.values, len(host.values) if has_old else 0)
        self.rest = _next(self.old, len(rest) if has_old else 0)
        self.contributions: list[Contribution] = []
        last = self.rest
        for edge in parents:
            numbers = len(edge.vector)
            key = _next(last, len(edge.key))
            new = _next(key, numbers)
            last = _next(new, numbers)
            self.contributions.append(Contribution(edge, key, new, last))
        self.has_old = has_old
        self.width: int = last.stop


def _next(before: slice, size: int) -> slice:
    return slice(before.stop, before.stop + size)
