"""The Alembic plugin: autogenerate and migrations for computed values and definitions.

In ``env.py``::

    from interaqt_sa.migrate import configure, run_migrations

    context.configure(connection=connection, **configure(target_metadata=Base.metadata))
    run_migrations(connection)

Autogenerate then also detects

* sequences for the ids of tables, and existing ids that the sequences have to be advanced past;
* changed predicates of partial indexes, and server defaults of computed columns;
* values that are not computed yet, or were computed by an older declaration; the same for rows of Transforms.

Unique constraints on existing rows are preceded by a check for duplicates. Back-fills, and operations that have to wait
for them, get a revision of their own, because they commit batch by batch. The operations (``op.interaqt_…``) are
available as soon as the package is installed, so that revisions run in any environment.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .env_configuration import configure as configure
    from .exclusive_runs import migration_lock as migration_lock
    from .lock_timeout_retry import run_migrations as run_migrations

__all__ = ["configure", "migration_lock", "run_migrations"]

_HOMES = {"configure": "env_configuration", "migration_lock": "exclusive_runs", "run_migrations": "lock_timeout_retry"}


def __getattr__(name: str) -> Any:
    # while Alembic loads the plugin it imports this package, but is not importable itself yet
    if name in _HOMES:
        return getattr(import_module(f".{_HOMES[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
