"""What an ``env.py`` gives to Alembic; a complete one is in ``migrations/`` and in the package's template."""

from __future__ import annotations

import sqlalchemy as sa
from alembic.autogenerate import produce_migrations
from alembic.migration import MigrationContext

from interaqt_sa.migrate import configure

from .domain import schema  # no engine, no controller, no I/O at import


def missing(connection: sa.Connection) -> list[str]:
    """Return the operations that a migration of this database would have; an ``env.py`` calls context.configure."""
    options = configure(target_metadata=schema.metadata)
    context = MigrationContext.configure(connection, opts=options)
    upgrade = produce_migrations(context, schema.metadata).upgrade_ops
    assert upgrade is not None
    return [type(operation).__name__ for operation in upgrade.ops]
