"""The names in a computation, to be resolved and checked when the records are known."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from .data_dependencies import DataDependency
from .events import Trigger


@dataclass(frozen=True, slots=True)
class References:
    """The names in a computation.

    :param members: the relationship to the members, or for a :class:`.Dictionary` their record.
    :param to_many: whether that relationship must lead to many rows.
    :param fields: attributes, or x:1 paths, of the members that are read as columns.
    :param conditions: conditions over the members, in any form that ``where`` takes.
    :param attribute_query: attributes of the members that a callback reads.
    :param triggers: events of other records that the computation reacts to.
    :param origin: the record from whose rows a :class:`.Transform` derives others.
    :param origin_attributes: attributes of these rows that are read; empty: all.
    :param dependencies: data that a function of the application reads.
    """

    members: Any = None
    to_many: bool = False
    fields: tuple[str, ...] = ()
    conditions: tuple[Any, ...] = ()
    attribute_query: tuple[Any, ...] = ()
    triggers: tuple[Trigger, ...] = ()
    origin: Any = None
    origin_attributes: tuple[Any, ...] = ()
    dependencies: tuple[DataDependency, ...] = ()

    def paths(self) -> Iterator[str]:
        """Yield the paths of :attr:`attribute_query`, with nested queries flattened."""
        yield from _flat(self.attribute_query)


def _flat(query: Any, prefix: str = "") -> Iterator[str]:
    for item in query:
        match item:
            case str():
                yield f"{prefix}{item}"
            case (str() as name, [*nested] | {"attribute_query": [*nested]}):
                yield from _flat(nested, f"{prefix}{name}.")
            case _:
                pass
