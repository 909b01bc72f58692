"""Which dispatch is running here."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sqlalchemy.orm import Session, SessionTransaction

    from .context import Context

#: The dispatch that this thread or task is in. A task that was started inside it may outlive it.
_dispatch: ContextVar[Context | None] = ContextVar("interaqt_sa_dispatch", default=None)


def running_context() -> Context | None:
    """Return the context of the dispatch that runs in this thread or task, or ``None``."""
    ctx = _dispatch.get()
    return ctx if ctx is not None and ctx.is_running else None


def running_session() -> Session | None:
    """Return the synchronous session of the dispatch that runs in this thread or task, or ``None``."""
    ctx = running_context()
    return ctx.sync_session if ctx is not None else None


@contextmanager
def running(ctx: Context, boundary: SessionTransaction) -> Generator[None]:
    """Name ``ctx`` as the running dispatch, and ``boundary`` as the transaction that only it may end."""
    token = _dispatch.set(ctx)
    ctx.is_running = True
    ctx.boundary = boundary
    try:
        yield
    finally:
        ctx.is_running = False
        ctx.boundary = None
        _dispatch.reset(token)
