"""The system, which maintains computed values in the sessions of an engine or sessionmaker."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any, Literal

from sqlalchemy import Engine, MetaData
from sqlalchemy.orm import Session, scoped_session, sessionmaker

from ..definitions.computation import computation_of
from ..definitions.short_repr import shorten
from ..definitions.type_aliases import RecordRef
from ..dialects import dialect_class
from ..dialects.sqlite_transactions import SQLiteTransactions
from ..engine.engine import CheckProgress, CheckReport, ComputationEngine, ComputationGraph, KeyRange
from ..errors import DefinitionFault, InvalidValueError
from ..schema.metadata_state import metadata_of
from ..schema.schema_inspection import Schema
from ..session.factory_advice import wrong_factory
from ..storage import Storage
from .current_dispatch import running_session
from .verification import check_computations, connection_of, verify

Isolation = Literal["READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"]


class System:
    """Maintain the computed values of one MetaData in the sessions of one database.

    :param bind: an Engine, for which the system creates a ``sessionmaker``; or the application's own ``sessionmaker``,
        ``scoped_session`` or ``Session`` class, which is attached at once and may be bound to an engine later.
    :param base: the ``DeclarativeBase``, ``registry``, ``MetaData`` or :class:`.Schema` of the models. ``None``: a new
        MetaData, for definitions only.
    :param unmanaged_dml: the action on unmanaged writes of attached sessions (``bulk_save_objects()``,
        ``session.connection().execute()``): ``"raise"`` :class:`.UnmanagedWriteError`, ``"warn"`` or ``"allow"``.
    :param unattached: the action on writes of other sessions and connections of this process, on an engine that the
        system was given or has seen, to tables with computed values or with their members: ``"warn"`` once for each
        table by :class:`.UnattachedWriteWarning`, ``"raise"`` or ``"allow"``. See :meth:`attach`.
    :param configure_sqlite: on SQLite, begin transactions with BEGIN IMMEDIATE, and set a busy timeout, WAL and foreign
        keys. Without it concurrent writers lose updates or fail.
    :param isolation: isolation level of the sessions that the system creates: ``"READ COMMITTED"``,
        ``"REPEATABLE READ"`` or ``"SERIALIZABLE"``. The last one asserts that all writers of the database are
        serializable, including the application's own sessions.
    :raises TypeError: if ``bind`` or ``base`` is none of these.
    :raises TransactionCapabilityError: if the database is not supported.
    :ivar metadata: the MetaData.
    :ivar session_factory: a ``sessionmaker`` of sessions that take part.
    :ivar storage: the :class:`.Storage` for reading and writing records by name.

    ::

        SessionLocal = sessionmaker(engine)
        system = System(SessionLocal, base=Base)
    """

    def __init__(
        self,
        bind: Engine | sessionmaker[Any] | scoped_session[Any] | type[Session],
        *,
        base: Any = None,
        unmanaged_dml: Literal["raise", "warn", "allow"] = "raise",
        unattached: Literal["raise", "warn", "allow"] = "warn",
        configure_sqlite: bool = True,
        isolation: Isolation = "READ COMMITTED",
    ) -> None:
        self.metadata: MetaData = MetaData() if base is None else metadata_of(base)
        # holds the mapped classes, which a registry and a MetaData reference weakly or not at all
        self._base = base
        self.isolation: Isolation = isolation
        self._sqlite = SQLiteTransactions() if configure_sqlite else None
        self._engine = ComputationEngine(
            self.metadata,
            unmanaged_dml,
            all_serializable=isolation == "SERIALIZABLE",
            unattached=unattached,
            session_listeners=self._sqlite.session_listeners() if self._sqlite is not None else (),
        )
        self.session_factory: sessionmaker[Any] = self._make_factory(bind)
        self.attach(bind if not isinstance(bind, Engine) else self.session_factory)
        self.storage = Storage(
            self.session_factory,
            self.schema_of,
            current_session=running_session,
            listeners=self._engine.write_listeners,
        )

    def _make_factory(self, bind: Any) -> sessionmaker[Any]:
        # of a scoped_session, its sessionmaker
        factory: Any = getattr(bind, "session_factory", bind)
        known: Any = getattr(factory, "kw", {}).get("bind", bind)
        if hasattr(known, "dialect"):
            dialect_class(known.dialect)  # raises for a database that is not supported
        if isinstance(factory, sessionmaker):
            return factory  # pyright: ignore[reportUnknownVariableType]
        if isinstance(bind, type) and issubclass(bind, Session):
            return sessionmaker(class_=bind)  # its class is a subclass, which is attached with bind
        if not isinstance(bind, Engine):
            given: Any = bind  # pyright: ignore[reportUnknownVariableType]
            raise wrong_factory("System", "an Engine, a sessionmaker, a scoped_session or a Session class", given)
        if self._sqlite is not None:
            self._sqlite.configure(bind)
        if self.isolation != "READ COMMITTED":
            bind = bind.execution_options(isolation_level=self.isolation)
        return sessionmaker(bind, expire_on_commit=False)

    @property
    def schema(self) -> Schema:
        """The read-only schema of the MetaData; :attr:`.Schema.dialect` is that of the bound engine."""
        return self.schema_of()

    def schema_of(self) -> Schema:
        """Return the current :attr:`schema`."""
        bind = self.session_factory.kw.get("bind")
        return Schema.of(self.metadata, dialect=getattr(bind, "dialect", None))

    def attach(self, target: sessionmaker[Any] | scoped_session[Any] | type[Session]) -> None:
        """Maintain computed values in the sessions of ``target`` too; idempotent.

        Attaching a class includes its subclasses, and :class:`sqlalchemy.orm.Session` every session of the program.

        :param target: a ``sessionmaker``, ``scoped_session`` or ``Session`` class.
        :raises FrameworkError: if another system of the same MetaData is attached to it.
        :raises TypeError: if ``target`` is none of these.
        """
        self._engine.attach(target)

    def detach(self, target: sessionmaker[Any] | scoped_session[Any] | type[Session]) -> None:
        """Undo :meth:`attach`; the last call removes all listeners from the session class and its engines.

        :param target: as for :meth:`attach`.
        :raises FrameworkError: if ``target`` was never attached.
        """
        self._engine.detach(target)
        if self._sqlite is not None:
            self._sqlite.keep(self._engine.engines)

    def __repr__(self) -> str:
        bind: Any = self.session_factory.kw.get("bind")
        where = shorten(str(bind.engine.url)) if hasattr(bind, "engine") else "no engine yet"
        tables = self.metadata.tables.values()
        count = sum(computation_of(column) is not None for table in tables for column in table.columns)
        return f"{type(self).__name__}({where}, tables={len(tables)}, computed={count})"

    def verify(self) -> None:
        """Verify that the database has all declared tables, columns, sequences and unique constraints.

        Call it at the start of a program, to detect a missing migration before the first write. The database is not
        changed. Foreign keys of members without an index are logged, and the indexes that First, Latest, Min and Max
        lack.

        :raises DefinitionError: with all faults of computations, before any SQL; or with all missing tables, columns
            and sequences.
        :raises DefinitionFault: if the MetaData has no tables.
        :raises ConstraintSetupError: if a unique constraint is missing.
        """
        self._require_models()
        check_computations(self.metadata)
        with connection_of(self.session_factory) as connection:
            verify(connection, self.metadata)

    def check(
        self,
        record: RecordRef | None = None,
        *,
        property: str | None = None,
        keys: Iterable[Any] | KeyRange | None = None,
        progress: Callable[[CheckProgress], object] | None = None,
    ) -> CheckReport:
        """Compare stored values with values recomputed from all members.

        :param record: check only values of this record: its name, definition or mapped class. ``None``: all records.
        :param property: check only this property of the record.
        :param keys: check only the rows with these primary keys, or in this :class:`.KeyRange`; derived rows are not
            checked then.
        :param progress: called after each 1,000 rows of a table, to show how far the check is.
        :return: the differences; the report is true if there are none.
        :raises DefinitionFault: if there is no such record or computed property, or the MetaData has no tables.
        """
        self._require_models()
        return self._engine.check(self.session_factory, record, property, keys, progress)

    def repair(
        self,
        record: RecordRef | None = None,
        *,
        property: str | None = None,
        keys: Iterable[Any] | KeyRange | None = None,
        progress: Callable[[CheckProgress], object] | None = None,
    ) -> CheckReport:
        """Correct stored values that differ from recomputed ones, in short transactions; other writers may be running.

        :param record: as for :meth:`check`.
        :param property: as for :meth:`check`.
        :param keys: as for :meth:`check`.
        :param progress: as for :meth:`check`; it tells how far the search for differences is.
        :return: the differences that were found before the repair.
        :raises DefinitionFault: as for :meth:`check`.
        """
        self._require_models()
        return self._engine.repair(self.session_factory, record, property, keys, progress)

    def recompute_due(self, *, now: datetime | None = None, batch: int = 100) -> int:
        """Compute the values of :class:`.RealTime` whose next time has come, the most overdue first.

        Run it regularly, in one or several processes: each batch is a transaction, and rows that another transaction
        has locked are left to it, or to a later call.

        :param now: the current time, with a time zone; by default that of this computer.
        :param batch: the number of values in a transaction.
        :return: the number of computed values.
        :raises InvalidValueError: if ``now`` has no time zone, or ``batch`` is not positive.
        """
        if batch < 1 or (now is not None and now.tzinfo is None):
            raise InvalidValueError(f"recompute_due(now={now!r}, batch={batch!r}): a time with a time zone, at least 1")
        self._require_models()
        return self._engine.recompute_due(self.session_factory, now or datetime.now(UTC), batch)

    def graph(self) -> ComputationGraph:
        """Return which attributes and rows feed which computed values, as data, text or a Mermaid diagram.

        The database is not used.

        :raises DefinitionError: if the declarations have faults.
        :raises DefinitionFault: if the MetaData has no tables.

        ::

            print(system.graph())
            Path("graph.mmd").write_text(system.graph().mermaid())
        """
        self._require_models()
        return self._engine.graph()

    def _require_models(self) -> None:
        """Raise if the MetaData has no tables, which would be reported as ``ok``."""
        if not self.metadata.tables:
            raise DefinitionFault(
                "this System has no tables to look at: give the base of the models, System(…, base=Base), and import "
                "their modules before; a system for definitions has its tables once they are compiled"
            )
