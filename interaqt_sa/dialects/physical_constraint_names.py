"""Physical names of constraints, including the default names of unnamed ones."""

from __future__ import annotations

from typing import Any, TypeAlias

from sqlalchemy import CheckConstraint, ForeignKeyConstraint, Index, PrimaryKeyConstraint, Table, UniqueConstraint
from sqlalchemy.dialects.postgresql.base import PGDialect

Constraint: TypeAlias = UniqueConstraint | PrimaryKeyConstraint | ForeignKeyConstraint | CheckConstraint | Index

#: Renders names as in DDL, truncated if they are too long. Errors of SQLite contain no names.
_PREPARER = PGDialect().identifier_preparer  # type: ignore[no-untyped-call]
_DEFAULT_SUFFIXES: dict[type[Any], str] = {
    UniqueConstraint: "key",
    PrimaryKeyConstraint: "pkey",
    ForeignKeyConstraint: "fkey",
}


def physical_name(constraint: Constraint, table: Table) -> str | None:
    """Return the quoted name of a constraint of ``table``; ``None`` if it is not known."""
    name = _PREPARER.format_constraint(constraint) if constraint.name is not None else None
    if name is not None or isinstance(constraint, (CheckConstraint, Index)):
        return name
    columns = [] if isinstance(constraint, PrimaryKeyConstraint) else [column.name for column in constraint.columns]
    return quoted_name("_".join([table.name, *columns, _DEFAULT_SUFFIXES[type(constraint)]]))


def quoted_name(name: str) -> str:
    """Return ``name`` quoted as by :func:`physical_name`."""
    return _PREPARER.quote(name)
