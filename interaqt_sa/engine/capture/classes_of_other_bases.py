"""Refuse writes to classes of a declarative base that was not passed to the system."""

from __future__ import annotations

from sqlalchemy import MetaData, Table, inspect
from sqlalchemy.orm import Session

from ...errors import FrameworkError
from ...schema.record_lookup import record_name
from ..plan import plan_of
from .attached_sessions import Attachments


def refuse_stray(session: Session, metadata: MetaData, mapped: type[object]) -> None:
    """Refuse to write rows of another MetaData whose computed values no system maintains.

    :param metadata: the MetaData whose computed values are maintained in ``session``.
    :raises FrameworkError: with the name of the class.
    """
    mapper = inspect(mapped)
    table = mapper.local_table
    if (
        not isinstance(table, Table)
        or table.metadata is metadata
        or Attachments.of(table.metadata).covers(type(session))
    ):
        return
    sources = plan_of(table.metadata).sources
    if any(table in sources for table in mapper.tables):
        raise FrameworkError(
            f"values are computed from {record_name(mapper)}, or in it, but the System of this session was created "
            "without its base and does not maintain them; pass the base: System(…, base=Base)",
            record=record_name(mapper),
        )
