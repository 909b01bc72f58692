"""The module that Alembic loads through the entry point group ``alembic.plugins``."""

# Alembic imports this module during its own import: nothing that needs Alembic can be imported at the top.

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from alembic.runtime.plugins import Plugin


def setup(plugin: Plugin) -> None:
    """Register operations, their implementations and renderers; add the comparators to ``plugin``."""
    for name in (
        "operations",
        "implementations",
        "renderers",
        "value_changing_operations",
        "concurrent_indexes",
        "legacy_table_adoption",
    ):
        import_module(f".{name}", __package__)
    from alembic.runtime.plugins import Plugin

    from . import check_constraints as requirements
    from . import comparators, legacy_tables, native_enums, server_defaults, unconfigured
    from . import object_filter as removals
    from . import partial_indexes as predicates

    for module in (comparators, native_enums, predicates, removals, requirements, server_defaults, legacy_tables):
        module.setup(plugin)
    unconfigured.setup(plugin, Plugin(unconfigured.WATCH))
