"""The nodes and edges of a plan: sources, hops, edges, parts and hosts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from sqlalchemy import Column, ColumnElement, FromClause, Table, UniqueConstraint, Update, update
from sqlalchemy.orm import Mapper
from sqlalchemy.types import TypeEngine

from ...definitions.computation import Computation
from ...dialects import Lock
from ...dialects.unique_key_options import POSTGRESQL, index_predicate
from .accumulator import Accumulator

Key = tuple[Any, ...]


@dataclass(eq=False)
class Source:
    """A table whose rows the engine watches: they contribute, are read by contributions, or hold computed values.

    With joined inheritance it is the base table; a row is identified by its key there.

    :ivar rank: position in the lock order; a table comes before the tables that its rows contribute or refer to.
    :ivar edges: edges over which this table's rows contribute.
    :ivar readers: edges of other tables' rows that read this table, with the hop of the x:1 path.
    :ivar inputs: columns that any contribution reads, or that determine its host.
    :ivar shared_inputs: those that rows of other tables read.
    :ivar same_row: values that are computed from their own row.
    """

    table: Table
    mapper: Mapper[Any] | None
    rank: int = 0
    edges: list[Edge] = field(default_factory=list)
    readers: list[tuple[Edge, Hop]] = field(default_factory=list)
    inputs: set[Column[Any]] = field(default_factory=set)
    shared_inputs: set[Column[Any]] = field(default_factory=set)
    same_row: list[ComputedValue] = field(default_factory=list)
    host: Host | None = None

    @cached_property
    def key(self) -> tuple[Column[Any], ...]:
        """The columns that identify a row."""
        if self.mapper is not None:
            return tuple(column for column in self.mapper.primary_key if isinstance(column, Column))
        return tuple(self.table.primary_key.columns) or tuple(c for c in self.table.columns if c.foreign_keys)

    def key_in(self, table: Table) -> tuple[Column[Any], ...]:
        """Return the columns that identify a row in ``table``, one of the tables that hold it.

        The key of a mapped class may differ from the table's primary key, which may be missing.
        """
        return self.key if table is self.table else tuple(table.primary_key.columns)

    @cached_property
    def unique_keys(self) -> Sequence[frozenset[Column[Any]]]:
        """The sets of columns that are unique."""
        table = self.table
        constraints = [c for c in table.constraints if isinstance(c, UniqueConstraint) and not c.deferrable]
        whole = [i for i in table.indexes if i.unique and index_predicate(i, POSTGRESQL) is None]
        keys: list[Sequence[Any]] = [tuple(c.columns) for c in (table.primary_key, *constraints)]
        keys += [tuple(index.expressions) for index in whole]
        return [frozenset(key) for key in keys if all(isinstance(c, Column) for c in key)]

    @cached_property
    def may_repeat(self) -> bool:
        """Whether several rows may have the same key, as in a secondary table without one."""
        return not any(unique and unique <= set(self.key) for unique in self.unique_keys) and self.mapper is None

    @cached_property
    def referable(self) -> frozenset[Column[Any]]:
        """The columns that foreign keys could refer to: changing one takes a lock that blocks foreign key checks."""
        return frozenset(c for key in self.unique_keys for c in key)

    def lock_to_change(self, columns: AbstractSet[Column[Any]]) -> Lock:
        """Return the lock for rows whose ``columns`` will change."""
        is_shared = not (columns.isdisjoint(self.shared_inputs) and columns.isdisjoint(self.referable))
        return Lock.UPDATE if is_shared else Lock.NO_KEY_UPDATE

    def following(self) -> set[Column[Any]]:
        """Return the columns that change without being named in an UPDATE."""
        tables = [self.table, *(self.mapper.tables if self.mapper is not None else ())]
        columns = (c for table in tables if isinstance(table, Table) for c in table.columns)
        found = {c for c in columns if c.onupdate is not None or c.server_onupdate is not None}
        versions = (m.version_id_col for m in self.mapper.self_and_descendants) if self.mapper is not None else ()
        found |= {column for column in versions if isinstance(column, Column)}
        return found | {value.column for value in self.same_row}

    @cached_property
    def write(self) -> Update:
        """A write to the table, passed to sessions that choose the database by statement."""
        return update(self.table)

    @cached_property
    def key_shape(self) -> Sequence[tuple[str, TypeEngine[Any]]]:
        return tuple((f"p{i}", column.type) for i, column in enumerate(self.key))

    def __repr__(self) -> str:
        return f"<Source {self.table.fullname}>"


@dataclass(eq=False)
class Hop:
    """One step of an x:1 path: from the member, or from the previous hop, to the row that it refers to.

    :ivar table: the table; ``alias`` is its alias in the FROM of the contribution.
    :ivar on: join condition.
    :ivar local: referring columns, as expressions of the FROM.
    :ivar remote: the columns they refer to, on the source's table.
    :ivar checked: whether writing a member locks the neighbour, because the foreign key is checked immediately.
    :ivar same_row: whether it leads to the rest of the same row, in a subclass table of joined inheritance.
    :ivar is_deferred: whether the row may be inserted after those that refer to it, because its foreign key is
        deferrable.
    :ivar required: whether rows without the neighbour are not members (the far end of a secondary table).
    """

    source: Source
    table: Table
    alias: FromClause
    on: ColumnElement[bool]
    local: Sequence[ColumnElement[Any]]
    remote: Sequence[Column[Any]]
    parent: Hop | None = None
    required: bool = False
    checked: bool = False
    same_row: bool = False
    is_deferred: bool = False
    inputs: set[Column[Any]] = field(default_factory=set)


@dataclass(eq=False)
class Edge:
    """The contribution of the rows of one table to the rows of another: one edge for each relationship.

    What follows from its parts and hops is computed once, after the plan is built.

    :ivar member: the source of the contributing rows.
    :ivar key: expressions over a contributing row that give the key of its host.
    :ivar host_key: the host columns they are equal to.
    :ivar criteria: the criteria that make a contributing row a member.
    :ivar parts: its contributions, one for each aggregate.
    :ivar inputs: columns of the member's tables that are read.
    :ivar vector: running columns of the host that it changes; a contribution is a tuple in this order.
    :ivar is_additive: whether contributions are numbers that are summed; otherwise they are compared.
    :ivar is_own_row: whether each row contributes to itself.
    :ivar ways: the edges over which members contribute to the same values, this one included: two over a symmetric
        relation.
    :ivar is_evaluated: whether it contributes no numbers, but data that a function of the application reads.
    """

    name: str
    member: Source
    host: Host
    key: Sequence[ColumnElement[Any]]
    host_key: tuple[Column[Any], ...]
    tables: Sequence[Table]
    table_join: FromClause
    member_key: Sequence[ColumnElement[Any]]
    criteria: list[ColumnElement[bool]] = field(default_factory=list)
    hops: list[Hop] = field(default_factory=list)
    parts: list[Part] = field(default_factory=list)
    inputs: set[Column[Any]] = field(default_factory=set)
    vector: list[Column[Any]] = field(default_factory=list)
    is_additive: bool = True
    has_foreign_key: bool = True
    is_deferred: bool = False  # a member may be inserted before its host, because the foreign key is deferrable
    is_own_row: bool = False
    is_evaluated: bool = False
    ways: Sequence[Edge] = ()

    def __post_init__(self) -> None:
        self.ways = (self,)

    @cached_property
    def own(self) -> bool:
        """Whether a contribution reads only its row in the member's base table."""
        is_plain = self.is_additive and not self.hops and not self.python
        return is_plain and tuple(self.tables) == (self.member.table,) and self.has_foreign_key

    @cached_property
    def joined_tables(self) -> frozenset[Table]:
        """The tables of the member and of the rows along its paths."""
        return frozenset((*self.tables, *(hop.table for hop in self.hops)))

    @cached_property
    def contributes_always(self) -> bool:
        """Whether every row with the key of a host has a contribution, possibly of zeros."""
        return self.has_foreign_key and not any(hop.required for hop in self.hops)

    @cached_property
    def holds_key(self) -> bool:
        """Whether the member's base table holds the key of the host."""
        return all(isinstance(key, Column) and key.table is self.member.table for key in self.key)

    @cached_property
    def refers_by_primary_key(self) -> bool:
        """Whether members refer to the primary key of the host."""
        return self.host_key == self.host.source.key

    @cached_property
    def recursive(self) -> bool:
        """Whether rows contribute computed values to other rows of their own table."""
        is_same = self.member is self.host.source and not self.is_own_row
        return is_same and bool(self.inputs & self.host.written)

    @cached_property
    def python(self) -> bool:
        """Whether some contribution is computed in Python."""
        return any(part.callback is not None for part in self.parts)

    def beyond(self, hop: Hop) -> list[Hop]:
        """Return the hops that continue from ``hop``."""
        found: list[Hop] = []
        for other in self.hops:  # a hop comes after its parent in the list
            if other.parent is hop or other.parent in found:
                found.append(other)
        return found

    def beside(self, hop: Hop) -> list[Hop]:
        """Return the hops of other paths: neither on the way to ``hop`` nor beyond it."""
        known, step = [hop, *self.beyond(hop)], hop.parent
        while step is not None:
            known.append(step)
            step = step.parent
        return [other for other in self.hops if other not in known]

    def comes_before(self, hop: Hop) -> bool:
        """Whether the host precedes the rows along ``hop`` in the lock order, because it refers to them itself."""
        return self.host.rank <= hop.source.rank

    def neighbour_lock(self, hop: Hop) -> Lock:
        """Return the weakest lock that keeps the rows along ``hop`` unchanged."""
        host = hop.source.host
        if host is None or not hop.inputs & host.written:
            return Lock.KEY_SHARE
        if any(other.host.source is hop.source for other in self.member.edges):
            return Lock.NO_KEY_UPDATE  # the same write will update it: avoids a stronger lock later
        return Lock.SHARE

    def __repr__(self) -> str:
        return f"<Edge {self.name}>"


@dataclass(eq=False)
class Part:
    """The contribution of one contributing row to one aggregate.

    :ivar positions: positions of its numbers in the host's vector.
    :ivar sql: the numbers in SQL; empty if there is a callback.
    :ivar counts: with a callback, the SQL criterion of ``where``, if there is one; in an order, the criterion
        of the members that have a place in it.
    :ivar ranked: with a ranking, the place of a member, its key and its attribute, without ``counts``; with a selection
        in an order, the place.
    :ivar attributes: with a callback, the paths that it reads and their columns.
    :ivar dictionaries: with a callback, the dictionaries that it reads, by name, and the columns of their values.
    """

    value: ComputedValue
    positions: Sequence[int]
    sql: Sequence[ColumnElement[Any]] = ()
    callback: Callable[[Any], Any] | None = None
    counts: ColumnElement[bool] | None = None
    ranked: Sequence[ColumnElement[Any]] = ()
    attributes: Mapping[str, ColumnElement[Any]] = field(default_factory=dict)
    dictionaries: Mapping[str, ColumnElement[Any]] = field(default_factory=dict)


@dataclass(eq=False)
class Inputs:
    """The data that a function of the application computes a value from.

    :ivar own: the edge from each row of the host to itself, with the rows that it refers to, and dictionaries.
    :ivar attributes: the attributes and x:1 paths that it reads over :attr:`own`.
    :ivar dictionaries: the values of dictionaries that it reads over :attr:`own`, by the name of the dependency.
    :ivar members: edges from other rows: those of relationships by their names, two for a symmetric relation; in a
        dictionary those of records by the names of the dependencies.
    :ivar single: the names of relationships in :attr:`members` that lead to one row.
    :ivar names: the names of the dependencies that are the row itself.
    """

    own: Edge
    attributes: Mapping[str, ColumnElement[Any]]
    dictionaries: Mapping[str, ColumnElement[Any]]
    members: Mapping[str, Sequence[Edge]]
    single: AbstractSet[str] = frozenset()
    names: Sequence[str] = ()

    @cached_property
    def edges(self) -> tuple[Edge, ...]:
        return (self.own, *(edge for ways in self.members.values() for edge in ways))


@dataclass(eq=False)
class ComputedValue:
    """One computed column.

    :ivar name: ``"Record.property"``.
    :ivar running: the columns that hold its running state.
    :ivar inputs: the data that a function of the application computes it from; ``None`` for other kinds.
    :ivar due: the hidden column with the time from which it has to be computed again; ``None`` for most kinds.
    """

    record: str
    attribute: str
    mapper: Mapper[Any]
    column: Column[Any]
    computation: Computation[Any]
    accumulator: Accumulator | None = None
    running: Sequence[Column[Any]] = ()
    inputs: Inputs | None = None
    due: Column[Any] | None = None

    @property
    def name(self) -> str:
        return f"{self.record}.{self.attribute}"

    @property
    def is_aggregate(self) -> bool:
        """Whether it is computed from members."""
        return self.accumulator is not None

    @property
    def is_same_row(self) -> bool:
        """Whether it is computed from other columns of its row."""
        return self.computation.reads_own_row

    @property
    def can_be_recomputed(self) -> bool:
        """Whether it can be computed from stored rows; otherwise it depends on past events."""
        return self.is_aggregate or self.is_same_row or self.inputs is not None

    @property
    def is_additive(self) -> bool:
        """Whether it is an aggregate whose contributions are summed."""
        return self.accumulator is not None and self.accumulator.is_additive

    @property
    def table(self) -> Table:
        table = self.column.table
        assert isinstance(table, Table)
        return table

    def result(self, running: Sequence[ColumnElement[Any]]) -> ColumnElement[Any] | None:
        """Return the value as an expression over its running columns, ``None`` if it is one of them."""
        assert self.accumulator is not None
        return None if self.column in self.running else self.accumulator.result(running)


@dataclass(eq=False)
class Host:
    """A table with aggregates.

    :ivar vector: running columns that deltas are added to; a delta is a tuple of numbers in this order.
    :ivar constant: the key of the only row, if it is a dictionary.
    """

    source: Source
    table: Table
    mapper: Mapper[Any]
    values: list[ComputedValue] = field(default_factory=list)
    vector: list[Column[Any]] = field(default_factory=list)
    edges: list[Edge] = field(default_factory=list)
    constant: Key | None = None

    @property
    def rank(self) -> int:
        return self.source.rank

    @cached_property
    def key(self) -> tuple[Column[Any], ...]:
        """Primary key."""
        return self.source.key_in(self.table)

    def is_known_by(self, key: Iterable[Column[Any]]) -> bool:
        """Whether these columns are unique."""
        columns = set(key)
        return columns >= set(self.key) or any(unique <= columns for unique in self.source.unique_keys)

    @cached_property
    def written(self) -> frozenset[Column[Any]]:
        """The columns that change when members change."""
        values = (value.column for value in (*self.values, *self.source.same_row))
        return frozenset((*self.vector, *values))

    def written_over(self, edges: Iterable[Edge]) -> set[Column[Any]]:
        """Return the columns that change when members over ``edges`` change."""
        values = [part.value for edge in edges for part in edge.parts]
        columns = {column for value in values for column in (value.column, *value.running)}
        return columns | {value.column for value in self.source.same_row}

    def __repr__(self) -> str:
        return f"<Host {self.table.fullname}>"


def edges_locked_ahead(edges: Iterable[Edge]) -> set[Edge]:
    """Return the edges whose neighbours a lock pass can all find from the keys of written rows."""
    return {
        edge
        for edge in edges
        if all(
            hop.same_row
            or (
                tuple(hop.remote) == hop.source.key
                and all(getattr(c, "table", None) is edge.member.table for c in hop.local)
                if hop.parent is None
                else hop.parent.table is hop.parent.source.table
            )
            for hop in edge.hops
        )
    }
