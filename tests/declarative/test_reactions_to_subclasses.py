"""Transforms and triggers that wait for a subclass: what counts is the class of a row, not how it is written."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import ForeignKey, delete, insert, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

from interaqt_sa import Count, StateMachine, StateNode, StateTransfer, Summation, Transform, Trigger, computed
from interaqt_sa.session.state import SessionState
from tests.declarative.kept import Keep, Kept

CALM, ALARMED = StateNode("calm"), StateNode("alarmed")


def _models(kind: str) -> Any:
    class Base(DeclarativeBase):
        pass

    class Account(Base):
        __tablename__ = "account"
        __mapper_args__ = {"polymorphic_on": "kind", "polymorphic_identity": "account"}
        id: Mapped[int] = mapped_column(primary_key=True)
        kind: Mapped[str]
        note: Mapped[int] = mapped_column(default=0)
        items: Mapped[list[Item]] = relationship(back_populates="account")
        total: Mapped[int] = computed(Summation("items", "amount"))

    class Savings(Account):
        """The reactions wait for it."""

        __mapper_args__ = {"polymorphic_identity": "savings"}
        if kind == "joined":
            __tablename__ = "savings"
            id: Mapped[int] = mapped_column(ForeignKey("account.id"), primary_key=True)
        rate: Mapped[int | None]

    class Item(Base):
        __tablename__ = "item"
        id: Mapped[int] = mapped_column(primary_key=True)
        account_id: Mapped[int] = mapped_column(ForeignKey("account.id"))
        amount: Mapped[int]
        account: Mapped[Account] = relationship(back_populates="items")

    class Statement(Base):
        __tablename__ = "statement"
        __computation__ = Transform(Savings, lambda s: {"total": s.total, "note": s.note, "rate": s.rate})
        id: Mapped[int] = mapped_column(primary_key=True)
        total: Mapped[int]
        note: Mapped[int]
        rate: Mapped[int | None]

    class Guard(Base):
        __tablename__ = "guard"
        id: Mapped[int] = mapped_column(primary_key=True)
        mood: Mapped[str] = computed(
            StateMachine(
                states=[CALM, ALARMED],
                initial_state=CALM,
                transfers=[
                    StateTransfer(
                        current=CALM,
                        next=ALARMED,
                        trigger=Trigger(Savings, "update", keys=["total"]),
                        compute_target=lambda _, event: event.record["rate"],
                    )
                ],
            )
        )

    return SimpleNamespace(**locals())


MODELS = {kind: _models(kind) for kind in ("single", "joined")}


class Bank:
    """An account, and savings from which a statement is derived."""

    def __init__(self, kept: Kept, models: Any) -> None:
        self.kept = kept
        self.models = models
        with kept.begin() as session:
            session.add_all([models.Account(id=1), models.Savings(id=2, rate=7), models.Guard(id=7)])

    @property
    def statements(self) -> list[tuple[Any, ...]]:
        model = self.models.Statement
        return [row[1:] for row in self.kept.stored(model.id, model.total, model.note, model.rate)]

    @property
    def mood(self) -> Any:
        return self.kept.stored(self.models.Guard.mood)[0][0]


@pytest.fixture(params=MODELS)
def bank(keep: Keep, request: pytest.FixtureRequest) -> Bank:
    models = MODELS[request.param]
    return Bank(keep(models.Base), models)


def test_check_and_repair_know_the_class(bank: Bank) -> None:
    assert bank.statements == [(0, 0, 7)]
    statement = bank.models.Statement.__table__
    with bank.kept.engine.begin() as connection:
        wrong = {"total": 0, "note": 0, "_transform__source": "1", "_transform__index": 0}
        connection.execute(insert(statement).values(wrong))
        connection.execute(update(statement).values(note=5))
    assert {d.property for d in bank.kept.system.check().differences} == {"(row)"}
    bank.kept.system.repair()
    assert bank.statements == [(0, 0, 7)]


def test_a_value_of_the_base_class_changes(bank: Bank) -> None:
    with bank.kept.begin() as session:
        session.add(bank.models.Item(account_id=1, amount=3))
    assert (bank.statements, bank.mood) == ([(0, 0, 7)], "calm")
    with bank.kept.begin() as session:
        session.add(bank.models.Item(account_id=2, amount=5))
    assert (bank.statements, bank.mood) == ([(5, 0, 7)], "alarmed")
    bank.kept.run(update(bank.models.Item).values(amount=6))
    assert bank.statements == [(6, 0, 7)]
    bank.kept.run(delete(bank.models.Item))
    assert bank.statements == [(0, 0, 7)]


def test_events_name_each_row_by_its_class(bank: Bank) -> None:
    with bank.kept.begin() as session:
        session.add_all([bank.models.Item(account_id=1, amount=3), bank.models.Item(account_id=2, amount=5)])
        session.flush()
        events = SessionState.of(session).transaction.events
        updates = {(e.record_name, e.record["id"], e.record["total"]) for e in events if e.keys == {"total"}}
    assert {("Account", 1, 3), ("Savings", 2, 5)} <= updates


@pytest.mark.parametrize("core", [False, True], ids=["class", "table"])
def test_bulk_updates_of_the_base_class(bank: Bank, core: bool) -> None:
    account = bank.models.Account
    statement = update(account.__table__ if core else account)
    assert bank.kept.run(statement.values(note=8)) == 2
    assert bank.statements == [(0, 8, 7)]
    if not core:
        with bank.kept.begin() as session:
            session.execute(update(account), [{"id": 1, "note": 4}, {"id": 2, "note": 5}])
        assert bank.statements == [(0, 5, 7)]


@pytest.fixture
def shared(keep: Keep) -> Bank:
    return Bank(keep(MODELS["single"].Base), MODELS["single"])


def test_rows_of_a_subclass_in_the_table_of_the_base_class(shared: Bank) -> None:
    account = shared.models.Account
    shared.kept.run(insert(account).values(id=3, kind="savings", note=1))
    shared.kept.run(insert(account), [{"id": 4, "kind": "savings"}, {"id": 5, "kind": "account"}])
    shared.kept.run(insert(account.__table__).values(id=6, kind="savings", note=2))
    assert shared.statements == [(0, 0, 7), (0, 1, None), (0, 0, None), (0, 2, None)]
    shared.kept.run(delete(account).where(account.id.in_([1, 2, 3])))
    assert shared.statements == [(0, 0, None), (0, 2, None)]


def test_a_row_becomes_one_of_the_subclass_and_ceases_to_be(shared: Bank) -> None:
    account = shared.models.Account
    shared.kept.run(update(account).where(account.id == 1).values(kind="savings", note=3))
    assert shared.statements == [(0, 0, 7), (0, 3, None)]
    shared.kept.run(update(account).where(account.id == 2).values(kind="account"))
    assert shared.statements == [(0, 3, None)]


@pytest.mark.filterwarnings("ignore:Flushing object .* with incompatible polymorphic identity:sqlalchemy.exc.SAWarning")
def test_an_object_becomes_one_of_the_subclass_and_ceases_to_be(shared: Bank) -> None:
    account = shared.models.Account
    for key, kind in ((1, "savings"), (2, "account")):
        with shared.kept.begin() as session:
            session.get_one(account, key).kind = kind
    assert shared.statements == [(0, 0, None)]


def test_a_function_of_the_row_follows_an_aggregate(keep: Keep) -> None:
    """The event of the host names what the function changed too."""

    class Base(DeclarativeBase):
        pass

    class Basket(Base):
        __tablename__ = "basket"
        id: Mapped[int] = mapped_column(primary_key=True)
        eggs: Mapped[int] = computed(Count("contents"))
        label: Mapped[str] = computed(lambda basket: "full" if basket.eggs > 1 else "empty")
        contents: Mapped[list[Egg]] = relationship()

    class Egg(Base):
        __tablename__ = "egg"
        id: Mapped[int] = mapped_column(primary_key=True)
        basket_id: Mapped[int] = mapped_column(ForeignKey("basket.id"))

    class Sticker(Base):
        __tablename__ = "sticker"
        __computation__ = Transform(Basket, lambda b: {"text": b.label}, attribute_query=["label"])
        id: Mapped[int] = mapped_column(primary_key=True)
        text: Mapped[str]

    kept = keep(Base)
    with kept.begin() as session:
        session.add(Basket(id=1))
    for eggs, text in ((1, "empty"), (2, "full")):
        with kept.begin() as session:
            session.add(Egg(basket_id=1))
        assert kept.stored(Sticker.text) == [(text,)], eggs
    kept.run(delete(Egg))
    assert kept.stored(Sticker.text) == [("empty",)]


def test_a_machine_of_the_base_class_moves(keep: Keep) -> None:
    class Base(DeclarativeBase):
        pass

    class Bell(Base):
        __tablename__ = "bell"
        id: Mapped[int] = mapped_column(primary_key=True)

    class Door(Base):
        __tablename__ = "door"
        __mapper_args__ = {"polymorphic_on": "kind", "polymorphic_identity": "door"}
        id: Mapped[int] = mapped_column(primary_key=True)
        kind: Mapped[str]
        mood: Mapped[str] = computed(
            StateMachine(
                states=[CALM, ALARMED],
                initial_state=CALM,
                transfers=[
                    StateTransfer(
                        current=CALM,
                        next=ALARMED,
                        trigger=Trigger(Bell, "create"),
                        compute_target=lambda _, event: event.record["id"],
                    )
                ],
            )
        )

    class Gate(Door):
        __mapper_args__ = {"polymorphic_identity": "gate"}

    class Report(Base):
        __tablename__ = "report"
        __computation__ = Transform(Gate, lambda gate: {"mood": gate.mood})
        id: Mapped[int] = mapped_column(primary_key=True)
        mood: Mapped[str]

    kept = keep(Base)
    with kept.begin() as session:
        session.add_all([Door(id=1), Gate(id=2)])
    with kept.begin() as session:
        session.add_all([Bell(id=1), Bell(id=2)])
    assert kept.stored(Report.mood) == [("alarmed",)]


def test_keys_that_find_rows_of_other_classes(keep: Keep) -> None:
    """An upsert, or an update by key, of a class finds a row of its base, or of a sister, by the key of their table."""

    class Base(DeclarativeBase):
        pass

    class Doc(Base):
        __tablename__ = "doc"
        __mapper_args__ = {"polymorphic_on": "kind", "polymorphic_identity": "doc"}
        id: Mapped[int] = mapped_column(primary_key=True)
        kind: Mapped[str]
        size: Mapped[int] = mapped_column(default=1)

    class Book(Doc):
        __mapper_args__ = {"polymorphic_identity": "book"}

    class Map(Doc):
        __mapper_args__ = {"polymorphic_identity": "map"}

    class Card(Base):
        __tablename__ = "card"
        __computation__ = Transform(Book, lambda book: {"book": book.id, "size": book.size})
        id: Mapped[int] = mapped_column(primary_key=True)
        book: Mapped[int]
        size: Mapped[int]

    kept = keep(Base)
    with kept.begin() as session:
        session.add_all([Doc(id=1), Book(id=2), Map(id=3)])
    make: Any = postgresql.insert if kept.engine.dialect.name == "postgresql" else sqlite.insert
    for place, mapped in enumerate([Book, Map, Doc]):
        statement = make(mapped)
        upsert = statement.on_conflict_do_update(index_elements=["id"], set_={"size": statement.excluded.size})
        with kept.begin() as session:
            session.execute(upsert, [{"id": n, "size": 10 * place + n} for n in (1, 2, 3)])
        assert kept.stored(Card.book, Card.size) == [(2, 10 * place + 2)]
        with kept.begin() as session:
            session.execute(update(mapped), [{"id": n, "size": 10 * place + n + 5} for n in (1, 2, 3)])
        assert kept.stored(Card.book, Card.size) == [(2, 10 * place + 7)]
