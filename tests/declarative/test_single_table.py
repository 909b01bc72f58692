"""Single-table inheritance: hosts and members that share a table with their sisters."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import ForeignKey, Integer, case, delete, insert, select, update
from sqlalchemy.orm import DeclarativeBase, Mapped, column_property, mapped_column, relationship, sessionmaker

from interaqt_sa import Count, DefinitionError, Every, Max, Summation, System, computed
from tests.declarative.kept import Keep, Kept


class Base(DeclarativeBase):
    pass


class Party(Base):
    __tablename__ = "party"
    __mapper_args__ = {"polymorphic_on": "kind", "polymorphic_identity": "party"}

    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str]
    deals: Mapped[list[Deal]] = relationship(back_populates="party")
    deal_count: Mapped[int] = computed(Count("deals"))


class Company(Party):
    """Has computed columns of its own, which the shared table holds."""

    __mapper_args__ = {"polymorphic_identity": "company"}

    sales: Mapped[list[Sale]] = relationship(viewonly=True)
    sale_count: Mapped[int | None] = computed(Count("sales"), use_existing_column=True)
    sold: Mapped[float | None] = computed(Summation("sales", "price"))


class Person(Party):
    __mapper_args__ = {"polymorphic_identity": "person"}

    nickname: Mapped[str | None]


class Deal(Base):
    __tablename__ = "deal"
    __mapper_args__ = {"polymorphic_on": "kind", "polymorphic_identity": "deal"}

    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str]
    party_id: Mapped[int | None] = mapped_column(ForeignKey("party.id"))
    party: Mapped[Party | None] = relationship(back_populates="deals")


class Sale(Deal):
    __mapper_args__ = {"polymorphic_identity": "sale"}

    price: Mapped[float | None]


class Auction(Sale):
    __mapper_args__ = {"polymorphic_identity": "auction"}


PARTY = Party.__table__.c
PARTIES: tuple[Any, ...] = (PARTY.id, PARTY.deal_count, PARTY.sale_count, PARTY.sold)


@pytest.fixture
def market(keep: Keep) -> Kept:
    kept = keep(Base)
    with kept.begin() as session:
        company = Company()
        session.add(company)
        session.flush()
        session.add(Person(nickname="pat"))
        for deal in (Deal(), Sale(price=1.5), Auction(price=2)):
            deal.party_id = company.id
            session.add(deal)
            session.flush()  # the tests speak of 1, 2 and 3
    return kept


def test_members_are_rows_of_the_class_and_its_subclasses(market: Kept) -> None:
    assert market.stored(*PARTIES) == [(1, 3, 2, 3.5), (2, 0, 0, 0)]


def test_members_change_move_and_go(market: Kept) -> None:
    with market.begin() as session:
        session.get_one(Sale, 2).price = 10
        session.get_one(Deal, 1).party = session.get_one(Person, 2)
        session.delete(session.get_one(Auction, 3))
    assert market.stored(*PARTIES) == [(1, 1, 1, 10), (2, 1, 0, 0)]
    with market.begin() as session:
        company = session.get_one(Company, 1)
        company.deals.clear()
    assert market.stored(*PARTIES) == [(1, 0, 0, 0), (2, 1, 0, 0)]


def test_a_row_becomes_a_member_by_its_discriminator(market: Kept) -> None:
    market.run(update(Deal).where(Deal.id == 1).values(kind="sale"))
    assert market.stored(*PARTIES) == [(1, 3, 3, 3.5), (2, 0, 0, 0)]


def test_bulk_statements_name_one_class(market: Kept) -> None:
    market.run(insert(Sale), [{"party_id": 1, "price": 4.0}, {"party_id": 2, "price": 5.0}])
    assert market.run(update(Auction).values(price=20)) == 1
    assert market.stored(*PARTIES) == [(1, 4, 3, 25.5), (2, 1, 1, 5)]
    assert market.run(update(Company).values(kind="company")) == 1
    assert market.run(delete(Sale).where(Sale.party_id == 1)) == 3
    assert market.stored(*PARTIES) == [(1, 1, 0, 0), (2, 1, 1, 5)]


def test_a_loaded_host_of_a_subclass_is_fresh(market: Kept) -> None:
    with market.begin() as session:
        company = session.get_one(Company, 1)
        session.add(Sale(party=company, price=6))
        session.flush()
        assert (company.deal_count, company.sale_count, company.sold) == (4, 3, 9.5)


def test_every_subclass_adds_its_hidden_columns_once() -> None:
    hidden = [c.name for c in Party.__table__.columns if c.name.startswith("_")]
    assert hidden == ["_sold__sum"]
    assert not {"_sold__sum"} & {*Party.__mapper__.attrs.keys(), *Company.__mapper__.attrs.keys()}


def test_a_subclass_mapped_late_adds_nothing_twice(market: Kept) -> None:
    class LateBase(DeclarativeBase):
        pass

    class Box(LateBase):
        __tablename__ = "box"
        __mapper_args__ = {"polymorphic_on": "kind", "polymorphic_identity": "box"}
        id: Mapped[int] = mapped_column(primary_key=True)
        kind: Mapped[str]
        parent_id: Mapped[int | None] = mapped_column(ForeignKey("box.id"))
        boxes: Mapped[list[Box]] = relationship()
        weight: Mapped[float] = mapped_column(default=1)
        content: Mapped[float] = computed(Summation("boxes", "weight"))

    market_of_boxes = Kept(market.engine, LateBase)
    with market_of_boxes.begin() as session:
        session.add(Box(boxes=[Box(), Box(weight=2.5)]))
    before = list(Box.__table__.columns.keys())

    class Crate(Box):
        __mapper_args__ = {"polymorphic_identity": "crate"}

    assert list(Box.__table__.columns.keys()) == before
    with market_of_boxes.begin() as session:
        session.add(Crate(parent_id=1, weight=4))
    assert market_of_boxes.stored(Box.id, Box.content)[0] == (1, 7.5)


class Shape(DeclarativeBase):
    pass


class Figure(Shape):
    __tablename__ = "figure"

    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str]
    scale: Mapped[int] = mapped_column(default=1)
    __mapper_args__ = {"polymorphic_on": "kind", "polymorphic_identity": "figure"}


class Square(Figure):
    side: Mapped[int | None]
    #: fails for rows of other classes, which have no side
    area: Mapped[int | None] = computed(lambda square: square.scale * square.side**2, Integer)
    __mapper_args__ = {"polymorphic_identity": "square"}


class Cube(Square):
    volume: Mapped[int | None] = computed(lambda cube: cube.area * cube.side, Integer)
    __mapper_args__ = {"polymorphic_identity": "cube"}


class Dot(Figure):
    __mapper_args__ = {"polymorphic_identity": "dot"}


class ByExpression(DeclarativeBase):
    pass


class Animal(ByExpression):
    __tablename__ = "animal"

    id: Mapped[int] = mapped_column(primary_key=True)
    legs: Mapped[int] = mapped_column()
    __mapper_args__ = {"polymorphic_on": case((legs == 2, "bird"), else_="animal"), "polymorphic_identity": "animal"}


class Bird(Animal):
    span: Mapped[int | None]
    wing: Mapped[int | None] = computed(lambda bird: bird.span // 2, Integer)
    __mapper_args__ = {"polymorphic_identity": "bird"}


def test_a_function_of_a_subclass_is_called_with_its_own_rows_only(keep: Keep) -> None:
    kept = keep(Shape)
    table = Figure.__table__
    rows = (Figure.id, table.c.area, table.c.volume)
    with kept.begin() as session:
        session.add_all([Figure(id=1), Square(id=2, side=3), Cube(id=3, side=2), Dot(id=4)])
    assert kept.stored(*rows) == [(1, None, None), (2, 9, None), (3, 4, 8), (4, None, None)]
    kept.run(update(Figure).values(scale=2))
    kept.run(update(table).where(table.c.id != 3).values(scale=3))
    kept.run(insert(Figure), [{"id": 5, "kind": "dot"}, {"id": 6, "kind": "figure"}])
    with kept.begin() as session:
        session.get_one(Dot, 4).scale = 9
        session.get_one(Cube, 3).side = 1
    assert kept.stored(*rows)[:4] == [(1, None, None), (2, 27, None), (3, 2, 2), (4, None, None)]
    kept.system.repair()
    kept.run(update(table).where(table.c.id == 4).values(kind="cube", side=1))  # becomes one
    assert kept.stored(*rows)[3:] == [(4, 9, 9), (5, None, None), (6, None, None)]


def test_a_function_of_a_subclass_that_an_expression_tells(keep: Keep) -> None:
    kept = keep(ByExpression)
    wing = Animal.__table__.c.wing
    with kept.begin() as session:
        session.add_all([Animal(id=1, legs=4), Bird(id=2, legs=2, span=8)])
    assert kept.stored(Animal.id, wing) == [(1, None), (2, 4)]
    kept.run(update(Animal.__table__).values(legs=2, span=6))
    assert kept.stored(Animal.id, wing) == [(1, 3), (2, 3)]


class Zoo(DeclarativeBase):
    pass


class Pen(Zoo):
    __tablename__ = "pen"

    id: Mapped[int] = mapped_column(primary_key=True)
    residents: Mapped[list[Resident]] = relationship()
    birds: Mapped[list[Parrot]] = relationship(viewonly=True)
    guests: Mapped[list[Parrot]] = relationship(secondary="stay", viewonly=True)
    bird_count: Mapped[int] = computed(Count("birds"))
    span: Mapped[int | None] = computed(Summation("birds", "span"))
    widest: Mapped[int | None] = computed(Max("birds", "span"))
    all_fly: Mapped[bool] = computed(Every("birds", callback=lambda b: (b.span or 0) > 5, attribute_query=["span"]))
    guest_count: Mapped[int] = computed(Count("guests"))
    large_guests: Mapped[int] = computed(Count("guests", where={"span": (">", 5)}))
    resident_count: Mapped[int] = computed(Count("residents"))


class Resident(Zoo):
    __tablename__ = "resident"

    id: Mapped[int] = mapped_column(primary_key=True)
    pen_id: Mapped[int | None] = mapped_column(ForeignKey("pen.id"))
    legs: Mapped[int] = mapped_column()
    kind = column_property(case((legs == 2, "bird"), else_="animal"))
    __mapper_args__ = {"polymorphic_on": "kind", "polymorphic_identity": "animal"}


class Parrot(Resident):
    span: Mapped[int | None]
    __mapper_args__ = {"polymorphic_identity": "bird"}


class Stay(Zoo):
    __tablename__ = "stay"

    pen_id: Mapped[int] = mapped_column(ForeignKey("pen.id"), primary_key=True)
    resident_id: Mapped[int] = mapped_column(ForeignKey("resident.id", ondelete="CASCADE"), primary_key=True)


def test_members_of_a_subclass_that_an_expression_tells(keep: Keep) -> None:
    kept = keep(Zoo)
    table = Resident.__table__
    birds = (Pen.id, Pen.bird_count, Pen.span, Pen.widest, Pen.all_fly)
    guests = (Pen.id, Pen.guest_count, Pen.large_guests, Pen.resident_count)
    with kept.begin() as session:
        session.add_all([Pen(id=1), Pen(id=2)])
        session.flush()
        session.add_all([Resident(id=1, pen_id=1, legs=4), Parrot(id=2, pen_id=1, legs=2, span=8)])
        session.flush()
        session.add_all([Stay(pen_id=2, resident_id=1), Stay(pen_id=2, resident_id=2)])
    assert kept.stored(*birds) == [(1, 1, 8, 8, True), (2, 0, 0, None, True)]
    assert kept.stored(*guests) == [(1, 0, 0, 2), (2, 1, 1, 0)]
    with kept.begin() as session:
        session.get_one(Resident, 1).legs = 2  # becomes a bird
    kept.run(update(table).where(table.c.id == 1).values(span=3))
    assert kept.stored(*birds)[0] == (1, 2, 11, 8, False)
    assert kept.stored(*guests)[1] == (2, 2, 1, 0)
    kept.run(update(table).where(table.c.id == 2).values(legs=4))  # is none any more
    kept.run(update(Parrot).values(span=7))
    assert kept.stored(*birds)[0] == (1, 1, 7, 7, True)
    assert kept.stored(*guests)[1] == (2, 1, 1, 0)
    with kept.engine.begin() as connection:
        connection.execute(update(Pen).values(bird_count=9, span=9, guest_count=9))
    kept.system.repair()
    assert kept.stored(*birds)[0] == (1, 1, 7, 7, True)
    assert kept.run(delete(Parrot)) == 1
    assert kept.stored(*birds)[0] == (1, 0, 0, None, True)


def test_members_that_a_subquery_tells_are_refused() -> None:
    class Books(DeclarativeBase):
        pass

    class Shelf(Books):
        __tablename__ = "shelf"
        id: Mapped[int] = mapped_column(primary_key=True)
        novels: Mapped[list[Novel]] = relationship(viewonly=True)
        novel_count: Mapped[int] = computed(Count("novels"))

    class Genre(Books):
        __tablename__ = "genre"
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str]

    class Book(Books):
        __tablename__ = "book"
        id: Mapped[int] = mapped_column(primary_key=True)
        shelf_id: Mapped[int] = mapped_column(ForeignKey("shelf.id"))
        genre_id: Mapped[int] = mapped_column(ForeignKey("genre.id"))
        kind = column_property(select(Genre.name).where(Genre.id == genre_id).scalar_subquery())
        __mapper_args__ = {"polymorphic_on": "kind", "polymorphic_identity": "book"}

    class Novel(Book):
        __mapper_args__ = {"polymorphic_identity": "novel"}

    with pytest.raises(DefinitionError) as caught:
        System(sessionmaker(), base=Books).verify()
    (fault,) = caught.value.exceptions
    assert (fault.record, fault.property) == ("Shelf", "novel_count")
    assert "values over Novel require that polymorphic_on" in str(fault)
