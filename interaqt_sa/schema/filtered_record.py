"""A compiled filtered record: the rows of a base record that match a condition."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from sqlalchemy import Column, select
from sqlalchemy.orm import aliased

from ..definitions.computation import computation_of
from ..definitions.records import Entity, Relation
from .naming import fit_identifier, snake_case


@dataclass(eq=False)
class FilteredRecord:
    """The rows of a base record that match a condition.

    :ivar base: the class of the record that stores the rows; never filtered itself.
    :ivar attribute: the attribute of the base that is 1 for members, else 0.
    """

    definition: Entity | Relation
    base: type[Any]
    attribute: str

    @property
    def name(self) -> str:
        """The name of the filtered record."""
        return self.definition.name

    @cached_property
    def mapped_class(self) -> Any:
        """An alias of the base class that selects the members; its objects are those of the base class."""
        members = select(self.base).where(self.membership > 0).subquery(snake_case(self.name))
        return aliased(self.base, members)

    @property
    def membership(self) -> Any:
        """The attribute of the base class."""
        return getattr(self.base, self.attribute)

    def contains(self, row: Mapping[str, Any]) -> bool:
        """Whether a stored row of the base is a member."""
        return bool(row.get(self.attribute))


def membership_name(name: str) -> str:
    """Return the name of the column, and attribute, that holds the membership of rows in a filtered record."""
    return fit_identifier(f"_{snake_case(name)}__member")


def is_membership(column: object) -> bool:
    """Whether ``column`` holds the membership of rows in a filtered record."""
    return isinstance(column, Column) and getattr(computation_of(column), "of_own_row", False)
