"""The declared values and rows that have to be filled, by name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import Column, Connection, MetaData, Table, inspect
from sqlalchemy.engine.reflection import ObjectKind

from ..definitions.computation import info_of
from ..engine.engine import ComputedValue, Derivation, plan_of
from ..schema.compile.dictionaries import DICTIONARY_KEY
from ..schema.record_lookup import record_name
from .backfill_state import DONE, Row
from .default_backfill import DEFAULT, defaulted_column
from .fingerprints import rows_fingerprint, value_fingerprint
from .value_dependencies import derivations, reading


class Declared:
    """The computed values and derived rows of one MetaData.

    :ivar fingerprints: their fingerprints by name: ``"Record.property"``, or ``"Record"`` for derived rows.
    :ivar places: the names under which they are recorded: ``"table.column"``, with the schema of the table. Classes of
        several MetaData may have the same name.
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
        self.places = {name: _place(self.column_of(name)) for name in self._fingerprints}
        self._names = {place: name for name, place in self.places.items()}
        self._bare: dict[str, list[str]] = {}
        for name in self.places:
            self._bare.setdefault(self._bare_name(name), []).append(name)
        self._shared: Collection[str] = ()

    @classmethod
    def all(cls, targets: Sequence[MetaData]) -> list[Declared]:
        """Return the declarations of each MetaData."""
        found = [Declared(metadata) for metadata in targets]
        counts = Counter(name for one in found for name in one.fingerprints)
        for one in found:
            one._shared = {name for name in one.fingerprints if counts[name] > 1}
        return found

    @property
    def class_names(self) -> set[str]:
        """The names under which earlier versions have recorded values."""
        return {*self._bare, *self.places}

    def _bare_name(self, name: str) -> str:
        if name in self.derivations:
            return record_name(self.derivations[name].mapper)
        value = self.values[name]
        return f"{record_name(value.mapper)}.{value.attribute}"

    def place_of(self, name: str) -> str:
        """Return the name under which a value, or the default of a property, is recorded."""
        if name in self.places:
            return self.places[name]
        column = self.default(name)
        return name if column is None else _place(column)

    def names_of(self, given: str, said: str = "") -> list[str]:
        """Return the names of what is recorded under a place, or has a name in a revision.

        A revision may be older than a second class with the same name, since which both names are qualified; or older
        than the name of a class, and then the fingerprint tells which value it is, because it has table and column.

        :param said: the fingerprint in the revision, or of the record.
        """
        if given in self.fingerprints:
            return [given]
        if given in self._names:
            return [self._names[given]]
        renamed = [name for name, each in self._fingerprints.items() if said in each]
        return self._bare.get(given) or renamed or [given]

    def declares(self, given: str, fingerprint: str) -> bool:
        """Whether a name in a revision is declared; see :meth:`kind`."""
        return any(self.kind(name, fingerprint) is not None for name in self.names_of(given, fingerprint))

    def row(self, rows: Mapping[str, Row], name: str) -> Row | None:
        """Return the record of ``name``."""
        recorded = self.recorded_as(rows, name)
        return None if recorded is None else rows[recorded]

    def recorded_as(self, rows: Mapping[str, Row], name: str) -> str | None:
        """Return the name under which ``name`` is recorded in ``rows``."""
        place = self.place_of(name)
        if place in rows:
            return place
        # of earlier versions: it is not known of which MetaData a shared name was recorded
        return name if name in rows and name not in self._shared else None

    def is_current(self, name: str, recorded: str) -> bool:
        """Whether ``recorded`` is the fingerprint of the current declaration of ``name``, in the current format or the
        former one.
        """
        return self.kind(name, recorded) == DEFAULT or recorded in self._fingerprints.get(name, ())

    def renewed(self, rows: Mapping[str, Row]) -> dict[str, str]:
        """Return places and fingerprints of the filled values that an earlier version has recorded otherwise."""
        return {
            place: self.fingerprints[name]
            for name, place in self.places.items()
            if (row := self.row(rows, name)) is not None
            and row.phase == DONE
            and self.is_current(name, row.fingerprint)
            and (place not in rows or row.fingerprint != self.fingerprints[name])
        }

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


def _place(column: Column[Any]) -> str:
    return f"{column.table}.{column.name}"


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
