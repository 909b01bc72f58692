"""Hear writes by sessions and connections that no system is attached to."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Mapping
from typing import Any, Literal

from sqlalchemy import Connection, MetaData, Table, TableClause

from ..errors import DefinitionError, UnattachedWriteWarning, UnmanagedWriteError
from ..schema.catalog import Catalog
from .attachments import Attachments
from .guard import inner_tables, written_table
from .plan import Plan
from .table_identity import TableNames

Unattached = Literal["raise", "warn", "allow"]

#: packages whose frames are not the caller
_INNER = frozenset({"interaqt_sa", "sqlalchemy", "greenlet"})


class UnattachedWrites:
    """Tell of writes to the tables of one MetaData that no attached session makes.

    :param mode: what happens: an error before the statement, a warning for the first one to each table, or nothing.
    """

    def __init__(self, metadata: MetaData, mode: Unattached) -> None:
        self._metadata = metadata
        self._mode: Unattached = mode
        self._warned: set[str] = set()

    def hear(self, connection: Connection, element: Any, options: Mapping[str, Any]) -> None:
        """Tell of an INSERT, UPDATE or DELETE."""
        if self._mode == "allow":
            return
        plan = self._compiled()
        if plan is None and self._may_be_ours(element.table):
            plan = self._plan()
        if plan is not None:
            table = written_table(element, options, plan, lambda t: self._names(connection, options, t))
            if table is not None:
                self._tell(table, type(element).__name__.lower())

    def hear_inner(self, connection: Connection, context: Any) -> None:
        """Tell of the writes in a statement that holds some."""
        plan = None if self._mode == "allow" else self._compiled() or self._plan()
        if plan is not None:
            options = context.execution_options
            for table, verb in inner_tables(context, plan, lambda t: self._names(connection, options, t)):
                self._tell(table, verb)

    def _may_be_ours(self, target: Any) -> bool:
        if isinstance(target, Table) and target.metadata is self._metadata:
            return True
        name = getattr(target, "name", None)
        return name is not None and any(t.name.casefold() == name.casefold() for t in self._metadata.tables.values())

    def _compiled(self) -> Plan | None:
        """Return the declarations if they are compiled as they are now."""
        catalog = Catalog.of(self._metadata)
        found = catalog.plan
        return found if isinstance(found, Plan) and found.generation == catalog.generation else None

    def _plan(self) -> Plan | None:
        """Return the compiled declarations; as they were, or none, while models are still being imported.

        A write by Core must not configure mappers: what they refer to may not be there yet.
        """
        catalog = Catalog.of(self._metadata)
        if all(mapper.configured for mapper in catalog.all_mappers()):
            try:
                return Plan.of(self._metadata)
            except DefinitionError:
                return None  # the first attached session tells of the faults
        return catalog.plan if isinstance(catalog.plan, Plan) else None

    def _names(self, connection: Connection, options: Mapping[str, Any], target: TableClause) -> TableNames | None:
        if isinstance(target, Table) and Attachments.of(target.metadata).has_owners:
            return None  # of another system, which hears of it itself
        schemas = {**connection.get_execution_options(), **options}.get("schema_translate_map")
        return TableNames(connection.dialect, schemas)

    def _tell(self, table: Table, verb: str) -> None:
        message = (
            f"this {verb} on {table.fullname!r} comes from a session or connection that no System is attached to, so "
            "that computed values cannot follow it: make the session by the System's session_factory or attach its "
            "class with system.attach(…), and run system.repair() for what was written; "
            'System(unattached="allow") accepts such writes'
        )
        if self._mode == "raise":
            raise UnmanagedWriteError(message, table=table.fullname)
        if table.fullname not in self._warned:
            self._warned.add(table.fullname)
            warnings.warn(message, UnattachedWriteWarning, stacklevel=_level_of_caller())


def _level_of_caller() -> int:
    """Return the ``stacklevel``, for the caller of this function, of the program that runs the statement."""
    frame, level = sys._getframe(1), 1
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] in _INNER:
        frame, level = frame.f_back, level + 1
    return level
