"""The numbers of scoped sequences for the new objects of a flush."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Mapping, Sequence
from contextlib import suppress
from typing import Any

from sqlalchemy import Column, Table
from sqlalchemy.orm import Mapper, RelationshipDirection
from sqlalchemy.orm.attributes import instance_dict, instance_state, set_committed_value
from sqlalchemy.sql.elements import ClauseElement

from ...errors import ComputationProtocolError
from ...schema.record_lookup import relationships_of
from ..computations.row_numbers import Row, RowNumbers, by_column
from ..database.loaded_objects import identity_of
from ..database.polymorphic_rows import read_attributes
from ..plan import Numbering, Source, Watch
from ..propagation.fixed_scopes import FixedScopes
from ..propagation.propagation import Propagation
from .computed_writes import computed_write

#: how often the unit of work's rows are counted ahead, while listeners of the application go on to change scopes
_ATTEMPTS = 4


class FlushedNumbers:
    """Numbers the rows that the unit of work inserts.

    The numbers of all objects whose scopes are known are taken before the flush locks any row, so that counters come
    first in the lock order. The unit of work inserts these objects with their numbers. The scope of an object that
    refers to a new one, or that listeners of its class may still change, is known at its INSERT; its number is added
    there, and read afterwards.
    """

    def __init__(self, propagation: Propagation) -> None:
        self._db = propagation.db
        self._plan = propagation.db.statements.plan
        self._numbers = RowNumbers(propagation.db)
        self._new: dict[Numbering, list[Any]] = {}
        #: numbers that objects have, until they are inserted
        self._assigned: dict[Numbering, Counter[tuple[str, int]]] = {}
        #: objects that are numbered at their INSERT
        self._later: dict[Source, dict[Mapper[Any], dict[int, Any]]] = {}
        self._attempts: Counter[Numbering] = Counter()
        self._placed: list[tuple[Any, str]] = []
        self._carried: Container[int] = ()

    def before_flush(self, new: Sequence[tuple[Any, Watch]], carried: Container[int]) -> None:
        """Assign numbers to the objects whose scopes are known in memory.

        :param carried: ids of objects whose foreign keys the unit of work sets from a collection.
        """
        if not self._plan.numberings:
            return
        self._carried = carried
        may_change: dict[int, bool] = {}
        for instance, watch in new:
            for numbering in self._of(watch.mapper):
                loaded, name = instance_dict(instance), numbering.value.attribute
                if numbering.declaration.is_unnumbered(loaded.get(name), numbering.column):
                    loaded.pop(name, None)
                    self._new.setdefault(numbering, []).append(instance)
                    may_change[id(instance)] = bool(watch.mapper.dispatch.before_insert)
        for numbering in sorted(self._new, key=lambda n: n.declaration.name):
            instances, scopes = self._known(numbering)
            self._numbers.expect(numbering, Counter(text for text in scopes if text is not None))
            taken = self._assigned[numbering] = Counter()
            known = dict(zip(map(id, instances), scopes, strict=True))
            for instance in self._new[numbering]:
                if may_change[id(instance)] or id(instance) not in known:
                    self._defer(instance, numbering)
                elif (text := known[id(instance)]) is not None:
                    number = self._numbers.next(numbering, text)
                    set_committed_value(instance, numbering.value.attribute, number)
                    self._placed.append((instance, numbering.value.attribute))
                    taken[text, number] += 1
                elif not numbering.column.nullable:
                    self._defer(instance, numbering)

    def take_back(self) -> None:
        """Undo the assignments and return the numbers, because the flush does not begin and the transaction goes on."""
        for instance, name in self._placed:
            instance_dict(instance).pop(name, None)
        with suppress(
            Exception
        ):  # the error of the flush is raised; if the database refuses, it has ended the transaction
            self._numbers.give_back(used=True)

    def require_same_scopes(self, changed: Sequence[tuple[Any, Watch]], scopes: FixedScopes) -> None:
        """Refuse a changed scope before the flush, in which a unique constraint might refuse it with another error.

        :raises ComputationProtocolError: if the scope of a numbered object changes.
        """
        if not scopes:
            return
        for instance, watch in changed:
            mapper, loaded = watch.mapper, instance_dict(instance)
            if watch.source is None or instance_state(instance).key is None:
                continue
            for numbering in self._of(mapper):
                given = {column: _reference(loaded, mapper, column) for column in numbering.scope}
                for column in numbering.scope:
                    if given[column] is None:
                        given[column] = loaded.get(mapper.get_property_by_column(column).key)
                known = {column: value for column, value in given.items() if value is not None}
                scopes.refuse(numbering, identity_of(instance_state(instance)), known)

    def fill(self, table: Table, parameters: Sequence[Mapping[str, Any]], *, runs_code: bool) -> None:
        """Add the numbers to the parameters of an INSERT of the unit of work.

        :param runs_code: whether code of the application may have changed the objects during the flush.
        :raises ComputedWriteError: if it has assigned a number.
        :raises ComputationProtocolError: if it has changed the scope of a numbered object.
        """
        if table not in self._plan.numberings or not parameters:
            return
        rows = by_column(table, parameters)
        if runs_code:
            for numbering in self._plan.numberings[table]:
                self._require_assigned(numbering, rows)
        for given, more in zip(parameters, self._numbers.fill(table, rows, expected=self._expected), strict=True):
            assert isinstance(given, dict)  # the unit of work's own
            given.update({str(column.key): value for column, value in more.items()})

    def _require_assigned(self, numbering: Numbering, rows: Sequence[Row]) -> None:
        declaration, column = numbering.declaration, numbering.column
        given = [row for row in rows if not declaration.is_unnumbered(row.get(column), column)]
        bare = [{c: value for c, value in row.items() if c is not column} for row in given]
        for row, text in zip(given, self._numbers.scopes(numbering, bare, [{} for _ in bare]), strict=True):
            number, taken = row[column], self._assigned.get(numbering, Counter[tuple[str, int]]())
            if text is not None and taken[text, number] > 0:
                taken[text, number] -= 1
            elif not declaration.takes(number):
                if all(number != known for (_, known), left in taken.items() if left > 0):
                    raise computed_write(numbering.value)
                raise ComputationProtocolError(
                    f"{numbering.value.name}: a new row was numbered, and then its scope or what match= reads was "
                    "changed during the flush; change it before, for example in before_flush",
                    record=numbering.value.record,
                    property=numbering.value.attribute,
                )

    def after_flush(self) -> None:
        """Read the numbers that were given at an INSERT, and return those of rows that were not inserted."""
        if not self._new:
            return
        self._numbers.give_back()
        for source, by_mapper in self._later.items():
            for mapper, instances in by_mapper.items():
                found = {tuple(mapper.primary_key_from_instance(i)): i for i in instances.values()}
                for key, row in read_attributes(self._db, source, mapper, list(found)).items():
                    loaded = instance_dict(found[key])
                    fresh = {name: value for name, value in row.items() if loaded.get(name) is None}
                    self._db.memory.refresh_attributes(mapper, key, fresh)

    def _defer(self, instance: Any, numbering: Numbering) -> None:
        mapper = instance_state(instance).mapper
        self._later.setdefault(numbering.source, {}).setdefault(mapper, {})[id(instance)] = instance

    def _of(self, mapper: Mapper[Any]) -> Sequence[Numbering]:
        def find() -> list[Numbering]:
            tables = [table for table in mapper.tables if isinstance(table, Table)]
            found = (numbering for table in tables for numbering in self._plan.numberings.get(table, ()))
            return [numbering for numbering in found if mapper.isa(numbering.value.mapper)]

        return self._db.statements.cached(("numberings", mapper), find)

    def _expected(self, numbering: Numbering) -> Mapping[str, int]:
        self._attempts[numbering] += 1
        if self._attempts[numbering] > _ATTEMPTS:
            return {}
        self._carried = ()  # the unit of work has set their foreign keys by now
        return Counter(text for text in self._known(numbering)[1] if text is not None)

    def _known(self, numbering: Numbering) -> tuple[list[Any], list[str | None]]:
        """Return the new objects whose scopes are known, and these; ``None`` for objects that get no number."""
        new = self._new.get(numbering, ())
        found = [(i, _known_row(i, numbering, is_carried=id(i) in self._carried)) for i in new]
        known = [(instance, row) for instance, row in found if row is not None]
        scopes = self._numbers.scopes(numbering, [row for _, row in known], [{} for _ in known])
        return [instance for instance, _ in known], scopes


def _known_row(instance: Any, numbering: Numbering, *, is_carried: bool) -> dict[Column[Any], Any] | None:
    """Return what determines the number of a new object, as far as it is known; ``None`` if it is not.

    :param is_carried: whether the unit of work sets foreign keys of it from a collection.
    """
    mapper, loaded = instance_state(instance).mapper, instance_dict(instance)
    row: dict[Column[Any], Any] = {}
    for column in numbering.needed:
        if column is numbering.kind:
            row[column] = mapper.polymorphic_identity
            continue
        value = _reference(loaded, mapper, column)
        if value is None and is_carried and column.foreign_keys:
            return None
        if value is None:
            value = loaded.get(mapper.get_property_by_column(column).key)
        if value is None and (column.default is not None or column.server_default is not None):
            default: Any = column.default
            if default is None or not default.is_scalar:
                return None
            value = default.arg
        if isinstance(value, ClauseElement) or hasattr(value, "__clause_element__"):
            return None
        if value is None and column in numbering.scope:
            return None
        row[column] = value
    return row


def _reference(loaded: Mapping[str, Any], mapper: Mapper[Any], column: Column[Any]) -> Any:
    """Return the value that the unit of work will copy into ``column`` from a related object."""
    for relationship in relationships_of(mapper):
        if relationship.direction is not RelationshipDirection.MANYTOONE or relationship.viewonly:
            continue
        related = loaded.get(relationship.key)
        for local, remote in relationship.local_remote_pairs or () if related is not None else ():
            if local is column:
                return _held(related, relationship.mapper, remote)
    return None


def _held(instance: Any, mapper: Mapper[Any], column: Any) -> Any:
    """Return the value of a column of a related object, also if its attributes are expired."""
    held = instance_dict(instance).get(mapper.get_property_by_column(column).key)
    key = instance_state(instance).key
    if held is None and key is not None and column in mapper.primary_key:
        return key[1][mapper.primary_key.index(column)]
    return held
