"""Results of functions of the application other than values, and the context that such functions receive."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class ComputationResult:
    """A result that is not a value.

    ``None`` is a value, NULL: a function that wants to keep the stored value returns ``ComputationResult.skip()``.

    :ivar kind: ``"skip"``.

    ::

        compute=lambda ctx, deps, record: rate(record) if record.is_open else ComputationResult.skip()
    """

    kind: str

    @staticmethod
    def skip() -> ComputationResult:
        """Return the result that leaves the stored value as it is."""
        return _SKIP


_SKIP = ComputationResult("skip")


@dataclass(frozen=True, slots=True)
class ComputationContext:
    """The first argument of the functions of a :class:`.Custom`.

    :ivar name: the name of the computation.
    :ivar dispatch: the context of the running dispatch; ``None`` in a session of the application, in checks, repairs
        and migrations.
    :ivar isolation: the isolation level of the transaction, such as ``"READ COMMITTED"``.
    """

    name: str
    dispatch: Any
    isolation: str
