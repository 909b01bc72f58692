"""What came of a dispatch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from ..definitions.events import MutationEvent
from ..definitions.short_repr import shorten
from ..errors import SideEffectError

Outcome: TypeAlias = Literal["applied", "failed", "unknown"]

#: Key of ``DispatchResult.side_effects`` under which a failure of ``post_commit`` is found.
POST_COMMIT = "__post_commit"


@dataclass(frozen=True, slots=True)
class SideEffectOutcome:
    """What came of one side effect.

    :ivar result: what it returned for the last of its events.
    :ivar error: why it failed; the first failure, if it ran for several events.
    """

    result: Any = None
    error: SideEffectError | None = None

    @property
    def ok(self) -> bool:
        """Whether it never failed."""
        return self.error is None


class DispatchResult:
    """What came of a dispatch.

    :ivar error: why nothing of it remains: a :class:`.FrameworkError` or an error of the database; else ``None``.
    :ivar outcome: ``"applied"``, ``"failed"``, or ``"unknown"`` if the answer to COMMIT was lost: then it may be stored
        or not, ``post_commit`` and side effects did not run, and :attr:`error` is a
        :class:`.TransactionOutcomeUnknownError`.
    :ivar context: what ``after_dispatch`` and ``post_commit`` returned.
    :ivar effects: the mutation events of the attempt that was committed, in order.
    :ivar side_effects: outcome of each side effect that ran, by name. In a joined session they, and ``post_commit``,
        run when the caller commits; until then this is empty.
    :ivar attempts: how many attempts were made.
    :ivar isolation: isolation level of the last one.
    """

    __slots__ = ("_data", "attempts", "context", "effects", "error", "isolation", "outcome", "side_effects")

    def __init__(
        self,
        *,
        data: Any = None,
        error: Exception | None = None,
        context: Mapping[str, Any] | None = None,
        attempts: int,
        isolation: str,
    ) -> None:
        self._data = data
        self.error = error
        self.outcome: Outcome = "applied" if error is None else "failed"
        self.context: dict[str, Any] = dict(context or {})
        self.effects: Sequence[MutationEvent] = ()
        self.side_effects: dict[str, SideEffectOutcome] = {}
        self.attempts = attempts
        self.isolation = isolation

    @property
    def ok(self) -> bool:
        """Whether the dispatch was applied; ``bool(result)`` is the same."""
        return self.error is None

    def __bool__(self) -> bool:
        return self.ok

    @property
    def data(self) -> Any:
        """What ``resolve`` returned.

        :raises Exception: the :attr:`error` of a dispatch that failed.
        """
        self.raise_for_error()
        return self._data

    def raise_for_error(self) -> DispatchResult:
        """Return the result itself, so that calls can be chained.

        :raises Exception: the :attr:`error`, if there is one.
        """
        if self.error is not None:
            raise self.error
        return self

    def __repr__(self) -> str:
        shown = f"data={shorten(self._data)}" if self.error is None else f"error={shorten(self.error)}"
        return f"DispatchResult({self.outcome}, {shown}, effects={len(self.effects)}, attempts={self.attempts})"
