"""Membership of a row in a filtered record."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any as _Any

from .aggregates import Count
from .match import MatchExp
from .references import References
from .type_aliases import Where


class Membership(Count):
    """1 if a row is a member of a filtered record, else 0; in a hidden column of the base record.

    It is the count of one row: the row itself, if all conditions hold.

    :param source: name of the filtered record.
    :param conditions: the conditions of the filtered record and of those that it is based on.
    """

    _fields: tuple[str, ...] = ("source", "conditions")
    of_own_row = True
    way_to_change = "change the values that its condition reads"

    def __init__(self, source: str, conditions: Iterable[Where]) -> None:
        self.set_source(source)
        self.conditions: tuple[Where, ...] = tuple(conditions)

    def references(self) -> References:
        return References(conditions=self.conditions)

    def neighbours(self) -> frozenset[str]:
        # a row whose memberships read only itself locks no neighbours
        given: list[_Any] = [c for c in self.conditions if isinstance(c, (MatchExp, Mapping))]
        matches = map(MatchExp.of, given)
        paths = (key.rpartition(".")[0] for match in matches for key in match.keys())  # noqa: SIM118
        return frozenset(path for path in paths if path)

    def meaning(self) -> dict[str, _Any]:
        return {"conditions": self.conditions}
