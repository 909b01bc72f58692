"""The base class of all computations: immutable values that are attached to columns."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar, Generic

from sqlalchemy import Column, Table, event
from sqlalchemy.schema import SchemaItem
from sqlalchemy.types import TypeEngine
from typing_extensions import TypeVar

from ..errors import ComputationProtocolError
from .references import References

T = TypeVar("T")

#: Key of all entries of the package in ``MetaData.info``, ``Table.info`` and ``Column.info``.
INFO_KEY = "interaqt_sa"
#: Key of ``Column.info``: name of the table that the column was declared for. A copy of the column in another table,
#: such as a table of versions, holds copied values and declares no computation.
_DECLARED_FOR = f"{INFO_KEY}.declared_for"


class Computation(SchemaItem, Generic[T]):
    """The definition of a derived value; base class of all kinds of computations.

    A computation is immutable, holds no state and can be shared. It is a :class:`~sqlalchemy.schema.SchemaItem`, so
    ``mapped_column(Count("items"), init=False)`` and ``Column(Integer, Count("items"))`` mean the same as
    ``computed(Count("items"))``. The type parameter is the type of the value. Attaching it to anything but a column
    raises :class:`TypeError`.

    :mod:`interaqt_sa.extending` has the base classes for kinds of your own, which override the methods below where the
    defaults do not fit.

    ::

        Table("cart", metadata, …, Column("open_items", Integer, Count("items", where={"done": False})))
    """

    #: names of the constructor's parameters, in order; the base of ``repr`` and equality
    _fields: tuple[str, ...] = ()

    #: whether it computes the value of a column; else it derives whole rows
    gives_value: ClassVar[bool] = True
    #: whether a :class:`.Dictionary` may hold it
    is_global: ClassVar[bool] = False
    #: whether the application may set the value of a new row
    may_be_given: ClassVar[bool] = False
    #: whether it is computed from other columns of its own row
    reads_own_row: ClassVar[bool] = False
    #: whether new rows are numbered, by counters in a table of the package
    numbers_rows: ClassVar[bool] = False
    #: whether a function of the application computes it from the data in :attr:`.References.dependencies`
    is_evaluated: ClassVar[bool] = False
    #: whether a dispatch has to be SERIALIZABLE when it computes the value
    requires_serializable: bool = False
    #: how the value changes, for the error that an assignment raises
    way_to_change: ClassVar[str] = "change the values that it is computed from"

    # columns of mixins and of Annotated types are copied or merged, and carry their schema items along
    _type_bound = False

    def hidden_columns(self, column: Column[Any]) -> dict[str, Column[Any]]:
        """Return the hidden columns needed beside ``column``, keyed by role and without names.

        :param column: the computed column.
        """
        return {}

    def hidden_row_columns(self) -> dict[str, Column[Any]]:
        """Return the hidden columns of derived rows, keyed by role; together they identify the origin of a row."""
        return {}

    @property
    def starts_constant(self) -> bool:
        """Whether all new rows start with :meth:`initial_value`; else the value is computed for each row."""
        return False

    def initial_value(self, column: Column[Any] | None = None) -> Any:
        """Return the value of a new row without members or events, as a read of ``column`` returns it.

        :param column: the computed column; ``None`` if the type does not matter.
        """
        return None

    def server_default(self, column: Column[Any]) -> Any:
        """Return :meth:`initial_value` as the database stores it; ``None`` for NULL or if it is not constant.

        :param column: the computed column.
        """
        return self.initial_value(column) if self.starts_constant else None

    @property
    def is_never_null(self) -> bool:
        """Whether every row has a value other than NULL."""
        return self.starts_constant and self.initial_value() is not None

    def takes(self, value: Any) -> bool:
        """Return whether a new row may be given ``value`` instead of the computed one."""
        return False

    def check_column(self, column: Column[Any]) -> None:
        """Check that ``column`` can hold the value.

        :param column: the computed column.
        :raises DefinitionFault: if it cannot.
        """

    def check_fields(self, column: Column[Any], fields: Mapping[str, TypeEngine[Any]]) -> None:
        """Check that the value of ``column`` can be computed from fields of these types.

        :param column: the computed column.
        :param fields: the types of :attr:`.References.fields`.
        :raises DefinitionFault: if it cannot.
        """

    def restricted(self, applies: Callable[[Any], bool]) -> Computation[T]:
        """Return the computation of a column that only some rows of its table have.

        :param applies: whether a row has the value; others have NULL, or the value of a new row.
        """
        return self

    def meaning(self) -> dict[str, Any]:
        """Return the arguments that determine the value; when they change, migrations back-fill the column."""
        return dict(zip(self._fields, self._values(), strict=True))

    def references(self) -> References:
        """Return the relationships, attributes and records that the computation names."""
        return References()

    def faults(self) -> Iterator[str]:
        """Yield the faults of the computation that do not depend on its column."""
        yield from ()

    def _set_parent(self, parent: Any, **kw: Any) -> None:
        if not isinstance(parent, Column):
            raise TypeError(f"{self!r} belongs in a Column or mapped_column, not in {parent!r}")
        self.require_complete()
        # Column() assigns the argument info= after this, so info is written when the column is attached to its table
        column: Column[Any] = parent  # pyright: ignore[reportUnknownVariableType]
        if _among_constraints(column) is None:  # the item of an Annotated type comes after the column's own
            column.constraints.add(self)  # type: ignore[arg-type]
            event.listen(column, "before_parent_attach", _write_into_info)

    def require_complete(self) -> None:
        """Check that the constructor has assigned all attributes in ``_fields``.

        :raises ComputationProtocolError: if one is missing.
        """
        missing = [name for name in self._fields if not hasattr(self, name)]
        if missing:
            raise ComputationProtocolError(
                f"{type(self).__name__}: _fields names {', '.join(map(repr, missing))}, which the constructor has not "
                "set"
            )

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
        column.constraints.discard(computation)  # constraints are rendered as DDL
        # a new dictionary, because other columns may share the application's
        column.info = {**column.info, INFO_KEY: computation, _DECLARED_FOR: table.name}


def _among_constraints(column: Column[Any]) -> Computation[Any] | None:
    return next((item for item in column.constraints if isinstance(item, Computation)), None)


def info_of(item: SchemaItem) -> Mapping[Any, Any]:
    """Return the ``info`` of a schema item without creating an empty dictionary on it, as the attribute would."""
    found: Mapping[Any, Any] = item.__dict__.get("info") or {}
    return found


def computation_of(column: object) -> Computation[Any] | None:
    """Return the computation attached to ``column``, or ``None``."""
    if not isinstance(column, Column):
        return None  # the columns of a mapper include SQL expressions
    declared: Column[Any] = column  # pyright: ignore[reportUnknownVariableType]
    if getattr(declared, "table", None) is None:
        return _among_constraints(declared)
    info = info_of(declared)
    found: Any = info.get(INFO_KEY)
    is_declared = isinstance(found, Computation) and info[_DECLARED_FOR] == declared.table.name
    return found if is_declared else None  # pyright: ignore[reportUnknownVariableType]
