"""The ``ctx`` argument of the functions of a dispatch."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from sqlalchemy.orm import Session, SessionTransaction

from ..definitions.event_source import EventSource


class Context(ABC):
    """Base of the sync and async dispatch contexts.

    :ivar controller: the controller of the dispatch.
    :ivar session: the session of the attempt, which the functions must not commit or roll back. After the commit it is
        a new session, whose writes ``post_commit`` and side effects have to commit themselves.
    :ivar event_source: the dispatched event source.
    :ivar attempt: number of the attempt, counted from 1.
    :ivar isolation: isolation level of the attempt.
    :ivar is_running: whether the transaction of the dispatch is running; false after its commit.
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
        """The synchronous session, of an ``AsyncSession`` the underlying one."""

    @abstractmethod
    def settle(self, value: Any, where: str) -> Any:
        """Return ``value``, or its result if it is awaitable.

        :param where: name of the function that returned it, for the error.
        :raises ComputationProtocolError: if it is awaitable in a synchronous dispatch.
        """
