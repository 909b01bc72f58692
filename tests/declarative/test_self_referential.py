"""Hosts and members of one class: trees, and links between rows of one table."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import Column, ForeignKey, Table, delete, insert, update
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

from interaqt_sa import ComputationError, Count, Summation, computed
from tests.declarative.kept import Keep, Kept


class Base(DeclarativeBase):
    pass


class Node(Base):
    __tablename__ = "node"

    name: Mapped[str] = mapped_column(primary_key=True)
    weight: Mapped[int] = mapped_column(default=1)
    parent_name: Mapped[str | None] = mapped_column(ForeignKey("node.name"))
    parent: Mapped[Node | None] = relationship(back_populates="children", remote_side=[name])
    children: Mapped[list[Node]] = relationship(back_populates="parent")
    child_count: Mapped[int] = computed(Count("children"))
    heavy_children: Mapped[int] = computed(Count("children", where={"weight": (">", 5)}))
    grandchild_count: Mapped[int] = computed(Summation("children", "child_count"))
    parents_weight: Mapped[int] = computed(Summation("parent", "weight"))


follows = Table(
    "follows",
    Base.metadata,
    Column("follower_id", ForeignKey("member.id"), primary_key=True),
    Column("followed_id", ForeignKey("member.id"), primary_key=True),
)


class Member(Base):
    __tablename__ = "member"

    id: Mapped[int] = mapped_column(primary_key=True)
    active: Mapped[bool] = mapped_column(default=True)
    following: Mapped[list[Member]] = relationship(
        secondary=follows,
        primaryjoin=lambda: Member.id == follows.c.follower_id,
        secondaryjoin=lambda: Member.id == follows.c.followed_id,
        back_populates="followers",
    )
    followers: Mapped[list[Member]] = relationship(
        secondary=follows,
        primaryjoin=lambda: Member.id == follows.c.followed_id,
        secondaryjoin=lambda: Member.id == follows.c.follower_id,
        back_populates="following",
    )
    following_count: Mapped[int] = computed(Count("following"))
    active_followers: Mapped[int] = computed(Count("followers", where={"active": True}))


NODES: tuple[Any, ...] = (
    Node.name,
    Node.child_count,
    Node.heavy_children,
    Node.grandchild_count,
    Node.parents_weight,
)
MEMBERS: tuple[Any, ...] = (Member.id, Member.following_count, Member.active_followers)


@pytest.fixture
def tree(keep: Keep) -> Kept:
    """Keep a tree: a over b and c, b over d."""
    kept = keep(Base)
    with kept.begin() as session:
        root = Node(name="a", weight=2, children=[Node(name="b", children=[Node(name="d", weight=9)]), Node(name="c")])
        session.add(root)
    return kept


@pytest.fixture
def network(keep: Keep) -> Kept:
    kept = keep(Base)
    with kept.begin() as session:
        one, two, three = Member(id=1), Member(id=2), Member(id=3, active=False)
        one.following, two.following, three.following = [two, three], [one], [one]
        session.add(one)
    return kept


def test_a_new_tree(tree: Kept) -> None:
    assert tree.stored(*NODES) == [("a", 2, 0, 1, 0), ("b", 1, 1, 0, 2), ("c", 0, 0, 0, 2), ("d", 0, 0, 0, 1)]


def test_a_branch_moves(tree: Kept) -> None:
    with tree.begin() as session:
        session.get_one(Node, "d").parent = session.get_one(Node, "c")
    assert tree.stored(*NODES) == [("a", 2, 0, 1, 0), ("b", 0, 0, 0, 2), ("c", 1, 1, 0, 2), ("d", 0, 0, 0, 1)]
    with tree.begin() as session:
        root = session.get_one(Node, "a")
        root.children.remove(session.get_one(Node, "c"))
    assert tree.stored(*NODES) == [("a", 1, 0, 0, 0), ("b", 0, 0, 0, 2), ("c", 1, 1, 0, 0), ("d", 0, 0, 0, 1)]


def test_a_changed_node_reaches_its_parent_and_its_children(tree: Kept) -> None:
    with tree.begin() as session:
        session.get_one(Node, "b").weight = 6
    assert tree.stored(*NODES) == [("a", 2, 1, 1, 0), ("b", 1, 1, 0, 2), ("c", 0, 0, 0, 2), ("d", 0, 0, 0, 6)]


def test_a_deleted_node_sets_its_children_free(tree: Kept) -> None:
    with tree.begin() as session:
        session.delete(session.get_one(Node, "b"))
    assert tree.stored(*NODES) == [("a", 1, 0, 0, 0), ("c", 0, 0, 0, 2), ("d", 0, 0, 0, 0)]


def test_bulk_statements_on_a_tree(tree: Kept) -> None:
    tree.run(insert(Node), [{"name": name, "parent_name": "c", "weight": 7} for name in ("e", "f")])
    assert tree.stored(*NODES)[2] == ("c", 2, 2, 0, 2)
    tree.run(update(Node).where(Node.parent_name == "c").values(parent_name="b", weight=1))
    assert tree.stored(*NODES)[:3] == [("a", 2, 0, 3, 0), ("b", 3, 1, 0, 2), ("c", 0, 0, 0, 2)]
    tree.run(delete(Node).where(Node.parent_name == "b"))
    assert tree.stored(*NODES) == [("a", 2, 0, 0, 0), ("b", 0, 0, 0, 2), ("c", 0, 0, 0, 2)]


def test_a_node_cannot_become_its_own_ancestor(tree: Kept) -> None:
    with pytest.raises(ComputationError, match="node a would become its own ancestor"), tree.begin() as session:
        session.get_one(Node, "a").parent_name = "d"
    assert tree.stored(Node.name, Node.parent_name)[0] == ("a", None)


def test_links_between_rows_of_one_table_have_a_direction(network: Kept) -> None:
    assert network.stored(*MEMBERS) == [(1, 2, 1), (2, 1, 1), (3, 1, 1)]


def test_links_between_rows_of_one_table_change(network: Kept) -> None:
    with network.begin() as session:
        one, two, three = (session.get_one(Member, n) for n in (1, 2, 3))
        one.following.remove(two)
        two.following.append(three)
        three.active = True
        one.active = False
    assert network.stored(*MEMBERS) == [(1, 1, 2), (2, 2, 0), (3, 1, 1)]
    with network.begin() as session:
        session.delete(session.get_one(Member, 1))
    assert network.stored(*MEMBERS) == [(2, 1, 0), (3, 0, 1)]


def test_bulk_statements_on_links_between_rows_of_one_table(network: Kept) -> None:
    network.run(insert(follows), [{"follower_id": 2, "followed_id": 3}, {"follower_id": 3, "followed_id": 2}])
    network.run(update(Member).where(Member.id == 1).values(active=False))
    assert network.stored(*MEMBERS) == [(1, 2, 1), (2, 2, 0), (3, 2, 1)]
    network.run(delete(follows).where(follows.c.followed_id == 3))
    assert network.stored(*MEMBERS) == [(1, 1, 1), (2, 1, 0), (3, 2, 0)]
