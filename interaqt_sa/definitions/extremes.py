"""Min and Max: the least and the greatest value among the members."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Boolean, Column, Date, DateTime, Enum, Float, Integer, Interval, Numeric, String, Time
from sqlalchemy.types import TypeEngine

from ..dialects.undecorated_types import binds_in_sql, is_alike, stored_type
from ..errors import DefinitionFault
from .aggregates import Direction, FieldAggregate
from .type_aliases import RecordRef, Where

#: types that every database orders and takes in its own MIN and MAX
ORDERED = (Integer, Numeric, Float, String, Date, DateTime, Time, Interval)
_LIMITS = ("length", "precision", "scale", "timezone", "enum_class", "second_precision", "day_precision")


class ExtremeAggregate(FieldAggregate[Any]):
    """Base of Min and Max."""

    _fields = ("source", "field", "where", "direction")

    def __init__(
        self, source: RecordRef, field: str, *, where: Where | None = None, direction: Direction | None = None
    ) -> None:
        self.set_source(source, where, None, None, direction)
        self.set_field(field)

    @property
    def order(self) -> str:
        return self.field

    def check_column(self, column: Column[Any]) -> None:
        if not column.nullable:
            raise DefinitionFault(
                f"{type(self).__name__} is NULL where no member counts: it needs a nullable column, such as "
                "Mapped[int | None]"
            )

    def check_fields(self, column: Column[Any], fields: Mapping[str, TypeEngine[Any]]) -> None:
        check_ordered_field(type(self).__name__, self.field, fields[self.field], column)


def check_ordered_field(kind: str, name: str, declared: TypeEngine[Any], column: Column[Any]) -> None:
    """Check that a field is ordered in every database, and that a column holds its values unchanged.

    :param kind: the computation, for the message.
    :param declared: type of the field.
    :raises DefinitionFault: if it is not, or the column does not.
    """
    check_order(name, declared)
    check_same_values(kind, name, declared, column, ORDERED)


def check_order(name: str, declared: TypeEngine[Any]) -> None:
    """Check that a field is ordered in every database.

    :param declared: type of the field.
    :raises DefinitionFault: if it is not.
    """
    field = stored_type(declared)
    if not isinstance(field, ORDERED) or isinstance(field, Boolean) or binds_in_sql(declared):
        raise DefinitionFault(f"{name!r} is {declared!r}, whose values not every database can order")


def check_same_values(
    kind: str, name: str, declared: TypeEngine[Any], column: Column[Any], allowed: tuple[type[Any], ...]
) -> None:
    """Check that a column holds the values of a field unchanged.

    :param kind: the computation, for the message.
    :param declared: type of the field.
    :param allowed: the types whose values can be stored.
    :raises DefinitionFault: if it does not.
    """
    field, own = stored_type(declared), stored_type(column.type)
    if not isinstance(field, allowed) or binds_in_sql(declared):
        raise DefinitionFault(f"{name!r} is {declared!r}, which {kind} does not support")
    is_same = is_alike(field, own) and isinstance(field, Enum) == isinstance(own, Enum)
    is_same = is_same and (type(declared) is type(column.type) or (declared is field and column.type is own))
    if not is_same or not _holds(own, field):
        raise DefinitionFault(
            f"{kind} is a value of {name!r} ({declared!r}), which {column.type!r} does not store unchanged; "
            "give the computed column the same type"
        )


def _holds(own: Any, field: Any) -> bool:
    """Whether a column of type ``own`` holds all values of ``field``, a type of the same kind."""
    if isinstance(own, Integer):
        return True
    if isinstance(own, Float):
        return bool((own.precision or 53) >= (field.precision or 53))
    if isinstance(own, Numeric):
        # more places only append zeros, and such decimals are equal
        if own.precision is None:
            return True
        return field.precision is not None and (
            own.precision - (own.scale or 0) >= field.precision - (field.scale or 0)
            and (own.scale or 0) >= (field.scale or 0)
        )
    if isinstance(own, String) and not isinstance(own, Enum):
        return own.length is None or (field.length is not None and own.length >= field.length)
    return all(getattr(own, limit, None) == getattr(field, limit, None) for limit in _LIMITS)


class Min(ExtremeAggregate):
    """The least value of one attribute among the members; ``None`` when no member counts.

    NULL and NaN do not count. Numbers, texts, dates, times and enums are compared as the database orders them.

    When the member with the least value leaves, the next one is read, by an index on the foreign key and ``field``;
    without it all members of this host are read. Tables of definitions have the index.

    :param source: the name of a relationship for a property or a computed column, a record for a
        :class:`.Dictionary`.
    :param field: the attribute, or an x:1 path such as ``"product.price"``; the computed column has the same type and
        is nullable.
    :param where: as for :class:`.Count`.
    :param direction: as for :class:`.Count`.
    :raises ComputationProtocolError: if ``source`` is ``None``, ``field`` is not a name, or ``direction`` is invalid.

    ::

        cheapest: Mapped[Decimal | None] = computed(Min("offers", "price"))
        Index("ix_offer_price", Offer.product_id, Offer.price)
    """


class Max(ExtremeAggregate):
    """The greatest value of one attribute among the members; ``None`` when no member counts.

    It is maintained like :class:`Min`.

    :param source: as for :class:`Min`.
    :param field: as for :class:`Min`.
    :param where: as for :class:`Min`.
    :param direction: as for :class:`Min`.
    :raises ComputationProtocolError: as for :class:`Min`.

    ::

        last_login: Mapped[datetime | None] = computed(Max("logins", "at"))
    """
