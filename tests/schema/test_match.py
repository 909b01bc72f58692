"""Predicates as SQL: operators and NULL."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import ARRAY, JSON, Engine, String, column, null, select
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, aliased, mapped_column

from interaqt_sa.definitions.match import MatchExp
from interaqt_sa.errors import DefinitionFault
from interaqt_sa.schema.predicates.match import apply_operator, compile_match, compile_where


class Base(DeclarativeBase):
    pass


class Row(Base):
    __tablename__ = "row"
    id: Mapped[int] = mapped_column(primary_key=True)
    n: Mapped[int | None]
    s: Mapped[str | None]
    flag: Mapped[bool] = mapped_column(default=False)
    tags: Mapped[Any] = mapped_column(JSON(none_as_null=True), nullable=True)


def resolve(path: str) -> Any:
    return getattr(Row, path)


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ({"n": None}, [2]),
        ({"n": ("=", 1)}, [1]),
        ({"n": ("!=", None)}, [1, 3]),
        ({"n": ("!=", 1)}, [3]),
        ({"n": ("not", None)}, [1, 3]),
        ({"n": ("is null",)}, [2]),
        ({"n": ("IS NOT NULL", None)}, [1, 3]),
        ({"n": (">", 1)}, [3]),
        ({"n": (">=", 1)}, [1, 3]),
        ({"n": ("<", 3)}, [1]),
        ({"n": ("<=", 3)}, [1, 3]),
        ({"n": ("between", (1, 2))}, [1]),
        ({"n": ("in", [])}, []),
        ({"n": ("in", [1, None])}, [1, 2]),
        ({"n": ("in", [None])}, [2]),
        ({"n": ("in", {1, 3})}, [1, 3]),
        ({"n": ("not in", [])}, [1, 2, 3]),
        ({"n": ("not in", [1])}, [3]),
        ({"n": ("NOT IN", [1, None])}, [3]),
        ({"n": ("not in", [None])}, [1, 3]),
        ({"s": ("like", "a%")}, [1]),
        ({"s": "it's"}, [3]),
        ({"tags": ("contains", "a")}, [1]),
        ({"tags": ("contains", 1)}, [1]),
        ({"tags": ("contains", "1")}, [2]),
        ({"tags": ("contains", True)}, [1]),
        ({"tags": ("contains", {"k": [1]})}, [1]),
        ({"tags": ("contains", {})}, []),
        ({"tags": ("contains", 1.5)}, [2]),
        ({"n": 1, "s": "abc"}, [1]),
        ({"n": 1, "s": "x"}, []),
        (~MatchExp.atom("n", (">", 1)), [1]),
        (MatchExp.atom("n", ("=", 1)) | MatchExp.atom("n", ("=", None)), [1, 2]),
        (MatchExp.atom("n", ("=", 1)).or_({"s": "it's"}).and_({"flag": False}).not_(), []),
        (~MatchExp.from_object({"n": ("=", 1), "flag": False}), [3]),
        (Row.n == 3, [3]),
        (Row.flag, []),
        (lambda row: row.n == 3, [3]),
        (lambda row: row.flag, []),
    ],
)
def test_predicates(engine: Engine, where: Any, expected: list[int]) -> None:
    Base.metadata.create_all(engine)
    with Session(engine) as session:
        session.add_all(
            [
                Row(id=1, n=1, s="abc", tags=["a", 1, True, {"k": [1]}]),
                Row(id=2, tags=["1", 1.5, None]),
                Row(id=3, n=3, s="it's"),
            ]
        )
        session.flush()
        criterion = compile_where(where, Row, resolve)
        assert list(session.scalars(select(Row.id).where(criterion).order_by(Row.id))) == expected


def test_sql_booleans_follow_the_alias() -> None:
    alias = aliased(Row, name="other")
    for where in (Row.n == 3, lambda row: row.n == 3, {"n": 3}):
        criterion = compile_where(where, alias, lambda path: getattr(alias, path))
        assert str(criterion) == "other.n = :n_1"


def test_arrays_contain() -> None:
    tags = column("tags", ARRAY(String()))
    sql = str(apply_operator(tags, "contains", "a").compile(dialect=postgresql.dialect()))
    assert sql.endswith(" = ANY (tags)")


def test_exist_is_resolved_by_the_caller() -> None:
    expression = MatchExp.atom("items", ("exist", {"n": 1}))
    seen: list[tuple[str, MatchExp]] = []

    def exist(path: str, operand: MatchExp) -> Any:
        seen.append((path, operand))
        return null().is_(None)

    assert str(compile_match(~expression, resolve, exist)) == "NULL IS NOT NULL"
    assert seen == [("items", MatchExp.from_object({"n": 1}))]
    with pytest.raises(DefinitionFault, match="items: 'exist' is not possible here"):
        compile_match(expression, resolve)


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ({"n": ("contains", 1)}, "'contains' needs a collection"),
        (lambda row: row.n is None, "gave False, which is not a SQL expression"),
        ({"s": ["a", "b"]}, r"never equals \['a', 'b'\]; write \('in', \['a', 'b'\]\)"),
        ({"n": ("!=", (1, 2))}, r"never equals \(1, 2\); write \('not in', \(1, 2\)\)"),
        (lambda row: row.n > 1 and row.s, r"raised TypeError: .*; Python's 'and'.* do not make SQL: use &, \| and ~"),
        (lambda row: 1 < row.n < 3, r"use &, \| and ~, with parentheses around each comparison"),
        (3, "3 is not a predicate"),
        ({}, "would match everything"),
    ],
)
def test_what_is_no_predicate(where: Any, message: str) -> None:
    with pytest.raises(DefinitionFault, match=message):
        compile_where(where, Row, resolve)
    with pytest.raises(DefinitionFault, match="cannot be applied"):
        apply_operator(Row.n.expression, "exist", None)
