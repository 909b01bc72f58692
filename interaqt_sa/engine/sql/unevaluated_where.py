"""A WHERE criterion that is true when SQLAlchemy evaluates it in Python."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, true
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.elements import Grouping
from sqlalchemy.sql.visitors import InternalTraversal


class Restriction(Grouping[bool]):
    """``criterion`` in SQL, true in memory.

    SQLAlchemy finds the loaded objects of an UPDATE or DELETE by evaluating its WHERE in Python, where the criterion, a
    set of keys, cannot be evaluated and excludes none of them.
    """

    inherit_cache = True
    _traverse_internals = [*Grouping._traverse_internals, ("criterion", InternalTraversal.dp_clauseelement)]  # noqa: RUF012
    # the keys in it are parameters of the statement, so they must be found if its text comes from the cache
    _cache_key_traversal = _traverse_internals

    def __init__(self, criterion: ColumnElement[bool]) -> None:
        super().__init__(true())
        self.criterion = criterion


@compiles(Restriction)
def _restriction(element: Restriction, compiler: SQLCompiler, **kw: Any) -> str:
    return str(compiler.process(element.criterion, **kw))
