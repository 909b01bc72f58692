"""The declared values and rows that have to be filled, by name."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import Column, Connection, MetaData, Table, inspect
from sqlalchemy.engine.reflection import ObjectKind

from ..definitions.computation import info_of
from ..engine.engine import ComputedValue, Derivation, plan_of
from ..schema.compile.dictionaries import DICTIONARY_KEY
from .backfill_state import Row
from .default_backfill import DEFAULT, defaulted_column
from .fingerprints import rows_fingerprint, value_fingerprint
from .value_dependencies import derivations, reading


class Declared:
    """The computed values and derived rows of one MetaData.

    :ivar fingerprints: their fingerprints by name: ``"Record.property"``, or ``"Record"`` for derived rows.
    """

    def __init__(self, metadata: MetaData) -> None:
        self.metadata = metadata
        self.plan = plan_of(metadata)
        self.values: dict[str, ComputedValue] = dict(self.plan.computed)
        self.derivations: dict[str, Derivation] = derivations(self.plan)
        self._fingerprints = {
            **{name: value_fingerprint(value) for name, value in self.values.items()},
            **{name: rows_fingerprint(derivation) for name, derivation in self.derivations.items()},
        }
        self.fingerprints = {name: each.current for name, each in self._fingerprints.items()}

    def is_current(self, name: str, recorded: str) -> bool:
        """Whether ``recorded`` is the fingerprint of the current declaration of ``name``, in the current format or the
        former one.
        """
        return self.kind(name, recorded) == DEFAULT or recorded in self._fingerprints.get(name, ())

    def renewed(self, rows: Mapping[str, Row]) -> dict[str, str]:
        """Return the fingerprints of the values that were recorded in the former format."""
        return {
            name: each.current
            for name, each in self._fingerprints.items()
            if (row := rows.get(name)) is not None and row.fingerprint == each.former
        }

    @classmethod
    def all(cls, targets: Sequence[MetaData]) -> list[Declared]:
        """Return the declarations of each MetaData."""
        return [cls(metadata) for metadata in targets]

    def table_of(self, name: str) -> Table:
        """Return the table whose rows a back-fill of ``name`` processes."""
        if name in self.values:
            return self.values[name].table
        origin = self.derivations[name].origin
        assert origin is not None
        table: Any = origin.local_table
        found: Table = table
        return found

    def is_dictionary(self, name: str) -> bool:
        """Whether ``name`` is a value of a dictionary, whose row exists from the beginning."""
        return name in self.values and DICTIONARY_KEY in info_of(self.values[name].table)

    def column_of(self, name: str) -> Column[Any]:
        """Return the column whose existence shows that ``name`` can be filled."""
        if name in self.values:
            return self.values[name].column
        column = self.derivations[name].source_column
        assert column is not None
        return column

    def default(self, name: str) -> Column[Any] | None:
        """Return the column of a property whose default is written into existing rows."""
        return defaulted_column(self.metadata, name)

    def read_defaults(self, names: Mapping[str, str]) -> dict[str, str]:
        """Return the values and derived rows that are computed from columns whose defaults are among ``names``."""
        columns = {
            column for name, said in names.items() if said == DEFAULT and (column := self.default(name)) is not None
        }
        return {name: self.fingerprints[name] for name in sorted(reading(self.plan, columns))}

    def kind(self, name: str, fingerprint: str) -> str | None:
        """Return the fingerprint of the current declaration of ``name``; ``None`` if there is none.

        :param fingerprint: the fingerprint in the revision; it distinguishes defaults from computed values.
        """
        if fingerprint == DEFAULT:
            return DEFAULT if self.default(name) is not None else None
        return self.fingerprints.get(name)


def missing_columns(connection: Connection, tables: Collection[Table]) -> Iterator[str]:
    """Yield the names of the columns of ``tables`` that the database does not have."""
    inspector = inspect(connection)
    for schema in {table.schema for table in tables}:
        mine = {table.name: table for table in tables if table.schema == schema}
        # one query of the catalogue for all tables, and for views with members
        found = inspector.get_multi_columns(schema=schema, filter_names=list(mine), kind=ObjectKind.ANY)
        for name, table in mine.items():
            existing = {column["name"] for column in found.get((schema, name), ())}
            for column in table.columns:
                # system columns, such as xmin, are not listed
                if column.name not in existing and not column.system:
                    yield f"{table.fullname}.{column.name}"
