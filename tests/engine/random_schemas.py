"""Schemas made by chance: a few tables that refer to each other, with computed values over them, and writes to them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any, TypeAlias

from sqlalchemy import ForeignKey, delete, func, insert, select, update
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, configure_mappers, mapped_column, relationship

import interaqt_sa as iq
from interaqt_sa.definitions.computation import computation_of
from interaqt_sa.engine.plan import plan_of

#: rows of each table that everybody fights for
ROWS = 3
#: what is computed besides counts and sums if all kinds are; :mod:`tests.test_kinds` compares with those that there are
KINDS = ("WeightedSummation", "Min", "Max", "First", "Latest", "Average", "Every", "Any", "Custom", "RealTime")
#: those whose values no other value reads, with their annotation
_LAST = {"Average": Mapped[float | None], "Every": Mapped[bool], "Any": Mapped[bool]}

Write: TypeAlias = Callable[[Session, Random], None]
Attributes: TypeAlias = dict[str, Any]


@dataclass(frozen=True)
class RandomSchema:
    """Some mapped classes, those that are referred to first.

    :ivar parents: to which of the classes before it each class refers.
    :ivar cascades: whether rows of all tables are deleted, and those that refer to them too.
    :ivar text: what it computes, for messages.
    """

    base: type[DeclarativeBase]
    classes: tuple[Any, ...]
    parents: tuple[tuple[int, ...], ...]
    cascades: bool
    text: str

    def key(self, chance: Random) -> int:
        """Return the key of a row; where rows are deleted it may be gone."""
        return chance.randint(1, ROWS + 3 * self.cascades)

    def references(self, place: int, chance: Random) -> dict[str, int]:
        """Return values for the foreign keys of a new row."""
        return {f"f{parent}": self.key(chance) for parent in self.parents[place]}

    def is_watched(self, mapped: Any) -> bool:
        return mapped.__table__ in plan_of(self.base.metadata).sources

    def fill(self, session: Session, chance: Random) -> None:
        for place, mapped in enumerate(self.classes):
            for _ in range(ROWS):
                keys = {f"f{parent}": chance.randint(1, ROWS) for parent in self.parents[place]}
                session.add(mapped(v=chance.randint(1, 9), **keys))
            session.flush()


# -- declaring --------------------------------------------------------------------------------------------------------


def random_schema(seed: int, *, cascades: bool = False, all_kinds: bool = False) -> RandomSchema:
    """Declare three to five tables; their names are shuffled, since names decide where nothing else does.

    :param all_kinds: whether there are values of all kinds of aggregates, besides counts and sums.
    """
    chance = Random(seed)
    count = chance.randint(3, 5)
    names = [f"t{n}" for n in range(count)]
    chance.shuffle(names)
    parents = tuple(
        tuple(sorted(chance.sample(range(n), min(n, chance.randint(1, 2))))) if n else () for n in range(count)
    )
    computed = _Computed(chance, parents, all_kinds=all_kinds)
    computed.choose()

    class Base(DeclarativeBase):
        pass

    ondelete = "CASCADE" if cascades else None
    classes = tuple(_declare(Base, n, names, parents, computed.of[n], ondelete) for n in range(count))
    configure_mappers()
    return RandomSchema(
        Base, classes, parents, cascades, f"seed {seed}: tables {names}, parents {parents}, {computed.texts}"
    )


class _Computed:
    """Chooses what is computed, from the members up."""

    def __init__(self, chance: Random, parents: tuple[tuple[int, ...], ...], *, all_kinds: bool) -> None:
        self.all_kinds = all_kinds
        self.chance = chance
        self.parents = parents
        self.of: dict[int, Attributes] = {}
        self.texts: dict[int, dict[str, str]] = {}

    def choose(self) -> None:
        for host in reversed(range(len(self.parents))):
            found: Attributes = {}
            self.texts[host] = {}
            for member in [n for n, parents in enumerate(self.parents) if host in parents]:
                for number in range(self.chance.choice([0, 1, 1, 2])):
                    self._add(found, host, member, f"c{member}_{number}")
            self.of[host] = found  # only now: no value reads itself

    def _add(self, found: Attributes, host: int, member: int, name: str) -> None:
        chance = self.chance
        options: dict[str, Any] = {"where": {self._criterion(member): True}} if chance.random() < 0.5 else {}
        kind = "Count" if chance.random() < 0.25 else "Summation"
        if self.all_kinds:
            kind = chance.choice([kind, kind, *KINDS])
        source = f"k{member}"
        match kind:
            case "Count":
                made: Any = iq.Count(source, **options)
            case "WeightedSummation":
                made = iq.WeightedSummation(source, weight=self._path(member), value=self._path(member), **options)
            case "Custom":
                made = _custom(name, source, self._path(member))
            case "First" | "Latest":
                made = getattr(iq, kind)(source, self._path(member), by=self._path(member), **options)
            case "RealTime":
                made = _real_time(source, self._path(member))
            case "Every" | "Any":
                made = getattr(iq, kind)(source, expression={self._criterion(member): True}, **options)
            case _:
                made = getattr(iq, kind)(source, self._path(member), **options)
        found[name] = iq.computed(made)
        self.texts[host][name] = repr(made)

    def _path(self, start: int, steps: int = 0) -> str:
        to = self.chance.choice([None, None, *self.parents[start]])
        if to is not None and steps < 2:
            return f"p{to}.{self._path(to, steps + 1)}"
        values = [name for name, made in self.of.get(start, {}).items() if _kind(made) not in _LAST]
        return "v" if not values or self.chance.random() < 0.6 else self.chance.choice(values)

    def _criterion(self, start: int) -> str:
        near = [f"p{parent}." for parent in self.parents[start]]
        far = [f"p{parent}.p{further}." for parent in self.parents[start] for further in self.parents[parent]]
        return self.chance.choice(["", *near, *far]) + "on"


def _custom(name: str, source: str, path: str) -> iq.Custom[int]:
    """Return the sum of values of members, modulo 1000, and of a value of the row itself."""

    def compute(_: Any, deps: Any, record: Any) -> int:
        assert deps["own"] is record
        return int(record["v"] + sum(_at(member, path) or 0 for member in record[source]) % 1000)

    own = {"type": "property", "attribute_query": ["v", f"{source}.{path}"]}
    return iq.Custom(name, data_deps={"own": own}, compute=compute, concurrency="locked")


def _real_time(source: str, path: str) -> iq.RealTime[int]:
    """Return the sum of values of members, modulo 1000, whatever the time is."""

    def compute(_: Any, deps: Any) -> int:
        return int(sum(_at(member, path) or 0 for member in deps["record"][source]) % 1000)

    return iq.RealTime(compute, attribute_query=[f"{source}.{path}"])


def _at(record: Any, path: str) -> Any:
    for step in path.split("."):
        record = record[step]
    return record


def _kind(computed: Any) -> str:
    return type(computation_of(computed.column)).__name__


def _declare(
    base: type[DeclarativeBase],
    place: int,
    names: list[str],
    parents: tuple[tuple[int, ...], ...],
    computed: Attributes,
    ondelete: str | None,
) -> Any:
    attributes: Attributes = {
        "__tablename__": names[place],
        "__module__": __name__,
        "id": mapped_column(primary_key=True),
        "v": mapped_column(default=1),
        "on": mapped_column(default=True),
        "note": mapped_column(default=0),  # nothing reads it
        **computed,
    }
    annotations: dict[str, Any] = {"id": Mapped[int], "v": Mapped[int], "on": Mapped[bool], "note": Mapped[int]}
    annotations |= {name: _LAST.get(_kind(made), Mapped[int | None]) for name, made in computed.items()}
    for parent in parents[place]:
        annotations[f"f{parent}"] = Mapped[int]
        key = attributes[f"f{parent}"] = mapped_column(ForeignKey(f"{names[parent]}.id", ondelete=ondelete), index=True)
        attributes[f"p{parent}"] = relationship(f"C{parent}", foreign_keys=[key], back_populates=f"k{place}")
    for member in [n for n, others in enumerate(parents) if place in others]:
        attributes[f"k{member}"] = relationship(f"C{member}", back_populates=f"p{place}", passive_deletes=True)
    return type(f"C{place}", (base,), {**attributes, "__annotations__": annotations})


# -- writing ----------------------------------------------------------------------------------------------------------


class RandomWrites:
    """Transactions of one flush or one statement each."""

    def __init__(self, schema: RandomSchema) -> None:
        self.schema = schema
        self.last = len(schema.classes) - 1
        self.all: list[Write] = [
            *[self.change_one] * 4,
            *[self.change_several] * 4,
            *[self.bulk_update] * 3,
            self.bulk_insert,
            self.remove,
            self.bulk_delete,
        ]

    def change_one(self, session: Session, chance: Random) -> None:
        schema, place = self.schema, chance.randrange(self.last + 1)
        mapped, parents = schema.classes[place], schema.parents[place]
        row = session.get(mapped, chance.randint(1, ROWS))
        if row is None:
            return
        match chance.choice(["v", "v", "on", "on", "note", "move", "move", "add"]):
            case "add" if place:
                session.add(mapped(v=chance.randint(1, 9), **schema.references(place, chance)))
            case "move" if parents:
                setattr(row, f"f{chance.choice(parents)}", schema.key(chance))
            case "on":
                row.on = not row.on
            case "note":
                row.note = chance.randint(1, 99)
            case _:
                row.v = chance.randint(1, 99)

    def change_several(self, session: Session, chance: Random) -> None:
        with session.no_autoflush:
            for _ in range(chance.randint(2, 4)):
                self.change_one(session, chance)

    def bulk_update(self, session: Session, chance: Random) -> None:
        place = chance.randrange(self.last + 1)
        mapped, parents = self.schema.classes[place], self.schema.parents[place]
        # where nothing is computed the database locks rows as it meets them
        several = mapped.id % chance.randint(1, 3) == 0
        statement = update(mapped).where(several if self.schema.is_watched(mapped) else mapped.id == 1)
        match chance.choice(["v", "on", "move", "shift"]):
            case "move" if parents:
                values = {f"f{chance.choice(parents)}": self.schema.key(chance)}
            case "shift" if parents:
                name = f"f{chance.choice(parents)}"
                values = {name: getattr(mapped, name) % ROWS + 1}
            case "on":
                values = {"on": ~mapped.on}
            case _:
                values = {"v": mapped.v + 1}
        session.execute(statement.values(values), execution_options={"synchronize_session": False})

    def bulk_insert(self, session: Session, chance: Random) -> None:
        place = chance.randint(1, self.last)
        count = 3 if self.schema.is_watched(self.schema.classes[place]) else 1  # see bulk_update
        rows = [{"v": chance.randint(1, 9), **self.schema.references(place, chance)} for _ in range(count)]
        session.execute(insert(self.schema.classes[place]), rows)

    def remove(self, session: Session, chance: Random) -> None:
        mapped = self._to_delete(chance)
        row = session.scalar(select(mapped).where(mapped.id > ROWS).order_by(func.random()).limit(1))
        if row is not None:
            session.delete(row)

    def bulk_delete(self, session: Session, chance: Random) -> None:
        mapped = self._to_delete(chance)
        some = delete(mapped).where(mapped.id > ROWS, mapped.id % 7 == chance.randrange(7))
        session.execute(some, execution_options={"synchronize_session": False})

    def _to_delete(self, chance: Random) -> Any:
        return self.schema.classes[chance.randint(0, self.last) if self.schema.cascades else self.last]
