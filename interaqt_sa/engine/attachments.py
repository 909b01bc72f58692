"""Which session classes take part, and by whom: two keepers of one session would count every change twice."""

from __future__ import annotations

from typing import Any
from weakref import WeakKeyDictionary, WeakSet

from sqlalchemy import MetaData
from sqlalchemy.orm import Session

from ..definitions.computation import INFO_KEY
from ..errors import FrameworkError

_KEY = f"{INFO_KEY}.attachments"


class Attachments:
    """The session classes in which the values of one MetaData are kept, with their owners."""

    def __init__(self) -> None:
        self._owners: WeakKeyDictionary[type[Session], object] = WeakKeyDictionary()
        self._released: WeakSet[type[Session]] = WeakSet()

    @classmethod
    def of(cls, metadata: MetaData) -> Attachments:
        """Return the attachments of ``metadata``."""
        found: Attachments = metadata.info.setdefault(_KEY, cls())
        return found

    def claim(self, target: type[Session], owner: object) -> list[type[Session]] | None:
        """Note that ``owner`` keeps the values in sessions of ``target``.

        :return: the narrower classes that ``target`` takes the place of; ``None`` if it takes part already.
        :raises FrameworkError: if somebody else keeps them, there or in a class above or below.
        """
        related = [held for held in list(self._owners) if issubclass(held, target) or issubclass(target, held)]
        if any(self._owners[held] is not owner for held in related):
            raise FrameworkError(
                f"the sessions of {target.__module__}.{target.__qualname__} are already attached to another System "
                "of this MetaData, and two would count every change twice. Make one System for each program, or "
                "detach the first: system.detach(…)",
                target=target,
            )
        if any(issubclass(target, held) for held in related):
            return None
        for held in related:
            del self._owners[held]
        self._owners[target] = owner
        return related

    def covers(self, sessions: type[Session]) -> bool:
        """Whether somebody keeps the values in sessions of this class, or has been told to leave them alone."""
        return any(issubclass(sessions, held) for held in (*self._owners, *self._released))

    def release(self, target: type[Session], owner: object) -> bool:
        """Forget ``target``, and tell whether it was the owner's."""
        if self._owners.get(target) is not owner:
            return False
        self._released.add(target)
        return self._owners.pop(target, None) is not None


def session_class(target: Any) -> type[Session]:
    """Return the class of the sessions that a sessionmaker or scoped_session makes, or ``target`` if it is one.

    :raises TypeError: if it is something else.
    """
    factory = getattr(target, "session_factory", target)
    found = getattr(factory, "class_", factory)
    if not isinstance(found, type) or not issubclass(found, Session):
        raise TypeError(f"attach a sessionmaker, a scoped_session or a Session class, not {target!r}")
    return found
