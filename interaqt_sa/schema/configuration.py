"""Letting SQLAlchemy configure mappers, where that cannot do harm."""

from __future__ import annotations

from typing import Any

from sqlalchemy import MetaData
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Mapper, RelationshipProperty

from .catalog import Catalog


def configure_if_complete(metadata: MetaData) -> bool:
    """Configure all mappers of ``metadata``, unless classes that their relationships name are still to be mapped.

    SQLAlchemy gives a mapper up for good when its relationships lead nowhere, so that asking too early breaks an
    application that would have mapped the rest a moment later.

    :return: whether they are configured.
    """
    mappers = Catalog.of(metadata).all_mappers()
    classes = {mapper.class_.__name__ for own in mappers for mapper in own.registry.mappers}
    if not all(mapper.configured or _is_complete(mapper, classes) for mapper in mappers):
        return False
    try:
        for mapper in mappers:
            mapper.registry.configure(cascade=True)
    except SQLAlchemyError:
        return False  # whoever uses the classes is told
    return True


def _is_complete(mapper: Mapper[Any], classes: set[str]) -> bool:
    # Mapper.relationships would configure
    for prop in mapper._props.values():  # pyright: ignore[reportPrivateUsage]
        if isinstance(prop, RelationshipProperty) and not _leads_somewhere(prop.argument, classes):
            return False
    return True


def _leads_somewhere(argument: Any, classes: set[str]) -> bool:
    if isinstance(argument, str):
        return argument.rpartition(".")[2].strip("'\" ") in classes
    if callable(argument) and not isinstance(argument, (type, Mapper)):
        try:
            argument()
        except NameError:
            return False
    return True
