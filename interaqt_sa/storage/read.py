"""Records as plain dicts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from copy import deepcopy
from itertools import islice
from typing import Any, TypeAlias

from sqlalchemy import ColumnElement, Dialect, Select, func, select, tuple_
from sqlalchemy.orm import Mapper, Session, aliased

from ..definitions.argument_types import Where
from ..dialects import dialect_class
from ..schema.predicates.match import compile_where
from .attributes import LINK, Modifier, Nested, Selection, key_attributes
from .pages import OrderPart, Page, decode_cursor, encode_cursor, later_than
from .paths import Paths

Record: TypeAlias = dict[str, Any]
Key: TypeAlias = tuple[Any, ...]

#: So many parents at once; databases limit the parameters of a statement.
_CHUNK = 500


def find(session: Session, selection: Selection, match: Where | None, modifier: Modifier) -> list[Record]:
    """Return the records that fulfil ``match``, with the attributes in ``selection``."""
    if modifier.limit == 0:
        return []
    entity = selection.mapper.class_
    paths = Paths(selection.mapper, entity, dialect_of(session, selection.mapper))
    statement: Select[Any] = select().add_columns(*_columns(entity, selection)).select_from(entity)
    statement = _matched(statement, selection.mapper, entity, paths, match, _order(paths, modifier))
    statement = statement.limit(modifier.limit).offset(modifier.offset)
    records = [_record(selection, row) for row in session.execute(statement)]
    _add_neighbours(session, selection, records)
    return records


def find_page(
    session: Session, selection: Selection, match: Where | None, modifier: Modifier, after: str | None
) -> Page:
    """Return the records that fulfil ``match`` and come after a cursor, with the cursor behind them.

    Records that are equal in the order of ``modifier`` follow each other by their keys.
    """
    mapper, entity = selection.mapper, selection.mapper.class_
    dialect = dialect_of(session, mapper)
    paths = Paths(mapper, entity, dialect)
    order = _total_order(paths, mapper, modifier, null_is_last=dialect_class(dialect).sorts_null_last)
    statement: Select[Any] = select().add_columns(*_columns(entity, selection)).select_from(entity)
    statement = statement.add_columns(*(part.column.label(f"order{n}") for n, part in enumerate(order)))
    if after is not None:
        values = decode_cursor(order, after)
        given = [paths.operand(part.path, part.column, ">", value) for part, value in zip(order, values, strict=True)]
        statement = statement.where(later_than(order, given))
    statement = _matched(statement, mapper, entity, paths, match, [part.ordered for part in order])
    if modifier.limit == 0:
        return Page()
    rows = session.execute(statement.limit(modifier.limit).offset(modifier.offset)).all()
    records = [_record(selection, row) for row in rows]
    _add_neighbours(session, selection, records)
    return Page(records, encode_cursor(order, rows[-1][-len(order) :]) if rows else None)


def count(session: Session, mapper: Mapper[Any], match: Where | None) -> int:
    """Return how many records fulfil ``match``."""
    entity = mapper.class_
    statement: Select[Any] = select(func.count()).select_from(entity)
    paths = Paths(mapper, entity, dialect_of(session, mapper))
    return int(session.scalar(_matched(statement, mapper, entity, paths, match, [])) or 0)


def matching(session: Session, mapper: Mapper[Any], match: Where | None) -> Select[Any]:
    """Return the statement for the mapped instances that fulfil ``match``, in the order of their keys."""
    entity = mapper.class_
    order = [getattr(entity, name) for name in key_attributes(mapper)]
    return _matched(select(entity), mapper, entity, Paths(mapper, entity, dialect_of(session, mapper)), match, order)


def dialect_of(session: Session, mapper: Mapper[Any]) -> Dialect:
    """Return the dialect of the database that holds the rows of ``mapper``."""
    return session.get_bind(mapper=mapper).dialect


def _matched(
    statement: Select[Any],
    mapper: Mapper[Any],
    entity: Any,
    paths: Paths,
    match: Where | None,
    order: Sequence[ColumnElement[Any]],
) -> Select[Any]:
    if match is not None:
        statement = statement.where(compile_where(match, entity, paths.resolve, paths.exist, paths.operand))
    return paths.join(statement).order_by(*order)


def _order(paths: Paths, modifier: Modifier) -> list[ColumnElement[Any]]:
    return [
        paths.resolve(path).desc() if direction.upper() == "DESC" else paths.resolve(path).asc()
        for path, direction in modifier.order_by.items()
    ]


def _total_order(paths: Paths, mapper: Mapper[Any], modifier: Modifier, *, null_is_last: bool) -> list[OrderPart]:
    wanted = {path: direction.upper() == "DESC" for path, direction in modifier.order_by.items()}
    keys = key_attributes(mapper)
    return [
        OrderPart(path, paths.resolve(path), descends, null_is_last=null_is_last is not descends)
        for path, descends in (wanted | {key: False for key in keys if key not in wanted}).items()
    ]


def _columns(entity: Any, selection: Selection) -> list[Any]:
    return [getattr(entity, name) for name in selection.columns]


def _record(selection: Selection, values: Sequence[Any]) -> Record:
    return dict(zip(selection.columns, values, strict=False))


def _key(selection: Selection, record: Record) -> Key:
    return tuple(record[name] for name in key_attributes(selection.mapper))


def _add_neighbours(session: Session, selection: Selection, records: list[Record]) -> None:
    """Put into ``records`` what is asked of their neighbours: one statement per relationship, not per record."""
    for name, nested in selection.nested.items():
        found: dict[Key, list[Record]] = {}
        keys = iter(dict.fromkeys(_key(selection, record) for record in records))
        while chunk := list(islice(keys, _CHUNK)):
            for key, neighbour in _neighbours(session, selection.mapper, name, nested, chunk):
                found.setdefault(key, []).append(neighbour)
        neighbours = [neighbour for group in found.values() for neighbour in group]
        _add_neighbours(session, nested.selection, neighbours)
        if nested.selection.link is not None:
            _add_neighbours(session, nested.selection.link, [neighbour[LINK] for neighbour in neighbours])
        given: set[Key] = set()
        for record in records:
            key = _key(selection, record)
            group = found.get(key, [])
            # a record that occurs twice in the answer gets neighbours of its own each time
            group = deepcopy(group) if key in given else group
            given.add(key)
            record[name] = group if nested.relationship.uselist else (group[0] if group else None)


def _neighbours(
    session: Session, mapper: Mapper[Any], name: str, nested: Nested, keys: list[Key]
) -> Iterator[tuple[Key, Record]]:
    """Yield the neighbours of the records with ``keys``, each with the key of the record that it belongs to."""
    selection = nested.selection
    parent, child = aliased(mapper), aliased(selection.mapper)
    own_key = [getattr(parent, attribute) for attribute in key_attributes(mapper)]
    columns = [*own_key, *_columns(child, selection)]
    statement = select().select_from(parent)
    if nested.link is None:
        statement = statement.join(getattr(parent, name).of_type(child))
    else:
        link = aliased(nested.link)
        side = nested.link.relationships[mapper.relationships[f"{name}_links"].back_populates or ""]
        far = "target" if side.key == "source" else "source"
        statement = statement.join(getattr(parent, f"{name}_links").of_type(link)).join(
            getattr(link, far).of_type(child)
        )
        if selection.link is not None:
            columns += _columns(link, selection.link)
    statement = statement.where(
        own_key[0].in_([key[0] for key in keys]) if len(own_key) == 1 else tuple_(*own_key).in_(keys)
    )
    paths = Paths(selection.mapper, child, dialect_of(session, selection.mapper))
    order = _order(paths, nested.modifier) or [getattr(child, key) for key in key_attributes(selection.mapper)]
    statement = statement.add_columns(*(column.label(f"c{n}") for n, column in enumerate(columns)))
    statement = _matched(statement, selection.mapper, child, paths, nested.match, order)
    for row in session.execute(_page_per_parent(statement, own_key, order, nested.modifier)):
        values = tuple(row)
        rest = values[len(own_key) :]
        record = _record(selection, rest)
        if selection.link is not None:
            record[LINK] = _record(selection.link, rest[len(selection.columns) :])
        yield values[: len(own_key)], record


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
