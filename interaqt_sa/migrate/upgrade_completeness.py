"""Ensure that every declared value is filled when ``alembic upgrade head`` ends without an error."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Generator, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from typing import TYPE_CHECKING

from alembic.util import CommandError
from sqlalchemy import Connection, MetaData

from .backfill import Pace, run_waiting
from .backfill_state import DONE, WAITING, forget, has_state, metadatas, read_state, state_of, state_table, write_state
from .backfill_transactions import Transactions, apart, inline
from .contract_check import verify
from .declared import Declared, missing_columns

if TYPE_CHECKING:
    from alembic.runtime.environment import EnvironmentContext
    from alembic.runtime.migration import MigrationContext
    from alembic.script import ScriptDirectory

log = logging.getLogger("alembic.interaqt_sa")


class UnfilledValuesError(CommandError):
    """The database is at its last revision, but some declared values are not computed."""

    def __init__(self, unfilled: Collection[str]) -> None:
        self.unfilled = tuple(unfilled)
        listed = "\n".join(f"  {line}" for line in unfilled)
        super().__init__(
            f"the last revision is reached, but {len(unfilled)} declared values are not filled:\n{listed}\n"
            "Create a revision that fills them with alembic revision --autogenerate, and upgrade again"
        )


def finish_upgrade(environment: EnvironmentContext, *, is_external: bool) -> None:
    """Run waiting back-fills after ``alembic upgrade``; fail if a value is not filled at the last revision.

    :param is_external: whether the connection is in a transaction of the caller.
    :raises UnfilledValuesError: with the names of the values.
    """
    context = environment.get_context()
    connection = context.connection
    if not _is_upgrade(environment) or context.as_sql or connection is None:
        return
    targets = metadatas(context.opts.get("target_metadata"))
    if not targets:
        return
    transactions = partial(inline if is_external else _afterwards, connection)
    run_waiting(connection, targets, Pace.of(environment), transactions)
    if _last_revisions(environment.script) <= set(context.get_current_heads()):
        unfilled = list(_unfilled(context))
        if unfilled:
            raise UnfilledValuesError(unfilled)
        _renew(connection, targets, transactions)
        if "verify" in environment.get_x_argument(as_dictionary=True):
            verify(context, connection, ())


def _renew(
    connection: Connection,
    targets: Sequence[MetaData],
    transactions: Callable[[], AbstractContextManager[Transactions]],
) -> None:
    """Record in the current form what earlier versions have filled: by place, and in the current format."""
    state = state_of(targets)
    rows = read_state(connection, state) if has_state(connection, state) else {}
    declared = Declared.all(targets)
    renewed = {place: said for one in declared for place, said in one.renewed(rows).items()}
    places = {place for one in declared for place in one.places.values()}
    former = {name for one in declared for name in one.class_names} & rows.keys() - places

    def write(own: Connection) -> None:
        write_state(own, state, renewed, DONE)
        forget(own, state, former)

    if renewed or former:
        with transactions() as found:
            found.run(write)


@contextmanager
def _afterwards(connection: Connection) -> Generator[Transactions]:
    """Provide transactions on a connection beside ``connection``, which is not used any more."""
    connection.rollback()
    with apart(connection) as transactions:
        yield transactions


def _is_upgrade(environment: EnvironmentContext) -> bool:
    # the name of the function by which alembic.command selects revisions
    return getattr(environment.context_opts.get("fn"), "__name__", None) == "upgrade"


def _last_revisions(script: ScriptDirectory) -> set[str]:
    """Return the heads that the version table has after ``alembic upgrade heads``.

    A head on which a revision of another branch depends has no row: it is implied by that revision.
    """
    implied: set[str] = set()
    for revision in script.walk_revisions():
        given = revision.dependencies or ()
        names = (given,) if isinstance(given, str) else given
        implied.update(found.revision for name in names for found in script.get_revisions(name))
    return set(script.get_heads()) - implied


def _unfilled(context: MigrationContext) -> Iterator[str]:
    connection = context.connection
    assert connection is not None
    targets = metadatas(context.opts.get("target_metadata"))
    state = state_table(targets[0])
    found = read_state(connection, state) if has_state(connection, state) else {}
    included = context.opts.get("include_object")
    for one in Declared.all(targets):
        open_: list[str] = []
        for name in one.fingerprints:
            table = one.table_of(name)
            row = one.row(found, name)
            if row is not None and row.phase == DONE and one.is_current(name, row.fingerprint):
                continue
            if included is None or included(table, table.name, "table", False, None):
                open_.append(name)
        missing = set(missing_columns(connection, {one.table_of(name) for name in open_})) if open_ else set[str]()
        for name in open_:
            row, column = one.row(found, name), one.column_of(name)
            if f"{column.table}.{column.name}" in missing:
                yield f"{name}: its column does not exist"
            elif row is None:
                yield f"{name}: no revision fills it"
            elif not one.is_current(name, row.fingerprint):
                yield f"{name}: filled by another declaration"
            elif row.phase == WAITING and (absent := next(missing_columns(connection, list(one.plan.sources)), None)):
                yield (
                    f"{name}: its back-fill waits for {absent}, which the database does not have. If no revision is to "
                    "add it, remove it from the models, or create it outside of Alembic"
                )
            else:
                yield f"{name}: its back-fill is {row.phase}"
