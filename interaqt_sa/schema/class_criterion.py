"""The criterion that tells the rows of a class from the others of its table."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Column, ColumnElement, Label
from sqlalchemy.orm import Mapper
from sqlalchemy.sql import visitors


def class_criterion(mapper: Mapper[Any]) -> ColumnElement[bool] | None:
    """Return the condition of rows of ``mapper``'s class and its subclasses.

    It is the condition that the ORM adds to queries, in Core terms.

    :return: ``None`` if the class has all rows of its tables.
    """
    discriminator = discriminator_of(mapper)
    if not mapper.single or discriminator is None:
        return None
    concrete = [m for m in mapper.self_and_descendants if not m.polymorphic_abstract]
    return discriminator.in_([m.polymorphic_identity for m in concrete])


def discriminator_of(mapper: Mapper[Any]) -> ColumnElement[Any] | None:
    """Return the column or SQL expression whose value is the polymorphic identity of a row."""
    discriminator = mapper.polymorphic_on
    # the ORM labels an expression to select it
    return discriminator.element if isinstance(discriminator, Label) else discriminator


def discriminator_columns(mapper: Mapper[Any]) -> set[Column[Any]]:
    """Return the columns that determine the class of a row."""
    discriminator = mapper.polymorphic_on
    found = () if discriminator is None else visitors.iterate(discriminator)
    return {element for element in found if isinstance(element, Column)}
