"""A chain of rows is followed as deep as it is; only what never ends is refused."""

from __future__ import annotations

import sys
from random import Random
from typing import Any

import pytest
from sqlalchemy import ForeignKey, delete, insert, select, update
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

import interaqt_sa as iq
from tests.engine.conftest import MakeSystem
from tests.support.statements import count_statements

# chains are laid down past every session, as another program would
pytestmark = pytest.mark.filterwarnings("ignore::interaqt_sa.UnattachedWriteWarning")

#: more than Python would follow by recursion
DEPTH = sys.getrecursionlimit() + 200


class Base(DeclarativeBase):
    pass


class Comment(Base):
    __tablename__ = "comment"
    id: Mapped[int] = mapped_column(primary_key=True)
    parent_id: Mapped[int | None] = mapped_column(ForeignKey("comment.id"), index=True)
    replies: Mapped[list[Comment]] = relationship()
    below: Mapped[int] = iq.computed(iq.Summation("replies", "size"))
    size: Mapped[int] = iq.computed(lambda comment: 1 + comment.below)


@pytest.fixture
def thread(make_system: MakeSystem) -> iq.System:
    """Return a system over one long thread, which was there before it."""
    system = make_system(Base)
    with system.session_factory() as session:
        engine: Any = session.get_bind()
    rows = [
        {"id": i, "parent_id": i - 1 if i > 1 else None, "below": DEPTH - i, "size": DEPTH - i + 1}
        for i in range(1, DEPTH + 1)
    ]
    with engine.begin() as connection:
        connection.execute(insert(Comment.__table__), rows)
    return system


def size_of(system: iq.System, key: int) -> int:
    with system.session_factory() as session:
        found = session.scalars(select(Comment.size).where(Comment.id == key)).one()
        session.rollback()
    return found


def test_a_row_at_the_end_of_a_long_chain_reaches_its_top(thread: iq.System) -> None:
    with thread.session_factory.begin() as session:
        session.add(Comment(id=DEPTH + 1, parent_id=DEPTH))
    assert size_of(thread, 1) == DEPTH + 1
    assert thread.check().ok


@pytest.mark.parametrize("bulk", [False, True], ids=["unit of work", "one statement"])
def test_a_long_chain_is_built_and_taken_apart_at_once(make_system: MakeSystem, bulk: bool) -> None:
    system = make_system(Base)
    rows: list[dict[str, Any]] = [{"id": i, "parent_id": i - 1 if i > 1 else None} for i in range(1, DEPTH + 1)]
    with system.session_factory.begin() as session:
        if bulk:
            session.execute(insert(Comment), rows)
        else:
            session.add_all(Comment(**row) for row in rows)
    assert size_of(system, 1) == DEPTH
    assert system.check().ok
    with system.session_factory.begin() as session:
        session.execute(update(Comment).where(Comment.id % 2 == 0).values(parent_id=None))
    assert (size_of(system, 1), size_of(system, 2)) == (1, 2)
    assert system.check().ok


def test_many_rows_of_trees_move_at_once(make_system: MakeSystem) -> None:
    system = make_system(Base)
    random, number = Random(7), 160
    with system.session_factory.begin() as session:
        session.add_all(
            Comment(id=i, parent_id=random.choice([None, *range(1, i)]) if i > 1 else None)
            for i in range(1, number + 1)
        )
    assert system.check().ok
    for shift in (2, 3, 5):
        with system.session_factory.begin() as session:
            for comment in session.scalars(select(Comment)):
                comment.parent_id = comment.id // shift or None  # always a smaller key, so that no cycle is made
            session.add_all(Comment(id=number * shift + i, parent_id=i) for i in range(1, 60))
        assert system.check().ok
    with system.session_factory.begin() as session:
        session.execute(delete(Comment).where(Comment.id > number))
    assert system.check().ok


class Tangle(DeclarativeBase):
    pass


class Knot(Tangle):
    """A row in two trees at once, one of which is counted in Python."""

    __tablename__ = "knot"
    id: Mapped[int] = mapped_column(primary_key=True)
    first_id: Mapped[int | None] = mapped_column(ForeignKey("knot.id"), index=True)
    second_id: Mapped[int | None] = mapped_column(ForeignKey("knot.id"), index=True)
    firsts: Mapped[list[Knot]] = relationship(foreign_keys=first_id)
    seconds: Mapped[list[Knot]] = relationship(foreign_keys=second_id)
    below: Mapped[int] = iq.computed(iq.Summation("firsts", "size"))
    odd: Mapped[int] = iq.computed(
        iq.Count("seconds", callback=lambda knot: knot.size % 3 > 0, attribute_query=["size"])
    )
    size: Mapped[int] = iq.computed(lambda knot: (1 + knot.below + knot.odd) % 1000)


def test_rows_in_several_trees_change_once_for_each_level(make_system: MakeSystem) -> None:
    system = make_system(Tangle)
    with system.session_factory() as session:
        engine: Any = session.get_bind()
    sent: list[int] = []
    for start, number in ((0, 60), (1000, 120)):
        with count_statements(engine) as statements, system.session_factory.begin() as session:
            session.execute(
                insert(Knot),
                [
                    {
                        "id": start + i,
                        "first_id": start + i - 1 if i > 1 else None,
                        "second_id": start + max(i - 3, i // 2) if i > 1 else None,
                    }
                    for i in range(1, number + 1)
                ],
            )
        sent.append(len(statements))
    assert system.check().ok
    assert sent[1] < 2.5 * sent[0]  # twice the rows: twice the levels
    random = Random(3)
    for _ in range(3):
        with system.session_factory.begin() as session:
            for knot in session.scalars(select(Knot).where(Knot.id < 1000)):
                knot.first_id = random.choice([None, *range(1, knot.id)])  # always a smaller key: no cycle
                knot.second_id = random.choice([None, *range(1, knot.id)])
        assert system.check().ok
    with system.session_factory.begin() as session:
        session.execute(update(Knot).where(Knot.id > 1000).values(second_id=None))
        session.execute(delete(Knot).where(Knot.id > 1100))
    assert system.check().ok


def test_a_long_chain_is_cut_and_joined(thread: iq.System) -> None:
    middle = DEPTH // 2
    with thread.session_factory.begin() as session:
        session.get_one(Comment, middle).parent_id = None
    assert (size_of(thread, 1), size_of(thread, middle)) == (middle - 1, DEPTH - middle + 1)
    with thread.session_factory.begin() as session:
        session.execute(update(Comment).where(Comment.id == middle).values(parent_id=1))
    assert size_of(thread, 1) == DEPTH
    assert thread.check().ok


def test_a_real_cycle_is_refused(thread: iq.System) -> None:
    with (
        pytest.raises(iq.ComputationError, match="comment 1 would become its own ancestor"),
        thread.session_factory.begin() as session,
    ):
        session.get_one(Comment, 1).parent_id = DEPTH
    with (
        pytest.raises(iq.ComputationError, match="its own ancestor") as caught,
        thread.session_factory.begin() as session,
    ):
        session.execute(update(Comment).where(Comment.id.in_([1, DEPTH])).values(parent_id=DEPTH))
    assert caught.value.keys
    assert thread.check().ok


@pytest.fixture
def few_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look for cycles earlier than usual."""
    monkeypatch.setattr("interaqt_sa.engine.propagation.propagation._UNCOUNTED_STEPS", 50)
    monkeypatch.setattr("interaqt_sa.engine.propagation.propagation._MAX_CHANGES", 100)


class Loop(DeclarativeBase):
    pass


class Left(Loop):
    __tablename__ = "left"
    id: Mapped[int] = mapped_column(primary_key=True)
    right_id: Mapped[int | None] = mapped_column(ForeignKey("right.id", name="left_right", use_alter=True))
    rights: Mapped[list[Right]] = relationship(foreign_keys="Right.left_id")
    total: Mapped[int] = iq.computed(iq.Summation("rights", "total"))
    more: Mapped[int] = iq.computed(lambda left: left.total + 1)


class Right(Loop):
    __tablename__ = "right"
    id: Mapped[int] = mapped_column(primary_key=True)
    left_id: Mapped[int | None] = mapped_column(ForeignKey("left.id"))
    lefts: Mapped[list[Left]] = relationship(foreign_keys="Left.right_id")
    total: Mapped[int] = iq.computed(iq.Summation("lefts", "more"))


def test_a_cycle_of_rows_of_two_tables_is_refused_and_says_where(make_system: MakeSystem, few_steps: None) -> None:
    system = make_system(Loop)
    with system.session_factory.begin() as session:
        session.add_all([Left(id=1), Right(id=1)])
    with system.session_factory.begin() as session:
        session.get_one(Left, 1).right_id = 1
    with (
        pytest.raises(iq.SchedulerError, match="break the cycle of computations or of rows") as caught,
        system.session_factory.begin() as session,
    ):
        session.get_one(Right, 1).left_id = 1
    assert {"left", "right"} == set(caught.value.path)
    assert system.check().ok


def test_a_long_chain_through_two_tables_is_followed(make_system: MakeSystem, few_steps: None) -> None:
    system = make_system(Loop)
    length = 150
    with system.session_factory() as session:
        engine: Any = session.get_bind()
    with engine.begin() as connection:
        connection.execute(insert(Right.__table__), [{"id": i, "total": length - i + 1} for i in range(1, length + 1)])
        connection.execute(
            insert(Left.__table__),
            [{"id": i, "right_id": i, "total": length - i, "more": length - i + 1} for i in range(1, length + 1)],
        )
        for i in range(2, length + 1):
            connection.execute(update(Right.__table__).where(Right.id == i).values(left_id=i - 1))
    assert system.check().ok
    with system.session_factory.begin() as session:
        session.add(Left(id=length + 1, right_id=length))
    with system.session_factory() as session:
        assert session.get_one(Right, 1).total == length + 1
        session.rollback()
    assert system.check().ok


@pytest.mark.parametrize("bulk", [False, True], ids=["unit of work", "statements"])
def test_a_long_chain_through_two_tables_changes_each_row_once(
    make_system: MakeSystem, monkeypatch: pytest.MonkeyPatch, bulk: bool
) -> None:
    """Built, cut, joined and taken apart at once: time and memory grow with its length, not with the square of it."""
    monkeypatch.setattr("interaqt_sa.engine.propagation.propagation._UNCOUNTED_STEPS", 0)
    monkeypatch.setattr("interaqt_sa.engine.propagation.propagation._MAX_CHANGES", 3)
    system = make_system(Loop)
    length = 120
    with system.session_factory.begin() as session:
        if bulk:
            session.execute(insert(Right), [{"id": i} for i in range(1, length + 1)])
            session.execute(insert(Left), [{"id": i, "right_id": i} for i in range(1, length + 1)])
        else:
            session.add_all(Right(id=i) for i in range(1, length + 1))
            session.flush()  # nothing in the models says which of the two tables comes first
            session.add_all(Left(id=i, right_id=i) for i in range(1, length + 1))
    ends = select(Right.total).where(Right.id.in_([1, 2])).order_by(Right.id)
    with system.session_factory.begin() as session:
        if bulk:
            session.execute(update(Right).where(Right.id > 1).values(left_id=Right.id - 1))
        else:
            for right in session.scalars(select(Right).where(Right.id > 1)):
                right.left_id = right.id - 1
        assert session.scalars(ends).all() == [length, length - 1]
    assert system.check().ok
    with system.session_factory.begin() as session:
        session.execute(update(Right).where(Right.id % 2 == 0).values(left_id=None))
        assert session.scalars(ends).all() == [1, 2]
    assert system.check().ok
    with system.session_factory.begin() as session:
        session.execute(update(Right).where(Right.id % 2 == 0).values(left_id=Right.id - 1))
        assert session.scalars(ends).all() == [length, length - 1]
        session.execute(delete(Left).where(Left.id == length))
        assert session.scalars(ends).all() == [length - 1, length - 2]
    assert system.check().ok


def test_chains_that_meet_in_rows_of_three_tables(make_system: MakeSystem, monkeypatch: pytest.MonkeyPatch) -> None:
    """A row of each has a host in the next and one in its own table; the longest way decides when it is complete."""
    monkeypatch.setattr("interaqt_sa.engine.propagation.propagation._UNCOUNTED_STEPS", 0)
    monkeypatch.setattr("interaqt_sa.engine.propagation.propagation._MAX_CHANGES", 6)

    class Ring(DeclarativeBase):
        pass

    def part(name: str, following: str) -> Any:
        return type(
            name,
            (Ring,),
            {
                "__tablename__": name.lower(),
                "__annotations__": {
                    "id": Mapped[int],
                    "own_id": Mapped[int | None],
                    "next_id": Mapped[int | None],
                    "own": Mapped[int],
                    "far": Mapped[int],
                    "size": Mapped[int],
                },
                "id": mapped_column(primary_key=True),
                "own_id": mapped_column(ForeignKey(f"{name.lower()}.id")),
                "next_id": mapped_column(
                    ForeignKey(f"{following.lower()}.id", name=f"{name.lower()}_next", use_alter=name == "C")
                ),
                "own_ones": relationship(name, foreign_keys=f"{name}.own_id"),
                "far_ones": relationship(before(name), foreign_keys=f"{before(name)}.next_id"),
                "own": iq.computed(iq.Summation("own_ones", "size")),
                "far": iq.computed(iq.Summation("far_ones", "size")),
                "size": iq.computed(lambda row: (1 + row.own + row.far) % 1000),
            },
        )

    def before(name: str) -> str:
        return {"A": "C", "B": "A", "C": "B"}[name]

    classes = [part("A", "B"), part("B", "C"), part("C", "A")]
    system = make_system(Ring)
    random, number = Random(11), 80
    with system.session_factory.begin() as session:
        for cls in classes:
            session.execute(insert(cls), [{"id": i} for i in range(1, number + 1)])
    for _ in range(2):
        with system.session_factory.begin() as session:
            for cls in classes:
                # always to a smaller key: no cycle
                rows = [
                    {
                        "id": i,
                        "own_id": random.choice([None, *range(max(1, i - 3), i)]) if i > 1 else None,
                        "next_id": random.choice([None, *range(max(1, i - 3), i)]) if i > 1 else None,
                    }
                    for i in range(1, number + 1)
                ]
                session.execute(update(cls), rows)
        assert system.check().ok


STANDS, FALLEN = iq.StateNode("stands"), iq.StateNode("fallen")


def machine_of(*steps: tuple[iq.StateNode, iq.StateNode], target: str) -> Any:
    """Return a machine that lets the row under `target` take each step when this one has changed."""
    trigger = iq.Trigger("Domino", "update", keys=["state"])
    transfers = [
        iq.StateTransfer(
            current=current,
            next=following,
            trigger=trigger,
            compute_target=lambda _, event: None if event.record[target] is None else {"id": event.record[target]},
        )
        for current, following in steps
    ]
    return iq.StateMachine(states=[STANDS, FALLEN], transfers=transfers, initial_state=STANDS)


@pytest.mark.parametrize("endless", [False, True], ids=["a row of dominoes", "two that push each other"])
def test_events_may_follow_from_each_other_as_long_as_they_end(
    make_system: MakeSystem, monkeypatch: pytest.MonkeyPatch, endless: bool
) -> None:
    class Row(DeclarativeBase):
        pass

    steps = [(STANDS, FALLEN), (FALLEN, STANDS)] if endless else [(STANDS, FALLEN)]

    class Push(Row):
        __tablename__ = "push"
        id: Mapped[int] = mapped_column(primary_key=True)

    push = iq.StateTransfer(
        current=STANDS, next=FALLEN, trigger=iq.Trigger("Push"), compute_target=lambda *_: {"id": 1}
    )
    machine = machine_of(*steps, target="next_id")
    machine = iq.StateMachine(states=machine.states, transfers=[push, *machine.transfers], initial_state=STANDS)

    class Domino(Row):
        __tablename__ = "domino"
        id: Mapped[int] = mapped_column(primary_key=True)
        next_id: Mapped[int | None]
        state: Mapped[str] = iq.computed(machine)

    monkeypatch.setattr("interaqt_sa.engine.computations.event_delivery._MAX_EVENTS", 40)
    system = make_system(Row)
    length = 120
    last = 1 if endless else None
    with system.session_factory.begin() as session:
        session.add_all(
            Domino(id=i, next_id=i + 1 if i < (2 if endless else length) else last) for i in range(1, length + 1)
        )
    if endless:
        with (
            pytest.raises(iq.SchedulerError, match="events keep triggering each other"),
            system.session_factory.begin() as session,
        ):
            session.add(Push())
        return
    with system.session_factory.begin() as session:
        session.add(Push())
    with system.session_factory() as session:
        assert set(session.scalars(select(Domino.state))) == {"fallen"}
        session.rollback()


def test_rows_that_give_rise_to_rows_without_end_are_refused(
    make_system: MakeSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Rabbits(DeclarativeBase):
        pass

    class Doe(Rabbits):
        __tablename__ = "doe"
        id: Mapped[int] = mapped_column(primary_key=True)
        __computation__ = iq.Transform("Buck", lambda _: {})

    class Buck(Rabbits):
        __tablename__ = "buck"
        id: Mapped[int] = mapped_column(primary_key=True)
        __computation__ = iq.Transform("Doe", lambda _: {})

    monkeypatch.setattr("interaqt_sa.engine.computations.event_delivery._MAX_GENERATIONS", 90)
    system = make_system(Rabbits)
    with pytest.raises(iq.SchedulerError, match="cycle of transforms"), system.session_factory.begin() as session:
        session.add(Doe())
