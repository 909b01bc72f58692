"""The engine's statements: built once for a plan and a dialect, kept, and of constant text."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

from sqlalchemy import (
    ClauseElement,
    Column,
    ColumnElement,
    Dialect,
    Executable,
    FromClause,
    Numeric,
    Select,
    Subquery,
    Table,
    and_,
    bindparam,
    case,
    cast,
    func,
    literal_column,
    or_,
    select,
    tuple_,
    union_all,
    update,
)
from sqlalchemy import exists as sql_exists
from sqlalchemy.orm import Mapper
from sqlalchemy.sql.dml import Update
from sqlalchemy.types import TypeEngine

from ..schema.computed import stored_type
from .computations.numbers import settled
from .dialects import EngineDialect, Lock
from .dialects.base import is_row, named, one_row
from .execution import KeptText
from .fused import fuse, levels_above
from .locks import edges_locked_ahead
from .plan import Edge, Hop, Host, Plan, Source
from .plan.expressions import replace_columns
from .qualified import qualified
from .returned import Returned

T = TypeVar("T")

_ZERO: ColumnElement[Any] = literal_column("0")
#: to how many places SQLAlchemy reads a Decimal from a float
_DEFAULT_PLACES = 10


class Statements:
    """Statements of one plan on one dialect.

    :param all_serializable: whether every writer of the system is SERIALIZABLE.

    Schema translation and drivers need no thought here: SQLAlchemy's own cache of compiled text knows both.
    """

    def __init__(self, plan: Plan, dialect: EngineDialect, *, all_serializable: bool = False) -> None:
        self.plan = plan
        self.all_serializable = all_serializable
        self.dialect = dialect
        self._kept: dict[Hashable, Any] = {}
        self._executables: set[Executable] = set()
        self._texts: WeakKeyDictionary[Dialect, dict[Executable, KeptText | None]] = WeakKeyDictionary()

    def keep(self, key: Hashable, make: Callable[[], T]) -> T:
        """Return what ``make`` built when ``key`` was first asked for."""
        if key not in self._kept:
            made: Any = make()
            if isinstance(made, ClauseElement):
                _give_constant_cache_key(made)
            if isinstance(made, Executable):
                self._executables.add(made)
            self._kept[key] = made
        kept: T = self._kept[key]
        return kept

    def text_of(self, statement: Executable, dialect: Dialect) -> KeptText | None:
        """Return ``statement`` as a driver takes it; ``None`` if it is not kept, or only SQLAlchemy can run it."""
        texts = self._texts.get(dialect)
        if texts is None:
            texts = self._texts[dialect] = {}
        if statement in texts:
            return texts[statement]
        if statement not in self._executables:
            return None
        text = texts[statement] = KeptText.of(statement, dialect)
        return text

    def unwatched(self, table: Table, mapper: Mapper[Any] | None = None) -> Source:
        """Return a source for a table from which nothing is computed, but whose rows the engine writes or locks."""
        rank = self.plan.places.get(table, len(self.plan.places))
        return self.keep(("unwatched", table, mapper), lambda: Source(table, mapper, rank))

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

        Returns keys, then key and contribution for each of ``edges``, then the columns of each of ``references``. All
        of it reads nothing but the row itself: after a wait the database re-reads the locked row, and no other.

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

        return self.keep(("lock", source, lock, tuple(edges), references, one), make)

    @property
    def locked_ahead(self) -> set[Edge]:
        """The edges all of whose neighbours are found, and locked, from the keys of the rows that drive them."""
        sources = self.plan.sources.values()
        return self.keep("locked ahead", lambda: edges_locked_ahead(e for s in sources for e in s.edges if e.hops))

    @property
    def has_hosts_below(self) -> bool:
        """Whether some host comes before rows that its members read, because it refers to them."""
        readers = (pair for source in self.plan.sources.values() for pair in source.readers)
        return self.keep("has hosts below", lambda: any(edge.comes_before(hop) for edge, hop in readers))

    def lock_and_read(self, source: Source, lock: Lock, columns: Sequence[Column[Any]]) -> Executable:
        """Lock rows by key, in key order; returns keys, then columns of their own table."""

        def make() -> Select[Any]:
            statement = select(*labelled([*source.key, *columns])).select_from(source.table).order_by(*source.key)
            statement = statement.where(self.dialect.contains(source.key, "ids", source.key_shape))
            return self.dialect.lock(statement, lock, source.table)

        return self.keep(("lock and read", source, lock, tuple(columns)), make)

    def read_rows(
        self, source: Source, columns: Sequence[ColumnElement[Any]], mapper: Mapper[Any] | None = None
    ) -> Executable:
        """Read columns of rows by key, keys first.

        :param mapper: whose columns they are, if its class has more tables than the source's.
        """
        mapper = mapper or source.mapper

        def make() -> Select[Any]:
            rows = source.table if mapper is None else mapper.persist_selectable
            statement = select(*labelled([*source.key, *columns])).select_from(rows)
            return statement.where(self.dialect.contains(source.key, "ids", source.key_shape))

        return self.keep(("read", source, tuple(columns), mapper), make)

    # -- contributions -----------------------------------------------------------------------------------------

    def contribution(self, edge: Edge) -> list[ColumnElement[Any]]:
        """Return what a driver row adds to each running column of the host; NULL-free, in types that never round."""
        numbers: list[ColumnElement[Any]] = [_ZERO] * len(edge.host.vector)
        member = and_(*edge.criteria) if edge.criteria else None
        for part in edge.parts:
            for position, number in zip(part.positions, part.sql, strict=False):
                numbers[position] = number if member is None else _when(member, number)
        types = [self.dialect.number_type(column) for column in edge.host.vector]
        return [number if number is _ZERO else cast(number, t) for number, t in zip(numbers, types, strict=True)]

    def joined(self, edge: Edge) -> FromClause:
        """Return the FROM of an edge: the driver and the rows along its paths."""
        joined: FromClause = edge.table_join
        for hop in edge.hops:
            joined = joined.join(hop.alias, hop.on, isouter=not hop.required)
        return joined

    def contributions(self, edge: Edge) -> Select[Any]:
        """Return a SELECT of host key (``k0`` …) and contribution (``d0`` …) for every driver row."""
        columns = [k.label(f"k{i}") for i, k in enumerate(edge.key)]
        columns += [d.label(f"d{i}") for i, d in enumerate(self.contribution(edge))]
        statement = select(*columns).select_from(self.joined(edge))
        if edge.host.constant is None:
            statement = statement.where(*(k.is_not(None) for k in edge.key))
        if not edge.has_foreign_key:
            # without a foreign key a member may precede its host: it contributes once the host is there
            host = edge.host.table.alias("host")
            matches = [host.c[h.key] == k for h, k in zip(edge.host_key, edge.key, strict=True)]
            statement = statement.where(sql_exists().select_from(host).where(*matches))
        return statement

    def read_contributions(self, edge: Edge) -> Executable:
        """Read the contributions of driver rows by key."""
        return self.keep(("contributions", edge), lambda: self._of_drivers(edge, self.contributions(edge), "ids"))

    def members(self, edge: Edge) -> Select[Any]:
        """Return, for an edge computed in Python, a SELECT of what :func:`.evaluate_members` takes.

        That is the host key, then for each part its criterion and the attributes that its callback sees.
        """
        columns: list[ColumnElement[Any]] = list(edge.key)
        member = and_(*edge.criteria) if edge.criteria else literal_column("1") == literal_column("1")
        for part in edge.parts:
            if part.callback is None:
                columns += [_when(member, number) for number in part.sql]
            else:
                counts = and_(member, part.counts) if part.counts is not None else member
                columns += [counts, *part.attributes.values()]
        return select(*labelled(columns)).select_from(self.joined(edge))

    def read_members(self, edge: Edge) -> Executable:
        """Read :meth:`members` of driver rows by key."""
        return self.keep(("members", edge), lambda: self._of_drivers(edge, self.members(edge), "ids"))

    def _of_drivers(self, edge: Edge, statement: Select[Any], name: str, *, one: bool = False) -> Select[Any]:
        contains = is_row if one else self.dialect.contains
        return statement.where(contains(edge.driver_key, name, edge.driver.key_shape))

    def lock_neighbours(self, edge: Edge, hop: Hop, lock: Lock) -> Executable:
        """Lock the rows to which a hop leads from driver rows; the rows before it on the path are locked already.

        Returns keys only: what the rows hold is read by a later statement, after a wait this one has stale joins.
        """

        def make() -> Select[Any]:
            table = hop.table
            path: FromClause = edge.table_join
            for step in edge.hops[: edge.hops.index(hop)]:
                path = path.join(step.alias, step.on, isouter=not step.required)
            leading = self._of_drivers(edge, select(*hop.local).select_from(path), "ids").correlate(None)
            left = hop.remote[0] if len(hop.remote) == 1 else tuple_(*hop.remote)
            key = list(table.primary_key.columns)
            statement = select(*labelled(key)).where(left.in_(leading)).order_by(*key)
            return self.dialect.lock(statement, lock, table)

        return self.keep(("neighbours", edge, hop, lock), make)

    def find_readers(self, edge: Edge, hop: Hop) -> Executable:
        """Find the driver rows whose path ``hop`` leads to given rows, and the keys of their hosts."""

        def make() -> Select[Any]:
            keys = [hop.alias.c[c.key] for c in hop.table.primary_key.columns]
            found = [*edge.driver_key, *(edge.key if edge.host.constant is None else ())]
            statement = select(*labelled(found)).select_from(self.joined(edge)).distinct()
            return statement.where(self.dialect.contains(keys, "ids", hop.source.key_shape))

        return self.keep(("readers", edge, hop), make)

    # -- hosts -------------------------------------------------------------------------------------------------

    def host_shape(self, edge_key: Sequence[Any]) -> Sequence[tuple[str, TypeEngine[Any]]]:
        return tuple((f"k{i}", column.type) for i, column in enumerate(edge_key))

    def row_shape(self, host: Host, key: Sequence[Any]) -> Sequence[tuple[str, TypeEngine[Any]]]:
        """Return the shape of rows of changes: host key, then one number for each running column."""
        numbers = [(f"d{i}", self.dialect.number_type(c)) for i, c in enumerate(host.vector)]
        return (*self.host_shape(key), *numbers)

    def lock_hosts(self, host: Host, key: tuple[Any, ...]) -> Executable:
        """Lock hosts by ``key`` columns, in primary key order."""

        def make() -> Select[Any]:
            statement = select(*labelled(list(host.key))).select_from(host.table)
            statement = statement.where(self.dialect.contains(key, "ids", self.host_shape(key))).order_by(*host.key)
            return self.dialect.lock(statement, Lock.NO_KEY_UPDATE, host.table)

        return self.keep(("lock hosts", host, key), make)

    def apply(
        self,
        host: Host,
        key: tuple[Any, ...],
        inline: tuple[Edge, ...],
        *,
        rows: bool,
        one: bool,
        old: bool,
        fused: bool,
        pair: bool,
        above: tuple[Edge, ...] = (),
        old_above: tuple[bool, ...] = (),
    ) -> Executable:
        """Add to the running columns of hosts what changed, and let the computed values follow.

        :param key: the host columns that the keys of the changes equal.
        :param inline: edges whose new contributions the statement reads itself, for driver rows ``ids_<n>``.
        :param rows: whether there are changes in parameter ``rows`` too.
        :param one: whether each of these parameters holds a single row.
        :param old: whether to return the computed values before the change as well.
        :param fused: whether to return what :meth:`parents` need.
        :param pair: for exactly two hosts, parameters ``first`` and ``second``: one UPDATE after the other.
        :param above: for one host, the edges over which the statement goes on; see :func:`.fuse`.
        :param old_above: ``old`` for the hosts above.

        Returns primary key, computed values (old ones too if asked), and per parent edge of the host that reads its
        own row only: key, new contribution, old contribution.
        """

        def make() -> Executable:
            changes: FromClause = self._changes(host, key, inline, rows, one)
            again = None
            if not self.dialect.returns_joined:
                again = self._changes(host, key, inline, rows, one, name=named("changes_again"))
            if above:
                lowest = self.update_hosts(host, key, changes, again, old, fused)
                return fuse(self, lowest, host, above, (old, *old_above))
            if not pair:
                return self.update_hosts(host, key, changes, again, old, fused)
            changes = select(*changes.c).cte(named("changes"))
            update_each = self.update_hosts(host, key, changes, again, old, fused)
            first = update_each.where(key[0] == _param("first", key[0])).cte("u1")
            after_first = select(func.count()).select_from(first).scalar_subquery() >= 0
            second = update_each.where(key[0] == _param("second", key[0]), after_first).cte("u2")
            return union_all(select(*first.c), select(*second.c))

        return self.keep(("apply", host, key, inline, rows, one, old, fused, pair, above, old_above), make)

    def _changes(
        self,
        host: Host,
        key: tuple[Any, ...],
        inline: tuple[Edge, ...],
        rows: bool,
        one: bool,
        name: str = named("changes"),
    ) -> Subquery:
        parts: list[Select[Any]] = [
            self._of_drivers(edge, self.contributions(edge), f"ids_{n}", one=one) for n, edge in enumerate(inline)
        ]
        if rows:
            row_set = one_row if one else self.dialect.row_set
            parts.append(select(*row_set("rows", self.row_shape(host, key)).c))
        each = (union_all(*parts) if len(parts) > 1 else parts[0]).subquery("each_change")
        keys = [each.c[f"k{i}"] for i in range(len(key))]
        numbers = [each.c[f"d{i}"] for i in range(len(host.vector))]
        if one and len(parts) == 1:
            return select(*keys, *numbers).where(or_(*(number != _ZERO for number in numbers))).subquery(name)
        sums = []
        for i, (number, column) in enumerate(zip(numbers, host.vector, strict=True)):
            sums.append(cast(func.sum(number), self.dialect.number_type(column)).label(f"d{i}"))
        grouped = select(*keys, *sums).group_by(*keys)
        return grouped.having(or_(*(func.sum(number) != _ZERO for number in numbers))).subquery(name)

    def update_hosts(
        self,
        host: Host,
        key: tuple[Any, ...],
        changes: FromClause,
        again: FromClause | None,
        old: bool,
        fused: bool,
    ) -> Update:
        """Return the UPDATE of :meth:`apply` for ``changes``, columns ``k0`` … and ``d0`` …

        :param again: the same once more, for a database whose RETURNING cannot name them.
        """

        def change(i: int) -> ColumnElement[Any]:
            """Return the change as RETURNING may name it."""
            if again is None:
                return changes.c[f"d{i}"]
            mine = (again.c[f"k{j}"] == column for j, column in enumerate(key))
            return qualified(select(again.c[f"d{i}"]).where(*mine).scalar_subquery())

        new_state = {
            c: self.advanced(c, func.coalesce(c, _ZERO) + changes.c[f"d{i}"]) for i, c in enumerate(host.vector)
        }
        values = dict(new_state)
        old_values: dict[Any, ColumnElement[Any]] = {
            c: self.advanced(c, c - change(i)) for i, c in enumerate(host.vector)
        }
        for value in host.values:
            result = value.result([new_state[c] for c in value.running])
            if result is not None:
                values[value.column] = result
                before = value.result([old_values[c] for c in value.running])
                assert before is not None
                # as it was stored: that is what it contributed
                old_values[value.column] = cast(before, value.column.type)
        returned: list[ColumnElement[Any]] = [*host.key, *(self.dialect.returned(v.column) for v in host.values)]
        if old:
            returned += [old_values[value.column] for value in host.values]
        for edge in self.parents(host) if fused else ():
            contribution = self.contribution(edge)
            returned += [*edge.key, *contribution]
            returned += [replace_columns(c, old_values) for c in contribution]
        # a column that is assigned to itself does not fire its onupdate: the row's owner has changed nothing
        values |= {c: c for c in host.table.columns if c.onupdate is not None and c not in values}
        statement = update(host.table).where(*(c == changes.c[f"k{i}"] for i, c in enumerate(key)))
        return statement.values({c.key: v for c, v in values.items()}).returning(*labelled(returned))

    def advanced(self, column: Column[Any], value: ColumnElement[Any]) -> ColumnElement[Any]:
        """Return ``value`` as it is stored in a running column."""
        stored = stored_type(column.type)
        if not isinstance(stored, Numeric):
            return value
        return settled(value, _DEFAULT_PLACES if stored.scale is None else stored.scale)

    def parents(self, host: Host) -> list[Edge]:
        """Return the edges over which a change of the host's values goes on within the UPDATE's own RETURNING."""
        return self.keep(("parents", host), lambda: [e for e in self.affected(host) if e.own and self.reads(e, host)])

    def returned(self, host: Host, has_old: bool, fused: bool) -> Returned:
        """Return what :meth:`apply` returns of one host, column by column."""
        parents = self.parents(host) if fused else ()
        return self.keep(("returned", host, has_old, fused), lambda: Returned(host, parents, has_old))

    def above(self, host: Host) -> tuple[Edge, ...]:
        """Return the edges over which an UPDATE of one host may go on by itself."""
        return self.keep(("above", host), lambda: levels_above(self, host) if self.dialect.chains_updates else ())

    def affected(self, host: Host) -> list[Edge]:
        """Return the edges that the host's rows drive and that read what the engine writes there."""
        return [edge for edge in host.source.edges if edge.inputs & host.written]

    def reads(self, edge: Edge, host: Host) -> bool:
        """Whether ``edge`` reads only columns that the UPDATE itself writes, and in the host's own table."""
        same_row = {value.column for value in host.source.same_row}
        return host.table is host.source.table and not edge.inputs & same_row

    def read_before(
        self, host: Host, applied: frozenset[Edge], fused: bool
    ) -> tuple[list[Edge], list[tuple[Edge, Hop]]]:
        """Return what must be read before the UPDATE of a host: edges over its rows, and edges of others that read it.

        :param applied: over which edges the changes come; values over others stay as they are.
        :param fused: whether the UPDATE returns what :meth:`parents` need.
        """

        def make() -> tuple[list[Edge], list[tuple[Edge, Hop]]]:
            returned = self.parents(host) if fused else []
            written = host.written_over(applied)
            readers = [(edge, hop) for edge, hop in host.source.readers if hop.inputs & written]
            return [e for e in host.source.edges if e.inputs & written and e not in returned], readers

        return self.keep(("read before", host, applied, fused), make)


def _give_constant_cache_key(statement: ClauseElement) -> None:
    """Let SQLAlchemy find the compiled text of a kept statement without walking through the statement each time.

    The key of a statement as large as these is long, and is otherwise made and hashed anew each time. SQLAlchemy
    memoizes the same method for long-lived constructs of its own; like theirs, this key is left behind when a statement
    is copied.
    """
    found = statement._generate_cache_key()
    if found is not None:
        constant = found._replace(key=(_KeptKey(),))
        statement._set_memoized_attribute("_generate_cache_key", lambda: constant)


class _KeptKey:
    """Equal to itself only, as a kept statement is."""

    __slots__ = ()


def _when(condition: ColumnElement[bool], value: ColumnElement[Any]) -> ColumnElement[Any]:
    return case((condition, value), else_=_ZERO)


def _param(name: str, column: Column[Any]) -> ColumnElement[Any]:
    return bindparam(named(name), type_=column.type)


def labelled(columns: Iterable[ColumnElement[Any]]) -> list[ColumnElement[Any]]:
    """Return ``columns`` named ``c0``, ``c1`` …"""
    # two expressions may share a name, and a RETURNING in a common table expression must not
    return [column.label(f"c{i}") for i, column in enumerate(columns)]
