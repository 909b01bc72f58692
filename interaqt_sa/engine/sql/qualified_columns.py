"""Keep the table name of columns within RETURNING, where a compiler would omit it."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement


class qualified(FunctionElement[Any]):  # noqa: N801  reads as a SQL function
    """A subquery in RETURNING whose columns keep the names of their tables.

    On SQLite, SQLAlchemy omits the names there, and with a table and its alias in the subquery an unqualified name is
    ambiguous.
    """

    name = "qualified"
    inherit_cache = True

    def __init__(self, subquery: ColumnElement[Any]) -> None:
        super().__init__(subquery)
        self.type = subquery.type


@compiles(qualified)
def _qualified(element: qualified, compiler: SQLCompiler, **kw: Any) -> str:
    (subquery,) = element.clauses
    return compiler.process(subquery, **{**kw, "include_table": True})
