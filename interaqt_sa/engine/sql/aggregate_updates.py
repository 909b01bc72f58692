"""Build the UPDATE statements that add deltas to aggregates in host rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import (
    CTE,
    Column,
    ColumnElement,
    Executable,
    FromClause,
    Select,
    Subquery,
    and_,
    bindparam,
    cast,
    func,
    literal_column,
    or_,
    select,
    union_all,
    update,
)
from sqlalchemy.sql import operators, visitors
from sqlalchemy.sql.dml import Update
from sqlalchemy.types import TypeEngine

from ...dialects import DatabaseDialect, Lock
from ...dialects.base import named, one_row
from ..plan import ComputedValue, Edge, Hop, Host
from ..plan.column_replacement import labelled, replace_columns
from .host_key import HostKey
from .qualified_columns import qualified
from .returning_layout import Returned
from .statement_cache import Statements

_NULL_TESTS = (operators.is_, operators.is_not)
_ZERO: ColumnElement[Any] = literal_column("0")


class HostStatements:
    """Statements on hosts.

    :param statements: their cache, which also builds the statements on contributing rows.
    """

    def __init__(self, statements: Statements) -> None:
        self._statements = statements
        self.plan = statements.plan
        self.dialect: DatabaseDialect = statements.dialect

    @classmethod
    def of(cls, statements: Statements) -> HostStatements:
        """Return the host statements of a plan and a dialect."""
        return statements.cached("host statements", lambda: cls(statements))

    def host_shape(self, edge_key: Sequence[Any]) -> Sequence[tuple[str, TypeEngine[Any]]]:
        return tuple((f"k{i}", column.type) for i, column in enumerate(edge_key))

    def row_shape(self, host: Host, key: Sequence[Any]) -> Sequence[tuple[str, TypeEngine[Any]]]:
        """Return the shape of rows of deltas: host key, then one number for each running column."""
        numbers = [(f"d{i}", self.dialect.number_type(c)) for i, c in enumerate(host.vector)]
        return (*self.host_shape(key), *numbers)

    def key(self, host: Host, columns: tuple[Column[Any], ...]) -> HostKey:
        """Return the facts about the columns by which deltas address hosts."""
        return self._statements.cached(
            ("key", host, columns), lambda: HostKey(host, columns, self.row_shape(host, columns))
        )

    def lock_hosts(self, host: Host, keys: tuple[tuple[Column[Any], ...], ...]) -> Executable:
        """Lock hosts, in the order of their primary keys.

        :param keys: columns that identify the hosts, each with a parameter ``ids_<n>``.
        """

        def make() -> Select[Any]:
            known = [self.dialect.contains(key, f"ids_{n}", self.host_shape(key)) for n, key in enumerate(keys)]
            statement = select(*labelled(list(host.key))).select_from(host.table).where(or_(*known))
            return self.dialect.lock(statement.order_by(*host.key), Lock.NO_KEY_UPDATE, host.table)

        return self._statements.cached(("lock hosts", host, keys), make)

    def apply(
        self,
        host: Host,
        key: tuple[Any, ...],
        inline: tuple[Edge, ...],
        *,
        rows: bool,
        one: bool,
        old: bool,
        with_parents: bool,
        pair: bool,
        above: tuple[Edge, ...] = (),
        old_above: tuple[bool, ...] = (),
    ) -> Executable:
        """Add deltas to the running columns of hosts, and recompute their values.

        :param key: the host columns that the keys of the deltas are equal to.
        :param inline: edges whose new contributions the statement reads itself, for contributing rows ``ids_<n>``.
        :param rows: whether there are deltas in parameter ``rows`` too.
        :param one: whether each of these parameters holds a single row.
        :param old: whether to return the computed values before the change as well.
        :param with_parents: whether to return the contributions over :meth:`parents`.
        :param pair: for exactly two hosts, parameters ``first`` and ``second``: one UPDATE after the other.
        :param above: for one host, the edges over which the statement continues; see :func:`.chain_levels`.
        :param old_above: ``old`` for the hosts above.
        :return: a statement that returns primary key, computed values (with ``old`` also the old ones and the rest of
            the row), and for each of the :meth:`parents`: key, new contribution, old contribution.
        """

        def make() -> Executable:
            changes: FromClause = self._changes(host, key, inline, rows, one)
            again = None
            if not self.dialect.returns_joined:
                again = self._changes(host, key, inline, rows, one, name=named("changes_again"))
            if above:
                lowest = self.update_hosts(host, key, changes, again, old, with_parents)
                return chain_levels(self, lowest, host, above, (old, *old_above))
            if not pair:
                return self.update_hosts(host, key, changes, again, old, with_parents)
            changes = select(*changes.c).cte(named("changes"))
            update_each = self.update_hosts(host, key, changes, again, old, with_parents)
            first = update_each.where(key[0] == _param("first", key[0])).cte("u1")
            after_first = select(func.count()).select_from(first).scalar_subquery() >= 0
            second = update_each.where(key[0] == _param("second", key[0]), after_first).cte("u2")
            return union_all(select(*first.c), select(*second.c))

        return self._statements.cached(
            ("apply", host, key, inline, rows, one, old, with_parents, pair, above, old_above), make
        )

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
            self._statements.of_members(edge, self._statements.contributions(edge), f"ids_{n}", one=one)
            for n, edge in enumerate(inline)
        ]
        if rows:
            row_set = one_row if one else self.dialect.row_set
            parts.append(select(*row_set("rows", self.row_shape(host, key)).c))
        each = (union_all(*parts) if len(parts) > 1 else parts[0]).subquery("each_change")
        keys = [each.c[f"k{i}"] for i in range(len(key))]
        numbers = [each.c[f"d{i}"] for i in range(len(host.vector))]
        if one and len(parts) == 1:
            return select(*keys, *numbers).where(or_(*(number != _ZERO for number in numbers))).subquery(name)
        sums = [self.dialect.total(column, number) for column, number in zip(host.vector, numbers, strict=True)]
        grouped = select(*keys, *(total.label(f"d{i}") for i, total in enumerate(sums))).group_by(*keys)
        return grouped.having(or_(*(total != _ZERO for total in sums))).subquery(name)

    def update_hosts(
        self,
        host: Host,
        key: tuple[Any, ...],
        changes: FromClause,
        again: FromClause | None,
        old: bool,
        with_parents: bool,
    ) -> Update:
        """Return the UPDATE of :meth:`apply` for ``changes``, with columns ``k0`` … and ``d0`` …

        :param again: a copy of ``changes``, for a database whose RETURNING cannot refer to joined tables.
        """

        def change(i: int) -> ColumnElement[Any]:
            """Return the delta in a form that RETURNING can refer to."""
            if again is None:
                return changes.c[f"d{i}"]
            mine = (again.c[f"k{j}"] == column for j, column in enumerate(key))
            return qualified(select(again.c[f"d{i}"]).where(*mine).scalar_subquery())

        new_state = {c: self.dialect.plus(c, changes.c[f"d{i}"]) for i, c in enumerate(host.vector)}
        values = dict(new_state)
        old_values: dict[Any, ColumnElement[Any]] = {
            c: self.dialect.minus(c, change(i)) for i, c in enumerate(host.vector)
        }
        for value in host.values:
            if not value.is_additive:  # unchanged by this statement
                old_values[value.column] = value.column
                continue
            result = self.result(value, new_state)
            if result is not None:
                values[value.column] = result
                before = self.result(value, old_values)
                assert before is not None
                # with the type of the stored value, which is what it has contributed
                old_values[value.column] = cast(before, value.column.type)
        returned: list[ColumnElement[Any]] = [*host.key, *(self.dialect.returned(v.column) for v in host.values)]
        if old:
            returned += [old_values[value.column] for value in host.values]
            returned += [self.dialect.returned(column) for _, column in self.rest(host)]
        for edge in self.parents(host) if with_parents else ():
            contribution = self._statements.contribution(edge)
            returned += [*edge.key, *contribution]
            returned += [replace_columns(c, old_values) for c in contribution]
        # assigning a column to itself suppresses its onupdate: the application has not changed the row
        values |= {c: c for c in host.table.columns if c.onupdate is not None and c not in values}
        statement = update(host.table).where(*(c == changes.c[f"k{i}"] for i, c in enumerate(key)))
        return statement.values({c.key: v for c, v in values.items()}).returning(*labelled(returned))

    def result(
        self, value: ComputedValue, states: Mapping[Column[Any], ColumnElement[Any]]
    ) -> ColumnElement[Any] | None:
        """Return a computed value, with its running columns replaced by ``states``; ``None`` if it is one of them."""
        is_added = value.is_additive
        return value.result([self.dialect.operand(c, states[c]) if is_added else states[c] for c in value.running])

    def parents(self, host: Host) -> list[Edge]:
        """Return the edges whose contributions can be returned by the RETURNING of a host's UPDATE."""
        return self._statements.cached(
            ("parents", host),
            lambda: [e for e in self.affected(host) if e.own and self.reads(e, host) and self._may_be_returned(e)],
        )

    def _may_be_returned(self, edge: Edge) -> bool:
        """Whether RETURNING yields the same contribution as a SELECT."""
        if self.dialect.returns_null_tests:
            return True
        parts = (part for number in self._statements.contribution(edge) for part in visitors.iterate(number))
        return not any(getattr(part, "operator", None) in _NULL_TESTS for part in parts)

    def returned(self, host: Host, has_old: bool, with_parents: bool) -> Returned:
        """Return the layout of the columns that :meth:`apply` returns for one host."""

        def make() -> Returned:
            parents = self.parents(host) if with_parents else ()
            return Returned(host, parents, has_old, [name for name, _ in self.rest(host)])

        return self._statements.cached(("returned", host, has_old, with_parents), make)

    def rest(self, host: Host) -> list[tuple[str, Column[Any]]]:
        """Return the attributes in the host's table that its UPDATE does not change."""
        values = {value.attribute for value in host.values}
        stored = self._statements.stored(host.mapper)
        return [(n, c) for n, c in stored.items() if n not in values and c.table is host.table]

    def returns_whole_rows(self, host: Host) -> bool:
        """Whether :meth:`apply` can return all attributes of a host, whose class is known."""
        statements = self._statements
        return statements.cached(
            ("returns whole rows", host),
            lambda: (
                not statements.plan.is_narrowed(host.mapper)
                and all(column.table is host.table for column in statements.stored(host.mapper).values())
            ),
        )

    def above(self, host: Host) -> tuple[Edge, ...]:
        """Return the edges over which an UPDATE of one host may continue in the same statement."""
        return self._statements.cached(
            ("above", host), lambda: levels_above(self, host) if self.dialect.chains_updates else ()
        )

    def affected(self, host: Host) -> list[Edge]:
        """Return the edges of the host's rows that read columns written by the engine."""
        return [edge for edge in host.source.edges if edge.inputs & host.written]

    def reads(self, edge: Edge, host: Host) -> bool:
        """Whether ``edge`` reads only columns of the host's own table that the UPDATE itself writes."""
        same_row = {value.column for value in host.source.same_row}
        return host.table is host.source.table and not edge.inputs & same_row

    def read_before(
        self, host: Host, applied: frozenset[Edge], with_parents: bool
    ) -> tuple[list[Edge], list[tuple[Edge, Hop]]]:
        """Return the edges to read before the UPDATE of a host: edges of its rows, and edges of others that read it.

        :param applied: the edges whose deltas are applied; values over other edges do not change.
        :param with_parents: whether the UPDATE returns the contributions over :meth:`parents`.
        """

        def make() -> tuple[list[Edge], list[tuple[Edge, Hop]]]:
            returned = self.parents(host) if with_parents else []
            written = host.written_over(applied)
            readers = [(edge, hop) for edge, hop in host.source.readers if hop.inputs & written]
            return [e for e in host.source.edges if e.inputs & written and e not in returned], readers

        return self._statements.cached(("read before", host, applied, with_parents), make)


def _param(name: str, column: Column[Any]) -> ColumnElement[Any]:
    return bindparam(named(name), type_=column.type)


# -- several levels of hosts in one statement --------------------------------------------------------------------------
#
# If each host has one host above it, one statement can update several levels: each UPDATE is a CTE that takes its
# deltas from the RETURNING of the one below. All of them see one snapshot, so a host that became visible only while the
# statement waited for a lock is missed; its columns are returned as NULL, and the ordinary next level updates it.


def levels_above(statements: HostStatements, host: Host) -> tuple[Edge, ...]:
    """Return the edges, from ``host`` upwards, over which one statement may update several levels."""
    found: list[Edge] = []
    seen = {host.table}
    # reactions to the events of a level run before the next level
    while not host.source.same_row and statements.plan.reactions.keys().isdisjoint(host.mapper.tables):
        parents = statements.parents(host)
        if len(parents) != 1:
            break
        (edge,) = parents
        host = edge.host
        discovers = any(statements.read_before(host, frozenset(parents), with_parents=True))
        if host.table in seen or discovers or edge.host_key != host.key:
            break
        found.append(edge)
        seen.add(host.table)
    return tuple(found)


def chain_levels(
    statements: HostStatements, first: Update, host: Host, edges: Sequence[Edge], old: Sequence[bool]
) -> Select[Any]:
    """Return a statement that extends the UPDATE of ``host`` to the hosts over ``edges``.

    :param old: for each level, whether it returns values before the change.
    :return: a statement that returns the columns of all these UPDATEs, side by side.
    """
    below = first.cte("level_0")
    columns: list[ColumnElement[Any]] = list(below.c)
    joined: FromClause = below
    for n, edge in enumerate(edges, 1):
        key, changes = _changes(statements, below, host, edge, old[n - 1], named(f"changes_{n}"))
        host = edge.host
        update = statements.update_hosts(host, host.key, changes, None, old[n], with_parents=True)
        level = update.cte(f"level_{n}")
        level_key = list(level.c)[: len(host.key)]
        joined = joined.outerjoin(level, and_(*(k == m for k, m in zip(key, level_key, strict=True))))
        columns += level.c
        below = level
    return select(*(column.label(f"c{i}") for i, column in enumerate(columns))).select_from(joined)


def _changes(
    statements: HostStatements, below: CTE, host: Host, edge: Edge, old: bool, name: str
) -> tuple[Sequence[ColumnElement[Any]], FromClause]:
    """Return the key over ``edge`` in the rows of ``below``, and the deltas by this key."""
    columns = list(below.c)
    (contribution,) = statements.returned(host, old, with_parents=True).contributions
    key, new, before = columns[contribution.key], columns[contribution.new], columns[contribution.old]
    sums = [statements.dialect.total(column, n - b) for column, n, b in zip(edge.vector, new, before, strict=True)]
    changes = select(
        *(k.label(f"k{i}") for i, k in enumerate(key)),
        *(total.label(f"d{i}") for i, total in enumerate(sums)),
    ).group_by(*key)
    return key, changes.having(or_(*(total != literal_column("0") for total in sums))).subquery(name)
