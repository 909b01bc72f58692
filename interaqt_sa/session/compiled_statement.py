"""Compiled text of a cached statement for one driver, with its parameter and result conversions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqlalchemy import Dialect
from sqlalchemy.engine.interfaces import BindTyping
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.types import TypeEngine

Row = tuple[Any, ...]
#: a row as returned by the driver; it can be indexed and sliced
DriverRow = Sequence[Any]
#: converts one value, between Python and the driver
Convert = Callable[[Any], Any]


class CachedText:
    """A cached statement compiled for one driver.

    :ivar text: the SQL text, with placeholders of the driver.
    :ivar converts: the conversions of the driver's values, by the position of their columns; known after the first
        execution.
    """

    def __init__(self, compiled: SQLCompiler, types: Sequence[TypeEngine[Any]]) -> None:
        dialect = compiled.dialect
        self.text = str(compiled)
        self._sequence = dialect.execute_sequence_format if compiled.positional else None
        self._names: Sequence[str] = (compiled.positiontup if compiled.positional else list(compiled.binds)) or ()
        self._escaped = compiled.escaped_bind_names
        self._constants: dict[str, Any] = {}
        self._given: list[tuple[str, Convert | None]] = []
        for name in dict.fromkeys(self._names):
            bind = compiled.binds[name]
            convert = bind.type.dialect_impl(dialect).bind_processor(dialect)
            if bind.required:
                self._given.append((name, convert))
            else:
                self._constants[name] = convert(bind.effective_value) if convert else bind.effective_value
        self._types = [type_.dialect_impl(dialect) for type_ in types]
        self.converts: dict[int, Convert] | None = None

    @classmethod
    def of(cls, statement: Any, dialect: Dialect) -> CachedText | None:
        """Return the text of ``statement``; ``None`` if only SQLAlchemy itself can run it."""
        if dialect.bind_typing is BindTyping.SETINPUTSIZES:
            return None
        compiled = statement.compile(dialect=dialect)
        columns = getattr(statement, "exported_columns", None)
        if not isinstance(compiled, SQLCompiler) or columns is None:
            return None
        if compiled.post_compile_params or compiled.literal_execute_params:
            return None  # its text depends on its parameters
        if compiled.insert_prefetch or compiled.update_prefetch:
            return None  # columns have defaults that SQLAlchemy computes for each execution
        return cls(compiled, [column.type for column in columns])

    def parameters(self, given: Mapping[str, Any]) -> Any:
        """Return ``given`` in the form of the driver's parameters."""
        values = dict(self._constants)
        for name, convert in self._given:
            value = given[name]
            values[name] = value if convert is None else convert(value)
        if self._sequence is not None:
            return self._sequence([values[name] for name in self._names])
        return {self._escaped.get(name, name): value for name, value in values.items()} if self._escaped else values

    def fetch(self, cursor: Any, dialect: Dialect) -> Sequence[DriverRow]:
        """Return the rows of ``cursor``, with values converted by SQLAlchemy's types."""
        rows = self.fetch_unconverted(cursor, dialect)
        if not self.converts:
            return rows
        converted = list(map(list, rows))
        for i, convert in self.converts.items():
            for values in converted:
                values[i] = convert(values[i])
        return converted

    def fetch_unconverted(self, cursor: Any, dialect: Dialect) -> Sequence[DriverRow]:
        """Return the rows of ``cursor`` with the driver's values, to which :attr:`converts` have to be applied."""
        if self.converts is None:
            # the driver's types of the columns are known from its first result
            found = zip(self._types, cursor.description, strict=True)
            converts = [type_.result_processor(dialect, column[1]) for type_, column in found]
            self.converts = {i: convert for i, convert in enumerate(converts) if convert is not None}
        rows: list[Any] = cursor.fetchall()
        return rows
