"""Random models of a fixed family under random writes: what is stored, loaded and computed naively is the same."""

from __future__ import annotations

import math
from collections.abc import Callable
from decimal import Decimal
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test
from sqlalchemy import Engine, delete, event, func, insert, inspect, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

import interaqt_sa as iq
from tests.engine.family import FAMILY, Model
from tests.support.engines import EngineFactory
from tests.support.torture import Torture

KEYS = st.integers(1, 5)
CENTS = st.integers(-500, 500).map(lambda n: Decimal(n) / 100)
NUMBERS: dict[type[Any], st.SearchStrategy[Any]] = {
    int: st.integers(0, 9),
    bool: st.booleans(),
    Decimal: CENTS,
    float: st.integers(-50, 50).map(lambda n: n / 8) | st.sampled_from([0.1, 0.2, 0.3, 1e6]),
}


class Writes(RuleBasedStateMachine):
    """One database, one session at a time, one model of the family."""

    engine: Engine
    systems: dict[str, iq.System]

    @initialize(model=st.sampled_from(FAMILY))
    def start(self, model: Model) -> None:
        self.model = model
        if model.name not in self.systems:
            self.systems[model.name] = iq.System(self.engine, base=model.base)
        self.system = self.systems[model.name]
        model.base.metadata.drop_all(self.engine)
        model.base.metadata.create_all(self.engine)
        self.session: Session = self.system.session_factory()
        self.loaded: list[Any] = []  # so that what is loaded does not depend on the garbage collector
        for name in ("loaded_as_persistent", "pending_to_persistent"):
            event.listen(self.session, name, self._hold)
        self.next_id = 0
        for cls in list(model.classes)[:-1] * 2:
            self.session.add(cls(id=self._new_id(), **self._values(cls, self._least)))
        self.savepoints: list[Any] = []
        self.computed = {
            cls: {name for name, column in inspect(cls).columns.items() if _is_computed(column)}
            for cls in model.classes
        }
        self.session.commit()

    def _hold(self, session: Session, instance: Any) -> None:
        self.loaded.append(instance)

    def teardown(self) -> None:
        if hasattr(self, "session"):
            self.session.close()

    def _new_id(self) -> int:
        self.next_id += 1
        return self.next_id

    @staticmethod
    def _least(kind: type[Any]) -> Any:
        return kind(1) if kind in NUMBERS else None

    def _values(self, cls: type[Any], choose: Callable[[type[Any]], Any]) -> dict[str, Any]:
        return {name: choose(kind) for name, kind in self.model.classes[cls].items()}

    def _without_circles(self, cls: type[Any], key: int, choose: Callable[[type[Any]], Any]) -> dict[str, Any]:
        """Return a row; of its own table it only refers to older ones, for the unit of work cannot sort circles."""
        row = self._values(cls, choose)
        for name, kind in self.model.classes[cls].items():
            if kind is cls and row[name] is not None and row[name] >= key:
                row[name] = None
        return row

    # -- what to write ------------------------------------------------------------------------------------------------

    def _class(self, data: st.DataObject) -> type[Any]:
        classes = list(self.model.classes)
        return data.draw(st.sampled_from([*classes, *[classes[-1]] * 2]), "class")

    def _keys(self, cls: type[Any]) -> list[int]:
        return list(self.session.scalars(select(cls.id).order_by(cls.id)))

    def _choose(self, data: st.DataObject) -> Callable[[type[Any]], Any]:
        def choose(kind: type[Any]) -> Any:
            if kind in NUMBERS:
                return data.draw(NUMBERS[kind])
            return data.draw(st.sampled_from([None, *self._keys(kind)]), kind.__name__)

        return choose

    def _some(self, data: st.DataObject, cls: type[Any]) -> Any | None:
        keys = self._keys(cls)
        return self.session.get_one(cls, data.draw(st.sampled_from(keys), "id")) if keys else None

    def _set(self, data: st.DataObject, cls: type[Any], target: Any) -> None:
        for name, kind in self.model.classes[cls].items():
            if data.draw(st.booleans()):
                self._assign(data, target, name, kind)

    def _assign(self, data: st.DataObject, target: Any, name: str, kind: type[Any]) -> None:
        value = self._choose(data)(kind)
        if kind is type(target) and value is not None and value >= target.id:
            return
        relationship = name.removesuffix("_id")
        if kind in NUMBERS or data.draw(st.booleans()):
            setattr(target, name, value)
        else:
            setattr(target, relationship, None if value is None else self.session.get_one(kind, value))

    # -- the unit of work ---------------------------------------------------------------------------------------------

    @rule(data=st.data(), count=st.integers(1, 3))
    def add(self, data: st.DataObject, count: int) -> None:
        for _ in range(count):
            cls = self._class(data)
            self.session.add(cls(id=self._new_id(), **self._values(cls, self._choose(data))))

    @rule(data=st.data(), count=st.integers(1, 3))
    def change(self, data: st.DataObject, count: int) -> None:
        with self.session.no_autoflush:
            for _ in range(count):
                cls = self._class(data)
                target = self._some(data, cls)
                if target is not None and target not in self.session.deleted:
                    self._set(data, cls, target)

    @rule(data=st.data())
    def remove(self, data: st.DataObject) -> None:
        target = self._some(data, self._class(data))
        if target is not None:
            self.session.flush()
            self.session.expire(target)  # loaded collections may miss members that only have the foreign key
            self.session.delete(target)
            self.session.flush()

    @rule(data=st.data())
    def move_through_a_collection(self, data: st.DataObject) -> None:
        cls = self._class(data)
        collections = [r for r in inspect(cls).relationships if r.uselist and r.secondary is None]
        target = self._some(data, cls)
        if not collections or target is None:
            return
        relationship = data.draw(st.sampled_from(collections), "collection")
        member = self._some(data, relationship.mapper.class_)
        members = getattr(target, relationship.key)
        if member is not None and member not in members and (type(member) is not cls or member.id > target.id):
            members.append(member)
        elif members:
            members.pop()

    @precondition(lambda self: bool(self.model.links))
    @rule(data=st.data())
    def link(self, data: st.DataObject) -> None:
        cls, name, other = data.draw(st.sampled_from(self.model.links), "link")
        target = self._some(data, cls)
        if target is not None:
            members = [self.session.get_one(other, key) for key in self._keys(other)]
            chosen = data.draw(st.sets(st.sampled_from(range(len(members)))) if members else st.just(set()))
            setattr(target, name, [members[i] for i in sorted(chosen)])

    @rule()
    def flush(self) -> None:
        self.session.flush()

    # -- statements ---------------------------------------------------------------------------------------------------

    @rule(data=st.data(), count=st.integers(1, 4))
    def insert_in_bulk(self, data: st.DataObject, count: int) -> None:
        cls = self._class(data)
        rows = [{"id": self._new_id(), **self._values(cls, self._choose(data))} for _ in range(count)]
        self.session.execute(insert(cls), rows)

    @rule(data=st.data())
    def update_in_bulk(self, data: st.DataObject) -> None:
        cls = self._class(data)
        attributes = self.model.classes[cls]
        if attributes:
            name = data.draw(st.sampled_from(list(attributes)), "attribute")
            value = self._choose(data)(attributes[name])
            statement = update(cls).where(cls.id <= data.draw(st.integers(0, self.next_id))).values({name: value})
            if attributes[name] is cls and value is not None:
                statement = statement.where(cls.id > value)
            self.session.execute(statement)

    @rule(data=st.data())
    def delete_in_bulk(self, data: st.DataObject) -> None:
        cls = list(self.model.classes)[-1]
        self.session.execute(delete(cls).where(cls.id > data.draw(st.integers(0, self.next_id))))

    @rule(data=st.data())
    def upsert(self, data: st.DataObject) -> None:
        cls = self._class(data)
        names = list(self.model.classes[cls])
        if not names:
            return
        make = postgresql.insert if self.engine.dialect.name == "postgresql" else sqlite.insert
        statement: Any = make(cls)
        keys = {*data.draw(st.lists(st.sampled_from([*self._keys(cls), 0]), max_size=2)), 0}
        keys = {key or self._new_id() for key in keys}
        rows = [{"id": key, **self._without_circles(cls, key, self._choose(data))} for key in sorted(keys)]
        changed = {name: statement.excluded[name] for name in names}
        self.session.execute(statement.on_conflict_do_update(index_elements=["id"], set_=changed), rows)
        self._compare_loaded()
        self.session.expire_all()  # columns of loaded objects are not refreshed by an upsert

    # -- records by name ----------------------------------------------------------------------------------------------

    @rule(data=st.data())
    def storage(self, data: st.DataObject) -> None:
        storage = self.system.storage.with_session(self.session)
        cls = self._class(data)
        keys = self._keys(cls)
        what = data.draw(st.sampled_from(["create", "update", "delete"]))
        if what == "create":
            storage.create(cls, {"id": self._new_id(), **self._values(cls, self._choose(data))})
        elif keys:
            match = {"id": data.draw(st.sampled_from(keys))}
            if what == "update" and self.model.classes[cls]:
                storage.update(cls, match, self._without_circles(cls, match["id"], self._choose(data)))
            elif what == "delete" and cls is list(self.model.classes)[-1]:
                storage.delete(cls, match)

    # -- transactions -------------------------------------------------------------------------------------------------

    @rule()
    def begin_savepoint(self) -> None:
        self.savepoints.append(self.session.begin_nested())

    @precondition(lambda self: bool(self.savepoints))
    @rule(keep=st.booleans())
    def end_savepoint(self, keep: bool) -> None:
        savepoint = self.savepoints.pop()
        savepoint.commit() if keep else savepoint.rollback()
        self._compare_loaded()

    @rule()
    def rollback(self) -> None:
        self.savepoints.clear()
        self.session.rollback()

    @rule(expire=st.booleans())
    def commit(self, expire: bool) -> None:
        while self.savepoints:
            self.savepoints.pop().commit()
        self.session.flush()
        self._compare_loaded()
        self.session.commit()
        if expire:
            self.session.expunge_all()
            self.loaded.clear()
        report = self.system.check()
        assert report.ok, report.differences
        self._compare_with_the_oracle()

    def _compare_loaded(self) -> None:
        """Compare the computed values that loaded objects show with what is stored, in this transaction."""
        self.session.flush()
        for target in list(self.session.identity_map.values()):
            cls, identity = type(target), inspect(target).identity
            shown = {n: v for n, v in inspect(target).dict.items() if isinstance(n, str) and n in self.computed[cls]}
            for name in sorted(shown):
                row = self.session.execute(select(getattr(cls, name)).where(cls.id == identity[0])).first()
                # no row: inserted by a statement, deleted as an object, and then the savepoint was rolled back
                assert row is None or _same(shown[name], row[0]), (cls.__name__, identity, name, shown[name], row)

    def _compare_with_the_oracle(self) -> None:
        with Session(self.engine) as session:
            rows = {c: {row.id: row for row in session.scalars(select(c))} for c in self.model.classes}
            for (cls, key, name), expected in self.model.oracle(rows).items():
                stored = getattr(rows[cls][key], name)
                assert _same(stored, expected), (cls.__name__, key, name, stored, expected)
            assert session.scalar(select(func.count()).select_from(next(iter(self.model.classes)))) is not None


def _is_computed(column: Any) -> bool:
    return any(isinstance(value, iq.Computation) for value in column.info.values())


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, float) or isinstance(other, float):
        return one is not None and other is not None and math.isclose(one, other, rel_tol=1e-9, abs_tol=1e-9)
    return bool(one == other)


@pytest.mark.parametrize("driver", ["pysqlite", "psycopg"])
def test_nothing_drifts(engine_for: EngineFactory, torture: Torture, driver: str) -> None:
    impatient = {} if driver == "pysqlite" else {"connect_args": {"options": "-c lock_timeout=10s"}}

    class OnThisEngine(Writes):
        engine = engine_for(driver, **impatient)
        systems: ClassVar[dict[str, iq.System]] = {}

    examples = (2000 if torture.full else 200) // (1 if driver == "pysqlite" else 5)
    run_state_machine_as_test(
        OnThisEngine,
        settings=settings(
            max_examples=examples,
            phases=set(Phase) - {Phase.explain},
            stateful_step_count=25,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
        ),
    )
