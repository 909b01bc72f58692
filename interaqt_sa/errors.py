"""Every exception of the package.

::

    FrameworkError
     ├── DefinitionError (also ExceptionGroup)      all faults of a declaration, found before any SQL
     ├── DefinitionFault                            one of those faults
     │    └── InvalidValueError                     a value, key or argument that cannot be one
     ├── ConstraintSetupError                       a constraint cannot be installed
     ├── ConstraintViolationError                   a row broke a declared constraint
     ├── ComputationError                           a computation failed while it ran
     │    └── ComputationProtocolError              a computation was used against its contract
     ├── UnmanagedWriteError                        a write that the engine cannot follow
     ├── ComputedWriteError                         a write to a computed column
     ├── SchedulerError                             propagation does not come to an end
     ├── SideEffectError                            work after the commit failed
     ├── InteractionGuardError                      a guard rejected a dispatch
     ├── ActivityStateError                         an activity is not at that step
     ├── IdempotencyError                           an idempotency key is in flight or conflicts
     ├── NestedDispatchError                        a dispatch inside a dispatch
     ├── BusinessTransactionBoundaryError           a dispatch crosses a business transaction
     ├── TransactionCapabilityError                 the transaction cannot give what is asked of it
     ├── RequireSerializableRetry                   control flow: repeat the attempt SERIALIZABLE
     ├── TransactionRetryExhaustedError             every attempt met a conflict
     ├── TransactionOutcomeUnknownError             the answer to COMMIT was lost
     └── MissingDependencyError                     an extra is not installed

Errors carry data: every keyword given to a class below is an attribute of the instance, and ``context`` holds all of
them. Causes are chained with ``raise … from``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self


class FrameworkError(Exception):
    """Base of all errors of the package.

    :param message: what happened and what to do about it.
    :param context: data for programs; each entry is an attribute too.
    """

    def __init__(self, message: str = "", **context: Any) -> None:
        super().__init__(message or (type(self).__doc__ or "").strip().partition("\n")[0])
        self.context: Mapping[str, Any] = context
        for name, value in context.items():
            setattr(self, name, value)

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), str(self), dict(self.context))


def _rebuild(cls: type[FrameworkError], message: str, context: dict[str, Any]) -> FrameworkError:
    return cls(message, **context)


class DefinitionFault(FrameworkError):
    """One fault of a declaration; names the record, the property and the way out."""

    record: str | None
    property: str | None

    def __init__(self, message: str, *, record: str | None = None, property: str | None = None, **context: Any) -> None:
        super().__init__(message, record=record, property=property, **context)


class InvalidValueError(DefinitionFault):
    """A value, key or argument that cannot be what it was given for; refused before any SQL.

    :param code: ``"INVALID_VALUE"``, ``"INVALID_KEY"`` or ``"INVALID_ARGUMENT"``.
    """

    code: str = "INVALID_VALUE"


class DefinitionError(ExceptionGroup[DefinitionFault], FrameworkError):
    """Declarations that cannot work; raised before any SQL, with all faults at once.

    ``exceptions`` holds a :class:`DefinitionFault` for each.
    """

    def __new__(cls, message: str, faults: Sequence[DefinitionFault]) -> Self:
        listing = "".join(f"\n  - {fault}" for fault in faults)
        return super().__new__(cls, f"{message}{listing}", list(faults))

    def __init__(self, message: str, faults: Sequence[DefinitionFault]) -> None:
        self.context = {"faults": tuple(faults)}

    def derive(self, excs: Sequence[DefinitionFault]) -> DefinitionError:  # type: ignore[override]
        """Return an error of the same message with other faults, as ``split()`` and ``except*`` need it."""
        return DefinitionError(self.message.partition("\n")[0], excs)

    def __reduce__(self) -> tuple[Any, ...]:
        return DefinitionError, (self.message.partition("\n")[0], list(self.exceptions))


class ConstraintSetupError(FrameworkError):
    """A declared constraint cannot be installed."""

    constraint: str | None = None
    record: str | None = None
    properties: Sequence[str] = ()


class ConstraintViolationError(FrameworkError):
    """A row would break a constraint.

    :param code: the constraint's ``violation_code``, else ``UNIQUE_CONSTRAINT_VIOLATION`` (or the like for its kind).
    :param kind: ``"unique"``, ``"non-null"``, ``"foreign-key"``, ``"check"`` or ``"exclusion"``.
    :param constraint: logical name of the declared constraint, ``None`` if it is not a declared one.
    :param record: name of the record that holds the constraint.
    :param properties: names of the properties that it covers.
    :param driver: package of the driver that reported it.
    :param raw_code: SQLSTATE or SQLite's extended error name.
    """

    code: str = "UNIQUE_CONSTRAINT_VIOLATION"
    kind: str = "unique"
    constraint: str | None = None
    record: str | None = None
    properties: Sequence[str] = ()
    retryable: bool = False
    driver: str | None = None
    raw_code: str | None = None


class ComputationError(FrameworkError):
    """A computation failed while it ran."""

    record: str | None = None
    property: str | None = None


class ComputationProtocolError(ComputationError):
    """A computation was used, or answered, against its contract."""


class UnmanagedWriteError(FrameworkError):
    """A write that the engine cannot follow; the message says which form to use instead."""

    table: str | None = None


class UnfollowedWriteWarning(UserWarning):
    """A write that computed values did not follow: in SQL text, or one of the kinds below."""


class UnattachedWriteWarning(UnfollowedWriteWarning):
    """A write by a session or connection that no System is attached to."""


class ComputedWriteError(FrameworkError):
    """A write to a column whose value is computed; write what it is computed from."""

    record: str | None = None
    property: str | None = None


class SchedulerError(FrameworkError):
    """Propagation does not come to an end; the message shows the path."""


class SideEffectError(FrameworkError):
    """Work after the commit failed; the transaction stands."""

    name: str | None = None


class InteractionGuardError(FrameworkError):
    """A guard rejected a dispatch.

    :param check: ``"condition"``, ``"payload"`` or, where an event source's own guard rejects, ``"guard"``.
    :param type: what was found, such as ``"amount missing"``.
    :param code: the same for programs: ``"CONDITION_…"``, or ``"PAYLOAD_MISSING"``, ``"PAYLOAD_REF_NOT_FOUND"``, ….
    :param item: the item of the payload.
    :param record: the record of a reference that leads nowhere.
    """

    check: str = "condition"
    type: str = ""
    code: str | None = None
    item: str | None = None
    record: str | None = None


class ActivityStateError(FrameworkError):
    """An activity is not at the step that was asked for."""


class IdempotencyError(FrameworkError):
    """An idempotency key is in flight, or was used for different arguments."""


class NestedDispatchError(FrameworkError):
    """A dispatch was started inside a dispatch."""


class BusinessTransactionBoundaryError(FrameworkError):
    """A dispatch crosses the boundary of a business transaction."""


class TransactionCapabilityError(FrameworkError):
    """The transaction cannot give what is asked of it, such as locks under AUTOCOMMIT."""


class RequireSerializableRetry(FrameworkError):
    """Control flow: the attempt must be repeated at SERIALIZABLE; users meet it only outside a retry runner."""


class TransactionRetryExhaustedError(FrameworkError):
    """Every attempt of a transaction met a conflict; the last one is the cause.

    :param attempts: how many were made.
    :param isolation: ``"SERIALIZABLE"`` if they had come to that, else ``None``.
    """

    attempts: int = 0
    isolation: str | None = None


class TransactionOutcomeUnknownError(FrameworkError):
    """The answer to COMMIT was lost: the transaction may be stored or not, and is never repeated by itself.

    The cause is the error of the database or its connection. Look for what the transaction writes (a key that the
    caller chose, such as an order number, makes that easy) before repeating it.
    """


class MissingDependencyError(FrameworkError, ImportError):
    """An optional dependency is not installed; the message has the command that installs it."""
