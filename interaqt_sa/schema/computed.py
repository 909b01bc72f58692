"""Computed columns of mapped classes, and the hidden columns with their running state."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar, overload

from sqlalchemy import (
    Boolean,
    Column,
    Date,
    DateTime,
    Enum,
    Float,
    Index,
    Integer,
    Numeric,
    String,
    Table,
    event,
    false,
    inspect,
    text,
    true,
)
from sqlalchemy.orm import MappedColumn, Mapper, mapped_column
from sqlalchemy.schema import SchemaItem

from ..definitions.computation import INFO_KEY, Computation, computation_of, info_of
from ..definitions.member_types import MemberType
from ..definitions.same_row import SameRow
from ..dialects.not_null_placeholders import Placeholder, has_placeholder
from ..dialects.running_sum_type import RunningSum
from ..dialects.undecorated_types import stored_type
from ..errors import DefinitionFault
from . import session_merge as session_merge  # noqa: PLC0414  registers its listener
from .metadata_state import Catalog
from .naming import fit_identifier
from .record_lookup import mapper_of
from .scoped_counters import add_scoped_counters

T = TypeVar("T")

#: Key of ``Column.info`` on a hidden column: (name of the computed column, role). The name is ``None`` for the hidden
#: columns of derived rows.
STATE_KEY = f"{INFO_KEY}.state"
#: Key of ``Table.info``: the computation that derives the rows of the table.
TRANSFORM_KEY = f"{INFO_KEY}.transform"
#: Key of ``Column.info``: the input of a merged entity whose rows have this computed value.
INPUT_KEY = f"{INFO_KEY}.input"
#: Key of ``Column.info`` on a reflected column that has the name of a hidden one.
_REFLECTED = f"{INFO_KEY}.reflected"
_LIKE_STATE = re.compile(r"_.+__.+", re.DOTALL)


@overload
def computed(computation: Computation[T], /, *column_args: SchemaItem | Any, **kw: Any) -> MappedColumn[T]: ...
@overload
def computed(function: Callable[[Any], T], /, *column_args: SchemaItem | Any, **kw: Any) -> MappedColumn[T]: ...
def computed(declaration: Any, /, *column_args: Any, **kw: Any) -> MappedColumn[Any]:
    """Declare a mapped column whose value is maintained by the engine.

    :param declaration: a computation such as ``Count("items")``, or a pure function of the same row.
    :param column_args: further positional arguments of :func:`sqlalchemy.orm.mapped_column`, such as a type.
    :param kw: its keyword arguments; in a dataclass pass ``init=False``.
    :raises TypeError: if ``declaration`` is neither, or a :class:`.Transform`, which derives whole rows.
    :raises ComputationProtocolError: if it is a coroutine function.

    ::

        item_count: Mapped[int] = computed(Count("items"))
        total: Mapped[Decimal] = computed(lambda order: order.price * order.quantity)
    """
    if not isinstance(declaration, Computation):
        if not callable(declaration) or isinstance(declaration, type):
            raise TypeError(
                f"computed() takes a computation or a function of the row, not {declaration!r}{_advice(declaration)}"
            )
        declaration = SameRow(declaration)
    if not declaration.gives_value:
        raise TypeError(f"a {type(declaration).__name__} derives whole rows: write it as __computation__ of the class")
    return mapped_column(*column_args, declaration, **kw)


def _advice(declaration: object) -> str:
    if isinstance(declaration, type) and issubclass(declaration, Computation):
        return f"; give it its arguments: computed({declaration.__name__}(…))"
    return f"; such as computed(Count({declaration!r}))" if isinstance(declaration, str) else ""


def state_of(column: Column[Any]) -> tuple[str | None, str] | None:
    """Return the name of the computed column and the role of a hidden column; ``None`` for other columns."""
    found: tuple[str | None, str] | None = info_of(column).get(STATE_KEY)
    return found


def _placeholder(column: Column[Any]) -> Any:
    """Return the placeholder of a NOT NULL column between its INSERT and the computation of its value in Python."""
    match column.type:
        case Boolean():
            return False
        case Integer() | Numeric() | Float():
            return 0
        case Enum(enums=[first, *_]):
            return first
        case String():
            return ""
        case DateTime():
            return "1970-01-01 00:00:00"
        case Date():
            return "1970-01-01"
        case _:
            return Placeholder(column.type) if has_placeholder(column.type) else None


def _server_default(value: Any, column: Column[Any]) -> Any:
    if isinstance(value, Placeholder):
        return value
    if isinstance(value, bool):
        if isinstance(stored_type(column.type), Boolean):
            return true() if value else false()
        return text(str(int(value)))
    if value == "":
        return text("''")  # Alembic treats an empty string as no default
    return value if isinstance(value, str) else text(str(value))


def prepare_table(table: Table, rows: Computation[Any] | None = None) -> set[Column[Any]]:
    """Add the hidden columns and server defaults of the computed columns of ``table``; idempotent.

    :param rows: the computation that derives the rows of the table, if there is one.
    :return: all hidden columns of the table.
    """
    for column in list(table.columns):
        computation = computation_of(column)
        if computation is None:
            continue
        if computation.numbers_rows:
            add_scoped_counters(table.metadata)
        for role, state in computation.hidden_columns(column).items():
            _append_state(table, _state_name(column, role), state, (column.name, role))
        empty = computation.server_default(column)
        if empty is None and not column.nullable:
            empty = _placeholder(column)
        if empty is not None and column.server_default is None:
            _set_server_default(column, _server_default(empty, column))
    if rows is not None:
        table.info = {**table.info, TRANSFORM_KEY: rows}  # other tables may share the application's dictionary
        hidden = {_row_state_name(rows, role): (role, state) for role, state in rows.hidden_row_columns().items()}
        for name, (role, state) in hidden.items():
            _append_state(table, name, state, (None, role))
        if hidden:
            _append_unique_place(table, rows, list(hidden))
    return {column for column in table.columns if STATE_KEY in info_of(column)}


def _state_name(column: Column[Any], role: str) -> str:
    return fit_identifier(f"_{column.name}__{role}")


def _prefix(rows: Computation[Any]) -> str:
    return type(rows).__name__.lower()


def _row_state_name(rows: Computation[Any], role: str) -> str:
    return fit_identifier(f"_{_prefix(rows)}__{role}")


def is_origin_column(column: Column[Any]) -> bool:
    """Whether a reflected column holds the origin of derived rows, by which they are found again.

    ::

        assert is_origin_column(reflected.c._transform__source)
    """
    prefix = column.name.partition("__")[0].removeprefix("_")
    name = _unique_place_name(column.table, prefix)
    table: Any = column.table
    return any(index.name == name and column.name in index.columns for index in table.indexes)


def computed_names(record: Any) -> tuple[str, ...]:
    """Return the names of the computed attributes of a record, which forms and imports have to leave out.

    :param record: a mapped class or an instance of one, a mapper, or an ``aliased()`` class; or a ``Table``, whose
        column names are returned.
    :raises TypeError: if ``record`` is none of these.

    ::

        class BoxAdmin(ModelView, model=Box):
            form_excluded_columns = computed_names(Box)
    """
    if isinstance(record, Table):
        return tuple(column.name for column in _columns_of(record) if computation_of(column) is not None)
    found: Any = inspect(record, raiseerr=False)
    mapper = getattr(found, "mapper", None)
    if not isinstance(mapper, Mapper):
        raise TypeError(f"computed_names() takes a mapped class or a Table, not {record!r}")
    # not column_attrs, which would configure all mappers: modules may still be being imported
    attributes: Any = mapper.columns
    return tuple(str(name) for name, column in attributes.items() if computation_of(column) is not None)


def _columns_of(table: Table) -> list[Column[Any]]:
    return list(table.columns)


def declared_rows(cls: type[Any]) -> Any:
    """Return the ``__computation__`` of a mapped class or its mixins, but not of a mapped base class."""
    for base in cls.__mro__:
        if base is not cls and mapper_of(base) is not None:
            break
        if "__computation__" in base.__dict__:
            return base.__dict__["__computation__"]
    return None


def computed_attributes(mapper: Mapper[Any]) -> Iterator[tuple[str, Column[Any], Computation[Any]]]:
    """Yield attribute, column and computation of the computed columns of the class's own table."""
    table = mapper.local_table
    columns: list[Any] = list(table.columns) if isinstance(table, Table) else []
    for column in columns:
        computation = computation_of(column)
        owner = info_of(column).get(INPUT_KEY, mapper.class_.__name__)
        if computation is not None and owner == mapper.class_.__name__ and column in mapper.columns.values():
            yield mapper.get_property_by_column(column).key, column, computation


def check_state(
    table: str, columns: Iterable[Column[Any]], computation: Computation[Any], column: Column[Any] | None
) -> None:
    """Check that the application's own columns do not have the names of hidden columns.

    :param table: name of the table.
    :param columns: the columns of the table.
    :param column: the computed column; ``None`` for a computation that derives rows.
    :raises DefinitionFault: if one has such a name.
    """
    if column is None:
        owner = None
        names = {role: _row_state_name(computation, role) for role in computation.hidden_row_columns()}
    else:
        owner, names = column.name, {role: _state_name(column, role) for role in computation.hidden_columns(column)}
    listed = list(columns)
    for role, name in names.items():
        if any(c.name == name and state_of(c) != (owner, role) for c in listed):
            raise DefinitionFault(
                f"{type(computation).__name__} keeps its state in a column {name!r}, but table {table!r} "
                "declares one of that name; rename that property or column"
            )


@event.listens_for(Table, "column_reflect")
def _note_reflected(inspector: Any, table: Table, column_info: Any) -> None:
    """Mark reflected columns that have the form of hidden ones, for models that are reflected."""
    if _LIKE_STATE.fullmatch(column_info["name"]):
        column_info["info"] = {**column_info.get("info", {}), _REFLECTED: True}


def _append_state(table: Table, name: str, column: Column[Any], info: tuple[str | None, str]) -> None:
    known = next((found for found in table.columns if found.name == name), None)
    if known is not None:
        # the column may be the application's: check_state() reports it together with all other faults
        if _REFLECTED in info_of(known):
            known.info[STATE_KEY] = info
            if isinstance(column.type, MemberType):
                _note_further_columns(table, name, info)
            if isinstance(column.type, RunningSum):
                known.type = column.type  # reflection only finds NUMERIC
    else:
        column.name = column.key = name
        column.info[STATE_KEY] = info
        table.append_column(column)


def _note_further_columns(table: Table, name: str, info: tuple[str | None, str]) -> None:
    """Mark the reflected columns for a composite primary key of the members."""
    owner, role = info
    found = {column.name: column for column in table.columns if _REFLECTED in info_of(column)}
    place = 2
    while (column := found.get(fit_identifier(f"{name}_{place}"))) is not None:
        column.info[STATE_KEY] = (owner, f"{role}_{place}")
        place += 1


def _unique_place_name(table: Any, prefix: str) -> str:
    return fit_identifier(f"uq_{table.name}__{prefix}")


def _append_unique_place(table: Table, rows: Computation[Any], columns: Iterable[str]) -> None:
    """Add the unique index over the origin of derived rows, so that an origin yields each row once."""
    name = _unique_place_name(table, _prefix(rows))
    if not any(index.name == name for index in table.indexes):
        found = {column.name: column for column in table.columns}
        Index(name, *(found[column] for column in columns), unique=True)


def _set_server_default(column: Column[Any], default: Any) -> None:
    # Column takes a server default only at construction, when neither its annotation nor its nullability is known
    template = Column(column.name, column.type, server_default=default)
    column.server_default = template.server_default
    column.server_default._set_parent_with_dispatch(column)  # type: ignore[union-attr]


@event.listens_for(Mapper, "instrument_class")
def _prepare_mapped_class(mapper: Mapper[Any], cls: type[Any]) -> None:
    """Add hidden columns before the mapper maps the columns of its tables, and exclude them from mapping."""
    hidden: set[Column[Any]] = set()
    for table in mapper.persist_selectable._from_objects:
        if isinstance(table, Table):
            rows = declared_rows(cls) if table is mapper.local_table else None
            hidden |= prepare_table(table, rows if isinstance(rows, Computation) and not rows.gives_value else None)
            catalog = Catalog.of(table.metadata)
            catalog.mappers.add(mapper)
            catalog.generation += 1
    if hidden:
        mapper.exclude_properties = {*(mapper.exclude_properties or ()), *hidden}
