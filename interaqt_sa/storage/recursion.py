"""Attribute queries that repeat a labelled part level by level, and paths between records."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, TypeAlias

from sqlalchemy.orm import Mapper

from ..definitions.match import MatchExp
from ..definitions.short_repr import shorten
from ..definitions.type_aliases import AttributeQuery
from ..errors import DefinitionFault
from ..schema.record_lookup import record_name
from .attributes import LINK, key_attributes, relationship_of
from .record_makers import Record
from .references import column_key

#: reads the records of a mapper with the given keys and attributes
ReadByKey: TypeAlias = Callable[[Mapper[Any], Iterable[Any], list[Any]], Sequence[Record]]
_RECURSION = frozenset(("label", "goto", "exit"))
#: the maximum for one attribute query: more than any tree has, fewer than would fill the memory
_MAX_LEVELS = 10_000


@dataclass(frozen=True, slots=True)
class RecursionContext:
    """The argument of ``exit`` in an attribute query.

    :ivar stack: the records on the path from the first one that has the label's relationship to the current one.
    """

    stack: tuple[Record, ...]

    @property
    def depth(self) -> int:
        """The number of records in ``stack``."""
        return len(self.stack)


@dataclass(frozen=True, slots=True)
class _Repeat:
    """One ``goto``.

    :ivar path: the relationships from the queried record to the labelled part, including its own at the end.
    :ivar below: the relationships from there to the record with the ``goto``.
    :ivar attribute: the repeated relationship.
    :ivar holder: the record that has it.
    :ivar query: the query of each record, in which the next level is requested by its keys.
    :ivar is_direct: whether the record around the labelled part is one of the repeated records.
    """

    path: tuple[str, ...]
    below: tuple[str, ...]
    attribute: str
    holder: Mapper[Any]
    query: list[Any]
    is_direct: bool
    exit: Callable[[RecursionContext], Any] | None


def is_recursive(query: Any) -> bool:
    """Whether an attribute query has a label or a goto anywhere."""
    if _is(query, str, bytes) or not _is(query, Iterable):
        return False
    for item in query:
        options = _options(item)
        if options and (not _RECURSION.isdisjoint(options) or is_recursive(options.get("attribute_query"))):
            return True
    return False


def _options(item: Any) -> Mapping[str, Any] | None:
    """Return the query of a neighbour in an item of an attribute query; ``None`` if it is not such an item."""
    if not _is(item, tuple, list) or len(item) != 2 or not _is(item[1], Mapping):
        return None
    options: Mapping[str, Any] = item[1]
    return options


def _is(value: Any, *kinds: Any) -> bool:
    return isinstance(value, kinds)


def unrolled(mapper: Mapper[Any], query: AttributeQuery) -> tuple[list[Any], Callable[[list[Record], ReadByKey], None]]:
    """Return the query of the first level, and a function that adds the other levels to its result.

    Each level needs the same number of statements, however many records it has.

    :raises DefinitionFault: if the label of a goto does not exist.
    """
    repeats: list[_Repeat] = []
    first = _without_repeats(mapper, query, (), {}, repeats)

    def complete(records: list[Record], read: ReadByKey) -> None:
        for repeat in repeats:
            _add_levels(repeat, records, read)

    return first, complete


@dataclass(frozen=True, slots=True)
class _Label:
    path: tuple[str, ...]
    options: Mapping[str, Any]
    mapper: Mapper[Any]
    outer: Mapper[Any]


def _without_repeats(
    mapper: Mapper[Any], query: Any, path: tuple[str, ...], labels: Mapping[str, _Label], repeats: list[_Repeat]
) -> list[Any]:
    found: list[Any] = []
    for item in query or ():
        options = _options(item)
        if options is None or item[0] == LINK or "." in item[0]:
            found.append(item)
            continue
        name: str = item[0]
        target = relationship_of(mapper, name).mapper
        if "goto" in options:
            found.append(_repeat(mapper, name, options, path, labels, repeats))
            continue
        if "exit" in options:
            raise _fault(mapper, name, "exit= belongs to a goto=")
        rest = {key: value for key, value in options.items() if key != "label"}
        inner = labels
        if "label" in options:
            inner = {**labels, options["label"]: _Label((*path, name), rest, target, mapper)}
        rest["attribute_query"] = _without_repeats(
            target, options.get("attribute_query"), (*path, name), inner, repeats
        )
        found.append((name, rest))
    return found


def _repeat(
    mapper: Mapper[Any],
    name: str,
    options: Mapping[str, Any],
    path: tuple[str, ...],
    labels: Mapping[str, _Label],
    repeats: list[_Repeat],
) -> tuple[str, Mapping[str, Any]]:
    unknown = options.keys() - {"goto", "exit"}
    if unknown:
        raise _fault(mapper, name, f"goto= repeats what its label asks; leave out {', '.join(sorted(unknown))}")
    label = labels.get(options["goto"])
    if label is None:
        raise _fault(mapper, name, f"goto={shorten(options['goto'])} is not the label of a relationship around it")
    if label.mapper is not relationship_of(mapper, name).mapper:
        raise _fault(mapper, name, f"goto={options['goto']!r} leads to {record_name(label.mapper)}, and this does not")
    exit_function = options.get("exit")
    if exit_function is not None and not callable(exit_function):
        raise _fault(mapper, name, f"exit= is a function of the context, not {shorten(exit_function)}")
    asked: Any = label.options.get("attribute_query") or ()
    # the link belongs to the path to the record, and is read with the keys; the rest belongs to the record itself
    own = [item for item in asked if not _is_link(item)]
    next_keys = {**label.options, "attribute_query": [item for item in asked if _is_link(item)]}
    below = path[len(label.path) :]
    repeat = _Repeat(label.path, below, name, mapper, [], label.outer is label.mapper, exit_function)
    repeats.append(repeat)
    repeat.query.extend(_with_keys(label.mapper, own, below, name, next_keys))
    return name, next_keys


def _with_keys(
    mapper: Mapper[Any], query: Iterable[Any], below: tuple[str, ...], name: str, options: Mapping[str, Any]
) -> list[Any]:
    """Return the query of a repeated level, in which the next level is requested by its keys only."""
    found: list[Any] = []
    for item in query:
        own = _options(item)
        if own is not None and not below and item[0] == name and "goto" in own:
            found.append((name, options))
        elif own is not None and below and item[0] == below[0]:
            inner: Any = own.get("attribute_query") or ()
            target = relationship_of(mapper, below[0]).mapper
            rest = {key: value for key, value in own.items() if key != "label"}
            found.append((item[0], {**rest, "attribute_query": _with_keys(target, inner, below[1:], name, options)}))
        else:
            found.append(item)
    return found


def _is_link(item: Any) -> bool:
    return bool(item == LINK or (_options(item) is not None and item[0] == LINK))


def _add_levels(repeat: _Repeat, records: list[Record], read: ReadByKey) -> None:
    target = relationship_of(repeat.holder, repeat.attribute).mapper
    (key,) = key_attributes(target)
    holder_of = repeat.path[:-1]
    # the records on the path of each branch, which must not be repeated
    level: list[tuple[Record, tuple[Record, ...]]] = []
    for root in _at(records, holder_of):
        # the record around the label is on the path too, if it is of the same kind
        is_alike = repeat.is_direct and key in root
        level += [
            (labelled, (root, labelled) if is_alike else (labelled,)) for labelled in _at([root], repeat.path[-1:])
        ]
    for _ in range(_MAX_LEVELS):
        wanted: list[tuple[Record, tuple[Record, ...]]] = []
        for record, stack in level:
            for holder in _at([record], repeat.below):
                stubs = _listed(holder.get(repeat.attribute))
                if stubs and repeat.exit is not None and repeat.exit(RecursionContext(stack)):
                    holder[repeat.attribute] = [] if isinstance(holder[repeat.attribute], list) else None
                    continue
                passed = {known[key] for known in stack}
                wanted += [(stub, (*stack, stub)) for stub in stubs if stub[key] not in passed]
        if not wanted:
            return
        found = {row[key]: row for row in read(target, dict.fromkeys(stub[key] for stub, _ in wanted), repeat.query)}
        for stub, _ in wanted:
            stub.update(deepcopy(found.get(stub[key], {})))
        level = wanted


def _at(records: Iterable[Record], path: Sequence[str]) -> list[Record]:
    found = list(records)
    for name in path:
        found = [neighbour for record in found for neighbour in _listed(record.get(name))]
    return found


def _listed(value: Any) -> list[Record]:
    if value is None:
        return []
    return value if isinstance(value, list) else [value]  # pyright: ignore[reportUnknownVariableType]


def _fault(mapper: Mapper[Any], name: str, text: str) -> DefinitionFault:
    return DefinitionFault(f"{record_name(mapper)}.{name}: {text}", record=record_name(mapper), property=name)


def path_between(mapper: Mapper[Any], start: Any, end: Any, attribute: str, read: ReadByKey) -> list[Record]:
    """Return the records on a shortest path along a relationship of a record to itself, including both ends.

    :return: an empty list if there is no path.
    """
    target = relationship_of(mapper, attribute).mapper
    if not target.common_parent(mapper):
        raise _fault(mapper, attribute, f"leads to {record_name(target)}; a path goes on along the same relationship")
    key, *others = key_attributes(mapper)
    if others:
        record = record_name(mapper)
        raise DefinitionFault(
            f"the key of {record} is {', '.join([key, *others])}; find_path() needs a key of one column", record=record
        )
    first, last = column_key(mapper, key, start), column_key(mapper, key, end)
    before: dict[Any, Any] = {first: None}
    frontier = [first]
    while frontier and last not in before:
        reached: list[Any] = []
        for row in read(mapper, frontier, [(attribute, {"modifier": {"order_by": {key: "ASC"}}})]):
            for neighbour in _listed(row[attribute]):
                if neighbour[key] not in before:
                    before[neighbour[key]] = row[key]
                    reached.append(neighbour[key])
        frontier = reached
    if last not in before:
        return []
    way = [last]
    while (previous := before[way[-1]]) is not None:
        way.append(previous)
    found = {row[key]: row for row in read(mapper, way, ["*"])}
    return [found[step] for step in reversed(way) if step in found]


def by_key(mapper: Mapper[Any], keys: Iterable[Any]) -> MatchExp:
    """Return the match of the records with the given keys."""
    (key,) = key_attributes(mapper)
    return MatchExp.atom(key, ("in", list(keys)))
