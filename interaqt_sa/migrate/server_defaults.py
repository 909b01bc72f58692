"""Compare server defaults of our own columns, and only of these unless the user wants more."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from alembic.runtime.migration import MigrationContext
from sqlalchemy import Column, Sequence, inspect

from ..definitions.computation import computation_of
from ..schema.computed import state_of
from .comparators import sequence_of

Comparison = Callable[..., bool | None]

_NEXTVAL = re.compile(r"nextval\('(.+)'(::regclass)?\)")


def server_default_comparison(users_own: bool | Comparison) -> Comparison:
    """Return what Alembic's ``compare_server_default`` calls; ``None`` from it leaves the answer to the dialect.

    :param users_own: the user's setting, which goes for columns that are not ours.
    """

    def compare(
        context: MigrationContext,
        inspected_column: Column[Any],
        metadata_column: Column[Any],
        inspected_default: str | None,
        metadata_default: Any,
        rendered_default: str | None,
    ) -> bool | None:
        sequence = sequence_of(metadata_column)
        if sequence is not None and metadata_default is not None:
            # PostgreSQL compares defaults by evaluating them, which would draw ids
            return context.dialect.supports_sequences and not _draws_from(
                sequence, inspected_default or _reflected_default(context, inspected_column)
            )
        if computation_of(metadata_column) is not None or state_of(metadata_column) is not None:
            return None
        if callable(users_own):
            return users_own(
                context, inspected_column, metadata_column, inspected_default, metadata_default, rendered_default
            )
        return None if users_own else False

    return compare


def _draws_from(sequence: Sequence, default: str | None) -> bool:
    found = _NEXTVAL.fullmatch(default or "")
    return found is not None and found[1].rpartition(".")[2].strip('"') == sequence.name


def _reflected_default(context: MigrationContext, column: Column[Any]) -> str | None:
    """Return the default of a column as it is: Alembic leaves that of SERIAL columns out."""
    assert context.connection is not None
    columns = inspect(context.connection).get_columns(column.table.name, schema=column.table.schema)
    return next((found["default"] for found in columns if found["name"] == column.name), None)
