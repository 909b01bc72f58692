"""The base of all computations: an inert value that can be written into a column."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Generic

from sqlalchemy import Column, Table, event
from sqlalchemy.schema import SchemaItem
from sqlalchemy.types import TypeEngine
from typing_extensions import TypeVar

from .references import References

T = TypeVar("T")

#: Key of everything that the package keeps in ``MetaData.info``, ``Table.info`` and ``Column.info``.
INFO_KEY = "interaqt_sa"
#: Key of ``Column.info``: name of the table that the column was declared for. What copies it into a table of another
#: name, such as one of versions, copies values and declares nothing.
_DECLARED_FOR = f"{INFO_KEY}.declared_for"


class Computation(SchemaItem, Generic[T]):
    """Says what a value *is*; the engine keeps it true.

    A computation is a value: it holds no state and can be shared. It is a :class:`~sqlalchemy.schema.SchemaItem`, so
    ``mapped_column(Count("items"), init=False)`` and ``Column(Integer, Count("items"))`` mean the same as
    ``computed(Count("items"))``. The type parameter is the type of the value.
    """

    #: names of the constructor's parameters, in order; the base of ``repr`` and equality
    _fields: tuple[str, ...] = ()

    #: whether it gives the value of a column; else it gives whole rows
    gives_value: ClassVar[bool] = True
    #: whether a :class:`.Dictionary` may hold it
    is_global: ClassVar[bool] = False
    #: whether callers may give the value of a new row
    may_be_given: ClassVar[bool] = False
    #: whether it is computed from other columns of its own row
    reads_own_row: ClassVar[bool] = False
    #: how the value changes, for who tries to assign it
    way_to_change: ClassVar[str] = "change what it is computed from"

    # a column takes these along when it is copied or merged, as those of a mixin and of Annotated are
    _type_bound = False

    def hidden_columns(self, column: Column[Any]) -> dict[str, Column[Any]]:
        """Return the columns that it needs beside ``column``, by their role and without a name."""
        return {}

    def hidden_row_columns(self) -> dict[str, Column[Any]]:
        """Return the columns that rows need which it gives, by their role: together they say where a row comes from."""
        return {}

    @property
    def starts_constant(self) -> bool:
        """Whether all new rows begin with :meth:`initial_value`; else the value is computed for each of them."""
        return False

    def initial_value(self, column: Column[Any] | None = None) -> Any:
        """Return the value of a new row, before anything has happened, as a read of ``column`` gives it."""
        return None

    def server_default(self, column: Column[Any]) -> Any:
        """Return :meth:`initial_value` as the database stores it; ``None`` for NULL, or if it is not constant."""
        return self.initial_value(column) if self.starts_constant else None

    @property
    def is_never_null(self) -> bool:
        """Whether there is a value for every row."""
        return self.starts_constant and self.initial_value() is not None

    def check_column(self, column: Column[Any]) -> None:
        """Refuse a column that cannot hold the value.

        :raises DefinitionFault: saying what is wrong with it.
        """

    def check_fields(self, column: Column[Any], fields: Mapping[str, TypeEngine[Any]]) -> None:
        """Refuse types from which the value of ``column`` cannot be computed.

        :param fields: the types of :attr:`.References.fields`.
        :raises DefinitionFault: saying what is wrong with them.
        """

    def meaning(self) -> dict[str, Any]:
        """Return what says which value it is; when that changes, migrations fill stored values again."""
        return dict(zip(self._fields, self._values(), strict=True))

    def references(self) -> References:
        """Return what it names."""
        return References()

    def faults(self) -> Iterator[str]:
        """Yield what is wrong with it wherever it stands."""
        yield from ()

    def _set_parent(self, parent: Any, **kw: Any) -> None:
        if not isinstance(parent, Column):
            raise TypeError(f"{self!r} belongs in a Column or mapped_column, not in {parent!r}")
        # Column() replaces its info by the argument info= after this, so it is written when the column gets its table
        column: Column[Any] = parent  # pyright: ignore[reportUnknownVariableType]
        if _among_constraints(column) is None:  # that of an Annotated type comes after the column's own
            column.constraints.add(self)  # type: ignore[arg-type]
            event.listen(column, "before_parent_attach", _write_into_info)

    def _copy(self, **kw: Any) -> Computation[T]:
        return self

    def _values(self) -> tuple[Any, ...]:
        return tuple(getattr(self, name) for name in self._fields)

    def __repr__(self) -> str:
        shown = [f"{n}={v!r}" for n, v in zip(self._fields, self._values(), strict=True) if v is not None]
        return f"{type(self).__name__}({', '.join(shown)})"


def _write_into_info(column: Column[Any], table: Any) -> None:
    computation = _among_constraints(column)
    if computation is not None and isinstance(table, Table):
        column.constraints.discard(computation)  # they become DDL
        # a new dictionary: the application's may be the info of other columns too
        column.info = {**column.info, INFO_KEY: computation, _DECLARED_FOR: table.name}


def _among_constraints(column: Column[Any]) -> Computation[Any] | None:
    return next((item for item in column.constraints if isinstance(item, Computation)), None)


def info_of(item: SchemaItem) -> Mapping[Any, Any]:
    """Return the ``info`` of a schema item; reading the attribute itself would make one where there is none."""
    found: Mapping[Any, Any] = item.__dict__.get("info") or {}
    return found


def computation_of(column: object) -> Computation[Any] | None:
    """Return the computation written into ``column``, or ``None``."""
    if not isinstance(column, Column):
        return None  # mappers have SQL expressions among their columns
    declared: Column[Any] = column  # pyright: ignore[reportUnknownVariableType]
    if getattr(declared, "table", None) is None:
        return _among_constraints(declared)
    info = info_of(declared)
    found: Any = info.get(INFO_KEY)
    is_declared = isinstance(found, Computation) and info[_DECLARED_FOR] == declared.table.name
    return found if is_declared else None  # pyright: ignore[reportUnknownVariableType]
