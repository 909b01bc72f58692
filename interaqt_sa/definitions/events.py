"""Mutation events of records, and triggers that match them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias, cast

from ..errors import ComputationProtocolError
from .type_aliases import RecordRef
from .validation import refuse_text

MutationType: TypeAlias = Literal["create", "update", "delete"]


class RecordView(dict[str, Any]):
    """The row passed to callbacks: ``view["amount"]`` or ``view.amount``; x:1 neighbours are views too.

    Keys take precedence over the methods of ``dict``, because ``items`` is a common name of a relationship.
    """

    __slots__ = ()

    def __getattribute__(self, name: str) -> Any:
        if not name.startswith("__") and name in self:
            return self[name]
        return super().__getattribute__(name)

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"the record has no attribute {name!r} here; it has {sorted(map(str, self))}")


@dataclass(frozen=True, slots=True)
class MutationEvent:
    """The change of one row.

    :param type: ``"create"``, ``"update"`` or ``"delete"``.
    :param record_name: name of the record.
    :param record: the new image of the row, a mapping; for a delete the old image.
    :param old_record: the old image for an update, else ``None``.
    :param keys: names of the changed attributes for an update, else ``None``.

    ::

        MutationEvent("update", "Order", {"id": 1, "paid": True}, {"id": 1, "paid": False}, frozenset({"paid"}))
    """

    type: MutationType
    record_name: str
    record: Mapping[str, Any]
    old_record: Mapping[str, Any] | None = None
    keys: frozenset[str] | None = None


@dataclass(frozen=True, slots=True)
class Trigger:
    """A pattern of mutation events that trigger a :class:`.StateTransfer` or a :class:`.Transform`.

    :param record_name: a record (name, definition, mapped class), or an event source, which stands for the events that
        it stores.
    :param type: ``"create"``, ``"update"`` or ``"delete"``.
    :param record: pattern of the new image (of the old image for a delete): nested mappings match partially, ``None``
        matches only ``None``.
    :param old_record: pattern of the old image; updates only.
    :param keys: attributes that must all have changed; updates only.
    :raises ComputationProtocolError: if ``type`` is invalid, ``keys`` is empty or a string, or ``keys`` or
        ``old_record`` is given for another type than ``"update"``.

    ::

        Trigger("Order", "update", keys=["status"], record={"status": "paid"})
    """

    record_name: RecordRef
    type: MutationType = "create"
    record: Mapping[str, Any] | None = None
    old_record: Mapping[str, Any] | None = None
    keys: Sequence[str] | None = field(default=None)

    def __post_init__(self) -> None:
        if self.type not in ("create", "update", "delete"):
            raise ComputationProtocolError(f"Trigger type {self.type!r} is not one of 'create', 'update', 'delete'")
        if (self.keys is not None or self.old_record is not None) and self.type != "update":
            raise ComputationProtocolError(
                f"Trigger({self.record_name!r}, {self.type!r}): keys and old_record belong to updates"
            )
        refuse_text(self.keys, f"Trigger({self.record_name!r}): keys")
        if self.keys is not None and not self.keys:
            raise ComputationProtocolError(f"Trigger({self.record_name!r}): keys must not be empty")

    @classmethod
    def of(cls, value: Trigger | Mapping[str, Any]) -> Trigger:
        """Return ``value`` as a trigger.

        :param value: a trigger, or a mapping of the names of its parameters to their values.
        :raises ComputationProtocolError: if it is neither, or an argument is invalid.
        """
        if isinstance(value, Trigger):
            return value
        if not isinstance(value, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ComputationProtocolError(f"{value!r} is not a Trigger; write Trigger(record, type)")
        return cls(**value)

    def matches(self, event: MutationEvent) -> bool:
        """Whether an event matches type, keys and patterns.

        :param event: an event of this trigger's record.
        """
        if event.type != self.type:
            return False
        if self.keys is not None and not set(self.keys) <= (event.keys or frozenset()):
            return False
        if self.record is not None and not _fits(self.record, event.record):
            return False
        return self.old_record is None or _fits(self.old_record, event.old_record)


def _fits(pattern: Any, value: Any) -> bool:
    if type(pattern) is str:  # most are; the checks below are slow
        return bool(pattern == value)
    if isinstance(pattern, Mapping):
        parts: Mapping[Any, Any] = pattern  # pyright: ignore[reportUnknownVariableType]
        return isinstance(value, Mapping) and all(key in value and _fits(p, value[key]) for key, p in parts.items())
    if isinstance(pattern, (list, tuple)):
        expected = cast("Sequence[Any]", pattern)
        if not isinstance(value, (list, tuple)):
            return False
        found = cast("Sequence[Any]", value)
        return not expected or (len(expected) == len(found) and all(map(_fits, expected, found)))
    if isinstance(pattern, bool) or isinstance(value, bool):
        return pattern is value
    return bool(pattern == value)
