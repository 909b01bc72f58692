"""A DML statement in terms of the plan: its table, the columns that it writes, its parameter sets."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

from sqlalchemy import (
    BinaryExpression,
    BindParameter,
    Cast,
    Column,
    ColumnClause,
    ColumnElement,
    Join,
    Label,
    Table,
    Tuple,
    TypeCoerce,
    column,
)
from sqlalchemy.orm import FromStatement, Mapper, ORMExecuteState
from sqlalchemy.sql import operators, visitors
from sqlalchemy.sql.dml import Delete, Insert, Update
from sqlalchemy.sql.elements import Grouping
from sqlalchemy.sql.lambdas import LambdaElement

from ...dialects.base import named
from ...errors import UnmanagedWriteError
from .table_identity import own_table

#: elements that may wrap the target of an assignment in ``SET``
_AROUND = (Grouping, Label, Cast, TypeCoerce)
#: placeholder for the value of a column of which only a part is assigned
_UNTOLD = object()

# These parts of a DML statement have no public accessors: _values, _ordered_values, _multi_values, _select_names,
# _post_values_clause; nor have annotations: _propagate_attrs.


def dml_of(statement: Any) -> Insert | Update | Delete | None:
    """Return the INSERT, UPDATE or DELETE that ``statement``, possibly a lambda, executes; else ``None``.

    ``select(Class).from_statement(insert(Class)…)`` is equivalent to the DML with a RETURNING of the same entities.
    """
    if isinstance(statement, LambdaElement):
        statement = statement._resolved
    elif isinstance(statement, FromStatement):
        statement = _returning_entities(statement)
    return statement if isinstance(statement, (Insert, Update, Delete)) else None


def _returning_entities(statement: FromStatement[Any]) -> Any:
    inner: Any = dml_of(statement.element)
    entities = [e._annotations.get("parententity") for e in statement._raw_columns]
    if inner is None or mapper_of(inner) is None or {*entities} != {mapper_of(inner)}:
        return None
    inner = inner._generate()
    inner._returning = ()
    return inner.returning(*statement._raw_columns).options(*statement._with_options)


def mapper_of(statement: Any) -> Mapper[Any] | None:
    """Return the mapper of the class that a statement writes, ``None`` if it names a table."""
    # not the plugin subject of the statement: criteria on a class do not make a statement on a table one on a class
    subject = statement.table._propagate_attrs.get("plugin_subject")
    return getattr(subject, "mapper", None)


def options_of(execution: ORMExecuteState) -> dict[str, Any]:
    """Return the execution options of a statement, including the changes of other listeners so far."""
    return {**execution.execution_options, **execution.local_execution_options}


class DMLStatement:
    """One DML statement of a session.

    :param execution: the ORM execution state; ``None`` for a statement on a connection, whose rows are named by
        columns, not by attributes.
    :param given: the parameter set, or a list of several.
    :param table: the table of the plan that it writes.
    :ivar statement: the statement as SQLAlchemy will run it.
    :ivar target: the object that stands for the table in it: ``table`` itself, an alias or another object.
    :ivar mapper: the mapper whose attributes it may name; ``None`` for a statement on a table.
    :ivar rows: the parameter sets, if there are several.
    :ivar parameters: the parameter set, if there is one.
    """

    def __init__(
        self, statement: Insert | Update | Delete, table: Table, given: Any, execution: ORMExecuteState | None = None
    ) -> None:
        self._execution = execution
        if isinstance(statement.table, Join):
            statement = statement._generate()
            statement.table = own_table(statement.table)
        self.statement: Any = statement
        self.table = table
        # joins and locks compare it with the FROM of the statement's own criteria
        is_own = isinstance(statement.table, Table) and statement.table.metadata is table.metadata
        self.target: Any = table if is_own else statement.table
        self.mapper = mapper_of(statement)
        self.rows: list[Mapping[str, Any]] = list(given) if isinstance(given, (list, tuple)) else []
        self.parameters: Mapping[str, Any] = given if isinstance(given, Mapping) else {}
        self._refuse_foreign_class()

    def _refuse_foreign_class(self) -> None:
        if self.mapper is not None and self.table not in self.mapper.tables:
            raise UnmanagedWriteError(
                f"{self.mapper.class_.__name__} maps the table {self.table.fullname!r} a second time, so that computed "
                f"values would not be updated by this statement; use the class, or the Table, of the System's MetaData",
                table=self.table.fullname,
            )

    @classmethod
    def within(cls, execution: ORMExecuteState, statement: Insert | Update | Delete, table: Table) -> DMLStatement:
        """Return the DML statement for an ORM execution."""
        return cls(statement, table, execution.parameters, execution)

    @property
    def execution(self) -> ORMExecuteState:
        """The ORM execution state of the statement."""
        assert self._execution is not None
        return self._execution

    @property
    def verb(self) -> str:
        """``"insert"``, ``"update"`` or ``"delete"``."""
        return str(self.statement.__visit_name__)

    @cached_property
    def rows_by_attribute(self) -> bool:
        """Whether parameter sets name attributes of the class instead of columns."""
        return self.mapper is not None and self.strategy == "bulk"

    @cached_property
    def strategy(self) -> str:
        """SQLAlchemy's ``dml_strategy`` for the statement."""
        if self._execution is None:
            return "raw"
        options = options_of(self._execution)
        kind = "insert" if isinstance(self.statement, Insert) else "update"
        chosen = getattr(options.get(f"_sa_orm_{kind}_options"), "_dml_strategy", "auto")
        # not chosen yet for a statement inside select(…).from_statement()
        return ("bulk" if self.rows else "orm") if chosen == "auto" else str(chosen)

    # -- columns -----------------------------------------------------------------------------------------------

    def expression(self, wanted: Column[Any]) -> ColumnElement[Any]:
        """Return ``wanted`` as a column of the object that stands for the table in the statement."""
        if self.target is self.table or wanted.table is not self.table:
            return wanted
        # another table object may lack the column, or have another type
        found: ColumnClause[Any] = column(wanted.name, wanted.type)
        found.table = self.target
        return found

    def adapted(self, condition: ColumnElement[bool]) -> ColumnElement[bool]:
        """Return a condition on the table as one on the object that stands for it; see :meth:`expression`."""

        def replace(element: Any, **_: Any) -> Any:
            return self.expression(element) if isinstance(element, Column) else None

        adapted: ColumnElement[bool] = visitors.replacement_traverse(condition, {}, replace)
        return adapted

    def expressions(self, wanted: Iterable[Column[Any]]) -> list[ColumnElement[Any]]:
        """Return several columns; see :meth:`expression`."""
        return [self.expression(one) for one in wanted]

    def returned(self, wanted: Iterable[Column[Any]]) -> list[ColumnElement[Any]]:
        """Return columns for a RETURNING, with names that do not conflict with those of the application."""
        found = self.expressions(wanted)
        if not self.statement._returning:
            return found
        return [one.label(named(f"c{i}")) for i, one in enumerate(found)]

    def name_in_rows(self, wanted: Column[Any]) -> str | None:
        """Return the name of ``wanted`` in parameter sets; ``None`` if it has none."""
        if self.rows_by_attribute:
            mapper = self.mapper
            assert mapper is not None
            return mapper.get_property_by_column(wanted).key if mapper.columns.contains_column(wanted) else None
        if self.target is self.table:
            return wanted.key
        return next((key for key, one in self.statement.table.c.items() if one.name == wanted.name), None)

    @cached_property
    def each_name(self) -> Mapping[Any, Any]:
        """All names in the parameter sets, with the value of one of them."""
        return one_of_each(self.rows or [self.parameters])

    @cached_property
    def written(self) -> frozenset[Column[Any]]:
        """The columns that it writes by its values, its parameters or its conflict clause.

        :raises UnmanagedWriteError: if it assigns to something that has no recognisable column.
        """
        found = {one for key, value in self._assignments() for one, _ in self.assigned(key, value)}
        found.update(one for one, _ in self.set_on_conflict())
        for name, value in self.each_name.items():
            found.update(one for one, _ in self.assigned(name, value, in_rows=True))
        return frozenset(found)

    @cached_property
    def untold(self) -> frozenset[Column[Any]]:
        """The columns of :attr:`written` whose whole value is unknown, because only a part of them is assigned."""
        pairs = (pair for key, value in self._assignments() for pair in self.assigned(key, value))
        return frozenset(column for column, value in pairs if value is _UNTOLD)

    def _assignments(self) -> Iterator[tuple[Any, Any]]:
        yield from self._pairs()
        yield from one_of_each(self.rows_of_values()).items()
        for name in getattr(self.statement, "_select_names", None) or ():
            yield name, None

    def _pairs(self) -> Iterable[tuple[Any, Any]]:
        ordered = getattr(self.statement, "_ordered_values", None) or ()
        return [*ordered, *(getattr(self.statement, "_values", None) or {}).items()]

    def set_on_conflict(self) -> Iterator[tuple[Column[Any], Any]]:
        """Yield the columns, named by key or name, that ``ON CONFLICT DO UPDATE`` sets, with their values."""
        for clause in conflict_clauses(self.statement):
            for key, value in dict(getattr(clause, "update_values_to_set", ())).items():
                yield from self._of_name(key, value) if isinstance(key, str) else self.assigned(key, value)

    def rows_of_values(self) -> list[Mapping[Any, Any]]:
        """Return the rows of ``insert(…).values([…])``; values of rows without names belong to the columns in order."""
        rows = [row for rows in getattr(self.statement, "_multi_values", ()) for row in rows]
        columns = self.statement.table.columns
        return [row if isinstance(row, Mapping) else dict(zip(columns, row, strict=False)) for row in rows]

    def values(self) -> dict[Column[Any], Any]:
        """Return the values that the statement assigns to all of its rows."""
        return _told((pair for key, given in self._pairs() for pair in self.assigned(key, given)))

    def given_rows(self) -> list[dict[Column[Any], Any]]:
        """Return the known values of each row of an INSERT; those of ``INSERT … SELECT`` are unknown."""
        fixed, listed = self.values(), self.rows_of_values()
        rows = [self.by_column(row, in_rows=not listed) for row in listed or self.rows or [self.parameters]]
        if not self.rows_by_attribute:  # the first row determines which columns are written
            rows = [{column: row[column] for column in rows[0] if column in row} for row in rows]
        return [{c: known_value(v) for c, v in {**fixed, **row}.items()} for row in rows]

    def by_column(self, row: Mapping[Any, Any], *, in_rows: bool) -> dict[Column[Any], Any]:
        """Return the values of ``row`` by column.

        :param in_rows: whether it is a parameter set, not a row of :meth:`rows_of_values`.
        """
        return _told(pair for key, value in row.items() for pair in self.assigned(key, value, in_rows=in_rows))

    def assigned(self, key: Any, value: Any, *, in_rows: bool = False) -> Iterator[tuple[Column[Any], Any]]:
        """Yield the columns that ``key`` assigns ``value`` to, with their values; none for other parameters."""
        if hasattr(key, "__clause_element__"):
            key = key.__clause_element__()
        if isinstance(key, str):
            by_attribute = self.rows_by_attribute if in_rows else self.mapper is not None
            yield from self._of_attribute(key, value, in_rows=in_rows) if by_attribute else self._of_name(key, value)
        elif isinstance(key, ColumnClause):
            if (found := self._column(key)) is not None:
                yield found, value
        else:
            parts = [found for part in _assigned_parts(key) if (found := self._column(part)) is not None]
            if not parts:
                raise UnmanagedWriteError(
                    f"this {self.verb} of {self.table.fullname!r} assigns to {key}, whose column cannot be "
                    "determined; assign to the column",
                    table=self.table.fullname,
                )
            yield from ((part, _UNTOLD) for part in parts)

    def _of_attribute(self, name: str, value: Any, *, in_rows: bool) -> Iterator[tuple[Column[Any], Any]]:
        mapper = self.mapper
        assert mapper is not None
        if name in mapper.column_attrs:
            held = mapper.column_attrs[name].columns[0]
            if isinstance(held, Column):
                yield held, value
            return
        # a composite, a synonym or a hybrid represents other attributes
        attribute: Any = getattr(mapper.class_, name, None)
        setter = attribute._bulk_dml_setter(name) if in_rows and hasattr(attribute, "_bulk_dml_setter") else None
        if setter is not None:
            row = {name: value}
            setter(row)
            for other in row.keys() - {name}:
                yield from self._of_attribute(other, row[other], in_rows=True)
        elif hasattr(attribute, "_bulk_update_tuples"):
            for key, given in attribute._bulk_update_tuples(value):
                if not isinstance(key, str):
                    yield from self.assigned(key, given)
        else:
            yield from self._of_name(name, value)

    def _of_name(self, name: str, value: Any) -> Iterator[tuple[Column[Any], Any]]:
        found = self.statement.table.c.get(name)
        if found is None:
            found = next((c for c in self.table.columns if c.name == name), None)
        if found is not None and (own := self._column(found)) is not None:
            yield own, value

    def _column(self, found: ColumnClause[Any]) -> Column[Any] | None:
        """Return the column of the plan that corresponds to ``found``."""
        table: Any = found.table
        if isinstance(table, Table) and table.metadata is self.table.metadata:
            # with joined inheritance the column may be in another table
            own = self.table.metadata.tables[table.key].c.get(found.key)
            if own is not None:
                return own
        known = self.statement.table.c.get(found.key) if table is None or table is not self.statement.table else found
        name = known.name if known is not None else found.name
        return next((c for c in self.table.columns if c.name == name), None)


def conflict_clauses(statement: Any) -> Sequence[Any]:
    """Return the ON CONFLICT clauses of an INSERT; SQLite allows several."""
    found = getattr(statement, "_post_values_clause", None)
    parts = () if found is None else getattr(found, "clauses", (found,))
    return [part for part in parts if hasattr(part, "inferred_target_elements")]


def known_value(value: Any) -> Any:
    """Return a value of a statement, without the bound parameter around it."""
    if hasattr(value, "__clause_element__"):
        value = value.__clause_element__()
    if isinstance(value, BindParameter) and value.callable is None and not value.required:
        return value.value
    return value


def one_of_each(rows: Sequence[Mapping[Any, Any]]) -> Mapping[Any, Any]:
    """Return all names in ``rows``, with the value of one of the rows."""
    merged: dict[Any, Any] = {}
    for row in rows:
        merged.update(row)
    return merged


def _told(pairs: Iterable[tuple[Column[Any], Any]]) -> dict[Column[Any], Any]:
    return {one: value for one, value in pairs if value is not _UNTOLD}


def _assigned_parts(target: Any) -> Iterator[ColumnClause[Any]]:
    """Yield the columns that ``SET target = …`` changes: ``column[1]``, ``(a, b)``, ``type_coerce(column, …)``."""
    if isinstance(target, ColumnClause):
        yield target
    elif isinstance(target, _AROUND):
        inner: Any = target.element if hasattr(target, "element") else target.clause
        yield from _assigned_parts(inner)
    elif isinstance(target, Tuple):
        for part in target.clauses:
            yield from _assigned_parts(part)
    elif isinstance(target, BinaryExpression) and target.operator in (operators.getitem, operators.json_getitem_op):
        yield from _assigned_parts(target.left)
    else:
        # attributes of composite types, and custom elements
        yield from (part for part in visitors.iterate(target) if isinstance(part, ColumnClause))
