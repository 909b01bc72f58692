"""Listen to the statements of an engine, once for all systems that use it."""

from __future__ import annotations

from collections.abc import Mapping
from threading import Lock
from typing import Any, Protocol
from weakref import ref

from sqlalchemy import Connection, Engine, ExceptionContext, MetaData, event

from ..dialects.missing_tables import advise
from .guard import may_hold_writes

_LOCK = Lock()


class StatementObserver(Protocol):
    """Take part in the statements of an engine."""

    @property
    def metadata(self) -> MetaData:
        """The MetaData whose tables it follows."""
        ...

    def attends(self, connection: Connection) -> bool:
        """Return whether an attached session uses the connection."""
        ...

    def before_write(
        self, connection: Connection, element: Any, parameters: Any, options: Mapping[str, Any], *, attended: bool
    ) -> Any:
        """Take part in an INSERT, UPDATE or DELETE, and return what is run; ``attended``: by an attached session."""
        ...

    def before_inner_writes(self, connection: Connection, context: Any, text: str, *, attended: bool) -> None:
        """Take part in a statement that may hold another one that writes."""
        ...

    def savepoint(self, connection: Connection, name: str | None) -> None: ...

    def rollback_savepoint(self, connection: Connection, name: str) -> None: ...


class EngineEvents:
    """The listener of one engine; it keeps no system alive."""

    def __init__(self) -> None:
        # replaced and never changed, because other threads may be reading it
        self._observers: tuple[ref[StatementObserver], ...] = ()

    @classmethod
    def listen(cls, engine: Engine, observer: StatementObserver) -> None:
        """Let ``observer`` take part in the statements of ``engine``."""
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
        """Undo :meth:`listen`; the last one leaves nothing on the engine."""
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
            # retval: otherwise SQLAlchemy wraps the listener in another function, for each statement
            ("before_execute", self._before_execute, {"retval": True}),
            ("before_cursor_execute", self._before_cursor_execute, {"retval": True}),
            ("handle_error", self._handle_error, {}),
            ("savepoint", self._savepoint, {}),
            ("rollback_savepoint", self._rollback_savepoint, {}),
        ]

    def _alive(self) -> list[StatementObserver]:
        return [observer for held in self._observers if (observer := held()) is not None]

    def _divided(self, connection: Connection) -> tuple[list[StatementObserver], list[StatementObserver]]:
        """Return who attends the connection, and for each MetaData without one the system attached last."""
        alive = self._alive()
        attending = [observer for observer in alive if observer.attends(connection)]
        attended = {observer.metadata for observer in attending}
        others = {observer.metadata: observer for observer in alive if observer.metadata not in attended}
        return attending, list(others.values())

    def _before_execute(
        self, connection: Connection, element: Any, multiparams: Any, params: Any, options: Mapping[str, Any]
    ) -> tuple[Any, Any, Any]:
        statement = getattr(element, "statement", element)  # of what was compiled before; of DDL it is text
        if getattr(statement, "is_dml", False):
            attending, others = self._divided(connection)
            followed = statement
            for observer in attending:
                followed = observer.before_write(connection, followed, multiparams or [params], options, attended=True)
            for observer in others:
                observer.before_write(connection, followed, multiparams or [params], options, attended=False)
            if followed is not statement:
                element = followed if element is statement else _compiled_like(followed, element, connection)
        return element, multiparams, params

    def _before_cursor_execute(
        self, connection: Connection, cursor: Any, text: str, parameters: Any, context: Any, executemany: bool
    ) -> tuple[str, Any]:
        if context is not None and may_hold_writes(context, text):
            attending, others = self._divided(connection)
            for observer in attending:
                observer.before_inner_writes(connection, context, text, attended=True)
            for observer in others:
                observer.before_inner_writes(connection, context, text, attended=False)
        return text, parameters

    def _handle_error(self, context: ExceptionContext) -> None:
        advise(context, {observer.metadata for observer in self._alive()})

    def _savepoint(self, connection: Connection, name: str | None) -> None:
        for observer in self._alive():
            observer.savepoint(connection, name)

    def _rollback_savepoint(self, connection: Connection, name: str, context: Any) -> None:
        for observer in self._alive():
            observer.rollback_savepoint(connection, name)


def _compiled_like(statement: Any, compiled: Any, connection: Connection) -> Any:
    """Compile a statement that takes the place of one that the application has compiled."""
    return statement.compile(dialect=connection.dialect, column_keys=compiled.column_keys)
