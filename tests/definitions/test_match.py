"""Predicates as values."""

from __future__ import annotations

from typing import Any

import pytest

from interaqt_sa.definitions.match import And, Atom, MatchExp, Not, Or
from interaqt_sa.errors import DefinitionFault


def atom(key: str, *value: Any) -> MatchExp:
    return MatchExp.atom(key, value)  # type: ignore[arg-type]


def test_expressions_are_values() -> None:
    one, two = atom("a", "=", 1), atom("b.c", "IN", [1, 2])
    assert two == Atom("b.c", "in", (1, 2))
    assert (one & two, one | two, ~one) == (And((one, two)), Or((one, two)), Not(one))
    assert one.and_(two).or_({"d": None}).not_() == Not(Or((And((one, two)), Atom("d", "=", None))))
    assert hash(one) == hash(atom("a", "=", 1))
    with pytest.raises(AttributeError):
        one.key = "b"  # type: ignore[attr-defined]


def test_objects_are_conjunctions() -> None:
    assert MatchExp.from_object({"a": 1}) == Atom("a", "=", 1)
    assert MatchExp.from_object({"a": None, "b": (">", 2), "c": [1]}) == And(
        (Atom("a", "=", None), Atom("b", ">", 2), Atom("c", "=", [1]))
    )
    assert MatchExp.of(atom("a", "=", 1)) == MatchExp.of({"a": 1})


def test_existence_holds_an_expression() -> None:
    expression = atom("items", "exist", {"sku": "a", "parts": ("exist", {"n": 1})})
    inner = And((Atom("sku", "=", "a"), Atom("parts", "exist", Atom("n", "=", 1))))
    assert expression == Atom("items", "exist", inner)
    assert list((expression & ~atom("a.b", "is null") | atom("c", "=", 1)).keys()) == ["items", "a.b", "c"]


def test_lists_are_copied() -> None:
    values = [1, 2]
    expression = atom("a", "in", values)
    values.clear()
    assert expression == Atom("a", "in", (1, 2))


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("a", ("=>", 1), r"a: unknown operator '=>'; there are !=, <"),
        ("a", ("",), "unknown operator ''"),
        ("", ("=", 1), "'' is not an attribute or a dotted path"),
        ("a..b", ("=", 1), "not an attribute or a dotted path"),
        (3, ("=", 1), "not an attribute or a dotted path"),
        ("a", ("=",), "'=' takes one operand"),
        ("a", ("=", 1, 2), "'=' takes one operand"),
        ("a", (), r"write a comparison as \(operator, operand\)"),
        ("a", (1, 2), r"write a comparison as \(operator, operand\)"),
        ("a", "= 1", r"write a comparison as \(operator, operand\)"),
        ("a", (">", None), r"'>' takes a value; for NULL use \('=', None\)"),
        ("a", ("like", None), "'like' takes a value"),
        ("a", ("contains", None), "'contains' takes a value"),
        ("a", ("in", 3), "'in' takes a list of values, not 3"),
        ("a", ("in", "abc"), "'in' takes a list of values, not 'abc'"),
        ("a", ("not in", {"a": 1}), "'not in' takes a list of values"),
        ("a", ("between", [1]), "'between' takes two bounds"),
        ("a", ("between", [1, None]), "'between' takes two bounds, both given"),
        ("a", ("not", 3), "'not' takes None, not 3"),
        ("a", ("is null", 3), "'is null' takes no operand, not 3"),
        ("a", ("exist", 3), "3 is not a predicate"),
        ("a", ("exist", {}), "would match everything"),
    ],
)
def test_comparisons_that_cannot_be(key: Any, value: Any, message: str) -> None:
    with pytest.raises(DefinitionFault, match=message):
        MatchExp.atom(key, value)


def test_python_operators_that_would_lose_a_part_are_refused() -> None:
    with pytest.raises(TypeError, match=r"combine with & \| ~"):
        bool(atom("a", "=", 1))
    with pytest.raises(DefinitionFault, match="would match everything"):
        MatchExp.from_object({})
