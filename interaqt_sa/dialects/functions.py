"""SQL functions whose text differs between databases."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from sqlalchemy import BigInteger, Boolean, ColumnElement, Float, Numeric, Sequence
from sqlalchemy.exc import CompileError
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

from .undecorated_types import stored_type

_POSTGRESQL, _SQLITE = "postgresql", "sqlite"


class finite(FunctionElement[Any]):  # noqa: N801  reads as a SQL function
    """Whether a floating-point or numeric value is finite."""

    name = "finite"
    type = Boolean()
    inherit_cache = True


@compiles(finite, _SQLITE)
def _finite_sqlite(element: finite, compiler: SQLCompiler, **kw: Any) -> str:
    (value,) = element.clauses
    return f"(abs({compiler.process(value, **kw)}) < 9e999)"  # infinity; NaN is stored as NULL


@compiles(finite, _POSTGRESQL)
def _finite_postgresql(element: finite, compiler: SQLCompiler, **kw: Any) -> str:
    (value,) = element.clauses
    return f"({compiler.process(value, **kw)} NOT IN ('NaN', 'Infinity', '-Infinity'))"


class exact(FunctionElement[Any]):  # noqa: N801
    """A floating-point value as a NUMERIC with all digits; a plain cast keeps 15 of them."""

    name = "exact"
    inherit_cache = True

    def __init__(self, value: ColumnElement[Any]) -> None:
        super().__init__(value)
        self.type = Numeric()


@compiles(exact, _POSTGRESQL)
def _exact_postgresql(element: exact, compiler: SQLCompiler, **kw: Any) -> str:
    (value,) = element.clauses
    return f"CAST(CAST({compiler.process(value, **kw)} AS TEXT) AS NUMERIC)"


class trimmed(FunctionElement[Any]):  # noqa: N801
    """A decimal without trailing zeros, which would increase the scale of a division on PostgreSQL."""

    name = "trimmed"
    inherit_cache = True

    def __init__(self, value: ColumnElement[Any]) -> None:
        super().__init__(value)
        self.type = value.type


@compiles(trimmed, _POSTGRESQL)
def _trimmed_postgresql(element: trimmed, compiler: SQLCompiler, **kw: Any) -> str:
    (value,) = element.clauses
    return f"trim_scale({compiler.process(value, **kw)})"


class without_nan(FunctionElement[Any]):  # noqa: N801
    """A value, or NULL if it is NaN, which Min and Max ignore."""

    name = "without_nan"
    inherit_cache = True

    def __init__(self, value: ColumnElement[Any]) -> None:
        super().__init__(value)
        self.type = value.type


@compiles(without_nan, _POSTGRESQL)
def _without_nan_postgresql(element: without_nan, compiler: SQLCompiler, **kw: Any) -> str:
    (value,) = element.clauses
    sql = str(compiler.process(value, **kw))
    # since SQLAlchemy 2.1 Float is not a subclass of Numeric
    return f"NULLIF({sql}, 'NaN')" if isinstance(stored_type(element.type), (Numeric, Float)) else sql


@compiles(exact, _SQLITE)
@compiles(trimmed, _SQLITE)
@compiles(without_nan, _SQLITE)
def _itself(element: FunctionElement[Any], compiler: SQLCompiler, **kw: Any) -> str:
    (value,) = element.clauses
    return str(compiler.process(value, **kw))


class json_contains(FunctionElement[bool]):  # noqa: N801
    """Whether a JSON array contains an element."""

    type = Boolean()
    inherit_cache = True


@compiles(json_contains, _POSTGRESQL)
def _json_contains_postgresql(element: json_contains, compiler: SQLCompiler, **kw: Any) -> str:
    array, member = (compiler.process(clause, **kw) for clause in element.clauses)
    # not @>, which for objects also matches a part of the element
    return f"(CAST({member} AS JSONB) IN (SELECT jsonb_array_elements(CAST({array} AS JSONB))))"


@compiles(json_contains, _SQLITE)
def _json_contains_sqlite(element: json_contains, compiler: SQLCompiler, **kw: Any) -> str:
    array, member = (compiler.process(clause, **kw) for clause in element.clauses)
    # wrapped in a list, because json_each of a bare scalar has no stable type
    return (
        f"EXISTS (SELECT 1 FROM json_each({array}) AS have, json_each('[' || {member} || ']') AS want "
        "WHERE have.value IS want.value AND have.type = want.type)"
    )


class NextId(FunctionElement[int]):
    """The next value of a sequence as a column default; NULL on databases without sequences."""

    type = BigInteger()
    inherit_cache = False

    def __init__(self, sequence: Sequence) -> None:
        super().__init__()
        self.sequence = sequence


@compiles(NextId, _POSTGRESQL)
def _next_id_postgresql(element: NextId, compiler: SQLCompiler, **kw: Any) -> str:
    return str(cast("Any", compiler).visit_sequence(element.sequence, **kw))


@compiles(NextId, _SQLITE)
def _next_id_sqlite(element: NextId, compiler: SQLCompiler, **kw: Any) -> str:
    # Sequence.next_value() cannot be rendered in CREATE TABLE; SQLite replaces NULL by the row id
    return "(NULL)"


def _only_shown(render: Callable[..., str]) -> Callable[..., str]:
    """Render an expression for the default dialect, as messages do, and raise for databases without a rendering."""

    def fall_back(element: FunctionElement[Any], compiler: SQLCompiler, **kw: Any) -> str:
        if compiler.dialect.name != "default":
            raise CompileError(f"{type(element).__name__} is not written for the database {compiler.dialect.name!r}")
        return render(element, compiler, **kw)

    return fall_back


compiles(finite)(_only_shown(_finite_sqlite))
compiles(exact)(_only_shown(_itself))
compiles(trimmed)(_only_shown(_itself))
compiles(without_nan)(_only_shown(_itself))
compiles(json_contains)(_only_shown(_json_contains_postgresql))
compiles(NextId)(_only_shown(_next_id_postgresql))
