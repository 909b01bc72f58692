"""Exceptions of the package.

::

    FrameworkError
     ├── DefinitionError (also ExceptionGroup)      all faults of definitions, found before any SQL
     ├── DefinitionFault                            one of those faults
     │    └── InvalidValueError                     an invalid value, key or argument
     ├── ConstraintSetupError                       a constraint cannot be installed
     ├── ConstraintViolationError                   a row violates a constraint
     ├── ComputationError                           a computation failed
     │    └── ComputationProtocolError              a computation violates its contract
     ├── UnmanagedWriteError                        an unmanaged write, which cannot be followed
     ├── ComputedWriteError                         a write to a computed column
     ├── SchedulerError                             propagation does not terminate
     ├── SideEffectError                            a function failed after the commit
     ├── InteractionGuardError                      a guard rejected a dispatch
     ├── ActivityStateError                         an activity is at another step
     ├── IdempotencyError                           an idempotency key is in use or conflicts
     ├── NestedDispatchError                        a dispatch inside a dispatch
     ├── BusinessTransactionBoundaryError           a dispatch crosses a business transaction
     ├── TransactionCapabilityError                 the transaction lacks a capability
     ├── RequireSerializableRetry                   control flow: retry at SERIALIZABLE
     ├── TransactionRetryExhaustedError             all attempts failed with a conflict
     ├── TransactionOutcomeUnknownError             the answer to COMMIT was lost
     └── MissingDependencyError                     an extra is not installed

Errors carry data: all keyword arguments of the classes below are attributes of the instance, and entries of its
``context``. The first line of a docstring is the default message. Causes are chained with ``raise … from``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Self


class FrameworkError(Exception):
    """Base of all errors of the package.

    :param message: the cause, and how to resolve it.
    :param context: data for programs; each entry is also an attribute.

    ::

        try:
            session.commit()
        except FrameworkError as error:
            log.error("%s %r", error, error.context)
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
    """A fault of a definition or declaration; the message names the record, the property and how to fix it.

    Raised by the constructors of definitions and by lookups of records; otherwise collected in a
    :class:`DefinitionError`.

    :param record: name of the record.
    :param property: name of the property.

    ::

        except DefinitionError as error:
            names = {(fault.record, fault.property) for fault in error.exceptions}
    """

    record: str | None
    property: str | None

    def __init__(self, message: str, *, record: str | None = None, property: str | None = None, **context: Any) -> None:
        super().__init__(message, record=record, property=property, **context)


class InvalidValueError(DefinitionFault):
    """An invalid value, key or argument.

    Raised by storage and dispatch before any SQL. For values that only the driver or the database can reject, their
    error is the cause.

    :param code: ``"INVALID_VALUE"``, ``"INVALID_KEY"`` or ``"INVALID_ARGUMENT"``.

    ::

        except InvalidValueError as error:
            return Response(400, f"{error.record}.{error.property}: {error.code}")
    """

    code: str = "INVALID_VALUE"


class DefinitionError(ExceptionGroup[DefinitionFault], FrameworkError):
    """Definitions or declarations are invalid; all faults are reported at once.

    Raised before any SQL by :func:`.compile_schema`, a controller or the first write, and by :meth:`.System.verify` if
    the database lacks tables, columns or sequences. ``exceptions`` holds a :class:`DefinitionFault` for each fault.

    :param message: the operation that was refused.
    :param faults: the faults.

    ::

        try:
            compile_schema(Base, entities=entities)
        except DefinitionError as error:
            for fault in error.exceptions:
                print(fault.record, fault.property, fault)
    """

    def __new__(cls, message: str, faults: Sequence[DefinitionFault]) -> Self:
        listing = "".join(f"\n  - {fault}" for fault in faults)
        return super().__new__(cls, f"{message}{listing}", list(faults))

    def __init__(self, message: str, faults: Sequence[DefinitionFault]) -> None:
        self.context = {"faults": tuple(faults)}

    def derive(self, excs: Sequence[DefinitionFault]) -> DefinitionError:  # type: ignore[override]
        """Return an error with the same message and other faults, for ``split()`` and ``except*``."""
        return DefinitionError(self.message.partition("\n")[0], excs)

    def __reduce__(self) -> tuple[Any, ...]:
        return DefinitionError, (self.message.partition("\n")[0], list(self.exceptions))


class ConstraintSetupError(FrameworkError):
    """A declared constraint cannot be installed, or is missing in the database.

    Raised by :meth:`.System.verify` and :meth:`.Controller.setup` if a unique constraint is missing, and by migrations
    if stored rows violate a new constraint or differ from recomputed values.

    :param constraint: name of the constraint.
    :param record: name of its record.
    :param properties: names of its properties.

    ::

        try:
            system.verify()
        except ConstraintSetupError as error:
            sys.exit(f"{error.constraint} is missing: run alembic upgrade head")
    """

    constraint: str | None = None
    record: str | None = None
    properties: Sequence[str] = ()


class ConstraintViolationError(FrameworkError):
    """A row violates a constraint.

    Raised by storage, and the ``error`` of a dispatch; a session raises SQLAlchemy's ``IntegrityError``. The cause is
    the error of the database.

    :param code: the constraint's ``violation_code``, else ``UNIQUE_CONSTRAINT_VIOLATION`` (or the like for its kind).
    :param kind: ``"unique"``, ``"non-null"``, ``"foreign-key"``, ``"check"`` or ``"exclusion"``.
    :param constraint: logical name of the declared constraint, ``None`` if it is not a declared one.
    :param record: name of the record with the constraint.
    :param properties: names of its properties.
    :param retryable: whether a retry may succeed; always ``False``.
    :param driver: package of the driver that reported it.
    :param raw_code: SQLSTATE or SQLite's extended error name.

    ::

        except ConstraintViolationError as error:
            return Response(409, error.code)
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
    """A computation failed.

    Raised if a callback raises or returns an invalid value, or a computed value cannot be stored; the cause is the
    original error.

    :param record: name of the record.
    :param property: name of the computed property.

    ::

        except ComputationError as error:
            log.error("%s.%s: %r", error.record, error.property, error.__cause__)
    """

    record: str | None = None
    property: str | None = None


class ComputationProtocolError(ComputationError):
    """A computation or one of its callbacks violates its contract.

    Raised by constructors of computations for invalid arguments, and during a write if a callback returns an awaitable.

    ::

        Count("items", callback=is_open)  # raises: attribute_query is missing
    """


class UnmanagedWriteError(FrameworkError):
    """An unmanaged write, which the engine cannot follow; the message names the form to use instead.

    Raised before the statement is executed, unless ``System(unmanaged_dml=…)`` says otherwise; and, with
    ``System(unattached="raise")``, for writes of sessions and connections that are not attached.

    :param table: name of the table.

    ::

        session.bulk_save_objects(orders)  # raises
        session.add_all(orders)  # is followed
    """

    table: str | None = None


class UnfollowedWriteWarning(UserWarning):
    """A write after which computed values were not updated, such as one in SQL text.

    Call :meth:`.System.repair` afterwards.
    """


class UnattachedWriteWarning(UnfollowedWriteWarning):
    """A write by a session or connection that is not attached to a System; computed values were not updated.

    Emitted once for each table, see ``System(unattached=…)``. Attach the factory of the session by
    :meth:`.System.attach`, or call :meth:`.System.repair` afterwards.

    ::

        warnings.simplefilter("error", UnattachedWriteWarning)
    """


class ComputedWriteError(FrameworkError):
    """A write to a computed column; write the columns that it is computed from.

    Raised at flush for an assigned attribute, and before a statement that sets the column.

    :param record: name of the record.
    :param property: name of the computed property.

    ::

        customer.spent = 0
        session.flush()  # raises
    """

    record: str | None = None
    property: str | None = None


class SchedulerError(FrameworkError):
    """Propagation does not terminate; the message shows the path.

    Raised if computed values keep changing each other, or events keep triggering each other.

    :param path: names of the tables or records, a list.

    ::

        except SchedulerError as error:
            log.error(" -> ".join(error.path))
    """


class SideEffectError(FrameworkError):
    """A function failed after the commit; the transaction is committed.

    Never raised: it is the ``error`` of an entry of ``DispatchResult.side_effects``. The cause is the original error.

    :param name: name of the side effect, or ``"__post_commit"``.

    ::

        for name, outcome in result.side_effects.items():
            if outcome.error is not None:
                log.error("%s failed", name, exc_info=outcome.error)
    """

    name: str | None = None


class InteractionGuardError(FrameworkError):
    """A guard rejected a dispatch.

    The ``error`` of a dispatch that was rejected by a condition, by its payload or by the guard of its event source.
    Guards raise it themselves to give a reason.

    :param check: ``"condition"``, ``"payload"`` or ``"guard"``.
    :param type: the reason, such as ``"amount missing"``.
    :param code: the reason for programs: ``"CONDITION_…"``, or ``"PAYLOAD_MISSING"``, ``"PAYLOAD_REF_NOT_FOUND"``, ….
    :param item: name of the payload item.
    :param record: the record of a reference to a row that does not exist.

    ::

        def guard(ctx, args):
            if args["amount"] > 1000:
                raise InteractionGuardError("the amount is too high", check="guard", type="amount too high")
    """

    check: str = "condition"
    type: str = ""
    code: str | None = None
    item: str | None = None
    record: str | None = None


class ActivityStateError(FrameworkError):
    """An activity is not at the requested step; reserved, not raised yet."""


class IdempotencyError(FrameworkError):
    """An idempotency key is in use, or was used with different arguments; reserved, not raised yet."""


class NestedDispatchError(FrameworkError):
    """A dispatch was started inside another dispatch.

    Dispatch in ``post_commit`` instead, or derive the data by a computation.

    :param outer: name of the outer event source.
    :param nested: name of the nested event source.

    ::

        EventSource("order", Order, post_commit=lambda ctx, args, data, context: ctx.controller.dispatch("mail", args))
    """


class BusinessTransactionBoundaryError(FrameworkError):
    """A dispatch crosses the boundary of a business transaction; reserved, not raised yet."""


class TransactionCapabilityError(FrameworkError):
    """The transaction lacks a required capability, such as row locks under AUTOCOMMIT.

    Raised before a write under AUTOCOMMIT; if rows have to be found that a snapshot (REPEATABLE READ, SERIALIZABLE) may
    not show; if computed values would span two engines; if a function of a dispatch ends its transaction; and for
    databases that are not supported.

    ::

        engine = create_engine(url, isolation_level="AUTOCOMMIT")  # writes of its sessions raise
    """


class RequireSerializableRetry(FrameworkError):
    """The transaction must be retried at SERIALIZABLE; control flow of dispatch and of transaction retry.

    It reaches the application only if an operation that requires SERIALIZABLE runs inside a weaker transaction, outside
    of a dispatch and of :func:`.run_with_transaction_retry`.

    :param tables: the tables that the transaction has to lock as a whole when it begins, because it searches for rows
        in them.

    ::

        with SessionLocal.begin() as session:  # READ COMMITTED
            bound = system.storage.with_session(session)
            bound.run_in_transaction(work, isolation="SERIALIZABLE")  # raises
    """

    tables: Iterable[Any] = ()


class TransactionRetryExhaustedError(FrameworkError):
    """All attempts of a transaction failed with a conflict; the last conflict is the cause.

    Raised by :func:`.run_with_transaction_retry`, and the ``error`` of a dispatch.

    :param attempts: the number of attempts.
    :param isolation: ``"SERIALIZABLE"`` if the last attempt ran at that level, else ``None``.

    ::

        try:
            run_with_transaction_retry(SessionLocal, close_orders, max_attempts=3)
        except TransactionRetryExhaustedError as error:
            log.warning("%d attempts: %s", error.attempts, error.__cause__)
    """

    attempts: int = 0
    isolation: str | None = None


class TransactionOutcomeUnknownError(FrameworkError):
    """The answer to COMMIT was lost: the transaction may be stored or not, and is not retried.

    The cause is the error of the database or its connection. Before running the transaction again, look in the database
    for the rows that it writes; a key chosen by the caller, such as an order number, makes that easy.

    ::

        except TransactionOutcomeUnknownError:
            is_stored = storage.find_one("Order", {"number": number}) is not None
    """


class MissingDependencyError(FrameworkError, ImportError):
    """An optional dependency is not installed; the message contains the command that installs it."""
