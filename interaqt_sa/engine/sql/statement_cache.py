"""Cache of the engine's statements, built once for a plan and a dialect, with constant text."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

from sqlalchemy import (
    ClauseElement,
    Column,
    ColumnElement,
    Dialect,
    Executable,
    FromClause,
    Select,
    Table,
    and_,
    case,
    literal_column,
    null,
    select,
    tuple_,
    type_coerce,
)
from sqlalchemy import exists as sql_exists
from sqlalchemy.orm import Mapper

from ...dialects import DatabaseDialect, Lock
from ...dialects.base import is_row
from ...schema.record_lookup import stored_attributes
from ...session.compiled_statement import CachedText
from ..plan import Edge, Hop, Host, Plan, Source, recursive_edges
from ..plan.column_replacement import labelled
from ..plan.plan_nodes import edges_locked_ahead

T = TypeVar("T")

_ZERO: ColumnElement[Any] = literal_column("0")


class Statements:
    """Statements of one plan on one dialect.

    :param all_serializable: whether every writer of the system is SERIALIZABLE.

    Schema translation and drivers are handled by SQLAlchemy's own cache of compiled text.
    """

    def __init__(self, plan: Plan, dialect: DatabaseDialect, *, all_serializable: bool = False) -> None:
        self.plan = plan
        self.all_serializable = all_serializable
        self.dialect = dialect
        self._cached: dict[Hashable, Any] = {}
        self._executables: set[Executable] = set()
        self._texts: WeakKeyDictionary[Dialect, dict[Executable, CachedText | None]] = WeakKeyDictionary()

    def cached(self, key: Hashable, make: Callable[[], T]) -> T:
        """Return the cached result of ``make`` for ``key``."""
        if key not in self._cached:
            made: Any = make()
            if isinstance(made, ClauseElement):
                _give_constant_cache_key(made)
            if isinstance(made, Executable):
                self._executables.add(made)
            self._cached[key] = made
        found: T = self._cached[key]
        return found

    def text_of(self, statement: Executable, dialect: Dialect) -> CachedText | None:
        """Return the text of ``statement`` for a driver; ``None`` if it is not cached or only SQLAlchemy can run it."""
        texts = self._texts.get(dialect)
        if texts is None:
            texts = self._texts[dialect] = {}
        if statement in texts:
            return texts[statement]
        if statement not in self._executables:
            return None
        text = texts[statement] = CachedText.of(statement, dialect)
        return text

    def unwatched(self, table: Table, mapper: Mapper[Any] | None = None) -> Source:
        """Return a source for a table without computations, whose rows the engine writes or locks."""
        rank = self.plan.places.get(table, len(self.plan.places))
        return self.cached(("unwatched", table, mapper), lambda: Source(table, mapper, rank))

    def stored(self, mapper: Mapper[Any]) -> Mapping[str, Column[Any]]:
        """Return the attributes of a class that are columns, in their order."""
        return self.cached(("stored", mapper), lambda: dict(stored_attributes(mapper)))

    # -- rows of sources ---------------------------------------------------------------------------------------

    def lock_rows(
        self,
        source: Source,
        lock: Lock,
        edges: Sequence[Edge] = (),
        references: tuple[tuple[Column[Any], ...], ...] = (),
        *,
        one: bool = False,
    ) -> Executable:
        """Lock rows by key, in key order.

        Returns keys, then key and contribution for each of ``edges``, then the columns of each of ``references``. They
        are read from the row itself only: after a wait the database re-reads the locked row, and no other.

        :param one: whether the parameter holds a single row.
        """

        def make() -> Select[Any]:
            columns: list[ColumnElement[Any]] = list(source.key)
            for edge in edges:
                columns += [*edge.key, *self.contribution(edge)]
            for reference in references:
                columns += reference
            contains = is_row if one else self.dialect.contains
            statement = (
                select(*labelled(columns))
                .select_from(source.table)
                .where(contains(source.key, "ids", source.key_shape))
                .order_by(*source.key)
            )
            return self.dialect.lock(statement, lock, source.table)

        return self.cached(("lock", source, lock, tuple(edges), references, one), make)

    @cached_property
    def locked_ahead(self) -> set[Edge]:
        """The edges whose neighbours can all be found, and locked, from the keys of the contributing rows."""
        return edges_locked_ahead(e for source in self.plan.sources.values() for e in source.edges if e.hops)

    @cached_property
    def has_hosts_below(self) -> bool:
        """Whether some host precedes rows that its members read in the lock order, because it refers to them."""
        readers = (pair for source in self.plan.sources.values() for pair in source.readers)
        return any(edge.comes_before(hop) for edge, hop in readers)

    @cached_property
    def edges_without_foreign_key(self) -> list[Edge]:
        """The edges without a foreign key, or with a deferrable one: members may be inserted before their host."""
        edges = (edge for host in self.plan.hosts.values() for edge in host.edges)
        return [edge for edge in edges if not edge.has_foreign_key or edge.is_deferred]

    @cached_property
    def recursive_edges(self) -> Mapping[Host, Sequence[Edge]]:
        """The edges between the hosts of each cycle; see :func:`.recursive_edges`."""
        return recursive_edges(self.plan)

    def lock_and_read(self, source: Source, lock: Lock, columns: Sequence[Column[Any]]) -> Executable:
        """Lock rows by key, in key order; returns keys, then columns of their own table."""

        def make() -> Select[Any]:
            statement = select(*labelled([*source.key, *columns])).select_from(source.table).order_by(*source.key)
            statement = statement.where(self.dialect.contains(source.key, "ids", source.key_shape))
            return self.dialect.lock(statement, lock, source.table)

        return self.cached(("lock and read", source, lock, tuple(columns)), make)

    def read_rows(
        self, source: Source, columns: Sequence[ColumnElement[Any]], mapper: Mapper[Any] | None = None
    ) -> Executable:
        """Read columns of rows by key, keys first.

        :param mapper: the mapper of the columns, if its class has more tables than the source.
        """
        mapper = mapper or source.mapper

        def make() -> Select[Any]:
            rows = self._row(source, mapper, columns)
            statement = select(*labelled([*source.key, *columns])).select_from(rows)
            return statement.where(self.dialect.contains(source.key, "ids", source.key_shape))

        return self.cached(("read", source, tuple(columns), mapper), make)

    def _row(self, source: Source, mapper: Mapper[Any] | None, columns: Iterable[ColumnElement[Any]]) -> FromClause:
        """Return the FROM of ``columns``; columns of subclass tables are NULL in rows of other classes."""
        rows: FromClause = source.table if mapper is None else mapper.persist_selectable
        known = [source.table] if mapper is None else mapper.tables
        named = {column.table for column in columns if isinstance(column, Column)}
        for table in self.plan.tables_of_row(source.table):
            if table in named and table not in known:
                same = zip(source.key, source.key_in(table), strict=True)
                rows = rows.outerjoin(table, and_(*(a == b for a, b in same)))
        return rows

    # -- contributions -----------------------------------------------------------------------------------------

    def contribution(self, edge: Edge) -> list[ColumnElement[Any]]:
        """Return the contribution of a row to each running column of the host, not NULL, in types that never round.

        Over an edge that is not additive it is the value of the row, or NULL.
        """
        member = and_(*edge.criteria) if edge.criteria else None
        if not edge.is_additive:
            shown = [value for part in edge.parts for value in part.sql]
            return [
                type_coerce(
                    value if member is None else case((member, value), else_=null()),
                    self.dialect.transport_type(column.type),
                )
                for column, value in zip(edge.vector, shown, strict=True)
            ]
        numbers: list[ColumnElement[Any]] = [_ZERO] * len(edge.vector)
        for part in edge.parts:
            for position, number in zip(part.positions, part.sql, strict=False):
                numbers[position] = number if member is None else _when(member, number)
        changes = zip(edge.vector, numbers, strict=True)
        return [number if number is _ZERO else self.dialect.change(column, number) for column, number in changes]

    def joined(self, edge: Edge) -> FromClause:
        """Return the FROM of an edge: the member and the rows along its paths."""
        joined: FromClause = edge.table_join
        for hop in edge.hops:
            joined = joined.join(hop.alias, hop.on, isouter=not hop.required)
        return joined

    def contributions(self, edge: Edge) -> Select[Any]:
        """Return a SELECT of host key (``k0`` …) and contribution (``d0`` …) for every contributing row."""
        columns = [k.label(f"k{i}") for i, k in enumerate(edge.key)]
        columns += [d.label(f"d{i}") for i, d in enumerate(self.contribution(edge))]
        return self.with_host(edge, select(*columns).select_from(self.joined(edge)))

    def with_host(self, edge: Edge, statement: Select[Any]) -> Select[Any]:
        """Return ``statement``, whose FROM is :meth:`joined`, restricted to rows that have a host."""
        if edge.host.constant is None:
            statement = statement.where(*(k.is_not(None) for k in edge.key))
        if not edge.has_foreign_key:
            # without a foreign key a member may precede its host, and contributes once the host exists
            host = edge.host.table.alias("host")
            matches = [host.c[h.key] == k for h, k in zip(edge.host_key, edge.key, strict=True)]
            statement = statement.where(sql_exists().select_from(host).where(*matches))
        return statement

    def read_contributions(self, edge: Edge) -> Executable:
        """Read the contributions of contributing rows by key."""
        return self.cached(("contributions", edge), lambda: self.of_members(edge, self.contributions(edge), "ids"))

    def members(self, edge: Edge) -> Select[Any]:
        """Return, for an edge computed in Python, a SELECT of the arguments of :func:`.evaluate_members`.

        These are the host key, then for each part its criterion and the attributes for its callback.
        """
        columns: list[ColumnElement[Any]] = list(edge.key)
        member = and_(*edge.criteria) if edge.criteria else literal_column("1") == literal_column("1")
        for part in edge.parts:
            if part.callback is None:
                # as in contributions(): a converting type or the scale of a product must not change the number
                columns += [
                    self.dialect.change(edge.vector[position], _when(member, number))
                    for position, number in zip(part.positions, part.sql, strict=True)
                ]
            else:
                counts = and_(member, part.counts) if part.counts is not None else member
                columns += [counts, *part.attributes.values(), *part.dictionaries.values()]
        return select(*labelled(columns)).select_from(self.joined(edge))

    def read_members(self, edge: Edge) -> Executable:
        """Read :meth:`members` of contributing rows by key."""
        return self.cached(("members", edge), lambda: self.of_members(edge, self.members(edge), "ids"))

    def of_members(self, edge: Edge, statement: Select[Any], name: str, *, one: bool = False) -> Select[Any]:
        contains = is_row if one else self.dialect.contains
        return statement.where(contains(edge.member_key, name, edge.member.key_shape))

    def lock_neighbours(self, edge: Edge, hop: Hop, lock: Lock) -> Executable:
        """Lock the rows that a hop leads to from contributing rows; the rows before it on the path are locked already.

        Returns keys only: the values are read by a later statement, because the joins of this one are stale after a
        wait.
        """

        def make() -> Select[Any]:
            table = hop.table
            path: FromClause = edge.table_join
            for step in edge.hops[: edge.hops.index(hop)]:
                path = path.join(step.alias, step.on, isouter=not step.required)
            leading = self.of_members(edge, select(*hop.local).select_from(path), "ids").correlate(None)
            left = hop.remote[0] if len(hop.remote) == 1 else tuple_(*hop.remote)
            key = list(hop.source.key_in(table))
            statement = select(*labelled(key)).where(left.in_(leading)).order_by(*key)
            return self.dialect.lock(statement, lock, table)

        return self.cached(("neighbours", edge, hop, lock), make)

    def find_readers(self, edge: Edge, hop: Hop) -> Executable:
        """Find the contributing rows whose path along ``hop`` leads to given rows, and the keys of their hosts."""

        def make() -> Select[Any]:
            keys = [hop.alias.c[c.key] for c in hop.source.key_in(hop.table)]
            found = [*edge.member_key, *(edge.key if edge.host.constant is None else ())]
            statement = select(*labelled(found)).select_from(self.joined(edge)).distinct()
            return statement.where(self.dialect.contains(keys, "ids", hop.source.key_shape))

        return self.cached(("readers", edge, hop), make)


def _give_constant_cache_key(statement: ClauseElement) -> None:
    """Give a cached statement a constant cache key, so that SQLAlchemy need not traverse it on each execution.

    The cache key of such a large statement is long, and is otherwise generated and hashed on each execution. SQLAlchemy
    memoizes the same method for long-lived constructs of its own; like theirs, this key is not copied with the
    statement.
    """
    found = statement._generate_cache_key()
    if found is not None:
        constant = found._replace(key=(_KeptKey(),))
        statement._set_memoized_attribute("_generate_cache_key", lambda: constant)


class _KeptKey:
    """A key that is equal to itself only."""

    __slots__ = ()


def _when(condition: ColumnElement[bool], value: ColumnElement[Any]) -> ColumnElement[Any]:
    return case((condition, value), else_=_ZERO)
