"""Make a call that writes in a transaction of the application atomic."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from sqlalchemy import Connection, MetaData
from sqlalchemy.orm import Session

from ..schema.metadata_state import Catalog
from ..session.all_or_nothing import UnitOfFlushes, all_or_nothing, is_flushing
from ..session.state import SessionState
from ..session.write_listeners import as_one_write

R = TypeVar("R")


def as_a_whole(session: Session, metadata: MetaData, work: Callable[[Session], R]) -> R:
    """Run ``work``; an error undoes its assignments, additions and flushes."""
    if is_flushing(session):
        return work(session)

    def connection() -> Connection:
        mapper = next(iter(Catalog.of(metadata).all_mappers()))
        return session.connection(bind_arguments={"mapper": mapper})

    unit = UnitOfFlushes(session, connection)
    with all_or_nothing(unit):
        return told_once(session, work)


def told_once(session: Session, work: Callable[[Session], R]) -> R:
    """Run ``work``; listeners are called once at its end, with all its writes."""
    with as_one_write(session):
        return work(session)


def flush_last(session: Session) -> None:
    """Flush the remaining changes of a call."""
    units = SessionState.of(session).units
    if units and isinstance(units[-1], UnitOfFlushes):
        units[-1].flush_last()
    else:
        session.flush()
