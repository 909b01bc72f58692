"""The arguments of ``context.configure`` for an ``env.py``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Any

from alembic.operations.ops import MigrationScript
from alembic.runtime.migration import MigrationContext
from alembic.runtime.plugins import Plugin
from sqlalchemy import MetaData, inspect, update

from ..schema.metadata_state import metadata_of
from ..schema.table_completion import complete_if_mapped
from . import _plugin
from .adoption import adopt_true_values
from .backfill import Pace, run_waiting
from .backfill_state import RUNNING, STATE_TABLE, metadatas, state_table
from .backfill_transactions import in_revision
from .directives import arrange
from .object_filter import FILTER_OPTION, ObjectFilter, tables_of_package
from .renderers import render_item
from .server_defaults import users_comparison
from .written_columns import WRITTEN_OPTION, WrittenColumns, reopen_written, written_by

PLUGIN = "interaqt_sa.migrate"

# Alembic has loaded the plugin by its entry point, unless the package is used without being installed; then the name is
# not registered, and it is registered here.
with suppress(ValueError):
    _plugin.setup(Plugin(PLUGIN))


def configure(target_metadata: Any, *, allow_drop: bool = False, **users_own: Any) -> dict[str, Any]:
    """Return the keyword arguments for ``context.configure`` in an ``env.py``.

    ::

        context.configure(connection=connection, **configure(target_metadata=Base.metadata))

    :param target_metadata: MetaData, declarative base, registry or :class:`.Schema`, or a sequence of them.
    :param allow_drop: whether autogenerate may drop columns and tables that definitions no longer declare; otherwise
        they are kept, with a warning.
    :param users_own: further arguments of ``context.configure``. Hooks among them (``include_object``, ``render_item``,
        ``process_revision_directives``, ``compare_server_default``, ``on_version_apply``) are kept, and called first.
    """
    targets = _targets(target_metadata)
    if targets:
        state_table(targets[0])
    for metadata in targets:
        complete_if_mapped(metadata)
    objects = ObjectFilter(targets, users_own.get("include_object"), allow_drop=allow_drop)
    return {
        "transaction_per_migration": True,
        **_schemas(targets, users_own),
        **users_own,
        "target_metadata": targets[0] if len(targets) == 1 else targets,
        "autogenerate_plugins": [*(users_own.get("autogenerate_plugins") or ["alembic.autogenerate.*"]), PLUGIN],
        "include_object": objects,
        # also as an option for comparators, because an env.py may wrap the function above in one of its own
        FILTER_OPTION: objects,
        WRITTEN_OPTION: WrittenColumns(),
        "compare_server_default": users_comparison(users_own.get("compare_server_default", False)),
        "render_item": _rendering(users_own.get("render_item")),
        "process_revision_directives": _chain(users_own.get("process_revision_directives")),
        "on_version_apply": [*_callbacks(users_own.get("on_version_apply")), _follow_up],
    }


def _targets(given: Any) -> list[MetaData]:
    # a class is a base, even if it is a sequence too
    if isinstance(given, (type, str)) or not isinstance(given, Sequence):
        one: Any = given
        return [metadata_of(one)]
    many: list[Any] = list(given)  # pyright: ignore[reportUnknownArgumentType]
    # a name in the settings may refer to a list
    return [metadata for target in many for metadata in _targets(target)]


def _schemas(targets: Sequence[MetaData], users_own: dict[str, Any]) -> dict[str, Any]:
    """Include the schemas of the models, and only these, unless the environment configures schemas itself.

    A filter of names of the environment is not asked about the tables of this package, which would be created again.
    """
    schemas = {table.schema for metadata in targets for table in metadata.tables.values()} - {None}
    is_left_to_user = "include_schemas" in users_own or not schemas
    include_name = users_own.pop("include_name", None)
    own = tables_of_package(targets)
    if is_left_to_user and include_name is None:
        return {}

    def include(name: str | None, type_: str, parent_names: Any) -> bool:
        if not is_left_to_user and type_ == "schema" and name is not None and name not in schemas:
            return False
        table = name if type_ == "table" else parent_names.get("table_name")
        if table in own:
            return True
        return include_name is None or bool(include_name(name, type_, parent_names))

    return {"include_name": include} if is_left_to_user else {"include_schemas": True, "include_name": include}


def _chain(users_own: Callable[..., None] | None) -> Callable[..., None]:
    def process_revision_directives(
        context: MigrationContext, revision: Any, directives: list[MigrationScript]
    ) -> None:
        if users_own is not None:
            users_own(context, revision, directives)
        # in a multi-database environment a revision has sections, which cannot be moved to another revision
        if context.opts.get("upgrade_token") == "upgrades":
            arrange(directives, context.dialect, context.connection)

    return process_revision_directives


def _rendering(users_own: Callable[..., Any] | None) -> Callable[..., Any]:
    def render(kind: str, item: Any, context: Any) -> Any:
        rendered = False if users_own is None else users_own(kind, item, context)
        return render_item(kind, item, context) if rendered is False else rendered

    return render


def _callbacks(given: Callable[..., None] | Iterable[Callable[..., None]] | None) -> Iterable[Callable[..., None]]:
    if given is None:
        return ()
    return (given,) if callable(given) else given


def _follow_up(ctx: MigrationContext, step: Any, **_: Any) -> None:
    """Run back-fills that waited for this revision, and those of values whose inputs it has written.

    After a stamp, correct values are recorded as filled. After a downgrade unfinished back-fills start again, because
    it may have dropped their columns, and an upgrade creates them again.
    """
    targets = metadatas(ctx.opts.get("target_metadata"))
    if ctx.as_sql or not targets:
        return
    state = state_table(targets[0])
    connection = ctx.connection
    assert connection is not None
    if step.is_stamp and step.is_upgrade:
        adopt_true_values(connection, targets)
    if not inspect(connection).has_table(STATE_TABLE, schema=state.schema):
        return
    if not step.is_upgrade:
        connection.execute(update(state).where(state.c.phase == RUNNING).values(cursor=None))
    reopen_written(ctx, connection)
    with written_by(ctx).paused():
        run_waiting(
            connection,
            targets,
            Pace.of(ctx.environment_context),
            lambda: in_revision(ctx, connection),
            of_current_declarations=not step.is_upgrade,
        )
