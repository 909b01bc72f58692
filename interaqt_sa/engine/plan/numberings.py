"""The plan's nodes of scoped sequences: which columns of a table are numbered, and by what."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Column, Table

from ...definitions.scoped_sequence import ScopedSequence
from .plan_nodes import ComputedValue, Source


@dataclass(eq=False)
class Numbering:
    """A numbered column.

    :ivar scope: the columns whose values identify a counter.
    :ivar read: the columns that ``match=`` reads, by their attributes.
    :ivar counters: the table of the counters.
    :ivar kind: the discriminator, if only rows of some classes of the table are numbered.
    :ivar kinds: its values for these classes.
    :ivar earlier: the column with earlier numbers, if there is one.
    """

    value: ComputedValue
    declaration: ScopedSequence[Any]
    source: Source
    scope: tuple[Column[Any], ...]
    read: Mapping[str, Column[Any]]
    counters: Table
    kind: Column[Any] | None = None
    kinds: frozenset[Any] = frozenset()
    earlier: Column[Any] | None = None

    @property
    def column(self) -> Column[Any]:
        """The column of the numbers."""
        return self.value.column

    @property
    def needed(self) -> tuple[Column[Any], ...]:
        """The columns that determine whether and where a row is numbered."""
        kind = () if self.kind is None else (self.kind,)
        return tuple(dict.fromkeys((*kind, *self.read.values(), *self.scope)))
