"""The transactions of a back-fill: short ones of its own, or the one of the caller."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from sqlalchemy import Connection, text

from ..dialects.database_errors import is_retryable_transaction_error

if TYPE_CHECKING:
    from alembic.runtime.migration import MigrationContext

log = logging.getLogger("alembic.interaqt_sa")

T = TypeVar("T")

#: seconds for which a batch that conflicts with other writers is repeated
_PATIENCE = 300.0
#: how long a batch waits for a row, while others may wait for the rows that it has locked
_LOCK_TIMEOUT = "100ms"


@dataclass(frozen=True)
class Transactions:
    """The transactions of a back-fill.

    :ivar begin: returns a context manager for a connection in a transaction that is committed at the end.
    :ivar are_own: whether they are committed, and so may be repeated; otherwise ``begin`` returns the caller's
        transaction.
    """

    begin: Callable[[], AbstractContextManager[Connection]]
    are_own: bool

    def run(self, body: Callable[[Connection], T]) -> T:
        """Run ``body`` in a transaction, which is repeated after conflicts with other writers."""
        until = time.monotonic() + _PATIENCE
        pause = 0.02
        while True:
            try:
                with self.begin() as connection:
                    return body(connection)
            except Exception as error:
                if not self.are_own or time.monotonic() > until or not is_retryable_transaction_error(error):
                    raise
                log.debug("Repeated after %s", error)
            time.sleep(pause * (0.5 + random.random()))  # noqa: S311  not used for security
            pause = min(pause * 1.5, 1.0)


@contextmanager
def inline(connection: Connection) -> Generator[Transactions]:
    """Use the current transaction of ``connection`` for all batches."""
    yield Transactions(lambda: nullcontext(connection), are_own=False)


@contextmanager
def in_revision(context: MigrationContext, connection: Connection) -> Generator[Transactions]:
    """Commit the earlier operations of the revision, and provide transactions on a separate connection."""
    with ExitStack() as stack:
        try:
            stack.enter_context(context.autocommit_block())
        except (AssertionError, AttributeError):
            # raised by Alembic in a transaction that it does not own
            yield stack.enter_context(inline(connection))
        else:
            yield stack.enter_context(apart(connection))


@contextmanager
def apart(connection: Connection) -> Generator[Transactions]:
    """Provide transactions on one additional connection; ``connection`` is not in a transaction."""
    options = dict(connection.get_execution_options())
    options.pop("isolation_level", None)
    path = _search_path(connection)
    with connection.engine.connect() as own:
        own = own.execution_options(**options)
        is_elsewhere = path != _search_path(own)

        @contextmanager
        def transaction() -> Generator[Connection]:
            with own.begin():
                if own.dialect.name == "postgresql":
                    own.execute(text(f"SET LOCAL lock_timeout = '{_LOCK_TIMEOUT}'"))
                if is_elsewhere:
                    # the schema of a tenant
                    own.execute(text("SELECT set_config('search_path', :path, true)"), {"path": path})
                yield own

        yield Transactions(transaction, are_own=True)


def _search_path(connection: Connection) -> str | None:
    if connection.dialect.name != "postgresql":
        return None
    with nullcontext() if connection.in_transaction() else connection.begin():
        return str(connection.scalar(text("SHOW search_path")))
