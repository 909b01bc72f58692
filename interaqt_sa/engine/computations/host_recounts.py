"""Recount hosts whose members were inserted before them, and hosts whose key has changed."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import Table

from ..plan import ComputedValue, Key, Source
from ..propagation.propagation import Propagation
from .recompute import restore


def recount(propagation: Propagation, source: Source, keys: Iterable[Key]) -> None:
    """Recompute the aggregates of hosts from all members.

    Without a foreign key, existing members that were not written may now belong to these hosts. With a foreign key, the
    members of a host with a new key were changed by the database, or with ``passive_updates=False`` by the session; the
    engine does not see the former.

    :param keys: keys of locked rows of ``source`` after the write.
    """
    listed = list(keys)
    values: dict[Table, list[ComputedValue]] = {}
    for host in propagation.db.statements.plan.hosts.values():
        if host.source is source and host.constant is None:
            values.setdefault(host.table, []).extend(part.value for edge in host.edges for part in edge.parts)
    for group in values.values() if listed else ():
        restore(propagation, group, listed)
