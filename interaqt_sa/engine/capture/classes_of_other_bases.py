"""Refuse writes to classes of a declarative base that the system was not given."""

from __future__ import annotations

from sqlalchemy import MetaData, Table, inspect
from sqlalchemy.orm import Session

from ...errors import FrameworkError
from ...schema.record_lookup import record_name
from ..plan import plan_of
from .attached_sessions import Attachments


def refuse_stray(session: Session, metadata: MetaData, mapped: type[object]) -> None:
    """Refuse to write rows of another MetaData from which computed values would never follow.

    :param metadata: the one whose values are kept in ``session``.
    :raises FrameworkError: naming the class.
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
            f"values are computed from {record_name(mapper)}, or in it, but the system of this session was made "
            "without its base and would not keep them; give the base to it: System(…, base=Base)",
            record=record_name(mapper),
        )
