"""Entity diagrams."""

from __future__ import annotations

from sqlalchemy import ForeignKey, MetaData
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

import interaqt_sa as iq

_DIAGRAM = """\
erDiagram
    Person {
        biginteger id PK
        text name
        biginteger teamCount "computed"
        biginteger boss_id FK
    }
    Playing {
        biginteger id PK
        biginteger source_id FK
        biginteger target_id FK
        biginteger since
    }
    Team {
        biginteger id PK
        text name
    }
    Person }o--o{ Person : "friends"
    Person }o--o| Person : "boss / staff"
    Person ||--o{ Playing : "teams"
    Team ||--o{ Playing : "players"
"""


def test_a_domain_is_drawn() -> None:
    person = iq.Entity(
        "Person", [iq.Property("name", str), iq.Property("teamCount", int, computation=iq.Count("teams"))]
    )
    team = iq.Entity("Team", [iq.Property("name", str)])
    relations = [
        iq.Relation(
            name="Playing",
            source=person,
            source_property="teams",
            target=team,
            target_property="players",
            type="n:n",
            properties=[iq.Property("since", int)],
        ),
        iq.Relation(source=person, source_property="boss", target=person, target_property="staff", type="n:1"),
        iq.Relation(
            name="Befriending",
            source=person,
            source_property="friends",
            target=person,
            target_property="friends",
            type="n:n",
        ),
    ]
    schema = iq.compile_schema(MetaData(), entities=[person, team], relations=relations)
    assert schema.diagram() == _DIAGRAM


def test_declarative_classes_are_drawn() -> None:
    class Base(DeclarativeBase):
        pass

    class Author(Base):
        __tablename__ = "author"
        id: Mapped[int] = mapped_column(primary_key=True)

    class Book(Base):
        __tablename__ = "book"
        id: Mapped[int] = mapped_column(primary_key=True)
        author_id: Mapped[int] = mapped_column(ForeignKey(Author.id))
        author: Mapped[Author] = relationship()

    Base.registry.configure()
    drawn = iq.Schema.of(Base.metadata).diagram()
    assert '    Book }o--o| Author : "author"\n' in drawn
    assert "        integer author_id FK\n" in drawn
