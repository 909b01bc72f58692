"""Build the edges of a plan from relationships."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import Alias, Column, ColumnElement, Table, and_, literal_column
from sqlalchemy.orm import Mapper, RelationshipDirection, RelationshipProperty
from sqlalchemy.sql.elements import BinaryExpression, BindParameter, BooleanClauseList
from sqlalchemy.sql.operators import eq
from sqlalchemy.sql.visitors import iterate

from ...errors import DefinitionFault
from ...schema.checks.record_outlines import no_foreign_key
from ...schema.class_criterion import class_criterion
from ...schema.filtered_record import is_membership
from ...schema.predicates.expression_columns import check_columns, columns_of
from .column_replacement import replace_columns
from .plan_nodes import Edge, Hop, Host
from .watched_tables import Sources


class EdgeBuilder:
    """Builder of one edge and of the expressions over it.

    :ivar edge: the edge.
    :ivar member: mapper of the members, to which paths are relative.
    """

    def __init__(self, sources: Sources, host: Host, name: str) -> None:
        self._sources = sources
        self._host = host
        self._name = name
        self.edge: Edge
        self.member: Mapper[Any]
        self._member_hop: Hop | None = None
        self._hops: dict[tuple[Hop | None, Any], Hop] = {}

    # -- origin of the edge ------------------------------------------------------------------------------------

    def over_all(self, member: Mapper[Any]) -> EdgeBuilder:
        """Build the edge from all rows of a record to the single row of a dictionary."""
        self._start(member, [literal_column("1")], list(self._host.key), has_foreign_key=True)
        return self

    def over_itself(self, member: Mapper[Any]) -> EdgeBuilder:
        """Build the edge from each row of a record to itself."""
        key = list(self._host.key)
        self._start(member, key, key, has_foreign_key=True)
        self.edge.is_own_row = True
        return self

    def over(self, relationship: RelationshipProperty[Any]) -> EdgeBuilder:
        """Build the edge from the members of a relationship to its parent."""
        match relationship.direction:
            case RelationshipDirection.ONETOMANY:
                self._over_many(relationship)
            case RelationshipDirection.MANYTOMANY:
                self._over_secondary(relationship)
            case _:
                self._over_one(relationship)
        self.edge.is_deferred = any(_is_deferrable(column) for column in self.edge.key)
        _refuse_converted_keys([*self.edge.key, *self.edge.host_key, *self.edge.member_key, *self._host.key])
        return self

    def _over_many(self, relationship: RelationshipProperty[Any]) -> None:
        pairs = _column_pairs(relationship.local_remote_pairs)
        has_foreign_key = all(remote.references(local) for local, remote in pairs)
        self._start(relationship.mapper, [r for _, r in pairs], [h for h, _ in pairs], has_foreign_key)
        self._add_residue(relationship.primaryjoin, pairs, relationship)

    def _over_secondary(self, relationship: RelationshipProperty[Any]) -> None:
        link = relationship.secondary
        if not isinstance(link, Table):
            raise DefinitionFault(f"secondary of {relationship} must be a table, not {link!r}")
        to_host = _column_pairs(relationship.synchronize_pairs)
        to_member = _column_pairs(relationship.secondary_synchronize_pairs or ())
        self._over_links(relationship.mapper, link, to_host, to_member)
        self._add_residue(relationship.primaryjoin, to_host, relationship)
        if relationship.secondaryjoin is not None:
            self._add_residue(relationship.secondaryjoin, to_member, relationship)

    def over_one_way(self, relationship: RelationshipProperty[Any], link: Table, near: str) -> EdgeBuilder:
        """Build the edge from links of a symmetric relation to the record at one of their ends.

        Each link contributes to both of its records, over one edge for each end; a link of a record to itself only over
        the edge for ``"source"``.

        :param link: the table of the links.
        :param near: the end that is the host, ``"source"`` or ``"target"``.
        """
        (key,) = relationship.mapper.primary_key
        assert isinstance(key, Column)
        source, target = link.c["source_id"], link.c["target_id"]
        here, there = (source, target) if near == "source" else (target, source)
        self._over_links(relationship.mapper, link, [(key, here)], [(key, there)])
        if near == "target":
            self.edge.criteria.append(source != target)
        return self

    def _over_links(
        self,
        member: Mapper[Any],
        link: Table,
        to_host: list[tuple[Column[Any], Column[Any]]],
        to_member: list[tuple[Column[Any], Column[Any]]],
    ) -> None:
        """Start the edge at the rows of ``link``; the pairs are the keys of the records and the columns that refer."""
        links = self._sources.table(link)
        self.member = member
        self._sources.members(self.member)
        self.edge = Edge(
            name=self._name,
            member=links,
            host=self._host,
            key=[column for _, column in to_host],
            host_key=tuple(self._host_column(column) for column, _ in to_host),
            tables=(link,),
            table_join=link,
            member_key=list(links.key),
            has_foreign_key=all(remote.references(local) for local, remote in to_host),
        )
        self._read(self.edge.key)
        local = [column for _, column in to_member]
        self._read(local)
        self._member_hop = self._hop(None, self.member, local, [m for m, _ in to_member], required=True)
        self._add_inheritance(self.member)

    def _over_one(self, relationship: RelationshipProperty[Any]) -> None:
        pairs = _column_pairs(relationship.local_remote_pairs)
        mapper = self._host.mapper
        self._start(mapper, list(self._host.key), list(self._host.key), has_foreign_key=True)
        self._read([h for h, _ in pairs])
        self.member = relationship.mapper
        self._sources.members(self.member)
        self._member_hop = self._hop(None, self.member, [h for h, _ in pairs], [r for _, r in pairs], required=True)
        self._add_inheritance(self.member)
        self._add_residue(relationship.primaryjoin, pairs, relationship)

    def _start(
        self,
        member: Mapper[Any],
        key: Sequence[ColumnElement[Any]],
        host_key: Sequence[Column[Any]],
        has_foreign_key: bool,
    ) -> None:
        self.member = member
        contributing = self._sources.members(member)
        self.edge = Edge(
            name=self._name,
            member=contributing,
            host=self._host,
            key=key,
            host_key=tuple(self._host_column(column) for column in host_key),
            tables=tuple(t for t in member.tables if isinstance(t, Table)),
            table_join=member.persist_selectable,
            member_key=list(contributing.key),
            has_foreign_key=has_foreign_key,
        )
        self._read(key)
        self._add_inheritance(member)

    def _host_column(self, column: Column[Any]) -> Column[Any]:
        """Return ``column`` as a column of the host's own table, with joined inheritance possibly a subclass table."""
        if column.table is self._host.table:
            return column
        base = list(self._host.source.key)
        if column in base:
            return list(self._host.key)[base.index(column)]
        raise DefinitionFault(f"the relationship refers to {column}, which is not in table {self._host.table.name}")

    def _add_inheritance(self, member: Mapper[Any]) -> None:
        """Restrict members to their class, which with single-table inheritance shares its table with others."""
        criterion = class_criterion(member)
        if criterion is None:
            return
        try:
            self.add_criterion(criterion)
        except DefinitionFault as fault:
            raise DefinitionFault(
                f"values over {member.class_.__name__} require that polymorphic_on, which tells its rows from others "
                f"of their table, is a column or an expression over columns of the row: {fault}"
            ) from None

    def _add_residue(
        self,
        condition: ColumnElement[bool],
        pairs: list[tuple[Column[Any], Column[Any]]],
        relationship: RelationshipProperty[Any],
    ) -> None:
        """Add the conditions of a custom join, except for the equality of keys, as criteria for members."""
        for clause in _residue(condition, pairs):
            columns = columns_of(clause)
            self_referential = relationship.mapper.common_parent(relationship.parent)
            if self_referential and not all("remote" in getattr(c, "_annotations", ()) for c in columns):
                raise DefinitionFault(
                    f"the join condition of {relationship} compares columns of the parent ({clause}); mark those of "
                    "the members with remote(), conditions on the parent are not supported"
                )
            self.add_criterion(clause)

    # -- expressions -------------------------------------------------------------------------------------------

    def add_criterion(self, expression: ColumnElement[bool]) -> None:
        self.edge.criteria.append(self.adapt(expression))

    def adapt(self, expression: ColumnElement[Any]) -> ColumnElement[Any]:
        """Return a SQL expression over the member's class as an expression over the edge's FROM.

        :raises DefinitionFault: if it reads other tables.
        """
        _refuse_open_parameters(expression)
        replacements = dict(self._replacements())
        for column in check_columns(expression, replacements, self.member.class_.__name__):
            self._note(column)
        return replace_columns(expression, replacements)

    def _replacements(self) -> Iterator[tuple[Column[Any], ColumnElement[Any]]]:
        for table in self.edge.tables:
            for column in table.columns:
                yield column, column
        if self._member_hop is not None:
            for hop in [h for h in self.edge.hops if h.source is self._member_hop.source and h.required]:
                for column in hop.table.columns:
                    yield column, hop.alias.c[str(column.key)]

    def resolve(self, path: str) -> ColumnElement[Any]:
        """Return the column at the end of an x:1 path from the member; the path is known to exist.

        :raises DefinitionFault: if a step does not follow a foreign key.
        """
        *steps, last = path.split(".")
        mapper, hop = self.member, self._member_hop
        for step in steps:
            relationship = mapper.relationships[step]
            pairs = _column_pairs(relationship.local_remote_pairs)
            if more := list(_residue(relationship.primaryjoin, pairs)):
                raise DefinitionFault(
                    f"{path!r}: the join condition of {relationship} requires more than equal keys ({more[0]}), but a "
                    "path follows keys; use a relationship without this condition, and pass the condition as where="
                )
            local = [self._place(mapper, hop, column) for column, _ in pairs]
            for column, _ in pairs:
                self._note(column, hop)
            mapper = relationship.mapper
            hop = self._hop(hop, mapper, local, [remote for _, remote in pairs], required=False)
        stored = mapper.column_attrs[last].columns[0]
        assert isinstance(stored, Column)
        self._note(stored, hop)
        return self._place(mapper, hop, stored)

    def dictionary(self, mapper: Mapper[Any]) -> ColumnElement[Any]:
        """Return the value of a dictionary, which every member reads.

        :param mapper: the mapper of its single row.
        """
        source = self._sources.mapper(mapper)
        token: tuple[Hop | None, Any] = (None, mapper)
        if token not in self._hops:
            alias, (key,) = source.table.alias(f"n{len(self.edge.hops) + 1}"), source.key
            row_id: ColumnElement[Any] = literal_column("1")
            hop = Hop(source, source.table, alias, alias.c[str(key.key)] == row_id, [row_id], [key])
            self._hops[token] = self._append(hop)
        stored = mapper.column_attrs["value"].columns[0]
        assert isinstance(stored, Column)
        self._note(stored, self._hops[token])
        return self._hops[token].alias.c[str(stored.key)]

    def _place(self, mapper: Mapper[Any], hop: Hop | None, column: Column[Any]) -> ColumnElement[Any]:
        """Return ``column`` of ``mapper`` as a column of the FROM."""
        if hop is None:
            return column
        table = column.table
        if hop.table is not table:
            hop = self._hops[hop, table]
        return hop.alias.c[str(column.key)]

    def _hop(
        self,
        parent: Hop | None,
        mapper: Mapper[Any],
        local: Sequence[ColumnElement[Any]],
        remote: Sequence[Column[Any]],
        *,
        required: bool,
    ) -> Hop:
        token: tuple[Hop | None, Any] = (parent, (*(str(column) for column in local), mapper))
        if token in self._hops:
            return self._hops[token]
        if not all(isinstance(a, Column) and _refers(a, b) for a, b in zip(local, remote, strict=True)):
            raise no_foreign_key(mapper.class_.__name__)
        source = self._sources.mapper(mapper)
        tables = [t for t in mapper.tables if isinstance(t, Table)]
        first = next(t for t in tables if t is remote[0].table)
        alias = first.alias(f"n{len(self.edge.hops) + 1}")
        on = and_(*(a == alias.c[str(b.key)] for a, b in zip(local, remote, strict=True)))
        hop = self._append(Hop(source, first, alias, on, local, remote, parent, required))
        hop.checked = parent is None and all(_is_checked_at_once(column) for column in local)
        hop.is_deferred = any(_is_deferrable(column) for column in local)
        hop.inputs.update(remote)
        self._hops[token] = self._hops[hop, first] = hop
        for table in tables:
            if table is not first:  # joined inheritance: the rest of the same row
                rest = table.alias(f"n{len(self.edge.hops) + 1}")
                key = [alias.c[str(column.key)] for column in first.primary_key]
                on = and_(*(a == rest.c[str(b.key)] for a, b in zip(key, table.primary_key, strict=True)))
                below = Hop(source, table, rest, on, key, list(table.primary_key), hop, required)
                below.same_row = True
                self._hops[hop, table] = self._append(below)
        return hop

    def _append(self, hop: Hop) -> Hop:
        self.edge.hops.append(hop)
        hop.source.readers.append((self.edge, hop))
        hop.source.shared_inputs.update(hop.remote)
        hop.source.inputs.update(hop.remote)
        return hop

    def _read(self, expressions: Iterable[ColumnElement[Any]]) -> None:
        for expression in expressions:
            if isinstance(expression, Column):
                self._note(expression)

    def _note(self, column: Column[Any], hop: Hop | None = None) -> None:
        """Record that the edge reads ``column``."""
        table = column.table
        if hop is None and table in self.edge.tables:
            original = table.c[column.key]
            self.edge.inputs.add(original)
            self.edge.member.inputs.add(original)
            return
        hop = hop or self._member_hop
        assert hop is not None
        original = table.c[column.key]
        hop.inputs.add(original)
        hop.source.inputs.add(original)
        hop.source.shared_inputs.add(original)


def _refers(local: Column[Any], remote: Column[Any]) -> bool:
    table = local.table
    original = table.element.c[local.key] if isinstance(table, Alias) else local
    return any(key.column is remote for key in original.foreign_keys)


def _column_pairs(
    pairs: Iterable[tuple[ColumnElement[Any], ColumnElement[Any]]],
) -> list[tuple[Column[Any], Column[Any]]]:
    """Return the pairs of a relationship that consist of table columns."""
    return [(a, b) for a, b in pairs if isinstance(a, Column) and isinstance(b, Column)]


def _is_deferrable(column: ColumnElement[Any]) -> bool:
    return any(key.deferrable or (key.constraint and key.constraint.deferrable) for key in _keys_of(column))


def _keys_of(column: ColumnElement[Any]) -> Iterable[Any]:
    table = getattr(column, "table", None)
    return (table.element.c[column.key] if isinstance(table, Alias) else column).foreign_keys


def _is_checked_at_once(column: ColumnElement[Any]) -> bool:
    keys = column.foreign_keys
    return bool(keys) and all((key.constraint.initially or "").upper() != "DEFERRED" for key in keys if key.constraint)


def _residue(
    condition: ColumnElement[bool], pairs: list[tuple[Column[Any], Column[Any]]]
) -> Iterator[ColumnElement[Any]]:
    """Yield the conditions of a join, except for the equality of keys."""
    for clause in _conjuncts(condition):
        if isinstance(clause, BinaryExpression) and clause.operator is eq:
            sides = {clause.left, clause.right}
            if any(sides == {local, remote} for local, remote in pairs):
                continue
        yield clause


def _conjuncts(condition: ColumnElement[bool]) -> Iterator[ColumnElement[Any]]:
    if isinstance(condition, BooleanClauseList) and condition.operator.__name__ == "and_":
        for clause in condition.clauses:
            yield from _conjuncts(clause)
    else:
        yield condition


def stored_attributes(mapper: Mapper[Any]) -> Iterator[str]:
    """Yield the attributes that are columns, not SQL expressions, without memberships."""
    columns = ((prop.key, prop.columns[0]) for prop in mapper.column_attrs)
    return (name for name, column in columns if isinstance(column, Column) and not is_membership(column))


def flatten_attributes(query: Any, mapper: Mapper[Any], prefix: str = "") -> Iterator[str]:
    """Yield the dotted paths of an attribute query."""
    for item in query:
        if item == "*":
            yield from (f"{prefix}{name}" for name in stored_attributes(mapper))
        elif isinstance(item, str):
            yield f"{prefix}{item}"
        else:
            name, nested = item
            query_of = nested["attribute_query"] if isinstance(nested, Mapping) else nested
            below = mapper.relationships[name].mapper
            yield from flatten_attributes(query_of, below, f"{prefix}{name}.")


def _refuse_open_parameters(expression: ColumnElement[Any]) -> None:
    for element in iterate(expression):
        if isinstance(element, BindParameter) and (element.required or element.callable is not None):
            raise DefinitionFault(
                f"bindparam({element.key!r}) in {expression} has another value in each execution, which a stored value "
                "cannot depend on; write the value, or a column, into the condition"
            )


def _refuse_converted_keys(columns: Iterable[ColumnElement[Any]]) -> None:
    for column in columns:
        if column.type._has_bind_expression or column.type._has_column_expression:
            raise DefinitionFault(
                f"{column} is a key whose type converts values in SQL (bind_expression), which arrays of keys do not "
                "support; convert them in process_bind_param() and process_result_value()"
            )
