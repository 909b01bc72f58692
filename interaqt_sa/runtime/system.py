"""Systems: an engine or sessionmaker whose sessions keep derived data true."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

from sqlalchemy import Engine, MetaData
from sqlalchemy.orm import Session, scoped_session, sessionmaker

from ..definitions.argument_types import RecordRef
from ..definitions.computation import computation_of
from ..definitions.short_repr import shorten
from ..dialects import dialect_class
from ..dialects.sqlite_transactions import SQLiteTransactions
from ..engine.engine import CheckReport, ComputationEngine
from ..errors import DefinitionFault
from ..schema.metadata_state import metadata_of
from ..schema.schema_inspection import Schema
from ..session.factory_advice import wrong_factory
from ..storage import Storage
from .current_dispatch import running_session
from .verification import check_computations, connection_of, verify

Isolation = Literal["READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"]


class System:
    """Keeps the computed values of one MetaData true in the sessions of one database.

    :param bind: an Engine, for which the system makes a ``sessionmaker``; or the application's own ``sessionmaker``,
        ``scoped_session`` or ``Session`` class, which it attaches to at once and which may get its engine later.
    :param base: where the models hang: a ``DeclarativeBase``, a ``registry``, a ``MetaData`` or a :class:`.Schema`.
        ``None``: a MetaData of its own, for definitions only.
    :param unmanaged_dml: what happens to writes that pass the session by (``bulk_save_objects()``,
        ``session.connection().execute()``): ``"raise"``, ``"warn"`` or ``"allow"``.
    :param unattached: what happens when another session or connection of this process writes, on an engine that the
        system was given or has met, to a table with computed values or what they are computed from: ``"warn"`` once
        for each table, by :class:`.UnattachedWriteWarning`; ``"raise"``; or ``"allow"``. See :meth:`attach`.
    :param configure_sqlite: on SQLite, begin transactions with BEGIN IMMEDIATE, set a busy timeout, WAL and foreign
        keys. Without it concurrent writers lose updates or fail.
    :param isolation: isolation level of the sessions that the system makes itself. ``"SERIALIZABLE"`` says that all
        writers of the database are serializable, sessions of the application's own too.
    :raises TypeError: if ``bind`` or ``base`` is something else.

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
        self.storage = Storage(self.session_factory, self.schema_of, current_session=running_session)

    def _make_factory(self, bind: Any) -> sessionmaker[Any]:
        # a scoped_session has a sessionmaker inside
        factory: Any = getattr(bind, "session_factory", bind)
        known: Any = getattr(factory, "kw", {}).get("bind", bind)
        if hasattr(known, "dialect"):
            dialect_class(known.dialect)  # refuses a database that is not known
        if isinstance(factory, sessionmaker):
            return factory  # pyright: ignore[reportUnknownVariableType]
        if isinstance(bind, type) and issubclass(bind, Session):
            return sessionmaker(class_=bind)  # its class is one below, and so attached with it
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
        """What is declared, read-only; :attr:`.Schema.dialect` is that of the bound engine."""
        return self.schema_of()

    def schema_of(self) -> Schema:
        """Return :attr:`schema` as it is now; what is mapped later is in the next one."""
        bind = self.session_factory.kw.get("bind")
        return Schema.of(self.metadata, dialect=getattr(bind, "dialect", None))

    def attach(self, target: sessionmaker[Any] | scoped_session[Any] | type[Session]) -> None:
        """Keep computed values true in the sessions of ``target`` too; calling it again changes nothing.

        :raises FrameworkError: if another system of the same MetaData is attached there.
        """
        self._engine.attach(target)

    def detach(self, target: sessionmaker[Any] | scoped_session[Any] | type[Session]) -> None:
        """Undo :meth:`attach`; the last one leaves nothing on the session class and on its engines.

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
        """Compare the database with what is declared; nothing in it is changed.

        A database that was not migrated is found here, at the start of the program, and not by the first write. Foreign
        keys of members without an index are logged.

        :raises DefinitionError: with all faults of computations, before any SQL; or if tables, columns or sequences are
            missing, with all of them.
        :raises ConstraintSetupError: if a unique constraint is missing.
        """
        self._require_models()
        check_computations(self.metadata)
        with connection_of(self.session_factory) as connection:
            verify(connection, self.metadata)

    def check(
        self, record: RecordRef | None = None, *, property: str | None = None, keys: Iterable[Any] | None = None
    ) -> CheckReport:
        """Compare stored values with values recomputed from all members.

        :param record: only values of this record.
        :param property: only this value of it.
        :param keys: only rows with these primary keys.
        :raises DefinitionFault: if there is no such record or value, or nothing is declared at all.
        """
        self._require_models()
        return self._engine.check(self.session_factory, record, property, keys)

    def repair(
        self, record: RecordRef | None = None, *, property: str | None = None, keys: Iterable[Any] | None = None
    ) -> CheckReport:
        """Store recomputed values where stored ones differ; in short transactions, beside running writers.

        Takes the parameters of :meth:`check`, and returns what was found before the repair.
        """
        self._require_models()
        return self._engine.repair(self.session_factory, record, property, keys)

    def _require_models(self) -> None:
        """Refuse to look at nothing, which would be told as ``ok``."""
        if not self.metadata.tables:
            raise DefinitionFault(
                "this System has no tables to look at: give the base of the models, System(…, base=Base), and import "
                "their modules before; a system for definitions has its tables once they are compiled"
            )
