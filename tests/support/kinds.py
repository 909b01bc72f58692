"""The kinds of computations that the package has, found by what registers them."""

from __future__ import annotations

from sqlalchemy import MetaData

from interaqt_sa.definitions.computation import Computation, computation_of
from interaqt_sa.engine.plan.accumulator import accumulator_for
from interaqt_sa.engine.plan.kinds import add_rows, add_value
from interaqt_sa.schema.computed import declared_rows
from interaqt_sa.schema.metadata_state import Catalog


def registered_kinds() -> set[str]:
    """Return the names of the package's own kinds; tests register others."""
    return {
        kind.__name__
        for registry in (accumulator_for.registry, add_value.registry, add_rows.registry)
        for kind in registry
        if issubclass(kind, Computation) and kind.__module__.partition(".")[0] == "interaqt_sa"
    }


def kinds_in(metadata: MetaData) -> set[str]:
    """Return the names of the kinds that the models of ``metadata`` declare."""
    columns = [computation_of(column) for table in metadata.tables.values() for column in table.columns]
    rows = [declared_rows(mapper.class_) for mapper in Catalog.of(metadata).all_mappers()]
    return {type(computation).__name__ for computation in (*columns, *rows) if computation is not None}
