"""Generated functions that convert rows to records.

A dict display with fixed keys is four times as fast as ``dict(zip(…))``, so each statement gets functions of its own,
as named tuples do. Attributes and conversions are passed to the generated code as values; its text contains nothing but
positions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from .attributes import LINK

Record: TypeAlias = dict[str, Any]
Row: TypeAlias = Sequence[Any]
#: conversions of the driver's values, by position
Converts: TypeAlias = Mapping[int, Callable[[Any], Any]]


@dataclass(slots=True)
class Separate:
    """Neighbours that another statement finds.

    :ivar is_list: whether there may be many for one record.
    """

    is_list: bool


@dataclass(slots=True)
class Layout:
    """The positions of the attributes of a record in a row.

    :ivar names: the attributes; the first one is at ``start``.
    :ivar key: the positions of its key.
    :ivar parts: the neighbours nested in the record, in the requested order.
    """

    names: list[str]
    start: int
    key: list[int]
    parts: dict[str, Layout | Separate] = field(default_factory=dict[str, "Layout | Separate"])

    @property
    def key_names(self) -> list[str]:
        """The attributes of the key."""
        return [self.names[place - self.start] for place in self.key]


@dataclass(slots=True)
class Makers:
    """The functions for the rows of one statement.

    :ivar records: returns the records of rows, with ``[]`` or ``None`` in place of neighbours that another statement
        finds.
    :ivar parents: returns the keys of the records whose neighbours the rows are.
    """

    records: Callable[[Sequence[Row]], list[Record]]
    parents: Callable[[Sequence[Row]], list[Any]]


@dataclass(slots=True)
class RowShape:
    """What the rows of a statement consist of.

    :ivar layout: the positions of the attributes of the record.
    :ivar link: those of the link to it.
    :ivar parent_key: the positions of the key of the record that the record is a neighbour of.
    """

    layout: Layout
    link: Layout | None = None
    parent_key: Sequence[int] = ()
    _makers: dict[bool, Makers] = field(default_factory=dict[bool, Makers])

    def makers(self, converts: Converts | None) -> Makers:
        """Return the functions for rows of the driver, or of SQLAlchemy, which converts them itself.

        :param converts: the conversions of the driver's values, always the same; ``None`` for rows of SQLAlchemy.
        """
        is_converted = converts is None
        found = self._makers.get(is_converted)
        if found is None:
            code = _Code(converts or {})
            found = self._makers[is_converted] = Makers(
                code.function(code.record(self.layout, self.link)), code.function(code.key(self.parent_key))
            )
        return found


class _Code:
    """Builds expressions for a row ``r``."""

    def __init__(self, converts: Converts) -> None:
        self._converts = converts
        self._given: dict[str, Any] = {}

    def record(self, layout: Layout, link: Layout | None = None) -> str:
        parts = [f"{self._name(name)}: {self._value(layout.start + n)}" for n, name in enumerate(layout.names)]
        if link is not None:
            parts.append(f"{self._name(LINK)}: {self.record(link)}")
        for name, part in layout.parts.items():
            if isinstance(part, Layout):
                neighbour = f"None if r[{part.key[0]}] is None else {self.record(part)}"
            else:
                neighbour = "[]" if part.is_list else "None"
            parts.append(f"{self._name(name)}: {neighbour}")
        return f"{{{', '.join(parts)}}}"

    def key(self, places: Sequence[int]) -> str:
        values = [self._value(place) for place in places]
        return values[0] if len(values) == 1 else f"({''.join(f'{value}, ' for value in values)})"

    def function(self, expression: str) -> Callable[[Sequence[Row]], list[Any]]:
        """Return the function that evaluates ``expression`` for each row."""
        source = f"lambda {', '.join(self._given)}: lambda rows: [{expression} for r in rows]"
        made: Callable[[Sequence[Row]], list[Any]] = eval(source)(**self._given)  # noqa: S307  positions only
        self._given = {}
        return made

    def _value(self, place: int) -> str:
        convert = self._converts.get(place)
        return f"r[{place}]" if convert is None else f"{self._name(convert)}(r[{place}])"

    def _name(self, value: Any) -> str:
        name = f"v{len(self._given)}"
        self._given[name] = value
        return name
