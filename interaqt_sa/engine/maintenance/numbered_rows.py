"""Number existing rows, set the counters of scoped sequences to the stored numbers, and check both."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import Column, ColumnElement, Select, and_, case, func, or_, select
from sqlalchemy.orm import Session

from ...errors import DefinitionFault
from ...schema.scoped_counters import counter_parameters, raise_counters, scope_text
from ..computations.agenda import run_agenda
from ..computations.row_numbers import RowNumbers
from ..database.database import Database
from ..database.loaded_objects import Memory
from ..database.pending_deltas import Touched
from ..database.update_by_key import store_values
from ..plan import ComputedValue, Key, Numbering, Plan
from ..plan.column_replacement import labelled
from ..propagation.propagation import Propagation
from ..propagation.write_bracket import Changed, NamedRows, Write, WriteBracket
from ..sql.statement_cache import Statements
from .check_batches import KeyRange, Keys
from .check_report import CheckReport, Difference

_BATCH = 1000
#: what is expected of a number that another row of its scope has too
UNIQUE = "a number of its own"
#: what is expected of a row without a number
NUMBERED = "the next number of its scope"


def numberings_among(plan: Plan, values: Iterable[ComputedValue]) -> list[Numbering]:
    """Return the numbered columns among computed values."""
    wanted = set(values)
    return [n for listed in plan.numberings.values() for n in listed if n.value in wanted]


# -- counters ----------------------------------------------------------------------------------------------------------


def seed_counters(db: Database, numbering: Numbering) -> None:
    """Set the counters of a sequence to the greatest number of each scope, unless they are ahead of it."""
    found = list(_greatest(db, numbering, earlier=True))
    for start in range(0, len(found), _BATCH):
        _raise(db, numbering, dict(found[start : start + _BATCH]))


def _raise(db: Database, numbering: Numbering, greatest: Mapping[str, int]) -> None:
    declaration = numbering.declaration
    statement = db.statements.cached(
        ("raise counters", numbering.counters), lambda: raise_counters(db.dialect, numbering.counters)
    )
    start, step = declaration.start, declaration.step
    # counters go on in steps from where they start
    by = {text: -(-(number - start) // step) * step for text, number in greatest.items()}
    db.execute(numbering.source, statement, counter_parameters(db.dialect, declaration.name, start, by))


def _greatest(db: Database, numbering: Numbering, *, earlier: bool) -> Iterator[tuple[str, int]]:
    """Yield the scopes with numbers, and the greatest number of each.

    :param earlier: whether the earlier numbers of ``initialize_from=`` count too.
    """
    own: Any = case((_is_numbered(numbering), numbering.column))
    numbers = [own, *([numbering.earlier] if earlier and numbering.earlier is not None else [])]
    columns = numbering.scope
    greatest = [func.max(number) for number in numbers]
    statement = (
        select(*labelled([*columns, *greatest]))
        .where(*_of_class(numbering), *(column.is_not(None) for column in columns))
        .group_by(*columns)
    )
    for row in db.execute(numbering.source, statement, {}):
        scope, found = row[: len(columns)], [number for number in row[len(columns) :] if number is not None]
        if found and max(found) > numbering.declaration.start:
            yield scope_text(scope), int(max(found))


def _counters(db: Database, numbering: Numbering) -> dict[str, int]:
    table = numbering.counters
    statement = select(table.c.scope, table.c.last).where(table.c.sequence == numbering.declaration.name)
    return {scope: int(last) for scope, last in db.execute(numbering.source, statement, {})}


def _is_numbered(numbering: Numbering) -> ColumnElement[bool]:
    column = numbering.column
    return column.is_not(None) if column.nullable else column != numbering.declaration.start


def _of_class(numbering: Numbering) -> list[ColumnElement[bool]]:
    return [] if numbering.kind is None else [numbering.kind.in_(sorted(numbering.kinds, key=repr))]


# -- rows --------------------------------------------------------------------------------------------------------------


def number_rows(propagation: Propagation, numbering: Numbering, keys: Sequence[Key]) -> None:
    """Give numbers to those of the rows that have none and should have one, in the order of ``keys``.

    :raises DefinitionFault: if a row has no scope, but its column is NOT NULL.
    """
    db, source, value, column = propagation.db, numbering.source, numbering.value, numbering.column
    lock = source.lock_to_change({column})
    packed = db.dialect.pack("ids", source.key_shape, list(keys))
    if db.dialect.has_row_locks:
        db.execute(source, db.statements.lock_rows(source, lock), packed)
    columns = (column, *numbering.needed)
    found = db.execute(source, db.statements.read_rows(source, columns, value.mapper), packed)
    width = len(source.key)
    rows = {tuple(row[:width]): dict(zip(columns, row[width:], strict=True)) for row in found}
    rows = {key: rows[key] for key in keys if key in rows and _has_scope(numbering, key, rows[key])}
    numbers = RowNumbers(db)
    scopes = dict(zip(rows, numbers.scopes(numbering, list(rows.values()), [{} for _ in rows]), strict=True))
    numbers.expect(numbering, Counter(text for text in scopes.values() if text is not None))
    fresh = [(*key, numbers.next(numbering, text)) for key, text in scopes.items() if text is not None]
    if not fresh:
        return
    written = [row[:width] for row in fresh]
    bracket = WriteBracket(propagation)
    touched = {source: Touched(dict.fromkeys(written), {column})}
    bracket.open(Write(touched, named=NamedRows(source, value.mapper, written)))
    for _ in store_values(db, source, value.table, [column], fresh, fires_onupdate=False):
        pass
    bracket.close(Changed(source, written, {column}))


def _has_scope(numbering: Numbering, key: Key, row: Mapping[Column[Any], Any]) -> bool:
    missing = [column.name for column in numbering.scope if row[column] is None]
    if missing and not numbering.column.nullable:
        shown = key[0] if len(key) == 1 else key
        raise DefinitionFault(
            f"{numbering.value.record} {shown!r} has no {', '.join(missing)}, and so no scope in which it could be "
            f"numbered, but {numbering.value.name} is NOT NULL; fill {', '.join(missing)} first",
            record=numbering.value.record,
            property=numbering.value.attribute,
        )
    return not missing


# -- check and repair --------------------------------------------------------------------------------------------------


def check_numberings(
    session: Session, statements: Statements, numberings: Sequence[Numbering], keys: Keys
) -> CheckReport:
    """Find counters that are behind the stored numbers, numbers that several rows of a scope have, and missing ones.

    :param keys: the rows; counters are checked with all rows only.
    """
    db = Propagation(session, statements, Memory(session, statements.plan)).db
    bounds, listed = KeyRange(), None
    if isinstance(keys, KeyRange):
        bounds = keys
    elif keys is not None:
        listed = {key if isinstance(key, tuple) else (key,) for key in keys}
    report = CheckReport(())
    for numbering in numberings:
        found = [d for d in _wrong_rows(db, numbering, bounds) if listed is None or _key_of(d) in listed]
        if keys is None:
            found += _behind(db, numbering)
        report += CheckReport(tuple(found), 1)
    return report


def _behind(db: Database, numbering: Numbering) -> Iterator[Difference]:
    if numbering.declaration.allow_manual_value:
        return  # given numbers leave the counter as it is
    counters = _counters(db, numbering)
    for text, greatest in sorted(_greatest(db, numbering, earlier=False)):
        last = counters.get(text)
        if last is None or last < greatest:
            name = f"{numbering.value.attribute} (counter)"
            yield Difference(numbering.value.record, text, name, last, greatest, counter=(numbering, text))


def _wrong_rows(db: Database, numbering: Numbering, bounds: KeyRange) -> Iterator[Difference]:
    """Yield the rows that have the number of another row, and those that have none, although all have to."""
    value, column, key = numbering.value, numbering.column, numbering.source.key_in(numbering.value.table)
    counted = (*numbering.scope, column)
    repeated = (
        select(*counted)
        .where(_is_numbered(numbering), *_of_class(numbering))
        .group_by(*counted)
        .having(func.count() > 1)
    ).subquery("repeated")
    same = and_(*(one == repeated.c[one.key] for one in counted))
    statement = select(*labelled([*key, column])).select_from(value.table.join(repeated, same)).order_by(*counted, *key)
    for *found, number in db.execute(
        numbering.source, statement.where(*_of_class(numbering), *bounds.criteria(key)), {}
    ):
        yield Difference(value.record, _shown(found), value.attribute, number, UNIQUE)
    if numbering.declaration.match is None:
        for *found, number in db.execute(numbering.source, _select_unnumbered(numbering, bounds), {}):
            yield Difference(value.record, _shown(found), value.attribute, number, NUMBERED)


def _select_unnumbered(numbering: Numbering, bounds: KeyRange) -> Select[Any]:
    column, key = numbering.column, numbering.source.key_in(numbering.value.table)
    missing = or_(column.is_(None), ~_is_numbered(numbering))
    scoped = (one.is_not(None) for one in numbering.scope) if column.nullable else ()
    return (
        select(*labelled([*key, column]))
        .where(missing, *_of_class(numbering), *scoped, *bounds.criteria(key))
        .order_by(*key)
    )


def _shown(key: Sequence[Any]) -> Any:
    return key[0] if len(key) == 1 else tuple(key)


def _key_of(difference: Difference) -> Key:
    return difference.id if isinstance(difference.id, tuple) else (difference.id,)


def repair_numberings(
    session_factory: Callable[[], Session],
    statements: Statements,
    numberings: Sequence[Numbering],
    report: CheckReport,
) -> None:
    """Set counters that are behind, and number rows without a number; numbers that rows have are never changed."""
    for numbering in numberings:
        behind = {d.counter[1]: int(d.expected) for d in report.differences if d.counter and d.counter[0] is numbering}
        if behind:
            with session_factory() as session, session.begin():
                _raise(Propagation(session, statements, Memory(session, statements.plan)).db, numbering, behind)
        value = numbering.value
        missing = [
            _key_of(d)
            for d in report.differences
            if (d.record, d.property, d.expected) == (value.record, value.attribute, NUMBERED)
        ]
        for start in range(0, len(missing), _BATCH):
            with session_factory() as session, session.begin():
                propagation = Propagation(session, statements, Memory(session, statements.plan))
                number_rows(propagation, numbering, missing[start : start + _BATCH])
                run_agenda(propagation)
