"""Random schemas whose rows react: same-row values that round, machines and Transforms on every table, all foreign-key
actions; and writes to them by every route."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from random import Random
from typing import Any, TypeAlias

from sqlalchemy import CHAR, REAL, ForeignKey, Numeric, String, delete, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, configure_mappers, mapped_column, relationship

import interaqt_sa as iq

#: rows of each table at the beginning
ROWS = 3

Attributes: TypeAlias = dict[str, Any]
#: what happens to a row that refers to one that goes
ON_DELETE = ("CASCADE", "SET NULL", "SET DEFAULT", None)
ON_UPDATE = ("CASCADE", "SET NULL", None)

UP, DOWN = iq.StateNode("up"), iq.StateNode("down")


@dataclass(frozen=True)
class ReactiveSchema:
    """Mapped classes, those that are referred to first, and the classes derived from them.

    :ivar parents: to which of the classes before it each class refers.
    :ivar derived: rows that Transforms keep, beside their place in ``classes``.
    :ivar text: what was declared by chance, for messages.
    """

    base: type[DeclarativeBase]
    classes: tuple[Any, ...]
    parents: tuple[tuple[int, ...], ...]
    derived: dict[int, Any]
    text: str

    @property
    def all_classes(self) -> tuple[Any, ...]:
        return (*self.classes, *self.derived.values())

    def values(self, place: int, chance: Random) -> Attributes:
        """Return the attributes of a new row."""
        references = {f"f{parent}": _key(chance) for parent in self.parents[place]}
        return {"v": chance.randint(1, 9), "price": _price(chance), "on": chance.random() < 0.7, **references}

    def fill(self, session: Session, chance: Random) -> None:
        for place, mapped in enumerate(self.classes):
            for number in range(1, ROWS + 1):
                references = {f"f{parent}": chance.randint(1, ROWS) for parent in self.parents[place]}
                session.add(mapped(id=number, **self.values(place, chance) | references))
            session.flush()


def _key(chance: Random) -> int | None:
    return chance.choice([None, *range(1, ROWS + 2)])


def _price(chance: Random) -> Decimal | None:
    """Return a price with more places than its column has."""
    return chance.choice([None, Decimal(chance.randint(1, 9999)) / 1000])


# -- declaring --------------------------------------------------------------------------------------------------------


def reactive_schema(seed: int) -> ReactiveSchema:
    """Declare two to four tables that refer to each other, and what is computed from them."""
    return _Declaration(Random(seed), seed).declare()


class _Declaration:
    def __init__(self, chance: Random, seed: int) -> None:
        self.chance = chance
        self.seed = seed
        count = chance.randint(2, 4)
        self.names = [f"t{n}" for n in range(count)]
        chance.shuffle(self.names)
        self.parents = tuple(
            tuple(sorted(chance.sample(range(n), min(n, chance.randint(1, 2))))) if n else () for n in range(count)
        )
        #: numbers of each class that others may read, from the members up
        self.numbers: dict[int, list[str]] = {}
        self.texts: list[str] = []

    def declare(self) -> ReactiveSchema:
        class Base(DeclarativeBase):
            pass

        computed = {place: self._computed(place) for place in reversed(range(len(self.names)))}
        classes = tuple(self._class(Base, place, computed[place]) for place in range(len(self.names)))
        derived = {n: self._derived(Base, n, mapped) for n, mapped in enumerate(classes) if self.chance.random() < 0.6}
        configure_mappers()
        text = f"seed {self.seed}: tables {self.names}, parents {self.parents}\n" + "\n".join(self.texts)
        return ReactiveSchema(Base, classes, self.parents, derived, text)

    # -- computed values ----------------------------------------------------------------------------------------------

    def _computed(self, host: int) -> Attributes:
        """Choose the aggregates of a host, and values of its row that read them."""
        found: Attributes = {}
        for member in [n for n, parents in enumerate(self.parents) if host in parents]:
            for number in range(self.chance.choice([0, 1, 1, 2])):
                self._aggregate(found, host, member, f"c{member}_{number}")
        self._same_row(found, host)
        self.numbers[host] = ["v", *[name for name in found if name.startswith(("c", "s"))]]
        if self.chance.random() < 0.6:
            found["state"] = iq.computed(self._machine(host), String(8))
        return found

    def _aggregate(self, found: Attributes, host: int, member: int, name: str) -> None:
        options: dict[str, Any] = {"where": {"on": True}} if self.chance.random() < 0.4 else {}
        if self.chance.random() < 0.3:
            found[name] = iq.computed(iq.Count(f"k{member}", **options))
            self._note(host, f"{name} = Count(k{member}, {options})")
        else:
            path = self._path(member)
            found[name] = iq.computed(iq.Summation(f"k{member}", path, **options))
            self._note(host, f"{name} = Summation(k{member}, {path}, {options})")

    def _path(self, start: int) -> str:
        further = list(self.parents[start])
        if further and self.chance.random() < 0.3:
            return f"p{self.chance.choice(further)}.v"
        return self.chance.choice(self.numbers[start])

    def _same_row(self, found: Attributes, host: int) -> None:
        read = self.chance.choice(["v", *found])
        choices: dict[str, Callable[[], Any]] = {
            "s0": lambda: iq.computed(lambda row: 2 * row[read] + 1),
            "third": lambda: iq.computed(lambda row: row.price and row.price / 3, Numeric(8, 2)),
            "real": lambda: iq.computed(lambda row: row.price and float(row.price) / 7, REAL),
            "label": lambda: iq.computed(lambda row: str(row.price or ""), CHAR(8)),
        }
        for name in sorted(self.chance.sample(sorted(choices), self.chance.randint(0, 2))):
            found[name] = choices[name]()
            self._note(host, f"{name} of {read if name == 's0' else 'price'}")

    def _machine(self, host: int) -> iq.StateMachine:
        """Choose what moves the rows of a host: their own changes, or those of a member."""
        members = [n for n, parents in enumerate(self.parents) if host in parents]
        member = self.chance.choice([None, *members])
        if member is None:
            keys = [self.chance.choice(["v", "price", *[n for n in self.numbers[host] if n != "v"]])]
            trigger: Any = iq.Trigger(f"C{host}", "update", keys=keys)
            target: Any = _own_key
        else:
            kind = self.chance.choice(["create", "update", "delete"])
            keys = [f"f{host}"]
            trigger = iq.Trigger(f"C{member}", kind, keys=keys if kind == "update" else None)  # type: ignore[arg-type]
            target = _Reference(f"f{host}")
        self._note(host, f"state moves by {trigger.record_name} {trigger.type} {trigger.keys}")
        return iq.StateMachine(
            states=[UP, DOWN],
            initial_state=UP,
            transfers=[
                iq.StateTransfer(current=a, next=b, trigger=trigger, compute_target=target)
                for a, b in ((UP, DOWN), (DOWN, UP))
            ],
        )

    # -- classes ------------------------------------------------------------------------------------------------------

    def _class(self, base: type[DeclarativeBase], place: int, computed: Attributes) -> Any:
        chance = self.chance
        attributes: Attributes = {
            "__tablename__": self.names[place],
            "__module__": __name__,
            "id": mapped_column(primary_key=True),
            "v": mapped_column(default=1),
            "on": mapped_column(default=True),
            "price": mapped_column(Numeric(8, 2)),
            **computed,
        }
        annotations: dict[str, Any] = {"id": Mapped[int], "v": Mapped[int], "on": Mapped[bool]}
        annotations["price"] = Mapped[Decimal | None]
        for name in computed:
            kinds = {"third": Decimal | None, "real": float | None, "label": str, "state": str}
            annotations[name] = Mapped[kinds.get(name, int)]  # type: ignore[misc]
        for parent in self.parents[place]:
            key = self._reference(f"{self.names[parent]}.id", place)
            annotations[f"f{parent}"] = Mapped[int | None]
            attributes[f"f{parent}"] = key
            attributes[f"p{parent}"] = relationship(
                f"C{parent}", foreign_keys=[key], back_populates=f"k{place}", passive_updates=chance.random() < 0.9
            )
        for member in [n for n, others in enumerate(self.parents) if place in others]:
            passive = chance.choice([False, True, "all"])
            attributes[f"k{member}"] = relationship(
                f"C{member}", back_populates=f"p{place}", passive_deletes=passive, passive_updates=True
            )
            self._note(place, f"k{member} passive_deletes={passive}")
        return type(f"C{place}", (base,), {**attributes, "__annotations__": annotations})

    def _reference(self, target: str, place: int) -> Any:
        ondelete, onupdate = self.chance.choice(ON_DELETE), self.chance.choice(ON_UPDATE)
        self._note(place, f"refers to {target}, on delete {ondelete}, on update {onupdate}")
        default = {"server_default": "1"} if ondelete == "SET DEFAULT" else {}
        return mapped_column(ForeignKey(target, ondelete=ondelete, onupdate=onupdate), index=True, **default)

    def _derived(self, base: type[DeclarativeBase], place: int, source: Any) -> Any:
        numbers = [name for name in self.numbers[place] if name != "v"]
        read = self.chance.choice(["v", *numbers])
        self._note(place, f"D{place} reads {read}")
        attributes: Attributes = {
            "__tablename__": f"d_{self.names[place]}",
            "__module__": __name__,
            "__computation__": iq.Transform(source, _Rows(read)),
            "id": mapped_column(primary_key=True),
            "n": mapped_column(),
            "part": mapped_column(Numeric(8, 1)),
            "twice": iq.computed(lambda row: row.part and row.part * 2, Numeric(8, 2)),
        }
        annotations: dict[str, Any] = {"id": Mapped[int], "n": Mapped[int], "part": Mapped[Decimal | None]}
        annotations["twice"] = Mapped[Decimal | None]
        return type(f"D{place}", (base,), {**attributes, "__annotations__": annotations})

    def _note(self, place: int, text: str) -> None:
        self.texts.append(f"C{place} ({self.names[place]}): {text}")


def _own_key(_: Any, event: iq.MutationEvent) -> Any:
    return event.record["id"]


@dataclass(frozen=True)
class _Reference:
    """Names the row to which the row of an event refers, or referred."""

    attribute: str

    def __call__(self, _: Any, event: iq.MutationEvent) -> Any:
        key = event.record[self.attribute]
        return key if key is not None or event.old_record is None else event.old_record[self.attribute]


@dataclass(frozen=True)
class _Rows:
    """Derives no row, one or two."""

    read: str

    def __call__(self, row: Any) -> list[Attributes | None]:
        if not row["on"]:
            return []
        return [{"n": row[self.read], "part": row["price"]}, {"n": row["id"], "part": None} if row["v"] % 2 else None]


# -- writing ----------------------------------------------------------------------------------------------------------

Write: TypeAlias = Callable[[Session, Random], None]


class ReactiveWrites:
    """Transactions of one flush, one statement or one call of the storage each."""

    def __init__(self, schema: ReactiveSchema, system: iq.System) -> None:
        self.schema = schema
        self.system = system
        self.all: list[Write] = [
            *[self.change] * 4,
            *[self.change_several] * 3,
            self.add,
            self.remove,
            self.rekey,
            self.replace,
            *[self.bulk_update] * 2,
            self.bulk_update_by_key,
            self.bulk_insert,
            self.bulk_delete,
            self.upsert,
            self.storage_create,
            self.storage_update,
            self.storage_delete,
        ]

    def _place(self, chance: Random) -> int:
        return chance.randrange(len(self.schema.classes))

    def _some(self, session: Session, place: int, chance: Random) -> Any | None:
        mapped = self.schema.classes[place]
        keys = list(session.scalars(select(mapped.id).order_by(mapped.id)))
        return session.get(mapped, chance.choice(keys)) if keys else None

    def _changes(self, place: int, chance: Random) -> Attributes:
        values = self.schema.values(place, chance)
        return {name: values[name] for name in chance.sample(sorted(values), chance.randint(1, 2))}

    # the unit of work

    def change(self, session: Session, chance: Random) -> None:
        place = self._place(chance)
        row = self._some(session, place, chance)
        for name, value in self._changes(place, chance).items() if row is not None else ():
            setattr(row, name, value)

    def change_several(self, session: Session, chance: Random) -> None:
        with session.no_autoflush:
            for _ in range(chance.randint(2, 4)):
                chance.choice([self.change, self.change, self.add])(session, chance)

    def add(self, session: Session, chance: Random) -> None:
        place = self._place(chance)
        session.add(self.schema.classes[place](**self.schema.values(place, chance)))

    def remove(self, session: Session, chance: Random) -> None:
        row = self._some(session, self._place(chance), chance)
        if row is not None:
            session.delete(row)

    def rekey(self, session: Session, chance: Random) -> None:
        row = self._some(session, self._place(chance), chance)
        if row is not None:
            row.id = row.id + 20 if row.id < 20 else row.id - 20

    def replace(self, session: Session, chance: Random) -> None:
        """Delete a row, and add another one with its key, in one flush."""
        place = self._place(chance)
        row = self._some(session, place, chance)
        if row is not None:
            session.delete(row)
            session.add(self.schema.classes[place](id=row.id, **self.schema.values(place, chance)))

    # statements

    def bulk_update(self, session: Session, chance: Random) -> None:
        place = self._place(chance)
        mapped = self.schema.classes[place]
        values = self._changes(place, chance)
        if "v" in values:
            values["v"] = mapped.v + 1
        several = mapped.id % chance.randint(1, 3) == 0
        session.execute(update(mapped).where(several).values(values), execution_options=_UNSYNCHRONIZED)

    def bulk_update_by_key(self, session: Session, chance: Random) -> None:
        place = self._place(chance)
        mapped = self.schema.classes[place]
        keys = list(session.scalars(select(mapped.id).order_by(mapped.id)))[:2]
        if keys:
            session.execute(update(mapped), [{"id": key, **self.schema.values(place, chance)} for key in keys])

    def bulk_insert(self, session: Session, chance: Random) -> None:
        place = self._place(chance)
        rows = [self.schema.values(place, chance) for _ in range(chance.randint(1, 3))]
        session.execute(insert(self.schema.classes[place]), rows)

    def bulk_delete(self, session: Session, chance: Random) -> None:
        mapped = self.schema.classes[self._place(chance)]
        some = delete(mapped).where(mapped.id % 3 == chance.randrange(3))
        session.execute(some, execution_options=_UNSYNCHRONIZED)

    def upsert(self, session: Session, chance: Random) -> None:
        place = self._place(chance)
        make = postgresql.insert if session.get_bind().dialect.name == "postgresql" else sqlite.insert
        statement: Any = make(self.schema.classes[place])
        keys = sorted({chance.randint(1, ROWS + 2) for _ in range(2)})
        rows = [{"id": key, **self.schema.values(place, chance)} for key in keys]
        changed = {name: statement.excluded[name] for name in rows[0] if name != "id"}
        session.execute(statement.on_conflict_do_update(index_elements=["id"], set_=changed), rows)

    # records by name

    def storage_create(self, session: Session, chance: Random) -> None:
        place = self._place(chance)
        storage = self.system.storage.with_session(session)
        storage.create(self.schema.classes[place], self.schema.values(place, chance))

    def storage_update(self, session: Session, chance: Random) -> None:
        place = self._place(chance)
        storage = self.system.storage.with_session(session)
        match = {"v": (">", chance.randint(0, 9))}
        storage.update(self.schema.classes[place], match, self._changes(place, chance))

    def storage_delete(self, session: Session, chance: Random) -> None:
        storage = self.system.storage.with_session(session)
        storage.delete(self.schema.classes[self._place(chance)], {"id": chance.randint(1, ROWS)})


_UNSYNCHRONIZED = {"synchronize_session": False}
