"""The statements of a query, and the positions of attributes in their rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from sqlalchemy import ColumnElement, Dialect, Select, bindparam, func, select, tuple_
from sqlalchemy.orm import Mapper, RelationshipProperty, aliased

from ..definitions.match import MatchExp
from ..definitions.type_aliases import Where
from ..dialects.base import named
from ..schema.predicates.match import compile_where
from ..session.compiled_statement import CachedText
from .attributes import Modifier, Nested, Selection, key_attributes, near_end
from .pagination import OrderPart
from .paths import Paths
from .query_parameters import Parameters, is_sql, list_type
from .record_makers import Layout, RowShape, Separate
from .relationship_shapes import is_joinable, keys_of_parent

#: parameter with the keys of the records whose neighbours a statement finds
KEYS = "keys"


@dataclass(slots=True)
class Level:
    """One statement of a query.

    :ivar text: the statement compiled for the driver; ``None`` if SQLAlchemy has to run it.
    """

    statement: Select[Any]
    text: CachedText | None
    shape: RowShape


@dataclass(slots=True)
class Branch(Separate):
    """Neighbours that are found by a separate statement, for all records of a level at once.

    :ivar keys: names and types of the keys of these records, if they are one parameter; ``None`` if they are several.
    """

    level: Level
    keys: tuple[tuple[str, Any], ...] | None


@dataclass(slots=True)
class Query:
    """The statements of a query of one shape.

    :ivar order_values: the number of columns at the end of a root row that determine its position in the order.
    """

    parameters: Parameters
    root: Level
    order_values: int = 0


class QueryBuilder:
    """Builds the statements of one query.

    :param parameters: the parameters of the query's values.
    """

    def __init__(self, dialect: Dialect, parameters: Parameters) -> None:
        self._dialect = dialect
        self._parameters = parameters

    def paths(self, mapper: Mapper[Any], entity: Any) -> Paths:
        """Return the paths from ``entity``, whose operands are parameters of the query."""
        return Paths(mapper, entity, self._dialect, parameters=self._parameters)

    def level(self, statement: Select[Any], shape: RowShape) -> Level:
        """Return ``statement`` with its compiled text."""
        text = CachedText.of(statement, self._dialect) if self._parameters.can_be_kept else None
        return Level(statement, text, shape)

    def layout(self, selection: Selection, entity: Any, paths: Paths, columns: list[Any], prefix: str = "") -> Layout:
        """Append the columns of ``selection`` to ``columns``; return their layout."""
        start = len(columns)
        columns += (getattr(entity, name) for name in selection.columns)
        key = [start + selection.columns.index(name) for name in key_attributes(selection.mapper)]
        found = Layout(selection.columns, start, key)
        for name, nested in selection.nested.items():
            if is_joinable(nested):
                path = f"{prefix}{name}"
                found.parts[name] = self.layout(
                    nested.selection, paths.entity(path)[1], paths, columns, prefix=f"{path}."
                )
            else:
                found.parts[name] = self._branch(selection.mapper, name, nested)
        return found

    def _branch(self, mapper: Mapper[Any], name: str, nested: Nested) -> Branch:
        child = aliased(nested.selection.mapper)
        paths = self.paths(nested.selection.mapper, child)
        columns: list[Any] = []
        layout = self.layout(nested.selection, child, paths, columns)
        statement, key, link, link_paths = self._way(mapper, name, nested, child)
        link_layout = None
        if nested.selection.link is not None and link_paths is not None:
            link_layout = self.layout(nested.selection.link, link, link_paths, columns)
        parent_key = list(range(len(columns), len(columns) + len(key)))
        columns += key
        statement = statement.add_columns(*(column.label(f"c{n}") for n, column in enumerate(columns)))
        if link_paths is not None and nested.link is not None:
            statement = link_paths.join(statement)
            paths.begin_at_link(nested.link, link)
        criterion, keys = self._of_parents(key)
        order = ordered(paths, nested.modifier) or [
            getattr(child, attribute) for attribute in key_attributes(nested.selection.mapper)
        ]
        statement = matched(statement.where(criterion), nested.selection.mapper, child, paths, nested.match, order)
        statement = _page_per_parent(statement, key, order, nested.modifier)
        level = self.level(statement, RowShape(layout, link_layout, parent_key))
        return Branch(bool(nested.relationship.uselist), level, keys)

    def _way(
        self, mapper: Mapper[Any], name: str, nested: Nested, child: Any
    ) -> tuple[Select[Any], list[ColumnElement[Any]], Any, Paths | None]:
        """Return the FROM of the neighbours, the key of their parents in it, and the link."""
        if nested.link is None:
            own = keys_of_parent(nested.relationship)
            if own is not None:
                return select().select_from(child), [getattr(child, key) for key in own], None, None
            parent = aliased(mapper)
            statement = select().select_from(parent).join(getattr(parent, name).of_type(child))
            return statement, [getattr(parent, key) for key in key_attributes(mapper)], None, None
        links: RelationshipProperty[Any] = mapper.relationships[f"{name}_links"]
        link = aliased(nested.link)
        near = near_end(links)
        far = "target" if near == "source" else "source"
        own = keys_of_parent(links)
        if own is not None:
            statement, key = select().select_from(link), [getattr(link, attribute) for attribute in own]
        else:
            parent = aliased(mapper)
            statement = select().select_from(parent).join(getattr(parent, links.key).of_type(link))
            key = [getattr(parent, attribute) for attribute in key_attributes(mapper)]
        statement = statement.join(getattr(link, far).of_type(child))
        return statement, key, link, self.paths(nested.link, link)

    def _of_parents(self, key: Sequence[ColumnElement[Any]]) -> tuple[ColumnElement[bool], Any]:
        operations = self._parameters.operations
        types = [list_type(column.type, operations) for column in key]
        if None not in types:
            self._parameters.has_lists = True
            shape = tuple((f"k{n}", type_) for n, type_ in enumerate(types))
            return operations.contains(key, KEYS, shape), shape  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        left = key[0] if len(key) == 1 else tuple_(*key)
        return left.in_(bindparam(named(KEYS), expanding=True)), None


def matched(
    statement: Select[Any],
    mapper: Mapper[Any],
    entity: Any,
    paths: Paths,
    match: Where | None,
    order: Sequence[ColumnElement[Any]],
) -> Select[Any]:
    """Return ``statement`` with a match, an order, and the joins that both need."""
    if match is not None:
        statement = statement.where(_criterion(match, entity, paths))
    return paths.join(statement).order_by(*order)


def _criterion(match: Where, entity: Any, paths: Paths) -> ColumnElement[bool]:
    if not isinstance(match, MatchExp):
        if is_sql(match):
            return compile_where(match, entity, paths.resolve, paths.exist, paths.operand)
        match = MatchExp.from_object(cast("Mapping[str, Any]", match))
    return paths.fulfils(match)


def ordered(paths: Paths, modifier: Modifier) -> list[ColumnElement[Any]]:
    """Return the columns of the order in ``modifier``, with their directions."""
    return [
        paths.order(path).desc() if direction.upper() == "DESC" else paths.order(path).asc()
        for path, direction in modifier.order_by.items()
    ]


def total_order(mapper: Mapper[Any], modifier: Modifier) -> list[tuple[str, bool]]:
    """Return the attributes of a total order of the records, and whether each is descending."""
    wanted = {path: direction.upper() == "DESC" for path, direction in modifier.order_by.items()}
    keys = {key: False for key in key_attributes(mapper) if key not in wanted}
    return [*wanted.items(), *keys.items()]


def order_parts(paths: Paths, order: Sequence[tuple[str, bool]], *, null_is_last: bool) -> Iterator[OrderPart]:
    """Yield the parts of an order with their columns."""
    for path, descends in order:
        yield OrderPart(path, paths.order(path), descends, null_is_last=null_is_last is not descends)


def _page_per_parent(statement: Select[Any], key: list[Any], order: list[Any], modifier: Modifier) -> Select[Any]:
    if modifier.limit is None and not modifier.offset:
        return statement
    rank = func.row_number().over(partition_by=key, order_by=order).label("rank")
    ranked = statement.order_by(None).add_columns(rank).subquery()
    first = modifier.offset or 0
    page = select(*(column for column in ranked.c if column.name != "rank")).where(ranked.c.rank > first)
    if modifier.limit is not None:
        page = page.where(ranked.c.rank <= first + modifier.limit)
    return page.order_by(ranked.c.rank)
