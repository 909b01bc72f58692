"""Queries of relations that are stored as a foreign key, translated to queries of the rows with the foreign key."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from copy import deepcopy
from typing import Any

from sqlalchemy import ColumnElement

from ..definitions.match import And, Atom, MatchExp, Not, Or, Reference
from ..definitions.short_repr import shorten
from ..definitions.type_aliases import AttributeQuery, Where
from ..errors import DefinitionFault
from ..schema.foreign_key_relations import HeldRelation
from .attributes import key_attributes
from .record_makers import Record

_ENDS = ("source", "target")


def on_host(held: HeldRelation, match: Where | None) -> MatchExp:
    """Return the match of the rows that store a link which matches ``match``.

    :raises DefinitionFault: if it contains anything but the ends.
    """
    is_held = MatchExp.atom(held.column, ("!=", None))
    if match is None:
        return is_held
    given: Any = match
    if isinstance(given, MatchExp):
        return is_held & _expression(held, given)
    if callable(given) or isinstance(given, ColumnElement) or not hasattr(given, "keys"):
        raise DefinitionFault(
            f"relation {held.name!r} is held by a foreign key: give a MatchExp or a mapping of conditions on "
            "source.… and target.…",
            record=held.name,
        )
    return is_held & _expression(held, MatchExp.from_object(given)) if given else is_held


def _expression(held: HeldRelation, expression: MatchExp) -> MatchExp:
    """Return a predicate over the ends as a predicate over the host."""
    match expression:
        case Atom(key, operator, operand):
            if operator == "exist":
                operand = _inside(held, operand)
                if key == held.side:
                    return operand
            return Atom(_path(held, key, is_end=operator == "exist"), operator, _operand(held, operand))
        case And(parts):
            return And(tuple(_expression(held, part) for part in parts))
        case Or(parts):
            return Or(tuple(_expression(held, part) for part in parts))
        case Not(part):
            return Not(_expression(held, part))
        case _:
            raise NotImplementedError(type(expression))


def _inside(held: HeldRelation, expression: MatchExp) -> MatchExp:
    """Return the predicate of an ``exist``; its references start at the link, its keys do not."""
    match expression:
        case Atom(key, operator, operand):
            inner = _inside(held, operand) if operator == "exist" else _operand(held, operand)
            return Atom(key, operator, inner)
        case And(parts):
            return And(tuple(_inside(held, part) for part in parts))
        case Or(parts):
            return Or(tuple(_inside(held, part) for part in parts))
        case Not(part):
            return Not(_inside(held, part))
        case _:
            raise NotImplementedError(type(expression))


def _operand(held: HeldRelation, operand: Any) -> Any:
    if isinstance(operand, Reference):
        return MatchExp.ref(_path(held, operand.path))
    if type(operand) is tuple:
        parts: Any = operand  # pyright: ignore[reportUnknownVariableType]
        return tuple(_operand(held, part) for part in parts)
    return operand


def _path(held: HeldRelation, key: str, *, is_end: bool = False) -> str:
    end, dot, rest = key.partition(".")
    if end not in _ENDS or (not dot and not (is_end and end == held.far_side)):
        raise DefinitionFault(
            f"relation {held.name!r} has no values of its own; match and order by source.… and target.…, "
            f"not by {shorten(key)}",
            record=held.name,
        )
    if end == held.side:
        return rest
    # the key that the host stores is compared without a join to the other end
    if rest == key_attributes(held.other)[0]:
        return held.column
    return f"{held.attribute}.{rest}" if dot else held.attribute


def order_on_host(held: HeldRelation, order_by: Mapping[str, Any] | None) -> Any:
    """Return the order of rows for an order of the links that they store."""
    if order_by is None:
        return None
    if not hasattr(order_by, "items"):
        return order_by  # refused later
    return {_path(held, path): direction for path, direction in order_by.items()}


def query_on_host(held: HeldRelation, query: AttributeQuery | None) -> list[Any]:
    """Return the attribute query of rows for an attribute query ``query`` of the links that they store.

    :raises DefinitionFault: if it contains anything but the ends.
    """
    asked: dict[str, list[Any]] = {"source": [], "target": []}
    if query is not None and (_is(query, str, Mapping) or not _is(query, Iterable)):
        raise DefinitionFault(
            f"relation {held.name!r}: attribute_query is a list, not {shorten(query)}", record=held.name
        )
    for item in query or ():
        if item == "*":
            continue
        if isinstance(item, str):
            end, _, rest = item.partition(".")
            parts: list[Any] = [rest] if rest else []
        else:
            end, options = _pair(held, item)
            parts = [*(options.get("attribute_query") or ())]
        if end not in _ENDS:
            raise _not_an_end(held, item)
        asked[end] += parts
    return [*asked[held.side], (held.attribute, {"attribute_query": asked[held.far_side]})]


def _pair(held: HeldRelation, item: Any) -> tuple[str, Mapping[str, Any]]:
    if not _is(item, tuple, list) or len(item) != 2 or not _is(item[0], str) or not _is(item[1], Mapping):
        raise _not_an_end(held, item)
    end: str = item[0]
    options: Mapping[str, Any] = item[1]
    if not options.keys() <= {"attribute_query"}:
        raise _not_an_end(held, item)
    return end, options


def _is(value: Any, *kinds: Any) -> bool:
    return isinstance(value, kinds)


def link_of_row(held: HeldRelation, row: Record, query: AttributeQuery | None) -> Record:
    """Return the link in a row that was read with :func:`query_on_host`."""
    host = deepcopy(row)
    if not _is_asked(held, query):
        del host[held.attribute]
    return held.ends(host, row[held.attribute])


def _is_asked(held: HeldRelation, query: AttributeQuery | None) -> bool:
    """Whether the query requests from the row itself the relationship that stores the link."""
    for item in query or ():
        end, parts = (item, ()) if isinstance(item, str) else (item[0], item[1].get("attribute_query") or ())
        head, _, rest = end.partition(".")
        names = [rest.partition(".")[0]] if rest else [part if isinstance(part, str) else part[0] for part in parts]
        if head == held.side and any(name.partition(".")[0] == held.attribute for name in names):
            return True
    return False


def _not_an_end(held: HeldRelation, item: Any) -> DefinitionFault:
    return DefinitionFault(
        f"relation {held.name!r} has no values of its own; ask for source and target, not for {shorten(item)}",
        record=held.name,
    )


def with_ends(row: Record) -> Record:
    """Return a row of a relation with the keys of its ends under their names."""
    if "source_id" not in row:
        return row
    ends = {side: {"id": row[f"{side}_id"]} for side in _ENDS}
    return {name: value for name, value in row.items() if not name.endswith("_id")} | ends
