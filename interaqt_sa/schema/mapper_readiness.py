"""Test whether mappers can be configured, without configuring them, which SQLAlchemy does not repeat."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from sqlalchemy.orm import Mapper, RelationshipProperty, clsregistry, registry

from .metadata_state import mappers_in

#: arguments of a relationship that may name classes and tables which are not imported yet
_NAMES = ("secondary", "primaryjoin", "secondaryjoin", "order_by", "foreign_keys", "remote_side")


def can_be_configured(mappers: Iterable[Mapper[Any]]) -> bool:
    """Whether all classes and tables that the mappers refer to exist.

    Between the imports of two modules of models they may not. Configuring a mapper then, as the first query does, would
    make it unusable.
    """
    seen: set[registry] = set()
    waiting = {mapper.registry for mapper in mappers}
    while waiting:
        found = waiting.pop()
        seen.add(found)
        for mapper in mappers_in(found):
            if mapper.configured:
                continue
            try:
                waiting |= {target.registry for target in _targets(mapper)} - seen
            except Exception:  # noqa: BLE001  the functions may use names that are not imported yet
                return False
    return True


def _targets(mapper: Mapper[Any]) -> Iterator[Mapper[Any]]:
    """Yield the target mappers of the relationships of ``mapper``; raise if a name is not defined yet."""
    for prop in list(mapper._props.values()):  # pyright: ignore[reportPrivateUsage]
        if not isinstance(prop, RelationshipProperty):
            continue
        resolve: Any = clsregistry._resolver(mapper.class_, prop)  # pyright: ignore[reportPrivateUsage]
        resolve_name, resolve_arg = resolve
        target = _resolved(prop.argument, resolve_name)
        for name in _NAMES:
            argument: Any = getattr(prop._init_args, name).argument  # pyright: ignore[reportPrivateUsage]
            if isinstance(argument, str):
                resolve_arg(argument)()
        # the lookup raises for a class that is not mapped yet, and configures nothing
        yield _mapper_of(target) if isinstance(target, type) else target


def _resolved(argument: Any, resolve_name: Any) -> Any:
    if isinstance(argument, str):
        return resolve_name(argument)()
    found: Any = argument
    if callable(argument) and not isinstance(argument, (type, Mapper)):
        found = argument()
    return found


def _mapper_of(target: type[Any]) -> Mapper[Any]:
    found: Mapper[Any] = target.__dict__["_sa_class_manager"].mapper
    return found
