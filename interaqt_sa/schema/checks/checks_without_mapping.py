"""Checks of computations that are reported together with definitions that cannot be mapped."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import Column, MetaData, Table

from ...definitions.dictionary import Dictionary
from ..compile.definition_checks import is_computation
from ..compile.dictionaries import dictionary_table_name
from ..compile.tables import TablePlan
from ..compile.valid_parts import properties_of
from ..computed import computed_attributes, declared_rows
from ..faults import Faults
from ..metadata_state import Catalog
from .computation_checks import ComputationChecks
from .record_outlines import Outlines


def check_computations(
    metadata: MetaData,
    outlines: Outlines,
    plans: Mapping[str, TablePlan],
    values: Iterable[tuple[Dictionary, Column[Any] | None]],
    faults: Faults,
) -> None:
    """Collect the faults of the computations of definitions and of the application's own classes.

    Definitions of earlier calls may refer to relations of later ones, so they are not checked. Checks that depend on a
    faulty definition or on a class that is not mapped yet are deferred.

    :param plans: the tables of records that are not mapped yet.
    :param values: dictionaries that have no table yet, with the columns of their values; ``None`` for a faulty column.
    """
    checks = ComputationChecks(outlines, faults)
    for name, plan in plans.items():
        table, columns, outline = plan.path(metadata), list(plan.columns.values()), outlines.planned[name]
        for prop in properties_of(plan.definition):
            if is_computation(prop.computation):
                column = plan.columns.get(prop.name)
                checks.check_value(prop.computation, column, table, columns, outline, prop.name)
        rows = plan.definition.computation
        if is_computation(rows) and not rows.gives_value:  # any other value is already collected as a fault
            checks.check_rows(rows, table, columns, outline)
    for dictionary, column in values:
        if is_computation(dictionary.computation):
            table, columns = dictionary_table_name(dictionary), [] if column is None else [column]
            checks.check_value(dictionary.computation, column, table, columns, dictionary.name, "value")
    _check_classes(metadata, outlines, checks)
    checks.check_self_dependencies()


def _check_classes(metadata: MetaData, outlines: Outlines, checks: ComputationChecks) -> None:
    seen: set[Column[Any]] = set()
    catalog = Catalog.of(metadata)
    compiled = {*catalog.classes.values(), *catalog.dictionary_classes.values()}
    for mapper in sorted(catalog.all_mappers(), key=lambda m: len(list(m.iterate_to_root()))):
        table, outline = mapper.local_table, outlines.of(mapper)
        if not isinstance(table, Table) or mapper.class_ in compiled:
            continue
        for attribute, column, computation in computed_attributes(mapper):
            if column not in seen:
                seen.add(column)
                checks.check_value(computation, column, table.fullname, table.columns, outline, attribute)
        checks.check_rows(declared_rows(mapper.class_), table.fullname, table.columns, outline)
