"""Values in declared predicates, which their columns must be able to have."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from sqlalchemy import Boolean, Date, DateTime, Float, Integer, Numeric, Time, Uuid

from ..definitions.computation import Where
from ..definitions.match import And, Atom, MatchExp, Not, Or
from ..errors import DefinitionFault
from .match import Resolve
from .types import AwareDateTime

#: Types of which no value is text; another TypeDecorator may take text.
_NO_TEXT = (AwareDateTime, Boolean, Date, DateTime, Float, Integer, Numeric, Time)
_SEVERAL = ("in", "not in", "between")
_ANY_OPERAND = ("exist", "contains", "like")


def check_operands(where: Where, resolve: Resolve) -> None:
    """Refuse text where a column has numbers, booleans, dates or UUIDs: it would never match, or fail at a write.

    Declarations are strict; :meth:`.Storage.find` takes keys as text, as requests carry them. SQL expressions and
    functions are not looked into.

    :raises DefinitionFault: naming the key and the value.
    """
    if isinstance(where, Mapping):
        where = MatchExp.from_object(where)
    if isinstance(where, MatchExp):
        for atom in atoms_of(where):
            check_operand(atom, resolve)


def check_operand(atom: Atom, resolve: Resolve) -> None:
    """Do the same for one comparison.

    :raises DefinitionFault: likewise.
    """
    if atom.operator in _ANY_OPERAND:
        return
    column_type = resolve(atom.key).type
    for value in atom.operand if atom.operator in _SEVERAL else (atom.operand,):
        if isinstance(value, str) and _has_no_text(column_type):
            raise DefinitionFault(
                f"{atom.key!r} is {column_type!r} and never {value!r}; give a value of its type. "
                'Operators are tuples: ("is null",), (">", 3)',
                property=atom.key,
            )


def _has_no_text(column_type: Any) -> bool:
    return isinstance(column_type, _NO_TEXT) or (isinstance(column_type, Uuid) and bool(column_type.as_uuid))


def atoms_of(expression: MatchExp) -> Iterator[Atom]:
    """Yield the single comparisons of a match."""
    match expression:
        case Atom():
            yield expression
        case And(parts) | Or(parts):
            for part in parts:
                yield from atoms_of(part)
        case Not(part):
            yield from atoms_of(part)
        case _:
            pass
