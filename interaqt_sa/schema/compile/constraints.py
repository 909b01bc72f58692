"""Compile declared constraints into constraints and unique indexes of tables."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

from sqlalchemy import CheckConstraint, Column, ColumnElement, Index, MetaData
from sqlalchemy.exc import CompileError, StatementError

from ...definitions.computation import INFO_KEY
from ...definitions.constraints import NonNullConstraint, UniqueConstraint
from ...definitions.match import And, MatchExp
from ...definitions.records import Constraint
from ...definitions.type_aliases import Where
from ...errors import DefinitionFault
from ..faults import Faults, NotYetKnown
from ..merged_lookup import RECORD_TYPE
from ..metadata_state import Catalog
from ..naming import fit_identifier
from ..predicates.index_predicates import writable
from ..predicates.match import compile_where
from ..predicates.predicate_values import check_literals, check_operands, parts_of
from .definition_checks import check_constraint, is_text
from .filtered_records import FilteredPlan
from .relations import unique
from .tables import TablePlan
from .valid_parts import constraints_of

#: Key of a constraint's ``info``: the code of its violations.
VIOLATION_CODE = "violation_code"


def plan_constraints(
    metadata: MetaData, plans: dict[str, TablePlan], filtered: Iterable[FilteredPlan], faults: Faults
) -> None:
    """Add the declared constraints of all records to the plans of their tables, those of members as partial ones."""
    catalog = Catalog.of(metadata)
    compiled = [*catalog.definitions.values(), *(found.definition for found in catalog.filtered.values())]
    names = {constraint.name: definition.name for definition in compiled for constraint in constraints_of(definition)}
    declared: list[tuple[TablePlan, str, list[Constraint]]] = []
    for plan in plans.values():
        with faults.caught(plan.definition.name, record=plan.definition.name):
            declared.append((plan, plan.definition.name, _own_constraints(plan)))
    for members in filtered:
        with faults.caught(members.name, record=members.name):
            if constraints := constraints_of_members(members):
                declared.append((_table_of(members, plans), members.name, constraints))
    for plan, record, constraints in declared:
        for constraint in constraints:
            where = f"{record}, constraint {constraint.name!r}"
            if (other := names.get(constraint.name)) is not None:
                faults.add(f"{where}: {other} has a constraint of this name; rename one of them", record=record)
            names[constraint.name] = record
            known = len(faults.found)
            with faults.caught(where, record=record):
                check_constraint(constraint)
            names_of = constraint.properties if isinstance(constraint, UniqueConstraint) else (constraint.property,)
            for name in (name for name in names_of if is_text(name)):
                with faults.caught(where, record=record):
                    _column(plan, name)
            if isinstance(constraint, UniqueConstraint) and constraint.where is not None:
                for part in parts_of(constraint.where):
                    with faults.caught(where, record=record):
                        _predicate(plan, part)
            with faults.caught(where, record=record):
                if len(faults.found) == known:
                    plan.items.append(_compiled(metadata, plan, constraint))


def _own_constraints(plan: TablePlan) -> list[Constraint]:
    """Return the constraints of a record; those of an input of a merged entity are restricted to its rows.

    :raises DefinitionFault: if that is not possible.
    """
    constraints = constraints_of(plan.definition)
    if plan.merged is None:
        return constraints
    if any(isinstance(constraint, NonNullConstraint) for constraint in constraints):
        raise DefinitionFault(
            f"rows of other inputs share its table, which can have unique constraints only; declare a "
            f"NonNullConstraint on {plan.merged.definition.name!r}"
        )
    return _restricted(constraints, [MatchExp.atom(RECORD_TYPE, ("=", plan.definition.name))])


def _table_of(members: FilteredPlan, plans: dict[str, TablePlan]) -> TablePlan:
    if not isinstance(members.root, str):
        raise DefinitionFault(
            f"its base {members.root_name} is mapped already, so that its table can have no further constraints; "
            "compile both in one call, or declare a unique Index with a predicate on the class"
        )
    return plans[members.root]


def constraints_of_members(members: FilteredPlan) -> list[Constraint]:
    """Return the constraints of a filtered record as partial constraints of its base.

    :raises DefinitionFault: if they are restricted by SQL expressions, which cannot be combined before they are mapped.
    """
    return _restricted(constraints_of(members.definition), members.conditions)


def _restricted(constraints: Iterable[Constraint], given: Sequence[Where]) -> list[Constraint]:
    found: list[Constraint] = []
    for constraint in constraints:
        if isinstance(constraint, UniqueConstraint):
            conditions = [*given, *([] if constraint.where is None else [constraint.where])]
            if not all(isinstance(condition, (MatchExp, Mapping)) for condition in conditions):
                raise DefinitionFault(
                    f"constraint {constraint.name!r} needs conditions that are mappings or MatchExp, not SQL "
                    "expressions or functions"
                )
            parts = tuple(MatchExp.of(cast("Any", condition)) for condition in conditions)
            where = parts[0] if len(parts) == 1 else And(parts)
            found.append(
                UniqueConstraint(
                    constraint.name, constraint.properties, where=where, violation_code=constraint.violation_code
                )
            )
    return found


def _compiled(metadata: MetaData, plan: TablePlan, declared: Constraint) -> Any:
    info = {INFO_KEY: declared}
    if declared.violation_code is not None:
        info[VIOLATION_CODE] = declared.violation_code  # type: ignore[assignment]
    if isinstance(declared, NonNullConstraint):
        column = _column(plan, declared.property)
        name = declared.name if _takes_name(metadata, "ck") else fit_identifier(f"ck_{plan.name}_{declared.name}")
        return CheckConstraint(column.is_not(None), name=name, info=info)
    columns = [_column(plan, name) for name in declared.properties]
    if declared.where is None:
        constraint = unique(metadata, plan.name, *columns, name=declared.name)
        constraint.info.update(info)
        return constraint
    predicate = _predicate(plan, declared.where)
    # Alembic detects a changed predicate only by a changed name
    digest = hashlib.sha256(_literal(predicate).encode()).hexdigest()[:8]
    return Index(
        fit_identifier(f"uq_{plan.name}_{declared.name}_{digest}"),
        *columns,
        unique=True,
        postgresql_where=predicate,
        sqlite_where=predicate,
        info=info,
    )


def _takes_name(metadata: MetaData, kind: str) -> bool:
    return "%(constraint_name)s" in str(metadata.naming_convention.get(kind, ""))


def _column(plan: TablePlan, attribute: str) -> Column[Any]:
    column = plan.references.get(attribute, plan.columns.get(attribute))
    if column is not None:
        return column
    if attribute in plan.faulty:
        raise NotYetKnown(attribute)
    known = ", ".join(sorted({*plan.references, *plan.columns, *plan.faulty}))
    if attribute in plan.attributes:
        raise DefinitionFault(f"{attribute!r} is not a column of {plan.name}; a constraint may cover {known}")
    raise DefinitionFault(f"there is no property {attribute!r}; a constraint may cover {known or 'nothing here'}")


class _OwnColumns:
    """A stand-in for the mapped class, which does not exist yet, in the predicate of a partial index."""

    def __init__(self, plan: TablePlan) -> None:
        self._plan = plan

    def __getattr__(self, name: str) -> Column[Any]:
        return _column(self._plan, name)


def _predicate(plan: TablePlan, where: Where) -> ColumnElement[bool]:
    try:
        check_operands(where, lambda path: _column(plan, path))
        compiled = compile_where(where, _OwnColumns(plan), lambda path: _column(plan, path))
        check_literals(compiled)
        return writable(compiled)
    except (AttributeError, TypeError) as error:
        raise DefinitionFault(f"where={where!r} cannot be compiled: {error}") from error


def _literal(predicate: ColumnElement[bool]) -> str:
    """Return the SQL text of a predicate, with literals in place of parameters."""
    try:
        return str(predicate.compile(compile_kwargs={"literal_binds": True}))
    except (CompileError, StatementError, NotImplementedError) as error:
        raise DefinitionFault(f"where={predicate} has a value that cannot be written into SQL: {error}") from error
