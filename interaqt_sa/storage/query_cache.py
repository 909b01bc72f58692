"""Cache of queries by their shape."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

from sqlalchemy import Dialect
from sqlalchemy.orm import Mapper
from sqlalchemy.util import LRUCache

from ..schema.metadata_state import Catalog
from .attributes import metadata_of
from .query_plan import Query

#: maximum number of shapes; more than programs have
_SIZE = 500


class QueryCache:
    """The most recently used queries of the records of one MetaData.

    :param generation: generation of the catalog whose mapped classes the queries read.
    """

    def __init__(self, generation: int) -> None:
        self._generation = generation
        self._queries: Any = LRUCache(_SIZE)

    @classmethod
    def of(cls, mapper: Mapper[Any]) -> QueryCache:
        """Return the cache of the MetaData to which ``mapper`` belongs."""
        catalog = Catalog.of(metadata_of(mapper))
        found: Any = catalog.queries
        if not isinstance(found, cls) or found._generation != catalog.generation:
            found = catalog.queries = cls(catalog.generation)
        current: QueryCache = found
        return current

    def get(self, dialect: Dialect, key: Hashable | None) -> Query | None:
        """Return the query of a shape; ``None`` if it is not cached."""
        found: Query | None = None if key is None else self._queries.get((dialect, key))
        return found

    def put(self, dialect: Dialect, key: Hashable | None, query: Query) -> None:
        """Cache the query of a shape."""
        self._queries[dialect, key] = query
