"""Apply pending deltas of aggregates that are selected instead of summed, such as Min and Max."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    Column,
    ColumnElement,
    Executable,
    FromClause,
    Select,
    Subquery,
    and_,
    case,
    func,
    literal_column,
    not_,
    or_,
    select,
    type_coerce,
    union_all,
    update,
)

from ...dialects import Lock
from ...dialects.base import RowShape, named
from ..database.pending_deltas import PendingDelta, Row, Touched
from ..plan import Key
from ..plan.column_replacement import labelled
from ..propagation.write_bracket import Changed, NamedRows, Write, WriteBracket
from ..sql.aggregate_updates import HostStatements
from ..sql.ranked_members import (
    comes_before,
    in_order,
    is_ranking,
    is_read_in_order,
    leading,
    ranked_members,
    selection_of,
)

if TYPE_CHECKING:
    from ..plan import ComputedValue, Edge
    from ..propagation.propagation import Propagation


@dataclass
class SelectionDelta:
    """The pending deltas of an edge that is not additive.

    :ivar left: host key and old value of members that left.
    :ivar joined: host key and new value of members that were added.
    :ivar targets: the hosts, by the columns that members refer to.
    """

    edge: Edge
    left: list[Row]
    joined: list[Row]
    targets: set[Key]

    @property
    def columns(self) -> tuple[Column[Any], ...]:
        """The columns by which members refer to their hosts."""
        return self.edge.host_key


class SelectionUpdates:
    """The UPDATEs of such values in one propagation.

    A host is locked before the decision whether a member that leaves may have been the selected one; only in this case
    the members of the host are read again. Added members are compared with the stored value.
    """

    def __init__(self, propagation: Propagation) -> None:
        self._propagation = propagation
        self._statements = propagation.db.statements
        self._dialect = propagation.db.dialect

    def prepare(self, edge: Edge, delta: PendingDelta) -> SelectionDelta | None:
        """Lock the rows that members read, and find the hosts that may change; ``None`` if there are none."""
        propagation, width = self._propagation, len(edge.key)
        if delta.unlocked:
            propagation.reader.lock_neighbours(edge, list(delta.unlocked), edge.hops)
        for hop, keys in delta.beyond.items():
            propagation.reader.lock_neighbours(edge, list(keys), (hop,))
        ids = list(delta.ids)
        come = [row for row in propagation.reader.contributions(edge, ids) if None not in row[:width]] if ids else []
        left, joined = _differing(delta.rows, come, width)
        targets = {row[:width] for row in (*left, *joined)}
        return SelectionDelta(edge, left, joined, targets) if targets else None

    def apply(self, change: SelectionDelta, *, locked: bool) -> None:
        """Update the hosts.

        :param locked: whether the hosts are locked.
        """
        propagation, edge, left, targets = self._propagation, change.edge, change.left, change.targets
        width = len(edge.key)
        grows = not left and all(self._grows(value) for value in _values(edge))
        if left:
            propagation.db.require_latest_rows(
                edge.member, f"{edge.name}: the search for the member that is selected next", edge.joined_tables
            )
        values = _values(edge)
        is_seen = not grows or self._is_seen(edge)
        bracket = self._open(edge, targets) if is_seen else None
        if not is_seen and not locked and not (len(targets) == 1 and edge.host.is_known_by(change.columns)):
            propagation.reader.lock_targets(edge.host, {change.columns: targets})
        statement = self._statements.cached(("select", edge, grows), lambda: self._update(edge, grows=grows))
        nothing = (None,) * len(edge.vector)
        rows = [(*row, *nothing) for row in left]
        rows += [(*row[:width], *nothing, *row[width:]) for row in change.joined]
        parameters = self._dialect.pack("rows", self._shape(edge), rows)
        found = propagation.db.execute(edge.host.source, statement, parameters)
        size = len(edge.host.key)
        changed = [tuple(row[:size]) for row in found]
        for key, row in zip(changed, found, strict=True):
            propagation.db.memory.refresh(values, key, tuple(row[size:]))
        propagation.changed(edge.host, changed)
        if bracket is not None:
            bracket.close(Changed(edge.host.source, changed, edge.host.written_over([edge])))

    def _grows(self, value: ComputedValue) -> bool:
        """Whether new members can be compared with the stored value."""
        if is_ranking(value):
            return True
        selection = selection_of(value)
        return selection.joined(value.running, value.running) is not None

    def _is_seen(self, edge: Edge) -> bool:
        """Whether other values, rows or events depend on a change of the host."""
        host = edge.host
        written = host.written_over([edge])
        mutations = self._propagation.mutations
        return (
            any(other.inputs & written for other in host.source.edges)
            or any(hop.inputs & written for _, hop in host.source.readers)
            or bool(host.source.same_row)
            or (mutations is not None and mutations.wanted(host.mapper))
        )

    def _open(self, edge: Edge, targets: set[Key]) -> WriteBracket:
        """Lock hosts, and read their contributions and old images."""
        propagation, host = self._propagation, edge.host
        key = edge.host_key
        keys = list(targets) if key == host.source.key else propagation.reader.lock_targets(host, {key: targets})
        columns = host.written_over([edge])
        lock = max(host.source.lock_to_change(columns), Lock.NO_KEY_UPDATE)
        touched = {host.source: Touched(dict.fromkeys(keys, lock), columns)}
        bracket = WriteBracket(propagation)
        bracket.open(Write(touched, named=NamedRows(host.source, host.mapper, keys)))
        return bracket

    # -- statements --------------------------------------------------------------------------------------------

    def _shape(self, edge: Edge) -> RowShape:
        """Return the shape of rows of deltas: host key, old values of members that left, values of added members."""
        types = [self._dialect.transport_type(column.type) for column in edge.vector]
        keys = HostStatements.of(self._statements).host_shape(edge.host_key)
        return (
            *keys,
            *((f"l{i}", type_) for i, type_ in enumerate(types)),
            *((f"c{i}", type_) for i, type_ in enumerate(types)),
        )

    def _update(self, edge: Edge, *, grows: bool) -> Executable:
        host, width = edge.host, len(edge.key)
        rows = self._dialect.row_set("rows", self._shape(edge))
        keys = [rows.c[f"k{i}"] for i in range(width)]
        changes = self._changes(edge, rows, keys, sides=("c",) if grows else ("l", "c"))
        assigned: dict[str, Any] = {c.key: c for c in host.table.columns if c.onupdate is not None}
        returned: list[ColumnElement[Any]] = [*host.key]
        for value in _values(edge):
            states = self._states(edge, value, changes, grows=grows)
            assigned |= {column.key: state for column, state in states.items()}
            result = value.result([states[column] for column in value.running])
            if result is not None:
                assigned[value.column.key] = self._dialect.as_stored(result, value.column)
            returned.append(self._dialect.returned(value.column))
        statement = update(host.table).where(*(c == changes.c[f"k{i}"] for i, c in enumerate(edge.host_key)))
        return statement.values(assigned).returning(*labelled(returned))

    def _changes(
        self, edge: Edge, rows: FromClause, keys: Sequence[ColumnElement[Any]], sides: Iterable[str]
    ) -> Subquery:
        """Return, for each host key, the values of the members that left (``l0`` …) and were added (``c0`` …).

        :param sides: ``"l"`` and ``"c"``, or one of them.
        """
        totals: list[ColumnElement[Any]] = []
        found: list[tuple[Subquery, Sequence[ColumnElement[Any]]]] = []
        for value in _values(edge):
            places = [edge.vector.index(column) for column in value.running]
            for side in sides:
                shown = [type_coerce(rows.c[f"{side}{i}"], edge.vector[i].type) for i in places]
                if is_ranking(value):
                    first = leading(value, keys, shown, named(f"{side}_{places[0]}"))
                    labels = [first.c[f"v{n}"].label(f"{side}{i}") for n, i in enumerate(places)]
                    found.append((first, labels))
                else:
                    totals += [
                        total.label(f"{side}{i}")
                        for i, total in zip(places, selection_of(value).total(shown), strict=True)
                    ]
        changes = select(*keys, *totals).group_by(*keys).subquery(named("changes"))
        if not found:
            return changes
        joined: FromClause = changes
        columns: list[ColumnElement[Any]] = list(changes.c)
        for first, values in found:
            joined = joined.outerjoin(first, and_(*(changes.c[f"k{i}"] == first.c[f"k{i}"] for i in range(len(keys)))))
            columns += values
        return select(*columns).select_from(joined).subquery(named("all_changes"))

    def _states(
        self, edge: Edge, value: ComputedValue, changes: Any, *, grows: bool
    ) -> dict[Column[Any], ColumnElement[Any]]:
        """Return the running columns of a value after the changes."""
        places = [edge.vector.index(column) for column in value.running]
        come = [type_coerce(changes.c[f"c{i}"], edge.vector[i].type) for i in places]
        joined = self._joined(value, come)
        if joined is not None and grows:
            return dict(zip(value.running, joined, strict=True))
        left = [type_coerce(changes.c[f"l{i}"], edge.vector[i].type) for i in places]
        again = self._first(edge, value) if is_read_in_order(value) else self._selected(edge, value)
        if joined is None:
            return dict(zip(value.running, again, strict=True))
        if is_ranking(value):
            has_left: ColumnElement[bool] = left[1].is_not(None)
            may_change: Any = not_(comes_before(value, value.running, left))
        else:
            has_left = or_(*(part.is_not(None) for part in left))
            may_change = selection_of(value).may_change(value.running, left)
        reads = and_(has_left, func.coalesce(may_change, True))
        return {
            column: case((reads, fresh), else_=kept)
            for column, fresh, kept in zip(value.running, again, joined, strict=True)
        }

    def _joined(self, value: ComputedValue, come: Sequence[ColumnElement[Any]]) -> Sequence[ColumnElement[Any]] | None:
        """Return the running columns after members were added; ``None`` if all members have to be read."""
        if not is_ranking(value):
            return selection_of(value).joined(value.running, come)
        leads = and_(come[1].is_not(None), or_(value.running[1].is_(None), comes_before(value, come, value.running)))
        return [case((leads, new), else_=column) for column, new in zip(value.running, come, strict=True)]

    def _first(self, edge: Edge, value: ComputedValue) -> list[ColumnElement[Any]]:
        """Return the running columns of a value, read from the first member of the host being updated."""
        ways = [ranked_members(self._statements, way, value) for way in edge.ways]
        members = (union_all(*ways) if len(ways) > 1 else ways[0]).subquery(named("members"))
        shown = [members.c[f"v{i}"] for i in range(len(value.running))]
        found: list[ColumnElement[Any]] = []
        for column, each in zip(value.running, shown, strict=True):
            statement = select(type_coerce(each, column.type)).select_from(members)
            if edge.host.constant is None:
                matches = (c == members.c[f"k{i}"] for i, c in enumerate(edge.host_key))
                statement = statement.where(*matches).correlate(edge.host.table)
            found.append(statement.order_by(*in_order(value, shown)).limit(literal_column("1")).scalar_subquery())
        return found

    def _selected(self, edge: Edge, value: ComputedValue) -> list[ColumnElement[Any]]:
        """Return the running columns of a value, selected from all members of the host being updated."""
        ways = [self._statements.contributions(way) for way in edge.ways]
        members = (union_all(*ways) if len(ways) > 1 else ways[0]).subquery(named("members"))
        shown = [type_coerce(members.c[f"d{edge.vector.index(c)}"], c.type) for c in value.running]
        found: list[ColumnElement[Any]] = []
        for total in selection_of(value).total(shown):
            statement: Select[Any] = select(total).select_from(members)
            if edge.host.constant is None:
                matches = (c == members.c[f"k{i}"] for i, c in enumerate(edge.host_key))
                statement = statement.where(*matches).correlate(edge.host.table)
            found.append(statement.scalar_subquery())
        return found


def _differing(left: Sequence[Row], come: Sequence[Row], width: int) -> tuple[list[Row], list[Row]]:
    """Return the members that left and were added, without those that are unchanged or do not count."""
    before = Counter(row for row in left if any(part is not None for part in row[width:]))
    after = Counter(row for row in come if any(part is not None for part in row[width:]))
    return list(before - after), list(after - before)


def _values(edge: Edge) -> list[ComputedValue]:
    return [part.value for part in edge.parts]
