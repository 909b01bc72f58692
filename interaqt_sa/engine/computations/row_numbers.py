"""Give new rows the numbers of their scopes, before they are inserted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Column, Table, cast, literal, select
from sqlalchemy.orm import Mapper
from sqlalchemy.sql.elements import ClauseElement

from ...definitions.scoped_sequence import matches
from ...errors import ComputationError
from ...schema.scoped_counters import advance_counters, counter_parameters, scope_text
from ..database.database import Database
from ..database.flush_row_values import UNKNOWN, stored_form
from ..database.value_round_trip import as_stored
from ..plan import Numbering

#: values of a new row by column
Row = Mapping[Column[Any], Any]


class RowNumbers:
    """The numbers that one write has taken from the counters.

    One statement takes all numbers of a sequence: it adds to the counters of all scopes, in their order. The counters
    are locked by it until the transaction ends.
    """

    def __init__(self, db: Database) -> None:
        self._db = db
        #: the next number and how many are left
        self._held: dict[tuple[Numbering, str], tuple[int, int]] = {}
        self._taken: Counter[tuple[Numbering, str]] = Counter()

    def of(self, table: Table) -> Sequence[Numbering]:
        """Return the numbered columns of a table."""
        return self._db.statements.plan.numberings.get(table, ())

    def fill(
        self,
        table: Table,
        rows: Sequence[Row],
        mapper: Mapper[Any] | None = None,
        expected: Callable[[Numbering], Mapping[str, int]] | None = None,
    ) -> list[dict[Column[Any], Any]]:
        """Return the values to be added to new rows: their numbers, and the defaults that determine their scopes.

        :param mapper: their class, if the rows may lack their discriminator.
        :param expected: returns how many rows of each scope the whole write will insert, in this and other statements.
        :raises ComputationError: if the scope of a row is not known.
        """
        added: list[dict[Column[Any], Any]] = [{} for _ in rows]
        for numbering in self.of(table):
            scopes = self.scopes(numbering, rows, added, mapper)
            needed = Counter(text for text in scopes if text is not None)
            if any(self._left(numbering, text) < count for text, count in needed.items()):
                self.expect(numbering, {} if expected is None else expected(numbering), needed)
            for row, text, more in zip(rows, scopes, added, strict=True):
                if text is not None:
                    more[numbering.column] = self.next(numbering, text)
                elif needed and numbering.column not in row:
                    more[numbering.column] = None  # one statement inserts them all
            for column in dict.fromkeys(column for more in added for column in more):
                for row, more in zip(rows, added, strict=True):
                    if column not in row and column not in more:
                        more[column] = self._default(numbering, column, row)
        return added

    def expect(
        self, numbering: Numbering, expected: Mapping[str, int], needed: Mapping[str, int] | None = None
    ) -> None:
        """Take numbers for rows that will be inserted.

        :param expected: how many of each scope the whole write will insert.
        :param needed: how many are inserted now.
        """
        more = {text: count - self._taken[numbering, text] for text, count in expected.items()}
        for text, count in (needed or {}).items():
            more[text] = max(more.get(text, 0), count - self._left(numbering, text))
        more = {text: count for text, count in more.items() if count > 0}
        if not more:
            return
        step = numbering.declaration.step
        for text, last in self._advance(numbering, more).items():
            held, left = self._held.get((numbering, text), (0, 0))
            first = last - step * (more[text] - 1)
            self._held[numbering, text] = (held if left else first, left + more[text])
            self._taken[numbering, text] += more[text]

    def give_back(self, *, used: bool = False) -> None:
        """Return the numbers that no row has used; no other transaction can have taken later ones.

        :param used: whether to return all numbers, because the write will not take place.
        """
        for numbering in {numbering for numbering, _ in self._held}:
            counts = {text: count for (n, text), count in self._taken.items() if n is numbering}
            if not used:
                counts = {text: self._left(numbering, text) for text in counts}
            unused = {text: -count for text, count in counts.items() if count}
            if unused:
                self._advance(numbering, unused)
        self._held.clear()
        self._taken.clear()

    def _left(self, numbering: Numbering, text: str) -> int:
        return self._held.get((numbering, text), (0, 0))[1]

    def next(self, numbering: Numbering, text: str) -> int:
        """Return the next number of a scope, which was taken by :meth:`expect`."""
        number, left = self._held[numbering, text]
        self._held[numbering, text] = (number + numbering.declaration.step, left - 1)
        return number

    def _advance(self, numbering: Numbering, counts: Mapping[str, int]) -> dict[str, int]:
        """Add to counters; return the last number of each."""
        db, declaration, one = self._db, numbering.declaration, len(counts) == 1
        statement = db.statements.cached(
            ("advance counters", numbering.counters, one),
            lambda: advance_counters(db.dialect, numbering.counters, one=one),
        )
        by = {text: count * declaration.step for text, count in counts.items()}
        parameters = counter_parameters(db.dialect, declaration.name, declaration.start, by, one=one)
        return {text: int(last) for text, last in db.execute(numbering.source, statement, parameters)}

    # -- scopes ------------------------------------------------------------------------------------------------

    def scopes(
        self,
        numbering: Numbering,
        rows: Sequence[Row],
        added: Sequence[dict[Column[Any], Any]],
        mapper: Mapper[Any] | None = None,
    ) -> list[str | None]:
        """Return the scope of each row; ``None`` for rows that get no number.

        :param added: receives the values of defaults.
        :raises ComputationError: if the scope of a row is not known.
        """
        declaration, column = numbering.declaration, numbering.column
        found: list[str | None] = [None] * len(rows)
        places = [
            place
            for place, row in enumerate(rows)
            if declaration.is_unnumbered(row.get(column), column) and self._is_of_class(numbering, row, mapper)
        ]
        if declaration.match is not None and places:
            read = {name: self._values(numbering, one, places, rows, added) for name, one in numbering.read.items()}
            places = [
                place
                for n, place in enumerate(places)
                if matches(declaration.match, {name: values[n] for name, values in read.items()})
            ]
        if not places:
            return found
        values = [self._values(numbering, one, places, rows, added) for one in numbering.scope]
        for n, place in enumerate(places):
            scope = [listed[n] for listed in values]
            for one, value in zip(numbering.scope, scope, strict=True):
                if value is None:
                    raise _fault(numbering, one, "is NULL for a new row")
            try:
                found[place] = scope_text(scope)
            except TypeError as error:
                raise _fault(numbering, numbering.scope[0], str(error)) from error
        return found

    @staticmethod
    def _is_of_class(numbering: Numbering, row: Row, mapper: Mapper[Any] | None) -> bool:
        if numbering.kind is None:
            return True
        kind = row.get(numbering.kind)
        if kind is None and mapper is not None:
            kind = mapper.polymorphic_identity
        return kind in numbering.kinds

    def _values(
        self,
        numbering: Numbering,
        column: Column[Any],
        places: Sequence[int],
        rows: Sequence[Row],
        added: Sequence[dict[Column[Any], Any]],
    ) -> list[Any]:
        """Return the values of a column that the database will store in new rows."""
        values: list[Any] = []
        for place in places:
            row = rows[place]
            if column not in row and column not in added[place]:
                added[place][column] = self._default(numbering, column, row)
            value = row[column] if column in row else added[place][column]
            if isinstance(value, ClauseElement) or hasattr(value, "__clause_element__"):
                raise _fault(numbering, column, "is a SQL expression, known only to the database; give its value")
            values.append(value)
        forms = [None if value is None else stored_form(value, column) for value in values]
        unknown = [n for n, form in enumerate(forms) if form is UNKNOWN]
        stored = as_stored(self._db, numbering.source, [column], [(values[n],) for n in unknown]) if unknown else []
        for n, (form,) in zip(unknown, stored, strict=True):
            forms[n] = form
        return forms

    def _default(self, numbering: Numbering, column: Column[Any], row: Row) -> Any:
        """Return the default of a column, which is evaluated once and then inserted as a value."""
        default: Any = column.default
        if default is not None and default.is_scalar:
            return default.arg
        if default is not None and default.is_callable:
            return default.arg(_DefaultContext(row))
        server: Any = getattr(column.server_default, "arg", None)
        if default is not None or (column.server_default is not None and server is None):
            raise _fault(numbering, column, "is filled by the database, after the row is stored; give its value")
        if server is None:
            return None
        text = literal(server) if isinstance(server, str) else server
        statement = self._db.statements.cached(
            ("server default", column), lambda: select(cast(text, column.type).label("value"))
        )
        ((value,),) = self._db.execute(numbering.source, statement, {})
        return value


class _DefaultContext:
    """What functions of column defaults read of the INSERT that they are called for."""

    def __init__(self, row: Row) -> None:
        self.current_parameters = {str(column.key): value for column, value in row.items()}

    def get_current_parameters(self, isolate_multiinsert_groups: bool = True) -> dict[str, Any]:
        return self.current_parameters


def _fault(numbering: Numbering, column: Column[Any], what: str) -> ComputationError:
    value = numbering.value
    name = value.mapper.get_property_by_column(column).key if column in value.mapper.columns.values() else column.name
    return ComputationError(
        f"{value.name}: {name!r}, of the scope of ScopedSequence({numbering.declaration.name!r}), {what}; rows without "
        "a scope can be left out with match=",
        record=value.record,
        property=value.attribute,
    )


def by_column(table: Table, rows: Iterable[Mapping[str, Any]]) -> list[dict[Column[Any], Any]]:
    """Return parameter sets with columns in place of their keys."""
    return [{table.c[name]: value for name, value in row.items() if name in table.c} for row in rows]
