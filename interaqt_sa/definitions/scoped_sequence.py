"""Numbers that are counted up within a scope, such as the invoices of each customer."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Generic, overload

from sqlalchemy import Boolean, Column, Float, Integer, Numeric

from ..dialects.undecorated_types import stored_type
from ..errors import ComputationProtocolError, DefinitionFault
from .computation import Computation, T
from .match import And, Atom, MatchExp, Not, Or, Reference
from .validation import check_name
from .value_column_checks import converts

#: The operators of ``match=``; they compare values of a row that is not stored yet.
MATCH_OPERATORS = frozenset({"=", "!=", "in", "not in", "is null", "is not null", "not"})
#: counters are 64-bit integers; this leaves room for the numbers counted from here
_LIMIT = 2**62


class ScopedSequence(Computation[T], Generic[T]):
    """A number that each new row gets from the counter of its scope: 1, 2, 3, … for every customer, year or tenant.

    The counters are rows of a table of the package, written in the same transaction: a rollback returns the numbers, so
    no gap is left, and a counter stays locked until its transaction ends. A deleted row's number is not given again.
    A row's number never changes, so its scope must not change either. Whether numbers are unique is declared with a
    unique constraint over the scope and the number.

    :param name: name of the counters; each sequence has its own.
    :param scope: the attributes of the row, or x:1 relationships held by a foreign key of the row, whose values
        identify a counter: one name or several; empty for a single counter.
    :param match: which new rows get a number: a mapping of attributes or a :class:`.MatchExp`, with the operators
        ``=``, ``!=``, ``in``, ``not in``, ``is null`` and ``is not null`` over stored attributes of the row. Other rows
        have NULL, also if they match later.
    :param initial_value: the number before the first one.
    :param step: the difference between two numbers, from 1 on.
    :param allow_manual_value: whether a new row may be given a number; the counter ignores it.
    :param initialize_from: an attribute with earlier numbers, such as those of a column that this one replaces; a
        back-fill starts the counters after the greatest of them. The column itself always counts.
    :raises ComputationProtocolError: if an argument is invalid.

    ::

        number: Mapped[int] = computed(ScopedSequence("invoice", "customer"))
        number: Mapped[int | None] = computed(ScopedSequence("invoice", ["tenant_id", "year"], match={"draft": False}))
    """

    _fields = ("name", "scope", "match", "initial_value", "step", "allow_manual_value", "initialize_from")
    way_to_change = "each new row gets the next number of its scope"
    numbers_rows = True

    @overload
    def __init__(
        self: ScopedSequence[int],
        name: str,
        scope: str | Iterable[str],
        *,
        match: None = None,
        initial_value: int = 0,
        step: int = 1,
        allow_manual_value: bool = False,
        initialize_from: str | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self: ScopedSequence[int | None],
        name: str,
        scope: str | Iterable[str],
        *,
        match: MatchExp | Mapping[str, Any],
        initial_value: int = 0,
        step: int = 1,
        allow_manual_value: bool = False,
        initialize_from: str | None = None,
    ) -> None: ...
    def __init__(
        self,
        name: str,
        scope: str | Iterable[str],
        *,
        match: MatchExp | Mapping[str, Any] | None = None,
        initial_value: int = 0,
        step: int = 1,
        allow_manual_value: bool = False,
        initialize_from: str | None = None,
    ) -> None:
        self.name = check_name("ScopedSequence", name)
        where = f"ScopedSequence({name!r})"
        names: tuple[Any, ...] = (scope,) if isinstance(scope, str) else tuple(scope)
        if not all(isinstance(one, str) and one for one in names) or len({*names}) < len(names):
            raise ComputationProtocolError(f"{where}: scope= is a list of different attributes, not {scope!r}")
        self.scope: tuple[str, ...] = names
        self.match = None if match is None else _checked_match(match, where)
        self.start = _checked_number(initial_value, -_LIMIT, f"{where}: initial_value=")
        self.step = _checked_number(step, 1, f"{where}: step=")
        self.allow_manual_value = allow_manual_value
        if initialize_from is not None and not isinstance(initialize_from, str):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ComputationProtocolError(f"{where}: initialize_from= is an attribute, not {initialize_from!r}")
        self.initialize_from = initialize_from

    def _values(self) -> tuple[Any, ...]:
        start = {"initial_value": self.start}  # initial_value() is a method of every computation
        return tuple(start.get(name, getattr(self, name)) for name in self._fields)

    @property
    def is_never_null(self) -> bool:
        return self.match is None

    def initial_value(self, column: Column[Any] | None = None) -> Any:
        # of a row that has no number yet, in a column that cannot be NULL
        return None if column is None or column.nullable else self.start

    def server_default(self, column: Column[Any]) -> Any:
        return self.initial_value(column)

    def takes(self, value: Any) -> bool:
        is_whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
        return self.allow_manual_value and is_whole and not isinstance(value, bool)

    def is_unnumbered(self, value: Any, column: Column[Any]) -> bool:
        """Whether ``value`` stands for a number that is still to be given."""
        return value is None or (not column.nullable and not isinstance(value, str) and bool(value == self.start))

    def check_column(self, column: Column[Any]) -> None:
        stored = stored_type(column.type)
        if not isinstance(stored, (Integer, Numeric, Float)) or isinstance(stored, Boolean) or converts(column.type):
            raise DefinitionFault(f"a ScopedSequence stores whole numbers, not {column.type!r}; give an integer type")
        if self.match is not None and not column.nullable:
            raise DefinitionFault(
                "rows that do not match have no number: the column must be nullable, such as Mapped[int | None]"
            )

    def meaning(self) -> dict[str, Any]:
        # the others determine only the numbers of new rows
        return {"name": self.name, "scope": self.scope, "initialize_from": self.initialize_from}


def matches(match: MatchExp, values: Mapping[str, Any]) -> bool | None:
    """Return whether a row matches, in SQL's three-valued logic.

    :param match: as checked by :class:`ScopedSequence`.
    :param values: the attributes of the row that it names.
    """
    match match:
        case Atom(key=key, operator=operator, operand=operand):
            return _compares(values[key], operator, operand)
        case And(parts=parts):
            return _all(matches(part, values) for part in parts)
        case Or(parts=parts):
            return _negated(_all(_negated(matches(part, values)) for part in parts))
        case Not(part=part):
            return _negated(matches(part, values))
        case _:
            raise NotImplementedError(type(match))


def _compares(value: Any, operator: str, operand: Any) -> bool | None:
    match operator:
        case "is null":
            return value is None
        case "is not null" | "not":
            return value is not None
        case "=" | "!=" if operand is None:
            return (value is None) == (operator == "=")
        case "=" | "!=":
            return None if value is None else bool(value == operand) == (operator == "=")
        case _:
            return _negated(_is_in(value, operand)) if operator == "not in" else _is_in(value, operand)


def _is_in(value: Any, operands: Iterable[Any]) -> bool | None:
    listed = list(operands)
    if value is None:  # NULL is a member of a list that contains None
        return True if None in listed else None
    return value in listed


def _all(answers: Iterator[bool | None]) -> bool | None:
    found = set(answers)
    return False if False in found else None if None in found else True


def _negated(answer: bool | None) -> bool | None:
    return None if answer is None else not answer


def _checked_match(match: MatchExp | Mapping[str, Any], where: str) -> MatchExp:
    if not isinstance(match, (MatchExp, Mapping)):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise ComputationProtocolError(
            f"{where}: match= is a mapping of attributes or a MatchExp, not {match!r}: a row is numbered before it is "
            "stored, so SQL cannot decide"
        )
    found = MatchExp.of(match)
    for atom in _atoms(found):
        if atom.operator not in MATCH_OPERATORS or isinstance(atom.operand, Reference):
            known = ", ".join(sorted(MATCH_OPERATORS))
            raise ComputationProtocolError(
                f"{where}: match= compares {atom.key!r} by {atom.operator!r}; it takes {known}, with values"
            )
    return found


def _atoms(match: MatchExp) -> Iterator[Atom]:
    match match:
        case Atom():
            yield match
        case And(parts=parts) | Or(parts=parts):
            for part in parts:
                yield from _atoms(part)
        case Not(part=part):
            yield from _atoms(part)
        case _:
            pass


def _checked_number(value: Any, least: int, what: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= _LIMIT:
        raise ComputationProtocolError(f"{what} is a whole number from {least} on, not {value!r}")
    return value
