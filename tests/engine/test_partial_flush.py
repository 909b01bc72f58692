"""``session.flush([…])`` writes the chosen objects and their new members, and values follow just what was written."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from sqlalchemy import Engine, ForeignKey, MetaData
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship

import interaqt_sa as iq
from interaqt_sa.session.state import SessionState
from tests.declarative.kept import Kept

pytestmark = pytest.mark.filterwarnings("ignore:The `objects` parameter of `Session.flush")


class Base(DeclarativeBase):
    metadata = MetaData()


class Root(Base):
    __tablename__ = "root"
    id: Mapped[int] = mapped_column(primary_key=True)
    branches: Mapped[list[Branch]] = relationship(back_populates="root")
    leaf_count: Mapped[int] = iq.computed(iq.Summation("branches", "leaf_count"))


class Branch(Base):
    __tablename__ = "branch"
    id: Mapped[int] = mapped_column(primary_key=True)
    root_id: Mapped[int | None] = mapped_column(ForeignKey("root.id"))
    length: Mapped[int] = mapped_column(default=1)
    doubled: Mapped[int] = iq.computed(lambda branch: branch.length * 2)
    root: Mapped[Root | None] = relationship(back_populates="branches")
    leaves: Mapped[list[Leaf]] = relationship(back_populates="branch", cascade="all, delete-orphan")
    leaf_count: Mapped[int] = iq.computed(iq.Count("leaves"))


class Leaf(Base):
    __tablename__ = "leaf"
    id: Mapped[int] = mapped_column(primary_key=True)
    branch_id: Mapped[int | None] = mapped_column(ForeignKey("branch.id"))
    branch: Mapped[Branch | None] = relationship(back_populates="leaves")


def new_tree(session: Session) -> list[object]:
    root = Root(id=5, branches=[Branch(id=5, leaves=[Leaf(id=5), Leaf(id=6)])])
    session.add_all([root, Branch(id=6, root_id=1, leaves=[Leaf(id=7)])])
    return [root]


def new_members(session: Session) -> list[object]:
    first, second = session.get_one(Branch, 1), session.get_one(Branch, 2)
    first.leaves.append(Leaf(id=5))
    second.leaves.append(Leaf(id=6))
    return [first]


def one_of_the_members(session: Session) -> list[object]:
    leaf = Leaf(id=5, branch_id=1)
    session.add_all([leaf, Leaf(id=6, branch_id=2)])
    return [leaf]


def removed_members(session: Session) -> list[object]:
    first, second = session.get_one(Branch, 1), session.get_one(Branch, 2)
    first.leaves.clear()
    second.leaves.clear()
    second.length = 7
    return [first]


def branches_that_move(session: Session) -> list[object]:
    root = session.get_one(Root, 2)
    root.branches = [session.get_one(Branch, 1), Branch(id=7, length=4, leaves=[Leaf(id=7)])]
    return [root]


def deleted(session: Session) -> list[object]:
    first = session.get_one(Branch, 1)
    session.delete(first)
    session.delete(session.get_one(Leaf, 4))
    return [first, *first.leaves]


WORK = [new_tree, new_members, one_of_the_members, removed_members, branches_that_move, deleted]


@pytest.mark.parametrize("is_whole", [False, True], ids=["and no more", "and then the rest"])
@pytest.mark.parametrize("collects", [False, True], ids=["", "events"])
@pytest.mark.parametrize("work", WORK, ids=lambda work: work.__name__)
def test_chosen_objects(
    engine: Engine, work: Callable[[Session], list[object]], is_whole: bool, collects: bool
) -> None:
    kept = Kept(engine, Base)
    with kept.begin() as session:
        session.add_all([Root(id=1), Root(id=2)])
        session.add_all([Branch(id=n, root_id=1, leaves=[Leaf(id=n), Leaf(id=n + 2)]) for n in (1, 2)])
    with kept.sessions() as session:
        SessionState.of(session).collect_events = collects
        with session.no_autoflush:
            chosen = work(session)
            session.flush(chosen)
            if not is_whole:
                session.expunge_all()
        session.commit()
    kept.verify()
