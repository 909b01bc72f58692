"""Sessions with several engines, and connections that are not the session's own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import Engine, ForeignKey, event, insert, select, update
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship, sessionmaker
from sqlalchemy.sql.dml import Delete, Insert, Update

from interaqt_sa import Count, System, TransactionCapabilityError, computed
from tests.declarative.shop import Base, Customer, Order
from tests.support.engines import EngineFactory
from tests.support.statements import count_statements


def flush(session: Session, *instances: object) -> None:
    session.add_all(instances)
    session.flush()


# -- reads from a replica ---------------------------------------------------------------------------------------------


def test_locks_and_reads_of_the_engine_go_to_the_writer(engine: Engine) -> None:
    """Plain SELECTs go to a reader; what the engine of computations does must not."""
    Base.metadata.create_all(engine)
    reader = engine.execution_options(role="reader")
    seen: list[str] = []
    event.listen(reader, "before_cursor_execute", lambda *args: seen.append(args[2]))

    class RoutingSession(Session):
        def get_bind(self, mapper: Any = None, *, clause: Any = None, **kw: Any) -> Any:
            writes = self._flushing or isinstance(clause, (Insert, Update, Delete))
            return engine if writes or (mapper is not None and clause is None) else reader

    sessions = sessionmaker(class_=RoutingSession)
    System(sessions, base=Base)
    with sessions.begin() as session:
        customer = Customer(name="x", orders=[Order(), Order()])
        session.add(customer)
        session.flush()
        customer.orders[0].total = 7  # type: ignore[assignment]
        session.flush()
        session.execute(update(Order).values(paid=True))
        session.execute(insert(Order), [{"customer_id": customer.id}])
        assert seen == []
        assert (customer.order_count, customer.all_paid) == (3, False)
    assert seen == []


def test_sqlite_begins_with_the_write_lock_also_for_binds_of_single_classes(engine_for: EngineFactory) -> None:
    engine = engine_for("pysqlite")
    Base.metadata.create_all(engine)
    sessions = sessionmaker(binds={Base: engine})
    system = System(sessions, base=Base)
    with sessions.begin() as session:
        assert session.scalars(select(Customer)).all() == []
        raw: Any = session.connection(bind_arguments={"mapper": Customer}).connection.dbapi_connection
        assert raw.in_transaction
        session.add(Customer(name="x", orders=[Order()]))
    with sessions() as session:
        assert session.scalar(select(Customer.order_count)) == 1
    assert system.check(Customer).ok


# -- two engines ------------------------------------------------------------------------------------------------------


class SplitBase(DeclarativeBase):
    pass


class Shelf(SplitBase):
    __tablename__ = "shelf"

    id: Mapped[int] = mapped_column(primary_key=True)
    books: Mapped[list[Book]] = relationship(back_populates="shelf")
    book_count: Mapped[int] = computed(Count("books"))


class Book(SplitBase):
    __tablename__ = "book"

    id: Mapped[int] = mapped_column(primary_key=True)
    shelf_id: Mapped[int] = mapped_column(ForeignKey("shelf.id"))
    shelf: Mapped[Shelf] = relationship(back_populates="books")


@pytest.mark.postgres
def test_computations_across_two_engines_are_refused(engine_for: EngineFactory) -> None:
    one, other = engine_for("pysqlite"), engine_for("psycopg")
    SplitBase.metadata.create_all(one)
    SplitBase.metadata.create_all(other, tables=[Shelf.__table__])
    sessions = sessionmaker(binds={Shelf: other, Book: one})
    System(sessions, base=SplitBase)
    with (
        pytest.raises(TransactionCapabilityError, match="would span two engines in one session"),
        sessions() as session,
    ):
        flush(session, Shelf(id=1, books=[Book()]))
    with sessions() as session:
        flush(session, Shelf(id=1))
        with pytest.raises(TransactionCapabilityError, match="bind all records that compute from each other to one"):
            session.execute(insert(Book), [{"shelf_id": 1}])


def test_autocommit_is_refused(engine: Engine) -> None:
    Base.metadata.create_all(engine)
    sessions = sessionmaker(engine.execution_options(isolation_level="AUTOCOMMIT"))
    System(sessions, base=Base, configure_sqlite=False)
    with sessions() as session, pytest.raises(TransactionCapabilityError, match="is in AUTOCOMMIT"):
        flush(session, Customer(name="x", orders=[Order()]))
    with sessions() as session, pytest.raises(TransactionCapabilityError, match="is in AUTOCOMMIT"):
        session.execute(insert(Order), [{"customer_id": 1}])


# -- the session of a test --------------------------------------------------------------------------------------------


@pytest.fixture
def session(engine: Engine) -> Iterator[Session]:
    """Give a session whose commits are savepoints of an outer transaction, as test suites do."""
    sessions = sessionmaker()
    System(sessions, base=Base)
    Base.metadata.create_all(engine)
    with engine.connect() as connection, connection.begin() as transaction:
        sessions.configure(bind=connection, join_transaction_mode="create_savepoint")
        with sessions() as session:
            yield session
        transaction.rollback()
    with engine.connect() as connection:
        assert connection.execute(select(Customer.id)).all() == []


def test_commits_and_rollbacks_inside_an_outer_transaction(session: Session) -> None:
    customer = Customer(name="x", orders=[Order()])
    session.add(customer)
    session.commit()
    assert customer.order_count == 1
    session.add(Order(customer=customer))
    session.flush()
    assert customer.order_count == 2
    session.rollback()
    assert customer.order_count == 1
    session.execute(insert(Order), [{"customer_id": customer.id}, {"customer_id": customer.id}])
    session.commit()
    assert session.scalars(select(Customer.order_count)).all() == [3]


@pytest.mark.filterwarnings("ignore::interaqt_sa.UnattachedWriteWarning")
def test_check_inside_an_outer_transaction(engine: Engine) -> None:
    sessions = sessionmaker()
    system = System(sessions, base=Base)
    Base.metadata.create_all(engine)
    with engine.connect() as connection, connection.begin() as transaction:
        sessions.configure(bind=connection, join_transaction_mode="create_savepoint")
        with sessions() as session:
            session.add(Customer(name="x", orders=[Order()]))
            session.commit()
        assert system.check().ok
        with count_statements(engine) as statements:
            connection.execute(update(Customer.__table__).values(order_count=9))
        assert len(statements) == 1
        assert [(d.stored, d.expected) for d in system.repair().differences] == [(9, 1)]
        assert system.check().ok
        transaction.rollback()
