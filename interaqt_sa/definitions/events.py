"""What happened to a record, and which of it a computation waits for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias, cast

from ..errors import ComputationProtocolError
from .argument_types import RecordRef
from .validation import refuse_text

MutationType: TypeAlias = Literal["create", "update", "delete"]


class RecordView(dict[str, Any]):
    """A row as callbacks see it: ``view["amount"]`` and ``view.amount``; x:1 neighbours are views too.

    Its keys always win over the methods of ``dict``, because ``items`` is a common name of a relationship.
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
    """A change of one row.

    :param type: ``"create"``, ``"update"`` or ``"delete"``.
    :param record_name: name of the record.
    :param record: create: the whole row; update: the row after it; delete: the last row.
    :param old_record: update: the row before it, else ``None``.
    :param keys: update: names of the attributes that changed, else ``None``.
    """

    type: MutationType
    record_name: str
    record: Mapping[str, Any]
    old_record: Mapping[str, Any] | None = None
    keys: frozenset[str] | None = None


@dataclass(frozen=True, slots=True)
class Trigger:
    """Which mutation events set something off.

    :param record_name: a record (name, definition, mapped class) or an event source, which stands for its event
        records of that name.
    :param type: ``"create"``, ``"update"`` or ``"delete"``.
    :param record: pattern that the row must match after the event: nested mappings match partially, ``None``
        matches only ``None``.
    :param old_record: pattern for the row before an update.
    :param keys: update: attributes that must all be among the changed ones.

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
        """Return ``value`` as a trigger; a mapping has the names of the parameters as keys."""
        if isinstance(value, Trigger):
            return value
        if not isinstance(value, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ComputationProtocolError(f"{value!r} is not a Trigger; write Trigger(record, type)")
        return cls(**value)

    def matches(self, event: MutationEvent) -> bool:
        """Whether ``event``, of this trigger's record, fits type, keys and patterns."""
        if event.type != self.type:
            return False
        if self.keys is not None and not set(self.keys) <= (event.keys or frozenset()):
            return False
        if self.record is not None and not _fits(self.record, event.record):
            return False
        return self.old_record is None or _fits(self.old_record, event.old_record)


def _fits(pattern: Any, value: Any) -> bool:
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
