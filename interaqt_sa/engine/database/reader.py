"""Read and lock rows along the paths of a plan: contributions, neighbours, hosts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Column

from ...dialects.base import is_exact_key
from ..plan import Edge, Hop, Host, Key
from ..sql.aggregate_updates import HostStatements
from .database import Database
from .host_key_locks import lock_members
from .pending_deltas import Row
from .python_contributions import evaluate_members


class Reader:
    """Reads rows for one write."""

    def __init__(self, db: Database) -> None:
        self.db = self._db = db

    def contributions(self, edge: Edge, ids: Sequence[Key]) -> list[Row]:
        """Return the contributions of rows over an edge, each with the host's key first."""
        lock_members(self.db, edge, None)
        parameters = self.db.dialect.pack("ids", edge.member.key_shape, ids)
        if edge.python:
            rows = self.db.execute(edge.member, self.db.statements.read_members(edge), parameters)
            return evaluate_members(edge, rows)
        return [tuple(r) for r in self.db.execute(edge.member, self.db.statements.read_contributions(edge), parameters)]

    def find_readers(self, edge: Edge, hop: Hop, keys: Sequence[Key]) -> tuple[list[Key], set[Key]]:
        """Return the contributing rows that read the rows ``keys`` along ``hop``, and the keys of their hosts."""
        self.db.require_latest_rows(
            edge.member, f"{edge.name}: a change of {hop.source.table.name!r} reaches its readers", edge.joined_tables
        )
        return self.readers_of(edge, hop, keys)

    def readers_of(self, edge: Edge, hop: Hop, keys: Sequence[Key]) -> tuple[list[Key], set[Key]]:
        """Return the same for rows of this transaction, which are always visible to it."""
        parameters = self.db.dialect.pack("ids", hop.source.key_shape, keys)
        found = [tuple(r) for r in self.db.execute(edge.member, self.db.statements.find_readers(edge, hop), parameters)]
        width = len(edge.member.key)
        constant = edge.host.constant
        hosts = {row[width:] if constant is None else constant for row in found}
        return [row[:width] for row in found], {host for host in hosts if None not in host}

    def lock_neighbours(self, edge: Edge, ids: Sequence[Key], hops: Iterable[Hop]) -> None:
        """Lock the rows that contributions read along paths."""
        if not self.db.dialect.has_row_locks:
            return
        parameters = self.db.dialect.pack("ids", edge.member.key_shape, ids)
        for hop in hops:
            if not hop.same_row:
                statement = self.db.statements.lock_neighbours(edge, hop, edge.neighbour_lock(hop))
                self.db.execute(hop.source, statement, parameters)

    def lock_targets(self, host: Host, targets: Mapping[tuple[Column[Any], ...], set[Key]]) -> list[Key]:
        """Lock hosts in the order of their primary keys, which are returned.

        :param targets: the keys of the hosts, by the columns that their members refer to.
        """
        statements, parameters = HostStatements.of(self.db.statements), dict[str, Any]()
        for n, (key, named) in enumerate(targets.items()):
            ordered = sorted(named) if is_exact_key(key) else list(named)
            parameters |= self.db.dialect.pack(f"ids_{n}", statements.host_shape(key), ordered)
        found = self.db.execute(host.source, statements.lock_hosts(host, tuple(targets)), parameters)
        return [tuple(row) for row in found]
