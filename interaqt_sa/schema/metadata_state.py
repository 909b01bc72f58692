"""The package's state on a MetaData; declarations are not stored anywhere else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol
from weakref import WeakSet, WeakValueDictionary

from sqlalchemy import MetaData, Table
from sqlalchemy.orm import DeclarativeBase, registry

from ..definitions.computation import INFO_KEY, info_of
from .filtered_record import FilteredRecord

if TYPE_CHECKING:
    from sqlalchemy.orm import Mapper

    from ..definitions.dictionary import Dictionary
    from ..definitions.records import Entity, Relation

#: Key of ``Table.info`` of the tables of the package itself.
SYSTEM_KEY = f"{INFO_KEY}.system"


class Catalog:
    """The definitions, mapped classes and plan of one MetaData.

    :ivar generation: incremented when a class is mapped or definitions are compiled, which makes earlier plans stale.
    :ivar completed: the generation whose tables have been completed; see :func:`.complete_if_mapped`.
    :ivar mappers: all mappers over the MetaData's tables that were created since the package was imported.
    :ivar registries: the known registries, whose mappers may be older.
    :ivar definitions: the entities and relations compiled so far, by name; likewise ``dictionaries``.
    :ivar classes: the mapped classes of compiled records, by name of the definition.
    :ivar natural_keys: the names of the properties that identify a record, by its name.
    :ivar either_way: for each symmetric relation the class of its links in both directions.
    :ivar filtered: the filtered records, by name, each after those that it is based on.
    :ivar merged: names of merged entities, with those of their inputs.
    :ivar as_given: merged records as they were given, if ``definitions`` has another form of them.
    :ivar dictionary_classes: the mapped classes of dictionaries, by name.
    :ivar home: the registry of those classes: the application's, else a private one.
    :ivar values_class: the mapped class of the values that ``storage.set()`` writes; set when definitions are compiled.
    :ivar counters: the table of named counters; set when definitions are compiled.
    :ivar event_sources: names of the event sources of all controllers; one system may have several controllers.
    :ivar heard_classes: mapped classes whose mutation events side effects of a controller receive.
    :ivar schema: the :class:`.Schema`, once it has been created.
    :ivar plan: the engine's plan, once it has been compiled.
    :ivar queries: the storage's compiled queries, once there are any.
    """

    def __init__(self, metadata: MetaData) -> None:
        self._metadata = metadata
        self.generation = 0
        self.completed = 0
        self.mappers: WeakSet[Mapper[Any]] = WeakSet()
        self.registries: WeakSet[registry] = WeakSet()
        self.definitions: dict[str, Entity | Relation] = {}
        self.dictionaries: dict[str, Dictionary] = {}
        self.classes: dict[str, type[Any]] = {}
        self.filtered: dict[str, FilteredRecord] = {}
        self.merged: dict[str, tuple[str, ...]] = {}
        self.as_given: dict[str, Entity | Relation] = {}
        self.dictionary_classes: dict[str, type[Any]] = {}
        self.natural_keys: dict[str, tuple[str, ...]] = {}
        self.either_way: dict[str, type[Any]] = {}
        self.home: registry | None = None
        self.values_class: type[Any] | None = None
        self.counters: Table | None = None
        self.event_sources: set[str] = set()
        self.heard_classes: set[type[Any]] = set()
        self.schema: Any = None
        self.plan: Any = None
        self.queries: Any = None
        self._by_name: tuple[Any, WeakValueDictionary[str, Mapper[Any]]] = (None, WeakValueDictionary())

    @classmethod
    def of(cls, metadata: MetaData) -> Catalog:
        """Return the catalog of ``metadata``, creating it if there is none."""
        found = info_of(metadata).get(INFO_KEY)
        if not isinstance(found, Catalog):
            found = cls(metadata)
            # a new dictionary, because several MetaData may share the application's
            metadata.info = {**metadata.info, INFO_KEY: found}
        return found

    def all_mappers(self) -> list[Mapper[Any]]:
        """Return all mappers of the MetaData, including those created before the package was imported."""
        found = {mapper for mapper in self.mappers if is_usable(mapper)}
        for known in self.registries:
            found.update(mapper for mapper in mappers_in(known) if self._holds(mapper))
        found -= {mapper for mapper in found if mapper.class_ in self.either_way.values()}
        return sorted(found, key=lambda m: (m.class_.__module__, m.class_.__qualname__))

    def mappers_by_name(self) -> WeakValueDictionary[str, Mapper[Any]]:
        """Return the cache of mappers by the names under which they were found; empty after classes were mapped."""
        state = (self.generation, len(self.registries), len(self.mappers))
        if self._by_name[0] != state:
            self._by_name = (state, WeakValueDictionary())
        return self._by_name[1]

    def _holds(self, mapper: Mapper[Any]) -> bool:
        # classes of one registry may have tables in several MetaData
        held = {getattr(table, "metadata", self._metadata) for table in mapper.tables}
        return not held or self._metadata in held


def mappers_in(known: registry) -> list[Mapper[Any]]:
    """Return the usable mappers of a registry."""
    # not registry.mappers, which raises if the mapping of a class has failed
    managers: Any = known._managers  # pyright: ignore[reportPrivateUsage]
    return [manager.mapper for manager in list(managers) if manager.is_mapped and is_usable(manager.mapper)]


def is_usable(mapper: Mapper[Any]) -> bool:
    """Whether a mapper was created without an error and has not been disposed."""
    is_complete = "primary_key" in vars(mapper)  # determined last
    return is_complete and not mapper._dispose_called  # pyright: ignore[reportPrivateUsage]


class HasMetaData(Protocol):
    """An object with a ``metadata``, such as a :class:`.Schema`."""

    metadata: MetaData


def metadata_of(base: type[DeclarativeBase] | registry | MetaData | HasMetaData) -> MetaData:
    """Return the MetaData of any value of a ``base=`` parameter, and register its registry.

    :raises TypeError: if ``base`` has none.
    """
    if isinstance(base, MetaData):
        return base
    if isinstance(base, registry):
        Catalog.of(base.metadata).registries.add(base)
        return base.metadata
    found = getattr(base, "metadata", None)
    if not isinstance(found, MetaData):
        raise TypeError(f"base must be a DeclarativeBase, registry, MetaData or Schema, not {base!r}")
    own_registry = getattr(base, "registry", None)
    if isinstance(own_registry, registry):
        Catalog.of(found).registries.add(own_registry)
    return found
