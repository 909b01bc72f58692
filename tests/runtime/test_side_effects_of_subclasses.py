"""Side effects of mapped classes that inherit: those of a class receive the events of its subclasses, and no others."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest
from sqlalchemy import Engine, ForeignKey, delete, insert, update
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

import interaqt_sa as iq


def _models(is_joined: bool) -> Any:
    class Base(DeclarativeBase):
        pass

    class Product(Base):
        __tablename__ = "product"
        __mapper_args__ = {"polymorphic_on": "kind", "polymorphic_identity": "product"}

        id: Mapped[int] = mapped_column(primary_key=True)
        kind: Mapped[str]
        sales: Mapped[list[Sale]] = relationship()
        sold: Mapped[int] = iq.computed(iq.Summation("sales", "number"))

    class Book(Product):
        if is_joined:
            __tablename__ = "book"
            id: Mapped[int] = mapped_column(ForeignKey("product.id"), primary_key=True)
        __mapper_args__ = {"polymorphic_identity": "book"}

        pages: Mapped[int | None]

    class Sale(Base):
        __tablename__ = "sale"

        id: Mapped[int] = mapped_column(primary_key=True)
        number: Mapped[int]
        product_id: Mapped[int] = mapped_column(ForeignKey("product.id"))

    class Order(Base):
        __tablename__ = "order"

        id: Mapped[int] = mapped_column(primary_key=True)

    return Base, Product, Book, Sale, Order


@pytest.mark.parametrize("listening", [("Book",), ("Product",), ("Product", "Book")], ids="+".join)
@pytest.mark.parametrize("is_joined", [False, True], ids=["single table", "joined"])
def test_who_is_called(engine: Engine, is_joined: bool, listening: tuple[str, ...]) -> None:
    base, product, book, sale, order = _models(is_joined)
    called: list[tuple[str, str, int]] = []

    def effect(name: str) -> iq.RecordMutationSideEffect:
        def content(_: Any, event: iq.MutationEvent) -> None:
            record = event.record or event.old_record or {}
            called.append((name, event.type, record["id"]))

        return iq.RecordMutationSideEffect(name, name, content)

    def resolve(ctx: iq.DispatchContext, args: Mapping[str, Any]) -> None:
        session = ctx.session
        if args["step"] == "create":
            session.add_all([product(id=1), book(id=2)])
        elif args["step"] == "sell":
            session.execute(insert(sale), [{"product_id": 1, "number": 1}, {"product_id": 2, "number": 5}])
        else:
            session.execute(update(book).values(pages=7))

    base.metadata.create_all(engine)
    system = iq.System(engine, base=base)
    source = iq.EventSource("order", order, map_event_data=lambda *_: {}, resolve=resolve)
    controller = iq.Controller(
        system, event_sources=[source], record_mutation_side_effects=[effect(name) for name in listening]
    )
    everything = {"Product": {1, 2}, "Book": {2}}
    for step, kind in (("create", "create"), ("sell", "update"), ("write", "update")):
        called.clear()
        result = controller.dispatch("order", {"step": step})
        assert result.ok, result.error
        told = {2} if step == "write" else {1, 2}
        assert sorted(called) == sorted(
            (name, kind, number) for name in listening for number in everything[name] & told
        ), step
    assert system.check()


@pytest.mark.parametrize("is_heard", [False, True], ids=["not heard", "heard"])
@pytest.mark.parametrize("is_joined", [False, True], ids=["single table", "joined"])
def test_the_names_of_events(engine: Engine, is_joined: bool, is_heard: bool) -> None:
    """What the documentation says in "Names of classes that inherit"."""
    base, product, book, sale, order = _models(is_joined)
    base.metadata.create_all(engine)
    system = iq.System(engine, base=base)

    def do_nothing(ctx: Any, event: Any) -> None:
        pass

    effects = [iq.RecordMutationSideEffect("heard", "Book", do_nothing)] if is_heard else []
    iq.Controller(system, event_sources=[iq.EventSource("order", order)], record_mutation_side_effects=effects)
    heard: list[tuple[str, str, bool]] = []

    def listen(_: Any, events: Any) -> None:
        for event in events:
            values = event.record or event.old_record
            heard.append((event.type, event.record_name, "pages" in values))
            assert event.record_name == "Sale" or values["kind"] == "book"

    system.storage.listen(listen)
    own, other = ("Book", True), ("Book", True) if is_heard else ("Product", False)
    wanted: list[tuple[Callable[[Any], Any], list[Any]]] = [
        (lambda s: s.add(book(id=1, pages=1)), [("create", *own)]),
        (lambda s: setattr(s.get(product, 1), "pages", 5), [("update", *own)]),
        (lambda s: s.execute(insert(book), [{"id": 2, "pages": 2}]), [("create", *own)]),
        (lambda s: s.execute(update(book).values(pages=9)), [("update", *own)] * 2),
        (lambda s: s.add(sale(number=1, product_id=1)), [("create", "Sale", False), ("update", *other)]),
        (lambda s: s.execute(update(sale).values(number=2)), [("update", "Sale", False), ("update", *other)]),
        (lambda s: s.delete(s.get(product, 2)), [("delete", *own)]),
    ]
    for step, expected in wanted:
        heard.clear()
        with system.session_factory.begin() as session:
            step(session)
        assert heard == expected
    heard.clear()
    if not is_joined:  # the rows of the subclass's table would remain
        with system.session_factory.begin() as session:
            session.execute(delete(sale))
            heard.clear()
            session.execute(delete(product))
        assert heard == [("delete", *other)]
