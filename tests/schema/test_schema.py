"""What ``storage.schema`` shows."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest
from sqlalchemy import CheckConstraint, ForeignKey, Index, MetaData, UniqueConstraint, text
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

from interaqt_sa.definitions.aggregates import Average, Count
from interaqt_sa.definitions.transform import Transform
from interaqt_sa.errors import DefinitionFault
from interaqt_sa.schema.computed import computed
from interaqt_sa.schema.schema_inspection import (
    ComputationInfo,
    ConstraintInfo,
    RecordInfo,
    Schema,
    SequenceInfo,
    TableInfo,
)
from tests.schema import shop


class Base(DeclarativeBase):
    pass


class Author(Base):
    __tablename__ = "author"
    id: Mapped[int] = mapped_column(primary_key=True)
    books: Mapped[list[Book]] = relationship(back_populates="author")
    n_books: Mapped[int] = computed(Count("books"))
    mean: Mapped[float] = computed(Average("books", "pages"))


class Book(Base):
    __tablename__ = "book"
    id: Mapped[int] = mapped_column(primary_key=True)
    author_id: Mapped[int] = mapped_column("author", ForeignKey("author.id"))
    author: Mapped[Author] = relationship(back_populates="books")
    pages: Mapped[int]
    title: Mapped[str]
    __table_args__ = (
        UniqueConstraint("author", "title", info={"violation_code": "TITLE_TWICE"}),
        Index("long_title", "title", unique=True, sqlite_where=text("pages > 99")),
        Index("by_pages", "pages"),
        CheckConstraint("pages > 0"),
    )


class Copy(Base):
    __tablename__ = "copy"
    __computation__ = Transform(Book, lambda book: {"title": book["title"]})
    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str]


def test_declarative_models_are_shown_without_any_definitions() -> None:
    schema = Schema.of(Base.metadata)
    assert schema is Schema.of(Base.metadata)
    assert [(record.name, record.table, record.is_relation) for record in schema.records] == [
        ("Author", "author", False),
        ("Book", "book", False),
        ("Copy", "copy", False),
    ]
    assert schema.records[1].attributes == ("author", "id", "author_id", "pages", "title")
    assert schema.tables[0] == TableInfo("author", ("id", "n_books", "mean", "_mean__sum", "_mean__count"))
    of_books = [constraint for constraint in schema.constraints if constraint.record == "Book"]
    assert [(c.name, c.record, c.properties, c.columns, c.violation_code) for c in of_books] == [
        (None, "Book", ("author_id", "title"), ("author", "title"), "TITLE_TWICE"),
        ("long_title", "Book", ("title",), ("title",), None),
    ]
    assert str(of_books[1].where) == "pages > 99"
    assert [(c.record, c.property, c.column, c.state_columns) for c in schema.computations] == [
        ("Author", "n_books", "n_books", ()),
        ("Author", "mean", "mean", ("_mean__sum", "_mean__count")),
        ("Copy", None, None, ("_transform__source", "_transform__index")),
    ]
    assert schema.sequences == ()


def test_definitions_are_shown() -> None:
    schema = shop.compiled(MetaData())
    records = {record.name: record for record in schema.records}
    assert records.keys() == {
        "Customer",
        "Customer_likes_liked_by_Customer",
        "Membership",
        "Order",
        "Shipment",
        "Shipping",
        "Team",
    }
    assert records["Membership"] == RecordInfo(
        "Membership", "membership", True, ("source_id", "target_id", "role", "id", "source", "target")
    ) or set(records["Membership"].attributes) == {"id", "source_id", "target_id", "role", "source", "target"}
    assert {"id", "total", "status", "customer", "customer_id", "shipments"} <= set(records["Order"].attributes)
    constraints = {constraint.name: constraint for constraint in schema.constraints}
    one_note = constraints["one_note"]
    assert str(one_note.where) == '"order".status = :status_1'
    assert one_note == ConstraintInfo(
        name="one_note",
        physical_name=one_note.physical_name,
        kind="unique",
        record="Order",
        table="order",
        properties=("customer", "note"),
        columns=("customer_id", "note"),
        where=one_note.where,
        violation_code="NOTE_TWICE",
    )
    named = constraints["named"]
    assert (named.kind, named.properties, named.columns) == ("non-null", ("fullName",), ("full_name",))
    assert named.violation_code == "NO_NAME"
    assert constraints["one_role"].properties == ("target", "role")
    assert SequenceInfo("order_id_seq", "order", "id") in schema.sequences
    assert len(schema.sequences) == len(schema.records)
    computations = {(info.record, info.property): info for info in schema.computations}
    assert computations.keys() == {
        ("Customer", "spent"),
        ("Customer", "orderCount"),
        ("Customer", "label"),
        ("Order", "status"),
        ("Shipment", None),
        ("paidOrders", "value"),
    }
    spent = computations["Customer", "spent"]
    assert spent == ComputationInfo(
        "Customer",
        "spent",
        "customer",
        "spent",
        shop.Customer.properties[1].computation,
        ("_spent__sum",),  # type: ignore[arg-type]
    )


def test_a_schema_knows_its_database_once_there_is_one() -> None:
    metadata = MetaData()
    assert Schema.of(metadata).dialect is None
    bound = Schema.of(metadata, dialect=postgresql.dialect())
    assert bound.dialect is not None
    assert (bound.dialect.name, bound.dialect.max_identifier_length) == ("postgresql", 63)
    assert bound.dialect.supports_sequences
    assert Schema.of(metadata).dialect is None


@pytest.mark.parametrize("info", ["records", "tables", "constraints", "sequences", "computations"])
def test_what_is_shown_cannot_be_changed(info: str) -> None:
    shown: Any = getattr(shop.compiled(MetaData()), info)
    assert isinstance(shown, tuple)
    with pytest.raises(AttributeError):
        setattr(shown[0], fields(shown[0])[0].name, "other")


@pytest.mark.parametrize(
    ("ref", "message"),
    [
        ("Ordr", "there is no record 'Ordr'; did you mean 'Order'"),
        ("Nothing", "there is no record 'Nothing'; did you mean|there is no record 'Nothing'"),
        (int, "class int is not mapped"),
        (Author, "class Author is mapped on another MetaData"),
        (3, "3 is not a record"),
        (shop.Orders, "has no rows of its own"),
    ],
)
def test_records_that_do_not_exist(ref: Any, message: str) -> None:
    with pytest.raises(DefinitionFault, match=message):
        shop.compiled(MetaData()).mapped_class(ref)


def test_names_that_are_not_unique_need_their_module() -> None:
    class Local(DeclarativeBase):
        pass

    def make(table: str, module: str) -> type[Any]:
        namespace = {"__tablename__": table, "__module__": module, "id": mapped_column(primary_key=True, type_=None)}
        from sqlalchemy import Integer

        namespace["id"] = mapped_column(Integer, primary_key=True)
        return type("Twin", (Local,), namespace)

    one, two = make("one", "a"), make("two", "b")
    schema = Schema.of(Local.metadata)
    with pytest.raises(DefinitionFault, match=r"not unique; give the class, or one of a\.Twin, b\.Twin"):
        schema.mapped_class("Twin")
    assert (schema.mapped_class("a.Twin"), schema.mapped_class("b.Twin")) == (one, two)
