"""The table that records the progress of each back-fill."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

from sqlalchemy import Column, Connection, MetaData, String, Table, Text, delete, insert, inspect, select, update

STATE_TABLE = "interaqt_backfill"

#: Phases. A back-fill waits while the models have columns that only a later revision adds, or while it needs the models
#: of another version; an interrupted one continues at its cursor; a finished one starts from the beginning.
WAITING = "waiting"
RUNNING = "running"
DONE = "done"


class Row(NamedTuple):
    """The recorded state of one value."""

    fingerprint: str
    phase: str
    cursor: str | None = None


def state_table(metadata: MetaData) -> Table:
    """Return the state table in ``metadata``, which is added if it is missing.

    It is an ordinary table of the application's MetaData: autogenerate creates it, and alters it for later versions.
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


def state_of(targets: Sequence[MetaData]) -> Table:
    """Return the state table of an environment; revisions may run in one without :func:`.configure`."""
    return state_table(targets[0] if targets else MetaData())


def metadatas(target: MetaData | Sequence[MetaData] | None) -> Sequence[MetaData]:
    """Return Alembic's target metadata as a sequence; the state table is in the first MetaData."""
    if target is None:
        return ()
    return (target,) if isinstance(target, MetaData) else tuple(target)


def has_state(connection: Connection, state: Table) -> bool:
    """Whether the state table exists."""
    return inspect(connection).has_table(state.name, schema=state.schema)


def read_state(connection: Connection, state: Table, names: Collection[str] | None = None) -> dict[str, Row]:
    """Return the recorded states of ``names``, or of all values."""
    statement = select(state.c.name, state.c.fingerprint, state.c.phase, state.c.cursor)
    if names is not None:
        statement = statement.where(state.c.name.in_(names))
    return {name: Row(*row) for name, *row in connection.execute(statement)}


def write_state(connection: Connection, state: Table, fingerprints: Mapping[str, str], phase: str) -> None:
    """Set the phase of values, with the cursor at the first row."""
    if not fingerprints:
        return
    forget(connection, state, fingerprints)
    rows = [{"name": name, "fingerprint": said, "phase": phase} for name, said in fingerprints.items()]
    connection.execute(insert(state), rows)


def advance(connection: Connection, state: Table, names: Iterable[str], phase: str, cursor: str | None) -> None:
    """Record the progress of a pass over ``names``."""
    connection.execute(update(state).where(state.c.name.in_(list(names))).values(phase=phase, cursor=cursor))


def forget(connection: Connection, state: Table, names: Iterable[str]) -> None:
    """Delete the records of ``names``."""
    connection.execute(delete(state).where(state.c.name.in_(list(names))))
