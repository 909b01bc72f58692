"""Classify database errors by their codes and by the attributes of driver exceptions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from ..errors import RequireSerializableRetry, TransactionOutcomeUnknownError, TransactionRetryExhaustedError

ViolationKind: TypeAlias = Literal["unique", "non-null", "foreign-key", "check", "exclusion"]
ConflictKind: TypeAlias = Literal["serialization", "deadlock", "lock"]
ErrorKind: TypeAlias = Literal[ViolationKind, ConflictKind]

_KINDS: dict[str, ErrorKind] = {
    "23505": "unique",
    "23502": "non-null",
    "23503": "foreign-key",
    "23514": "check",
    "23P01": "exclusion",
    "40001": "serialization",
    "40P01": "deadlock",
    "55P03": "lock",
    "SQLITE_CONSTRAINT_UNIQUE": "unique",
    "SQLITE_CONSTRAINT_PRIMARYKEY": "unique",
    "SQLITE_CONSTRAINT_ROWID": "unique",
    "SQLITE_CONSTRAINT_NOTNULL": "non-null",
    "SQLITE_CONSTRAINT_FOREIGNKEY": "foreign-key",
    "SQLITE_CONSTRAINT_CHECK": "check",
}
_SQLITE_CONFLICTS = ("SQLITE_BUSY", "SQLITE_LOCKED")
_FINAL = (TransactionRetryExhaustedError, TransactionOutcomeUnknownError)
_CONFLICTS = frozenset({"serialization", "deadlock", "lock"})


@dataclass(frozen=True, slots=True)
class NormalizedDatabaseError:
    """A database error in a form common to all drivers.

    :ivar driver: the driver's package: ``"asyncpg"``, ``"psycopg"``, ``"sqlite3"``, …
    :ivar code: SQLSTATE, or SQLite's extended error name.
    :ivar kind: the kind of violated constraint (``"unique"``, ``"non-null"``, ``"foreign-key"``, ``"check"``,
        ``"exclusion"``) or of conflict with another transaction (``"serialization"``, ``"deadlock"``, ``"lock"``);
        ``None`` for all other errors.
    :ivar constraint: physical name of the constraint or index, if the database reports it.
    :ivar schema: schema of the table, if the database reports it.
    :ivar table: physical name of the table, if the database reports it.
    :ivar columns: physical names of the columns, if the database reports them.

    ::

        NormalizedDatabaseError(driver="psycopg", code="23505", kind="unique", constraint="uq_customer_email")
    """

    driver: str
    code: str
    kind: ErrorKind | None = None
    constraint: str | None = None
    schema: str | None = None
    table: str | None = None
    columns: tuple[str, ...] = ()

    @property
    def is_conflict(self) -> bool:
        """Whether it is a conflict with another transaction, so that a retry may succeed."""
        return self.kind in _CONFLICTS

    @property
    def is_violation(self) -> bool:
        """Whether it is the violation of a constraint."""
        return self.kind is not None and self.kind not in _CONFLICTS


def error_chain(error: BaseException) -> Iterator[BaseException]:
    """Yield ``error``, the errors that it wraps (``orig``) and its causes, each once.

    ``__context__`` is left out: it may be an unrelated error that was being handled.
    """
    seen: set[int] = set()
    waiting: list[Any] = [error]
    while waiting:
        link = waiting.pop()
        if isinstance(link, BaseException) and id(link) not in seen:
            seen.add(id(link))
            yield link
            waiting += (link.__cause__, getattr(link, "orig", None))


def normalize_database_error(error: BaseException) -> NormalizedDatabaseError | None:
    """Return the database error in the chain of ``error``, or ``None`` if it has none.

    :param error: an error of SQLAlchemy or of a driver, or one that was caused by such an error.

    ::

        except DBAPIError as error:
            found = normalize_database_error(error)
            if found and found.kind == "unique": ...
    """
    for link in error_chain(error):
        name = getattr(link, "sqlite_errorname", None)
        if isinstance(name, str):
            return _from_sqlite(link, name)
        state = getattr(link, "sqlstate", None) or getattr(link, "pgcode", None)
        if isinstance(state, str):
            return _from_sqlstate(link, state)
    return None


def is_retryable_transaction_error(error: BaseException) -> bool:
    """Whether a retry of the transaction may succeed: 40001, 40P01, 55P03 or a lock of SQLite, anywhere in the chain.

    It is false for a transaction that has been retried in vain (:class:`.TransactionRetryExhaustedError`) and for one
    that may have been committed (:class:`.TransactionOutcomeUnknownError`).

    :param error: any error of the transaction.

    ::

        except DBAPIError as error:
            if is_retryable_transaction_error(error):
                session.rollback()  # and run the transaction again
    """
    if not isinstance(error, Exception) or isinstance(error, _FINAL):
        return False
    found = normalize_database_error(error)
    return found is not None and found.is_conflict


def is_require_serializable_retry(error: BaseException) -> bool:
    """Whether a :class:`.RequireSerializableRetry` is in the chain of ``error``.

    :param error: any error of the transaction.

    ::

        level = "SERIALIZABLE" if is_require_serializable_retry(error) else "READ COMMITTED"
    """
    return any(isinstance(link, RequireSerializableRetry) for link in error_chain(error))


def required_tables(error: BaseException) -> frozenset[Any]:
    """Return the tables that the next attempt has to lock."""
    links = (link for link in error_chain(error) if isinstance(link, RequireSerializableRetry))
    return frozenset(table for link in links for table in link.tables)


def _from_sqlstate(link: BaseException, state: str) -> NormalizedDatabaseError:
    source: object = link
    fields: object = getattr(link, "diag", None)  # psycopg
    if fields is None:
        # asyncpg: on the original exception, from which SQLAlchemy's adapter raises its DBAPI error
        source = fields = link if link.__cause__ is None else link.__cause__
    column = _text(fields, "column_name")
    return NormalizedDatabaseError(
        driver=_package(source),
        code=state,
        kind=_KINDS.get(state),
        constraint=_text(fields, "constraint_name"),
        schema=_text(fields, "schema_name"),
        table=_text(fields, "table_name"),
        columns=(column,) if column else (),
    )


def _from_sqlite(link: BaseException, name: str) -> NormalizedDatabaseError:
    kind = "lock" if name.startswith(_SQLITE_CONFLICTS) else _KINDS.get(name)
    constraint: str | None = None
    table: str | None = None
    columns: tuple[str, ...] = ()
    # SQLite reports the place only in its message, in these forms: "UNIQUE constraint failed: t.a, t.b",
    # "UNIQUE constraint failed: index 'x'", "NOT NULL constraint failed: t.a", "CHECK constraint failed: x"
    _, _, place = str(link).partition(" constraint failed: ")
    if kind == "check":
        constraint = place or None
    elif place.startswith("index '"):
        constraint = place.removeprefix("index '").removesuffix("'")
    elif place:
        table = place.partition(".")[0]
        columns = tuple(part.removeprefix(f"{table}.") for part in place.split(", "))
    return NormalizedDatabaseError(_package(link), name, kind, constraint, None, table, columns)


def _text(fields: object, name: str) -> str | None:
    value = getattr(fields, name, None)
    return value if isinstance(value, str) and value else None


def _package(source: object) -> str:
    return type(source).__module__.partition(".")[0]
