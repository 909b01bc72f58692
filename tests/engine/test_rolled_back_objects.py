"""Objects whose row was rolled back can be added again."""

from __future__ import annotations

import pytest
from sqlalchemy import Engine, ForeignKey
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship, sessionmaker

import interaqt_sa as iq


class Base(DeclarativeBase):
    pass


class Basket(Base):
    __tablename__ = "basket"
    id: Mapped[int] = mapped_column(primary_key=True)
    code: Mapped[str] = mapped_column(unique=True)
    label: Mapped[str] = iq.computed(lambda basket: f"basket {basket.code}")
    pieces: Mapped[int] = iq.computed(iq.Count("items"))
    items: Mapped[list[Piece]] = relationship()


class Piece(Base):
    __tablename__ = "piece"
    id: Mapped[int] = mapped_column(primary_key=True)
    basket_id: Mapped[int] = mapped_column(ForeignKey("basket.id"))


@pytest.fixture
def session_factory(engine: Engine) -> sessionmaker:
    Base.metadata.create_all(engine)
    session_factory = sessionmaker(engine)
    iq.System(session_factory, base=Base)
    return session_factory


def test_after_a_rollback(session_factory: sessionmaker) -> None:
    basket = Basket(code="a", items=[Piece(), Piece()])
    with session_factory() as session:
        session.add(basket)
        session.flush()
        assert (basket.pieces, basket.label) == (2, "basket a")
        session.rollback()

    with session_factory.begin() as session:
        session.add(basket)
        session.flush()
        assert (basket.pieces, basket.label) == (2, "basket a")


def test_after_a_flush_that_failed(session_factory: sessionmaker) -> None:
    with session_factory.begin() as session:
        session.add(Basket(code="a"))
    basket = Basket(code="a", items=[Piece()])
    with session_factory() as session:
        session.add(basket)
        with pytest.raises(IntegrityError):
            session.flush()
        session.rollback()

    basket.code = "b"
    with session_factory.begin() as session:
        session.add(basket)
        session.flush()
        assert (basket.pieces, basket.label) == (1, "basket b")


def test_after_the_rollback_of_a_savepoint(session_factory: sessionmaker) -> None:
    basket = Basket(code="a", items=[Piece()])
    with session_factory.begin() as session:
        savepoint = session.begin_nested()
        session.add(basket)
        session.flush()
        savepoint.rollback()
        session.add(basket)
        session.flush()
        assert basket.pieces == 1
