"""Many-to-many: members behind a secondary table, an association object, and a link table that is both."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import Column, ForeignKey, Table, delete, insert, select, update
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

from interaqt_sa import Count, Every, StateMachine, StateNode, Summation, Transform, Trigger, computed
from tests.declarative.kept import Keep, Kept


class Base(DeclarativeBase):
    pass


tagging = Table(
    "tagging",
    Base.metadata,
    Column("post_id", ForeignKey("post.id"), primary_key=True),
    Column("tag", ForeignKey("tag.word", ondelete="CASCADE"), primary_key=True),
)


class Post(Base):
    __tablename__ = "post"

    id: Mapped[int] = mapped_column(primary_key=True)
    words: Mapped[int] = mapped_column(default=0)
    tags: Mapped[list[Tag]] = relationship(secondary=tagging, back_populates="posts")
    tag_count: Mapped[int] = computed(Count("tags"))
    good_tags: Mapped[int] = computed(Count("tags", where={"good": True}))
    only_good: Mapped[bool] = computed(Every("tags", expression={"good": True}, not_empty=True))


class Tag(Base):
    __tablename__ = "tag"

    word: Mapped[str] = mapped_column(primary_key=True)
    good: Mapped[bool] = mapped_column(default=True)
    posts: Mapped[list[Post]] = relationship(secondary=tagging, back_populates="tags")
    post_count: Mapped[int] = computed(Count("posts"))
    word_count: Mapped[int] = computed(Summation("posts", "words"))


class Membership(Base):
    """A link with a key of its own, an association object that is also the secondary table of ``Group.people``."""

    __tablename__ = "membership"

    id: Mapped[int] = mapped_column(primary_key=True)
    group_id: Mapped[int] = mapped_column(ForeignKey("group.id"))
    person_id: Mapped[int] = mapped_column(ForeignKey("person.id"))
    hours: Mapped[int] = mapped_column(default=1, server_default="1")
    group: Mapped[Group] = relationship(back_populates="memberships", overlaps="people")
    person: Mapped[Person] = relationship(back_populates="memberships", overlaps="people")


class Group(Base):
    __tablename__ = "group"

    id: Mapped[int] = mapped_column(primary_key=True)
    memberships: Mapped[list[Membership]] = relationship(
        back_populates="group", cascade="all, delete-orphan", overlaps="people"
    )
    people: Mapped[list[Person]] = relationship(secondary="membership", overlaps="memberships,group,person")
    size: Mapped[int] = computed(Count("people"))
    links: Mapped[int] = computed(Count("memberships"))
    hours: Mapped[int] = computed(Summation("memberships", "hours"))
    age: Mapped[int] = computed(Summation("people", "age"))
    ages_by_link: Mapped[int] = computed(Summation("memberships", "person.age"))


class Person(Base):
    __tablename__ = "person"

    id: Mapped[int] = mapped_column(primary_key=True)
    age: Mapped[int]
    memberships: Mapped[list[Membership]] = relationship(back_populates="person", overlaps="people")
    hours: Mapped[int] = computed(Summation("memberships", "hours"))


POSTS: tuple[Any, ...] = (Post.id, Post.tag_count, Post.good_tags, Post.only_good)
TAGS: tuple[Any, ...] = (Tag.word, Tag.post_count, Tag.word_count)
GROUPS: tuple[Any, ...] = (Group.id, Group.size, Group.links, Group.hours, Group.age, Group.ages_by_link)


@pytest.fixture
def blog(keep: Keep) -> Kept:
    kept = keep(Base)
    with kept.begin() as session:
        art, bad = Tag(word="art"), Tag(word="bad", good=False)
        session.add_all([Post(id=1, words=10, tags=[art, bad]), Post(id=2, words=5, tags=[art]), Post(id=3)])
    return kept


@pytest.fixture
def club(keep: Keep) -> Kept:
    kept = keep(Base)
    with kept.begin() as session:
        ann, ben = Person(id=1, age=30), Person(id=2, age=50)
        session.add_all([Group(id=1, people=[ann, ben]), Group(id=2, memberships=[Membership(person=ann, hours=7)])])
    return kept


def test_both_sides_of_a_secondary_table(blog: Kept) -> None:
    assert blog.stored(*POSTS) == [(1, 2, 1, False), (2, 1, 1, True), (3, 0, 0, False)]
    assert blog.stored(*TAGS) == [("art", 2, 15), ("bad", 1, 10)]


def test_links_come_and_go_with_collections(blog: Kept) -> None:
    with blog.begin() as session:
        first, third = session.get_one(Post, 1), session.get_one(Post, 3)
        third.tags = list(first.tags)
        first.tags.remove(session.get_one(Tag, "art"))
    assert blog.stored(*POSTS) == [(1, 1, 0, False), (2, 1, 1, True), (3, 2, 1, False)]
    assert blog.stored(*TAGS) == [("art", 2, 5), ("bad", 2, 10)]


def test_a_changed_member_reaches_its_hosts_over_the_links(blog: Kept) -> None:
    with blog.begin() as session:
        session.get_one(Tag, "bad").good = True
        session.get_one(Post, 2).words = 100
    assert blog.stored(*POSTS) == [(1, 2, 2, True), (2, 1, 1, True), (3, 0, 0, False)]
    assert blog.stored(*TAGS) == [("art", 2, 110), ("bad", 1, 10)]


def test_deleted_ends_take_their_links_along(blog: Kept) -> None:
    with blog.begin() as session:
        session.delete(session.get_one(Post, 1))
    assert blog.stored(*TAGS) == [("art", 1, 5), ("bad", 0, 0)]
    blog.run(delete(Tag).where(Tag.word == "art"))
    assert blog.stored(*POSTS) == [(2, 0, 0, False), (3, 0, 0, False)]


def test_bulk_statements_on_the_secondary_table_and_on_its_ends(blog: Kept) -> None:
    blog.run(insert(tagging), [{"post_id": 3, "tag": "art"}, {"post_id": 3, "tag": "bad"}])
    assert blog.stored(*TAGS) == [("art", 3, 15), ("bad", 2, 10)]
    blog.run(update(Tag).values(good=False))
    blog.run(update(Post).values(words=Post.words + 1))
    blog.run(delete(tagging).where(tagging.c.tag == "art", tagging.c.post_id > 1))
    assert blog.stored(*POSTS) == [(1, 2, 0, False), (2, 0, 0, False), (3, 1, 0, False)]
    assert blog.stored(*TAGS) == [("art", 1, 11), ("bad", 2, 12)]


def test_changed_host_keys_move_the_links(blog: Kept) -> None:
    with blog.begin() as session:
        tag = session.get_one(Tag, "bad")
        tag.posts = []
        session.flush()
        tag.word = "worse"
        tag.posts = [session.get_one(Post, 2)]
    assert blog.stored(*TAGS) == [("art", 2, 15), ("worse", 1, 5)]


def test_one_link_table_as_secondary_and_as_association(club: Kept) -> None:
    assert club.stored(*GROUPS) == [(1, 2, 2, 2, 80, 80), (2, 1, 1, 7, 30, 30)]
    assert club.stored(Person.id, Person.hours) == [(1, 8), (2, 1)]


def test_the_association_moves_changes_and_goes(club: Kept) -> None:
    with club.begin() as session:
        moved, _, other = session.scalars(select(Membership).order_by(Membership.group_id, Membership.person_id))
        moved.group, moved.hours = other.group, 3
        other.person = session.get_one(Person, 2)
    assert club.stored(*GROUPS) == [(1, 1, 1, 1, 50, 50), (2, 2, 2, 10, 80, 80)]
    assert club.stored(Person.id, Person.hours) == [(1, 3), (2, 8)]
    with club.begin() as session:
        first, second = session.get_one(Group, 1), session.get_one(Group, 2)
        second.memberships.clear()
        first.people = []
    assert club.stored(*GROUPS) == [(1, 0, 0, 0, 0, 0), (2, 0, 0, 0, 0, 0)]
    assert club.stored(Person.id, Person.hours) == [(1, 0), (2, 0)]


def test_bulk_statements_on_the_association(club: Kept) -> None:
    club.run(insert(Membership), [{"group_id": 2, "person_id": 2, "hours": 5}])
    club.run(update(Membership).where(Membership.group_id == 1, Membership.person_id == 2).values(person_id=1, hours=4))
    club.run(update(Person).where(Person.id == 1).values(age=31))
    assert club.stored(*GROUPS) == [(1, 2, 2, 5, 62, 62), (2, 2, 2, 12, 81, 81)]
    club.run(delete(Membership).where(Membership.group_id == 2))
    assert club.stored(*GROUPS) == [(1, 2, 2, 5, 62, 62), (2, 0, 0, 0, 0, 0)]
    assert club.stored(Person.id, Person.hours) == [(1, 5), (2, 0)]


class Linked(DeclarativeBase):
    pass


class Reader(Linked):
    __tablename__ = "reader"

    id: Mapped[int] = mapped_column(primary_key=True)
    books: Mapped[list[Book]] = relationship(secondary="loan", back_populates="readers")
    loans: Mapped[list[Loan]] = relationship(viewonly=True)
    days: Mapped[int] = computed(Summation("loans", "whole"))


class Book(Linked):
    __tablename__ = "book"

    id: Mapped[int] = mapped_column(primary_key=True)
    readers: Mapped[list[Reader]] = relationship(secondary="loan", back_populates="books")


class Loan(Linked):
    """The link table as a class, whose rows the relationships write without objects."""

    __tablename__ = "loan"

    reader_id: Mapped[int] = mapped_column(ForeignKey("reader.id"), primary_key=True)
    book_id: Mapped[int] = mapped_column(ForeignKey("book.id"), primary_key=True)
    weeks: Mapped[int] = mapped_column(default=2, server_default="2")
    whole: Mapped[int] = computed(lambda loan: loan.weeks * 7)
    state: Mapped[str] = computed(
        StateMachine(
            states=[_OPEN := StateNode("open", compute_value=lambda _, event: f"{event.record['weeks']} weeks")],
            initial_state=_OPEN,
            transfers=[],
        )
    )
    label: Mapped[str] = computed(lambda loan: f"for {loan.state}")


class Card(Linked):
    __tablename__ = "card"
    __computation__ = Transform(Loan, lambda loan: {"text": f"{loan.reader_id}-{loan.book_id}: {loan.whole}"})

    id: Mapped[int] = mapped_column(primary_key=True)
    text: Mapped[str]


class Note(Linked):
    __tablename__ = "note"
    __computation__ = Transform(
        event_deps={kind: Trigger(Loan, kind) for kind in ("create", "update", "delete")},
        callback=lambda event: {
            "text": f"{event.type} {(event.record or event.old_record).book_id} "
            f"{(event.record or event.old_record).whole}"
        },
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    text: Mapped[str]


def test_rows_of_an_association_class_that_relationships_write(keep: Keep) -> None:
    kept = keep(Linked)
    with kept.begin() as session:
        reader = Reader(id=1, books=[Book(id=1), Book(id=2)])
        session.add(reader)
        session.flush()
        assert reader.days == 28
    stored = kept.stored(Loan.book_id, Loan.whole, Loan.state, Loan.label)
    assert stored == [(1, 14, "2 weeks", "for 2 weeks"), (2, 14, "2 weeks", "for 2 weeks")]
    assert sorted(text for (text,) in kept.stored(Card.text)) == ["1-1: 14", "1-2: 14"]
    with kept.begin() as session:
        reader = session.get_one(Reader, 1)
        reader.books.remove(session.get_one(Book, 1))
        session.get_one(Book, 2).readers.append(Reader(id=2))
    assert kept.stored(Reader.id, Reader.days) == [(1, 14), (2, 14)]
    assert kept.stored(Card.text) == [("1-2: 14",), ("2-2: 14",)]
    told = [text for _, text in kept.stored(Note.id, Note.text)]
    assert sorted(told[:2]) == ["create 1 14", "create 2 14"]
    assert sorted(told[2:]) == ["create 2 14", "delete 1 14"]
