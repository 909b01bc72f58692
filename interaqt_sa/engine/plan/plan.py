"""The plan of one MetaData: all reactions of a system to changes of rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary, WeakSet

from sqlalchemy import Column, ForeignKeyConstraint, MetaData, Table
from sqlalchemy.orm import Mapper, RelationshipDirection, RelationshipProperty, class_mapper

from ...dialects.functions import NextId
from ...dialects.unique_key_options import declared_resolutions, may_stop_halfway
from ...schema.filtered_lookup import filtered_records_of
from ...schema.filtered_record import FilteredRecord
from ...schema.foreign_key_relations import HeldRelation, relations_held_by
from ...schema.merged_lookup import inputs_of, merged_above
from ...schema.metadata_state import Catalog
from ...schema.record_lookup import relationships_of
from .mapper_cache import ByMapper
from .plan_nodes import ComputedValue, Host, Source

if TYPE_CHECKING:
    from .event_nodes import Derivation, Machine, Reaction
    from .numberings import Numbering
    from .watched_tables import Sources

#: foreign key actions by which the database changes referring rows
KEY_ACTIONS = ("CASCADE", "SET NULL", "SET DEFAULT")


class Plan:
    """The compiled declarations of one MetaData; values, no session and no I/O.

    :ivar computed: every computed value by its name, ``"Record.property"``.
    :ivar hosts: tables with aggregates.
    :ivar sources: the watched sources, by each of their tables.
    :ivar bound: a source that has a class; all sources are bound to one engine.
    :ivar reactions: reactions to mutation events, by table.
    :ivar children: foreign keys by the table that they refer to.
    :ivar replacing: unique keys for which SQLite deletes conflicting rows, by their table.
    :ivar failing: tables of which SQLite may keep the rows written before a rejected one.
    :ivar sequences: the key of the column that a sequence of the package fills, by the key of its table.
    :ivar numberings: the numbered columns of scoped sequences, by table.
    :ivar secondaries: tables whose rows the unit of work writes for many-to-many relationships.
    :ivar places: the position of every table of the MetaData in the lock order.
    :ivar heights: the length of the longest chain of references from each table, which determines the order of events.
    :ivar nullified: foreign keys that the unit of work sets to NULL when it deletes a parent.
    :ivar carried: foreign keys that the unit of work changes when it changes the key of a parent.
    """

    def __init__(self, metadata: MetaData) -> None:
        self.metadata = metadata
        self.generation = -1
        self.computed: dict[str, ComputedValue] = {}
        self.columns: dict[Column[Any], ComputedValue] = {}
        self.hosts: dict[Table, Host] = {}
        self.sources: dict[Table, Source] = {}
        self.bound: Source | None = None
        self.machines: list[Machine] = []
        self.derivations: list[Derivation] = []
        self.reactions: dict[Table, list[Reaction]] = {}
        self.children: dict[Table, list[ForeignKeyConstraint]] = {}
        self.secondaries: set[Table] = set()
        self.nullified: set[ForeignKeyConstraint] = set()
        self.carried: set[ForeignKeyConstraint] = set()
        self.places: dict[Table, int] = {}
        self.heights: dict[Table, int] = {}
        self.replacing: dict[Table, list[Sequence[Column[Any]]]] = {}
        self.failing: set[Table] = set()
        self.sequences: dict[str, str] = {}
        self.numberings: dict[Table, list[Numbering]] = {}
        self._by_name: dict[str, list[Table]] = {}
        #: the watched attributes by class; see :func:`.watch_of`
        self.watches: dict[type[Any], Any] = {}
        # weak: classes of another MetaData may be deleted before the plan
        self.unwatched: WeakSet[type[Any]] = WeakSet()
        self._reactions_to = ByMapper(self._find_reactions, self._holds)
        self._is_narrowed = ByMapper(self._find_whether_narrowed, self._holds)
        self._may_react = ByMapper(
            lambda mapper: self.is_narrowed(mapper) or bool(self.reactions_to(mapper)), self._holds
        )
        self._held_by = ByMapper(lambda mapper: relations_held_by(metadata, mapper), self._holds)
        self._filtered_of = ByMapper(lambda mapper: filtered_records_of(metadata, mapper), self._holds)
        self._merged_above = ByMapper(lambda mapper: merged_above(metadata, mapper), self._holds)
        self._letting_go = ByMapper(_letting_go, self._holds)
        #: references to other rows by class; see :func:`.references_of`
        self.references: WeakKeyDictionary[type[Any], Any] = WeakKeyDictionary()
        #: by database and name the tables behind a partition or view, see :func:`.tables_behind`
        self.behind: WeakKeyDictionary[Any, dict[tuple[str, str], Sequence[tuple[str, str]]]] = WeakKeyDictionary()
        self._other_classes = ByMapper(self._find_other_classes, self._holds)
        self._kept_by_database = ByMapper(_kept_by_database, self._holds)
        self._tables_of_row: dict[Table, tuple[Table, ...]] = {}

    def finish(self, sources: Sources) -> None:
        """Take over the sources, and collect the facts about foreign keys and keys."""
        self.sources = dict(sources.by_table)
        self.bound = next((source for source in self.sources.values() if source.mapper is not None), None)
        for table in self.metadata.tables.values():
            self._by_name.setdefault(table.name.casefold(), []).append(table)
            for column in table.primary_key:
                if isinstance(getattr(column.server_default, "arg", None), NextId):
                    self.sequences[table.key] = str(column.key)
            if keys := [columns for how, columns in declared_resolutions(table) if how == "REPLACE"]:
                self.replacing[table] = keys
            if may_stop_halfway(table):
                self.failing.add(table)
            for constraint in table.foreign_key_constraints:
                self.children.setdefault(constraint.referred_table, []).append(constraint)
        for mapper in Catalog.of(self.metadata).all_mappers():
            for relationship in relationships_of(mapper):
                if isinstance(relationship.secondary, Table) and not relationship.viewonly:
                    self.secondaries.add(relationship.secondary)
                self.nullified.update(_nullified_by(relationship))
                self.carried.update(_carried_by(relationship))
        for listed in self.children.values():
            listed.sort(key=lambda c: (c.table.fullname, sorted(c.column_keys)))

    def numberings_of(self, source: Source) -> Sequence[Numbering]:
        """Return the numbered columns of the rows of ``source``."""
        if not self.numberings:
            return ()
        return [n for listed in self.numberings.values() for n in listed if n.source is source]

    def tables_named(self, name: str) -> Sequence[Table]:
        """Return the tables that a database may call ``name``: in any schema, in any case."""
        return self._by_name.get(name.casefold(), ())

    @property
    def mapper(self) -> Mapper[Any] | None:
        """A watched class; all watched classes are bound to one engine."""
        return self.bound.mapper if self.bound is not None else None

    def _holds(self, mapper: Mapper[Any]) -> bool:
        source = self.sources.get(mapper.local_table)  # type: ignore[call-overload]
        return mapper.class_ in self.watches or (source is not None and source.mapper is mapper)

    def found_by(self, source: Source) -> set[Column[Any]]:
        """Return the columns of ``source`` by which members refer to their host."""
        hosts = [host for host in self.hosts.values() if host.source is source]
        return {c for host in hosts if host.constant is None for edge in host.edges for c in edge.host_key}

    def tables_of_row(self, table: Table) -> tuple[Table, ...]:
        """Return the tables that may hold parts of a row of ``table``: several with joined inheritance."""
        found = self._tables_of_row.get(table)
        if found is None:
            mapper = self.mapper_of(table)
            own = mapper.self_and_descendants if mapper is not None else ()
            tables = (t for m in own if not m.concrete for t in m.tables if isinstance(t, Table))
            found = self._tables_of_row[table] = tuple(dict.fromkeys((table, *tables)))
        return found

    def mapper_of(self, table: Table) -> Mapper[Any] | None:
        """Return the class of the rows of ``table``, with inheritance the base class; ``None`` if there is none."""
        source = self.sources.get(table)
        if source is not None and source.mapper is not None:
            return source.mapper
        mappers = Catalog.of(self.metadata).all_mappers()
        return next((m for m in mappers if m.local_table is table and m.base_mapper is m), None)

    def other_classes(self, mapper: Mapper[Any]) -> tuple[Mapper[Any], ...]:
        """Return the classes other than that of ``mapper`` by which a session may load a row as another object."""
        return self._other_classes[mapper]

    def _find_other_classes(self, mapper: Mapper[Any]) -> tuple[Mapper[Any], ...]:
        found: list[Mapper[Any]] = []
        own, key = {mapper._identity_class}, [*mapper.primary_key]
        for other in Catalog.of(self.metadata).all_mappers():
            shared = any(table in mapper.base_mapper.tables for table in other.tables)
            if shared and other._identity_class not in own and [*other.primary_key] == key:
                own.add(other._identity_class)
                found.append(other)
        return tuple(found)

    def kept_by_database(self, mapper: Mapper[Any]) -> tuple[Column[Any], ...]:
        """Return the columns of a class that the database may change in any UPDATE: versions, generated columns."""
        return self._kept_by_database[mapper]

    def reactions_to(self, mapper: Mapper[Any]) -> tuple[Reaction, ...]:
        """Return the reactions to mutation events of ``mapper``."""
        return self._reactions_to[mapper]

    def _find_reactions(self, mapper: Mapper[Any]) -> tuple[Reaction, ...]:
        tables = [table for table in mapper.tables if isinstance(table, Table)]
        listed = dict.fromkeys(reaction for table in tables for reaction in self.reactions.get(table, ()))
        return tuple(r for r in listed if mapper.isa(r.mapper))

    def height(self, table: Any) -> int:
        """Return the number of tables in the longest chain of references that starts at ``table``."""
        return self.heights.get(table, 1)

    def held_by(self, mapper: Mapper[Any]) -> tuple[HeldRelation, ...]:
        """Return the relations that are stored as foreign keys in rows of ``mapper``."""
        return self._held_by[mapper]

    def filtered_of(self, mapper: Mapper[Any]) -> tuple[FilteredRecord, ...]:
        """Return the filtered records of the rows of ``mapper``, each after those that it is based on."""
        return self._filtered_of[mapper]

    def merged_above(self, mapper: Mapper[Any]) -> tuple[Mapper[Any], ...]:
        """Return the merged entities that an input belongs to, the uppermost first."""
        return self._merged_above[mapper]

    @cached_property
    def filtered_keys(self) -> Mapping[str, tuple[str, ...]]:
        """The attributes of the key of each filtered record, by its name."""
        return {
            name: tuple(mapper.get_property_by_column(column).key for column in mapper.primary_key)
            for name, found in Catalog.of(self.metadata).filtered.items()
            for mapper in [class_mapper(found.base)]
        }

    def is_narrowed(self, mapper: Mapper[Any]) -> bool:
        """Whether some subclasses of ``mapper`` have other reactions, or side effects of their own."""
        return self._is_narrowed[mapper]

    def _find_whether_narrowed(self, mapper: Mapper[Any]) -> bool:
        if inputs_of(self.metadata, mapper):
            return True  # events have the names of inputs
        own, heard = self.reactions_to(mapper), Catalog.of(self.metadata).heard_classes
        below = mapper.self_and_descendants if mapper.polymorphic_on is not None else ()
        return any(
            self.reactions_to(m) != own or (m is not mapper and m.class_ in heard)
            for m in below
            if mapper.local_table in m.tables
        )

    def may_react(self, mapper: Mapper[Any]) -> bool:
        """Whether there are reactions to mutation events of ``mapper`` or of a subclass."""
        return self._may_react[mapper]

    def letting_go(self, mapper: Mapper[Any]) -> tuple[str, ...]:
        """Return the relationships of ``mapper`` through which a flush may delete more than ``session.deleted``."""
        return self._letting_go[mapper]

    def followed(self, tables: Iterable[Table]) -> set[Column[Any]]:
        """Return the columns of ``tables`` whose changes also change foreign keys that refer to them."""
        constraints = (constraint for table in tables for constraint in self.children.get(table, ()))
        followed = [c for c in constraints if c in self.carried or (c.onupdate or "").upper().startswith(KEY_ACTIONS)]
        return {element.column for constraint in followed for element in constraint.elements}


def _kept_by_database(mapper: Mapper[Any]) -> tuple[Column[Any], ...]:
    columns: list[Any] = [*mapper.columns]  # may include other expressions
    version = mapper.version_id_col if mapper.version_id_generator is False else None
    kept = [c for c in columns if isinstance(c, Column) and (c.server_onupdate is not None or c.system)]
    versions: list[Any] = [c for c in columns if c is version and c not in kept]
    return (*kept, *versions)


def _letting_go(mapper: Mapper[Any]) -> tuple[str, ...]:
    return tuple(
        relationship.key
        for relationship in mapper.relationships
        if relationship.cascade.delete_orphan
        or (relationship.cascade.delete and relationship.direction is RelationshipDirection.MANYTOONE)
    )


def _carried_by(relationship: RelationshipProperty[Any]) -> Iterator[ForeignKeyConstraint]:
    if relationship.passive_updates or relationship.viewonly:
        return
    columns = {*relationship.remote_side, *relationship.local_columns}
    tables = [*relationship.parent.tables, *relationship.mapper.tables, relationship.secondary]
    for table in tables:
        for constraint in getattr(table, "foreign_key_constraints", ()):
            if set(constraint.columns) <= columns:
                yield constraint


def _nullified_by(relationship: RelationshipProperty[Any]) -> Iterator[ForeignKeyConstraint]:
    if relationship.direction is not RelationshipDirection.ONETOMANY or relationship.viewonly:
        return
    if relationship.passive_deletes == "all":
        return
    for table in relationship.mapper.tables:
        for constraint in getattr(table, "foreign_key_constraints", ()):
            if set(constraint.columns) <= set(relationship.remote_side):
                yield constraint
