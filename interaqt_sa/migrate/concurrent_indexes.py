"""Indexes that are built while others write: ``Index(postgresql_concurrently=True)``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from typing import TYPE_CHECKING, Any

from alembic.autogenerate.render import render_op_text, renderers
from alembic.operations import MigrateOperation
from alembic.operations.ops import CreateIndexOp, DropIndexOp, ModifyTableOps, OpContainer

if TYPE_CHECKING:
    from alembic.autogenerate.api import AutogenContext

_OPTION = "postgresql_concurrently"


class ConcurrentIndexes(OpContainer):
    """Indexes of one table that are created or dropped outside of a transaction, as PostgreSQL requires."""

    def __init__(self, table: str, operations: Sequence[MigrateOperation], *, schema: str | None = None) -> None:
        super().__init__(operations)
        self.table = table
        self.schema = schema

    def reverse(self) -> ConcurrentIndexes:
        reversed_ops: list[Any] = [operation.reverse() for operation in reversed(self.ops)]
        for operation in reversed_ops:
            operation.kw[_OPTION] = True
        return ConcurrentIndexes(self.table, reversed_ops, schema=self.schema)


def take_concurrent_indexes(
    operations: Sequence[MigrateOperation], created: AbstractSet[tuple[str | None, str]]
) -> Iterator[ConcurrentIndexes]:
    """Remove from ``operations``, and yield, those that must run outside of a transaction.

    Tables created in the same revision have no writers yet: their indexes are built as usual.
    """
    for container in operations:
        if not isinstance(container, ModifyTableOps):
            continue
        is_new = (container.schema, container.table_name) in created
        mine: list[MigrateOperation] = []
        for operation in list(container.ops):
            if isinstance(operation, (CreateIndexOp, DropIndexOp)) and operation.kw.get(_OPTION):
                if is_new:
                    del operation.kw[_OPTION]
                else:
                    container.ops.remove(operation)
                    mine.append(operation)
        if mine:
            yield ConcurrentIndexes(container.table_name, mine, schema=container.schema)


@renderers.dispatch_for(ConcurrentIndexes)
def _render(context: AutogenContext, operation: ConcurrentIndexes) -> list[str]:
    lines = [f"with {context.opts['alembic_module_prefix']}get_context().autocommit_block():"]
    for index in operation.ops:
        if isinstance(index, CreateIndexOp):
            # an interrupted one leaves an invalid index behind
            options: dict[str, Any] = {_OPTION: True}
            rest = DropIndexOp(str(index.index_name), index.table_name, schema=index.schema, if_exists=True, **options)
            lines.append(_indented(render_op_text(context, rest)))
        lines.append(_indented(render_op_text(context, index)))
    return lines


def _indented(text: str) -> str:
    return "\n".join(f"    {line}" for line in text.splitlines())
