"""Records that can be related only once: their old relation ends before the new one is written."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, and_, inspect, select
from sqlalchemy.orm import Mapper, RelationshipProperty, Session

from .attributes import is_relation, key_attributes, link_of, near_end
from .paths import foreign_key_pairs
from .references import is_reference, key_of, without_link
from .required_sources import end_moved_link, refuse_lost_links, refuse_orphans
from .symmetric_links import symmetric_link


def end_old_relations(session: Session, mapper: Mapper[Any], data: Mapping[str, Any], instance: Any = None) -> None:
    """End the relations of other records that conflict with those in ``data``, or nested in it.

    They have to end before anything is written: a flush inserts before it deletes, and updates in the order of keys.

    :param instance: the record of the data; ``None`` if it is still to be created.
    """
    ender = _Ender(session)
    ender.follow(mapper, data, instance)
    if not ender.has_ended:
        return  # a flush for each of many records would write them one by one
    session.flush()
    for known, attributes in ender.outdated:
        session.expire(known, attributes)


def let_go(session: Session, instance: Any, relationship: RelationshipProperty[Any], names: Iterable[str]) -> None:
    """Set the foreign key attributes ``names`` of a relationship of ``instance`` to ``None``."""
    # by its columns: the unit of work cannot take a row out of a relationship to itself
    session.expire(instance, [relationship.key])
    for name in names:
        setattr(instance, name, None)


class _Ender:
    """Ends relations, without a flush.

    :ivar has_ended: whether any relation ended.
    :ivar outdated: instances with attributes that are out of date after the flush.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self.has_ended = False
        self.outdated: list[tuple[Any, list[str]]] = []

    def follow(self, mapper: Mapper[Any], data: Mapping[str, Any], instance: Any) -> None:
        is_link = is_relation(mapper)
        if is_link and instance is None:
            self._end_links_of_ends(mapper, data)
        for name, value in data.items():
            if name not in mapper.relationships:
                continue
            relationship = mapper.relationships[name]
            parts = _parts(relationship, value)
            link = link_of(relationship)
            if (is_link and name in ("source", "target")) or symmetric_link(relationship) is not None:
                pass  # done above, or never exclusive
            elif link is not None:
                self._end_links(mapper, relationship, link, parts, instance)
            elif not relationship.uselist and (parts or value is None):
                self._end_foreign_keys(relationship, parts[0] if parts else None, instance)
            for part in parts:
                rest = without_link(part)
                if not is_reference(relationship.mapper, rest):
                    self.follow(relationship.mapper, rest, None)

    def _end_links(
        self,
        mapper: Mapper[Any],
        relationship: RelationshipProperty[Any],
        link: Mapper[Any],
        parts: Sequence[Mapping[str, Any]],
        instance: Any,
    ) -> None:
        near = near_end(mapper.relationships[f"{relationship.key}_links"])
        far = "target" if near == "source" else "source"
        target = relationship.mapper
        if target.relationships[link.relationships[far].back_populates or ""].uselist:
            return
        references = [rest for part in parts if is_reference(target, rest := without_link(part))]
        if not references:
            return
        keys = [key_of(target, rest)[0] for rest in references]
        own = None if instance is None else getattr(instance, key_attributes(mapper)[0])
        for row in self._session.scalars(select(link.class_).where(getattr(link.class_, f"{far}_id").in_(keys))).all():
            if instance is None or getattr(row, f"{near}_id") != own:
                self._end_link(link, row, is_moved=far == "target")

    def _end_links_of_ends(self, link: Mapper[Any], data: Mapping[str, Any]) -> None:
        """End the links of the ends in ``data`` that can have only one link, and will have the new one."""
        ends: dict[str, Any] = {}
        for side in ("source", "target"):
            end: Any = data.get(side)
            target = link.relationships[side].mapper
            if _is(Mapping, end) and is_reference(target, end):
                ends[f"{side}_id"] = key_of(target, end)[0]
        for name, key in ends.items():
            relationship = link.relationships[name.removesuffix("_id")]
            if (
                not relationship.back_populates
                or relationship.mapper.relationships[relationship.back_populates].uselist
            ):
                continue
            for row in self._session.scalars(select(link.class_).where(getattr(link.class_, name) == key)).all():
                # a link between the same two records is a conflict, which the database reports
                if any(getattr(row, other) != ends.get(other) for other in ("source_id", "target_id")):
                    self._end_link(link, row, is_moved=row.target_id == ends.get("target_id"))

    def _end_link(self, link: Mapper[Any], row: Any, *, is_moved: bool) -> None:
        if row in self._session.deleted or inspect(row).deleted:
            return
        if not is_moved:
            refuse_lost_links(link, [row])
        end_moved_link(self._session, link, row)
        self.has_ended = True
        for side in ("source", "target"):
            links = link.relationships[side].back_populates or ""
            key = (getattr(row, f"{side}_id"),)
            self._remember(link.relationships[side].mapper, key, [links, links.removesuffix("_links")])

    def _end_foreign_keys(
        self, relationship: RelationshipProperty[Any], part: Mapping[str, Any] | None, instance: Any
    ) -> None:
        target = relationship.mapper
        back = target.relationships.get(relationship.back_populates or "")
        if back is None or back.uselist:
            return
        key = key_of(target, part) if part is not None and is_reference(target, part) else None
        if pairs := foreign_key_pairs(relationship):
            if key is None:
                return
            # other records that refer to the same neighbour
            referred = dict(zip(key_attributes(target), key, strict=True))
            for holder in self._holders(relationship, pairs, referred):
                if holder is not instance:
                    self._let_go(relationship, pairs, holder, target, key)
        elif instance is not None and (pairs := foreign_key_pairs(back)):
            # other records that refer to the instance
            own = key_attributes(relationship.parent)
            referred = {name: getattr(instance, name) for name in own}
            for holder in self._holders(back, pairs, referred):
                if tuple(getattr(holder, name) for name in key_attributes(target)) != key:
                    self._let_go(back, pairs, holder, relationship.parent, tuple(referred.values()))

    def _holders(
        self, relationship: RelationshipProperty[Any], pairs: Mapping[str, str], referred: Mapping[str, Any]
    ) -> Sequence[Any]:
        """Return the records that refer to the neighbour with the key ``referred``, if the foreign key is nullable."""
        holder = relationship.parent
        if pairs.keys() != referred.keys() or any(
            not column.nullable for name in pairs.values() for column in holder.column_attrs[name].columns
        ):
            return []
        conditions: list[ColumnElement[bool]] = [
            getattr(holder.class_, local) == referred[remote] for remote, local in pairs.items()
        ]
        return self._session.scalars(select(holder.class_).where(and_(*conditions))).unique().all()

    def _let_go(
        self,
        relationship: RelationshipProperty[Any],
        pairs: Mapping[str, str],
        holder: Any,
        target: Mapper[Any],
        key: Sequence[Any],
    ) -> None:
        refuse_orphans(relationship, holder)
        let_go(self._session, holder, relationship, pairs.values())
        self.has_ended = True
        self.outdated.append((holder, [relationship.key]))
        self._remember(target, key, [relationship.back_populates or ""])

    def _remember(self, mapper: Mapper[Any], key: Sequence[Any], attributes: list[str]) -> None:
        known = self._session.identity_map.get(mapper.identity_key_from_primary_key(tuple(key)))
        if known is not None:
            self.outdated.append((known, attributes))


def _parts(relationship: RelationshipProperty[Any], value: Any) -> list[Mapping[str, Any]]:
    # iterators, and values that are not mappings, are handled when they are written
    values: list[Any] = [value]
    if relationship.uselist:
        values = list(value) if _is(Collection, value) else []
    return [part for part in values if _is(Mapping, part)]


def _is(kind: type[Any], value: Any) -> bool:
    return isinstance(value, kind)
