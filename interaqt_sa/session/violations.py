"""Map constraint violations to declared constraints and records."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKeyConstraint, MetaData, Table
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Mapper

from ..definitions.computation import INFO_KEY, info_of
from ..definitions.constraints import NonNullConstraint, UniqueConstraint
from ..dialects.database_errors import NormalizedDatabaseError, error_chain, normalize_database_error
from ..dialects.physical_constraint_names import Constraint, physical_name, quoted_name
from ..errors import ConstraintViolationError
from ..schema.compile.constraints import VIOLATION_CODE
from ..schema.metadata_state import Catalog
from ..schema.record_lookup import record_name


def find_constraint_violation_error(error: BaseException) -> ConstraintViolationError | None:
    """Return the :class:`.ConstraintViolationError` in the chain of causes of ``error``, or ``None``.

    :param error: any error, such as that of a :class:`.DispatchResult`.

    ::

        result = controller.dispatch(PlaceOrder, args)
        if result.error and (violation := find_constraint_violation_error(result.error)):
            return Response(409, violation.code)
    """
    return next((link for link in error_chain(error) if isinstance(link, ConstraintViolationError)), None)


def constraint_violation(error: BaseException, metadata: MetaData) -> ConstraintViolationError | None:
    """Return the constraint violation that ``error`` reports, or ``None`` if it reports none.

    The violation of a constraint that ``metadata`` does not have has no names. The caller raises it ``from error``.

    :param error: an error of SQLAlchemy or of a driver.
    :param metadata: the MetaData of the constraints, with ``info={"violation_code": "…"}`` if they have a code.
    """
    found = normalize_database_error(error)
    if found is None or not found.is_violation:
        return None
    table, constraint = _declared(found, metadata)
    if table is None:
        return _violation(found, None, found.table, found.columns, {})
    mapper = _mapper_of(table, metadata)
    record = table.name if mapper is None else record_name(mapper)
    properties: Sequence[str] = [_attribute(mapper, table, name) for name in found.columns]
    if constraint is None:
        column = table.columns.get(found.columns[0]) if len(found.columns) == 1 else None
        return _violation(found, None, record, properties, {} if column is None else info_of(column))
    definition = info_of(constraint).get(INFO_KEY)
    if isinstance(definition, NonNullConstraint):
        found = replace(found, kind="non-null")
        properties = [definition.property]
    elif isinstance(definition, UniqueConstraint):
        properties = definition.properties
    else:
        properties = [_attribute(mapper, table, column.name) for column in constraint.columns]
    name = constraint.name if definition is None else definition.name
    return _violation(found, str(name) if name else None, record, properties, info_of(constraint))


def with_constraint_violation(error: Exception, metadata: MetaData) -> Exception:
    """Return ``error`` with its constraint violation, for :func:`find_constraint_violation_error`.

    A database error is replaced by the violation. If the database error is deeper in the chain of causes, the violation
    is inserted above it.
    """
    if find_constraint_violation_error(error) is not None:
        return error
    violation = constraint_violation(error, metadata)
    if violation is None:
        return error
    if _is_from_database(error):
        violation.__cause__ = error
        return violation
    for link in error_chain(error):
        if link.__cause__ is not None and _is_from_database(link.__cause__):
            violation.__cause__ = link.__cause__
            link.__cause__ = violation
            break
    return error


def _is_from_database(error: BaseException) -> bool:
    return isinstance(error, DBAPIError) or hasattr(error, "sqlstate") or hasattr(error, "sqlite_errorname")


def _violation(
    found: NormalizedDatabaseError,
    constraint: str | None,
    record: str | None,
    properties: Iterable[str],
    info: Mapping[Any, Any],
) -> ConstraintViolationError:
    kind = found.kind or ""
    properties = tuple(properties)
    shown = f" {constraint or found.constraint!r}" if constraint or found.constraint else ""
    place = f"{record}({', '.join(properties)})" if record else "the database"
    code = info.get(VIOLATION_CODE) or f"{kind.replace('-', '_').upper()}_CONSTRAINT_VIOLATION"
    return ConstraintViolationError(
        f"{place}: the {kind} constraint{shown} is violated ({code})",
        code=code,
        kind=kind,
        constraint=constraint,
        record=record,
        properties=properties,
        retryable=False,
        driver=found.driver,
        raw_code=found.code,
    )


def _declared(found: NormalizedDatabaseError, metadata: MetaData) -> tuple[Table | None, Constraint | None]:
    """Return the table and the constraint that ``found`` refers to."""
    tables = [table for table in metadata.tables.values() if found.table in (None, table.name)]
    # the table may be in another schema than in the MetaData (schema_translate_map, search_path)
    tables.sort(key=lambda table: (table.schema != found.schema, table.schema is not None))
    for table in tables:
        for constraint in _constraints(table):
            if _means(found, constraint, table):
                return table, constraint
    return (tables[0] if found.table is not None and tables else None), None


def _constraints(table: Table) -> Iterator[Constraint]:
    # unique constraints before unique indexes: several partial indexes may cover the same columns
    yield from (c for c in table.constraints if isinstance(c, Constraint))
    yield from (index for index in table.indexes if index.unique)


def _means(found: NormalizedDatabaseError, constraint: Constraint, table: Table) -> bool:
    if found.constraint is not None:
        return physical_name(constraint, table) == quoted_name(found.constraint)
    if found.kind != "unique" or isinstance(constraint, (ForeignKeyConstraint, CheckConstraint)):
        return False
    return {column.name for column in constraint.columns} == set(found.columns)


def _mapper_of(table: Table, metadata: MetaData) -> Mapper[Any] | None:
    """Return the topmost mapper of ``table`` in its inheritance hierarchy."""
    mappers = [mapper for mapper in Catalog.of(metadata).all_mappers() if mapper.local_table is table]
    tops = [mapper for mapper in mappers if mapper.inherits not in mappers]
    return tops[0] if tops else None


def _attribute(mapper: Mapper[Any] | None, table: Table, column: str) -> str:
    for attribute in () if mapper is None else mapper.column_attrs:
        if any(known is table.columns.get(column) for known in attribute.columns):
            return attribute.key
    return column
