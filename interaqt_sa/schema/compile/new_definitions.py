"""Definitions that a call of compile_schema adds to a MetaData."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Any, TypeVar

from ...definitions.dictionary import Dictionary
from ...definitions.records import Entity, Relation, ref_name
from ...definitions.short_repr import with_article
from ...errors import DefinitionFault
from ..faults import Faults
from ..metadata_state import Catalog
from ..record_lookup import record_name
from .definition_checks import base_of, check_dictionary, check_record, is_filtered

_D = TypeVar("_D", Entity, Relation, Dictionary)


def ends_of(relation: Relation) -> Iterator[tuple[str, str]]:
    """Yield the name of the record at each valid end of a relation, and the attribute that it has there."""
    for ref, attribute in ((relation.source, relation.source_property), (relation.target, relation.target_property)):
        with suppress(DefinitionFault):  # an end that is not a record is a fault of the relation
            yield ref_name(ref), attribute


class Declarations:
    """The definitions of one call that are not compiled yet.

    :ivar entities: entities by name; likewise ``relations`` and ``dictionaries``.
    :ivar filtered: filtered entities and relations by name.
    :ivar merged: merged entities by name; likewise ``merged_relations``.
    :ivar as_given: merged records that are compiled in another form.
    :ivar endpoints: names of the records that relations refer to, or filtered records are based on.
    :ivar disputed: names of definitions that are given twice, conflict, or are passed to the wrong parameter.
    :ivar unplanned: the relations among them.
    """

    def __init__(self, catalog: Catalog, faults: Faults) -> None:
        self._catalog = catalog
        self._faults = faults
        self.entities: dict[str, Entity] = {}
        self.relations: dict[str, Relation] = {}
        self.filtered: dict[str, Entity | Relation] = {}
        self.merged: dict[str, Entity] = {}
        self.merged_relations: dict[str, Relation] = {}
        self.as_given: dict[str, Entity | Relation] = {}
        self.dictionaries: dict[str, Dictionary] = {}
        self.disputed: set[str] = set()
        self.unplanned: list[Relation] = []

    @property
    def endpoints(self) -> set[str]:
        found = {name for relation in self.relations.values() for name, _ in ends_of(relation)}
        for definition in self.filtered.values():
            with suppress(DefinitionFault):  # collected when the filtered record is planned
                found.add(ref_name(base_of(definition)))
        for name, relation in self.merged_relations.items():
            with suppress(DefinitionFault):
                found |= {name, *map(ref_name, relation.input_relations)}
        return found

    def collect(
        self,
        entities: Iterable[Entity],
        relations: Iterable[Relation],
        dictionaries: Iterable[Dictionary],
        event_sources: Iterable[Any],
    ) -> None:
        """Add the new definitions, and collect the faults of each one by itself."""
        given_entities = [getattr(source, "entity", None) for source in event_sources]
        of_events = [entity for entity in given_entities if isinstance(entity, Entity)]
        listed = list(entities)
        # event sources share entities: equal ones are added once
        listed += [entity for n, entity in enumerate(of_events) if entity not in listed and entity not in of_events[:n]]
        declared = {record_name(mapper) for mapper in self._catalog.all_mappers()} - self._catalog.classes.keys()
        compiled = dict[str, Any](self._catalog.definitions)
        compiled |= {name: known.definition for name, known in self._catalog.filtered.items()}
        compiled |= self._catalog.as_given
        records: dict[str, Entity | Relation] = {}
        given: list[Entity | Relation] = [*self._only(Entity, listed), *self._only(Relation, relations)]
        for definition in given:
            if self._is_new(definition, compiled, records):
                if definition.name in declared:
                    self._faults.add(
                        f"{definition.name}: a declarative class has this name; rename one of them",
                        record=definition.name,
                    )
                check_record(definition, self._faults)
        self.filtered = {name: value for name, value in records.items() if is_filtered(value)}
        stored = {name: value for name, value in records.items() if name not in self.filtered}
        own = {name: value for name, value in stored.items() if isinstance(value, Entity)}
        self.merged = {name: value for name, value in own.items() if value.input_entities}
        self.entities = {name: value for name, value in own.items() if name not in self.merged}
        relations_given = {name: value for name, value in stored.items() if isinstance(value, Relation)}
        self.merged_relations = {name: value for name, value in relations_given.items() if value.input_relations}
        self.relations = {n: value for n, value in relations_given.items() if n not in self.merged_relations}
        self.as_given = {**self.merged_relations}
        for dictionary in self._only(Dictionary, dictionaries):
            if self._is_new(dictionary, self._catalog.dictionaries, self.dictionaries):
                check_dictionary(dictionary, self._faults)

    def _only(self, kind: type[_D], given: Iterable[Any]) -> list[_D]:
        listed = list(given)
        for value in listed:
            if not isinstance(value, kind):
                hint = "; declarative classes are known without being given" if isinstance(value, type) else ""
                self._faults.add(f"{_shown(value)} is not {with_article(kind.__name__)}{hint}")
                self.disputed.add(str(getattr(value, "name", "")))
                self.unplanned += [value] if isinstance(value, Relation) else []
        return [value for value in listed if isinstance(value, kind)]

    def _is_new(self, definition: Any, compiled: dict[str, Any], fresh: dict[str, Any]) -> bool:
        name, kind = definition.name, type(definition).__name__
        if name in fresh:
            self._faults.add(f"{kind} {name!r} is given twice; names of records are unique", record=name)
            self._dispute(definition)
        elif name not in compiled:
            fresh[name] = definition
            return True
        elif compiled[name] != definition:
            self._faults.add(
                f"{kind} {name!r} is compiled on this MetaData already, with other content; "
                "use one definition, or another MetaData",
                record=name,
            )
            self._dispute(definition)
        return False

    def _dispute(self, definition: Any) -> None:
        self.disputed.add(definition.name)
        self.unplanned += [definition] if isinstance(definition, Relation) else []


def _shown(value: Any) -> str:
    if isinstance(value, (Entity, Relation, Dictionary)):
        return f"{type(value).__name__} {value.name!r}"
    return repr(value)
