"""Single values of the whole system."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import Any

from .computation import Computation
from .records import PropertyType
from .validation import require_string


@dataclass(frozen=True, slots=True)
class Dictionary:
    """A named value of the whole system, such as the total of all orders.

    :param name: unique among the dictionaries of a schema.
    :param type: as for :class:`.Property`.
    :param default: the initial value, or a function without parameters that returns it.
    :param computation: an aggregate that computes the value; its ``source`` is a record.
    :param collection: whether the value is a list, stored as JSON.
    :raises TypeError: if the name is not a string. All other checks are made when the dictionary is compiled.

    ::

        Dictionary("paid_orders", "number", computation=Count("Order", where={"status": "paid"}))
    """

    name: str
    type: PropertyType
    _: KW_ONLY
    default: Any = None
    computation: Computation[Any] | None = None
    collection: bool = False

    def __post_init__(self) -> None:
        require_string("Dictionary", self.name)

    def __hash__(self) -> int:
        return hash((Dictionary, self.name))
