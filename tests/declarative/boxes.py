"""Boxes whose labels the application computes from everything around them, and the labels by plain Python."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Column, ForeignKey, Table, select
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship

import interaqt_sa as iq

#: the keys of the boxes for which label() was called
CALLS: list[int] = []

RATE = iq.Dictionary("rate", "number", default=1)
OTHER = iq.Dictionary("other", "number", default=1)


def label(ctx: iq.ComputationContext, deps: Mapping[str, Any], record: Any) -> str | None:
    assert deps["own"] is record
    CALLS.append(record.id)
    if record.name == "none":
        return None
    items = "+".join(sorted(f"{item.amount}{item.product.name}" for item in record["items"]))
    tags = "+".join(sorted(tag.name for tag in record.tags))
    seal = record.seal.code if record.seal else None
    return f"{record.name}/{record.owner.name}/{items}/{tags}/{seal}/{deps['rate']}/{record.total}"


def length(ctx: iq.ComputationContext, deps: Mapping[str, Any], record: Any) -> int:
    assert (ctx.name, deps["own"]) == ("length", record)
    return len(record.label or "")


def total(ctx: iq.ComputationContext, deps: Mapping[str, Any], record: None) -> str:
    assert record is None
    return f"{len(deps['items'])}/{sum(item.amount for item in deps['items'])}/{deps['rate']}"


TOTAL = iq.Dictionary(
    "total",
    "string",
    computation=iq.Custom(
        "total",
        data_deps={
            "items": {
                "type": "records",
                "source": "Item",
                "attribute_query": ["amount"],
                "match": {"amount": (">", 2)},
            },
            "rate": {"type": "global", "source": "rate"},
        },
        compute=total,
        concurrency="locked",
    ),
)


class Base(DeclarativeBase):
    pass


class Owner(Base):
    __tablename__ = "owner"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    boxes: Mapped[list[Box]] = relationship(back_populates="owner")
    # a value over what is computed by the application
    labelled: Mapped[int] = iq.computed(iq.Count("boxes", where={"label": ("!=", None)}))


class Product(Base):
    __tablename__ = "product"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]


class Tag(Base):
    __tablename__ = "tag"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]


box_tag = Table(
    "box_tag",
    Base.metadata,
    Column("box_id", ForeignKey("box.id"), primary_key=True),
    Column("tag_id", ForeignKey("tag.id"), primary_key=True),
)


class Box(Base):
    __tablename__ = "box"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    weight: Mapped[int] = mapped_column(default=0)
    owner_id: Mapped[int | None] = mapped_column(ForeignKey("owner.id"))
    owner: Mapped[Owner | None] = relationship(back_populates="boxes")
    items: Mapped[list[Item]] = relationship(back_populates="box", cascade="all, delete-orphan")
    tags: Mapped[list[Tag]] = relationship(secondary=box_tag)
    seal: Mapped[Seal | None] = relationship(back_populates="box", cascade="all, delete-orphan")
    total: Mapped[int] = iq.computed(iq.Summation("items", "amount"))
    label: Mapped[str | None] = iq.computed(
        iq.Custom(
            "label",
            data_deps={
                "own": {
                    "type": "property",
                    "attribute_query": [
                        "name",
                        "total",
                        "owner.name",
                        ("items", ["amount", ("product", ["name"])]),
                        ("tags", ["name"]),
                        "seal.code",
                    ],
                },
                "rate": RATE,
            },
            compute=label,
            concurrency="locked",
        )
    )
    length: Mapped[int] = iq.computed(
        iq.Custom(
            "length",
            data_deps={"own": {"type": "property", "attribute_query": ["label"]}},
            compute=length,
            concurrency="locked",
        )
    )


class Item(Base):
    __tablename__ = "item"

    id: Mapped[int] = mapped_column(primary_key=True)
    amount: Mapped[int]
    box_id: Mapped[int] = mapped_column(ForeignKey("box.id"), index=True)
    box: Mapped[Box] = relationship(back_populates="items")
    product_id: Mapped[int | None] = mapped_column(ForeignKey("product.id"))
    product: Mapped[Product | None] = relationship()


class Seal(Base):
    __tablename__ = "seal"

    id: Mapped[int] = mapped_column(primary_key=True)
    code: Mapped[str]
    box_id: Mapped[int] = mapped_column(ForeignKey("box.id"), unique=True)
    box: Mapped[Box] = relationship(back_populates="seal")


iq.compile_schema(Base, dictionaries=[RATE, OTHER, TOTAL])


def expected_label(box: Box, rate: float) -> str | None:
    """Return the label of a box by the objects of a session."""
    if box.name == "none":
        return None
    items = "+".join(sorted(f"{item.amount}{item.product.name if item.product else None}" for item in box.items))
    tags = "+".join(sorted(tag.name for tag in box.tags))
    seal = box.seal.code if box.seal else None
    owner = box.owner.name if box.owner else None
    return f"{box.name}/{owner}/{items}/{tags}/{seal}/{rate}/{sum(item.amount for item in box.items)}"


def verify(system: iq.System) -> None:
    """Compare every computed value with plain Python, and with the engine's own recomputation."""
    with system.session_factory() as session:
        storage = system.storage.with_session(session)
        rate = storage.dictionary.get("rate")
        for box in session.scalars(select(Box)):
            assert box.label == expected_label(box, rate)
            assert box.length == len(box.label or "")
        for owner in session.scalars(select(Owner)):
            assert owner.labelled == sum(box.label is not None for box in owner.boxes)
        amounts = [amount for amount in session.scalars(select(Item.amount)) if amount > 2]
        assert storage.dictionary.get("total") == f"{len(amounts)}/{sum(amounts)}/{rate}"
    report = system.check()
    assert report.ok, report.differences
    CALLS.clear()


def fill(session: Session) -> None:
    """Add two owners, three products, two tags, and four boxes with two items each."""
    session.add_all([Owner(id=n, name=f"o{n}") for n in (1, 2)])
    session.add_all([Product(id=n, name=f"p{n}") for n in (1, 2, 3)])
    session.add_all([Tag(id=n, name=f"t{n}") for n in (1, 2)])
    session.flush()
    for n in range(1, 5):
        items = [Item(amount=n, product_id=1 + n % 3), Item(amount=n + 1, product_id=None)]
        session.add(Box(id=n, name=f"b{n}", owner_id=1 + n % 2, items=items))
