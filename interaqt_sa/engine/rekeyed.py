"""Hosts whose key changes under their members."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Table

from .plan import ComputedValue, Source
from .propagation import Key, Propagation
from .recompute import restore


def recount_rekeyed(propagation: Propagation, source: Source, keys: Sequence[Key]) -> None:
    """Count the members of hosts anew.

    Without a foreign key they have others now, none of which was written; with one, the database, or with
    ``passive_updates=False`` the session, has taken the members along, and only the former leaves no trace.

    :param keys: rows of ``source`` that are locked, as they are after the write.
    """
    values: dict[Table, list[ComputedValue]] = {}
    for host in propagation.statements.plan.hosts.values():
        if host.source is source and host.constant is None:
            values.setdefault(host.table, []).extend(part.value for edge in host.edges for part in edge.parts)
    for group in values.values():
        restore(propagation, group, keys)
