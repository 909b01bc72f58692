"""Programs that make factories again and again: SQLAlchemy knows listeners by ids, which come back."""

from __future__ import annotations

from sqlalchemy import Engine, create_engine
from sqlalchemy.orm import sessionmaker

from interaqt_sa.definitions.event_source import EventSource
from interaqt_sa.runtime.controller import Controller
from interaqt_sa.runtime.system import System
from tests.runtime.models import Base, Customer, PlaceOrder


def test_each_is_attached() -> None:
    place = EventSource("place", PlaceOrder, map_event_data=lambda _, args: args)
    for _ in range(150):
        engine = create_engine("sqlite://")
        sessions = sessionmaker(engine)
        controller = Controller(System(sessions, base=Base), event_sources=[place])
        Base.metadata.create_all(engine)
        with sessions.begin() as session:
            session.add(Customer(id=1))
            assert session.connection().exec_driver_sql("PRAGMA foreign_keys").scalar() == 1
            for total in (3, 4):
                controller.dispatch(place, {"customer_id": 1, "total": total}, session=session).raise_for_error()
            assert session.get_one(Customer, 1, populate_existing=True).spent == 7
        engine.dispose()


def test_detached_and_attached_again(engine: Engine) -> None:
    sessions = sessionmaker(engine)
    system = System(sessions, base=Base)
    Base.metadata.create_all(engine)
    system.detach(sessions)
    system.detach(sessions)
    for _ in range(2):
        system.attach(sessions)
    with sessions.begin() as session:
        session.add(Customer(id=1))
    assert system.check().ok
