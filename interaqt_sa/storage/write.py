"""Write records as mapped instances, so that session events include every change."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Column, inspect
from sqlalchemy.orm import Mapper, RelationshipProperty, Session, object_mapper

from ..definitions.short_repr import shorten
from ..definitions.type_aliases import Where
from ..errors import DefinitionFault, InvalidValueError
from ..schema.merged_lookup import inputs_of
from ..schema.record_lookup import record_name
from .attributes import LINK, column_names, key_attributes, link_of, metadata_of, near_end, unknown_attribute
from .circular_references import break_loops, is_loop, relate_back
from .exclusive import end_old_relations, let_go
from .input_checks import checked_data, refuse_ends
from .natural_keys import Existing, find_or_insert, refuse_natural_key, resolve_neighbours
from .paths import foreign_key_pairs
from .read import dialect_of, matching
from .record_makers import Record
from .references import Inserted, column_key, has_key, is_reference, key_of, without_link
from .required_match import require_match
from .required_sources import end_moved_link, refuse_lost_links, refuse_orphan_by_column, refuse_orphans
from .sequence_sync import move_sequence_past
from .symmetric_links import links_by_other, symmetric_link
from .undivided_calls import flush_last


def create(session: Session, mapper: Mapper[Any], data: Mapping[str, Any]) -> Record:
    """Insert a record, and the new neighbours that are nested in ``data``.

    :return: the data with the keys of all inserted records; the stored values of a record that existed already.
    """
    _require_mapping(mapper, data)
    data = find_or_insert(session, mapper, checked_data(mapper, data, dialect_of(session, mapper)))
    if isinstance(data, Existing):
        return dict(data)
    end_old_relations(session, mapper, data)
    writer = _Writer(session)
    instance = writer.make(mapper, data)
    flush_last(session)
    return writer.answer(mapper, instance, data)


def update(session: Session, mapper: Mapper[Any], match: Where, data: Mapping[str, Any]) -> list[Record]:
    """Change the records that match ``match``; return the key and the data of each."""
    _require_mapping(mapper, data)
    for name in key_attributes(mapper):
        if name in data:
            raise DefinitionFault(
                f"{record_name(mapper)}.{name} is the key and never changes; create another record instead",
                record=record_name(mapper),
                property=name,
            )
    refuse_ends(mapper, data)
    refuse_natural_key(mapper, data)
    data = checked_data(mapper, data, dialect_of(session, mapper))
    written: list[tuple[Any, Mapper[Any], _Writer, Mapping[str, Any]]] = []
    for instance in _fresh(session, mapper, match):
        # rows of a merged entity have the attributes of their inputs
        own = object_mapper(instance) if mapper.polymorphic_abstract else mapper
        # new neighbours in the data are created for each record
        writer, values = _Writer(session), resolve_neighbours(session, own, data)
        end_old_relations(session, own, values, instance)
        writer.assign(own, instance, values)
        written.append((instance, own, writer, values))
    flush_last(session)
    return [writer.answer(own, instance, values) for instance, own, writer, values in written]


def delete(session: Session, mapper: Mapper[Any], match: Where) -> list[Record]:
    """Delete the records that match ``match``; return the last values of each."""
    instances = _fresh(session, mapper, match)
    last = [{name: getattr(one, name) for name in column_names(object_mapper(one))} for one in instances]
    refuse_lost_links(mapper, instances)
    break_loops(session, mapper, instances)
    for instance in instances:
        session.delete(instance)
    flush_last(session)
    return last


def _require_mapping(mapper: Mapper[Any], data: Any) -> None:
    if not hasattr(data, "keys") or not all(isinstance(name, str) for name in data):
        raise InvalidValueError(
            f"{record_name(mapper)}: the data of a record is a mapping with the names of attributes, "
            f"not {shorten(data)}",
            record=record_name(mapper),
            code="INVALID_ARGUMENT",
        )


def _fresh(session: Session, mapper: Mapper[Any], match: Where) -> Sequence[Any]:
    """Return the instances that match ``match``, with the values stored in the database.

    :raises DefinitionFault: if there is no match, so that a missing value cannot select all records.
    """
    require_match(record_name(mapper), match)
    session.flush()
    # an instance that was loaded earlier may have the new values already, and would not be written
    statement = matching(session, mapper, match).execution_options(populate_existing=True)
    return session.scalars(statement).unique().all()


class _Writer:
    """Converts nested data to instances of one session.

    :ivar _made: the instances created for nested data, by the id of the data.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._made: dict[int, Any] = {}

    def make(self, mapper: Mapper[Any], data: Mapping[str, Any]) -> Any:
        """Return a new instance with ``data``, added to the session; as in loading, its constructor is not called."""
        if isinstance(data, Inserted):
            self._made[id(data)] = data.instance
            neighbours = {name: value for name, value in data.items() if name in mapper.relationships}
            self.assign(mapper, data.instance, neighbours)
            self._move_sequence(mapper, data, data.instance)
            return data.instance
        instance = self._new_instance(mapper)
        self._made[id(data)] = instance
        # added after its values are set: relationships to instances of the session would flush it incomplete
        with self._session.no_autoflush:
            self.assign(mapper, instance, data)
            self._session.add(instance)
        self._move_sequence(mapper, data, instance)
        return instance

    def _move_sequence(self, mapper: Mapper[Any], data: Mapping[str, Any], instance: Any) -> None:
        for name in key_attributes(mapper):
            if name in data:
                move_sequence_past(self._session, mapper, getattr(instance, name))

    @staticmethod
    def _new_instance(mapper: Mapper[Any]) -> Any:
        if mapper.polymorphic_abstract:
            inputs = inputs_of(metadata_of(mapper), mapper)
            raise DefinitionFault(
                f"{record_name(mapper)} is not created by itself; create {' or '.join(inputs) or 'a subclass'}",
                record=record_name(mapper),
            )
        instance = mapper.class_manager.new_instance()
        discriminator = mapper.polymorphic_on
        if isinstance(discriminator, Column) and mapper.polymorphic_identity is not None:
            # set by the constructor, which is not called
            setattr(instance, mapper.get_property_by_column(discriminator).key, mapper.polymorphic_identity)
        return instance

    def assign(self, mapper: Mapper[Any], instance: Any, data: Mapping[str, Any]) -> None:
        """Set attributes and neighbours of ``instance``."""
        for name, value in data.items():
            if name in mapper.relationships:
                with self._session.no_autoflush:
                    self._relate(mapper, instance, mapper.relationships[name], value)
            elif name in mapper.column_attrs:
                column = mapper.column_attrs[name].columns[0]
                if value is None and column.foreign_keys:
                    refuse_orphan_by_column(mapper, instance, name)
                setattr(instance, name, column_key(mapper, name, value) if _is_key(column) else value)
            else:
                raise unknown_attribute(mapper, name, mapper.attrs.keys())

    def _relate(self, mapper: Mapper[Any], instance: Any, relationship: RelationshipProperty[Any], value: Any) -> None:
        values: list[Any] = list(value) if relationship.uselist and value is not None else [value]
        if relationship.uselist and value is None:
            values = []
        for part in values:
            if not isinstance(part, Mapping) and (part is not None or relationship.uselist):
                raise DefinitionFault(
                    f"{record_name(mapper)}.{relationship.key}: give a neighbour as a mapping, by its key to refer to "
                    f"one or without to make one, not {shorten(part)}",
                    record=record_name(mapper),
                    property=relationship.key,
                )
        link = link_of(relationship)
        if (symmetric := symmetric_link(relationship)) is not None:
            self._relate_both_ways(mapper, instance, relationship, symmetric, values)
        elif link is not None:
            self._relate_by_links(mapper, instance, relationship, link, [part for part in values if part is not None])
        elif relationship.uselist:
            relate_back(self._session, instance, relationship, [self._neighbour(relationship, part) for part in values])
        elif values[0] is None:
            if not foreign_key_pairs(relationship):
                relate_back(self._session, instance, relationship, [])
                return
            refuse_orphans(relationship, instance)
            if not self._set_foreign_key(instance, relationship, None):
                setattr(instance, relationship.key, None)
        elif not self._set_foreign_key(instance, relationship, values[0]):
            neighbour = self._neighbour(relationship, values[0])
            if foreign_key_pairs(relationship):
                setattr(instance, relationship.key, neighbour)
            else:
                relate_back(self._session, instance, relationship, [neighbour])

    def _set_foreign_key(self, instance: Any, relationship: RelationshipProperty[Any], value: Any) -> bool:
        """Refer to an existing neighbour without loading it; return whether this is possible."""
        pairs = foreign_key_pairs(relationship)
        loop = bool(pairs) and instance in self._session and is_loop(instance, relationship, value)
        if loop:
            let_go(self._session, instance, relationship, pairs.values())
            if value is None:
                return True
            if not is_reference(relationship.mapper, value):
                self._session.flush()  # otherwise the next step would still read the old neighbour
        if not pairs or value is None or not is_reference(relationship.mapper, value):
            return False
        if relationship.mapper.single:
            return False  # the row may be one of another class of the table
        if not loop and instance in self._session and getattr(instance, relationship.key, None) is not None:
            # a loaded neighbour would override the column, so it is replaced first
            setattr(instance, relationship.key, self._existing(relationship.mapper, value))
            return True
        for remote, local in pairs.items():
            if remote not in value:
                return False
            setattr(instance, local, column_key(relationship.mapper, remote, value[remote]))
        return True

    def _relate_by_links(
        self,
        mapper: Mapper[Any],
        instance: Any,
        relationship: RelationshipProperty[Any],
        link: Mapper[Any],
        values: Iterable[Mapping[str, Any]],
    ) -> None:
        links = mapper.relationships[f"{relationship.key}_links"]
        near = near_end(links)
        far = "target" if near == "source" else "source"
        if links.viewonly and inspect(instance).persistent:
            self._session.expire(instance, [links.key])  # links of other calls are not added to it
        loaded: Any = getattr(instance, links.key)
        old = {getattr(row, f"{far}_id"): row for row in (loaded if links.uselist else [loaded]) if row is not None}
        fresh = self._keep_links(relationship, link, values, old)
        if near == "source" or not fresh:
            refuse_lost_links(link, old.values())
        for gone in old.values():
            end_moved_link(self._session, link, gone)
        if old:
            # a flush inserts before it deletes, and the new pairs may conflict with the old ones
            self._session.flush()
            self._session.expire(instance, [links.key, relationship.key])
        for value in fresh:
            row, neighbour = self._new_link(relationship, link, value)
            setattr(row, near, instance)
            setattr(row, far, neighbour)

    def _relate_both_ways(
        self,
        mapper: Mapper[Any],
        instance: Any,
        relationship: RelationshipProperty[Any],
        link: Mapper[Any],
        values: Iterable[Mapping[str, Any]],
    ) -> None:
        old = links_by_other(self._session, link, mapper, instance)
        fresh = self._keep_links(relationship, link, values, old)
        for gone in old.values():
            self._session.delete(gone)
        if old:
            self._session.flush()
        for value in fresh:
            row, neighbour = self._new_link(relationship, link, value)
            row.source, row.target = instance, neighbour

    def _keep_links(
        self,
        relationship: RelationshipProperty[Any],
        link: Mapper[Any],
        values: Iterable[Mapping[str, Any]],
        old: dict[Any, Any],
    ) -> list[Mapping[str, Any]]:
        """Assign ``values`` to the links in ``old`` that they name, remove these from it, and return the others."""
        fresh: list[Mapping[str, Any]] = []
        for value in values:
            rest = without_link(value)
            key = key_of(relationship.mapper, rest)[0] if is_reference(relationship.mapper, rest) else None
            if (kept := old.pop(key, None)) is not None:
                self.assign(link, kept, value.get(LINK, {}))
            else:
                fresh.append(value)
        return fresh

    def _new_link(
        self, relationship: RelationshipProperty[Any], link: Mapper[Any], value: Mapping[str, Any]
    ) -> tuple[Any, Any]:
        """Return a link without ends, and the neighbour that it is to reach."""
        neighbour = self._made[id(value)] = self._neighbour(relationship, without_link(value))
        return self.make(link, dict(value.get(LINK, {}))), neighbour

    def _neighbour(self, relationship: RelationshipProperty[Any], value: Mapping[str, Any]) -> Any:
        target = relationship.mapper
        if is_reference(target, value):
            return self._existing(target, value)
        # data of new records rarely contains a key, so this query is rarely needed
        key = key_of(target, value) if has_key(target, value) and not isinstance(value, Inserted) else (None,)
        if None not in key and self._session.get(target.class_, key) is not None:
            reference = dict(zip(key_attributes(target), key, strict=True))
            raise DefinitionFault(
                f"there is a {record_name(target)} with the key {shorten(reference)} already; to refer to it give its "
                "key alone, to make another one choose another key",
                record=record_name(target),
            )
        return self.make(target, value)

    def _existing(self, target: Mapper[Any], value: Mapping[str, Any]) -> Any:
        key = key_of(target, value)
        # a key with None is the key of no row
        found = self._session.get(target.class_, key) if None not in key else None
        if found is None:
            raise DefinitionFault(
                f"there is no {record_name(target)} with the key {shorten(dict(value))}; to make one, leave its key "
                "out",
                record=record_name(target),
            )
        return found

    def answer(self, mapper: Mapper[Any], instance: Any, data: Mapping[str, Any]) -> Record:
        """Return ``data`` with the keys of ``instance`` and of the records created for nested data."""
        found: Record = {name: getattr(instance, name) for name in key_attributes(mapper)}
        for name, value in data.items():
            if name in found:
                continue  # the stored value, which may differ from the given one
            if name not in mapper.relationships or value is None:
                found[name] = value
                continue
            target = mapper.relationships[name].mapper
            if mapper.relationships[name].uselist:
                found[name] = [self._nested_answer(target, part) for part in value]
            else:
                found[name] = self._nested_answer(target, value)
        return found

    def _nested_answer(self, target: Mapper[Any], value: Mapping[str, Any]) -> Record:
        instance = self._made.get(id(value))
        rest = without_link(value)
        if instance is None:
            found = dict(zip(key_attributes(target), key_of(target, rest), strict=True))
        else:
            found = self.answer(target, instance, rest)
        return found | ({LINK: dict(value[LINK])} if LINK in value else {})


def _is_key(column: Any) -> bool:
    return bool(getattr(column, "primary_key", False) or getattr(column, "foreign_keys", ()))
