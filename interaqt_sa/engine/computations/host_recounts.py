"""Recount hosts whose members were there before them, and hosts that get another key."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import Table

from ..plan import ComputedValue, Key, Source
from ..propagation.propagation import Propagation
from .recompute import restore


def recount(propagation: Propagation, source: Source, keys: Iterable[Key]) -> None:
    """Count the members of hosts again.

    Without a foreign key they have members now none of which was written. With one, the database, or with
    ``passive_updates=False`` the session, has taken the members of a host with a new key along, and only the former
    leaves no trace.

    :param keys: rows of ``source`` that are locked, as they are after the write.
    """
    listed = list(keys)
    values: dict[Table, list[ComputedValue]] = {}
    for host in propagation.db.statements.plan.hosts.values():
        if host.source is source and host.constant is None:
            values.setdefault(host.table, []).extend(part.value for edge in host.edges for part in edge.parts)
    for group in values.values() if listed else ():
        restore(propagation, group, listed)
