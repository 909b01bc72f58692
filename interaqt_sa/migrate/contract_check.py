"""Stop before a contract if values are wrong."""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from sqlalchemy import Connection
from sqlalchemy.orm import Session

from ..dialects import dialect_for
from ..engine.engine import CheckReport, Statements, check_derivations, check_values
from ..errors import ConstraintSetupError
from .backfill_state import metadatas
from .declared import Declared, missing_columns

if TYPE_CHECKING:
    from alembic.runtime.migration import MigrationContext

log = logging.getLogger("alembic.interaqt_sa")

#: how often differences are checked again, because derived rows and their sources are read one after the other
_LOOKS = 3


def verify(context: MigrationContext, connection: Connection, names: Collection[str]) -> None:
    """Compare values with their recomputation.

    :param names: names of the values; empty for all.
    :raises ConstraintSetupError: with the first differences in ``rows``.
    """
    reports = [_check(connection, one, names) for one in Declared.all(metadatas(context.opts.get("target_metadata")))]
    report = sum(reports, CheckReport(()))
    if report.ok:
        log.info("Verified: %s values are correct", report.checked)
        return
    rows = [
        {"record": d.record, "id": d.id, "property": d.property, "stored": d.stored, "expected": d.expected}
        for d in report.differences[:20]
    ]
    raise ConstraintSetupError(
        f"values are wrong: {report!r}. A version that does not maintain them has written since: stop it, fill "
        "them again (system.repair(), or alembic downgrade and upgrade of the back-fill), then upgrade again",
        rows=rows,
    )


def _check(connection: Connection, declared: Declared, names: Collection[str]) -> CheckReport:
    wanted = [name for name in declared.fingerprints if not names or name in names]
    tables = {declared.table_of(name) for name in wanted}
    if missing := next(missing_columns(connection, tables), None):
        raise ConstraintSetupError(f"values cannot be verified: the database has no {missing}", rows=[])
    statements = Statements(declared.plan, dialect_for(connection.dialect))
    report = CheckReport(())
    with Session(connection, join_transaction_mode="rollback_only", autoflush=False) as session:
        for look in range(_LOOKS):
            found = _reports(session, statements, declared, wanted)
            report = CheckReport(
                [d for each in found.values() for d in each.differences],
                report.checked or sum(each.checked for each in found.values()),
            )
            wanted = [name for name, each in found.items() if not each.ok]
            if not wanted:
                break
            if look + 1 < _LOOKS:
                time.sleep(0.2)
    return report


def _reports(
    session: Session, statements: Statements, declared: Declared, names: Sequence[str]
) -> dict[str, CheckReport]:
    return {
        name: check_values(session, statements, [declared.values[name]], None)
        if name in declared.values
        else check_derivations(session, statements, [declared.derivations[name]])
        for name in names
    }
