"""Read-only inspection of the records, tables, constraints and computations of a MetaData."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import CheckConstraint, Column, ColumnElement, Dialect, Index, MetaData, Sequence, Table
from sqlalchemy import UniqueConstraint as TableUniqueConstraint
from sqlalchemy.orm import Mapper, class_mapper

from ..definitions.computation import INFO_KEY, Computation, computation_of, info_of
from ..definitions.constraints import NonNullConstraint, UniqueConstraint
from ..definitions.records import Relation
from ..definitions.type_aliases import RecordRef
from ..dialects import dialect_class, knows
from ..dialects.unique_key_options import index_predicate
from .compile.constraints import VIOLATION_CODE
from .compile.dictionaries import DICTIONARY_KEY
from .compile.system_tables import is_system_table
from .computed import TRANSFORM_KEY, state_of
from .diagram import mermaid_diagram
from .filtered_lookup import filtered_record
from .filtered_record import is_membership
from .metadata_state import Catalog
from .record_lookup import record_name, resolve_record


@dataclass(frozen=True, slots=True)
class DialectInfo:
    """Capabilities of the database of a system."""

    name: str
    max_identifier_length: int
    supports_sequences: bool
    supports_partial_unique: bool


@dataclass(frozen=True, slots=True)
class RecordInfo:
    """A record.

    :ivar attributes: names of its column attributes and relationships.
    :ivar base: for a filtered record, the record that stores its rows.
    """

    name: str
    table: str
    is_relation: bool
    attributes: tuple[str, ...]
    base: str | None = None


@dataclass(frozen=True, slots=True)
class TableInfo:
    """A table.

    :ivar columns: names of all columns, hidden ones too.
    """

    name: str
    columns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ConstraintInfo:
    """A unique or non-null constraint.

    :ivar name: the declared name, else the physical one.
    :ivar physical_name: ``None`` if the database chooses the name.
    :ivar kind: ``"unique"`` or ``"non-null"``.
    :ivar record: name of the record, ``None`` for a table that is not mapped.
    :ivar where: the predicate of a partial index.
    """

    name: str | None
    physical_name: str | None
    kind: str
    record: str | None
    table: str
    properties: tuple[str, ...]
    columns: tuple[str, ...]
    where: ColumnElement[bool] | None
    violation_code: str | None


@dataclass(frozen=True, slots=True)
class SequenceInfo:
    """The sequence that numbers the rows of a table."""

    name: str
    table: str
    column: str


@dataclass(frozen=True, slots=True)
class ComputationInfo:
    """A computed column, or a record whose rows are derived.

    :ivar record: name of the record, or of the dictionary.
    :ivar property: name of the attribute, ``None`` for derived rows.
    :ivar column: name of the column, ``None`` for derived rows.
    :ivar state_columns: names of its hidden columns.
    """

    record: str
    property: str | None
    table: str
    column: str | None
    computation: Computation[Any]
    state_columns: tuple[str, ...]


class Schema:
    """The records, tables, constraints and computations of a MetaData, from definitions and declarative classes.

    It has no state of its own: all results are read from the MetaData and the mapped classes. It is returned by
    :func:`.compile_schema` and by :attr:`.System.schema`.

    :ivar metadata: the MetaData.
    :ivar dialect: capabilities of the database, ``None`` if no database is known.

    ::

        for info in system.schema.computations:
            print(info.record, info.property, info.computation)
    """

    def __init__(self, metadata: MetaData, dialect: Dialect | None = None) -> None:
        self.metadata = metadata
        self.dialect = None if dialect is None else _dialect_info(dialect)

    def __repr__(self) -> str:
        tables = self.metadata.tables.values()
        count = sum(computation_of(column) is not None for table in tables for column in table.columns)
        dialect = "" if self.dialect is None else f"{self.dialect.name}, "
        return f"Schema({dialect}tables={len(tables)}, computed={count})"

    @classmethod
    def of(cls, metadata: MetaData, *, dialect: Dialect | None = None) -> Schema:
        """Return the schema of ``metadata``; without a dialect, always the same object.

        :param dialect: SQLAlchemy's dialect of the database.
        """
        if dialect is not None:
            return cls(metadata, dialect)
        catalog = Catalog.of(metadata)
        if catalog.schema is None:
            catalog.schema = cls(metadata)
        found: Schema = catalog.schema
        return found

    def mapped_class(self, record: RecordRef) -> type[Any]:
        """Return the mapped class of a record.

        For a filtered record it is an alias of its base class, like those of :func:`sqlalchemy.orm.aliased`:
        ``select()`` of it returns the members, as objects of the base class.

        :param record: its name, definition or mapped class.
        :raises DefinitionFault: if there is no such record, or the name is ambiguous.
        """
        if (filtered := filtered_record(self.metadata, record)) is not None:
            members: type[Any] = filtered.mapped_class
            return members
        return resolve_record(self.metadata, record).class_

    @property
    def records(self) -> tuple[RecordInfo, ...]:
        """All records, without dictionaries."""
        catalog = Catalog.of(self.metadata)
        stored = {mapper: self._record(mapper, catalog) for mapper in self._mappers()}
        filtered = [
            replace(
                stored[class_mapper(found.base, configure=False)],
                name=found.name,
                is_relation=isinstance(found.definition, Relation),
                base=found.base.__name__,
            )
            for found in catalog.filtered.values()
        ]
        return tuple(sorted([*stored.values(), *filtered], key=lambda record: record.name))

    def _record(self, mapper: Mapper[Any], catalog: Catalog) -> RecordInfo:
        name = record_name(mapper)
        hidden = {prop.key for prop in mapper.column_attrs if is_membership(prop.columns[0])}
        return RecordInfo(
            name,
            str(mapper.local_table),
            isinstance(catalog.definitions.get(name), Relation),
            tuple(name for name, _ in mapper.attrs.items() if name not in hidden),
        )

    @property
    def tables(self) -> tuple[TableInfo, ...]:
        """All tables of the MetaData."""
        return tuple(TableInfo(t.fullname, tuple(c.name for c in t.columns)) for t in self._tables())

    @property
    def constraints(self) -> tuple[ConstraintInfo, ...]:
        """All unique constraints and unique indexes, and all declared non-null constraints."""
        return tuple(info for table in self._tables() for info in self._constraints(table))

    @property
    def sequences(self) -> tuple[SequenceInfo, ...]:
        """All sequences that are the default of a column."""
        return tuple(
            SequenceInfo(column.default.name, table.fullname, column.name)
            for table in self._tables()
            for column in table.columns
            if isinstance(column.default, Sequence)
        )

    @property
    def computations(self) -> tuple[ComputationInfo, ...]:
        """All computed columns, and all records whose rows are derived."""
        return tuple(info for table in self._tables() for info in self._computations(table))

    def diagram(self) -> str:
        """Return all records and the relations between them as an entity diagram, in the notation of Mermaid.

        ::

            Path("docs/schema.mmd").write_text(system.schema.diagram())
        """
        return mermaid_diagram(self.metadata, self._mappers())

    def _mappers(self) -> list[Mapper[Any]]:
        mappers = Catalog.of(self.metadata).all_mappers()
        found = [
            mapper
            for mapper in mappers
            if DICTIONARY_KEY not in getattr(mapper.local_table, "info", {}) and not is_system_table(mapper.local_table)
        ]
        return sorted(found, key=record_name)

    def _tables(self) -> list[Table]:
        return sorted(self.metadata.tables.values(), key=lambda table: table.fullname)

    def _mapper_of(self, table: Table) -> Mapper[Any] | None:
        """Return the topmost mapper of ``table`` in its inheritance hierarchy."""
        mappers = [mapper for mapper in Catalog.of(self.metadata).all_mappers() if mapper.local_table is table]
        return next((mapper for mapper in mappers if mapper.inherits not in mappers), None)

    def _constraints(self, table: Table) -> Iterator[ConstraintInfo]:
        found: list[TableUniqueConstraint | CheckConstraint | Index] = [
            *(c for c in table.constraints if isinstance(c, TableUniqueConstraint)),
            *(c for c in table.constraints if isinstance(c, CheckConstraint) and INFO_KEY in info_of(c)),
            *(i for i in table.indexes if i.unique),
        ]
        mapper = self._mapper_of(table)
        for constraint in sorted(found, key=_constraint_order):
            declared = info_of(constraint).get(INFO_KEY)
            name: str | None
            properties: tuple[str, ...]
            physical = None if constraint.name is None else str(constraint.name)
            match declared:
                case UniqueConstraint():
                    name, properties = declared.name, declared.properties
                case NonNullConstraint():
                    name, properties = declared.name, (declared.property,)
                case _:
                    name = physical
                    properties = tuple(_attribute(mapper, column) for column in constraint.columns)
            yield ConstraintInfo(
                name,
                physical,
                "non-null" if isinstance(constraint, CheckConstraint) else "unique",
                None if mapper is None else record_name(mapper),
                table.fullname,
                properties,
                tuple(column.name for column in constraint.columns),
                _where(constraint),
                info_of(constraint).get(VIOLATION_CODE),
            )

    def _computations(self, table: Table) -> Iterator[ComputationInfo]:
        mapper = self._mapper_of(table)
        record = info_of(table).get(DICTIONARY_KEY) or (table.name if mapper is None else record_name(mapper))
        states = {column.name: place for column in table.columns if (place := state_of(column)) is not None}
        if (transform := info_of(table).get(TRANSFORM_KEY)) is not None:
            hidden = tuple(name for name, (owner, _) in states.items() if owner is None)
            yield ComputationInfo(record, None, table.fullname, None, transform, hidden)
        for column in table.columns:
            computation = computation_of(column)
            if computation is not None:
                hidden = tuple(name for name, (owner, _) in states.items() if owner == column.name)
                name = _attribute(mapper, column)
                yield ComputationInfo(record, name, table.fullname, column.name, computation, hidden)


def _constraint_order(constraint: TableUniqueConstraint | CheckConstraint | Index) -> tuple[str, tuple[str, ...]]:
    return str(constraint.name or ""), tuple(column.name for column in constraint.columns)


def _where(constraint: TableUniqueConstraint | CheckConstraint | Index) -> Any:
    if not isinstance(constraint, Index):
        return None
    return index_predicate(constraint)


def _mapped_columns(mapper: Mapper[Any]) -> Any:
    return mapper._columntoproperty  # pyright: ignore[reportPrivateUsage]  # the public way raises for hidden columns


def _attribute(mapper: Mapper[Any] | None, column: Column[Any]) -> str:
    if mapper is not None and column in _mapped_columns(mapper):
        return mapper.get_property_by_column(column).key
    return column.name


def _dialect_info(dialect: Dialect) -> DialectInfo:
    return DialectInfo(
        dialect.name,
        dialect.max_identifier_length,
        dialect.supports_sequences,
        knows(dialect) and dialect_class(dialect).has_partial_indexes,
    )
