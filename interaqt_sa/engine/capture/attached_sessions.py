"""Registry of the attached session classes, and of the system that owns each of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from weakref import WeakKeyDictionary, WeakSet

from sqlalchemy import Connection, Engine, MetaData
from sqlalchemy.orm import Session

from ...definitions.computation import INFO_KEY
from ...errors import FrameworkError
from ...session.factory_advice import wrong_factory

_KEY = f"{INFO_KEY}.attachments"


class Attachments:
    """The session classes in which the computed values of one MetaData are maintained, with their owners."""

    def __init__(self) -> None:
        self._owners: WeakKeyDictionary[type[Session], object] = WeakKeyDictionary()
        self._released: WeakSet[type[Session]] = WeakSet()

    @classmethod
    def of(cls, metadata: MetaData) -> Attachments:
        """Return the attachments of ``metadata``."""
        found: Attachments = metadata.info.setdefault(_KEY, cls())
        return found

    def claim(self, target: type[Session], owner: object) -> None:
        """Record that ``owner`` maintains computed values in sessions of ``target``.

        :raises FrameworkError: if another owner does, in this class, a subclass or a base class.
        """
        related = [held for held in list(self._owners) if issubclass(held, target) or issubclass(target, held)]
        if any(self._owners[held] is not owner for held in related):
            raise FrameworkError(
                f"the sessions of {_name(target)} are already attached to another System "
                "of this MetaData, and two would count every change twice. Create one System per program, or "
                "detach the first: system.detach(…)",
                target=target,
            )
        self._owners[target] = owner
        self._released.discard(target)

    def release(self, target: type[Session], owner: object) -> None:
        """Release ``target``, but not its base classes and subclasses; idempotent.

        :raises FrameworkError: if the owner never claimed ``target`` itself.
        """
        if self._owners.get(target) is owner:
            del self._owners[target]
            self._released.add(target)
        elif target not in self._released:
            above = next((held for held in target.__mro__ if self._owners.get(held) is owner), None)
            way_out = "" if above is None else f"; they are attached through {_name(above)}: detach that"
            raise FrameworkError(
                f"the sessions of {_name(target)} were never attached to this System{way_out}", target=target
            )

    def outermost(self, owner: object) -> list[type[Session]]:
        """Return the classes on which ``owner`` has to listen: those without an attached base class."""
        claimed = [held for held, by in list(self._owners.items()) if by is owner]
        return [c for c in claimed if not any(issubclass(c, other) for other in claimed if other is not c)]

    def covers(self, sessions: type[Session]) -> bool:
        """Whether the class is attached to a system, or was detached explicitly."""
        return any(issubclass(sessions, held) for held in (*self._owners, *self._released))

    @property
    def has_owners(self) -> bool:
        """Whether any session class is attached."""
        return bool(self._owners)

    def is_kept_by(self, sessions: type[Session], owner: object) -> bool:
        """Whether ``owner`` maintains computed values in sessions of this class."""
        return any(issubclass(sessions, held) for held, by in list(self._owners.items()) if by is owner)


def _name(sessions: type[Session]) -> str:
    # a sessionmaker creates a class of its own, in SQLAlchemy's module
    is_made = sessions is not Session and sessions.__module__ == Session.__module__
    return "this sessionmaker" if is_made else f"{sessions.__module__}.{sessions.__qualname__}"


def session_class(target: Any) -> type[Session]:
    """Return the class of the sessions that a sessionmaker or scoped_session creates; a Session class as it is.

    :raises TypeError: if ``target`` is none of these.
    """
    factory = getattr(target, "session_factory", target)
    found = getattr(factory, "class_", factory)
    if not isinstance(found, type) or not issubclass(found, Session):
        raise wrong_factory("System.attach()", "a sessionmaker, a scoped_session or a Session class", target)
    return found


def binds_of(target: Any) -> Iterator[Engine | Connection]:
    """Yield the engines and connections that a sessionmaker or scoped_session is configured with so far."""
    options = getattr(getattr(target, "session_factory", target), "kw", None) or {}
    for bind in (options.get("bind"), *(options.get("binds") or {}).values()):
        if isinstance(bind, (Engine, Connection)):
            yield bind
