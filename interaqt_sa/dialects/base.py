"""What has to be known of a database, for one that is to be supported."""

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
from sqlalchemy.types import TypeEngine

from .undecorated_types import stored_type

#: name and type of each column of a row set
RowShape = Sequence[tuple[str, TypeEngine[Any]]]
#: shape of the rows that :meth:`DatabaseDialect.lock_names` takes
LOCK_NAMES: RowShape = (("n", BigInteger()),)
NO_VALUES: Mapping[str, Any] = MappingProxyType({})


class Lock(IntEnum):
    """Row locks, weakest first, so that ``max`` of two locks serves both needs."""

    KEY_SHARE = 1
    SHARE = 2
    NO_KEY_UPDATE = 3
    UPDATE = 4


class DatabaseDialect(ABC):
    """Capabilities of one database.

    :cvar name: SQLAlchemy's name of the dialect.
    :ivar has_row_locks: whether rows can be locked; without them there is a single writer.
    :ivar chains_updates: whether an UPDATE may stand in a common table expression.
    :ivar rounds_values: whether columns round, pad or cut what is stored in them.
    :ivar returns_joined: whether RETURNING may name columns of the tables that an UPDATE joins.
    :ivar returns_null_tests: whether RETURNING may ask whether a column is NULL.
    :ivar has_isolation_levels: whether transactions may be weaker than SERIALIZABLE.
    :ivar checks_lengths: whether a text that is too long for its column is refused.
    :ivar stores_nul: whether texts may hold NUL characters.
    :ivar stores_decimals: whether NUMERIC columns keep decimals and NaN, instead of floats.
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
    has_partial_indexes: bool = True

    def __init__(self, dialect: Dialect) -> None:
        self.sqlalchemy_dialect = dialect

    @classmethod
    @abstractmethod
    def integer_bits(cls, type_: TypeEngine[Any]) -> int:
        """Return how many bits, without that of the sign, a column of an integer type holds."""

    @classmethod
    def commits_by_itself(cls, connection: Connection) -> bool:  # noqa: ARG003
        """Whether the driver was put into autocommit without SQLAlchemy's knowledge."""
        return False

    @classmethod  # noqa: B027
    def move_sequence(cls, connection: Connection, sequence: SQLSequence, past: int) -> None:
        """Let ``sequence`` give only numbers after ``past``; does nothing where there are none."""

    def prepare(self, connection: Connection) -> None:  # noqa: B027  most databases need nothing
        """Define on a connection what the engine's statements call; cheap where that was done before."""

    @abstractmethod
    def has_triggers(self, connection: Connection, table: Table) -> bool:
        """Whether the database runs triggers of the application when rows of ``table`` are written."""

    def packs(self, type_: TypeEngine[Any]) -> bool:
        """Whether values of a type can stand in a row set; others are written row by row."""
        return not type_._has_bind_expression

    @abstractmethod
    def row_set(self, name: str, shape: RowShape, values: Mapping[str, Any] = NO_VALUES) -> FromClause:
        """Return a FROM element over the rows of parameter ``name``; constant text whatever their number.

        :param values: what :meth:`pack` gave, for a statement whose parameters the application gives.
        """

    @abstractmethod
    def pack(self, name: str, shape: RowShape, rows: Sequence[Sequence[Any]]) -> dict[str, Any]:
        """Return the parameters that hand ``rows`` to :meth:`row_set`."""

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
    def lock(self, statement: Select[Any], lock: Lock, of: FromClause) -> Select[Any]:
        """Return ``statement`` with a row lock on ``of``."""

    @abstractmethod
    def fold_name(self, name: str) -> str:
        """Return ``name`` as the database compares it with other names."""

    def returned(self, column: Column[Any]) -> ColumnElement[Any]:
        """Return ``column`` as RETURNING names it to get the value that a SELECT would."""
        return column

    def lock_names(self, *, shared: bool = False) -> Executable | None:
        """Return a statement that locks what :meth:`pack` gave for ``names``, in order, until the transaction ends."""
        return None

    def number_type(self, column: Column[Any]) -> TypeEngine[Any]:
        """Return the type in which changes of a running ``column`` are summed: never one that rounds."""
        if isinstance(stored_type(column.type), (Integer, Boolean)):
            return BigInteger()
        return Numeric(asdecimal=True)

    def as_stored(self, value: ColumnElement[Any], column: Column[Any]) -> ColumnElement[Any]:
        """Return ``value`` as ``column`` stores it, rounded where it rounds."""
        return cast(value, column.type)

    def transport_type(self, type_: TypeEngine[Any]) -> TypeEngine[Any]:
        """Return a type in which values of ``type_`` go to Python and back unchanged; its Python code is left out."""
        return stored_type(type_)

    # Changes are numbers of that type; a running column may keep them in another.

    def change(self, column: Column[Any], value: ColumnElement[Any]) -> ColumnElement[Any]:
        """Return ``value`` as a change of a running ``column``."""
        return cast(value, self.number_type(column))

    def total(self, column: Column[Any], change: ColumnElement[Any]) -> ColumnElement[Any]:
        """Return the aggregate sum of changes."""
        return cast(func.sum(change), self.number_type(column))

    def plus(self, column: Column[Any], change: ColumnElement[Any]) -> ColumnElement[Any]:
        """Return what a running ``column`` is after ``change``, as it is stored."""
        return self.stored(column, func.coalesce(column, literal_column("0")) + change)

    def minus(self, column: Column[Any], change: ColumnElement[Any]) -> ColumnElement[Any]:
        """Return what a running ``column`` was before ``change``."""
        return self.stored(column, column - change)

    def stored(self, column: Column[Any], total: ColumnElement[Any]) -> ColumnElement[Any]:
        """Return a sum of changes as a running ``column`` stores it."""
        return total

    def operand(self, column: Column[Any], state: ColumnElement[Any]) -> ColumnElement[Any]:
        """Return what a running ``column`` stores as a number with which SQL can calculate."""
        return state


def named(name: str) -> str:
    """Return a name for a parameter or a derived table of the engine that no column and no table has.

    SQLAlchemy takes a parameter that is called like a column for a value of it.
    """
    return f"iq__{name}"


def is_exact_key(columns: Iterable[Column[Any]]) -> bool:
    """Whether Python and the database agree on equality and order of these keys."""
    types = [column.type for column in columns]
    return len(types) == 1 and isinstance(types[0], (Integer, Uuid)) and not isinstance(types[0], Boolean)


def parameter(name: str, type_: TypeEngine[Any], values: Mapping[str, Any]) -> ColumnElement[Any]:
    """Return the parameter ``name``, with its value if ``values`` has it."""
    if name in values:
        return bindparam(name, values[name], type_=type_, unique=True)
    return bindparam(name, type_=type_)


# -- a single row, which needs no set ----------------------------------------------------------------------------------
#
# Planners guess how many rows a parameter holds. PostgreSQL, having guessed ten, plans such a statement again for each
# execution in the hope of better; where there is one row and the text says so, it soon keeps its plan.


def one_row(name: str, shape: RowShape) -> FromClause:
    """Return a FROM element over the one row of parameters ``name``; for types that every driver tells the database."""
    fields = (bindparam(named(f"{name}_{field}"), type_=type_).label(field) for field, type_ in shape)
    return select(*fields).subquery(name)


def is_row(columns: Sequence[ColumnElement[Any]], name: str, shape: RowShape) -> ColumnElement[bool]:
    """Return the criterion that ``columns`` equal the one row of parameters ``name``."""
    fields = (bindparam(named(f"{name}_{field}"), type_=type_) for field, type_ in shape)
    return and_(*(column == field for column, field in zip(columns, fields, strict=True)))
