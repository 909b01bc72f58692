"""Advice on errors about missing tables and columns."""

from __future__ import annotations

import re
from collections.abc import Iterable

from sqlalchemy import ExceptionContext, MetaData

_MISSING = re.compile(
    r"no such (?:table|column): (?P<lite>[\w.]+)|has no column named (?P<named>\w+)"
    r'|(?:relation|column) "?(?P<postgres>[\w.]+)"?(?: of relation "\w+")? does not exist'
)
_ADVICE = (
    "computed values need {name!r}, which the database does not have: run the pending migrations (alembic upgrade "
    "head), or create the tables of a new database by MetaData.create_all() or controller.setup(install=True)"
)


def advise(context: ExceptionContext, metadata: Iterable[MetaData]) -> None:
    """Add a hint on migrations to an error about a missing table or column that ``metadata`` declares."""
    if context.sqlalchemy_exception is None:
        return
    found = _MISSING.search(str(context.original_exception))
    name = next((part for part in found.groups() if part), "").rpartition(".")[2] if found else ""
    if name and any(_declares(declared, name) for declared in metadata):
        context.sqlalchemy_exception.add_detail(_ADVICE.format(name=name))


def _declares(metadata: MetaData, name: str) -> bool:
    return any(table.name == name or any(c.name == name for c in table.columns) for table in metadata.tables.values())
