"""Delete the records that need not be kept any more."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement, MetaData, and_, or_
from sqlalchemy.orm import Mapper, Session, class_mapper

from ..definitions.records import Entity
from ..definitions.retention import Retention
from ..errors import DefinitionFault, InvalidValueError
from ..schema.metadata_state import Catalog
from ..schema.record_lookup import record_name
from . import write
from .attributes import Modifier, key_attributes, parse
from .pagination import check_batch
from .read import find
from .row_locks import lock_rows

Criterion = Callable[[Any], ColumnElement[bool]]
#: deletes the records of one batch; returns their number
Step = Callable[[Session], int]


def prune_steps(
    metadata: MetaData, record: Mapper[Any] | None, now: datetime | None, batch: int
) -> list[tuple[str, Step]]:
    """Return the names of the records to prune, each with a function to repeat until it returns 0.

    :param record: the record; ``None``: all records with a retention.
    :param now: the point in time at which ages are computed; ``None``: now.
    :raises DefinitionFault: if nothing is declared for ``record``.
    :raises InvalidValueError: if ``now`` has no time zone, or ``batch`` is not a number of records.
    """
    check_batch(batch)
    if now is not None and now.tzinfo is None:
        raise InvalidValueError(
            f"now={now!r} has no time zone; give one, as in datetime.now(UTC)", code="INVALID_ARGUMENT"
        )
    catalog, moment = Catalog.of(metadata), now or datetime.now(UTC)
    found = {
        name: definition.retention
        for name, definition in catalog.definitions.items()
        if isinstance(definition, Entity) and definition.retention is not None
    }
    if record is not None:
        name = record_name(record)
        if name not in found:
            raise DefinitionFault(f"{name} has no retention=, so that its records are kept for ever", record=name)
        found = {name: found[name]}
    return [
        (name, _Batches(class_mapper(catalog.classes[name]), retention, moment, batch))
        for name, retention in found.items()
    ]


class _Batches:
    """Delete the outdated records of one entity, one batch in each call.

    Which records are outdated is determined once, by the first call: the search for the newest ones reads all of them.
    """

    def __init__(self, mapper: Mapper[Any], retention: Retention, now: datetime, batch: int) -> None:
        self._mapper = mapper
        self._retention = retention
        self._now = now
        self._batch = batch
        self._outdated: list[Criterion] | None = None

    def __call__(self, session: Session) -> int:
        mapper, (key,) = self._mapper, key_attributes(self._mapper)
        if self._outdated is None:
            self._outdated = _outdated(session, mapper, key, self._retention, self._now)
        criteria = self._outdated
        if not criteria:
            return 0
        found = lock_rows(session, mapper, lambda cls: or_(*(criterion(cls) for criterion in criteria)), self._batch)
        keys = [row[key] for row in found]
        if keys:
            write.delete(session, mapper, {key: ("in", keys)})
        return len(keys)


def _outdated(session: Session, mapper: Mapper[Any], key: str, retention: Retention, now: datetime) -> list[Criterion]:
    """Return the criteria of the rows that need not be kept, of which each row meets one; empty if all are kept."""
    by = retention.by
    criteria: list[Criterion] = []
    if retention.max_age is not None and by is not None:
        oldest = now - retention.max_age
        criteria.append(lambda cls: getattr(cls, by) < oldest)
    if retention.max_rows is not None:
        newest = [key] if by is None else [by, key]
        has_time: Criterion | None = None if by is None else lambda cls: getattr(cls, by).is_not(None)
        order = Modifier(dict.fromkeys(newest, "DESC"), limit=1, offset=retention.max_rows)
        criteria += [_not_after(first, by, key) for first in find(session, parse(mapper, newest), has_time, order)]
    return criteria


def _not_after(first: Mapping[str, Any], by: str | None, key: str) -> Criterion:
    """Return the criterion of ``first``, the newest row that is not kept, and of those before it."""
    if by is None:
        return lambda cls: getattr(cls, key) <= first[key]
    return lambda cls: or_(
        getattr(cls, by) < first[by], and_(getattr(cls, by) == first[by], getattr(cls, key) <= first[key])
    )
