"""Side effects of mapped classes that inherit: those of a class receive the events of its subclasses, and no others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from sqlalchemy import Engine, ForeignKey, insert, update
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
