"""Back-fills of values that the models do not declare, or cannot compute at this revision."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from functools import partial

from sqlalchemy import Connection, func, inspect, select, table, text

from .backfill_transactions import Transactions
from .declared import Declared, missing_columns
from .operations import Backfill

log = logging.getLogger("alembic.interaqt_sa")


def fill_without_models(
    connection: Connection,
    operation: Backfill,
    declared: Sequence[Declared],
    transactions: Callable[[], AbstractContextManager[Transactions]],
) -> None:
    """Run the SQL that stands in the revision, so that later revisions find the values; warn where there is none.

    What the models declare, and can compute at this revision, is left to them.
    """
    has_sql = connection.dialect.name == "postgresql"
    statements: list[tuple[str, str]] = []
    ahead = [one for one in declared if operation.sql and _misses_columns(connection, one)]
    for name, said in operation.values.items():
        mine = [one for one in declared if one.kind(name, said) is not None]
        if has_sql and operation.sql.get(name) and all(one in ahead for one in mine):
            statements += [(name, statement) for statement in operation.sql[name]]
        elif not mine:
            _warn(connection, operation, name)
    if not statements:
        return
    with transactions() as found:
        for name, statement in statements:
            log.info("Back-fill of %s as the revision says it, without the models", name)
            found.run(partial(_execute, statement))


def _execute(statement: str, connection: Connection) -> None:
    connection.execute(text(statement.replace(":", r"\:")))


def _misses_columns(connection: Connection, declared: Declared) -> bool:
    return next(missing_columns(connection, list(declared.plan.sources)), None) is not None


def _warn(connection: Connection, operation: Backfill, name: str) -> None:
    place = operation.tables.get(name)
    if place is None:  # a revision of before
        log.info("Back-fill of %s skipped: the models do not declare it any more", name)
        return
    *schema, found = [place] if isinstance(place, str) else place
    where = schema[0] if schema else None
    if not inspect(connection).has_table(found, schema=where):
        return
    rows = connection.scalar(select(func.count()).select_from(table(found, schema=where)))
    if rows:
        log.warning(
            "%s is not filled: the models do not declare it any more, and %s rows of %s have what they had. If a later "
            "revision reads it, run this one with the models of its time",
            name,
            rows,
            found,
        )
