"""Compute values for existing rows: in batches, resumable, while others write."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from sqlalchemy import Connection, MetaData, Table, func, literal, select, text, tuple_
from sqlalchemy.exc import IntegrityError

from .backfill_passes import Work, default_works, ensure_dictionary_row, is_at_hand, is_dictionary, works
from .backfill_state import (
    DONE,
    RUNNING,
    WAITING,
    advance,
    forget,
    has_state,
    metadatas,
    read_state,
    state_of,
    write_state,
)
from .backfill_transactions import Transactions, in_revision, inline
from .backfill_under_unique import Conflict, can_be_cleared, clear_all, conflict_of, refusal
from .backfill_without_models import fill_without_models
from .declared import Declared, missing_columns
from .key_codec import Key, KeyCodec
from .operations import DEFAULT_BATCH
from .progress_log import Progress
from .written_columns import written_by

if TYPE_CHECKING:
    from alembic.runtime.environment import EnvironmentContext
    from alembic.runtime.migration import MigrationContext

    from .operations import Backfill

# a child of Alembic's own logger: every alembic.ini shows it
log = logging.getLogger("alembic.interaqt_sa")

#: seconds for which a batch may hold the locks of its rows, unless it has few
_LOCKED = 0.15
_FEW = 100


@dataclass(frozen=True)
class Pace:
    """The speed of a back-fill: ``-x batch=`` rows in each transaction, ``-x pause=`` seconds after it."""

    batch: int
    pause: float = 0.0

    @classmethod
    def of(cls, environment: EnvironmentContext | None, batch: int = DEFAULT_BATCH) -> Pace:
        """Return the pace given on the command line, by default ``batch``.

        :raises CommandError: if it is not a number.
        """
        from alembic.util import CommandError

        given = {} if environment is None else environment.get_x_argument(as_dictionary=True)
        try:
            pace = cls(int(given.get("batch") or batch), float(given.get("pause") or 0))
        except ValueError as error:
            raise CommandError(f"-x batch= takes a number of rows, -x pause= seconds: {error}") from error
        if pace.batch < 1 or pace.pause < 0:
            raise CommandError("-x batch= takes 1 or more rows, -x pause= seconds")
        return pace


class BatchSize:
    """The number of rows of the next batch, chosen so that the locks of a batch are held only for a short time.

    :param most: the maximum.
    :param least: the minimum, even if it takes long; also the size of the first batch.
    """

    def __init__(self, most: int, least: int) -> None:
        self._most = most
        self.rows = self._least = min(most, least)

    def adapt(self, seconds: float) -> None:
        """Adjust the number of rows after a batch that took ``seconds``."""
        wanted = self.rows * _LOCKED / max(seconds, 1e-3)
        self.rows = int(min(max(wanted, self._least), self.rows * 2, self._most))


def run_backfill(context: MigrationContext, connection: Connection, operation: Backfill) -> None:
    """Run ``operation`` in the migration ``context``.

    The earlier operations of the revision are committed first, so that every batch can be a transaction of its own and
    other sessions see the column. In a transaction that belongs to the caller of Alembic nothing can be committed;
    there, the back-fill is a part of this transaction.
    """
    targets = metadatas(context.opts.get("target_metadata"))
    declared = Declared.all(targets)
    pace = Pace.of(context.environment_context, operation.batch)
    transactions = partial(inline, connection) if operation.inline else partial(in_revision, context, connection)
    written = written_by(context)
    with written.paused():
        fill_without_models(connection, operation, declared, transactions)
        written.filled(fill(connection, state_of(targets), declared, operation.values, pace, transactions))


def fill(
    connection: Connection,
    state: Table,
    declared: Sequence[Declared],
    names: Mapping[str, str],
    pace: Pace,
    transactions: Callable[[], AbstractContextManager[Transactions]],
) -> Collection[str]:
    """Fill ``names`` by their current declarations, and the values that are computed from them.

    :param transactions: called if there is something to do.
    :return: the places of the values that were computed for all rows, from the first row on.
    """
    todo: list[Work] = []
    waiting: dict[str, str] = {}
    for one in declared:
        known = {name: said for given, said in names.items() for name in one.names_of(given, said)}
        mine = {name: kind for name, said in known.items() if (kind := one.kind(name, said)) is not None}
        if not mine:
            continue
        if missing := next(missing_columns(connection, list(one.plan.sources)), None):
            # a default needs its own table only, and the next operation may require it; what is computed from it waits
            early = {name: kind for name, kind in mine.items() if is_at_hand(connection, one, name, kind)}
            todo += default_works(one, early)
            mine = {name: kind for name, kind in mine.items() if name not in early} | one.read_defaults(early)
            if mine:
                log.info("Back-fill of %s waits: the models are ahead of this revision (%s)", ", ".join(mine), missing)
            waiting |= {one.place_of(name): kind for name, kind in mine.items()}
        else:
            todo += works(one, mine, connection)
    if not todo and not waiting:
        return ()
    with transactions() as found:
        found.run(lambda own: write_state(own, state, waiting, WAITING))
        filled = _run(found, state, todo, pace) if todo else ()
        # records of earlier versions, under the names of classes
        recorded = {*waiting, *(place for work in todo for place in work.fingerprints)}
        found.run(lambda own: forget(own, state, names.keys() - recorded))
        return filled


def _run(transactions: Transactions, state: Table, todo: Sequence[Work], pace: Pace) -> Collection[str]:
    names = {name for work in todo for name in work.fingerprints}
    is_resumed = False
    fingerprints = {name: fingerprint for work in todo for name, fingerprint in work.fingerprints.items()}

    def begin(connection: Connection) -> set[str]:
        """Record the names to be filled; return those that an interrupted run has filled already."""
        nonlocal is_resumed
        found = read_state(connection, state, fingerprints)
        same = all(name in found and found[name].fingerprint == said for name, said in fingerprints.items())
        phases = {row.phase for row in found.values()}
        is_resumed = same and RUNNING in phases and phases <= {RUNNING, DONE}
        if is_resumed:
            return {name for name, row in found.items() if row.phase == DONE}
        write_state(connection, state, fingerprints, RUNNING)
        return set()

    if not transactions.are_own:
        # usually in the revision that creates the tables: values of empty tables are recorded at once
        with transactions.begin() as connection:
            empty = [work for work in todo if _is_empty(connection, work.table) and not is_dictionary(work.table)]
            write_state(connection, state, {n: said for work in empty for n, said in work.fingerprints.items()}, DONE)
        todo = [work for work in todo if work not in empty]
        fingerprints = {name: fingerprint for work in todo for name, fingerprint in work.fingerprints.items()}
    if not todo:
        return names
    done = transactions.run(begin)
    for work in todo:
        if not done.issuperset(work.fingerprints):
            backfill(transactions, state, work, pace)
    return () if is_resumed else names


def _is_empty(connection: Connection, table: Table) -> bool:
    return connection.execute(select(literal(1)).select_from(table).limit(1)).first() is None


def backfill(transactions: Transactions, state: Table, work: Work, pace: Pace) -> None:
    """Process all rows of a table.

    Values and cursor of a batch are committed together. A second runner waits for the lock on the rows of the state
    table, and takes the next batch.

    :param state: see :func:`.state_table`.
    """
    codec = KeyCodec(tuple(work.table.primary_key.columns))
    names = list(work.fingerprints)
    last: Key | None = None

    def start(connection: Connection) -> Progress:
        ensure_dictionary_row(connection, work.table)
        after = reached(connection)
        return Progress(work.title, _size(connection, work.table), _size(connection, work.table, after) if after else 0)

    def reached(connection: Connection) -> Key | None:
        cursors = {row.cursor for row in read_state(connection, state, names).values()}
        return codec.load(cursors.pop()) if len(cursors) == 1 else None

    def step(connection: Connection) -> Key | None:
        # an UPDATE, because all databases support it to lock a row
        connection.execute(state.update().where(state.c.name.in_(names)).values(phase=RUNNING))
        begin = time.monotonic()
        found = work.step(connection, reached(connection) or last, size.rows)
        size.adapt(time.monotonic() - begin)
        if found is None:
            advance(connection, state, names, DONE, None)
        else:
            advance(connection, state, names, RUNNING, codec.dump(found))
        return found

    cleared: set[Conflict] = set()

    def resolve(error: Exception) -> bool:
        """Clear values that rows have until they are computed, if a unique constraint makes this necessary."""
        if not isinstance(error, IntegrityError) or not transactions.are_own:
            return False
        conflict = transactions.run(lambda connection: conflict_of(connection, error, work.columns))
        if conflict is None:
            return False
        if conflict in cleared or not transactions.run(lambda connection: can_be_cleared(connection, conflict)):
            raise refusal(work.title, conflict, error, is_cleared=conflict in cleared) from error
        log.info("%s: NULL until computed, because values change places under %s", work.title, conflict.name)
        clear_all(transactions.run, conflict, transactions.run(reached) or last, size.rows)
        cleared.add(conflict)
        return True

    # locks of the caller's transaction are held to its end, whatever a batch takes
    size = BatchSize(pace.batch, least=_FEW if transactions.are_own else pace.batch)
    progress = transactions.run(start)
    while True:
        rows = size.rows
        try:
            last = transactions.run(step)
        except Exception as error:
            if resolve(error):
                continue
            error.add_note(f"{work.title} is not filled; alembic upgrade continues where this back-fill stopped")
            raise
        if last is None:
            break
        progress.batch(rows, codec.columns, last)
        if pace.pause:
            time.sleep(pace.pause)
    progress.end()


def _size(connection: Connection, table: Table, up_to: Key | None = None) -> int:
    """Return the approximate number of rows; a table of millions is not counted just for a percentage.

    :param up_to: count the rows up to this key.
    """
    if up_to is not None:
        return connection.scalar(select(func.count()).where(tuple_(*table.primary_key.columns) <= tuple_(*up_to))) or 0
    if connection.dialect.name == "postgresql":
        name = connection.dialect.identifier_preparer.format_table(table)
        found = connection.scalar(text("SELECT reltuples FROM pg_class WHERE oid = to_regclass(:name)"), {"name": name})
        if found is not None and found > 100_000:
            return int(found)
    return connection.scalar(select(func.count()).select_from(table)) or 0


def run_waiting(
    connection: Connection,
    targets: Sequence[MetaData],
    pace: Pace,
    transactions: Callable[[], AbstractContextManager[Transactions]],
    *,
    of_current_declarations: bool = False,
) -> None:
    """Run the waiting back-fills, if the database has all columns that they need now.

    :param of_current_declarations: omit those that wait for the models of another version.
    """
    state = state_of(targets)
    if not has_state(connection, state):
        return
    waiting = {name: row.fingerprint for name, row in read_state(connection, state).items() if row.phase == WAITING}
    declared = Declared.all(targets) if waiting else []
    if of_current_declarations:
        waiting = {
            given: said
            for given, said in waiting.items()
            if any(one.is_current(name, said) for one in declared for name in one.names_of(given, said))
        }
    if waiting:
        fill(connection, state, declared, waiting, pace, transactions)
