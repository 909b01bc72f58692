"""Definitions beside declarative models, on one MetaData."""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    CheckConstraint,
    Engine,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    Table,
    inspect,
    select,
    text,
)
from sqlalchemy.orm import (
    DeclarativeBase,
    Mapped,
    MappedAsDataclass,
    Session,
    configure_mappers,
    mapped_column,
    registry,
    relationship,
)

from interaqt_sa.definitions.records import Entity, Property, Relation
from interaqt_sa.schema.compile_schema import compile_schema


def declared() -> tuple[type[DeclarativeBase], type[Any], type[Any]]:
    class Base(DeclarativeBase):
        pass

    class Customer(Base):
        __tablename__ = "customer"
        id: Mapped[int] = mapped_column(primary_key=True)

    class Account(Base):
        __tablename__ = "account"
        id: Mapped[int] = mapped_column(primary_key=True)
        customer_id: Mapped[int | None] = mapped_column(ForeignKey("customer.id"))
        ticket_id: Mapped[int | None] = mapped_column(ForeignKey("ticket.id"))

    return Base, Customer, Account


Ticket = Entity("Ticket", [Property("open", bool, default=True)])


def relation(source: Any, source_property: str, target: Any, target_property: str, type: Any, **kw: Any) -> Relation:
    return Relation(
        source=source, source_property=source_property, target=target, target_property=target_property, type=type, **kw
    )


def test_relations_with_declarative_classes(engine: Engine) -> None:
    base, customer, account = declared()
    schema = compile_schema(
        base,
        entities=[Ticket],
        relations=[
            relation(Ticket, "customer", customer, "tickets", "n:1"),
            relation("Customer", "accounts", "Account", "customer", "1:n"),
            relation(account, "ticket", Ticket, "accounts", "n:1"),
            relation(customer, "best", account, "bestOf", "1:1"),
            relation(customer, "watched", Ticket, "watchers", "n:n"),
        ],
    )
    ticket = schema.mapped_class(Ticket)
    assert schema.mapped_class("Customer") is customer
    table = base.metadata.tables["account"]
    assert set(table.columns.keys()) == {"id", "customer_id", "ticket_id"}, "there were matching foreign keys"
    best = base.metadata.tables["customer"].c.best_id
    assert [key.target_fullname for key in best.foreign_keys] == ["account.id"]
    assert isinstance(best.type, Integer), "the type of the key that it refers to"

    base.metadata.create_all(engine)
    with Session(engine) as session:
        one = customer()
        open_ticket = ticket(customer=one)
        one.accounts.append(account(ticket=open_ticket))
        session.add(one)
        session.flush()
        one.best = one.accounts[0]
        session.flush()
        assert (one.tickets, open_ticket.accounts, one.best.bestOf) == ([open_ticket], one.accounts, one)
        assert one.watched == []


def test_records_may_refer_to_each_other(engine: Engine) -> None:
    club, person = Entity("Club", [Property("n", int)]), Entity("Person")
    relations = [
        relation(person, "club", club, "members", "n:1"),
        relation(club, "chair", person, "chairs", "1:1"),
        relation(club, "guests", person, "guest_of", "1:n"),
    ]
    schema = compile_schema(MetaData(), entities=[club, person], relations=relations)
    other = compile_schema(MetaData(), entities=[person, club], relations=reversed(relations))

    def written_later(metadata: MetaData) -> set[str]:
        keys = (key for table in metadata.tables.values() for key in table.foreign_keys)
        return {str(key.parent) for key in keys if key.use_alter}

    assert written_later(schema.metadata) == written_later(other.metadata) != set()
    assert [table.name for table in schema.metadata.sorted_tables]
    schema.metadata.create_all(engine)
    clubs, persons = schema.mapped_class(club), schema.mapped_class(person)
    with Session(engine) as session:
        chess = clubs(chair=persons(), guests=[persons()])
        chess.chair.club = chess
        session.add(chess)
        session.flush()
        session.expire_all()
        assert chess.chair.club is chess
        assert (chess.members, chess.guests[0].guest_of) == ([chess.chair], chess)
        session.delete(chess)
        session.flush()
        assert session.scalars(select(persons.club_id)).all() == [None, None]
    schema.metadata.drop_all(engine)


def test_declarative_classes_find_definitions_by_name() -> None:
    class Base(DeclarativeBase):
        pass

    class Comment(Base):
        __tablename__ = "comment"
        id: Mapped[int] = mapped_column(primary_key=True)
        ticket_id: Mapped[int] = mapped_column(ForeignKey("ticket.id"))
        ticket: Mapped[Any] = relationship("Ticket", back_populates="comments")

    schema = compile_schema(Base, entities=[Ticket], relations=[relation(Comment, "ticket", Ticket, "comments", "n:1")])
    configure_mappers()
    ticket = schema.mapped_class(Ticket)
    comment = Comment(ticket_id=1)
    made = ticket(comments=[comment])
    assert comment.ticket is made
    assert inspect(Comment).relationships["ticket"].mapper.class_ is ticket


def test_a_foreign_key_is_chosen_by_name() -> None:
    class Base(DeclarativeBase):
        pass

    class User(Base):
        __tablename__ = "user"
        id: Mapped[int] = mapped_column(primary_key=True)

    class Doc(Base):
        __tablename__ = "doc"
        id: Mapped[int] = mapped_column(primary_key=True)
        author_id: Mapped[int] = mapped_column(ForeignKey("user.id"))
        editor_id: Mapped[int] = mapped_column(ForeignKey("user.id"))

    compile_schema(Base, relations=[relation(Doc, "editor", User, "edited", "n:1")])
    configure_mappers()
    (pair,) = inspect(Doc).relationships["editor"].local_remote_pairs or ()
    assert pair[0].name == "editor_id"


def test_dataclasses_and_registries_as_base() -> None:
    class Base(MappedAsDataclass, DeclarativeBase):
        pass

    class Customer(Base):
        __tablename__ = "customer"
        id: Mapped[int] = mapped_column(primary_key=True, init=False)
        name: Mapped[str]

    compile_schema(Base, entities=[Ticket], relations=[relation(Ticket, "customer", Customer, "tickets", "n:1")])
    assert Customer(name="a").tickets == []
    own = registry()
    schema = compile_schema(own, entities=[Ticket])
    assert schema.mapped_class(Ticket) in {mapper.class_ for mapper in own.mappers}


def test_table_arguments_are_copied() -> None:
    entity = Entity(
        "E",
        [Property("n", int)],
        table_name="things",
        table_args=[
            CheckConstraint("n > 0", name="positive"),
            Index("by_n", "n", unique=True, postgresql_where=text("n > 1")),
            {"comment": "things"},
        ],
    )
    tables = [compile_schema(MetaData(), entities=[entity]).metadata.tables["things"] for _ in range(2)]
    for table in tables:
        assert isinstance(table, Table)
        assert [index.name for index in table.indexes] == ["by_n"]
        assert "positive" in {constraint.name for constraint in table.constraints}
        assert table.comment == "things"
