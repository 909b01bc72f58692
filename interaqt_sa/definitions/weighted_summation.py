"""Weighted sums over the members."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from sqlalchemy import Column, Float, Integer
from sqlalchemy.types import TypeEngine

from ..dialects.undecorated_types import stored_type
from ..errors import ComputationProtocolError
from .aggregates import NUMBERS, Aggregate, Direction
from .references import References
from .type_aliases import AttributeQuery, Callback, RecordRef, Where
from .value_column_checks import check_places, check_summed_field, exact_sum, places, require_type


class WeightedSummation(Aggregate[Any]):
    """The sum of weight times value over the members; 0 when there are none. It is not divided by the weights.

    NULL, NaN and infinities contribute 0. Give either ``callback``, or both ``weight`` and ``value``.

    :param source: as for :class:`.Count`.
    :param callback: pure Python function of a member that returns ``{"weight": …, "value": …}``, or ``None`` for 0.
    :param weight: the numeric attribute or x:1 path of the weight, such as ``"quantity"``.
    :param value: the numeric attribute or x:1 path of the value, such as ``"product.price"``.
    :param where: as for :class:`.Count`.
    :param attribute_query: the attributes that ``callback`` reads.
    :param direction: as for :class:`.Count`.
    :param data_deps: as for :class:`.Count`.
    :raises ComputationProtocolError: if neither a callback nor both names are given, or all of them, and as for
        :class:`.Count`.

    ::

        total: Mapped[Decimal] = computed(WeightedSummation("lines", weight="quantity", value="product.price"))
    """

    _fields = ("source", "callback", "weight", "value", "where", "attribute_query", "direction", "data_deps")

    def __init__(
        self,
        source: RecordRef,
        callback: Callback | None = None,
        *,
        weight: str | None = None,
        value: str | None = None,
        where: Where | None = None,
        attribute_query: AttributeQuery | None = None,
        direction: Direction | None = None,
        data_deps: Mapping[str, Any] | None = None,
    ) -> None:
        self.set_source(source, where, callback, attribute_query, direction, data_deps)
        given: tuple[Any, ...] = (weight, value)
        names = [name for name in given if isinstance(name, str) and name]
        if len(names) != (2 if callback is None else 0) or (callback is not None and any(n is not None for n in given)):
            raise ComputationProtocolError(
                f"WeightedSummation({source!r}) takes either a callback, or the names weight= and value="
            )
        self.weight = weight
        self.value = value

    def references(self) -> References:
        fields = () if self.weight is None or self.value is None else (self.weight, self.value)
        return replace(super().references(), fields=fields)

    def hidden_columns(self, column: Column[Any]) -> dict[str, Column[Any]]:
        stored = stored_type(column.type)
        # a callback may return more places than the column has
        is_exact = isinstance(stored, Integer) or (not isinstance(stored, Float) and self.callback is None)
        return {} if is_exact else {"sum": exact_sum()}

    def initial_value(self, column: Column[Any] | None = None) -> int:
        return 0

    def check_column(self, column: Column[Any]) -> None:
        require_type(self, column, NUMBERS)

    def check_fields(self, column: Column[Any], fields: Mapping[str, TypeEngine[Any]]) -> None:
        for name, declared in fields.items():
            check_summed_field(name, declared, column)
        if not fields or self.hidden_columns(column):
            return
        found = [places(stored_type(declared)) for declared in fields.values()]
        limited = [number for number in found if number is not None]
        needed = sum(limited) if len(limited) == len(found) else None
        rounding = next((d for d in fields.values() if isinstance(stored_type(d), Float)), next(iter(fields.values())))
        check_places(f"{self.weight!r} times {self.value!r}", needed, rounding, column)
