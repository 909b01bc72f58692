"""Everything that can be declared, in three stages: without it, with it, and declared otherwise."""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from sqlalchemy import (
    Column,
    Enum,
    Float,
    ForeignKey,
    Index,
    Integer,
    Numeric,
    String,
    Table,
    case,
    literal_column,
)
from sqlalchemy import Sequence as NumberSequence
from sqlalchemy import UniqueConstraint as Unique
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

import interaqt_sa as iq
from interaqt_sa.extending import (
    Accumulator,
    FieldAggregate,
    accumulates,
    as_number,
    counter,
    exact_sum,
    is_number,
    require_type,
)

WITHOUT, DECLARED, OTHERWISE = 0, 1, 2


@dataclass(frozen=True)
class Declarable:
    """Something that can be declared.

    :ivar models: the application's models at a stage.
    :ivar rows: what is there before it is declared, and ``more`` what is written while it is not.
    :ivar declared_rows: what is written while it is, if those are not complete then.
    :ivar has_sql: whether a script for PostgreSQL can fill it.
    :ivar has_sqlite: whether one for SQLite can, where aggregates are functions of our connections.
    :ivar stages: those that differ.
    """

    models: Callable[[int], Any]
    rows: Sequence[str] = ()
    more: Sequence[str] = ()
    declared_rows: Sequence[str] = ()
    has_sql: bool = True
    has_sqlite: bool = False
    stages: Sequence[int] = (WITHOUT, DECLARED, OTHERWISE)
    only_postgresql: bool = False


# -- values of mapped classes ------------------------------------------------------------------------------------------


class Variance(FieldAggregate[float]):
    """A kind of one's own, as in the documentation."""

    _fields = ("source", "field", "where")

    def __init__(self, source: Any, field: str, *, where: Any = None) -> None:
        self.set_source(source, where)
        self.set_field(field)

    def hidden_columns(self, column: Column[Any]) -> Mapping[str, Column[Any]]:
        return {"sum": exact_sum(), "squares": exact_sum(), "count": counter()}

    def initial_value(self, column: Any = None) -> Any:
        return 0

    def check_column(self, column: Column[Any]) -> None:
        require_type(self, column, (Numeric, Float))


@accumulates(Variance)
class VarianceAccumulator(Accumulator):
    """How it is kept."""

    def sql(self, resolve: Any, test: Any) -> Any:
        value = resolve(self.computation.field)
        number = as_number(value)
        return [number, number * number, case((is_number(value), 1), else_=0)]

    def result(self, running: Any) -> Any:
        total, squares, count = running
        mean = total * literal_column("1.0") / count
        return case((count == 0, 0), else_=squares * literal_column("1.0") / count - mean * mean)


class Size(enum.Enum):
    """Labels of an enumerated type."""

    small = 1
    large = 2


def is_large(item: Any) -> bool:
    return (item.n or 0) > 1


def is_larger(item: Any) -> bool:
    return (item.n or 0) > 2


def by_name(host: Any) -> str:
    return f"host {host.name}"


def by_id(host: Any) -> str:
    return f"{host.id} {host.name}"


def by_count(host: Any) -> str:
    return f"{host.name}: {host.counted}"


def by_count_first(host: Any) -> str:
    return f"{host.counted} of {host.name}"


def size_of(host: Any) -> Size:
    return Size.small


def larger_size_of(host: Any) -> Size:
    return Size.large


DONE: dict[str, Any] = {"done": True}


def _machine(stage: int) -> Any:
    nodes = [iq.StateNode("open"), iq.StateNode("closed")]
    return iq.computed(iq.StateMachine(states=nodes, transfers=[], initial_state=nodes[0]))


#: annotation, and the column at each stage
def made_of(query: list[str]) -> iq.Custom[str]:
    own = {"type": "property", "attribute_query": ["name", ("items", query)]}
    return iq.Custom("made", data_deps={"own": own}, compute=make, concurrency="locked")


def name_at(now: Any, deps: Any) -> str:
    assert now.tzinfo is not None
    return str(sorted(deps["record"].items()))


def make(ctx: iq.ComputationContext, deps: Any, record: Any) -> str:
    assert (ctx.dispatch, deps["own"]) == (None, record)
    return f"{record.name}: {[sorted(item.items()) for item in record['items']]}"


_COLUMNS: dict[str, tuple[Any, Callable[[int], Any]]] = {
    "counted": (Mapped[int], lambda s: iq.computed(iq.Count("items", where=None if s == DECLARED else DONE))),
    "summed": (Mapped[int], lambda s: iq.computed(iq.Summation("items", "n", where=None if s == DECLARED else DONE))),
    "worth": (
        Mapped[Decimal],
        lambda s: mapped_column(Numeric(12, 2), iq.Summation("items", "price", where=None if s == DECLARED else DONE)),
    ),
    "weighted": (
        Mapped[int],
        lambda s: iq.computed(
            iq.WeightedSummation("items", weight="n", value="n", where=None if s == DECLARED else DONE)
        ),
    ),
    "mean": (Mapped[float], lambda s: iq.computed(iq.Average("items", "n" if s == DECLARED else "weight"))),
    "mean_or_none": (
        Mapped[float | None],
        lambda s: iq.computed(iq.Average("items", "n", empty=None if s == DECLARED else 7)),
    ),
    "least": (Mapped[int | None], lambda s: iq.computed(iq.Min("items", "n", where=None if s == DECLARED else DONE))),
    "most": (Mapped[int | None], lambda s: iq.computed(iq.Max("items", "n", where=None if s == DECLARED else DONE))),
    "first": (
        Mapped[int | None],
        lambda s: iq.computed(iq.First("items", "n", by="price", where=None if s == DECLARED else DONE)),
    ),
    "latest": (
        Mapped[Decimal | None],
        lambda s: mapped_column(Numeric(10, 2), iq.Latest("items", "price", by="n" if s == DECLARED else "weight")),
    ),
    "all_done": (
        Mapped[bool],
        lambda s: iq.computed(iq.Every("items", expression=DONE, not_empty=s == OTHERWISE)),
    ),
    "any_done": (
        Mapped[bool],
        lambda s: iq.computed(iq.Any("items", expression=DONE if s == DECLARED else {"n": (">", 4)})),
    ),
    "variance": (
        Mapped[float],
        lambda s: iq.computed(Variance("items", "n", where=None if s == DECLARED else DONE)),
    ),
    "picked": (
        Mapped[int],
        lambda s: iq.computed(
            iq.Count("items", callback=is_large if s == DECLARED else is_larger, attribute_query=["n"])
        ),
    ),
    "made": (Mapped[str], lambda s: iq.computed(made_of(["n"] if s == DECLARED else ["n", "done"]))),
    "at_time": (
        Mapped[str],
        lambda s: iq.computed(iq.RealTime(name_at, attribute_query=["name"] if s == DECLARED else ["name", "id"])),
    ),
    "label": (Mapped[str], lambda s: iq.computed(by_name if s == DECLARED else by_id)),
    "label_of_count": (Mapped[str], lambda s: iq.computed(by_count if s == DECLARED else by_count_first)),
    "state": (Mapped[str], _machine),
    "size": (
        Mapped[Size],
        lambda s: mapped_column(Enum(Size, name="size"), iq.SameRow(size_of if s == DECLARED else larger_size_of)),
    ),
}
_PYTHON = {"picked", "made", "at_time", "label", "label_of_count", "size"}
_NEEDS = {"label_of_count": "counted"}


def hosts(*names: str) -> Callable[[int], Any]:
    """Return models whose hosts have the values ``names`` over their items."""

    def models(stage: int) -> Any:
        class Base(DeclarativeBase):
            pass

        class Item(Base):
            __tablename__ = "item"
            id: Mapped[int] = mapped_column(primary_key=True)
            host_id: Mapped[int | None] = mapped_column(ForeignKey("host.id"), index=True)
            n: Mapped[int | None]
            price: Mapped[Decimal] = mapped_column(Numeric(10, 2))
            weight: Mapped[float | None]
            done: Mapped[bool]

        wanted = [] if stage == WITHOUT else sorted({*names, *(_NEEDS[n] for n in names if n in _NEEDS)}, key=_place)
        body: dict[str, Any] = {
            "__tablename__": "host",
            "__annotations__": {
                "id": Mapped[int],
                "name": Mapped[str],
                "items": Mapped[list[Item]],
                **{name: _COLUMNS[name][0] for name in wanted},
            },
            "id": mapped_column(primary_key=True),
            "items": relationship(Item),
            **{name: _COLUMNS[name][1](stage if name in names else DECLARED) for name in wanted},
        }
        Base.kept = [Item, type("Host", (Base,), body)]  # type: ignore[attr-defined]
        return Base

    return models


def _place(name: str) -> int:
    return list(_COLUMNS).index(name)


_HOSTS = (
    "INSERT INTO host (id, name) VALUES (1, 'it''s 100 %% :a'), (2, 'b'), (3, 'c')",
    "INSERT INTO item (id, host_id, n, price, weight, done) VALUES (1, 1, 1, 1.50, 0.1, true)",
    "INSERT INTO item (id, host_id, n, price, weight, done) VALUES (2, 1, 2, 2.25, 0.2, false)",
    "INSERT INTO item (id, host_id, n, price, weight, done) VALUES (3, 2, NULL, 4, NULL, true)",
    "INSERT INTO item (id, host_id, n, price, weight, done) VALUES (4, NULL, 5, 1, 1.5, true)",
)
_ITEMS = (
    "INSERT INTO item (id, host_id, n, price, weight, done) VALUES (5, 2, 7, 3.10, 2.5, false)",
    "UPDATE item SET n = 9, done = false WHERE id = 1",
)


def tree(stage: int) -> Any:
    """Return nodes whose totals depend on those below them."""

    class Base(DeclarativeBase):
        pass

    class Node(Base):
        __tablename__ = "node"
        id: Mapped[int] = mapped_column(primary_key=True)
        parent_id: Mapped[int | None] = mapped_column(ForeignKey("node.id"), index=True)
        size: Mapped[int]
        children: Mapped[list[Node]] = relationship()
        if stage != WITHOUT:
            below: Mapped[int] = iq.computed(iq.Summation("children", "total"))
            total: Mapped[int] = iq.computed(_total if stage == DECLARED else _double_total)

    Base.kept = [Node]  # type: ignore[attr-defined]
    return Base


def _total(node: Any) -> int:
    return int(node.size + node.below)


def _double_total(node: Any) -> int:
    return int(2 * node.size + node.below)


def tagged(stage: int) -> Any:
    """Return posts that count their tags through a link table."""

    class Base(DeclarativeBase):
        pass

    links = Table(
        "post_tag",
        Base.metadata,
        Column("post_id", ForeignKey("post.id"), primary_key=True),
        Column("tag_id", ForeignKey("tag.id"), primary_key=True, index=True),
    )

    class Tag(Base):
        __tablename__ = "tag"
        id: Mapped[int] = mapped_column(primary_key=True)
        weight: Mapped[int]

    class Post(Base):
        __tablename__ = "post"
        id: Mapped[int] = mapped_column(primary_key=True)
        tags: Mapped[list[Tag]] = relationship(secondary=links)
        if stage != WITHOUT:
            tag_count: Mapped[int] = iq.computed(
                iq.Count("tags", where=None if stage == DECLARED else {"weight": (">", 5)})
            )

    Base.kept = [Tag, Post]  # type: ignore[attr-defined]
    return Base


def postings(stage: int) -> Any:
    """Return rows that are derived from invoices."""

    class Base(DeclarativeBase):
        pass

    class Invoice(Base):
        __tablename__ = "invoice"
        id: Mapped[int] = mapped_column(primary_key=True)
        net: Mapped[int]

    kept: list[Any] = [Invoice]
    if stage != WITHOUT:

        class Posting(Base):
            __tablename__ = "posting"
            __computation__ = iq.Transform(Invoice, _posted if stage == DECLARED else _posted_net)
            id: Mapped[int] = mapped_column(primary_key=True)
            account: Mapped[str]
            amount: Mapped[int]

        kept.append(Posting)
    Base.kept = kept  # type: ignore[attr-defined]
    return Base


def _posted(invoice: Any) -> list[dict[str, Any]]:
    return [{"account": "sales", "amount": invoice.net}, {"account": "tax", "amount": invoice.net // 5}]


def _posted_net(invoice: Any) -> list[dict[str, Any]]:
    return [{"account": "sales", "amount": invoice.net}]


def numbered(stage: int) -> Any:
    """Return invoices that take a number from a sequence."""

    class Base(DeclarativeBase):
        pass

    numbers = NumberSequence("invoice_number", start=100, increment=10, metadata=Base.metadata) if stage else None

    class Invoice(Base):
        __tablename__ = "invoice"
        id: Mapped[int] = mapped_column(primary_key=True)
        net: Mapped[int]
        if numbers is not None:
            number: Mapped[int] = mapped_column(numbers, server_default=numbers.next_value())

    Base.kept = [Invoice]  # type: ignore[attr-defined]
    return Base


def unique_count(stage: int) -> Any:
    """Return hosts with constraints over what is computed and over what is not."""

    class Base(DeclarativeBase):
        pass

    class Item(Base):
        __tablename__ = "item"
        id: Mapped[int] = mapped_column(primary_key=True)
        host_id: Mapped[int | None] = mapped_column(ForeignKey("host.id"), index=True)
        n: Mapped[int | None] = mapped_column(Integer)
        price: Mapped[Decimal] = mapped_column(Numeric(10, 2))
        weight: Mapped[float | None]
        done: Mapped[bool]
        if stage == OTHERWISE:
            __table_args__ = (Index("ix_item_price", "price", unique=True),)

    class Host(Base):
        __tablename__ = "host"
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str] = mapped_column(String)
        items: Mapped[list[Item]] = relationship()
        if stage != WITHOUT:
            counted: Mapped[int] = iq.computed(iq.Count("items"))
            __table_args__ = (Unique("name", "counted", name="uq_host_name_counted"),)

    Base.kept = [Item, Host]  # type: ignore[attr-defined]
    return Base


_TREE = ("INSERT INTO node (id, parent_id, size) VALUES (1, NULL, 1), (2, 1, 2), (3, 2, 3), (4, 2, 4)",)
_TAGS = (
    "INSERT INTO post (id) VALUES (1), (2)",
    "INSERT INTO tag (id, weight) VALUES (1, 5), (2, 6)",
    "INSERT INTO post_tag (post_id, tag_id) VALUES (1, 1), (1, 2), (2, 2)",
)
_INVOICES = ("INSERT INTO invoice (id, net) VALUES (1, 100), (2, 50)",)

VALUES: dict[str, Declarable] = {
    **{
        name: Declarable(
            hosts(name), _HOSTS, _ITEMS, has_sql=name not in _PYTHON, stages=(0, 1) if name == "state" else (0, 1, 2)
        )
        for name in _COLUMNS
    },
    "all values": Declarable(hosts(*_COLUMNS), _HOSTS, _ITEMS, has_sql=False),
    "all of SQL": Declarable(hosts(*(name for name in _COLUMNS if name not in _PYTHON)), _HOSTS, _ITEMS),
    "tree": Declarable(tree, _TREE, ("INSERT INTO node (id, parent_id, size) VALUES (5, 4, 5)",), has_sql=False),
    "secondary": Declarable(tagged, _TAGS, ("INSERT INTO post_tag (post_id, tag_id) VALUES (2, 1)",)),
    "transform": Declarable(postings, _INVOICES, ("INSERT INTO invoice (id, net) VALUES (3, 10)",), has_sql=False),
    "sequence": Declarable(numbered, _INVOICES, (), stages=(0, 1), only_postgresql=True),
    "unique": Declarable(unique_count, _HOSTS, _ITEMS),
}
