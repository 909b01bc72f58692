"""Detect triggers of a table, after which rows must be read back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import Table
from sqlalchemy.orm import Mapper

if TYPE_CHECKING:
    from ..plan import Source
    from .database import Database


def has_triggers(db: Database, source: Source, mapper: Mapper[Any]) -> bool:
    """Whether triggers of the application run when rows of ``mapper`` are written; looked up once for each table."""
    cached, dialect = db.statements.cached, db.dialect

    def of(table: Table) -> bool:
        return cached(("has triggers", table), lambda: dialect.has_triggers(db.connection(source), table))

    return any(of(table) for table in mapper.tables if isinstance(table, Table))
