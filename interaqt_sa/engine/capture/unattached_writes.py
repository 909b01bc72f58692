"""Refuse, warn about or allow writes by sessions and connections that are not attached to a system."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, Literal

from sqlalchemy import Connection, Dialect, MetaData, Table, TableClause
from sqlalchemy.exc import SQLAlchemyError

from ...definitions.computation import computation_of
from ...errors import DefinitionError, UnattachedWriteWarning, UnmanagedWriteError
from ...schema.computed import declared_rows
from ...schema.metadata_state import Catalog
from ..plan import Plan, plan_if_ready
from .attached_sessions import Attachments
from .caller import Caller
from .core_statement_guard import inner_tables, is_text, written_table
from .rows_under_other_names import other_name, tables_behind
from .table_identity import TableNames
from .textual_writes import textual_writes

Unattached = Literal["raise", "warn", "allow"]

#: the number of writes that are recorded for later warnings; there is one warning per table
_MAX_EARLY = 1000

#: returns the relevant tables that a statement writes, with the verb of the write
_Find = Callable[[Plan], list[tuple[Table, str]]]

_UNATTACHED = (
    "this {verb} on {table!r} comes from a session or connection that no System is attached to, so that computed "
    "values are not updated: create the session with the System's session_factory or attach its class with "
    "system.attach(…){repair}; "
    'System(unattached="allow") accepts such writes'
)
_REPAIR = ", and run system.repair() for what was written"
_TEXT = (
    "this SQL text writes {table!r} ({verb}) on a connection that no System is attached to, so that computed values "
    "are not updated: use insert(), update() or delete() in a session attached with system.attach(…), and run "
    'system.repair() for what was written; System(unattached="allow") accepts such writes'
)
_MIGRATION = (
    "this {verb} on {table!r} in a migration does not update the values that are computed from it: fill them in the "
    "same revision (op.interaqt_backfill), or run system.repair() after the upgrade"
)
_EARLY = (
    "this {verb} on {table!r} ran while classes of its models were still to be mapped, so that computed values were "
    "not updated: write after all models are imported, and run system.repair() for what was written"
)


class UnattachedWrites:
    """Report writes to the tables of one MetaData that no attached session makes.

    :param mode: ``"raise"``: an error before the statement; ``"warn"``: a warning for the first write to each table;
        ``"allow"``: nothing.
    """

    def __init__(self, metadata: MetaData, mode: Unattached) -> None:
        self._metadata = metadata
        self._mode: Unattached = mode
        self._warned: set[str] = set()
        # by statement and caller: writes executed before the declarations could be compiled
        self._early: dict[tuple[Any, ...], tuple[_Find, Caller]] = {}

    def hear(self, connection: Connection, element: Any, options: Mapping[str, Any], *, attended: bool = False) -> None:
        """Report an INSERT, UPDATE or DELETE.

        :param attended: whether an attached session runs it, before all classes of the models are mapped.
        """
        if self._mode == "allow":
            return
        plan = self._compiled()
        if plan is None and not self._may_be_ours(element.table):
            return
        if plan is not None:
            self.tell_of_early(plan)
        find = partial(self._written, connection.dialect, _schemas(connection, options), element, dict(options))
        if plan is None:
            plan = self._plan()
        if plan is None or attended:
            self._note((type(element), getattr(element.table, "fullname", element.table)), find)
        else:
            found = find(plan) or self._under_other_names(connection, element, options, plan)
            self._tell(connection, found, _UNATTACHED, self._mode)

    def hear_inner(self, connection: Connection, context: Any, statement: str) -> None:
        """Report the writes inside a statement or in SQL text.

        :param statement: the text about to be executed.
        """
        if self._mode == "allow":
            return
        schemas = _schemas(connection, context.execution_options)
        text = statement if is_text(context) else None
        plan = self._compiled()
        if plan is None and (text is None or self._is_named_in(text)):
            plan = self._plan()
            if plan is None and text is not None:
                self._note((text,), partial(self._in_text, connection.dialect, schemas, text))
        if plan is None:
            return
        if text is not None:
            # like text of attached sessions, text is never refused: the parsed result may be wrong
            names = TableNames(connection.dialect, schemas)
            self._tell(connection, textual_writes(text, plan, names, connection), _TEXT, "warn")
        else:
            found = inner_tables(context, plan, partial(self._names, connection.dialect, schemas))
            self._tell(connection, found, _UNATTACHED, self._mode)

    def tell_of_early(self, plan: Plan) -> None:
        """Report the writes executed before the declarations could be compiled."""
        while self._early:
            key = next(iter(self._early))
            find, caller = self._early.pop(key)
            for table, verb in find(plan):
                self._warn(table, _EARLY.format(verb=verb, table=table.fullname), caller)

    def _note(self, what: tuple[Any, ...], find: _Find) -> None:
        if len(self._early) < _MAX_EARLY:
            caller = Caller.now()
            self._early.setdefault((*what, caller), (find, caller))

    def _written(
        self,
        dialect: Dialect,
        schemas: Mapping[str | None, str | None] | None,
        element: Any,
        options: Mapping[str, Any],
        plan: Plan,
    ) -> list[tuple[Table, str]]:
        table = written_table(element, options, plan, partial(self._names, dialect, schemas))
        return [] if table is None else [(table, str(element.__visit_name__))]

    def _under_other_names(
        self, connection: Connection, element: Any, options: Mapping[str, Any], plan: Plan
    ) -> list[tuple[Table, str]]:
        names = partial(self._names, connection.dialect, _schemas(connection, options))
        verb = other_name(str(element.__visit_name__), str(element.table))
        return [(table, verb) for table in tables_behind(connection, element, options, plan, names)]

    def _in_text(
        self, dialect: Dialect, schemas: Mapping[str | None, str | None] | None, text: str, plan: Plan
    ) -> list[tuple[Table, str]]:
        return list(textual_writes(text, plan, TableNames(dialect, schemas)))

    # -- the plan ----------------------------------------------------------------------------------------------

    def _may_be_ours(self, target: Any) -> bool:
        if isinstance(target, Table) and target.metadata is self._metadata:
            return True
        name = getattr(target, "name", None)
        return name is not None and any(t.name.casefold() == name.casefold() for t in self._metadata.tables.values())

    def _is_named_in(self, text: str) -> bool:
        folded = text.casefold()
        return any(table.name.casefold() in folded for table in self._metadata.tables.values())

    def _compiled(self) -> Plan | None:
        """Return the compiled declarations if they are up to date."""
        catalog = Catalog.of(self._metadata)
        found = catalog.plan
        return found if isinstance(found, Plan) and found.generation == catalog.generation else None

    def _plan(self) -> Plan | None:
        """Return the compiled declarations; ``None`` while models are still being imported.

        A Core write must not configure mappers at that time, because the classes that they refer to may be missing.
        """
        if not self._declares_values():
            return None
        try:
            return plan_if_ready(self._metadata)
        except (DefinitionError, SQLAlchemyError):
            return None  # the first attached session raises the faults

    def _declares_values(self) -> bool:
        tables = self._metadata.tables.values()
        return any(computation_of(c) is not None for table in tables for c in table.columns) or any(
            declared_rows(mapper.class_) is not None for mapper in Catalog.of(self._metadata).all_mappers()
        )

    def _names(
        self, dialect: Dialect, schemas: Mapping[str | None, str | None] | None, target: TableClause
    ) -> TableNames | None:
        if isinstance(target, Table) and Attachments.of(target.metadata).has_owners:
            return None  # of another system, which handles it itself
        return TableNames(dialect, schemas)

    # -- reporting ---------------------------------------------------------------------------------------------

    def _tell(self, connection: Connection, found: Iterable[tuple[Table, str]], message: str, mode: Unattached) -> None:
        for table, verb in found:
            # the current models do not match an older revision, so a revision cannot use their sessions
            in_migration = _is_in_migration(connection)
            is_refused = mode == "raise" and not in_migration
            text = (_MIGRATION if in_migration else message).format(
                verb=verb, table=table.fullname, repair="" if is_refused else _REPAIR
            )
            if is_refused:
                raise UnmanagedWriteError(text, table=table.fullname)
            self._warn(table, text, None)

    def _warn(self, table: Table, message: str, caller: Caller | None) -> None:
        if table.fullname not in self._warned:
            self._warned.add(table.fullname)
            (caller or Caller.now()).warn(message, UnattachedWriteWarning)


def _schemas(connection: Connection, options: Mapping[str, Any]) -> Mapping[str | None, str | None] | None:
    return {**connection.get_execution_options(), **options}.get("schema_translate_map")


def _is_in_migration(connection: Connection) -> bool:
    """Whether an Alembic revision is running on the connection."""
    operations: Any = sys.modules.get("alembic.op")
    running = getattr(operations, "_proxy", None)
    return running is not None and running.migration_context.connection is connection
