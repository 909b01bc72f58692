"""Queries that return records as plain dicts."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any

from sqlalchemy import Dialect, Select, func, select
from sqlalchemy.orm import Mapper, Session

from ..definitions.type_aliases import Where
from ..dialects import dialect_class
from .attributes import Modifier, Selection, key_attributes
from .pagination import Page, decode_cursor, encode_cursor, later_than
from .paths import Paths
from .query_cache import QueryCache
from .query_execution import QueryExecution
from .query_parameters import OtherStatementNeeded, Parameters, Values, add_value
from .query_plan import Query, QueryBuilder, matched, order_parts, ordered, total_order
from .query_shape import parametrized_match, selection_shape
from .record_makers import Layout, Record, Row, RowShape

#: builds the statements of a query
Build = Callable[[QueryBuilder, Parameters], Query]


def find(session: Session, selection: Selection, match: Where | None, modifier: Modifier) -> list[Record]:
    """Return the records that match ``match``, with the attributes in ``selection``."""
    if modifier.limit == 0:
        return []
    mapper, entity = selection.mapper, selection.mapper.class_
    values = Values()
    match = parametrized_match(match, values)
    selection, shape = selection_shape(selection, values)
    limit, offset = _limits(modifier, values)

    def build(builder: QueryBuilder, parameters: Parameters) -> Query:
        paths, columns = builder.paths(mapper, entity), list[Any]()
        layout = builder.layout(selection, entity, paths, columns)
        statement = _selected(columns, entity)
        statement = matched(statement, mapper, entity, paths, match, ordered(paths, modifier))
        return Query(parameters, builder.level(_limited(statement, parameters, limit, offset), RowShape(layout)))

    key = ("find", shape, match, *modifier.order_by.items(), limit, offset)
    records, _ = _run(session, mapper, key, values, build)
    return records


def find_page(
    session: Session, selection: Selection, match: Where | None, modifier: Modifier, after: str | None
) -> Page:
    """Return the records that match ``match`` and come after a cursor, with the cursor after them.

    Records that are equal in the order of ``modifier`` are sorted by their keys.
    """
    mapper, entity = selection.mapper, selection.mapper.class_
    null_is_last = dialect_class(dialect_of(session, mapper)).sorts_null_last
    order = total_order(mapper, modifier)
    values = Values()
    match = parametrized_match(match, values)
    selection, shape = selection_shape(selection, values)
    limit, offset = _limits(modifier, values)
    behind: list[Any] = []
    if after is not None:
        found = decode_cursor(order, after)
        behind = [None if value is None else add_value(value, values) for value in found]

    def build(builder: QueryBuilder, parameters: Parameters) -> Query:
        paths, columns = builder.paths(mapper, entity), list[Any]()
        layout = builder.layout(selection, entity, paths, columns)
        parts = list(order_parts(paths, order, null_is_last=null_is_last))
        statement = _selected([*columns, *(part.column for part in parts)], entity)
        if behind:
            given = [paths.operand(part.path, part.column, ">", v) for part, v in zip(parts, behind, strict=True)]
            statement = statement.where(later_than(parts, given))
        statement = matched(statement, mapper, entity, paths, match, [part.ordered for part in parts])
        level = builder.level(_limited(statement, parameters, limit, offset), RowShape(layout))
        return Query(parameters, level, len(parts))

    if modifier.limit == 0:
        builder = QueryBuilder(dialect_of(session, mapper), Parameters(dialect_of(session, mapper), values))
        build(builder, Parameters(dialect_of(session, mapper), values))  # still raises the errors of an invalid query
        return Page()
    key = ("page", shape, match, *order, limit, offset, *behind)
    records, last = _run(session, mapper, key, values, build)
    return Page(records, None if last is None else encode_cursor(order, last))


def count(session: Session, mapper: Mapper[Any], match: Where | None) -> int:
    """Return the number of records that match ``match``."""
    entity = mapper.class_
    values = Values()
    match = parametrized_match(match, values)

    def build(builder: QueryBuilder, parameters: Parameters) -> Query:
        statement: Select[Any] = select(func.count().label("c0")).select_from(entity)
        statement = matched(statement, mapper, entity, builder.paths(mapper, entity), match, [])
        return Query(parameters, builder.level(statement, RowShape(Layout(["count"], 0, []))))

    ((found,), _) = _run(session, mapper, ("count", mapper, match), values, build)
    return int(found["count"])


def matching(session: Session, mapper: Mapper[Any], match: Where | None) -> Select[Any]:
    """Return the statement for the mapped instances that match ``match``, in the order of their keys."""
    entity = mapper.class_
    order = [getattr(entity, name) for name in key_attributes(mapper)]
    values = Values()
    match = parametrized_match(match, values)
    dialect = dialect_of(session, mapper)
    parameters = Parameters(dialect, values, is_inline=True)
    statement = matched(select(entity), mapper, entity, Paths(mapper, entity, dialect, None, parameters), match, order)
    if parameters.has_lists:
        parameters.operations.prepare(session.connection(bind_arguments={"mapper": mapper}))
    return statement


def dialect_of(session: Session, mapper: Mapper[Any]) -> Dialect:
    """Return the dialect of the database with the rows of ``mapper``."""
    return session.get_bind(mapper=mapper).dialect


def _run(
    session: Session, mapper: Mapper[Any], key: Hashable | None, values: Values, build: Build
) -> tuple[list[Record], Row | None]:
    """Run a query, whose statements are built if they are not cached.

    :param key: the shape of the query; ``None`` if it must not be cached.
    :return: the records, and the position of the last one in the order.
    """
    if values.with_sql:
        key = None
    dialect = dialect_of(session, mapper)
    cache = QueryCache.of(mapper)
    query = cache.get(dialect, key)
    given: dict[str, Any] | None = None
    if query is not None:
        try:
            given = query.parameters.filled(values)
        except OtherStatementNeeded:
            query = key = None
    if query is None or given is None:
        parameters = Parameters(dialect, values)
        parameters.can_be_kept = key is not None
        query = build(QueryBuilder(dialect, parameters), parameters)
        given = parameters.filled(values)
        parameters.forget_values()
        if parameters.can_be_kept:
            cache.put(dialect, key, query)
    session._autoflush()  # pyright: ignore[reportPrivateUsage]  as SQLAlchemy does before a SELECT
    return QueryExecution(session, mapper, query, given).run()


def _selected(columns: Sequence[Any], entity: Any) -> Select[Any]:
    statement: Select[Any] = select().select_from(entity)
    return statement.add_columns(*(column.label(f"c{n}") for n, column in enumerate(columns)))


def _limits(modifier: Modifier, values: Values) -> tuple[Any, Any]:
    limit, offset = modifier.limit, modifier.offset
    return (
        None if limit is None else add_value(limit, values, "limit"),
        None if offset is None else add_value(offset, values, "offset"),
    )


def _limited(statement: Select[Any], parameters: Parameters, limit: Any, offset: Any) -> Select[Any]:
    if limit is not None:
        statement = statement.limit(parameters.number(limit))
    return statement if offset is None else statement.offset(parameters.number(offset))
