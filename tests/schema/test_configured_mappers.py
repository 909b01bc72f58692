"""Relations to classes that SQLAlchemy has configured already: after a query, an earlier call, or a failed one."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import ForeignKey, create_engine
from sqlalchemy.exc import NoForeignKeysError
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, configure_mappers, mapped_column, relationship

from interaqt_sa import Count, DefinitionError, Entity, Property, Relation, Schema, System, compile_schema, computed

SHAPES: list[dict[str, Any]] = [
    {"type": "1:1"},
    {"type": "1:1", "is_target_reliance": True},
    {"type": "1:n"},
    {"type": "1:n", "is_target_reliance": True},
    {"type": "n:1"},
    {"type": "n:n"},
    {"type": "1:n", "properties": [Property("mark", int)]},
    {"type": "1:1", "properties": [Property("mark", int)]},
]
#: declarative classes, one of an earlier call, two of this one
ENDS = ["CD", "CE", "EC", "EF", "CC", "GG", "GC", "CG", "GE", "EG"]


def configured() -> tuple[type[DeclarativeBase], dict[str, Any]]:
    """Return classes that are configured."""

    class Base(DeclarativeBase):
        pass

    class C(Base):
        __tablename__ = "c"
        id: Mapped[int] = mapped_column(primary_key=True)

    class D(Base):
        __tablename__ = "d"
        id: Mapped[int] = mapped_column(primary_key=True)

    compile_schema(Base, entities=[Entity("G")])
    Base.registry.configure()
    return Base, {"C": C, "D": D, "E": "E", "F": "F", "G": "G"}


@pytest.mark.parametrize("ends", ENDS)
@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: " ".join(map(str, shape.values()))[:12])
def test_both_directions_work(shape: dict[str, Any], ends: str) -> None:
    base, records = configured()
    source, target = (records[end] for end in ends)
    relations = [
        Relation(source=source, source_property=one, target=target, target_property=other, **shape)
        for one, other in (("one", "back"), ("two", "back_two"))
    ]
    schema = compile_schema(base, entities=[Entity("E"), Entity("F")], relations=relations)
    base.registry.configure()
    engine = create_engine("sqlite://")
    base.metadata.create_all(engine)
    with Session(engine) as session:
        for relation in relations:
            _relate(session, schema, relation)
        session.commit()
    engine.dispose()


def _relate(session: Session, schema: Schema, relation: Relation) -> None:
    """Relate two pairs, one from each end, and look at the other end, in memory and in the database."""
    classes = schema.mapped_class(relation.source), schema.mapped_class(relation.target)
    names = relation.source_property, relation.target_property
    has_rows = relation.type == "n:n" or bool(relation.properties)
    for here, there in ((0, 1), (1, 0)):
        rows = classes[0](), classes[1]()
        session.add_all(rows)
        if has_rows:
            session.flush()
            with session.no_autoflush:
                link = schema.mapped_class(relation.name)(**{("source", "target")[here]: rows[here]})
                _put(rows[there], f"{names[there]}_links", link)
            assert (link.source, link.target) == rows
            session.flush()
            session.expire_all()
        else:
            _put(rows[here], names[here], rows[there])
        for expired in (False, True):
            for one, other in ((0, 1), (1, 0)):
                found = getattr(rows[one], names[one])
                assert found == [rows[other]] or found is rows[other]
            if not expired:
                session.flush()
                session.expire_all()


def _put(row: Any, attribute: str, value: Any) -> None:
    current = getattr(row, attribute)
    if isinstance(current, list):
        current.append(value)
    else:
        setattr(row, attribute, value)


def test_what_failed_can_be_mended() -> None:
    base, records = configured()
    relation = Relation(source=records["C"], source_property="ds", target=records["D"], target_property="c", type="1:n")
    with pytest.raises(DefinitionError):
        compile_schema(base, entities=[Entity("E", [Property("n", "integer")])], relations=[relation])
    compile_schema(base, entities=[Entity("E", [Property("n", int)])], relations=[relation])
    d = records["D"]()
    assert records["C"](ds=[d]).ds == [d]
    assert d.c is not None


def test_a_relationship_that_failed_on_a_configured_class_breaks_nothing_else() -> None:
    """SQLAlchemy leaves it on the mapper half done; what else is declared is kept true all the same."""

    class Base(DeclarativeBase):
        pass

    class Team(Base):
        __tablename__ = "team"
        id: Mapped[int] = mapped_column(primary_key=True)
        members: Mapped[list[Person]] = relationship(back_populates="team")
        size: Mapped[int] = computed(Count("members"))

    class Person(Base):
        __tablename__ = "person"
        id: Mapped[int] = mapped_column(primary_key=True)
        team_id: Mapped[int] = mapped_column(ForeignKey("team.id"))
        team: Mapped[Team] = relationship(back_populates="members")

    class Stranger(Base):
        __tablename__ = "stranger"
        id: Mapped[int] = mapped_column(primary_key=True)

    configure_mappers()
    with pytest.raises(NoForeignKeysError):
        Stranger.teams = relationship(Team)  # type: ignore[attr-defined]
    engine = create_engine("sqlite://")
    system = System(engine, base=Base)
    Base.metadata.create_all(engine)
    with system.session_factory.begin() as session:
        session.add(Team(id=1, members=[Person(), Person()]))
    with system.session_factory() as session:
        assert session.get_one(Team, 1).size == 2
    engine.dispose()
