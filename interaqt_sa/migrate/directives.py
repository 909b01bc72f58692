"""Arrange the operations found by autogenerate so that they work on tables with rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, NamedTuple

from alembic.operations import MigrateOperation
from alembic.operations.ops import (
    AddColumnOp,
    AlterColumnOp,
    CreateCheckConstraintOp,
    CreateIndexOp,
    CreateTableOp,
    CreateUniqueConstraintOp,
    DowngradeOps,
    MigrationScript,
    ModifyTableOps,
    UpgradeOps,
)
from alembic.util import rev_id
from sqlalchemy import Column, Connection, Dialect, TextClause, UniqueConstraint, text
from sqlalchemy.schema import Index
from sqlalchemy.sql import visitors

from .concurrent_indexes import ConcurrentIndexes, take_concurrent_indexes
from .constraint_operations import ValidateConstraint
from .contract_revisions import retired_first, take_drops
from .deferred_constraints import partitioned_tables, split_not_null, take_requirements
from .operations import Backfill, CheckUnique, Note, ReopenBackfill
from .partial_indexes import spell_predicates
from .row_checks import checks_of

_Name = tuple[str | None, str]


class _Following(UpgradeOps):
    """Operations of a following revision, whose diffs include those of the revisions before it.

    ``alembic check`` examines only the last revision, and would not report the missing columns otherwise.
    """

    def __init__(self, before: Sequence[UpgradeOps], then: Sequence[MigrateOperation]) -> None:
        super().__init__(then)
        self._before = before

    def as_diffs(self) -> Any:
        return [*(diff for ops in self._before for diff in ops.as_diffs()), *super().as_diffs()]


def arrange(directives: list[MigrationScript], dialect: Dialect, connection: Connection | None = None) -> None:
    """Move back-fills, and operations that have to wait for them, into their own revision; add checks for duplicates.

    The revision of a back-fill contains only operations that can be repeated: when it is interrupted, the revision
    before it is stamped, and the next upgrade continues the back-fill.
    """
    for script in directives:
        spell_predicates([*script.upgrade_ops_list, *script.downgrade_ops_list])
    directives[:] = [arranged for script in directives for arranged in (script, *_split(script, dialect, connection))]


def hold_after_values(upgrade: UpgradeOps) -> None:
    """Move operations that require computed values behind the back-fills."""
    backfills = [operation for operation in upgrade.ops if isinstance(operation, Backfill)]
    late = list(_postpone(upgrade.ops, backfills, _created(upgrade)))
    upgrade.ops = [*(operation for operation in upgrade.ops if not _is_nothing(operation)), *late]


def _created(upgrade: UpgradeOps) -> set[_Name]:
    return {
        (operation.schema, operation.table_name) for operation in upgrade.ops if isinstance(operation, CreateTableOp)
    }


def _is_nothing(operation: MigrateOperation) -> bool:
    return isinstance(operation, ModifyTableOps) and operation.is_empty()


def _split(script: MigrationScript, dialect: Dialect, connection: Connection | None) -> list[MigrationScript]:
    upgrade, downgrade = script.upgrade_ops_list[0], script.downgrade_ops_list[0]
    contract = take_drops(upgrade.ops)
    found = [operation for operation in upgrade.ops if isinstance(operation, Backfill)]
    created = _created(upgrade)
    born = [operation for operation in found if operation.is_over(created)]
    backfills = _merged([operation for operation in found if operation not in born])
    inline = _merged(born, inline=True)
    first = [*(operation for operation in upgrade.ops if not isinstance(operation, Backfill)), *inline]
    late = list(_postpone(first, backfills, created))
    concurrent = list(take_concurrent_indexes([*first, *late], created))
    for _ in take_concurrent_indexes(downgrade.ops, created):
        pass  # the downgrade of the others is generated again
    checks = _checks(first, dialect, created, _added(first))
    required: list[MigrateOperation] = []
    validated: list[MigrateOperation] = []
    if dialect.name == "postgresql":
        partitioned = partitioned_tables(connection)
        required = list(take_requirements(first, created, partitioned))
        for operation in take_requirements(late, created, partitioned):
            # a new constraint is validated in the next revision
            (validated if isinstance(operation, ValidateConstraint) else required).append(operation)
    first = [operation for operation in first if not _is_nothing(operation)]
    retired = [] if first else list(retired_first(backfills))
    first += retired
    filling = [*backfills, *required, *(operation for operation in late if not _is_nothing(operation))]
    if late or concurrent or required or validated or retired or contract:
        down = _undoing(first)
    else:
        down = [operation for operation in downgrade.ops if not _undoes_backfill(operation)]
    parts = [
        _Part("", [*checks, *first] if first else [], down),
        _Part("back-fill" if backfills or late else "constraints", _with_checks(filling, dialect), _undoing(filling)),
        _Part("constraints", validated, _undoing(validated)),
        _Part("indexes", list(_with_concurrent_checks(concurrent, dialect.name)), _undoing(concurrent)),
        _Part("contract", contract, _undoing(contract)),
    ]
    own, *following = [part for part in parts if part.up] or parts[:1]
    upgrade.ops, downgrade.ops = own.up, own.down
    scripts = [script]
    differences = [upgrade]
    for part in following:
        made = MigrationScript(
            rev_id(),
            _Following(list(differences), part.up),
            DowngradeOps(part.down),
            message=f"{script.message} ({part.title})" if script.message else part.title,
            head=scripts[-1].rev_id or "head",
            version_path=script.version_path,
        )
        scripts.append(made)
        differences.append(UpgradeOps(part.up))
    return scripts[1:]


class _Part(NamedTuple):
    """One of several revisions."""

    title: str
    up: list[MigrateOperation]
    down: list[MigrateOperation]


def _undoing(operations: Sequence[MigrateOperation]) -> list[MigrateOperation]:
    return [operation.reverse() for operation in reversed(operations)]


def _merged(backfills: Sequence[Backfill], *, inline: bool = False) -> list[Backfill]:
    return [Backfill.merged(backfills, inline=inline)] if backfills else []


def _undoes_backfill(operation: MigrateOperation) -> bool:
    return isinstance(operation, (Note, ReopenBackfill)) and isinstance(operation.subject, Backfill)


def _postpone(
    operations: Sequence[MigrateOperation], backfills: Sequence[Backfill], created: set[_Name]
) -> Iterator[ModifyTableOps]:
    """Remove from ``operations``, and yield, those that require computed values."""
    filled: dict[_Name, set[str]] = {}
    for backfill in backfills:
        for column in backfill.columns:
            table: Any = column.table
            filled.setdefault((table.schema, table.name), set()).add(column.name)
    for container in operations:
        if not isinstance(container, ModifyTableOps) or (container.schema, container.table_name) in created:
            continue
        columns = filled.get((container.schema, container.table_name), set())
        late: list[MigrateOperation] = []
        for operation in list(container.ops):
            if isinstance(operation, AddColumnOp) and operation.column.name in columns:
                late.extend(_require_later(operation))
            elif isinstance(operation, AlterColumnOp) and operation.column_name in columns:
                late.extend(split_not_null(container, operation))
            elif columns.intersection(_covered(operation)):
                container.ops.remove(operation)
                late.append(operation)
        if late:
            yield ModifyTableOps(container.table_name, late, schema=container.schema)


def _require_later(operation: AddColumnOp) -> Iterator[AlterColumnOp]:
    """Make a new NOT NULL column without a default nullable; yield the operation that makes it NOT NULL later."""
    column = operation.column
    if column.nullable or column.server_default is not None:
        return
    # a copy: the column of the operation belongs to the model
    operation.column = Column(column.name, column.type, nullable=True, comment=column.comment)
    yield AlterColumnOp(
        operation.table_name,
        column.name,
        schema=operation.schema,
        existing_type=column.type,
        existing_nullable=True,
        modify_nullable=False,
    )


def _unique(operation: MigrateOperation) -> UniqueConstraint | Index | None:
    if isinstance(operation, CreateUniqueConstraintOp):
        return operation.to_constraint()
    if isinstance(operation, CreateIndexOp) and operation.unique:
        return operation.to_index()
    return None


def _covered(operation: MigrateOperation) -> set[str]:
    """Return the names of the columns that a new constraint restricts."""
    unique = _unique(operation)
    if unique is not None:
        return {*unique.columns.keys()}
    if isinstance(operation, CreateCheckConstraintOp) and not isinstance(operation.condition, (str, TextClause)):
        return {item.name for item in visitors.iterate(operation.condition) if isinstance(item, Column)}
    return set()


def _added(operations: Sequence[MigrateOperation]) -> set[tuple[str | None, str, str]]:
    return {
        (container.schema, container.table_name, operation.column.name)
        for container in operations
        if isinstance(container, ModifyTableOps)
        for operation in container.ops
        if isinstance(operation, AddColumnOp)
    }


def _with_checks(operations: Sequence[MigrateOperation], dialect: Dialect) -> list[MigrateOperation]:
    """Insert checks for rows that violate new constraints before the operations that add these constraints."""
    # these operations commit, and can continue after an interruption
    first = [operation for operation in operations if not isinstance(operation, ModifyTableOps)]
    checks = _checks(operations, dialect)
    return [*first, *checks, *(operation for operation in operations if operation not in first)]


def _checks(
    operations: Sequence[MigrateOperation],
    dialect: Dialect,
    created: AbstractSet[_Name] = frozenset(),
    added: AbstractSet[tuple[str | None, str, str]] = frozenset(),
) -> list[MigrateOperation]:
    checks: list[MigrateOperation] = []
    for container in operations:
        if isinstance(container, ModifyTableOps) and (container.schema, container.table_name) not in created:
            names = {
                name for schema, table, name in added if (schema, table) == (container.schema, container.table_name)
            }
            for operation in container.ops:
                unique = _unique(operation)
                if unique is not None and names.isdisjoint(unique.columns.keys()):
                    checks.append(_check(unique, container, dialect.name))
                referred: Any = getattr(operation, "referent_table", None)
                if referred is None or (getattr(operation, "kw", {}).get("referent_schema"), referred) not in created:
                    checks += checks_of(operation, container, dialect, names)
    return checks


def _with_concurrent_checks(blocks: Sequence[ConcurrentIndexes], dialect: str) -> Iterator[MigrateOperation]:
    for block in blocks:
        for operation in block.ops:
            unique = _unique(operation)
            if unique is not None:
                yield _check(unique, ModifyTableOps(block.table, [operation], schema=block.schema), dialect)
        yield block


def _check(unique: UniqueConstraint | Index, container: ModifyTableOps, dialect: str) -> CheckUnique:
    expressions = unique.expressions if isinstance(unique, Index) else list(unique.columns)
    options = unique.dialect_kwargs
    predicate = options.get(f"{dialect}_where")
    return CheckUnique(
        None if unique.name is None else str(unique.name),
        container.table_name,
        [item.name if isinstance(item, Column) else text(_sql(item)) for item in expressions],
        where=None if predicate is None else _sql(predicate),
        nulls_not_distinct=bool(options.get(f"{dialect}_nulls_not_distinct")),
        schema=container.schema,
    )


def _sql(expression: Any) -> str:
    if isinstance(expression, str):
        return expression
    return str(expression.compile(compile_kwargs={"literal_binds": True, "include_table": False}))
