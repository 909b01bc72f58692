"""The base of all computations: an inert value that can be written into a column."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Generic, TypeAlias

from sqlalchemy import Column, ColumnElement
from sqlalchemy.schema import SchemaItem
from typing_extensions import TypeVar

if TYPE_CHECKING:
    from .match import MatchExp

T = TypeVar("T")

#: Key of everything that the package keeps in ``MetaData.info``, ``Table.info`` and ``Column.info``.
INFO_KEY = "interaqt_sa"

#: A record: its name, its definition or its mapped class.
RecordRef: TypeAlias = Any
#: Which members count; see :class:`.Count`.
Where: TypeAlias = "MatchExp | Mapping[str, Any] | ColumnElement[bool] | Callable[[Any], ColumnElement[bool]]"
AttributeQuery: TypeAlias = Sequence[Any]


class Computation(SchemaItem, Generic[T]):
    """Says what a value *is*; the engine keeps it true.

    A computation is a value: it holds no state and can be shared. It is a :class:`~sqlalchemy.schema.SchemaItem`, so
    ``mapped_column(Count("items"), init=False)`` and ``Column(Integer, Count("items"))`` mean the same as
    ``computed(Count("items"))``. The type parameter is the type of the value.
    """

    #: names of the constructor's parameters, in order; the base of ``repr`` and equality
    _fields: tuple[str, ...] = ()

    def _set_parent(self, parent: Any, **kw: Any) -> None:
        if not isinstance(parent, Column):
            raise TypeError(f"{self!r} belongs in a Column or mapped_column, not in {parent!r}")
        parent.info[INFO_KEY] = self

    def _values(self) -> tuple[Any, ...]:
        return tuple(getattr(self, name) for name in self._fields)

    def __repr__(self) -> str:
        shown = [f"{n}={v!r}" for n, v in zip(self._fields, self._values(), strict=True) if v is not None]
        return f"{type(self).__name__}({', '.join(shown)})"


def computation_of(column: object) -> Computation[Any] | None:
    """Return the computation written into ``column``, or ``None``."""
    if not isinstance(column, Column):
        return None  # mappers have SQL expressions among their columns
    found: Any = column.info.get(INFO_KEY)
    return found if isinstance(found, Computation) else None  # pyright: ignore[reportUnknownVariableType]
