"""What the functions of a dispatch get as ``ctx``."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from sqlalchemy.orm import Session, SessionTransaction

from ..definitions.event_source import EventSource


class Context(ABC):
    """What contexts of both worlds have.

    :ivar controller: the controller that dispatches.
    :ivar session: the session of this attempt, which must not be committed or rolled back here. After the commit: a
        new session, whose writes must be committed here.
    :ivar event_source: what is dispatched.
    :ivar attempt: number of the attempt, counted from 1.
    :ivar isolation: isolation level of the attempt.
    :ivar is_running: whether the dispatch is going on; after its commit it is not.
    :ivar boundary: the transaction or savepoint of the dispatch, while only the dispatch itself may end it.
    """

    __slots__ = ("attempt", "boundary", "controller", "event_source", "is_running", "isolation", "session")

    def __init__(self, controller: Any, session: Any, event_source: EventSource, attempt: int, isolation: str) -> None:
        self.controller = controller
        self.session = session
        self.event_source = event_source
        self.attempt = attempt
        self.isolation = isolation
        self.is_running = False
        self.boundary: SessionTransaction | None = None

    @property
    @abstractmethod
    def sync_session(self) -> Session:
        """The synchronous session at work."""

    @abstractmethod
    def settle(self, value: Any, where: str) -> Any:
        """Return ``value``, or what it gives when it is awaitable.

        :param where: what returned it, for the error.
        :raises ComputationProtocolError: if it is awaitable in a synchronous dispatch.
        """
