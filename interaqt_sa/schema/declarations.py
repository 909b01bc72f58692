"""What a call of compile_schema adds to what a MetaData already has."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..definitions.dictionary import Dictionary
from ..definitions.records import Entity, Property, Relation, ref_name
from ..definitions.same_row import SameRow
from ..definitions.transform import Transform
from .catalog import Catalog
from .faults import Faults
from .records import record_name

_LATER = {
    Entity: ("base_entity", "match_expression", "input_entities", "common_properties", "identity", "retention"),
    Relation: ("base_relation", "match_expression", "input_relations"),
}


class Declarations:
    """The definitions of one call that are not compiled yet.

    :ivar entities: by name; so are ``relations`` and ``dictionaries``.
    :ivar endpoints: names of the records that the relations lead to.
    """

    def __init__(self, catalog: Catalog, faults: Faults) -> None:
        self._catalog = catalog
        self._faults = faults
        self.entities: dict[str, Entity] = {}
        self.relations: dict[str, Relation] = {}
        self.dictionaries: dict[str, Dictionary] = {}

    @property
    def endpoints(self) -> set[str]:
        return {ref_name(ref) for relation in self.relations.values() for ref in (relation.source, relation.target)}

    def collect(
        self,
        entities: Iterable[Entity],
        relations: Iterable[Relation],
        dictionaries: Iterable[Dictionary],
        event_sources: Iterable[Any],
    ) -> None:
        """Take in what is new, and note every fault that a definition has on its own."""
        of_events = [source.entity for source in event_sources if isinstance(source.entity, Entity)]
        listed = list(entities)
        # event sources share records: each is meant once, unless it differs from one that is listed
        listed += [entity for n, entity in enumerate(of_events) if entity not in listed and entity not in of_events[:n]]
        declared = {record_name(mapper) for mapper in self._catalog.all_mappers()} - self._catalog.classes.keys()
        records: dict[str, Entity | Relation] = {}
        given: list[Entity | Relation] = [*listed, *relations]
        for definition in given:
            if self._is_new(definition, self._catalog.definitions, records):
                if definition.name in declared:
                    self._faults.add(
                        f"{definition.name}: a declarative class has this name; rename one of them",
                        record=definition.name,
                    )
                self._check_record(definition)
        self.entities = {name: value for name, value in records.items() if isinstance(value, Entity)}
        self.relations = {name: value for name, value in records.items() if isinstance(value, Relation)}
        for dictionary in dictionaries:
            if self._is_new(dictionary, self._catalog.dictionaries, self.dictionaries):
                self._check_dictionary(dictionary)

    def _is_new(self, definition: Any, compiled: dict[str, Any], fresh: dict[str, Any]) -> bool:
        name, kind = definition.name, type(definition).__name__
        if name in fresh:
            self._faults.add(f"{kind} {name!r} is given twice; names of records are unique", record=name)
        elif name not in compiled:
            fresh[name] = definition
            return True
        elif compiled[name] != definition:
            self._faults.add(
                f"{kind} {name!r} is compiled on this MetaData already, with another meaning; "
                "use one definition, or another MetaData",
                record=name,
            )
        return False

    def _check_record(self, definition: Entity | Relation) -> None:
        name = definition.name
        for option in _LATER[type(definition)]:
            if getattr(definition, option) not in (None, ()):
                self._faults.add(f"{name}: {option}= is not available yet; leave it out", record=name)
        if definition.computation is not None and not isinstance(definition.computation, Transform):
            self._faults.add(
                f"{name}: computation={definition.computation!r} computes a value, not rows; "
                "write it on a Property, or use a Transform here",
                record=name,
            )
        seen: set[str] = set()
        reserved = {"id"} if isinstance(definition, Entity) else {"id", "source", "target", "source_id", "target_id"}
        for prop in definition.properties:
            if prop.name in seen:
                self._faults.add(f"{name}.{prop.name} is declared twice; keep one", record=name, property=prop.name)
            if prop.name in reserved:
                self._faults.add(
                    f"{name}.{prop.name}: every record has this attribute by itself; remove or rename the property",
                    record=name,
                    property=prop.name,
                )
            seen.add(prop.name)
            self._check_property(name, prop)

    def _check_property(self, record: str, prop: Property) -> None:
        where = f"{record}.{prop.name}"
        if isinstance(prop.computation, Transform):
            self._faults.add(
                f"{where}: a Transform derives whole rows; give it as computation= of an Entity",
                record=record,
                property=prop.name,
            )
        if prop.computation is not None and prop.default is not None:
            self._faults.add(
                f"{where} has a computation and a default; the computation says the first value, remove default=",
                record=record,
                property=prop.name,
            )

    def _check_dictionary(self, dictionary: Dictionary) -> None:
        where = f"Dictionary {dictionary.name!r}"
        if isinstance(dictionary.computation, (Transform, SameRow)):
            self._faults.add(
                f"{where}: {type(dictionary.computation).__name__} does not make one global value; "
                "use an aggregate over a record, such as Count('Order')",
                record=dictionary.name,
            )
        if dictionary.computation is not None and dictionary.default is not None:
            self._faults.add(f"{where} has a computation and a default; remove default=", record=dictionary.name)
