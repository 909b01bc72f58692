"""Isolation, sessions and errors of the transactions of a storage, which may be attempted several times."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, Literal, TypeAlias

from sqlalchemy import MetaData
from sqlalchemy.orm import Session, scoped_session, sessionmaker

from ..dialects import dialect_class
from ..dialects.database_errors import is_require_serializable_retry
from ..session.invalid_values import invalid_value
from ..session.isolation import READ_COMMITTED
from ..session.violations import with_constraint_violation

Isolation: TypeAlias = Literal["READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"]
SessionFactory: TypeAlias = "sessionmaker[Any] | scoped_session[Any]"


class Beginning:
    """Begins the attempts of one transaction at an isolation level.

    :param isolation: the level of the first attempt; after a required restart the code that repeats attempts sets it.
    """

    def __init__(self, isolation: Isolation) -> None:
        self._isolation: Isolation = isolation

    def set(self, session: Session) -> None:
        """Set the isolation level of the transaction that ``session`` has just begun, before its first statement."""
        if self._isolation != READ_COMMITTED and dialect_class(session.get_bind().dialect).has_isolation_levels:
            session.connection(execution_options={"isolation_level": self._isolation})

    @contextmanager
    def watched(self) -> Generator[None]:
        """Detect whether the attempt inside the block requires a stronger level."""
        try:
            yield
        except Exception as error:
            if is_require_serializable_retry(error):
                self._isolation = READ_COMMITTED
            raise


@contextmanager
def translated_errors(metadata: MetaData) -> Generator[None]:
    """Raise a constraint violation or an invalid value as an error of the package instead of the database's error."""
    try:
        yield
    except Exception as error:
        translated = invalid_value(error) or with_constraint_violation(error, metadata)
        if translated is error:
            raise
        raise translated from error


def plain_factory(factory: SessionFactory) -> sessionmaker[Any]:
    """Return a factory that creates a new session on each call, also for a ``scoped_session``."""
    return factory.session_factory if isinstance(factory, scoped_session) else factory
