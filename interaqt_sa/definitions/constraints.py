"""Constraints of records, enforced by the database."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from .type_aliases import Where
from .validation import require_string


@dataclass(frozen=True, slots=True)
class UniqueConstraint:
    """A unique constraint over ``properties``; rows with NULL in any of them are exempt.

    :param name: unique among all constraints of a schema.
    :param properties: properties and x:1 relation properties of the record; on a relation also ``"source"`` and
        ``"target"``. They become the columns of the index in this order.
    :param where: restricts the constraint to matching rows, as a partial index; own columns only.
    :param violation_code: ``code`` of the :class:`.ConstraintViolationError` that a violation raises, a string.
    :raises TypeError: if the name is not a string. All other checks are made when the record is compiled.

    ::

        UniqueConstraint("one_open", ["customer"], where={"status": "open"}, violation_code="ORDER_OPEN")
    """

    name: str
    properties: tuple[str, ...]
    where: Where | None
    violation_code: str | None

    def __init__(
        self,
        name: str,
        properties: Iterable[str],
        *,
        where: Where | None = None,
        violation_code: str | None = None,
    ) -> None:
        listed = (properties,) if isinstance(properties, str) else tuple(properties)
        object.__setattr__(self, "name", require_string("UniqueConstraint", name))
        object.__setattr__(self, "properties", listed)
        object.__setattr__(self, "where", where)
        object.__setattr__(self, "violation_code", violation_code)


@dataclass(frozen=True, slots=True)
class NonNullConstraint:
    """A NOT NULL constraint on ``property``.

    Unlike ``Property(nullable=False)`` it has a name and a code, which the error of a violation carries.

    :param name: unique among all constraints of a schema.
    :param property: a property or x:1 relation property of the record.
    :param violation_code: as for :class:`UniqueConstraint`.
    :raises TypeError: if the name is not a string. All other checks are made when the record is compiled.

    ::

        NonNullConstraint("order_has_customer", "customer", violation_code="CUSTOMER_MISSING")
    """

    name: str
    property: str
    violation_code: str | None

    def __init__(self, name: str, property: str, *, violation_code: str | None = None) -> None:
        object.__setattr__(self, "name", require_string("NonNullConstraint", name))
        object.__setattr__(self, "property", property)
        object.__setattr__(self, "violation_code", violation_code)
