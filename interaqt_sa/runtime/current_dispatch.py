"""The current dispatch of a thread or task."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sqlalchemy.orm import Session, SessionTransaction

    from .context import Context

#: The dispatch of this thread or task. A task that was started inside a dispatch may outlive it.
_dispatch: ContextVar[Context | None] = ContextVar("interaqt_sa_dispatch", default=None)


def running_context() -> Context | None:
    """Return the context of the current dispatch of this thread or task, or ``None``."""
    ctx = _dispatch.get()
    return ctx if ctx is not None and ctx.is_running else None


def running_session() -> Session | None:
    """Return the synchronous session of the current dispatch of this thread or task, or ``None``."""
    ctx = running_context()
    return ctx.sync_session if ctx is not None else None


@contextmanager
def running(ctx: Context, boundary: SessionTransaction) -> Generator[None]:
    """Set the current dispatch inside the block, and ``boundary``, the transaction that only it may end."""
    token = _dispatch.set(ctx)
    ctx.is_running = True
    ctx.boundary = boundary
    try:
        yield
    finally:
        ctx.is_running = False
        ctx.boundary = None
        _dispatch.reset(token)
