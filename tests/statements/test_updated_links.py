"""An UPDATE of a secondary table moves links, whatever identifies its rows."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import Column, Engine, ForeignKey, MetaData, Table, insert, literal, select, update
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

import interaqt_sa as iq
from tests.declarative.kept import Kept


def models(has_key: bool) -> Any:
    class Base(DeclarativeBase):
        metadata = MetaData()

    columns: list[Column[int]] = [
        Column(f"{name}_id", ForeignKey(f"{name}.id"), primary_key=has_key) for name in ("post", "tag")
    ]
    links = Table("link", Base.metadata, *columns)

    class Tag(Base):
        __tablename__ = "tag"
        id: Mapped[int] = mapped_column(primary_key=True)
        weight: Mapped[int]
        posts: Mapped[list["Post"]] = relationship(secondary=links, back_populates="tags")  # noqa: UP037
        post_count: Mapped[int] = iq.computed(iq.Count("posts"))

    class Post(Base):
        __tablename__ = "post"
        id: Mapped[int] = mapped_column(primary_key=True)
        tags: Mapped[list[Tag]] = relationship(secondary=links, back_populates="posts")
        weight: Mapped[int] = iq.computed(iq.Summation("tags", "weight"))
        heavy: Mapped[bool] = iq.computed(iq.Any("tags", expression={"weight": (">", 2)}))

    return Base, links, Tag, Post


@pytest.fixture(params=[True, False], ids=["with a key", "without a key"])
def blog(request: pytest.FixtureRequest, engine: Engine) -> Any:
    base, links, tag, post = models(request.param)
    kept = Kept(engine, base)
    with kept.begin() as session:
        session.add_all([tag(id=n, weight=n) for n in (1, 2, 3, 4)])
        session.add_all([post(id=n) for n in (1, 2, 3, 4)])
        session.flush()
        rows = [(1, 1), (1, 2), (2, 2), (2, 3), (3, 1)] + ([] if request.param else [(3, 1), (1, 2)])
        session.execute(insert(links), [{"post_id": p, "tag_id": t} for p, t in rows])
    kept.verify()
    return kept, links, request.param


@pytest.mark.parametrize(
    "what", ["one column", "both", "a shift", "onto others", "by a query", "of none", "the same", "with RETURNING"]
)
def test_links_move(blog: Any, what: str) -> None:
    kept, links, has_key = blog
    post, tag = links.c.post_id, links.c.tag_id
    statements: dict[str, Any] = {
        "one column": update(links).where(tag == 3).values(post_id=4),
        "both": update(links).where(post == 3).values(post_id=4, tag_id=4),
        "a shift": update(links).where(post.in_([1, 2]) if not has_key else post == 2).values(post_id=post + 1),
        "onto others": update(links).where(post == 3).values(post_id=2 if has_key else 1),
        "by a query": update(links)
        .where(post.in_(select(literal(2))))
        .values(post_id=select(literal(4)).scalar_subquery()),
        "of none": update(links).where(post == 77).values(post_id=2),
        "the same": update(links).values(post_id=post),
        "with RETURNING": update(links).where(post == 3).values(post_id=4).returning(tag, post),
    }
    with kept.begin() as session:
        result: Any = session.execute(statements[what])
        if what == "with RETURNING":
            assert sorted(tuple(row) for row in result) == [(1, 4)] * (1 if has_key else 2)
        else:
            assert result.rowcount == {"of none": 0, "one column": 1}.get(what, result.rowcount)
    kept.verify()
    with kept.begin() as session:
        session.execute(update(links).values(tag_id=tag) if has_key else update(links).values(tag_id=1))
    kept.verify()
