"""The result of a check: the stored values that differ from their computation."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from ...definitions.short_repr import shorten
from ..plan import Numbering
from .derived_rows import DerivedDifference

#: the number of values and differences that a repr shows
_SHOWN = 5


@dataclass(frozen=True)
class Difference:
    """A stored value that differs from the result of its computation.

    :ivar id: primary key, a tuple if it is composite.
    :ivar property: name of the property; for hidden running state, name of the column; for a row that is missing or
        should not exist, ``"(row)"``; for the counter of a sequence, ``"number (counter)"``, whose ``id`` is its scope.
    """

    record: str
    id: Any
    property: str
    stored: Any
    expected: Any
    derived: DerivedDifference | None = field(default=None, repr=False, compare=False)
    counter: tuple[Numbering, str] | None = field(default=None, repr=False, compare=False)


@dataclass(frozen=True, repr=False)
class CheckReport:
    """The result of :meth:`.System.check`; true if there are no differences, as in ``assert system.check()``.

    :ivar checked: number of compared values.
    """

    differences: Sequence[Difference]
    checked: int = 0

    def __add__(self, other: CheckReport) -> CheckReport:
        return CheckReport((*self.differences, *other.differences), self.checked + other.checked)

    @property
    def ok(self) -> bool:
        """Whether no value differs from the result of its computation."""
        return not self.differences

    def __bool__(self) -> bool:
        return self.ok

    def __repr__(self) -> str:
        if self.ok:
            return f"CheckReport(ok, checked={self.checked})"
        counts = Counter(f"{d.record}.{d.property}" for d in self.differences)
        listed = [f"{name} {count}" for name, count in counts.most_common(_SHOWN)]
        listed += ["…"] if len(counts) > _SHOWN else []
        first = [
            f"{d.record} {shorten(d.id)}: {d.property} is {shorten(d.stored)}, computed {shorten(d.expected)}"
            for d in self.differences[:_SHOWN]
        ]
        first += ["…"] if len(self.differences) > _SHOWN else []
        found = f"{len(self.differences)} differences, checked={self.checked}, {', '.join(listed)}"
        return f"CheckReport({found}; {'; '.join(first)})"
