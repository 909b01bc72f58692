"""Data that a computation reads besides members: attributes of its own row, whole records, dictionaries."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from .type_aliases import RecordRef, Where

DependencyKind = Literal["property", "records", "global"]


@dataclass(frozen=True, slots=True)
class DataDependency:
    """One entry of ``data_deps``.

    :param name: its key, under which the function finds the data.
    :param kind: ``"property"``: attributes of the row that has the value; ``"records"``: all rows of a record;
        ``"global"``: the value of a dictionary.
    :param source: the record, or the dictionary.
    :param attribute_query: the attributes that are read.
    :param match: restricts the rows of a record.
    """

    name: str
    kind: DependencyKind
    source: RecordRef = None
    attribute_query: tuple[Any, ...] = ()
    match: Where | None = None

    def meaning(self) -> list[Any]:
        """Return what determines the data, for the detection of changed declarations."""
        source = getattr(self.source, "name", None) or getattr(self.source, "__name__", None) or self.source
        return [self.name, self.kind, source, self.attribute_query, self.match]
