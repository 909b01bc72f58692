"""First and Latest: an attribute of the member that comes first, or last, in an order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from sqlalchemy import Boolean, Column, Uuid
from sqlalchemy.types import TypeEngine

from ..errors import ComputationProtocolError, DefinitionFault
from .aggregates import Direction, FieldAggregate
from .extremes import ORDERED, check_order, check_same_values
from .member_types import MemberType
from .references import References
from .type_aliases import RecordRef, Where


class LeaderAggregate(FieldAggregate[Any]):
    """Base of First and Latest.

    The hidden columns hold ``by`` and the primary key of the member whose value is stored.
    """

    _fields = ("source", "field", "by", "where", "direction")
    is_ordered_by_key = True

    def __init__(
        self,
        source: RecordRef,
        field: str,
        *,
        by: str,
        where: Where | None = None,
        direction: Direction | None = None,
    ) -> None:
        self.set_source(source, where, None, None, direction)
        self.set_field(field)
        given: Any = by
        if not isinstance(given, str) or not given:
            raise ComputationProtocolError(
                f"{type(self).__name__}({source!r}, {field!r}) takes by=, the name of the attribute or x:1 path that "
                f"orders the members, not {by!r}"
            )
        self.by = by

    @property
    def order(self) -> str:
        return self.by

    def references(self) -> References:
        return replace(super().references(), fields=(self.field, self.by))

    def hidden_columns(self, column: Column[Any]) -> dict[str, Column[Any]]:
        return {"by": Column(MemberType(self.by)), "key": Column(MemberType())}

    def check_column(self, column: Column[Any]) -> None:
        if not column.nullable:
            raise DefinitionFault(
                f"{type(self).__name__} is NULL where no member counts: it needs a nullable column, such as "
                "Mapped[int | None]"
            )

    def check_fields(self, column: Column[Any], fields: Mapping[str, TypeEngine[Any]]) -> None:
        check_order(self.by, fields[self.by])
        check_same_values(type(self).__name__, self.field, fields[self.field], column, (*ORDERED, Boolean, Uuid))


class First(LeaderAggregate):
    """An attribute of the member with the least value of another attribute; ``None`` when no member counts.

    Of several members with the same ``by`` the one with the least primary key is the first. Members whose ``by`` is
    NULL or NaN have no place in the order, and do not count. If ``field`` of the first member is NULL, the value is
    ``None``.

    When the first member leaves or changes, the next one is read, by an index on the foreign key, ``by`` and the
    primary key; without it all members of this host are read. Tables of definitions have the index. Other members that
    come, leave or change are compared with the stored one, and no member is read.

    :param source: the name of a relationship for a property or a computed column, a record for a
        :class:`.Dictionary`.
    :param field: the attribute that is the value, or an x:1 path such as ``"product.price"``: a number, text, date,
        time, interval, enum, boolean or UUID. The computed column has the same type and is nullable.
    :param by: the attribute that orders the members, or an x:1 path: a number, text, date, time, interval or enum.
    :param where: as for :class:`.Count`.
    :param direction: as for :class:`.Count`.
    :raises ComputationProtocolError: if ``source`` is ``None``, ``field`` or ``by`` is not a name, or ``direction`` is
        invalid.

    ::

        first_bid: Mapped[int | None] = computed(First("bids", "amount", by="placed_at"))
        Index("ix_bid_placed", Bid.auction_id, Bid.placed_at, Bid.id)
    """


class Latest(LeaderAggregate):
    """An attribute of the member with the greatest value of another attribute; ``None`` when no member counts.

    Of several members with the same ``by`` the one with the greatest primary key is the latest. In all else it is the
    reverse of :class:`First`.

    :param source: as for :class:`First`.
    :param field: as for :class:`First`.
    :param by: as for :class:`First`.
    :param where: as for :class:`First`.
    :param direction: as for :class:`First`.
    :raises ComputationProtocolError: as for :class:`First`.

    ::

        last_message: Mapped[str | None] = computed(Latest("messages", "text", by="sent_at"))
    """
