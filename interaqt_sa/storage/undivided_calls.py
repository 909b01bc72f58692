"""A call that writes in a transaction of the application leaves all of it or nothing."""

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
    """Run ``work``; an error takes back what it has assigned, added and flushed."""
    if is_flushing(session):
        return work(session)

    def connection() -> Connection:
        mapper = next(iter(Catalog.of(metadata).all_mappers()))
        return session.connection(bind_arguments={"mapper": mapper})

    unit = UnitOfFlushes(session, connection)
    with all_or_nothing(unit):
        return told_once(session, work)


def told_once(session: Session, work: Callable[[Session], R]) -> R:
    """Run ``work``; listeners hear of all that it writes at its end, as of one write."""
    with as_one_write(session):
        return work(session)


def flush_last(session: Session) -> None:
    """Flush what is left to write in a call."""
    units = SessionState.of(session).units
    if units and isinstance(units[-1], UnitOfFlushes):
        units[-1].flush_last()
    else:
        session.flush()
