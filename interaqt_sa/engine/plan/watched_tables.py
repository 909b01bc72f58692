"""The tables that a plan watches."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Table
from sqlalchemy.orm import Mapper

from ...errors import DefinitionFault
from .plan_nodes import Source


class Sources:
    """The sources of a plan, one for each table or joined-inheritance hierarchy."""

    def __init__(self, mappers: list[Mapper[Any]]) -> None:
        self.by_table: dict[Table, Source] = {}
        self._base_mappers = {m.base_mapper.local_table: m.base_mapper for m in mappers}

    def mapper(self, mapper: Mapper[Any]) -> Source:
        """Return the source of the rows of ``mapper``.

        :raises DefinitionFault: if it uses concrete inheritance, or has no primary key.
        """
        for m in mapper.iterate_to_root():
            if m.concrete:
                raise DefinitionFault(
                    f"{mapper.class_.__name__} uses concrete inheritance, whose rows have no common table; "
                    "use joined or single-table inheritance",
                    record=mapper.class_.__name__,
                )
        base = mapper.base_mapper
        table = base.local_table
        if not isinstance(table, Table):
            raise DefinitionFault(f"{base.class_.__name__} is mapped to {table!r}, not to a table")
        source = self.by_table.get(table)
        if source is None:
            source = self.by_table[table] = Source(table, base)
        for m in mapper.iterate_to_root():
            if isinstance(m.local_table, Table):
                self.by_table.setdefault(m.local_table, source)
        return source

    def members(self, mapper: Mapper[Any]) -> Source:
        """Return the source of the rows that a query for the class returns, for a class whose rows are members.

        :raises DefinitionFault: as for :meth:`mapper`, or if such a query includes the tables of concrete subclasses.
        """
        source = self.mapper(mapper)
        concrete = [m.class_.__name__ for m in mapper.with_polymorphic_mappers if m.concrete]
        if concrete:
            raise DefinitionFault(
                f"{mapper.class_.__name__} is loaded together with {', '.join(concrete)}, with concrete inheritance: "
                "their rows have no common table; use joined or single-table inheritance, or no with_polymorphic=",
                record=mapper.class_.__name__,
            )
        return source

    def table(self, table: Table) -> Source:
        """Return the source of a plain table, such as the secondary table of a relationship."""
        if table in self.by_table:
            return self.by_table[table]
        if table in self._base_mappers:
            return self.mapper(self._base_mappers[table])
        self.by_table[table] = Source(table, None)
        return self.by_table[table]

    def distinct(self) -> list[Source]:
        """Return every source once."""
        return list(dict.fromkeys(self.by_table.values()))
