"""Checks of the data that functions of the application read."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

from ...definitions.data_dependencies import DataDependency
from ...definitions.dictionary import Dictionary
from ...definitions.references import References
from ...errors import DefinitionFault
from .record_outlines import Outline, Outlines

#: collects a fault that is raised inside the block
Caught = Callable[[], AbstractContextManager[None]]


def check_dependencies(
    named: References, host: Outline | str, attribute: str, outlines: Outlines, caught: Caught
) -> None:
    """Collect the faults of the data that the value ``attribute`` of ``host`` is computed from.

    :param host: its record; for the value of a dictionary, the dictionary's name.
    """
    for dependency in named.dependencies:
        with caught():
            match dependency.kind:
                case "property":
                    _check_own(dependency, host, attribute, caught)
                case "records":
                    _check_records(dependency, host, outlines, caught)
                case "global":
                    _check_dictionary(dependency, host)


def _check_own(dependency: DataDependency, host: Outline | str, attribute: str, caught: Caught) -> None:
    if isinstance(host, str):
        raise DefinitionFault(
            f"data_deps[{dependency.name!r}]: a dictionary has no attributes of its own; "
            'read a record by {"type": "records"}, or another dictionary'
        )
    for path in query_paths(dependency.attribute_query, dependency.name):
        with caught():
            if path == attribute:
                raise DefinitionFault(f"data_deps[{dependency.name!r}] names {path!r}, the value itself")
            _check_path(path, host)


def _check_path(path: str, host: Outline) -> None:
    """Check an attribute, an x:1 path, or a path that begins with a relationship to many."""
    step, dot, rest = path.partition(".")
    if dot and host.ways.get(step) is not None and (way := host.way(step)).by_key is not True:
        _check_plain(rest, way.target())
    else:
        _check_plain(path, host)


def _check_plain(path: str, record: Outline) -> None:
    if path == "*" or path.endswith(".*"):
        record.follow(path)
    else:
        record.column(path)


def _check_records(dependency: DataDependency, host: Outline | str, outlines: Outlines, caught: Caught) -> None:
    if not isinstance(host, str):
        raise DefinitionFault(
            f"data_deps[{dependency.name!r}] reads all rows of a record, so that every change of one of them would "
            'compute every row of this record again; read related rows by {"type": "property"}, or compute a '
            "Dictionary from the record and read that"
        )
    record = outlines.find(dependency.source)
    for path in query_paths(dependency.attribute_query, dependency.name):
        with caught():
            _check_plain(path, record)


def _check_dictionary(dependency: DataDependency, host: Outline | str) -> None:
    source: Any = dependency.source
    name = source.name if isinstance(source, Dictionary) else source
    if not isinstance(name, str):
        raise DefinitionFault(f"data_deps[{dependency.name!r}]: {source!r} is not a dictionary")
    if isinstance(host, str) and name == host:
        raise DefinitionFault(f"data_deps[{dependency.name!r}] names dictionary {name!r}, the value itself")


def query_paths(query: Any, name: str, prefix: str = "") -> Iterator[str]:
    """Yield the paths of an attribute query.

    :raises DefinitionFault: if an item is invalid.
    """
    for item in query:
        match item:
            case str():
                yield f"{prefix}{item}"
            case (str() as step, [*nested] | {"attribute_query": [*nested]}):
                yield from query_paths(nested, name, f"{prefix}{step}.")
            case _:
                raise DefinitionFault(
                    f'data_deps[{name!r}]: attribute_query holds {item!r}; give names, "*", or a relationship with '
                    'its own: ("items", ["amount"])'
                )
