"""What is wrong with an application's own kind of computation is said when it is registered, declared or planned."""

# ruff: noqa: ARG005

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import Column, Double, Engine, ForeignKey, case, func, literal
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship, sessionmaker

import interaqt_sa as iq
from interaqt_sa.extending import (
    Accumulator,
    FieldAggregate,
    Selection,
    accumulates,
    as_number,
    counter,
    exact_sum,
    greater,
    lesser,
)


def models(computation: iq.Computation[Any], nullable: bool = False) -> type[DeclarativeBase]:
    class Base(DeclarativeBase):
        pass

    class Member(Base):
        __tablename__ = "member"
        id: Mapped[int] = mapped_column(primary_key=True)
        team_id: Mapped[int] = mapped_column(ForeignKey("team.id"))
        level: Mapped[float]

    class Team(Base):
        __tablename__ = "team"
        id: Mapped[int] = mapped_column(primary_key=True)
        members: Mapped[list[Any]] = relationship(Member)
        value: Mapped[Any] = iq.computed(computation, Double, nullable=nullable)

    Base.Member, Base.Team = Member, Team  # type: ignore[attr-defined]
    return Base


def compile_models(engine: Engine, computation: iq.Computation[Any], nullable: bool = False) -> None:
    sessions = sessionmaker(engine)
    iq.System(sessions, base=models(computation, nullable)).check()


class Level(FieldAggregate[float]):
    """What the kinds below have in common."""

    _fields = ("source", "field", "where")

    def __init__(self, source: str, field: str, *, where: Any = None) -> None:
        self.set_source(source, where)
        self.set_field(field)

    def initial_value(self, column: Column[Any] | None = None) -> Any:
        return 0


def declare(make: Any, base: type[Accumulator] = Accumulator, hidden: tuple[str, ...] = (), **parts: Any) -> Level:
    """Make a kind whose ``sql()`` returns what ``make`` does, and one computation of it."""

    def hidden_columns(self: Any, column: Any) -> dict[str, Any]:
        return {role: counter() for role in hidden}

    kind: Any = type("Kind", (Level,), {"hidden_columns": hidden_columns})
    accumulates(kind)(type("Kept", (base,), {"sql": lambda self, resolve, test: make(resolve), **parts}))
    found: Level = kind("members", "level")
    return found


def number(resolve: Callable[[str], Any]) -> Any:
    return as_number(resolve("level"))


WRONG: list[tuple[Callable[[], Level], str]] = [
    (lambda: declare(number), r"Kept\.sql\(\) returned .*: return a list of SQL expressions"),
    (lambda: declare(lambda r: None), r"Kept\.sql\(\) returned None: return a list"),
    (lambda: declare(lambda r: "level"), r"Kept\.sql\(\) returned 'level': return a list"),
    (lambda: declare(lambda r: []), r"Kept\.sql\(\) returned a list of 0 instead of 1"),
    (lambda: declare(lambda r: [number(r)] * 2), r"Kept\.sql\(\) returned a list of 2 instead of 1"),
    (lambda: declare(lambda r: ["level"]), r"Kept\.sql\(\) returned 'level', which is not a SQL expression"),
    (lambda: declare(lambda r: r.nothing), r"Kept\.sql\(\) raised AttributeError"),
    (
        lambda: declare(lambda r: [literal(1)], hidden=("a", "b"), result=lambda self, running: running[0]),
        r"Kept\.sql\(\) returned a list of 1 instead of 2: return one expression for each of hidden_columns\(\)",
    ),
    (
        lambda: declare(lambda r: [number(r), literal(1)], hidden=("a", "b")),
        r"Kept has 2 hidden columns: define result\(\)",
    ),
    (
        lambda: declare(lambda r: [number(r)], result=lambda self, running: None),
        r"Kept\.result\(\) returned None, which is not a SQL expression",
    ),
    (
        lambda: declare(lambda r: [number(r)], result=lambda self, running: running[1]),
        r"Kept\.result\(\) raised IndexError",
    ),
    (
        lambda: declare(lambda r: [number(r)], Selection, total=lambda self, shown: func.max(shown[0])),
        r"Kept\.total\(\) returned .*: return a list",
    ),
    (
        lambda: declare(
            lambda r: [number(r)],
            Selection,
            total=lambda self, shown: [func.max(shown[0])],
            joined=lambda self, running, more: [],
        ),
        r"Kept\.joined\(\) returned a list of 0",
    ),
]


@pytest.mark.parametrize(("declared", "message"), WRONG, ids=range(len(WRONG)))
def test_parts_that_answer_something_else(engine: Engine, declared: Callable[[], Level], message: str) -> None:
    with pytest.raises(iq.DefinitionError, match=rf"Team\.value: {message}"):
        compile_models(engine, declared())


def test_a_kind_whose_registration_was_not_imported(engine: Engine) -> None:
    class Elsewhere(Level):
        pass

    message = r"Team\.value: Elsewhere is not known: register it with accumulates\(\), and import the module that does"
    with pytest.raises(iq.DefinitionError, match=message):
        compile_models(engine, Elsewhere("members", "level"))


def test_a_value_that_is_null_at_first(engine: Engine) -> None:
    class Started(Level):
        initial_value = iq.Computation.initial_value

    accumulates(Started)(type("Kept", (Accumulator,), {"sql": lambda self, resolve, test: [number(resolve)]}))
    with pytest.raises(iq.DefinitionError, match=r"Started starts at NULL, .*NOT NULL; .*float \| None"):
        compile_models(engine, Started("members", "level"))


def test_constructors_that_leave_something_out() -> None:
    class NoSource(Level):
        def __init__(self, source: str, field: str, *, where: Any = None) -> None:
            self.source, self.field, self.where = source, field, where

    class NoField(Level):
        def __init__(self, source: str, *, where: Any = None) -> None:
            self.set_source(source, where)

    class NoAttribute(Level):
        _fields = ("source", "field", "where", "power")

        def __init__(self, source: str, field: str, power: int, *, where: Any = None) -> None:
            super().__init__(source, field, where=where)

    for made, message in (
        (NoSource("members", "level"), r"NoSource: the constructor did not call self\.set_source"),
        (NoField("members"), r"NoField: _fields names 'field', which the constructor has not set"),
        (NoAttribute("members", "level", 2), r"NoAttribute: _fields names 'power'"),
    ):
        with pytest.raises(iq.ComputationProtocolError, match=message):
            models(made)
        with pytest.raises(iq.ComputationProtocolError, match=message):
            Column("value", made)


def test_registrations_that_cannot_work() -> None:
    class Unnamed(Level):
        def __init__(self, source: str, field: str, power: int, *, where: Any = None) -> None:
            super().__init__(source, field, where=where)
            self.power = power

    class Whole(Accumulator):
        def sql(self, resolve: Any, test: Any) -> Any:
            return [literal(1)]

    class Partial(Selection):
        pass

    with pytest.raises(iq.ComputationProtocolError, match=r"Unnamed\._fields lacks 'power'"):
        accumulates(Unnamed)(Whole)
    with pytest.raises(iq.ComputationProtocolError, match=r"Partial lacks sql\(\), total\(\)"):
        accumulates(Level)(Partial)
    wrong: Any = object
    with pytest.raises(TypeError, match="takes classes of computations"):
        accumulates(wrong)(Whole)
    with pytest.raises(TypeError, match="a subclass of Accumulator or Selection"):
        accumulates(Level)(wrong)
    with pytest.raises(TypeError, match="takes classes of computations"):
        accumulates(Whole)  # type: ignore[arg-type]


class Product(Level):
    """The product of the values; 1 when there are none."""

    def hidden_columns(self, column: Column[Any]) -> dict[str, Column[Any]]:
        return {"twos": exact_sum(), "zeros": counter()}

    def initial_value(self, column: Column[Any] | None = None) -> Any:
        return 1


@accumulates(Product)
class KeptProduct(Accumulator):
    """Of powers of two."""

    def sql(self, resolve: Any, test: Any) -> Any:
        value = as_number(resolve(self.computation.field))
        twos = case((value == 2, 1), (value == 4, 2), else_=0)
        return [twos, case((value == 0, 1), else_=0)]

    def result(self, running: Any) -> Any:
        twos, zeros = running
        return case((zeros > 0, 0), (twos == 0, 1), (twos == 1, 2), (twos == 2, 4), else_=8)


class Spread(Level):
    """The greatest minus the least value; NULL when there are none."""

    initial_value = iq.Computation.initial_value

    def hidden_columns(self, column: Column[Any]) -> dict[str, Column[Any]]:
        return {"least": Column(column.type), "greatest": Column(column.type)}


@accumulates(Spread)
class KeptSpread(Selection):
    def sql(self, resolve: Any, test: Any) -> Any:
        return [resolve(self.computation.field)] * 2

    def total(self, shown: Any) -> Any:
        return [func.min(shown[0]), func.max(shown[1])]

    def joined(self, running: Any, more: Any) -> Any:
        return [lesser(running[0], more[0]), greater(running[1], more[1])]

    def result(self, running: Any) -> Any:
        return running[1] - running[0]


@pytest.mark.parametrize(
    ("computation", "nullable", "expected"),
    [
        (Product("members", "level"), False, [1.0, 8.0, 4.0, 0.0]),
        (Spread("members", "level", where={"level": (">", 0)}), True, [None, 2.0, 0.0, 0.0]),
        (iq.Average("members", "level"), False, [0.0, 3.0, 4.0, 2.0]),
        (iq.Summation("members", "level"), False, [0.0, 6.0, 4.0, 4.0]),
    ],
    ids=["product", "spread", "average", "sum"],
)
def test_kinds_that_are_whole(engine: Engine, computation: Any, nullable: bool, expected: list[Any]) -> None:
    """The value in memory is the one that is read again, by its type too: of a row without members as well."""
    base: Any = models(computation, nullable)
    sessions = sessionmaker(engine)
    system = iq.System(sessions, base=base)
    base.metadata.create_all(engine)
    seen: list[Any] = []
    with sessions.begin() as session:
        team = base.Team()
        session.add(team)

        def note() -> None:
            session.flush()
            fresh = team.value
            session.refresh(team)
            assert repr(fresh) == repr(team.value)
            seen.append(fresh)

        note()
        team.members = [base.Member(level=2.0), base.Member(level=4.0)]
        note()
        session.delete(team.members[0])
        note()
        session.add(base.Member(team_id=team.id, level=0.0))
        note()
    assert seen == expected
    assert system.check().ok
