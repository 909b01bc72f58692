"""Predicates over the attributes of records."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import DefinitionFault
from .short_repr import shorten

COMPARISONS = frozenset({"=", "!=", ">", "<", ">=", "<=", "like"})
#: The operators that all columns have, in lower case.
OPERATORS = COMPARISONS | {"in", "not in", "between", "not", "is null", "is not null", "contains", "exist"}
#: of an operator of a type
_LONGEST_NAME = 100
_NULL_SAFE = frozenset({"=", "!="})
_UNARY = frozenset({"is null", "is not null"})


class MatchExp:
    """A predicate over the attributes of a record; immutable.

    Keys are attributes or paths (``"status"``, ``"customer.name"``). Operators are ``=  !=  >  <  >=  <=``,
    ``like``, ``in``, ``not in``, ``between``, ``contains`` (member of a collection), ``is null``, ``is not null``,
    ``not`` (only with ``None``) and ``exist`` (the key is a relationship, the operand a predicate over its members).
    ``None`` is NULL: ``("=", None)`` is ``IS NULL``, and lists may contain it. As in SQL, every other comparison with
    a NULL value is neither true nor false. The type of a column may have operators of its own: the methods that its
    ``comparator_factory`` adds to those of SQLAlchemy, by their names. A match has no truth value: ``bool()`` raises
    :class:`TypeError`.

    ::

        MatchExp.atom("status", ("=", "open")) & ~MatchExp.atom("total", ("<", 10))
        MatchExp.from_object({"status": "open", "total": (">=", 10), "items": ("exist", {"sku": "a"})})
    """

    __slots__ = ()

    @classmethod
    def atom(cls, key: str, value: tuple[str, Any]) -> MatchExp:
        """Return the predicate that compares one attribute.

        :param key: an attribute or a dotted path.
        :param value: ``(operator, operand)``; ``("is null",)`` and ``("is not null",)`` need no operand.
        :raises DefinitionFault: if the key is not a path, or the operand is invalid for the operator. A name that is
            not an operator of all columns may be one of the column's type, and is checked when the match is used.
        """
        return _atom(key, value)

    @classmethod
    def ref(cls, path: str) -> Reference:
        """Return an operand that refers to another attribute of the queried record.

        :param path: an attribute or an x:1 path; inside ``exist`` it also begins at the queried record.
        :raises DefinitionFault: if it is not a path.

        ::

            MatchExp.atom("age", (">", MatchExp.ref("boss.age")))
        """
        if not _is(path, str) or not all(path.split(".")):
            raise DefinitionFault(f"{shorten(path)} is not an attribute or a dotted path")
        return Reference(path)

    @classmethod
    def from_object(cls, conditions: Mapping[str, Any]) -> MatchExp:
        """Return the predicate that all ``conditions`` hold.

        :param conditions: maps attributes or paths to a plain value (equality; ``None`` is NULL) or to a tuple
            ``(operator, operand)``.
        :raises DefinitionFault: as for :meth:`atom`, and if ``conditions`` is empty or not a mapping.
        """
        if not _is(conditions, Mapping):
            raise DefinitionFault(
                f"{shorten(conditions)} is not a predicate; give a MatchExp, a mapping of conditions, a SQL boolean "
                "or a function of the mapped class that returns one"
            )
        if not conditions:
            raise DefinitionFault("a match without conditions would match everything; leave it out to mean that")
        atoms = tuple(_atom(key, value if _is(value, tuple) else ("=", value)) for key, value in conditions.items())
        return atoms[0] if len(atoms) == 1 else And(atoms)

    @classmethod
    def of(cls, value: MatchExp | Mapping[str, Any]) -> MatchExp:
        """Return ``value`` as a match.

        :param value: a match, or a mapping as for :meth:`from_object`.
        :raises DefinitionFault: if it is neither a match nor a mapping.
        """
        return value if isinstance(value, MatchExp) else cls.from_object(value)

    def and_(self, other: MatchExp | Mapping[str, Any]) -> MatchExp:
        """Return the predicate that both hold.

        :param other: a match, or a mapping as for :meth:`from_object`.
        """
        return And((self, MatchExp.of(other)))

    def or_(self, other: MatchExp | Mapping[str, Any]) -> MatchExp:
        """Return the predicate that at least one holds.

        :param other: a match, or a mapping as for :meth:`from_object`.
        """
        return Or((self, MatchExp.of(other)))

    def not_(self) -> MatchExp:
        """Return the negation, in SQL's three-valued logic."""
        return Not(self)

    def __and__(self, other: MatchExp) -> MatchExp:
        return self.and_(other)

    def __or__(self, other: MatchExp) -> MatchExp:
        return self.or_(other)

    def __invert__(self) -> MatchExp:
        return self.not_()

    def __bool__(self) -> bool:
        # "a and b" would silently drop a
        raise TypeError("a match has no truth value; combine with & | ~, compare with None by 'is'")

    def keys(self) -> Iterable[str]:
        """Yield all keys; keys below ``exist`` belong to the related record and are left out."""
        match self:
            case Atom(key=key):
                yield key
            case And(parts=parts) | Or(parts=parts):
                for part in parts:
                    yield from part.keys()
            case Not(part=part):
                yield from part.keys()
            case _:
                raise NotImplementedError(type(self))


@dataclass(frozen=True, slots=True)
class Reference:
    """An operand that refers to another attribute; created by :meth:`MatchExp.ref`."""

    path: str


@dataclass(frozen=True, slots=True, eq=True)
class Atom(MatchExp):
    """A comparison of one attribute."""

    key: str
    operator: str
    operand: Any


@dataclass(frozen=True, slots=True)
class And(MatchExp):
    """A conjunction."""

    parts: tuple[MatchExp, ...]


@dataclass(frozen=True, slots=True)
class Or(MatchExp):
    """A disjunction."""

    parts: tuple[MatchExp, ...]


@dataclass(frozen=True, slots=True)
class Not(MatchExp):
    """A negation."""

    part: MatchExp


def _is(value: Any, kind: type[Any]) -> bool:
    # arguments of users need not have the annotated types
    return isinstance(value, kind)


def _atom(key: Any, value: Any) -> Atom:
    """Return the comparison with operator and operand normalized."""
    if not isinstance(key, str) or not all(key.split(".")):
        raise DefinitionFault(f"{shorten(key)} is not an attribute or a dotted path")
    if not _is(value, tuple) or not value or not isinstance(value[0], str):
        raise DefinitionFault(f"{key}: write a comparison as (operator, operand), not {shorten(value)}", property=key)
    operator = value[0].lower()
    if operator not in OPERATORS:
        operator = value[0]  # possibly one of the column's type, which is not known here
        if not operator.isidentifier() or operator.startswith("_") or len(operator) > _LONGEST_NAME:
            known = ", ".join(sorted(OPERATORS))
            raise DefinitionFault(f"{key}: unknown operator {shorten(operator)}; there are {known}", property=key)
    if len(value) != 2 and not (len(value) == 1 and operator in _UNARY):
        raise DefinitionFault(f"{key}: {operator!r} takes one operand, write ({operator!r}, operand)", property=key)
    return Atom(key, operator, _checked_operand(key, operator, value[1] if len(value) == 2 else None))


def _checked_operand(key: str, operator: str, operand: Any) -> Any:
    def fault(expected: str) -> DefinitionFault:
        return DefinitionFault(f"{key}: {operator!r} takes {expected}, not {shorten(operand)}", property=key)

    if _is(operand, Reference) and operator not in COMPARISONS:
        raise fault("values, and no reference to another attribute")
    match operator:
        case "exist":
            return MatchExp.of(operand)
        case "in" | "not in":
            values = tuple(_listed(operand, lambda: fault("a list of values")))
            if Reference in map(type, values):
                raise fault("values, and no references to other attributes")
            return values
        case "between":
            bounds = tuple(_listed(operand, lambda: fault("two bounds")))
            if len(bounds) != 2 or None in bounds:
                raise fault("two bounds, both given")
            return bounds
        case "is null" | "is not null" | "not":
            if operand is not None:
                raise fault("None" if operator == "not" else "no operand")
        case _ if operand is None and operator not in _NULL_SAFE:
            raise fault("a value; for NULL use ('=', None) or ('!=', None)")
        case _:
            pass
    return operand


def _listed(operand: Any, fault: Callable[[], DefinitionFault]) -> Iterable[Any]:
    if isinstance(operand, (str, bytes, Mapping, Awaitable)) or not _is(operand, Iterable):  # futures are iterable too
        raise fault()
    values: Iterable[Any] = operand
    return values
