"""The attributes of each mapped class whose changes in a flush affect computed values."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from types import NoneType
from typing import TYPE_CHECKING, Any
from uuid import UUID

from sqlalchemy import Column, Float, Table, inspect
from sqlalchemy.orm import Mapper, RelationshipDirection, RelationshipProperty
from sqlalchemy.orm.attributes import instance_dict, instance_state

from ...dialects import Lock
from ...schema.record_lookup import relationships_of

if TYPE_CHECKING:
    from .event_nodes import Machine
    from .plan import Plan
    from .plan_nodes import ComputedValue, Edge, Source


@dataclass(frozen=True)
class RowReference:
    """A reference from objects of a class to a row of another table.

    :ivar attributes: the attributes that hold its key.
    :ivar relationship: the many-to-one relationship that sets them, if there is one.
    :ivar has_default: whether a new row without a key may get one by default.
    :ivar remote: the referenced attributes of the other row; empty for its primary key.
    """

    target: Source
    attributes: tuple[str, ...]
    relationship: str | None
    has_default: bool
    remote: tuple[str, ...] = ()

    def key_in(self, instance: Any) -> tuple[Any, ...] | None:
        """Return the new key that ``instance`` will refer to: with ``None`` parts for no row, ``None`` if unknown.

        An unchanged reference is not a new one: its target is found from the stored row, under lock.
        """
        loaded, state = instance_dict(instance), instance_state(instance)
        if state.key is not None and state.committed_state.keys().isdisjoint((*self.attributes, self.relationship)):
            return (None,)
        related = loaded.get(self.relationship) if self.relationship else None
        if related is not None:
            identity = instance_state(related).key
            if identity is None:
                return (None,)  # a new row is invisible to other transactions: it needs no lock
            if not self.remote:
                return identity[1]
            held = instance_dict(related)
            return tuple(held[name] for name in self.remote) if all(name in held for name in self.remote) else None
        key = self.key_held(instance)
        if key is not None:
            return key
        is_unset = state.key is None and all(name not in loaded for name in self.attributes)
        return (None,) if is_unset and not self.has_default else None

    def key_held(self, instance: Any) -> tuple[Any, ...] | None:
        """Return the key in the attributes of ``instance``, changed or not; ``None`` if it is unknown."""
        loaded = instance_dict(instance)
        key = tuple([loaded.get(name, _UNKNOWN) for name in self.attributes])
        # text is exact enough if only the database compares it
        known = _EXACT_OR_TEXT if self.remote else _EXACT_KEYS
        return key if known.issuperset(map(type, key)) else None


@dataclass(frozen=True)
class Neighbour:
    """A row that contributions of a class read, one x:1 step away.

    :ivar edges: the edges of these contributions.
    :ivar checked: whether a foreign key check takes the same lock on it.
    """

    reference: RowReference
    lock: Lock
    edges: tuple[Edge, ...]
    checked: bool


@dataclass(eq=False)
class Watch:
    """The attributes and references of one mapped class that the engine watches.

    :ivar source: its source, if its rows contribute, are read, hold computed values or trigger reactions.
    :ivar inputs: attributes (columns and many-to-one relationships) whose changes are relevant.
    :ivar shared_inputs: attributes that rows of other tables read, or could refer to.
    :ivar collections: to-many relationships whose members the flush will write.
    :ivar computed: attributes that may not be assigned.
    :ivar floats: computed attributes of type float; SQLite returns whole numbers of an INSERT as integers.
    :ivar same_row: values computed from the row itself.
    :ivar following: columns that any UPDATE may change, through ``onupdate`` or a function of the row.
    :ivar edge_keys: the edges over which its rows contribute, with the attributes that hold the key of the host.
    :ivar referred: attributes whose changes also change rows of other tables, by foreign key actions or the session.
    :ivar found_by: attributes by which members refer to their host.
    :ivar host_references: the references of its rows to hosts, with their edges.
    :ivar neighbours: rows of other tables that its contributions read.
    :ivar beyond: rows of other tables that contributions of others read through its rows.
    :ivar initial: state machines that compute the initial value of a new row.
    :ivar whole_rows: whether mutation events of the class trigger reactions, which receive whole rows.
    """

    mapper: Mapper[Any]
    source: Source | None
    inputs: frozenset[str]
    shared_inputs: frozenset[str]
    collections: frozenset[str]
    computed: dict[str, ComputedValue]
    floats: tuple[str, ...]
    same_row: tuple[ComputedValue, ...]
    following: frozenset[Column[Any]]
    whole_rows: bool
    referred: frozenset[str]
    found_by: frozenset[str]
    initial: tuple[Machine, ...]
    edge_keys: tuple[tuple[Edge, tuple[str, ...]], ...]
    neighbours: tuple[Neighbour, ...]
    beyond: tuple[Neighbour, ...]
    host_references: tuple[tuple[Edge, RowReference], ...]

    @classmethod
    def of(cls, plan: Plan, mapped: type[Any]) -> Watch | None:
        mapper = inspect(mapped, raiseerr=False)
        if mapper is None:
            return None  # a subclass that is not mapped; SQLAlchemy raises an error for it
        tables = [table for table in mapper.tables if isinstance(table, Table)]
        source = next((plan.sources[table] for table in tables if table in plan.sources), None)
        collections = frozenset(
            relationship.key
            for relationship in relationships_of(mapper)
            if relationship.direction is RelationshipDirection.ONETOMANY
            and not relationship.viewonly
            and any(table in plan.sources for table in relationship.mapper.tables)
        )
        whole_rows = any(table in plan.reactions for table in tables)
        deletes_matter = any(table in plan.children for table in tables)
        if source is None and not collections and not whole_rows and not deletes_matter:
            return None
        columns = {column for column in mapper.columns.values() if isinstance(column, Column)}
        # a changed key matters to the hosts of the row and to the rows that refer to it
        inputs = source.inputs | set(source.key) if source else set()
        shared = source.shared_inputs | source.referable if source else set()
        computed = {mapper.get_property_by_column(c).key: plan.columns[c] for c in columns if c in plan.columns}
        same_row = tuple(value for value in source.same_row if value.column in columns) if source else ()
        following = source.following() & (inputs | {value.column for value in same_row}) if source else set()
        return cls(
            mapper=mapper,
            source=source,
            inputs=_attributes(mapper, inputs),
            shared_inputs=_attributes(mapper, shared),
            collections=collections,
            computed=computed,
            floats=tuple(name for name, value in computed.items() if isinstance(value.column.type, Float)),
            same_row=same_row,
            following=frozenset(following & columns),
            whole_rows=whole_rows,
            referred=_attributes(mapper, plan.followed(tables)),
            found_by=_attributes(mapper, plan.found_by(source)) if source else frozenset(),
            initial=tuple(
                machine
                for machine in plan.machines
                if mapper.isa(machine.value.mapper) and machine.declaration.initial_state.compute_value is not None
            ),
            edge_keys=_edge_keys(mapper, source) if source else (),
            neighbours=_neighbours(mapper, source) if source else (),
            beyond=_beyond(mapper, source) if source else (),
            host_references=_host_references(mapper, source) if source else (),
        )

    def matters(self, changed: Iterable[str]) -> bool:
        """Whether a row has to be locked when these attributes change."""
        return bool(self.following) or self.whole_rows or not self.inputs.isdisjoint(changed)

    def changed_columns(self, attributes: Iterable[str]) -> set[Column[Any]]:
        """Return the columns that an UPDATE of these attributes may change."""
        columns = set(self.following)
        for key in attributes:
            prop = self.mapper.attrs.get(key)
            if isinstance(prop, RelationshipProperty):
                columns.update(column for column in prop.local_columns if isinstance(column, Column))
            elif prop is not None:
                columns.update(getattr(prop, "columns", ()))
        return columns

    def host_keys(
        self, values: Mapping[str, Any], changed: Container[str] | None
    ) -> dict[Edge, tuple[Any, ...] | None]:
        """Return the key of the host that a row contributes to over each edge, as far as it is loaded.

        :param values: the object's attributes.
        :param changed: the attributes that were written; ``None`` for a new row.
        :return: ``None`` for an edge whose key is not loaded. Edges whose key has not changed are omitted: their old
            contribution contains it, while the loaded one may be stale and would lock a host out of order.
        """
        found: dict[Edge, tuple[Any, ...] | None] = {}
        for edge, keys in self.edge_keys:
            is_changed = changed is None or any(map(changed.__contains__, keys))
            if edge.contributes_always and not is_changed:
                continue
            host = tuple([values.get(key, _UNKNOWN) for key in keys])
            if _EXACT_KEYS.issuperset(map(type, host)):
                found[edge] = host
            elif changed is None and any(part is None for part in host):
                found[edge] = (None,)
            elif is_changed:
                found[edge] = None
        return found


def watch_of(plan: Plan, cls: type[Any]) -> Watch | None:
    """Return the watched attributes of ``cls``, ``None`` if there are none."""
    found: Watch | None = plan.watches.get(cls)
    if found is None and cls not in plan.unwatched:
        found = Watch.of(plan, cls)
        if found is None:
            plan.unwatched.add(cls)
        else:
            plan.watches[cls] = found
    return found


def references_of(plan: Plan, cls: type[Any]) -> tuple[RowReference, ...]:
    """Return the references of ``cls`` to rows whose changes block foreign key checks."""
    found: tuple[RowReference, ...] | None = plan.references.get(cls)
    if found is None:
        mapper = inspect(cls, raiseerr=False)  # None for a class whose registry was disposed
        found = () if mapper is None else tuple(checked_references(mapper, plan.sources))
        if mapper is not None:
            plan.references[cls] = found
    return found


_UNKNOWN = object()
#: types of keys that Python and the database represent exactly alike
_EXACT_KEYS: frozenset[type] = frozenset({int, UUID, NoneType})
_EXACT_OR_TEXT = _EXACT_KEYS | {str}


def _host_references(mapper: Mapper[Any], source: Source) -> tuple[tuple[Edge, RowReference], ...]:
    found: list[tuple[Edge, RowReference]] = []
    for edge in source.edges:
        if not edge.holds_key or edge.host.constant is not None or not _maps(mapper, edge.key):
            continue
        reference = _row_reference(mapper, edge.host.source, edge.key)
        if not edge.refers_by_primary_key:
            of_host = edge.host.mapper.get_property_by_column
            reference = replace(reference, remote=tuple(of_host(column).key for column in edge.host_key))
        found.append((edge, reference))
    return tuple(found)


def checked_references(mapper: Mapper[Any], sources: Mapping[Table, Source]) -> Iterator[RowReference]:
    """Yield the foreign keys of ``mapper`` to rows that are read by the contributions of others."""
    for table in mapper.tables:
        for constraint in getattr(table, "foreign_key_constraints", ()):
            target = sources.get(constraint.referred_table)
            columns = list(constraint.columns)
            if target is None or not target.readers or not all(mapper.columns.contains_column(c) for c in columns):
                continue
            if [element.column for element in constraint.elements] == list(target.key):
                yield _row_reference(mapper, target, columns)


def _row_reference(mapper: Mapper[Any], target: Source, key: Iterable[Any]) -> RowReference:
    columns = [column for column in key if isinstance(column, Column)]
    names = tuple(mapper.get_property_by_column(column).key for column in columns)
    has_default = any(column.default is not None or column.server_default is not None for column in columns)
    return RowReference(target, names, _reference_by(mapper, columns), has_default)


def _reference_by(mapper: Mapper[Any], columns: list[Column[Any]]) -> str | None:
    """Return the many-to-one relationship that sets ``columns``."""
    for relationship in relationships_of(mapper):
        if relationship.direction is RelationshipDirection.MANYTOONE and set(relationship.local_columns) == set(
            columns
        ):
            return relationship.key
    return None


def _neighbours(mapper: Mapper[Any], source: Source) -> tuple[Neighbour, ...]:
    found: dict[tuple[Source, tuple[str, ...]], Neighbour] = {}
    for edge in source.edges:
        for hop in edge.hops:
            if hop.parent is not None or hop.same_row or not set(edge.tables) <= set(mapper.tables):
                continue
            if tuple(hop.remote) != hop.source.key or not _maps(mapper, hop.local):
                continue
            if not all(isinstance(column, Column) for column in hop.local):
                continue  # a dictionary, to which rows do not refer
            reference = _row_reference(mapper, hop.source, hop.local)
            lock = edge.neighbour_lock(hop)
            checked = hop.checked and lock is Lock.KEY_SHARE
            held = found.get((hop.source, reference.attributes))
            if held is not None:
                lock, checked = max(lock, held.lock), checked and held.checked
            edges = (*held.edges, edge) if held is not None else (edge,)
            found[hop.source, reference.attributes] = Neighbour(reference, lock, edges, checked)
    return tuple(found.values())


def _beyond(mapper: Mapper[Any], source: Source) -> tuple[Neighbour, ...]:
    found: dict[tuple[Source, tuple[str, ...]], Neighbour] = {}
    for edge, hop in source.readers:
        for further in edge.hops:
            if further.parent is not hop or further.same_row or tuple(further.remote) != further.source.key:
                continue
            local = [hop.table.c.get(getattr(c, "key", "")) for c in further.local]
            if any(column is None or column not in mapper.columns.values() for column in local):
                continue
            reference = _row_reference(mapper, further.source, local)
            held = found.get((further.source, reference.attributes))
            lock = max(edge.neighbour_lock(further), held.lock if held is not None else Lock.KEY_SHARE)
            found[further.source, reference.attributes] = Neighbour(reference, lock, (), checked=False)
    return tuple(found.values())


def _maps(mapper: Mapper[Any], columns: Iterable[Any]) -> bool:
    """Whether instances of ``mapper`` have all ``columns``: a subclass may have more in the same table."""
    return all(mapper.columns.contains_column(c) for c in columns if isinstance(c, Column))


def _edge_keys(mapper: Mapper[Any], source: Source) -> tuple[tuple[Edge, tuple[str, ...]], ...]:
    pairs = []
    for edge in source.edges:
        if set(edge.tables) <= set(mapper.tables):
            columns = [column for column in edge.key if isinstance(column, Column)]
            if not _maps(mapper, columns):
                continue  # a column of a subclass in the shared table
            pairs.append((edge, tuple(mapper.get_property_by_column(column).key for column in columns)))
    return tuple(pairs)


def _attributes(mapper: Mapper[Any], columns: set[Column[Any]]) -> frozenset[str]:
    keys = {mapper.get_property_by_column(c).key for c in mapper.columns.values() if c in columns}
    # item.order = other changes the foreign key only during the flush
    moving = {
        relationship.key
        for relationship in relationships_of(mapper)
        if relationship.direction is RelationshipDirection.MANYTOONE and columns & set(relationship.local_columns)
    }
    return frozenset(keys | moving)
