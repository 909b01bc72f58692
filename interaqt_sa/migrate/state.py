"""The table that says how far each back-fill has come."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Column, MetaData, String, Table, Text

STATE_TABLE = "interaqt_backfill"

#: Phases. A back-fill waits while the models have columns that only a later revision adds; when it is interrupted, it
#: goes on at its cursor; when it is done, it would begin anew.
WAITING = "waiting"
RUNNING = "running"
DONE = "done"


def state_table(metadata: MetaData) -> Table:
    """Return the state table in ``metadata``, adding it if it is not there.

    It is an ordinary table of the user's MetaData: autogenerate creates it, and alters it for later versions.
    """
    return Table(
        STATE_TABLE,
        metadata,
        Column("name", String, primary_key=True),
        Column("fingerprint", String, nullable=False),
        Column("phase", String, nullable=False),
        Column("cursor", Text),
        keep_existing=True,
    )


def metadatas(target: MetaData | Sequence[MetaData] | None) -> Sequence[MetaData]:
    """Return what Alembic calls target metadata as a sequence; the state table is in the first."""
    if target is None:
        return ()
    return (target,) if isinstance(target, MetaData) else tuple(target)
