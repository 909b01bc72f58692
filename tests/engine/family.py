"""Small models, each with another shape of computations, and what their values should be, in plain Python.

Every model is one entry of `FAMILY`: its base, its classes with the attributes that random writes may set, and an
oracle, which computes every value from nothing but the rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, TypeAlias

from sqlalchemy import Column, ForeignKey, Numeric, Table
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

import interaqt_sa as iq

Rows: TypeAlias = Mapping[type[Any], Mapping[int, Any]]
#: value of (class, id, attribute)
Expected: TypeAlias = dict[tuple[type[Any], int, str], Any]


@dataclass(frozen=True)
class Model:
    """One model.

    :ivar classes: parents first; for each the attributes that may be written, with ``int``, ``bool``, ``Decimal``,
        ``float`` or the class that a foreign key refers to.
    :ivar links: many-to-many collections, with the class of their members.
    :ivar oracle: what every computed value should be.
    """

    name: str
    base: type[DeclarativeBase]
    classes: Mapping[type[Any], Mapping[str, type[Any]]]
    oracle: Callable[[Rows], Expected]
    links: tuple[tuple[type[Any], str, type[Any]], ...] = ()


def _members(rows: Iterable[Any], name: str, key: int) -> list[Any]:
    return [row for row in rows if getattr(row, name) == key]


# -- a chain of three levels, with every kind of number ----------------------------------------------------------------


class ChainBase(DeclarativeBase):
    pass


class Top(ChainBase):
    __tablename__ = "top"
    id: Mapped[int] = mapped_column(primary_key=True)
    total: Mapped[Decimal] = iq.computed(iq.Summation("middles", "total"), Numeric(14, 2))
    level: Mapped[float] = iq.computed(iq.Summation("middles", "level"))
    full: Mapped[int] = iq.computed(iq.Count("middles", where={"all_done": True}))
    middles: Mapped[list[Middle]] = relationship(back_populates="top")


class Middle(ChainBase):
    __tablename__ = "middle"
    id: Mapped[int] = mapped_column(primary_key=True)
    top_id: Mapped[int | None] = mapped_column(ForeignKey("top.id"))
    total: Mapped[Decimal] = iq.computed(iq.Summation("leaves", "amount"), Numeric(14, 2))
    level: Mapped[float] = iq.computed(iq.Summation("leaves", "weight"))
    mean: Mapped[float] = iq.computed(iq.Average("leaves", "weight"))
    all_done: Mapped[bool] = iq.computed(iq.Every("leaves", expression={"done": True}, not_empty=True))
    top: Mapped[Top | None] = relationship(back_populates="middles")
    leaves: Mapped[list[Leaf]] = relationship(back_populates="middle")


class Leaf(ChainBase):
    __tablename__ = "leaf"
    id: Mapped[int] = mapped_column(primary_key=True)
    middle_id: Mapped[int | None] = mapped_column(ForeignKey("middle.id"))
    amount: Mapped[Decimal] = mapped_column(Numeric(10, 2))
    weight: Mapped[float]
    done: Mapped[bool]
    middle: Mapped[Middle | None] = relationship(back_populates="leaves")


def _chain(rows: Rows) -> Expected:
    found: Expected = {}
    for key in rows[Middle]:
        leaves = _members(rows[Leaf].values(), "middle_id", key)
        level = sum(leaf.weight for leaf in leaves)
        found[Middle, key, "total"] = sum((leaf.amount for leaf in leaves), Decimal(0))
        found[Middle, key, "level"] = level
        found[Middle, key, "mean"] = level / len(leaves) if leaves else 0
        found[Middle, key, "all_done"] = bool(leaves) and all(leaf.done for leaf in leaves)
    for key in rows[Top]:
        middles = [middle.id for middle in _members(rows[Middle].values(), "top_id", key)]
        found[Top, key, "total"] = sum((found[Middle, m, "total"] for m in middles), Decimal(0))
        found[Top, key, "level"] = sum(found[Middle, m, "level"] for m in middles)
        found[Top, key, "full"] = sum(found[Middle, m, "all_done"] for m in middles)
    return found


# -- a diamond: two ways up, a same-row value that feeds a sum, a callback --------------------------------------------


class DiamondBase(DeclarativeBase):
    pass


class Firm(DiamondBase):
    __tablename__ = "firm"
    id: Mapped[int] = mapped_column(primary_key=True)
    from_teams: Mapped[int] = iq.computed(iq.Summation("teams", "hours"))
    from_sites: Mapped[int] = iq.computed(iq.Summation("sites", "cost"))
    balance: Mapped[int] = iq.computed(lambda firm: firm.from_teams - firm.from_sites)
    teams: Mapped[list[Team]] = relationship(back_populates="firm")
    sites: Mapped[list[Site]] = relationship(back_populates="firm")


class Team(DiamondBase):
    __tablename__ = "team"
    id: Mapped[int] = mapped_column(primary_key=True)
    firm_id: Mapped[int | None] = mapped_column(ForeignKey("firm.id"))
    hours: Mapped[int] = iq.computed(iq.Summation("shifts", "hours"))
    long_shifts: Mapped[int] = iq.computed(
        iq.Count("shifts", callback=lambda shift: shift.hours * shift.rate > 12, attribute_query=["hours", "rate"])
    )
    firm: Mapped[Firm | None] = relationship(back_populates="teams")
    shifts: Mapped[list[Shift]] = relationship(back_populates="team")


class Site(DiamondBase):
    __tablename__ = "site"
    id: Mapped[int] = mapped_column(primary_key=True)
    firm_id: Mapped[int | None] = mapped_column(ForeignKey("firm.id"))
    cost: Mapped[int] = iq.computed(iq.Summation("shifts", "cost"))
    firm: Mapped[Firm | None] = relationship(back_populates="sites")
    shifts: Mapped[list[Shift]] = relationship(back_populates="site")


class Shift(DiamondBase):
    __tablename__ = "shift"
    id: Mapped[int] = mapped_column(primary_key=True)
    team_id: Mapped[int | None] = mapped_column(ForeignKey("team.id"))
    site_id: Mapped[int | None] = mapped_column(ForeignKey("site.id"))
    hours: Mapped[int]
    rate: Mapped[int]
    cost: Mapped[int] = iq.computed(lambda shift: shift.hours * shift.rate)
    team: Mapped[Team | None] = relationship(back_populates="shifts")
    site: Mapped[Site | None] = relationship(back_populates="shifts")


def _diamond(rows: Rows) -> Expected:
    found: Expected = {}
    for key, shift in rows[Shift].items():
        found[Shift, key, "cost"] = shift.hours * shift.rate
    for key in rows[Team]:
        shifts = _members(rows[Shift].values(), "team_id", key)
        found[Team, key, "hours"] = sum(shift.hours for shift in shifts)
        found[Team, key, "long_shifts"] = sum(shift.hours * shift.rate > 12 for shift in shifts)
    for key in rows[Site]:
        shifts = _members(rows[Shift].values(), "site_id", key)
        found[Site, key, "cost"] = sum(shift.hours * shift.rate for shift in shifts)
    for key in rows[Firm]:
        teams = sum(found[Team, t.id, "hours"] for t in _members(rows[Team].values(), "firm_id", key))
        sites = sum(found[Site, s.id, "cost"] for s in _members(rows[Site].values(), "firm_id", key))
        found[Firm, key, "from_teams"], found[Firm, key, "from_sites"] = teams, sites
        found[Firm, key, "balance"] = teams - sites
    return found


# -- neighbours: paths of one and two steps, one of them to a computed value -------------------------------------------


class MarketBase(DeclarativeBase):
    pass


class Maker(MarketBase):
    __tablename__ = "maker"
    id: Mapped[int] = mapped_column(primary_key=True)
    trusted: Mapped[bool]
    wares: Mapped[list[Ware]] = relationship(back_populates="maker")


class Ware(MarketBase):
    __tablename__ = "ware"
    id: Mapped[int] = mapped_column(primary_key=True)
    maker_id: Mapped[int | None] = mapped_column(ForeignKey("maker.id"))
    price: Mapped[int]
    line_count: Mapped[int] = iq.computed(iq.Count("lines"))
    maker: Mapped[Maker | None] = relationship(back_populates="wares")
    lines: Mapped[list[Line]] = relationship(back_populates="ware")


class Bill(MarketBase):
    __tablename__ = "bill"
    id: Mapped[int] = mapped_column(primary_key=True)
    total: Mapped[int] = iq.computed(iq.Summation("lines", "ware.price", where={"ware.maker.trusted": True}))
    popular: Mapped[int] = iq.computed(iq.Summation("lines", "ware.line_count"))
    any_dear: Mapped[bool] = iq.computed(
        iq.Any("lines", lambda line: (line.ware.price or 0) > 5, attribute_query=["ware.price"])
    )
    lines: Mapped[list[Line]] = relationship(back_populates="bill")


class Line(MarketBase):
    __tablename__ = "line"
    id: Mapped[int] = mapped_column(primary_key=True)
    bill_id: Mapped[int | None] = mapped_column(ForeignKey("bill.id"))
    ware_id: Mapped[int | None] = mapped_column(ForeignKey("ware.id"))
    bill: Mapped[Bill | None] = relationship(back_populates="lines")
    ware: Mapped[Ware | None] = relationship(back_populates="lines")


def _market(rows: Rows) -> Expected:
    found: Expected = {}
    for key in rows[Ware]:
        found[Ware, key, "line_count"] = len(_members(rows[Line].values(), "ware_id", key))
    for key in rows[Bill]:
        wares = [rows[Ware][line.ware_id] for line in _members(rows[Line].values(), "bill_id", key) if line.ware_id]
        trusted = [ware.price for ware in wares if ware.maker_id and rows[Maker][ware.maker_id].trusted]
        found[Bill, key, "total"] = sum(trusted)
        found[Bill, key, "popular"] = sum(found[Ware, ware.id, "line_count"] for ware in wares)
        found[Bill, key, "any_dear"] = any(ware.price > 5 for ware in wares)
    return found


# -- many-to-many without a class for the link, and a tree ------------------------------------------------------------


class ClubBase(DeclarativeBase):
    pass


member_of = Table(
    "member_of",
    ClubBase.metadata,
    Column("person_id", ForeignKey("person.id", ondelete="CASCADE"), primary_key=True),
    Column("club_id", ForeignKey("club.id", ondelete="CASCADE"), primary_key=True),
)


class Person(ClubBase):
    __tablename__ = "person"
    id: Mapped[int] = mapped_column(primary_key=True)
    mentor_id: Mapped[int | None] = mapped_column(ForeignKey("person.id"))
    fee: Mapped[int]
    pupil_count: Mapped[int] = iq.computed(iq.Count("pupils"))
    pupil_fees: Mapped[int] = iq.computed(iq.Summation("pupils", "fee"))
    mentor: Mapped[Person | None] = relationship(back_populates="pupils", remote_side=[id])
    pupils: Mapped[list[Person]] = relationship(back_populates="mentor")
    clubs: Mapped[list[Club]] = relationship(secondary=member_of, back_populates="people")


class Club(ClubBase):
    __tablename__ = "club"
    id: Mapped[int] = mapped_column(primary_key=True)
    size: Mapped[int] = iq.computed(iq.Count("people"))
    income: Mapped[int] = iq.computed(iq.Summation("people", "fee", where={"fee": (">", 2)}))
    people: Mapped[list[Person]] = relationship(secondary=member_of, back_populates="clubs")


def _clubs(rows: Rows) -> Expected:
    found: Expected = {}
    for key in rows[Person]:
        pupils = _members(rows[Person].values(), "mentor_id", key)
        found[Person, key, "pupil_count"] = len(pupils)
        found[Person, key, "pupil_fees"] = sum(person.fee for person in pupils)
    for key, club in rows[Club].items():
        found[Club, key, "size"] = len(club.people)
        found[Club, key, "income"] = sum(person.fee for person in club.people if person.fee > 2)
    return found


FAMILY = [
    Model(
        "chain",
        ChainBase,
        {
            Top: {},
            Middle: {"top_id": Top},
            Leaf: {"middle_id": Middle, "amount": Decimal, "weight": float, "done": bool},
        },
        _chain,
    ),
    Model(
        "diamond",
        DiamondBase,
        {
            Firm: {},
            Team: {"firm_id": Firm},
            Site: {"firm_id": Firm},
            Shift: {"team_id": Team, "site_id": Site, "hours": int, "rate": int},
        },
        _diamond,
    ),
    Model(
        "market",
        MarketBase,
        {
            Maker: {"trusted": bool},
            Ware: {"maker_id": Maker, "price": int},
            Bill: {},
            Line: {"bill_id": Bill, "ware_id": Ware},
        },
        _market,
    ),
    Model(
        "clubs",
        ClubBase,
        {Person: {"mentor_id": Person, "fee": int}, Club: {}},
        _clubs,
        links=((Club, "people", Person), (Person, "clubs", Club)),
    ),
]
