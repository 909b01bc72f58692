"""Event listeners of one Engine, shared by all systems that use it."""

from __future__ import annotations

from collections.abc import Mapping
from threading import Lock
from typing import Any, Protocol
from weakref import WeakKeyDictionary, ref

from sqlalchemy import Connection, Engine, ExceptionContext, MetaData, event

from ...dialects.execution_options import STATEMENT_OPTION
from ...dialects.missing_tables import advise
from .core_statement_guard import may_hold_writes
from .sql_text import same_text
from .statements_replaced_by_listeners import SeenStatements, is_like, is_untouched, replaces_statements

_LOCK = Lock()


class StatementObserver(Protocol):
    """Receives the statements of an engine."""

    @property
    def metadata(self) -> MetaData:
        """The MetaData whose tables it follows."""
        ...

    def attends(self, connection: Connection) -> bool:
        """Whether an attached session uses the connection."""
        ...

    def before_write(
        self, connection: Connection, element: Any, parameters: Any, options: Mapping[str, Any], *, attended: bool
    ) -> Any:
        """Handle an INSERT, UPDATE or DELETE; return the statement to run. ``attended``: by an attached session."""
        ...

    def before_inner_writes(self, connection: Connection, context: Any, text: str, *, attended: bool) -> None:
        """Handle a statement that may contain another one that writes."""
        ...

    def replaced(self, connection: Connection, seen: Any, parameters: Any, context: Any, *, attended: bool) -> None:
        """Handle a statement that a listener has executed instead of ``seen``."""
        ...

    def changed_text(self, connection: Connection, context: Any, text: str) -> None:
        """Handle a statement whose text a listener has changed."""
        ...

    def savepoint(self, connection: Connection, name: str | None) -> None: ...

    def rollback_savepoint(self, connection: Connection, name: str) -> None: ...

    def release_savepoint(self, connection: Connection, name: str) -> None: ...


class EngineEvents:
    """The listener of one engine; it holds only weak references to systems."""

    def __init__(self) -> None:
        # replaced, never modified, because other threads may be reading it
        self._observers: tuple[ref[StatementObserver], ...] = ()
        self._seen: WeakKeyDictionary[Connection, SeenStatements] = WeakKeyDictionary()

    @classmethod
    def listen(cls, engine: Engine, observer: StatementObserver) -> None:
        """Pass the statements of ``engine`` to ``observer``."""
        with _LOCK:
            found = cls._of(engine)
            if found is None:
                found = cls()
                for name, listener, options in found._listeners():
                    event.listen(engine, name, listener, **options)
            if observer not in found._alive():
                found._observers = (*(held for held in found._observers if held() is not None), ref(observer))

    @classmethod
    def remove(cls, engine: Engine, observer: StatementObserver) -> None:
        """Undo :meth:`listen`; with the last observer all listeners are removed from the engine."""
        with _LOCK:
            found = cls._of(engine)
            if found is None:
                return
            found._observers = tuple(ref(held) for held in found._alive() if held is not observer)
            if not found._observers:
                for name, listener, _ in found._listeners():
                    event.remove(engine, name, listener)

    @classmethod
    def _of(cls, engine: Any) -> EngineEvents | None:
        owners = (getattr(listener, "__self__", None) for listener in engine.dispatch.before_execute)
        return next((owner for owner in owners if isinstance(owner, cls)), None)

    def _listeners(self) -> list[tuple[str, Any, dict[str, bool]]]:
        return [
            # retval: otherwise SQLAlchemy calls the listener through a wrapper, for each statement
            ("before_execute", self._before_execute, {"retval": True}),
            ("before_cursor_execute", self._before_cursor_execute, {"retval": True}),
            ("after_cursor_execute", self._after_cursor_execute, {}),
            ("handle_error", self._handle_error, {}),
            ("savepoint", self._savepoint, {}),
            ("rollback_savepoint", self._rollback_savepoint, {}),
            ("release_savepoint", self._release_savepoint, {}),
        ]

    def _alive(self) -> list[StatementObserver]:
        return [observer for held in self._observers if (observer := held()) is not None]

    def _only(self) -> StatementObserver | None:
        """Return the observer if there is only one, the usual case."""
        observers = self._observers
        return observers[0]() if len(observers) == 1 else None

    def _divided(self, connection: Connection) -> tuple[list[StatementObserver], list[StatementObserver]]:
        """Return the observers attached to the connection, and for each other MetaData the last observer."""
        alive = self._alive()
        attending = [observer for observer in alive if observer.attends(connection)]
        attended = {observer.metadata for observer in attending}
        others = {observer.metadata: observer for observer in alive if observer.metadata not in attended}
        return attending, list(others.values())

    def _before_execute(
        self, connection: Connection, element: Any, multiparams: Any, params: Any, options: Mapping[str, Any]
    ) -> tuple[Any, Any, Any]:
        statement = getattr(element, "statement", element)  # of a compiled statement; of DDL it is text
        if getattr(statement, "is_dml", False):
            rows = multiparams or [params]
            if (only := self._only()) is not None:
                attended = only.attends(connection)
                followed = only.before_write(connection, statement, rows, options, attended=attended)
            else:
                attending, others = self._divided(connection)
                followed = statement
                for observer in attending:
                    followed = observer.before_write(connection, followed, rows, options, attended=True)
                for observer in others:
                    observer.before_write(connection, followed, rows, options, attended=False)
            if followed is not statement:
                element = followed if element is statement else _compiled_like(followed, element, connection)
            if replaces_statements(connection):
                self._seen.setdefault(connection, SeenStatements()).add(element, rows)
        return element, multiparams, params

    def _before_cursor_execute(
        self, connection: Connection, cursor: Any, text: str, parameters: Any, context: Any, executemany: bool
    ) -> tuple[str, Any]:
        if context is not None:
            # a batched INSERT is executed in parts, which have one context
            is_watched = getattr(context, "interaqt_sa_watched", None)
            if is_watched is None:
                is_watched = context.interaqt_sa_watched = self._first_of(connection, context, text)
            if is_watched:
                context.interaqt_sa_text = text
        return text, parameters

    def _first_of(self, connection: Connection, context: Any, text: str) -> bool:
        """Handle the first execution of a statement; return whether others may change its text afterwards."""
        if len(connection.dispatch.before_execute) > 1 and replaces_statements(connection):
            self._compare(connection, context)
        if may_hold_writes(context, text):
            attending, others = self._divided(connection)
            for observer in attending:
                observer.before_inner_writes(connection, context, text, attended=True)
            for observer in others:
                observer.before_inner_writes(connection, context, text, attended=False)
        return len(connection.dispatch.before_cursor_execute) > 1

    def _compare(self, connection: Connection, context: Any) -> None:
        """Compare a statement with the one that was handled, and with the one that the engine has executed."""
        if context.compiled is None:
            return
        final = context.invoked_statement
        own = context.execution_options.get(STATEMENT_OPTION)
        statement = getattr(final, "statement", final)
        if own is None and not getattr(statement, "is_dml", False) and connection not in self._seen:
            return
        seen = self._seen[connection].take(final) if connection in self._seen else None
        attending, others = self._divided(connection)
        if isinstance(own, tuple):  # a DML statement of a session that the engine runs
            seen = own
        elif own is not None:
            if not is_untouched(context):
                for observer in attending:
                    observer.replaced(connection, None, [], context, attended=True)
            return
        before, parameters = seen or (None, [])
        if before is final or is_like(before, parameters, context):
            return
        for observer in attending:
            observer.replaced(connection, before, parameters, context, attended=True)
        for observer in others:
            observer.replaced(connection, before, parameters, context, attended=False)

    def _after_cursor_execute(
        self, connection: Connection, cursor: Any, text: str, parameters: Any, context: Any, executemany: bool
    ) -> None:
        seen = getattr(context, "interaqt_sa_text", None)
        # SQLAlchemy 2.0 passes the text of a batched INSERT from before the batches are built
        if seen is None or seen is text or text == context.statement:
            return
        if same_text(seen) != same_text(text):
            for observer in self._alive():
                if observer.attends(connection):
                    observer.changed_text(connection, context, text)

    def _handle_error(self, context: ExceptionContext) -> None:
        advise(context, {observer.metadata for observer in self._alive()})

    def _savepoint(self, connection: Connection, name: str | None) -> None:
        for observer in self._alive():
            observer.savepoint(connection, name)

    def _rollback_savepoint(self, connection: Connection, name: str, context: Any) -> None:
        for observer in self._alive():
            observer.rollback_savepoint(connection, name)

    def _release_savepoint(self, connection: Connection, name: str, context: Any) -> None:
        for observer in self._alive():
            observer.release_savepoint(connection, name)


def _compiled_like(statement: Any, compiled: Any, connection: Connection) -> Any:
    """Compile the replacement of a statement that the application has compiled."""
    return statement.compile(dialect=connection.dialect, column_keys=compiled.column_keys)
