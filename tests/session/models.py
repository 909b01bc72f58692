"""One table with every kind of constraint."""

from __future__ import annotations

from sqlalchemy import CheckConstraint, ForeignKey, Index, MetaData, UniqueConstraint, null, text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    metadata = MetaData(naming_convention={"fk": "fk_%(table_name)s_%(column_0_name)s"})


class Shop(Base):
    __tablename__ = "shop"
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)


class Seat(Base):
    __tablename__ = "seat"
    __table_args__ = (
        UniqueConstraint("hall", "row_number", name="uq_seat_place", info={"violation_code": "SEAT_TAKEN"}),
        UniqueConstraint("label"),
        Index(
            "uq_seat_open",
            "guest",
            unique=True,
            postgresql_where=text("status = 'open'"),
            sqlite_where=text("status = 'open'"),
            info={"violation_code": "ONE_OPEN"},
        ),
        Index("uq_seat_expression", text("lower(alias)"), unique=True),
        CheckConstraint("price >= 0", name="ck_seat_price"),
    )
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    hall: Mapped[int] = mapped_column(default=0)
    row: Mapped[int | None] = mapped_column("row_number")
    label: Mapped[str | None]
    guest: Mapped[str | None]
    status: Mapped[str] = mapped_column(default="closed")
    alias: Mapped[str | None]
    price: Mapped[int] = mapped_column(default=0)
    required: Mapped[str] = mapped_column(default="x", info={"violation_code": "REQUIRED"})
    shop_id: Mapped[int | None] = mapped_column(ForeignKey("shop.id"))


#: name of a case, two rows of which the second is refused, and what is expected of the violation
CASES = {
    "unique": (
        [{"hall": 1, "row": 1}, {"hall": 1, "row": 1}],
        ("unique", "SEAT_TAKEN", "uq_seat_place", ("hall", "row")),
    ),
    "unnamed": ([{"label": "a"}, {"label": "a"}], ("unique", "UNIQUE_CONSTRAINT_VIOLATION", None, ("label",))),
    "partial": (
        [{"guest": "g", "status": "open"}, {"guest": "g", "status": "open"}],
        ("unique", "ONE_OPEN", "uq_seat_open", ("guest",)),
    ),
    "expression": (
        [{"alias": "A"}, {"alias": "a"}],
        ("unique", "UNIQUE_CONSTRAINT_VIOLATION", "uq_seat_expression", ()),
    ),
    "primary key": ([{"id": 7}, {"id": 7}], ("unique", "UNIQUE_CONSTRAINT_VIOLATION", None, ("id",))),
    "check": ([{}, {"price": -1}], ("check", "CHECK_CONSTRAINT_VIOLATION", "ck_seat_price", ())),
    "not null": ([{}, {"required": null()}], ("non-null", "REQUIRED", None, ("required",))),
}
