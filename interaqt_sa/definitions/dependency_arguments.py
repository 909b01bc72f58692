"""Parse ``data_deps``, the data that a function of the application reads."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ..errors import ComputationProtocolError
from .data_dependencies import DataDependency
from .dictionary import Dictionary
from .validation import refuse_text

#: the keys of an entry by its type; a true value marks those that it must have
_KEYS: dict[str, dict[str, bool]] = {
    "property": {"type": True, "attribute_query": True},
    "records": {"type": True, "source": True, "attribute_query": True, "match": False},
    "global": {"type": True, "source": True},
}


def parse_dependencies(given: Any, where: str) -> tuple[DataDependency, ...]:
    """Return the entries of ``data_deps``.

    :param where: the computation, for errors.
    :raises ComputationProtocolError: if an entry is invalid.
    """
    if given is None:
        return ()
    if not isinstance(given, Mapping):
        raise ComputationProtocolError(
            f'{where}: data_deps maps names to what is read, such as {{"own": {{"type": "property", '
            f'"attribute_query": ["name"]}}}}, not {given!r}'
        )
    entries: Mapping[Any, Any] = given  # pyright: ignore[reportUnknownVariableType]
    return tuple(_parse(entries, where))


def _parse(given: Mapping[Any, Any], where: str) -> Iterator[DataDependency]:
    for name, entry in given.items():
        place = f"{where}: data_deps[{name!r}]"
        if not isinstance(name, str):
            raise ComputationProtocolError(f"{where}: the key {name!r} of data_deps is not a name")
        if isinstance(entry, Dictionary):
            yield DataDependency(name, "global", entry)
            continue
        yield _entry(name, dict(entry) if isinstance(entry, Mapping) else {"type": entry}, place)  # pyright: ignore[reportUnknownArgumentType]


def _entry(name: str, entry: dict[Any, Any], place: str) -> DataDependency:
    kind = entry.get("type")
    if kind not in ("property", "records", "global"):
        raise ComputationProtocolError(
            f'{place} must be a Dictionary, or a mapping whose "type" is "property", "records" or "global"; its type '
            f"is {kind!r}"
        )
    keys = _KEYS[kind]
    missing = [key for key, is_required in keys.items() if is_required and entry.get(key) is None]
    unknown = [key for key in entry if key not in keys]
    if missing or unknown:
        told = f"{', '.join(map(repr, missing))} is missing" if missing else f"it has {unknown!r}"
        raise ComputationProtocolError(f"{place} of type {kind!r} takes {', '.join(map(repr, keys))}; {told}")
    query = entry.get("attribute_query", ())
    refuse_text(query, f"{place}: attribute_query")
    return DataDependency(name, kind, entry.get("source"), tuple(query), entry.get("match"))
