"""A warning for an ``env.py`` without :func:`.configure`, where autogenerate would silently omit values."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from alembic.operations.ops import UpgradeOps
from alembic.util import DispatchPriority, PriorityDispatchResult
from sqlalchemy import MetaData, Table

from ..definitions.computation import computation_of, info_of
from ..schema.computed import TRANSFORM_KEY
from ..schema.table_completion import complete_if_mapped
from .backfill_state import metadatas
from .default_backfill import defined_tables

if TYPE_CHECKING:
    from alembic.autogenerate.api import AutogenContext
    from alembic.runtime.plugins import Plugin

log = logging.getLogger("alembic.interaqt_sa")

#: In Alembic's own namespace: other comparators are called only if ``env.py`` names them, which is missing in this
#: case. ``autogenerate_plugins=["alembic.autogenerate.*", "~alembic.autogenerate.interaqt_sa"]`` silences the warning.
WATCH = "alembic.autogenerate.interaqt_sa"


def setup(plugin: Plugin, watch: Plugin) -> None:
    """Add to ``watch`` a comparator that warns about tables whose values ``plugin`` would migrate if enabled."""

    def compare_nothing(
        context: AutogenContext, upgrade_ops: UpgradeOps, schemas: set[str | None]
    ) -> PriorityDispatchResult:
        """Warn if the models use this package, and the environment does not enable the plugin."""
        for metadata in metadatas(context.metadata):
            complete_if_mapped(metadata)
        if plugin.name not in (context.opts.get("autogenerate_plugins") or ()):
            names = [table.fullname for metadata in metadatas(context.metadata) for table in _own_tables(metadata)]
            if names:
                log.warning(
                    "%s: computed columns and definitions are migrated without their values. "
                    "In env.py, write context.configure(connection=connection, "
                    "**interaqt_sa.migrate.configure(target_metadata=...)), which adds back-fills to the revision",
                    ", ".join(sorted(names)),
                )
        return PriorityDispatchResult.CONTINUE

    watch.add_autogenerate_comparator(
        compare_nothing, "schema", "interaqt_unconfigured", priority=DispatchPriority.FIRST
    )


def _own_tables(metadata: MetaData) -> list[Table]:
    """Return the tables with computed columns or derived rows, and those of definitions."""
    defined = defined_tables(metadata)
    return [
        table
        for table in metadata.tables.values()
        if table in defined
        or TRANSFORM_KEY in info_of(table)
        or any(computation_of(column) is not None for column in table.columns)
    ]
