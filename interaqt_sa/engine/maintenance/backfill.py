"""Compute the values of existing rows of one table, batch by batch."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, Update
from sqlalchemy.orm import Session

from ..computations.agenda import run_agenda
from ..computations.evaluated_values import store_evaluated
from ..computations.recompute import Recompute, in_order_of_inputs, next_keys, restore
from ..database.loaded_objects import Memory
from ..database.same_row_functions import refresh_same_row
from ..plan import ComputedValue, Key
from ..propagation.propagation import Propagation
from ..sql.statement_cache import Statements
from .numbered_rows import number_rows, numberings_among, seed_counters


def backfill_values(
    statements: Statements,
    values: Sequence[ComputedValue],
    connection: Connection,
    after: Key | None,
    limit: int,
    *,
    follow: bool,
) -> Key | None:
    """Compute and store ``values`` for the next rows of their table, in the order of its primary key.

    :param values: values of one table.
    :param connection: with a running transaction.
    :param after: the last key of the previous batch, ``None`` at the start.
    :param limit: the maximum number of rows.
    :param follow: whether to update the values computed from these, in this table or another one, at once. This is
        required if values of rows of this table depend on each other; otherwise they are filled later, at less cost.
    :return: the last key of this batch, ``None`` if no rows were left.
    """
    with Session(connection, join_transaction_mode="rollback_only", autoflush=False) as session:
        propagation = Propagation(session, statements, Memory(session, statements.plan))
        table = values[0].table
        source = statements.plan.sources[table]
        keys = next_keys(propagation, source, tuple(source.key_in(table)), after, limit, lock=True)
        computed = [value for value in values if value.can_be_recomputed]
        numberings = numberings_among(statements.plan, values) if keys else []
        for numbering in numberings:
            if after is None:
                seed_counters(propagation.db, numbering)
            number_rows(propagation, numbering, keys)
        if numberings and follow:
            run_agenda(propagation)
        if keys and computed and follow:
            restore(propagation, computed, keys)
            run_agenda(propagation)
        elif keys and computed:
            aggregates = [value for value in computed if value.is_aggregate]
            if aggregates:
                Recompute(propagation, statements.plan.hosts[table], aggregates).write(keys)
            if source.same_row:
                refresh_same_row(propagation.db, source, keys)
            for value in in_order_of_inputs(computed):
                store_evaluated(propagation, value, keys, follow=False)
        session.expunge_all()
        return keys[-1] if keys else None


def whole_update(statements: Statements, values: Sequence[ComputedValue]) -> Update | None:
    """Return one statement that stores aggregates of a table for all its rows; ``None`` if it requires Python.

    For scripts: it locks every row until its transaction ends.
    """
    with Session() as session:
        propagation = Propagation(session, statements, Memory(session, statements.plan))
        return Recompute(propagation, statements.plan.hosts[values[0].table], values, whole=True).whole_update()
