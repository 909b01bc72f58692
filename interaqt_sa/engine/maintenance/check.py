"""Check and repair computed values by recomputing them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from sqlalchemy import insert
from sqlalchemy.orm import Session

from ...definitions.type_aliases import RecordRef
from ...dialects import Lock
from ...dialects.execution_options import ENGINE_OPTIONS
from ...errors import DefinitionFault
from ...schema.filtered_lookup import filtered_record
from ...schema.record_lookup import resolve_record
from ..computations.agenda import run_agenda
from ..computations.event_delivery import start_propagation
from ..computations.recompute import Fresh, Recompute, read_evaluated, read_same_row, restore
from ..database.loaded_objects import Memory
from ..database.value_round_trip import same_value
from ..plan import ComputedValue, Derivation, Key, Plan
from ..propagation.propagation import Propagation
from ..sql.statement_cache import Statements
from .check_batches import BATCH, KeyRange, Keys, Report, key_batches
from .check_report import CheckReport, Difference
from .derived_rows import ROW, check_derivation, repair_derivation


def select_values(plan: Plan, record: RecordRef | None, name: str | None) -> list[ComputedValue]:
    """Return the values to check, lower levels first.

    :raises DefinitionFault: if there is no such record, or it has no such computed value.
    """
    if (filtered := filtered_record(plan.metadata, record)) is not None and name is None:
        record, name = filtered.base, filtered.attribute
    values = list(plan.computed.values())
    derived = name is None and bool(record is not None and select_derivations(plan, record))
    if record is not None:
        mapper = resolve_record(plan.metadata, record)
        values = [v for v in values if mapper.isa(v.mapper) or v.mapper.isa(mapper)]
    if name is not None:
        values = [v for v in values if v.attribute == name]
    if not values and not derived and (record is not None or name is not None):
        what = getattr(record, "__name__", record)
        raise DefinitionFault(f"{what!r} has no computed value{f' {name!r}' if name else 's'}")
    return sorted(values, key=lambda v: (plan.sources[v.table].rank, v.table.name))


def select_derivations(plan: Plan, record: RecordRef | None) -> list[Derivation]:
    """Return the record-driven transforms to check."""
    found = [derivation for derivation in plan.derivations if derivation.origin is not None]
    if record is None:
        return found
    if filtered_record(plan.metadata, record) is not None:
        return []
    mapper = resolve_record(plan.metadata, record)
    return [derivation for derivation in found if derivation.mapper.isa(mapper)]


def check_derivations(session: Session, statements: Statements, derivations: Sequence[Derivation]) -> CheckReport:
    """Compare derived rows with the rows that their sources yield."""
    propagation = Propagation(session, statements, Memory(session, statements.plan))
    differences = tuple(
        Difference(d.derivation.name, d.id, ROW, d.stored, d.expected, d)
        for derivation in derivations
        for d in check_derivation(propagation, derivation, BATCH)
    )
    return CheckReport(differences, len(derivations))


def repair_derivations(session_factory: Callable[[], Session], statements: Statements, report: CheckReport) -> None:
    """Derive rows again where ``report`` has differences."""
    wrong: dict[Derivation, dict[str, None]] = {}
    for difference in report.differences:
        if difference.derived is not None:
            wrong.setdefault(difference.derived.derivation, {})[difference.derived.token] = None
    for derivation, tokens in wrong.items():
        listed = sorted(tokens)
        for start in range(0, len(listed), BATCH):
            with session_factory() as session, session.begin():
                propagation = start_propagation(session, statements, Memory(session, statements.plan))
                repair_derivation(propagation, derivation, listed[start : start + BATCH])


def check_values(
    session: Session,
    statements: Statements,
    values: Sequence[ComputedValue],
    keys: Keys,
    report: Report | None = None,
) -> CheckReport:
    """Compare ``values`` with their recomputation.

    :param keys: the rows; they can be iterated over more than once.
    :param report: called after each batch of rows.
    """
    differences: list[Difference] = []
    checked = 0
    propagation = Propagation(session, statements, Memory(session, statements.plan))
    for group in _by_table(values):
        differences += _missing_row(propagation, group[0], keys)
        for batch in key_batches(propagation, group[0], keys, report):
            for members, fresh in _fresh(propagation, group, batch):
                checked += len(members)
                differences += _compare(members, fresh)
    return CheckReport(tuple(differences), checked)


def repair_values(
    session_factory: Callable[[], Session],
    statements: Statements,
    values: Sequence[ComputedValue],
    report: CheckReport,
) -> None:
    """Store recomputed values in the rows that ``report`` names, with a short transaction for each batch."""
    wrong: dict[str, dict[Key, None]] = {}
    for difference in report.differences:
        if difference.counter is not None:
            continue
        key = difference.id if isinstance(difference.id, tuple) else (difference.id,)
        wrong.setdefault(difference.record, {})[key] = None
    for group in _by_table(values):
        keys = list(dict.fromkeys(key for value in group for key in wrong.get(value.record, ())))
        for start in range(0, len(keys), BATCH):
            with session_factory() as session, session.begin():
                propagation = Propagation(session, statements, Memory(session, statements.plan))
                source = statements.plan.sources[group[0].table]
                batch = keys[start : start + BATCH]
                for missing in _missing_row(propagation, group[0], batch):
                    row = insert(group[0].table).values(missing.expected)
                    propagation.db.connection(source).execute(row, execution_options=ENGINE_OPTIONS)
                parameters = propagation.db.dialect.pack("ids", source.key_shape, batch)
                propagation.db.execute(source, statements.lock_rows(source, Lock.NO_KEY_UPDATE), parameters)
                restore(propagation, group, batch)
                run_agenda(propagation)


def _missing_row(propagation: Propagation, value: ComputedValue, keys: Keys) -> list[Difference]:
    """Return the difference for a missing row of a dictionary."""
    host = propagation.db.statements.plan.hosts.get(value.table)
    if host is None or host.constant is None or isinstance(keys, KeyRange):
        return []
    asked = keys is None or any(key in (host.constant, host.constant[0]) for key in keys)
    if not asked or any(host.constant in batch for batch in key_batches(propagation, value, None, None)):
        return []
    row = {column.key: part for column, part in zip(host.key, host.constant, strict=True)}
    return [Difference(value.record, host.constant[0], ROW, None, row)]


def _by_table(values: Sequence[ComputedValue]) -> list[list[ComputedValue]]:
    groups: dict[Any, list[ComputedValue]] = {}
    for value in values:
        if value.can_be_recomputed:
            groups.setdefault(value.table, []).append(value)
    return list(groups.values())


def _fresh(
    propagation: Propagation, group: Sequence[ComputedValue], keys: Sequence[Key]
) -> Iterator[tuple[list[ComputedValue], Fresh]]:
    host = propagation.db.statements.plan.hosts.get(group[0].table)
    aggregates = [value for value in group if value.is_aggregate]
    if aggregates and host is not None:
        yield from ((aggregates, fresh) for fresh in Recompute(propagation, host, aggregates).read(keys))
    for value in group:
        if value.is_same_row:
            yield from (([value], fresh) for fresh in read_same_row(propagation, value, keys))
        elif value.inputs is not None:
            yield from (([value], fresh) for fresh in read_evaluated(propagation, value, keys))


def _compare(values: Sequence[ComputedValue], fresh: Fresh) -> Iterator[Difference]:
    own = {value.column for value in values}
    names = [value.attribute for value in values]
    names += [c.name for value in values for c in value.running if c not in own]
    records = [value.record for value in values]
    records += [value.record for value in values for c in value.running if c not in own]
    key = fresh.key[0] if len(fresh.key) == 1 else fresh.key
    for record, name, stored, expected in zip(records, names, fresh.stored, fresh.expected, strict=True):
        if not _same(stored, expected):
            yield Difference(record, key, name, stored, expected)


def _same(stored: Any, expected: Any) -> bool:
    if isinstance(stored, float) or isinstance(expected, float):
        if stored is None or expected is None:
            return stored is expected
        return same_value(stored, expected) or math.isclose(stored, expected, rel_tol=1e-9, abs_tol=1e-9)
    return same_value(stored, expected)
