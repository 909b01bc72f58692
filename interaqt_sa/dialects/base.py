"""The interface that each supported database implements."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from enum import IntEnum
from types import MappingProxyType
from typing import Any, ClassVar

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ColumnElement,
    Connection,
    Dialect,
    Executable,
    FromClause,
    Integer,
    Numeric,
    Select,
    Table,
    Uuid,
    and_,
    bindparam,
    cast,
    func,
    literal_column,
    select,
)
from sqlalchemy import Sequence as SQLSequence
from sqlalchemy.types import TypeDecorator, TypeEngine

from .undecorated_types import stored_type

#: name and type of each column of a row set
RowShape = Sequence[tuple[str, TypeEngine[Any]]]
#: shape of the row set of :meth:`DatabaseDialect.lock_names`
LOCK_NAMES: RowShape = (("n", BigInteger()),)
NO_VALUES: Mapping[str, Any] = MappingProxyType({})


class Lock(IntEnum):
    """Row locks, weakest first, so that ``max`` of two locks includes both."""

    KEY_SHARE = 1
    SHARE = 2
    NO_KEY_UPDATE = 3
    UPDATE = 4


class DatabaseDialect(ABC):
    """Capabilities and SQL constructs of one database.

    :cvar name: SQLAlchemy's name of the dialect.
    :ivar has_row_locks: whether rows can be locked; without row locks there is a single writer.
    :ivar chains_updates: whether a common table expression may contain an UPDATE.
    :ivar rounds_values: whether columns round, pad or truncate stored values.
    :ivar returns_joined: whether RETURNING may name columns of the tables that an UPDATE joins.
    :ivar returns_null_tests: whether RETURNING may contain ``IS NULL``.
    :ivar has_isolation_levels: whether transactions may be weaker than SERIALIZABLE.
    :ivar checks_lengths: whether the database refuses a text that is too long for its column.
    :ivar stores_nul: whether texts may hold NUL characters.
    :ivar stores_decimals: whether NUMERIC columns keep decimals and NaN, instead of floats.
    :ivar refuses_overflow: whether a number beyond its type is an error, instead of becoming a float or infinity.
    :ivar sorts_null_last: whether NULL comes after all values in an ascending order.
    :ivar has_partial_indexes: whether indexes may have predicates.
    """

    name: ClassVar[str]
    has_row_locks: bool
    chains_updates: bool
    returns_joined: bool
    rounds_values: bool
    returns_null_tests: bool = True
    has_isolation_levels: bool
    checks_lengths: bool
    stores_nul: bool
    stores_decimals: bool
    refuses_overflow: bool
    sorts_null_last: bool
    has_partial_indexes: bool = True

    def __init__(self, dialect: Dialect) -> None:
        self.sqlalchemy_dialect = dialect

    @classmethod
    @abstractmethod
    def pattern_fault(cls, pattern: str) -> str | None:
        """Return why ``pattern`` cannot be an operand of LIKE; ``None`` if it can."""

    @classmethod
    def comparison_fault(cls, type_: TypeEngine[Any], operator: str, dialect: Dialect) -> str | None:  # noqa: ARG003
        """Return why values of a type cannot be compared; ``None`` if they can.

        :param operator: an operator of a match, or ``"order"``.
        """
        return None

    @classmethod
    @abstractmethod
    def integer_bits(cls, type_: TypeEngine[Any]) -> int:
        """Return the number of bits of an integer type, without the sign bit."""

    @classmethod
    @abstractmethod
    def insert(cls, into: Any) -> Any:
        """Return an INSERT into a table or mapped class that has ``on_conflict_do_nothing()`` and similar methods."""

    @classmethod
    def commits_by_itself(cls, connection: Connection) -> bool:  # noqa: ARG003
        """Whether the driver is in autocommit mode without SQLAlchemy having set it."""
        return False

    @classmethod  # noqa: B027
    def move_sequence(cls, connection: Connection, sequence: SQLSequence, past: int) -> None:
        """Advance ``sequence`` beyond ``past``; does nothing on databases without sequences."""

    def prepare(self, connection: Connection) -> None:  # noqa: B027  most databases need nothing
        """Register the functions that the engine's statements call on a connection; cheap if repeated."""

    @abstractmethod
    def has_triggers(self, connection: Connection, table: Table) -> bool:
        """Whether ``table`` has triggers of the application."""

    def procedure_texts(self, connection: Connection, name: str) -> Sequence[str]:
        """Return the SQL text of the procedures that ``CALL`` may find by ``name``, spelled as in the statement."""
        return ()

    def tables_behind(self, connection: Connection, schema: str, name: str) -> Sequence[tuple[str, str]]:
        """Return schema and name of the tables whose rows a partition, inherited table or view ``name`` shows."""
        return ()

    def packs(self, type_: TypeEngine[Any]) -> bool:
        """Whether a row set can contain values of a type; other values are written row by row."""
        return not type_._has_bind_expression

    @abstractmethod
    def row_set(self, name: str, shape: RowShape, values: Mapping[str, Any] = NO_VALUES) -> FromClause:
        """Return a FROM element over the rows of parameter ``name``; its SQL text does not depend on their number.

        :param values: the result of :meth:`pack`, for a statement whose other parameters the application passes.
        """

    @abstractmethod
    def pack(self, name: str, shape: RowShape, rows: Sequence[Sequence[Any]]) -> dict[str, Any]:
        """Return the parameters that pass ``rows`` to :meth:`row_set`."""

    def pack_some(self, name: str, shape: RowShape, rows: Sequence[Sequence[Any]], *, one: bool) -> dict[str, Any]:
        """Return the parameters for :meth:`row_set`, or for :func:`one_row` and :func:`is_row`."""
        if not one:
            return self.pack(name, shape, rows)
        (row,) = rows
        return {named(f"{name}_{field}"): value for (field, _), value in zip(shape, row, strict=True)}

    @abstractmethod
    def contains(
        self,
        columns: Sequence[ColumnElement[Any]],
        name: str,
        shape: RowShape,
        values: Mapping[str, Any] = NO_VALUES,
    ) -> ColumnElement[bool]:
        """Return the criterion that ``columns`` equal one of the rows of parameter ``name``."""

    @abstractmethod
    def lock(self, statement: Select[Any], lock: Lock, of: FromClause, *, skips_locked: bool = False) -> Select[Any]:
        """Return ``statement`` with a row lock on ``of``.

        :param skips_locked: whether rows that other transactions have locked are left out.
        """

    @abstractmethod
    def fold_name(self, name: str) -> str:
        """Return ``name`` in the form in which the database compares identifiers."""

    def returned(self, column: Column[Any]) -> ColumnElement[Any]:
        """Return the RETURNING expression whose value equals that of ``column`` in a SELECT."""
        return column

    def lock_names(self, *, shared: bool = False) -> Executable | None:
        """Return a statement that takes advisory locks on the row set ``names``, in order; ``None`` if not needed."""
        return None

    def lock_tables(self, names: Sequence[str]) -> str | None:
        """Return the SQL text that locks tables against other writers, until the end of the transaction.

        It must not take a snapshot. ``None`` if there is one writer at a time anyway.

        :param names: quoted names, in the order in which they are locked.
        """
        return None

    def number_type(self, column: Column[Any]) -> TypeEngine[Any]:
        """Return the type in which deltas of a running ``column`` are summed, which never rounds."""
        if isinstance(stored_type(column.type), (Integer, Boolean)):
            return BigInteger()
        return Numeric(asdecimal=True)

    def as_stored(self, value: ColumnElement[Any], column: Column[Any]) -> ColumnElement[Any]:
        """Return ``value`` as ``column`` stores it, rounded if the column rounds."""
        return cast(value, column.type)

    def transport_type(self, type_: TypeEngine[Any]) -> TypeEngine[Any]:
        """Return a type that carries values of ``type_`` to Python and back unchanged, without its Python code."""
        if isinstance(type_, TypeDecorator):
            # the type below may depend on the dialect: that of Interval, or what load_dialect_impl() returns
            decorated: TypeDecorator[Any] = type_
            return stored_type(decorated.dialect_impl(self.sqlalchemy_dialect))
        return type_

    # Deltas are numbers of number_type(); a running column may store them in another type.

    def change(self, column: Column[Any], value: ColumnElement[Any]) -> ColumnElement[Any]:
        """Return ``value`` as a delta of a running ``column``."""
        return cast(value, self.number_type(column))

    def total(self, column: Column[Any], change: ColumnElement[Any]) -> ColumnElement[Any]:
        """Return the SQL aggregate that sums deltas."""
        return cast(func.sum(change), self.number_type(column))

    def plus(self, column: Column[Any], change: ColumnElement[Any]) -> ColumnElement[Any]:
        """Return the stored value of a running ``column`` after adding ``change``."""
        return self.stored(column, func.coalesce(column, literal_column("0")) + change)

    def lost_digits(self, connection: Connection) -> bool:
        """Whether :meth:`plus` has added, since this was asked, to a number whose digits are not all stored."""
        return False

    def minus(self, column: Column[Any], change: ColumnElement[Any]) -> ColumnElement[Any]:
        """Return the stored value of a running ``column`` before ``change`` was added."""
        return self.stored(column, column - change)

    def stored(self, column: Column[Any], total: ColumnElement[Any]) -> ColumnElement[Any]:
        """Return a sum of deltas as a running ``column`` stores it."""
        return total

    def operand(self, column: Column[Any], state: ColumnElement[Any]) -> ColumnElement[Any]:
        """Return the state of a running ``column`` as a number for SQL arithmetic."""
        return state


def named(name: str) -> str:
    """Return a name for a parameter or derived table of the engine that does not collide with columns or tables.

    SQLAlchemy treats a parameter that has the name of a column as a value for that column.
    """
    return f"iq__{name}"


def is_exact_key(columns: Iterable[Column[Any]]) -> bool:
    """Whether Python and the database agree on the equality and order of these keys."""
    types = [column.type for column in columns]
    return len(types) == 1 and isinstance(types[0], (Integer, Uuid)) and not isinstance(types[0], Boolean)


def parameter(name: str, type_: TypeEngine[Any], values: Mapping[str, Any]) -> ColumnElement[Any]:
    """Return the parameter ``name``, with its value if ``values`` has it."""
    if name in values:
        return bindparam(name, values[name], type_=type_, unique=True)
    return bindparam(name, type_=type_)


# -- a single row, which needs no set ----------------------------------------------------------------------------------
#
# The planner estimates the number of rows in an array parameter. PostgreSQL estimates ten and keeps making custom plans
# for each execution; for a statement over a single row it soon switches to a cached generic plan.


def one_row(name: str, shape: RowShape) -> FromClause:
    """Return a FROM element over the single row of parameters ``name``, whose types every driver sends."""
    fields = (bindparam(named(f"{name}_{field}"), type_=type_).label(field) for field, type_ in shape)
    return select(*fields).subquery(name)


def is_row(columns: Sequence[ColumnElement[Any]], name: str, shape: RowShape) -> ColumnElement[bool]:
    """Return the criterion that ``columns`` equal the single row of parameters ``name``."""
    fields = (bindparam(named(f"{name}_{field}"), type_=type_) for field, type_ in shape)
    return and_(*(column == field for column, field in zip(columns, fields, strict=True)))
