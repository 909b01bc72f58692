"""Find the line of the application that runs a statement, and warn there."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import FrameType
from typing import Any

#: packages whose frames do not count as the application's: they run statements on its behalf
_INNER = frozenset(
    {"alembic", "asyncio", "contextlib", "flask_sqlalchemy", "greenlet", "interaqt_sa", "pandas", "sqlalchemy"}
    | {"sqlmodel"}
)


@dataclass(frozen=True, slots=True)
class Caller:
    """A line of the application's code."""

    filename: str
    line: int
    module: str
    registry: Any = field(repr=False, compare=False)

    @classmethod
    def now(cls) -> Caller:
        """Return the current line of the innermost frame of the application."""
        frames = list(_frames())
        own = (frame for frame in frames if frame.f_globals.get("__name__", "").partition(".")[0] not in _INNER)
        found = next(own, frames[-1])
        names = found.f_globals
        registry = names.setdefault("__warningregistry__", {})
        return cls(found.f_code.co_filename, found.f_lineno, names.get("__name__", ""), registry)

    def warn(self, message: str, category: type[Warning]) -> None:
        """Emit a warning for this line."""
        warnings.warn_explicit(message, category, self.filename, self.line, self.module, self.registry)


def _frames() -> Iterator[FrameType]:
    """Yield the frames of the call stack from the innermost outwards, across greenlets.

    An asynchronous session runs the synchronous one in a greenlet, whose frames do not lead back to the coroutine.
    """
    module: Any = sys.modules.get("greenlet")
    greenlet = module.getcurrent() if module is not None else None
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        yield frame
        frame = frame.f_back
        if frame is None and greenlet is not None and greenlet.parent is not None:
            greenlet = greenlet.parent
            frame = greenlet.gr_frame
