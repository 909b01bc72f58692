"""Aggregates over the members of a relationship, or over all rows of a record."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any as _Any
from typing import ClassVar, Generic, Literal

from sqlalchemy import Boolean, Column, Float, Integer, Numeric
from sqlalchemy.types import TypeEngine

from ..dialects.undecorated_types import stored_type
from ..errors import ComputationProtocolError, DefinitionFault
from .computation import Computation, T
from .dependency_arguments import parse_dependencies
from .references import References
from .type_aliases import AttributeQuery, Callback, RecordRef, Where
from .validation import refuse_coroutine_function, refuse_text
from .value_column_checks import (
    check_places,
    check_summed_field,
    counter,
    exact_sum,
    places,
    require_plain_values,
    require_type,
)

#: types of columns that hold numbers
NUMBERS = (Integer, Numeric, Float)
Direction = Literal["source", "target"]


class Aggregate(Computation[T], Generic[T]):
    """Base of all aggregates.

    :param source: the name of a relationship for a property or a computed column, a record for a
        :class:`.Dictionary`.
    :param where: restricts the members that count: ``{"status": "open"}``, ``{"total": (">", 10)}``,
        ``{"product.active": True}`` (x:1 paths), a :class:`.MatchExp`, a SQL expression, or a function of the member's
        mapped class that returns one. ``None`` inside it is NULL. It is evaluated in the database and may read the
        member's own columns and, by paths, its x:1 neighbours.
    :param callback: pure Python function of a member, which sees the attributes in ``attribute_query``.
    :param attribute_query: the attributes that ``callback`` reads, such as ``["amount", "product.price"]``.
    :param direction: the side of a self-referential :class:`.Relation` that is the host: ``"source"`` or ``"target"``.
    :raises ComputationProtocolError: if ``source`` is ``None``, ``callback`` is not a plain function or has no
        ``attribute_query``, or ``direction`` is invalid.
    """

    source: RecordRef
    where: Where | None
    callback: Callable[..., _Any] | None
    attribute_query: AttributeQuery | None
    direction: Direction | None
    is_global = True
    #: whether members are also ordered by their primary key
    is_ordered_by_key: ClassVar[bool] = False
    #: whether the only member of a host is the host itself
    of_own_row: ClassVar[bool] = False
    #: name of the parameter that takes in SQL the test that a callback would make in Python
    _conditions = "where"

    @property
    def starts_constant(self) -> bool:
        return True

    @property
    def order(self) -> str | None:
        """The attribute in whose order one member is read instead of all; ``None`` if there is none."""
        return None

    def references(self) -> References:
        return References(
            members=self.source,
            conditions=() if self.where is None else (self.where,),
            attribute_query=tuple(self.attribute_query or ()),
            dependencies=self.dependencies,
        )

    def neighbours(self) -> frozenset[str]:
        """Return the paths that require separate reads and locks from other aggregates over the same members."""
        return frozenset(str(getattr(d.source, "name", d.source)) for d in self.dependencies)

    def meaning(self) -> dict[str, _Any]:
        found = super().meaning()
        if found.get("data_deps") is not None:
            found["data_deps"] = [dependency.meaning() for dependency in self.dependencies]
        return found

    def require_complete(self) -> None:
        super().require_complete()
        if not hasattr(self, "direction"):  # assigned last by set_source()
            raise ComputationProtocolError(f"{type(self).__name__}: the constructor did not call self.set_source(…)")

    def set_source(
        self,
        source: RecordRef,
        where: Where | None = None,
        callback: Callback | None = None,
        attribute_query: AttributeQuery | None = None,
        direction: Direction | None = None,
        data_deps: Mapping[str, _Any] | None = None,
    ) -> None:
        """Check and assign the arguments shared by all aggregates; for constructors of subclasses."""
        if source is None:
            raise ComputationProtocolError(f"{type(self).__name__} needs a source: a relationship name or a record")
        if callback is not None:
            if not callable(callback):
                raise ComputationProtocolError(
                    f"{type(self).__name__}({source!r}): the callback {callback!r} is not a function; "
                    f"for conditions use {self._conditions}={{…}}"
                )
            refuse_coroutine_function(callback, type(self).__name__)
            if attribute_query is None:
                raise ComputationProtocolError(
                    f"{type(self).__name__}({source!r}): a callback sees only declared attributes; "
                    "name them in attribute_query=[…] ([] if it needs none)"
                )
        refuse_text(attribute_query, f"{type(self).__name__}({source!r}): attribute_query")
        if direction not in (None, "source", "target"):
            raise ComputationProtocolError(f"{type(self).__name__}(direction={direction!r}): 'source' or 'target'")
        where_told = f"{type(self).__name__}({source!r})"
        self.dependencies = parse_dependencies(data_deps, where_told)
        if data_deps is not None and (callback is None or any(d.kind != "global" for d in self.dependencies)):
            raise ComputationProtocolError(
                f"{where_told}: data_deps are dictionaries that a callback reads, as its second argument"
            )
        self.data_deps = data_deps
        self.source = source
        self.where = where
        self.callback = callback
        self.attribute_query = tuple(attribute_query) if attribute_query is not None else None
        self.direction = direction


class Count(Aggregate[int]):
    """The number of members; an integer, 0 when there are none.

    With both ``where`` and ``callback`` a member counts if both hold.

    :param source: the name of a relationship for a property or a computed column, a record for a
        :class:`.Dictionary`.
    :param where: restricts the members that count: a mapping such as ``{"status": "open"}``,
        ``{"total": (">", 10)}`` or ``{"product.active": True}`` (x:1 paths), a :class:`.MatchExp`, a SQL expression, or
        a function of the member's mapped class that returns one. ``None`` inside it is NULL.
    :param callback: pure Python function of a member; the member counts if the result is true.
    :param attribute_query: the attributes that ``callback`` reads, such as ``["amount", "product.price"]``.
    :param direction: the side of a self-referential :class:`.Relation` that is the host: ``"source"`` or ``"target"``.
    :param data_deps: dictionaries that ``callback`` reads, such as ``{"rate": rate}``: its second argument has their
        values by these names. A change of a dictionary evaluates all members again.
    :raises ComputationProtocolError: if ``source`` is ``None``, ``callback`` is not a plain function or has no
        ``attribute_query``, or ``direction`` is invalid.

    ::

        item_count: Mapped[int] = computed(Count("items"))
        open_items: Mapped[int] = computed(Count("items", where={"done": False}))
    """

    _fields: tuple[str, ...] = ("source", "where", "callback", "attribute_query", "direction", "data_deps")

    def __init__(
        self,
        source: RecordRef,
        *,
        where: Where | None = None,
        callback: Callback | None = None,
        attribute_query: AttributeQuery | None = None,
        direction: Direction | None = None,
        data_deps: Mapping[str, _Any] | None = None,
    ) -> None:
        self.set_source(source, where, callback, attribute_query, direction, data_deps)

    def initial_value(self, column: Column[_Any] | None = None) -> int:
        return 0

    def check_column(self, column: Column[_Any]) -> None:
        require_type(self, column, NUMBERS)
        require_plain_values(self, column)


class FieldAggregate(Aggregate[T], Generic[T]):
    """Base of the aggregates of one attribute of the members.

    :param field: the attribute, or an x:1 path such as ``"product.price"``.
    """

    field: str

    def references(self) -> References:
        return replace(super().references(), fields=(self.field,))

    def require_complete(self) -> None:
        super().require_complete()
        if not hasattr(self, "field"):
            raise ComputationProtocolError(f"{type(self).__name__}: the constructor did not call self.set_field(…)")

    def set_field(self, field: str) -> None:
        """Check and assign :attr:`field`; for constructors of subclasses, after :meth:`set_source`."""
        if not _is_name(field):
            raise ComputationProtocolError(
                f"{type(self).__name__}({self.source!r}) takes the name of one attribute or x:1 path, not {field!r}"
            )
        self.field = field


def _is_name(value: object) -> bool:
    return isinstance(value, str) and value != ""


class Summation(FieldAggregate[_Any]):
    """The sum of one attribute over the members; 0 when there are none.

    NULL, NaN and infinities contribute 0.

    :param source: as for :class:`Count`.
    :param field: a numeric attribute, or an x:1 path such as ``"product.price"``.
    :param where: as for :class:`Count`.
    :param direction: as for :class:`Count`.
    :raises ComputationProtocolError: if ``source`` is ``None``, ``field`` is not a name, or ``direction`` is invalid.

    ::

        spent: Mapped[Decimal] = computed(Summation("orders", "total"))
    """

    _fields = ("source", "field", "where", "direction")

    def __init__(
        self, source: RecordRef, field: str, *, where: Where | None = None, direction: Direction | None = None
    ) -> None:
        self.set_source(source, where, None, None, direction)
        self.set_field(field)

    def hidden_columns(self, column: Column[_Any]) -> dict[str, Column[_Any]]:
        return {"sum": exact_sum()} if isinstance(stored_type(column.type), Float) else {}

    def initial_value(self, column: Column[_Any] | None = None) -> int:
        return 0

    def check_column(self, column: Column[_Any]) -> None:
        require_type(self, column, NUMBERS)

    def check_fields(self, column: Column[_Any], fields: Mapping[str, TypeEngine[_Any]]) -> None:
        declared = fields[self.field]
        check_summed_field(self.field, declared, column)
        if not self.hidden_columns(column):
            check_places(repr(self.field), places(stored_type(declared)), declared, column)


class Average(FieldAggregate[_Any]):
    """The arithmetic mean of one attribute over the members.

    :param source: as for :class:`Count`.
    :param field: a numeric attribute, or an x:1 path such as ``"product.price"``.
    :param nulls: ``"ignore"`` leaves NULLs out, like SQL's AVG; ``"zero"`` counts them as 0.
    :param empty: the value when no member counts, a number; ``None`` needs a nullable column.
    :param where: as for :class:`Count`.
    :param direction: as for :class:`Count`.
    :raises ComputationProtocolError: if ``source`` is ``None``, ``field`` is not a name, or ``nulls``, ``empty`` or
        ``direction`` is invalid.

    ::

        mean_score: Mapped[float | None] = computed(Average("reviews", "score", empty=None))
    """

    _fields = ("source", "field", "nulls", "empty", "where", "direction")

    def __init__(
        self,
        source: RecordRef,
        field: str,
        *,
        nulls: Literal["ignore", "zero"] = "ignore",
        empty: float | Decimal | None = 0,
        where: Where | None = None,
        direction: Direction | None = None,
    ) -> None:
        self.set_source(source, where, None, None, direction)
        self.set_field(field)
        if nulls not in ("ignore", "zero"):
            raise ComputationProtocolError(f"Average(nulls={nulls!r}): 'ignore' or 'zero'")
        given: _Any = empty
        if given is not None and (isinstance(given, bool) or not isinstance(given, (int, float, Decimal))):
            raise ComputationProtocolError(f"Average(empty={empty!r}): a number, or None")
        self.nulls = nulls
        self.empty = empty

    def hidden_columns(self, column: Column[_Any]) -> dict[str, Column[_Any]]:
        return {"sum": exact_sum(), "count": counter()}

    def initial_value(self, column: Column[_Any] | None = None) -> float | Decimal | None:
        return self.empty

    def check_column(self, column: Column[_Any]) -> None:
        require_type(self, column, (Numeric, Float))
        if self.empty is None and not column.nullable:
            raise DefinitionFault("Average(empty=None) needs a nullable column, such as Mapped[float | None]")

    def check_fields(self, column: Column[_Any], fields: Mapping[str, TypeEngine[_Any]]) -> None:
        check_summed_field(self.field, fields[self.field], column)


class _Quantifier(Aggregate[bool]):
    expression: Where | None
    _conditions = "expression"

    def references(self) -> References:
        found = super().references()
        conditions = found.conditions if self.expression is None else (*found.conditions, self.expression)
        return replace(found, to_many=True, conditions=conditions)

    def check_column(self, column: Column[_Any]) -> None:
        require_type(self, column, (Boolean,))
        require_plain_values(self, column)

    def _set_test(self, expression: Where | None) -> None:
        if (self.callback is None) == (expression is None):
            raise ComputationProtocolError(
                f"{type(self).__name__}({self.source!r}) takes either a callback or an expression"
            )
        self.expression = expression


class Every(_Quantifier):
    """Whether all members pass a test.

    :param source: as for :class:`Count`.
    :param callback: the test as a pure Python function of a member.
    :param expression: the test in SQL, in any form that ``where`` takes; a member for which it is NULL fails. Give
        either this or ``callback``.
    :param where: restricts the members that are tested, as for :class:`Count`.
    :param attribute_query: the attributes that ``callback`` reads, such as ``["amount", "product.price"]``.
    :param direction: as for :class:`Count`.
    :param data_deps: as for :class:`Count`.
    :param not_empty: if true, the value is ``False`` when there are no members; else it is ``True``.
    :raises ComputationProtocolError: if neither or both of ``callback`` and ``expression`` are given, and as for
        :class:`Count`.

    ::

        all_done: Mapped[bool] = computed(Every("items", expression={"done": True}))
    """

    _fields = ("source", "callback", "expression", "where", "attribute_query", "direction", "data_deps", "not_empty")

    def __init__(
        self,
        source: RecordRef,
        callback: Callback | None = None,
        *,
        expression: Where | None = None,
        where: Where | None = None,
        attribute_query: AttributeQuery | None = None,
        direction: Direction | None = None,
        data_deps: Mapping[str, _Any] | None = None,
        not_empty: bool = False,
    ) -> None:
        self.set_source(source, where, callback, attribute_query, direction, data_deps)
        self._set_test(expression)
        self.not_empty = not_empty

    def hidden_columns(self, column: Column[_Any]) -> dict[str, Column[_Any]]:
        return {"unmatched": counter(), **({"total": counter()} if self.not_empty else {})}

    def initial_value(self, column: Column[_Any] | None = None) -> bool:
        return not self.not_empty


class Any(_Quantifier):
    """Whether at least one member passes a test; ``False`` when there are none.

    :param source: as for :class:`Every`.
    :param callback: as for :class:`Every`.
    :param expression: as for :class:`Every`.
    :param where: as for :class:`Every`.
    :param attribute_query: as for :class:`Every`.
    :param direction: as for :class:`Every`.
    :param data_deps: as for :class:`Count`.
    :raises ComputationProtocolError: as for :class:`Every`.

    ::

        has_overdue: Mapped[bool] = computed(Any("invoices", expression={"overdue": True}))
    """

    _fields = ("source", "callback", "expression", "where", "attribute_query", "direction", "data_deps")

    def __init__(
        self,
        source: RecordRef,
        callback: Callback | None = None,
        *,
        expression: Where | None = None,
        where: Where | None = None,
        attribute_query: AttributeQuery | None = None,
        direction: Direction | None = None,
        data_deps: Mapping[str, _Any] | None = None,
    ) -> None:
        self.set_source(source, where, callback, attribute_query, direction, data_deps)
        self._set_test(expression)

    def hidden_columns(self, column: Column[_Any]) -> dict[str, Column[_Any]]:
        return {"matched": counter()}

    def initial_value(self, column: Column[_Any] | None = None) -> bool:
        return False
