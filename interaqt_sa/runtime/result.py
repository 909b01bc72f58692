"""The result of a dispatch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from ..definitions.events import MutationEvent
from ..definitions.short_repr import shorten
from ..errors import SideEffectError

Outcome: TypeAlias = Literal["applied", "failed", "unknown"]

#: Key of ``DispatchResult.side_effects`` for a failure of ``post_commit``.
POST_COMMIT = "__post_commit"


@dataclass(frozen=True, slots=True)
class SideEffectOutcome:
    """The outcome of one side effect.

    :ivar result: its return value for the last event.
    :ivar error: its first failure, or ``None``.
    """

    result: Any = None
    error: SideEffectError | None = None

    @property
    def ok(self) -> bool:
        """Whether it succeeded for all events."""
        return self.error is None


class DispatchResult:
    """The result of a dispatch; true if it was applied.

    :ivar error: the :class:`.FrameworkError` or database error of a dispatch that failed; else ``None``.
    :ivar outcome: ``"applied"``; ``"failed"`` if the dispatch was rolled back; or ``"unknown"`` if the answer to COMMIT
        was lost, so that it may be stored or not: then ``post_commit`` and side effects did not run, and :attr:`error`
        is a :class:`.TransactionOutcomeUnknownError`.
    :ivar context: the merged return values of ``after_dispatch`` and ``post_commit``, a dict.
    :ivar effects: the :class:`.MutationEvent` values of the committed attempt, in order.
    :ivar side_effects: the outcome of each side effect that ran, by name. In a joined session side effects and
        ``post_commit`` run when the caller commits; until then this is empty.
    :ivar attempts: the number of attempts.
    :ivar isolation: isolation level of the last attempt.

    ::

        result = controller.dispatch(PlaceOrder, {"user": {"id": 1}, "payload": {"total": 10}})
        order = result.data if result.ok else None
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
        """Whether the dispatch was applied; equal to ``bool(result)``."""
        return self.error is None

    def __bool__(self) -> bool:
        return self.ok

    @property
    def data(self) -> Any:
        """The return value of ``resolve``.

        :raises Exception: the :attr:`error` of a dispatch that failed.
        """
        self.raise_for_error()
        return self._data

    def raise_for_error(self) -> DispatchResult:
        """Raise the error of a dispatch that failed; else return the result itself.

        :raises Exception: the :attr:`error`, if there is one.
        """
        if self.error is not None:
            raise self.error
        return self

    def __repr__(self) -> str:
        shown = f"data={shorten(self._data)}" if self.error is None else f"error={shorten(self.error)}"
        return f"DispatchResult({self.outcome}, {shown}, effects={len(self.effects)}, attempts={self.attempts})"
